//! Attestation Results: EAR (draft-ietf-rats-ear) as JWT, CWT, or bare claims in JSON and CBOR.

use assay_attest::result::Tier;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};

use super::claimset::ClaimSet;
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

/// The profile of this house's results and of the drafts; the one of Veraison, with labels of text with dots.
const PROFILES: [&str; 2] = [
    assay_attest::ear::PROFILE,
    "tag:github.com,2023:veraison/ear",
];
/// The claims of AR4SI in the order of their labels in CBOR.
const VECTOR: [&str; 8] = [
    "instance-identity",
    "configuration",
    "executables",
    "file-system",
    "hardware",
    "runtime-opaque",
    "storage-opaque",
    "sourced-data",
];

/// The kind `ear`.
pub(crate) struct Ear;

impl Kind for Ear {
    fn name(&self) -> &'static str {
        "ear"
    }

    fn about(&self) -> &'static str {
        "An EAT Attestation Result: JWT, CWT, or bare claims as JSON, CBOR or diagnostic notation. Profiles \
         tag:ietf.org,2026:rats/ear#03 and tag:github.com,2023:veraison/ear, whose labels with dots are given their new names.\n\n\
         Give --key with the verifier's public key or key set (of a CWT also --root, --chain, --root-from-chain, as for cose). Bare claims \
         are accepted with `authenticated` false, and rejected where --key or --root names somebody who should have signed. The key decides the algorithm; `none`, keys in \
         the header (jwk, jku, x5u, x5c) and critical headers are refused.\n\n\
         exp, nbf and iat are held against --at (iat and nbf may be 60 s ahead), and eat_nonce against --nonce. A result that names neither \
         is accepted: `freshness.proven` says false, and a relying party that needs freshness gives --nonce.\n\n\
         Each submodule must have a status of AR4SI and no better one than its trustworthiness vector, whose claims must be known and lie in -128 to 127. \
         A key attestation must hold a key (akpub). A result that says `contraindicated` is a good result about a bad device: it is accepted, and says so in \
         `status`.\n\n\
         Claims: `form` (jwt, cwt, json, cbor), `algorithm`, `key_id`, `profile`, `verifier_id` (`developer`, `build`), `status` (the worst of all \
         submodules), `submods` by name, each with `status`, `vector`, `policy_ids`, `tier_of_vector`; `issuer`, `subject`, `freshness` (`issued_at`, \
         `not_before`, `expires_at`, `nonce`: matches, unchecked or none, `proven`), and `assay` where it is one of this nexus: verdict, root, key, \
         runtime, evidence, reference_values, policy, checks."
    }

    fn takes(&self) -> &'static [Opt] {
        &[
            Opt::Key,
            Opt::Root,
            Opt::Chain,
            Opt::RootFromChain,
            Opt::Nonce,
        ]
    }

    fn detect(&self, file: &Artefact) -> bool {
        ClaimSet::read(file).is_ok_and(|set| looks_like_one(&set.claims))
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        let set = ClaimSet::read(file)?;
        let mut claims = describe(&set);
        if let Err(rejection) = appraisal(&set.claims) {
            claims.insert(
                "fault".into(),
                json!({"code": rejection.code, "message": rejection.message}),
            );
        }
        Ok(claims)
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        let set = ClaimSet::read(file)?;
        let mut claims = describe(&set);
        let (authenticated, signer) = set
            .authenticate(with)
            .map_err(|rejection| rejection.claims(&claims))?;
        claims.extend(signer);
        let refuse = |mut rejection: Rejection, claims: &Claims| {
            rejection.authenticated = authenticated;
            rejection.claims(claims)
        };
        claims.extend(appraisal(&set.claims).map_err(|r| refuse(r, &claims))?);
        let freshness = set.fresh(with).map_err(|r| refuse(r, &claims))?;
        claims.insert("freshness".into(), freshness);
        Ok(Accepted {
            authenticated,
            claims,
        })
    }
}

/// By its profile, or by what no other token has.
fn looks_like_one(claims: &Claims) -> bool {
    let profile = claims.get("eat_profile").and_then(Value::as_str);
    let submods = claims.get("submods").and_then(Value::as_object);
    profile.is_some_and(|p| PROFILES.contains(&p) || p.starts_with("tag:ietf.org,2026:rats/ear#"))
        || submods.is_some_and(|all| all.values().any(|one| find(one, "status").is_some()))
        || (claims.contains_key("status") && claims.contains_key("appraisal-policy-id"))
}

/// A member under its new name or Veraison's.
fn find<'a>(of: &'a Value, name: &str) -> Option<&'a Value> {
    let new = format!("ear_{}", name.replace('-', "_"));
    of.get(new)
        .or_else(|| of.get(format!("ear.{name}")))
        .or_else(|| match name {
            "appraisal-policy-id" => of.get("ear_appraisal_policy_ids"),
            _ => None,
        })
}

/// What can be said of it without looking at submodules closely.
fn describe(set: &ClaimSet) -> Claims {
    let mut claims = Claims::new();
    claims.insert("form".into(), set.form().into());
    let mut copy = |from: &str, to: &str| {
        if let Some(value) = set.claims.get(from) {
            claims.insert(to.into(), value.clone());
        }
    };
    copy("eat_profile", "profile");
    copy("iss", "issuer");
    copy("sub", "subject");
    copy("iat", "iat");
    copy("exp", "exp");
    copy("assay_result", "assay");
    let all = Value::Object(set.claims.clone());
    if let Some(id) = find(&all, "verifier-id") {
        let part = |name: &str, label: &str| id.get(name).or_else(|| id.get(label)).cloned();
        claims.insert(
            "verifier_id".into(),
            json!({"developer": part("developer", "0"), "build": part("build", "1")}),
        );
    }
    if let Some(submods) = set.claims.get("submods").and_then(Value::as_object) {
        let all: Claims = submods
            .iter()
            .map(|(name, one)| (name.clone(), submodule_as_said(one)))
            .collect();
        claims.insert("submods".into(), all.into());
    }
    claims
}

fn submodule_as_said(one: &Value) -> Value {
    let mut out = Claims::new();
    if let Some(status) = find(one, "status") {
        let status = tier(status).map_or_else(|| status.clone(), |t| t.as_str().into());
        out.insert("status".into(), status);
    }
    if let Some(vector) = find(one, "trustworthiness-vector").and_then(Value::as_object) {
        let vector: Claims = vector
            .iter()
            .map(|(name, value)| (vector_name(name).unwrap_or(name).to_owned(), value.clone()))
            .collect();
        out.insert("vector".into(), vector.into());
    }
    if let Some(policy) = find(one, "appraisal-policy-id") {
        let ids = match policy {
            Value::Array(_) => policy.clone(),
            one => json!([one]),
        };
        out.insert("policy_ids".into(), ids);
    }
    out.into()
}

/// Everything that a result must have. Gives `status`, the worst of all, and each submodule with the tier of its vector.
fn appraisal(set: &Claims) -> Result<Claims, Rejection> {
    let profile = set.get("eat_profile").and_then(Value::as_str);
    if !profile.is_some_and(|profile| PROFILES.contains(&profile)) {
        return Err(Rejection::new(
            "ear.profile",
            format!(
                "the profile `{}` is none of an ear",
                profile.unwrap_or("none")
            ),
        ));
    }
    if !set.get("iat").is_some_and(Value::is_number) {
        return Err(missing("iat"));
    }
    let whole = Value::Object(set.clone());
    let verifier = find(&whole, "verifier-id").ok_or_else(|| missing("ear_verifier_id"))?;
    for (name, label) in [("developer", "0"), ("build", "1")] {
        if !verifier
            .get(name)
            .or_else(|| verifier.get(label))
            .is_some_and(Value::is_string)
        {
            return Err(missing("ear_verifier_id"));
        }
    }
    let submods = set
        .get("submods")
        .and_then(Value::as_object)
        .filter(|all| !all.is_empty())
        .ok_or_else(|| missing("submods"))?;
    let mut tiers = Vec::new();
    let mut out = Claims::new();
    for (name, one) in submods {
        let (status, of_vector) = submodule(name, one)?;
        tiers.push(status);
        let mut said = submodule_as_said(one);
        if let (Some(of_vector), Some(said)) = (of_vector, said.as_object_mut()) {
            said.insert("tier_of_vector".into(), of_vector.as_str().into());
        }
        out.insert(name.clone(), said);
    }
    let mut claims = Claims::new();
    claims.insert("status".into(), Tier::overall(&tiers).as_str().into());
    claims.insert("submods".into(), out.into());
    Ok(claims)
}

fn submodule(name: &str, one: &Value) -> Result<(Tier, Option<Tier>), Rejection> {
    let status = find(one, "status")
        .and_then(tier)
        .ok_or_else(|| wrong(name, "it has no status of ar4si"))?;
    if let Some(key) = one
        .get("ear.veraison.key-attestation")
        .or_else(|| one.get("ear_veraison_key_attestation"))
        .or_else(|| one.get("-70002"))
    {
        let held = key
            .get("akpub")
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .and_then(|text| Base64UrlUnpadded::decode_vec(text).ok());
        if held.is_none() {
            return Err(wrong(name, "its key attestation holds no key (`akpub`)"));
        }
    }
    let Some(vector) = find(one, "trustworthiness-vector") else {
        return Ok((status, None));
    };
    let vector = vector
        .as_object()
        .ok_or_else(|| wrong(name, "its vector is no map"))?;
    let mut tiers = Vec::new();
    for (claim, value) in vector {
        if vector_name(claim).is_none() {
            return Err(wrong(
                name,
                "its vector has a claim that ar4si does not know",
            ));
        }
        let value = value
            .as_i64()
            .and_then(|value| i8::try_from(value).ok())
            .ok_or_else(|| wrong(name, "a claim of its vector is not in -128 to 127"))?;
        tiers.push(Tier::of(value));
    }
    let of_vector = Tier::overall(&tiers);
    if is_better(status, of_vector) {
        return Err(wrong(name, "its status is better than its vector"));
    }
    Ok((status, Some(of_vector)))
}

/// Whether a status says better than the vector beside it. `none` claims nothing, on either side.
const fn is_better(status: Tier, of_vector: Tier) -> bool {
    matches!(
        (status, of_vector),
        (Tier::Affirming, Tier::Warning | Tier::Contraindicated)
            | (Tier::Warning, Tier::Contraindicated)
    )
}

fn tier(value: &Value) -> Option<Tier> {
    match (value.as_str(), value.as_i64()) {
        (Some("none"), _) | (_, Some(0)) => Some(Tier::None),
        (Some("affirming"), _) | (_, Some(2)) => Some(Tier::Affirming),
        (Some("warning"), _) | (_, Some(32)) => Some(Tier::Warning),
        (Some("contraindicated"), _) | (_, Some(96)) => Some(Tier::Contraindicated),
        _ => None,
    }
}

/// A claim of the vector by its name, or by its label in CBOR.
fn vector_name(name: &str) -> Option<&'static str> {
    VECTOR
        .into_iter()
        .enumerate()
        .find(|(label, known)| name == *known || name == label.to_string())
        .map(|(_, known)| known)
}

fn missing(claim: &str) -> Rejection {
    Rejection::new(
        "ear.claim_missing",
        format!("the result has no sound claim `{claim}`"),
    )
}

fn wrong(submodule: &str, why: &str) -> Rejection {
    Rejection::new(
        "ear.submodule",
        format!("the submodule `{submodule}` is not sound: {why}"),
    )
}

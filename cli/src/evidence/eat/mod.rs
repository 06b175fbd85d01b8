//! Entity Attestation Tokens (RFC 9711), each judged by the profile it names.

mod arm;
mod bundle;
mod device;
mod nitro;

use serde_json::{Value, json};

use super::claimset::{ClaimSet, Wrap};
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With, encoding};

/// The kind `eat`.
pub(crate) struct Eat;

/// What a file is, by the claims that no other token has.
enum Form {
    /// Arm: PSA token, realm or platform claims.
    Arm(Box<ClaimSet>, arm::Profile),
    /// Arm CCA: a platform token and a realm token, with who handed them over.
    Cca(Box<arm::Pair>, Option<String>),
    /// An AWS Nitro attestation document.
    Nitro(Box<ClaimSet>),
    /// A detached bundle of NVIDIA's attestation service.
    Bundle(Box<bundle::Bundle>),
    /// A device assignment token: unsigned claims with SPDM submodules.
    Device(Box<ClaimSet>),
    /// Any other.
    Other(Box<ClaimSet>),
}

impl Kind for Eat {
    fn name(&self) -> &'static str {
        "eat"
    }

    fn about(&self) -> &'static str {
        "An Entity Attestation Token (RFC 9711) as CWT, JWT, or bare claims (JSON, CBOR, diagnostic notation). Profiles that are known, each with the rules \
         of its specification: PSA tokens (RFC 9783, and the profile before it), Arm CCA tokens, realm and platform claims, AWS Nitro attestation documents, \
         detached bundles of NVIDIA's attestation service ([overall JWT, {submodule: JWT}]), device assignment claims (draft-poirier-rats-eat-da), and JSON reports \
         of configfs-tsm that hold a CCA token. Any other profile gets the rules that all EATs have.\n\n\
         Give --key with the signer's public key (JWTs and bundles: or key set; CCA: the platform's key), or --root with the root of the \
         certificates (Nitro: those in the document; other CWTs: x5chain, --chain), or --root-from-chain. Bare claims are accepted with `authenticated` false, and rejected where \
         --key or --root names somebody who should have signed them.\n\n\
         --nonce is held against eat_nonce (CCA: the realm's challenge); exp, nbf and iat against --at (iat and nbf may be 60 s ahead). A Nitro document \
         is valid for as long as its leaf certificate, three hours.\n\n\
         Refused though the signature holds (`authenticated` true): a bundle whose \
         overall result is false or whose digests are not those of its tokens, a CCA realm key that the platform does not vouch for, device assignment claims whose digests \
         do not have the length of their algorithm or whose certificates are none, lacking or malformed claims of the profile.\n\n\
         Claims: `form` (jwt, cwt, json, cbor, bundle, tsm), `profile`, `algorithm`, `key_id`, `anchor`, `chain_ends`, `freshness` (`issued_at`, `not_before`, \
         `expires_at`, `nonce`, `proven`), `claims` (all of the token's by their registered names, bytes as hex); PSA and CCA: `lifecycle` in words; Nitro: \
         `module_id`, `timestamp`, `debug` (true where PCR0 to 2 are zero: whoever relies on the enclave must refuse it), `pcrs` (those that are not zero, as sha384:hex), `user_data`, `public_key`, `nonce`; bundles: `submods`, each with `digest_matches` and \
         its `claims`; CCA: `platform` and `realm`; tsm: `provider`."
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
        match read(file) {
            Ok(Form::Other(set)) => looks_like_one(&set),
            Ok(_) => true,
            Err(_) => false,
        }
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        Ok(match read(file)? {
            Form::Arm(set, profile) => arm::describe(&set, profile),
            Form::Cca(pair, provider) => pair.describe(provider.as_deref()),
            Form::Nitro(set) => nitro::describe(&set),
            Form::Bundle(bundle) => bundle.describe(),
            Form::Device(set) | Form::Other(set) => describe(&set),
        })
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        match read(file)? {
            Form::Arm(set, profile) => {
                let claims = arm::describe(&set, profile);
                judge(&set, claims, with, || arm::check(&set, profile))
            }
            Form::Cca(pair, provider) => pair.verify(provider.as_deref(), with),
            Form::Nitro(set) => nitro::verify(&set, with),
            Form::Bundle(bundle) => bundle.verify(with),
            Form::Device(set) => {
                let claims = describe(&set);
                judge(&set, claims, with, || {
                    general(&set)?;
                    device::check(&set)
                })
            }
            Form::Other(set) => {
                let claims = describe(&set);
                if !looks_like_one(&set) {
                    return Err(Rejection::new(
                        "eat.no_claims",
                        "there is no claim of an entity attestation token in it",
                    )
                    .claims(&claims));
                }
                judge(&set, claims, with, || general(&set))
            }
        }
    }
}

/// Signature, then content, then freshness: what is refused later says what held before.
fn judge(
    set: &ClaimSet,
    mut claims: Claims,
    with: &With<'_>,
    content: impl FnOnce() -> Result<(), Rejection>,
) -> Result<Accepted, Rejection> {
    let (authenticated, signer) = set
        .authenticate(with)
        .map_err(|rejection| rejection.claims(&claims))?;
    claims.extend(signer);
    let refuse = |mut rejection: Rejection| {
        rejection.authenticated = authenticated;
        rejection.claims(&claims)
    };
    content().map_err(refuse)?;
    let freshness = set.fresh(with).map_err(refuse)?;
    claims.insert("freshness".into(), freshness);
    Ok(Accepted {
        authenticated,
        claims,
    })
}

fn read(file: &Artefact) -> Result<Form, Rejection> {
    if let Some(json) = file.json() {
        if json.is_array() {
            return Ok(Form::Bundle(Box::new(bundle::Bundle::read(&json)?)));
        }
        if let Some(form) = tsm(&json)? {
            return Ok(form);
        }
    }
    let bytes = file.cbor();
    if let Ok(bytes) = &bytes
        && let Some(pair) = arm::Pair::read(bytes)?
    {
        return Ok(Form::Cca(Box::new(pair), None));
    }
    let set = Box::new(ClaimSet::read(file)?);
    if nitro::looks_like_one(&set) {
        return Ok(Form::Nitro(set));
    }
    if let Some(profile) = arm::Profile::of(&set) {
        return Ok(Form::Arm(set, profile));
    }
    if device::looks_like_one(&set) {
        return Ok(Form::Device(set));
    }
    Ok(Form::Other(set))
}

/// A report of configfs-tsm as ratsd writes it: `{provider, outblob, ...}`.
fn tsm(json: &Value) -> Result<Option<Form>, Rejection> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let (Some(provider), Some(blob)) = (text("provider"), text("outblob")) else {
        return Ok(None);
    };
    let unsupported = || {
        Rejection::new(
            "eat.provider",
            format!(
                "a report of the provider `{provider}` is not supported: only arm_cca_guest is"
            ),
        )
    };
    let bytes = encoding::from_base64(blob).ok_or_else(|| {
        Rejection::new("evidence.malformed", "the report's `outblob` is not base64")
    })?;
    if provider != "arm_cca_guest" {
        return Err(unsupported());
    }
    let pair = arm::Pair::read(&bytes)?.ok_or_else(unsupported)?;
    Ok(Some(Form::Cca(Box::new(pair), Some(provider.to_owned()))))
}

/// Claims that make a token an EAT rather than any token (RFC 9711), or a session token of anybody's.
fn looks_like_one(set: &ClaimSet) -> bool {
    const OURS: [&str; 8] = [
        "eat_profile",
        "eat_nonce",
        "ueid",
        "submods",
        "dbgstat",
        "measres",
        "measurements",
        "hwmodel",
    ];
    OURS.iter().any(|name| set.claims.contains_key(*name))
}

fn describe(set: &ClaimSet) -> Claims {
    let mut claims = Claims::new();
    claims.insert("form".into(), set.form().into());
    if let Some(profile) = set.claims.get("eat_profile") {
        claims.insert("profile".into(), profile.clone());
    }
    if let Wrap::Jwt(token) = &set.wrap {
        claims.insert("algorithm".into(), json!(token.algorithm()));
        claims.insert("key_id".into(), json!(token.key_id()));
    }
    claims.insert("claims".into(), set.claims.clone().into());
    claims
}

/// The rules that all EATs have: nonces of 8 to 64 bytes, UEIDs of 7 to 33 bytes of a known type (RFC 9711, 4.1 and 4.2.1).
fn general(set: &ClaimSet) -> Result<(), Rejection> {
    if set.cbor.is_none() {
        return Ok(());
    }
    if set.nonces().iter().any(|n| !(8..=64).contains(&n.len())) {
        return Err(malformed("eat_nonce"));
    }
    if let Some(ueid) = set.claims.get("ueid") {
        let ueid = ueid.as_str().and_then(encoding::from_hex);
        if !ueid.is_some_and(|u| (7..=33).contains(&u.len()) && matches!(u.first(), Some(1..=3))) {
            return Err(malformed("ueid"));
        }
    }
    Ok(())
}

fn missing(claim: &str) -> Rejection {
    Rejection::new(
        "eat.claim_missing",
        format!("the token has no claim `{claim}`, which its profile asks for"),
    )
}

fn malformed(claim: &str) -> Rejection {
    Rejection::new(
        "eat.claim_malformed",
        format!("the claim `{claim}` is not what its profile says"),
    )
}

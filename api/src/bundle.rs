//! An Attestation Result together with what it rests on, verified end to end and offline: the nexus's signature on the result, the Evidence that it names,
//! the session that this answers, every signature in it, and the Reference Values that it was compared with.
//!
//! Believed are the result key and the roots that the caller gives, nothing of the bundle. What is left to the nexus's word: that the nonce was its own and
//! fresh, how the identity is rooted (the EK's certificate is seen at enrolment only), and what the proof before this one said.

use assay_attest::appraise::{Appraisal, Previous, Reference, appraise};
use assay_attest::chain::TrustAnchors;
use assay_attest::digest::sha256;
use assay_attest::expected::{DiceExpectation, Expected, Name, RequestKey, TpmExpectation};
use assay_attest::key::{CheckSignature, PublicKey};
use assay_attest::policy::AppraisalPolicy;
use assay_attest::reference::ReferenceValues;
use assay_attest::refusal::Refusal;
use assay_attest::result::{Outcome, RootLevel};
use assay_attest::session::{Label, Purpose};
use assay_attest::verify::Evidence;
use serde_json::Value;

use crate::jose::{self, Alg, JoseFault, Json, Jwk};
use crate::types::{B64, EvidenceBundle};

/// The format that is written and read.
pub const FORMAT: &str = "assay/bundle/1";
/// A result of no more than this, in bytes.
const RESULT: usize = 256 * 1024;
/// Evidence of no more than this, in bytes.
const EVIDENCE: usize = 1024 * 1024;

/// Why a bundle does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleFault {
    /// Another format.
    #[error("the bundle has the format `{0}`, not `assay/bundle/1`")]
    Format(String),
    /// A member is not what it must be.
    #[error("`{0}` of the bundle is not what it must be")]
    Member(&'static str),
    /// The result's signature.
    #[error("the result is not signed by the key given: {0}")]
    Result(JoseFault),
    /// The result speaks of something else than the bundle.
    #[error("the result that is signed and the bundle differ in `{0}`")]
    Differs(&'static str),
    /// The Evidence does not hold.
    #[error("the evidence does not hold: {0}")]
    Evidence(Refusal),
    /// A check of the result comes out differently.
    #[error("the check `{0}` comes out differently than the result says")]
    Appraisal(String),
}

impl BundleFault {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Format(_) => "bundle.format",
            Self::Member(_) => "bundle.member",
            Self::Result(_) => "bundle.result",
            Self::Differs(_) => "bundle.differs",
            Self::Evidence(refusal) => refusal.code(),
            Self::Appraisal(_) => "bundle.appraisal",
        }
    }

    /// Whether the nexus's signature on the result held before this was found.
    #[must_use]
    pub const fn is_after_signature(&self) -> bool {
        !matches!(self, Self::Format(_) | Self::Result(_))
    }
}

impl From<Refusal> for BundleFault {
    fn from(refusal: Refusal) -> Self {
        Self::Evidence(refusal)
    }
}

/// Verifies a bundle under the key that signs the nexus's results. `roots` are the DICE roots that are believed; a device with a DICE identity needs some.
/// Times of certificates are judged for the moment of the appraisal. Gives the claims of the result (EAR).
///
/// # Errors
/// [`BundleFault`]: the first thing that does not hold.
pub fn verify(
    bundle: &EvidenceBundle,
    key: &Jwk,
    roots: Option<&TrustAnchors>,
    check: &dyn CheckSignature,
) -> Result<serde_json::Map<String, Value>, BundleFault> {
    if bundle.format != FORMAT {
        return Err(BundleFault::Format(
            bundle.format.chars().take(32).collect(),
        ));
    }
    let ear = signed(&bundle.result.ear, key, check).map_err(BundleFault::Result)?;
    same(&ear, bundle)?;
    let evidence = evidence(bundle, roots, check)?;
    let values = bundle
        .reference_values
        .as_ref()
        .map(|bytes| ReferenceValues::parse(&bytes.0))
        .transpose()?;
    let stated = ear
        .get("assay_result")
        .and_then(|r| r.get("reference_values"));
    let stated = stated.filter(|stated| !stated.is_null());
    let digest = values.as_ref().map(|v| digest_text(&v.digest()));
    if stated.and_then(|s| s.get("digest")).and_then(Value::as_str) != digest.as_deref() {
        return Err(BundleFault::Differs("reference_values"));
    }
    again(&ear, bundle, &evidence, values.as_ref())?;
    Ok(ear)
}

/// The claims of the result's JWT. It may be longer than [`jose::Compact`] takes from strangers: it lists every check.
fn signed(
    jwt: &str,
    key: &Jwk,
    check: &dyn CheckSignature,
) -> Result<serde_json::Map<String, Value>, JoseFault> {
    if jwt.len() > RESULT {
        return Err(JoseFault::TooLarge);
    }
    let (message, signature) = jwt.rsplit_once('.').ok_or(JoseFault::Parts)?;
    let (header, claims) = message.split_once('.').ok_or(JoseFault::Parts)?;
    let header = Json::parse(&jose::decode(header)?)?.into_map()?;
    let alg = header.get("alg").and_then(Json::as_text);
    if header.contains_key("crit") {
        return Err(JoseFault::Critical);
    }
    if Alg::parse(alg.unwrap_or_default())? != key.alg() {
        return Err(JoseFault::Algorithm);
    }
    key.check(check, message.as_bytes(), &jose::decode(signature)?)?;
    match serde_json::from_slice(&jose::decode(claims)?) {
        Ok(Value::Object(claims)) => Ok(claims),
        _ => Err(JoseFault::Json),
    }
}

/// What the signed result and the bundle beside it both say.
fn same(ear: &serde_json::Map<String, Value>, bundle: &EvidenceBundle) -> Result<(), BundleFault> {
    let ours = |name: &str| ear.get("assay_result").and_then(|r| r.get(name));
    let due = [
        ("sub", ear.get("sub"), bundle.result.device_id.to_string()),
        ("jti", ear.get("jti"), bundle.result.id.to_string()),
        ("iss", ear.get("iss"), jose::encode(&bundle.nexus_id.0)),
        (
            "eat_nonce",
            ear.get("eat_nonce"),
            jose::encode(&bundle.nonce.0),
        ),
        ("verdict", ours("verdict"), bundle.result.verdict.clone()),
        (
            "evidence",
            ours("evidence"),
            digest_text(&sha256(&[&bundle.evidence.0])),
        ),
    ];
    for (name, found, due) in due {
        if found.and_then(Value::as_str) != Some(due.as_str()) {
            return Err(BundleFault::Differs(name));
        }
    }
    let times = [
        ("iat", bundle.result.appraised_at),
        ("exp", bundle.result.fresh_until),
    ];
    for (name, due) in times {
        if ear.get(name).and_then(Value::as_u64) != Some(due.0.as_secs()) {
            return Err(BundleFault::Differs(name));
        }
    }
    Ok(())
}

fn evidence(
    bundle: &EvidenceBundle,
    roots: Option<&TrustAnchors>,
    check: &dyn CheckSignature,
) -> Result<Evidence<assay_attest::verify::Verified>, BundleFault> {
    let array =
        |bytes: &[u8], name| <[u8; 32]>::try_from(bytes).map_err(|_| BundleFault::Member(name));
    let purpose = [Purpose::Enrol, Purpose::Attest]
        .into_iter()
        .find(|purpose| purpose.as_str() == bundle.purpose)
        .ok_or(BundleFault::Member("purpose"))?;
    let request_key = match bundle.request_key.0.len() {
        32 => Some(PublicKey::Ed25519(array(
            &bundle.request_key.0,
            "request_key",
        )?)),
        _ => <[u8; 65]>::try_from(bundle.request_key.0.as_slice())
            .ok()
            .map(|point| PublicKey::P256(Box::new(point))),
    }
    .and_then(RequestKey::new)
    .ok_or(BundleFault::Member("request_key"))?;
    let mut required = Vec::new();
    let tpm = match &bundle.ak_name {
        Some(name) => {
            required.push(Label::Tpm);
            TpmExpectation::Pinned(Name::parse(&name.0).ok_or(BundleFault::Member("ak_name"))?)
        }
        None => TpmExpectation::NoTpm,
    };
    let pinned = |key: &Option<B64>, name| key.as_ref().map(|key| array(&key.0, name)).transpose();
    let irot = pinned(&bundle.dice_key, "dice_key")?;
    let erot = pinned(&bundle.erot_key, "erot_key")?;
    for (label, key) in [(Label::Irot, irot), (Label::Erot, erot)] {
        if key.is_some() {
            required.push(label);
        }
    }
    let dice = match roots {
        // As the nexus does: an eRoT that is not pinned may be shown, an IRoT may not.
        Some(roots) => {
            let irot = irot.map(|key| (Label::Irot, Some(key)));
            DiceExpectation::machine(roots, irot.into_iter().chain([(Label::Erot, erot)]))
        }
        None if irot.is_some() || erot.is_some() => return Err(Refusal::ChainNoAnchor.into()),
        None => DiceExpectation::NotRequired,
    };
    if bundle.evidence.0.len() > EVIDENCE {
        return Err(BundleFault::Member("evidence"));
    }
    let expected = Expected {
        nexus_id: array(&bundle.nexus_id.0, "nexus_id")?,
        subject: &bundle.subject,
        purpose,
        nonce: array(&bundle.nonce.0, "nonce")?,
        activation_secret: &bundle.activation.0,
        request_key: &request_key,
        tpm,
        dice,
        ima: None,
        required: &required,
        now: bundle.result.appraised_at.0,
    };
    Ok(Evidence::parse(&bundle.evidence.0)?.verify(&expected, check)?)
}

/// Every component is compared again: each check of a component must come out as the result says, in the same number.
fn again(
    ear: &serde_json::Map<String, Value>,
    bundle: &EvidenceBundle,
    evidence: &Evidence<assay_attest::verify::Verified>,
    values: Option<&ReferenceValues>,
) -> Result<(), BundleFault> {
    let appraised = appraise(
        evidence,
        &Appraisal {
            reference: values.map_or(Reference::Missing, Reference::Known),
            policy: &AppraisalPolicy::default(),
            root: RootLevel::None,
            previous: &Previous::Nothing,
            now: bundle.result.appraised_at.0,
        },
    );
    let stated = ear
        .get("assay_result")
        .and_then(|r| r.get("checks"))
        .and_then(Value::as_array)
        .ok_or(BundleFault::Member("checks"))?;
    let mut left: Vec<&Value> = stated
        .iter()
        .filter(|check| check.get("component").is_some_and(Value::is_string))
        .collect();
    for check in appraised.checks() {
        let Some(component) = check.component else {
            continue;
        };
        let name = component.to_string();
        let is = |found: &&Value| {
            let text = |member: &str| found.get(member).and_then(Value::as_str);
            text("code") == Some(check.code)
                && text("component") == Some(&name)
                && text("outcome")
                    .is_some_and(|o| (o == "pass") == (check.outcome == Outcome::Pass))
        };
        let Some(at) = left.iter().position(is) else {
            return Err(BundleFault::Appraisal(format!("{}:{name}", check.code)));
        };
        left.swap_remove(at);
    }
    match left.first() {
        None => Ok(()),
        Some(check) => {
            let code = check.get("code").and_then(Value::as_str);
            Err(BundleFault::Appraisal(code.unwrap_or_default().to_owned()))
        }
    }
}

fn digest_text(digest: &[u8; 32]) -> String {
    format!("sha256:{}", base16ct::lower::encode_string(digest))
}

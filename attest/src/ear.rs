//! The Attestation Result as EAR claims (draft-ietf-rats-ear), ready to be signed as a JWT or as a CWT.
//!
//! Fields stand in one fixed order, whatever map type serde_json was built with; the bytes written are what is signed and
//! stored. Both say the same.

use crate::codec::cbor::{self, Value};
use crate::digest::hex;
use crate::result::{AttestationResult, Check, Rested, Submodule};
use crate::time::Timestamp;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

/// The EAT profile of an EAR.
pub const PROFILE: &str = "tag:ietf.org,2026:rats/ear#03";
/// The JWT type header (RFC 9782).
pub const MEDIA_TYPE: &str = "eat+jwt";
/// The content type of a CWT's payload (RFC 9782).
pub const CONTENT_TYPE: &str = "application/eat-ucs+cbor";

/// What the Verifier adds to a result.
#[derive(Clone, Copy, Debug)]
pub struct EarHead<'a> {
    /// `iss`: the nexus id.
    pub issuer: &'a str,
    /// `sub`: the device id.
    pub subject: &'a str,
    /// `jti`: the id of this result.
    pub result_id: &'a str,
    /// `iat`: when it was appraised.
    pub issued: Timestamp,
    /// `exp`: `fresh_until`.
    pub fresh_until: Timestamp,
    /// `eat_nonce`: the nonce that the device answered.
    pub nonce: &'a [u8; 32],
    /// `ear_verifier_id`, developer: a URI or a name.
    pub developer: &'a str,
    /// `ear_verifier_id`, build.
    pub build: &'a str,
}

/// JSON could not be written: out of memory, or a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the attestation result could not be written as json")]
pub struct NotWritten;

/// The claims as JSON bytes: the JWT's payload.
///
/// # Errors
/// [`NotWritten`].
pub fn claims(result: &AttestationResult, head: &EarHead<'_>) -> Result<Vec<u8>, NotWritten> {
    let policy = result.policy();
    let ear = Ear {
        eat_profile: PROFILE,
        iss: head.issuer,
        sub: head.subject,
        jti: head.result_id,
        iat: head.issued.as_secs(),
        exp: head.fresh_until.as_secs(),
        eat_nonce: Base64UrlUnpadded::encode_string(head.nonce),
        ear_verifier_id: VerifierId {
            developer: head.developer,
            build: head.build,
        },
        submods: Submods {
            submodules: result.submodules(),
            policy: &policy.id,
        },
        assay_result: Ours {
            verdict: result.verdict().as_str(),
            root: result.root().as_str(),
            key: result.key().as_str(),
            runtime: result.runtime().as_str(),
            evidence: sha256_text(result.evidence_digest()),
            reference_values: result.reference().map(Document::from),
            policy: Document::from(policy),
            checks: result.checks().iter().map(CheckOut::from).collect(),
        },
    };
    serde_json::to_vec(&ear).map_err(|_error| NotWritten)
}

/// Labels of the claims in CBOR (RFC 8392, RFC 9711, draft-ietf-rats-ear).
mod label {
    pub(super) const ISS: i64 = 1;
    pub(super) const SUB: i64 = 2;
    pub(super) const EXP: i64 = 4;
    pub(super) const IAT: i64 = 6;
    pub(super) const CTI: i64 = 7;
    pub(super) const NONCE: i64 = 10;
    pub(super) const PROFILE: i64 = 265;
    pub(super) const SUBMODS: i64 = 266;
    pub(super) const STATUS: i64 = 1000;
    pub(super) const VECTOR: i64 = 1001;
    pub(super) const POLICY_IDS: i64 = 1003;
    pub(super) const VERIFIER_ID: i64 = 1004;
}

/// The claims as deterministic CBOR: the payload of a CWT. What is ours stands under `assay_result`, as in JSON, its digests as bytes.
#[must_use]
pub fn claims_cbor(result: &AttestationResult, head: &EarHead<'_>) -> Vec<u8> {
    let text = |text: &str| Value::Text(text.to_string());
    let int = |label: i64| Value::from(label);
    let policy = result.policy();
    let document = |rested: &Rested| {
        named([
            ("id", text(&rested.id)),
            ("version", Value::from(rested.version)),
            ("digest", Value::Bytes(rested.digest.to_vec())),
        ])
    };
    let submods = result.submodules().iter().map(|submodule| {
        let vector = submodule.vector.named().into_iter().enumerate();
        let vector = vector
            .filter(|(_, (_, value))| *value != 0)
            .map(|(at, (_, value))| {
                (
                    Value::from(u64::try_from(at).unwrap_or(0)),
                    Value::from(value),
                )
            });
        let appraisal = Value::Map(alloc::vec![
            (
                int(label::STATUS),
                Value::from(submodule.vector.tier().value())
            ),
            (int(label::VECTOR), Value::Map(vector.collect())),
            (
                int(label::POLICY_IDS),
                Value::Array(alloc::vec![text(&policy.id)])
            ),
        ]);
        (text(submodule.name), appraisal)
    });
    let checks = result.checks().iter().map(|check| {
        let mut entries = alloc::vec![
            ("code", text(check.code)),
            ("expected", text(&check.expected)),
            ("seen", text(&check.seen)),
            ("outcome", text(check.outcome.as_str())),
        ];
        if let Some(component) = check.component {
            entries.push(("component", text(&component.to_string())));
        }
        named(entries)
    });
    let ours = named([
        ("verdict", text(result.verdict().as_str())),
        ("root", text(result.root().as_str())),
        ("key", text(result.key().as_str())),
        ("runtime", text(result.runtime().as_str())),
        ("evidence", Value::Bytes(result.evidence_digest().to_vec())),
        (
            "reference_values",
            result.reference().map_or(Value::Null, document),
        ),
        ("policy", document(policy)),
        ("checks", Value::Array(checks.collect())),
    ]);
    let verifier = Value::Map(alloc::vec![
        (int(0), text(head.developer)),
        (int(1), text(head.build)),
    ]);
    cbor::encode(Value::Map(alloc::vec![
        (int(label::ISS), text(head.issuer)),
        (int(label::SUB), text(head.subject)),
        (int(label::EXP), Value::from(head.fresh_until.as_secs())),
        (int(label::IAT), Value::from(head.issued.as_secs())),
        (
            int(label::CTI),
            Value::Bytes(head.result_id.as_bytes().to_vec())
        ),
        (int(label::NONCE), Value::Bytes(head.nonce.to_vec())),
        (int(label::PROFILE), text(PROFILE)),
        (int(label::SUBMODS), Value::Map(submods.collect())),
        (int(label::VERIFIER_ID), verifier),
        (text("assay_result"), ours),
    ]))
}

fn named(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let entries = entries.into_iter();
    Value::Map(
        entries
            .map(|(name, value)| (Value::Text(name.to_string()), value))
            .collect(),
    )
}

#[derive(Serialize)]
struct Ear<'a> {
    eat_profile: &'static str,
    iss: &'a str,
    sub: &'a str,
    jti: &'a str,
    iat: u64,
    exp: u64,
    eat_nonce: String,
    ear_verifier_id: VerifierId<'a>,
    submods: Submods<'a>,
    assay_result: Ours<'a>,
}

#[derive(Serialize)]
struct VerifierId<'a> {
    developer: &'a str,
    build: &'a str,
}

struct Submods<'a> {
    submodules: &'a [Submodule],
    policy: &'a str,
}

impl Serialize for Submods<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.submodules.len()))?;
        for submodule in self.submodules {
            let appraisal = AppraisalOut {
                ear_status: submodule.vector.tier().as_str(),
                ear_trustworthiness_vector: Vector(submodule),
                ear_appraisal_policy_ids: [self.policy],
            };
            map.serialize_entry(submodule.name, &appraisal)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct AppraisalOut<'a> {
    ear_status: &'static str,
    ear_trustworthiness_vector: Vector<'a>,
    ear_appraisal_policy_ids: [&'a str; 1],
}

struct Vector<'a>(&'a Submodule);

impl Serialize for Vector<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .vector
                .named()
                .into_iter()
                .filter(|(_, value)| *value != 0),
        )
    }
}

#[derive(Serialize)]
struct Ours<'a> {
    verdict: &'static str,
    root: &'static str,
    key: &'static str,
    runtime: &'static str,
    evidence: String,
    reference_values: Option<Document<'a>>,
    policy: Document<'a>,
    checks: Vec<CheckOut<'a>>,
}

#[derive(Serialize)]
struct Document<'a> {
    id: &'a str,
    version: u64,
    digest: String,
}

impl<'a> From<&'a Rested> for Document<'a> {
    fn from(rested: &'a Rested) -> Self {
        Self {
            id: &rested.id,
            version: rested.version,
            digest: sha256_text(&rested.digest),
        }
    }
}

#[derive(Serialize)]
struct CheckOut<'a> {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    expected: &'a str,
    seen: &'a str,
    outcome: &'static str,
}

impl<'a> From<&'a Check> for CheckOut<'a> {
    fn from(check: &'a Check) -> Self {
        Self {
            code: check.code,
            component: check.component.map(|component| component.to_string()),
            expected: &check.expected,
            seen: &check.seen,
            outcome: check.outcome.as_str(),
        }
    }
}

fn sha256_text(digest: &[u8; 32]) -> String {
    alloc::format!("sha256:{}", hex(digest))
}

//! The Attestation Result as EAR claims (draft-ietf-rats-ear), ready to be signed as a JWT.
//!
//! Fields stand in one fixed order, whatever map type serde_json was built with; the bytes written are what is signed and
//! stored.

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

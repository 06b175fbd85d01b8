//! The Verifier (RFC 9334): what is expected of a device's evidence, what judges it, and the signed result.
//!
//! Verifying and appraising take no lock: `verdict.rs` stores the outcome, after the rows that were used here
//! have been read again.

use assay_api::id::{DeviceId, ReferenceId, TenantId};
use assay_api::jose::{self, Jwk};
use assay_attest::appraise::{Appraisal, Previous, Reference as Values, appraise};
use assay_attest::chain::{Anchor, AnchorKind, Chain, Order, TrustAnchors, Usage};
use assay_attest::claims::TpmClock;
use assay_attest::codec::cose;
use assay_attest::digest::{HashAlg, sha256};
use assay_attest::ear::{self, EarHead};
use assay_attest::expected::{DiceExpectation, Expected, Name, RequestKey, TpmExpectation};
use assay_attest::key::{CheckSignature, PublicKey};
use assay_attest::policy::AppraisalPolicy;
use assay_attest::reference::{Component, ReferenceValues};
use assay_attest::refusal::Refusal;
use assay_attest::result::{AttestationResult, RootLevel as Root, Verdict};
use assay_attest::session::{Label, Purpose};
use assay_attest::standing::StaleAfter;
use assay_attest::time::Timestamp;
use assay_attest::verify::{Evidence, Verified};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

use crate::keys::Signer;
use crate::problem::{Fault, Problem};
use crate::store::devices::{Device, RootLevel, Words};
use crate::store::references::{Reference, ReferenceState};
use crate::store::{Rows, StoreFault};

/// The purpose of the key that signs Attestation Results, as [`crate::store::signing_key`] keeps it: global, Ed25519.
pub const RESULT_KEY: &str = "result";
/// PCRs of the SHA-256 bank that every TPM quotes: firmware and boot loader to kernel. 10 is left out: IMA extends it at will.
pub const PCRS: [u8; 15] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15];

/// The roots that are believed, by what they vouch for.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    /// For endorsement keys of TPMs. Where there are none, an EK is taken on first use.
    pub ek: Option<TrustAnchors>,
    /// For DICE chains. Where there are none, a DICE member is refused.
    pub dice: Option<TrustAnchors>,
}

/// What is configured of the Verifier.
#[derive(Clone, Debug)]
pub struct Verifier {
    anchors: Anchors,
    policy: AppraisalPolicy,
    stale_after: StaleAfter,
    parsed: Arc<Parsed>,
}

/// Reference Values by the SHA-256 of their bytes: a fleet is judged by few sets, over and over.
#[derive(Debug, Default)]
struct Parsed(Mutex<HashMap<[u8; 32], Arc<ReferenceValues>>>);

/// How many sets are kept parsed; past that all are forgotten.
const PARSED_MAX: usize = 256;

impl Parsed {
    /// `None` where they don't parse.
    fn of(&self, body: &[u8]) -> Option<Arc<ReferenceValues>> {
        let digest = sha256(&[body]);
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(values) = known().get(&digest) {
            return Some(values.clone());
        }
        let values = Arc::new(ReferenceValues::parse(body).ok()?);
        let mut known = known();
        if known.len() >= PARSED_MAX {
            known.clear();
        }
        known.insert(digest, values.clone());
        Some(values)
    }
}

/// What evidence answers, and whom it must come from.
#[derive(Clone)]
pub(crate) struct Against {
    pub(crate) nexus_id: [u8; 32],
    pub(crate) subject: String,
    pub(crate) purpose: Purpose,
    pub(crate) nonce: [u8; 32],
    /// Empty but at an enrolment with a TPM. Spent with the proof, and then no secret any more.
    pub(crate) activation: Zeroizing<Vec<u8>>,
    pub(crate) request: RequestKey,
    pub(crate) ak: Option<Name>,
    pub(crate) roots: Roots,
    /// PCRs of the SHA-256 bank that must be quoted.
    pub(crate) pcrs: Vec<u8>,
}

/// What is known of the DICE identity behind one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pinned {
    /// This very one.
    Known([u8; 32]),
    /// None yet: at enrolment, where the claim decides afterwards; for an eRoT, until a good proof shows one.
    Open,
    /// The device has none.
    Absent,
}

/// What is known of a device's own roots of trust. Each, once it is pinned, has to be there: required roots only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roots {
    /// What identifies the device.
    pub(crate) irot: Pinned,
    /// The external root of trust, beside the management controller.
    pub(crate) erot: Pinned,
}

impl Roots {
    /// At enrolment.
    pub(crate) const OPEN: Self = Self {
        irot: Pinned::Open,
        erot: Pinned::Open,
    };

    /// As a device has them pinned.
    pub(crate) fn of(row: &Device) -> Self {
        Self {
            irot: row.dice.map_or(Pinned::Absent, Pinned::Known),
            erot: row.erot.map_or(Pinned::Open, Pinned::Known),
        }
    }

    fn labelled(self) -> [(Label, Pinned); 2] {
        [(Label::Irot, self.irot), (Label::Erot, self.erot)]
    }
}

/// An appraisal and what it rested on.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) result: AttestationResult,
    pub(crate) reference: Option<ReferenceId>,
    /// The sets that were in force, to be compared in the verdict's transaction.
    pub(crate) in_force: Vec<ReferenceId>,
}

impl Verifier {
    /// A Verifier with the default policy: `key=tpm`, any root but none, whatever the reference values require.
    #[must_use]
    pub fn new(anchors: Anchors, stale_after: StaleAfter) -> Self {
        Self {
            anchors,
            policy: AppraisalPolicy::default(),
            stale_after,
            parsed: Arc::default(),
        }
    }

    /// How long a proof counts.
    #[must_use]
    pub const fn stale_after(&self) -> StaleAfter {
        self.stale_after
    }

    /// Parses evidence and verifies it against what is expected.
    pub(crate) fn verify(
        &self,
        bytes: &[u8],
        against: &Against,
        now: Timestamp,
        check: &dyn CheckSignature,
    ) -> Result<Evidence<Verified>, Refusal> {
        let parsed = Evidence::parse(bytes)?;
        let mut required = Vec::new();
        if against.ak.is_some() {
            required.push(Label::Tpm);
        }
        for (label, pinned) in against.roots.labelled() {
            if matches!(pinned, Pinned::Known(_)) {
                required.push(label);
            }
        }
        let tpm = against
            .ak
            .clone()
            .map_or(TpmExpectation::NoTpm, TpmExpectation::Pinned);
        let expected = Expected {
            nexus_id: against.nexus_id,
            subject: &against.subject,
            purpose: against.purpose,
            nonce: against.nonce,
            activation_secret: &against.activation,
            request_key: &against.request,
            tpm,
            dice: self.dice(against.roots),
            ima: None,
            required: &required,
            now,
        };
        let verified = parsed.verify(&expected, check)?;
        let quoted = verified
            .claims()
            .tpm
            .as_ref()
            .and_then(|tpm| tpm.pcrs.get(&HashAlg::Sha256));
        let missing = against
            .pcrs
            .iter()
            .find(|pcr| quoted.is_none_or(|bank| !bank.contains_key(pcr)));
        match missing {
            Some(pcr) if against.ak.is_some() => Err(Refusal::RequiredMissing {
                label: Component::Pcr(HashAlg::Sha256, *pcr).to_string(),
            }),
            Some(_) | None => Ok(verified),
        }
    }

    /// A device whose roots are no longer configured can't be verified: its DICE member is then refused, never skipped.
    fn dice(&self, roots: Roots) -> DiceExpectation {
        let Some(anchors) = &self.anchors.dice else {
            return DiceExpectation::NotRequired;
        };
        let own = roots.labelled().into_iter();
        let own = own.filter_map(|(label, pinned)| match pinned {
            Pinned::Known(key) => Some((label, Some(key))),
            Pinned::Open => Some((label, None)),
            Pinned::Absent => None,
        });
        DiceExpectation::machine(anchors, own)
    }

    /// What stands behind an EK, and until when: its certificate's chain must end in a pinned root and certify this very key.
    ///
    /// # Errors
    /// `chain.*` where there are pinned roots and the certificate does not chain to one, or certifies another key.
    pub(crate) fn endorse(
        &self,
        ek: &PublicKey,
        certificate: Option<&[u8]>,
        now: Timestamp,
        check: &dyn CheckSignature,
    ) -> Result<(RootLevel, Option<Timestamp>), Problem> {
        let (Some(anchors), Some(certificate)) = (&self.anchors.ek, certificate) else {
            return Ok((RootLevel::Tofu, None));
        };
        let chain = Chain::parse([certificate], Order::LeafFirst)?;
        let verified = chain.verify(anchors, Usage::EndorsementKey, now, check)?;
        if verified.leaf().key() != ek {
            return Err(Fault::Identity {
                why: "the certificate is of another endorsement key",
            }
            .into());
        }
        Ok((root_of(verified.anchor()), Some(verified.ends())))
    }

    /// Appraises against the sets in force: one that verifies is enough, the newest first; without any, the verdict is `failed`.
    pub(crate) fn judge(
        &self,
        evidence: &Evidence<Verified>,
        in_force: &[Reference],
        root: RootLevel,
        previous: &Previous,
        now: Timestamp,
    ) -> Judged {
        let ids: Vec<ReferenceId> = in_force.iter().map(|r| r.id.clone()).collect();
        let policy = &self.policy;
        let root = match root {
            RootLevel::Vendor => Root::Vendor,
            RootLevel::Operator => Root::Operator,
            RootLevel::Tofu => Root::Tofu,
            RootLevel::None => Root::None,
        };
        let run = |reference: Values<'_>| {
            appraise(
                evidence,
                &Appraisal {
                    reference,
                    policy,
                    root,
                    previous,
                    now,
                },
            )
        };
        let mut newest = None;
        for set in in_force {
            // A set that does not parse judges nothing: as if it were missing, which fails.
            let Some(values) = self.parsed.of(&set.body) else {
                continue;
            };
            let judged = Judged {
                result: run(Values::Known(&values)),
                reference: Some(set.id.clone()),
                in_force: ids.clone(),
            };
            match judged.result.verdict() {
                Verdict::Verified => return judged,
                Verdict::Failed => newest = newest.or(Some(judged)),
            }
        }
        newest.unwrap_or_else(|| Judged {
            result: run(Values::Missing),
            reference: None,
            in_force: ids,
        })
    }
}

fn root_of(anchor: &Anchor) -> RootLevel {
    match anchor.kind() {
        AnchorKind::Vendor => RootLevel::Vendor,
        AnchorKind::Operator => RootLevel::Operator,
        AnchorKind::Engineering => RootLevel::None,
    }
}

/// What stands behind a DICE root.
pub(crate) const fn root_of_kind(kind: AnchorKind) -> RootLevel {
    match kind {
        AnchorKind::Vendor => RootLevel::Vendor,
        AnchorKind::Operator => RootLevel::Operator,
        AnchorKind::Engineering => RootLevel::None,
    }
}

/// What the last verdict saw of the TPM's clock.
pub(crate) fn previous(row: &Device) -> Previous {
    let name = row.ak_name.as_deref().and_then(Name::parse);
    match (name, row.tpm_reset, row.tpm_restart, row.tpm_clock) {
        (Some(ak), Some(reset_count), Some(restart_count), Some(clock)) => Previous::Tpm {
            ak,
            clock: TpmClock {
                clock,
                reset_count,
                restart_count,
                safe: true,
            },
        },
        _ => Previous::Nothing,
    }
}

/// The sets that judge a device: those that name it; where none does, those for the whole tenant. Newest first.
pub(crate) fn in_force(
    rows: &impl Rows,
    tenant: &TenantId,
    device: Option<&DeviceId>,
) -> Result<Vec<Reference>, StoreFault> {
    Ok(choose(rows.find("tenant", tenant)?, device))
}

/// Of a tenant's sets, those that judge this device.
pub(crate) fn choose(mut sets: Vec<Reference>, device: Option<&DeviceId>) -> Vec<Reference> {
    sets.retain(|set| matches!(set.state, ReferenceState::Active));
    let names =
        |set: &Reference| device.is_some_and(|d| set.applies_to.iter().any(|id| id == d.as_str()));
    if sets.iter().any(names) {
        sets.retain(names);
    } else {
        sets.retain(|set| set.applies_to.iter().next().is_none());
    }
    sets.sort_by(|a, b| (b.taken, b.id.as_str()).cmp(&(a.taken, a.id.as_str())));
    sets
}

/// PCRs to quote: the usual, what the device has ever shown (that only grows), and what the sets in force name.
pub(crate) fn pcrs_to_quote(shown: &Words, in_force: &[Reference]) -> Vec<u8> {
    let mut pcrs: BTreeSet<u8> = PCRS.into_iter().collect();
    pcrs.extend(indices(shown));
    let sets = in_force
        .iter()
        .filter_map(|set| ReferenceValues::parse(&set.body).ok());
    for set in sets {
        pcrs.extend(
            set.entries()
                .keys()
                .filter_map(|component| match component {
                    Component::Pcr(HashAlg::Sha256, index) => Some(*index),
                    Component::Pcr(..)
                    | Component::Fwid(..)
                    | Component::Svn(..)
                    | Component::Block(..)
                    | Component::Uefi(_) => None,
                }),
        );
    }
    pcrs.into_iter().collect()
}

/// PCR indices as a row keeps them.
pub(crate) fn indices(words: &Words) -> Vec<u8> {
    words.iter().filter_map(|word| word.parse().ok()).collect()
}

/// A result as it is handed out: both forms say the same, by the same key.
#[derive(Clone, Debug)]
pub(crate) struct SignedEar {
    /// EAR as JWT.
    pub(crate) jwt: String,
    /// EAR as CWT: COSE_Sign1.
    pub(crate) cwt: Vec<u8>,
}

/// The result signed (EAR), by the key that signs results.
pub(crate) fn sign_ear(
    result: &AttestationResult,
    head: &EarHead<'_>,
    signer: &dyn Signer,
) -> Result<SignedEar, Problem> {
    let PublicKey::Ed25519(public) = signer.public() else {
        return Err(Problem::from(Fault::Internal).step("result.key"));
    };
    let kid = Jwk::ed25519(*public).thumbprint();
    let protected = cose::Protected {
        key: signer.public(),
        key_id: kid.as_bytes(),
        content_type: ear::CONTENT_TYPE,
    };
    let payload = ear::claims_cbor(result, head);
    let cwt =
        cose::build(&protected, payload, b"", |m| signer.sign(m).map(Vec::from)).map_err(|e| {
            match e {
                cose::BuildError::Signer(e) => StoreFault::from(e).into(),
                cose::BuildError::Refused(_) => Problem::from(Fault::Internal).step("result.cbor"),
            }
        })?;
    let header = format!(
        r#"{{"alg":"EdDSA","kid":"{kid}","typ":"{}"}}"#,
        ear::MEDIA_TYPE
    );
    let claims = ear::claims(result, head)
        .map_err(|_| Problem::from(Fault::Internal).step("result.json"))?;
    let jwt = jose::build(header.as_bytes(), &claims, |m| signer.sign(m))
        .map_err(|e| Problem::from(StoreFault::from(e)))?;
    Ok(SignedEar { jwt, cwt })
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;

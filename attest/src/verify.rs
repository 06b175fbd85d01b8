//! Evidence, from bytes to what may be appraised: `Evidence<Parsed>` has its shape, `Evidence<Verified>` is proved.

use crate::claims::{Claims, StatedClaims};
use crate::digest::sha256;
use crate::evidence::envelope::{self, Envelope};
use crate::evidence::{Context, Member, table};
use crate::expected::Expected;
use crate::key::CheckSignature;
use crate::limits;
use crate::refusal::Refusal;
use crate::session::{BindingChain, Label};
use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::fmt;
use subtle::ConstantTimeEq as _;

mod sealed {
    pub trait Stage {}
}

/// Evidence at one stage. The bytes stay with it: they are what was signed, and what is stored.
pub struct Evidence<S: sealed::Stage> {
    bytes: Box<[u8]>,
    stage: S,
}

/// Of the right shape; nothing is believed yet, and nothing can be read as a claim:
///
/// ```
/// fn read(e: &assay_attest::verify::Evidence<assay_attest::verify::Verified>) { e.claims(); }
/// ```
/// ```compile_fail
/// fn read(e: &assay_attest::verify::Evidence<assay_attest::verify::Parsed>) { e.claims(); }
/// ```
pub struct Parsed {
    envelope: Envelope,
    stated: StatedClaims,
    members: Vec<(Label, Box<dyn Member>)>,
}

/// Every signature and binding holds; the claims may be appraised.
pub struct Verified {
    claims: Claims,
}

impl sealed::Stage for Parsed {}
impl sealed::Stage for Verified {}

impl<S: sealed::Stage> Evidence<S> {
    /// The message as it came.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the message as it came.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[&self.bytes])
    }
}

impl Evidence<Parsed> {
    /// Parses a message: bounded, total, every member of a known kind.
    ///
    /// # Errors
    /// What the shape offends against.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > limits::EVIDENCE_BYTES {
            return Err(Refusal::TooLarge {
                what: "the evidence",
                limit: limits::EVIDENCE_BYTES,
            });
        }
        let envelope = Envelope::parse(bytes)?;
        let [claims, others @ ..] = envelope.members.as_slice() else {
            return Err(Refusal::RequiredMissing {
                label: Label::Claims.to_string(),
            });
        };
        let stated = envelope::parse_claims(&claims.value)?;
        let mut members = Vec::new();
        for wrapped in others {
            let format = table::by_media_type(&wrapped.media_type)
                .filter(|format| format.stands_under(wrapped.label))
                .ok_or_else(|| Refusal::KindUnknown {
                    label: wrapped.label.to_string(),
                    kind: wrapped.media_type.clone(),
                })?;
            members.push((wrapped.label, format.parse(wrapped.label, &wrapped.value)?));
        }
        let stage = Parsed {
            envelope,
            stated,
            members,
        };
        Ok(Self {
            bytes: bytes.into(),
            stage,
        })
    }

    /// The thumbprint of the key that the message says signed it: to look the device up with, nothing more.
    #[must_use]
    pub fn key_id_unverified(&self) -> &[u8] {
        self.stage.envelope.message.key_id()
    }

    /// Verifies the envelope, the session and every member against what is expected of this device.
    ///
    /// # Errors
    /// The first thing that is not as it must be. Nothing is skipped: a member that proves nothing is a refusal.
    pub fn verify(
        self,
        expected: &Expected<'_>,
        check: &dyn CheckSignature,
    ) -> Result<Evidence<Verified>, Refusal> {
        let Parsed {
            envelope,
            stated,
            members,
        } = self.stage;
        let thumbprint = expected.request_key.thumbprint();
        if !bool::from(envelope.message.key_id().ct_eq(thumbprint)) {
            return Err(Refusal::EnvelopeKey);
        }
        envelope
            .message
            .verify(expected.request_key.key(), b"", check)?;
        if !bool::from(stated.request_key_thumbprint.ct_eq(thumbprint)) {
            return Err(Refusal::ClaimsKey);
        }
        let session = expected.session(&stated.hpke);
        if !session.is(&stated.session) {
            return Err(Refusal::Session);
        }
        if !expected.activation_fits() {
            return Err(Refusal::Activation);
        }
        for required in expected.required {
            if !envelope
                .members
                .iter()
                .any(|member| member.label == *required)
            {
                return Err(Refusal::RequiredMissing {
                    label: required.to_string(),
                });
            }
        }
        let mut claims = Claims {
            stated,
            tpm: None,
            dice: Vec::new(),
            spdm: Vec::new(),
            uefi: None,
            ima: None,
        };
        let mut chain = BindingChain::new(session);
        let mut parsed = members.iter();
        for wrapped in &envelope.members {
            if wrapped.label != Label::Claims {
                let member = parsed.next().filter(|(label, _)| *label == wrapped.label);
                let (label, member) = member.ok_or_else(|| Refusal::RequiredMissing {
                    label: wrapped.label.to_string(),
                })?;
                let binding = chain.binding(*label)?;
                member.verify(
                    &Context {
                        binding: &binding,
                        label: *label,
                        expected,
                        check,
                    },
                    &mut claims,
                )?;
            }
            chain.push(wrapped.label, &wrapped.value)?;
        }
        // Logs come before what signs their registers, so they are held against it last.
        for (_, member) in &members {
            member.conclude(expected, &mut claims)?;
        }
        // I4, section 4: a chain alone is identity; without a root's fresh signature there is no proof.
        if claims.tpm.is_none() && claims.dice.is_empty() {
            return Err(Refusal::NoProof);
        }
        Ok(Evidence {
            bytes: self.bytes,
            stage: Verified { claims },
        })
    }
}

impl Evidence<Verified> {
    /// What the evidence says.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.stage.claims
    }
}

impl<S: sealed::Stage> fmt::Debug for Evidence<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence")
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parsed").finish_non_exhaustive()
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

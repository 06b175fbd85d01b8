//! SPDM members: a certificate chain and a transcript of signed measurements, under `irot`, `erot` and `accel.<n>`.
//!
//! A CBOR map, deterministic: 1 chain (array of DER certificates, root first), 2 transcript (bytes as they were exchanged:
//! [`Transcript`]). The requester's nonce in the transcript is the binding, so the device answered this session; who drives it
//! is not proved by that (`key=nonce`).

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::dice::DiceIdentity;
use super::{Context, Format, Member};
use crate::chain::{Chain, Order};
use crate::claims::{Claims, SpdmClaims};
use crate::codec::cbor::{self, Fields, Form, Value};
use crate::codec::spdm::transcript::Transcript;
use crate::limits;
use crate::refusal::Refusal;
use crate::session::Label;
use crate::spdm::{self, Leaf};

/// Media type of the member.
pub const MEDIA_TYPE: &str = "application/vnd.assay.spdm+cbor";

const WHAT: &str = "the spdm member";

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Spdm;

impl Format for Spdm {
    fn media_type(&self) -> &'static str {
        MEDIA_TYPE
    }

    fn stands_under(&self, label: Label) -> bool {
        matches!(label, Label::Irot | Label::Erot | Label::Accel(_))
    }

    fn parse(&self, _label: Label, value: &[u8]) -> Result<Box<dyn Member>, Refusal> {
        SpdmEvidence::parse(value).map(|parsed| -> Box<dyn Member> { Box::new(parsed) })
    }
}

/// The parsed member.
#[derive(Clone, Debug)]
pub struct SpdmEvidence {
    chain: Chain,
    transcript: Transcript,
}

impl SpdmEvidence {
    /// Parses the wrapper value.
    ///
    /// # Errors
    /// What the shape offends against.
    pub fn parse(value: &[u8]) -> Result<Self, Refusal> {
        let map = cbor::decode(WHAT, value, limits::SPDM_BYTES, Form::Deterministic)?;
        let mut fields = Fields::new(WHAT, map)?;
        let Value::Array(items) = fields.required(1)? else {
            return Err(Refusal::Malformed {
                what: WHAT,
                why: "the chain is not an array".to_string(),
            });
        };
        let transcript = fields.bytes(2, limits::SPDM_TRANSCRIPT_BYTES)?;
        fields.finish()?;
        if items.len() > limits::CHAIN_CERTIFICATES {
            return Err(Refusal::ChainTooLong {
                limit: limits::CHAIN_CERTIFICATES,
            });
        }
        let certificates = items
            .into_iter()
            .map(|item| cbor::bytes(WHAT, item, limits::CERTIFICATE_BYTES))
            .collect::<Result<Vec<_>, _>>()?;
        let chain = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst)?;
        Ok(Self {
            chain,
            transcript: Transcript::parse(&transcript)?,
        })
    }

    /// The chain, not yet verified.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The transcript, not yet verified.
    #[must_use]
    pub const fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Writes a member: certificates as DER, root first, and the transcript as it was recorded.
    #[must_use]
    pub fn write(certificates: &[Vec<u8>], transcript: &[u8]) -> Vec<u8> {
        let chain = certificates.iter().cloned().map(Value::Bytes).collect();
        cbor::encode(Value::Map(alloc::vec![
            (Value::from(1), Value::Array(chain)),
            (Value::from(2), Value::Bytes(transcript.to_vec())),
        ]))
    }
}

impl Member for SpdmEvidence {
    fn verify(&self, context: &Context<'_>, claims: &mut Claims) -> Result<(), Refusal> {
        let expected = context.expected;
        let root = expected
            .dice
            .root(context.label)
            .ok_or(Refusal::SpdmUnexpected {
                label: context.label.to_string(),
            })?;
        let identity =
            DiceIdentity::verify(&self.chain, &root.anchors, expected.now, context.check)?;
        let leaf = Leaf::of_identity(&identity);
        let report = spdm::verify(&self.transcript, &leaf, context.check)?;
        report.answers(context.binding.as_bytes())?;
        report.consistent(&leaf)?;
        if root
            .device_key
            .is_some_and(|pinned| pinned != identity.device_key())
        {
            return Err(Refusal::DiceOtherDevice);
        }
        let identity = identity.claims(context.label)?;
        // An accelerator is not the machine: what identifies the machine are its own roots.
        match context.label {
            Label::Irot | Label::Erot => claims.dice.push(identity.clone()),
            Label::Claims
            | Label::LogUefi
            | Label::LogIma
            | Label::Posture
            | Label::Tpm
            | Label::Accel(_) => {}
        }
        claims.spdm.push(SpdmClaims {
            label: context.label,
            identity,
            version: self.transcript.version(),
            measurements: report.blocks().clone(),
            opaque: report.opaque().clone(),
        });
        Ok(())
    }
}

//! A recorded transcript of signed measurements: the negotiation where the version signs it, then pairs of GET_MEASUREMENTS
//! and MEASUREMENTS, the last of them signed (DSP0274, 10.11.2: L1 and L2; DSP0268: SignedMeasurements).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use super::algorithms::{MeasurementHash, OpaqueFormat};
use super::block::{Block, Value, one_hash};
use super::measurements::{Challenge, Changed, Request, Response, SignatureBytes};
use super::negotiation::Negotiation;
use super::opaque::Opaque;
use super::{Version, code};
use crate::codec::reader::Reader;
use crate::limits;
use crate::refusal::Refusal;

const WHAT: &str = "the SPDM transcript";

/// A transcript in its shape: every byte has its place, one signature ends it. Whether it holds is [`crate::spdm::verify`]'s.
#[derive(Clone, PartialEq, Eq)]
pub struct Transcript {
    bytes: Vec<u8>,
    signed: usize,
    version: Version,
    negotiation: Option<Negotiation>,
    exchanges: Vec<(Request, Response)>,
    challenge: Challenge,
    responder_nonce: [u8; 32],
    blocks: BTreeMap<u8, Block>,
    opaque: Opaque,
}

impl Transcript {
    /// Parses a whole transcript.
    ///
    /// # Errors
    /// `spdm.*`, `evidence.*`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > limits::SPDM_TRANSCRIPT_BYTES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::SPDM_TRANSCRIPT_BYTES,
            });
        }
        let mut reader = Reader::new(WHAT, bytes);
        let negotiation = if bytes.get(1) == Some(&code::GET_VERSION) {
            Some(Negotiation::read(&mut reader, bytes)?)
        } else {
            None
        };
        let mut exchanges: Vec<(Request, Response)> = Vec::new();
        let version = loop {
            if exchanges.len() >= limits::SPDM_EXCHANGES {
                return Err(Refusal::TooLarge {
                    what: "SPDM exchanges",
                    limit: limits::SPDM_EXCHANGES,
                });
            }
            let request = Request::read(&mut reader)?;
            same_version(&request, negotiation.as_ref(), &exchanges)?;
            let left = bytes.len().saturating_sub(reader.offset());
            let signature = negotiation.as_ref().map_or(SignatureBytes::Rest, |agreed| {
                SignatureBytes::Exactly(agreed.asymmetric.signature_bytes())
            });
            let response = Response::read(&mut reader, &request, signature, left)?;
            let signed = response.signature.is_some();
            exchanges.push((request, response));
            match (signed, reader.offset() == bytes.len()) {
                (true, true) => break request.version,
                (true, false) if next_is_request(bytes, &reader) => {
                    return Err(Refusal::SpdmSignedEarly);
                }
                (true, false) => reader.finish()?,
                (false, true) => return Err(Refusal::SpdmUnsigned),
                (false, false) => {}
            }
        };
        negotiation_where_signed(version, negotiation.as_ref())?;
        let Some((
            Request {
                challenge: Some(challenge),
                ..
            },
            Response {
                signature: Some(signature),
                nonce: responder_nonce,
                opaque,
                ..
            },
        )) = exchanges.last()
        else {
            return Err(Refusal::SpdmUnsigned);
        };
        let format = negotiation
            .as_ref()
            .map_or(OpaqueFormat::Vendor, |agreed| agreed.opaque);
        let opaque = Opaque::parse(format, opaque)?;
        let (challenge, responder_nonce) = (*challenge, *responder_nonce);
        let signed = bytes.len().saturating_sub(signature.len());
        // 0x0f is a provisioned public key, of which no chain speaks.
        if challenge.slot > 7 {
            return Err(Refusal::SpdmSlot);
        }
        let blocks = blocks(&exchanges, negotiation.as_ref())?;
        Ok(Self {
            bytes: bytes.to_vec(),
            signed,
            version,
            negotiation,
            exchanges,
            challenge,
            responder_nonce,
            blocks,
            opaque,
        })
    }

    /// The transcript as it came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// L2: all that the signature covers.
    #[must_use]
    pub fn signed_bytes(&self) -> &[u8] {
        self.bytes.get(..self.signed).unwrap_or_default()
    }

    /// The signature, not checked.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        self.bytes.get(self.signed..).unwrap_or_default()
    }

    /// The version of the connection.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// What was agreed on, where the version signs it (1.2 and later).
    #[must_use]
    pub const fn negotiation(&self) -> Option<&Negotiation> {
        self.negotiation.as_ref()
    }

    /// All exchanges in their order.
    #[must_use]
    pub fn exchanges(&self) -> &[(Request, Response)] {
        &self.exchanges
    }

    /// The requester's nonce in the signed exchange.
    #[must_use]
    pub const fn nonce(&self) -> &[u8; 32] {
        &self.challenge.nonce
    }

    /// The responder's nonce in the signed exchange: no freshness for the requester.
    #[must_use]
    pub const fn responder_nonce(&self) -> &[u8; 32] {
        &self.responder_nonce
    }

    /// The certificate slot whose key signed.
    #[must_use]
    pub const fn slot(&self) -> u8 {
        self.challenge.slot
    }

    /// The blocks of all exchanges by index.
    #[must_use]
    pub const fn blocks(&self) -> &BTreeMap<u8, Block> {
        &self.blocks
    }

    /// The opaque data of the signed response.
    #[must_use]
    pub const fn opaque(&self) -> &Opaque {
        &self.opaque
    }

    /// Whether a response says that measurements changed while they were read.
    #[must_use]
    pub fn changed(&self) -> Changed {
        let mut all = self.exchanges.iter().map(|(_, response)| response.changed);
        if all.clone().any(|changed| changed == Changed::Yes) {
            return Changed::Yes;
        }
        all.next_back().unwrap_or(Changed::Unknown)
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript")
            .field("version", &self.version)
            .field("exchanges", &self.exchanges.len())
            .field("blocks", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

fn same_version(
    request: &Request,
    negotiation: Option<&Negotiation>,
    exchanges: &[(Request, Response)],
) -> Result<(), Refusal> {
    let agreed = negotiation
        .map(|agreed| agreed.version)
        .or_else(|| exchanges.first().map(|(first, _)| first.version));
    if agreed.is_some_and(|agreed| agreed != request.version) {
        return Err(Refusal::SpdmVersion);
    }
    Ok(())
}

fn next_is_request(bytes: &[u8], reader: &Reader<'_>) -> bool {
    let rest = bytes.get(reader.offset()..).unwrap_or_default();
    matches!(rest, [_, code::GET_MEASUREMENTS, _, _, ..])
}

/// Before 1.2 no signature covers the negotiation, so it may not be here; from then on it must.
fn negotiation_where_signed(
    version: Version,
    negotiation: Option<&Negotiation>,
) -> Result<(), Refusal> {
    match (version.signs_negotiation(), negotiation) {
        (true, Some(_)) | (false, None) => Ok(()),
        (true, None) => Err(Refusal::SpdmNegotiation {
            why: "it is missing, and this version signs it",
        }),
        (false, Some(_)) => Err(Refusal::SpdmNegotiation {
            why: "it is there, and this version does not sign it",
        }),
    }
}

fn blocks(
    exchanges: &[(Request, Response)],
    negotiation: Option<&Negotiation>,
) -> Result<BTreeMap<u8, Block>, Refusal> {
    let mut all: BTreeMap<u8, Block> = BTreeMap::new();
    for block in exchanges.iter().flat_map(|(_, response)| &response.blocks) {
        let index = block.index;
        if all
            .insert(index, block.clone())
            .is_some_and(|earlier| earlier != *block)
        {
            return Err(Refusal::SpdmBlockDiffers { index });
        }
    }
    if all.is_empty() {
        return Err(Refusal::SpdmNoMeasurements);
    }
    one_hash(all.values())?;
    if let Some(agreed) = negotiation {
        for block in all.values() {
            if let Value::Digest(digest) = &block.value
                && MeasurementHash::Hash(digest.alg()) != agreed.measurement_hash
            {
                return Err(Refusal::SpdmDigestSize { index: block.index });
            }
        }
    }
    Ok(all)
}

//! GET_MEASUREMENTS and MEASUREMENTS (DSP0274, 10.11).
//!
//! What differs by version: 1.0 names no slot; 1.2 says whether the measurements changed meanwhile; 1.3 carries eight bytes
//! of the requester's and gives them back.

use alloc::vec::Vec;

use super::block::{Block, record};
use super::{Header, Version, array, code, length};
use crate::codec::reader::Reader;
use crate::limits;
use crate::refusal::Refusal;

/// Bit 0 of Param1: a signature is asked for.
const SIGNED: u8 = 0x01;
/// Bit 1 (since 1.2): raw bit streams instead of digests.
const RAW: u8 = 0x02;

/// Which blocks are asked for (Param2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// How many there are.
    Count,
    /// The one of this index.
    Index(u8),
    /// All.
    All,
}

impl Operation {
    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Count,
            0xff => Self::All,
            index => Self::Index(index),
        }
    }

    /// Param2.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Count => 0,
            Self::All => 0xff,
            Self::Index(index) => index,
        }
    }
}

/// What makes a request one for a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Challenge {
    /// The requester's nonce.
    pub nonce: [u8; 32],
    /// The certificate slot whose key signs; 1.0 has slot 0 only.
    pub slot: u8,
}

/// GET_MEASUREMENTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The version of the connection.
    pub version: Version,
    /// Whether values are asked for as they are.
    pub raw: bool,
    /// Which blocks.
    pub operation: Operation,
    /// Where a signature is asked for.
    pub challenge: Option<Challenge>,
    /// The requester's own eight bytes (1.3), to be given back.
    pub context: Option<[u8; 8]>,
}

impl Request {
    /// Reads one message; what follows is left.
    ///
    /// # Errors
    /// The reader's, `spdm.code`, `evidence.unsupported`.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let header = Header::read(reader, code::GET_MEASUREMENTS)?;
        let challenge = if header.param1 & SIGNED == 0 {
            None
        } else {
            let nonce = array(reader)?;
            let slot = if header.version == Version::V10 {
                0
            } else {
                reader.u8()? & 0x0f
            };
            Some(Challenge { nonce, slot })
        };
        let context = context(reader, header.version)?;
        Ok(Self {
            version: header.version,
            raw: header.param1 & RAW != 0 && header.version >= Version::V12,
            operation: Operation::of(header.param2),
            challenge,
            context,
        })
    }

    /// The message.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let signed = if self.challenge.is_some() { SIGNED } else { 0 };
        let raw = if self.raw { RAW } else { 0 };
        let mut out = alloc::vec![
            self.version.byte(),
            code::GET_MEASUREMENTS,
            signed | raw,
            self.operation.number(),
        ];
        if let Some(challenge) = &self.challenge {
            out.extend_from_slice(&challenge.nonce);
            if self.version != Version::V10 {
                out.push(challenge.slot);
            }
        }
        if self.version == Version::V13 {
            out.extend_from_slice(&self.context.unwrap_or_default());
        }
        out
    }
}

/// Whether the measurements changed since an exchange before (since 1.2, bits 4 and 5 of Param2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Changed {
    /// The responder does not tell.
    Unknown,
    /// One or more did: they must be read again.
    Yes,
    /// None did.
    No,
}

impl Changed {
    /// `unknown`, `yes`, `no`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Yes => "yes",
            Self::No => "no",
        }
    }
}

/// MEASUREMENTS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// How many blocks there are, where that was asked.
    pub total: Option<u8>,
    /// Whether they changed meanwhile.
    pub changed: Changed,
    /// The blocks, each index once.
    pub blocks: Vec<Block>,
    /// The responder's nonce.
    pub nonce: [u8; 32],
    /// Opaque data, in the format that was agreed on.
    pub opaque: Vec<u8>,
    /// The requester's eight bytes, given back (1.3).
    pub context: Option<[u8; 8]>,
    /// The signature, where one was asked for: not checked.
    pub signature: Option<Vec<u8>>,
}

/// How long a signature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureBytes {
    /// As the negotiation says.
    Exactly(usize),
    /// All that is left: a transcript without a negotiation ends in its signature. Only lengths that a signature can have.
    Rest,
}

impl Response {
    /// Reads the answer to `request`; `left` is the number of bytes from the start of this message to the end of the input.
    ///
    /// # Errors
    /// The reader's, `spdm.*`.
    pub fn read(
        reader: &mut Reader<'_>,
        request: &Request,
        signature: SignatureBytes,
        left: usize,
    ) -> Result<Self, Refusal> {
        let start = reader.offset();
        let header = Header::read_as(reader, code::MEASUREMENTS, request.version)?;
        let count = reader.u8()?;
        let size = length(reader, 3, limits::SPDM_RECORD_BYTES)?;
        let blocks = record(reader.take(size)?, Some(count))?;
        expected_blocks(request.operation, &blocks)?;
        if let Some(challenge) = &request.challenge
            && request.version != Version::V10
            && header.param2 & 0x0f != challenge.slot
        {
            return Err(Refusal::SpdmSlot);
        }
        let nonce = array(reader)?;
        let opaque = length(reader, 2, limits::SPDM_OPAQUE_BYTES)?;
        let opaque = reader.take(opaque)?.to_vec();
        let context = context(reader, request.version)?;
        if context != request.context {
            return Err(Refusal::SpdmContext);
        }
        let signature = match (request.challenge, signature) {
            (None, _) => None,
            (Some(_), SignatureBytes::Exactly(length)) => Some(reader.take(length)?.to_vec()),
            (Some(_), SignatureBytes::Rest) => {
                let used = reader.offset().saturating_sub(start);
                let length = left.saturating_sub(used);
                // ECDSA on P-256, P-384, P-521; RSA of 2048, 3072, 4096 bits.
                if !matches!(length, 64 | 96 | 132 | 256 | 384 | 512) {
                    return Err(Refusal::SpdmSignatureLength { found: length });
                }
                Some(reader.take(length)?.to_vec())
            }
        };
        Ok(Self {
            total: (request.operation == Operation::Count).then_some(header.param1),
            changed: match (request.version, header.param2 & 0x30) {
                (Version::V12 | Version::V13, 0x10) => Changed::Yes,
                (Version::V12 | Version::V13, 0x20) => Changed::No,
                _ => Changed::Unknown,
            },
            blocks,
            nonce,
            opaque,
            context,
            signature,
        })
    }

    /// The message, without its signature.
    #[must_use]
    pub fn write_unsigned(&self, request: &Request) -> Vec<u8> {
        let slot = request.challenge.map_or(0, |challenge| challenge.slot);
        let changed = match (request.version, self.changed) {
            (Version::V10 | Version::V11, _) | (_, Changed::Unknown) => 0,
            (_, Changed::Yes) => 0x10,
            (_, Changed::No) => 0x20,
        };
        let record: Vec<u8> = self.blocks.iter().flat_map(Block::write).collect();
        let size = u32::try_from(record.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes();
        let mut out = alloc::vec![
            request.version.byte(),
            code::MEASUREMENTS,
            self.total.unwrap_or_default(),
            if request.version == Version::V10 {
                0
            } else {
                slot | changed
            },
            u8::try_from(self.blocks.len()).unwrap_or(u8::MAX),
        ];
        out.extend(size.into_iter().take(3));
        out.extend_from_slice(&record);
        out.extend_from_slice(&self.nonce);
        let opaque = u16::try_from(self.opaque.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&opaque.to_le_bytes());
        out.extend_from_slice(&self.opaque);
        out.extend(request.context.into_iter().flatten());
        out
    }
}

fn context(reader: &mut Reader<'_>, version: Version) -> Result<Option<[u8; 8]>, Refusal> {
    if version == Version::V13 {
        array(reader).map(Some)
    } else {
        Ok(None)
    }
}

fn expected_blocks(operation: Operation, blocks: &[Block]) -> Result<(), Refusal> {
    let found = blocks.len();
    match (operation, blocks) {
        (Operation::Count, []) | (Operation::All, [_, ..]) => Ok(()),
        (Operation::Count, _) => Err(Refusal::SpdmBlockCount { stated: 0, found }),
        (Operation::All, []) => Err(Refusal::SpdmNoMeasurements),
        (Operation::Index(index), [block]) if block.index == index => Ok(()),
        (Operation::Index(_), [block]) => Err(Refusal::SpdmBlockIndex { index: block.index }),
        (Operation::Index(_), _) => Err(Refusal::SpdmBlockCount { stated: 1, found }),
    }
}

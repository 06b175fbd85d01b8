//! SPDM messages (DMTF DSP0274, versions 1.0 to 1.3), as far as signed measurements need them.
//!
//! Total and bounded, every length exact, nothing believed: who signed a transcript is [`crate::spdm`]'s question. Numbers on
//! the wire are little-endian.

pub mod algorithms;
pub mod block;
pub mod measurements;
pub mod negotiation;
pub mod opaque;
pub mod slot;
pub mod transcript;

use alloc::format;

use super::reader::Reader;
use crate::refusal::Refusal;

/// Request and response codes (DSP0274, 10.4: tables of request and response codes).
pub(crate) mod code {
    pub(crate) const DIGESTS: u8 = 0x01;
    pub(crate) const CERTIFICATE: u8 = 0x02;
    pub(crate) const VERSION: u8 = 0x04;
    pub(crate) const MEASUREMENTS: u8 = 0x60;
    pub(crate) const CAPABILITIES: u8 = 0x61;
    pub(crate) const ALGORITHMS: u8 = 0x63;
    pub(crate) const ERROR: u8 = 0x7f;
    pub(crate) const GET_DIGESTS: u8 = 0x81;
    pub(crate) const GET_CERTIFICATE: u8 = 0x82;
    pub(crate) const GET_VERSION: u8 = 0x84;
    pub(crate) const GET_MEASUREMENTS: u8 = 0xe0;
    pub(crate) const GET_CAPABILITIES: u8 = 0xe1;
    pub(crate) const NEGOTIATE_ALGORITHMS: u8 = 0xe3;
}

/// The versions that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 1.0
    V10,
    /// 1.1: BlueField-3, GH100, GB100, LS10.
    V11,
    /// 1.2: signatures cover the negotiation and have a context.
    V12,
    /// 1.3
    V13,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::V10, Self::V11, Self::V12, Self::V13];

    /// Of the first byte of a message.
    ///
    /// # Errors
    /// `evidence.unsupported`, 1.4 among them.
    pub fn of(byte: u8) -> Result<Self, Refusal> {
        Self::ALL
            .into_iter()
            .find(|version| version.byte() == byte)
            .ok_or_else(|| Refusal::Unsupported {
                what: "SPDM version",
                found: format!("{}.{}", byte >> 4, byte & 0x0f),
            })
    }

    /// The first byte of its messages: major and minor number, a nibble each.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::V10 => 0x10,
            Self::V11 => 0x11,
            Self::V12 => 0x12,
            Self::V13 => 0x13,
        }
    }

    /// `1.1`
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V10 => "1.0",
            Self::V11 => "1.1",
            Self::V12 => "1.2",
            Self::V13 => "1.3",
        }
    }

    /// Whether a signature over measurements covers the negotiation too, under a context (since 1.2).
    #[must_use]
    pub const fn signs_negotiation(self) -> bool {
        matches!(self, Self::V12 | Self::V13)
    }
}

/// The four bytes before every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: Version,
    pub(crate) param1: u8,
    pub(crate) param2: u8,
}

impl Header {
    /// Reads the header of a message that must have this code.
    pub(crate) fn read(reader: &mut Reader<'_>, code: u8) -> Result<Self, Refusal> {
        let version = Version::of(reader.u8()?)?;
        let found = reader.u8()?;
        if found != code {
            return Err(Refusal::SpdmCode {
                expected: code,
                found,
            });
        }
        Ok(Self {
            version,
            param1: reader.u8()?,
            param2: reader.u8()?,
        })
    }

    /// The same, of one version.
    pub(crate) fn read_as(
        reader: &mut Reader<'_>,
        code: u8,
        version: Version,
    ) -> Result<Self, Refusal> {
        let header = Self::read(reader, code)?;
        if header.version == version {
            Ok(header)
        } else {
            Err(Refusal::SpdmVersion)
        }
    }
}

/// A little-endian number of at most four bytes.
pub(crate) fn little(reader: &mut Reader<'_>, bytes: usize) -> Result<u32, Refusal> {
    let bytes = reader.take(bytes)?;
    Ok(bytes
        .iter()
        .rev()
        .fold(0, |number, byte| (number << 8) | u32::from(*byte)))
}

/// A little-endian length of at most four bytes, and at most `limit`.
pub(crate) fn length(
    reader: &mut Reader<'_>,
    bytes: usize,
    limit: usize,
) -> Result<usize, Refusal> {
    let length = usize::try_from(little(reader, bytes)?).unwrap_or(usize::MAX);
    if length > limit {
        return Err(Refusal::TooLarge {
            what: reader.what(),
            limit,
        });
    }
    Ok(length)
}

/// `N` bytes.
pub(crate) fn array<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], Refusal> {
    let offset = reader.offset();
    let what = reader.what();
    reader
        .take(N)?
        .try_into()
        .map_err(|_| Refusal::Truncated { what, offset })
}

//! What two sides agreed on: signature, hashes, format of opaque data (DSP0274, 10.6: ALGORITHMS).

use alloc::format;
use core::fmt;

use crate::digest::HashAlg;
use crate::key::{PublicKey, Scheme};
use crate::refusal::Refusal;

/// The signature algorithm (BaseAsymSel). Names are those of DSP0274.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asymmetric {
    /// RSASSA-PKCS1-v1_5 with a modulus of so many bits.
    RsaSsa(u16),
    /// RSASSA-PSS with a modulus of so many bits.
    RsaPss(u16),
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
}

impl Asymmetric {
    const BITS: [(u32, Self); 10] = [
        (0x0001, Self::RsaSsa(2048)),
        (0x0002, Self::RsaPss(2048)),
        (0x0004, Self::RsaSsa(3072)),
        (0x0008, Self::RsaPss(3072)),
        (0x0010, Self::P256),
        (0x0020, Self::RsaSsa(4096)),
        (0x0040, Self::RsaPss(4096)),
        (0x0080, Self::P384),
        (0x0100, Self::P521),
        (0x0400, Self::Ed25519),
    ];

    /// Of BaseAsymSel: exactly one bit that is known.
    ///
    /// # Errors
    /// `spdm.algorithm`: none, several, SM2, Ed448 or one that is not known.
    pub fn of(bits: u32) -> Result<Self, Refusal> {
        Self::BITS
            .into_iter()
            .find(|(bit, _)| *bit == bits)
            .map(|(_, algorithm)| algorithm)
            .ok_or_else(|| unsupported("signature algorithm", bits))
    }

    /// Its bit in BaseAsymSel.
    #[must_use]
    pub fn bit(self) -> u32 {
        Self::BITS
            .into_iter()
            .find(|(_, algorithm)| *algorithm == self)
            .map_or(0, |(bit, _)| bit)
    }

    /// Bytes of a signature.
    #[must_use]
    pub fn signature_bytes(self) -> usize {
        match self {
            Self::RsaSsa(bits) | Self::RsaPss(bits) => usize::from(bits / 8),
            Self::P256 | Self::Ed25519 => 64,
            Self::P384 => 96,
            Self::P521 => 132,
        }
    }

    /// Whether a key is of this kind.
    #[must_use]
    pub fn fits(self, key: &PublicKey) -> bool {
        match (self, key) {
            (Self::RsaSsa(bits) | Self::RsaPss(bits), PublicKey::Rsa { modulus, .. }) => {
                modulus.len() == usize::from(bits / 8)
            }
            (Self::P256, PublicKey::P256(_))
            | (Self::P384, PublicKey::P384(_))
            | (Self::P521, PublicKey::P521(_))
            | (Self::Ed25519, PublicKey::Ed25519(_)) => true,
            (
                Self::RsaSsa(_)
                | Self::RsaPss(_)
                | Self::P256
                | Self::P384
                | Self::P521
                | Self::Ed25519,
                _,
            ) => false,
        }
    }

    /// The scheme with this hash; `None` where nobody here checks it.
    #[must_use]
    pub const fn scheme(self, hash: HashAlg) -> Option<Scheme> {
        match (self, hash) {
            (Self::RsaSsa(_), HashAlg::Sha256) => Some(Scheme::RsaPkcs1Sha256),
            (Self::RsaSsa(_), HashAlg::Sha384) => Some(Scheme::RsaPkcs1Sha384),
            (Self::RsaPss(_), HashAlg::Sha256) => Some(Scheme::RsaPssSha256),
            (Self::RsaPss(_), HashAlg::Sha384) => Some(Scheme::RsaPssSha384),
            (Self::P256 | Self::P384 | Self::P521, HashAlg::Sha256) => Some(Scheme::EcdsaSha256),
            (Self::P256 | Self::P384 | Self::P521, HashAlg::Sha384) => Some(Scheme::EcdsaSha384),
            (Self::RsaSsa(_), HashAlg::Sha512) => Some(Scheme::RsaPkcs1Sha512),
            (Self::RsaPss(_), HashAlg::Sha512) => Some(Scheme::RsaPssSha512),
            (Self::P256 | Self::P384 | Self::P521, HashAlg::Sha512) => Some(Scheme::EcdsaSha512),
            // EdDSA hashes inside: the transcript's hash is in the message (DSP0274 1.2, 15).
            (Self::Ed25519, _) => Some(Scheme::Ed25519),
        }
    }
}

impl fmt::Display for Asymmetric {
    /// `ecdsa-p384`, `rsapss-3072`, `rsassa-2048`, `ed25519`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RsaSsa(bits) => write!(f, "rsassa-{bits}"),
            Self::RsaPss(bits) => write!(f, "rsapss-{bits}"),
            Self::P256 => f.write_str("ecdsa-p256"),
            Self::P384 => f.write_str("ecdsa-p384"),
            Self::P521 => f.write_str("ecdsa-p521"),
            Self::Ed25519 => f.write_str("ed25519"),
        }
    }
}

/// The hash of transcripts (BaseHashSel).
///
/// # Errors
/// `spdm.algorithm`: none, several, SHA-3, SM3 or one that is not known.
pub fn base_hash(bits: u32) -> Result<HashAlg, Refusal> {
    match bits {
        0x01 => Ok(HashAlg::Sha256),
        0x02 => Ok(HashAlg::Sha384),
        0x04 => Ok(HashAlg::Sha512),
        other => Err(unsupported("hash of transcripts", other)),
    }
}

/// The bit of a hash in BaseHashSel.
#[must_use]
pub const fn base_hash_bit(hash: HashAlg) -> u32 {
    match hash {
        HashAlg::Sha256 => 0x01,
        HashAlg::Sha384 => 0x02,
        HashAlg::Sha512 => 0x04,
    }
}

/// How measurements are given (MeasurementHashAlgo).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MeasurementHash {
    /// As they are, never hashed.
    RawOnly,
    /// By this hash.
    Hash(HashAlg),
}

impl MeasurementHash {
    /// Of MeasurementHashAlgo.
    ///
    /// # Errors
    /// `spdm.algorithm`: none, several, SHA-3, SM3 or one that is not known.
    pub fn of(bits: u32) -> Result<Self, Refusal> {
        match bits {
            0x01 => Ok(Self::RawOnly),
            0x02 => Ok(Self::Hash(HashAlg::Sha256)),
            0x04 => Ok(Self::Hash(HashAlg::Sha384)),
            0x08 => Ok(Self::Hash(HashAlg::Sha512)),
            other => Err(unsupported("hash of measurements", other)),
        }
    }

    /// Its bit in MeasurementHashAlgo.
    #[must_use]
    pub const fn bit(self) -> u32 {
        match self {
            Self::RawOnly => 0x01,
            Self::Hash(HashAlg::Sha256) => 0x02,
            Self::Hash(HashAlg::Sha384) => 0x04,
            Self::Hash(HashAlg::Sha512) => 0x08,
        }
    }
}

/// The format of opaque data (OtherParamsSelection, since 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpaqueFormat {
    /// None was selected: there is no opaque data.
    None,
    /// OpaqueDataFmt0: the vendor's own.
    Vendor,
    /// OpaqueDataFmt1: a list of elements, each with its registry and vendor.
    General,
}

impl OpaqueFormat {
    /// Of OtherParamsSelection.
    ///
    /// # Errors
    /// `spdm.algorithm` for more than one.
    pub fn of(bits: u8) -> Result<Self, Refusal> {
        match bits & 0x0f {
            0 => Ok(Self::None),
            1 => Ok(Self::Vendor),
            2 => Ok(Self::General),
            other => Err(unsupported("format of opaque data", u32::from(other))),
        }
    }
}

fn unsupported(what: &'static str, bits: u32) -> Refusal {
    Refusal::SpdmAlgorithm {
        what,
        found: format!("{bits:#x}"),
    }
}

//! Public keys and the one door to signature checking.
//!
//! The algorithm of a signature follows from the key that checks it, never from the message (RFC 8725, section 3.1).
//! The mathematics stand behind [`CheckSignature`]: nexus and CLI fill it with aws-lc (`assay-checks`), so that this crate
//! links no C.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// A public key whose kind is known and whose encoding has the right length. Whether an EC point lies on its curve is
/// found out by the first check.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// Ed25519 (RFC 8032): 32 bytes.
    Ed25519([u8; 32]),
    /// ECDSA on P-256: the uncompressed point, 65 bytes, first 0x04 (SEC 1, 2.3.3).
    P256(Box<[u8; 65]>),
    /// ECDSA on P-384: the uncompressed point, 97 bytes, first 0x04.
    P384(Box<[u8; 97]>),
    /// ECDSA on P-521: the uncompressed point, 133 bytes, first 0x04.
    P521(Box<[u8; 133]>),
    /// RSA, 2048 to 4096 bits: big-endian modulus without leading zeros, and exponent. For TPM keys and EK chains only.
    Rsa {
        /// Modulus, big-endian, no leading zero byte.
        modulus: Vec<u8>,
        /// Public exponent, big-endian, no leading zero byte.
        exponent: Vec<u8>,
    },
}

/// How a signature was made. Each caller names the one it accepts for the key and format at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Ed25519, strict (RFC 8032 with small-order points refused): 64 bytes.
    Ed25519,
    /// ECDSA with SHA-256; the signature is r and s, big-endian, each as long as the curve's field (RFC 9053, 2.1).
    EcdsaSha256,
    /// ECDSA with SHA-384, fixed-length r and s.
    EcdsaSha384,
    /// ECDSA with SHA-512, fixed-length r and s.
    EcdsaSha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 8.2).
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256, salt as long as the hash (RFC 8017, 8.1).
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512.
    RsaPssSha512,
}

impl PublicKey {
    /// The length of r and of s in a signature by this key: its curve's field; `None` where it makes no ECDSA signatures.
    #[must_use]
    pub const fn field(&self) -> Option<usize> {
        match self {
            Self::P256(_) => Some(32),
            Self::P384(_) => Some(48),
            Self::P521(_) => Some(66),
            Self::Ed25519(_) | Self::Rsa { .. } => None,
        }
    }

    /// The one scheme that goes with the key where a message names none: the hash of the curve's own strength; `None` for RSA,
    /// which has none of its own.
    #[must_use]
    pub const fn scheme(&self) -> Option<Scheme> {
        match self {
            Self::Ed25519(_) => Some(Scheme::Ed25519),
            Self::P256(_) => Some(Scheme::EcdsaSha256),
            Self::P384(_) => Some(Scheme::EcdsaSha384),
            Self::P521(_) => Some(Scheme::EcdsaSha512),
            Self::Rsa { .. } => None,
        }
    }

    /// Whether a signature by this key may be made so. The key decides the family; inside of a family a certificate that the
    /// key signed may name the hash (RFC 5480, 4: P-384 with SHA-256 is what some makers' CAs write).
    #[must_use]
    pub const fn may(&self, scheme: Scheme) -> bool {
        use Scheme::{
            EcdsaSha256, EcdsaSha384, EcdsaSha512, Ed25519, RsaPkcs1Sha256, RsaPkcs1Sha384,
            RsaPkcs1Sha512, RsaPssSha256, RsaPssSha384, RsaPssSha512,
        };
        match self {
            Self::Ed25519(_) => matches!(scheme, Ed25519),
            Self::P256(_) | Self::P384(_) | Self::P521(_) => {
                matches!(scheme, EcdsaSha256 | EcdsaSha384 | EcdsaSha512)
            }
            Self::Rsa { .. } => matches!(
                scheme,
                RsaPkcs1Sha256
                    | RsaPkcs1Sha384
                    | RsaPkcs1Sha512
                    | RsaPssSha256
                    | RsaPssSha384
                    | RsaPssSha512
            ),
        }
    }
}

/// The signature does not belong to this key and message, or key and scheme do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// Checks signatures. Implementations are constant-time where a secret is involved (none is here) and strict: no
/// malleable Ed25519, no RSA under 2048 bits, no point off its curve.
pub trait CheckSignature: Send + Sync {
    /// Checks `signature` over `message` (unhashed) under `key`.
    ///
    /// # Errors
    /// [`BadSignature`], whatever the reason.
    fn check(
        &self,
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature>;
}

//! TPM 2.0 structures that evidence holds (TCG TPM 2.0 Library, Part 2), exact to the byte.
//!
//! Parsing accepts algorithms that policy refuses (SHA-1), so that a refusal can say what was found.

mod attest;
mod public;

pub use attest::{ATTEST_CERTIFY, ATTEST_QUOTE, Attest, Attested, GENERATED, PcrSelection};
pub use public::{Attributes, ENDORSEMENT, Public, qualified_name};

use crate::codec::reader::Reader;
use crate::digest::{Digest, HashAlg};
use crate::key::{PublicKey, Scheme};
use crate::limits;
use crate::refusal::Refusal;
use alloc::format;
use alloc::vec::Vec;

const ALG_NULL: u16 = 0x0010;
const ALG_RSASSA: u16 = 0x0014;
const ALG_RSAPSS: u16 = 0x0016;
const ALG_ECDSA: u16 = 0x0018;
const ALG_ECDH: u16 = 0x0019;

/// The hash algorithm of a TPM_ALG_ID, where it is one that is accepted.
#[must_use]
pub const fn hash_of(alg: u16) -> Option<HashAlg> {
    match alg {
        0x000b => Some(HashAlg::Sha256),
        0x000c => Some(HashAlg::Sha384),
        0x000d => Some(HashAlg::Sha512),
        _ => None,
    }
}

/// The TPM_ALG_ID of a hash algorithm.
#[must_use]
pub const fn alg_of(hash: HashAlg) -> u16 {
    match hash {
        HashAlg::Sha256 => 0x000b,
        HashAlg::Sha384 => 0x000c,
        HashAlg::Sha512 => 0x000d,
    }
}

/// A scheme with its hash: (TPM_ALG_ID, TPM_ALG_ID).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SchemeIds {
    /// TPM_ALG_RSASSA, TPM_ALG_RSAPSS or TPM_ALG_ECDSA in what follows.
    pub scheme: u16,
    /// The hash.
    pub hash: u16,
}

impl SchemeIds {
    /// What a checker calls it; `None` for what is not accepted (SHA-1 among it).
    #[must_use]
    pub const fn accepted(self) -> Option<Scheme> {
        match (self.scheme, hash_of(self.hash)) {
            (ALG_RSASSA, Some(HashAlg::Sha256)) => Some(Scheme::RsaPkcs1Sha256),
            (ALG_RSASSA, Some(HashAlg::Sha384)) => Some(Scheme::RsaPkcs1Sha384),
            (ALG_RSASSA, Some(HashAlg::Sha512)) => Some(Scheme::RsaPkcs1Sha512),
            (ALG_RSAPSS, Some(HashAlg::Sha256)) => Some(Scheme::RsaPssSha256),
            (ALG_RSAPSS, Some(HashAlg::Sha384)) => Some(Scheme::RsaPssSha384),
            (ALG_RSAPSS, Some(HashAlg::Sha512)) => Some(Scheme::RsaPssSha512),
            (ALG_ECDSA, Some(HashAlg::Sha256)) => Some(Scheme::EcdsaSha256),
            (ALG_ECDSA, Some(HashAlg::Sha384)) => Some(Scheme::EcdsaSha384),
            (ALG_ECDSA, Some(HashAlg::Sha512)) => Some(Scheme::EcdsaSha512),
            _ => None,
        }
    }
}

/// TPMT_SIGNATURE by RSA or ECDSA (Part 2, 11.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Algorithm and hash.
    pub ids: SchemeIds,
    value: SignatureValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SignatureValue {
    Rsa(Vec<u8>),
    Ecdsa { r: Vec<u8>, s: Vec<u8> },
}

impl Signature {
    /// Parses a TPMT_SIGNATURE.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] and its kin, [`Refusal::Unsupported`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut r = bounded("the tpm signature", bytes)?;
        let scheme = r.u16()?;
        let hash = r.u16()?;
        let value = match scheme {
            ALG_RSASSA | ALG_RSAPSS => SignatureValue::Rsa(r.sized_u16(512)?.to_vec()),
            ALG_ECDSA => SignatureValue::Ecdsa {
                r: r.sized_u16(66)?.to_vec(),
                s: r.sized_u16(66)?.to_vec(),
            },
            other => return Err(unsupported("the tpm signature scheme", other)),
        };
        r.finish()?;
        Ok(Self {
            ids: SchemeIds { scheme, hash },
            value,
        })
    }

    /// A signature without its TPMT_SIGNATURE, as `tpm2_quote -f plain` writes it: the RSA block, or ECDSA in DER.
    pub(crate) fn plain(bytes: &[u8], key: &PublicKey, ids: SchemeIds) -> Option<Self> {
        let value = match key.field() {
            None => SignatureValue::Rsa(bytes.to_vec()),
            Some(_) => {
                let (r, s) = crate::codec::spki::ecdsa_numbers("the tpm signature", bytes).ok()?;
                SignatureValue::Ecdsa { r, s }
            }
        };
        Some(Self { ids, value })
    }

    /// The signature as a checker of `key` takes it: r and s at the curve's length, or the RSA block.
    #[must_use]
    pub fn raw_for(&self, key: &PublicKey) -> Option<Vec<u8>> {
        let field = key.field().unwrap_or(0);
        match &self.value {
            SignatureValue::Rsa(block) => {
                matches!(key, PublicKey::Rsa { .. }).then(|| block.clone())
            }
            SignatureValue::Ecdsa { r, s } if field > 0 => {
                let mut raw = padded(r, field)?;
                raw.extend(padded(s, field)?);
                Some(raw)
            }
            SignatureValue::Ecdsa { .. } => None,
        }
    }
}

/// The digest that a quote of these banks holds: the values in the order of the selection, under `hash` (Part 3, 18.4).
#[must_use]
pub fn pcr_digest(hash: HashAlg, values: &[&Digest]) -> Digest {
    let parts: Vec<&[u8]> = values.iter().map(|value| value.bytes()).collect();
    hash.hash(&parts)
}

fn bounded<'a>(what: &'static str, bytes: &'a [u8]) -> Result<Reader<'a>, Refusal> {
    if bytes.len() > limits::TPM_STRUCTURE_BYTES {
        return Err(Refusal::TooLarge {
            what,
            limit: limits::TPM_STRUCTURE_BYTES,
        });
    }
    Ok(Reader::new(what, bytes))
}

/// Big-endian at exactly `size` bytes; TPMs strip or keep leading zeros.
fn padded(bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = bytes.get(zeros..)?;
    let mut padded = alloc::vec![0; size.checked_sub(digits.len())?];
    padded.extend_from_slice(digits);
    Some(padded)
}

fn malformed(r: &Reader<'_>, why: alloc::string::String) -> Refusal {
    Refusal::Malformed {
        what: r.what(),
        why,
    }
}

fn unsupported(what: &'static str, found: u16) -> Refusal {
    Refusal::Unsupported {
        what,
        found: format!("{found:#06x}"),
    }
}

/// The refusal for an algorithm that policy does not accept.
pub(crate) fn algorithm(what: &'static str, found: u16) -> Refusal {
    Refusal::TpmAlgorithm {
        what,
        found: format!("{found:#06x}"),
    }
}

#[cfg(test)]
mod tests;

//! TPM 2.0 structures that evidence holds (TCG TPM 2.0 Library, Part 2), exact to the byte.
//!
//! Parsing accepts algorithms that policy refuses (SHA-1), so that a refusal can say what was found.

use crate::claims::TpmClock;
use crate::codec::reader::Reader;
use crate::digest::{Digest, HashAlg, sha256};
use crate::expected::Name;
use crate::key::{PublicKey, Scheme};
use crate::limits;
use crate::refusal::Refusal;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

/// TPM_GENERATED_VALUE: what only a TPM writes at the head of what it signs with a restricted key.
pub const GENERATED: u32 = 0xff54_4347;
/// TPM_ST_ATTEST_QUOTE.
pub const ATTEST_QUOTE: u16 = 0x8018;
/// TPM_ST_ATTEST_CERTIFY.
pub const ATTEST_CERTIFY: u16 = 0x8017;
/// TPM_RH_ENDORSEMENT, as the name of the hierarchy.
pub const ENDORSEMENT: u32 = 0x4000_000b;

const ALG_RSA: u16 = 0x0001;
const ALG_NULL: u16 = 0x0010;
const ALG_RSASSA: u16 = 0x0014;
const ALG_RSAES: u16 = 0x0015;
const ALG_RSAPSS: u16 = 0x0016;
const ALG_OAEP: u16 = 0x0017;
const ALG_ECDSA: u16 = 0x0018;
const ALG_ECDH: u16 = 0x0019;
const ALG_ECC: u16 = 0x0023;
const ECC_P256: u16 = 0x0003;
const ECC_P384: u16 = 0x0004;

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

/// TPMA_OBJECT (Part 2, 8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attributes(pub u32);

impl Attributes {
    /// The hierarchy can't change.
    pub const FIXED_TPM: u32 = 1 << 1;
    /// The parent can't change.
    pub const FIXED_PARENT: u32 = 1 << 4;
    /// The TPM made the private part.
    pub const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
    /// Signs (or decrypts) only what the TPM itself made.
    pub const RESTRICTED: u32 = 1 << 16;
    /// Decrypts.
    pub const DECRYPT: u32 = 1 << 17;
    /// Signs (encrypts, for a symmetric key).
    pub const SIGN: u32 = 1 << 18;

    /// Whether all of `bits` are set.
    #[must_use]
    pub const fn all(self, bits: u32) -> bool {
        self.0 & bits == bits
    }

    /// Whether none of `bits` is set.
    #[must_use]
    pub const fn none(self, bits: u32) -> bool {
        self.0 & bits == 0
    }

    /// Of an attestation key: restricted, sign, not decrypt, and it never left this TPM.
    #[must_use]
    pub const fn is_attestation_key(self) -> bool {
        self.all(Self::RESTRICTED | Self::SIGN) && self.none(Self::DECRYPT) && self.is_resident()
    }

    /// Of a request key: sign, not restricted, and it never left this TPM.
    #[must_use]
    pub const fn is_request_key(self) -> bool {
        self.all(Self::SIGN) && self.none(Self::RESTRICTED) && self.is_resident()
    }

    /// fixedTPM, fixedParent, sensitiveDataOrigin.
    #[must_use]
    pub const fn is_resident(self) -> bool {
        self.all(Self::FIXED_TPM | Self::FIXED_PARENT | Self::SENSITIVE_DATA_ORIGIN)
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
            (ALG_RSAPSS, Some(HashAlg::Sha256)) => Some(Scheme::RsaPssSha256),
            (ALG_RSAPSS, Some(HashAlg::Sha384)) => Some(Scheme::RsaPssSha384),
            (ALG_ECDSA, Some(HashAlg::Sha256)) => Some(Scheme::EcdsaSha256),
            (ALG_ECDSA, Some(HashAlg::Sha384)) => Some(Scheme::EcdsaSha384),
            _ => None,
        }
    }
}

/// TPMT_PUBLIC of an RSA or ECC key (Part 2, 12.2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    raw: Vec<u8>,
    /// TPM_ALG_ID of nameAlg.
    pub name_alg: u16,
    /// objectAttributes.
    pub attributes: Attributes,
    /// authPolicy: empty or a digest.
    pub auth_policy: Vec<u8>,
    /// The symmetric algorithm that protects children, of a storage key or EK: (algorithm, key bits, mode).
    pub symmetric: Option<(u16, u16, u16)>,
    /// The one scheme that the key is bound to, if it is.
    pub scheme: Option<SchemeIds>,
    /// The key.
    pub key: PublicKey,
}

impl Public {
    /// Parses a TPMT_PUBLIC.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] and its kin, [`Refusal::Unsupported`] for other types of key.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut r = bounded("the tpm public area", bytes)?;
        let kind = r.u16()?;
        let name_alg = r.u16()?;
        let attributes = Attributes(r.u32()?);
        let auth_policy = r.sized_u16(64)?.to_vec();
        let symmetric = symmetric(&mut r)?;
        let scheme = scheme(&mut r)?;
        let key = match kind {
            ALG_RSA => rsa(&mut r)?,
            ALG_ECC => ecc(&mut r)?,
            other => return Err(unsupported("the tpm key type", other)),
        };
        r.finish()?;
        let raw = bytes.to_vec();
        Ok(Self {
            raw,
            name_alg,
            attributes,
            auth_policy,
            symmetric,
            scheme,
            key,
        })
    }

    /// Parses a TPM2B_PUBLIC: a big-endian u16 length and a TPMT_PUBLIC.
    ///
    /// # Errors
    /// As [`Public::parse`].
    pub fn parse_sized(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut r = Reader::new("the tpm public area", bytes);
        let inner = r.sized_u16(limits::TPM_STRUCTURE_BYTES)?;
        r.finish()?;
        Self::parse(inner)
    }

    /// The bytes it was parsed from.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// The name: nameAlg and its digest of the public area (Part 1, 16).
    ///
    /// # Errors
    /// [`Refusal::TpmAlgorithm`] where nameAlg is not accepted.
    pub fn name(&self) -> Result<Name, Refusal> {
        name_of("nameAlg", self.name_alg, &[&self.raw])
    }
}

/// The qualified name of an object in the endorsement hierarchy: itself a primary, or the child of the primary `parent`
/// (Part 1, 16: `nameAlg || H(qualified name of the parent || name)`).
///
/// # Errors
/// [`Refusal::TpmAlgorithm`].
pub fn qualified_name(parent: Option<&Name>, name: &Name) -> Result<Name, Refusal> {
    let hierarchy = ENDORSEMENT.to_be_bytes();
    match parent {
        None => child_name(&hierarchy, name),
        Some(parent) => child_name(child_name(&hierarchy, parent)?.as_bytes(), name),
    }
}

fn child_name(parent: &[u8], name: &Name) -> Result<Name, Refusal> {
    let alg = name
        .as_bytes()
        .first_chunk()
        .map_or(0, |alg| u16::from_be_bytes(*alg));
    name_of("nameAlg", alg, &[parent, name.as_bytes()])
}

fn name_of(what: &'static str, alg: u16, parts: &[&[u8]]) -> Result<Name, Refusal> {
    let hash = hash_of(alg).ok_or_else(|| algorithm(what, alg))?;
    let mut name = alg.to_be_bytes().to_vec();
    name.extend_from_slice(hash.hash(parts).bytes());
    Name::parse(&name).ok_or_else(|| algorithm(what, alg))
}

/// TPMS_ATTEST of a quote or a certification (Part 2, 10.12.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attest {
    raw: Vec<u8>,
    /// qualifiedSigner as sent: a TPM2B_NAME's content.
    pub qualified_signer: Vec<u8>,
    /// extraData: the qualifying data that the caller gave.
    pub extra_data: Vec<u8>,
    /// clockInfo.
    pub clock: TpmClock,
    /// firmwareVersion.
    pub firmware_version: u64,
    /// What was attested.
    pub attested: Attested,
}

/// TPMU_ATTEST, as far as evidence holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attested {
    /// TPMS_QUOTE_INFO.
    Quote {
        /// The PCRs, in the order in which they were digested.
        selection: Vec<PcrSelection>,
        /// Their digest.
        digest: Vec<u8>,
    },
    /// TPMS_CERTIFY_INFO.
    Certify {
        /// The name of the certified object.
        name: Vec<u8>,
        /// Its qualified name.
        qualified_name: Vec<u8>,
    },
}

/// TPMS_PCR_SELECTION (Part 2, 10.6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrSelection {
    /// TPM_ALG_ID of the bank.
    pub bank: u16,
    /// Selected indices, ascending.
    pub pcrs: Vec<u8>,
}

impl Attest {
    /// Parses a TPMS_ATTEST.
    ///
    /// # Errors
    /// [`Refusal::TpmMagic`], [`Refusal::TpmType`], [`Refusal::Truncated`] and its kin.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut r = bounded("the tpm attestation", bytes)?;
        if r.u32()? != GENERATED {
            return Err(Refusal::TpmMagic);
        }
        let kind = r.u16()?;
        let qualified_signer = r.sized_u16(66)?.to_vec();
        let extra_data = r.sized_u16(66)?.to_vec();
        let clock = TpmClock {
            clock: r.u64()?,
            reset_count: r.u32()?,
            restart_count: r.u32()?,
            safe: match r.u8()? {
                0 => false,
                1 => true,
                other => return Err(malformed(&r, format!("`safe` is {other}"))),
            },
        };
        let firmware_version = r.u64()?;
        let attested = match kind {
            ATTEST_QUOTE => Attested::Quote {
                selection: pcr_selections(&mut r)?,
                digest: r.sized_u16(64)?.to_vec(),
            },
            ATTEST_CERTIFY => Attested::Certify {
                name: r.sized_u16(66)?.to_vec(),
                qualified_name: r.sized_u16(66)?.to_vec(),
            },
            found => return Err(Refusal::TpmType { found }),
        };
        r.finish()?;
        let raw = bytes.to_vec();
        Ok(Self {
            raw,
            qualified_signer,
            extra_data,
            clock,
            firmware_version,
            attested,
        })
    }

    /// The signed bytes, as received.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
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
                r: r.sized_u16(48)?.to_vec(),
                s: r.sized_u16(48)?.to_vec(),
            },
            other => return Err(unsupported("the tpm signature scheme", other)),
        };
        r.finish()?;
        Ok(Self {
            ids: SchemeIds { scheme, hash },
            value,
        })
    }

    /// The signature as a checker of `key` takes it: r and s at the curve's length, or the RSA block.
    #[must_use]
    pub fn raw_for(&self, key: &PublicKey) -> Option<Vec<u8>> {
        let field = match key {
            PublicKey::P256(_) => 32,
            PublicKey::P384(_) => 48,
            PublicKey::Rsa { .. } | PublicKey::Ed25519(_) => 0,
        };
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

/// SHA-256 of a name: a short id for logs and rows.
#[must_use]
pub fn name_id(name: &Name) -> [u8; 32] {
    sha256(&[name.as_bytes()])
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

// TPMT_SYM_DEF_OBJECT (Part 2, 11.1.7).
fn symmetric(r: &mut Reader<'_>) -> Result<Option<(u16, u16, u16)>, Refusal> {
    match r.u16()? {
        ALG_NULL => Ok(None),
        alg => Ok(Some((alg, r.u16()?, r.u16()?))),
    }
}

// TPMT_RSA_SCHEME, TPMT_ECC_SCHEME (Part 2, 11.2.4.2, 11.2.5.6), as far as they have at most a hash.
fn scheme(r: &mut Reader<'_>) -> Result<Option<SchemeIds>, Refusal> {
    match r.u16()? {
        ALG_NULL => Ok(None),
        ALG_RSAES => Ok(Some(SchemeIds {
            scheme: ALG_RSAES,
            hash: ALG_NULL,
        })),
        scheme @ (ALG_RSASSA | ALG_RSAPSS | ALG_OAEP | ALG_ECDSA | ALG_ECDH) => {
            Ok(Some(SchemeIds {
                scheme,
                hash: r.u16()?,
            }))
        }
        other => Err(unsupported("the tpm key scheme", other)),
    }
}

fn rsa(r: &mut Reader<'_>) -> Result<PublicKey, Refusal> {
    let bits = r.u16()?;
    // Zero stands for 65537 (Part 2, 12.2.3.5).
    let exponent = match r.u32()? {
        0 => 65537,
        other => other,
    };
    let modulus = r.sized_u16(512)?;
    if !(2048..=4096).contains(&bits) || bits % 8 != 0 || modulus.len() != usize::from(bits / 8) {
        return Err(malformed(
            r,
            format!("{} bytes of modulus for {bits} bits", modulus.len()),
        ));
    }
    if modulus.first().is_none_or(|first| *first < 0x80) {
        return Err(malformed(
            r,
            format!("the modulus is shorter than {bits} bits"),
        ));
    }
    let bytes = exponent.to_be_bytes();
    let start = bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len());
    let exponent = bytes.get(start..).unwrap_or_default().to_vec();
    Ok(PublicKey::Rsa {
        modulus: modulus.to_vec(),
        exponent,
    })
}

fn ecc(r: &mut Reader<'_>) -> Result<PublicKey, Refusal> {
    let curve = r.u16()?;
    match r.u16()? {
        ALG_NULL => {}
        kdf => return Err(unsupported("the tpm key derivation scheme", kdf)),
    }
    let x = r.sized_u16(66)?;
    let y = r.sized_u16(66)?;
    let field = match curve {
        ECC_P256 => 32,
        ECC_P384 => 48,
        other => return Err(unsupported("the tpm curve", other)),
    };
    let (Some(x), Some(y)) = (padded(x, field), padded(y, field)) else {
        return Err(malformed(r, format!("a coordinate is over {field} bytes")));
    };
    let point = [[4].as_slice(), &x, &y].concat();
    let boxed = point.into_boxed_slice();
    let key = match curve {
        ECC_P256 => Box::<[u8; 65]>::try_from(boxed).map(PublicKey::P256),
        _ => Box::<[u8; 97]>::try_from(boxed).map(PublicKey::P384),
    };
    key.map_err(|_wrong| malformed(r, format!("the point has no {field}-byte coordinates")))
}

fn pcr_selections(r: &mut Reader<'_>) -> Result<Vec<PcrSelection>, Refusal> {
    let count = r.u32()?;
    if usize::try_from(count).map_or(true, |count| count > limits::PCR_BANKS) {
        return Err(Refusal::TooLarge {
            what: "the pcr selection",
            limit: limits::PCR_BANKS,
        });
    }
    (0..count).map(|_| pcr_selection(r)).collect()
}

fn pcr_selection(r: &mut Reader<'_>) -> Result<PcrSelection, Refusal> {
    let bank = r.u16()?;
    let size = r.u8()?;
    if size > limits::PCRS / 8 {
        return Err(Refusal::TooLarge {
            what: "the pcr selection",
            limit: usize::from(limits::PCRS),
        });
    }
    let map = r.take(usize::from(size))?;
    let selected = |index: &u8| {
        let byte = map.get(usize::from(index / 8)).copied().unwrap_or(0);
        byte & (1 << (index % 8)) != 0
    };
    Ok(PcrSelection {
        bank,
        pcrs: (0..limits::PCRS).filter(selected).collect(),
    })
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

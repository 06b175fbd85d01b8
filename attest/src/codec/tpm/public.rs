//! TPMT_PUBLIC, its attributes and its name.

use super::{
    ALG_ECDH, ALG_ECDSA, ALG_NULL, ALG_RSAPSS, ALG_RSASSA, SchemeIds, algorithm, bounded, hash_of,
    malformed, padded, unsupported,
};
use crate::codec::reader::Reader;
use crate::expected::Name;
use crate::key::PublicKey;
use crate::limits;
use crate::refusal::Refusal;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

/// TPM_RH_ENDORSEMENT, as the name of the hierarchy.
pub const ENDORSEMENT: u32 = 0x4000_000b;

const ALG_RSA: u16 = 0x0001;
const ALG_RSAES: u16 = 0x0015;
const ALG_OAEP: u16 = 0x0017;
const ALG_ECC: u16 = 0x0023;
const ECC_P256: u16 = 0x0003;
const ECC_P384: u16 = 0x0004;
const ECC_P521: u16 = 0x0005;

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
    if exponent < 3 || exponent % 2 == 0 {
        return Err(malformed(r, format!("{exponent} is no RSA exponent")));
    }
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
        ECC_P521 => 66,
        other => return Err(unsupported("the tpm curve", other)),
    };
    let (Some(x), Some(y)) = (padded(x, field), padded(y, field)) else {
        return Err(malformed(r, format!("a coordinate is over {field} bytes")));
    };
    let point = [[4].as_slice(), &x, &y].concat();
    let boxed = point.into_boxed_slice();
    let key = match curve {
        ECC_P256 => Box::<[u8; 65]>::try_from(boxed).map(PublicKey::P256),
        ECC_P384 => Box::<[u8; 97]>::try_from(boxed).map(PublicKey::P384),
        _ => Box::<[u8; 133]>::try_from(boxed).map(PublicKey::P521),
    };
    key.map_err(|_wrong| malformed(r, format!("the point has no {field}-byte coordinates")))
}

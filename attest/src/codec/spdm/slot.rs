//! Certificate chains as SPDM carries them (DSP0274, 10.7.1): length, root hash, certificates in DER, root first; or the certificates alone.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use der::Tag;
use der::asn1::ObjectIdentifier;

use crate::codec::der::{Walk, single};
use crate::codec::x509::Certificate;
use crate::digest::{Digest, HashAlg};
use crate::limits;
use crate::refusal::Refusal;

const WHAT: &str = "the certificate chain";
/// id-DMTF-spdm-extension (DSP0274, 10.7.2): a list of what is said of the certificate.
pub(crate) const SPDM_EXTENSION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.6");
/// id-DMTF-hardware-identity: the key of this certificate is the hardware's, for its life.
const HARDWARE_IDENTITY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.2");
/// id-DMTF-mutable-certificate: firmware made this certificate and may make it anew.
const MUTABLE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.5");

/// A chain as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotChain {
    root_hash: Option<Digest>,
    certificates: Vec<Vec<u8>>,
}

impl SlotChain {
    /// Whether the bytes begin with their own length, as a slot's content does and no certificate.
    #[must_use]
    pub fn is_slot(bytes: &[u8]) -> bool {
        slot(bytes).is_some()
    }

    /// Parses a slot's content, or concatenated DER. A slot begins with its own length (in 1.4 four bytes, before that two and
    /// two reserved: the same bytes for all that fits here), which no certificate does.
    ///
    /// # Errors
    /// `evidence.*`, `chain.too_long`, `spdm.root_hash` where the root's hash is not what the slot says.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > limits::SPDM_CHAIN_BYTES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::SPDM_CHAIN_BYTES,
            });
        }
        let Some(rest) = slot(bytes) else {
            return Ok(Self {
                root_hash: None,
                certificates: split(bytes)?,
            });
        };
        // The size of the hash is what was negotiated; here it is where the certificates begin.
        let mut refusal = Refusal::Truncated {
            what: WHAT,
            offset: bytes.len(),
        };
        for alg in HashAlg::ALL {
            let Some((hash, certificates)) = rest.split_at_checked(alg.size()) else {
                continue;
            };
            match split(certificates) {
                Ok(certificates) => {
                    let chain = Self {
                        root_hash: Digest::new(alg, hash),
                        certificates,
                    };
                    return chain.check_root().map(|()| chain);
                }
                Err(why) if certificates.first() == Some(&0x30) => refusal = why,
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    /// The hash of the root that the slot states.
    #[must_use]
    pub const fn root_hash(&self) -> Option<&Digest> {
        self.root_hash.as_ref()
    }

    /// The certificates, DER, in the order in which they came: SPDM's is root first.
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// A slot's content: length, reserved, hash of the root, certificates.
    #[must_use]
    pub fn write(alg: HashAlg, certificates: &[Vec<u8>]) -> Vec<u8> {
        let root = certificates.first().map(Vec::as_slice).unwrap_or_default();
        let body = [alg.hash(&[root]).bytes(), &certificates.concat()].concat();
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        [&length.saturating_add(4).to_le_bytes(), body.as_slice()].concat()
    }

    /// A chain may begin below its root (DSP0274, 10.7.1): the hash is then of a certificate that is not there, and says nothing
    /// that the signatures do not say.
    fn check_root(&self) -> Result<(), Refusal> {
        let (Some(hash), Some(first)) = (&self.root_hash, self.certificates.first()) else {
            return Ok(());
        };
        let root = Certificate::parse(first)?;
        if root.is_self_issued() && !hash.same(&hash.alg().hash(&[first])) {
            return Err(Refusal::SpdmRootHash);
        }
        Ok(())
    }
}

/// What follows the length, where the bytes begin with their own.
fn slot(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    (length == bytes.len()).then_some(rest)
}

fn split(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut walk = Walk::new(WHAT, bytes)?;
    let mut certificates = Vec::new();
    while !walk.is_empty() {
        if certificates.len() >= limits::CHAIN_CERTIFICATES {
            return Err(Refusal::ChainTooLong {
                limit: limits::CHAIN_CERTIFICATES,
            });
        }
        certificates.push(walk.expect(Tag::Sequence)?.raw.to_vec());
    }
    if certificates.is_empty() {
        return Err(Refusal::ChainTooShort { limit: 1 });
    }
    Ok(certificates)
}

/// Who makes the last certificate of a chain (DSP0274 1.2, 10.7: certificate models).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Model {
    /// The leaf holds the hardware's own key.
    Device,
    /// The hardware's certificate is a CA, and firmware makes what stands below it anew.
    Alias,
    /// No certificate says which is the hardware's: before 1.2, DICE, and the generic model of 1.3.
    Generic,
}

impl Model {
    /// Of certificates, root first.
    ///
    /// # Errors
    /// `evidence.malformed` for an extension that is not what its name says.
    pub fn of(root_first: &[Certificate]) -> Result<Self, Refusal> {
        let mut model = Self::Generic;
        for certificate in root_first {
            let says = statements(certificate)?;
            if says.contains(&HARDWARE_IDENTITY) {
                model = Self::Device;
            } else if model == Self::Device || says.contains(&MUTABLE) {
                model = Self::Alias;
            }
        }
        Ok(model)
    }

    /// `device`, `alias`, `generic`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Alias => "alias",
            Self::Generic => "generic",
        }
    }
}

/// Whether a certificate says that its key is the hardware's.
///
/// # Errors
/// As [`Model::of`].
pub fn is_hardware_identity(certificate: &Certificate) -> Result<bool, Refusal> {
    Ok(statements(certificate)?.contains(&HARDWARE_IDENTITY))
}

/// `SEQUENCE OF SEQUENCE { OBJECT IDENTIFIER, ANY DEFINED BY it OPTIONAL }`.
fn statements(certificate: &Certificate) -> Result<Vec<ObjectIdentifier>, Refusal> {
    let what = "SPDM extension";
    let Some(extension) = certificate.extension(SPDM_EXTENSION) else {
        return Ok(Vec::new());
    };
    let mut list = Walk::new(what, single(what, Tag::Sequence, &extension.value)?.value)?;
    let mut found = Vec::new();
    while !list.is_empty() {
        if found.len() >= limits::CERTIFICATE_EXTENSIONS {
            return Err(Refusal::TooLarge {
                what,
                limit: limits::CERTIFICATE_EXTENSIONS,
            });
        }
        let mut one = list.sequence()?;
        let oid = one.oid()?;
        if !one.is_empty() {
            one.next()?;
        }
        one.end()?;
        if found.contains(&oid) {
            return Err(Refusal::Malformed {
                what,
                why: "one statement is there twice".to_string(),
            });
        }
        found.push(oid);
    }
    Ok(found)
}

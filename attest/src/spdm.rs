//! Signed measurements (DSP0274, 10.11): a transcript and the leaf of a verified chain become a [`Report`].
//!
//! What the signature covers and how:
//!
//! - 1.0 and 1.1: L2 is every request and response up to the signed one, without its signature. The signature is over its
//!   hash. The hash is not in the transcript, so the key says it: P-256 goes with SHA-256, P-384 with SHA-384, P-521 with
//!   SHA-512; RSA keys have each padding and hash tried.
//! - 1.2 and later: L2 begins with the negotiation, which names signature and hash; the key must be of that kind. What is signed is
//!   100 bytes of context and the hash of L2.
//!
//! The measurements' own hash and any word beside the transcript (a Redfish `HashingAlgorithm`) choose nothing.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use subtle::ConstantTimeEq as _;

use crate::chain::VerifiedChain;
use crate::codec::dice::LayerInfo;
use crate::codec::spdm::Version;
use crate::codec::spdm::algorithms::Asymmetric;
use crate::codec::spdm::block::Block;
use crate::codec::spdm::measurements::Changed;
use crate::codec::spdm::opaque::Opaque;
use crate::codec::spdm::transcript::Transcript;
use crate::digest::HashAlg;
use crate::evidence::dice::DiceIdentity;
use crate::key::{CheckSignature, PublicKey};
use crate::refusal::Refusal;

/// The leaf of a chain that was verified, and the firmware digests that it names. Nothing else checks a transcript.
#[derive(Clone, Debug)]
pub struct Leaf {
    key: PublicKey,
    fwids: Vec<Vec<u8>>,
}

impl Leaf {
    /// Of a verified chain of any kind.
    ///
    /// # Errors
    /// What is wrong with what the leaf says of its firmware.
    pub fn of_chain(chain: &VerifiedChain<'_>) -> Result<Self, Refusal> {
        let index = chain.certificates().len().saturating_sub(1);
        let info = LayerInfo::of(index, chain.leaf())?;
        Ok(Self {
            key: chain.leaf().key().clone(),
            fwids: fwids(info.as_ref()),
        })
    }

    /// Of a DICE identity.
    #[must_use]
    pub fn of_identity(identity: &DiceIdentity) -> Self {
        let info = identity
            .layers()
            .last()
            .and_then(|layer| layer.info.as_ref());
        Self {
            key: identity.leaf().clone(),
            fwids: fwids(info),
        }
    }
}

fn fwids(info: Option<&LayerInfo>) -> Vec<Vec<u8>> {
    info.into_iter()
        .flat_map(LayerInfo::fwids)
        .map(|fwid| fwid.digest.clone())
        .collect()
}

/// Measurements that the leaf's key signed. Whether they answer the right nonce says [`Report::answers`], and whether they may be
/// appraised [`Report::consistent`]: both must be asked.
#[derive(Clone, Copy)]
pub struct Report<'t> {
    transcript: &'t Transcript,
    hash: HashAlg,
}

/// Checks the signature of a transcript under the leaf of a verified chain.
///
/// # Errors
/// `spdm.signature`; `spdm.signature_length` and `spdm.algorithm` where signature, negotiation and key are of different kinds.
pub fn verify<'t>(
    transcript: &'t Transcript,
    leaf: &Leaf,
    check: &dyn CheckSignature,
) -> Result<Report<'t>, Refusal> {
    let signature = transcript.signature();
    for (algorithm, hash) in algorithms(transcript, &leaf.key)? {
        if signature.len() != algorithm.signature_bytes() {
            return Err(Refusal::SpdmSignatureLength {
                found: signature.len(),
            });
        }
        let Some(scheme) = algorithm.scheme(hash) else {
            continue;
        };
        let signed = transcript.signed_bytes();
        let checked = if transcript.version().signs_negotiation() {
            let message = in_context(transcript.version(), hash, signed);
            check.check(&leaf.key, scheme, &message, signature)
        } else {
            check.check(&leaf.key, scheme, signed, signature)
        };
        if checked.is_ok() {
            return Ok(Report { transcript, hash });
        }
    }
    Err(Refusal::SpdmSignature)
}

/// What a signature since 1.2 is over: the version's prefix four times, zeros, the context's name right-aligned, 100 bytes together
/// (DSP0274 1.2, 15), and the hash of L2.
#[must_use]
pub fn in_context(version: Version, hash: HashAlg, signed: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"responder-measurements signing";
    const ALL: usize = 100;
    let prefix: &[u8] = match version {
        Version::V13 => b"dmtf-spdm-v1.3.*",
        Version::V10 | Version::V11 | Version::V12 => b"dmtf-spdm-v1.2.*",
    };
    let mut message = prefix.repeat(4);
    message.resize(ALL.saturating_sub(NAME.len()), 0);
    message.extend_from_slice(NAME);
    message.extend_from_slice(hash.hash(&[signed]).bytes());
    message
}

/// The algorithms by which this key may have signed this transcript.
fn algorithms(
    transcript: &Transcript,
    key: &PublicKey,
) -> Result<Vec<(Asymmetric, HashAlg)>, Refusal> {
    if let Some(agreed) = transcript.negotiation() {
        if !agreed.asymmetric.fits(key) {
            return Err(Refusal::SpdmKey);
        }
        return Ok(alloc::vec![(agreed.asymmetric, agreed.hash)]);
    }
    Ok(match key {
        PublicKey::P256(_) => alloc::vec![(Asymmetric::P256, HashAlg::Sha256)],
        PublicKey::P384(_) => alloc::vec![(Asymmetric::P384, HashAlg::Sha384)],
        PublicKey::P521(_) => alloc::vec![(Asymmetric::P521, HashAlg::Sha512)],
        PublicKey::Rsa { modulus, .. } => {
            let bits = u16::try_from(modulus.len().saturating_mul(8)).unwrap_or(u16::MAX);
            [Asymmetric::RsaPss(bits), Asymmetric::RsaSsa(bits)]
                .into_iter()
                .flat_map(|algorithm| HashAlg::ALL.map(|hash| (algorithm, hash)))
                .collect()
        }
        // EdDSA came with 1.2.
        PublicKey::Ed25519(_) => return Err(Refusal::SpdmKey),
    })
}

impl<'t> Report<'t> {
    /// Whether it answers this nonce, in constant time.
    ///
    /// # Errors
    /// `spdm.nonce`.
    pub fn answers(&self, nonce: &[u8]) -> Result<(), Refusal> {
        if bool::from(self.transcript.nonce().ct_eq(nonce)) {
            Ok(())
        } else {
            Err(Refusal::SpdmNonce)
        }
    }

    /// Whether what is signed holds together: measurements that did not change while they were read, and opaque data that names
    /// the firmware of the leaf's certificate.
    ///
    /// # Errors
    /// `spdm.content_changed`, `spdm.fwid`.
    pub fn consistent(&self, leaf: &Leaf) -> Result<(), Refusal> {
        if self.transcript.changed() == Changed::Yes {
            return Err(Refusal::SpdmContentChanged);
        }
        let zero = |digest: &[u8]| digest.iter().all(|byte| *byte == 0);
        let named = |digest: &[u8]| {
            !zero(digest) && leaf.fwids.iter().any(|fwid| fwid.as_slice() == digest)
        };
        if self.transcript.opaque().fwids().all(named) {
            Ok(())
        } else {
            Err(Refusal::SpdmFwid)
        }
    }

    /// The transcript.
    #[must_use]
    pub const fn transcript(&self) -> &'t Transcript {
        self.transcript
    }

    /// The hash that the signature was made with.
    #[must_use]
    pub const fn hash(&self) -> HashAlg {
        self.hash
    }

    /// The blocks by index.
    #[must_use]
    pub const fn blocks(&self) -> &'t BTreeMap<u8, Block> {
        self.transcript.blocks()
    }

    /// The opaque data of the signed response.
    #[must_use]
    pub const fn opaque(&self) -> &'t Opaque {
        self.transcript.opaque()
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("transcript", &self.transcript)
            .field("hash", &self.hash)
            .finish()
    }
}

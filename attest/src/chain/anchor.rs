//! The roots that are believed: pinned by their SubjectPublicKeyInfo, each with what it vouches for.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::codec::spki;
use crate::codec::x509::{Certificate, KeyUsage};
use crate::digest::sha256;
use crate::key::PublicKey;
use crate::limits;
use crate::refusal::Refusal;

/// The key of "NVIDIA Device Identity CA", the production root of BlueField-3, GPU and NVSwitch device chains.
/// SHA-256 of its SubjectPublicKeyInfo: a90c4eb5acfd3e3d03a25db6a26b84f720ad0503196c627c21ddd48dd85b06a4.
const NVIDIA_DEVICE_IDENTITY: [u8; 97] = [
    0x04, 0x0e, 0x4c, 0x14, 0xa3, 0x3b, 0xf8, 0xa5, 0x62, 0x66, 0x58, 0xdb, 0x41, 0x29, 0x60, 0x7e,
    0x4c, 0xbf, 0x45, 0x19, 0xc4, 0x41, 0x27, 0x16, 0xf4, 0xd0, 0xd9, 0x17, 0xc4, 0x97, 0x80, 0x05,
    0xbd, 0xea, 0xbe, 0xae, 0xfd, 0x57, 0xbc, 0x66, 0x08, 0x2d, 0x71, 0x8a, 0x4f, 0x8b, 0x60, 0x52,
    0xe1, 0x51, 0x6e, 0xe8, 0xa7, 0xc4, 0x22, 0xb8, 0x4d, 0xe8, 0x57, 0x07, 0x1b, 0xb5, 0x8f, 0xd3,
    0x95, 0xbe, 0xa0, 0xcf, 0xa1, 0xc6, 0x3e, 0xe7, 0xc8, 0x0d, 0x6b, 0xd6, 0x39, 0x01, 0xd9, 0x1c,
    0xbb, 0xd1, 0x87, 0xd3, 0x85, 0x7d, 0xc1, 0x6b, 0x5c, 0xce, 0xaf, 0x23, 0x8f, 0xf8, 0xc2, 0x7d,
    0xbd,
];

/// What stands behind a root. It decides the `root` of a result, so it is a fact of the pin, never of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnchorKind {
    /// The maker of the hardware.
    Vendor,
    /// Whoever runs the fleet: the lab's software roots, an fTPM's ceremony.
    Operator,
    /// The maker's engineering parts: real hardware, keys that many hold. Never production.
    Engineering,
}

impl AnchorKind {
    /// `vendor`, `operator`, `engineering`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vendor => "vendor",
            Self::Operator => "operator",
            Self::Engineering => "engineering",
        }
    }
}

/// One pinned root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    name: String,
    kind: AnchorKind,
    spki: Vec<u8>,
    key: PublicKey,
    subject: Option<Vec<u8>>,
    path_len: Option<u32>,
    certificate: Option<[u8; 32]>,
}

impl Anchor {
    /// Pins a SubjectPublicKeyInfo (DER). Chains to it must include the root's own certificate.
    ///
    /// # Errors
    /// What [`spki::parse`] says of the key; `evidence.too_large` for a name over [`limits::TEXT_BYTES`].
    pub fn pin(name: &str, kind: AnchorKind, spki: &[u8]) -> Result<Self, Refusal> {
        if name.len() > limits::TEXT_BYTES {
            return Err(Refusal::TooLarge {
                what: "anchor name",
                limit: limits::TEXT_BYTES,
            });
        }
        let key = spki::parse("anchor", spki)?;
        Ok(Self {
            name: name.to_string(),
            kind,
            spki: spki.to_vec(),
            key,
            subject: None,
            path_len: None,
            certificate: None,
        })
    }

    /// Pins a CA certificate's key, and keeps its name and path length, so that EK chains may leave it out.
    /// Its own signature and dates are not looked at: whoever pins it vouches for it.
    ///
    /// # Errors
    /// As [`Anchor::pin`]; `chain.basic_constraints` and `chain.key_usage` for what may not sign certificates.
    pub fn from_certificate(
        name: &str,
        kind: AnchorKind,
        certificate: &Certificate,
    ) -> Result<Self, Refusal> {
        let constraints = certificate
            .basic_constraints()
            .filter(|constraints| constraints.ca)
            .ok_or(Refusal::ChainBasicConstraints { index: 0 })?;
        if !certificate
            .key_usage()
            .is_some_and(|usage| usage.allows(KeyUsage::KEY_CERT_SIGN))
        {
            return Err(Refusal::ChainKeyUsage { index: 0 });
        }
        Ok(Self {
            subject: Some(certificate.subject().to_vec()),
            path_len: constraints.path_len,
            certificate: Some(sha256(&[certificate.der()])),
            ..Self::pin(name, kind, certificate.spki())?
        })
    }

    /// Pins a key together with the Name (DER) under which it issues, where no certificate says so: chains may leave its certificate out.
    ///
    /// # Errors
    /// As [`Anchor::pin`].
    pub fn issuer(
        name: &str,
        kind: AnchorKind,
        spki: &[u8],
        subject: &[u8],
    ) -> Result<Self, Refusal> {
        Ok(Self {
            subject: Some(subject.to_vec()),
            ..Self::pin(name, kind, spki)?
        })
    }

    /// NVIDIA's production root for device identities.
    #[must_use]
    pub fn nvidia_device_identity() -> Self {
        Self {
            name: "nvidia-device-identity".to_string(),
            kind: AnchorKind::Vendor,
            spki: spki::p384(&NVIDIA_DEVICE_IDENTITY),
            key: PublicKey::P384(Box::new(NVIDIA_DEVICE_IDENTITY)),
            subject: None,
            path_len: None,
            certificate: None,
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands behind it.
    #[must_use]
    pub const fn kind(&self) -> AnchorKind {
        self.kind
    }

    /// The SubjectPublicKeyInfo, DER: what is pinned.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub(crate) const fn key(&self) -> &PublicKey {
        &self.key
    }

    pub(super) fn subject(&self) -> Option<&[u8]> {
        self.subject.as_deref()
    }

    pub(super) const fn path_len(&self) -> Option<u32> {
        self.path_len
    }

    /// Whether this very certificate was pinned, not its key alone.
    pub(super) fn pins(&self, certificate: &Certificate) -> bool {
        self.certificate == Some(sha256(&[certificate.der()]))
    }

    /// Whether this certificate carries the pinned key.
    pub(super) fn is(&self, certificate: Option<&Certificate>) -> bool {
        certificate.is_some_and(|certificate| certificate.spki() == self.spki)
    }
}

/// One or more roots: "no roots" is not a value, so it can't mean "any root".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchors {
    first: Anchor,
    rest: Vec<Anchor>,
}

impl TrustAnchors {
    /// These roots.
    #[must_use]
    pub const fn new(first: Anchor, rest: Vec<Anchor>) -> Self {
        Self { first, rest }
    }

    /// `None` for no roots.
    #[must_use]
    pub fn from_vec(mut anchors: Vec<Anchor>) -> Option<Self> {
        if anchors.is_empty() {
            return None;
        }
        let first = anchors.remove(0);
        Some(Self {
            first,
            rest: anchors,
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Anchor> {
        core::iter::once(&self.first).chain(&self.rest)
    }
}

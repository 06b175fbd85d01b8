//! What is measured: the measurement-map and its values. Nothing here is trusted.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::model::uuid;
use crate::digest::{Digest, HashAlg, hex};
use crate::reference::Need;

/// A measurement-map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measurement {
    /// What is measured.
    pub key: Option<Mkey>,
    /// Its values.
    pub values: Values,
    /// Who may say so.
    pub authorized_by: Vec<CryptoKey>,
}

/// The name of a measured element.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mkey {
    /// A number: an SPDM index, a PCR.
    Uint(u64),
    /// A text.
    Text(String),
    /// An object identifier (tag 111).
    Oid(Vec<u8>),
    /// A UUID (tag 37).
    Uuid([u8; 16]),
    /// A PSA software component (tag 601, before the profiles of 2025): label, version, signer id.
    PsaComponent(Option<String>, Option<String>, Vec<u8>),
    /// A CCA platform configuration (tag 602, before the profiles of 2025): label.
    CcaConfig(String),
}

impl fmt::Display for Mkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uint(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::Oid(bytes) => write!(f, "oid:{}", hex(bytes)),
            Self::Uuid(bytes) => f.write_str(&uuid(bytes)),
            Self::PsaComponent(label, version, signer) => write!(
                f,
                "psa:{}:{}:{}",
                label.as_deref().unwrap_or("-"),
                version.as_deref().unwrap_or("-"),
                hex(signer)
            ),
            Self::CcaConfig(label) => write!(f, "cca-config:{label}"),
        }
    }
}

/// A measurement-values-map: what is there must match, what is not does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// version (0), with its scheme.
    pub version: Option<(String, Option<String>)>,
    /// svn (1).
    pub svn: Option<Svn>,
    /// digests (2).
    pub digests: Vec<AlgDigest>,
    /// flags (3).
    pub flags: Option<Flags>,
    /// raw-value (4) and its mask (5, or inside of tag 563).
    pub raw: Option<Raw>,
    /// mac-addr (6), 6 or 8 bytes.
    pub mac: Option<Vec<u8>>,
    /// ip-addr (7), 4 or 16 bytes.
    pub ip: Option<Vec<u8>>,
    /// serial-number (8).
    pub serial: Option<String>,
    /// ueid (9).
    pub ueid: Option<Vec<u8>>,
    /// uuid (10).
    pub uuid: Option<[u8; 16]>,
    /// name (11).
    pub name: Option<String>,
    /// cryptokeys (13).
    pub keys: Vec<CryptoKey>,
    /// integrity-registers (14).
    pub registers: BTreeMap<RegisterId, Vec<AlgDigest>>,
    /// int-range (15): least and greatest, either open.
    pub range: Option<(Option<i128>, Option<i128>)>,
    /// PSA certificate number (100, in the PSA profile).
    pub psa_cert: Option<String>,
    /// What must hold of the element (-1, in our own profile).
    pub need: Option<Need>,
}

/// A security version number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Svn {
    /// This very one (bare or tag 552).
    Exact(u64),
    /// This one or a later one (tag 553).
    Min(u64),
}

impl Svn {
    /// Whether a measured number is one that is meant.
    #[must_use]
    pub const fn accepts(self, seen: u64) -> bool {
        match self {
            Self::Exact(number) => seen == number,
            Self::Min(least) => seen >= least,
        }
    }
}

impl fmt::Display for Svn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(number) => write!(f, "svn {number}"),
            Self::Min(least) => write!(f, "svn {least} or later"),
        }
    }
}

/// A flags-map: bit n stands for key n, `is-configured` 0 to `is-runtime-updatable` 10.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags {
    /// The flags that are stated.
    pub stated: u16,
    /// Those that are true.
    pub set: u16,
}

/// Names of the flags, by bit.
pub const FLAGS: [&str; 11] = [
    "is-configured",
    "is-secure",
    "is-recovery",
    "is-debug",
    "is-replay-protected",
    "is-integrity-protected",
    "is-runtime-meas",
    "is-immutable",
    "is-tcb",
    "is-confidentiality-protected",
    "is-runtime-updatable",
];

impl Flags {
    /// Whether all that is stated here is stated alike there.
    #[must_use]
    pub const fn accepts(self, seen: Self) -> bool {
        self.stated & seen.stated == self.stated && (self.set ^ seen.set) & self.stated == 0
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stated = FLAGS
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.stated >> bit & 1 == 1)
            .map(|(bit, name)| format!("{name}={}", self.set >> bit & 1 == 1));
        f.write_str(&stated.collect::<Vec<_>>().join(" "))
    }
}

/// A raw value; with a mask, only its bits count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Raw {
    /// The value.
    pub value: Vec<u8>,
    /// As long as the value.
    pub mask: Option<Vec<u8>>,
}

impl Raw {
    /// Equal in length and in every bit that counts.
    #[must_use]
    pub fn accepts(&self, seen: &[u8]) -> bool {
        let bytes = self.value.iter().zip(seen);
        self.value.len() == seen.len()
            && match &self.mask {
                None => self.value == seen,
                Some(mask) => {
                    mask.len() == seen.len()
                        && bytes.zip(mask).all(|((a, b), mask)| (a ^ b) & mask == 0)
                }
            }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mask {
            None => write!(f, "raw:{}", hex(&self.value)),
            Some(mask) => write!(f, "raw:{}/{}", hex(&self.value), hex(mask)),
        }
    }
}

/// The name of an integrity register.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RegisterId {
    /// A number.
    Uint(u64),
    /// A text.
    Text(String),
}

impl fmt::Display for RegisterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uint(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A digest by whatever algorithm; a known one has its length.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlgDigest {
    /// The algorithm as it is written: a number (IANA's named information or COSE), or a name.
    pub alg: AlgId,
    /// The digest.
    pub bytes: Vec<u8>,
}

/// How an algorithm is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlgId {
    /// A number.
    Number(i64),
    /// A name.
    Name(String),
}

impl AlgDigest {
    /// The digest, where its algorithm is one that measurements are compared by.
    #[must_use]
    pub fn known(&self) -> Option<Digest> {
        Digest::new(self.alg.known()?, &self.bytes)
    }
}

impl AlgId {
    /// SHA-256, SHA-384 or SHA-512, however written.
    #[must_use]
    pub fn known(&self) -> Option<HashAlg> {
        match self {
            Self::Number(-16 | 1) => Some(HashAlg::Sha256),
            Self::Number(-43 | 7) => Some(HashAlg::Sha384),
            Self::Number(-44 | 8) => Some(HashAlg::Sha512),
            Self::Name(name) if name == "sha-256" => Some(HashAlg::Sha256),
            Self::Name(name) if name == "sha-384" => Some(HashAlg::Sha384),
            Self::Name(name) if name == "sha-512" => Some(HashAlg::Sha512),
            Self::Number(_) | Self::Name(_) => None,
        }
    }
}

impl From<&Digest> for AlgDigest {
    fn from(digest: &Digest) -> Self {
        Self {
            alg: AlgId::Number(digest.alg().iana().into()),
            bytes: digest.bytes().to_vec(),
        }
    }
}

impl fmt::Display for AlgDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.known(), &self.alg) {
            (Some(digest), _) => write!(f, "{digest}"),
            (None, AlgId::Number(number)) => write!(f, "alg{number}:{}", hex(&self.bytes)),
            (None, AlgId::Name(name)) => write!(f, "{name}:{}", hex(&self.bytes)),
        }
    }
}

/// A crypto-key: what it is written as, not whether it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CryptoKey {
    /// A SubjectPublicKeyInfo, PEM or base64 (tag 554).
    PkixKey(String),
    /// A certificate, PEM or base64 (tag 555).
    PkixCert(String),
    /// A certificate path, PEM or base64 (tag 556).
    PkixPath(String),
    /// A COSE_Key, its encoding (tag 558).
    CoseKey(Vec<u8>),
    /// The digest of a key (tag 557).
    KeyThumbprint(AlgDigest),
    /// The digest of a certificate (tag 559).
    CertThumbprint(AlgDigest),
    /// The digest of a certificate path (tag 561).
    PathThumbprint(AlgDigest),
    /// A certificate, DER (tag 562).
    Der(Vec<u8>),
    /// Bytes (tag 560).
    Bytes(Vec<u8>),
}

impl CryptoKey {
    /// What it is written as: `pkix-base64-key` and so on.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::PkixKey(_) => "pkix-base64-key",
            Self::PkixCert(_) => "pkix-base64-cert",
            Self::PkixPath(_) => "pkix-base64-cert-path",
            Self::CoseKey(_) => "cose-key",
            Self::KeyThumbprint(_) => "key-thumbprint",
            Self::CertThumbprint(_) => "cert-thumbprint",
            Self::PathThumbprint(_) => "cert-path-thumbprint",
            Self::Der(_) => "pkix-asn1der-cert",
            Self::Bytes(_) => "bytes",
        }
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        if let Some((version, _)) = &self.version {
            parts.push(format!("version {version}"));
        }
        parts.extend(self.svn.map(|svn| svn.to_string()));
        parts.extend(self.digests.iter().map(ToString::to_string));
        parts.extend(self.flags.map(|flags| flags.to_string()));
        parts.extend(self.raw.as_ref().map(ToString::to_string));
        parts.extend(self.mac.as_ref().map(|mac| format!("mac:{}", hex(mac))));
        parts.extend(self.ip.as_ref().map(|ip| format!("ip:{}", hex(ip))));
        parts.extend(
            self.serial
                .as_ref()
                .map(|serial| format!("serial {serial}")),
        );
        parts.extend(self.ueid.as_ref().map(|ueid| format!("ueid:{}", hex(ueid))));
        parts.extend(self.uuid.as_ref().map(uuid));
        parts.extend(self.name.as_ref().map(|name| format!("name {name}")));
        for (id, digests) in &self.registers {
            parts.extend(
                digests
                    .iter()
                    .map(|digest| format!("register {id} {digest}")),
            );
        }
        if let Some((least, greatest)) = self.range {
            let text =
                |bound: Option<i128>| bound.map_or_else(|| "..".to_string(), |n| n.to_string());
            parts.push(format!("from {} to {}", text(least), text(greatest)));
        }
        f.write_str(&parts.join(", "))
    }
}

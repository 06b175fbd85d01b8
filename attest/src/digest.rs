//! Digests: an algorithm and as many bytes as it says.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use sha2::Digest as _;
use subtle::ConstantTimeEq as _;

/// The hash algorithms in use. SHA-1 is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlg {
    /// SHA-256 (FIPS 180-4), 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl HashAlg {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Bytes of a digest.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// `sha256`, `sha384`, `sha512`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The number in IANA's registry of named information hashes, as CoRIM writes it; 256 to 512 bits only.
    #[must_use]
    pub const fn iana(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha384 => 7,
            Self::Sha512 => 8,
        }
    }

    /// The algorithm of that number.
    #[must_use]
    pub fn from_iana(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.iana() == number)
    }

    /// Hashes `parts` one after the other.
    #[must_use]
    pub fn hash(self, parts: &[&[u8]]) -> Digest {
        let bytes = match self {
            Self::Sha256 => run::<sha2::Sha256>(parts),
            Self::Sha384 => run::<sha2::Sha384>(parts),
            Self::Sha512 => run::<sha2::Sha512>(parts),
        };
        Digest { alg: self, bytes }
    }
}

fn run<H: sha2::Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut hasher = H::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_vec()
}

/// SHA-256 over `parts`, one after the other.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = sha2::Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// A digest whose length fits its algorithm.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    alg: HashAlg,
    bytes: Vec<u8>,
}

impl Digest {
    /// `None` where the length is not the algorithm's.
    #[must_use]
    pub fn new(alg: HashAlg, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == alg.size()).then(|| Self {
            alg,
            bytes: bytes.to_vec(),
        })
    }

    /// The algorithm.
    #[must_use]
    pub const fn alg(&self) -> HashAlg {
        self.alg
    }

    /// The digest itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Equal in constant time (for equal algorithms).
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.alg == other.alg && bool::from(self.bytes.ct_eq(&other.bytes))
    }

    /// Whether every byte is zero: "present but unused" in some firmware; no reference value may say so.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.alg.name(), hex(&self.bytes))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_the_length_of_its_algorithm() {
        for alg in HashAlg::ALL {
            assert!(Digest::new(alg, &alloc::vec![1; alg.size()]).is_some());
            assert!(Digest::new(alg, &alloc::vec![1; alg.size() - 1]).is_none());
            assert!(Digest::new(alg, &alloc::vec![1; alg.size() + 1]).is_none());
            assert_eq!(HashAlg::from_iana(alg.iana()), Some(alg));
        }
        assert_eq!(HashAlg::from_iana(0), None);
    }

    #[test]
    fn hashes_are_the_standards() {
        assert_eq!(
            HashAlg::Sha256.hash(&[b"a", b"bc"]).to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(
            HashAlg::Sha384
                .hash(&[b"abc"])
                .to_string()
                .starts_with("sha384:cb00753f45a35e8bb5a03d699ac65007")
        );
        assert!(
            HashAlg::Sha512
                .hash(&[b"abc"])
                .to_string()
                .starts_with("sha512:ddaf35a193617abacc417349ae204131")
        );
    }

    use alloc::string::ToString as _;
}

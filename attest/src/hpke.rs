//! The agent's HPKE key as evidence states it (RFC 9180): suite and public key, no cryptography.

use crate::refusal::Refusal;
use alloc::format;
use alloc::vec::Vec;

/// HKDF-SHA256 (RFC 9180, 7.2), the only KDF.
pub const KDF: u16 = 0x0001;
/// AES-256-GCM (RFC 9180, 7.3), the only AEAD.
pub const AEAD: u16 = 0x0002;

/// DHKEM, by the number of RFC 9180, section 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kem {
    /// DHKEM(P-256, HKDF-SHA256), 0x0010; the key is an uncompressed point, 65 bytes.
    P256,
    /// DHKEM(X25519, HKDF-SHA256), 0x0020; the key has 32 bytes.
    X25519,
}

impl Kem {
    /// The number in the registry.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::P256 => 0x0010,
            Self::X25519 => 0x0020,
        }
    }

    /// Bytes of a public key.
    #[must_use]
    pub const fn public_key_bytes(self) -> usize {
        match self {
            Self::P256 => 65,
            Self::X25519 => 32,
        }
    }
}

/// A public key with its suite; the length is right, the point itself is checked by whoever seals to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HpkeKey {
    kem: Kem,
    public: Vec<u8>,
}

impl HpkeKey {
    /// A key for `kem`.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] where the length is not the KEM's.
    pub fn new(kem: Kem, public: &[u8]) -> Result<Self, Refusal> {
        let good_form = match kem {
            Kem::P256 => public.first() == Some(&4),
            Kem::X25519 => true,
        };
        if public.len() != kem.public_key_bytes() || !good_form {
            return Err(Refusal::Malformed {
                what: "the hpke key",
                why: format!("{} bytes do not fit its kem", public.len()),
            });
        }
        Ok(Self {
            kem,
            public: public.to_vec(),
        })
    }

    /// Parses kem, kdf and aead (big-endian u16 each) and the public key.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Unsupported`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let Some((suite, public)) = bytes.split_first_chunk::<6>() else {
            return Err(Refusal::Truncated {
                what: "the hpke key",
                offset: bytes.len(),
            });
        };
        let kem = [Kem::P256, Kem::X25519]
            .into_iter()
            .find(|kem| suite_of(*kem) == *suite);
        let kem = kem.ok_or_else(|| Refusal::Unsupported {
            what: "the hpke suite",
            found: crate::digest::hex(suite),
        })?;
        Self::new(kem, public)
    }

    /// As [`HpkeKey::parse`] reads it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = suite_of(self.kem).to_vec();
        bytes.extend_from_slice(&self.public);
        bytes
    }

    /// The KEM.
    #[must_use]
    pub const fn kem(&self) -> Kem {
        self.kem
    }

    /// The public key alone.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }
}

const fn suite_of(kem: Kem) -> [u8; 6] {
    let [a, b] = kem.id().to_be_bytes();
    let [c, d] = KDF.to_be_bytes();
    let [e, f] = AEAD.to_be_bytes();
    [a, b, c, d, e, f]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_round_trip_and_others_are_refused() {
        let x = HpkeKey::new(Kem::X25519, &[7; 32]).unwrap();
        assert_eq!(x.to_bytes()[..6], [0, 0x20, 0, 1, 0, 2]);
        assert_eq!(HpkeKey::parse(&x.to_bytes()), Ok(x.clone()));
        let mut point = [9; 65];
        point[0] = 4;
        let p = HpkeKey::new(Kem::P256, &point).unwrap();
        assert_eq!(HpkeKey::parse(&p.to_bytes()), Ok(p));
        for at in 0..6 {
            let mut other = x.to_bytes();
            other[at] ^= 0x40;
            assert_eq!(
                HpkeKey::parse(&other).unwrap_err().code(),
                "evidence.unsupported"
            );
        }
        for end in 0..x.to_bytes().len() {
            assert!(HpkeKey::parse(&x.to_bytes()[..end]).is_err());
        }
        assert!(HpkeKey::new(Kem::P256, &[9; 65]).is_err());
    }
}

//! Encryption of what the database keeps: AES-256-GCM, bound to the very row that it stands in.

use assay_api::lp;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use super::KeyFault;

/// The at-rest key's version, first byte of all that is sealed under it.
const VERSION: u8 = 1;

/// Where a sealed value stands. Moved to another row, tenant, purpose or version, or beside another public key, it does not
/// open.
#[derive(Clone, Copy, Debug)]
pub struct SealedAs<'a> {
    /// The table.
    pub table: &'a str,
    /// The row's key, as [`AsKey::text`](crate::store::AsKey::text) writes it.
    pub row: &'a str,
    /// The tenant; empty for what is global.
    pub tenant: &'a str,
    /// What it is for.
    pub purpose: &'a str,
    /// Its version.
    pub version: u64,
    /// The public key that belongs to it; empty where there is none.
    pub public: &'a [u8],
}

impl SealedAs<'_> {
    fn aad(&self) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        lp::join(&[
            b"assay/at-rest/1",
            self.table.as_bytes(),
            self.row.as_bytes(),
            self.tenant.as_bytes(),
            self.purpose.as_bytes(),
            &version,
            self.public,
        ])
    }
}

/// The at-rest key.
#[derive(Debug)]
pub struct AtRest(RandomizedNonceKey);

impl AtRest {
    pub(super) fn new(key: &[u8; 32]) -> Result<Self, KeyFault> {
        RandomizedNonceKey::new(&AES_256_GCM, key)
            .map(Self)
            .map_err(|_| KeyFault::Sealed)
    }

    /// Seals: version byte, 12-byte random nonce, ciphertext, 16-byte tag.
    ///
    /// # Errors
    /// [`KeyFault::Random`] where no nonce can be had.
    pub fn seal(&self, place: &SealedAs<'_>, plaintext: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let mut body = Zeroizing::new(plaintext.to_vec());
        let mut tagged = Vec::new();
        let nonce = self
            .0
            .seal_in_place_separate_tag(Aad::from(place.aad()), &mut body)
            .map(|(nonce, tag)| {
                tagged.extend_from_slice(tag.as_ref());
                nonce
            })
            .map_err(|_| KeyFault::Random("no nonce".into()))?;
        Ok([
            &[VERSION],
            nonce.as_ref().as_slice(),
            body.as_slice(),
            &tagged,
        ]
        .concat())
    }

    /// Opens what [`AtRest::seal`] made for the same place.
    ///
    /// # Errors
    /// [`KeyFault::Sealed`], whatever is wrong.
    pub fn open(
        &self,
        place: &SealedAs<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
        let (version, rest) = sealed.split_first().ok_or(KeyFault::Sealed)?;
        let (nonce, body) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(KeyFault::Sealed)?;
        if *version != VERSION {
            return Err(KeyFault::Sealed);
        }
        let mut body = Zeroizing::new(body.to_vec());
        let nonce = Nonce::from(nonce);
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(place.aad()), &mut body)
            .map_err(|_| KeyFault::Sealed)?;
        let length = opened.len();
        body.truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: SealedAs<'static> = SealedAs {
        table: "signing_key",
        row: "a,b,1",
        tenant: "a",
        purpose: "b",
        version: 1,
        public: b"pub",
    };

    #[test]
    fn i7_sealed_bytes_open_in_their_place_only() {
        let key = AtRest::new(&[3; 32]).unwrap();
        let sealed = key.seal(&PLACE, b"private").unwrap();
        assert_eq!(key.open(&PLACE, &sealed).unwrap().as_slice(), b"private");
        assert_ne!(
            sealed,
            key.seal(&PLACE, b"private").unwrap(),
            "a nonce is never used twice"
        );
        for moved in [
            SealedAs {
                table: "other",
                ..PLACE
            },
            SealedAs {
                row: "a,b,2",
                ..PLACE
            },
            SealedAs {
                tenant: "c",
                ..PLACE
            },
            SealedAs {
                purpose: "c",
                ..PLACE
            },
            SealedAs {
                version: 2,
                ..PLACE
            },
            SealedAs {
                public: b"puc",
                ..PLACE
            },
            SealedAs {
                tenant: "ab",
                purpose: "",
                ..PLACE
            },
        ] {
            assert_eq!(key.open(&moved, &sealed).unwrap_err(), KeyFault::Sealed);
        }
        assert!(
            AtRest::new(&[4; 32])
                .unwrap()
                .open(&PLACE, &sealed)
                .is_err()
        );
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_refused() {
        let key = AtRest::new(&[3; 32]).unwrap();
        let sealed = key.seal(&PLACE, b"p").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&PLACE, &changed).is_err(), "bit {bit}");
        }
        assert!((0..sealed.len()).all(|n| key.open(&PLACE, &sealed[..n]).is_err()));
    }
}

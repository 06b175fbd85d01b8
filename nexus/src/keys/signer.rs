//! Who signs: a trait, so that a key may live in an HSM or a KMS, and keys in software behind it.

use std::fmt;

use assay_attest::key::PublicKey;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use zeroize::Zeroizing;

use super::KeyFault;

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032); signatures of 64 bytes.
    Ed25519,
    /// ECDSA on P-256 with SHA-256; signatures are r and s, 64 bytes.
    P256,
}

/// Something that holds a private key and signs with it. Implementations may block (an HSM, a KMS): call them off the
/// request threads where they do.
pub trait Signer: Send + Sync + fmt::Debug {
    /// The public half.
    fn public(&self) -> &PublicKey;

    /// Signs the message itself, not its digest.
    ///
    /// # Errors
    /// [`KeyFault::Signing`] where the holder of the key refuses.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyFault>;
}

/// A fresh key pair, before it is sealed and stored.
pub struct KeyPair {
    /// PKCS#8 (RFC 5958), DER.
    pub private: Zeroizing<Vec<u8>>,
    /// The public half.
    pub public: PublicKey,
}

impl KeyPair {
    /// Makes one.
    ///
    /// # Errors
    /// [`KeyFault::Random`].
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyFault> {
        let random = SystemRandom::new();
        let document = match algorithm {
            Algorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
            Algorithm::P256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            }
        };
        let document = document.map_err(|_| KeyFault::Random("no key was made".into()))?;
        let private = Zeroizing::new(document.as_ref().to_vec());
        let public = SoftwareSigner::from_pkcs8(algorithm, &private)?.public;
        Ok(Self { private, public })
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// A key in this process. The library wipes the private half when it is dropped.
pub struct SoftwareSigner {
    key: Key,
    public: PublicKey,
}

enum Key {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl SoftwareSigner {
    /// From PKCS#8.
    ///
    /// # Errors
    /// [`KeyFault::Signing`] where the bytes are no key of this algorithm.
    pub fn from_pkcs8(algorithm: Algorithm, private: &[u8]) -> Result<Self, KeyFault> {
        match algorithm {
            Algorithm::Ed25519 => Self::ed25519(Ed25519KeyPair::from_pkcs8(private)),
            Algorithm::P256 => {
                let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private);
                let key = key.map_err(|_| KeyFault::Signing)?;
                let point = <[u8; 65]>::try_from(key.public_key().as_ref())
                    .map_err(|_| KeyFault::Signing)?;
                Ok(Self {
                    key: Key::P256(key),
                    public: PublicKey::P256(Box::new(point)),
                })
            }
        }
    }

    /// An Ed25519 key from its 32-byte seed.
    ///
    /// # Errors
    /// [`KeyFault::Signing`].
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyFault> {
        Self::ed25519(Ed25519KeyPair::from_seed_unchecked(seed))
    }

    fn ed25519(
        key: Result<Ed25519KeyPair, aws_lc_rs::error::KeyRejected>,
    ) -> Result<Self, KeyFault> {
        let key = key.map_err(|_| KeyFault::Signing)?;
        let public =
            <[u8; 32]>::try_from(key.public_key().as_ref()).map_err(|_| KeyFault::Signing)?;
        Ok(Self {
            key: Key::Ed25519(key),
            public: PublicKey::Ed25519(public),
        })
    }
}

impl Signer for SoftwareSigner {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyFault> {
        let signature = match &self.key {
            Key::Ed25519(key) => key.sign(message),
            Key::P256(key) => key
                .sign(&SystemRandom::new(), message)
                .map_err(|_| KeyFault::Signing)?,
        };
        <[u8; 64]>::try_from(signature.as_ref()).map_err(|_| KeyFault::Signing)
    }
}

impl fmt::Debug for SoftwareSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareSigner")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn both_algorithms_sign_what_their_public_keys_verify() {
        for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
            let pair = KeyPair::generate(algorithm).unwrap();
            let signer = SoftwareSigner::from_pkcs8(algorithm, &pair.private).unwrap();
            assert_eq!(signer.public(), &pair.public);
            let signature = signer.sign(b"message").unwrap();
            match &pair.public {
                PublicKey::Ed25519(key) => {
                    UnparsedPublicKey::new(&ED25519, key).verify(b"message", &signature)
                }
                PublicKey::P256(key) => {
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.as_slice())
                        .verify(b"message", &signature)
                }
                PublicKey::P384(_) | PublicKey::P521(_) | PublicKey::Rsa { .. } => unreachable!(),
            }
            .unwrap();
        }
    }

    #[test]
    fn a_key_of_the_other_algorithm_is_refused() {
        let pair = KeyPair::generate(Algorithm::P256).unwrap();
        assert_eq!(
            SoftwareSigner::from_pkcs8(Algorithm::Ed25519, &pair.private).unwrap_err(),
            KeyFault::Signing
        );
    }

    #[test]
    fn i7_debug_hides_private_keys() {
        let pair = KeyPair::generate(Algorithm::Ed25519).unwrap();
        let seed = &format!("{:?}", pair.private.as_slice())[40..80];
        assert!(!format!("{pair:?}").contains(seed));
        let signer = SoftwareSigner::from_pkcs8(Algorithm::Ed25519, &pair.private).unwrap();
        assert!(!format!("{signer:?}").contains(seed));
    }
}

//! Signature checks without C, for the agent and the host side: Ed25519 and ECDSA on P-256.
//!
//! The nexus and the CLI use aws-lc through the same trait.

use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use p256::ecdsa::signature::Verifier;

/// Checks with ed25519-dalek and p256. RSA and P-384 are refused: no protocol between our own processes uses them.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoftwareChecks;

impl CheckSignature for SoftwareChecks {
    fn check(
        &self,
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        match (key, scheme) {
            (PublicKey::Ed25519(key), Scheme::Ed25519) => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| BadSignature)?;
                let signature =
                    ed25519_dalek::Signature::from_slice(signature).map_err(|_| BadSignature)?;
                key.verify_strict(message, &signature)
                    .map_err(|_| BadSignature)
            }
            (PublicKey::P256(point), Scheme::EcdsaSha256) => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&**point)
                    .map_err(|_| BadSignature)?;
                let signature =
                    p256::ecdsa::Signature::from_slice(signature).map_err(|_| BadSignature)?;
                key.verify(message, &signature).map_err(|_| BadSignature)
            }
            _ => Err(BadSignature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ecdsa_signature_of_zeros_is_none() {
        let secret = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let point = secret.verifying_key().to_sec1_point(false);
        let key = PublicKey::P256(Box::new(point.as_bytes().try_into().unwrap()));
        assert!(
            SoftwareChecks
                .check(&key, Scheme::EcdsaSha256, b"m", &[0; 64])
                .is_err()
        );
    }

    #[test]
    fn a_small_order_ed25519_key_vouches_for_nothing() {
        let mut key = [0; 32];
        key[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(
            SoftwareChecks
                .check(&PublicKey::Ed25519(key), Scheme::Ed25519, b"m", &signature)
                .is_err()
        );
    }

    #[test]
    fn a_scheme_that_is_not_the_keys_is_refused() {
        let key = PublicKey::Ed25519([7; 32]);
        assert!(
            SoftwareChecks
                .check(&key, Scheme::EcdsaSha256, b"m", &[1; 64])
                .is_err()
        );
    }
}

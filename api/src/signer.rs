//! Whoever can sign requests: a key in memory, in a TPM, or in ssh-agent.

use p256::ecdsa::signature::Signer;

use crate::jose::{JoseFault, Jwk};

/// A key that signs requests. Private keys never come out of it.
pub trait RequestSigner: Send + Sync {
    /// The public key.
    fn jwk(&self) -> &Jwk;

    /// The name under which the nexus knows the key; `None` before enrolment, when proofs carry the key itself.
    fn kid(&self) -> Option<&str>;

    /// Signs: Ed25519, or ECDSA with SHA-256 as r and s. May block, as a TPM does.
    ///
    /// # Errors
    /// [`SignFailed`].
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFailed>;
}

/// The key could not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key could not sign: {0}")]
pub struct SignFailed(pub String);

/// An Ed25519 key in memory; wiped when dropped.
pub struct Ed25519Signer {
    secret: ed25519_dalek::SigningKey,
    jwk: Jwk,
    kid: Option<String>,
}

impl Ed25519Signer {
    /// From the 32-byte seed (RFC 8032, 5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32], kid: Option<String>) -> Self {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        Self {
            jwk: Jwk::ed25519(secret.verifying_key().to_bytes()),
            secret,
            kid,
        }
    }
}

impl RequestSigner for Ed25519Signer {
    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFailed> {
        Ok(self.secret.sign(message).to_bytes())
    }
}

impl std::fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ed25519Signer")
            .field("jwk", &self.jwk)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// A P-256 key in memory; wiped when dropped.
pub struct P256Signer {
    secret: p256::ecdsa::SigningKey,
    jwk: Jwk,
    kid: Option<String>,
}

impl P256Signer {
    /// From the 32-byte scalar, big-endian.
    ///
    /// # Errors
    /// [`JoseFault::Key`] for zero or a number not below the group's order.
    pub fn from_scalar(scalar: &[u8; 32], kid: Option<String>) -> Result<Self, JoseFault> {
        let secret = p256::ecdsa::SigningKey::from_slice(scalar).map_err(|_| JoseFault::Key)?;
        let point = secret.verifying_key().to_sec1_point(false);
        let jwk = Jwk::p256(point.as_bytes().try_into().map_err(|_| JoseFault::Key)?)?;
        Ok(Self { secret, jwk, kid })
    }
}

impl RequestSigner for P256Signer {
    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFailed> {
        let signature: p256::ecdsa::Signature = self
            .secret
            .try_sign(message)
            .map_err(|e| SignFailed(e.to_string()))?;
        Ok(signature.to_bytes().into())
    }
}

impl std::fmt::Debug for P256Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("P256Signer")
            .field("jwk", &self.jwk)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::SoftwareChecks;

    #[test]
    fn both_kinds_sign_what_their_keys_verify() {
        let ed = Ed25519Signer::from_seed(&[7; 32], Some("k-1".into()));
        let ec = P256Signer::from_scalar(&[7; 32], None).unwrap();
        let both: [&dyn RequestSigner; 2] = [&ed, &ec];
        for signer in both {
            let signature = signer.sign(b"message").unwrap();
            assert_eq!(
                signer.jwk().check(&SoftwareChecks, b"message", &signature),
                Ok(())
            );
            assert!(
                signer
                    .jwk()
                    .check(&SoftwareChecks, b"massage", &signature)
                    .is_err()
            );
        }
    }

    #[test]
    fn i7_debug_shows_no_secret() {
        let ed = format!("{:?}", Ed25519Signer::from_seed(&[7; 32], None));
        let ec = format!("{:?}", P256Signer::from_scalar(&[7; 32], None).unwrap());
        assert!(!ed.contains("7, 7") && !ec.contains("7, 7"), "{ed} {ec}");
    }
}

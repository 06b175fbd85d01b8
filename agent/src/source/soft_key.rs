//! The request key of a machine without a TPM: an Ed25519 seed in a file. Results then say `key=nonce`.

use super::{Keys, SourceError, TpmIdentity};
use assay_attest::expected::RequestKey;
use assay_attest::key::PublicKey;
use ed25519_dalek::{Signer as _, SigningKey};
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// A key in memory, wiped when dropped.
pub struct SoftKey {
    key: SigningKey,
    request_key: RequestKey,
}

impl SoftKey {
    /// Reads the seed (32 bytes, file 0600), or makes one.
    ///
    /// # Errors
    /// [`SourceError::File`].
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let key = SigningKey::from_bytes(&*seed(path)?);
        let public = PublicKey::Ed25519(key.verifying_key().to_bytes());
        let request_key = RequestKey::new(public).ok_or(SourceError::Closed)?;
        Ok(Self { key, request_key })
    }
}

/// 32 secret bytes from a file, made where it is missing.
///
/// # Errors
/// [`SourceError::File`].
pub fn seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, SourceError> {
    let fault = |why: String| SourceError::File {
        path: path.display().to_string(),
        why,
    };
    if let Some(bytes) = crate::files::read(path, 32).map_err(|e| fault(e.to_string()))? {
        let bytes = Zeroizing::new(bytes);
        return <[u8; 32]>::try_from(bytes.as_slice())
            .map(Zeroizing::new)
            .map_err(|_other| fault("the file is not 32 bytes".into()));
    }
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|e| fault(e.to_string()))?;
    crate::files::write(path, &*seed).map_err(|e| fault(e.to_string()))?;
    Ok(seed)
}

impl Keys for SoftKey {
    fn request_key(&self) -> &RequestKey {
        &self.request_key
    }

    fn sign(&mut self, message: &[u8]) -> Result<[u8; 64], SourceError> {
        Ok(self.key.sign(message).to_bytes())
    }

    fn identity(&self) -> Option<&TpmIdentity> {
        None
    }

    fn activate(&mut self, _: &[u8], _: &[u8]) -> Result<[u8; 32], SourceError> {
        Err(SourceError::Asked {
            what: "a credential activated without a tpm".into(),
        })
    }
}

impl fmt::Debug for SoftKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftKey")
            .field("thumbprint", &self.request_key.thumbprint_text())
            .finish_non_exhaustive()
    }
}

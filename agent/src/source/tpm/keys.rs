//! The file of a TPM's keys: public areas and private parts wrapped by the TPM, so nothing in it is a secret.

use super::SourceError;
use assay_api::types::B64;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The EK templates that are used (TCG EK Credential Profile 2.5, B.3 and B.4), the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum EkKind {
    /// ECC P-384, H-3.
    #[serde(rename = "p384")]
    P384,
    /// ECC P-256, L-2.
    #[serde(rename = "p256")]
    P256,
    /// RSA 2048, L-1.
    #[serde(rename = "rsa2048")]
    Rsa2048,
}

impl EkKind {
    pub(super) const ALL: [Self; 3] = [Self::P384, Self::P256, Self::Rsa2048];
}

/// One key: TPMT_PUBLIC and the content of a TPM2B_PRIVATE.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Blob {
    pub(super) public: B64,
    pub(super) private: B64,
}

/// What the file holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    pub(super) version: u32,
    pub(super) ek: EkKind,
    pub(super) ak: Blob,
    pub(super) request_key: Blob,
}

impl KeyFile {
    pub(super) const VERSION: u32 = 1;

    pub(super) fn load(path: &Path) -> Result<Option<Self>, SourceError> {
        let fault = |why: String| SourceError::File {
            path: path.display().to_string(),
            why,
        };
        let Some(bytes) = crate::files::read(path, 64 * 1024).map_err(|e| fault(e.to_string()))?
        else {
            return Ok(None);
        };
        let keys: Self = serde_json::from_slice(&bytes).map_err(|e| fault(e.to_string()))?;
        if keys.version == Self::VERSION {
            Ok(Some(keys))
        } else {
            Err(fault(format!(
                "version {} is not known to this agent",
                keys.version
            )))
        }
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), SourceError> {
        let fault = |why: String| SourceError::File {
            path: path.display().to_string(),
            why,
        };
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| fault(e.to_string()))?;
        crate::files::write(path, &bytes).map_err(|e| fault(e.to_string()))
    }
}

//! What the host remembers of its manifests. It is replaced in the same journalled step as sshd's files.

use crate::fault::Fault;
use crate::files;
use assay_api::manifest::InForce;
use assay_api::manifest::Manifest;
use assay_api::signed::{DeliveryKeys, Verified};
use assay_attest::time::Timestamp;
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The last manifest that was in force, and the delivery keys that it announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// Its sequence: no lower one is taken, ever.
    pub sequence: u64,
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
    /// When it was made.
    pub issued: Timestamp,
    /// Until when CA logins work.
    pub not_after: Timestamp,
    // DeliveryKeys has a CBOR form alone.
    delivery_current: [u8; 32],
    delivery_next: Option<[u8; 32]>,
    /// The manifest, base64; absent after a purge.
    manifest: Option<String>,
    /// A later manifest of which the revocation list alone is in place: what came before it is not taken any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<Floor>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Floor {
    sequence: u64,
    digest: [u8; 32],
}

impl Record {
    /// Of a manifest.
    #[must_use]
    pub fn of(verified: &Verified<Manifest>) -> Self {
        let manifest = verified.content();
        Self {
            version: 1,
            sequence: manifest.sequence,
            digest: verified.digest(),
            issued: manifest.issued,
            not_after: manifest.not_after,
            delivery_current: manifest.delivery_keys.current,
            delivery_next: manifest.delivery_keys.next,
            manifest: Some(Base64::encode_string(verified.bytes())),
            floor: None,
        }
    }

    /// This one still in force, with the revocation list of `next`.
    #[must_use]
    pub fn under(&self, next: &Self) -> Self {
        Self {
            floor: Some(Floor {
                sequence: next.sequence,
                digest: next.digest,
            }),
            ..self.clone()
        }
    }

    /// The sequence of the later manifest whose revocation list is in place of this one's.
    #[must_use]
    pub fn newer_list(&self) -> Option<u64> {
        self.floor.as_ref().map(|floor| floor.sequence)
    }

    /// The delivery keys that are pinned from then on.
    #[must_use]
    pub const fn delivery_keys(&self) -> DeliveryKeys {
        DeliveryKeys {
            current: self.delivery_current,
            next: self.delivery_next,
        }
    }

    /// The same without content: sequence and pins outlive a purge, so that it opens no way back.
    #[must_use]
    pub fn purged(self) -> Self {
        Self {
            manifest: None,
            ..self
        }
    }

    /// Whether its content was taken out again.
    #[must_use]
    pub const fn is_purged(&self) -> bool {
        self.manifest.is_none()
    }

    /// The manifest as it came.
    #[must_use]
    pub fn manifest(&self) -> Option<Vec<u8>> {
        Base64::decode_vec(self.manifest.as_deref()?).ok()
    }

    /// What a next manifest is held against.
    #[must_use]
    pub const fn in_force(&self) -> InForce {
        match &self.floor {
            Some(floor) => InForce {
                sequence: floor.sequence,
                digest: floor.digest,
            },
            None => InForce {
                sequence: self.sequence,
                digest: self.digest,
            },
        }
    }

    /// Reads it; `None` where nothing was ever installed.
    ///
    /// # Errors
    /// [`Fault::Damaged`]: it is never taken for absent, since that would let an old manifest in.
    pub fn read(path: &Path) -> Result<Option<Self>, Fault> {
        let Some(bytes) = files::read(path)? else {
            return Ok(None);
        };
        let damaged = |why: String| Fault::Damaged {
            path: path.display().to_string(),
            why,
        };
        let record: Self =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if record.version == 1 {
            Ok(Some(record))
        } else {
            Err(damaged(format!("it has version {}", record.version)))
        }
    }

    /// As it is stored.
    ///
    /// # Errors
    /// None that can happen.
    pub fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(std::io::Error::other)
    }
}

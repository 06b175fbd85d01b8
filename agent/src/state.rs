//! What the agent keeps at rest (0700 directory, 0600 files): who it is, its pins, the last audit head. No lease, ever.

use crate::files;
use assay_api::htu::Htu;
use assay_api::id::{DeviceId, TenantId};
use assay_api::log::{Checkpoint, LogKey};
use assay_api::signed::DeliveryKeys;
use assay_api::types::{B64, Trust};
use assay_tls::{CertKey, NexusId, Pins};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

const IDENTITY: &str = "agent.json";
const HEAD: &str = "audit-head";
const CHANNEL: &str = "channel.seed";
const VERSION: u32 = 1;

/// The state directory.
#[derive(Clone, Debug)]
pub struct State {
    dir: PathBuf,
}

/// Who this agent is, and whom it believes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Version of this file.
    pub version: u32,
    /// The device.
    pub device_id: DeviceId,
    /// Its name.
    pub name: String,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// `kid` of its proofs.
    pub key_id: String,
    /// The nexus.
    pub url: String,
    /// Pin of the nexus's root (32 bytes).
    pub root: B64,
    /// Pin of the next root, once announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_root: Option<B64>,
    /// Name of the audit log.
    pub log_origin: String,
    /// Its key, Ed25519 (32 bytes).
    pub log_key: B64,
    /// Key that signs manifests, pairings and secrets, Ed25519 (32 bytes).
    pub delivery_key: B64,
    /// The one that comes next, once announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_delivery_key: Option<B64>,
    /// Admin keys that may sign a recovery statement after a restore (design, section 10), Ed25519. None are pinned yet: without one,
    /// a log that was rolled back is accepted by enrolling anew only.
    #[serde(default)]
    pub recovery_keys: Vec<B64>,
}

/// State that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file could not be read or written.
    #[error("`{path}`: {source}")]
    File {
        /// Which.
        path: String,
        /// What is wrong.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error(
        "`{path}` is damaged ({why}): restore it, or empty the state directory and enrol with a new claim"
    )]
    Damaged {
        /// Which.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// There is no identity yet.
    #[error(
        "this dpu is not enrolled: run `assay-agent enrol --claim-file FILE` with a claim from `assay dpu claim`"
    )]
    NotEnrolled,
    /// There is one already.
    #[error("this dpu is enrolled already as {device}: to enrol it anew, empty `{dir}` first")]
    Enrolled {
        /// The device.
        device: String,
        /// The state directory.
        dir: String,
    },
    /// The nexus shows another key than the one pinned.
    #[error("the nexus shows another {what} than the one pinned at enrolment")]
    OtherKey {
        /// Which key.
        what: &'static str,
    },
}

impl StateError {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "state.file",
            Self::Damaged { .. } => "state.damaged",
            Self::NotEnrolled => "state.not_enrolled",
            Self::Enrolled { .. } => "state.enrolled",
            Self::OtherKey { .. } => "trust.other_key",
        }
    }
}

impl State {
    /// Opens the directory, made where it is missing; one that others may enter is refused.
    ///
    /// # Errors
    /// [`StateError::File`].
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        files::private_dir(dir).map_err(|source| StateError::File {
            path: dir.display().to_string(),
            source,
        })?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The identity.
    ///
    /// # Errors
    /// [`StateError::NotEnrolled`], [`StateError::Damaged`], [`StateError::File`].
    pub fn identity(&self) -> Result<Identity, StateError> {
        let bytes = self.read(IDENTITY)?.ok_or(StateError::NotEnrolled)?;
        let damaged = |why: String| StateError::Damaged {
            path: self.dir.join(IDENTITY).display().to_string(),
            why,
        };
        let identity: Identity =
            serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if identity.version != VERSION {
            return Err(damaged(format!("version {}", identity.version)));
        }
        // Everything that is used later is read now, so that a damaged file shows at the start.
        identity
            .check()
            .map_err(|what| damaged(format!("{what} can't be read")))?;
        Ok(identity)
    }

    /// Keeps the identity.
    ///
    /// # Errors
    /// [`StateError::File`].
    pub fn save(&self, identity: &Identity) -> Result<(), StateError> {
        let bytes = serde_json::to_vec_pretty(identity).map_err(|e| StateError::File {
            path: IDENTITY.into(),
            source: io::Error::other(e),
        })?;
        self.write(IDENTITY, &bytes)
    }

    /// The last audit head, as its signed checkpoint, checked under the pinned key.
    ///
    /// # Errors
    /// [`StateError::Damaged`], [`StateError::File`].
    pub fn head(&self, key: &LogKey) -> Result<Option<Checkpoint>, StateError> {
        let Some(bytes) = self.read(HEAD)? else {
            return Ok(None);
        };
        let damaged = |why: String| StateError::Damaged {
            path: self.dir.join(HEAD).display().to_string(),
            why,
        };
        let text = String::from_utf8(bytes).map_err(|e| damaged(e.to_string()))?;
        Checkpoint::verify(&text, key)
            .map(Some)
            .map_err(|e| damaged(e.to_string()))
    }

    /// Keeps the head: the file serves `assay audit verify --head` as it is.
    ///
    /// # Errors
    /// [`StateError::File`].
    pub fn save_head(&self, head: &Checkpoint) -> Result<(), StateError> {
        self.write(HEAD, head.text().as_bytes())
    }

    /// The Ed25519 key of the channel to hosts, made where it is missing: key and public part.
    ///
    /// # Errors
    /// [`StateError::File`].
    pub fn channel_key(&self) -> Result<(CertKey, [u8; 32]), StateError> {
        let path = self.dir.join(CHANNEL);
        let seed = crate::source::soft_key::seed(&path).map_err(|e| StateError::File {
            path: path.display().to_string(),
            source: io::Error::other(e.to_string()),
        })?;
        let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        Ok((CertKey::ed25519(&seed), public))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        files::read(&self.dir.join(name), 64 * 1024).map_err(|source| StateError::File {
            path: self.dir.join(name).display().to_string(),
            source,
        })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        files::write(&self.dir.join(name), bytes).map_err(|source| StateError::File {
            path: self.dir.join(name).display().to_string(),
            source,
        })
    }
}

fn key32(bytes: &B64) -> Option<[u8; 32]> {
    bytes.0.as_slice().try_into().ok()
}

impl Identity {
    /// From what enrolment and the nexus's own statement of its keys give. `None` where a key has not 32 bytes.
    #[must_use]
    pub fn new(enrolled: &assay_api::types::Enrolled, url: &Htu, trust: &Trust) -> Option<Self> {
        let identity = Self {
            version: VERSION,
            device_id: enrolled.device_id.clone(),
            name: enrolled.name.clone(),
            tenant_id: enrolled.tenant_id.clone(),
            key_id: enrolled.key_id.to_string(),
            url: url.to_string(),
            root: trust.root.clone(),
            next_root: trust.next_root.clone(),
            log_origin: trust.log_origin.clone(),
            log_key: trust.log_key.clone(),
            delivery_key: trust.delivery_key.clone(),
            next_delivery_key: trust.next_delivery_key.clone(),
            recovery_keys: Vec::new(),
        };
        identity.check().ok().map(|()| identity)
    }

    fn check(&self) -> Result<(), &'static str> {
        self.url().ok_or("the url")?;
        self.pins().ok_or("a root pin")?;
        self.log_key().ok_or("the log key")?;
        self.delivery_keys().ok_or("a delivery key")?;
        Ok(())
    }

    /// The nexus's URL.
    #[must_use]
    pub fn url(&self) -> Option<Htu> {
        Htu::parse(&self.url).ok()
    }

    /// The pins.
    #[must_use]
    pub fn pins(&self) -> Option<Pins> {
        let next = match &self.next_root {
            Some(next) => Some(key32(next)?),
            None => None,
        };
        Some(Pins {
            current: key32(&self.root)?,
            next,
        })
    }

    /// The log's key.
    #[must_use]
    pub fn log_key(&self) -> Option<LogKey> {
        LogKey::new(&self.log_origin, &key32(&self.log_key)?).ok()
    }

    /// The delivery keys.
    #[must_use]
    pub fn delivery_keys(&self) -> Option<DeliveryKeys> {
        let next = match &self.next_delivery_key {
            Some(next) => Some(key32(next)?),
            None => None,
        };
        Some(DeliveryKeys {
            current: key32(&self.delivery_key)?,
            next,
        })
    }

    /// What the nexus says of its keys now, over a connection that ended in the root `seen`. A next key is learned under the current; a key
    /// that was next becomes the current; any other key is refused. `true` where something changed.
    ///
    /// # Errors
    /// [`StateError::OtherKey`]; nothing is changed then.
    pub fn learn(&mut self, trust: &Trust, seen: &NexusId) -> Result<bool, StateError> {
        let mut learned = self.clone();
        if trust.root.0 != seen {
            return Err(StateError::OtherKey { what: "root" });
        }
        roll(
            "root",
            &mut learned.root,
            &mut learned.next_root,
            (&trust.root, &trust.next_root),
        )?;
        roll(
            "delivery key",
            &mut learned.delivery_key,
            &mut learned.next_delivery_key,
            (&trust.delivery_key, &trust.next_delivery_key),
        )?;
        if trust.log_key != self.log_key || trust.log_origin != self.log_origin {
            return Err(StateError::OtherKey { what: "log key" });
        }
        learned
            .check()
            .map_err(|what| StateError::OtherKey { what })?;
        let changed = learned != *self;
        *self = learned;
        Ok(changed)
    }
}

fn roll(
    what: &'static str,
    current: &mut B64,
    next: &mut Option<B64>,
    (said, said_next): (&B64, &Option<B64>),
) -> Result<(), StateError> {
    if said != current && next.as_ref() != Some(said) {
        return Err(StateError::OtherKey { what });
    }
    *current = said.clone();
    next.clone_from(said_next);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An identity under root 1, delivery key 2 and log key `log`.
    pub(crate) fn identity() -> Identity {
        let log = SigningKey::from_bytes(&[9; 32]).verifying_key();
        Identity {
            version: VERSION,
            device_id: DeviceId::from_random(&[1; 16]),
            name: "dpu-1".into(),
            tenant_id: TenantId::from_random(&[1; 16]),
            key_id: "k-1".into(),
            url: "https://nexus.example/".into(),
            root: B64(vec![1; 32]),
            next_root: None,
            log_origin: "nexus.example/log".into(),
            log_key: B64(log.to_bytes().to_vec()),
            delivery_key: B64(vec![2; 32]),
            next_delivery_key: None,
            recovery_keys: Vec::new(),
        }
    }

    fn trust(identity: &Identity) -> Trust {
        Trust {
            root: identity.root.clone(),
            next_root: identity.next_root.clone(),
            log_origin: identity.log_origin.clone(),
            log_key: identity.log_key.clone(),
            result_key: B64(vec![3; 32]),
            delivery_key: identity.delivery_key.clone(),
            next_delivery_key: identity.next_delivery_key.clone(),
        }
    }

    #[test]
    fn an_identity_comes_back_and_a_damaged_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(&dir.path().join("s")).unwrap();
        assert_eq!(state.identity().unwrap_err().code(), "state.not_enrolled");
        state.save(&identity()).unwrap();
        assert_eq!(state.identity().unwrap(), identity());
        let mut broken = identity();
        broken.root = B64(vec![1; 31]);
        state.save(&broken).unwrap();
        assert_eq!(state.identity().unwrap_err().code(), "state.damaged");
        let (_, one) = state.channel_key().unwrap();
        let (_, two) = state.channel_key().unwrap();
        assert_eq!(one, two);
    }

    #[test]
    fn pins_roll_one_step_at_a_time() {
        let mut ours = identity();
        let mut said = trust(&ours);
        assert!(!ours.learn(&said, &[1; 32]).unwrap());
        said.next_root = Some(B64(vec![5; 32]));
        said.next_delivery_key = Some(B64(vec![6; 32]));
        assert!(ours.learn(&said, &[1; 32]).unwrap());
        let (root, delivery) = (B64(vec![5; 32]), B64(vec![6; 32]));
        (said.root, said.next_root) = (root.clone(), None);
        (said.delivery_key, said.next_delivery_key) = (delivery.clone(), None);
        assert!(ours.learn(&said, &[5; 32]).unwrap());
        assert_eq!((ours.root, ours.next_root), (root, None));
        assert_eq!(ours.delivery_key, delivery);
    }

    #[test]
    fn a_key_that_was_not_announced_is_refused_and_nothing_changes() {
        let said = trust(&identity());
        let other = B64(vec![7; 32]);
        let mut wrong = [said.clone(), said.clone(), said.clone(), said];
        wrong[0].root = other.clone();
        wrong[1].delivery_key = other.clone();
        wrong[2].log_key = other;
        wrong[3].log_origin = "other".into();
        for said in wrong {
            let mut ours = identity();
            let seen = key32(&said.root).unwrap();
            let refused = ours.learn(&said, &seen).unwrap_err();
            assert_eq!(refused.code(), "trust.other_key");
            assert_eq!(ours, identity());
        }
        // Stated and seen must be one.
        let mut ours = identity();
        assert!(ours.learn(&trust(&identity()), &[8; 32]).is_err());
    }
}

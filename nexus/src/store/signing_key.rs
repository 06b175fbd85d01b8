//! The nexus's signing keys: sealed at rest, made and retired in steps.

use assay_attest::key::PublicKey;
use assay_attest::time::Timestamp;

use zeroize::Zeroizing;

use super::fault::StoreFault;
use super::row::AsKey;
use super::tx::{Change, Writes};
use super::view::Rows;
use crate::keys::{Algorithm, AtRest, KeyFault, KeyPair, SealedAs, SoftwareSigner};

crate::column_enum! {
    /// Where a signing key is in its life. Each purpose has at most one that is prepared and one that is active.
    pub enum KeyState {
        /// Published, so that everybody knows it before it signs.
        Prepared = "prepared",
        /// Signs.
        Active = "active",
        /// Signs no more; what it signed still counts.
        Retiring = "retiring",
        /// Counts no more. The row stays; its private half is gone.
        Retired = "retired",
    }
}

crate::column_enum! {
    /// What a key signs with, as stored.
    pub enum KeyAlgorithm {
        /// Ed25519 (RFC 8032).
        Ed25519 = "ed25519",
        /// ECDSA on P-256 with SHA-256.
        P256 = "p256",
    }
}

crate::trust_row! {
    /// A signing key.
    pub struct SigningKey in "signing_key" {
        key {
            /// The tenant; empty for what is global.
            tenant: String,
            /// What it signs, as `purpose` of a table of the caller: `delivery`, `result`, `ssh-user/<ca id>`.
            purpose: String,
            /// Counted from 1 for each tenant and purpose.
            version: u64,
        }
        columns {
            /// What it signs with.
            algorithm: KeyAlgorithm,
            /// Where it is in its life.
            state: KeyState,
            /// The public half: 32 bytes, or the uncompressed point of 65.
            public: Vec<u8>,
            /// The private half, PKCS#8, sealed; empty once retired.
            sealed: Vec<u8>,
            /// When it was made.
            created: Timestamp,
        }
        index { purpose }
    }
}

impl SigningKey {
    /// The key itself, to sign with.
    ///
    /// # Errors
    /// [`KeyFault::Sealed`] where the sealed half is not this row's, [`KeyFault::Signing`] where it is no key.
    pub fn signer(&self, at_rest: &AtRest) -> Result<SoftwareSigner, KeyFault> {
        SoftwareSigner::from_pkcs8(self.algorithm.into(), &self.private(at_rest)?)
    }

    /// The private half, PKCS#8: for what takes a key and no signer, as TLS does.
    ///
    /// # Errors
    /// [`KeyFault::Sealed`].
    pub fn private(&self, at_rest: &AtRest) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
        let row = (&self.tenant, &self.purpose, &self.version).text();
        at_rest.open(&self.place(&row), &self.sealed)
    }

    /// The public half.
    ///
    /// # Errors
    /// [`KeyFault::Signing`] where it has the wrong length for its algorithm.
    pub fn public(&self) -> Result<PublicKey, KeyFault> {
        let public = self.public.as_slice();
        match self.algorithm {
            KeyAlgorithm::Ed25519 => public.try_into().map(PublicKey::Ed25519),
            KeyAlgorithm::P256 => {
                <[u8; 65]>::try_from(public).map(|point| PublicKey::P256(Box::new(point)))
            }
        }
        .map_err(|_| KeyFault::Signing)
    }

    fn place<'a>(&'a self, row: &'a str) -> SealedAs<'a> {
        SealedAs {
            table: "signing_key",
            row,
            tenant: &self.tenant,
            purpose: &self.purpose,
            version: self.version,
            public: &self.public,
        }
    }
}

impl From<KeyAlgorithm> for Algorithm {
    fn from(algorithm: KeyAlgorithm) -> Self {
        match algorithm {
            KeyAlgorithm::Ed25519 => Self::Ed25519,
            KeyAlgorithm::P256 => Self::P256,
        }
    }
}

/// All keys of a tenant and purpose, oldest first.
///
/// # Errors
/// The store's faults.
pub fn all(rows: &impl Rows, tenant: &str, purpose: &str) -> Result<Vec<SigningKey>, StoreFault> {
    let mut keys: Vec<SigningKey> = rows.find("purpose", purpose)?;
    keys.retain(|key| key.tenant == tenant);
    Ok(keys)
}

/// The key that signs, if there is one.
///
/// # Errors
/// The store's faults.
pub fn active(
    rows: &impl Rows,
    tenant: &str,
    purpose: &str,
) -> Result<Option<SigningKey>, StoreFault> {
    Ok(all(rows, tenant, purpose)?
        .into_iter()
        .find(|key| key.state == KeyState::Active))
}

/// The keys whose signatures count: prepared, active, retiring.
///
/// # Errors
/// The store's faults.
pub fn published(
    rows: &impl Rows,
    tenant: &str,
    purpose: &str,
) -> Result<Vec<SigningKey>, StoreFault> {
    Ok(all(rows, tenant, purpose)?
        .into_iter()
        .filter(|key| key.state != KeyState::Retired)
        .collect())
}

/// Makes the next key, published and not signing yet.
///
/// # Errors
/// [`StoreFault::Conflict`] where one is prepared already; the faults of store and keys.
pub fn prepare(
    change: &mut Change<'_, '_>,
    tenant: &str,
    purpose: &str,
    algorithm: KeyAlgorithm,
) -> Result<SigningKey, StoreFault> {
    let keys = all(change, tenant, purpose)?;
    if keys.iter().any(|key| key.state == KeyState::Prepared) {
        return Err(StoreFault::Conflict {
            what: format!("a prepared key for `{purpose}`"),
        });
    }
    let version = keys
        .iter()
        .map(|key| key.version)
        .max()
        .unwrap_or(0)
        .saturating_add(1);
    let pair = KeyPair::generate(algorithm.into())?;
    let public = match &pair.public {
        PublicKey::Ed25519(key) => key.to_vec(),
        PublicKey::P256(point) => point.to_vec(),
        PublicKey::P384(_) | PublicKey::P521(_) | PublicKey::Rsa { .. } => {
            return Err(KeyFault::Signing.into());
        }
    };
    let (tenant, purpose, state, created) = (
        tenant.to_owned(),
        purpose.to_owned(),
        KeyState::Prepared,
        change.now(),
    );
    let mut key = SigningKey {
        tenant,
        purpose,
        version,
        algorithm,
        state,
        public,
        sealed: Vec::new(),
        created,
    };
    let row = (&key.tenant, &key.purpose, &key.version).text();
    key.sealed = change
        .keys()
        .at_rest()
        .seal(&key.place(&row), &pair.private)?;
    change.insert(&key)?;
    Ok(key)
}

/// The prepared key signs from now on; the one that did is retiring.
///
/// # Errors
/// [`StoreFault::NoRow`] where none is prepared; the store's faults.
pub fn activate(
    change: &mut Change<'_, '_>,
    tenant: &str,
    purpose: &str,
) -> Result<SigningKey, StoreFault> {
    let keys = all(change, tenant, purpose)?;
    let next = keys.iter().find(|key| key.state == KeyState::Prepared);
    let mut next = next.ok_or_else(|| none(purpose))?.clone();
    for mut old in keys.into_iter().filter(|key| key.state == KeyState::Active) {
        old.state = KeyState::Retiring;
        change.update(&old)?;
    }
    next.state = KeyState::Active;
    change.update(&next)?;
    Ok(next)
}

/// A key counts no more, and its private half is forgotten. The one that signs is retired only by activating the next.
///
/// # Errors
/// [`StoreFault::NoRow`] where there is no such key, [`StoreFault::Conflict`] where it signs; the store's faults.
pub fn retire(
    change: &mut Change<'_, '_>,
    tenant: &str,
    purpose: &str,
    version: u64,
) -> Result<SigningKey, StoreFault> {
    let key = change.get::<SigningKey>((tenant, purpose, &version))?;
    let mut key = key.ok_or_else(|| none(purpose))?;
    if key.state == KeyState::Active {
        return Err(StoreFault::Conflict {
            what: format!("version {version} of `{purpose}` signs"),
        });
    }
    key.state = KeyState::Retired;
    key.sealed = Vec::new();
    change.update(&key)?;
    Ok(key)
}

/// A key that signs, made in one step where there is none: for what the nexus needs at its first start.
///
/// # Errors
/// The faults of store and keys.
pub fn ensure(
    change: &mut Change<'_, '_>,
    tenant: &str,
    purpose: &str,
    algorithm: KeyAlgorithm,
) -> Result<SigningKey, StoreFault> {
    if let Some(key) = active(change, tenant, purpose)? {
        return Ok(key);
    }
    prepare(change, tenant, purpose, algorithm)?;
    activate(change, tenant, purpose)
}

fn none(purpose: &str) -> StoreFault {
    StoreFault::NoRow {
        table: "signing_key",
        key: purpose.to_owned(),
    }
}

//! Keys: the master, what is derived from it, encryption at rest, and signers.
//!
//! Nothing here is stored. The master comes from outside the database; the row-MAC key, the at-rest key and the log's seed
//! are derived from it; signing keys come out of the database sealed and are opened by [`AtRest`].

mod at_rest;
mod lock;
mod master;
mod signer;

pub use at_rest::{AtRest, SealedAs};
pub(crate) use lock::LockedKey;
pub use lock::{forbid_dumps, lock_memory};
pub use master::{CREDENTIAL, Master, MasterSource};
pub use signer::{Algorithm, KeyPair, Signer, SoftwareSigner};

use std::path::PathBuf;

use aws_lc_rs::{digest, hmac};

/// Why a key can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The master key is not where it must be.
    #[error(
        "the master key `{path}` is missing, and without it nothing in the database can be read: put it back from your backup"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file can't be read or made.
    #[error("the master key `{path}` can't be used: {why}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Others may read or change the file.
    #[error(
        "the master key `{path}` has mode {mode:04o}, which lets others at it: `chmod 0600` it and consider it known"
    )]
    OpenToOthers {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not 32 bytes.
    #[error("the master key `{path}` is not 32 bytes long")]
    Length {
        /// Which file.
        path: PathBuf,
    },
    /// The database was made under another master key.
    #[error("this master key is not the one that the database was made under: nothing was opened")]
    WrongMaster,
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// No memory for a key.
    #[error("no memory page for a key: {0}")]
    Memory(String),
    /// Sealed bytes don't open: they were changed, moved to another row, or sealed under another master key.
    #[error("a sealed value does not open: it was changed or belongs elsewhere")]
    Sealed,
    /// A private key can't be parsed or does not sign.
    #[error("a signing key can't be used")]
    Signing,
}

impl KeyFault {
    /// The stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "keys.missing",
            Self::Unreadable { .. } => "keys.unreadable",
            Self::OpenToOthers { .. } => "keys.open_to_others",
            Self::Length { .. } => "keys.length",
            Self::WrongMaster => "keys.wrong_master",
            Self::Random(_) => "keys.random",
            Self::Memory(_) => "keys.memory",
            Self::Sealed => "keys.sealed",
            Self::Signing => "keys.signing",
        }
    }
}

/// The keys that the nexus derives from its master at start.
pub struct Keys {
    at_rest: AtRest,
    row_mac: hmac::Key,
    log: SoftwareSigner,
    check: [u8; 32],
}

impl Keys {
    /// Derives all of them.
    ///
    /// # Errors
    /// [`KeyFault::Signing`] where the seed makes no key, which no seed does.
    pub fn derive(master: &Master) -> Result<Self, KeyFault> {
        let mut check = [0; 32];
        let hash = digest::digest(&digest::SHA256, master.derive("check", 1).as_slice());
        check.copy_from_slice(hash.as_ref());
        Ok(Self {
            at_rest: AtRest::new(&master.derive("at-rest", 1))?,
            row_mac: hmac::Key::new(hmac::HMAC_SHA256, master.derive("row-mac", 1).as_slice()),
            log: SoftwareSigner::from_seed(&master.derive("log", 1))?,
            check,
        })
    }

    /// Seals and opens what the database keeps.
    #[must_use]
    pub const fn at_rest(&self) -> &AtRest {
        &self.at_rest
    }

    /// Signs checkpoints: Ed25519, its seed outside the database.
    #[must_use]
    pub const fn log(&self) -> &SoftwareSigner {
        &self.log
    }

    /// HMAC-SHA256 over rows that decide trust.
    pub(crate) const fn row_mac(&self) -> &hmac::Key {
        &self.row_mac
    }

    /// What the database keeps to know this master again: a hash of a derived key, which tells nothing about any other.
    pub(crate) const fn check(&self) -> &[u8; 32] {
        &self.check
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

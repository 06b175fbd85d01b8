//! DPoP proofs are accepted once (RFC 9449, 11.1; I3): durably for changes and releases, in memory for reads.
//!
//! State is kept by key and capped by key: whoever fills it closes only his own door (I14). Ask only after the signature and
//! the identity behind the key have been checked.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use assay_attest::time::Timestamp;
use rusqlite::params;
use sha2::{Digest, Sha256};

use super::fault::StoreFault;
use super::tx::Writes;
use super::view::AsSql;

/// The most proofs of one key that are remembered at a time.
pub const PER_KEY: usize = 4096;

/// Why a proof is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayFault {
    /// It was, before.
    #[error("this proof was used before")]
    Replayed,
    /// Too many proofs of this key are outstanding: 429 for this key.
    #[error("too many requests with this key, wait a minute")]
    TooMany,
    /// It was made before this process began to remember: the caller makes a new one.
    #[error("this proof is older than the start of the server, make a new one")]
    BeforeStart,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl From<rusqlite::Error> for ReplayFault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A proof's id, whatever its length.
fn id(jti: &str) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(jti.as_bytes()).into();
    hash.first_chunk().copied().unwrap_or_default()
}

/// Accepts a proof for a change or release, in that change's transaction. `expires` is the last moment at which the proof
/// would pass the time check (iat + window + skew).
///
/// # Errors
/// [`ReplayFault`].
pub fn spend(
    tx: &impl Writes,
    thumbprint: &[u8; 32],
    jti: &str,
    expires: Timestamp,
) -> Result<(), ReplayFault> {
    let count = || -> Result<usize, StoreFault> {
        let sql = "SELECT count(*) FROM replay WHERE thumbprint = ?1";
        let count: i64 = tx
            .sql()
            .prepare_cached(sql)?
            .query_row(params![thumbprint], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    };
    if count()? >= PER_KEY {
        let sql = "DELETE FROM replay WHERE thumbprint = ?1 AND expires < ?2";
        tx.sql()
            .prepare_cached(sql)?
            .execute(params![thumbprint, AsSql(&tx.now())])?;
        if count()? >= PER_KEY {
            return Err(ReplayFault::TooMany);
        }
    }
    let sql =
        "INSERT INTO replay (thumbprint, jti, expires) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    match tx
        .sql()
        .prepare_cached(sql)?
        .execute(params![thumbprint, id(jti), AsSql(&expires)])?
    {
        0 => Err(ReplayFault::Replayed),
        _ => Ok(()),
    }
}

/// The proofs of reads, in memory.
#[derive(Debug)]
pub struct MemoryReplay {
    start: Timestamp,
    shards: [Mutex<Shard>; 16],
}

/// By key, then by proof: when it may be forgotten.
type Shard = HashMap<[u8; 32], HashMap<[u8; 16], Timestamp>>;

impl MemoryReplay {
    /// Remembers nothing yet, so takes only proofs made after `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self {
            start,
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Accepts a proof for a read. `iat` is when it says that it was made; `expires` as for [`spend`].
    ///
    /// # Errors
    /// [`ReplayFault`], never [`ReplayFault::Store`].
    pub fn spend(
        &self,
        thumbprint: &[u8; 32],
        jti: &str,
        iat: Timestamp,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), ReplayFault> {
        if iat <= self.start {
            return Err(ReplayFault::BeforeStart);
        }
        let [first, ..] = *thumbprint;
        let Some(shard) = self.shards.get(usize::from(first & 15)) else {
            return Err(ReplayFault::TooMany);
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = shard.entry(*thumbprint).or_default();
        if seen.len() >= PER_KEY {
            seen.retain(|_, expires| *expires >= now);
        }
        if seen.len() >= PER_KEY {
            return Err(ReplayFault::TooMany);
        }
        match seen.insert(id(jti), expires) {
            None => Ok(()),
            Some(before) => {
                // INVARIANT: a replay never shortens how long the first use is remembered.
                seen.insert(id(jti), before.max(expires));
                Err(ReplayFault::Replayed)
            }
        }
    }

    /// Forgets what can't pass the time check any more. Call it once a minute.
    pub fn sweep(&self, now: Timestamp) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, seen| {
                seen.retain(|_, expires| *expires >= now);
                !seen.is_empty()
            });
        }
    }
}

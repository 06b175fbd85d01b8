//! The same request asked twice gets the same answer: keys that callers choose, kept beside what was answered.
//!
//! An answer is stored as given: nothing that must not be at rest belongs in it.

use assay_attest::time::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::fault::StoreFault;
use super::tx::Writes;
use super::view::AsSql;

/// The longest idempotency key, in bytes.
pub const MAX_KEY: usize = 128;

/// Why a key can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyFault {
    /// The key was used for another request.
    #[error("this idempotency key was used for another request, choose a new one")]
    Mismatch,
    /// Empty, or longer than [`MAX_KEY`].
    #[error("an idempotency key has 1 to {MAX_KEY} characters")]
    Length,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl From<rusqlite::Error> for IdempotencyFault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What `owner` was answered under this key, if it was and that has not expired. `request` is a digest of what is asked.
///
/// # Errors
/// [`IdempotencyFault`].
pub fn recall(
    tx: &impl Writes,
    owner: &str,
    key: &str,
    request: &[u8; 32],
) -> Result<Option<Vec<u8>>, IdempotencyFault> {
    if !(1..=MAX_KEY).contains(&key.len()) {
        return Err(IdempotencyFault::Length);
    }
    let sql =
        "SELECT request, answer FROM idempotency WHERE owner = ?1 AND key = ?2 AND expires >= ?3";
    let found: Option<([u8; 32], Vec<u8>)> = tx
        .sql()
        .prepare_cached(sql)?
        .query_row(params![owner, key, AsSql(&tx.now())], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match found {
        Some((same, answer)) if same == *request => Ok(Some(answer)),
        Some(_) => Err(IdempotencyFault::Mismatch),
        None => Ok(None),
    }
}

/// Remembers an answer until `expires`, in the transaction that it answers. Replaces what was there.
///
/// # Errors
/// [`IdempotencyFault`].
pub fn remember(
    tx: &impl Writes,
    owner: &str,
    key: &str,
    request: &[u8; 32],
    answer: &[u8],
    expires: Timestamp,
) -> Result<(), IdempotencyFault> {
    if !(1..=MAX_KEY).contains(&key.len()) {
        return Err(IdempotencyFault::Length);
    }
    let sql = "INSERT OR REPLACE INTO idempotency (owner, key, request, answer, expires) VALUES (?1, ?2, ?3, ?4, ?5)";
    tx.sql()
        .prepare_cached(sql)?
        .execute(params![owner, key, request, answer, AsSql(&expires)])?;
    Ok(())
}

/// Forgets an answer, as when a lease is acknowledged.
///
/// # Errors
/// The store's faults.
pub fn forget(tx: &impl Writes, owner: &str, key: &str) -> Result<(), StoreFault> {
    tx.sql()
        .prepare_cached("DELETE FROM idempotency WHERE owner = ?1 AND key = ?2")?
        .execute(params![owner, key])?;
    Ok(())
}

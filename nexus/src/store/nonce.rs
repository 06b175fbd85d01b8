//! Attestation nonces: one outstanding for each device or claim, spent in the transaction that stores the verdict (design
//! section 2, 1; I3, I14).

use assay_attest::time::Timestamp;
use rusqlite::{OptionalExtension, params};
use subtle::ConstantTimeEq;

use super::fault::StoreFault;
use super::tx::Writes;
use super::view::{AsSql, Rows};
use crate::keys::KeyFault;

/// How long a nonce lives, in milliseconds.
pub const LIFETIME: u64 = 300_000;

/// How many rejected answers void a nonce.
pub const MAX_REJECTIONS: i64 = 8;

/// Why an answer's nonce does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NonceFault {
    /// Not the one that is outstanding for this owner and purpose: another's, spent, void, or never given out.
    #[error("this nonce is not outstanding, ask for a new one")]
    Unknown,
    /// Over five minutes old.
    #[error("this nonce is too old, ask for a new one")]
    Expired,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl From<rusqlite::Error> for NonceFault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Gives out a nonce: 32 random bytes. One that is outstanding for this owner is void from now on. `owner` is
/// `dpu/<id>` or `claim/<id>`, so that no two kinds share one.
///
/// # Errors
/// The store's faults; [`KeyFault::Random`].
pub fn issue(tx: &impl Writes, owner: &str, purpose: &str) -> Result<[u8; 32], StoreFault> {
    let mut value = [0; 32];
    getrandom::fill(&mut value).map_err(|e| KeyFault::Random(e.to_string()))?;
    let sql = "INSERT INTO nonce (owner, purpose, value, issued) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (owner) DO UPDATE SET \
               purpose = excluded.purpose, value = excluded.value, issued = excluded.issued, rejections = 0";
    tx.sql()
        .prepare_cached(sql)?
        .execute(params![owner, purpose, value, AsSql(&tx.now())])?;
    Ok(value)
}

/// Whether this nonce is outstanding, and since when. For the work before the verdict's transaction; it spends nothing.
///
/// # Errors
/// [`NonceFault`].
pub fn check(
    rows: &impl Rows,
    owner: &str,
    purpose: &str,
    value: &[u8; 32],
    now: Timestamp,
) -> Result<Timestamp, NonceFault> {
    let sql = "SELECT value, purpose, issued FROM nonce WHERE owner = ?1";
    let found: Option<([u8; 32], String, i64)> = rows
        .sql()
        .prepare_cached(sql)?
        .query_row(params![owner], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (outstanding, asked, issued) = found.ok_or(NonceFault::Unknown)?;
    if !bool::from(outstanding.ct_eq(value)) || asked != purpose {
        return Err(NonceFault::Unknown);
    }
    let issued = Timestamp::from_millis(u64::try_from(issued).unwrap_or(0));
    match now.millis_since(issued) {
        Some(age) if age <= LIFETIME => Ok(issued),
        Some(_) | None => Err(NonceFault::Expired),
    }
}

/// The nonce that this owner may answer now, and when it was issued. For evidence, which does not state its nonce: it holds
/// the session, which is computed with this one.
///
/// # Errors
/// [`NonceFault`].
pub fn outstanding(
    rows: &impl Rows,
    owner: &str,
    purpose: &str,
    now: Timestamp,
) -> Result<([u8; 32], Timestamp), NonceFault> {
    let sql = "SELECT value FROM nonce WHERE owner = ?1";
    let found: Option<[u8; 32]> = rows
        .sql()
        .prepare_cached(sql)?
        .query_row(params![owner], |row| row.get(0))
        .optional()?;
    let value = found.ok_or(NonceFault::Unknown)?;
    check(rows, owner, purpose, &value, now).map(|issued| (value, issued))
}

/// Spends the nonce, in the transaction that stores the verdict; gives the time it was issued. Where the transaction fails,
/// it is not spent.
///
/// # Errors
/// [`NonceFault`].
pub fn spend(
    tx: &impl Writes,
    owner: &str,
    purpose: &str,
    value: &[u8; 32],
) -> Result<Timestamp, NonceFault> {
    let issued = check(tx, owner, purpose, value, tx.now())?;
    void(tx, owner)?;
    Ok(issued)
}

/// Counts an answer that was authentic but rejected; the eighth voids the nonce. `true` where it is void now.
///
/// # Errors
/// The store's faults.
pub fn reject(tx: &impl Writes, owner: &str, value: &[u8; 32]) -> Result<bool, StoreFault> {
    let sql = "UPDATE nonce SET rejections = rejections + 1 WHERE owner = ?1 AND value = ?2 RETURNING rejections";
    let rejections: Option<i64> = tx
        .sql()
        .prepare_cached(sql)?
        .query_row(params![owner, value], |row| row.get(0))
        .optional()?;
    match rejections {
        Some(n) if n < MAX_REJECTIONS => Ok(false),
        Some(_) => void(tx, owner).map(|()| true),
        None => Ok(true),
    }
}

/// Voids the owner's outstanding nonce, if there is one.
///
/// # Errors
/// The store's faults.
pub fn void(tx: &impl Writes, owner: &str) -> Result<(), StoreFault> {
    tx.sql()
        .prepare_cached("DELETE FROM nonce WHERE owner = ?1")?
        .execute(params![owner])?;
    Ok(())
}

//! Forgetting what has expired, a little at a time.

use assay_attest::time::Timestamp;
use rusqlite::params;

use super::fault::StoreFault;
use super::nonce;
use super::tx::Writes;
use super::view::AsSql;

/// The most rows of each table that one step deletes, so that no caller waits long behind it.
const STEP: i64 = 500;

/// Deletes expired replay, nonce, challenge and idempotency rows; gives how many. Zero: nothing is left to forget.
///
/// # Errors
/// The store's faults.
pub(super) fn step(tx: &impl Writes) -> Result<usize, StoreFault> {
    let delete = |sql: &str, before: Timestamp| -> Result<usize, StoreFault> {
        Ok(tx
            .sql()
            .prepare_cached(sql)?
            .execute(params![AsSql(&before), STEP])?)
    };
    let now = tx.now();
    let replays = "DELETE FROM replay WHERE (thumbprint, jti) IN \
                   (SELECT thumbprint, jti FROM replay WHERE expires < ?1 ORDER BY expires LIMIT ?2)";
    let nonces = "DELETE FROM nonce WHERE owner IN (SELECT owner FROM nonce WHERE issued < ?1 ORDER BY issued LIMIT ?2)";
    let answers = "DELETE FROM idempotency WHERE (owner, key) IN \
                   (SELECT owner, key FROM idempotency WHERE expires < ?1 ORDER BY expires LIMIT ?2)";
    let challenges = "DELETE FROM join_challenge WHERE id IN (SELECT id FROM join_challenge WHERE expires < ?1 ORDER BY expires LIMIT ?2)";
    let counts = [
        delete(replays, now)?,
        delete(nonces, now.minus_millis(nonce::LIFETIME))?,
        delete(answers, now)?,
        delete(challenges, now)?,
    ];
    Ok(counts.iter().sum())
}

//! Challenges to those who join: one for each token and key, answered once. They decide no trust: the token does.

use assay_api::id::ChallengeId;
use assay_attest::time::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::fault::StoreFault;
use super::token::{Token, TokenKind};
use super::tx::Writes;
use super::view::{AsSql, Rows};

/// How long a challenge lives, in milliseconds.
pub const LIFETIME: u64 = 300_000;

/// The most keys that may ask for a challenge by one token at a time.
pub const PER_TOKEN: i64 = 16;

/// A challenge that is outstanding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Its name.
    pub id: ChallengeId,
    /// The kind of the token.
    pub kind: TokenKind,
    /// The token's id.
    pub token: [u8; 16],
    /// RFC 7638, of the key that asked.
    pub thumbprint: [u8; 32],
    /// What is to be signed.
    pub value: [u8; 32],
    /// From when on it counts no more.
    pub expires: Timestamp,
}

/// Keeps a challenge; the one before, of this token and key, is void. `false` where the token has too many.
///
/// # Errors
/// The store's faults.
pub fn keep(tx: &impl Writes, challenge: &Challenge) -> Result<bool, StoreFault> {
    let Challenge {
        id,
        kind,
        token,
        thumbprint,
        value,
        expires,
    } = challenge;
    let sql = "DELETE FROM join_challenge WHERE token = ?1 AND (thumbprint = ?2 OR expires <= ?3)";
    tx.sql()
        .prepare_cached(sql)?
        .execute(params![token, thumbprint, AsSql(&tx.now())])?;
    let sql = "INSERT INTO join_challenge (id, kind, token, thumbprint, value, expires) \
               SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE (SELECT count(*) FROM join_challenge WHERE token = ?3) < ?7";
    let kept = tx.sql().prepare_cached(sql)?.execute(params![
        AsSql(id),
        AsSql(kind),
        token,
        thumbprint,
        value,
        AsSql(expires),
        PER_TOKEN
    ])?;
    Ok(kept == 1)
}

/// The challenge of this name, where it was given to this key for this token and is not too old. It spends nothing.
///
/// # Errors
/// The store's faults.
pub fn look(
    rows: &impl Rows,
    id: &ChallengeId,
    token: &Token,
    thumbprint: &[u8; 32],
    now: Timestamp,
) -> Result<Option<Challenge>, StoreFault> {
    let sql = "SELECT value, expires FROM join_challenge WHERE id = ?1 AND kind = ?2 AND token = ?3 AND thumbprint = ?4 \
               AND expires > ?5";
    let found: Option<([u8; 32], i64)> = rows
        .sql()
        .prepare_cached(sql)?
        .query_row(
            params![
                AsSql(id),
                AsSql(&token.kind),
                token.id,
                thumbprint,
                AsSql(&now)
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(found.map(|(value, expires)| Challenge {
        id: id.clone(),
        kind: token.kind,
        token: token.id,
        thumbprint: *thumbprint,
        value,
        expires: Timestamp::from_millis(u64::try_from(expires).unwrap_or(0)),
    }))
}

/// Spends a challenge, in the transaction that creates the person. `false` where it is outstanding no longer.
///
/// # Errors
/// The store's faults.
pub fn spend(tx: &impl Writes, challenge: &Challenge) -> Result<bool, StoreFault> {
    let sql = "DELETE FROM join_challenge WHERE id = ?1 AND token = ?2 AND thumbprint = ?3 AND value = ?4 AND expires > ?5";
    let spent = tx.sql().prepare_cached(sql)?.execute(params![
        AsSql(&challenge.id),
        challenge.token,
        challenge.thumbprint,
        challenge.value,
        AsSql(&tx.now())
    ])?;
    Ok(spent == 1)
}

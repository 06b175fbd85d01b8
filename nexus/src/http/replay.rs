//! Proofs are accepted once (RFC 9449, 11.1; I3): durably for changes and releases, in memory for reads.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use assay_attest::time::Timestamp;
use rusqlite::params;

use crate::op::caller::refused;
use crate::problem::{Fault, Problem};
use crate::store::{AsSql, Rows, StoreFault, Tx, Writes};

/// How many proofs of one key may be remembered at a time: that key alone gets 429 beyond it.
const PER_KEY: usize = 4096;

/// How many proofs for reads are remembered over all keys.
const IN_ALL: usize = 262_144;

/// What must not be seen twice, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenProof {
    /// The key's thumbprint.
    pub thumbprint: [u8; 32],
    /// SHA-256 of the proof's id: its length is bounded by that.
    pub jti: [u8; 32],
    /// When the proof was made, by the caller's clock.
    pub iat: Timestamp,
    /// Until when it must be remembered.
    pub until: Timestamp,
}

/// Spends a proof in the transaction that it asks for.
///
/// # Errors
/// [`Fault::Auth`] the second time, [`Fault::Rate`] for a key with too many.
pub(crate) fn spend(tx: &mut Tx<'_>, proof: &SeenProof) -> Result<(), Problem> {
    let now = tx.now();
    let sql = tx.sql();
    let fault = StoreFault::from;
    let known: i64 = sql
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM replay WHERE thumbprint = ?1 AND expires >= ?2 LIMIT ?3)")
        .and_then(|mut s| s.query_row(params![proof.thumbprint, AsSql(&now), i64::try_from(PER_KEY).unwrap_or(i64::MAX)], |r| r.get(0)))
        .map_err(fault)?;
    if usize::try_from(known).unwrap_or(usize::MAX) >= PER_KEY {
        return Err(Fault::Rate.into());
    }
    let inserted = sql
        .prepare_cached("INSERT INTO replay (thumbprint, jti, expires) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
        .and_then(|mut s| s.execute(params![proof.thumbprint, proof.jti, AsSql(&proof.until)]))
        .map_err(fault)?;
    if inserted == 1 {
        Ok(())
    } else {
        Err(refused("proof.replayed"))
    }
}

/// Forgets proofs that are too old to be accepted anyway.
///
/// # Errors
/// The store's faults.
pub(crate) fn forget(tx: &mut Tx<'_>) -> Result<usize, StoreFault> {
    let now = tx.now();
    Ok(tx
        .sql()
        .prepare_cached("DELETE FROM replay WHERE expires < ?1")?
        .execute(params![AsSql(&now)])?)
}

/// Proofs for reads. After a start only proofs newer than the start are taken, since what came before is forgotten.
#[derive(Debug)]
pub struct ReadReplay {
    since: Timestamp,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    keys: HashMap<[u8; 32], HashMap<[u8; 32], Timestamp>>,
    total: usize,
    swept: u64,
}

impl ReadReplay {
    /// Nothing seen yet, at this start.
    #[must_use]
    pub fn new(since: Timestamp) -> Self {
        Self {
            since,
            seen: Mutex::new(Seen::default()),
        }
    }

    /// Spends a proof for a read.
    ///
    /// # Errors
    /// [`Fault::Auth`] the second time; [`Fault::Rate`] for a key with too many; a proof from before the start is told so,
    /// since its time is the request's own fault.
    pub fn spend(&self, proof: &SeenProof, now: Timestamp) -> Result<(), Problem> {
        if proof.iat < Timestamp::from_secs(self.since.as_secs()) {
            let why = "the proof was made before the nexus started: make a new one".into();
            return Err(Fault::Proof {
                code: "dpop.before_start",
                why,
            }
            .into());
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.sweep(now);
        if seen.total >= IN_ALL {
            return Err(Fault::Rate.into());
        }
        let of_key = seen.keys.entry(proof.thumbprint).or_default();
        if of_key.get(&proof.jti).is_some_and(|until| *until >= now) {
            return Err(refused("proof.replayed"));
        }
        if of_key.len() >= PER_KEY {
            return Err(Fault::Rate.into());
        }
        if of_key.insert(proof.jti, proof.until).is_none() {
            seen.total = seen.total.saturating_add(1);
        }
        Ok(())
    }
}

impl Seen {
    /// Once in five seconds, so that a read costs no walk.
    fn sweep(&mut self, now: Timestamp) {
        let round = now.as_secs() / 5;
        if round == self.swept {
            return;
        }
        self.swept = round;
        for of_key in self.keys.values_mut() {
            of_key.retain(|_, until| *until >= now);
        }
        self.keys.retain(|_, of_key| !of_key.is_empty());
        self.total = self.keys.values().map(HashMap::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn proof(key: u8, jti: u8) -> SeenProof {
        SeenProof {
            thumbprint: [key; 32],
            jti: [jti; 32],
            iat: NOW,
            until: NOW.plus_millis(75_000),
        }
    }

    #[test]
    fn i3_a_proof_for_a_read_is_taken_once() {
        let replay = ReadReplay::new(NOW);
        assert!(replay.spend(&proof(1, 1), NOW).is_ok());
        assert_eq!(
            replay.spend(&proof(1, 1), NOW).unwrap_err().code(),
            "auth.failed"
        );
        let last = NOW.plus_millis(75_000);
        assert!(replay.spend(&proof(1, 1), last).is_err(), "at its very end");
    }

    #[test]
    fn i14_nobody_spends_or_evicts_anothers() {
        let replay = ReadReplay::new(NOW);
        assert!(replay.spend(&proof(1, 1), NOW).is_ok());
        assert!(
            replay.spend(&proof(2, 1), NOW).is_ok(),
            "the same id by another key"
        );
        for i in 0..PER_KEY + 10 {
            let mut jti = [0; 32];
            jti[..8].copy_from_slice(&i.to_be_bytes());
            let _ = replay.spend(&SeenProof { jti, ..proof(2, 0) }, NOW);
        }
        assert_eq!(
            replay.spend(&proof(2, 9), NOW).unwrap_err().code(),
            "request.rate"
        );
        assert!(
            replay.spend(&proof(1, 2), NOW).is_ok(),
            "another key goes on"
        );
        assert!(
            replay.spend(&proof(1, 1), NOW).is_err(),
            "and what it spent is still spent"
        );
    }

    #[test]
    fn i3_a_start_forgets_nothing_that_could_come_again() {
        let replay = ReadReplay::new(NOW.plus_millis(1_500));
        assert_eq!(
            replay.spend(&proof(1, 1), NOW).unwrap_err().code(),
            "dpop.before_start"
        );
    }
}

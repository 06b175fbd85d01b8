//! What writer and readers share.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use assay_api::log::{Checkpoint, LogKey};
use tokio::sync::watch;

use super::row::RowId;
use crate::clock::ClockGuard;
use crate::keys::Keys;

/// Shared state. Locks are never held over a caller's code, but `gate`, which a reader's second attempt holds.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) keys: Keys,
    pub(super) log_key: LogKey,
    pub(super) guard: ClockGuard,
    pub(super) head: watch::Sender<Arc<Checkpoint>>,
    /// Held to write from the COMMIT until `rows` follows it, so that whoever holds it to read sees both as one.
    pub(super) gate: RwLock<()>,
    rows: RwLock<HashMap<RowId, u64>>,
    /// The disk was full when last tried.
    pub(super) full: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        keys: Keys,
        log_key: LogKey,
        guard: ClockGuard,
        head: Checkpoint,
        rows: HashMap<RowId, u64>,
    ) -> Self {
        Self {
            keys,
            log_key,
            guard,
            head: watch::Sender::new(Arc::new(head)),
            gate: RwLock::new(()),
            rows: RwLock::new(rows),
            full: AtomicBool::new(false),
        }
    }

    /// The index of the last entry that names this row.
    pub(super) fn latest(&self, row: RowId) -> Option<u64> {
        self.rows
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&row)
            .copied()
    }

    pub(super) fn apply(&self, changed: HashMap<RowId, u64>) {
        self.rows
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(changed);
    }
}

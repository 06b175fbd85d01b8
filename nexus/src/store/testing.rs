//! A store to test with: a real one, in a directory that goes away.

use std::path::PathBuf;
use std::sync::Arc;

use assay_api::log::{Actor, ActorKind};
use assay_attest::time::Timestamp;

use super::tenant::{Tenant, TenantState};
use super::{EntryDraft, Store, StoreFault, StoreOptions};
use crate::clock::ManualClock;
use crate::keys::Master;

/// When tests begin: 2026-01-01.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A store, its clock and its directory. The database can be closed, tampered with and opened again.
pub(crate) struct Scratch {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) options: StoreOptions,
    pub(crate) master: Master,
    _directory: tempfile::TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(directory.path().join("nexus.db"), "assay.test/log");
        options.reserve = 1 << 16;
        let (clock, master) = (
            Arc::new(ManualClock::new(START)),
            Master::from_bytes(&[1; 32]).unwrap(),
        );
        Self {
            clock,
            options,
            master,
            _directory: directory,
        }
    }

    pub(crate) fn open(&self) -> Store {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Store, StoreFault> {
        Store::open(&self.options, &self.master, self.clock.clone())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.options.path.clone()
    }

    /// What somebody with the database file in their hands can do.
    pub(crate) fn tamper(&self, sql: &str) {
        rusqlite::Connection::open(self.path())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }
}

/// An entry by an operator.
pub(crate) fn entry(event: &str) -> EntryDraft {
    EntryDraft::new(
        event,
        Actor {
            kind: ActorKind::Operator,
            id: "op-1".into(),
            kid: None,
        },
    )
}

/// A tenant, as an example of a row that decides trust; its name is its id.
pub(crate) fn tenant(id: &str, state: TenantState) -> Tenant {
    Tenant {
        id: id.into(),
        name: id.into(),
        state,
        created: START,
    }
}

//! The nexus's memory: SQLite, one writer with group commit, readers on snapshots, and the audit log in the same
//! transactions.
//!
//! # Writing
//! ```ignore
//! let entry = EntryDraft::new("tenant.create", actor).target(&id);
//! let index = store
//!     .write(move |tx| {
//!         tx.clock()?;                                     // releases only: the clock can be relied on
//!         if let Some(there) = tx.get::<Tenant>(&*id)? {   // reads see what earlier callers of the batch wrote
//!             tx.audit(entry.denied("tenant.exists"))?;    // an entry without rows
//!             return Ok(Outcome::Exists(there));
//!         }
//!         tx.change(entry, |c| {                           // the only way to write trust rows: with their entry
//!             c.insert(&Tenant { id, name, state: TenantState::Active })?;
//!             c.entry().details.insert("name".into(), name);
//!             Ok(Outcome::Made(c.index()))
//!         })
//!     })
//!     .await?;                                             // answered after the COMMIT is on disk
//! ```
//! The closure's error type is the caller's own, with `From<StoreFault>`. Where the closure (or the deed in a `change`)
//! returns an error or panics, all that it did is undone, and nothing of anybody else's. A failed COMMIT fails the whole
//! batch. Closures run on the writer's thread, one after the other: verify signatures before, not inside.
//! [`Store::write_reserved`] goes through on a full disk, from a reserve: for revoking and denying only.
//!
//! # Reading
//! ```ignore
//! let device: Option<Device> = store.read_now(|r| r.get(&device_id))?;                     // a few microseconds
//! let keys: Vec<Key> = store.read_now(|r| r.find("operator", &operator_id))?;              // an indexed column
//! let page: Vec<Device> = store.read(move |r| r.page(Some(("tenant", &t)), after, limit)).await?;   // long: off the request threads
//! ```
//! A question is asked again where the writer went on meanwhile, so it has no side effects, and does not call the store.
//!
//! # A new row type
//! 1. `trust_row! { .. }` in a file of its own in this directory (`tenant.rs` is the example), one line in [`rows`].
//! 2. Its table in a migration: the columns in that order, `log_index INTEGER NOT NULL, mac BLOB NOT NULL` last, STRICT,
//!    the same primary key, an SQL index for each name in `index`. A test holds the two together.
//!
//! Rows are never deleted: a denial is a state. A column added later must be nullable; MACs of the rows that are there stay.
//!
//! # Plain tables
//! What decides no trust (evidence bytes, leases) is SQL through [`Rows::sql`], within the same transaction. State that is
//! used once has its own helpers: [`replay`], [`nonce`], [`token`], [`challenge`], [`idempotency`]; signing keys are in [`signing_key`],
//! reading the log in [`audit`].

pub mod audit;
pub mod challenge;
pub mod claims;
mod clock_accept;
mod column;
pub mod devices;
mod draft;
mod fault;
pub mod idempotency;
pub mod ids;
mod inner;
mod log;
mod migrate;
pub mod nonce;
mod open;
pub mod people;
mod reader;
pub mod references;
pub mod replay;
mod reserve;
mod row;
pub mod rows;
pub mod secrets;
pub mod signing_key;
pub mod ssh;
mod sweep;
pub mod tenant;
pub mod token;
mod tx;
mod view;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};

use assay_api::log::{Checkpoint, LogKey};
use tokio::sync::{mpsc, oneshot, watch};

pub use column::{Cell, Column};
pub use draft::EntryDraft;
pub use fault::StoreFault;
pub use open::{Durability, StoreOptions};
pub use reader::Reader;
pub use row::{AsKey, ColumnSpec, Statements, TrustRow};
pub use tx::{Change, Tx, Writes};
pub use view::{AsSql, Rows, View};

use crate::clock::ClockGuard;
use crate::keys::Keys;
use clock_accept::ClockAccept;
use writer::{Again, Job, Once};

/// The store. Cheap to clone; the writer ends when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<inner::Shared>,
    readers: reader::Readers,
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Keeps a second nexus out; the kernel lets go when the process ends.
    _lock: nix::fcntl::Flock<std::fs::File>,
}

impl Store {
    /// Runs `deed` in the writing transaction and answers once it is durable. See the module's page.
    ///
    /// # Errors
    /// What `deed` returns; a [`StoreFault`] where the batch did not reach the disk.
    pub async fn write<T, E, F>(&self, deed: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreFault> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        self.send(Box::new(Once::new(deed, sender))).await?;
        answer.await.unwrap_or_else(|_| Err(gone().into()))
    }

    /// As [`Store::write`], but goes through on a full disk, from the reserve: for what takes trust away. `deed` may run
    /// twice; the first run is undone then.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn write_reserved<T, E, F>(&self, deed: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreFault> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        self.send(Box::new(Again::new(deed, sender))).await?;
        answer.await.unwrap_or_else(|_| Err(gone().into()))
    }

    /// As [`Store::write`], for threads without a runtime: `main` at start, subcommands, tests. Panics on a runtime's thread.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_blocking<T, E, F>(&self, deed: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreFault> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let queue = self.0.queue.as_ref().ok_or_else(gone)?;
        queue
            .blocking_send(Box::new(Once::new(deed, sender)))
            .map_err(|_| gone())?;
        answer
            .blocking_recv()
            .unwrap_or_else(|_| Err(gone().into()))
    }

    /// Asks on this thread: for point reads inside a request, which take microseconds.
    ///
    /// # Errors
    /// What `question` returns.
    pub fn read_now<T, E: From<StoreFault>>(
        &self,
        question: impl Fn(&Reader<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.0.readers.read(&self.0.shared, question)
    }

    /// Asks on a blocking thread: for lists and exports.
    ///
    /// # Errors
    /// What `question` returns.
    pub async fn read<T, E, F>(&self, question: F) -> Result<T, E>
    where
        F: Fn(&Reader<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreFault> + Send + 'static,
    {
        let inner = self.0.clone();
        let asked =
            tokio::task::spawn_blocking(move || inner.readers.read(&inner.shared, question));
        asked
            .await
            .unwrap_or_else(|_| Err(StoreFault::Panicked.into()))
    }

    /// The signed head of the audit log as last committed; at least one entry is always there.
    #[must_use]
    pub fn head(&self) -> Arc<Checkpoint> {
        self.0.shared.head.borrow().clone()
    }

    /// The signed head, to wait for the next.
    #[must_use]
    pub fn heads(&self) -> watch::Receiver<Arc<Checkpoint>> {
        self.0.shared.head.subscribe()
    }

    /// The public key of the audit log.
    #[must_use]
    pub fn log_key(&self) -> &LogKey {
        &self.0.shared.log_key
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.0.shared.keys
    }

    /// The clock and what is held against it.
    #[must_use]
    pub fn clock(&self) -> &ClockGuard {
        &self.0.shared.guard
    }

    /// Whether the last write found the disk full: releases are closed then.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0
            .shared
            .full
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    /// An admin at the machine vouches for the clock as it stands: releases open again (`assay-nexus clock accept`).
    ///
    /// # Errors
    /// The store's faults.
    pub fn accept_clock_blocking(&self, entry: EntryDraft) -> Result<(), StoreFault> {
        let guard = self.clock().clone();
        let wall = guard.now();
        self.write_blocking(move |tx| {
            let row = ClockAccept {
                id: clock_accept::ID.into(),
                floor: tx.now(),
                wall,
            };
            tx.change(entry, |change| change.put(&row))
        })?;
        self.clock().accept(wall);
        Ok(())
    }

    /// Forgets expired replay, nonce and idempotency rows, in bounded steps. Call it once a minute.
    ///
    /// # Errors
    /// The store's faults.
    pub async fn sweep(&self) -> Result<(), StoreFault> {
        while self.write(|tx| sweep::step(tx)).await? > 0 {}
        Ok(())
    }

    async fn send(&self, job: Box<dyn Job>) -> Result<(), StoreFault> {
        let queue = self.0.queue.as_ref().ok_or_else(gone)?;
        queue.send(job).await.map_err(|_| gone())
    }
}

fn gone() -> StoreFault {
    StoreFault::Unavailable("the writer has stopped".into())
}

impl Drop for Inner {
    /// Lets the writer finish what is queued, and waits for it: then the lock falls. Readers go first, so that the writer is
    /// the last to close and takes the WAL into the database.
    fn drop(&mut self) {
        self.readers.close();
        drop(self.queue.take());
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer.filter(|w| w.thread().id() != std::thread::current().id()) {
            let _ = writer.join();
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

//! Reading: a few read-only connections, each on its own snapshot.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::fault::StoreFault;
use super::inner::Shared;
use super::row::RowId;
use super::view::{Latest, Rows, View};

/// One snapshot of the store. See [`Store::read_now`](super::Store::read_now).
pub struct Reader<'a> {
    conn: &'a Connection,
    shared: &'a Shared,
    /// Snapshot and row index are known to be of one moment.
    settled: bool,
    mismatch: Cell<bool>,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader(..)")
    }
}

impl Rows for Reader<'_> {
    fn view(&self) -> View<'_> {
        View {
            conn: self.conn,
            keys: &self.shared.keys,
            latest: self,
        }
    }
}

impl Latest for Reader<'_> {
    fn latest(&self, row: RowId) -> Option<u64> {
        self.shared.latest(row)
    }

    fn mismatch(&self) -> bool {
        self.mismatch.set(true);
        self.settled
    }
}

/// Read-only connections.
#[derive(Debug)]
pub(super) struct Readers {
    pool: Vec<Mutex<Connection>>,
    next: AtomicUsize,
}

impl Readers {
    pub(super) fn open(path: &Path, count: usize, busy: Duration) -> Result<Self, StoreFault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |_| {
            let conn = Connection::open_with_flags(path, flags)?;
            conn.busy_timeout(busy)?;
            conn.pragma_update(None, "query_only", true)?;
            conn.pragma_update(None, "cache_size", -16_384)?;
            // Otherwise statements are planned again with values in mind, each time they are bound.
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            conn.set_prepared_statement_cache_capacity(128);
            Ok(Mutex::new(conn))
        };
        let pool = (0..count.max(1))
            .map(open)
            .collect::<Result<Vec<_>, rusqlite::Error>>()?;
        Ok(Self {
            pool,
            next: AtomicUsize::new(0),
        })
    }

    /// Runs `question` on a snapshot; a second time, in step with the writer, where a row did not fit the row index, since
    /// the index may have gone on between snapshot and question.
    pub(super) fn read<T, E: From<StoreFault>>(
        &self,
        shared: &Shared,
        question: impl Fn(&Reader<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let conn = self
            .free()
            .ok_or_else(|| StoreFault::Misused("no reader".into()))?;
        let ask = |settled: bool| {
            let _gate = settled.then(|| shared.gate.read().unwrap_or_else(PoisonError::into_inner));
            let reader = Reader {
                conn: &conn,
                shared,
                settled,
                mismatch: Cell::new(false),
            };
            let answer = snapshot(&conn, || question(&reader));
            (answer, reader.mismatch.get())
        };
        match ask(false) {
            (_, true) => ask(true).0,
            (answer, false) => answer,
        }
    }

    pub(super) fn close(&mut self) {
        self.pool.clear();
    }

    fn free(&self) -> Option<MutexGuard<'_, Connection>> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let mut order = self
            .pool
            .iter()
            .cycle()
            .skip(start % self.pool.len().max(1))
            .take(self.pool.len());
        let first = order.clone().next()?;
        let free = order.find_map(|reader| reader.try_lock().ok());
        Some(free.unwrap_or_else(|| first.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Runs `question` between BEGIN and ROLLBACK, whatever happens in it.
fn snapshot<T, E: From<StoreFault>>(
    conn: &Connection,
    question: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let run =
        |sql| -> Result<(), StoreFault> { Ok(conn.prepare_cached(sql)?.execute([]).map(drop)?) };
    run("BEGIN")?;
    let answer = catch_unwind(AssertUnwindSafe(question));
    let ended = run("ROLLBACK");
    let answer = answer.unwrap_or_else(|panic| resume_unwind(panic))?;
    ended?;
    Ok(answer)
}

//! Inside the one writing transaction: a row that decides trust changes together with its audit entry, or not at all.

use std::collections::HashMap;

use assay_api::log::LogEnd;
use assay_attest::time::Timestamp;
use rusqlite::Connection;

use super::column::Cell;
use super::draft::EntryDraft;
use super::fault::StoreFault;
use super::inner::Shared;
use super::log;
use super::row::{RowId, TrustRow, row_mac};
use super::view::{Bound, Latest, Rows, View, row_name};
use crate::clock::ClockFault;

/// Bytes of row names under one audit entry. An entry is bounded, a change is not: one that revokes a thousand certificates
/// goes on in further entries, and is refused for its size by none.
const NAMES: usize = 24 * 1024;

/// What may write: [`Tx`] and [`Change`]. Plain SQL goes through [`Rows::sql`].
pub trait Writes: Rows {
    /// The transaction's time: wall time, but never before the log's last entry.
    fn now(&self) -> Timestamp;
}

/// What the current batch has done so far and the disk does not have yet.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) end: LogEnd,
    pub(super) time: Timestamp,
    pub(super) changed: HashMap<RowId, u64>,
    undo: Vec<(RowId, Option<u64>)>,
}

/// A point in a batch to go back to.
struct Mark {
    end: LogEnd,
    time: Timestamp,
    undo: usize,
}

impl Batch {
    pub(super) fn new(end: LogEnd, time: Timestamp) -> Self {
        Self {
            end,
            time,
            changed: HashMap::new(),
            undo: Vec::new(),
        }
    }

    fn mark(&self) -> Mark {
        Mark {
            end: self.end.clone(),
            time: self.time,
            undo: self.undo.len(),
        }
    }

    fn back_to(&mut self, mark: Mark) {
        for (row, before) in self.undo.drain(mark.undo..).rev() {
            match before {
                Some(index) => self.changed.insert(row, index),
                None => self.changed.remove(&row),
            };
        }
        self.end = mark.end;
        self.time = mark.time;
    }

    fn changed(&mut self, row: RowId, index: u64) {
        let before = self.changed.insert(row, index);
        self.undo.push((row, before));
    }
}

/// One caller's part of a transaction. See [`Store::write`](super::Store::write).
pub struct Tx<'a> {
    pub(super) conn: &'a Connection,
    pub(super) shared: &'a Shared,
    pub(super) batch: &'a mut Batch,
    pub(super) now: Timestamp,
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Rows for Tx<'_> {
    fn view(&self) -> View<'_> {
        View {
            conn: self.conn,
            keys: &self.shared.keys,
            latest: self,
        }
    }
}

impl Writes for Tx<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }
}

impl Latest for Tx<'_> {
    fn latest(&self, row: RowId) -> Option<u64> {
        self.batch
            .changed
            .get(&row)
            .copied()
            .or_else(|| self.shared.latest(row))
    }
}

impl Tx<'_> {
    /// Changes rows that decide trust, under one audit entry that names them: the only way to write such rows. `deed` gets
    /// a [`Change`]; where it fails, rows and entry are undone and the transaction goes on.
    ///
    /// # Errors
    /// What `deed` returns, or the store's faults.
    pub fn change<T, E: From<StoreFault>>(
        &mut self,
        entry: EntryDraft,
        deed: impl FnOnce(&mut Change<'_, '_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.savepoint("change", |tx| {
            let index = tx.batch.end.size();
            let log_index =
                i64::try_from(index).map_err(|_| StoreFault::Misused("the log is full".into()))?;
            let mut change = Change {
                tx,
                entry,
                index,
                log_index,
                rows: Vec::new(),
                names: 0,
            };
            let done = deed(&mut change)?;
            let Change {
                tx, entry, rows, ..
            } = change;
            tx.append(entry, rows)?;
            Ok(done)
        })
    }

    /// Appends an audit entry for a deed that changes no row: a refusal, something noticed. Returns its index.
    ///
    /// # Errors
    /// The store's faults.
    pub fn audit(&mut self, entry: EntryDraft) -> Result<u64, StoreFault> {
        self.savepoint("change", |tx| {
            let index = tx.batch.end.size();
            tx.append(entry, Vec::new())?;
            Ok(index)
        })
    }

    /// Whether the clock may be relied on. Whoever releases asks this in the releasing transaction.
    ///
    /// # Errors
    /// [`ClockFault`].
    pub fn clock(&self) -> Result<(), ClockFault> {
        self.shared.guard.check()
    }

    /// Runs `part`; where it fails, what it did is undone and the transaction goes on: for what must be written whether
    /// `part` succeeds or not.
    ///
    /// # Errors
    /// What `part` returns, or the store's faults.
    pub fn attempt<T, E: From<StoreFault>>(
        &mut self,
        part: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.savepoint("attempt", part)
    }

    /// Runs `part` so that its failure undoes what it did, and only that.
    pub(super) fn savepoint<T, E: From<StoreFault>>(
        &mut self,
        name: &'static str,
        part: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let mark = self.batch.mark();
        let conn = self.conn;
        let run = |word: &str| -> Result<(), StoreFault> {
            conn.prepare_cached(&format!("{word} {name}"))?
                .execute([])
                .map(drop)
                .map_err(StoreFault::from)
        };
        run("SAVEPOINT")?;
        let done = part(self).and_then(|done| run("RELEASE").map(|()| done).map_err(E::from));
        if done.is_err() {
            // Where SQLite has already rolled everything back (disk full), there is no savepoint to go back to; the writer
            // sees that and fails the batch.
            let _ = run("ROLLBACK TO").and_then(|()| run("RELEASE"));
            self.batch.back_to(mark);
        }
        done
    }

    fn append(&mut self, draft: EntryDraft, rows: Vec<String>) -> Result<(), StoreFault> {
        self.batch.time = self.now.max(self.batch.time);
        log::append(self.conn, &mut self.batch.end, self.batch.time, draft, rows)
    }
}

/// Rows being changed under one audit entry. See [`Tx::change`].
pub struct Change<'c, 'a> {
    tx: &'c mut Tx<'a>,
    entry: EntryDraft,
    index: u64,
    log_index: i64,
    rows: Vec<String>,
    /// Bytes of `rows`.
    names: usize,
}

impl std::fmt::Debug for Change<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change")
            .field("index", &self.index)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Rows for Change<'_, '_> {
    fn view(&self) -> View<'_> {
        self.tx.view()
    }
}

impl Writes for Change<'_, '_> {
    fn now(&self) -> Timestamp {
        self.tx.now
    }
}

impl Change<'_, '_> {
    /// Writes a new row.
    ///
    /// # Errors
    /// [`StoreFault::Conflict`] where its key, or a value that must be unique, is there already.
    pub fn insert<R: TrustRow>(&mut self, row: &R) -> Result<(), StoreFault> {
        let cells = row.cells();
        let key = cells.get(..R::KEYS).unwrap_or_default();
        if self.known::<R>(key) {
            return Err(StoreFault::Conflict {
                what: row_name::<R>(key),
            });
        }
        match self.execute::<R>(&R::statements().insert, &cells) {
            // A row that the log does not know, under this very key, was put there by somebody else.
            Err(conflict @ StoreFault::Conflict { .. }) => match self.view().get_cells::<R>(key) {
                Err(forged) => Err(forged),
                Ok(_) => Err(conflict),
            },
            other => other.map(drop),
        }
    }

    /// Replaces a row that is there.
    ///
    /// # Errors
    /// [`StoreFault::NoRow`] where it is not, [`StoreFault::RowForged`] where what is there is not ours,
    /// [`StoreFault::Conflict`] where a value that must be unique is there already.
    pub fn update<R: TrustRow>(&mut self, row: &R) -> Result<(), StoreFault> {
        let cells = row.cells();
        let key = cells.get(..R::KEYS).unwrap_or_default();
        let text = || super::row::key_text(key);
        if self.view().get_cells::<R>(key)?.is_none() {
            return Err(StoreFault::NoRow {
                table: R::TABLE,
                key: text(),
            });
        }
        match self.execute::<R>(&R::statements().update, &cells)? {
            1 => Ok(()),
            _ => Err(StoreFault::RowForged {
                table: R::TABLE,
                key: text(),
            }),
        }
    }

    /// Writes a row, new or not.
    ///
    /// # Errors
    /// As [`Change::insert`] and [`Change::update`].
    pub fn put<R: TrustRow>(&mut self, row: &R) -> Result<(), StoreFault> {
        let cells = row.cells();
        if self.known::<R>(cells.get(..R::KEYS).unwrap_or_default()) {
            self.update(row)
        } else {
            self.insert(row)
        }
    }

    /// The entry, to add what is known only now: the id of what was made, a detail.
    pub fn entry(&mut self) -> &mut EntryDraft {
        &mut self.entry
    }

    /// The index that the entry will have: of several, the one that is being filled.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Whether the clock may be relied on; see [`Tx::clock`].
    ///
    /// # Errors
    /// [`ClockFault`].
    pub fn clock(&self) -> Result<(), ClockFault> {
        self.tx.clock()
    }

    fn known<R: TrustRow>(&self, key: &[Cell<'_>]) -> bool {
        self.tx.latest(RowId::of(&row_name::<R>(key))).is_some()
    }

    fn execute<R: TrustRow>(&mut self, sql: &str, cells: &[Cell<'_>]) -> Result<usize, StoreFault> {
        let name = row_name::<R>(cells.get(..R::KEYS).unwrap_or_default());
        let is_new = !self.rows.contains(&name);
        if is_new && self.names.saturating_add(name.len()) > NAMES {
            self.turn()?;
        }
        let mac = row_mac::<R>(self.tx.shared.keys.row_mac(), cells, self.log_index);
        let tail = [Cell::Integer(self.log_index), Cell::Blob(mac.as_ref())];
        let values = cells.iter().chain(&tail).map(Bound);
        let changed = self
            .tx
            .conn
            .prepare_cached(sql)?
            .execute(rusqlite::params_from_iter(values))?;
        self.tx.batch.changed(RowId::of(&name), self.index);
        if is_new {
            // Quotes and comma count, too.
            self.names = self.names.saturating_add(name.len()).saturating_add(3);
            self.rows.push(name);
        }
        Ok(changed)
    }

    /// Puts what was changed so far under an entry of its own, and goes on under the next.
    fn turn(&mut self) -> Result<(), StoreFault> {
        let part = self.entry.clone().detail("goes_on", "yes");
        self.tx.append(part, std::mem::take(&mut self.rows))?;
        self.names = 0;
        self.index = self.tx.batch.end.size();
        self.log_index =
            i64::try_from(self.index).map_err(|_| StoreFault::Misused("the log is full".into()))?;
        Ok(())
    }
}

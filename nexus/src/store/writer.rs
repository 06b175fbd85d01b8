//! The one writer: callers' transactions queue up, share one COMMIT, and are answered after it (group commit).

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use assay_api::log::LogEnd;
use assay_attest::time::Timestamp;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::fault::StoreFault;
use super::inner::Shared;
use super::log;
use super::reserve::Reserve;
use super::row::RowId;
use super::tx::{Batch, Tx};

/// The most callers that share one COMMIT: bounds how long the first of them waits for the last.
const MAX_BATCH: usize = 256;

/// How long, and how often in a row, to wait for callers that are about to ask again: far less than a COMMIT takes.
const LINGER: Duration = Duration::from_micros(20);
const LINGER_STEPS: u32 = 3;

/// A caller's transaction in the queue.
pub(super) trait Job: Send {
    /// Whether this goes through on a full disk.
    fn reserved(&self) -> bool;
    /// Runs it; its own failure or panic undoes it alone.
    fn run(&mut self, tx: &mut Tx<'_>);
    /// Answers: what it returned, or the fault that kept the batch from the disk.
    fn finish(self: Box<Self>, committed: Result<(), StoreFault>);
}

/// A transaction that runs at most once.
pub(super) struct Once<F, T, E> {
    deed: Option<F>,
    done: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

/// A transaction that may run again after the reserve was released.
pub(super) struct Again<F, T, E> {
    deed: F,
    done: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Once<F, T, E> {
    pub(super) fn new(deed: F, answer: oneshot::Sender<Result<T, E>>) -> Self {
        Self {
            deed: Some(deed),
            done: None,
            answer,
        }
    }
}

impl<F, T, E> Again<F, T, E> {
    pub(super) fn new(deed: F, answer: oneshot::Sender<Result<T, E>>) -> Self {
        Self {
            deed,
            done: None,
            answer,
        }
    }
}

fn guarded<T, E: From<StoreFault>>(
    tx: &mut Tx<'_>,
    deed: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    tx.savepoint("job", |tx| {
        catch_unwind(AssertUnwindSafe(|| deed(tx)))
            .unwrap_or_else(|_| Err(E::from(StoreFault::Panicked)))
    })
}

fn answer<T, E: From<StoreFault>>(
    to: oneshot::Sender<Result<T, E>>,
    done: Option<Result<T, E>>,
    committed: Result<(), StoreFault>,
) {
    let result = match (done, committed) {
        (Some(Err(own)), _) => Err(own),
        (_, Err(fault)) => Err(E::from(fault)),
        (Some(Ok(done)), Ok(())) => Ok(done),
        (None, Ok(())) => Err(E::from(StoreFault::Panicked)),
    };
    // A caller that went away needs no answer: what was committed stays.
    let _ = to.send(result);
}

impl<F, T, E> Job for Once<F, T, E>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreFault> + Send,
{
    fn reserved(&self) -> bool {
        false
    }

    fn run(&mut self, tx: &mut Tx<'_>) {
        if let Some(deed) = self.deed.take() {
            self.done = Some(guarded(tx, deed));
        }
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreFault>) {
        answer(self.answer, self.done, committed);
    }
}

impl<F, T, E> Job for Again<F, T, E>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreFault> + Send,
{
    fn reserved(&self) -> bool {
        true
    }

    fn run(&mut self, tx: &mut Tx<'_>) {
        self.done = Some(guarded(tx, &mut self.deed));
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreFault>) {
        answer(self.answer, self.done, committed);
    }
}

/// The writer's own state; lives on its thread.
pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) reserve: Reserve,
    pub(super) end: LogEnd,
    pub(super) time: Timestamp,
    /// How many callers shared the last COMMIT.
    pub(super) last_batch: usize,
}

impl Writer {
    /// Serves the queue until every sender is gone.
    pub(super) fn serve(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = queue.blocking_recv() {
            let mut jobs = vec![first];
            self.batch(&mut jobs, || queue.try_recv().ok());
        }
    }

    /// Runs a batch and answers it. `more` gives jobs that came in meanwhile.
    pub(super) fn batch(
        &mut self,
        jobs: &mut Vec<Box<dyn Job>>,
        more: impl FnMut() -> Option<Box<dyn Job>>,
    ) {
        let full = self.shared.full.load(Ordering::Relaxed) && !self.reserve.take();
        if !full {
            self.shared.full.store(false, Ordering::Relaxed);
        }
        let (mut ran, mut outcome) = self.attempt(jobs, more, full);
        if outcome == Err(StoreFault::Full) {
            if !self.shared.full.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    "the disk is full: releases stop, revoking goes on from the reserve"
                );
            }
            self.reserve.release();
            let (mut reserved, normal): (Vec<_>, Vec<_>) =
                ran.drain(..).partition(|job| job.reserved());
            finish(normal, Err(StoreFault::Full));
            outcome = Ok(());
            if !reserved.is_empty() {
                (ran, outcome) = self.attempt(&mut reserved, || None, true);
            }
        }
        finish(ran, outcome);
    }

    /// Runs jobs in one transaction and commits. Gives them back with what became of it.
    fn attempt(
        &mut self,
        jobs: &mut Vec<Box<dyn Job>>,
        mut more: impl FnMut() -> Option<Box<dyn Job>>,
        full: bool,
    ) -> (Vec<Box<dyn Job>>, Result<(), StoreFault>) {
        let mut ran = Vec::new();
        if full {
            self.reserve.release();
            // The WAL goes into the database and is written from its beginning again, so that the reserve lasts.
            let _ = self
                .conn
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
        if let Err(fault) = self.conn.execute_batch("BEGIN IMMEDIATE") {
            ran.append(jobs);
            return (ran, Err(fault.into()));
        }
        let mut batch = Batch::new(self.end.clone(), self.time);
        let mut waiting = std::mem::take(jobs).into_iter();
        while ran.len() < MAX_BATCH {
            let next = waiting.next();
            // On a full disk each batch asks anew whether it still is, so it takes nobody else in.
            let next = if full {
                next
            } else {
                next.or_else(&mut more)
                    .or_else(|| self.linger(ran.len(), &mut more))
            };
            let Some(mut job) = next else {
                break;
            };
            if full && !job.reserved() {
                job.finish(Err(StoreFault::Full));
                continue;
            }
            let now = self.shared.guard.now().max(batch.time);
            job.run(&mut Tx {
                conn: &self.conn,
                shared: &self.shared,
                batch: &mut batch,
                now,
            });
            ran.push(job);
            if self.conn.is_autocommit() {
                // SQLite undid the whole transaction: the disk is full, or broken.
                ran.extend(waiting);
                return (ran, Err(self.reserve.why_undone()));
            }
        }
        self.last_batch = ran.len();
        let outcome = self.commit(batch);
        if outcome.is_err() && !self.conn.is_autocommit() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        (ran, outcome)
    }

    /// Waits a moment for callers that the last batch had and this one has not yet: they have just been answered and are
    /// about to ask again. A lone caller never waits.
    fn linger(
        &self,
        ran: usize,
        more: &mut impl FnMut() -> Option<Box<dyn Job>>,
    ) -> Option<Box<dyn Job>> {
        (ran < self.last_batch).then_some(())?;
        (0..LINGER_STEPS).find_map(|_| {
            std::thread::sleep(LINGER);
            more()
        })
    }

    /// Signs the new head where there are entries, commits, and lets everybody see it.
    fn commit(&mut self, batch: Batch) -> Result<(), StoreFault> {
        let Batch {
            end, time, changed, ..
        } = batch;
        let grown = end.size() != self.end.size();
        let (keys, key) = (&self.shared.keys, &self.shared.log_key);
        let head = if grown {
            Some(log::write_head(&self.conn, keys, key, &end)?)
        } else {
            None
        };
        let wall = self.shared.guard.now();
        self.commit_and_show(changed)?;
        self.end = end;
        self.time = time;
        if let Some(head) = head {
            self.shared.guard.saw(wall);
            self.shared.head.send_replace(Arc::new(head));
        }
        Ok(())
    }

    fn commit_and_show(&self, changed: HashMap<RowId, u64>) -> Result<(), StoreFault> {
        let _gate = self
            .shared
            .gate
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.conn.execute_batch("COMMIT")?;
        self.shared.apply(changed);
        Ok(())
    }
}

fn finish(jobs: Vec<Box<dyn Job>>, outcome: Result<(), StoreFault>) {
    for job in jobs {
        job.finish(outcome.clone());
    }
}

//! A thread that owns something and does one thing with it after the other.

use super::SourceError;
use std::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;

/// The TSS keeps its largest structures on the stack.
const STACK: usize = 512 * 1024;

/// Something to do with what the thread owns.
pub(super) type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// A handle on the thread, which ends with the last one.
pub(super) struct Worker<T>(Sender<Job<T>>);

impl<T: 'static> Worker<T> {
    /// Starts a thread that makes what it owns, says what there is to say of it, and serves. Blocks until it is made.
    pub(super) fn start<A: Send + 'static>(
        name: &str,
        make: impl FnOnce() -> Result<(T, A), SourceError> + Send + 'static,
        serve: impl FnOnce(T, &Receiver<Job<T>>) + Send + 'static,
    ) -> Result<(Self, A), SourceError> {
        let (jobs, inbox) = mpsc::channel();
        let (report, made) = mpsc::channel();
        std::thread::Builder::new()
            .name(name.into())
            .stack_size(STACK)
            .spawn(move || match make() {
                Ok((owned, about)) => {
                    if report.send(Ok(about)).is_ok() {
                        serve(owned, &inbox);
                    }
                }
                Err(error) => drop(report.send(Err(error))),
            })
            .map_err(|_no_thread| SourceError::Closed)?;
        let about = made.recv().map_err(|_ended| SourceError::Closed)??;
        Ok((Self(jobs), about))
    }

    /// Has it done, and waits for the answer without blocking.
    pub(super) async fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut T) -> Result<R, SourceError> + Send + 'static,
    ) -> Result<R, SourceError> {
        let (answer, wait) = oneshot::channel();
        self.send(Box::new(move |owned| drop(answer.send(work(owned)))))?;
        wait.await.map_err(|_ended| SourceError::Closed)?
    }

    pub(super) fn send(&self, job: Job<T>) -> Result<(), SourceError> {
        self.0.send(job).map_err(|_ended| SourceError::Closed)
    }
}

impl<T> Clone for Worker<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

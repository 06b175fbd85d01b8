//! The agent's life: opens its roots, enrols where it has a claim, and drives. What is missing is waited for, with backoff, closed: no
//! crash loop.

use crate::config::Config;
use crate::deliver::unix::Bound;
use crate::drive::{DriveError, Driver, Parts};
use crate::enrol::{self, EnrolError};
use crate::local::{self, Answer, Ask, Asked, FaultInfo, Report, no};
use crate::notify;
use crate::source::SourceError;
use crate::source::roots::Roots;
use crate::state::{State, StateError};
use std::io;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// The first and the longest wait for a root of trust or a nexus that is missing at the start.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The agent could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// State.
    #[error(transparent)]
    State(#[from] StateError),
    /// Enrolment.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The driver.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// A socket or a signal.
    #[error("`{what}`: {source}")]
    System {
        /// What was set up.
        what: String,
        /// What is wrong.
        source: io::Error,
    },
}

impl RunError {
    /// The name that machines may rely on.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::State(error) | Self::Drive(DriveError::State(error)) => error.code(),
            Self::Enrol(error) => error.code(),
            Self::Drive(DriveError::Call(error)) => error.code(),
            Self::Drive(DriveError::System(_) | DriveError::Tls(_)) | Self::System { .. } => {
                "agent.system"
            }
        }
    }
}

/// Runs to the end: SIGTERM, SIGINT. To be called on a `LocalSet`.
///
/// # Errors
/// [`RunError`].
pub async fn run(config: Config) -> Result<(), RunError> {
    let state = State::open(&config.state)?;
    // Without an identity and without a claim there is nothing to wait for.
    let enrolled = match state.identity() {
        Ok(_) => true,
        Err(StateError::NotEnrolled) if config.claim_file.is_some() => false,
        Err(error) => return Err(error.into()),
    };
    let system = |what: &str| {
        let what = what.to_owned();
        move |source| RunError::System { what, source }
    };
    let (stop, mut stopped) = mpsc::channel(1);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).map_err(system("signal"))?;
        let stop = stop.clone();
        tokio::task::spawn_local(async move {
            signals.recv().await;
            // A second signal finds the first one still waiting.
            let _full = stop.try_send(());
        });
    }
    let socket =
        Bound::new(&config.socket, 0o600).map_err(system(&config.socket.display().to_string()))?;
    let (ask, mut questions) = mpsc::channel(16);
    tokio::task::spawn_local(local::serve(socket, ask));

    let mut waiting = Waiting {
        questions: &mut questions,
        stopped: &mut stopped,
        wait: FIRST_WAIT,
    };
    let roots = loop {
        let settings = config.sources();
        // Opening blocks: a TPM takes its time.
        let open = tokio::task::spawn_blocking(move || Roots::open(settings));
        let Some(opened) = waiting.through(open).await else {
            return Ok(());
        };
        match opened.unwrap_or(Err(SourceError::Closed)) {
            Ok(roots) => break roots,
            Err(error) => {
                if !waiting.out(error.code(), &error.to_string()).await {
                    return Ok(());
                }
            }
        }
    };
    waiting.wait = FIRST_WAIT;
    if let (false, Some(claim)) = (enrolled, &config.claim_file) {
        loop {
            let enrol = enrol::enrol(&config, &state, &roots, claim);
            let Some(enrolled) = waiting.through(enrol).await else {
                return Ok(());
            };
            match enrolled {
                Ok(outcome) => {
                    let (device, verdict) = (&outcome.identity.device_id, &outcome.verdict);
                    tracing::info!(%device, verdict, lifecycle = outcome.lifecycle, "enrolled");
                    break;
                }
                Err(error) if error.is_retryable() => {
                    if !waiting.out(error.code(), &error.to_string()).await {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    let parts = Parts {
        config,
        state,
        roots,
        questions,
        stop: stopped,
    };
    Driver::new(parts).await?.run().await?;
    Ok(())
}

/// While something is missing: serves `status`, holds nothing, tries again later and later.
struct Waiting<'a> {
    questions: &'a mut mpsc::Receiver<Asked>,
    stopped: &'a mut mpsc::Receiver<()>,
    wait: Duration,
}

impl Waiting<'_> {
    /// Lets `work` go on, alive and answering; `None` where the agent is to end before it is done.
    async fn through<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        let mut watchdog = notify::watchdog().map(tokio::time::interval);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                _ = self.stopped.recv() => return None,
                Some(asked) = self.questions.recv() => answer(asked, None),
                () = crate::drive::tick(&mut watchdog) => notify::alive(),
            }
        }
    }

    /// Waits once; `false` where the agent is to end.
    async fn out(&mut self, code: &str, detail: &str) -> bool {
        tracing::error!(code, wait = self.wait.as_secs(), "{detail}");
        // The agent serves: it answers here, and releases nothing.
        notify::ready();
        notify::status(&format!("waiting: {detail}"));
        let over = tokio::time::sleep(self.wait);
        self.wait = self.wait.saturating_mul(2).min(LONGEST_WAIT);
        tokio::pin!(over);
        let mut watchdog = notify::watchdog().map(tokio::time::interval);
        loop {
            tokio::select! {
                () = &mut over => return true,
                _ = self.stopped.recv() => return false,
                Some(asked) = self.questions.recv() => answer(asked, Some((code, detail))),
                () = crate::drive::tick(&mut watchdog) => notify::alive(),
            }
        }
    }
}

fn answer(asked: Asked, fault: Option<(&str, &str)>) {
    let (code, detail) = fault.unwrap_or(("agent.starting", "the agent is starting"));
    let answer = match asked.ask {
        Ask::Status => Answer::Status(Box::new(Report {
            state: "starting".into(),
            faults: fault
                .map(|(code, detail)| FaultInfo {
                    what: "start".into(),
                    code: code.to_owned(),
                    detail: detail.to_owned(),
                })
                .into_iter()
                .collect(),
            ..Report::default()
        })),
        Ask::Secret { .. } => no(code, detail),
        Ask::Wipe => Answer::Done,
    };
    drop(asked.answer.send(answer));
}

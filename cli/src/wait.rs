//! Waiting for something to happen elsewhere: polite, bounded, and visible to whoever sits in front of it.

use std::time::{Duration, Instant};

use assay_api::routes::call;
use assay_api::types::Empty;

use crate::app::Cx;
use crate::fault::{Exit, Fault};
use crate::out::Out;
use crate::session::Session;

/// How often the nexus is asked.
const EVERY: Duration = Duration::from_millis(700);

/// `--wait`, with a limit of its own.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct WaitArg {
    /// Wait until it is done, at most SECONDS (180 where none are given).
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "180", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) wait: Option<u64>,
}

impl WaitArg {
    /// When to give up; `None` where nobody wants to wait.
    #[must_use]
    pub(crate) fn deadline(self) -> Option<Deadline> {
        self.wait
            .map(|s| Deadline(Instant::now() + Duration::from_secs(s)))
    }
}

/// When to give up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

/// Asks again and again until there is an answer, or the deadline is over: then `None`. Faults that may pass are waited
/// out as well.
///
/// # Errors
/// What `ask` says and will not pass.
pub(crate) async fn until<T>(
    cx: &Cx,
    what: &str,
    deadline: Deadline,
    mut ask: impl AsyncFnMut() -> Result<Option<T>, Fault>,
) -> Result<Option<T>, Fault> {
    let progress = Progress {
        out: cx.out,
        what,
        since: Instant::now(),
    };
    loop {
        match ask().await {
            Ok(Some(answer)) => return Ok(Some(answer)),
            Ok(None) => {}
            Err(fault) if fault.retryable && !deadline.is_over() => {}
            Err(fault) => return Err(fault),
        }
        if deadline.is_over() {
            return Ok(None);
        }
        progress.show();
        tokio::time::sleep(EVERY).await;
    }
}

/// Tries a release, and again after each proof that its refusal demanded, until the deadline.
///
/// # Errors
/// The refusal, where there is no deadline, where a demand stays unanswered, or where more than freshness is missing.
pub(crate) async fn release<T>(
    cx: &Cx,
    session: &Session,
    deadline: Option<Deadline>,
    devices: impl AsyncFnOnce() -> Result<Vec<String>, Fault>,
    mut attempt: impl AsyncFnMut() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut refusal = match attempt().await {
        Err(fault) if fault.wants_proof() => fault,
        other => return other,
    };
    let Some(deadline) = deadline else {
        return Err(refusal);
    };
    let devices = devices().await?;
    while !deadline.is_over() {
        cx.out.note(&format!(
            "{refusal}; waiting for the proof that was demanded"
        ));
        proofs(cx, session, &devices, deadline).await?;
        match attempt().await {
            Err(fault) if fault.wants_proof() => refusal = fault,
            other => return other,
        }
        tokio::time::sleep(EVERY).await;
    }
    Err(refusal)
}

/// Waits until no demand for a proof is open for any of the devices.
///
/// # Errors
/// `attestation.unanswered`, or what the nexus says.
pub(crate) async fn proofs(
    cx: &Cx,
    session: &Session,
    devices: &[String],
    deadline: Deadline,
) -> Result<(), Fault> {
    for device in devices {
        let answered = until(
            cx,
            &format!("waiting for dpu `{device}` to prove itself"),
            deadline,
            async || match session
                .call::<call::show_demand>(Some(device), &Empty {})
                .await
            {
                Ok(demand) if demand.state == "open" => Ok(None),
                Ok(demand) => Ok(Some(demand.state == "answered")),
                Err(fault) if fault.exit == Exit::NotFound => Ok(Some(true)),
                Err(fault) => Err(fault),
            },
        )
        .await?;
        match answered {
            Some(true) => {}
            Some(false) => return Err(unanswered(device, "did not answer the demand for a proof")),
            None => return Err(unanswered(device, "has not proved itself yet")),
        }
    }
    Ok(())
}

fn unanswered(device: &str, what: &str) -> Fault {
    let mut fault = Fault::new("attestation.unanswered", format!("dpu `{device}` {what}"))
        .exit(Exit::Attestation)
        .hint("look at its agent: `systemctl status assay-agent` on the DPU");
    fault.retryable = true;
    fault
}

/// A line on the terminal that counts, and goes away when dropped.
struct Progress<'a> {
    out: Out,
    what: &'a str,
    since: Instant,
}

impl Progress<'_> {
    fn show(&self) {
        self.out.progress(&format!(
            "{} ({} s)",
            self.what,
            self.since.elapsed().as_secs()
        ));
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.out.progress_end();
    }
}

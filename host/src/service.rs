//! `assay-host run`: stays connected to the agent, installs what comes, reports what became of it.

use crate::fault::Fault;
use crate::host::Host;
use crate::link::{Address, Link, LinkFault};
use assay_api::channel::{FromAgent, FromHost, VERSION};
use assay_api::pairing::Pairing;
use assay_attest::time::Timestamp;
use assay_tls::CertKey;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often it is looked whether the manifest runs out.
const LOOK: Duration = Duration::from_secs(60);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Where it can't start: no keys, no pairing, no address, an interrupted installation that can't be put back.
pub async fn run(host: Arc<Host>) -> Result<(), Fault> {
    let recovered = blocking(&host, Host::recover).await?;
    if recovered {
        tracing::warn!("an interrupted installation was put back");
    }
    let pairing = host.pairing()?.into_content();
    let key = host.key()?.for_tls();
    let at = address(&host, &pairing)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    notify(&[NotifyState::Ready]);
    tracing::info!(host = %pairing.host_id, dpu = %pairing.device_id, %at, "started");
    tokio::select! {
        () = stay_connected(&host, &pairing, &key, &at) => {}
        () = watchdog() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    notify(&[NotifyState::Stopping]);
    Ok(())
}

/// Where the agent is: as configured, else as the pairing says.
fn address(host: &Host, pairing: &Pairing) -> Result<Address, Fault> {
    if let Some(at) = &host.config().dpu.address {
        return Ok(at.clone());
    }
    let stated = pairing.transport.as_deref();
    stated
        .and_then(|at| at.parse().ok())
        .ok_or(Fault::NoAddress)
}

async fn stay_connected(host: &Arc<Host>, pairing: &Pairing, key: &CertKey, at: &Address) {
    let mut backoff = Backoff::default();
    loop {
        let begun = Instant::now();
        let Err(fault) = session(host, pairing, key, at).await;
        if begun.elapsed() > Backoff::CALM {
            backoff = Backoff::default();
        }
        let pause = backoff.next(random());
        tracing::warn!(
            code = fault.code(),
            "{fault}; next attempt in {} ms",
            pause.as_millis()
        );
        let status = one_line(&format!("not connected: {fault}"));
        notify(&[NotifyState::Status(&status)]);
        sleep(pause).await;
    }
}

/// One connection, to its end.
async fn session(
    host: &Arc<Host>,
    pairing: &Pairing,
    key: &CertKey,
    at: &Address,
) -> Result<std::convert::Infallible, LinkFault> {
    let mut link = Link::dial(at, key, pairing.channel_key).await?;
    let record = host.record(pairing).map_err(std::io::Error::other)?;
    link.send(&FromHost::Hello {
        version: VERSION,
        host_id: pairing.host_id.clone(),
        sequence: record.as_ref().map_or(0, |record| record.sequence),
        not_after: record.as_ref().map(|record| record.not_after),
    })
    .await?;
    notify(&[NotifyState::Status("connected")]);
    tracing::info!(%at, "connected");
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = link.next() => match message? {
                // The inbox lets one hello through, the first.
                FromAgent::Hello { .. } => {}
                FromAgent::Manifest { manifest } => {
                    let report = install(host, manifest).await;
                    link.send(&report).await?;
                }
                FromAgent::PostureAsk { .. } => {
                    let code = "posture.none".to_owned();
                    link.send(&FromHost::Declined { code }).await?;
                }
            },
            _ = look.tick() => {
                let record = host.record(pairing).map_err(std::io::Error::other)?;
                let wanted = record.is_none_or(|r| runs_out(r.issued, r.not_after, host.now()));
                if wanted {
                    link.send(&FromHost::Refresh).await?;
                }
            }
        }
    }
}

/// Installs, and says what became of it.
async fn install(host: &Arc<Host>, manifest: Vec<u8>) -> FromHost {
    let sequence = sequence_of(&manifest);
    match blocking(host, move |host| host.install(&manifest)).await {
        Ok(done) => {
            tracing::info!(sequence = done.sequence, outcome = ?done.outcome, "manifest in force");
            FromHost::Report {
                sequence: done.sequence,
                outcome: "ok".to_owned(),
                detail: String::new(),
            }
        }
        Err(fault) => {
            tracing::error!(sequence, code = fault.code(), "{fault}");
            FromHost::Report {
                sequence,
                outcome: fault.code().to_owned(),
                detail: cut(&fault.to_string(), 512),
            }
        }
    }
}

/// What it says of itself, for the report alone; 0 where it can't be read.
fn sequence_of(manifest: &[u8]) -> u64 {
    use assay_api::manifest::Manifest;
    use assay_api::signed::Unverified;
    Unverified::<Manifest>::parse(manifest).map_or(0, |m| m.claimed().sequence)
}

/// Less than a quarter of its time is left.
fn runs_out(issued: Timestamp, not_after: Timestamp, now: Timestamp) -> bool {
    let span = not_after.millis_since(issued).unwrap_or(0);
    not_after.minus_millis(span / 4) <= now
}

/// At most `limit` bytes, whole characters.
fn cut(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() + c.len_utf8() > limit {
            break;
        }
        out.push(c);
    }
    out
}

/// Each line of a notification is a message of its own (sd_notify(3)): what the DPU said must not become one.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(500)
        .collect()
}

async fn blocking<T: Send + 'static>(
    host: &Arc<Host>,
    work: impl FnOnce(&Host) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let host = Arc::clone(host);
    match tokio::task::spawn_blocking(move || work(&host)).await {
        Ok(done) => done,
        Err(gone) => Err(Fault::Io(std::io::Error::other(gone))),
    }
}

/// Waits between attempts: full jitter, doubling from one second to a minute.
#[derive(Debug, Default)]
struct Backoff {
    failed: u32,
}

impl Backoff {
    /// A connection that lasted this long was none of the failures.
    const CALM: Duration = Duration::from_secs(30);

    fn next(&mut self, random: u32) -> Duration {
        let cap = 1000_u64.saturating_mul(1 << self.failed.min(6)).min(60_000);
        self.failed = self.failed.saturating_add(1);
        // Never none at all, so that a peer that closes at once does not make us spin.
        Duration::from_millis(100 + u64::from(random) * cap / u64::from(u32::MAX))
    }
}

fn random() -> u32 {
    // Jitter alone: without randomness the longest pause is right.
    getrandom::u32().unwrap_or(u32::MAX)
}

/// Feeds systemd's watchdog at half its time, from the thread that does the work.
async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut tick = interval(limit / 2);
    loop {
        tick.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("systemd could not be told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_never_vanish() {
        let mut backoff = Backoff::default();
        let longest: Vec<u128> = (0..9).map(|_| backoff.next(u32::MAX).as_millis()).collect();
        assert_eq!(longest[..3], [1100, 2100, 4100]);
        assert_eq!(longest[8], 60_100);
        assert_eq!(backoff.next(0).as_millis(), 100);
    }

    #[test]
    fn a_newer_manifest_is_asked_for_in_the_last_quarter() {
        let t = Timestamp::from_secs;
        assert!(!runs_out(t(100), t(500), t(399)));
        assert!(runs_out(t(100), t(500), t(400)));
        assert!(runs_out(t(500), t(100), t(0)) || !runs_out(t(500), t(100), t(0)));
        assert!(runs_out(t(100), t(500), t(900)));
    }

    #[test]
    fn a_status_is_one_line_whatever_the_dpu_said() {
        assert_eq!(one_line("x\nMAINPID=1\x1b[2J"), "x MAINPID=1 [2J");
        assert_eq!(one_line(&"é".repeat(9000)).chars().count(), 500);
    }

    #[test]
    fn details_are_cut_at_whole_characters() {
        assert_eq!(cut("äbc", 3), "äb");
        assert_eq!(cut("ä", 1), "");
    }
}

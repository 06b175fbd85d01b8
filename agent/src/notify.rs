//! What systemd is told. Without systemd, nothing is.

use sd_notify::NotifyState;
use std::time::Duration;

/// The agent serves.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// One line for `systemctl status`.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// The agent is ending.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The agent is alive.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often to say so: half of what the unit asks for.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

//! What systemd is told. Without systemd, nothing is.

use sd_notify::NotifyState;
use std::time::Duration;

/// The agent serves.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// One line for `systemctl status`.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(&one_line(line))]);
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

/// Each line of a notification is a message of its own (sd_notify(3)): what a nexus or a host said must not become one.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(500)
        .collect()
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line_whatever_others_said() {
        let said = one_line("refused, x\nMAINPID=1\r\n\u{85}\x1b[2J");
        assert_eq!(said, "refused, x MAINPID=1    [2J");
        assert_eq!(one_line(&"é".repeat(9000)).chars().count(), 500);
    }
}

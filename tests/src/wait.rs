//! Waiting, with a bound and a reason.

use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(50);

/// Waits until `ready` gives something, and gives that.
///
/// # Panics
/// Past `most`, with `what` did not come about and what `logs` says.
pub fn for_some<T>(
    what: &str,
    most: Duration,
    mut ready: impl FnMut() -> Option<T>,
    logs: impl FnOnce() -> String,
) -> T {
    let end = Instant::now() + most;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(
            Instant::now() < end,
            "not within {most:?}: {what}\n{}",
            logs()
        );
        std::thread::sleep(STEP);
    }
}

/// Waits until `ready`; gives how long it took.
///
/// # Panics
/// Past `most`.
pub fn until(
    what: &str,
    most: Duration,
    mut ready: impl FnMut() -> bool,
    logs: impl FnOnce() -> String,
) -> Duration {
    let from = Instant::now();
    for_some(what, most, || ready().then_some(()), logs);
    from.elapsed()
}

/// Seconds.
#[must_use]
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

//! What time it is, and whether that may be believed.
//!
//! Two clocks are read: wall time, which people and other machines may set, and time since boot, which nobody can. An audit
//! entry's time never runs backwards; releases stop while the wall clock contradicts the log or the boot clock
//! ([`ClockGuard`]).

use std::sync::{Arc, Mutex, PoisonError};

use assay_attest::time::Timestamp;

/// How far wall time may lie behind the newest audit entry before releases stop, in milliseconds.
pub const MAX_BEHIND: u64 = 5_000;

/// How far wall time may have drifted from boot time since start before releases stop, in milliseconds.
pub const MAX_DRIFT: u64 = 60_000;

/// Where time comes from. Handed down from `main`; nothing else in the nexus reads a clock.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall time.
    fn now(&self) -> Timestamp;

    /// Milliseconds since boot, counting sleep (CLOCK_BOOTTIME).
    fn boot_millis(&self) -> u64;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(read(nix::time::ClockId::CLOCK_REALTIME))
    }

    fn boot_millis(&self) -> u64 {
        read(nix::time::ClockId::CLOCK_BOOTTIME)
    }
}

/// A clock before 1970, or one that can't be read, reads as 0: far behind every entry, so the guard closes.
fn read(id: nix::time::ClockId) -> u64 {
    let Ok(spec) = nix::time::clock_gettime(id) else {
        return 0;
    };
    let seconds = u64::try_from(spec.tv_sec()).unwrap_or(0);
    let millis = u64::try_from(spec.tv_nsec() / 1_000_000).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(millis)
}

/// Two clocks that stand still until told otherwise, for tests.
#[derive(Debug)]
pub struct ManualClock(Mutex<(u64, u64)>);

impl ManualClock {
    /// Wall time `now`, one hour after boot.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self(Mutex::new((now.as_millis(), 3_600_000)))
    }

    /// Time passes: both clocks go forward.
    pub fn advance(&self, millis: u64) {
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.0 = clocks.0.saturating_add(millis);
        clocks.1 = clocks.1.saturating_add(millis);
    }

    /// Somebody sets the wall clock; boot time stays.
    pub fn set_wall(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = now.as_millis();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    fn boot_millis(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

/// Why no credential leaves just now: the clock can't be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// Wall time lies before the newest entry of the audit log.
    #[error(
        "the clock is {millis} ms behind the audit log: set the clock, or accept it with `assay-nexus clock accept`"
    )]
    Behind {
        /// By how much.
        millis: u64,
    },
    /// Wall time and boot time no longer run side by side.
    #[error(
        "the clock was moved by {millis} ms since the start: set the clock, or accept it with `assay-nexus clock accept`"
    )]
    Drifted {
        /// By how much, either way.
        millis: u64,
    },
}

impl ClockFault {
    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Behind { .. } => "clock.behind",
            Self::Drifted { .. } => "clock.drifted",
        }
    }
}

/// Watches the clocks; shared by the store, which feeds it, and the gate, which asks it.
#[derive(Clone, Debug)]
pub struct ClockGuard {
    clock: Arc<dyn Clock>,
    marks: Arc<Mutex<Marks>>,
}

#[derive(Debug)]
struct Marks {
    /// The latest wall time that the log vouches for.
    reference: u64,
    /// Wall and boot time when the two were last declared to agree: at start, or when an admin accepted the clock.
    wall: u64,
    boot: u64,
}

impl ClockGuard {
    /// Starts watching. `reference` is the time that the log vouches for (its last entry's, or what was accepted since).
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, reference: Timestamp) -> Self {
        let marks = Marks {
            reference: reference.as_millis(),
            wall: clock.now().as_millis(),
            boot: clock.boot_millis(),
        };
        Self {
            clock,
            marks: Arc::new(Mutex::new(marks)),
        }
    }

    /// Wall time, unjudged.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock that is watched.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Whether the clock may be relied on for a release, now. Call it inside the releasing transaction.
    ///
    /// # Errors
    /// [`ClockFault`], until the clock is set right or accepted.
    pub fn check(&self) -> Result<(), ClockFault> {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, boot) = (self.clock.now().as_millis(), self.clock.boot_millis());
        let behind = marks.reference.saturating_sub(wall);
        if behind > MAX_BEHIND {
            return Err(ClockFault::Behind { millis: behind });
        }
        let expected = marks.wall.saturating_add(boot.saturating_sub(marks.boot));
        match wall.abs_diff(expected) {
            0..=MAX_DRIFT => Ok(()),
            millis => Err(ClockFault::Drifted { millis }),
        }
    }

    /// A batch was committed when the wall clock showed `wall`: from now on, earlier readings are behind.
    pub(crate) fn saw(&self, wall: Timestamp) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.reference = marks.reference.max(wall.as_millis());
    }

    /// What the log vouches for, where that is not its last entry's time.
    pub(crate) fn refer(&self, reference: Timestamp) {
        self.marks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .reference = reference.as_millis();
    }

    /// An admin vouches for the clock as it stands. The store records who and why.
    pub(crate) fn accept(&self, wall: Timestamp) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        *marks = Marks {
            reference: wall.as_millis(),
            wall: wall.as_millis(),
            boot: self.clock.boot_millis(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded() -> (Arc<ManualClock>, ClockGuard) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        (
            clock.clone(),
            ClockGuard::new(clock, Timestamp::from_secs(1_000_000)),
        )
    }

    #[test]
    fn the_machine_has_both_clocks() {
        assert!(SystemClock.now() > Timestamp::from_secs(1_700_000_000));
        assert!(SystemClock.boot_millis() > 0);
    }

    #[test]
    fn time_that_passes_is_no_fault() {
        let (clock, guard) = guarded();
        clock.advance(10 * 86_400_000);
        assert_eq!(guard.check(), Ok(()));
    }

    #[test]
    fn a_step_back_over_five_seconds_closes_and_a_small_one_does_not() {
        let (clock, guard) = guarded();
        clock.set_wall(Timestamp::from_secs(999_995));
        assert_eq!(guard.check(), Ok(()));
        clock.set_wall(Timestamp::from_millis(999_994_999));
        assert_eq!(guard.check(), Err(ClockFault::Behind { millis: 5_001 }));
    }

    #[test]
    fn a_step_forward_over_a_minute_closes_until_it_is_undone_or_accepted() {
        let (clock, guard) = guarded();
        clock.set_wall(Timestamp::from_secs(1_000_060));
        assert_eq!(guard.check(), Ok(()));
        clock.set_wall(Timestamp::from_secs(1_000_061));
        assert_eq!(guard.check(), Err(ClockFault::Drifted { millis: 61_000 }));
        guard.accept(clock.now());
        assert_eq!(guard.check(), Ok(()));
    }

    #[test]
    fn what_the_log_saw_counts() {
        let (clock, guard) = guarded();
        guard.saw(Timestamp::from_secs(1_000_030));
        assert_eq!(guard.check(), Err(ClockFault::Behind { millis: 30_000 }));
        clock.advance(30_000);
        assert_eq!(guard.check(), Ok(()));
    }
}

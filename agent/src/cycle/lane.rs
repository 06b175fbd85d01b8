//! One thing that the agent does over and over: at most once at a time, never without a pause, with backoff when it fails.

use crate::boot::Boot;

/// The longest backoff.
pub(super) const CAP_MS: u64 = 15 * 60 * 1000;
/// The first backoff, doubled with each failure.
const BASE_MS: u64 = 1000;

/// When to do it next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    /// Pause after each time, whatever came of it.
    pause_ms: u64,
    due: Option<Boot>,
    not_before: Boot,
    busy: bool,
    failures: u32,
}

impl Lane {
    pub(super) const fn new(pause_ms: u64) -> Self {
        Self {
            pause_ms,
            due: None,
            not_before: Boot::from_millis(0),
            busy: false,
            failures: 0,
        }
    }

    /// Wants it done at `at`, or earlier where that was wanted already. A backoff is never cut short.
    pub(super) fn want(&mut self, at: Boot) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Wants it no more.
    pub(super) const fn drop_wish(&mut self) {
        self.due = None;
    }

    /// When it starts next; `None` while it runs or is not wanted.
    pub(super) fn next(&self) -> Option<Boot> {
        self.due
            .filter(|_| !self.busy)
            .map(|due| due.max(self.not_before))
    }

    /// Starts it if it is time.
    pub(super) fn start(&mut self, now: Boot) -> bool {
        let starts = self.next().is_some_and(|at| at <= now);
        if starts {
            self.busy = true;
            self.due = None;
        }
        starts
    }

    pub(super) const fn busy(&self) -> bool {
        self.busy
    }

    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// It went well.
    pub(super) const fn done(&mut self, now: Boot) {
        self.busy = false;
        self.failures = 0;
        self.not_before = now.plus_millis(self.pause_ms);
    }

    /// What it failed of may be over: it need not wait out its backoff, only its pause.
    pub(super) fn try_again(&mut self, now: Boot) {
        if self.failures > 0 {
            self.not_before = self.not_before.min(now.plus_millis(self.pause_ms));
            self.want(now);
        }
    }

    /// It failed: again after a full-jitter backoff, at most 15 minutes. `chance` is uniform.
    pub(super) fn failed(&mut self, now: Boot, chance: u64) {
        self.busy = false;
        self.failures = self.failures.saturating_add(1);
        let top = 1u64
            .checked_shl(self.failures.saturating_sub(1))
            .map_or(CAP_MS, |factor| BASE_MS.saturating_mul(factor))
            .clamp(BASE_MS, CAP_MS);
        let wait = self.pause_ms.max(chance % top.saturating_add(1));
        self.not_before = now.plus_millis(wait);
        self.want(self.not_before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Boot {
        Boot::from_millis(millis)
    }

    #[test]
    fn one_at_a_time_and_never_without_a_pause() {
        let mut lane = Lane::new(250);
        assert!(!lane.start(at(0)), "not wanted");
        lane.want(at(10));
        assert!(!lane.start(at(9)));
        assert!(lane.start(at(10)));
        lane.want(at(10));
        assert!(!lane.start(at(11)), "busy");
        lane.done(at(20));
        assert_eq!(lane.next(), Some(at(270)));
    }

    #[test]
    fn backoff_doubles_to_its_cap_and_jitters_fully() {
        let mut lane = Lane::new(250);
        for (failure, top) in [(1, 1000), (2, 2000), (3, 4000), (10, 512_000), (11, CAP_MS)] {
            while lane.failures() < failure - 1 {
                lane.failed(at(0), 0);
            }
            let mut least = lane;
            least.failed(at(0), 0);
            assert_eq!(least.not_before, at(250), "never without a pause");
            let mut most = lane;
            most.failed(at(0), top);
            assert_eq!(most.not_before, at(top));
        }
        for _ in 0..100 {
            lane.failed(at(0), u64::MAX);
            assert!(lane.not_before <= at(CAP_MS));
        }
    }

    #[test]
    fn a_wish_does_not_cut_a_backoff_short() {
        let mut lane = Lane::new(250);
        lane.want(at(0));
        assert!(lane.start(at(0)));
        lane.failed(at(0), 900);
        lane.want(at(1));
        assert_eq!(lane.next(), Some(at(900)));
        assert!(!lane.start(at(899)));
        lane.try_again(at(100));
        assert_eq!(lane.next(), Some(at(350)), "still not without a pause");
        assert!(lane.start(at(350)));
    }
}

//! Where a device stands: the table of states, and freshness, which is computed and never stored (design, section 5).

use crate::time::Timestamp;
use core::fmt;

/// A device's state: the verdict of its last proof, or what outranks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It never proved itself.
    Unavailable,
    /// Its last proof was good.
    Verified,
    /// Its last proof was authentic and contraindicated.
    Failed,
    /// Risk, a change of identity, or a rollback: only a super:admin ends it.
    Quarantined,
}

/// What can happen to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A proof was appraised as verified.
    ProofVerified,
    /// A proof was authentic and contraindicated.
    ProofFailed,
    /// Something came that did not authenticate, or did not parse.
    ProofRejected,
    /// Risk, a change of identity, or a rollback was seen.
    Quarantine,
    /// A super:admin released it, with a reason.
    Release,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Unavailable,
        Self::Verified,
        Self::Failed,
        Self::Quarantined,
    ];

    /// `unavailable`, `verified`, `failed`, `quarantined`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// The table: every state and every event. `None` is an event that has no place here and changes nothing.
    #[must_use]
    pub const fn on(self, event: Event) -> Option<Self> {
        use Event::{ProofFailed, ProofRejected, ProofVerified, Quarantine, Release};
        use State::{Failed, Quarantined, Unavailable, Verified};
        match (self, event) {
            (Unavailable | Verified | Failed, ProofVerified) => Some(Verified),
            (Unavailable | Verified | Failed, ProofFailed) => Some(Failed),
            // Evidence that does not authenticate says nothing about the device (I14).
            (Unavailable, ProofRejected) => Some(Unavailable),
            (Verified, ProofRejected) => Some(Verified),
            (Failed, ProofRejected) => Some(Failed),
            (Unavailable | Verified | Failed | Quarantined, Quarantine) => Some(Quarantined),
            // No proof ends a quarantine.
            (Quarantined, ProofVerified | ProofFailed | ProofRejected) => Some(Quarantined),
            // Released is not yet trusted: as `failed`, which no bypass passes, it waits for a good proof.
            (Quarantined, Release) => Some(Failed),
            (Unavailable | Verified | Failed, Release) => None,
        }
    }
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ProofVerified,
        Self::ProofFailed,
        Self::ProofRejected,
        Self::Quarantine,
        Self::Release,
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long a proof counts from the issue of its nonce: at least a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StaleAfter(u64);

impl StaleAfter {
    /// 15 minutes.
    pub const DEFAULT: Self = Self(15 * 60 * 1000);
    /// The least, in milliseconds: one minute.
    pub const FLOOR_MILLIS: u64 = 60 * 1000;

    /// `None` under the floor.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Option<Self> {
        if millis < Self::FLOOR_MILLIS {
            None
        } else {
            Some(Self(millis))
        }
    }

    /// Milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

/// When a good proof counts: from the issue of its nonce until, but not at, its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    from: Timestamp,
    until: Timestamp,
}

impl Window {
    /// The window of a proof: nonce issue + `stale_after`, or the end of what it rests on, whichever comes first.
    #[must_use]
    pub fn new(
        nonce_issued: Timestamp,
        stale_after: StaleAfter,
        collateral_ends: Timestamp,
    ) -> Self {
        let stale = nonce_issued.plus_millis(stale_after.0);
        let until = if stale.as_millis() < collateral_ends.as_millis() {
            stale
        } else {
            collateral_ends
        };
        Self {
            from: nonce_issued,
            until,
        }
    }

    /// As it was stored.
    #[must_use]
    pub const fn from_parts(nonce_issued: Timestamp, fresh_until: Timestamp) -> Self {
        Self {
            from: nonce_issued,
            until: fresh_until,
        }
    }

    /// The issue of the nonce.
    #[must_use]
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// `fresh_until`.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }
}

/// Proof that a device was verified and fresh at a moment. Made by [`Fresh::check`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    at: Timestamp,
    until: Timestamp,
}

impl Fresh {
    /// Judges at `now`. Open only from the nonce's issue to before `fresh_until`: a proof from the future is not fresh.
    ///
    /// # Errors
    /// [`NotFresh`], whose code the gate answers with.
    pub const fn check(state: State, window: &Window, now: Timestamp) -> Result<Self, NotFresh> {
        match state {
            State::Unavailable => Err(NotFresh::Unavailable),
            State::Failed => Err(NotFresh::Failed),
            State::Quarantined => Err(NotFresh::Quarantined),
            State::Verified => {
                let (now_ms, from, until) = (
                    now.as_millis(),
                    window.from.as_millis(),
                    window.until.as_millis(),
                );
                if from <= now_ms && now_ms < until {
                    Ok(Self {
                        at: now,
                        until: window.until,
                    })
                } else {
                    Err(NotFresh::Stale)
                }
            }
        }
    }

    /// When it was judged.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Nothing that is released under this may outlive it, where its class says so.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }
}

/// Why a device is not fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotFresh {
    /// It never proved itself.
    #[error("the device has not proved itself yet: ask it for a proof")]
    Unavailable,
    /// Its proof is too old, or is dated after now.
    #[error("the device's last proof is too old: ask it for a proof")]
    Stale,
    /// Its last proof was contraindicated.
    #[error("the device's last proof failed: see the reasons of its last result")]
    Failed,
    /// It is quarantined.
    #[error("the device is quarantined: a super:admin must release it")]
    Quarantined,
}

impl NotFresh {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unavailable => "attestation.unavailable",
            Self::Stale => "attestation.stale",
            Self::Failed => "attestation.failed",
            Self::Quarantined => "attestation.quarantined",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    /// The whole machine on one page: a change of any cell shows here.
    #[test]
    fn i6_the_table_is_this_one() {
        let mut sheet = String::new();
        for state in State::ALL {
            for event in Event::ALL {
                let to = state.on(event).map_or("-", State::as_str);
                sheet.push_str(&format!("{state} {event:?} {to}\n"));
            }
        }
        assert_eq!(
            sheet,
            "\
unavailable ProofVerified verified
unavailable ProofFailed failed
unavailable ProofRejected unavailable
unavailable Quarantine quarantined
unavailable Release -
verified ProofVerified verified
verified ProofFailed failed
verified ProofRejected verified
verified Quarantine quarantined
verified Release -
failed ProofVerified verified
failed ProofFailed failed
failed ProofRejected failed
failed Quarantine quarantined
failed Release -
quarantined ProofVerified quarantined
quarantined ProofFailed quarantined
quarantined ProofRejected quarantined
quarantined Quarantine quarantined
quarantined Release failed
"
        );
    }

    #[test]
    fn i14_what_does_not_authenticate_changes_nothing() {
        for state in State::ALL {
            assert_eq!(state.on(Event::ProofRejected), Some(state));
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn i1_fresh_is_closed_at_both_edges() {
        let window = Window::new(
            at(1_000),
            StaleAfter::from_millis(60_000).unwrap(),
            Timestamp::MAX,
        );
        assert_eq!(window.until(), at(61_000));
        let code = |now| {
            Fresh::check(State::Verified, &window, at(now)).map_or_else(NotFresh::code, |_| "fresh")
        };
        assert_eq!(code(999), "attestation.stale", "from the future");
        assert_eq!(code(1_000), "fresh");
        assert_eq!(code(60_999), "fresh");
        assert_eq!(code(61_000), "attestation.stale");
        assert_eq!(code(u64::MAX), "attestation.stale");
    }

    #[test]
    fn i1_what_a_verdict_rests_on_bounds_it() {
        let until = |ends| Window::new(at(1_000), StaleAfter::DEFAULT, ends).until();
        assert_eq!(until(at(5_000)), at(5_000));
        assert_eq!(until(at(901_000)), at(901_000));
        assert_eq!(until(at(901_001)), at(901_000));
        assert_eq!(
            until(at(0)),
            at(0),
            "collateral that has ended leaves no window"
        );
        let ended = Window::new(at(1_000), StaleAfter::DEFAULT, at(0));
        assert_eq!(
            Fresh::check(State::Verified, &ended, at(1_000)),
            Err(NotFresh::Stale)
        );
        let last = Window::new(Timestamp::MAX, StaleAfter::DEFAULT, Timestamp::MAX);
        assert_eq!(last.until(), Timestamp::MAX, "no overflow opens a window");
    }

    #[test]
    fn i1_only_verified_is_ever_fresh() {
        let window = Window::new(at(0), StaleAfter::DEFAULT, Timestamp::MAX);
        for state in State::ALL {
            let fresh = Fresh::check(state, &window, at(1)).is_ok();
            assert_eq!(fresh, state == State::Verified, "{state}");
        }
    }

    #[test]
    fn stale_after_has_a_floor() {
        assert_eq!(StaleAfter::from_millis(59_999), None);
        assert_eq!(
            StaleAfter::from_millis(60_000).map(StaleAfter::as_millis),
            Some(60_000)
        );
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        assert_eq!(State::parse("stale"), None);
    }
}

//! The table of the gate, as a pure function.

use assay_attest::standing::{Fresh as Standing, NotFresh};

use crate::store::devices::Lifecycle;

/// How long anything lives that left by a bypass, in milliseconds: the shortest of the table of tiers.
pub const BYPASS_MILLIS: u64 = Tier::Restricted.millis();

/// Characters of a bypass's reason.
pub const BYPASS_REASON: std::ops::RangeInclusive<usize> = 10..=512;

/// What kind of thing wants to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Trust anchors, KRLs, principals: public and signed.
    Public,
    /// A certificate.
    Certificate,
    /// Something sealed to the device's last proof: no bypass lets it out.
    Sealed,
}

/// Lifetimes of what runs out by itself (design, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// 600 s.
    Platinum,
    /// 420 s.
    Gold,
    /// 300 s: every device, for now.
    Silver,
    /// 180 s.
    Bronze,
    /// 60 s.
    Restricted,
}

impl Tier {
    /// The longest lifetime, in milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        match self {
            Self::Platinum => 600_000,
            Self::Gold => 420_000,
            Self::Silver => 300_000,
            Self::Bronze => 180_000,
            Self::Restricted => 60_000,
        }
    }
}

/// A wish to pass without a fresh proof: the header `X-Force-Bypass`, covered by the request's proof.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The reason as it came.
    pub reason: &'a str,
    /// Whether the caller is a super:admin now, by the store.
    pub is_super: bool,
}

/// What the door says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Verified and fresh.
    Pass,
    /// Not fresh, let through by a bypass.
    Bypass,
    /// Not verified and fresh.
    Refuse(NotFresh),
    /// The device does not belong, yet or any more.
    NotActive(Lifecycle),
    /// The wish itself is refused: by somebody who is no super:admin.
    NotSuper,
    /// The wish itself is refused: its reason is too short or too long.
    Reason,
    /// The wish is refused for what is sealed.
    NotSealed,
}

/// The table of the design's section 5. `standing` is what the store says of the device at the moment bytes leave.
#[must_use]
pub fn decide(
    lifecycle: Lifecycle,
    standing: Result<Standing, NotFresh>,
    class: Class,
    wish: Option<&Wish<'_>>,
) -> Decision {
    match lifecycle {
        Lifecycle::Active => {}
        Lifecycle::Pending | Lifecycle::Decommissioned => return Decision::NotActive(lifecycle),
    }
    // A wish by somebody who may not wish is refused whatever the state: it was signed, and will be seen.
    if wish.is_some_and(|w| !w.is_super) {
        return Decision::NotSuper;
    }
    if wish.is_some_and(|w| !BYPASS_REASON.contains(&w.reason.chars().count())) {
        return Decision::Reason;
    }
    match (standing, wish, class) {
        (Ok(_), _, _) => Decision::Pass,
        (Err(why @ (NotFresh::Failed | NotFresh::Quarantined)), _, _) => Decision::Refuse(why),
        (Err(why @ (NotFresh::Stale | NotFresh::Unavailable)), None, _) => Decision::Refuse(why),
        (Err(NotFresh::Stale | NotFresh::Unavailable), Some(_), Class::Sealed) => {
            Decision::NotSealed
        }
        (
            Err(NotFresh::Stale | NotFresh::Unavailable),
            Some(_),
            Class::Public | Class::Certificate,
        ) => Decision::Bypass,
    }
}

#[cfg(test)]
mod tests {
    use assay_attest::standing::{StaleAfter, State, Window};
    use assay_attest::time::Timestamp;

    use super::*;

    const REASON: &str = "the rack is on fire";

    /// Every state, aged and not, every lifecycle, every class, every wish: what passes is exactly what section 5 says.
    #[test]
    fn i1_the_table_by_enumeration() {
        let window = Window::new(
            Timestamp::from_secs(100),
            StaleAfter::DEFAULT,
            Timestamp::MAX,
        );
        let (young, old) = (Timestamp::from_secs(101), Timestamp::from_secs(100 + 900));
        let wishes = [
            None,
            Some(Wish {
                reason: REASON,
                is_super: true,
            }),
            Some(Wish {
                reason: REASON,
                is_super: false,
            }),
            Some(Wish {
                reason: "too short",
                is_super: true,
            }),
        ];
        let (mut passed, mut bypassed, mut all) = (0, 0, 0);
        for lifecycle in [
            Lifecycle::Pending,
            Lifecycle::Active,
            Lifecycle::Decommissioned,
        ] {
            for state in State::ALL {
                for now in [young, old] {
                    for class in [Class::Public, Class::Certificate, Class::Sealed] {
                        for wish in &wishes {
                            let standing = Standing::check(state, &window, now);
                            let active = lifecycle == Lifecycle::Active;
                            let fresh = state == State::Verified && now == young;
                            let may_wish = wish.is_none_or(|w| w.is_super && w.reason == REASON);
                            all += 1;
                            match decide(lifecycle, standing, class, wish.as_ref()) {
                                Decision::Pass => {
                                    passed += 1;
                                    assert!(active && fresh && may_wish);
                                }
                                Decision::Bypass => {
                                    bypassed += 1;
                                    assert!(active && !fresh && may_wish && wish.is_some());
                                    assert!(matches!(state, State::Verified | State::Unavailable));
                                    assert_ne!(class, Class::Sealed);
                                }
                                Decision::NotActive(found) => {
                                    assert!(!active && found == lifecycle)
                                }
                                Decision::Refuse(why) => {
                                    assert!(active && !fresh && may_wish);
                                    assert_eq!(Some(why), standing.err());
                                }
                                Decision::NotSuper => assert!(wish.is_some_and(|w| !w.is_super)),
                                Decision::Reason => {
                                    assert!(wish.is_some_and(|w| w.reason != REASON))
                                }
                                Decision::NotSealed => {
                                    assert!(class == Class::Sealed && wish.is_some())
                                }
                            }
                        }
                    }
                }
            }
        }
        // verified and young, three classes, without a wish and with a good one; stale and twice unavailable, two classes.
        assert_eq!((passed, bypassed, all), (6, 6, 288));
    }

    #[test]
    fn i1_no_bypass_for_failed_and_quarantined() {
        let wish = Wish {
            reason: REASON,
            is_super: true,
        };
        for why in [NotFresh::Failed, NotFresh::Quarantined] {
            for class in [Class::Public, Class::Certificate, Class::Sealed] {
                let decision = decide(Lifecycle::Active, Err(why), class, Some(&wish));
                assert_eq!(decision, Decision::Refuse(why));
            }
        }
    }

    #[test]
    fn a_bypass_has_a_reason_of_10_to_512_characters() {
        for (length, good) in [(9, false), (10, true), (512, true), (513, false)] {
            let reason = "\u{e9}".repeat(length);
            let wish = Wish {
                reason: &reason,
                is_super: true,
            };
            let decision = decide(
                Lifecycle::Active,
                Err(NotFresh::Stale),
                Class::Certificate,
                Some(&wish),
            );
            assert_eq!(decision == Decision::Bypass, good, "{length}");
        }
    }

    #[test]
    fn tiers_strictly_decrease_and_a_bypass_gives_the_shortest() {
        let tiers = [
            Tier::Platinum,
            Tier::Gold,
            Tier::Silver,
            Tier::Bronze,
            Tier::Restricted,
        ]
        .map(Tier::millis);
        assert_eq!(tiers, [600_000, 420_000, 300_000, 180_000, 60_000]);
        assert_eq!(BYPASS_MILLIS, 60_000);
    }
}

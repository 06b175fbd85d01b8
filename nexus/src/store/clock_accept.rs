//! That an admin vouched for the clock, kept over a restart.

use assay_attest::time::Timestamp;

crate::trust_row! {
    /// The last `clock accept`.
    pub(super) struct ClockAccept in "clock_accept" {
        key {
            /// Always `clock`.
            id: String,
        }
        columns {
            /// The log's time at that moment, which may lie in the future.
            floor: Timestamp,
            /// The wall time that was vouched for.
            wall: Timestamp,
        }
        index {}
    }
}

/// The only row's key.
pub(super) const ID: &str = "clock";

/// The time that the log vouches for: its last entry's, unless that is still the one that was declared wrong.
pub(super) fn reference(accepted: Option<&ClockAccept>, last: Timestamp) -> Timestamp {
    match accepted {
        Some(accepted) if last <= accepted.floor => accepted.wall,
        Some(_) | None => last,
    }
}

//! This machine's clock: for what people read, and for how long to wait. Proofs take their time from the nexus.

use assay_api::types::Time;
use assay_client::{LocalClock, SystemClock};

/// Now, as this machine has it.
#[must_use]
pub(crate) fn now() -> Time {
    Time(SystemClock.now())
}

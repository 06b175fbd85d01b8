//! What comes back to the driver.

use crate::boot::Boot;
use crate::cycle::{Call, Challenge, Errands, Input};
use assay_api::log::Checkpoint;
use assay_api::types::{DeliveryReport, Leases, Trust, Verdict};
use assay_client::CallError;
use assay_tls::NexusId;

/// What a call or a source brought.
pub(crate) enum Event {
    /// For the round, and nothing to keep.
    Input(Input),
    /// A nonce, and the nexus that gave it.
    Nonce(Challenge, NexusId),
    /// A call failed.
    Failed(Call, CallError),
    /// Something on this machine failed.
    Fault {
        call: Call,
        code: String,
        detail: String,
    },
    /// A verdict on what was sent then.
    Judged(Box<Verdict>, Boot),
    /// Leases, asked for then.
    Leases(Leases, Boot),
    /// Where to wake from next.
    Wake(Errands, u64),
    /// The nexus's keys as it states them, and the root that said so.
    Trust(Box<Trust>, NexusId),
    /// A good head.
    Head(Checkpoint),
    /// Reports that the nexus has.
    Sent(Vec<DeliveryReport>),
}

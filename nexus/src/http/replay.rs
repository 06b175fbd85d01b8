//! Proofs are accepted once (RFC 9449, 11.1; I3): what the gate hands to the store to remember.

use assay_attest::time::Timestamp;

use crate::app::App;
use crate::op::caller::refused;
use crate::problem::{Fault, Problem};
use crate::store::Tx;
use crate::store::replay::{self, ReplayFault};

/// What must not be seen twice, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenProof {
    /// The key's thumbprint.
    pub thumbprint: [u8; 32],
    /// The proof's id.
    pub jti: String,
    /// When the proof was made, by the caller's clock.
    pub iat: Timestamp,
    /// Until when it must be remembered.
    pub until: Timestamp,
}

/// How far a proof's time may lie ahead of ours, in milliseconds.
pub(crate) const AHEAD: u64 = 15_000;

impl SeenProof {
    /// Spends it in the transaction of its change.
    ///
    /// # Errors
    /// [`Fault::Auth`] the second time, [`Fault::Rate`] for a key with too many.
    pub(crate) fn spend(&self, tx: &Tx<'_>) -> Result<(), Problem> {
        replay::spend(tx, &self.thumbprint, &self.jti, self.until).map_err(told)
    }

    /// Spends it for a read, in memory. Memory is lost at a start, and then only proofs newer than it are taken; but one that
    /// was ahead of our clock may be newer. Those are spent on disk, where those that could be such are looked up.
    ///
    /// # Errors
    /// As [`SeenProof::spend`]; a proof from before the start is told so, since its time is the request's own fault.
    pub(crate) async fn spend_for_read(&self, app: &App, now: Timestamp) -> Result<(), Problem> {
        app.replay
            .spend(&self.thumbprint, &self.jti, self.iat, self.until, now)
            .map_err(told)?;
        if self.iat > now || self.iat <= app.started.plus_millis(AHEAD) {
            let proof = self.clone();
            app.store.write(move |tx| proof.spend(tx)).await?;
        }
        Ok(())
    }
}

fn told(fault: ReplayFault) -> Problem {
    match fault {
        ReplayFault::Replayed => refused("proof.replayed"),
        ReplayFault::TooMany => Fault::Rate.into(),
        ReplayFault::BeforeStart => {
            let why = "the proof was made before the nexus started: make a new one".into();
            Fault::Proof {
                code: "dpop.before_start",
                why,
            }
            .into()
        }
        ReplayFault::Store(fault) => fault.into(),
    }
}

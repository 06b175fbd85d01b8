//! The agent as a witness of the audit log (I8): a head that the nexus shows must have grown out of the last one seen.

use assay_api::log::{Checkpoint, Fault, Head, LogKey, extends_head};
use assay_api::routes::call;
use assay_api::types::{ConsistencyAsk, Empty};
use assay_client::{CallError, Client};

/// A proof for any size that fits 64 bits is shorter.
const MAX_PROOF: usize = 130;

/// Why the log could not be found good.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The nexus could not be asked: nothing is known.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The log is not the one that this agent has seen.
    #[error(
        "{why}: the nexus's log is not the one that this agent has seen; it asks for no lease until an admin has looked into it"
    )]
    Bad {
        /// `log.forked`, `log.rolled_back`.
        code: &'static str,
        /// What was found.
        why: String,
    },
}

/// Asks for the newest head and holds it against `kept`; gives the head to keep.
///
/// # Errors
/// [`HeadError`]; the kept head is to be kept then.
pub async fn check(
    client: &Client,
    key: &LogKey,
    kept: Option<&Head>,
) -> Result<Checkpoint, HeadError> {
    let shown = client.call::<call::audit_head>(None, &Empty {}).await?.body;
    let next = Checkpoint::verify(&shown.checkpoint, key).map_err(|fault| HeadError::Bad {
        code: "log.forked",
        why: fault.to_string(),
    })?;
    let Some(kept) = kept else {
        return Ok(next);
    };
    let proof = if kept.size > 0 && kept.size < next.head().size {
        let ask = ConsistencyAsk {
            from: kept.size,
            to: next.head().size,
        };
        let proof = client
            .call::<call::audit_consistency>(None, &ask)
            .await?
            .body;
        proof
            .hashes
            .iter()
            .take(MAX_PROOF)
            // A hash of another length makes the proof fail, as it should.
            .map(|hash| hash.0.as_slice().try_into().unwrap_or_default())
            .collect()
    } else {
        Vec::new()
    };
    extends_head(kept, next.head(), &proof).map_err(|fault| HeadError::Bad {
        code: match fault {
            Fault::RolledBack { .. } => "log.rolled_back",
            _ => "log.forked",
        },
        why: fault.to_string(),
    })?;
    Ok(next)
}

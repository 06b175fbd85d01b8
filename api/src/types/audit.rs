//! The audit log over the API.

use super::basic::B64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ask for entries.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditAsk {
    /// First index wanted; 0 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// At most this many, 1 to 500; 100 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Wait at most this many seconds for the first entry, 0 to 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u32>,
}

/// An entry: its stored bytes are JSON of their own, hashed as they are.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntryOut {
    /// Index, from 0.
    pub index: u64,
    /// The entry's exact bytes.
    pub entry: B64,
}

/// Entries, and the newest checkpoint, which covers them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditPage {
    /// Entries in the order of the log.
    pub items: Vec<AuditEntryOut>,
    /// Index to go on from.
    pub next: u64,
    /// The newest checkpoint (C2SP signed note).
    pub checkpoint: String,
}

/// The newest checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditHead {
    /// Checkpoint (C2SP signed note).
    pub checkpoint: String,
}

/// Ask for a consistency proof.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyAsk {
    /// Size of the older tree.
    pub from: u64,
    /// Size of the newer tree.
    pub to: u64,
}

/// A consistency proof (RFC 6962, 2.1.2).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConsistencyProof {
    /// Hashes, 32 bytes each.
    pub hashes: Vec<B64>,
}

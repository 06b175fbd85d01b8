//! Errors over HTTP: RFC 9457 with a stable code.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The body of every refusal (`application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemBody {
    /// Always `about:blank`: the code says it all (RFC 9457, 4.2.1).
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code, dotted, for machines.
    pub code: String,
    /// What happened, in words.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Name of this request in logs and audit.
    pub request_id: String,
    /// A demand that was made for a proof, where a release was refused as stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand_id: Option<String>,
}

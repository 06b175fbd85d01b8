//! Answers: read whole, bounded, and only then believed to be JSON.

use assay_api::problem::ProblemBody;
use assay_attest::time::Timestamp;
use serde::de::DeserializeOwned;

use crate::{CallError, NexusId};

/// An answer of the type that its route gives.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What it says.
    pub body: T,
    /// The nexus that gave it: the root that this answer's connection ended in. A session is bound to this value.
    pub nexus_id: NexusId,
    /// The server's time in it, to the second, where it was sent.
    pub date: Option<Timestamp>,
}

/// An answer as it came, whatever its status.
#[derive(Clone, Debug)]
pub struct RawAnswer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, in lower case, without parameters.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// The nexus that gave it.
    pub nexus_id: NexusId,
    /// The server's time in it, to the second, where it was sent.
    pub date: Option<Timestamp>,
}

impl RawAnswer {
    /// The problem, where this is a refusal that carries one.
    #[must_use]
    pub fn problem(&self) -> Option<ProblemBody> {
        let is = self.content_type == "application/problem+json" && self.status >= 400;
        if is {
            serde_json::from_slice(&self.body).ok()
        } else {
            None
        }
    }

    /// The body as a type; text that is no JSON as a string.
    pub(crate) fn into_typed<T: DeserializeOwned>(self) -> Result<Answer<T>, CallError> {
        if let Some(problem) = self.problem() {
            return Err(CallError::Refused(Box::new(problem)));
        }
        let bad = |why: String| CallError::BadAnswer {
            status: self.status,
            why,
        };
        if !(200..300).contains(&self.status) {
            return Err(bad("it is a refusal without a problem document".to_owned()));
        }
        let body = if self.body.is_empty() {
            serde_json::from_slice(b"{}")
        } else if self.content_type.ends_with("json") {
            serde_json::from_slice(&self.body)
        } else {
            let text = String::from_utf8_lossy(&self.body).into_owned();
            serde_json::from_value(serde_json::Value::String(text))
        };
        Ok(Answer {
            body: body.map_err(|e| bad(e.to_string()))?,
            nexus_id: self.nexus_id,
            date: self.date,
        })
    }
}

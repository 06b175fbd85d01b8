//! One entry of the audit log: who did what to what, and what came of it.
//!
//! An entry is written to bytes once, when it is made; those bytes are stored, hashed, exported and checked. Reading them
//! back is for people and filters and never for a hash.

use std::collections::BTreeMap;

use assay_attest::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The most that one entry may take, in bytes.
pub const MAX_ENTRY: usize = 64 * 1024;

/// What stands in the log. The order of the fields is the order of the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Entry {
    /// Its place in the log, counted from 0.
    pub index: u64,
    /// When, in milliseconds since the epoch; never less than the entry before.
    #[schemars(with = "u64")]
    pub time_ms: Timestamp,
    /// What happened: the name that the route table gives, or that of an event of the nexus itself.
    pub event: String,
    /// Who did it.
    pub actor: Actor,
    /// The tenant it happened in; absent for what is global.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What it was done to: an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What came of it.
    pub decision: Decision,
    /// The stable code of the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, in the words of the person who had to give a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The rows that decide trust and were changed by this: `table/key` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<String>,
    /// Whatever else helps; never a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Actor {
    /// What kind of principal.
    pub kind: ActorKind,
    /// Its id; for an anonymous caller its address prefix, for the nexus the name of the part that acted.
    pub id: String,
    /// The key that signed the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
}

/// Kinds of principals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person: operator or admin.
    Operator,
    /// A DPU.
    Device,
    /// A host.
    Host,
    /// A federated workload.
    Workload,
    /// The nexus itself, or its administrator at the machine.
    System,
    /// Somebody who did not authenticate.
    Anonymous,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Done as asked.
    Allowed,
    /// Refused; `code` says why.
    Denied,
    /// Done although the proof was not fresh, by force bypass.
    Bypassed,
    /// Nobody asked: something happened.
    Noted,
}

/// Why an entry can't be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// Over [`MAX_ENTRY`].
    #[error("an audit entry is {found} bytes long, over its limit of {MAX_ENTRY}")]
    TooLarge {
        /// How long it would be, in bytes.
        found: usize,
    },
    /// Not the JSON that an entry is.
    #[error("an audit entry is malformed: {why}")]
    Malformed {
        /// What the JSON reader says.
        why: String,
    },
}

impl EntryFault {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "log.entry_too_large",
            Self::Malformed { .. } => "log.entry_malformed",
        }
    }
}

impl Entry {
    /// The bytes of this entry: one line of JSON without a line break, fields in the order of the struct, details sorted.
    /// Called once in an entry's life.
    ///
    /// # Errors
    /// [`EntryFault::TooLarge`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryFault> {
        let bytes =
            serde_json::to_vec(self).map_err(|e| EntryFault::Malformed { why: e.to_string() })?;
        bounded(&bytes)?;
        Ok(bytes)
    }

    /// Reads an entry. Members that this version does not know are passed over: their bytes are still covered by every hash.
    ///
    /// # Errors
    /// [`EntryFault`] when it is too long or no entry.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryFault> {
        bounded(bytes)?;
        serde_json::from_slice(bytes).map_err(|e| EntryFault::Malformed { why: e.to_string() })
    }
}

/// The two fields of an entry that verifying a log needs.
#[derive(Deserialize)]
pub(super) struct Place {
    pub(super) index: u64,
    pub(super) time_ms: Timestamp,
}

impl Place {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, EntryFault> {
        bounded(bytes)?;
        serde_json::from_slice(bytes).map_err(|e| EntryFault::Malformed { why: e.to_string() })
    }
}

fn bounded(bytes: &[u8]) -> Result<(), EntryFault> {
    if bytes.len() > MAX_ENTRY {
        Err(EntryFault::TooLarge { found: bytes.len() })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            index: 7,
            time_ms: Timestamp::from_millis(1_767_225_600_123),
            event: "operator.suspend".into(),
            actor: Actor {
                kind: ActorKind::Operator,
                id: "op-1".into(),
                kid: Some("k-1".into()),
            },
            tenant: Some("acme".into()),
            target: Some("op-2".into()),
            decision: Decision::Allowed,
            code: None,
            reason: Some("left \"us\"\nyesterday".into()),
            request: None,
            client: Some("127.0.0.1".into()),
            rows: vec!["operators/op-2".into()],
            details: [("z".into(), "1".into()), ("a".into(), "2".into())].into(),
        }
    }

    /// If this changes, every log out there stops verifying in its next version: the bytes are the format.
    #[test]
    fn the_bytes_are_these_whatever_features_serde_json_has() {
        assert_eq!(
            String::from_utf8(entry().to_bytes().unwrap()).unwrap(),
            r#"{"index":7,"time_ms":1767225600123,"event":"operator.suspend","actor":{"kind":"operator","id":"op-1","kid":"k-1"},"tenant":"acme","target":"op-2","decision":"allowed","reason":"left \"us\"\nyesterday","client":"127.0.0.1","rows":["operators/op-2"],"details":{"a":"2","z":"1"}}"#
        );
    }

    #[test]
    fn an_entry_reads_back_and_never_holds_a_line_break() {
        let bytes = entry().to_bytes().unwrap();
        assert_eq!(Entry::parse(&bytes).unwrap(), entry());
        assert!(!bytes.contains(&b'\n'));
    }

    #[test]
    fn too_long_and_doubled_are_refused() {
        let mut long = entry();
        long.details.insert("x".into(), "y".repeat(MAX_ENTRY));
        assert_eq!(long.to_bytes().unwrap_err().code(), "log.entry_too_large");
        let doubled = br#"{"index":7,"index":8,"time_ms":1}"#;
        assert_eq!(
            Place::parse(doubled).err().map(|e| e.code()),
            Some("log.entry_malformed")
        );
    }
}

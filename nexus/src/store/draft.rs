//! What a caller says about a deed before the store gives it its place in the log.

use std::collections::BTreeMap;

use assay_api::log::{Actor, ActorKind, Decision, Entry};
use assay_attest::time::Timestamp;

/// An audit entry without index, time and rows, which the store adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryDraft {
    /// What happened: the name that the route table gives, or that of an event of the nexus itself.
    pub event: String,
    /// Who did it.
    pub actor: Actor,
    /// The tenant it happened in; `None` for what is global.
    pub tenant: Option<String>,
    /// What it was done to: an id.
    pub target: Option<String>,
    /// What came of it.
    pub decision: Decision,
    /// The stable code of the refusal.
    pub code: Option<String>,
    /// Why, in the words of the person who had to give a reason.
    pub reason: Option<String>,
    /// The id of the request.
    pub request: Option<String>,
    /// The address that the request came from.
    pub client: Option<String>,
    /// Whatever else helps; never a secret.
    pub details: BTreeMap<String, String>,
}

impl EntryDraft {
    /// A deed that was done as asked. The rest is filled in by the methods below.
    #[must_use]
    pub fn new(event: impl Into<String>, actor: Actor) -> Self {
        Self {
            event: event.into(),
            actor,
            tenant: None,
            target: None,
            decision: Decision::Allowed,
            code: None,
            reason: None,
            request: None,
            client: None,
            details: BTreeMap::new(),
        }
    }

    /// Something that the nexus itself did or noticed; `part` is the part of it.
    #[must_use]
    pub fn system(event: impl Into<String>, part: &str) -> Self {
        let actor = Actor {
            kind: ActorKind::System,
            id: part.to_owned(),
            kid: None,
        };
        Self {
            decision: Decision::Noted,
            ..Self::new(event, actor)
        }
    }

    /// In this tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// To this.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Refused with this code.
    #[must_use]
    pub fn denied(mut self, code: impl Into<String>) -> Self {
        self.decision = Decision::Denied;
        self.code = Some(code.into());
        self
    }

    /// With this outcome.
    #[must_use]
    pub fn decision(mut self, decision: Decision) -> Self {
        self.decision = decision;
        self
    }

    /// For this reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// By this request.
    #[must_use]
    pub fn request(mut self, request: impl Into<String>) -> Self {
        self.request = Some(request.into());
        self
    }

    /// From this address.
    #[must_use]
    pub fn client(mut self, client: impl Into<String>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// One more thing to know.
    #[must_use]
    pub fn detail(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }

    /// In its place.
    pub(super) fn into_entry(self, index: u64, time_ms: Timestamp, rows: Vec<String>) -> Entry {
        let Self {
            event,
            actor,
            tenant,
            target,
            decision,
            code,
            reason,
            request,
            client,
            details,
        } = self;
        Entry {
            index,
            time_ms,
            event,
            actor,
            tenant,
            target,
            decision,
            code,
            reason,
            request,
            client,
            rows,
            details,
        }
    }
}

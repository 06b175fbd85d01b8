//! THE table of what the API answers when it does not do what was asked, and [`Problem`], which carries one such answer.
//!
//! To add one, add a row to `faults!`. A code never changes and is never reused. What a row says is for the caller; what only
//! the audit log may know goes into [`Problem::step`].

use assay_api::id::{DemandId, DeviceId};
use assay_attest::refusal::{Class, Refusal};

use crate::clock::ClockFault;
use crate::random::NoRandom;
use crate::store::StoreFault;

/// One row per answer: `variant { fields } = "code", status, retryable, "what happened", "what to do"`.
macro_rules! faults {
    ($( $(#[$doc:meta])* $name:ident $({ $($field:ident : $ty:ty),* $(,)? })? = $code:literal, $status:literal, $retry:ident, $msg:literal, $hint:literal; )*) => {
        /// Why a request was not done.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum Fault {
            $( $(#[$doc])* #[error($msg)] $name $({ $(
                #[doc = concat!("See the message of `", $code, "`.")]
                $field: $ty
            ),* })?, )*
            /// Evidence was refused: a row of the table of refusals.
            #[error(transparent)]
            Evidence(#[from] Refusal),
            /// The clock can't be right, so nothing is released.
            #[error(transparent)]
            Clock(#[from] ClockFault),
            /// The store did not do it.
            #[error("the nexus can't do this now")]
            Store(#[from] StoreFault),
            /// No random bytes.
            #[error("the nexus can't do this now")]
            Random(#[from] NoRandom),
        }

        impl Fault {
            /// Every code of this table, in its order.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The stable name.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self {
                    $( Self::$name { .. } => $code, )*
                    Self::Evidence(refusal) => refusal.code(),
                    Self::Clock(fault) => fault.code(),
                    Self::Store(fault) => store_code(fault),
                    Self::Random(_) => "internal",
                }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(&self) -> u16 {
                match self {
                    $( Self::$name { .. } => $status, )*
                    Self::Evidence(refusal) => class_status(refusal.class()),
                    Self::Clock(_) => 503,
                    Self::Store(fault) => store_status(fault),
                    Self::Random(_) => 500,
                }
            }

            /// Whether the same request may succeed later.
            #[must_use]
            pub const fn is_retryable(&self) -> bool {
                match self {
                    $( Self::$name { .. } => faults!(@$retry), )*
                    Self::Evidence(_) => false,
                    Self::Clock(_) => true,
                    Self::Store(fault) => store_status(fault) == 503,
                    Self::Random(_) => true,
                }
            }

            /// What to do next; empty where there is nothing to say.
            #[must_use]
            pub const fn hint(&self) -> &'static str {
                match self { $( Self::$name { .. } => $hint, )* Self::Evidence(_) | Self::Clock(_) | Self::Store(_) | Self::Random(_) => "" }
            }
        }
    };
    (@retry) => { true };
    (@final) => { false };
}

faults! {
    // -- the request alone ----------------------------------------------------------------------------------------------
    /// No such route.
    NoRoute = "request.no_route", 404, final, "there is no such route", "see /openapi.json";
    /// The route has other methods.
    Method = "request.method", 405, final, "the route does not take this method", "see /openapi.json";
    /// The path is not written as paths are.
    Path = "request.path", 400, final, "the path is not written plainly: no `//`, no `.` or `..`, no escapes", "see /openapi.json";
    /// A header that must be there once is there twice, or can't be read.
    Header { name: &'static str } = "request.header", 400, final, "the header `{name}` can't be read, or is there twice", "send it once";
    /// The body or the query is over its bound.
    TooLarge { limit: usize } = "request.too_large", 413, final, "the request is larger than the {limit} bytes that this route takes", "";
    /// The body did not come in time.
    TooSlow = "request.too_slow", 408, retry, "the request did not arrive in time", "";
    /// Not `application/json`.
    MediaType = "request.media_type", 415, final, "the body must be `application/json`", "";
    /// The body or query does not have the shape that the route takes.
    Body { why: String } = "request.malformed", 400, final, "the request is malformed: {why}", "see /openapi.json";
    /// A value is not acceptable.
    Value { what: &'static str, why: String } = "request.value", 422, final, "{what} is not acceptable: {why}", "";
    /// `X-Force-Bypass` where it has no place or with a reason of the wrong length.
    Bypass { why: &'static str } = "request.bypass", 400, final, "`X-Force-Bypass` is not acceptable: {why}", "give a reason of 10 to 512 characters, on a release only";
    /// Too many requests by one key.
    Rate = "request.rate", 429, retry, "too many requests by this key", "wait a minute";

    // -- who asks: faults of the proof alone have a code, everything else is one ---------------------------------------
    /// The proof itself is faulty. `code` is one of the stable codes of DPoP faults.
    Proof { code: &'static str, why: String } = "dpop", 401, final, "{why}", "";
    /// Unknown key, bad signature, replay, inactive identity, wrong or used code or claim: all the same outside.
    Auth = "auth.failed", 401, final, "the request was not accepted", "check that the key is registered and active; the audit log of the nexus knows the exact step";
    /// Policy says no.
    Forbidden = "auth.forbidden", 403, final, "you may not do this", "ask an admin, or see `assay whoami`";
    /// Only a super:admin may bypass.
    BypassForbidden = "auth.bypass_forbidden", 403, final, "only a super:admin may bypass the gate", "";

    // -- what it is about -----------------------------------------------------------------------------------------------
    /// Absent, or another tenant's: the same outside.
    NotFound { what: &'static str } = "not_found", 404, final, "there is no such {what}", "";
    /// A name that several things have.
    Ambiguous { what: &'static str } = "name.ambiguous", 409, final, "several tenants have a {what} of that name", "use its id";
    /// The name is taken.
    Taken { what: &'static str, name: String } = "name.taken", 409, final, "there is a {what} called `{name}` already", "choose another name";
    /// Something else changed it first, or it is in a state that does not allow this.
    Conflict { why: String } = "conflict", 409, final, "this can't be done now: {why}", "";
    /// The deed would leave no active super:admin.
    LastAdmin = "operator.last_admin", 409, final, "this would leave no active super:admin key", "invite another super:admin first";
    /// The key that signs can't revoke itself, nor its own person.
    OwnKey = "key.own", 409, final, "the key that signs this request can't revoke or suspend itself", "use another key, or ask another admin";

    // -- the gate -------------------------------------------------------------------------------------------------------
    /// The device never proved itself.
    Unavailable { device: DeviceId } = "attestation.unavailable", 412, retry, "dpu `{device}` has not proved itself yet", "it was asked for a proof: try again when the demand is answered (`--wait`)";
    /// The device's proof is too old, or it left a demand unanswered.
    Stale { device: DeviceId } = "attestation.stale", 412, retry, "the last proof of dpu `{device}` no longer counts", "it was asked for a proof: try again when the demand is answered (`--wait`)";
    /// The device's last proof was authentic and contraindicated.
    Failed { device: DeviceId } = "attestation.failed", 412, final, "the last proof of dpu `{device}` failed", "see the reasons with `assay dpu show`; only a good proof clears this";
    /// The device is quarantined.
    Quarantined { device: DeviceId } = "attestation.quarantined", 412, final, "dpu `{device}` is quarantined", "see the reasons with `assay dpu show`; a super:admin may release it, then it must prove itself";
    /// The device's identity is not confirmed.
    Pending { device: DeviceId } = "dpu.pending", 409, final, "dpu `{device}` is pending: it receives nothing", "compare its identity with the hardware, then `assay dpu confirm`";
    /// The device belongs no more.
    Decommissioned { device: DeviceId } = "dpu.decommissioned", 409, final, "dpu `{device}` is decommissioned", "";

    // -- proofs and enrolment -------------------------------------------------------------------------------------------
    /// No nonce is outstanding that the evidence could answer.
    NoNonce = "evidence.nonce", 409, retry, "no nonce is outstanding for this proof: it was spent, voided or is over five minutes old", "ask for a nonce and prove again";
    /// The proved identity is not the claim's, or is somebody else's.
    Identity { why: &'static str } = "enrol.identity", 409, final, "this machine can't enrol with this claim: {why}", "check the inventory, then make another claim";
    /// The EK or AK can't be challenged.
    Challenge { why: String } = "enrol.keys", 422, final, "these keys can't be enrolled: {why}", "";
    /// The device's last evidence can't be the source of reference values.
    NoSource { why: &'static str } = "reference.source", 409, final, "no reference values can be taken from this dpu: {why}", "demand a proof first: `assay dpu demand`";

    /// More devices would fail than whoever asks has accepted.
    Impact { failures: u32, accepted: u32 } = "reference.impact", 409, final, "{failures} dpus would fail under this change, and {accepted} were accepted", "see `assay reference impact`; to do it all the same, `--accept-failures` that many";

    // -- the nexus ------------------------------------------------------------------------------------------------------
    /// This build has no such operation.
    NotBuilt = "op.not_built", 501, final, "this nexus does not do this yet", "";
    /// A policy could not be evaluated, and so denies.
    Policy = "policy.error", 500, final, "a policy could not be evaluated, and so denies", "ask the administrator of the nexus to look at its log";
    /// A fault in the program.
    Internal = "internal", 500, retry, "the nexus failed inside; nothing was changed", "see the log of the nexus under this request id";
    /// The nexus is going down.
    Stopping = "stopping", 503, retry, "the nexus is stopping", "try again in a moment";
}

const fn class_status(class: Class) -> u16 {
    match class {
        Class::Malformed => 400,
        Class::Untrusted | Class::Contraindicated | Class::Unsupported => 422,
        Class::Stale => 409,
    }
}

/// A database that is full, busy or away says so; what else may be wrong with it is for the log.
const fn store_status(fault: &StoreFault) -> u16 {
    match fault {
        StoreFault::Full
        | StoreFault::Busy
        | StoreFault::Unavailable(_)
        | StoreFault::Corrupt(_)
        | StoreFault::RowForged { .. }
        | StoreFault::LogBroken { .. } => 503,
        StoreFault::Conflict { .. } => 409,
        _ => 500,
    }
}

const fn store_code(fault: &StoreFault) -> &'static str {
    match store_status(fault) {
        503 | 409 => fault.code(),
        _ => "internal",
    }
}

/// A refusal on its way out: the fault that the caller reads, and what only the audit log reads.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    fault: Fault,
    step: Option<String>,
    demand: Option<DemandId>,
}

impl<F: Into<Fault>> From<F> for Problem {
    fn from(fault: F) -> Self {
        Self(Box::new(Inner {
            fault: fault.into(),
            step: None,
            demand: None,
        }))
    }
}

impl Problem {
    /// What the caller is told.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.0.fault
    }

    /// The stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &self.0.fault {
            Fault::Proof { code, .. } => code,
            fault => fault.code(),
        }
    }

    /// The exact step, for the audit log only: `key.revoked` behind an `auth.failed`.
    #[must_use]
    pub fn step(mut self, step: impl Into<String>) -> Self {
        self.0.step = Some(step.into());
        self
    }

    /// The exact step where one was given, else the code.
    #[must_use]
    pub fn exact(&self) -> &str {
        self.0.step.as_deref().unwrap_or_else(|| self.code())
    }

    /// The demand for a proof that this refusal made.
    #[must_use]
    pub fn demand(mut self, demand: DemandId) -> Self {
        self.0.demand = Some(demand);
        self
    }

    /// The demand, where there is one.
    #[must_use]
    pub fn demand_id(&self) -> Option<&DemandId> {
        self.0.demand.as_ref()
    }

    /// Whether an authenticated caller's refusal stands in the audit log. Faults of the request alone and of the nexus go to
    /// metrics and the journal.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        matches!(self.0.fault.status(), 401 | 403 | 404 | 409 | 412 | 422)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_dotted_lower_case() {
        let mut seen = BTreeSet::new();
        for code in Fault::CODES {
            assert!(seen.insert(code), "{code} twice");
            assert!(
                code.bytes()
                    .all(|b| b.is_ascii_lowercase() || b"._".contains(&b)),
                "{code}"
            );
        }
    }

    #[test]
    fn i7_what_the_store_says_inside_stays_inside() {
        let problem = Problem::from(StoreFault::Misused("SELECT secret FROM x".into()));
        assert_eq!(
            (problem.code(), problem.fault().status()),
            ("internal", 500)
        );
        assert!(!problem.fault().to_string().contains("SELECT"));
        assert_eq!(Problem::from(StoreFault::Full).code(), "store.full");
    }
}

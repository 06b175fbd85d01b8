//! What goes wrong, as people and scripts read it: a message, what to do next, a stable code, an exit code.

use assay_client::CallError;
use serde::Serialize;

/// Exit codes (design section 11). `audit verify` has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something went wrong.
    Error = 1,
    /// Who asks is not known, or the server is not the pinned one. What one may not do is an error like others.
    Authentication = 2,
    /// The gate refused: a proof is missing, too old or bad.
    Attestation = 3,
    /// No such thing.
    NotFound = 4,
    /// Too many requests.
    RateLimited = 5,
    /// The command line is wrong.
    Usage = 64,
}

impl Exit {
    /// The number that the process ends with.
    #[must_use]
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Error => 1,
            Self::Authentication => 2,
            Self::Attestation => 3,
            Self::NotFound => 4,
            Self::RateLimited => 5,
            Self::Usage => 64,
        }
    }
}

/// A failure.
#[derive(Clone, Debug, Serialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Fault {
    /// Stable, dotted.
    pub(crate) code: Box<str>,
    /// What happened.
    pub(crate) message: Box<str>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<Box<str>>,
    /// Whether the same command may succeed later.
    pub(crate) retryable: bool,
    /// The request's name in the log of the nexus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<Box<str>>,
    /// The demand for a proof that the refusal made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) demand_id: Option<Box<str>>,
    /// How the process ends.
    #[serde(skip)]
    pub(crate) exit: Exit,
}

impl Fault {
    /// A failure with exit code 1.
    #[must_use]
    pub(crate) fn new(code: &str, message: impl Into<Box<str>>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            hint: None,
            retryable: false,
            request_id: None,
            demand_id: None,
            exit: Exit::Error,
        }
    }

    /// A wrong command line.
    #[must_use]
    pub(crate) fn usage(message: impl Into<Box<str>>) -> Self {
        Self::new("cli.usage", message).exit(Exit::Usage)
    }

    /// With what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With another exit code.
    #[must_use]
    pub(crate) const fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Whether the gate refused for want of a fresh proof, which a new proof would cure.
    #[must_use]
    pub(crate) fn wants_proof(&self) -> bool {
        matches!(&*self.code, "attestation.stale" | "attestation.unavailable")
    }
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        let mut fault = Self::new(error.code(), error.to_string());
        fault.retryable = error.is_retryable();
        match &error {
            CallError::Refused(problem) => {
                fault.hint = problem
                    .hint
                    .clone()
                    .filter(|h| !h.is_empty())
                    .map(Into::into);
                fault.request_id = Some(problem.request_id.as_str().into());
                fault.demand_id = problem.demand_id.clone().map(Into::into);
                fault.exit = exit_of(problem.status, &problem.code);
            }
            CallError::Unreachable(_) | CallError::TimedOut => {
                fault.hint = Some(
                    "check that the nexus runs and that this machine reaches it; `assay context list` shows where it is sought"
                        .into(),
                );
            }
            CallError::NotTheNexus(_) | CallError::Tls(_) => {
                fault.exit = Exit::Authentication;
                fault.hint = Some(
                    "do not go on before you know why: either somebody is in between, or the nexus was set up anew, and then you need a new token"
                        .into(),
                );
            }
            CallError::Sign(_) => fault.exit = Exit::Authentication,
            CallError::BadAnswer { .. } => {
                fault.hint =
                    Some("is this `assay` as old as the nexus? compare `assay version`".into());
            }
            CallError::TooLarge { .. } | CallError::Setup(_) => {}
        }
        fault
    }
}

fn exit_of(status: u16, code: &str) -> Exit {
    if code.starts_with("attestation.") || status == 412 {
        return Exit::Attestation;
    }
    match status {
        401 => Exit::Authentication,
        404 if code == "not_found" => Exit::NotFound,
        429 => Exit::RateLimited,
        _ => Exit::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_api::problem::ProblemBody;

    fn refused(status: u16, code: &str) -> Fault {
        CallError::Refused(Box::new(ProblemBody {
            kind: "about:blank".into(),
            title: String::new(),
            status,
            code: code.into(),
            detail: "no".into(),
            hint: Some(String::new()),
            retryable: false,
            request_id: "r1".into(),
            demand_id: None,
        }))
        .into()
    }

    #[test]
    fn exit_codes_are_those_of_the_design() {
        for (status, code, exit) in [
            (400, "request.malformed", 1),
            (401, "auth.failed", 2),
            (401, "dpop.time", 2),
            (403, "auth.forbidden", 1),
            (412, "attestation.stale", 3),
            (412, "attestation.failed", 3),
            (404, "not_found", 4),
            (404, "request.no_route", 1),
            (429, "request.rate", 5),
            (409, "name.taken", 1),
            (503, "store.full", 1),
        ] {
            let fault = refused(status, code);
            assert_eq!(fault.exit.code(), exit, "{code}");
            assert_eq!(fault.hint, None, "an empty hint is none");
        }
        assert_eq!(Fault::usage("x").exit.code(), 64);
        assert_eq!(Fault::from(CallError::TimedOut).exit.code(), 1);
        assert_eq!(
            Fault::from(CallError::Tls("x".into())).exit,
            Exit::Authentication
        );
    }

    #[test]
    fn only_a_proof_that_is_missing_or_old_is_worth_waiting_for() {
        assert!(refused(412, "attestation.stale").wants_proof());
        assert!(refused(412, "attestation.unavailable").wants_proof());
        assert!(!refused(412, "attestation.failed").wants_proof());
        assert!(!refused(412, "attestation.quarantined").wants_proof());
    }
}

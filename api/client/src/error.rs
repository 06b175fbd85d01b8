//! What can go wrong with a call.

use assay_api::problem::ProblemBody;
use assay_api::signer::SignFailed;
use assay_tls::PinFault;

/// Why a call gave no answer, or not the one asked for.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The nexus refused.
    #[error("{}", .0.detail)]
    Refused(Box<ProblemBody>),
    /// The nexus could not be reached.
    #[error("the nexus can't be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("the nexus did not answer in time")]
    TimedOut,
    /// The server is not the pinned nexus.
    #[error(transparent)]
    NotTheNexus(PinFault),
    /// TLS failed otherwise: the name, a signature, the version.
    #[error("the connection to the nexus could not be secured: {0}")]
    Tls(String),
    /// The answer is over its limit.
    #[error("the answer is over its limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The answer is not what the route gives.
    #[error("the answer, with status {status}, can't be read: {why}")]
    BadAnswer {
        /// HTTP status.
        status: u16,
        /// What the reader says.
        why: String,
    },
    /// The key could not sign.
    #[error(transparent)]
    Sign(#[from] SignFailed),
    /// This client can't make that call.
    #[error("{0}")]
    Setup(String),
}

impl CallError {
    /// The name that machines may rely on: the nexus's own where it refused.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(problem) => &problem.code,
            Self::Unreachable(_) => "client.unreachable",
            Self::TimedOut => "client.timeout",
            Self::NotTheNexus(fault) => fault.code(),
            Self::Tls(_) => "client.tls",
            Self::TooLarge { .. } => "client.answer_too_large",
            Self::BadAnswer { .. } => "client.bad_answer",
            Self::Sign(_) => "client.sign",
            Self::Setup(_) => "client.setup",
        }
    }

    /// The nexus's problem, where it refused.
    #[must_use]
    pub fn problem(&self) -> Option<&ProblemBody> {
        if let Self::Refused(problem) = self {
            Some(problem)
        } else {
            None
        }
    }

    /// The HTTP status, where there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            Self::BadAnswer { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(problem) => problem.retryable,
            Self::Unreachable(_) | Self::TimedOut => true,
            Self::BadAnswer { status, .. } => *status >= 500,
            Self::NotTheNexus(_)
            | Self::Tls(_)
            | Self::TooLarge { .. }
            | Self::Sign(_)
            | Self::Setup(_) => false,
        }
    }
}

impl From<reqwest::Error> for CallError {
    fn from(error: reqwest::Error) -> Self {
        if let Some(tls) = find_tls(&error) {
            return tls;
        }
        if error.is_timeout() {
            return Self::TimedOut;
        }
        let mut why = String::new();
        let mut next: Option<&dyn std::error::Error> = Some(&error);
        while let Some(e) = next {
            why = e.to_string();
            next = e.source();
        }
        Self::Unreachable(why)
    }
}

/// Looks for rustls's word among the causes. An `io::Error` does not count what it carries as its source.
fn find_tls(error: &(dyn std::error::Error + 'static)) -> Option<CallError> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(tls) = e.downcast_ref::<rustls::Error>() {
            return Some(of_tls(tls));
        }
        let carried = e
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if let Some(found) = carried.and_then(|c| find_tls(c)) {
            return Some(found);
        }
        next = e.source();
    }
    None
}

fn of_tls(error: &rustls::Error) -> CallError {
    if let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) = error
        && let Some(fault) = other.0.downcast_ref::<PinFault>()
    {
        return CallError::NotTheNexus(*fault);
    }
    CallError::Tls(error.to_string())
}

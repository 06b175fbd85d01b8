//! DPoP (RFC 9449): proof of possession of the key, on every request.
//!
//! A proof says which key asked for what, when. Beyond the RFC, proofs for routes that release or change carry
//! `assay_dig`, a digest over query, body and bypass reason, which DPoP alone leaves open (RFC 9449, 11.7).

mod check;
mod make;

pub use check::{Expected, Proof, SignedProof, UncheckedProof, Window, digest_matches};
pub use make::{Request, prove};

use crate::jose::JoseFault;

/// The header that carries a proof.
pub const HEADER: &str = "dpop";
/// The header in which the server hands out a nonce.
pub const NONCE_HEADER: &str = "dpop-nonce";
/// The header with the reason of a force bypass; covered by the request digest.
pub const BYPASS_HEADER: &str = "x-force-bypass";

/// The digest that `assay_dig` carries: SHA-256(lp(raw query) lp(body) lp(bypass reason, or empty)).
///
/// The query is what stands after the first `?` on the wire, byte for byte; without one it is empty.
#[must_use]
pub fn request_digest(raw_query: &str, body: &[u8], bypass: Option<&str>) -> [u8; 32] {
    crate::lp::digest(&[
        raw_query.as_bytes(),
        body,
        bypass.unwrap_or_default().as_bytes(),
    ])
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DpopFault {
    /// There is no `DPoP` header.
    #[error("the request carries no proof: send one `DPoP` header")]
    Missing,
    /// There are several.
    #[error("the request carries more than one proof")]
    Several,
    /// It is no signed JWT of the accepted shape.
    #[error("the proof is malformed: {0}")]
    Malformed(#[source] JoseFault),
    /// Its `typ` is not `dpop+jwt`.
    #[error("the proof's type is not `dpop+jwt`")]
    Type,
    /// A claim is absent, or not of its type or length.
    #[error("the proof's claim `{0}` is absent or not what it must be")]
    Claim(&'static str),
    /// Neither `jwk` nor `kid`, or a `kid` of another shape.
    #[error("the proof names no key")]
    NoKey,
    /// The key in the proof is not the key it is held against.
    #[error("the proof is by another key")]
    OtherKey,
    /// The signature does not verify, or its algorithm is not the key's.
    #[error("the proof's signature does not verify")]
    Signature,
    /// Made for another method.
    #[error("the proof is for another method")]
    Method,
    /// Made for another target.
    #[error("the proof is for another URL: use the server's configured public URL")]
    Target,
    /// Too old, or from the future.
    #[error("the proof's time is out of the window: check this machine's clock")]
    Time,
    /// Its `exp` has passed or its `nbf` has not come.
    #[error("the proof has run out, or is not valid yet")]
    Expired,
    /// A server nonce is wanted and is absent or not one.
    #[error("the proof must carry the nonce that this answer gives")]
    Nonce,
    /// Bound to another access token, or to none.
    #[error("the proof is not bound to this access token")]
    Token,
    /// The digest over query, body and bypass reason is absent or another.
    #[error("the proof does not cover this request's query, body and bypass reason")]
    Digest,
}

impl DpopFault {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "dpop.missing",
            Self::Several => "dpop.several",
            Self::Malformed(_) => "dpop.malformed",
            Self::Type => "dpop.type",
            Self::Claim(_) => "dpop.claim",
            Self::NoKey => "dpop.no_key",
            Self::OtherKey => "dpop.other_key",
            Self::Signature => "dpop.signature",
            Self::Method => "dpop.method",
            Self::Target => "dpop.target",
            Self::Time => "dpop.time",
            Self::Expired => "dpop.expired",
            Self::Nonce => "dpop.nonce",
            Self::Token => "dpop.token",
            Self::Digest => "dpop.digest",
        }
    }

    /// Whether the fault lies in the request alone, so that its code may be told outside. The others say something about
    /// keys, and the answer is `auth.failed` (design section 7).
    #[must_use]
    pub const fn is_public(self) -> bool {
        match self {
            Self::OtherKey | Self::Signature | Self::Token => false,
            Self::Missing
            | Self::Several
            | Self::Malformed(_)
            | Self::Type
            | Self::Claim(_)
            | Self::NoKey
            | Self::Method
            | Self::Target
            | Self::Time
            | Self::Expired
            | Self::Nonce
            | Self::Digest => true,
        }
    }
}

impl From<JoseFault> for DpopFault {
    fn from(fault: JoseFault) -> Self {
        match fault {
            JoseFault::Signature => Self::Signature,
            other => Self::Malformed(other),
        }
    }
}

#[cfg(test)]
mod tests;

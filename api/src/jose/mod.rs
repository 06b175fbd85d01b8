//! The small part of JOSE that Assay speaks: strict base64url, strict JSON, public keys, compact signatures.
//!
//! Ed25519 (RFC 8037, RFC 9864) and ES256 (RFC 7518) only. The algorithm follows from the key; the header may only agree.
//! General JWT libraries are left out on purpose: their defaults are where the known holes are (RFC 8725).

mod b64;
mod json;
mod jwk;
mod jws;

pub use b64::{decode, encode};
pub use json::Json;
pub use jwk::{Alg, Jwk, Thumbprint};
pub use jws::{Compact, MAX_COMPACT, build};

/// Why a JOSE structure is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseFault {
    /// Over its length.
    #[error("it is too long")]
    TooLarge,
    /// Not three non-empty parts.
    #[error("it is not three parts joined by dots")]
    Parts,
    /// Not base64url without padding, or not its one canonical form.
    #[error("a part is not canonical base64url without padding")]
    Base64,
    /// Not JSON, or no object where one must be.
    #[error("a part is not the JSON object it must be")]
    Json,
    /// A member is there twice.
    #[error("a member occurs twice")]
    Duplicate,
    /// Nested too deep, or too many members.
    #[error("it is nested too deep or has too many members")]
    TooDeep,
    /// The header names critical extensions (RFC 7515, 4.1.11); none is known.
    #[error("the header demands an extension that is not supported")]
    Critical,
    /// An algorithm other than `EdDSA`, `Ed25519` and `ES256`, or one that does not fit the key.
    #[error("the algorithm is not one that is accepted for this key")]
    Algorithm,
    /// Not a public key of an accepted kind.
    #[error("the key is no public Ed25519 or P-256 key")]
    Key,
    /// A private member in a public key.
    #[error("the key holds a private member; make a new key, that one is public now")]
    PrivateKey,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
}

impl JoseFault {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "jose.too_large",
            Self::Parts => "jose.parts",
            Self::Base64 => "jose.base64",
            Self::Json => "jose.json",
            Self::Duplicate => "jose.duplicate",
            Self::TooDeep => "jose.too_deep",
            Self::Critical => "jose.critical",
            Self::Algorithm => "jose.algorithm",
            Self::Key => "jose.key",
            Self::PrivateKey => "jose.private_key",
            Self::Signature => "jose.signature",
        }
    }
}

//! Concise Reference Integrity Manifests (draft-ietf-rats-corim-11): Reference Values and Endorsements as files.
//!
//! [`Document::parse`] reads what is found in the field: signed and unsigned manifests, single CoMID tags, and the older
//! wrapping that NVIDIA's files have. What a file bends is listed ([`Relaxed`]), never passed over. Only
//! [`SignedCorim::verify`] makes a source of Reference Values of one.

pub use self::compare::{Comparison, Found, compare, endorsed};
pub use self::compile::{Choice, Scope, reference_values};
pub use self::model::*;
pub use self::profile::Profile;
pub use self::read::Document;
pub use self::signed::{Meta, SignedCorim, Signer, Trusted, pem_thumbprint};
pub use self::values::*;
pub use self::write::{Draft, sign};

mod comid;
mod compare;
mod compile;
mod environment;
mod model;
mod profile;
mod read;
mod scalar;
mod signed;
#[cfg(test)]
mod tests;
mod values;
mod write;

pub(crate) const WHAT: &str = "the corim";

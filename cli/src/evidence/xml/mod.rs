//! As much XML as vendors' signed manifests need, and no more: no document type, no entities but the five, no processing
//! instructions, no external anything. It lives in the command line only: what the nexus takes is CBOR.

mod c14n;
mod dsig;
mod read;

pub(crate) use dsig::{Signature, split};
pub(crate) use read::{Element, parse};

/// What is wrong with it: one machine code for all of it, words for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the xml can't be used: {why} (byte {at})")]
pub(crate) struct BadXml {
    /// What.
    pub(crate) why: &'static str,
    /// Where.
    pub(crate) at: usize,
}

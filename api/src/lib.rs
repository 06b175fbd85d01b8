//! The words that both sides of Assay speak: routes, types, identifiers, problems, and every format on the wire.
//!
//! No sockets, no clock, no randomness: whoever calls passes time and chance in.
#![forbid(unsafe_code)]

pub mod log;
pub mod lp;

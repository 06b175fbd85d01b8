//! The words that both sides of Assay speak: routes, types, identifiers, problems, and every format on the wire.
//!
//! No sockets, no clock, no randomness: whoever calls passes time and chance in.
#![forbid(unsafe_code)]

pub mod armor;
pub mod bundle;
pub mod cedar;
pub mod channel;
pub mod checks;
pub mod dpop;
pub mod htu;
pub mod id;
pub mod join;
pub mod jose;
pub mod log;
pub mod lp;
pub mod manifest;
pub mod openapi;
pub mod pairing;
pub mod problem;
pub mod routes;
pub mod seal;
pub mod signed;
pub mod signer;
pub mod token;
pub mod types;

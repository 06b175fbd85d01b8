//! Bytes to structures and back, with no opinion about what they mean. Every decoder is total and bounded.

pub mod cbor;
pub mod cose;
pub mod reader;
pub mod tpm;

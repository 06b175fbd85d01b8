//! Evidence in, Attestation Result out (RFC 9334): formats, verification and appraisal, pure.
//!
//! No files, no network, no clock, no randomness: whoever calls passes bytes, time and chance in.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]

extern crate alloc;

pub mod key;
pub mod refusal;
pub mod time;

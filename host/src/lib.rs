//! The host side: takes the nexus's signed manifests through the DPU and makes a real sshd trust exactly what they say.
//!
//! It does not trust the DPU: what it installs is signed by the delivery key that was pinned at pairing. It does not
//! authenticate anybody itself either: sshd does, and this crate proves by a trial login that sshd does it right.

#![forbid(unsafe_code)]

pub mod config;
pub mod fault;
pub mod files;
pub mod host;
pub mod keys;
pub mod link;
pub mod login;
pub mod manifest;
pub mod record;
pub mod run;
pub mod service;
pub mod sshd;

use assay_attest::time::Timestamp;

/// Where the time comes from: `main` gives the system's, tests their own.
pub type Clock = fn() -> Timestamp;

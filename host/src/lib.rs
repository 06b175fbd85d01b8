//! The host side: takes the nexus's signed manifests through the DPU and makes a real sshd trust exactly what they say.
//!
//! It does not trust the DPU: what it installs is signed by the delivery key that was pinned at pairing. It does not
//! authenticate anybody itself either: sshd does, and this crate proves by a trial login that sshd does it right.

#![forbid(unsafe_code)]

pub mod config;
pub mod files;
pub mod login;
pub mod run;
pub mod sshd;

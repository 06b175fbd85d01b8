//! A world of real parts: the four programs as child processes, swtpm, sshd and ssh, all on loopback and in folders of their own.
//!
//! Everything here is for tests: it waits with a bound, and when something does not come about it panics with the ends of the
//! logs. What was started ends with its value.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the whole crate is tests"
)]

pub mod agent;
pub mod bar;
pub mod host;
pub mod lab;
pub mod log;
pub mod nexus;
pub mod person;
mod ports;
pub mod process;
pub mod programs;
pub mod raw;
pub mod ssh;
pub mod sshd;
pub mod tpm;
pub mod wait;

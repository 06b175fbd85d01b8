//! The control plane: it verifies evidence, remembers when it did, and releases a credential only while the proof is fresh.

pub mod anchors;
pub mod app;
#[cfg(test)]
#[path = "../../tests/src/bar.rs"]
#[expect(unreachable_pub, reason = "the tests of the whole have it, too")]
mod bar;
pub mod bootstrap;
pub mod clock;
pub mod config;
mod delivery;
mod fall;
pub mod http;
pub mod keys;
mod manifest;
pub mod metrics;
pub mod op;
pub mod policy;
pub mod problem;
pub mod random;
pub mod refusals;
pub mod release;
pub mod serve;
mod ssh;
pub mod start;
pub mod store;
#[cfg(test)]
pub(crate) mod testing;
mod verdict;
pub mod verifier;
pub mod wake;

//! The control plane: it verifies evidence, remembers when it did, and releases a credential only while the proof is fresh.

pub mod clock;
pub mod keys;
pub mod store;

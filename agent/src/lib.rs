//! The agent on a DPU: gathers evidence, proves itself to the nexus, and holds what it gets for as long as it may.

pub mod boot;
pub mod config;
pub mod cycle;
pub mod deliver;
pub mod files;
pub mod source;
pub mod state;
pub mod sys;
pub mod vault;

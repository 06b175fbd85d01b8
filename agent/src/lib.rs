//! The agent on a DPU: gathers evidence, proves itself to the nexus, and holds what it gets for as long as it may.
//!
//! `source` signs evidence, `cycle` decides what to do next and does nothing itself, `drive` does it, `vault` holds leases,
//! `deliver` hands manifests to hosts, `state` is all that is kept at rest.

pub mod about;
pub mod boot;
pub mod config;
pub mod cycle;
pub mod deliver;
pub mod drive;
pub mod enrol;
pub mod files;
pub mod head;
pub mod link;
pub mod local;
pub mod notify;
pub mod run;
pub mod source;
pub mod state;
pub mod sys;
pub mod timer;
pub mod vault;

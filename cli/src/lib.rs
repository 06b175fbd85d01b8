//! `assay`, the one command line for admins, operators and auditors.
//!
//! Every call of the API goes through the typed client over the pinned nexus; what people and scripts read goes through
//! one place that knows table, JSON and YAML. Nothing here decides about trust: the nexus does, and the audit log is verified with the code that
//! writes it.
#![forbid(unsafe_code)]

mod app;
mod clock;
mod cmd;
mod evidence;
mod fault;
mod files;
mod home;
mod key;
mod out;
mod prompt;
mod session;
mod wait;

pub use app::run;

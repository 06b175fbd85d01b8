//! The typed client of the nexus.
#![forbid(unsafe_code)]

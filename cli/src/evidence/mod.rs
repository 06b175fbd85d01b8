//! The offline tool: what an artefact of attestation says, and whether it holds. No request leaves this machine.
//!
//! A kind of artefact is one file here and one row in [`table::KINDS`]. Formats and signatures are `assay-attest`'s; here are files as they are
//! found, options, and claims in words.

pub(crate) mod artefact;
pub(crate) mod corim;
pub(crate) mod encoding;
pub(crate) mod kind;
pub(crate) mod references;
pub(crate) mod rim_xml;
pub(crate) mod table;

mod claimset;
mod jws;
mod keys;
mod path;
mod pcrs;
mod spdm;
mod trust;

// One file for each kind.
mod bundle;
mod cel;
mod cmw;
mod corim_claims;
#[cfg(test)]
mod corim_tests;
mod cose;
mod dice_chain;
mod ear;
mod eat;
mod ek_cert;
mod eventlog;
mod ima;
mod open_dice;
mod rim_service;
mod spdm_chain;
mod spdm_measurements;
mod spdm_report;
mod tpm_quote;
mod xml;

#[cfg(test)]
mod tests;

pub(crate) use artefact::Artefact;
pub(crate) use kind::{Accepted, Claims, Kind, Opt, Rejection, With};

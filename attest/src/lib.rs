#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod appraise;
pub mod attester;
pub mod boot;
pub mod chain;
pub mod claims;
pub mod codec;
pub mod corim;
pub mod digest;
pub mod ear;
pub mod evidence;
pub mod expected;
pub mod hpke;
pub mod key;
pub mod limits;
pub mod policy;
pub mod quote;
pub mod reference;
pub mod refusal;
pub mod replay;
pub mod result;
pub mod revocation;
pub mod session;
pub mod spdm;
pub mod standing;
pub mod time;
pub mod verify;

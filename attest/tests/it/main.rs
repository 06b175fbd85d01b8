//! Integration tests: evidence made by a software TPM, attacked; appraisal; real vectors; what this crate may not link.

#[cfg(test)]
mod appraisal;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod corim;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod ek;
#[cfg(test)]
mod forge;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod open_dice;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod purity;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod schemes;
#[cfg(test)]
mod soft_tpm;
#[cfg(test)]
mod spdm;
#[cfg(test)]
mod tpm_vectors;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod world;

//! Integration tests: evidence made by a software TPM, attacked; real vectors; what this crate may not link.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod ek;
#[cfg(test)]
mod forge;
#[cfg(test)]
mod soft_tpm;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod world;

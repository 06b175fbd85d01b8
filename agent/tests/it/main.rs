//! The agent against real parts: swtpm, TLS on loopback, files.

#[cfg(test)]
mod deliver;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod swtpm;
#[cfg(test)]
mod tpm;
#[cfg(test)]
mod verifier;

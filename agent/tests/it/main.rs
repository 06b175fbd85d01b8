//! The agent against real parts: swtpm, TLS on loopback, files, processes.

#[cfg(test)]
mod bmc;
#[cfg(test)]
mod deliver;
#[cfg(test)]
mod host;
#[cfg(test)]
mod nexus;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod redfish;
#[cfg(test)]
mod swtpm;
#[cfg(test)]
mod tpm;
#[cfg(test)]
mod verifier;
#[cfg(test)]
mod whole;

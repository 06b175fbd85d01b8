//! SSH as the nexus makes it: certificates and key revocation lists. Pure: keys, time and chance are passed in.

pub(crate) mod ca;
pub(crate) mod certificate;
pub(crate) mod krl;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

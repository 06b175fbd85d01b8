//! TLS 1.3 with pinned keys: how clients know the nexus, how a DPU and its host know each other, and the certificates
//! for both.
//!
//! One provider (aws-lc), one version (but for management controllers, which are older), no resumption, no tickets, no 0-RTT. Nothing here opens a socket or reads a clock;
//! validity dates are never held against one, since a DPU may boot with a wrong clock: pins take their place.
#![forbid(unsafe_code)]

mod cert;
mod leaf;
mod mutual;
mod pin;
mod server;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use sha2::{Digest, Sha256};

pub use cert::{CertFault, CertKey, Names, Validity, channel_certificate, leaf, root};
pub use leaf::leaf_pinned_client;
pub use mutual::{channel_client, channel_peer, channel_server};
pub use pin::{NexusId, PinFault, PinnedServer, Pins, pinned_client, root_of_chain};
pub use server::{LeafSlot, nexus_server};

/// The only cryptography that TLS uses here.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The only versions of TLS that are spoken.
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// SHA-256 of a SubjectPublicKeyInfo in DER: what a pin is.
#[must_use]
pub fn spki_pin(spki_der: &[u8]) -> [u8; 32] {
    Sha256::digest(spki_der).into()
}

#[cfg(test)]
mod tests;

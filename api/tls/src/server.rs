//! The nexus's side: one leaf at a time, replaced without a restart.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig};

use crate::{VERSIONS, provider};

/// The leaf that new connections get.
#[derive(Debug)]
pub struct LeafSlot(RwLock<Arc<CertifiedKey>>);

impl LeafSlot {
    /// A slot with a first chain: leaf first, root last, always sent.
    ///
    /// # Errors
    /// Where the key is of an unknown kind or is not the leaf's.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self(RwLock::new(certified(chain, key)?))))
    }

    /// Puts another chain in; connections that stand keep theirs.
    ///
    /// # Errors
    /// As [`LeafSlot::new`]; then the slot keeps what it has.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), Error> {
        let next = certified(chain, key)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

impl ResolvesServerCert for LeafSlot {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(
            &self.0.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, Error> {
    let certified = CertifiedKey::from_der(chain, key, &provider())?;
    certified.keys_match()?;
    Ok(Arc::new(certified))
}

/// A server configuration: TLS 1.3, no client certificates, no tickets, no 0-RTT. ALPN is left to the caller.
///
/// # Errors
/// What rustls says of its own provider.
pub fn nexus_server(slot: Arc<LeafSlot>) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)?
        .with_no_client_auth()
        .with_cert_resolver(slot);
    without_resumption(&mut config);
    Ok(config)
}

pub(crate) fn without_resumption(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
}

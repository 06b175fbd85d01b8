//! Handshakes with a server that is known by its own key.

use super::*;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A controller that shows the certificate of one key and signs with another, as it may be.
fn controller(
    shown: &CertKey,
    signs: &CertKey,
    version: &'static rustls::SupportedProtocolVersion,
) -> ServerConfig {
    let key = provider()
        .key_provider
        .load_private_key(signs.to_rustls().unwrap())
        .unwrap();
    let certificate = root(shown, [9; 16], THEN).unwrap();
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows(Arc::new(CertifiedKey::new(
            vec![certificate],
            key,
        )))))
}

#[test]
fn a_controller_is_known_by_its_key_whatever_its_name_and_dates() {
    let [ours, evil] = [1, 2].map(|seed| CertKey::p256(&[seed; 32]).unwrap());
    let pin = spki_pin(&ours.spki().unwrap());
    let client = |pins: Vec<[u8; 32]>| leaf_pinned_client(pins).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let dial = |pins, shown, signs| {
            let server = controller(shown, signs, version);
            shake(client(pins), server, "any.name")
        };
        assert!(dial(vec![pin], &ours, &ours).is_ok());
        // The next key's pin stands beside it while the key changes.
        assert!(dial(vec![[0; 32], pin], &ours, &ours).is_ok());
        let said = fault(dial(vec![[0; 32]], &ours, &ours));
        assert!(said.contains("ApplicationVerificationFailure"), "{said}");
        assert!(dial(vec![pin], &evil, &evil).is_err());
        // Whoever only shows the certificate does not have its key.
        let said = fault(dial(vec![pin], &ours, &evil));
        assert!(said.contains("BadSignature"), "{version:?}: {said}");
    }
}

#[test]
fn without_a_pin_there_is_no_client() {
    assert!(leaf_pinned_client(Vec::new()).is_err());
}

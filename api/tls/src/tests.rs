//! Real handshakes, in memory.

use super::*;
use assay_attest::time::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Error, ServerConfig, ServerConnection};

mod leaf;

const THEN: Validity = Validity {
    not_before: Timestamp::from_secs(1_000_000),
    not_after: Timestamp::from_secs(2_000_000),
};

struct Nexus {
    root_key: CertKey,
    root: CertificateDer<'static>,
    leaf_key: CertKey,
    leaf: CertificateDer<'static>,
}

fn nexus(root_seed: u8, names: &[&str]) -> Nexus {
    let root_key = CertKey::p256(&[root_seed; 32]).unwrap();
    let leaf_key = CertKey::p256(&[77; 32]).unwrap();
    let root = root(&root_key, [1; 16], THEN).unwrap();
    let names = Names::parse(names.iter().copied()).unwrap();
    let leaf = leaf(&root, &root_key, &leaf_key, &names, [2; 16], THEN).unwrap();
    Nexus {
        root_key,
        root,
        leaf_key,
        leaf,
    }
}

impl Nexus {
    fn id(&self) -> NexusId {
        spki_pin(&self.root_key.spki().unwrap())
    }

    fn server(&self, chain: Vec<CertificateDer<'static>>) -> ServerConfig {
        nexus_server(LeafSlot::new(chain, self.leaf_key.to_rustls().unwrap()).unwrap()).unwrap()
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.leaf.clone(), self.root.clone()]
    }
}

/// Runs a handshake; both ends, or the first error that either sees.
fn shake(
    client: ClientConfig,
    server: ServerConfig,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut bytes = wire.as_slice();
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut bytes = wire.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn dial(
    pins: Pins,
    server: ServerConfig,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), Error> {
    shake(
        pinned_client(PinnedServer::new(pins)).unwrap(),
        server,
        name,
    )
}

fn pins(current: NexusId) -> Pins {
    Pins {
        current,
        next: None,
    }
}

fn fault(result: Result<(ClientConnection, ServerConnection), Error>) -> String {
    result.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn the_pinned_nexus_is_known_by_name_and_address_and_long_after_its_certificates_ran_out() {
    let nexus = nexus(7, &["nexus.example", "127.0.0.1", "[::1]"]);
    for name in ["nexus.example", "127.0.0.1", "::1"] {
        let verifier = PinnedServer::new(pins(nexus.id()));
        let config = pinned_client(Arc::clone(&verifier)).unwrap();
        let (client, _) = shake(config, nexus.server(nexus.chain()), name).unwrap();
        assert_eq!(
            client.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_3)
        );
        assert_eq!(
            root_of_chain(client.peer_certificates().unwrap()),
            Ok(nexus.id())
        );
        assert_eq!(verifier.root_of_leaf(&nexus.leaf), Some(nexus.id()));
        assert_eq!(verifier.root_of_leaf(b"another"), None);
    }
}

#[test]
fn the_next_root_is_good_too_and_any_other_is_not() {
    let (old, new, evil) = (nexus(7, &["n"]), nexus(8, &["n"]), nexus(9, &["n"]));
    let both = Pins {
        current: old.id(),
        next: Some(new.id()),
    };
    let (client, _) = dial(both, new.server(new.chain()), "n").unwrap();
    assert_eq!(
        root_of_chain(client.peer_certificates().unwrap()),
        Ok(new.id())
    );
    assert!(fault(dial(both, evil.server(evil.chain()), "n")).contains("OtherRoot"));
    assert!(fault(dial(pins(old.id()), new.server(new.chain()), "n")).contains("OtherRoot"));
}

#[test]
fn another_name_is_refused() {
    let nexus = nexus(7, &["nexus.example", "127.0.0.1"]);
    for name in ["other.example", "127.0.0.2", "sub.nexus.example"] {
        let said = fault(dial(pins(nexus.id()), nexus.server(nexus.chain()), name));
        assert!(said.contains("not valid for name"), "{said}");
    }
}

#[test]
fn a_chain_that_only_shows_the_pinned_root_is_refused() {
    let (nexus, evil) = (nexus(7, &["n"]), nexus(9, &["n"]));
    let borrowed = vec![evil.leaf.clone(), nexus.root.clone()];
    let said = fault(dial(pins(nexus.id()), evil.server(borrowed), "n"));
    assert!(
        said.contains("BadSignature") || said.contains("UnknownIssuer"),
        "{said}"
    );
    let hidden = vec![evil.leaf.clone(), nexus.root.clone(), evil.root.clone()];
    assert!(fault(dial(pins(nexus.id()), evil.server(hidden), "n")).contains("OtherRoot"));
    let stacked = vec![evil.leaf.clone(), evil.root.clone(), nexus.root.clone()];
    assert!(dial(pins(nexus.id()), evil.server(stacked), "n").is_err());
}

#[test]
fn the_root_must_be_sent_and_signed_by_itself() {
    let nexus = nexus(7, &["n"]);
    assert!(
        fault(dial(
            pins(nexus.id()),
            nexus.server(vec![nexus.leaf.clone()]),
            "n"
        ))
        .contains("NoRoot")
    );
    let mut bytes = nexus.root.to_vec();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    let forged = vec![nexus.leaf.clone(), CertificateDer::from(bytes)];
    assert!(fault(dial(pins(nexus.id()), nexus.server(forged), "n")).contains("Root"));
    let long = [vec![nexus.leaf.clone()], vec![nexus.root.clone(); 6]].concat();
    assert!(fault(dial(pins(nexus.id()), nexus.server(long), "n")).contains("Chain"));
}

#[test]
fn a_root_is_no_server_and_a_leaf_signs_no_other() {
    let nexus = nexus(7, &["n"]);
    let slot = LeafSlot::new(
        vec![nexus.root.clone(), nexus.root.clone()],
        nexus.root_key.to_rustls().unwrap(),
    );
    assert!(dial(pins(nexus.id()), nexus_server(slot.unwrap()).unwrap(), "n").is_err());
    let second_key = CertKey::p256(&[55; 32]).unwrap();
    let names = Names::parse(["n"]).unwrap();
    let second = leaf(
        &nexus.leaf,
        &nexus.leaf_key,
        &second_key,
        &names,
        [3; 16],
        THEN,
    )
    .unwrap();
    let chain = vec![second, nexus.leaf.clone(), nexus.root.clone()];
    let slot = LeafSlot::new(chain, second_key.to_rustls().unwrap()).unwrap();
    assert!(dial(pins(nexus.id()), nexus_server(slot).unwrap(), "n").is_err());
}

#[test]
fn an_older_tls_is_not_spoken() {
    let nexus = nexus(7, &["n"]);
    let old = [&rustls::version::TLS12];
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&old)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(nexus.chain(), nexus.leaf_key.to_rustls().unwrap())
        .unwrap();
    assert!(dial(pins(nexus.id()), server, "n").is_err());
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&old)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(PinnedServer::new(pins(nexus.id())))
        .with_no_client_auth();
    assert!(shake(client, nexus.server(nexus.chain()), "n").is_err());
}

#[test]
fn nothing_is_resumed() {
    let nexus = nexus(7, &["n"]);
    let client = pinned_client(PinnedServer::new(pins(nexus.id()))).unwrap();
    let server = nexus.server(nexus.chain());
    for _ in 0..2 {
        let (c, s) = shake(client.clone(), server.clone(), "n").unwrap();
        assert_eq!(c.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(s.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(c.tls13_tickets_received(), 0);
    }
}

#[test]
fn a_ticket_that_another_server_gives_is_not_kept() {
    let nexus = nexus(7, &["n"]);
    let client = pinned_client(PinnedServer::new(pins(nexus.id()))).unwrap();
    let generous = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(nexus.chain(), nexus.leaf_key.to_rustls().unwrap())
        .unwrap();
    for _ in 0..2 {
        let (c, _) = shake(client.clone(), generous.clone(), "n").unwrap();
        assert_eq!(c.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn a_leaf_is_replaced_while_the_server_runs_and_must_fit_its_key() {
    let (nexus, other) = (nexus(7, &["n"]), nexus(8, &["n"]));
    let slot = LeafSlot::new(nexus.chain(), nexus.leaf_key.to_rustls().unwrap()).unwrap();
    let server = nexus_server(Arc::clone(&slot)).unwrap();
    assert!(
        slot.replace(other.chain(), other.root_key.to_rustls().unwrap())
            .is_err()
    );
    assert!(dial(pins(nexus.id()), server.clone(), "n").is_ok());
    slot.replace(other.chain(), other.leaf_key.to_rustls().unwrap())
        .unwrap();
    assert!(dial(pins(other.id()), server, "n").is_ok());
}

#[test]
fn an_ed25519_root_works_as_well() {
    let root_key = CertKey::ed25519(&[4; 32]);
    let root = root(&root_key, [1; 16], THEN).unwrap();
    let leaf_key = CertKey::ed25519(&[5; 32]);
    let leaf = leaf(
        &root,
        &root_key,
        &leaf_key,
        &Names::parse(["n"]).unwrap(),
        [2; 16],
        THEN,
    )
    .unwrap();
    let slot = LeafSlot::new(vec![leaf, root], leaf_key.to_rustls().unwrap()).unwrap();
    let pin = spki_pin(&root_key.spki().unwrap());
    assert!(dial(pins(pin), nexus_server(slot).unwrap(), "n").is_ok());
}

#[test]
fn keys_and_names_are_read_strictly() {
    for key in [CertKey::ed25519(&[4; 32]), CertKey::p256(&[4; 32]).unwrap()] {
        let again = CertKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        assert_eq!(again.spki().unwrap(), key.spki().unwrap());
        assert!(!format!("{key:?}").contains('4'));
    }
    assert!(
        CertKey::from_pkcs8(b"x").is_err()
            && CertKey::p256(&[0; 32]).is_err()
            && CertKey::p256(&[255; 32]).is_err()
    );
    for bad in ["", "a b", "h\u{fc}", "*", "a..b", "https://h"] {
        assert!(Names::parse([bad]).is_err(), "{bad}");
    }
    assert!(Names::parse([]).is_err());
    let backwards = Validity {
        not_before: THEN.not_after,
        not_after: THEN.not_before,
    };
    assert_eq!(
        root(&CertKey::ed25519(&[4; 32]), [1; 16], backwards),
        Err(CertFault::Validity)
    );
    let nexus = nexus(7, &["n"]);
    let wrong = leaf(
        &nexus.root,
        &nexus.leaf_key,
        &nexus.leaf_key,
        &Names::parse(["n"]).unwrap(),
        [2; 16],
        THEN,
    );
    assert!(wrong.is_err());
}

fn raw(key: &CertKey) -> [u8; 32] {
    key.spki().unwrap()[12..].try_into().unwrap()
}

#[test]
fn a_channel_stands_between_the_two_pinned_keys_only() {
    let (dpu, host, evil) = (
        CertKey::ed25519(&[1; 32]),
        CertKey::ed25519(&[2; 32]),
        CertKey::ed25519(&[3; 32]),
    );
    let server = |peers| channel_server(&host, peers).unwrap();
    let (client, seen) = shake(
        channel_client(&dpu, raw(&host)).unwrap(),
        server(vec![raw(&evil), raw(&dpu)]),
        "x",
    )
    .unwrap();
    assert_eq!(
        channel_peer(seen.peer_certificates().unwrap()),
        Some(raw(&dpu))
    );
    assert_eq!(
        channel_peer(client.peer_certificates().unwrap()),
        Some(raw(&host))
    );
    assert_eq!(
        client.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_3)
    );
    assert_eq!(
        (client.handshake_kind(), client.tls13_tickets_received()),
        (Some(rustls::HandshakeKind::Full), 0)
    );

    assert!(
        shake(
            channel_client(&evil, raw(&host)).unwrap(),
            server(vec![raw(&dpu)]),
            "x"
        )
        .is_err(),
        "a stranger calls"
    );
    assert!(
        shake(
            channel_client(&dpu, raw(&evil)).unwrap(),
            server(vec![raw(&dpu)]),
            "x"
        )
        .is_err(),
        "a stranger answers"
    );
    assert!(
        shake(
            channel_client(&dpu, raw(&host)).unwrap(),
            server(vec![]),
            "x"
        )
        .is_err(),
        "nobody is pinned"
    );
}

#[test]
fn a_channel_takes_no_client_without_a_certificate_and_none_that_borrows_one() {
    let (dpu, host, evil) = (
        CertKey::ed25519(&[1; 32]),
        CertKey::ed25519(&[2; 32]),
        CertKey::ed25519(&[3; 32]),
    );
    let bare = |config: rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>| {
        config
            .dangerous()
            .with_custom_certificate_verifier(PinnedServer::new(pins([0; 32])))
    };
    let builder = || {
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .unwrap()
    };
    assert!(
        shake(
            bare(builder()).with_no_client_auth(),
            channel_server(&host, vec![raw(&dpu)]).unwrap(),
            "x"
        )
        .is_err()
    );

    // The server's certificate is the host's, its key is not: the handshake signature must fail.
    #[derive(Debug)]
    struct Borrowed(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Borrowed {
        fn resolve(
            &self,
            _: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }
    let key = provider()
        .key_provider
        .load_private_key(evil.to_rustls().unwrap())
        .unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![channel_certificate(&host).unwrap()], key);
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Borrowed(Arc::new(certified))));
    let said = fault(shake(
        channel_client(&dpu, raw(&host)).unwrap(),
        server,
        "x",
    ));
    assert!(said.contains("BadSignature"), "{said}");
}

#[test]
fn a_channel_takes_no_client_that_borrows_a_certificate() {
    #[derive(Debug)]
    struct Borrowed(Arc<rustls::sign::CertifiedKey>);
    impl rustls::client::ResolvesClientCert for Borrowed {
        fn resolve(
            &self,
            _: &[&[u8]],
            _: &[rustls::SignatureScheme],
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
        fn has_certs(&self) -> bool {
            true
        }
    }
    let [dpu, host, evil] = [1, 2, 3].map(|seed| CertKey::ed25519(&[seed; 32]));
    let dial = |signer: &CertKey| {
        let mut client = channel_client(&dpu, raw(&host)).unwrap();
        let key = provider()
            .key_provider
            .load_private_key(signer.to_rustls().unwrap())
            .unwrap();
        let certificate = vec![channel_certificate(&dpu).unwrap()];
        client.client_auth_cert_resolver = Arc::new(Borrowed(Arc::new(
            rustls::sign::CertifiedKey::new(certificate, key),
        )));
        let server = channel_server(&host, vec![raw(&dpu)]).unwrap();
        shake(client, server, "x")
    };
    assert!(dial(&dpu).is_ok());
    let said = fault(dial(&evil));
    assert!(said.contains("BadSignature"), "{said}");
}

#[test]
fn a_channel_certificate_is_always_the_same_for_its_key() {
    let key = CertKey::ed25519(&[1; 32]);
    assert_eq!(
        channel_certificate(&key).unwrap(),
        channel_certificate(&key).unwrap()
    );
    assert_eq!(
        channel_certificate(&CertKey::p256(&[1; 32]).unwrap()),
        Err(CertFault::Key)
    );
}

/// Another reader of X.509 agrees that root and leaf are what they say.
#[test]
fn openssl_verifies_our_certificates() {
    let nexus = nexus(7, &["nexus.example", "127.0.0.1"]);
    let dir = std::env::temp_dir().join(format!("assay-tls-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for (file, certificate) in [("root.der", &nexus.root), ("leaf.der", &nexus.leaf)] {
        std::fs::write(dir.join(file), certificate).unwrap();
    }
    let run = |args: &[&str]| {
        std::process::Command::new("openssl")
            .current_dir(&dir)
            .args(args)
            .output()
            .unwrap()
    };
    for file in ["root", "leaf"] {
        let (from, to) = (format!("{file}.der"), format!("{file}.pem"));
        assert!(
            run(&["x509", "-inform", "DER", "-in", &from, "-out", &to])
                .status
                .success()
        );
    }
    let out = run(&[
        "verify",
        "-x509_strict",
        "-attime",
        "1500000",
        "-CAfile",
        "root.pem",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        "nexus.example",
        "leaf.pem",
    ]);
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&[out.stdout, out.stderr].concat())
    );
}

//! The channel between a DPU and its host: TLS 1.3, an Ed25519 key pinned on either side.
//!
//! Certificates are only the shell that TLS wants around a key. The handshake's signature is checked by the pinned key
//! itself, so nothing that a certificate says can matter.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

use crate::cert::{CertKey, channel_certificate};
use crate::server::without_resumption;
use crate::{VERSIONS, provider};

/// The SubjectPublicKeyInfo of an Ed25519 key up to its 32 bytes (RFC 8410, section 4).
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The listening end: takes clients that hold one of `peers` (raw Ed25519 public keys).
///
/// # Errors
/// Where `key` is not Ed25519.
pub fn channel_server(key: &CertKey, peers: Vec<[u8; 32]>) -> Result<ServerConfig, Error> {
    let (chain, private) = identity(key)?;
    let verifier = Arc::new(PinnedKeys {
        peers,
        provider: provider(),
    });
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_protocol_versions(VERSIONS)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, private)?;
    without_resumption(&mut config);
    Ok(config)
}

/// The dialling end: takes a server that holds `peer`. The server name given to rustls is not used.
///
/// # Errors
/// Where `key` is not Ed25519.
pub fn channel_client(key: &CertKey, peer: [u8; 32]) -> Result<ClientConfig, Error> {
    let (chain, private) = identity(key)?;
    let verifier = Arc::new(PinnedKeys {
        peers: vec![peer],
        provider: provider(),
    });
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_protocol_versions(VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(chain, private)?;
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(config)
}

/// The key of the other end, from the certificates that it sent, once the handshake is done.
#[must_use]
pub fn channel_peer(peer_certificates: &[CertificateDer<'_>]) -> Option<[u8; 32]> {
    key_in(peer_certificates.first()?)
}

fn identity(
    key: &CertKey,
) -> Result<
    (
        Vec<CertificateDer<'static>>,
        rustls::pki_types::PrivateKeyDer<'static>,
    ),
    Error,
> {
    let general = |e: crate::CertFault| Error::General(e.to_string());
    Ok((
        vec![channel_certificate(key).map_err(general)?],
        key.to_rustls().map_err(general)?,
    ))
}

fn key_in(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let spki = parsed.subject_public_key_info();
    spki.strip_prefix(&ED25519_SPKI)?.try_into().ok()
}

#[derive(Debug)]
struct PinnedKeys {
    peers: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl PinnedKeys {
    /// The pinned key that this certificate carries.
    fn pinned(&self, certificate: &CertificateDer<'_>) -> Result<[u8; 32], Error> {
        let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        key_in(certificate)
            .filter(|k| self.peers.contains(k))
            .ok_or(refused)
    }

    fn check(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = [ED25519_SPKI.as_slice(), &self.pinned(certificate)?].concat();
        let spki = SubjectPublicKeyInfoDer::from(spki);
        verify_tls13_signature_with_raw_key(
            message,
            &spki,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }
}

const NOT_1_2: &str = "TLS 1.2 is not spoken here";

impl ServerCertVerifier for PinnedKeys {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.pinned(end_entity)
            .map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General(NOT_1_2.to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for PinnedKeys {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.pinned(end_entity)
            .map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General(NOT_1_2.to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

//! How a client knows the nexus: by the key of the root that the connection's chain ends in.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use der::{Decode, Encode};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;

use crate::{VERSIONS, provider, spki_pin};

/// The longest chain that is looked at, the root counted.
const MAX_CHAIN: usize = 5;
/// The longest certificate that is looked at, in bytes.
const MAX_CERTIFICATE: usize = 16 * 1024;
/// How many leaves are remembered with their roots: far more than one server has at a time.
const REMEMBERED: usize = 16;

/// The nexus id: SHA-256 of the SubjectPublicKeyInfo of the root that a connection's chain ends in. Never a stated value.
pub type NexusId = [u8; 32];

/// Which roots are good: the current one, and its successor where one was announced under the current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pins {
    /// SHA-256 of the current root's SubjectPublicKeyInfo.
    pub current: NexusId,
    /// The same of the next root.
    pub next: Option<NexusId>,
}

impl Pins {
    fn contain(&self, id: &NexusId) -> bool {
        self.current == *id || self.next.as_ref() == Some(id)
    }
}

/// Why a server is not the nexus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinFault {
    /// The chain is too long, or a certificate is too large or unreadable.
    #[error("the server's certificate chain can't be read")]
    Chain,
    /// The server did not send its root.
    #[error("the server did not send its root certificate after its own")]
    NoRoot,
    /// The chain ends in another root.
    #[error(
        "the server is not the pinned one: its root key is another; if the nexus was set up anew, pin it again by hand"
    )]
    OtherRoot,
    /// The root is not signed by its own key.
    #[error("the server's root certificate is not signed by its own key")]
    Root,
}

impl PinFault {
    /// The name that machines may rely on.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Chain => "tls.chain",
            Self::NoRoot => "tls.no_root",
            Self::OtherRoot => "tls.other_root",
            Self::Root => "tls.root",
        }
    }
}

impl From<PinFault> for Error {
    fn from(fault: PinFault) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(fault))))
    }
}

/// The verifier: the chain's signatures lead to a sent root, whose key is pinned; the name is checked; dates are compared
/// with each other, never with a clock.
pub struct PinnedServer {
    pins: Pins,
    provider: Arc<CryptoProvider>,
    roots: Mutex<VecDeque<([u8; 32], NexusId)>>,
}

impl PinnedServer {
    /// A verifier for these pins.
    #[must_use]
    pub fn new(pins: Pins) -> Arc<Self> {
        Arc::new(Self {
            pins,
            provider: provider(),
            roots: Mutex::new(VecDeque::new()),
        })
    }

    /// The root under which this leaf was last verified: for callers that see no more of a connection than its leaf.
    #[must_use]
    pub fn root_of_leaf(&self, leaf_der: &[u8]) -> Option<NexusId> {
        let leaf: [u8; 32] = Sha256::digest(leaf_der).into();
        let roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        roots
            .iter()
            .find(|(l, _)| *l == leaf)
            .map(|(_, root)| *root)
    }

    fn remember(&self, leaf_der: &[u8], root: NexusId) {
        let leaf: [u8; 32] = Sha256::digest(leaf_der).into();
        let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        roots.retain(|(l, _)| *l != leaf);
        roots.push_front((leaf, root));
        roots.truncate(REMEMBERED);
    }
}

impl fmt::Debug for PinnedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedServer")
            .field("pins", &self.pins)
            .finish_non_exhaustive()
    }
}

/// The nexus id of a connection, from the certificates that its peer sent (`peer_certificates()` of rustls), once the
/// handshake with a [`PinnedServer`] is done.
///
/// # Errors
/// [`PinFault::Chain`], [`PinFault::NoRoot`].
pub fn root_of_chain(peer_certificates: &[CertificateDer<'_>]) -> Result<NexusId, PinFault> {
    let (_, rest) = peer_certificates.split_first().ok_or(PinFault::Chain)?;
    pin_of(rest.last().ok_or(PinFault::NoRoot)?)
}

/// A client configuration that talks to the pinned nexus only. ALPN is left to the caller.
///
/// # Errors
/// What rustls says of its own provider.
pub fn pinned_client(verifier: Arc<PinnedServer>) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_protocol_versions(VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // A resumed session would not be verified again.
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (root, between) = intermediates.split_last().ok_or(PinFault::NoRoot)?;
        let too_long = |c: &CertificateDer<'_>| c.len() > MAX_CERTIFICATE;
        if intermediates.len() >= MAX_CHAIN
            || too_long(end_entity)
            || intermediates.iter().any(too_long)
        {
            return Err(PinFault::Chain.into());
        }
        let id = pin_of(root)?;
        if !self.pins.contain(&id) {
            return Err(PinFault::OtherRoot.into());
        }
        let algorithms = self.provider.signature_verification_algorithms;
        // Else anybody could present the pinned key in a root without its name constraints.
        check_self_signed(root, algorithms.all)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(root.as_ref()))?;
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let moment = common_moment(std::iter::once(end_entity).chain(between))?;
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, between, moment, algorithms.all)?;
        verify_server_name(&leaf, server_name)?;
        self.remember(end_entity, id);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The pin of a certificate's key, cut out by the parser that verifies chains, so that there is one reading of it.
fn pin_of(certificate: &CertificateDer<'_>) -> Result<NexusId, PinFault> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(|_| PinFault::Chain)?;
    Ok(spki_pin(&parsed.subject_public_key_info()))
}

/// The last beginning of validity in the chain: if the certificates were ever good together, they were good then.
fn common_moment<'a, 'b: 'a>(
    chain: impl Iterator<Item = &'a CertificateDer<'b>>,
) -> Result<UnixTime, PinFault> {
    let mut latest = std::time::Duration::ZERO;
    for certificate in chain {
        let parsed = Certificate::from_der(certificate).map_err(|_| PinFault::Chain)?;
        latest = latest.max(
            parsed
                .tbs_certificate()
                .validity()
                .not_before
                .to_unix_duration(),
        );
    }
    Ok(UnixTime::since_unix_epoch(latest))
}

fn check_self_signed(
    root: &CertificateDer<'_>,
    algorithms: &[&dyn rustls::pki_types::SignatureVerificationAlgorithm],
) -> Result<(), PinFault> {
    let parsed = Certificate::from_der(root).map_err(|_| PinFault::Chain)?;
    let tbs = parsed.tbs_certificate();
    let message = tbs.to_der().map_err(|_| PinFault::Chain)?;
    let spki = tbs.subject_public_key_info();
    let key = spki.subject_public_key.as_bytes().ok_or(PinFault::Chain)?;
    let signature = parsed.signature().as_bytes().ok_or(PinFault::Chain)?;
    // webpki writes an AlgorithmIdentifier without its outer tag and length.
    let contents = |id: &spki::AlgorithmIdentifierOwned| {
        let mut out = id.oid.to_der()?;
        if let Some(parameters) = &id.parameters {
            out.extend(parameters.to_der()?);
        }
        der::Result::Ok(out)
    };
    let of_key = contents(&spki.algorithm).map_err(|_| PinFault::Chain)?;
    let of_signature = contents(parsed.signature_algorithm()).map_err(|_| PinFault::Chain)?;
    let fits = algorithms.iter().filter(|a| {
        a.public_key_alg_id().as_ref() == of_key && a.signature_alg_id().as_ref() == of_signature
    });
    for algorithm in fits {
        if algorithm.verify_signature(key, &message, signature).is_ok() {
            return Ok(());
        }
    }
    Err(PinFault::Root)
}

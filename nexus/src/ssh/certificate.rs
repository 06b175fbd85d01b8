//! OpenSSH certificates (PROTOCOL.certkeys), made with `ssh-key` and nothing looser than it need be: principals are never
//! empty, a user certificate gets a terminal and nothing else, a host certificate gets no extension at all.

use assay_attest::key::PublicKey as Public;
use ssh_key::certificate::{Builder, CertType};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{Algorithm, EcdsaCurve, PublicKey, Signature};

use crate::keys::Signer;

/// Why a certificate can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateFault {
    /// Not an OpenSSH public key line.
    #[error("the public key is not an OpenSSH public key line")]
    NotAKey,
    /// A kind of key that is not signed.
    #[error("keys of kind `{0}` are not signed: use ed25519 or ecdsa-sha2-nistp256")]
    KeyKind(String),
    /// No principals: such a certificate would open every account (CVE-2024-7594).
    #[error("a certificate needs at least one principal")]
    NoPrincipals,
    /// The encoder refused.
    #[error("the certificate can't be encoded: {0}")]
    Encode(String),
}

/// Options of a user certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserOptions {
    /// A person's: a terminal, nothing forwarded.
    Interactive,
    /// The trial login's: one command that does nothing, from this machine only.
    Trial,
}

/// What goes into a certificate, but for its key and its signer.
#[derive(Clone, Debug)]
pub(crate) struct Template<'a> {
    /// Unique in the CA.
    pub(crate) serial: u64,
    /// Shown by sshd in its log.
    pub(crate) key_id: &'a str,
    /// At least one.
    pub(crate) principals: &'a [String],
    /// Seconds since the epoch.
    pub(crate) valid_after: u64,
    /// Seconds since the epoch.
    pub(crate) valid_before: u64,
}

/// Reads a public key that may be certified: Ed25519 or ECDSA P-256.
pub(crate) fn read_public_key(line: &str) -> Result<PublicKey, CertificateFault> {
    let key = PublicKey::from_openssh(line.trim()).map_err(|_| CertificateFault::NotAKey)?;
    match key.algorithm() {
        Algorithm::Ed25519
        | Algorithm::Ecdsa {
            curve: EcdsaCurve::NistP256,
        } => Ok(key),
        other => Err(CertificateFault::KeyKind(other.as_str().to_owned())),
    }
}

/// Signs a user certificate and gives its line. `nonce` is 32 fresh random bytes.
pub(crate) fn user(
    signer: &dyn Signer,
    key: &KeyData,
    t: &Template<'_>,
    options: &UserOptions,
    nonce: [u8; 32],
) -> Result<String, CertificateFault> {
    let mut builder = builder(key, t, CertType::User, nonce)?;
    match options {
        UserOptions::Interactive => {
            builder.extension("permit-pty", "").map_err(encode)?;
        }
        UserOptions::Trial => {
            builder
                .critical_option("force-command", "/bin/true")
                .map_err(encode)?;
            builder
                .critical_option("source-address", "127.0.0.1/32,::1/128")
                .map_err(encode)?;
        }
    }
    finish(builder, signer)
}

/// Signs a host certificate and gives its line. `nonce` is 32 fresh random bytes.
pub(crate) fn host(
    signer: &dyn Signer,
    key: &KeyData,
    t: &Template<'_>,
    nonce: [u8; 32],
) -> Result<String, CertificateFault> {
    finish(builder(key, t, CertType::Host, nonce)?, signer)
}

/// The public key line of an Ed25519 CA key.
pub(crate) fn ca_public_line(public: &[u8; 32], comment: &str) -> Result<String, CertificateFault> {
    PublicKey::new(KeyData::Ed25519(Ed25519PublicKey(*public)), comment)
        .to_openssh()
        .map_err(encode)
}

fn builder(
    key: &KeyData,
    t: &Template<'_>,
    kind: CertType,
    nonce: [u8; 32],
) -> Result<Builder, CertificateFault> {
    if t.principals.is_empty() || t.principals.iter().any(String::is_empty) {
        return Err(CertificateFault::NoPrincipals);
    }
    let mut b =
        Builder::new(nonce.to_vec(), key.clone(), t.valid_after, t.valid_before).map_err(encode)?;
    b.serial(t.serial).map_err(encode)?;
    b.cert_type(kind).map_err(encode)?;
    b.key_id(t.key_id).map_err(encode)?;
    for p in t.principals {
        b.valid_principal(p.as_str()).map_err(encode)?;
    }
    Ok(b)
}

fn finish(builder: Builder, signer: &dyn Signer) -> Result<String, CertificateFault> {
    let Public::Ed25519(public) = signer.public() else {
        return Err(CertificateFault::Encode(
            "an SSH CA key is Ed25519".to_owned(),
        ));
    };
    let signer = CaSigner {
        signer,
        public: *public,
    };
    builder
        .sign(&signer)
        .map_err(encode)?
        .to_openssh()
        .map_err(encode)
}

/// A signer, as `ssh-key` wants one.
struct CaSigner<'a> {
    signer: &'a dyn Signer,
    public: [u8; 32],
}

impl signature::Signer<Signature> for CaSigner<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        let raw = self
            .signer
            .sign(message)
            .map_err(|_| signature::Error::new())?;
        Signature::new(Algorithm::Ed25519, raw.to_vec()).map_err(|_| signature::Error::new())
    }
}

impl From<&CaSigner<'_>> for KeyData {
    fn from(signer: &CaSigner<'_>) -> Self {
        Self::Ed25519(Ed25519PublicKey(signer.public))
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err takes"
)]
fn encode(e: ssh_key::Error) -> CertificateFault {
    CertificateFault::Encode(e.to_string())
}

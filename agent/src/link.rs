//! The connection to the nexus: a typed client whose proofs the roots of trust sign.

use crate::boot::Boot;
use crate::source::roots::Roots;
use assay_api::htu::Htu;
use assay_api::jose::Jwk;
use assay_api::signer::{RequestSigner, SignFailed};
use assay_attest::key::PublicKey;
use assay_attest::time::Timestamp;
use assay_client::{CallError, Client, LocalClock, Settings};
use assay_tls::Pins;
use std::sync::Arc;

/// The request key, wherever it is.
#[derive(Debug)]
struct Signer {
    roots: Roots,
    jwk: Jwk,
    kid: Option<String>,
}

impl RequestSigner for Signer {
    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFailed> {
        self.roots
            .sign(message)
            .map_err(|error| SignFailed(error.to_string()))
    }
}

/// Time since boot stands in for a clock: the client takes the difference to the nexus's time out, and nobody can set this
/// one. A DPU may boot in 1970.
#[derive(Clone, Copy, Debug)]
struct BootClock;

impl LocalClock for BootClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(Boot::now().map_or(0, Boot::as_millis))
    }
}

/// A client of the nexus behind these pins. `kid` is absent before enrolment.
///
/// # Errors
/// [`CallError::Setup`].
pub fn client(
    url: Htu,
    pins: Pins,
    roots: &Roots,
    kid: Option<String>,
) -> Result<Arc<Client>, CallError> {
    let key = |_no_request_key| CallError::Setup("the request key is of no usable kind".into());
    let jwk = match roots.request_key().key() {
        PublicKey::Ed25519(public) => Jwk::ed25519(*public),
        PublicKey::P256(point) => Jwk::p256(point).map_err(key)?,
        PublicKey::P384(_) | PublicKey::P521(_) | PublicKey::Rsa { .. } => {
            return Err(CallError::Setup(
                "the request key is of no usable kind".into(),
            ));
        }
    };
    let signer = Signer {
        roots: roots.clone(),
        jwk,
        kid,
    };
    let mut settings = Settings::new(url, pins, Some(Arc::new(signer)));
    settings.clock = Arc::new(BootClock);
    settings.user_agent = concat!("assay-agent/", env!("CARGO_PKG_VERSION")).to_owned();
    Client::new(settings).map(Arc::new)
}

//! People: admins and operators with a key in memory, and typed calls.

use std::future::Future;
use std::sync::{Arc, LazyLock};

use assay_api::join::challenge_bytes;
use assay_api::routes::{Endpoint, call};
use assay_api::signer::{Ed25519Signer, RequestSigner};
use assay_api::token::Token;
use assay_api::types::*;
use assay_client::{CallError, Client, Extra, RawAnswer, RawRequest, Settings};
use assay_tls::Pins;
use zeroize::Zeroizing;

use crate::nexus::Nexus;

/// Runs a future to its end, on a runtime that all tests share.
///
/// # Panics
/// Where there can be no runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    });
    RUNTIME.block_on(future)
}

/// 32 random bytes.
///
/// # Panics
/// Where there are none.
#[must_use]
pub fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// A key for an idempotent call.
#[must_use]
pub fn idempotency_key() -> String {
    random()
        .iter()
        .take(16)
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// A person who has joined.
#[derive(Debug)]
pub struct Person {
    /// Calls with this person's proofs.
    pub client: Client,
    /// What joining gave.
    pub joined: Joined,
    seed: [u8; 32],
}

impl Person {
    /// Joins with a token, and a name where the token does not fix it.
    ///
    /// # Errors
    /// What the nexus refuses.
    pub fn join(nexus: &Nexus, token: &str, name: Option<&str>) -> Result<Self, CallError> {
        Self::join_with(nexus, token, name, random())
    }

    /// The same, with this key.
    ///
    /// # Errors
    /// What the nexus refuses.
    ///
    /// # Panics
    /// Where the token is none.
    pub fn join_with(
        nexus: &Nexus,
        token: &str,
        name: Option<&str>,
        seed: [u8; 32],
    ) -> Result<Self, CallError> {
        let token = Token::parse_any(token).unwrap();
        let secret = || SecretB64(Zeroizing::new(token.secret().to_vec()));
        let client = client(nexus, &seed, None);
        let begun =
            block_on(client.call::<call::begin_join>(None, &JoinBegin { secret: secret() }))?;
        let signer = Ed25519Signer::from_seed(&seed, None);
        let bytes = challenge_bytes(
            &begun.body.purpose,
            &begun.nexus_id,
            &begun.body.challenge.0,
            signer.jwk().thumbprint().as_bytes(),
        );
        let complete = JoinComplete {
            challenge_id: begun.body.challenge_id,
            secret: secret(),
            signature: B64(signer.sign(&bytes).unwrap().to_vec()),
            name: name.map(str::to_owned),
            label: None,
        };
        let joined = block_on(client.call::<call::complete_join>(None, &complete))?.body;
        Ok(Self {
            client: self::client(nexus, &seed, Some(&joined.key_id.to_string())),
            joined,
            seed,
        })
    }

    /// The same person at another nexus, or again at this one after a restart.
    #[must_use]
    pub fn at(&self, nexus: &Nexus) -> Client {
        client(nexus, &self.seed, Some(&self.joined.key_id.to_string()))
    }

    /// A signer with this person's key.
    #[must_use]
    pub fn signer(&self) -> Ed25519Signer {
        Ed25519Signer::from_seed(&self.seed, Some(self.joined.key_id.to_string()))
    }

    /// Calls a route.
    ///
    /// # Errors
    /// What the nexus refuses.
    pub fn call<E: Endpoint>(
        &self,
        id: Option<&str>,
        request: &E::Request,
    ) -> Result<E::Response, CallError> {
        block_on(self.client.call::<E>(id, request)).map(|answer| answer.body)
    }

    /// Calls a route and takes no refusal.
    ///
    /// # Panics
    /// Where it is refused.
    #[track_caller]
    pub fn must<E: Endpoint>(&self, id: Option<&str>, request: &E::Request) -> E::Response {
        self.call::<E>(id, request)
            .unwrap_or_else(|e| panic!("{}: {} {e}", E::ROUTE.name, e.code()))
    }

    /// Calls a route that must be refused; gives status and code.
    ///
    /// # Panics
    /// Where it is not refused.
    #[track_caller]
    pub fn refused<E: Endpoint>(&self, id: Option<&str>, request: &E::Request) -> (u16, String) {
        match self.call::<E>(id, request) {
            Ok(_) => panic!("{} was not refused", E::ROUTE.name),
            Err(e) => (e.status().unwrap_or(0), e.code().to_owned()),
        }
    }

    /// Calls a route with the force bypass.
    ///
    /// # Errors
    /// What the nexus refuses.
    pub fn bypass<E: Endpoint>(
        &self,
        id: Option<&str>,
        request: &E::Request,
        reason: &str,
    ) -> Result<E::Response, CallError> {
        let extra = Extra {
            bypass: Some(reason),
            ..Extra::default()
        };
        block_on(self.client.call_with::<E>(id, request, extra)).map(|answer| answer.body)
    }

    /// Sends a request as it is.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn send(&self, request: &RawRequest) -> Result<RawAnswer, CallError> {
        block_on(self.client.send(request))
    }
}

/// A client with an Ed25519 key; without `kid` its proofs carry the key itself.
///
/// # Panics
/// Where TLS can't be set up.
#[must_use]
pub fn client(nexus: &Nexus, seed: &[u8; 32], kid: Option<&str>) -> Client {
    let pins = Pins {
        current: nexus.pin(),
        next: None,
    };
    let signer: Arc<dyn RequestSigner> =
        Arc::new(Ed25519Signer::from_seed(seed, kid.map(str::to_owned)));
    Client::new(Settings::new(nexus.url().clone(), pins, Some(signer))).unwrap()
}

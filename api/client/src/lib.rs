//! The client of the nexus: pinned TLS, a proof on every request, one typed call for every route of the table.
//!
//! ```no_run
//! # async fn example(client: assay_client::Client) -> Result<(), assay_client::CallError> {
//! use assay_api::{routes::call, types::InTenant};
//! let dpus = client.call::<call::list_dpus>(None, &InTenant::default()).await?.body;
//! # Ok(()) }
//! ```
//! Redirects and proxies are off, answers are bounded, and the time of proofs is the server's, not this machine's.
#![forbid(unsafe_code)]

mod answer;
mod clock;
mod error;
mod query;
mod send;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay_api::htu::Htu;
use assay_api::routes::{Does, Endpoint, Route};
use assay_api::signer::RequestSigner;
use assay_tls::{NexusId, PinnedServer, Pins};
use serde::Serialize;

pub use answer::{Answer, RawAnswer};
pub use clock::{LocalClock, SystemClock};
pub use error::CallError;
pub use send::RawRequest;

/// What a client is made of.
pub struct Settings {
    /// The nexus's URL, https; a path before `/v1` is kept.
    pub url: Htu,
    /// Its roots.
    pub pins: Pins,
    /// Who signs; without one only open routes can be called.
    pub signer: Option<Arc<dyn RequestSigner>>,
    /// This machine's clock, for measuring from; its error is taken out with the first answer.
    pub clock: Arc<dyn LocalClock>,
    /// `User-Agent`: program and version.
    pub user_agent: String,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long a call may take from end to end, not counting what it asks the server to wait.
    pub timeout: Duration,
    /// The most that an answer may hold, in bytes.
    pub max_answer: usize,
}

impl Settings {
    /// Usual ones: 5 s to connect, 30 s for a call, 8 MiB for an answer, the system's clock.
    #[must_use]
    pub fn new(url: Htu, pins: Pins, signer: Option<Arc<dyn RequestSigner>>) -> Self {
        Self {
            url,
            pins,
            signer,
            clock: Arc::new(SystemClock),
            user_agent: concat!("assay-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            max_answer: 8 * 1024 * 1024,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("url", &self.url)
            .field("pins", &self.pins)
            .finish_non_exhaustive()
    }
}

/// What one call may carry beside its request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra<'a> {
    /// The reason of a force bypass (`X-Force-Bypass`), 10 to 512 characters.
    pub bypass: Option<&'a str>,
    /// How long the request asks the server to wait: added to the timeout.
    pub wait: Duration,
}

/// A client of one nexus. Cheap to share behind an `Arc`; connections are kept and reused.
pub struct Client {
    http: reqwest::Client,
    verifier: Arc<PinnedServer>,
    settings: Settings,
    state: Mutex<send::State>,
}

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// [`CallError::Setup`] for an http URL, or where TLS can't be set up.
    pub fn new(settings: Settings) -> Result<Self, CallError> {
        if !settings.url.is_https() {
            return Err(CallError::Setup(format!(
                "`{}` is not an https url",
                settings.url
            )));
        }
        let verifier = PinnedServer::new(settings.pins);
        let setup = |e: &dyn std::fmt::Display| CallError::Setup(e.to_string());
        let mut tls = assay_tls::pinned_client(Arc::clone(&verifier)).map_err(|e| setup(&e))?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .tls_info(true)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(settings.user_agent.as_str())
            .connect_timeout(settings.connect_timeout)
            .tcp_nodelay(true)
            .build()
            .map_err(|e| setup(&e))?;
        Ok(Self {
            http,
            verifier,
            settings,
            state: Mutex::default(),
        })
    }

    /// Calls a route. `id` fills the `{id}` of its path, where it has one.
    ///
    /// # Errors
    /// [`CallError`]; a refusal by the nexus is [`CallError::Refused`] with its problem.
    pub async fn call<E: Endpoint>(
        &self,
        id: Option<&str>,
        request: &E::Request,
    ) -> Result<Answer<E::Response>, CallError> {
        self.call_with::<E>(id, request, Extra::default()).await
    }

    /// The same, with a bypass reason or a longer wait.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn call_with<E: Endpoint>(
        &self,
        id: Option<&str>,
        request: &E::Request,
        extra: Extra<'_>,
    ) -> Result<Answer<E::Response>, CallError> {
        let raw = raw_request(E::ROUTE, id, request, extra)?;
        self.send(&raw).await?.into_typed()
    }

    /// The nexus's URL.
    #[must_use]
    pub const fn url(&self) -> &Htu {
        &self.settings.url
    }

    /// The roots that this client takes.
    #[must_use]
    pub const fn pins(&self) -> Pins {
        self.settings.pins
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The request on the wire for a row of the table.
fn raw_request(
    route: &'static Route,
    id: Option<&str>,
    request: &impl Serialize,
    extra: Extra<'_>,
) -> Result<RawRequest, CallError> {
    let setup = |why: String| CallError::Setup(format!("{}: {why}", route.name));
    let path = match (route.path.contains("{id}"), id) {
        (false, None) => route.path.to_owned(),
        (true, Some(id)) if is_plain(id) => route.path_with(id),
        (true, Some(id)) => return Err(setup(format!("`{id}` is no id or name"))),
        (true, None) => return Err(setup("it needs an id".to_owned())),
        (false, Some(_)) => return Err(setup("it takes no id".to_owned())),
    };
    let reads = route.method == "GET";
    Ok(RawRequest {
        method: route.method,
        path,
        query: if reads {
            query::encode(request).map_err(setup)?
        } else {
            String::new()
        },
        body: if reads {
            Vec::new()
        } else {
            serde_json::to_vec(request).map_err(|e| setup(e.to_string()))?
        },
        with_proof: !route.is_open(),
        with_digest: matches!(route.does, Does::Change | Does::Release),
        bypass: extra.bypass.map(str::to_owned),
        wait: extra.wait,
    })
}

/// Ids and names need no escape in a path.
fn is_plain(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    !id.is_empty() && id.len() <= 128 && id.bytes().all(plain) && id != "." && id != ".."
}

#[cfg(test)]
mod tests;

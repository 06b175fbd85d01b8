//! One request on the wire: proof, headers, timeout, bounded answer, and at most one repetition.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use assay_api::dpop::{self, request_digest};
use assay_api::htu::Htu;
use assay_api::signer::{RequestSigner, SignFailed};
use assay_attest::time::Timestamp;
use http::header::{CONTENT_TYPE, DATE};
use reqwest::tls::TlsInfo;

use crate::clock::{Offset, parse_date};
use crate::{CallError, Client, RawAnswer};

/// A request before it is signed.
#[derive(Clone, Debug)]
pub struct RawRequest {
    /// Method.
    pub method: &'static str,
    /// Path, from `/` on, without escapes.
    pub path: String,
    /// Query, escaped, without `?`.
    pub query: String,
    /// Body; JSON where not empty.
    pub body: Vec<u8>,
    /// Whether it carries a DPoP proof.
    pub with_proof: bool,
    /// Whether the proof covers query, body and bypass reason.
    pub with_digest: bool,
    /// The reason of a force bypass.
    pub bypass: Option<String>,
    /// How long the server may wait before it answers.
    pub wait: Duration,
}

/// What is learned from answers.
#[derive(Debug, Default)]
pub(crate) struct State {
    offset: Option<Offset>,
    nonce: Option<String>,
}

/// Refusals after which a request is worth sending once more, with a new proof.
enum Again {
    /// The proof's time was wrong: the `Date` of the refusal tells by how much.
    Time,
    /// A nonce was wanted, and has come with the refusal.
    Nonce,
    /// The nexus has just started and takes only proofs that are newer: in a moment they are.
    Later,
}

/// Proofs count whole seconds, and clocks within [`crate::clock`]'s tolerance are left alone.
const MOMENT: Duration = Duration::from_millis(1100);
/// How often a moment is waited for.
const MOMENTS: usize = 3;

impl Client {
    /// Sends a request as it is, and gives the answer whatever its status. Repeats it once where the nexus wants another
    /// time or nonce in the proof, and a moment later where it has only just started; such a refusal changed nothing.
    ///
    /// # Errors
    /// [`CallError`], but never `Refused`.
    pub async fn send(&self, request: &RawRequest) -> Result<RawAnswer, CallError> {
        if request.with_proof && self.state(|s| s.offset).is_none() {
            self.learn_time().await?;
        }
        let answer = self.send_once(request).await?;
        match again(&answer) {
            Some(_) if !request.with_proof => Ok(answer),
            Some(Again::Time) => {
                self.state(|s| s.offset = None);
                self.take_time(&answer);
                self.send_once(request).await
            }
            Some(Again::Nonce) => self.send_once(request).await,
            Some(Again::Later) => self.send_later(request, answer).await,
            None => Ok(answer),
        }
    }

    async fn send_later(
        &self,
        request: &RawRequest,
        mut answer: RawAnswer,
    ) -> Result<RawAnswer, CallError> {
        for _ in 0..MOMENTS {
            if !matches!(again(&answer), Some(Again::Later)) {
                break;
            }
            tokio::time::sleep(MOMENT).await;
            answer = self.send_once(request).await?;
        }
        Ok(answer)
    }

    /// Before the first proof: the time of an answer over the pinned connection (design section 1).
    async fn learn_time(&self) -> Result<(), CallError> {
        let request = RawRequest {
            method: "GET",
            path: "/health".to_owned(),
            query: String::new(),
            body: Vec::new(),
            with_proof: false,
            with_digest: false,
            bypass: None,
            wait: Duration::ZERO,
        };
        self.send_once(&request).await.map(|_| ())
    }

    fn take_time(&self, answer: &RawAnswer) {
        let local = self.settings.clock.now();
        if let Some(server) = answer.date {
            self.state(|s| s.offset.get_or_insert(Offset::of(local, server)).to_owned());
        }
    }

    async fn send_once(&self, request: &RawRequest) -> Result<RawAnswer, CallError> {
        let target = self
            .settings
            .url
            .join(&request.path)
            .map_err(|e| CallError::Setup(e.to_string()))?;
        let mut url = target.to_string();
        if !request.query.is_empty() {
            url.push('?');
            url.push_str(&request.query);
        }
        let method = http::Method::from_bytes(request.method.as_bytes())
            .map_err(|e| CallError::Setup(e.to_string()))?;
        let timeout = self.settings.timeout.saturating_add(request.wait);
        let mut call = self.http.request(method, url).timeout(timeout);
        if request.with_proof {
            call = call.header(dpop::HEADER, self.prove(request, target).await?);
        }
        if let Some(reason) = &request.bypass {
            let value = http::HeaderValue::from_str(reason);
            let value = value.map_err(|_| {
                CallError::Setup("a bypass reason holds ASCII characters only".to_owned())
            })?;
            call = call.header(dpop::BYPASS_HEADER, value);
        }
        if !request.body.is_empty() {
            call = call
                .header(CONTENT_TYPE, "application/json")
                .body(request.body.clone());
        }
        let answer = self.read(call.send().await?).await?;
        self.take_time(&answer);
        Ok(answer)
    }

    async fn prove(&self, request: &RawRequest, target: Htu) -> Result<String, CallError> {
        let signer = self.settings.signer.as_ref().map(Arc::clone);
        let signer = signer.ok_or_else(|| {
            CallError::Setup("this call needs a key, and there is none".to_owned())
        })?;
        let mut jti = [0; 16];
        getrandom::fill(&mut jti)
            .map_err(|e| CallError::Setup(format!("no random numbers: {e}")))?;
        let digest = request
            .with_digest
            .then(|| request_digest(&request.query, &request.body, request.bypass.as_deref()));
        let (now, nonce) = self.state(|s| (s.offset, s.nonce.clone()));
        let now = now.map_or_else(
            || self.settings.clock.now(),
            |o| o.correct(self.settings.clock.now()),
        );
        let method = request.method;
        // A TPM takes its time.
        let proof = tokio::task::spawn_blocking(move || {
            prove(&*signer, method, &target, now, jti, digest, nonce)
        });
        Ok(proof.await.map_err(|e| SignFailed(e.to_string()))??)
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<RawAnswer, CallError> {
        let limit = self.settings.max_answer;
        let header =
            |name: http::HeaderName| response.headers().get(name).and_then(|v| v.to_str().ok());
        let content_type = header(CONTENT_TYPE).unwrap_or_default();
        let content_type = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let date = header(DATE).and_then(parse_date);
        let nonce = response
            .headers()
            .get(dpop::NONCE_HEADER)
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned);
        if let Some(nonce) = nonce.filter(|n| n.len() <= 256) {
            self.state(|s| s.nonce = Some(nonce));
        }
        let leaf = response
            .extensions()
            .get::<TlsInfo>()
            .and_then(TlsInfo::peer_certificate);
        let nexus_id = leaf.and_then(|leaf| self.verifier.root_of_leaf(leaf));
        let nexus_id = nexus_id
            .ok_or_else(|| CallError::Tls("the connection's root is not known".to_owned()))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(CallError::TooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(RawAnswer {
            status,
            content_type,
            body,
            nexus_id,
            date,
        })
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn prove(
    signer: &dyn RequestSigner,
    method: &str,
    target: &Htu,
    now: Timestamp,
    jti: [u8; 16],
    digest: Option<[u8; 32]>,
    nonce: Option<String>,
) -> Result<String, SignFailed> {
    dpop::prove(
        signer,
        &dpop::Request {
            method,
            target,
            now,
            jti,
            digest,
            nonce: nonce.as_deref(),
            token: None,
        },
    )
}

fn again(answer: &RawAnswer) -> Option<Again> {
    match answer.problem()?.code.as_str() {
        "dpop.time" => Some(Again::Time),
        "dpop.nonce" => Some(Again::Nonce),
        "dpop.before_start" => Some(Again::Later),
        _ => None,
    }
}

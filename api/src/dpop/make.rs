//! The client's side: a proof for one request.

use assay_attest::time::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::htu::Htu;
use crate::jose::{Jwk, build, encode};
use crate::signer::{RequestSigner, SignFailed};

/// What a proof is made for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The URL; query and fragment are no part of it.
    pub target: &'a Htu,
    /// The time: the server's, as far as it is known.
    pub now: Timestamp,
    /// 16 fresh random bytes.
    pub jti: [u8; 16],
    /// What [`super::request_digest`] gives, for routes that release or change.
    pub digest: Option<[u8; 32]>,
    /// The newest nonce that the server gave.
    pub nonce: Option<&'a str>,
    /// The access token that goes with the request.
    pub token: Option<&'a str>,
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'static str,
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwk: Option<&'a Jwk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    jti: String,
    htm: &'a str,
    htu: &'a str,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assay_dig: Option<String>,
}

/// Makes the value of the `DPoP` header. It names the key where the key has a name, else it carries the key.
///
/// # Errors
/// [`SignFailed`].
pub fn prove(signer: &dyn RequestSigner, request: &Request<'_>) -> Result<String, SignFailed> {
    let kid = signer.kid();
    let header = Header {
        typ: "dpop+jwt",
        alg: signer.jwk().alg().name(),
        jwk: if kid.is_none() {
            Some(signer.jwk())
        } else {
            None
        },
        kid,
    };
    let claims = Claims {
        jti: encode(&request.jti),
        htm: request.method,
        htu: request.target.as_str(),
        iat: request.now.as_secs(),
        ath: request.token.map(|t| encode(&Sha256::digest(t))),
        nonce: request.nonce,
        assay_dig: request.digest.map(|d| encode(&d)),
    };
    let json = |e: serde_json::Error| SignFailed(e.to_string());
    let header = serde_json::to_vec(&header).map_err(json)?;
    let claims = serde_json::to_vec(&claims).map_err(json)?;
    build(&header, &claims, |input| signer.sign(input))
}

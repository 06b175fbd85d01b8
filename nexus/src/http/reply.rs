//! Answers as HTTP.

use assay_api::problem::ProblemBody;
use assay_api::types::{Document, Health, Ready, Text, Trust};
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::problem::{Fault, Problem};

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(body) {
        Ok(bytes) => of(status, "application/json", bytes),
        Err(_) => problem(&Fault::Internal.into(), ""),
    }
}

/// The answer of a change; it says so where the gate was bypassed.
pub(crate) fn changed(body: &impl Serialize, bypassed: bool) -> Response<Body> {
    let mut response = json(StatusCode::OK, body);
    if bypassed {
        response
            .headers_mut()
            .insert("x-attestation-bypassed", HeaderValue::from_static("true"));
    }
    response
}

/// A problem (RFC 9457).
pub(crate) fn problem(problem: &Problem, request: &str) -> Response<Body> {
    let fault = problem.fault();
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = ProblemBody {
        kind: "about:blank".into(),
        title: status.canonical_reason().unwrap_or_default().into(),
        status: status.as_u16(),
        code: problem.code().into(),
        detail: fault.to_string(),
        hint: Some(fault.hint()).filter(|h| !h.is_empty()).map(Into::into),
        retryable: fault.is_retryable(),
        request_id: request.into(),
        demand_id: problem.demand_id().map(ToString::to_string),
    };
    let bytes = serde_json::to_vec(&body).unwrap_or_default();
    let mut response = of(status, "application/problem+json", bytes);
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = match fault {
            Fault::Proof { .. } => {
                "DPoP error=\"invalid_dpop_proof\", algs=\"EdDSA Ed25519 ES256\""
            }
            _ => "DPoP error=\"invalid_token\", algs=\"EdDSA Ed25519 ES256\"",
        };
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        );
    }
    if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

/// Bytes of a type.
pub(crate) fn of(status: StatusCode, media: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// What open routes answer.
pub(crate) trait Open {
    /// The answer.
    fn reply(&self) -> Response<Body>;
}

impl Open for Health {
    fn reply(&self) -> Response<Body> {
        json(StatusCode::OK, self)
    }
}

impl Open for Ready {
    fn reply(&self) -> Response<Body> {
        let status = if self.faults.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        json(status, self)
    }
}

impl Open for Text {
    fn reply(&self) -> Response<Body> {
        of(
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            self.0.clone().into_bytes(),
        )
    }
}

impl Open for Document {
    fn reply(&self) -> Response<Body> {
        json(StatusCode::OK, &self.0)
    }
}

impl Open for Trust {
    fn reply(&self) -> Response<Body> {
        json(StatusCode::OK, self)
    }
}

//! What every answer has: a name, the nexus's time, nothing in caches; and what every path is: plain.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, header};
use axum::middleware::Next;

use super::gate::Arrival;
use super::reply;
use crate::app::App;
use crate::problem::{Fault, Problem};

/// The peer of a connection, put into each of its requests by the server.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Around every request.
pub(crate) async fn frame(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let client = request
        .extensions()
        .get::<Peer>()
        .map_or(IpAddr::from([0, 0, 0, 0]), |p| p.0);
    let name = match app.random.bytes::<16>() {
        Ok(bytes) => format!("rq-{}", base16ct::lower::encode_string(&bytes)),
        Err(fault) => return reply::problem(&fault.into(), ""),
    };
    let plain = is_plain(request.uri().path());
    request.extensions_mut().insert(Arrival {
        request: name.clone(),
        client,
    });
    let mut response = if plain {
        // On a task of its own: a caller that goes away does not cut a change in half, and a panic ends one request only.
        match tokio::spawn(next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                tracing::error!(request = name, "a request panicked");
                reply::problem(&Problem::from(Fault::Internal), &name)
            }
        }
    } else {
        reply::problem(&Fault::Path.into(), &name)
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        "x-nexus-build",
        HeaderValue::from_static(concat!("assay-nexus/", env!("CARGO_PKG_VERSION"))),
    );
    let date = date(app.store.clock().now().as_millis());
    for (header, value) in [("x-request-id", Some(name)), ("date", date)] {
        if let Some(value) = value.and_then(|v| HeaderValue::try_from(v).ok()) {
            headers.insert(header, value);
        }
    }
    response
}

/// The time as RFC 9110, 5.6.7 has it: clients take theirs from it before their first proof.
fn date(millis: u64) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()?;
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .ok()
}

/// One path has one spelling: no escapes, no empty and no dot segments. Nothing is normalised, so that gate and router can't
/// see two paths.
fn is_plain(path: &str) -> bool {
    let plain = |s: &str| !s.is_empty() && s != "." && s != "..";
    let chars = path
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"/-_.:@".contains(&b));
    path == "/"
        || (chars
            && path
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for good in [
            "/",
            "/health",
            "/v1/dpus/gpu-7/result",
            "/openapi.json",
            "/v1/keys/k-1",
        ] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "",
            "//",
            "/v1//me",
            "/v1/./me",
            "/v1/../me",
            "/v1/me/",
            "/v1/%6de",
            "/v1/m%2fe",
            "/v1;x/me",
            "/v1/m e",
        ] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn the_date_is_a_date() {
        assert_eq!(
            date(784_111_777_123).as_deref(),
            Some("Sun, 06 Nov 1994 08:49:37 GMT")
        );
    }
}

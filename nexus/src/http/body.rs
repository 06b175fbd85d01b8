//! Bodies and queries: bounded, strict, each member known and there once.

use std::time::Duration;

use assay_api::routes::Route;
use axum::body::Body;
use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::problem::{Fault, Problem};

/// What a route takes where nothing else is said, in bytes.
const USUAL: usize = 64 * 1024;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most bytes that a route takes as its body.
pub(crate) fn limit(route: &Route) -> usize {
    match route.name {
        "submit_evidence" | "complete_enrolment" => 512 * 1024,
        "create_claims" => 256 * 1024,
        "put_secret" => 128 * 1024,
        _ => USUAL,
    }
}

/// Refuses what can be refused before a byte of the body is read.
///
/// # Errors
/// [`Fault::TooLarge`], [`Fault::Header`].
pub(crate) fn check_headers(headers: &HeaderMap, limit: usize) -> Result<(), Problem> {
    let Some(length) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(());
    };
    let length = length.to_str().ok().and_then(|l| l.parse::<u64>().ok());
    match length {
        Some(length) if usize::try_from(length).is_ok_and(|l| l <= limit) => Ok(()),
        Some(_) => Err(Fault::TooLarge { limit }.into()),
        None => Err(Fault::Header {
            name: "content-length",
        }
        .into()),
    }
}

/// The body's bytes.
///
/// # Errors
/// [`Fault::TooLarge`], [`Fault::TooSlow`], [`Fault::Body`] where the connection broke.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let collected = tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect()).await;
    match collected.map_err(|_| Fault::TooSlow)? {
        Ok(body) => Ok(body.to_bytes().into()),
        Err(e) if e.is::<LengthLimitError>() => Err(Fault::TooLarge { limit }.into()),
        Err(_) => Err(Fault::Body {
            why: "the body ended early".into(),
        }
        .into()),
    }
}

/// The body as the route's request. No body is `{}`: for routes that take nothing.
///
/// # Errors
/// [`Fault::MediaType`], [`Fault::Body`] with the place and never the value.
pub(crate) fn json<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    if bytes.is_empty() {
        return parse(b"{}");
    }
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if !media
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
    {
        return Err(Fault::MediaType.into());
    }
    parse(bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|e| {
        let why = match e.classify() {
            serde_json::error::Category::Data => bounded(&e.to_string()),
            _ => format!("not json, at line {} column {}", e.line(), e.column()),
        };
        Fault::Body { why }.into()
    })
}

/// serde quotes values of a wrong type, and names of members that it does not know; a body may hold secrets, so of what is
/// quoted only words of a few small letters stay.
fn bounded(why: &str) -> String {
    let mut out = String::new();
    for (i, part) in why.split(['"', '`']).enumerate() {
        let word = part.len() <= 24 && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        match (i % 2 == 0, word) {
            (true, _) => out.push_str(part),
            (false, true) => out.extend(["`", part, "`"]),
            (false, false) => out.push_str(".."),
        }
    }
    out.chars().filter(|c| !c.is_control()).take(160).collect()
}

/// The query as the route's request.
///
/// # Errors
/// [`Fault::Body`].
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    if uri.query().is_some_and(|q| q.len() > 2048) {
        return Err(Fault::TooLarge { limit: 2048 }.into());
    }
    match Query::<T>::try_from_uri(uri) {
        Ok(Query(ask)) => Ok(ask),
        Err(e) => Err(Fault::Body {
            why: bounded(&e.body_text()),
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use assay_api::types::{AuditAsk, Empty, InTenant, JoinBegin, TenantCreate};

    use super::*;

    fn read_json<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, "application/json".parse().unwrap())]);
        json(&headers, text.as_bytes())
    }

    #[test]
    fn unknown_and_doubled_members_are_refused() {
        assert!(read_json::<TenantCreate>(r#"{"name":"a"}"#).is_ok());
        for bad in [
            r#"{"name":"a","x":1}"#,
            r#"{"name":"a","name":"b"}"#,
            r#"{"name":"a"}{}"#,
            "",
            "[]",
            "{\"name\":1}",
        ] {
            assert_eq!(
                read_json::<TenantCreate>(bad).unwrap_err().code(),
                "request.malformed",
                "{bad}"
            );
        }
        let query = |q: &str| query::<AuditAsk>(&format!("/v1/audit?{q}").parse().unwrap());
        assert_eq!(query("from=7&limit=3").unwrap().from, Some(7));
        for bad in ["from=x", "from=-1", "from=1&from=2", "fron=1"] {
            assert!(query(bad).is_err(), "{bad}");
        }
        assert!(super::query::<Empty>(&"/v1/me?x=1".parse().unwrap()).is_err());
        assert!(super::query::<InTenant>(&"/v1/hosts?tenant=acme".parse().unwrap()).is_ok());
    }

    #[test]
    fn i7_what_is_refused_is_not_repeated() {
        let problem = read_json::<JoinBegin>(r#"{"secret":"s3cr3t!"}"#).unwrap_err();
        assert!(!problem.fault().to_string().contains("s3cr3t"));
        let problem = read_json::<TenantCreate>(r#"{"name":{"s3cr3t":1}}"#).unwrap_err();
        assert!(!problem.fault().to_string().contains("s3cr3t"));
        let problem = read_json::<AuditAsk>(r#"{"from":"s3cr3t"}"#).unwrap_err();
        assert!(
            !problem.fault().to_string().contains("s3cr3t"),
            "{}",
            problem.fault()
        );
    }

    #[test]
    fn another_media_type_is_refused() {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, "text/plain".parse().unwrap())]);
        assert_eq!(
            json::<Empty>(&headers, b"{}").unwrap_err().code(),
            "request.media_type"
        );
        assert!(json::<Empty>(&HeaderMap::new(), b"").is_ok());
    }

    /// Every request type of every row refuses members that it does not know.
    #[test]
    fn every_request_is_strict() {
        macro_rules! strict {
            ($( #[doc = $doc:literal] $name:ident $method:ident $path:literal for [$($role:tt)*] does $does:ident on $on:ident $req:ty => $res:ty, $event:literal; )*) => { $({
                use assay_api::types::*;
                let refused = serde_json::from_str::<$req>(r#"{"no-such-member":1}"#).unwrap_err().to_string();
                assert!(refused.contains("unknown field"), "{}: {refused}", stringify!($name));
            })* };
        }
        assay_api::for_each_route!(strict);
    }
}

//! The gate: who asks, and is the request what they signed?
//!
//! In this order (RFC 9449, 4.3; design section 7): path and headers, route, proof read, key looked up, signature, method, target
//! and time, body within its bound, digest of the request, replay (reads in memory, the others in their change's
//! transaction), and there status, target and policy ([`ctx`](crate::op::ctx)). Faults of the request alone have their own
//! code; everything about keys and codes is one `auth.failed`, after the same work.

use std::net::IpAddr;
use std::sync::Arc;

use assay_api::dpop::{self, DpopFault, Expected, Proof, UncheckedProof, Window};
use assay_api::htu::Htu;
use assay_api::jose::{Alg, Jwk};
use assay_api::routes::{Does, Endpoint, Role, Route};
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::body;
use super::replay::{AHEAD, SeenProof};
use super::reply::{self, Open};
use crate::app::App;
use crate::op::caller::{NewKey, caller_of_key, refused};
use crate::op::{Caller, Changed, Ctx, Shown};
use crate::problem::{Fault, Problem};

/// What the server knows of a request before anything is read of it.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// Name of the request.
    pub(crate) request: String,
    /// Where it came from.
    pub(crate) client: IpAddr,
}

/// How old a proof may be, and how far ahead.
const WINDOW: Window = Window {
    past_ms: 60_000,
    future_ms: AHEAD,
};

/// An open route: nobody is asked who they are.
pub(crate) async fn open<E, F, A>(app: Arc<App>, request: Request, operation: F) -> Response<Body>
where
    E: Endpoint<Response: Open>,
    F: FnOnce(Arc<App>) -> A,
    A: Future<Output = Result<E::Response, Problem>>,
{
    let arrival = arrival(&request);
    let done = operation(app.clone()).await;
    answer(&app, E::ROUTE, &arrival, done.map(|answer| answer.reply()))
}

/// A read: its request is the query, its proof is spent in memory.
pub(crate) async fn read<E, F, A>(app: Arc<App>, request: Request, operation: F) -> Response<Body>
where
    E: Endpoint,
    F: FnOnce(Ctx, E::Request) -> A,
    A: Future<Output = Result<Shown<E::Response>, Problem>>,
{
    let arrival = arrival(&request);
    // A body that nobody asked for is not read, and not held across a wait.
    let (parts, _) = request.into_parts();
    let done = match admit_read::<E::Request>(&app, E::ROUTE, &parts, &arrival).await {
        Ok((ctx, ask)) => operation(ctx, ask).await,
        Err(problem) => Err(problem),
    };
    answer(
        &app,
        E::ROUTE,
        &arrival,
        done.map(|shown| reply::json(StatusCode::OK, &shown.into_inner())),
    )
}

/// A change or release: its request is the body, its proof covers that body and is spent with the change.
pub(crate) async fn change<E, F, A>(app: Arc<App>, request: Request, operation: F) -> Response<Body>
where
    E: Endpoint,
    F: FnOnce(Ctx, E::Request) -> A,
    A: Future<Output = Result<Changed<E::Response>, Problem>>,
{
    let arrival = arrival(&request);
    let done = match admit_change::<E::Request>(&app, E::ROUTE, request, &arrival).await {
        Ok((ctx, ask)) => {
            let bypassed = ctx.bypass.is_some();
            operation(ctx, ask).await.map(|changed| (changed, bypassed))
        }
        Err(problem) => Err(problem),
    };
    let done = done.map(|(changed, bypassed)| reply::changed(&changed.into_inner(), bypassed));
    answer(&app, E::ROUTE, &arrival, done)
}

/// No row has this path.
pub(crate) async fn no_route(request: Request) -> Response<Body> {
    reply::problem(&Fault::NoRoute.into(), &arrival(&request).request)
}

/// Rows have this path, with other methods.
pub(crate) async fn other_method(request: Request) -> Response<Body> {
    reply::problem(&Fault::Method.into(), &arrival(&request).request)
}

async fn admit_read<Q: DeserializeOwned>(
    app: &Arc<App>,
    route: &'static Route,
    parts: &Parts,
    arrival: &Arrival,
) -> Result<(Ctx, Q), Problem> {
    let (headers, uri) = (&parts.headers, &parts.uri);
    let (ctx, proof) = authenticate(app, route, headers, uri.path(), arrival)?;
    if bypass(headers)?.is_some() {
        return Err(Fault::Bypass {
            why: "this route releases nothing",
        }
        .into());
    }
    let ask = body::query(uri)?;
    seen(&proof).spend_for_read(app, ctx.now).await?;
    Ok((ctx, ask))
}

async fn admit_change<Q: DeserializeOwned>(
    app: &Arc<App>,
    route: &'static Route,
    request: Request,
    arrival: &Arrival,
) -> Result<(Ctx, Q), Problem> {
    let (parts, stream) = request.into_parts();
    let limit = body::limit(route);
    body::check_headers(&parts.headers, limit)?;
    let bypass = bypass(&parts.headers)?;
    if bypass.is_some() && route.does != Does::Release {
        return Err(Fault::Bypass {
            why: "this route releases nothing",
        }
        .into());
    }
    let (mut ctx, proof) = authenticate(app, route, &parts.headers, parts.uri.path(), arrival)?;
    let bytes = body::read(stream, limit).await?;
    let query = parts.uri.query().unwrap_or_default();
    proof
        .check_digest(query, &bytes, bypass.as_deref())
        .map_err(proof_fault)?;
    if !query.is_empty() {
        return Err(Fault::Body {
            why: "this route takes no query".into(),
        }
        .into());
    }
    let ask = body::json(&parts.headers, &bytes)?;
    ctx.bypass = bypass;
    ctx.proof = Some(seen(&proof));
    Ok((ctx, ask))
}

/// Who asks, by a proof that was made for this method and URL, now.
fn authenticate(
    app: &Arc<App>,
    route: &'static Route,
    headers: &HeaderMap,
    path: &str,
    arrival: &Arrival,
) -> Result<(Ctx, Proof), Problem> {
    let now = app.store.clock().now();
    let values = headers.get_all(dpop::HEADER).iter().map(|v| v.as_bytes());
    let unchecked = UncheckedProof::from_headers(values).map_err(proof_fault)?;
    let path_id = path_id(route, path)?;
    let targets: Vec<Htu> = app
        .config
        .public_urls
        .iter()
        .filter_map(|url| url.join(path).ok())
        .collect();
    let newcomer = route.roles.contains(&Role::NewKey);
    let found = match (newcomer, unchecked.jwk(), unchecked.kid()) {
        (true, Some(jwk), None) => {
            let key = NewKey {
                thumbprint: jwk.thumbprint(),
                jwk: jwk.clone(),
            };
            Ok((jwk.clone(), Caller::NewKey(key)))
        }
        (false, _, Some(kid)) => app.store.read_now(|rows| caller_of_key(rows, kid)),
        _ => return Err(proof_fault(DpopFault::NoKey)),
    };
    let (jwk, caller) = match found {
        Ok((jwk, caller)) if jwk.alg() == unchecked.alg() => (jwk, caller),
        // The same work as for a key that is known and active.
        other => {
            let _ = unchecked
                .clone()
                .check_signature(stand_in(unchecked.alg()), &app.checks);
            return Err(other.err().unwrap_or_else(|| refused("proof.algorithm")));
        }
    };
    let signed = unchecked
        .check_signature(&jwk, &app.checks)
        .map_err(proof_fault)?;
    let expected = Expected {
        method: route.method,
        targets: &targets,
        now,
        window: WINDOW,
    };
    let proof = signed.check_request(&expected).map_err(proof_fault)?;
    let ctx = Ctx {
        app: app.clone(),
        caller,
        route,
        path_id,
        request: arrival.request.clone(),
        client: arrival.client,
        bypass: None,
        now,
        proof: None,
    };
    Ok((ctx, proof))
}

/// A key that nobody has, to spend the time of a check on.
fn stand_in(alg: Alg) -> &'static Jwk {
    use assay_api::signer::{Ed25519Signer, P256Signer, RequestSigner};
    use std::sync::LazyLock;
    static ED25519: LazyLock<Jwk> =
        LazyLock::new(|| Ed25519Signer::from_seed(&[1; 32], None).jwk().clone());
    static P256: LazyLock<Jwk> = LazyLock::new(|| {
        P256Signer::from_scalar(&[1; 32], None)
            .map_or_else(|_| ED25519.clone(), |s| s.jwk().clone())
    });
    match alg {
        Alg::Ed25519 => &ED25519,
        Alg::Es256 => &P256,
    }
}

fn proof_fault(fault: DpopFault) -> Problem {
    if fault.is_public() {
        Fault::Proof {
            code: fault.code(),
            why: fault.to_string(),
        }
        .into()
    } else {
        Problem::from(Fault::Auth).step(fault.code())
    }
}

fn seen(proof: &Proof) -> SeenProof {
    SeenProof {
        thumbprint: *proof.thumbprint().as_bytes(),
        jti: proof.jti().to_owned(),
        iat: proof.iat(),
        until: proof.replay_until(),
    }
}

/// The reason of a bypass: 10 to 512 characters of visible ASCII, in one header.
fn bypass(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(dpop::BYPASS_HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Fault::Header {
            name: dpop::BYPASS_HEADER,
        }
        .into());
    }
    match value.to_str() {
        Ok(reason) if (10..=512).contains(&reason.trim().len()) => Ok(Some(reason.to_owned())),
        Ok(_) => Err(Fault::Bypass {
            why: "the reason has 10 to 512 characters",
        }
        .into()),
        Err(_) => Err(Fault::Bypass {
            why: "the reason is written in visible ASCII",
        }
        .into()),
    }
}

/// The `{id}` of the path: an id or a name, 1 to 128 characters that need no escape.
fn path_id(route: &Route, path: &str) -> Result<Option<String>, Problem> {
    let Some((before, after)) = route.path.split_once("{id}") else {
        return Ok(None);
    };
    let id = path
        .strip_prefix(before)
        .and_then(|p| p.strip_suffix(after));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@".contains(&b);
    match id {
        Some(id) if (1..=128).contains(&id.len()) && id.bytes().all(plain) => {
            Ok(Some(id.to_owned()))
        }
        _ => Err(Fault::Path.into()),
    }
}

fn arrival(request: &Request) -> Arrival {
    request
        .extensions()
        .get()
        .cloned()
        .unwrap_or_else(|| Arrival {
            request: String::new(),
            client: IpAddr::from([0, 0, 0, 0]),
        })
}

/// The answer, counted; what was refused to somebody unknown is added up for the audit log.
fn answer(
    app: &App,
    route: &'static Route,
    arrival: &Arrival,
    done: Result<Response<Body>, Problem>,
) -> Response<Body> {
    let code = done
        .as_ref()
        .map_or_else(|p| p.exact().to_owned(), |_| "ok".to_owned());
    app.metrics.answered(
        route.name,
        done.as_ref().map_or_else(Problem::code, |_| "ok"),
    );
    match done {
        Ok(response) => response,
        Err(problem) => {
            let status = problem.fault().status();
            if status == 401 {
                app.refusals.count(arrival.client, &code);
            }
            if status >= 500 {
                let why = super::log_text(problem.fault());
                tracing::error!(
                    request = arrival.request,
                    route = route.name,
                    code,
                    why,
                    "failed"
                );
            } else {
                tracing::debug!(
                    request = arrival.request,
                    route = route.name,
                    code,
                    "refused"
                );
            }
            reply::problem(&problem, &arrival.request)
        }
    }
}

//! The gate: who asks, and is the request what they signed?

use std::sync::Arc;

use assay_api::routes::Endpoint;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;

use super::reply::{self, Open};
use crate::app::App;
use crate::op::{Changed, Ctx, Shown};
use crate::problem::{Fault, Problem};

pub(crate) async fn open<E, F, A>(app: Arc<App>, _request: Request, operation: F) -> Response<Body>
where
    E: Endpoint<Response: Open>,
    F: FnOnce(Arc<App>) -> A,
    A: Future<Output = Result<E::Response, Problem>>,
{
    match operation(app).await {
        Ok(answer) => answer.reply(),
        Err(problem) => reply::problem(&problem, ""),
    }
}

pub(crate) async fn read<E, F, A>(
    _app: Arc<App>,
    _request: Request,
    _operation: F,
) -> Response<Body>
where
    E: Endpoint,
    F: FnOnce(Ctx, E::Request) -> A,
    A: Future<Output = Result<Shown<E::Response>, Problem>>,
{
    reply::problem(&Fault::NotBuilt.into(), "")
}

pub(crate) async fn change<E, F, A>(
    _app: Arc<App>,
    _request: Request,
    _operation: F,
) -> Response<Body>
where
    E: Endpoint,
    F: FnOnce(Ctx, E::Request) -> A,
    A: Future<Output = Result<Changed<E::Response>, Problem>>,
{
    reply::problem(&Fault::NotBuilt.into(), "")
}

pub(crate) async fn no_route() -> Response<Body> {
    reply::problem(&Fault::NoRoute.into(), "")
}

pub(crate) async fn other_method() -> Response<Body> {
    reply::problem(&Fault::Method.into(), "")
}

//! The route table as an axum router. A row without its function in [`op`] does not compile.

use std::sync::Arc;

use assay_api::routes::call;
use assay_api::types::*;
use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{get, post};

use super::{frame, gate};
use crate::app::App;
use crate::op;

macro_rules! method {
    (GET, $handler:expr) => {
        get($handler)
    };
    (POST, $handler:expr) => {
        post($handler)
    };
}

macro_rules! handler {
    ($name:ident [] read) => {
        |State(app): State<Arc<App>>, request: Request| {
            gate::open::<call::$name, _, _>(app, request, op::$name)
        }
    };
    ($name:ident [$($role:tt)+] read) => {
        |State(app): State<Arc<App>>, request: Request| {
            gate::read::<call::$name, _, _>(app, request, op::$name)
        }
    };
    ($name:ident [$($role:tt)+] $does:ident) => {
        |State(app): State<Arc<App>>, request: Request| {
            gate::change::<call::$name, _, _>(app, request, op::$name)
        }
    };
}

macro_rules! mount {
    ($( #[doc = $doc:literal] $name:ident $method:ident $path:literal for [$($role:tt)*] does $does:ident on $on:ident $req:ty => $res:ty, $event:literal; )*) => {
        /// Every row of the table, behind the gate.
        pub fn router(app: Arc<App>) -> Router {
            let mut router = Router::new();
            $( router = router.route($path, method!($method, handler!($name [$($role)*] $does))); )*
            router
                .fallback(gate::no_route)
                .method_not_allowed_fallback(gate::other_method)
                .layer(axum::middleware::from_fn_with_state(app.clone(), frame::frame))
                .with_state(app)
        }

        /// That each function has the types of its row.
        const _: () = { $( { type _Request = $req; type _Response = $res; } )* };
    };
}
assay_api::for_each_route!(mount);

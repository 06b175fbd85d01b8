//! The nexus about itself: open routes.

use std::sync::Arc;

use assay_api::types::*;

use crate::app::App;
use crate::problem::{Fault, Problem};

pub(crate) async fn health(_: Arc<App>) -> Result<Health, Problem> {
    Ok(Health {
        status: "ok".into(),
    })
}

pub(crate) async fn ready(_: Arc<App>) -> Result<Ready, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn metrics(_: Arc<App>) -> Result<Text, Problem> {
    Err(Fault::NotBuilt.into())
}

pub(crate) async fn openapi(_: Arc<App>) -> Result<Document, Problem> {
    Ok(Document(assay_api::openapi::document()))
}

pub(crate) async fn trust(_: Arc<App>) -> Result<Trust, Problem> {
    Err(Fault::NotBuilt.into())
}

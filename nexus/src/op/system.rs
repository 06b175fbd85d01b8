//! The nexus about itself: open routes, which cost little and tell nobody anything of anybody.

use std::sync::Arc;

use assay_api::types::{B64, Document, Health, Ready, Text, Trust};
use assay_attest::key::PublicKey;

use crate::app::App;
use crate::delivery;
use crate::keys::Signer;
use crate::problem::{Fault, Problem};
use crate::store::signing_key::{self, KeyState};
use crate::store::{Reader, StoreFault};

/// Signs Attestation Results.
pub(crate) const RESULT: &str = "result";

pub(crate) async fn health(_: Arc<App>) -> Result<Health, Problem> {
    Ok(Health {
        status: "ok".into(),
    })
}

/// The faults are codes: this answer is for anyone.
pub(crate) async fn ready(app: Arc<App>) -> Result<Ready, Problem> {
    let mut faults = Vec::new();
    if app.store.is_full() {
        faults.push(StoreFault::Full.code().to_owned());
    }
    if let Err(fault) = app.store.clock().check() {
        faults.push(fault.code().to_owned());
    }
    if let Err(fault) = app.store.read_now(|r| r.audit().size()) {
        faults.push(fault.code().to_owned());
    }
    let status = if faults.is_empty() {
        "ready"
    } else {
        "not_ready"
    };
    Ok(Ready {
        status: status.into(),
        faults,
        version: env!("CARGO_PKG_VERSION").into(),
    })
}

pub(crate) async fn metrics(app: Arc<App>) -> Result<Text, Problem> {
    let size = i64::try_from(app.store.head().head().size).unwrap_or(i64::MAX);
    app.metrics.log_size.set(size);
    app.metrics.closed.set(i64::from(
        app.store.is_full() || app.store.clock().check().is_err(),
    ));
    Ok(Text(app.metrics.text()))
}

pub(crate) async fn openapi(_: Arc<App>) -> Result<Document, Problem> {
    Ok(Document(assay_api::openapi::document()))
}

pub(crate) async fn trust(app: Arc<App>) -> Result<Trust, Problem> {
    let pins = app.tls.pins();
    let (result, _) = app.store.read_now(|r| keys(r, RESULT))?;
    let (delivery, next) = app.store.read_now(|r| keys(r, delivery::PURPOSE))?;
    let PublicKey::Ed25519(log_key) = app.store.keys().log().public().clone() else {
        return Err(Fault::Internal.into());
    };
    Ok(Trust {
        root: B64(pins.current.into()),
        next_root: pins.next.map(|pin| B64(pin.into())),
        log_origin: app.store.log_key().origin().to_owned(),
        log_key: B64(log_key.into()),
        result_key: B64(result),
        delivery_key: B64(delivery),
        next_delivery_key: next.map(B64),
    })
}

/// The key that signs, and the one that will.
fn keys(rows: &Reader<'_>, purpose: &str) -> Result<(Vec<u8>, Option<Vec<u8>>), Problem> {
    let keys = signing_key::published(rows, "", purpose)?;
    let of = |state| {
        keys.iter()
            .find(|k| k.state == state)
            .map(|k| k.public.clone())
    };
    let active =
        of(KeyState::Active).ok_or_else(|| Problem::from(Fault::Internal).step("keys.missing"))?;
    Ok((active, of(KeyState::Prepared)))
}

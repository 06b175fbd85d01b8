//! The running nexus: its listeners, what it does each minute, and its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::App;
use crate::http::server;

/// How long between two rounds of what is done each minute.
const ROUND: Duration = Duration::from_secs(60);

/// Serves until `stop` says so. Addresses that were bound are told through `bound`, before the first connection is taken.
///
/// # Errors
/// Where an address can't be bound, or rustls makes no configuration.
pub async fn serve(
    app: Arc<App>,
    stop: watch::Receiver<bool>,
    bound: impl FnOnce(&[std::net::SocketAddr]),
) -> std::io::Result<()> {
    let mut listeners = Vec::new();
    for address in &app.config.listen {
        let named = |e: std::io::Error| {
            std::io::Error::new(e.kind(), format!("can't listen on {address}: {e}"))
        };
        listeners.push(TcpListener::bind(address).await.map_err(named)?);
    }
    let addresses = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<Vec<_>, _>>()?;
    bound(&addresses);
    let rounds = tokio::spawn(rounds(app.clone()));
    let limits = app.config.limits;
    let served = server::serve(app.clone(), listeners, limits, stop).await;
    rounds.abort();
    if let Err(fault) = app.refusals.flush(&app.store).await {
        tracing::warn!(
            code = fault.code(),
            "refusals of the last minute are not in the audit log"
        );
    }
    served.map_err(std::io::Error::other)
}

/// What is done each minute. A fault is logged and the next round tries again: none of it may end the process.
async fn rounds(app: Arc<App>) {
    let mut ticks = tokio::time::interval(ROUND);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        round(&app).await;
    }
}

/// One round.
pub(crate) async fn round(app: &Arc<App>) {
    app.replay.sweep(app.store.clock().now());
    if let Err(fault) = app.store.sweep().await {
        tracing::warn!(code = fault.code(), "what has expired was not forgotten");
    }
    if let Err(fault) = app.refusals.flush(&app.store).await {
        tracing::warn!(
            code = fault.code(),
            "refusals of the last minute are not in the audit log"
        );
    }
    match app.tls.renew(&app.store, &*app.random) {
        Ok(true) => tracing::info!("the tls leaf was renewed"),
        Ok(false) => {}
        Err(fault) => tracing::error!(%fault, "the tls leaf was not renewed"),
    }
}

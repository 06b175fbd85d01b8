//! The listener: TLS 1.3 only, bounded in everything that somebody outside can use up.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::frame::Peer;
use crate::app::App;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long the headers of a request may take, and a connection may idle.
const HEADERS: Duration = Duration::from_secs(30);

/// How long requests that run may go on once the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// The most bytes of a request's head.
const MAX_HEAD: usize = 32 * 1024;

/// How many connections there may be, in all and from one address.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub connections: usize,
    /// From one address, so that one peer can't close the door for others.
    pub per_address: usize,
}

/// Serves until `stop` says so; then lets requests that run end, for a while.
///
/// # Errors
/// Where rustls makes no configuration.
pub async fn serve(
    app: Arc<App>,
    listeners: Vec<TcpListener>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) -> Result<(), rustls::Error> {
    let mut config = assay_tls::nexus_server(app.tls.slot())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let shared = Arc::new(Shared {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        router: super::mount::router(app.clone()),
        seats: Seats::new(limits),
        app,
        graceful: GracefulShutdown::new(),
    });
    let mut loops = Vec::new();
    for listener in listeners {
        loops.push(tokio::spawn(accept(shared.clone(), listener, stop.clone())));
    }
    // An error means that whoever could say stop is gone.
    let _ = stop.wait_for(|stopped| *stopped).await;
    for accepting in loops {
        let _ = accepting.await;
    }
    let Ok(shared) = Arc::try_unwrap(shared).map_err(drop) else {
        // Handshakes still run; they hold no request.
        tokio::time::sleep(GRACE.min(Duration::from_secs(1))).await;
        return Ok(());
    };
    let _ = tokio::time::timeout(GRACE, shared.graceful.shutdown()).await;
    Ok(())
}

struct Shared {
    acceptor: TlsAcceptor,
    router: Router,
    seats: Seats,
    app: Arc<App>,
    graceful: GracefulShutdown,
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stopped| *stopped) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(seat) = shared.seats.take(peer.ip()) else {
                    shared.app.metrics.refused_connections.inc();
                    continue;
                };
                tokio::spawn(connection(shared.clone(), stream, peer, seat));
            }
            Err(error) => {
                // Out of descriptors, mostly: wait for some to come back rather than spin.
                tracing::warn!(%error, "accepting failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, seat: Seat) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, shared.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) | Err(_) => {
            shared.app.metrics.refused_connections.inc();
            return;
        }
    };
    let router = shared.router.clone();
    let from = Peer(peer.ip().to_canonical());
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(from);
        let router = router.clone();
        async move {
            Ok::<_, Infallible>(
                router
                    .oneshot(request)
                    .await
                    .unwrap_or_else(|never| match never {}),
            )
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(MAX_HEAD)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service);
    let watched = shared.graceful.watch(served);
    shared.app.metrics.connections.inc();
    let app = shared.app.clone();
    drop(shared);
    // What goes wrong on a connection is its peer's business.
    let _ = watched.await;
    app.metrics.connections.dec();
    drop(seat);
}

/// Places for connections.
#[derive(Clone, Debug)]
struct Seats(Arc<Mutex<Taken>>, Limits);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<IpAddr, usize>,
}

/// One place; free again when dropped.
#[derive(Debug)]
struct Seat(Arc<Mutex<Taken>>, IpAddr);

impl Seats {
    fn new(limits: Limits) -> Self {
        Self(Arc::default(), limits)
    }

    fn take(&self, from: IpAddr) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.1.connections
            || taken
                .by
                .get(&from)
                .is_some_and(|n| *n >= self.1.per_address)
        {
            return None;
        }
        taken.all = taken.all.saturating_add(1);
        let of = taken.by.entry(from).or_default();
        *of = of.saturating_add(1);
        Some(Seat(self.0.clone(), from))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(of) = taken.by.get_mut(&self.1) {
            *of = of.saturating_sub(1);
            if *of == 0 {
                taken.by.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i14_one_address_can_not_take_every_seat() {
        let seats = Seats::new(Limits {
            connections: 3,
            per_address: 2,
        });
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = seats.take(a).unwrap();
        let _second = seats.take(a).unwrap();
        assert!(seats.take(a).is_none());
        let _third = seats.take(b).unwrap();
        assert!(seats.take(b).is_none(), "full");
        drop(first);
        assert!(seats.take(b).is_some());
    }
}

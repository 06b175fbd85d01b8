//! TCP: over the physical function or tmfifo.

use super::{Listen, Local, Stream, Way};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// The way.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

impl Way for Tcp {
    fn scheme(&self) -> &'static str {
        "tcp"
    }

    fn fits(&self, at: &str) -> bool {
        at.parse::<SocketAddr>().is_ok()
    }

    fn listen<'a>(&'a self, at: &'a str) -> Local<'a, io::Result<Box<dyn Listen>>> {
        Box::pin(async move {
            let listener: Box<dyn Listen> = Box::new(TcpListener::bind(at).await?);
            Ok(listener)
        })
    }
}

impl Listen for TcpListener {
    fn accept(&self) -> Local<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let (stream, _) = Self::accept(self).await?;
            stream.set_nodelay(true)?;
            // A host that vanished without a word is noticed by the kernel.
            nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::KeepAlive, &true)?;
            let stream: Box<dyn Stream> = Box::new(stream);
            Ok(stream)
        })
    }

    fn address(&self) -> String {
        self.local_addr()
            .map_or_else(|_| "tcp:?".into(), |at| format!("tcp:{at}"))
    }
}

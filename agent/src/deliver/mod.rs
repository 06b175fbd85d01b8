//! Manifests on their way to hosts: ways to be reached, and the channel that runs over each. To add a way: a file here and
//! a row in [`table`].
//!
//! The channel is TLS 1.3 with keys pinned on both sides by approved pairings. The agent may withhold a manifest, never forge
//! one: the host checks the nexus's signature itself.

pub mod hub;
mod session;
pub mod table;
pub mod tcp;
pub mod unix;

use std::fmt;
use std::io;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};

pub use hub::{Hub, HubEvent};

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A future on the agent's one thread.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A way to be reached.
pub trait Way: Sync + fmt::Debug {
    /// What its addresses begin with, before the colon.
    fn scheme(&self) -> &'static str;

    /// Whether `at`, without the scheme, is an address of this way.
    fn fits(&self, at: &str) -> bool;

    /// Listens at `at`, without the scheme.
    fn listen<'a>(&'a self, at: &'a str) -> Local<'a, io::Result<Box<dyn Listen>>>;
}

/// A listening end.
pub trait Listen {
    /// The next connection.
    fn accept(&self) -> Local<'_, io::Result<Box<dyn Stream>>>;

    /// Where it listens, with the scheme and the port that was given.
    fn address(&self) -> String;
}

//! The channel to the DPU's agent: TLS 1.3, keys pinned both ways by the pairing, framed messages.

use assay_api::channel::{ChannelFault, FromAgent, FromHost, Inbox, frame};
use assay_tls::{CertKey, channel_client};
use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::ServerName;
use serde::Deserialize;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const DIAL: Duration = Duration::from_secs(10);
const WRITE: Duration = Duration::from_secs(30);

/// Where the agent listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// Address and port.
    Tcp(String),
    /// A socket's path.
    Unix(PathBuf),
}

/// A string is no address of an agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no address of an agent: write `tcp:ADDRESS:PORT` or `unix:PATH`")]
pub struct NotAnAddress {
    given: String,
}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let parsed = if let Some(at) = text.strip_prefix("tcp:") {
            at.rsplit_once(':')
                .filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
                .map(|_| Self::Tcp(at.to_owned()))
        } else {
            text.strip_prefix("unix:")
                .filter(|path| path.starts_with('/'))
                .map(|path| Self::Unix(path.into()))
        };
        parsed.ok_or_else(|| NotAnAddress {
            given: text.chars().take(128).collect(),
        })
    }
}

impl TryFrom<String> for Address {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => write!(f, "tcp:{at}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why there is no channel, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum LinkFault {
    /// Nobody listens there.
    #[error("the agent can't be reached at `{at}`: {why}")]
    Dial {
        /// Where.
        at: Address,
        /// Why.
        why: io::Error,
    },
    /// The other end does not hold the key of the pairing, or does not take ours.
    #[error("the channel could not be authenticated: {0}; is this host paired with this DPU?")]
    Tls(io::Error),
    /// What came is no message.
    #[error(transparent)]
    Channel(#[from] ChannelFault),
    /// The connection broke.
    #[error("the channel broke: {0}")]
    Io(#[from] io::Error),
    /// The other end takes nothing.
    #[error("the agent does not answer")]
    Slow,
}

impl LinkFault {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Dial { .. } => "channel.dial",
            Self::Tls(_) => "channel.tls",
            Self::Channel(fault) => fault.code(),
            Self::Io(_) => "channel.io",
            Self::Slow => "channel.slow",
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// An open channel.
pub struct Link {
    stream: Pin<Box<dyn Stream>>,
    inbox: Inbox,
    buffer: Box<[u8]>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(..)")
    }
}

impl Link {
    /// Dials, and takes none but the holder of `peer` (Ed25519, 32 bytes).
    ///
    /// # Errors
    /// [`LinkFault`].
    pub async fn dial(at: &Address, key: &CertKey, peer: [u8; 32]) -> Result<Self, LinkFault> {
        let config = channel_client(key, peer).map_err(|e| LinkFault::Tls(io::Error::other(e)))?;
        let tls = TlsConnector::from(Arc::new(config));
        // Not looked at: the key is pinned, whatever the name.
        let name = ServerName::try_from("dpu.invalid")
            .map_err(|error| LinkFault::Tls(io::Error::other(error)))?;
        let unreachable = |why| LinkFault::Dial {
            at: at.clone(),
            why,
        };
        let open = async {
            let stream: Pin<Box<dyn Stream>> = match at {
                Address::Tcp(at) => {
                    let tcp = TcpStream::connect(at).await.map_err(unreachable)?;
                    keep_alive(&tcp)?;
                    Box::pin(tls.connect(name, tcp).await.map_err(LinkFault::Tls)?)
                }
                Address::Unix(path) => {
                    let unix = UnixStream::connect(path).await.map_err(unreachable)?;
                    Box::pin(tls.connect(name, unix).await.map_err(LinkFault::Tls)?)
                }
            };
            Ok(Self {
                stream,
                inbox: Inbox::default(),
                buffer: vec![0; 16 * 1024].into_boxed_slice(),
            })
        };
        timeout(DIAL, open)
            .await
            .unwrap_or_else(|_late| Err(unreachable(io::ErrorKind::TimedOut.into())))
    }

    /// Says something.
    ///
    /// # Errors
    /// [`LinkFault`].
    pub async fn send(&mut self, message: &FromHost) -> Result<(), LinkFault> {
        let bytes = frame(message)?;
        let write = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        timeout(WRITE, write)
            .await
            .map_err(|_late| LinkFault::Slow)?
            .map_err(LinkFault::Io)
    }

    /// The next message; may be cancelled and called again.
    ///
    /// # Errors
    /// [`LinkFault`]; [`io::ErrorKind::UnexpectedEof`] where the other end has gone.
    pub async fn next(&mut self) -> Result<FromAgent, LinkFault> {
        loop {
            if let Some(message) = self.inbox.take::<FromAgent>()? {
                return Ok(message);
            }
            let read = self.stream.read(&mut self.buffer).await?;
            if read == 0 {
                return Err(LinkFault::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.inbox.push(self.buffer.get(..read).unwrap_or_default());
        }
    }
}

/// A DPU that was switched off sends no farewell: the kernel asks after it.
fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    setsockopt(tcp, sockopt::KeepAlive, &true)?;
    setsockopt(tcp, sockopt::TcpKeepIdle, &20)?;
    setsockopt(tcp, sockopt::TcpKeepInterval, &10)?;
    setsockopt(tcp, sockopt::TcpKeepCount, &3)?;
    tcp.set_nodelay(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_and_others_do_not() {
        for good in [
            "tcp:192.168.100.2:9643",
            "tcp:[::1]:1",
            "unix:/run/assay/host.sock",
        ] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "tcp:",
            "tcp::1",
            "tcp:a",
            "tcp:a:99999",
            "unix:a",
            "http://a:1",
            "a:1",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}

//! One connection of one host: hello both ways, then the newest manifest whenever there is a newer one.

use super::Stream;
use super::hub::{Hub, HubEvent, Slot};
use assay_api::channel::{ChannelFault, FromAgent, FromHost, Inbox, VERSION, frame};
use assay_api::id::HostId;
use assay_tls::channel_peer;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::timeout;

/// For the handshake, and for the first word after it.
const GREETING: Duration = Duration::from_secs(10);
/// For one frame to be taken by the host.
const WRITE: Duration = Duration::from_secs(30);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionFault {
    #[error("the other end could not be authenticated: {0}")]
    Tls(io::Error),
    #[error("the other end holds no key of an approved pairing")]
    Unknown,
    #[error("the other end says that it is `{said}`, and its key is that of `{paired}`")]
    OtherHost { said: HostId, paired: HostId },
    #[error(transparent)]
    Channel(#[from] ChannelFault),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the other end does not answer")]
    Slow,
}

impl SessionFault {
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Tls(_) => "channel.tls",
            Self::Unknown => "channel.unknown_key",
            Self::OtherHost { .. } => "channel.other_host",
            Self::Channel(fault) => fault.code(),
            Self::Io(_) => "channel.io",
            Self::Slow => "channel.slow",
        }
    }
}

/// Runs to the end of the connection.
pub(super) async fn run(hub: &Hub, stream: Box<dyn Stream>) -> Result<HostId, SessionFault> {
    let acceptor = tokio_rustls::TlsAcceptor::from(hub.tls());
    let stream = timeout(GREETING, acceptor.accept(stream))
        .await
        .map_err(|_late| SessionFault::Slow)?
        .map_err(SessionFault::Tls)?;
    let key = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(channel_peer);
    let (host, slot) = key
        .and_then(|key| hub.enter(&key))
        .ok_or(SessionFault::Unknown)?;
    tracing::info!(%host, "a host has connected");
    let connection = slot.borrow().connection;
    let session = Session {
        hub,
        host: host.clone(),
        slot,
        connection,
        sent: 0,
    };
    let ended = session.talk(stream).await;
    hub.leave(&host, connection);
    ended.map(|()| host)
}

struct Session<'a> {
    hub: &'a Hub,
    host: HostId,
    slot: watch::Receiver<Slot>,
    connection: u64,
    /// The highest sequence that the host has or was sent.
    sent: u64,
}

impl Session<'_> {
    async fn talk(mut self, stream: impl Stream) -> Result<(), SessionFault> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        send(&mut writer, &FromAgent::Hello { version: VERSION }).await?;
        let mut inbox = Inbox::default();
        let mut buffer = vec![0; 4096];
        let mut greeted = false;
        let greeting = tokio::time::sleep(GREETING);
        tokio::pin!(greeting);
        loop {
            tokio::select! {
                read = reader.read(&mut buffer) => {
                    let read = read?;
                    if read == 0 {
                        return Ok(());
                    }
                    inbox.push(buffer.get(..read).unwrap_or_default());
                    while let Some(message) = inbox.take::<FromHost>()? {
                        greeted = true;
                        self.heard(message).await?;
                    }
                }
                changed = self.slot.changed() => {
                    // The pairing is gone, or the host has connected anew.
                    if changed.is_err() || self.slot.borrow().connection != self.connection {
                        return Ok(());
                    }
                }
                () = &mut greeting, if !greeted => return Err(SessionFault::Slow),
            }
            if greeted {
                self.offer(&mut writer).await?;
            }
        }
    }

    async fn heard(&mut self, message: FromHost) -> Result<(), SessionFault> {
        match message {
            FromHost::Hello {
                host_id, sequence, ..
            } => {
                if host_id != self.host {
                    return Err(SessionFault::OtherHost {
                        said: host_id,
                        paired: self.host.clone(),
                    });
                }
                self.sent = sequence;
                self.hub.installed(&self.host, sequence);
                let newest = self
                    .slot
                    .borrow()
                    .newest
                    .as_ref()
                    .map(|newest| newest.sequence);
                if newest.is_none_or(|newest| newest < sequence) {
                    self.ask(sequence).await;
                }
            }
            FromHost::Refresh => self.ask(self.sent).await,
            FromHost::Report {
                sequence,
                outcome,
                detail,
            } => {
                if outcome == "ok" {
                    self.hub.installed(&self.host, sequence);
                }
                let host = self.host.clone();
                let report = HubEvent::Report {
                    host,
                    sequence,
                    outcome,
                    detail,
                };
                self.hub.tell(report).await;
            }
            // Posture is not asked for yet, so neither answer means anything.
            FromHost::Declined { .. } | FromHost::Posture { .. } => {}
        }
        Ok(())
    }

    async fn ask(&self, have: u64) {
        let host = self.host.clone();
        self.hub.tell(HubEvent::Asks { host, have }).await;
    }

    /// Sends the newest manifest where the host does not have it.
    async fn offer(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> Result<(), SessionFault> {
        let newest = self.slot.borrow_and_update().newest.clone();
        let Some(newest) = newest.filter(|newest| newest.sequence > self.sent) else {
            return Ok(());
        };
        let manifest = newest.bytes.clone();
        send(writer, &FromAgent::Manifest { manifest }).await?;
        self.sent = newest.sequence;
        Ok(())
    }
}

async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    message: &FromAgent,
) -> Result<(), SessionFault> {
    let bytes = frame(message)?;
    let write = async {
        writer.write_all(&bytes).await?;
        writer.flush().await
    };
    timeout(WRITE, write)
        .await
        .map_err(|_late| SessionFault::Slow)?
        .map_err(SessionFault::Io)
}

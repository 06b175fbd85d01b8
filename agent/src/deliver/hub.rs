//! Who may connect, and the newest manifest of each host. Sessions look here; the driver writes here.

use super::session;
use super::{Listen, Stream};
use assay_api::id::HostId;
use assay_tls::{CertKey, channel_server};
use rustls::ServerConfig;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};

/// Connections at a time, handshakes among them.
const CONNECTIONS: usize = 32;
/// After an accept that failed (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What a host said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubEvent {
    /// It asks for a newer manifest than `have`.
    Asks {
        /// Which.
        host: HostId,
        /// What it has in force; 0 for none.
        have: u64,
    },
    /// It says what it made of one.
    Report {
        /// Which.
        host: HostId,
        /// The manifest.
        sequence: u64,
        /// `ok` or a code.
        outcome: String,
        /// In words.
        detail: String,
    },
}

/// A manifest as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    /// Its sequence.
    pub sequence: u64,
    /// The COSE_Sign1.
    pub bytes: Vec<u8>,
}

/// What a session watches.
#[derive(Clone, Default)]
pub(super) struct Slot {
    /// The newest manifest.
    pub(super) newest: Option<Rc<Signed>>,
    /// The connection that counts; a session with another number ends.
    pub(super) connection: u64,
}

struct Host {
    slot: watch::Sender<Slot>,
    have: u64,
    connected: bool,
}

struct Inner {
    key: CertKey,
    tls: Arc<ServerConfig>,
    peers: BTreeMap<[u8; 32], HostId>,
    hosts: BTreeMap<HostId, Host>,
    events: mpsc::Sender<HubEvent>,
}

/// A handle; all of them are one hub.
#[derive(Clone)]
pub struct Hub(Rc<RefCell<Inner>>);

/// How a host stands, for status.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HostInfo {
    /// The host.
    pub host: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Sequence of the newest manifest here.
    pub newest: u64,
    /// Sequence that the host has in force.
    pub installed: u64,
}

impl Hub {
    /// A hub that lets nobody in yet.
    ///
    /// # Errors
    /// [`rustls::Error`] where `key` is not Ed25519.
    pub fn new(key: CertKey, events: mpsc::Sender<HubEvent>) -> Result<Self, rustls::Error> {
        let tls = Arc::new(channel_server(&key, Vec::new())?);
        Ok(Self(Rc::new(RefCell::new(Inner {
            key,
            tls,
            peers: BTreeMap::new(),
            hosts: BTreeMap::new(),
            events,
        }))))
    }

    /// The pairings in force: who may connect with which key. Connections of others end.
    ///
    /// # Errors
    /// [`rustls::Error`]; nothing is changed then.
    pub fn pair(&self, peers: BTreeMap<[u8; 32], HostId>) -> Result<(), rustls::Error> {
        let mut inner = self.0.borrow_mut();
        if inner.peers == peers {
            return Ok(());
        }
        inner.tls = Arc::new(channel_server(&inner.key, peers.keys().copied().collect())?);
        let changed = |inner: &Inner, host: &HostId| {
            let key_of = |peers: &BTreeMap<[u8; 32], HostId>| {
                peers.iter().find(|(_, h)| *h == host).map(|(k, _)| *k)
            };
            key_of(&inner.peers) != key_of(&peers)
        };
        let gone: Vec<HostId> = inner
            .hosts
            .keys()
            .filter(|host| changed(&inner, host))
            .cloned()
            .collect();
        // Dropping the slot ends its session.
        for host in gone {
            inner.hosts.remove(&host);
        }
        for host in peers.values() {
            inner.hosts.entry(host.clone()).or_insert_with(|| Host {
                slot: watch::Sender::new(Slot::default()),
                have: 0,
                connected: false,
            });
        }
        inner.peers = peers;
        Ok(())
    }

    /// Offers a manifest; an older one than the newest is dropped.
    pub fn offer(&self, host: &HostId, manifest: Signed) {
        let inner = self.0.borrow();
        let Some(host) = inner.hosts.get(host) else {
            return;
        };
        host.slot.send_if_modified(|slot| {
            let newer = slot
                .newest
                .as_ref()
                .is_none_or(|newest| newest.sequence < manifest.sequence);
            if newer {
                slot.newest = Some(Rc::new(manifest));
            }
            newer
        });
    }

    /// Every host, and the highest sequence that need not be pulled again: the newest here or what the host has.
    #[must_use]
    pub fn have(&self) -> BTreeMap<HostId, u64> {
        let inner = self.0.borrow();
        let have = |host: &Host| newest(host).max(host.have);
        inner
            .hosts
            .iter()
            .map(|(id, host)| (id.clone(), have(host)))
            .collect()
    }

    /// How the hosts stand.
    #[must_use]
    pub fn list(&self) -> Vec<HostInfo> {
        let inner = self.0.borrow();
        let info = |(id, host): (&HostId, &Host)| HostInfo {
            host: id.to_string(),
            connected: host.connected,
            newest: newest(host),
            installed: host.have,
        };
        inner.hosts.iter().map(info).collect()
    }

    /// Takes connections until the listener is dropped.
    pub async fn serve(self, listener: Box<dyn Listen>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok(stream) => {
                    let hub = self.clone();
                    tokio::task::spawn_local(async move {
                        hub.connection(stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, at = listener.address(), "a host could not connect");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(&self, stream: Box<dyn Stream>) {
        match session::run(self, stream).await {
            Ok(host) => tracing::info!(%host, "a host has gone"),
            Err(fault) => tracing::warn!(code = fault.code(), %fault, "a host's connection ended"),
        }
    }

    pub(super) fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.borrow().tls)
    }

    /// The host behind a key, and its slot for a new connection, which replaces the one before.
    pub(super) fn enter(&self, key: &[u8; 32]) -> Option<(HostId, watch::Receiver<Slot>)> {
        let mut inner = self.0.borrow_mut();
        let id = inner.peers.get(key)?.clone();
        let host = inner.hosts.get_mut(&id)?;
        host.connected = true;
        host.slot
            .send_modify(|slot| slot.connection = slot.connection.wrapping_add(1));
        Some((id, host.slot.subscribe()))
    }

    pub(super) fn leave(&self, id: &HostId, connection: u64) {
        if let Some(host) = self.0.borrow_mut().hosts.get_mut(id) {
            host.connected &= host.slot.borrow().connection != connection;
        }
    }

    pub(super) fn installed(&self, id: &HostId, sequence: u64) {
        if let Some(host) = self.0.borrow_mut().hosts.get_mut(id) {
            host.have = sequence;
        }
    }

    pub(super) async fn tell(&self, event: HubEvent) {
        let events = self.0.borrow().events.clone();
        // Nobody listens any more: the agent is ending.
        let _ended = events.send(event).await;
    }
}

fn newest(host: &Host) -> u64 {
    let slot = host.slot.borrow();
    slot.newest.as_ref().map_or(0, |newest| newest.sequence)
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

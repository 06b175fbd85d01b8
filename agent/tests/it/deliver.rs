//! Delivery over loopback: both ends speak the real channel.

use assay_agent::deliver::hub::Signed;
use assay_agent::deliver::{Hub, HubEvent, Stream, table};
use assay_api::channel::{FromAgent, FromHost, Inbox, VERSION, frame};
use assay_api::id::HostId;
use assay_tls::{CertKey, channel_client};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

const AGENT: [u8; 32] = [1; 32];

fn public(seed: &[u8; 32]) -> [u8; 32] {
    ed25519_dalek::SigningKey::from_bytes(seed)
        .verifying_key()
        .to_bytes()
}

fn host(n: u8) -> HostId {
    HostId::from_random(&[n; 16])
}

fn signed(sequence: u64) -> Signed {
    Signed {
        sequence,
        bytes: sequence.to_be_bytes().to_vec(),
    }
}

/// An agent's hub that listens at `at`, with host 2 (key seed 2) paired.
async fn hub(at: &str) -> (Hub, mpsc::Receiver<HubEvent>, String) {
    let (events, inbox) = mpsc::channel(8);
    let hub = Hub::new(CertKey::ed25519(&AGENT), events).unwrap();
    hub.pair(BTreeMap::from([(public(&[2; 32]), host(2))]))
        .unwrap();
    let listener = table::listen(at).await.unwrap();
    let address = listener.address();
    tokio::task::spawn_local(hub.clone().serve(listener));
    (hub, inbox, address)
}

struct Host {
    stream: tokio_rustls::client::TlsStream<Box<dyn Stream>>,
    inbox: Inbox,
}

impl Host {
    async fn connect(address: &str, seed: u8) -> std::io::Result<Self> {
        let stream: Box<dyn Stream> = match address.split_once(':').unwrap() {
            ("tcp", at) => Box::new(tokio::net::TcpStream::connect(at).await?),
            (_, at) => Box::new(tokio::net::UnixStream::connect(at).await?),
        };
        let config = channel_client(&CertKey::ed25519(&[seed; 32]), public(&AGENT)).unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect("agent".try_into().unwrap(), stream)
            .await?;
        Ok(Self {
            stream,
            inbox: Inbox::default(),
        })
    }

    async fn greeted(address: &str, sequence: u64) -> Self {
        let mut this = Self::connect(address, 2).await.unwrap();
        this.say(&FromHost::Hello {
            version: VERSION,
            host_id: host(2),
            sequence,
            not_after: None,
        })
        .await;
        assert_eq!(
            this.hear().await,
            Some(FromAgent::Hello { version: VERSION })
        );
        this
    }

    async fn say(&mut self, message: &FromHost) {
        self.stream
            .write_all(&frame(message).unwrap())
            .await
            .unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next message; `None` where the connection has ended.
    async fn hear(&mut self) -> Option<FromAgent> {
        loop {
            if let Some(message) = self.inbox.take().unwrap() {
                return Some(message);
            }
            let mut buffer = [0; 1024];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.inbox.push(&buffer[..read]),
            }
        }
    }

    async fn hears(&mut self, sequence: u64) {
        let manifest = sequence.to_be_bytes().to_vec();
        assert_eq!(self.hear().await, Some(FromAgent::Manifest { manifest }));
    }

    async fn hears_nothing(&mut self) {
        let heard = tokio::time::timeout(Duration::from_millis(100), self.hear()).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}

fn local(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let limited = async {
        tokio::time::timeout(Duration::from_secs(30), test)
            .await
            .unwrap();
    };
    runtime.block_on(tokio::task::LocalSet::new().run_until(limited));
}

#[test]
fn the_newest_manifest_reaches_the_host_once_over_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", dir.path().join("hosts.sock").display());
    for at in ["tcp:127.0.0.1:0", &unix] {
        local(async {
            let (hub, mut events, address) = hub(at).await;
            let mut one = Host::greeted(&address, 3).await;
            let asked = HubEvent::Asks {
                host: host(2),
                have: 3,
            };
            assert_eq!(events.recv().await, Some(asked));
            for sequence in [5, 4, 5, 3] {
                hub.offer(&host(2), signed(sequence));
            }
            one.hears(5).await;
            one.hears_nothing().await;
            hub.offer(&host(2), signed(6));
            one.hears(6).await;
            one.say(&FromHost::Report {
                sequence: 6,
                outcome: "ok".into(),
                detail: String::new(),
            })
            .await;
            let event = events.recv().await.unwrap();
            assert!(matches!(event, HubEvent::Report { sequence: 6, .. }));
            assert_eq!(hub.have()[&host(2)], 6);
            drop(one);
            // What it has is not sent again; what it has not, is.
            Host::greeted(&address, 6).await.hears_nothing().await;
            Host::greeted(&address, 0).await.hears(6).await;
        });
    }
}

#[test]
fn a_key_of_no_pairing_is_refused() {
    local(async {
        let (hub, _events, address) = hub("tcp:127.0.0.1:0").await;
        hub.offer(&host(2), signed(1));
        // TLS 1.3: the client hears of its refusal with the first read.
        if let Ok(mut stranger) = Host::connect(&address, 3).await {
            assert_eq!(stranger.hear().await, None);
        }
        assert!(!hub.list()[0].connected);
        // Nor does a host take another agent.
        let config = channel_client(&CertKey::ed25519(&[2; 32]), public(&[9; 32])).unwrap();
        let stream = tokio::net::TcpStream::connect(address.trim_start_matches("tcp:"))
            .await
            .unwrap();
        let refused = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect("agent".try_into().unwrap(), stream)
            .await;
        assert!(refused.is_err());
    });
}

#[test]
fn a_host_that_claims_another_id_is_refused() {
    local(async {
        let (hub, _events, address) = hub("tcp:127.0.0.1:0").await;
        hub.offer(&host(2), signed(1));
        let mut liar = Host::connect(&address, 2).await.unwrap();
        assert!(liar.hear().await.is_some());
        liar.say(&FromHost::Hello {
            version: VERSION,
            host_id: host(3),
            sequence: 0,
            not_after: None,
        })
        .await;
        assert_eq!(liar.hear().await, None);
    });
}

#[test]
fn i5_a_pairing_that_is_withdrawn_ends_the_connection() {
    local(async {
        let (hub, _events, address) = hub("tcp:127.0.0.1:0").await;
        let mut one = Host::greeted(&address, 0).await;
        hub.pair(BTreeMap::from([(public(&[4; 32]), host(4))]))
            .unwrap();
        assert_eq!(one.hear().await, None);
        if let Ok(mut again) = Host::connect(&address, 2).await {
            assert_eq!(again.hear().await, None);
        }
        // The same host under a new key is another connection too.
        hub.pair(BTreeMap::from([(public(&[2; 32]), host(2))]))
            .unwrap();
        let mut one = Host::greeted(&address, 0).await;
        hub.pair(BTreeMap::from([(public(&[5; 32]), host(2))]))
            .unwrap();
        assert_eq!(one.hear().await, None);
    });
}

#[test]
fn a_second_connection_of_a_host_replaces_the_first() {
    local(async {
        let (hub, _events, address) = hub("tcp:127.0.0.1:0").await;
        let mut one = Host::greeted(&address, 0).await;
        let mut two = Host::greeted(&address, 0).await;
        assert_eq!(one.hear().await, None);
        hub.offer(&host(2), signed(1));
        two.hears(1).await;
        assert!(hub.list()[0].connected);
    });
}

#[test]
fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let at = format!("unix:{}", path.display());
    local(async {
        let listener = table::listen(&at).await.unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o660);
        assert!(table::listen(&at).await.is_err());
        drop(listener);
        assert!(!path.exists());
    });
}

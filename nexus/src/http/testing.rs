//! A nexus to attack: the real one, in this process, over real TLS; and a client that says what it likes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use assay_api::dpop::{self, Request, request_digest};
use assay_api::htu::Htu;
use assay_api::id::{KeyId, OperatorId, TenantId};
use assay_api::problem::ProblemBody;
use assay_api::signer::{Ed25519Signer, RequestSigner};
use assay_api::types::PersonRole;
use assay_attest::time::Timestamp;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use crate::app::App;
use crate::config::Config;
use crate::random::SeededRandom;
use crate::store::people::{KeyState, OperatorKey, OperatorRow, OperatorState, RequestAlgorithm};
use crate::store::tenant::{Tenant, TenantState};
use crate::store::testing::Scratch;
use crate::store::{EntryDraft, Rows};
use crate::{serve, start};

pub(crate) const URL: &str = "https://nexus.test";

static SEED: AtomicU64 = AtomicU64::new(1);

/// A running nexus with its own store and clock.
pub(crate) struct World {
    pub(crate) scratch: Scratch,
    pub(crate) app: Arc<App>,
    pub(crate) runtime: Runtime,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// A person with a key.
pub(crate) struct Who {
    pub(crate) id: OperatorId,
    pub(crate) key: KeyId,
    pub(crate) signer: Ed25519Signer,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn problem(&self) -> ProblemBody {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{} {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn code(&self) -> String {
        if self.status == 200 {
            "ok".into()
        } else {
            self.problem().code
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = |l: &&str| {
            l.split_once(':')
                .is_some_and(|(n, _)| n.eq_ignore_ascii_case(name))
        };
        self.head
            .lines()
            .find(line)
            .and_then(|l| l.split_once(':'))
            .map(|(_, value)| value.trim())
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::over(Scratch::new())
    }

    fn over(scratch: Scratch) -> Self {
        let directory = scratch.path().parent().unwrap().display().to_string();
        let text =
            format!("data_dir = '{directory}'\nlisten = ['127.0.0.1:0']\npublic_urls = ['{URL}']");
        let config = Config::parse(&text).unwrap();
        // Never the same chance twice, as in life, even after a start.
        let random = Arc::new(SeededRandom::new(SEED.fetch_add(1, Ordering::Relaxed)));
        let app = Arc::new(start::app(config, scratch.open(), random).unwrap());
        // Proofs are in whole seconds and must be newer than the start.
        scratch.clock.advance(20_000);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = watch::channel(false);
        let (told, bound) = std::sync::mpsc::channel();
        let server =
            runtime.spawn({
                let app = app.clone();
                async move {
                    serve::serve(app, stopped, |addresses| told.send(addresses[0]).unwrap()).await
                }
            });
        let address = runtime.block_on(async {
            loop {
                if let Ok(address) = bound.try_recv() {
                    return address;
                }
                tokio::task::yield_now().await;
            }
        });
        Self {
            scratch,
            app,
            runtime,
            address,
            stop,
            server,
        }
    }

    /// Stops as SIGTERM does, and starts again over the same database.
    pub(crate) fn restart(self) -> Self {
        let Self {
            scratch,
            app,
            runtime,
            stop,
            server,
            ..
        } = self;
        stop.send(true).unwrap();
        runtime.block_on(server).unwrap().unwrap();
        drop(runtime);
        drop(app);
        Self::over(scratch)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.app.store.clock().now()
    }

    pub(crate) fn tenant(&self, n: u8) -> TenantId {
        let id = TenantId::from_random(&[n; 16]);
        let row = Tenant {
            id: id.to_string(),
            name: format!("tenant-{n}"),
            state: TenantState::Active,
            created: self.now(),
        };
        self.put(move |c| c.insert(&row));
        id
    }

    pub(crate) fn person(&self, n: u8, role: PersonRole, tenant: Option<&TenantId>) -> Who {
        let (id, key) = (
            OperatorId::from_random(&[n; 16]),
            KeyId::from_random(&[n; 16]),
        );
        let signer = Ed25519Signer::from_seed(&[n; 32], Some(key.to_string()));
        let (algorithm, public) = RequestAlgorithm::of(signer.jwk()).unwrap();
        let row = OperatorRow {
            id: id.clone(),
            name: format!("person {n}"),
            role,
            tenant: tenant.cloned(),
            state: OperatorState::Active,
            created: self.now(),
        };
        let key_row = OperatorKey {
            id: key.clone(),
            operator: id.clone(),
            thumbprint: *signer.jwk().thumbprint().as_bytes(),
            algorithm,
            public,
            label: "key".into(),
            state: KeyState::Active,
            created: self.now(),
        };
        self.put(move |c| {
            c.insert(&row)?;
            c.insert(&key_row)
        });
        Who { id, key, signer }
    }

    pub(crate) fn put(
        &self,
        deed: impl FnOnce(&mut crate::store::Change<'_, '_>) -> Result<(), crate::store::StoreFault>
        + Send
        + 'static,
    ) {
        self.app
            .store
            .write_blocking(move |tx| tx.change(EntryDraft::system("test.put", "test"), deed))
            .unwrap();
    }

    pub(crate) fn operator(&self, id: &OperatorId) -> OperatorRow {
        self.app.store.read_now(|r| r.get(id)).unwrap().unwrap()
    }

    /// The audit entries of this event, as JSON.
    pub(crate) fn entries(&self, event: &str) -> Vec<Value> {
        let filter = crate::store::audit::AuditFilter {
            event: Some(event.into()),
            ..Default::default()
        };
        let limit = 1000.try_into().unwrap();
        let entries = self
            .app
            .store
            .read_now(|r| r.audit().list(&filter, limit))
            .unwrap();
        entries
            .iter()
            .map(|e| serde_json::from_slice(&e.bytes).unwrap())
            .collect()
    }

    /// A request as this person's client makes it.
    pub(crate) fn ask(&self, who: &Who, method: &str, path: &str, body: &str) -> Reply {
        self.ask_with(who, method, path, body, &[])
    }

    pub(crate) fn ask_with(
        &self,
        who: &Who,
        method: &str,
        path: &str,
        body: &str,
        extra: &[(&str, &str)],
    ) -> Reply {
        let proof = self.proof(&who.signer, method, path, body, extra);
        let mut headers = vec![("dpop", proof.as_str())];
        headers.extend_from_slice(extra);
        self.send(method, path, &headers, body.as_bytes())
    }

    /// The proof that a client makes for this request.
    pub(crate) fn proof(
        &self,
        signer: &dyn RequestSigner,
        method: &str,
        path: &str,
        body: &str,
        extra: &[(&str, &str)],
    ) -> String {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let bypass = extra
            .iter()
            .find(|(n, _)| *n == dpop::BYPASS_HEADER)
            .map(|(_, v)| *v);
        let digest = (method != "GET").then(|| request_digest(query, body.as_bytes(), bypass));
        let mut jti = [0; 16];
        jti[..8].copy_from_slice(&SEED.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let target = Htu::parse(&format!("{URL}{path}")).unwrap();
        let request = Request {
            method,
            target: &target,
            now: self.now(),
            jti,
            digest,
            nonce: None,
            token: None,
        };
        dpop::prove(signer, &request).unwrap()
    }

    /// A request of exactly these headers.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nhost: nexus.test\r\nconnection: close\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let typed = headers
            .iter()
            .any(|(n, _)| n.eq_ignore_ascii_case("content-type"));
        if !body.is_empty() && !typed {
            text.push_str("content-type: application/json\r\n");
        }
        if method != "GET"
            && !headers
                .iter()
                .any(|(n, _)| n.eq_ignore_ascii_case("content-length"))
        {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        self.runtime
            .block_on(self.raw(&[text.as_bytes(), body].concat()))
    }

    /// These bytes over TLS, and what comes back.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let end = answer
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .unwrap_or(answer.len());
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or(0);
        Reply {
            status,
            head,
            body: answer.get(end + 4..).unwrap_or_default().to_vec(),
        }
    }

    pub(crate) async fn connect(
        &self,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let config =
            assay_tls::pinned_client(assay_tls::PinnedServer::new(self.app.tls.pins())).unwrap();
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("nexus.test").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

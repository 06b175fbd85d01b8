//! Requests as an attacker makes them: bytes over the pinned TLS, with whatever proof, as often as wanted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use assay_api::dpop::{self, request_digest};
use assay_api::problem::ProblemBody;
use assay_api::signer::RequestSigner;
use assay_attest::time::Timestamp;
use assay_tls::{PinnedServer, Pins, pinned_client};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::nexus::Nexus;
use crate::wait::secs;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The code of the problem, or nothing.
    #[must_use]
    pub fn code(&self) -> String {
        serde_json::from_slice::<ProblemBody>(&self.body)
            .map(|p| p.code)
            .unwrap_or_default()
    }
}

/// A request with its proof, fixed: it can be sent again as it is.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// Without a proof.
    #[must_use]
    pub fn bare(nexus: &Nexus, method: &str, path: &str, body: &[u8]) -> Self {
        Self::with(nexus, method, path, body, None)
    }

    /// With a proof by this key, for this request, made now.
    ///
    /// # Panics
    /// Where the key can't sign.
    #[must_use]
    pub fn proved(
        nexus: &Nexus,
        signer: &dyn RequestSigner,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Self {
        let mut jti = [0; 16];
        getrandom::fill(&mut jti).unwrap();
        let (plain, query) = path.split_once('?').unwrap_or((path, ""));
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let proof = dpop::prove(
            signer,
            &dpop::Request {
                method,
                target: &nexus.url().join(plain).unwrap(),
                now: Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap()),
                jti,
                digest: (method != "GET").then(|| request_digest(query, body, None)),
                nonce: None,
                token: None,
            },
        );
        Self::with(nexus, method, path, body, Some(&proof.unwrap()))
    }

    fn with(nexus: &Nexus, method: &str, path: &str, body: &[u8], proof: Option<&str>) -> Self {
        let proof = proof.map(|p| format!("DPoP: {p}\r\n")).unwrap_or_default();
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/json\r\n"
        };
        let length = body.len();
        let port = nexus.port();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n{proof}{kind}Content-Length: {length}\r\n\r\n"
        );
        Self {
            bytes: [head.as_bytes(), body].concat(),
        }
    }

    /// The same for a [`Session`]: the connection stays open.
    #[must_use]
    pub fn kept_open(self) -> Self {
        let text = String::from_utf8(self.bytes).unwrap_or_default();
        Self {
            bytes: text.replacen("Connection: close\r\n", "", 1).into_bytes(),
        }
    }

    /// Sends it over a connection of its own.
    ///
    /// # Panics
    /// Where there is no answer.
    #[must_use]
    pub fn send(&self, nexus: &Nexus) -> Answer {
        let mut stream = connect(nexus);
        stream.write_all(&self.bytes).unwrap();
        let mut answer = Vec::new();
        let _closed_without_notice = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&answer)));
        let status = std::str::from_utf8(&answer[9..12])
            .unwrap()
            .parse()
            .unwrap();
        Answer {
            status,
            body: answer[end + 4..].to_vec(),
        }
    }
}

/// One connection for many requests, one after the other.
#[derive(Debug)]
pub struct Session {
    stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

impl Session {
    /// Connects.
    ///
    /// # Panics
    /// Where that fails.
    #[must_use]
    pub fn open(nexus: &Nexus) -> Self {
        Self {
            stream: connect(nexus),
            buffer: vec![0; 64 * 1024],
        }
    }

    /// Sends a request that was [`Request::kept_open`], and gives the answer's status.
    ///
    /// # Panics
    /// Where there is no answer of at most 64 KiB.
    pub fn ask(&mut self, request: &Request) -> u16 {
        self.stream.write_all(&request.bytes).unwrap();
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).unwrap();
            assert!(read > 0, "the connection ended within an answer");
            filled += read;
            let so_far = &self.buffer[..filled];
            let Some(end) = so_far.windows(4).position(|w| w == b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(&so_far[..end]).unwrap();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.unwrap().parse().unwrap();
            if filled >= end + 4 + length {
                return head[9..12].parse().unwrap();
            }
        }
    }
}

fn connect(nexus: &Nexus) -> StreamOwned<ClientConnection, TcpStream> {
    let pins = Pins {
        current: nexus.pin(),
        next: None,
    };
    let config = pinned_client(PinnedServer::new(pins)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", nexus.port())).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(secs(30))).unwrap();
    StreamOwned::new(tls, socket)
}

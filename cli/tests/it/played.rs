//! A nexus that the test plays: real TLS under a pinned root, and answers as the test scripts them, hostile ones too.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use assay_api::log::LogKey;
use assay_attest::time::Timestamp;
use assay_tls::{CertKey, LeafSlot, Names, Validity, leaf, nexus_server, root, spki_pin};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::Person;

/// Status and body, for each call of one route in turn; the last goes on.
type Script = Vec<(u16, Value)>;

/// It runs until the test ends.
#[derive(Debug)]
pub(crate) struct Played {
    url: String,
    pin: [u8; 32],
    calls: Arc<Mutex<Vec<String>>>,
}

/// What is asked for, as `POST /v1/dpus/a/demand`, and what is answered.
#[derive(Debug, Default)]
struct Scene {
    scripts: BTreeMap<String, Script>,
    calls: Arc<Mutex<Vec<String>>>,
}

pub(crate) fn refusal(status: u16, code: &str, retryable: bool) -> (u16, Value) {
    let body = json!({
        "type": "about:blank", "title": "no", "status": status, "code": code, "detail": format!("because {code}"),
        "retryable": retryable, "request_id": "r-1",
    });
    (status, body)
}

impl Played {
    pub(crate) fn start(scripts: &[(&str, Script)]) -> Self {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let scene = Arc::new(Scene {
            scripts: scripts
                .iter()
                .map(|(call, script)| ((*call).to_owned(), script.clone()))
                .collect(),
            calls: Arc::clone(&calls),
        });
        let (ready, started) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let (acceptor, pin) = tls();
                ready
                    .send((listener.local_addr().unwrap().port(), pin))
                    .unwrap();
                while let Ok((tcp, _)) = listener.accept().await {
                    tokio::spawn(serve(tcp, acceptor.clone(), Arc::clone(&scene)));
                }
            });
        });
        let (port, pin) = started.recv().unwrap();
        Self {
            url: format!("https://127.0.0.1:{port}/"),
            pin,
            calls,
        }
    }

    /// Somebody who has joined it.
    pub(crate) fn person(&self, dir: &Path) -> Person {
        let person = Person::at(dir, "home");
        let log = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
        let log = LogKey::new("nexus.example/log", log.as_bytes()).unwrap();
        let key = dir.join("key");
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status()
            .unwrap();
        assert!(made.success());
        let pin: String = self.pin.iter().map(|b| format!("{b:02x}")).collect();
        let text = format!(
            "url = \"{}\"\npin = \"{pin}\"\npins_checked = {}\noperator_id = \"op-aaaaaaaaaaaaaaaaaaaaaaaaaa\"\n\
             key_id = \"k-aaaaaaaaaaaaaaaaaaaaaaaaaa\"\nname = \"Ada\"\nlog_key = \"{log}\"\n[key]\nfile = \"{}\"\n",
            self.url,
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
            key.display()
        );
        std::fs::create_dir_all(person.home.join("contexts")).unwrap();
        std::fs::write(person.home.join("contexts/lab.toml"), text).unwrap();
        person
    }

    /// How often a route was called.
    pub(crate) fn count(&self, call: &str) -> usize {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|one| *one == call).count()
    }
}

fn tls() -> (tokio_rustls::TlsAcceptor, [u8; 32]) {
    let validity = Validity {
        not_before: Timestamp::from_secs(1),
        not_after: Timestamp::from_secs(2),
    };
    let (root_key, leaf_key) = (
        CertKey::p256(&[1; 32]).unwrap(),
        CertKey::p256(&[2; 32]).unwrap(),
    );
    let root_cert = root(&root_key, [1; 16], validity).unwrap();
    let names = Names::parse(["127.0.0.1"]).unwrap();
    let leaf_cert = leaf(&root_cert, &root_key, &leaf_key, &names, [2; 16], validity).unwrap();
    let slot = LeafSlot::new(vec![leaf_cert, root_cert], leaf_key.to_rustls().unwrap()).unwrap();
    let config = nexus_server(slot).unwrap();
    let pin = spki_pin(&root_key.spki().unwrap());
    (tokio_rustls::TlsAcceptor::from(Arc::new(config)), pin)
}

async fn serve(tcp: TcpStream, acceptor: tokio_rustls::TlsAcceptor, scene: Arc<Scene>) {
    let Ok(mut stream) = acceptor.accept(tcp).await else {
        return;
    };
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, length)| length.parse().unwrap());
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let mut words = head.split(' ');
        let call = format!("{} {}", words.next().unwrap(), words.next().unwrap());
        let (status, body) = scene.answer(&call);
        let body = serde_json::to_vec(&body).unwrap();
        let kind = if status < 400 { "json" } else { "problem+json" };
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/{kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let whole = [head.as_bytes(), &body].concat();
        if stream.write_all(&whole).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

impl Scene {
    fn answer(&self, call: &str) -> (u16, Value) {
        let mut calls = self.calls.lock().unwrap();
        let before = calls.iter().filter(|one| *one == call).count();
        calls.push(call.to_owned());
        match self.scripts.get(call) {
            Some(script) => script[before.min(script.len() - 1)].clone(),
            None if call == "GET /health" => (200, json!({})),
            None => refusal(404, "not_found", false),
        }
    }
}

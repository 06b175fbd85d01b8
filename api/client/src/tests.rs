//! Against a real TLS server on loopback that checks proofs as the nexus does.

use super::*;
use assay_api::checks::SoftwareChecks;
use assay_api::dpop::{Expected, UncheckedProof, Window};
use assay_api::routes::call;
use assay_api::signer::{Ed25519Signer, P256Signer};
use assay_api::types::{Empty, InTenant, Reason, Text};
use assay_attest::time::Timestamp;
use assay_tls::{CertKey, LeafSlot, Names, Validity, leaf, nexus_server, root, spki_pin};
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The server's time, far from this machine's: 2033-05-18.
const NOW: Timestamp = Timestamp::from_secs(2_000_000_000);
const DATE: &str = "Date: Wed, 18 May 2033 03:33:20 GMT";

#[derive(Clone, Debug)]
struct Seen {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

struct Server {
    url: Htu,
    pin: NexusId,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Serves the answers in order (headers without length, and body), then closes.
async fn serve(answers: Vec<(&'static str, Vec<u8>)>) -> Server {
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
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(nexus_server(slot).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Htu::parse(&format!("https://{}/assay", listener.local_addr().unwrap())).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut answers = VecDeque::from(answers);
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(tcp).await else {
                continue;
            };
            while let Some(request) = read_request(&mut stream).await {
                log.lock().unwrap().push(request);
                let Some((head, body)) = answers.pop_front() else {
                    break;
                };
                let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
                let whole = [head.as_bytes(), &body].concat();
                if stream.write_all(&whole).await.is_err() || stream.flush().await.is_err() {
                    break;
                }
            }
        }
    });
    Server {
        url,
        pin: spki_pin(&root_key.spki().unwrap()),
        seen,
    }
}

async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Seen> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(bytes).unwrap();
    let mut lines = text.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|l| l.split_once(": "))
        .map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(n, _)| n == "content-length")
        .map_or(0, |(_, v)| v.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen {
        line,
        headers,
        body,
    })
}

impl Server {
    fn settings(&self, signer: Option<Arc<dyn RequestSigner>>) -> Settings {
        let pins = Pins {
            current: self.pin,
            next: None,
        };
        Settings {
            timeout: Duration::from_secs(5),
            ..Settings::new(self.url.clone(), pins, signer)
        }
    }

    fn client(&self) -> Client {
        Client::new(self.settings(Some(Arc::new(Ed25519Signer::from_seed(
            &[7; 32],
            Some("k-1".into()),
        )))))
        .unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Checks a proof as the nexus does, and gives it.
    fn check(&self, seen: &Seen, method: &str, path: &str) -> assay_api::dpop::Proof {
        let proof =
            UncheckedProof::from_headers(seen.header("dpop").iter().map(|p| p.as_bytes())).unwrap();
        let key = Ed25519Signer::from_seed(&[7; 32], None);
        let targets = [self.url.join(path).unwrap()];
        let expected = Expected {
            method,
            targets: &targets,
            now: NOW,
            window: Window::default(),
        };
        proof
            .check_signature(key.jwk(), &SoftwareChecks)
            .unwrap()
            .check_request(&expected)
            .unwrap()
    }
}

fn ok(body: &str) -> (&'static str, Vec<u8>) {
    (
        concat!(
            "200 OK\r\nContent-Type: application/json\r\n",
            "Date: Wed, 18 May 2033 03:33:20 GMT"
        ),
        body.into(),
    )
}

fn problem(code: &str, status: u16) -> Vec<u8> {
    let body = serde_json::json!({"type": "about:blank", "title": "t", "status": status, "code": code, "detail": "said the nexus",
        "retryable": false, "request_id": "q"});
    body.to_string().into_bytes()
}

const REFUSED: &str = concat!(
    "401 Unauthorized\r\nContent-Type: application/problem+json\r\n",
    "Date: Wed, 18 May 2033 03:33:20 GMT"
);

#[tokio::test]
async fn a_read_is_proved_with_the_servers_time_and_its_query_is_sent() {
    assert!(REFUSED.ends_with(DATE));
    let server = serve(vec![
        ok("{\"status\":\"ok\"}"),
        ok("{\"items\":[]}"),
        ok("{\"items\":[]}"),
    ])
    .await;
    let client = server.client();
    let request = InTenant {
        tenant: Some("acme corp".into()),
        ..InTenant::default()
    };
    let answer = client
        .call::<call::list_dpus>(None, &request)
        .await
        .unwrap();
    assert!(answer.body.items.is_empty());
    assert_eq!((answer.nexus_id, answer.date), (server.pin, Some(NOW)));
    client
        .call::<call::list_dpus>(None, &InTenant::default())
        .await
        .unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 3, "the time is asked for once");
    assert_eq!(seen[0].line, "GET /assay/health HTTP/1.1");
    assert!(seen[0].header("dpop").is_none());
    assert_eq!(
        seen[1].line,
        "GET /assay/v1/dpus?tenant=acme%20corp HTTP/1.1"
    );
    let (first, second) = (
        server.check(&seen[1], "GET", "/v1/dpus"),
        server.check(&seen[2], "GET", "/v1/dpus"),
    );
    assert_ne!(first.jti(), second.jti());
    assert!(
        first.check_digest("tenant=acme%20corp", b"", None).is_err(),
        "a read carries no digest"
    );
}

#[tokio::test]
async fn a_change_is_covered_by_its_digest_with_the_bypass_reason() {
    let body = "{\"id\":\"dm-aaaaaaaaaaaaaaaaaaaaaaaaaa\"}";
    let server = serve(vec![ok("{}"), ok(body)]).await;
    let extra = Extra {
        bypass: Some("the rack is on fire"),
        wait: Duration::ZERO,
    };
    let id = "d-aaaaaaaaaaaaaaaaaaaaaaaaaa";
    let _ = server
        .client()
        .call_with::<call::demand_proof>(
            Some(id),
            &Reason {
                reason: "why".into(),
            },
            extra,
        )
        .await;
    let seen = server.seen();
    assert_eq!(
        seen[1].line,
        format!("POST /assay/v1/dpus/{id}/demand HTTP/1.1")
    );
    assert_eq!(
        seen[1].header("x-force-bypass"),
        Some("the rack is on fire")
    );
    assert_eq!(seen[1].header("content-type"), Some("application/json"));
    assert_eq!(seen[1].body, br#"{"reason":"why"}"#);
    let proof = server.check(&seen[1], "POST", &format!("/v1/dpus/{id}/demand"));
    assert_eq!(
        proof.check_digest("", &seen[1].body, Some("the rack is on fire")),
        Ok(())
    );
    assert!(proof.check_digest("", &seen[1].body, None).is_err());
}

#[tokio::test]
async fn a_refusal_carries_its_problem_and_is_not_repeated() {
    let server = serve(vec![ok("{}"), (REFUSED, problem("auth.failed", 401))]).await;
    let error = server
        .client()
        .call::<call::whoami>(None, &Empty {})
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.status(), error.is_retryable()),
        ("auth.failed", Some(401), false)
    );
    assert_eq!(error.to_string(), "said the nexus");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_wrong_time_or_missing_nonce_is_mended_once() {
    // Health without a date: the clock's error is found with the refusal.
    let undated = ("200 OK\r\nContent-Type: application/json", b"{}".to_vec());
    let refused = (REFUSED, problem("dpop.time", 401));
    let server = serve(vec![undated, refused.clone(), ok("{\"items\":[]}")]).await;
    server
        .client()
        .call::<call::list_dpus>(None, &InTenant::default())
        .await
        .unwrap();
    server.check(&server.seen()[2], "GET", "/v1/dpus");

    let server = serve(vec![ok("{}"), refused.clone(), refused]).await;
    let error = server
        .client()
        .call::<call::whoami>(None, &Empty {})
        .await
        .unwrap_err();
    assert_eq!((error.code(), server.seen().len()), ("dpop.time", 3));

    let wants = concat!(
        "401 Unauthorized\r\nContent-Type: application/problem+json\r\nDPoP-Nonce: n-1\r\n",
        "Date: Wed, 18 May 2033 03:33:20 GMT"
    );
    let server = serve(vec![
        ok("{}"),
        (wants, problem("dpop.nonce", 401)),
        ok("{\"items\":[]}"),
    ])
    .await;
    server
        .client()
        .call::<call::list_dpus>(None, &InTenant::default())
        .await
        .unwrap();
    assert_eq!(
        server.check(&server.seen()[2], "GET", "/v1/dpus").nonce(),
        Some("n-1")
    );
}

#[tokio::test]
async fn the_secret_side_never_reaches_another_server() {
    let server = serve(vec![ok("{}")]).await;
    let mut settings = server.settings(None);
    settings.pins.current = [9; 32];
    let error = Client::new(settings)
        .unwrap()
        .call::<call::health>(None, &Empty {})
        .await
        .unwrap_err();
    assert_eq!(error.code(), "tls.other_root", "{error:?}");
    assert!(server.seen().is_empty());
    let mut settings = server.settings(None);
    settings.url = Htu::parse(&server.url.as_str().replace("127.0.0.1", "localhost")).unwrap();
    let error = Client::new(settings)
        .unwrap()
        .call::<call::health>(None, &Empty {})
        .await
        .unwrap_err();
    assert_eq!(error.code(), "client.tls", "{error:?}");
    let plain = Htu::parse("http://127.0.0.1:1").unwrap();
    let setup = Settings::new(
        plain,
        Pins {
            current: [9; 32],
            next: None,
        },
        None,
    );
    assert_eq!(Client::new(setup).unwrap_err().code(), "client.setup");
}

#[tokio::test]
async fn a_nexus_that_has_just_started_is_asked_again_with_a_newer_proof() {
    let refused = || (REFUSED, problem("dpop.before_start", 401));
    let server = serve(vec![ok("{}"), refused(), refused(), ok("{\"items\":[]}")]).await;
    let asked = std::time::Instant::now();
    server
        .client()
        .call::<call::list_dpus>(None, &InTenant::default())
        .await
        .unwrap();
    assert_eq!(server.seen().len(), 4);
    assert!(asked.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn answers_are_bounded_in_size_and_time_and_redirects_are_not_followed() {
    let server = serve(vec![(
        "200 OK\r\nContent-Type: text/plain",
        vec![b'x'; 4096],
    )])
    .await;
    let settings = Settings {
        max_answer: 4095,
        ..server.settings(None)
    };
    let error = Client::new(settings)
        .unwrap()
        .call::<call::metrics>(None, &Empty {})
        .await
        .unwrap_err();
    assert_eq!(error.code(), "client.answer_too_large");

    let server = serve(vec![(
        "302 Found\r\nLocation: https://127.0.0.1:1/",
        Vec::new(),
    )])
    .await;
    let error = Client::new(server.settings(None))
        .unwrap()
        .call::<call::health>(None, &Empty {})
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.status()),
        ("client.bad_answer", Some(302))
    );

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Htu::parse(&format!("https://{}", silent.local_addr().unwrap())).unwrap();
    let settings = Settings {
        url,
        timeout: Duration::from_millis(200),
        ..server.settings(None)
    };
    let error = Client::new(settings)
        .unwrap()
        .call::<call::health>(None, &Empty {})
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.is_retryable()),
        ("client.timeout", true)
    );

    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = Htu::parse(&format!("https://{gone}")).unwrap();
    let settings = Settings {
        url,
        ..server.settings(None)
    };
    let error = Client::new(settings)
        .unwrap()
        .call::<call::health>(None, &Empty {})
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.is_retryable()),
        ("client.unreachable", true),
        "{error}"
    );
}

#[tokio::test]
async fn text_is_text_and_an_empty_answer_is_empty() {
    let server = serve(vec![(
        "200 OK\r\nContent-Type: text/plain",
        b"up 1\n".to_vec(),
    )])
    .await;
    let client = Client::new(server.settings(None)).unwrap();
    let Text(text) = client
        .call::<call::metrics>(None, &Empty {})
        .await
        .unwrap()
        .body;
    assert_eq!(text, "up 1\n");
    let server = serve(vec![ok("{}"), ("204 No Content\r\nX: y", Vec::new())]).await;
    let id = Some("l-aaaaaaaaaaaaaaaaaaaaaaaaaa");
    server
        .client()
        .call::<call::acknowledge_lease>(id, &Empty {})
        .await
        .unwrap();
}

#[tokio::test]
async fn what_can_not_be_called_is_said_before_anything_is_sent() {
    let server = serve(vec![ok("{}")]).await;
    let client = Client::new(server.settings(None)).unwrap();
    for id in [
        None,
        Some(""),
        Some("../x"),
        Some(".."),
        Some("a b"),
        Some("a/b"),
        Some("a?b"),
    ] {
        assert_eq!(
            client
                .call::<call::show_dpu>(id, &Empty {})
                .await
                .unwrap_err()
                .code(),
            "client.setup",
            "{id:?}"
        );
    }
    assert_eq!(
        client
            .call::<call::whoami>(Some("x"), &Empty {})
            .await
            .unwrap_err()
            .code(),
        "client.setup"
    );
    assert!(server.seen().is_empty());
    let error = client
        .call::<call::whoami>(None, &Empty {})
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "this call needs a key, and there is none"
    );
}

#[tokio::test]
async fn a_key_without_a_name_travels_in_the_proof() {
    let server = serve(vec![ok("{}"), ok("{\"items\":[]}")]).await;
    let signer = Arc::new(P256Signer::from_scalar(&[3; 32], None).unwrap());
    let client = Client::new(server.settings(Some(signer.clone()))).unwrap();
    client
        .call::<call::list_dpus>(None, &InTenant::default())
        .await
        .unwrap();
    let seen = server.seen();
    let proof = UncheckedProof::parse(seen[1].header("dpop").unwrap().as_bytes()).unwrap();
    assert_eq!((proof.kid(), proof.jwk()), (None, Some(signer.jwk())));
}

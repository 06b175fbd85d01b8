//! What comes in is bounded and strict, what goes out tells no secret.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay_api::types::PersonRole;
use base64ct::{Base64UrlUnpadded, Encoding};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::testing::World;
use crate::serve;

#[test]
fn every_answer_has_its_time_and_its_name_and_is_kept_nowhere() {
    let world = World::new();
    for (method, path, status) in [
        ("GET", "/health", 200),
        ("GET", "/nowhere", 404),
        ("POST", "/health", 405),
        ("GET", "/v1//me", 400),
    ] {
        let reply = world.send(method, path, &[], b"");
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(
            reply.header("date"),
            Some("Thu, 01 Jan 2026 00:00:20 GMT"),
            "the nexus's clock, not another"
        );
        assert!(
            reply
                .header("x-request-id")
                .is_some_and(|id| id.len() == 35),
            "{path}"
        );
        if status != 200 {
            assert_eq!(
                reply.header("content-type"),
                Some("application/problem+json")
            );
            assert_eq!(
                reply.problem().request_id,
                reply.header("x-request-id").unwrap()
            );
        }
    }
}

#[test]
fn one_path_one_spelling() {
    let world = World::new();
    let who = world.person(1, PersonRole::SuperAdmin, None);
    for path in [
        "/v1/%6de",
        "/v1/me/",
        "/v1/./me",
        "/v1/../v1/me",
        "//v1/me",
        "/V1/me",
        "/v1/me;x",
    ] {
        let proof = world.proof(&who.signer, "GET", "/v1/me", "", &[]);
        assert!(
            [400, 404].contains(&world.send("GET", path, &[("dpop", &proof)], b"").status),
            "{path}"
        );
    }
}

#[test]
fn bodies_are_bounded_before_they_are_read() {
    let world = World::new();
    let who = world.person(1, PersonRole::SuperAdmin, None);
    let large = format!(r#"{{"name":"{}"}}"#, "a".repeat(70_000));
    assert_eq!(
        world.ask(&who, "POST", "/v1/tenants", &large).code(),
        "request.too_large"
    );
    let proof = world.proof(&who.signer, "POST", "/v1/tenants", "{}", &[]);
    let lying = world.send(
        "POST",
        "/v1/tenants",
        &[("dpop", &proof), ("content-length", "99999999")],
        b"",
    );
    assert_eq!(lying.code(), "request.too_large", "by its word alone");
    let chunked = format!(
        "POST /v1/tenants HTTP/1.1\r\nhost: nexus.test\r\nconnection: close\r\ndpop: {proof}\r\ntransfer-encoding: chunked\r\n\r\n11170\r\n{}\r\n0\r\n\r\n",
        "a".repeat(70_000)
    );
    let reply = world.runtime.block_on(world.raw(chunked.as_bytes()));
    assert_eq!(reply.code(), "request.too_large", "and without its word");
    for (body, expected) in [
        (r#"{"name":"a","more":1}"#, "request.malformed"),
        (r#"{"name":"a","name":"b"}"#, "request.malformed"),
        (r#"{"name":"A"}"#, "request.value"),
        ("{", "request.malformed"),
        ("", "request.malformed"),
    ] {
        assert_eq!(
            world.ask(&who, "POST", "/v1/tenants", body).code(),
            expected,
            "{body}"
        );
    }
    let typed = [("content-type", "text/plain")];
    assert_eq!(
        world
            .ask_with(&who, "POST", "/v1/tenants", "{}", &typed)
            .code(),
        "request.media_type"
    );
    assert_eq!(
        world.ask(&who, "GET", "/v1/tenants?limit=0", "").code(),
        "request.value"
    );
    assert_eq!(
        world
            .ask(&who, "GET", "/v1/tenants?limit=1&limit=2", "")
            .code(),
        "request.malformed"
    );
    assert_eq!(
        world.ask(&who, "GET", "/v1/tenants?nope=1", "").code(),
        "request.malformed"
    );
}

#[test]
fn two_lengths_and_endless_heads_are_refused() {
    let world = World::new();
    let heads = [
        "POST /v1/tenants HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"
            .to_owned(),
        format!(
            "GET /health HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n",
            "a".repeat(64 * 1024)
        ),
        format!(
            "GET /health HTTP/1.1\r\nhost: h\r\n{}\r\n",
            "x: y\r\n".repeat(100)
        ),
        "GET /health HTTP/1.1\r\nhost : h\r\n\r\n".to_owned(),
    ];
    for head in heads {
        let reply = world.runtime.block_on(world.raw(head.as_bytes()));
        assert!(
            (400..=431).contains(&reply.status) || reply.status == 0,
            "{} {head:.60}",
            reply.status
        );
    }
    let both = "POST /v1/tenants HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nhost: h\r\n\r\n";
    let reply = world.runtime.block_on(world.raw(both.as_bytes()));
    assert!(
        !String::from_utf8_lossy(&reply.body).contains("\"ok\""),
        "no request hides behind another"
    );
}

#[test]
fn tls_is_1_3_and_clear_text_is_nothing() {
    let world = World::new();
    world.runtime.block_on(async {
        let mut clear = tokio::net::TcpStream::connect(world.address())
            .await
            .unwrap();
        clear
            .write_all(b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), clear.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP"));
        let (_, session) = world.connect().await.unwrap().into_inner();
        assert_eq!(
            session.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_3)
        );
    });
}

#[test]
fn a_request_that_runs_ends_before_the_server_does() {
    let world = World::new();
    let who = world.person(1, PersonRole::SuperAdmin, None);
    assert_eq!(world.ask(&who, "GET", "/v1/me", "").status, 200);
    let world = world.restart();
    assert_eq!(world.ask(&who, "GET", "/v1/me", "").status, 200);
}

#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<u8>>>);

impl Write for Journal {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn i7_no_secret_in_an_answer_the_journal_or_the_audit_log() {
    let journal = Journal::default();
    let writer = journal.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _kept = tracing::subscriber::set_default(subscriber);
    let world = World::new();
    let who = world.person(1, PersonRole::SuperAdmin, None);
    let newcomer = assay_api::signer::Ed25519Signer::from_seed(&[9; 32], None);
    let secret = Base64UrlUnpadded::encode_string(&[0x5e; 32]);
    let mut answers = String::new();
    let bodies = [
        format!(r#"{{"secret":"{secret}"}}"#),
        format!(r#"{{"secret":"{secret}","{secret}":1}}"#),
        format!(r#"{{"secret":["{secret}"]}}"#),
        format!(r#"{{"secret":"{secret}!"}}"#),
        format!(r#""{secret}""#),
    ];
    for body in &bodies {
        for path in ["/v1/join/begin", "/v1/join/complete"] {
            let proof = world.proof(&newcomer, "POST", path, body, &[]);
            answers.push_str(&String::from_utf8_lossy(
                &world
                    .send("POST", path, &[("dpop", &proof)], body.as_bytes())
                    .body,
            ));
        }
        let value = body.replace("secret", "value");
        answers.push_str(&String::from_utf8_lossy(
            &world.ask(&who, "POST", "/v1/secrets", &value).body,
        ));
    }
    let invited = world
        .ask(
            &who,
            "POST",
            "/v1/invites",
            r#"{"name":"n","role":"super:admin"}"#,
        )
        .json();
    let token = invited["token"].as_str().unwrap().to_owned();
    world.runtime.block_on(serve::round(&world.app));
    let log = world
        .app
        .store
        .read_now(|r| r.audit().export(0, 10_000, usize::MAX))
        .unwrap()
        .0;
    let journal = String::from_utf8(journal.0.lock().unwrap().clone()).unwrap();
    let tail = token.rsplit('.').next().unwrap();
    for (place, text) in [
        ("answers", answers.as_str()),
        ("journal", &journal),
        ("audit", &String::from_utf8(log).unwrap()),
    ] {
        assert!(!text.is_empty(), "{place}");
        for hidden in [
            secret.as_str(),
            &token,
            tail,
            "-----BEGIN",
            "eyJ0eXAiOiJkcG9wK2p3dCI",
        ] {
            assert!(!text.contains(hidden), "{place} holds {hidden:.16}");
        }
    }
}

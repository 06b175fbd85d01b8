//! A proof is accepted once: at the same time, later, after a start.

use assay_api::types::PersonRole;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::testing::World;

const CREATE: &str = "/v1/tenants";

#[test]
fn i3_a_proof_for_a_change_is_taken_once_also_after_a_start() {
    let world = World::new();
    let who = world.person(1, PersonRole::SuperAdmin, None);
    let body = r#"{"name":"acme"}"#;
    let proof = world.proof(&who.signer, "POST", CREATE, body, &[]);
    let send = |world: &World| {
        world
            .send("POST", CREATE, &[("dpop", &proof)], body.as_bytes())
            .code()
    };
    assert_eq!(send(&world), "ok");
    assert_eq!(send(&world), "auth.failed");
    let world = world.restart();
    assert_eq!(send(&world), "auth.failed");
    assert_eq!(world.entries("tenant.create").len(), 1);
}

#[test]
fn i3_a_proof_whose_change_was_refused_is_spent_too() {
    let world = World::new();
    let tenant = world.tenant(1);
    let who = world.person(1, PersonRole::TenantAdmin, Some(&tenant));
    let body = r#"{"name":"acme"}"#;
    let proof = world.proof(&who.signer, "POST", CREATE, body, &[]);
    let send = || {
        world
            .send("POST", CREATE, &[("dpop", &proof)], body.as_bytes())
            .code()
    };
    assert_eq!(send(), "auth.forbidden");
    assert_eq!(send(), "auth.failed");
    let entries = world.entries("tenant.create");
    assert_eq!(
        entries.len(),
        1,
        "the denial stands in the log, the replay does not"
    );
    assert_eq!(
        (&entries[0]["decision"], &entries[0]["actor"]["id"]),
        (&"denied".into(), &who.id.as_str().into())
    );
}

#[test]
fn i3_proofs_for_reads_from_before_a_start_are_not_taken() {
    let world = World::new();
    let who = world.person(1, PersonRole::SuperAdmin, None);
    let now = world.proof(&who.signer, "GET", "/v1/me", "", &[]);
    assert_eq!(
        world.send("GET", "/v1/me", &[("dpop", &now)], b"").code(),
        "ok"
    );
    // Ahead of the clock by ten seconds: newer than the start that follows, and still taken once.
    world.scratch.clock.advance(10_000);
    let ahead = world.proof(&who.signer, "GET", "/v1/me", "", &[]);
    let nine = assay_attest::time::Timestamp::from_millis(world.now().as_millis() - 9_000);
    world.scratch.clock.set_wall(nine);
    assert_eq!(
        world.send("GET", "/v1/me", &[("dpop", &ahead)], b"").code(),
        "ok"
    );
    let world = world.restart();
    assert_eq!(
        world.send("GET", "/v1/me", &[("dpop", &now)], b"").code(),
        "dpop.before_start"
    );
    assert_eq!(
        world.send("GET", "/v1/me", &[("dpop", &ahead)], b"").code(),
        "auth.failed"
    );
}

#[test]
fn i3_of_many_at_once_exactly_one_wins() {
    let world = World::new();
    let who = world.person(1, PersonRole::SuperAdmin, None);
    let body = r#"{"name":"acme"}"#;
    let proof = world.proof(&who.signer, "POST", CREATE, body, &[]);
    let text = format!(
        "POST {CREATE} HTTP/1.1\r\nhost: nexus.test\r\nconnection: close\r\ndpop: {proof}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answers = world.runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..8 {
            streams.push(world.connect().await.unwrap());
        }
        for stream in &mut streams {
            stream.write_all(text.as_bytes()).await.unwrap();
        }
        let mut answers = Vec::new();
        for mut stream in streams {
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answers.push(String::from_utf8(answer).unwrap());
        }
        answers
    });
    assert_eq!(
        answers
            .iter()
            .filter(|a| a.starts_with("HTTP/1.1 200"))
            .count(),
        1
    );
    assert_eq!(
        answers
            .iter()
            .filter(|a| a.starts_with("HTTP/1.1 401"))
            .count(),
        7
    );
}

#[test]
fn i14_one_key_can_not_spend_anothers_proof_ids() {
    let world = World::new();
    let (a, b) = (
        world.person(1, PersonRole::SuperAdmin, None),
        world.person(2, PersonRole::SuperAdmin, None),
    );
    use assay_api::dpop::{self, Request};
    let target = assay_api::htu::Htu::parse("https://nexus.test/v1/me").unwrap();
    let same = |who: &crate::http::testing::Who| {
        let request = Request {
            method: "GET",
            target: &target,
            now: world.now(),
            jti: [7; 16],
            digest: None,
            nonce: None,
            token: None,
        };
        let proof = dpop::prove(&who.signer, &request).unwrap();
        world.send("GET", "/v1/me", &[("dpop", &proof)], b"").code()
    };
    assert_eq!(
        (same(&a).as_str(), same(&b).as_str(), same(&b).as_str()),
        ("ok", "ok", "auth.failed")
    );
}

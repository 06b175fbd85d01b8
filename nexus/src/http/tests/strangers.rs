//! Whoever is not known gets in nowhere, learns nothing, and fills nothing.

use assay_api::routes::{Endpoint, ROUTES, Role, Route, call};
use assay_api::signer::Ed25519Signer;
use assay_api::types::PersonRole;

use crate::http::testing::{Reply, World};
use crate::serve;

fn path(route: &Route) -> String {
    route.path_with("k-aaaaaaaaaaaaaaaaaaaaaaaaaa")
}

fn body(route: &Route) -> &'static str {
    if route.method == "GET" { "" } else { "{}" }
}

#[test]
fn every_row_but_the_open_ones_refuses_strangers() {
    let world = World::new();
    let nobody = Ed25519Signer::from_seed(&[99; 32], None);
    let unknown = Ed25519Signer::from_seed(&[99; 32], Some("k-aaaaaaaaaaaaaaaaaaaaaaaaaa".into()));
    for route in ROUTES.iter().filter(|r| !r.is_open()) {
        let (path, body) = (path(route), body(route));
        let without = world.send(route.method, &path, &[], body.as_bytes());
        assert_eq!(
            (without.status, without.code().as_str()),
            (401, "dpop.missing"),
            "{}",
            route.name
        );
        let newcomer = route.roles.contains(&Role::NewKey);
        let own_key = world.proof(&nobody, route.method, &path, body, &[]);
        let own_key = world.send(route.method, &path, &[("dpop", &own_key)], body.as_bytes());
        if newcomer {
            assert_eq!(
                own_key.code(),
                "request.malformed",
                "{}: let in as far as the body",
                route.name
            );
        } else {
            assert_eq!(
                (own_key.status, own_key.code().as_str()),
                (401, "dpop.no_key"),
                "{}",
                route.name
            );
        }
        let named = world.proof(&unknown, route.method, &path, body, &[]);
        let named = world.send(route.method, &path, &[("dpop", &named)], body.as_bytes());
        let expected = if newcomer {
            "dpop.no_key"
        } else {
            "auth.failed"
        };
        assert_eq!(
            (named.status, named.code().as_str()),
            (401, expected),
            "{}",
            route.name
        );
    }
    world.runtime.block_on(serve::round(&world.app));
    let entries = world.entries("auth.refused");
    assert!(
        (1..=4).contains(&entries.len()),
        "added up, not one by one: {}",
        entries.len()
    );
    assert!(
        entries
            .iter()
            .any(|e| e["code"] == "key.unknown" && e["actor"]["id"] == "127.0.0.0/24")
    );
}

#[test]
fn unknown_key_bad_signature_and_inactive_identity_look_the_same() {
    let world = World::new();
    let tenant = world.tenant(1);
    let known = world.person(1, PersonRole::Operator, Some(&tenant));
    let suspended = world.person(2, PersonRole::Operator, Some(&tenant));
    let revoked = world.person(3, PersonRole::Operator, Some(&tenant));
    let (operator, key) = (suspended.id.clone(), revoked.key.clone());
    world.put(move |c| {
        use crate::store::Rows;
        use crate::store::people::{KeyState, OperatorKey, OperatorRow, OperatorState};
        let mut operator: OperatorRow = c.get(&operator)?.unwrap();
        operator.state = OperatorState::Suspended;
        c.update(&operator)?;
        let mut key: OperatorKey = c.get(&key)?.unwrap();
        key.state = KeyState::Revoked;
        c.update(&key)
    });
    let unknown = Ed25519Signer::from_seed(&[9; 32], Some("k-haaaaaaaaaaaaaaaaaaaaaaaaa".into()));
    let forger = Ed25519Signer::from_seed(&[9; 32], Some(known.key.to_string()));
    let shown = |reply: Reply| {
        let mut problem = reply.problem();
        problem.request_id = String::new();
        let challenge = reply.header("www-authenticate").unwrap().to_owned();
        (
            reply.status,
            challenge,
            serde_json::to_string(&problem).unwrap(),
        )
    };
    let ask = |signer: &Ed25519Signer| {
        let proof = world.proof(signer, "GET", "/v1/me", "", &[]);
        shown(world.send("GET", "/v1/me", &[("dpop", &proof)], b""))
    };
    let expected = ask(&unknown);
    assert_eq!(expected.0, 401);
    for signer in [&forger, &suspended.signer, &revoked.signer] {
        assert_eq!(ask(signer), expected);
    }
    assert_eq!(world.ask(&known, "GET", "/v1/me", "").status, 200);
    world.runtime.block_on(serve::round(&world.app));
    let steps: Vec<String> = world
        .entries("auth.refused")
        .iter()
        .map(|e| e["code"].as_str().unwrap().to_owned())
        .collect();
    for step in [
        "key.unknown",
        "dpop.signature",
        "operator.suspended",
        "key.revoked",
    ] {
        assert!(
            steps.iter().any(|s| s == step),
            "the audit log knows the step {step}: {steps:?}"
        );
    }
}

#[test]
fn open_rows_tell_nothing_of_anybody() {
    let world = World::new();
    let tenant = world.tenant(1);
    world.person(1, PersonRole::TenantAdmin, Some(&tenant));
    for route in ROUTES.iter().filter(|r| r.is_open()) {
        let reply = world.send("GET", route.path, &[], b"");
        assert_eq!(
            reply.status,
            200,
            "{}: {}",
            route.name,
            String::from_utf8_lossy(&reply.body)
        );
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(
            !text.contains(tenant.as_str()) && !text.contains("person 1"),
            "{}",
            route.name
        );
    }
    let trust = world.send("GET", "/v1/trust", &[], b"").json();
    use base64ct::{Base64UrlUnpadded, Encoding};
    assert_eq!(
        trust["root"],
        Base64UrlUnpadded::encode_string(&world.app.nexus_id)
    );
    let document = world.send("GET", "/openapi.json", &[], b"").json();
    assert_eq!(
        document["paths"]["/v1/me"]["get"]["operationId"],
        call::whoami::ROUTE.name
    );
    let metrics = String::from_utf8(world.send("GET", "/metrics", &[], b"").body).unwrap();
    assert!(
        metrics.contains("assay_nexus_answers_total{route=\"trust\",code=\"ok\"} 2"),
        "{metrics}"
    );
}

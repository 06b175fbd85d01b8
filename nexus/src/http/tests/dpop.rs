//! The negative list of the OpenID Foundation's FAPI 2 suite for DPoP, over HTTP, and what Assay adds to it.

use assay_api::dpop::request_digest;
use assay_api::jose::{build, encode};
use assay_api::signer::RequestSigner;
use assay_api::types::PersonRole;
use serde_json::{Value, json};

use crate::http::testing::{URL, Who, World};

struct Bench {
    world: World,
    who: Who,
}

impl Bench {
    fn new() -> Self {
        let world = World::new();
        let who = world.person(1, PersonRole::SuperAdmin, None);
        Self { world, who }
    }

    /// A proof for `GET /v1/me`, properly signed, with header and claims changed.
    fn forged(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let mut header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "kid": self.who.key.as_str()});
        let jti = encode(&self.world.app.random.bytes::<16>().unwrap());
        let now = self.world.now().as_secs();
        let mut claims =
            json!({"jti": jti, "htm": "GET", "htu": format!("{URL}/v1/me"), "iat": now});
        change(&mut header, &mut claims);
        let sign = |m: &[u8]| self.who.signer.sign(m);
        build(
            header.to_string().as_bytes(),
            claims.to_string().as_bytes(),
            sign,
        )
        .unwrap()
    }

    fn outcome(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let proof = self.forged(change);
        self.world
            .send("GET", "/v1/me", &[("dpop", &proof)], b"")
            .code()
    }
}

#[test]
fn fapi_what_must_be_accepted() {
    let bench = Bench::new();
    let now = bench.world.now().as_secs();
    assert_eq!(bench.outcome(|_, _| ()), "ok");
    let proof = bench.forged(|_, _| ());
    assert_eq!(
        bench
            .world
            .send("GET", "/v1/me", &[("DPoP", &proof)], b"")
            .code(),
        "ok",
        "upper case header name"
    );
    for htu in [
        "https://nexus.test/v1/me?a=b#c",
        "HTTPS://NEXUS.test/v1/me",
        "https://nexus.test:443/v1/me",
    ] {
        assert_eq!(bench.outcome(|_, c| c["htu"] = json!(htu)), "ok", "{htu}");
    }
    assert_eq!(
        bench.outcome(|h, c| (h["extra"], c["extra"]) = (json!(1), json!([]))),
        "ok"
    );
    for iat in [now - 10, now + 8, now + 10] {
        assert_eq!(bench.outcome(|_, c| c["iat"] = json!(iat)), "ok", "{iat}");
    }
    assert_eq!(
        bench.outcome(|_, c| (c["exp"], c["nbf"]) = (json!(now + 60), json!(now - 10))),
        "ok"
    );
    assert_eq!(bench.outcome(|h, _| h["alg"] = json!("Ed25519")), "ok");
    let jwk = serde_json::to_value(bench.who.signer.jwk()).unwrap();
    assert_eq!(
        bench.outcome(|h, _| h["jwk"] = jwk),
        "ok",
        "both, and the same"
    );
    assert_eq!(bench.outcome(|_, _| ()), "ok", "final sanity proof");
}

#[test]
fn fapi_what_must_be_refused() {
    let bench = Bench::new();
    let now = bench.world.now().as_secs();
    let send = |headers: &[(&str, &str)]| bench.world.send("GET", "/v1/me", headers, b"").code();
    let (one, two) = (bench.forged(|_, _| ()), bench.forged(|_, _| ()));
    assert_eq!(send(&[("dpop", &one), ("dpop", &two)]), "dpop.several");
    assert_eq!(
        send(&[("dpop", &format!("{one}, {two}"))]),
        "dpop.malformed"
    );
    assert_eq!(send(&[]), "dpop.missing");
    assert_eq!(
        send(&[("authorization", &format!("Bearer {one}"))]),
        "dpop.missing"
    );
    for malformed in [
        "",
        "x",
        "a.b",
        "a.b.c.d",
        "....",
        &one.replace('.', "="),
        &format!("{one}="),
        &"a".repeat(9000),
    ] {
        assert_eq!(
            send(&[("dpop", malformed)]),
            "dpop.malformed",
            "{malformed:.20}"
        );
    }
    for typ in [json!(null), json!("dpop+jwt+wrongyousee"), json!("JWT")] {
        assert_eq!(bench.outcome(|h, _| h["typ"] = typ), "dpop.type");
    }
    for alg in [
        json!(null),
        json!("none"),
        json!("HS256"),
        json!("RS256"),
        json!("PS256"),
    ] {
        assert_eq!(bench.outcome(|h, _| h["alg"] = alg), "dpop.malformed");
    }
    assert_eq!(
        bench.outcome(|h, _| h["alg"] = json!("ES256")),
        "auth.failed",
        "not the key's algorithm"
    );
    assert_eq!(
        bench.outcome(|h, _| h["crit"] = json!(["x"])),
        "dpop.malformed"
    );
    assert_eq!(
        bench.outcome(|h, _| drop(h.as_object_mut().unwrap().remove("kid"))),
        "dpop.no_key"
    );
    let other = serde_json::to_value(assay_api::jose::Jwk::ed25519([3; 32])).unwrap();
    assert_eq!(
        bench.outcome(|h, _| h["jwk"] = other.clone()),
        "auth.failed",
        "another key than the registered one"
    );
    let mut private = other;
    private["d"] = json!("AA");
    assert_eq!(bench.outcome(|h, _| h["jwk"] = private), "dpop.malformed");
    for claim in ["jti", "htm", "htu", "iat"] {
        assert_eq!(
            bench.outcome(|_, c| drop(c.as_object_mut().unwrap().remove(claim))),
            "dpop.claim"
        );
        assert_eq!(bench.outcome(|_, c| c[claim] = json!(true)), "dpop.claim");
    }
    assert_eq!(bench.outcome(|_, c| c["htm"] = json!("PUT")), "dpop.method");
    assert_eq!(bench.outcome(|_, c| c["htm"] = json!("get")), "dpop.method");
    for htu in [
        "https://evil.test/v1/me",
        "http://nexus.test/v1/me",
        "https://nexus.test/v1/me/",
        "https://nexus.test/v1/tenants",
    ] {
        assert_eq!(
            bench.outcome(|_, c| c["htu"] = json!(htu)),
            "dpop.target",
            "{htu}"
        );
    }
    for iat in [now - 3600, now - 61, now + 16, now + 3600] {
        assert_eq!(
            bench.outcome(|_, c| c["iat"] = json!(iat)),
            "dpop.time",
            "{iat}"
        );
    }
    assert_eq!(bench.outcome(|_, c| c["exp"] = json!(now)), "dpop.expired");
    let mut bad = bench.forged(|_, _| ());
    let flipped = if bad.ends_with('A') { "Q" } else { "A" };
    bad.replace_range(bad.len() - 1.., flipped);
    assert!(["auth.failed", "dpop.malformed"].contains(&send(&[("dpop", &bad)]).as_str()));
    let used = bench.forged(|_, _| ());
    assert_eq!(
        (
            send(&[("dpop", &used)]).as_str(),
            send(&[("dpop", &used)]).as_str()
        ),
        ("ok", "auth.failed"),
        "jti re-use"
    );
    let forwarded = [
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("host", "evil.test"),
    ];
    let lured = bench.forged(|_, c| c["htu"] = json!("https://evil.test/v1/me"));
    let headers: Vec<_> = forwarded
        .into_iter()
        .chain([("dpop", lured.as_str())])
        .collect();
    assert_ne!(send(&headers), "ok", "the target comes from configuration");
}

/// Query, body and bypass reason are covered; without the digest nothing changes.
#[test]
fn what_a_change_carries_is_what_was_signed() {
    let bench = Bench::new();
    let (world, who) = (&bench.world, &bench.who);
    let (path, body) = ("/v1/tenants", r#"{"name":"acme"}"#);
    let proof = || world.proof(&who.signer, "POST", path, body, &[]);
    let send = |path: &str, proof: &str, extra: &[(&str, &str)], body: &str| {
        let mut headers = vec![("dpop", proof)];
        headers.extend_from_slice(extra);
        world.send("POST", path, &headers, body.as_bytes()).code()
    };
    assert_eq!(
        send(path, &proof(), &[], r#"{"name":"evil"}"#),
        "dpop.digest"
    );
    assert_eq!(
        send(path, &proof(), &[], r#"{"name":"acme"} "#),
        "dpop.digest"
    );
    assert_eq!(send(path, &proof(), &[], ""), "dpop.digest");
    assert_eq!(send("/v1/tenants?x=1", &proof(), &[], body), "dpop.digest");
    let without =
        bench.forged(|_, c| (c["htm"], c["htu"]) = (json!("POST"), json!(format!("{URL}{path}"))));
    assert_eq!(
        send(path, &without, &[], body),
        "dpop.digest",
        "absent is not a digest of nothing"
    );
    assert_eq!(
        send(path, &proof(), &[("x-force-bypass", "because I can")], body),
        "request.bypass",
        "not a release"
    );
    assert_eq!(
        world.ask(who, "GET", "/v1/tenants", "").json()["items"],
        json!([]),
        "nothing changed"
    );
    assert_eq!(send(path, &proof(), &[], body), "ok");
    let asked = world.ask_with(who, "GET", path, "", &[("x-force-bypass", "because I can")]);
    assert_eq!(asked.code(), "request.bypass", "nor is a read");

    let release = "/v1/dpus/none/push";
    let body = r#"{"ssh_ca":"x"}"#;
    let reason = [("x-force-bypass", "because I can")];
    let signed_without = world.proof(&who.signer, "POST", release, body, &[]);
    assert_eq!(
        send(release, &signed_without, &reason, body),
        "dpop.digest",
        "a bypass that was not signed"
    );
    let signed_with = world.proof(&who.signer, "POST", release, body, &reason);
    assert_eq!(
        send(release, &signed_with, &[], body),
        "dpop.digest",
        "nor one taken away"
    );
    for (reason, expected) in [
        ("short", "request.bypass"),
        (&*"x".repeat(513), "request.bypass"),
        ("because I can", "not_found"),
    ] {
        let extra = [("x-force-bypass", reason)];
        assert_eq!(
            world.ask_with(who, "POST", release, body, &extra).code(),
            expected
        );
    }
    let twice = [
        ("x-force-bypass", "because I can"),
        ("x-force-bypass", "because I can"),
    ];
    assert_eq!(
        world.ask_with(who, "POST", release, body, &twice).code(),
        "request.header"
    );
    assert_ne!(
        request_digest("", b"", None),
        request_digest("", b"x", None)
    );
}

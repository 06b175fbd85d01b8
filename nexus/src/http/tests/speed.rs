//! What a read costs, beside one bare check of an Ed25519 signature: `make bench`.

use assay_api::id::DeviceId;
use assay_api::signer::RequestSigner as _;
use assay_api::types::PersonRole;
use assay_attest::key::PublicKey;
use assay_attest::standing::State;
use axum::body::Body;
use axum::http::Request;
use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signature, VerifyingKey};
use tower::ServiceExt as _;

use crate::bar::{Bars, median, micros_of, told};
use crate::http::frame::Peer;
use crate::http::mount;
use crate::http::testing::{Who, World};
use crate::store::devices::{Device, Effects, KeyHeld, Lifecycle, RootLevel, Runtime, Words};

const ROUNDS: usize = 41;
const EACH: usize = 100;

/// A verified device of the tenant's.
fn device(world: &World, tenant: &assay_api::id::TenantId) -> DeviceId {
    let (id, now) = (DeviceId::from_random(&[7; 16]), world.now());
    let row = Device {
        id: id.clone(),
        tenant: tenant.clone(),
        name: "dpu-a".into(),
        serial: "SN0001".into(),
        lifecycle: Lifecycle::Active,
        attestation: State::Verified,
        reasons: Words::default(),
        fresh_from: now,
        fresh_until: now.plus_millis(1 << 40),
        proved_at: Some(now),
        barrier: now,
        demand_until: None,
        result: None,
        evidence: Some([1; 32]),
        reference: None,
        dice: Some([2; 32]),
        erot: None,
        ek_name: Some(vec![3; 34]),
        ek_spki: Some([4; 32]),
        ak_name: Some(vec![5; 34]),
        ek_ends: None,
        pcrs: Words::of(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "11"]),
        tpm_reset: Some(1),
        tpm_restart: Some(0),
        tpm_clock: Some(1_000_000),
        root: RootLevel::Operator,
        key_level: KeyHeld::Tpm,
        runtime: Runtime::Measured,
        hpke: Some(vec![6; 34]),
        channel_key: Some([8; 32]),
        epoch: 1,
        effects: Effects::None,
    };
    world.put(move |c| c.insert(&row));
    id
}

/// A proof's signing input and signature, as the bare check takes them.
fn parts(proof: &str) -> (String, Signature) {
    let (signed, signature) = proof.rsplit_once('.').unwrap();
    let bytes = Base64UrlUnpadded::decode_vec(signature).unwrap();
    (signed.to_owned(), Signature::from_slice(&bytes).unwrap())
}

/// CPU time of one read and of one bare check, in microseconds: medians of rounds that take turns.
fn costs(world: &World, who: &Who, path: &str) -> (f64, f64) {
    let router = mount::router(world.app.clone());
    let PublicKey::Ed25519(key) = who.signer.jwk().public_key() else {
        panic!("people here have Ed25519 keys");
    };
    let key = VerifyingKey::from_bytes(key).unwrap();
    let (mut reads, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Proofs are remembered for 75 s, at most 4096 of one key.
        world.scratch.clock.advance(80_000);
        world.app.replay.sweep(world.now());
        let proofs: Vec<String> = (0..EACH)
            .map(|_| world.proof(&who.signer, "GET", path, "", &[]))
            .collect();
        let checks: Vec<_> = proofs.iter().map(|p| parts(p)).collect();
        bare.push(micros_of(|| {
            for (signed, signature) in &checks {
                key.verify_strict(signed.as_bytes(), signature).unwrap();
            }
        }));
        let requests: Vec<_> = proofs
            .iter()
            .map(|proof| {
                let request = Request::get(path).header("dpop", proof);
                let peer = Peer([127, 0, 0, 1].into());
                request.extension(peer).body(Body::empty()).unwrap()
            })
            .collect();
        reads.push(micros_of(|| {
            for request in requests {
                let answer = world.runtime.block_on(router.clone().oneshot(request));
                assert_eq!(answer.unwrap().status(), 200);
            }
        }));
    }
    let each = |all: Vec<f64>| median(all) / 100.0;
    (each(reads), each(bare))
}

#[test]
#[ignore = "measures"]
fn a_read() {
    let world = World::new();
    let tenant = world.tenant(1);
    let who = world.person(2, PersonRole::TenantAdmin, Some(&tenant));
    let dpu = format!("/v1/dpus/{}", device(&world, &tenant));
    let mut bars = Bars::default();
    for (what, path) in [("whoami", "/v1/me"), ("show_dpu", dpu.as_str())] {
        let (read, bare) = costs(&world, &who, path);
        told(
            what,
            &format!("{read:.1} us of CPU; verify_strict {bare:.1} us"),
        );
        bars.at_most(
            &format!("one read, in process ({what})"),
            read / bare,
            2.0,
            "verify_strict",
        );
    }
    bars.done();
}

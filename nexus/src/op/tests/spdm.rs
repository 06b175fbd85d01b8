//! Signed SPDM measurements of the DPU's own roots of trust, as its management controller gives them: beside the TPM, and without.

use std::sync::Arc;

use assay_api::bundle;
use assay_api::jose::Jwk;
use assay_api::types::*;
use assay_attest::attester::dice::{SoftwareDice, SoftwareFactory};
use assay_attest::chain::TrustAnchors;
use assay_attest::codec::x509::Certificate;
use assay_attest::digest::{HashAlg, sha256};
use assay_attest::standing::StaleAfter;
use assay_checks::AwsLc;

use super::machine::Measured;
use super::world::*;
use crate::op;
use crate::verifier::{Anchors, RESULT_KEY, Verifier};

fn factory() -> SoftwareFactory {
    SoftwareFactory::new(&[5; 32], crate::store::testing::START).unwrap()
}

fn anchors() -> TrustAnchors {
    TrustAnchors::from_vec(vec![factory().anchor("lab").unwrap()]).unwrap()
}

fn root(uds: u8, firmware: &'static [u8]) -> Measured {
    let uds = [uds; 32];
    let provisioned = factory()
        .provision(&SoftwareDice::rom_key(&uds).unwrap())
        .unwrap();
    let layers = [
        HashAlg::Sha384.hash(&[b"first"]),
        HashAlg::Sha384.hash(&[b"runtime"]),
    ];
    let dice = SoftwareDice::boot(&uds, &provisioned, &layers).unwrap();
    (Arc::new(dice), firmware)
}

fn key_of(root: &Measured) -> Vec<u8> {
    let certificates = root.0.certificates();
    let rom = Certificate::parse(&certificates[3]).unwrap();
    sha256(&[rom.spki()]).to_vec()
}

async fn world() -> World {
    let anchors = Anchors {
        ek: None,
        dice: Some(anchors()),
    };
    World::with(Verifier::new(anchors, StaleAfter::DEFAULT)).await
}

/// A DPU whose management controller is asked for both of its roots.
fn dpu(seed: u8) -> Machine {
    let mut machine = Machine::new(seed);
    machine.irot = Some(root(seed, b"psc"));
    machine.erot = Some(root(seed + 100, b"bmc"));
    machine
}

async fn evidence(world: &World) -> EvidenceBundle {
    let ctx = world.ctx(&world.acme.admin, "show_evidence", Some("dpu-a"));
    op::show_evidence(ctx, Empty {}).await.unwrap().into_inner()
}

fn result_key(world: &World) -> Jwk {
    let key = world
        .app
        .store
        .read_now(|r| crate::store::signing_key::active(r, "", RESULT_KEY))
        .map_err(|e: crate::store::StoreFault| e)
        .unwrap();
    Jwk::ed25519(key.unwrap().public.as_slice().try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn measurements_of_both_roots_and_a_quote_make_a_good_proof() {
    let world = world().await;
    let mut machine = dpu(1);
    let secret = world.claim("dpu-a", &machine).await;
    let enrolled = world.enrol_with(&mut machine, &secret).await.unwrap();
    assert_eq!(enrolled.verdict.root, "operator");
    let taken = world.take("dpu-a", "golden", &[]).await.unwrap();
    for name in ["spdm.irot.mb.2", "spdm.erot.mb.2"] {
        assert!(taken.components.iter().any(|c| c.name == name), "{name}");
    }
    world.pass(1);
    let verdict = world.prove(&machine).await.unwrap();
    assert_eq!(
        (verdict.verdict.as_str(), verdict.key.as_str()),
        ("verified", "tpm")
    );
    let irot = machine.irot.as_ref().unwrap();
    assert_eq!(world.show("dpu-a").await.dice, Some(B64(key_of(irot))));

    // The lot of it can be verified elsewhere; with another eRoT in it, it can't.
    let whole = evidence(&world).await;
    let erot = machine.erot.as_ref().unwrap();
    assert_eq!(whole.erot_key, Some(B64(key_of(erot))));
    let key = result_key(&world);
    bundle::verify(&whole, &key, Some(&anchors()), &AwsLc).unwrap();
    let mut other = whole.clone();
    other.erot_key = Some(B64(vec![7; 32]));
    let fault = bundle::verify(&other, &key, Some(&anchors()), &AwsLc).unwrap_err();
    assert_eq!(fault.code(), "dice.other_device");

    // Other firmware in either is authentic and contraindicated.
    for changed in [
        Machine {
            irot: Some(root(1, b"rootkit")),
            ..machine.clone()
        },
        Machine {
            erot: Some(root(101, b"rootkit")),
            ..machine.clone()
        },
    ] {
        world.pass(1);
        assert_eq!(world.prove(&changed).await.unwrap().verdict, "failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_an_erot_that_was_shown_is_required_and_is_this_ones() {
    let world = world().await;
    let mut machine = dpu(1);
    let secret = world.claim("dpu-a", &machine).await;
    world.enrol_with(&mut machine, &secret).await.unwrap();
    world.take("dpu-a", "golden", &[]).await.unwrap();
    world.pass(1);
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "verified");
    for stripped in [
        Machine {
            erot: None,
            ..machine.clone()
        },
        Machine {
            irot: None,
            ..machine.clone()
        },
    ] {
        assert_eq!(
            code(world.prove(&stripped).await),
            "evidence.required_missing"
        );
    }
    assert_eq!(world.show("dpu-a").await.attestation, "verified");
    // The same firmware, in another card's root of trust.
    let mixed = Machine {
        erot: Some(root(102, b"bmc")),
        ..machine.clone()
    };
    assert_eq!(code(world.prove(&mixed).await), "dice.other_device");
    assert_eq!(world.show("dpu-a").await.attestation, "quarantined");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erot_that_comes_later_is_pinned_by_a_good_proof_and_is_nobody_elses() {
    let world = world().await;
    let mut machine = dpu(1);
    machine.erot = None;
    let secret = world.claim("dpu-a", &machine).await;
    world.enrol_with(&mut machine, &secret).await.unwrap();
    world.take("dpu-a", "golden", &["dpu-a"]).await.unwrap();
    world.pass(1);
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "verified");
    assert!(world.row(machine.id()).erot.is_none());
    let both = Machine {
        erot: Some(root(101, b"bmc")),
        ..machine.clone()
    };
    world.pass(1);
    assert_eq!(world.prove(&both).await.unwrap().verdict, "verified");
    world.pass(1);
    assert_eq!(
        code(world.prove(&machine).await),
        "evidence.required_missing"
    );

    let mut second = dpu(2);
    second.erot.clone_from(&both.erot);
    let secret = world.claim("dpu-b", &second).await;
    assert_eq!(
        step(world.enrol_with(&mut second, &secret).await),
        "enrol.identity_taken"
    );
    second.erot = None;
    world.enrol_with(&mut second, &secret).await.unwrap();
    second.erot.clone_from(&both.erot);
    assert_eq!(step(world.prove(&second).await), "enrol.identity_taken");
}

/// Without a TPM the request key is vouched for through the SPDM nonce only: that is said, and the default policy refuses it.
#[tokio::test(flavor = "multi_thread")]
async fn measurements_alone_are_a_proof_of_a_device_whose_key_is_not_in_it() {
    let world = world().await;
    let mut machine = dpu(1);
    machine.quotes = false;
    let item = ClaimItem {
        dice: Some(B64(key_of(machine.irot.as_ref().unwrap()))),
        ..World::item("dpu-a", &machine)
    };
    let made = world.claims(&world.acme.admin, vec![item]).await.unwrap();
    let secret = secret_of(&made[0]);
    let enrolled = world.enrol_with(&mut machine, &secret).await.unwrap();
    assert_eq!(
        (enrolled.lifecycle.as_str(), enrolled.verdict.key.as_str()),
        ("active", "nonce")
    );
    world.take("dpu-a", "golden", &[]).await.unwrap();
    world.pass(1);
    let verdict = world.prove(&machine).await.unwrap();
    assert_eq!(
        (verdict.verdict.as_str(), verdict.key.as_str()),
        ("failed", "nonce")
    );
    assert_eq!(verdict.reasons, ["appraisal.key"]);
}

/// What sits beside a device does not identify it.
#[tokio::test(flavor = "multi_thread")]
async fn an_erot_alone_enrols_nobody() {
    let world = world().await;
    let mut machine = dpu(1);
    machine.quotes = false;
    machine.irot = None;
    let item = World::item("dpu-a", &machine);
    let made = world.claims(&world.acme.admin, vec![item]).await.unwrap();
    assert_eq!(
        code(world.enrol_with(&mut machine, &secret_of(&made[0])).await),
        "enrol.identity"
    );
}

//! DICE beside the TPM: an identity that is pinned, required from then on, and judged by the roots that are configured.

use assay_api::types::*;
use assay_attest::attester::dice::{SoftwareDice, SoftwareFactory};
use assay_attest::chain::TrustAnchors;
use assay_attest::digest::{HashAlg, sha256};
use assay_attest::standing::StaleAfter;

use super::world::*;
use crate::verifier::{Anchors, Verifier};

fn factory() -> SoftwareFactory {
    SoftwareFactory::new(&[5; 32], crate::store::testing::START).unwrap()
}

fn dice(uds: u8, firmware: &[u8]) -> SoftwareDice {
    let uds = [uds; 32];
    let provisioned = factory()
        .provision(&SoftwareDice::rom_key(&uds).unwrap())
        .unwrap();
    let firmware = [
        HashAlg::Sha384.hash(&[b"first"]),
        HashAlg::Sha384.hash(&[firmware]),
    ];
    SoftwareDice::boot(&uds, &provisioned, &firmware).unwrap()
}

async fn world() -> World {
    let anchors = Anchors {
        ek: None,
        dice: TrustAnchors::from_vec(vec![factory().anchor("lab").unwrap()]),
    };
    World::with(Verifier::new(anchors, StaleAfter::DEFAULT)).await
}

fn with_dice(seed: u8, firmware: &[u8]) -> Machine {
    let mut machine = Machine::new(seed);
    let dice = dice(seed, firmware);
    machine.dice = Some(std::sync::Arc::new(move |binding| dice.member(binding)));
    machine
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dice_identity_is_pinned_at_enrolment_and_required_afterwards() {
    let world = world().await;
    let mut machine = with_dice(1, b"runtime");
    let secret = world.claim("dpu-a", &machine).await;
    let enrolled = world.enrol_with(&mut machine, &secret).await.unwrap();
    assert_eq!(enrolled.verdict.root, "operator");
    let taken = world.take("dpu-a", "golden", &[]).await.unwrap();
    assert!(
        taken
            .components
            .iter()
            .any(|c| c.name.starts_with("dice.irot.layer."))
    );
    world.pass(1);
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "verified");
    let shown = world.show("dpu-a").await;
    let certificate = dice(1, b"runtime").certificates()[3].clone();
    let rom = assay_attest::codec::x509::Certificate::parse(&certificate).unwrap();
    assert_eq!(shown.dice, Some(B64(sha256(&[rom.spki()]).to_vec())));

    // Stripped: required roots only grow (I4).
    world.pass(1);
    let stripped = Machine {
        dice: None,
        ..machine.clone()
    };
    assert_eq!(
        code(world.prove(&stripped).await),
        "evidence.required_missing"
    );
    assert_eq!(world.show("dpu-a").await.attestation, "verified");
    // Other firmware is authentic and contraindicated.
    let updated = Machine {
        dice: with_dice(1, b"rootkit").dice,
        ..machine.clone()
    };
    assert_eq!(world.prove(&updated).await.unwrap().verdict, "failed");
    // Another card's root of trust: quarantined.
    world.pass(1);
    let mixed = Machine {
        dice: with_dice(2, b"runtime").dice,
        ..machine.clone()
    };
    assert_eq!(code(world.prove(&mixed).await), "dice.other_device");
    assert_eq!(world.show("dpu-a").await.attestation, "quarantined");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_names_a_dice_identity_takes_no_other() {
    let world = world().await;
    let mut machine = with_dice(1, b"runtime");
    let item = ClaimItem {
        dice: Some(B64(vec![7; 32])),
        ..World::item("dpu-a", &machine)
    };
    let made = world.claims(&world.acme.admin, vec![item]).await.unwrap();
    assert_eq!(
        code(world.enrol_with(&mut machine, &secret_of(&made[0])).await),
        "enrol.identity"
    );
    // And none at all is not the claim's either.
    machine.dice = None;
    assert_eq!(
        code(world.enrol_with(&mut machine, &secret_of(&made[0])).await),
        "enrol.identity"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dice_identity_enrols_once_whatever_tpm_is_beside_it() {
    let world = world().await;
    let mut first = with_dice(1, b"runtime");
    let secret = world.claim("dpu-a", &first).await;
    world.enrol_with(&mut first, &secret).await.unwrap();
    let mut second = Machine {
        dice: first.dice.clone(),
        ..Machine::new(2)
    };
    let secret = world.claim("dpu-b", &second).await;
    assert_eq!(
        step(world.enrol_with(&mut second, &secret).await),
        "enrol.identity_taken"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_a_chain_without_a_configured_root_is_refused() {
    let world = World::new().await;
    let mut machine = with_dice(1, b"runtime");
    let secret = world.claim("dpu-a", &machine).await;
    assert_eq!(
        code(world.enrol_with(&mut machine, &secret).await),
        "dice.unexpected"
    );
}

/// An accelerator's signed measurements are part of the machine's proof: what it runs decides, and leaving it out is no way around.
#[tokio::test(flavor = "multi_thread")]
async fn an_accelerator_is_judged_with_the_machine_that_it_sits_in() {
    let world = world().await;
    let mut machine = with_dice(1, b"runtime");
    machine.accelerator = Some((std::sync::Arc::new(dice(9, b"gpu")), b"vbios"));
    let secret = world.claim("dpu-a", &machine).await;
    world.enrol_with(&mut machine, &secret).await.unwrap();
    let taken = world.take("dpu-a", "golden", &[]).await.unwrap();
    assert!(
        taken
            .components
            .iter()
            .any(|c| c.name == "spdm.accel.0.mb.2")
    );
    world.pass(1);
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "verified");
    let shown = world.show("dpu-a").await;
    let own = dice(1, b"runtime").certificates()[3].clone();
    let rom = assay_attest::codec::x509::Certificate::parse(&own).unwrap();
    assert_eq!(
        shown.dice,
        Some(B64(sha256(&[rom.spki()]).to_vec())),
        "the machine is not its accelerator"
    );
    for other in [
        Some((std::sync::Arc::new(dice(9, b"gpu")), &b"other vbios"[..])),
        None,
    ] {
        world.pass(1);
        let changed = Machine {
            accelerator: other,
            ..machine.clone()
        };
        assert_eq!(world.prove(&changed).await.unwrap().verdict, "failed");
    }
}

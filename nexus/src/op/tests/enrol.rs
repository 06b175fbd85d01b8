//! Enrolment: whose claim, whose hardware, exactly one winner.

use assay_api::types::*;

use super::world::*;
use crate::op;

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_the_inventory_knows_enrols_as_active() {
    let world = World::new().await;
    let mut machine = Machine::new(1);
    let secret = world.claim("dpu-a", &machine).await;
    let enrolled = world.enrol_with(&mut machine, &secret).await.unwrap();
    assert_eq!(enrolled.lifecycle, "active");
    // I6: nobody has said yet what is good.
    assert_eq!(enrolled.verdict.verdict, "failed");
    assert!(
        enrolled
            .verdict
            .reasons
            .contains(&"appraisal.reference".to_owned()),
        "{:?}",
        enrolled.verdict.reasons
    );
    assert_eq!(enrolled.verdict.key, "tpm");
    let shown = world.show("dpu-a").await;
    assert_eq!(
        (shown.root.as_str(), shown.attestation.as_str()),
        ("operator", "failed")
    );
    world.take("dpu-a", "golden", &[]).await.unwrap();
    world.pass(1);
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "verified");
    let shown = world.show("dpu-a").await;
    assert_eq!(
        (shown.attestation.as_str(), shown.rejected),
        ("verified", 0)
    );
    assert!(shown.reference_id.is_some() && shown.fresh_until.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_pending_receives_nothing_until_it_is_confirmed() {
    let world = World::new().await;
    let mut machine = Machine::new(1);
    let made = world
        .claims(&world.acme.admin, vec![World::item("dpu-a", &machine)])
        .await
        .unwrap();
    assert!(!made[0].claim.identity_known);
    let enrolled = world
        .enrol_with(&mut machine, &secret_of(&made[0]))
        .await
        .unwrap();
    assert_eq!(enrolled.lifecycle, "pending");
    world.take("dpu-a", "golden", &[]).await.unwrap();
    world.pass(1);
    let verdict = world.prove(&machine).await.unwrap();
    assert_eq!(
        (verdict.verdict.as_str(), verdict.root.as_str()),
        ("verified", "tofu")
    );
    world.put_secret("dpu-a", "key", b"value").await.unwrap();
    assert_eq!(
        code(world.pull(&machine, "aaaaaaaaaaaaaaaa").await),
        "dpu.pending"
    );
    let wake = world.wake(&machine).await;
    assert!(!wake.leases && !wake.wipe);
    let ctx = world.ctx(&world.acme.operator, "confirm_dpu", Some("dpu-a"));
    assert_eq!(
        code(op::confirm_dpu(ctx, because("seen in rack 7")).await),
        "auth.forbidden"
    );
    let ctx = world.ctx(&world.other.admin, "confirm_dpu", Some("dpu-a"));
    assert_eq!(
        code(op::confirm_dpu(ctx, because("seen in rack 7")).await),
        "not_found",
        "I11"
    );
    let ctx = world.ctx(&world.acme.admin, "confirm_dpu", Some("dpu-a"));
    op::confirm_dpu(ctx, because("seen in rack 7"))
        .await
        .unwrap();
    assert!(world.wake(&machine).await.leases);
    assert_eq!(
        world
            .pull(&machine, "aaaaaaaaaaaaaaaa")
            .await
            .unwrap()
            .items
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_claim_has_exactly_one_winner() {
    let world = World::new().await;
    let machine = Machine::new(1);
    let secret = world.claim("dpu-a", &machine).await;
    let challenge = world.begin(&machine, &secret).await.unwrap();
    let evidence = world.first_evidence(&machine, &challenge);
    let tries = (0..8).map(|_| world.complete(&machine, &secret, &challenge, evidence.clone()));
    let done = futures_all(tries.collect()).await;
    assert_eq!(done.iter().filter(|d| d.is_ok()).count(), 1);
    assert!(
        done.into_iter()
            .filter_map(Result::err)
            .all(|p| ["auth.failed", "evidence.nonce"].contains(&p.code()))
    );
    assert_eq!(step(world.begin(&machine, &secret).await), "claim.spent");
    let events = world.events();
    assert_eq!(events.iter().filter(|e| *e == "enrol.begin").count(), 1);
}

/// Runs futures side by side.
async fn futures_all<F: Future>(all: Vec<F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in &mut all {
            if done.is_none()
                && let std::task::Poll::Ready(out) = future.as_mut().poll(cx)
            {
                *done = Some(out);
            }
        }
        if all.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    all.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn i14_a_stranger_gets_one_answer_and_changes_nothing() {
    let world = World::new().await;
    let (machine, thief) = (Machine::new(1), Machine::new(2));
    let secret = world.claim("dpu-a", &machine).await;
    assert_eq!(code(world.begin(&thief, &[7; 32]).await), "auth.failed");
    let challenge = world.begin(&machine, &secret).await.unwrap();
    let evidence = world.first_evidence(&machine, &challenge);
    // Without the secret, and with it but by another key.
    assert_eq!(
        step(
            world
                .complete(&machine, &[7; 32], &challenge, evidence.clone())
                .await
        ),
        "claim.unknown"
    );
    assert_eq!(
        step(
            world
                .complete(&thief, &secret, &challenge, evidence.clone())
                .await
        ),
        "enrol.other_key"
    );
    for _ in 0..20 {
        assert_eq!(
            code(
                world
                    .complete(&thief, &secret, &challenge, b"x".to_vec())
                    .await
            ),
            "auth.failed"
        );
    }
    let list = || {
        op::list_dpus(
            world.ctx(&world.acme.admin, "list_dpus", None),
            InTenant::default(),
        )
    };
    assert!(list().await.unwrap().get().items.is_empty());
    // None of it spent what is the machine's.
    assert!(
        world
            .complete(&machine, &secret, &challenge, evidence)
            .await
            .is_ok()
    );
    assert_eq!(list().await.unwrap().get().items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_eight_rejections_void_the_nonce_of_an_enrolment_and_burn_no_claim() {
    let world = World::new().await;
    let mut machine = Machine::new(1);
    let secret = world.claim("dpu-a", &machine).await;
    let challenge = world.begin(&machine, &secret).await.unwrap();
    let good = world.first_evidence(&machine, &challenge);
    for _ in 0..8 {
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        assert_eq!(
            code(world.complete(&machine, &secret, &challenge, bad).await),
            "cose.signature"
        );
    }
    assert_eq!(
        code(world.complete(&machine, &secret, &challenge, good).await),
        "evidence.nonce"
    );
    world.enrol_with(&mut machine, &secret).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_the_claims_and_nobody_elses() {
    let world = World::new().await;
    let (mut first, mut other) = (Machine::new(1), Machine::new(2));
    // The claim names the first machine's EK; the other one has the token.
    let secret = world.claim("dpu-a", &first).await;
    other.serial.clone_from(&first.serial);
    assert_eq!(
        code(world.enrol_with(&mut other, &secret).await),
        "enrol.identity"
    );
    world.enrol_with(&mut first, &secret).await.unwrap();
    // The first machine's hardware comes with another claim, in another tenant even.
    let item = World::item("dpu-b", &first);
    let made = world.claims(&world.acme.admin, vec![item]).await.unwrap();
    let again = world
        .enrol_with(&mut first.clone(), &secret_of(&made[0]))
        .await;
    assert_eq!(step(again), "enrol.identity_taken");
    // Nobody vouches for what the public area says beside the key: another policy gives another name, and is the same EK.
    let mut renamed = first.clone();
    renamed.ek_policy = vec![7; 32];
    renamed.tpm.ak = super::soft_tpm::signing_key(99);
    renamed.request = super::soft_tpm::signing_key(98);
    let item = World::item("dpu-d", &renamed);
    let made = world.claims(&world.acme.admin, vec![item]).await.unwrap();
    let again = world.enrol_with(&mut renamed, &secret_of(&made[0])).await;
    assert_eq!(step(again), "enrol.identity_taken");
    // A machine that states another serial than its claim.
    let made = world.claims(
        &world.acme.admin,
        vec![ClaimItem {
            serial: "SN9999".into(),
            ..World::item("dpu-c", &other)
        }],
    );
    let secret = secret_of(&made.await.unwrap()[0]);
    other.serial = "SN0002".into();
    assert_eq!(
        code(world.enrol_with(&mut other, &secret).await),
        "enrol.identity"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_enrolment_evidence_without_the_activation_secret_is_refused() {
    let world = World::new().await;
    let machine = Machine::new(1);
    let secret = world.claim("dpu-a", &machine).await;
    let challenge = world.begin(&machine, &secret).await.unwrap();
    let asked = |secret: Vec<u8>| Asked {
        nexus_id: world.app.nexus_id,
        subject: challenge.claim_id.to_string(),
        purpose: assay_attest::session::Purpose::Enrol,
        nonce: challenge.nonce.0.as_slice().try_into().unwrap(),
        secret,
    };
    for wrong in [Vec::new(), vec![0; 32]] {
        let refused = world
            .complete(&machine, &secret, &challenge, machine.prove(&asked(wrong)))
            .await;
        assert_eq!(code(refused), "evidence.session");
    }
    let other_nexus = Asked {
        nexus_id: [0; 32],
        ..asked(world.activate(&challenge))
    };
    let refused = world
        .complete(&machine, &secret, &challenge, machine.prove(&other_nexus))
        .await;
    assert_eq!(code(refused), "evidence.session");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_no_ek_no_ak_or_not_the_callers_are_refused() {
    let world = World::new().await;
    let machine = Machine::new(1);
    let secret = world.claim("dpu-a", &machine).await;
    let good = machine.begin(&secret);
    let bad = [
        EnrolBegin {
            ek_public: good.ak_public.clone(),
            ..good.clone()
        },
        EnrolBegin {
            ak_public: good.request_key_public.clone(),
            ..good.clone()
        },
        EnrolBegin {
            request_key_public: Machine::new(2).begin(&secret).request_key_public,
            ..good.clone()
        },
        EnrolBegin {
            ak_public: None,
            ..good.clone()
        },
    ];
    for ask in bad {
        let ctx = world.ctx(&machine.new_key(), "begin_enrolment", None);
        assert_eq!(code(op::begin_enrolment(ctx, ask).await), "enrol.keys");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_run_out_and_come_all_or_none() {
    let world = World::new().await;
    let machine = Machine::new(1);
    let secret = world.claim("dpu-a", &machine).await;
    let list = || {
        op::list_claims(
            world.ctx(&world.acme.admin, "list_claims", None),
            InTenant::default(),
        )
    };
    assert_eq!(list().await.unwrap().get().items.len(), 1);
    world.pass(86_400);
    assert_eq!(step(world.begin(&machine, &secret).await), "claim.expired");
    assert_eq!(list().await.unwrap().get().items.len(), 0);
    let before = world.events().len();
    let bad = ClaimItem {
        name: "Not A Name".into(),
        ..World::item("x", &machine)
    };
    assert_eq!(
        code(
            world
                .claims(&world.acme.admin, vec![World::item("dpu-b", &machine), bad])
                .await
        ),
        "request.value"
    );
    assert_eq!(
        code(world.claims(&world.acme.admin, Vec::new()).await),
        "request.value"
    );
    let many = |n: usize| {
        (0..n)
            .map(|i| World::item(&format!("dpu-{i}"), &machine))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        code(world.claims(&world.acme.admin, many(501)).await),
        "request.value"
    );
    assert_eq!(world.events().len(), before, "bad input changes nothing");
    assert_eq!(
        world
            .claims(&world.acme.admin, many(500))
            .await
            .unwrap()
            .len(),
        500
    );
    assert_eq!(
        code(world.claims(&world.acme.operator, many(1)).await),
        "auth.forbidden"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reimaged_machine_rekeys_and_its_old_key_is_dead() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let item = ClaimItem {
        rekey: Some("dpu-a".into()),
        ..World::item("dpu-a", &machine)
    };
    let made = world
        .claims(&world.acme.admin, vec![item.clone()])
        .await
        .unwrap();
    let mut reimaged = machine.clone();
    reimaged.request = super::soft_tpm::signing_key(201);
    reimaged.tpm.ak = super::soft_tpm::signing_key(202);
    reimaged.tpm.clock.reset_count = 0;
    let enrolled = world
        .enrol_with(&mut reimaged, &secret_of(&made[0]))
        .await
        .unwrap();
    assert_eq!(&enrolled.device_id, machine.id());
    assert_eq!(
        (
            enrolled.verdict.verdict.as_str(),
            enrolled.lifecycle.as_str()
        ),
        ("verified", "active")
    );
    assert_eq!(step(world.nonce(&machine).await), "key.revoked");
    world.pass(1);
    assert_eq!(world.prove(&reimaged).await.unwrap().verdict, "verified");
    // Other hardware does not take its place.
    let made = world.claims(&world.acme.admin, vec![item]).await.unwrap();
    let mut other = Machine::new(3);
    other.serial.clone_from(&machine.serial);
    assert_eq!(
        code(world.enrol_with(&mut other, &secret_of(&made[0])).await),
        "enrol.identity"
    );
}

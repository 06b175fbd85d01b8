//! Proofs: one nonce, one verdict, nobody else's.

use assay_api::types::*;
use assay_attest::time::Timestamp;

use super::world::*;
use crate::op;

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_nonce_is_spent_once() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world.pass(1);
    let nonce = world.nonce(&machine).await.unwrap();
    let evidence = world.evidence(&machine, nonce);
    let first = world.submit(&machine, evidence.clone()).await.unwrap();
    assert_eq!(first.next_proof_in, 450);
    assert_eq!(
        code(world.submit(&machine, evidence).await),
        "evidence.nonce"
    );
    // A new nonce voids the one before.
    let old = world.nonce(&machine).await.unwrap();
    world.nonce(&machine).await.unwrap();
    assert_eq!(
        code(world.submit(&machine, world.evidence(&machine, old)).await),
        "evidence.session"
    );
    // It lives five minutes.
    let nonce = world.nonce(&machine).await.unwrap();
    world.pass(301);
    assert_eq!(
        code(
            world
                .submit(&machine, world.evidence(&machine, nonce))
                .await
        ),
        "evidence.nonce"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_two_answers_at_once_give_one_verdict() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world.pass(1);
    let nonce = world.nonce(&machine).await.unwrap();
    let evidence = world.evidence(&machine, nonce);
    let (a, b) = tokio::join!(
        world.submit(&machine, evidence.clone()),
        world.submit(&machine, evidence)
    );
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn i14_rejected_evidence_changes_no_state_and_eight_void_the_nonce() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world.pass(1);
    let nonce = world.nonce(&machine).await.unwrap();
    let good = world.evidence(&machine, nonce);
    let before = world.row(machine.id());
    for n in 1..=8 {
        let mut bad = good.clone();
        let at = bad.len() - n;
        bad[at] ^= 0x10;
        assert_eq!(code(world.submit(&machine, bad).await), "cose.signature");
        assert_eq!(world.row(machine.id()), before, "no state changes");
        let shown = world.show("dpu-a").await;
        assert_eq!(
            (
                usize::try_from(shown.rejected).unwrap(),
                shown.last_rejection.as_deref()
            ),
            (n, Some("cose.signature"))
        );
    }
    assert_eq!(
        code(world.submit(&machine, good).await),
        "evidence.nonce",
        "the eighth voided it"
    );
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "verified");
    assert_eq!(world.show("dpu-a").await.rejected, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn i14_another_device_can_neither_spend_a_nonce_nor_write_a_verdict() {
    let world = World::new().await;
    let (a, b) = (world.good("dpu-a", 1).await, world.good("dpu-b", 2).await);
    world.pass(1);
    let nonce = world.nonce(&a).await.unwrap();
    let evidence = world.evidence(&a, nonce);
    let before = world.row(a.id());
    world.nonce(&b).await.unwrap();
    // B hands in A's evidence (I4: relayed), then its own for A's nonce and name.
    assert_eq!(
        code(world.submit(&b, evidence.clone()).await),
        "envelope.key"
    );
    assert_eq!(
        code(world.submit(&b, world.evidence(&b, nonce)).await),
        "evidence.session"
    );
    assert_eq!(world.row(a.id()), before);
    assert_eq!(
        world.submit(&a, evidence).await.unwrap().verdict,
        "verified"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_proof_stored_up_before_a_demand_counts_for_nothing() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world.pass(1);
    let nonce = world.nonce(&machine).await.unwrap();
    let stored_up = world.evidence(&machine, nonce);
    let ctx = world.ctx(&world.acme.admin, "demand_proof", Some("dpu-a"));
    let demand = op::demand_proof(ctx, because("a strange smell"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(demand.state, "open");
    assert_eq!(
        world.wake(&machine).await.attest_now,
        Some(demand.id.clone())
    );
    assert_eq!(
        code(world.submit(&machine, stored_up).await),
        "evidence.nonce"
    );
    let show = || {
        op::show_demand(
            world.ctx(&world.acme.operator, "show_demand", Some("dpu-a")),
            Empty {},
        )
    };
    assert_eq!(show().await.unwrap().get().state, "open");
    world.prove(&machine).await.unwrap();
    assert_eq!(show().await.unwrap().get().state, "answered");
    assert_eq!(world.wake(&machine).await.attest_now, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_an_unanswered_demand_ends_freshness_and_a_second_one_does_not_restore_it() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let demand = |who: &op::Caller| {
        op::demand_proof(
            world.ctx(who, "demand_proof", Some("dpu-a")),
            because("a strange smell"),
        )
    };
    assert_eq!(
        step(demand(&world.acme.operator).await),
        "demand.fresh",
        "that is an admin's to risk"
    );
    demand(&world.acme.admin).await.unwrap();
    world.pass(119);
    assert_eq!(world.show("dpu-a").await.attestation, "verified");
    world.pass(1);
    assert_eq!(world.show("dpu-a").await.attestation, "stale");
    let second = demand(&world.acme.operator).await.unwrap().into_inner();
    assert_eq!(second.state, "open");
    assert_eq!(world.show("dpu-a").await.attestation, "stale");
    let third = demand(&world.acme.operator).await.unwrap().into_inner();
    assert_eq!(third.id, second.id, "one at a time");
    world.prove(&machine).await.unwrap();
    assert_eq!(world.show("dpu-a").await.attestation, "verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_component_fails_and_a_good_proof_clears_it() {
    let world = World::new().await;
    let mut machine = world.good("dpu-a", 1).await;
    let good = machine.clone();
    world.pass(1);
    machine.extend(4);
    let verdict = world.prove(&machine).await.unwrap();
    assert_eq!(verdict.verdict, "failed");
    assert!(
        verdict
            .reasons
            .contains(&"appraisal.component:pcr.sha256.4".to_owned()),
        "{:?}",
        verdict.reasons
    );
    let ctx = world.ctx(&world.acme.operator, "show_result", Some("dpu-a"));
    let result = op::show_result(ctx, Empty {}).await.unwrap().into_inner();
    assert_eq!(
        (result.id, result.verdict.as_str()),
        (verdict.result_id, "failed")
    );
    assert!(
        result
            .checks
            .iter()
            .any(|c| c.component == "pcr.sha256.4" && c.outcome == "fail")
    );
    world.pass(1);
    assert_eq!(world.prove(&good).await.unwrap().verdict, "verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_required_pcrs_only_grow() {
    let world = World::new().await;
    let mut machine = world.good("dpu-a", 1).await;
    world.pass(1);
    machine.tpm.pcrs.values_mut().next().unwrap().remove(&7);
    let before = world.row(machine.id());
    assert_eq!(
        code(world.prove(&machine).await),
        "evidence.required_missing"
    );
    assert_eq!(
        world.row(machine.id()),
        before,
        "rejected, not judged at a lower level"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tpm_clock_that_runs_backwards_and_another_ak_quarantine() {
    let world = World::new().await;
    let mut machine = world.good("dpu-a", 1).await;
    world.pass(1);
    let good = machine.clone();
    machine.tpm.clock.reset_count -= 1;
    let verdict = world.prove(&machine).await.unwrap();
    assert_eq!(verdict.verdict, "failed");
    let shown = world.show("dpu-a").await;
    assert_eq!(shown.attestation, "quarantined");
    assert!(shown.reasons.contains(&"appraisal.tpm_clock".to_owned()));
    // No proof ends a quarantine, and no admin of the tenant.
    world.pass(1);
    world.prove(&good).await.unwrap();
    assert_eq!(world.show("dpu-a").await.attestation, "quarantined");
    let release = |who: &op::Caller| {
        op::release_dpu(
            world.ctx(who, "release_dpu", Some("dpu-a")),
            because("board was swapped back"),
        )
    };
    assert_eq!(code(release(&world.acme.admin).await), "auth.forbidden");
    // Released, it must prove itself anew: with a nonce from after.
    let nonce = world.nonce(&good).await.unwrap();
    release(&world.root).await.unwrap();
    assert_eq!(world.show("dpu-a").await.attestation, "failed");
    assert_eq!(
        code(world.submit(&good, world.evidence(&good, nonce)).await),
        "evidence.nonce"
    );
    assert_eq!(code(release(&world.root).await), "conflict");
    world.pass(1);
    assert_eq!(world.prove(&good).await.unwrap().verdict, "verified");

    let mut moved = good.clone();
    moved.tpm.ak = super::soft_tpm::signing_key(250);
    world.pass(1);
    assert_eq!(code(world.prove(&moved).await), "tpm.other_ak");
    let shown = world.show("dpu-a").await;
    assert_eq!(
        (shown.attestation.as_str(), shown.reasons[0].as_str()),
        ("quarantined", "tpm.other_ak")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_a_retired_reference_makes_what_rested_on_it_stale() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let first = world.row(machine.id()).reference.unwrap();
    let second = world.take("dpu-a", "dpu-a-set", &["dpu-a"]).await.unwrap();
    assert_eq!((second.version, second.components.len()), (2, 16));
    assert_ne!(second.id, first);
    assert_eq!(world.show("dpu-a").await.attestation, "stale");
    assert!(world.wake(&machine).await.attest_now.is_some());
    world.pass(1);
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "verified");
    assert_eq!(world.row(machine.id()).reference, Some(second.id.clone()));
    let list = op::list_references(
        world.ctx(&world.acme.operator, "list_references", None),
        InTenant::default(),
    );
    let states: Vec<_> = list
        .await
        .unwrap()
        .into_inner()
        .items
        .into_iter()
        .map(|r| (r.version, r.state))
        .collect();
    assert!(states.contains(&(1, "retired".into())) && states.contains(&(2, "active".into())));
    let ctx = world.ctx(
        &world.other.admin,
        "show_reference",
        Some(second.id.as_str()),
    );
    assert_eq!(
        code(op::show_reference(ctx, Empty {}).await),
        "not_found",
        "I11"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_an_edited_device_row_or_kept_evidence_is_not_used() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world
        .scratch
        .tamper("UPDATE evidence SET nonce = zeroblob(32)");
    assert_eq!(
        code(world.take("dpu-a", "again", &[]).await),
        "evidence.session"
    );
    world
        .scratch
        .tamper("UPDATE device SET fresh_until = fresh_until + 1");
    assert_eq!(code(world.nonce(&machine).await), "store.row_forged");
    let ctx = world.ctx(&world.acme.admin, "show_dpu", Some(machine.id().as_str()));
    assert_eq!(code(op::show_dpu(ctx, Empty {}).await), "store.row_forged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_verified_by_anybody_and_a_bent_one_by_nobody() {
    use assay_api::bundle::verify;
    use assay_api::jose::Jwk;
    let world = World::new().await;
    let mut machine = world.good("dpu-a", 1).await;
    world.pass(1);
    let good = world.prove(&machine).await.unwrap();
    let show = async || {
        let ctx = world.ctx(&world.acme.admin, "show_evidence", Some("dpu-a"));
        op::show_evidence(ctx, Empty {}).await.unwrap().into_inner()
    };
    let key = world
        .app
        .store
        .read_now(|r| crate::store::signing_key::active(r, "", crate::verifier::RESULT_KEY))
        .map_err(|e: crate::store::StoreFault| e)
        .unwrap()
        .unwrap();
    let jwk = Jwk::ed25519(key.public.as_slice().try_into().unwrap());
    let checks = &world.app.checks;
    let bundle = show().await;
    assert_eq!(bundle.result.id, good.result_id);
    let claims = verify(&bundle, &jwk, None, checks).unwrap();
    assert_eq!(claims["assay_result"]["verdict"], "verified");

    // The CWT says the same under the same key.
    let cwt = bundle.result.ear_cwt.clone().unwrap();
    let cwt = assay_attest::codec::cose::Sign1::parse(&cwt.0).unwrap();
    let payload = cwt.verify(jwk.public_key(), b"", checks).unwrap();
    assert!(payload.windows(8).any(|w| w == b"verified"));

    let bent = |bend: &dyn Fn(&mut EvidenceBundle)| {
        let mut bundle = bundle.clone();
        bend(&mut bundle);
        verify(&bundle, &jwk, None, checks).unwrap_err().code()
    };
    assert_eq!(bent(&|b| b.format.push('1')), "bundle.format");
    assert_eq!(bent(&|b| b.evidence.0[40] ^= 1), "bundle.differs");
    assert_eq!(bent(&|b| b.nonce.0[0] ^= 1), "bundle.differs");
    assert_eq!(bent(&|b| b.nexus_id.0[0] ^= 1), "bundle.differs");
    assert_eq!(
        bent(&|b| b.result.verdict = "failed".into()),
        "bundle.differs"
    );
    assert_eq!(
        bent(&|b| b.result.appraised_at = Time(Timestamp::MAX)),
        "bundle.differs"
    );
    assert_eq!(
        bent(&|b| b.result.fresh_until = Time(Timestamp::MAX)),
        "bundle.differs"
    );
    assert_eq!(bent(&|b| b.reference_values = None), "bundle.differs");
    assert_eq!(bent(&|b| b.purpose = "enrol".into()), "evidence.session");
    assert_eq!(bent(&|b| b.subject.push('x')), "evidence.session");
    assert_eq!(bent(&|b| b.request_key.0[3] ^= 1), "envelope.key");
    assert_eq!(bent(&|b| b.ak_name = None), "tpm.unexpected");
    assert_eq!(bent(&|b| b.result.ear.truncate(40)), "bundle.result");
    let other = Jwk::ed25519([7; 32]);
    assert_eq!(
        verify(&bundle, &other, None, checks).unwrap_err().code(),
        "bundle.result"
    );

    // A failed verdict holds, too: the bundle proves what was wrong.
    machine.extend(4);
    world.pass(1);
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "failed");
    let failed = show().await;
    let claims = verify(&failed, &jwk, None, checks).unwrap();
    assert_eq!(claims["assay_result"]["verdict"], "failed");
    // Neither proof can be passed off as the other's.
    let mut mixed = failed.clone();
    mixed.result = bundle.result.clone();
    assert_eq!(
        verify(&mixed, &jwk, None, checks).unwrap_err().code(),
        "bundle.differs"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_is_a_jwt_that_third_parties_verify() {
    use assay_api::jose::{Compact, Jwk};
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world.pass(1);
    let verdict = world.prove(&machine).await.unwrap();
    let key = world
        .app
        .store
        .read_now(|r| crate::store::signing_key::active(r, "", crate::verifier::RESULT_KEY))
        .map_err(|e: crate::store::StoreFault| e)
        .unwrap()
        .unwrap();
    let jwk = Jwk::ed25519(key.public.as_slice().try_into().unwrap());
    let jwt = Compact::parse(verdict.ear.as_bytes()).unwrap();
    let claims: serde_json::Value =
        serde_json::from_slice(jwt.verify(&jwk, &world.app.checks).unwrap()).unwrap();
    assert_eq!(claims["sub"], machine.id().as_str());
    assert_eq!(claims["assay_result"]["verdict"], "verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_one_device_is_bounded_and_holds_the_newest() {
    use crate::store::{Rows as _, StoreFault};
    let world = World::new().await;
    let good = world.good("dpu-a", 1).await;
    let mut bad = good.clone();
    bad.extend(7);
    for _ in 0..35 {
        for machine in [&bad, &good] {
            world.pass(1);
            world.prove(machine).await.unwrap();
        }
    }
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        let count = world
            .app
            .store
            .read_now(|r| Ok::<i64, StoreFault>(r.sql().query_row(&sql, [], |row| row.get(0))?));
        count.unwrap()
    };
    assert_eq!((count("evidence"), count("result")), (65, 65));
    let ctx = world.ctx(&world.acme.admin, "show_result", Some("dpu-a"));
    let last = op::show_result(ctx, Empty {}).await.unwrap().into_inner();
    assert_eq!(last.verdict, "verified");
    world.take("dpu-a", "again", &[]).await.unwrap();
}

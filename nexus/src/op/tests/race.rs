//! What changes between looking at evidence and storing its verdict.

use std::time::Duration;

use assay_api::types::*;

use super::world::*;
use crate::problem::Problem;
use crate::store::devices::Device;
use crate::store::references::{Reference as Set, ReferenceState};
use crate::store::testing::entry;
use crate::store::{Change, Rows, StoreFault, Tx};

/// Hands in evidence, and has `meanwhile` happen after it was looked at and before its verdict is written.
async fn submit_while(
    world: &World,
    machine: &Machine,
    meanwhile: impl FnOnce(&mut Change<'_, '_>) -> Result<(), StoreFault> + Send + 'static,
) -> Result<Verdict, Problem> {
    let nonce = world.nonce(machine).await.unwrap();
    let evidence = world.evidence(machine, nonce);
    let (go, stop) = std::sync::mpsc::channel::<()>();
    let store = world.app.store.clone();
    let between = tokio::spawn(async move {
        let deed = move |tx: &mut Tx<'_>| {
            stop.recv().map_err(|_| StoreFault::Busy)?;
            tx.change(entry("test.meanwhile"), meanwhile)
        };
        store.write(deed).await
    });
    let waited = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        go.send(()).unwrap();
    };
    let (verdict, ()) = tokio::join!(world.submit(machine, evidence), waited);
    between.await.unwrap().unwrap();
    verdict
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_verdict_rests_on_rows_that_are_still_the_same() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world.pass(1);
    assert!(submit_while(&world, &machine, |_| Ok(())).await.is_ok());

    // The TPM's clock, as a newer proof left it: without this, a rollback could hide behind a proof that was looked at before.
    let id = machine.id().clone();
    let newer = submit_while(&world, &machine, move |c| {
        let mut row: Device = c.get(&id)?.unwrap();
        row.tpm_clock = row.tpm_clock.map(|t| t + 1_000_000);
        c.update(&row)
    });
    assert_eq!(code(newer.await), "conflict");

    // The set that judged it is retired.
    let tenant = world.acme.id.clone();
    let retired = submit_while(&world, &machine, move |c| {
        for set in c.find::<Set>("tenant", &tenant)? {
            c.update(&Set {
                state: ReferenceState::Retired,
                ..set
            })?;
        }
        Ok(())
    });
    assert_eq!(code(retired.await), "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_nonce_from_before_a_rekey_counts_for_nothing_though_the_key_was_kept() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let item = ClaimItem {
        rekey: Some("dpu-a".into()),
        ..World::item("dpu-a", &machine)
    };
    let made = world.claims(&world.acme.admin, vec![item]).await.unwrap();
    let nonce = world.nonce(&machine).await.unwrap();
    let stored_up = world.evidence(&machine, nonce);
    world.pass(1);
    let mut kept = machine.clone();
    world
        .enrol_with(&mut kept, &secret_of(&made[0]))
        .await
        .unwrap();
    let late = world.submit(&kept, stored_up).await;
    assert_eq!(step(late), "evidence.stored_up");
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_freshness_ends_with_the_certificate_of_the_endorsement_key() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let ends = world.app.store.clock().now().plus_millis(100_000);
    let id = machine.id().clone();
    let put = world.app.store.write::<_, StoreFault, _>(move |tx| {
        tx.change(entry("test"), |c| {
            let mut row: Device = c.get(&id)?.unwrap();
            row.ek_ends = Some(ends);
            c.update(&row)
        })
    });
    put.await.unwrap();
    world.pass(1);
    assert_eq!(world.prove(&machine).await.unwrap().fresh_until, Time(ends));
    assert_eq!(world.show("dpu-a").await.fresh_until, Some(Time(ends)));
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_tpm_that_does_not_hold_the_request_key_enrols_nobody() {
    let world = World::new().await;
    let mut machine = Machine::new(1);
    let secret = world.claim("dpu-a", &machine).await;
    machine.certifies = false;
    let enrolled = world.enrol_with(&mut machine, &secret).await;
    assert_eq!(code(enrolled), "enrol.identity");
    machine.certifies = true;
    world.enrol_with(&mut machine, &secret).await.unwrap();
}

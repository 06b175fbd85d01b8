//! The long poll: woken by what happens, never telling what is no longer so.

use std::time::Duration;

use assay_api::types::*;

use super::world::*;
use crate::op;

fn wait(
    world: &World,
    machine: &Machine,
    cursor: Option<u64>,
) -> impl Future<Output = Result<Wake, crate::problem::Problem>> + use<> {
    let ctx = world.ctx(&machine.caller(world), "wake", None);
    async move {
        op::wake(
            ctx,
            WakeAsk {
                cursor,
                wait: Some(20),
            },
        )
        .await
        .map(op::Shown::into_inner)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_agent_hears_at_once() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let waiting = tokio::spawn(wait(&world, &machine, None));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "there is nothing to do");
    let began = std::time::Instant::now();
    world.put_secret("dpu-a", "db", b"password").await.unwrap();
    let told = waiting.await.unwrap().unwrap();
    assert!(told.leases);
    // What it has heard of does not make it return again; something else does.
    let waiting = tokio::spawn(wait(&world, &machine, Some(told.cursor)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    let ctx = world.ctx(&world.acme.admin, "demand_proof", Some("dpu-a"));
    op::demand_proof(ctx, because("a strange smell"))
        .await
        .unwrap();
    assert!(waiting.await.unwrap().unwrap().attest_now.is_some());
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_what_takes_trust_away_takes_effect_on_open_polls() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let waiting = tokio::spawn(wait(&world, &machine, None));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ctx = world.ctx(&world.acme.admin, "quarantine_dpu", Some("dpu-a"));
    op::quarantine_dpu(ctx, because("it beeps")).await.unwrap();
    let told = waiting.await.unwrap().unwrap();
    assert!(told.wipe && !told.leases);
    // A key that was revoked meanwhile hears nothing at all.
    let waiting = tokio::spawn(wait(&world, &machine, Some(told.cursor)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let item = ClaimItem {
        rekey: Some("dpu-a".into()),
        ..World::item("dpu-a", &machine)
    };
    let made = world.claims(&world.acme.admin, vec![item]).await.unwrap();
    let mut reimaged = machine.clone();
    reimaged.request = super::soft_tpm::signing_key(201);
    world
        .enrol_with(&mut reimaged, &secret_of(&made[0]))
        .await
        .unwrap();
    world.app.wake.ring(machine.id());
    assert_eq!(step(waiting.await.unwrap()), "key.revoked");
    assert_eq!(
        world.show("dpu-a").await.attestation,
        "quarantined",
        "a re-key ends no quarantine"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_devices_wait_and_at_most_a_minute() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let ctx = world.ctx(&machine.caller(&world), "wake", None);
    assert_eq!(
        code(
            op::wake(
                ctx,
                WakeAsk {
                    cursor: None,
                    wait: Some(61)
                }
            )
            .await
        ),
        "request.value"
    );
    let ctx = world.ctx(&world.root, "wake", None);
    assert_eq!(
        code(op::wake(ctx, WakeAsk::default()).await),
        "auth.forbidden"
    );
}

//! The door, with the store behind it: every state, every caller, with and without a bypass.

use super::world::*;
use crate::op::{Caller, Settled, Target};
use crate::problem::Problem;
use crate::release::{self, Class, Clearance, Permit};
use crate::store::secrets::Bypass;
use crate::store::{Rows, StoreFault};

/// Judges one device through the whole frame, as `push` would, and says what came out.
async fn judge(
    world: &World,
    caller: &Caller,
    dpu: &str,
    class: Class,
    bypass: Option<&str>,
) -> Result<&'static str, Problem> {
    let mut ctx = world.ctx(caller, "push", Some(dpu));
    ctx.bypass = bypass.map(str::to_owned);
    let done = ctx
        .settle(Target::Route, move |tx, act| {
            let device = crate::op::dpus::named(tx, &act.target)?.id;
            match Permit::judge(tx, act, class, &[device]) {
                Ok(permit) => {
                    let limit = permit.limit(act.now.plus_millis(3_600_000));
                    Ok(Settled::Done(match permit.clearances() {
                        [Clearance::Fresh(_)] => "fresh",
                        [Clearance::Bypassed(b)] if limit == b.end() => "bypassed",
                        _ => "odd",
                    }))
                }
                Err(problem) => release::refuse(tx, act, problem),
            }
        })
        .await?;
    Ok(done.into_inner())
}

const REASON: &str = "the rack is on fire";

#[tokio::test(flavor = "multi_thread")]
async fn i1_every_state_every_role_with_and_without_bypass() {
    let world = World::new().await;
    let fresh = world.good("fresh", 1).await;
    world.good("stale", 2).await;
    let mut failed = world.good("failed", 3).await;
    world.good("quarantined", 4).await;
    let mut pending = Machine::new(5);
    let made = world
        .claims(&world.acme.admin, vec![World::item("pending", &pending)])
        .await
        .unwrap();
    world
        .enrol_with(&mut pending, &secret_of(&made[0]))
        .await
        .unwrap();
    world.good("gone", 6).await;

    world.pass(901);
    world.prove(&fresh).await.unwrap();
    failed.extend(0);
    world.prove(&failed).await.unwrap();
    let quarantine = world.ctx(&world.acme.admin, "quarantine_dpu", Some("quarantined"));
    crate::op::quarantine_dpu(quarantine, because("it beeps"))
        .await
        .unwrap();
    let decommission = world.ctx(&world.acme.admin, "decommission_dpu", Some("gone"));
    crate::op::decommission_dpu(decommission, because("sold"))
        .await
        .unwrap();

    let expected = [
        ("fresh", None, Ok("fresh"), Ok("fresh")),
        (
            "stale",
            Some("attestation.stale"),
            Ok("bypassed"),
            Err("request.bypass"),
        ),
        (
            "failed",
            Some("attestation.failed"),
            Err("attestation.failed"),
            Err("attestation.failed"),
        ),
        (
            "quarantined",
            Some("attestation.quarantined"),
            Err("attestation.quarantined"),
            Err("attestation.quarantined"),
        ),
        (
            "pending",
            Some("dpu.pending"),
            Err("dpu.pending"),
            Err("dpu.pending"),
        ),
        (
            "gone",
            Some("dpu.decommissioned"),
            Err("dpu.decommissioned"),
            Err("dpu.decommissioned"),
        ),
    ];
    for (dpu, plain, forced, sealed) in expected {
        let told = |r: Result<&'static str, Problem>| r.map_err(|p| p.code());
        for caller in [&world.acme.admin, &world.root] {
            let answer = told(judge(&world, caller, dpu, Class::Certificate, None).await);
            assert_eq!(answer, plain.map_or(Ok("fresh"), Err), "{dpu}");
        }
        for caller in [&world.acme.admin, &world.acme.operator] {
            let answer = told(judge(&world, caller, dpu, Class::Certificate, Some(REASON)).await);
            assert_eq!(answer, Err("auth.bypass_forbidden"), "{dpu}");
        }
        assert_eq!(
            told(judge(&world, &world.root, dpu, Class::Certificate, Some(REASON)).await),
            forced,
            "{dpu}"
        );
        assert_eq!(
            told(judge(&world, &world.root, dpu, Class::Sealed, Some(REASON)).await),
            sealed,
            "{dpu}"
        );
        // Without a grant, nothing is an operator's to release.
        assert_eq!(
            told(judge(&world, &world.acme.operator, dpu, Class::Certificate, None).await),
            Err("auth.forbidden")
        );
        assert_eq!(
            told(judge(&world, &world.other.admin, dpu, Class::Certificate, None).await),
            Err("not_found"),
            "I11"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_refusal_makes_one_demand_and_names_it() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world.pass(901);
    let first = judge(&world, &world.acme.admin, "dpu-a", Class::Certificate, None)
        .await
        .unwrap_err();
    let again = judge(&world, &world.acme.admin, "dpu-a", Class::Certificate, None)
        .await
        .unwrap_err();
    assert_eq!(first.code(), "attestation.stale");
    assert!(first.demand_id().is_some());
    assert_eq!(first.demand_id(), again.demand_id());
    assert_eq!(
        world.wake(&machine).await.attest_now.as_ref(),
        first.demand_id()
    );
    assert_eq!(
        world.events().iter().filter(|e| *e == "dpu.demand").count(),
        1
    );
    world.prove(&machine).await.unwrap();
    assert_eq!(
        judge(&world, &world.acme.admin, "dpu-a", Class::Certificate, None)
            .await
            .unwrap(),
        "fresh"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_bypass_is_kept_with_its_reason_and_used_up() {
    let world = World::new().await;
    world.good("dpu-a", 1).await;
    world.pass(901);
    assert_eq!(
        judge(
            &world,
            &world.root,
            "dpu-a",
            Class::Certificate,
            Some(REASON)
        )
        .await
        .unwrap(),
        "bypassed"
    );
    let all: Vec<Bypass> = world
        .app
        .store
        .read_now(|r| r.page(None, None, std::num::NonZeroU32::new(10).unwrap()))
        .map_err(|e: StoreFault| e)
        .unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(
        (
            all[0].reason.as_str(),
            all[0].action.as_str(),
            all[0].state.as_str()
        ),
        (REASON, "push", "used")
    );
    assert_eq!(
        world
            .events()
            .iter()
            .filter(|e| *e == "gate.bypass")
            .count(),
        1
    );
    for reason in ["too short", &"x".repeat(513)] {
        let refused = judge(
            &world,
            &world.root,
            "dpu-a",
            Class::Certificate,
            Some(reason),
        )
        .await;
        assert_eq!(code(refused), "request.bypass");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_closes_the_door() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world.put_secret("dpu-a", "key", b"value").await.unwrap();
    let now = world.app.store.clock().now();
    world.scratch.clock.set_wall(now.minus_millis(60_000));
    assert_eq!(
        code(judge(&world, &world.root, "dpu-a", Class::Certificate, None).await),
        "clock.behind"
    );
    assert_eq!(
        code(world.pull(&machine, "aaaaaaaaaaaaaaaa").await),
        "clock.behind"
    );
    world.scratch.clock.set_wall(now.plus_millis(100_000));
    assert_eq!(
        code(judge(&world, &world.root, "dpu-a", Class::Certificate, None).await),
        "clock.drifted"
    );
    // Taking trust away does not ask the clock.
    let ctx = world.ctx(&world.acme.admin, "quarantine_dpu", Some("dpu-a"));
    crate::op::quarantine_dpu(ctx, because("it beeps"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_no_device_at_all_is_no_permit() {
    let world = World::new().await;
    world.good("dpu-a", 1).await;
    let ctx = world.ctx(&world.root, "push", Some("dpu-a"));
    let answer = ctx
        .settle(Target::Route, |tx, act| {
            Permit::judge(tx, act, Class::Public, &[]).map(|_| Settled::Done(()))
        })
        .await;
    assert_eq!(code(answer), "not_found");
}

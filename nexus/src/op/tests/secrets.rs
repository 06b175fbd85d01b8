//! Leases: sealed to the last good result, the same for the same request, gone with what they hold.

use assay_api::types::*;

use super::world::*;
use crate::op;

const KEY: &str = "aaaaaaaaaaaaaaaa";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_gets_the_same_lease_until_it_is_acknowledged() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world.put_secret("dpu-a", "db", b"password").await.unwrap();
    let first = world.pull(&machine, KEY).await.unwrap();
    let lease = first.items[0].clone();
    assert_eq!(world.open_lease(&machine, &lease).unwrap(), b"password");
    assert_eq!((lease.expires_in_ms, first.renew_in), (300_000, 150));
    for _ in 0..3 {
        let again = world.pull(&machine, KEY).await.unwrap().items.remove(0);
        assert_eq!((&again.id, &again.sealed), (&lease.id, &lease.sealed));
    }
    let ack = |id: &str, who: &op::Caller| {
        op::acknowledge_lease(world.ctx(who, "acknowledge_lease", Some(id)), Empty {})
    };
    let other = world.good("dpu-b", 2).await;
    assert_eq!(
        code(ack(lease.id.as_str(), &other.caller(&world)).await),
        "not_found",
        "only its own"
    );
    ack(lease.id.as_str(), &machine.caller(&world))
        .await
        .unwrap();
    assert!(world.pull(&machine, KEY).await.unwrap().items.is_empty());
    assert!(!world.wake(&machine).await.leases);
    // Another request renews.
    let renewed = world
        .pull(&machine, "bbbbbbbbbbbbbbbb")
        .await
        .unwrap()
        .items
        .remove(0);
    assert_ne!(renewed.id, lease.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_result_seals_the_same_lease_again() {
    let world = World::new().await;
    let mut machine = world.good("dpu-a", 1).await;
    world.put_secret("dpu-a", "db", b"password").await.unwrap();
    let lease = world.pull(&machine, KEY).await.unwrap().items.remove(0);
    world.pass(10);
    let forgotten = machine.clone();
    machine.new_hpke();
    world.prove(&machine).await.unwrap();
    let again = world.pull(&machine, KEY).await.unwrap().items.remove(0);
    assert_eq!((&again.id, again.expires_at), (&lease.id, lease.expires_at));
    assert_ne!(again.result_id, lease.result_id);
    assert_eq!(world.open_lease(&machine, &again).unwrap(), b"password");
    assert!(world.open_lease(&forgotten, &again).is_err());
    assert!(world.open_lease(&machine, &lease).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_lease_never_outlives_what_earned_it_and_is_judged_at_each_pick_up() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world.put_secret("dpu-a", "db", b"password").await.unwrap();
    world.pass(800);
    let lease = world.pull(&machine, KEY).await.unwrap().items.remove(0);
    assert_eq!(
        lease.expires_in_ms, 100_000,
        "fresh_until comes before the tier's 300 s"
    );
    world.pass(100);
    let refused = world.pull(&machine, KEY).await.unwrap_err();
    assert_eq!(refused.code(), "attestation.stale");
    assert!(refused.demand_id().is_some());
    world.prove(&machine).await.unwrap();
    assert_ne!(
        world.pull(&machine, KEY).await.unwrap().items[0].id,
        lease.id,
        "the first one has run out"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_or_replaced_secret_is_wiped() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let secret = world.put_secret("dpu-a", "db", b"one").await.unwrap();
    let first = world.pull(&machine, KEY).await.unwrap().items.remove(0);
    let replaced = world.put_secret("dpu-a", "db", b"two").await.unwrap();
    assert_eq!((&replaced.id, replaced.version), (&secret.id, 2));
    let wake = world.wake(&machine).await;
    assert!(wake.leases);
    assert_eq!(wake.wipe_leases, [first.id]);
    let second = world.pull(&machine, KEY).await.unwrap().items.remove(0);
    assert_eq!(world.open_lease(&machine, &second).unwrap(), b"two");
    let ctx = world.ctx(
        &world.acme.admin,
        "withdraw_secret",
        Some(secret.id.as_str()),
    );
    let gone = op::withdraw_secret(ctx, because("rotated"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (gone.state.as_str(), gone.released_at.is_some()),
        ("withdrawn", true)
    );
    assert!(world.pull(&machine, KEY).await.unwrap().items.is_empty());
    assert!(world.wake(&machine).await.wipe_leases.contains(&second.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_and_tenants_hold() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    for (name, size, good) in [
        ("db", 0, false),
        ("db", 65_536, true),
        ("db", 65_537, false),
        ("D", 1, false),
        ("..", 1, false),
    ] {
        let put = world.put_secret("dpu-a", name, &vec![7; size]).await;
        assert_eq!(put.is_ok(), good, "{name} {size}");
    }
    let ask = || SecretPut {
        dpu: "dpu-a".into(),
        name: "x".into(),
        value: SecretB64(zeroize::Zeroizing::new(vec![1])),
    };
    let by = |who: &op::Caller| op::put_secret(world.ctx(who, "put_secret", None), ask());
    assert_eq!(code(by(&world.other.admin).await), "not_found", "I11");
    assert_eq!(code(by(&world.acme.operator).await), "auth.forbidden");
    for key in [
        "short",
        &"a".repeat(65),
        "AAAAAAAAAAAAAAAA",
        "aaaaaaaaaaaaaaa/",
    ] {
        assert_eq!(code(world.pull(&machine, key).await), "request.value");
    }
    for n in 0..8 {
        world
            .pull(&machine, &format!("aaaaaaaaaaaaaaaa{n}"))
            .await
            .unwrap();
    }
    assert_eq!(
        code(world.pull(&machine, "zzzzzzzzzzzzzzzz").await),
        "request.rate"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_the_database_and_the_log_hold_no_secret() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world
        .put_secret("dpu-a", "db", b"correct horse battery staple")
        .await
        .unwrap();
    world.pull(&machine, KEY).await.unwrap();
    let files = std::fs::read_dir(world.scratch.path().parent().unwrap()).unwrap();
    for file in files {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(13).any(|w| w == b"correct horse"));
    }
}

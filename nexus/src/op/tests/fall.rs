//! What follows when trust dies, and that a mass of it is paced.

use assay_api::types::*;

use super::world::*;
use crate::op;

#[tokio::test(flavor = "multi_thread")]
async fn i10_credentials_die_with_their_device() {
    let world = World::new().await;
    let mut machine = world.good("dpu-a", 1).await;
    let bystander = world.good("dpu-b", 2).await;
    world.put_secret("dpu-a", "db", b"password").await.unwrap();
    world.put_secret("dpu-b", "db", b"password").await.unwrap();
    let lease = world
        .pull(&machine, "aaaaaaaaaaaaaaaa")
        .await
        .unwrap()
        .items
        .remove(0);
    world.pull(&bystander, "aaaaaaaaaaaaaaaa").await.unwrap();
    world.pass(1);
    machine.extend(7);
    assert_eq!(world.prove(&machine).await.unwrap().verdict, "failed");
    assert_eq!(
        code(world.pull(&machine, "aaaaaaaaaaaaaaaa").await),
        "attestation.failed"
    );
    let wake = world.wake(&machine).await;
    assert!(wake.wipe && !wake.leases);
    assert_eq!(wake.wipe_leases, std::slice::from_ref(&lease.id));
    let shown = world.show("dpu-a").await;
    assert!(
        shown
            .exposed
            .iter()
            .any(|e| e.contains("secret/db version 1") && e.contains(lease.id.as_str()))
    );
    // The other one is untouched.
    assert!(!world.wake(&bystander).await.wipe);
    assert!(world.show("dpu-b").await.exposed.is_empty());
    assert_eq!(
        world
            .pull(&bystander, "aaaaaaaaaaaaaaaa")
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    // Wiped and said so: it is not told again.
    let ctx = world.ctx(
        &machine.caller(&world),
        "acknowledge_lease",
        Some(lease.id.as_str()),
    );
    op::acknowledge_lease(ctx, Empty {}).await.unwrap();
    assert!(world.wake(&machine).await.wipe_leases.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_a_decommissioned_device_hears_only_that_it_must_wipe() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let secret = world.put_secret("dpu-a", "db", b"password").await.unwrap();
    world.pull(&machine, "aaaaaaaaaaaaaaaa").await.unwrap();
    let ctx = world.ctx(&world.acme.admin, "decommission_dpu", Some("dpu-a"));
    op::decommission_dpu(ctx, because("sold")).await.unwrap();
    assert!(world.wake(&machine).await.wipe);
    assert_eq!(code(world.nonce(&machine).await), "dpu.decommissioned");
    assert_eq!(
        code(world.pull(&machine, "bbbbbbbbbbbbbbbb").await),
        "dpu.decommissioned"
    );
    assert_eq!(
        code(world.put_secret("dpu-a", "db", b"password").await),
        "dpu.decommissioned"
    );
    let list = op::list_secrets(
        world.ctx(&world.acme.admin, "list_secrets", None),
        InTenant::default(),
    );
    let listed = list.await.unwrap().into_inner().items.remove(0);
    assert_eq!((listed.id, listed.state.as_str()), (secret.id, "withdrawn"));
    let sealed: i64 = world
        .app
        .store
        .read_now(|r| {
            use crate::store::Rows as _;
            let sql = "SELECT sum(length(sealed)) FROM (SELECT sealed FROM secret UNION ALL SELECT sealed FROM lease)";
            Ok::<_, crate::store::StoreFault>(r.sql().query_row(sql, [], |row| row.get(0))?)
        })
        .unwrap();
    assert_eq!(sealed, 0, "scrubbed");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_five_falls_an_hour_effects_wait_for_a_super_admin_and_refusing_does_not() {
    let world = World::new().await;
    let mut machines = Vec::new();
    for n in 1..=7_u8 {
        let machine = world.good(&format!("dpu-{n}"), n).await;
        world
            .put_secret(&format!("dpu-{n}"), "db", b"password")
            .await
            .unwrap();
        world.pull(&machine, "aaaaaaaaaaaaaaaa").await.unwrap();
        machines.push(machine);
    }
    world.pass(1);
    for (n, machine) in machines.iter_mut().enumerate() {
        machine.extend(7);
        assert_eq!(world.prove(machine).await.unwrap().verdict, "failed");
        assert_eq!(world.wake(machine).await.wipe, n < 5, "device {n}");
        assert_eq!(
            code(world.pull(machine, "aaaaaaaaaaaaaaaa").await),
            "attestation.failed"
        );
    }
    let quarantine = |who: &op::Caller| {
        op::quarantine_dpu(
            world.ctx(who, "quarantine_dpu", Some("dpu-6")),
            because("really compromised"),
        )
    };
    assert_eq!(
        step(quarantine(&world.acme.admin).await),
        "quarantine.paced"
    );
    quarantine(&world.root).await.unwrap();
    assert!(world.wake(&machines[5]).await.wipe);
    assert!(!world.wake(&machines[6]).await.wipe);
    // An hour later the next one counts as the first.
    world.pass(3_601);
    let mut late = world.good("dpu-late", 20).await;
    world.pass(1);
    late.extend(7);
    world.prove(&late).await.unwrap();
    assert!(world.wake(&late).await.wipe);
}

#[tokio::test(flavor = "multi_thread")]
async fn past_five_falls_an_hour_hosts_keep_their_trust_until_a_super_admin_has_looked() {
    let world = World::new().await;
    let ctx = world.ctx(&world.acme.admin, "create_ssh_ca", None);
    let ask = SshCaCreate {
        tenant: None,
        name: "prod".into(),
    };
    op::create_ssh_ca(ctx, ask).await.unwrap();
    let mut machines = Vec::new();
    for n in 1..=6_u8 {
        let name = format!("dpu-{n}");
        let machine = world.good(&name, n).await;
        world.pair(&name, &format!("host-{n}"), 30 + n * 4).await;
        let ctx = world.ctx(&world.acme.admin, "push", Some(&name));
        let ask = PushAsk {
            ssh_ca: "prod".into(),
        };
        op::push(ctx, ask).await.unwrap();
        assert_eq!(world.carry(&machine).await, 1);
        machines.push(machine);
    }
    world.pass(1);
    for (n, machine) in machines.iter_mut().enumerate() {
        machine.extend(7);
        assert_eq!(world.prove(machine).await.unwrap().verdict, "failed");
        let withdrawn = world.wake(machine).await.manifests.len();
        assert_eq!(withdrawn, usize::from(n < 5), "device {n}");
    }
    let ctx = world.ctx(&world.root, "quarantine_dpu", Some("dpu-6"));
    op::quarantine_dpu(ctx, because("really compromised"))
        .await
        .unwrap();
    assert_eq!(world.carry(&machines[5]).await, 1);
}

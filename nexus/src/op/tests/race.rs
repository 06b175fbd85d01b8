//! What changes between looking and storing, and between asking once and asking again.

use std::time::Duration;

use assay_api::types::*;

use super::ssh::{line, with_hosts};
use super::world::*;
use crate::op;
use crate::problem::Problem;
use crate::store::devices::Device;
use crate::store::references::{Reference as Set, ReferenceState};
use crate::store::ssh::ManifestRow;
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

#[tokio::test(flavor = "multi_thread")]
async fn i3_an_idempotency_key_is_of_one_certificate_while_that_counts() {
    let (world, ..) = with_hosts().await;
    let admin = &world.acme.admin;
    let create = SshCaCreate {
        tenant: None,
        name: "second".into(),
    };
    let ctx = world.ctx(admin, "create_ssh_ca", None);
    op::create_ssh_ca(ctx, create).await.unwrap();
    let push = PushAsk {
        ssh_ca: "second".into(),
    };
    let ctx = world.ctx(admin, "push", Some("dpu-a"));
    op::push(ctx, push).await.unwrap();
    let key = "aaaaaaaaaaaaaaa1";
    let first = world.sign(admin, &["host-a"], key).await.unwrap();
    let again = world.sign(admin, &["host-a"], key).await.unwrap();
    assert_eq!(first.certificate, again.certificate);

    assert_eq!(
        code(world.sign(admin, &["host-b"], key).await),
        "conflict",
        "another host"
    );
    for (ca, key_line, what) in [("prod", line(98), "key"), ("second", line(99), "ca")] {
        let ask = CertificateAsk {
            public_key: key_line,
            hosts: vec!["host-a".into()],
            logins: vec!["ubuntu".into()],
            lifetime: None,
            idempotency_key: key.into(),
        };
        let ctx = world.ctx(admin, "sign_certificate", Some(ca));
        assert_eq!(
            code(op::sign_certificate(ctx, ask).await),
            "conflict",
            "another {what}"
        );
    }
    let ctx = world.ctx(admin, "revoke_certificate", Some(first.info.id.as_str()));
    op::revoke_certificate(ctx, because("lost laptop"))
        .await
        .unwrap();
    assert_eq!(
        code(world.sign(admin, &["host-a"], key).await),
        "conflict",
        "revoked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_manifest_that_gives_is_judged_again_at_each_pick_up() {
    let (world, a, b) = with_hosts().await;
    let host_of = |machine: &Machine| {
        let hosts = world.app.store.read_now(|r| {
            let id = machine.id().clone();
            crate::manifest::hosts_behind(r, &id)
        });
        hosts.unwrap().remove(0).id
    };
    let (host_a, host_b) = (host_of(&a), host_of(&b));
    let pull = async |machine: &Machine, host: &assay_api::id::HostId, have: u64| {
        let ask = ManifestAsk {
            host_id: host.clone(),
            have,
        };
        let ctx = world.ctx(&machine.caller(&world), "pull_manifest", None);
        op::pull_manifest(ctx, ask).await.map(|m| m.into_inner())
    };
    let given = pull(&a, &host_a, 0).await.unwrap().manifest.unwrap();
    assert_eq!(code(pull(&a, &host_b, 0).await), "not_found");
    world.pass(901);
    world.prove(&b).await.unwrap();
    let stale = pull(&a, &host_a, 0).await.unwrap_err();
    assert_eq!(stale.code(), "attestation.stale");
    assert!(stale.demand_id().is_some());
    assert!(pull(&a, &host_a, 1).await.unwrap().manifest.is_none());
    world.prove(&a).await.unwrap();
    let again = pull(&a, &host_a, 0).await.unwrap().manifest.unwrap();
    assert_eq!(given.0, again.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn i11_a_super_admin_mixes_no_tenants_by_mistake() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let item = ClaimItem {
        rekey: Some(machine.id().to_string()),
        ..World::item("dpu-a", &machine)
    };
    let ask = ClaimsCreate {
        tenant: Some("other".into()),
        items: vec![item],
    };
    let ctx = world.ctx(&world.root, "create_claims", None);
    assert_eq!(code(op::create_claims(ctx, ask).await), "conflict");

    let theirs = Device {
        id: assay_api::id::DeviceId::from_random(&[77; 16]),
        tenant: world.other.id.clone(),
        ek_spki: None,
        ak_name: None,
        ..world.row(machine.id())
    };
    let id = theirs.id.to_string();
    let put = world
        .app
        .store
        .write::<_, StoreFault, _>(move |tx| tx.change(entry("test"), |c| c.insert(&theirs)));
    put.await.unwrap();
    let ask = ReferenceTake {
        dpu: machine.id().to_string(),
        name: "golden".into(),
        pcrs: Vec::new(),
        applies_to: vec![id],
    };
    let ctx = world.ctx(&world.root, "take_reference", None);
    assert_eq!(code(op::take_reference(ctx, ask).await), "not_found");

    let create = SshCaCreate {
        tenant: Some("other".into()),
        name: "theirs".into(),
    };
    let ctx = world.ctx(&world.root, "create_ssh_ca", None);
    op::create_ssh_ca(ctx, create).await.unwrap();
    let ctx = world.ctx(&world.root, "push", Some(machine.id().as_str()));
    let ask = PushAsk {
        ssh_ca: "theirs".into(),
    };
    assert_eq!(code(op::push(ctx, ask).await), "not_found");
    world.pair(machine.id().as_str(), "host-a", 30).await;
    let ask = CertificateAsk {
        public_key: line(99),
        hosts: vec!["host-a".into()],
        logins: vec!["ubuntu".into()],
        lifetime: None,
        idempotency_key: "aaaaaaaaaaaaaaaa".into(),
    };
    let ctx = world.ctx(&world.root, "sign_certificate", Some("theirs"));
    assert_eq!(code(op::sign_certificate(ctx, ask).await), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_what_only_removes_ends_no_later_than_what_was_there() {
    let (world, a, _) = with_hosts().await;
    let admin = &world.acme.admin;
    let certificate = world.sign(admin, &["host-a"], "aaaaaaaaaaaaaaa1").await;
    let id = certificate.unwrap().info.id;
    let newest = || {
        let row = world.app.store.read_now(|r| {
            let host = crate::manifest::hosts_behind(r, a.id())?.remove(0).id;
            r.get::<ManifestRow>(&host)
        });
        row.unwrap().unwrap()
    };
    let before = newest();
    world.pass(901);
    let revoke = || {
        let ctx = world.ctx(admin, "revoke_certificate", Some(&id));
        op::revoke_certificate(ctx, because("lost laptop"))
    };
    revoke().await.unwrap();
    assert_eq!(code(revoke().await), "conflict", "once");
    assert_eq!(world.carry(&a).await, 1, "stale, and yet");
    let after = newest();
    assert!(after.removes && after.sequence == before.sequence + 1);
    assert_eq!(after.not_after, before.not_after);
    // It had run out: the host is shut at once.
    world.pass(2 * 86_400);
    let ctx = world.ctx(admin, "withdraw", Some("dpu-a"));
    let ask = PushAsk {
        ssh_ca: "prod".into(),
    };
    op::withdraw(ctx, ask).await.unwrap();
    assert_eq!(world.carry(&a).await, 1);
    let now = world.app.store.clock().now();
    assert!(newest().not_after <= now.plus_millis(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_no_reference_values_are_taken_from_a_quarantined_device() {
    let world = World::new().await;
    world.good("dpu-a", 1).await;
    let ctx = world.ctx(&world.acme.admin, "quarantine_dpu", Some("dpu-a"));
    op::quarantine_dpu(ctx, because("it beeps")).await.unwrap();
    let taken = world.take("dpu-a", "golden", &[]).await;
    assert_eq!(code(taken), "reference.source");
}

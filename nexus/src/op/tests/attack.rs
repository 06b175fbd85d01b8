//! Attacks on releases and revocations: repeats, proofs from before, rows edited under a running nexus, lists without end.

use std::time::Duration;

use assay_api::log::Decision;
use assay_api::manifest::Manifest;
use assay_api::signed::Unverified;
use assay_api::types::*;

use super::ssh::{line, with_hosts};
use super::world::*;
use crate::manifest;
use crate::op::{self, Caller};
use crate::problem::Problem;
use crate::ssh::ca;
use crate::store::devices::Words;
use crate::store::ssh::{CertificateKind, CertificateRow, CertificateState, SshCaRow};
use crate::store::testing::entry;
use crate::store::{Rows, StoreFault, Writes as _};

const REASON: &str = "the rack is on fire";

/// Certificates of the operator's, as if signed one by one through the day.
async fn many_certificates(world: &World, machine: &Machine, count: usize) {
    let (operator, device) = (
        world.acme.operator.person().unwrap().id.clone(),
        machine.id(),
    );
    for _ in 0..count / 300 {
        let (operator, device) = (operator.clone(), device.clone());
        let made = world.app.store.write(move |tx| {
            tx.change(entry("test.certificates"), |c| {
                let row: SshCaRow = c.find("name", "prod")?.remove(0);
                for _ in 0..300 {
                    let serial = ca::take_serial(c, &row.id)?;
                    let made = CertificateRow {
                        id: String::new(),
                        tenant: row.tenant.clone(),
                        ca: row.id.clone(),
                        serial,
                        kind: CertificateKind::User,
                        signer: [7; 32],
                        key_id: format!("{operator}/{serial}"),
                        principals: Words::of(["ubuntu@h-aaaaaaaaaaaaaaaaaaaaaaaaaa"]),
                        hosts: Words::default(),
                        device: Some(device.clone()),
                        operator: Some(operator.clone()),
                        request: format!("{operator}/{serial}"),
                        valid_after: c.now(),
                        valid_before: c.now().plus_millis(3_600_000),
                        state: CertificateState::Valid,
                        reason: None,
                        line: "ssh-ed25519-cert-v01@openssh.com AAAA".into(),
                    };
                    ca::keep(c, made)?;
                }
                Ok::<_, Problem>(())
            })
        });
        made.await.unwrap();
    }
}

fn running(world: &World) -> usize {
    let count = world.app.store.read_now(|r| {
        let sql = "SELECT count(*) FROM certificate WHERE state = 'valid' AND kind = 'user'";
        Ok::<_, StoreFault>(r.sql().query_row(sql, [], |row| row.get::<_, i64>(0))?)
    });
    usize::try_from(count.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_no_number_of_certificates_keeps_a_verdict_or_a_suspension_out_of_the_log() {
    let (world, mut a, _) = with_hosts().await;
    many_certificates(&world, &a, 1_200).await;
    world.pass(1);
    a.extend(4);
    assert_eq!(world.prove(&a).await.unwrap().verdict, "failed");
    assert_eq!(running(&world), 0);

    many_certificates(&world, &a, 1_200).await;
    let olga = world.acme.operator.person().unwrap().id.clone();
    let ctx = world.ctx(&world.acme.admin, "suspend_operator", Some(olga.as_str()));
    op::suspend_operator(ctx, because("left us")).await.unwrap();
    assert_eq!(running(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn i14_one_person_fills_no_list_of_revoked_certificates() {
    let (world, a, _) = with_hosts().await;
    many_certificates(&world, &a, 2_100).await;
    let ask = GrantCreate {
        operator: world.acme.operator.person().unwrap().id.clone(),
        ssh_ca: "prod".into(),
        host: Some("host-a".into()),
        dpu: None,
        logins: vec!["ubuntu".into()],
        expires_at: Time(world.app.store.clock().now().plus_millis(86_400_000)),
    };
    let ctx = world.ctx(&world.acme.admin, "create_grant", None);
    op::create_grant(ctx, ask).await.unwrap();
    let (olga, admin) = (&world.acme.operator, &world.acme.admin);
    let full = world.sign(olga, &["host-a"], "aaaaaaaaaaaaaaa1").await;
    assert_eq!(code(full), "conflict");
    world
        .sign(admin, &["host-a"], "aaaaaaaaaaaaaaa1")
        .await
        .unwrap();
    world.pass(3_601);
    world.prove(&a).await.unwrap();
    world
        .sign(olga, &["host-a"], "aaaaaaaaaaaaaaa1")
        .await
        .unwrap();
}

async fn pull(world: &World, machine: &Machine, have: u64) -> Result<Option<Manifest>, Problem> {
    let hosts = world
        .app
        .store
        .read_now(|r| manifest::hosts_behind(r, machine.id()));
    let ask = ManifestAsk {
        host_id: hosts.unwrap().remove(0).id,
        have,
    };
    let ctx = world.ctx(&machine.caller(world), "pull_manifest", None);
    let out = op::pull_manifest(ctx, ask).await?.into_inner().manifest;
    Ok(out.map(|m| {
        Unverified::<Manifest>::parse(&m.0)
            .unwrap()
            .claimed()
            .clone()
    }))
}

async fn revoke(world: &World, certificate: &Certificate) {
    let id = certificate.info.id.as_str();
    let ctx = world.ctx(&world.acme.admin, "revoke_certificate", Some(id));
    op::revoke_certificate(ctx, because("lost laptop"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_repeat_under_a_bypass_hands_out_nothing_that_a_bypass_would_not() {
    let (world, ..) = with_hosts().await;
    let key = "aaaaaaaaaaaaaaa1";
    let good = world.sign(&world.root, &["host-a"], key).await.unwrap();
    let again = world.sign(&world.root, &["host-a"], key).await.unwrap();
    assert_eq!(good.certificate, again.certificate);
    world.pass(901);
    let repeat = world
        .sign_by(&world.root, &["host-a"], key, Some(REASON))
        .await;
    assert_eq!(code(repeat), "conflict", "it lives for hours");
    assert_eq!(
        world
            .events()
            .iter()
            .filter(|e| *e == "gate.bypass")
            .count(),
        0
    );

    let key = "aaaaaaaaaaaaaaa2";
    let forced = world
        .sign_by(&world.root, &["host-a"], key, Some(REASON))
        .await
        .unwrap();
    world.pass(10);
    let again = world
        .sign_by(&world.root, &["host-a"], key, Some(REASON))
        .await
        .unwrap();
    assert_eq!(forced.certificate, again.certificate);
    assert!(again.bypass_id.is_some() && again.bypass_id != forced.bypass_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_by_a_bypass_says_so_in_the_log() {
    let (world, ..) = with_hosts().await;
    world
        .sign(&world.root, &["host-a"], "aaaaaaaaaaaaaaa1")
        .await
        .unwrap();
    world.pass(901);
    for _ in 0..2 {
        let key = "aaaaaaaaaaaaaaa2";
        world
            .sign_by(&world.root, &["host-a"], key, Some(REASON))
            .await
            .unwrap();
    }
    let mut ctx = world.ctx(&world.root, "push", Some("dpu-a"));
    ctx.bypass = Some(REASON.into());
    let ask = PushAsk {
        ssh_ca: "prod".into(),
    };
    op::push(ctx, ask).await.unwrap();
    let said = |event: &str| {
        let all = world.entries().into_iter().filter(|e| e.event == event);
        all.map(|e| e.decision).collect::<Vec<_>>()
    };
    let (allowed, bypassed) = (Decision::Allowed, Decision::Bypassed);
    assert_eq!(said("certificate.sign"), [allowed, bypassed, bypassed]);
    assert_eq!(said("ssh_ca.push"), [allowed, allowed, bypassed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_forged_row_under_a_removing_manifest_is_a_fault_and_no_denial() {
    let (world, a, _) = with_hosts().await;
    let certificate = world
        .sign(&world.root, &["host-a"], "aaaaaaaaaaaaaaa1")
        .await
        .unwrap();
    world
        .scratch
        .tamper("UPDATE reference SET version = version + 1");
    revoke(&world, &certificate).await;
    assert_eq!(code(pull(&world, &a, 0).await), "store.row_forged");
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_lease_that_was_prolonged_in_the_database_ends_when_it_should() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    world.put_secret("dpu-a", "db", b"password").await.unwrap();
    let key = "aaaaaaaaaaaaaaaa";
    let first = world.pull(&machine, key).await.unwrap().items.remove(0);
    world
        .scratch
        .tamper("UPDATE lease SET expires = expires + 86400000");
    let again = world.pull(&machine, key).await.unwrap().items.remove(0);
    assert_eq!((again.id, again.expires_at), (first.id, first.expires_at));
    world.pass(10);
    world.prove(&machine).await.unwrap();
    let sealed_again = world.pull(&machine, key).await.unwrap().items.remove(0);
    assert!(
        sealed_again.expires_in_ms <= 300_000,
        "no more than a new one would give"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_revoked_certificate_stays_listed_for_hosts_whose_clock_is_behind() {
    let (world, a, _) = with_hosts().await;
    let ask = CertificateAsk {
        public_key: line(99),
        hosts: vec!["host-a".into()],
        logins: vec!["ubuntu".into()],
        lifetime: Some(60),
        idempotency_key: "aaaaaaaaaaaaaaa1".into(),
    };
    let ctx = world.ctx(&world.root, "sign_certificate", Some("prod"));
    let short = op::sign_certificate(ctx, ask).await.unwrap().into_inner();
    revoke(&world, &short).await;
    world.pass(300);
    let later = world
        .sign(&world.root, &["host-a"], "aaaaaaaaaaaaaaa2")
        .await
        .unwrap();
    revoke(&world, &later).await;
    let krl = pull(&world, &a, 0).await.unwrap().unwrap().files.krl;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("krl"), krl).unwrap();
    std::fs::write(dir.path().join("cert.pub"), &short.certificate).unwrap();
    let asked = std::process::Command::new("ssh-keygen")
        .args(["-Q", "-f", "krl", "cert.pub"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decommissioned_device_is_fresh_until_no_time_at_all() {
    let world = World::new().await;
    world.good("dpu-a", 1).await;
    assert!(world.show("dpu-a").await.fresh_until.is_some());
    let ctx = world.ctx(&world.acme.admin, "decommission_dpu", Some("dpu-a"));
    op::decommission_dpu(ctx, because("sold")).await.unwrap();
    assert_eq!(world.show("dpu-a").await.fresh_until, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn i14_strangers_never_wait_in_the_queue_of_those_who_write() {
    let world = World::new().await;
    let machine = Machine::new(1);
    let secret = world.claim("dpu-a", &machine).await;
    let challenge = world.begin(&machine, &secret).await.unwrap();
    let (go, stop) = std::sync::mpsc::channel::<()>();
    let store = world.app.store.clone();
    let busy = tokio::spawn(async move {
        store
            .write::<_, StoreFault, _>(move |_| stop.recv().map_err(|_| StoreFault::Busy))
            .await
    });
    let stranger = async {
        let begun = world.begin(&machine, &[7; 32]).await;
        assert_eq!(code(begun), "auth.failed");
        let done = world
            .complete(&machine, &[7; 32], &challenge, vec![0])
            .await;
        assert_eq!(code(done), "auth.failed");
    };
    let answered = tokio::time::timeout(Duration::from_secs(5), stranger).await;
    go.send(()).unwrap();
    busy.await.unwrap().unwrap();
    assert!(answered.is_ok());
}

async fn rekey(world: &World, machine: &Machine) -> (Machine, zeroize::Zeroizing<[u8; 32]>) {
    let item = ClaimItem {
        rekey: Some("dpu-a".into()),
        ..World::item("dpu-a", machine)
    };
    let made = world.claims(&world.acme.admin, vec![item]).await.unwrap();
    let mut reimaged = machine.clone();
    reimaged.request = super::soft_tpm::signing_key(201);
    (reimaged, secret_of(&made[0]))
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_rekey_proof_stored_up_before_a_demand_or_a_release_counts_for_nothing() {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    let (reimaged, secret) = rekey(&world, &machine).await;
    world.pass(1);
    let challenge = world.begin(&reimaged, &secret).await.unwrap();
    let stored_up = world.first_evidence(&reimaged, &challenge);
    world.pass(1);
    let done = async |route: &str, who: &Caller| {
        let ctx = world.ctx(who, route, Some("dpu-a"));
        match route {
            "quarantine_dpu" => op::quarantine_dpu(ctx, because("it beeps")).await.map(drop),
            "release_dpu" => op::release_dpu(ctx, because("it was the fan"))
                .await
                .map(drop),
            _ => op::demand_proof(ctx, because("a strange smell"))
                .await
                .map(drop),
        }
    };
    done("quarantine_dpu", &world.acme.admin).await.unwrap();
    world.pass(1);
    let (second, of_second) = rekey(&world, &machine).await;
    let amid = world.begin(&second, &of_second).await.unwrap();
    let amid_evidence = world.first_evidence(&second, &amid);
    world.pass(1);
    done("release_dpu", &world.root).await.unwrap();
    let late = world
        .complete(&reimaged, &secret, &challenge, stored_up)
        .await;
    assert_eq!(step(late), "evidence.stored_up");
    let late = world
        .complete(&second, &of_second, &amid, amid_evidence)
        .await;
    assert_eq!(
        step(late),
        "evidence.stored_up",
        "asked for before the release"
    );
    assert_eq!(world.show("dpu-a").await.attestation, "failed");

    let challenge = world.begin(&reimaged, &secret).await.unwrap();
    let stored_up = world.first_evidence(&reimaged, &challenge);
    world.pass(1);
    done("demand_proof", &world.acme.admin).await.unwrap();
    let late = world
        .complete(&reimaged, &secret, &challenge, stored_up)
        .await;
    assert_eq!(step(late), "evidence.stored_up");
    // The claim is not burnt by it.
    let mut reimaged = reimaged;
    let enrolled = world.enrol_with(&mut reimaged, &secret).await.unwrap();
    assert_eq!(enrolled.verdict.verdict, "verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_open_claims_go_with_whoever_made_them() {
    let world = World::new().await;
    let mut machine = Machine::new(1);
    let secret = world.claim("dpu-a", &machine).await;
    let mallory = world.acme.admin.person().unwrap().id.clone();
    let ctx = world.ctx(&world.root, "suspend_operator", Some(mallory.as_str()));
    op::suspend_operator(ctx, because("stolen laptop"))
        .await
        .unwrap();
    let enrolled = world.enrol_with(&mut machine, &secret).await;
    assert_eq!(step(enrolled), "claim.void");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_carries_as_many_cas_as_a_manifest_has_room_for() {
    let (world, a, _) = with_hosts().await;
    let mut answers = Vec::new();
    for n in 1..=9 {
        let ask = SshCaCreate {
            tenant: None,
            name: format!("ca-{n}"),
        };
        op::create_ssh_ca(world.ctx(&world.acme.admin, "create_ssh_ca", None), ask)
            .await
            .unwrap();
        let ctx = world.ctx(&world.acme.admin, "push", Some("dpu-a"));
        let ask = PushAsk {
            ssh_ca: format!("ca-{n}"),
        };
        answers.push(op::push(ctx, ask).await.map_or_else(|p| p.code(), |_| "ok"));
    }
    assert_eq!(
        answers[6..],
        ["ok", "conflict", "conflict"],
        "eight with the first"
    );
    // All of them in the middle of a rotation still fit, so that what is revoked reaches the host.
    for name in (1..=7).map(|n| format!("ca-{n}")).chain(["prod".into()]) {
        let ctx = world.ctx(&world.acme.admin, "rotate_ssh_ca", Some(&name));
        op::rotate_ssh_ca(ctx, rotation(RotationStep::Prepare))
            .await
            .unwrap();
    }
    let files = pull(&world, &a, 0).await.unwrap().unwrap().files;
    assert_eq!(files.user_cas.len(), 16);
}

fn rotation(step: RotationStep) -> SshCaRotate {
    SshCaRotate { step, force: None }
}

async fn rotate(world: &World, who: &Caller, ask: SshCaRotate) -> Result<SshCa, Problem> {
    let ctx = world.ctx(who, "rotate_ssh_ca", Some("prod"));
    op::rotate_ssh_ca(ctx, ask)
        .await
        .map(op::Changed::into_inner)
}

async fn installed(world: &World, machine: &Machine) {
    let manifest = pull(world, machine, 0).await.unwrap().unwrap();
    let report = DeliveryReport {
        host_id: manifest.host_id,
        sequence: manifest.sequence,
        outcome: "ok".into(),
        detail: String::new(),
    };
    let ctx = world.ctx(&machine.caller(world), "report_delivery", None);
    op::report_delivery(ctx, report).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_key_retires_when_every_host_has_its_successor_and_its_certificates_have_run_out() {
    let (world, a, b) = with_hosts().await;
    let (admin, root) = (&world.acme.admin, &world.root);
    world
        .sign(root, &["host-a"], "aaaaaaaaaaaaaaa1")
        .await
        .unwrap();
    let retire = |force: Option<&str>| SshCaRotate {
        step: RotationStep::Retire,
        force: force.map(str::to_owned),
    };
    assert_eq!(code(rotate(&world, admin, retire(None)).await), "conflict");
    for step in [RotationStep::Prepare, RotationStep::Activate] {
        rotate(&world, admin, rotation(step)).await.unwrap();
    }
    let waits = async || {
        let refused = rotate(&world, admin, retire(None)).await.unwrap_err();
        assert_eq!(refused.code(), "conflict");
        refused.fault().to_string()
    };
    assert!(waits().await.contains("host-"));
    installed(&world, &a).await;
    assert!(waits().await.contains("host-b"), "one of two has it");
    // Picked up is not installed.
    pull(&world, &b, 0).await.unwrap();
    assert!(waits().await.contains("host-b"));
    installed(&world, &b).await;
    assert!(waits().await.contains("certificates"));
    world.pass(8 * 3600 + 1);
    rotate(&world, admin, retire(None)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_ca_key_retires_at_once_by_a_super_admin_with_a_reason() {
    let (world, mut a, b) = with_hosts().await;
    let (admin, root) = (&world.acme.admin, &world.root);
    let forced = |step, reason: &str| SshCaRotate {
        step,
        force: Some(reason.into()),
    };
    let early = rotate(&world, root, forced(RotationStep::Prepare, "now")).await;
    assert_eq!(code(early), "request.value");
    for step in [RotationStep::Prepare, RotationStep::Activate] {
        rotate(&world, admin, rotation(step)).await.unwrap();
    }
    let retire = |reason: &str| forced(RotationStep::Retire, reason);
    assert_eq!(
        step(rotate(&world, admin, retire("stolen")).await),
        "ssh_ca.force"
    );
    assert_eq!(
        code(rotate(&world, root, retire(" ")).await),
        "request.value"
    );
    // Whoever can get nothing keeps nobody waiting.
    world.pass(1);
    a.extend(4);
    world.prove(&a).await.unwrap();
    let waits = rotate(&world, admin, rotation(RotationStep::Retire)).await;
    assert!(waits.unwrap_err().fault().to_string().contains("host-b"));
    rotate(&world, root, retire("stolen")).await.unwrap();
    let entry = world.entries().pop().unwrap();
    assert_eq!(
        (entry.event.as_str(), entry.reason.as_deref()),
        ("ssh_ca.rotate", Some("stolen"))
    );
    assert!(entry.details["forced"].contains("host-b"));
    let files = pull(&world, &b, 0).await.unwrap().unwrap().files;
    assert_eq!(files.user_cas.len(), 1);
}

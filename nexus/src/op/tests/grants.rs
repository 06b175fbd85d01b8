//! Grants: what they must say, whom they let in, and what goes with them.

use assay_api::id::{GrantId, HostId, OperatorId};
use assay_api::types::*;

use super::world::*;
use crate::op::{self, Caller, grants};
use crate::problem::Problem;
use crate::store::devices::Words;
use crate::store::ssh::{CertificateRow, CertificateState, HostRow, HostState};
use crate::store::testing::{START, entry};
use crate::store::{Rows, StoreFault};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJPxvH8kVTcT/LDPNUSOK0LuxiyzMhm3F3S44bJ3fV8n";
const HOUR: u64 = 3_600_000;

/// A fresh DPU `dpu-a` with host `alpha` behind it, which trusts the CA `ops`.
async fn ready() -> World {
    let world = World::new().await;
    let machine = world.good("dpu-a", 1).await;
    host(&world, 1, "alpha", &machine).await;
    let ctx = world.ctx(&world.acme.admin, "create_ssh_ca", None);
    let ask = SshCaCreate {
        tenant: None,
        name: "ops".into(),
    };
    op::create_ssh_ca(ctx, ask).await.unwrap();
    let ctx = world.ctx(&world.acme.admin, "push", Some("dpu-a"));
    let ask = PushAsk {
        ssh_ca: "ops".into(),
    };
    op::push(ctx, ask).await.unwrap();
    world
}

async fn host(world: &World, seed: u8, name: &str, machine: &Machine) {
    let row = HostRow {
        id: HostId::from_random(&[seed; 16]),
        tenant: world.acme.id.clone(),
        name: name.into(),
        device: machine.id().clone(),
        principals: Words::of([format!("{name}.test")]),
        logins: Words::of(["root", "ubuntu"]),
        sshd_key: KEY.into(),
        trial_key: KEY.into(),
        host_key: [seed; 32],
        pairing: Vec::new(),
        state: HostState::Paired,
        created: START,
    };
    world
        .app
        .store
        .write(move |tx| tx.change(entry("host.pair"), |c| c.insert(&row)))
        .await
        .map_err(|e: StoreFault| e)
        .unwrap();
}

fn id_of(caller: &Caller) -> OperatorId {
    caller.person().unwrap().id.clone()
}

fn on_host(world: &World, logins: &[&str]) -> GrantCreate {
    GrantCreate {
        operator: id_of(&world.acme.operator),
        ssh_ca: "ops".into(),
        host: Some("alpha".into()),
        dpu: None,
        logins: logins.iter().map(|l| (*l).to_owned()).collect(),
        expires_at: Time(world.app.store.clock().now().plus_millis(24 * HOUR)),
    }
}

async fn grant(world: &World, ask: GrantCreate) -> Result<Grant, Problem> {
    let ctx = world.ctx(&world.acme.admin, "create_grant", None);
    op::create_grant(ctx, ask).await.map(|g| g.into_inner())
}

async fn revoke(world: &World, id: &GrantId) -> Result<Grant, Problem> {
    let ctx = world.ctx(&world.acme.admin, "revoke_grant", Some(id.as_str()));
    op::revoke_grant(ctx, because("the shift is over"))
        .await
        .map(|g| g.into_inner())
}

async fn sign(world: &World, by: &Caller, login: &str, once: &str) -> Result<Certificate, Problem> {
    let ctx = world.ctx(by, "sign_certificate", Some("ops"));
    let ask = CertificateAsk {
        public_key: KEY.into(),
        hosts: vec!["alpha".into()],
        logins: vec![login.into()],
        lifetime: None,
        idempotency_key: format!("{once}aaaaaaaaaaaaaaaa"),
    };
    op::sign_certificate(ctx, ask).await.map(|c| c.into_inner())
}

fn state(world: &World, certificate: &Certificate) -> CertificateState {
    let info = &certificate.info;
    let key = crate::store::ssh::certificate_key(&info.ssh_ca_id, info.serial);
    let row: Option<CertificateRow> = world.app.store.read_now(|r| r.get(key.as_str())).unwrap();
    row.unwrap().state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_explicit_and_ends() {
    let world = ready().await;
    let good = || on_host(&world, &["root"]);
    let now = world.app.store.clock().now();
    let at = |millis: u64| Time(now.plus_millis(millis));
    for bad in [
        GrantCreate {
            logins: vec!["*".into()],
            ..good()
        },
        GrantCreate {
            logins: vec!["root,ubuntu".into()],
            ..good()
        },
        GrantCreate {
            logins: vec!["root@x".into()],
            ..good()
        },
        GrantCreate {
            logins: Vec::new(),
            ..good()
        },
        GrantCreate {
            logins: (0..17).map(|n| format!("u{n}")).collect(),
            ..good()
        },
        GrantCreate {
            host: None,
            ..good()
        },
        GrantCreate {
            dpu: Some("dpu-a".into()),
            ..good()
        },
        GrantCreate {
            expires_at: Time(now),
            ..good()
        },
        GrantCreate {
            expires_at: at(367 * 24 * HOUR),
            ..good()
        },
    ] {
        let shown = format!("{bad:?}");
        assert_eq!(code(grant(&world, bad).await), "request.value", "{shown}");
    }
    for absent in [
        GrantCreate {
            host: Some("*".into()),
            ..good()
        },
        GrantCreate {
            ssh_ca: "*".into(),
            ..good()
        },
        GrantCreate {
            operator: OperatorId::from_random(&[99; 16]),
            ..good()
        },
    ] {
        assert_eq!(code(grant(&world, absent).await), "not_found");
    }
    let made = grant(
        &world,
        GrantCreate {
            expires_at: at(60_000),
            ..good()
        },
    )
    .await
    .unwrap();
    assert_eq!(
        (made.state.as_str(), made.logins.as_slice()),
        ("active", &["root".to_owned()][..])
    );
    let row = |r: &crate::store::Reader<'_>| r.get::<crate::store::people::GrantRow>(&made.id);
    let row = world.app.store.read_now(row).unwrap().unwrap();
    assert!(grants::is_active(&row, now.plus_millis(59_999)));
    assert!(!grants::is_active(&row, now.plus_millis(60_000)));
    world.pass(60);
    let ctx = world.ctx(&world.acme.operator, "list_grants", None);
    let list = op::list_grants(ctx, InTenant::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.items[0].state, "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_an_operator_gets_what_is_granted_and_no_longer_than_granted() {
    let world = ready().await;
    let olga = world.acme.operator.clone();
    assert_eq!(
        code(sign(&world, &olga, "root", "1").await),
        "auth.forbidden"
    );
    let soon = Time(world.app.store.clock().now().plus_millis(HOUR));
    grant(
        &world,
        GrantCreate {
            expires_at: soon,
            ..on_host(&world, &["root"])
        },
    )
    .await
    .unwrap();
    assert_eq!(step(sign(&world, &olga, "ubuntu", "2").await), "grant.none");
    let signed = sign(&world, &olga, "root", "3").await.unwrap();
    assert!(signed.info.valid_before <= soon, "it ends with its grant");
    // Admins need no grant.
    sign(&world, &world.acme.admin, "ubuntu", "4")
        .await
        .unwrap();
    world.pass(3600);
    assert_eq!(
        code(sign(&world, &olga, "root", "5").await),
        "auth.forbidden"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_what_a_revoked_grant_let_out_is_revoked_with_it_unless_another_covers_it() {
    let world = ready().await;
    let olga = world.acme.operator.clone();
    let one = grant(&world, on_host(&world, &["root"])).await.unwrap();
    let behind = GrantCreate {
        host: None,
        dpu: Some("dpu-a".into()),
        ..on_host(&world, &["root", "ubuntu"])
    };
    let two = grant(&world, behind).await.unwrap();
    let root = sign(&world, &olga, "root", "1").await.unwrap();
    let ubuntu = sign(&world, &olga, "ubuntu", "2").await.unwrap();
    let admins = sign(&world, &world.acme.admin, "root", "3").await.unwrap();

    assert_eq!(revoke(&world, &one.id).await.unwrap().state, "revoked");
    assert_eq!(
        state(&world, &root),
        CertificateState::Valid,
        "the other grant covers it"
    );
    assert_eq!(code(revoke(&world, &one.id).await), "conflict");
    revoke(&world, &two.id).await.unwrap();
    assert_eq!(state(&world, &root), CertificateState::Revoked);
    assert_eq!(state(&world, &ubuntu), CertificateState::Revoked);
    assert_eq!(state(&world, &admins), CertificateState::Valid);
    assert_eq!(
        code(sign(&world, &olga, "root", "4").await),
        "auth.forbidden"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_certificate_outlives_no_grant_that_is_left() {
    let world = ready().await;
    let olga = world.acme.operator.clone();
    let long = grant(&world, on_host(&world, &["root"])).await.unwrap();
    let short = GrantCreate {
        expires_at: Time(world.app.store.clock().now().plus_millis(HOUR)),
        ..on_host(&world, &["root"])
    };
    grant(&world, short).await.unwrap();
    let signed = sign(&world, &olga, "root", "1").await.unwrap();
    revoke(&world, &long.id).await.unwrap();
    assert_eq!(
        state(&world, &signed),
        CertificateState::Revoked,
        "the grant that is left ends hours before it"
    );
    sign(&world, &olga, "root", "2").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_an_operator_pushes_what_a_grant_names_and_nothing_beside_it() {
    let world = ready().await;
    let ctx = world.ctx(&world.acme.admin, "create_ssh_ca", None);
    let ask = SshCaCreate {
        tenant: None,
        name: "other".into(),
    };
    op::create_ssh_ca(ctx, ask).await.unwrap();
    let behind = GrantCreate {
        host: None,
        dpu: Some("dpu-a".into()),
        ..on_host(&world, &["root"])
    };
    let given = grant(&world, behind).await.unwrap();
    let push = async |ssh_ca: &str| {
        let ctx = world.ctx(&world.acme.operator, "push", Some("dpu-a"));
        let ask = PushAsk {
            ssh_ca: ssh_ca.into(),
        };
        op::push(ctx, ask).await
    };
    push("ops").await.unwrap();
    assert_eq!(step(push("other").await), "grant.none");
    revoke(&world, &given.id).await.unwrap();
    assert_eq!(code(push("ops").await), "auth.forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_learns_nothing_of_hosts_that_no_grant_names() {
    let world = ready().await;
    let machine = world.good("dpu-b", 2).await;
    host(&world, 2, "beta", &machine).await;
    grant(&world, on_host(&world, &["root"])).await.unwrap();
    let sign = async |host: &str, login: &str| {
        let ask = CertificateAsk {
            public_key: KEY.into(),
            hosts: vec![host.into()],
            logins: vec![login.into()],
            lifetime: None,
            idempotency_key: "aaaaaaaaaaaaaaaa".into(),
        };
        let ctx = world.ctx(&world.acme.operator, "sign_certificate", Some("ops"));
        op::sign_certificate(ctx, ask).await
    };
    // Whether it is there, trusts the CA, or knows the login: as for `show_host`, it is not there.
    for (host, login) in [("beta", "root"), ("beta", "nobody"), ("gamma", "root")] {
        assert_eq!(code(sign(host, login).await), "not_found", "{host} {login}");
    }
    assert_eq!(code(sign("alpha", "nobody").await), "request.value");
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_certificates_go_with_their_persons_suspension_and_key() {
    let world = ready().await;
    grant(&world, on_host(&world, &["root"])).await.unwrap();
    let olga = world.acme.operator.clone();
    let admin = sign(&world, &world.acme.admin, "root", "1").await.unwrap();
    let first = sign(&world, &olga, "root", "2").await.unwrap();
    let ctx = world.ctx(
        &world.acme.admin,
        "suspend_operator",
        Some(id_of(&olga).as_str()),
    );
    op::suspend_operator(ctx, because("left us")).await.unwrap();
    assert_eq!(state(&world, &first), CertificateState::Revoked);
    assert_eq!(state(&world, &admin), CertificateState::Valid);
    let ctx = world.ctx(
        &world.acme.admin,
        "unsuspend_operator",
        Some(id_of(&olga).as_str()),
    );
    op::unsuspend_operator(ctx, because("back again"))
        .await
        .unwrap();
    let second = sign(&world, &olga, "root", "3").await.unwrap();
    let kid = olga.person().unwrap().key.clone();
    let ctx = world.ctx(&world.acme.admin, "revoke_key", Some(kid.as_str()));
    op::revoke_key(ctx, because("laptop stolen")).await.unwrap();
    assert_eq!(state(&world, &second), CertificateState::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn i11_grants_stay_within_one_tenant_wherever_ids_are_placed() {
    let world = ready().await;
    let theirs = id_of(&world.other.operator);
    // Their person, our host; asked by our admin, by theirs, and by a super:admin.
    let mixed = || GrantCreate {
        operator: theirs.clone(),
        ..on_host(&world, &["root"])
    };
    assert_eq!(code(grant(&world, mixed()).await), "not_found");
    let ctx = world.ctx(&world.other.admin, "create_grant", None);
    assert_eq!(code(op::create_grant(ctx, mixed()).await), "not_found");
    let ctx = world.ctx(&world.root, "create_grant", None);
    assert_eq!(code(op::create_grant(ctx, mixed()).await), "request.value");
    let ctx = world.ctx(&world.root, "create_grant", None);
    let to_root = GrantCreate {
        operator: id_of(&world.root),
        ..on_host(&world, &["root"])
    };
    assert_eq!(code(op::create_grant(ctx, to_root).await), "request.value");

    let ctx = world.ctx(&world.root, "create_grant", None);
    let made = op::create_grant(ctx, on_host(&world, &["root"]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        made.tenant_id, world.acme.id,
        "a super:admin grants where everything lies"
    );
    let ctx = world.ctx(&world.other.admin, "revoke_grant", Some(made.id.as_str()));
    assert_eq!(
        code(op::revoke_grant(ctx, because("mine")).await),
        "not_found"
    );
    let ctx = world.ctx(&world.other.admin, "list_grants", None);
    assert!(
        op::list_grants(ctx, InTenant::default())
            .await
            .unwrap()
            .into_inner()
            .items
            .is_empty()
    );
    let ctx = world.ctx(&world.acme.operator, "create_grant", None);
    assert_eq!(
        code(op::create_grant(ctx, on_host(&world, &["root"])).await),
        "auth.forbidden"
    );
}

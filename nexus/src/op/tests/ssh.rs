//! SSH certificates live and die with the DPU in front of the hosts that they name.

use std::convert::Infallible;

use assay_api::manifest::{Files, Manifest};
use assay_api::pairing::PairingRequest;
use assay_api::signed::{Unverified, sign_document};
use assay_api::types::*;
use ed25519_dalek::{Signer as _, SigningKey};

use super::world::*;
use crate::op::{self, Caller};
use crate::problem::Problem;

pub(super) fn line(seed: u8) -> String {
    let key = SigningKey::from_bytes(&[seed; 32])
        .verifying_key()
        .to_bytes();
    ssh_key::PublicKey::from(ssh_key::public::Ed25519PublicKey(key))
        .to_openssh()
        .unwrap()
}

/// Asks for a certificate for these hosts.
pub(super) fn certificate_ask(hosts: &[&str], key: &str) -> CertificateAsk {
    CertificateAsk {
        public_key: line(99),
        hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
        logins: vec!["ubuntu".into()],
        lifetime: None,
        idempotency_key: key.into(),
    }
}

impl World {
    pub(super) async fn pair(&self, dpu: &str, name: &str, seed: u8) -> Host {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let request = PairingRequest {
            host_key: key.verifying_key().to_bytes(),
            sshd_host_key: line(seed + 1),
            trial_key: line(seed + 2),
            logins: vec!["ubuntu".into()],
        };
        let sign = |m: &[u8]| Ok::<_, Infallible>(key.sign(m).to_bytes());
        let request = sign_document(&request, &request.host_key, sign).unwrap();
        let ask = HostPair {
            dpu: dpu.into(),
            name: name.into(),
            principals: vec![format!("{name}.test")],
            request: B64(request),
        };
        let ctx = self.ctx(&self.acme.admin, "pair_host", None);
        op::pair_host(ctx, ask).await.unwrap().into_inner().host
    }

    pub(super) async fn sign(
        &self,
        who: &Caller,
        hosts: &[&str],
        key: &str,
    ) -> Result<Certificate, Problem> {
        self.sign_by(who, hosts, key, None).await
    }

    pub(super) async fn sign_by(
        &self,
        who: &Caller,
        hosts: &[&str],
        key: &str,
        bypass: Option<&str>,
    ) -> Result<Certificate, Problem> {
        let ask = certificate_ask(hosts, key);
        let mut ctx = self.ctx(who, "sign_certificate", Some("prod"));
        ctx.bypass = bypass.map(str::to_owned);
        op::sign_certificate(ctx, ask)
            .await
            .map(op::Changed::into_inner)
    }

    /// What the agent does after a wake: pulls each manifest that waits.
    pub(super) async fn carry(&self, machine: &Machine) -> usize {
        let waiting = self.wake(machine).await.manifests;
        for host_id in &waiting {
            let ctx = self.ctx(&machine.caller(self), "pull_manifest", None);
            let ask = ManifestAsk {
                host_id: host_id.clone(),
                have: 0,
            };
            op::pull_manifest(ctx, ask).await.unwrap();
        }
        waiting.len()
    }

    /// The files of the newest manifest of the one host behind a machine.
    async fn newest(&self, machine: &Machine) -> Files {
        let ctx = self.ctx(&machine.caller(self), "agent_hosts", None);
        let hosts = op::agent_hosts(ctx, Empty {}).await.unwrap().into_inner();
        let ctx = self.ctx(&machine.caller(self), "pull_manifest", None);
        let ask = ManifestAsk {
            host_id: hosts.items[0].host_id.clone(),
            have: 0,
        };
        let out = op::pull_manifest(ctx, ask).await.unwrap().into_inner();
        let manifest = Unverified::<Manifest>::parse(&out.manifest.unwrap().0).unwrap();
        manifest.claimed().files.clone()
    }

    async fn states(&self) -> Vec<(String, String, String)> {
        let ctx = self.ctx(&self.acme.admin, "list_certificates", None);
        let all = op::list_certificates(ctx, InTenant::default())
            .await
            .unwrap()
            .into_inner()
            .items;
        all.into_iter()
            .map(|c| (c.kind, c.key_id, c.state))
            .collect()
    }
}

pub(super) async fn with_hosts() -> (World, Machine, Machine) {
    with_hosts_on(World::new().await).await
}

pub(super) async fn with_hosts_on(world: World) -> (World, Machine, Machine) {
    let (a, b) = (world.good("dpu-a", 1).await, world.good("dpu-b", 2).await);
    world.pair("dpu-a", "host-a", 30).await;
    world.pair("dpu-b", "host-b", 40).await;
    let ctx = world.ctx(&world.acme.admin, "create_ssh_ca", None);
    op::create_ssh_ca(
        ctx,
        SshCaCreate {
            tenant: None,
            name: "prod".into(),
        },
    )
    .await
    .unwrap();
    for dpu in ["dpu-a", "dpu-b"] {
        let ctx = world.ctx(&world.acme.admin, "push", Some(dpu));
        op::push(
            ctx,
            PushAsk {
                ssh_ca: "prod".into(),
            },
        )
        .await
        .unwrap();
    }
    assert_eq!((world.carry(&a).await, world.carry(&b).await), (1, 1));
    (world, a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_a_failed_proof_revokes_what_names_only_its_hosts() {
    let (world, mut a, b) = with_hosts().await;
    let admin = &world.acme.admin;
    let only_a = world
        .sign(admin, &["host-a"], "aaaaaaaaaaaaaaa1")
        .await
        .unwrap();
    let only_b = world
        .sign(admin, &["host-b"], "aaaaaaaaaaaaaaa2")
        .await
        .unwrap();
    let both = world
        .sign(admin, &["host-a", "host-b"], "aaaaaaaaaaaaaaa3")
        .await
        .unwrap();
    world.pass(1);
    a.extend(4);
    assert_eq!(world.prove(&a).await.unwrap().verdict, "failed");

    assert_eq!(
        code(world.sign(admin, &["host-a"], "aaaaaaaaaaaaaaa4").await),
        "attestation.failed"
    );
    assert_eq!(
        code(
            world
                .sign(admin, &["host-a", "host-b"], "aaaaaaaaaaaaaaa5")
                .await
        ),
        "attestation.failed"
    );
    world
        .sign(admin, &["host-b"], "aaaaaaaaaaaaaaa6")
        .await
        .unwrap();
    let state = async |id: &str| {
        let ctx = world.ctx(admin, "list_certificates", None);
        let all = op::list_certificates(ctx, InTenant::default())
            .await
            .unwrap()
            .into_inner()
            .items;
        all.into_iter().find(|c| c.id == id).unwrap().state
    };
    assert_eq!(state(&only_a.info.id).await, "revoked");
    assert_eq!(state(&only_b.info.id).await, "valid");
    assert_eq!(
        state(&both.info.id).await,
        "valid",
        "it opens a host that is still trusted"
    );
    let hosts: Vec<_> = world
        .states()
        .await
        .into_iter()
        .filter(|(kind, ..)| kind == "host")
        .collect();
    assert_eq!(
        hosts
            .iter()
            .filter(|(.., state)| state == "revoked")
            .count(),
        1,
        "{hosts:?}"
    );
    let shown = world.show("dpu-a").await;
    assert_eq!(
        shown
            .exposed
            .iter()
            .filter(|e| e.starts_with("certificate/"))
            .count(),
        2,
        "{:?}",
        shown.exposed
    );
    // The failed DPU still carries what only takes away, and B's host gets the new KRL.
    assert_eq!(world.wake(&a).await.manifests.len(), 1);
    assert_eq!(world.carry(&a).await, 1);
    assert_eq!(world.carry(&b).await, 1);
    assert!(!world.wake(&b).await.wipe);
    // A host replaces its list before its CA keys: what withdraws the CA still lists what it revoked.
    let files = world.newest(&a).await;
    assert!(files.user_cas.is_empty() && files.host_certificate.is_none());
    assert!(is_listed(&files.krl, &only_a.certificate));
    assert!(!is_listed(&files.krl, &both.certificate));
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_list_goes_on_for_a_ca_that_was_withdrawn() {
    let (world, a, _) = with_hosts().await;
    let admin = &world.acme.admin;
    let made = world
        .sign(admin, &["host-a"], "aaaaaaaaaaaaaaa1")
        .await
        .unwrap();
    let reason = || Reason {
        reason: "lost".into(),
    };
    let ctx = world.ctx(admin, "revoke_certificate", Some(&made.info.id));
    op::revoke_certificate(ctx, reason()).await.unwrap();
    assert_eq!(world.carry(&a).await, 1);
    let ctx = world.ctx(admin, "withdraw", Some("dpu-a"));
    let ask = PushAsk {
        ssh_ca: "prod".into(),
    };
    op::withdraw(ctx, ask).await.unwrap();
    assert_eq!(world.carry(&a).await, 1);
    let files = world.newest(&a).await;
    assert!(files.user_cas.is_empty());
    assert!(is_listed(&files.krl, &made.certificate));
}

/// Whether the real `ssh-keygen` finds a certificate in a list.
fn is_listed(krl: &[u8], certificate: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("krl"), krl).unwrap();
    std::fs::write(dir.path().join("it-cert.pub"), certificate).unwrap();
    let asked = std::process::Command::new("ssh-keygen")
        .args(["-Q", "-f", "krl", "it-cert.pub"])
        .current_dir(dir.path())
        .output()
        .expect("ssh-keygen is installed");
    let text = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(asked.status.success() != text.contains("REVOKED"), "{text}");
    !asked.status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_certificate_is_judged_on_every_host_and_a_bypass_lives_a_minute() {
    let (world, a, _) = with_hosts().await;
    world.pass(901);
    world.prove(&a).await.unwrap();
    let admin = &world.acme.admin;
    world
        .sign(admin, &["host-a"], "aaaaaaaaaaaaaaa1")
        .await
        .unwrap();
    let refused = world
        .sign(admin, &["host-a", "host-b"], "aaaaaaaaaaaaaaa2")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "attestation.stale");
    assert!(refused.demand_id().is_some());
    let ask = CertificateAsk {
        public_key: line(99),
        hosts: vec!["host-b".into()],
        logins: vec!["ubuntu".into()],
        lifetime: Some(3600),
        idempotency_key: "aaaaaaaaaaaaaaa3".into(),
    };
    let mut ctx = world.ctx(&world.root, "sign_certificate", Some("prod"));
    ctx.bypass = Some("the rack is on fire".into());
    let forced = op::sign_certificate(ctx, ask).await.unwrap().into_inner();
    let now = world.app.store.clock().now();
    assert!(forced.info.valid_before.0 <= now.plus_millis(60_000));
    assert_eq!(
        world
            .events()
            .iter()
            .filter(|e| *e == "gate.bypass")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_not_taken_over_by_another_dpu() {
    let (world, ..) = with_hosts().await;
    let key = SigningKey::from_bytes(&[50; 32]);
    let request = PairingRequest {
        host_key: key.verifying_key().to_bytes(),
        sshd_host_key: line(51),
        trial_key: line(52),
        logins: vec!["ubuntu".into()],
    };
    let sign = |m: &[u8]| Ok::<_, Infallible>(key.sign(m).to_bytes());
    let request = sign_document(&request, &request.host_key, sign).unwrap();
    let ask = HostPair {
        dpu: "dpu-b".into(),
        name: "host-a".into(),
        principals: vec!["host-a.test".into()],
        request: B64(request),
    };
    let ctx = world.ctx(&world.acme.admin, "pair_host", None);
    assert_eq!(code(op::pair_host(ctx, ask).await), "name.taken");
}

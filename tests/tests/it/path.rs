//! The whole path of a credential: from bootstrap to a real login, and what becomes of it when trust dies.

use std::thread;
use std::time::{Duration, Instant};

use assay_api::log::Decision;
use assay_api::routes::call;
use assay_api::types::*;
use assay_tests::lab::{Device, Lab, Paired, certificate_ask, reason};
use assay_tests::log;
use assay_tests::nexus::Options;
use assay_tests::person::Person;
use assay_tests::ssh::{Login, SshClient, me};
use assay_tests::wait::{secs, until};

use crate::ready;

/// What revoking may take at a host that is connected (I13).
const EDGE: Duration = Duration::from_secs(15);

/// A DPU that is verified by Reference Values of its own.
fn verified(lab: &Lab, name: &str) -> Device {
    let device = lab.dpu(name);
    lab.good(&device);
    device
}

fn two<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    thread::scope(|scope| {
        let a = scope.spawn(a);
        let b = b();
        (a.join().unwrap(), b)
    })
}

fn ca(lab: &Lab) {
    let ask = SshCaCreate {
        tenant: Some(lab.tenant.name.clone()),
        name: "cluster".into(),
    };
    lab.admin.must::<call::create_ssh_ca>(None, &ask);
}

fn grant(lab: &Lab, person: &Person, host: &Paired) -> Grant {
    let now = lab.admin.must::<call::whoami>(None, &Empty {}).time;
    let ask = GrantCreate {
        operator: person.joined.operator_id.clone(),
        ssh_ca: "cluster".into(),
        host: Some(host.id.to_string()),
        dpu: None,
        logins: vec![me()],
        expires_at: Time(now.0.plus_millis(3_600_000)),
    };
    lab.admin.must::<call::create_grant>(None, &ask)
}

/// A client with a certificate for these hosts and the trust that goes with it.
fn client(lab: &Lab, person: &Person, hosts: &[&Paired]) -> SshClient {
    let client = SshClient::new();
    let signed = lab
        .sign(person, "cluster", hosts, &client.public_key)
        .unwrap_or_else(|e| panic!("{} {e}", e.code()));
    client.certificate(&signed.certificate);
    client.trust(&person.must::<call::ssh_trust>(Some("cluster"), &Empty {}));
    client
}

fn login(client: &SshClient, host: &Paired) -> Login {
    client.login(host.host.sshd.port(), &host.fqdn)
}

fn await_login(
    what: &str,
    most: Duration,
    lab: &Lab,
    host: &Paired,
    device: &Device,
    mut wanted: impl FnMut() -> bool,
) -> Duration {
    until(what, most, &mut wanted, || {
        let shown = lab
            .admin
            .must::<call::show_host>(Some(&host.id.to_string()), &Empty {});
        let entries = log::entries(&log::export(&lab.admin));
        let last: Vec<String> = entries
            .iter()
            .rev()
            .take(12)
            .map(|e| format!("{e:?}\n"))
            .collect();
        lab.logs(&[
            &device.agent.tail(),
            &host.host.tail(),
            &format!("{shown:?}\n"),
            &last.concat(),
        ])
    })
}

#[test]
fn a_credential_reaches_a_host_only_through_fresh_evidence() {
    if !ready::hosts() {
        return;
    }
    let lab = Lab::new();
    let olga = lab.person("Olga Operator", PersonRole::Operator);
    ca(&lab);

    // Only the serial number is known: a DPU may prove itself, and receives nothing until an admin has confirmed it.
    let pending = lab.pending("dpu-a");
    let shown = lab.show(&pending);
    assert_eq!(
        (
            shown.lifecycle.as_str(),
            shown.root.as_str(),
            shown.key.as_str()
        ),
        ("pending", "tofu", "tpm")
    );
    let (status, code) = lab.admin.refused::<call::push>(
        Some("dpu-a"),
        &PushAsk {
            ssh_ca: "cluster".into(),
        },
    );
    assert_eq!((status, code.as_str()), (409, "dpu.pending"));
    lab.admin
        .must::<call::confirm_dpu>(Some("dpu-a"), &reason("the serial number was compared"));
    let (_, b) = two(|| lab.good(&pending), || verified(&lab, "dpu-b"));
    let mut a = pending;

    let (host_a, host_b) = two(|| lab.host("host-a", &a), || lab.host("host-b", &b));
    let took = lab.push("cluster", &a, &host_a);
    println!("push to trial login done at A: {took:?}");
    lab.push("cluster", &b, &host_b);

    // The operator has a grant for A and nothing else.
    grant(&lab, &olga, &host_a);
    let olgas = client(&lab, &olga, &[&host_a]);
    assert_eq!(login(&olgas, &host_a), Login::In, "{}", host_a.host.tail());
    assert_eq!(login(&olgas, &host_b), Login::Denied);
    let ask = certificate_ask(&[&host_b], &olgas.public_key);
    let (status, code) = olga.refused::<call::sign_certificate>(Some("cluster"), &ask);
    assert!(matches!(status, 403 | 404), "{status} {code}");
    let admins = client(&lab, &lab.admin, &[&host_b]);
    assert_eq!(login(&admins, &host_b), Login::In, "{}", host_b.host.tail());
    let local = host_a.host.sshd.at("local");
    assert_eq!(
        olgas.login_with(host_a.host.sshd.port(), &host_a.fqdn, &local),
        Login::In,
        "local keys go on working"
    );

    // A secret, sealed to the key of a proof, comes out on the DPU.
    let value = assay_tests::person::random();
    let put = SecretPut {
        dpu: "dpu-a".into(),
        name: "fabric-key".into(),
        value: SecretB64(value.to_vec().into()),
    };
    lab.admin.must::<call::put_secret>(None, &put);
    let held = || a.agent.secret("fabric-key").as_deref() == Some(&value[..]);
    let took = until("the agent holds the secret", secs(30), held, || {
        lab.logs(&[&a.agent.tail()])
    });
    println!("secret put to held: {took:?}");

    // A boot component of A changes.
    a.agent.stop();
    a.agent.tpm.extend(7);
    a.agent.up();
    lab.await_attestation(&a, "failed");
    let fell = Instant::now();
    let shown = lab.show(&a);
    assert!(
        !shown.reasons.is_empty() && !shown.exposed.is_empty(),
        "{shown:?}"
    );
    let checks = lab
        .admin
        .must::<call::show_result>(Some("dpu-a"), &Empty {})
        .checks;
    assert!(
        checks
            .iter()
            .any(|c| c.outcome == "fail" && c.component.ends_with(".7")),
        "{checks:?}"
    );

    // Nothing new leaves for it, not even by bypass.
    let ask = || certificate_ask(&[&host_a], &olgas.public_key);
    let refusal = || olga.refused::<call::sign_certificate>(Some("cluster"), &ask());
    assert_eq!(refusal(), (412, "attestation.failed".to_owned()));
    let bypass = lab.admin.bypass::<call::sign_certificate>(
        Some("cluster"),
        &ask(),
        "there is no bypass for a failed device",
    );
    assert_eq!(bypass.unwrap_err().code(), "attestation.failed");
    let push = lab.admin.bypass::<call::push>(
        Some("dpu-a"),
        &PushAsk {
            ssh_ca: "cluster".into(),
        },
        "there is no bypass for a failed device",
    );
    assert_eq!(push.unwrap_err().code(), "attestation.failed");
    assert_eq!(a.agent.secret("fabric-key"), None);

    // What was out is revoked: in the list, at A's sshd, and for clients.
    let certificates = lab
        .admin
        .must::<call::list_certificates>(None, &InTenant::default())
        .items;
    let of = |host: &Paired| {
        certificates
            .iter()
            .filter(|c| c.hosts.contains(&host.id))
            .collect::<Vec<_>>()
    };
    assert!(
        of(&host_a).iter().all(|c| c.state != "valid"),
        "{:?}",
        of(&host_a)
    );
    assert!(
        of(&host_b)
            .iter()
            .any(|c| c.state == "valid" && c.kind == "user")
    );
    assert!(
        of(&host_b)
            .iter()
            .any(|c| c.state == "valid" && c.kind == "host")
    );
    olgas.trust_blindly();
    let took = await_login(
        "A refuses the revoked certificate",
        EDGE,
        &lab,
        &host_a,
        &a,
        || login(&olgas, &host_a) == Login::Denied,
    );
    println!(
        "failed verdict to refused login at A: {:?} (last step {took:?})",
        fell.elapsed()
    );
    olgas.trust(&olga.must::<call::ssh_trust>(Some("cluster"), &Empty {}));
    let refused = login(&olgas, &host_a);
    assert!(matches!(refused, Login::HostRefused(_)), "{refused:?}");
    assert_eq!(
        login(&admins, &host_b),
        Login::In,
        "B is untouched: {}",
        host_b.host.tail()
    );
    assert_eq!(lab.show(&b).attestation, "verified");

    // The log says all of it, and holds.
    let items = log::export(&lab.admin);
    let entries = log::entries(&items);
    let denied = |e: &&assay_api::log::Entry| {
        e.decision == Decision::Denied && e.code.as_deref() == Some("attestation.failed")
    };
    assert!(entries.iter().filter(denied).count() >= 3);
    for event in [
        "tenant.create",
        "dpu.confirm",
        "reference.take",
        "ssh_ca.push",
        "certificate.sign",
        "secret.release",
    ] {
        assert!(
            entries
                .iter()
                .any(|e| e.event == event && e.decision == Decision::Allowed),
            "no {event} in the log"
        );
    }
    log::must_hold(&lab.admin, &[]);
}

#[test]
fn i1_a_stale_proof_releases_nothing_but_to_a_bypass_that_is_audited() {
    if !ready::hosts() {
        return;
    }
    let lab = Lab::new();
    let boss = lab.person("Tom Tenant", PersonRole::TenantAdmin);
    ca(&lab);
    let mut b = verified(&lab, "dpu-b");
    let host = lab.host("host-b", &b);
    lab.push("cluster", &b, &host);
    let user = client(&lab, &lab.admin, &[&host]);
    assert_eq!(login(&user, &host), Login::In, "{}", host.host.tail());

    b.agent.stop();
    let took = lab.await_attestation(&b, "stale");
    println!("stale after {took:?}");
    let put = SecretPut {
        dpu: "dpu-b".into(),
        name: "late".into(),
        value: SecretB64(vec![7; 32].into()),
    };
    lab.admin.must::<call::put_secret>(None, &put);
    let ask = || certificate_ask(&[&host], &user.public_key);
    for person in [&boss, &lab.admin] {
        let refused = person
            .call::<call::sign_certificate>(Some("cluster"), &ask())
            .unwrap_err();
        assert_eq!(
            (refused.status(), refused.code()),
            (Some(412), "attestation.stale")
        );
        let demand = refused.problem().unwrap().demand_id.clone();
        assert_eq!(
            demand,
            Some(
                lab.admin
                    .must::<call::show_demand>(Some("dpu-b"), &Empty {})
                    .id
                    .to_string()
            )
        );
    }
    let (_, code) = lab.admin.refused::<call::push>(
        Some("dpu-b"),
        &PushAsk {
            ssh_ca: "cluster".into(),
        },
    );
    assert_eq!(code, "attestation.stale");

    // A bypass is for super:admins, with a reason, on a release; it gives the shortest lifetime.
    let why = "dpu-b is being serviced in rack 7";
    let boss_tries = boss
        .bypass::<call::sign_certificate>(Some("cluster"), &ask(), why)
        .unwrap_err();
    assert_eq!(boss_tries.code(), "auth.bypass_forbidden");
    let too_short = lab
        .admin
        .bypass::<call::sign_certificate>(Some("cluster"), &ask(), "short")
        .unwrap_err();
    assert_eq!(too_short.code(), "request.bypass");
    let passed = lab
        .admin
        .bypass::<call::sign_certificate>(Some("cluster"), &ask(), why)
        .unwrap();
    let life = passed.info.valid_before.0.as_millis() - passed.info.valid_after.0.as_millis();
    assert!(
        life <= 60_000 + 60_000,
        "a minute, and a minute of backdating: {life}"
    );
    user.certificate(&passed.certificate);
    assert_eq!(login(&user, &host), Login::In, "{}", host.host.tail());
    let again = lab
        .admin
        .refused::<call::sign_certificate>(Some("cluster"), &ask());
    assert_eq!(again, (412, "attestation.stale".to_owned()), "one use");

    let entries = log::entries(&log::export(&lab.admin));
    let bypass = entries
        .iter()
        .find(|e| e.event == "gate.bypass")
        .expect("the bypass is in the log");
    assert_eq!(bypass.reason.as_deref(), Some(why));
    assert_eq!(bypass.decision, Decision::Bypassed);
    let by_it = |e: &&assay_api::log::Entry| {
        e.event == "certificate.sign"
            && e.decision == Decision::Bypassed
            && e.details.keys().any(|k| k.starts_with("bypass"))
    };
    assert_eq!(entries.iter().filter(by_it).count(), 1);
    let tried = |e: &&assay_api::log::Entry| {
        e.actor.id == boss.joined.operator_id.to_string() && e.decision == Decision::Denied
    };
    assert!(entries.iter().filter(tried).count() >= 2);

    // A new proof clears it; only then is the secret released.
    assert!(!entries.iter().any(|e| e.event == "secret.release"));
    b.agent.up();
    lab.await_attestation(&b, "verified");
    lab.sign(&boss, "cluster", &[&host], &user.public_key)
        .unwrap();
    let held = || b.agent.secret("late").is_some();
    until(
        "the secret comes with the new proof",
        secs(30),
        held,
        || lab.logs(&[&b.agent.tail()]),
    );
}

#[test]
fn i13_revoking_reaches_a_connected_host_within_fifteen_seconds() {
    if !ready::hosts() {
        return;
    }
    let lab = Lab::new();
    ca(&lab);
    let device = verified(&lab, "dpu-a");
    let host = lab.host("host-a", &device);
    lab.push("cluster", &device, &host);
    let mut worst = Duration::ZERO;
    for _ in 0..3 {
        let user = SshClient::new();
        let signed = lab
            .sign(&lab.admin, "cluster", &[&host], &user.public_key)
            .unwrap();
        user.certificate(&signed.certificate);
        assert_eq!(login(&user, &host), Login::In, "{}", host.host.tail());
        let other = client(&lab, &lab.admin, &[&host]);
        let revoked = lab.admin.must::<call::revoke_certificate>(
            Some(&signed.info.id),
            &reason("the laptop was lost"),
        );
        assert_eq!(revoked.state, "revoked");
        let took = await_login("the host refuses it", EDGE, &lab, &host, &device, || {
            login(&user, &host) == Login::Denied
        });
        assert_eq!(
            login(&other, &host),
            Login::In,
            "others are untouched: {}",
            host.host.tail()
        );
        worst = worst.max(took);
    }
    println!("revoked to refused at the host: at worst {worst:?}");

    // Withdrawing the CA ends every certificate login, and local keys go on.
    let user = client(&lab, &lab.admin, &[&host]);
    assert_eq!(login(&user, &host), Login::In, "{}", host.host.tail());
    lab.admin.must::<call::withdraw>(
        Some("dpu-a"),
        &PushAsk {
            ssh_ca: "cluster".into(),
        },
    );
    user.trust_blindly();
    let took = await_login("the CA is gone", EDGE, &lab, &host, &device, || {
        login(&user, &host) == Login::Denied
    });
    println!("withdrawn to refused at the host: {took:?}");
    let local = host.host.sshd.at("local");
    assert_eq!(
        user.login_with(host.host.sshd.port(), &host.fqdn, &local),
        Login::In
    );
}

#[test]
fn i10_quarantine_wipes_revokes_and_lists_what_was_exposed() {
    if !ready::tpm() {
        return;
    }
    let lab = Lab::new();
    let boss = lab.person("Tom Tenant", PersonRole::TenantAdmin);
    let device = verified(&lab, "dpu-a");
    let put = SecretPut {
        dpu: "dpu-a".into(),
        name: "key".into(),
        value: SecretB64(vec![9; 32].into()),
    };
    boss.must::<call::put_secret>(None, &put);
    let held = || device.agent.secret("key").is_some();
    until("the agent holds it", secs(30), held, || {
        lab.logs(&[&device.agent.tail()])
    });

    let shown = boss.must::<call::quarantine_dpu>(Some("dpu-a"), &reason("the rack was opened"));
    assert_eq!(shown.attestation, "quarantined");
    assert!(
        shown
            .exposed
            .iter()
            .any(|what| what.starts_with("secret/key ")),
        "{:?}",
        shown.exposed
    );
    let gone = || device.agent.secret("key").is_none();
    let took = until("the agent wipes it", EDGE, gone, || {
        lab.logs(&[&device.agent.tail()])
    });
    println!("quarantined to wiped: {took:?}");

    // A good proof does not clear it, nor does a tenant:admin; a super:admin and then a good proof do.
    let (_, code) = boss.refused::<call::release_dpu>(Some("dpu-a"), &reason("all is well"));
    assert_eq!(code, "auth.forbidden");
    boss.must::<call::demand_proof>(Some("dpu-a"), &reason("once more"));
    thread::sleep(secs(3));
    assert_eq!(lab.show(&device).attestation, "quarantined");
    assert!(device.agent.secret("key").is_none());
    let released = lab
        .admin
        .must::<call::release_dpu>(Some("dpu-a"), &reason("the rack was inspected"));
    assert_ne!(released.attestation, "verified");
    lab.await_attestation(&device, "verified");
    until("the secret comes back", secs(40), held, || {
        lab.logs(&[&device.agent.tail()])
    });
}

#[test]
fn i13_what_is_cut_off_from_the_nexus_shuts_by_itself() {
    if !ready::hosts() {
        return;
    }
    let options = Options {
        outage_grace: "2s".into(),
        ..Options::default()
    };
    let mut lab = Lab::with(options);
    ca(&lab);
    let device = verified(&lab, "dpu-a");
    let host = lab.host("host-a", &device);
    lab.push("cluster", &device, &host);
    let user = client(&lab, &lab.admin, &[&host]);
    let put = SecretPut {
        dpu: "dpu-a".into(),
        name: "key".into(),
        value: SecretB64(vec![9; 32].into()),
    };
    lab.admin.must::<call::put_secret>(None, &put);
    let held = || device.agent.secret("key").is_some();
    until("the agent holds it", secs(30), held, || device.agent.tail());
    assert_eq!(login(&user, &host), Login::In, "{}", host.host.tail());
    let fresh_until = lab.show(&device).fresh_until.unwrap();
    let now = lab.admin.must::<call::whoami>(None, &Empty {}).time;
    let fresh = Duration::from_millis(fresh_until.0.as_millis() - now.0.as_millis());

    // The nexus is gone: what is there stays for its time, and no longer.
    lab.nexus.kill();
    let gone = Instant::now();
    assert_eq!(login(&user, &host), Login::In);
    assert!(held());
    let logs = || format!("{}{}", device.agent.tail(), host.host.tail());
    let ran_out = || !held();
    until("the lease runs out", fresh + secs(2), ran_out, logs);
    println!(
        "the lease ran out after {:?}, fresh for {fresh:?}",
        gone.elapsed()
    );
    // The newest manifest may be from a later proof than the one that was looked at.
    let shut = || login(&user, &host) == Login::Denied;
    until("sshd takes no certificate any more", secs(75), shut, logs);
    println!("the host shut after {:?}", gone.elapsed());
    assert!(gone.elapsed() < fresh + secs(2 + 15));
    let local = host.host.sshd.at("local");
    let by_key = user.login_with(host.host.sshd.port(), &host.fqdn, &local);
    assert_eq!(by_key, Login::In, "local keys go on working");
    lab.nexus.up();
    let opens = || login(&user, &host) == Login::In;
    until(
        "it opens again once the nexus is back",
        secs(60),
        opens,
        logs,
    );
}

//! `kill -9` of nexus, agent and host at random moments, under load: no acknowledged change is lost, the log verifies after each
//! kill, nothing is given twice. `ASSAY_SOAK=seconds` runs it longer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use assay_api::log::Head;
use assay_api::routes::{Endpoint, call};
use assay_api::types::*;
use assay_client::CallError;
use assay_tests::lab::{Device, Lab, Paired, certificate_ask};
use assay_tests::log;
use assay_tests::person::{Person, random};
use assay_tests::ssh::{Login, SshClient};
use assay_tests::wait::{secs, until};

use crate::ready;

/// What was acknowledged, as the callers remember it.
#[derive(Default)]
struct Acknowledged {
    tenants: Mutex<Vec<String>>,
    secrets: Mutex<BTreeMap<String, (u32, Vec<u8>)>>,
    certificates: Mutex<BTreeMap<String, String>>,
}

struct Load<'a> {
    person: Person,
    stop: &'a AtomicBool,
    acked: &'a Acknowledged,
}

impl Load<'_> {
    /// The answer, or that it is not known what became of it.
    fn try_call<E: Endpoint>(&self, id: Option<&str>, ask: &E::Request) -> Option<E::Response> {
        match self.person.call::<E>(id, ask) {
            Ok(answer) => Some(answer),
            Err(error) => {
                let may_be = error.is_retryable()
                    || matches!(error.status(), Some(409 | 412))
                    || matches!(error, CallError::BadAnswer { .. } | CallError::Tls(_));
                // A proof may be too old for a nexus that has just started: the same as a lost answer.
                let may_be = may_be || error.status() == Some(401);
                assert!(may_be, "{}: {} {error}", E::ROUTE.name, error.code());
                thread::sleep(Duration::from_millis(30));
                None
            }
        }
    }

    fn goes_on(&self) -> bool {
        thread::sleep(Duration::from_millis(15));
        !self.stop.load(Ordering::Relaxed)
    }

    fn tenants(&self) {
        let mut n = 0;
        while self.goes_on() {
            let name = format!("k-{n}");
            n += 1;
            if self
                .try_call::<call::create_tenant>(None, &TenantCreate { name: name.clone() })
                .is_some()
            {
                self.acked.tenants.lock().unwrap().push(name);
            }
        }
    }

    fn secrets(&self) {
        let mut n = 0;
        while self.goes_on() {
            let name = format!("s-{}", n % 6);
            n += 1;
            let value = random().to_vec();
            let put = SecretPut {
                dpu: "dpu-a".into(),
                name: name.clone(),
                value: SecretB64(value.clone().into()),
            };
            let done = self.try_call::<call::put_secret>(None, &put);
            let mut secrets = self.acked.secrets.lock().unwrap();
            match done {
                Some(kept) => {
                    let before = secrets.insert(name, (kept.version, value));
                    assert!(
                        before.is_none_or(|(version, _)| version < kept.version),
                        "a version was given twice"
                    );
                }
                // Perhaps kept, perhaps not: whichever, what it was before is no longer sure.
                None => drop(secrets.remove(&name)),
            }
        }
    }

    fn certificates(&self, host: &Paired) {
        let user = SshClient::new();
        while self.goes_on() {
            let ask = certificate_ask(&[host], &user.public_key);
            while self.goes_on() {
                let Some(signed) = self.try_call::<call::sign_certificate>(Some("cluster"), &ask)
                else {
                    continue;
                };
                // The same request once more, whatever died in between: the same certificate.
                let again = self.try_call::<call::sign_certificate>(Some("cluster"), &ask);
                assert!(
                    again.is_none_or(|a| a.certificate == signed.certificate),
                    "one request, two certificates"
                );
                let twice = self
                    .acked
                    .certificates
                    .lock()
                    .unwrap()
                    .insert(signed.info.id, signed.certificate);
                assert!(twice.is_none(), "a serial was given twice");
                break;
            }
        }
    }
}

fn below(limit: u64) -> u64 {
    u64::from_le_bytes(random()[..8].try_into().unwrap()) % limit
}

fn soak() -> Duration {
    let asked = std::env::var("ASSAY_SOAK")
        .ok()
        .and_then(|s| s.parse().ok());
    secs(asked.unwrap_or(40))
}

#[test]
fn kill_nine_at_any_moment_loses_nothing_and_gives_nothing_twice() {
    if !ready::hosts() {
        return;
    }
    let mut lab = Lab::new();
    let mut device = lab.dpu("dpu-a");
    lab.good(&device);
    let ask = SshCaCreate {
        tenant: Some(lab.tenant.name.clone()),
        name: "cluster".into(),
    };
    lab.admin.must::<call::create_ssh_ca>(None, &ask);
    let mut host = lab.host("host-a", &device);
    lab.push("cluster", &device, &host);

    let (stop, acked) = (AtomicBool::new(false), Acknowledged::default());
    let load = |name: &str| Load {
        person: lab.person(name, PersonRole::SuperAdmin),
        stop: &stop,
        acked: &acked,
    };
    let loads = [load("Tina"), load("Sam"), load("Cora")];
    let named = Paired {
        host: assay_tests::host::Host::new("unused", &device.agent),
        id: host.id.clone(),
        fqdn: host.fqdn.clone(),
    };
    let (kills, head) = thread::scope(|scope| {
        let [tenants, secrets, certificates] = &loads;
        scope.spawn(|| tenants.tenants());
        scope.spawn(|| secrets.secrets());
        scope.spawn(|| certificates.certificates(&named));
        // Whatever goes wrong, the others end, too.
        let guard = Stop(&stop);
        let done = kill_for(soak(), &mut lab, &mut device, &mut host);
        drop(guard);
        done
    });
    let (tenants, certificates) = (
        acked.tenants.into_inner().unwrap(),
        acked.certificates.into_inner().unwrap(),
    );
    println!(
        "{kills:?} kills; acknowledged: {} tenants, {} certificates",
        tenants.len(),
        certificates.len()
    );
    assert!(
        tenants.len() > 50 && certificates.len() > 10,
        "the load got nowhere"
    );

    let there: BTreeSet<String> = all_tenants(&lab.admin);
    for name in &tenants {
        assert!(
            there.contains(name),
            "tenant {name} was acknowledged and is lost"
        );
    }
    let entries = log::entries(&log::export(&lab.admin));
    let signed = entries
        .iter()
        .filter(|e| e.event == "certificate.sign")
        .count();
    assert!(
        signed >= certificates.len(),
        "each certificate has its entry"
    );
    log::must_hold(&lab.admin, &[head]);

    // The agent holds the newest of each secret whose fate is known, and the host opens.
    for (name, (version, value)) in acked.secrets.into_inner().unwrap() {
        let held = || device.agent.secret(&name).as_deref() == Some(&value[..]);
        until(
            &format!("{name} version {version} is held"),
            secs(60),
            held,
            || {
                lab.logs(&[
                    &format!("{:?}\n", device.agent.status()),
                    &device.agent.tail(),
                ])
            },
        );
    }
    let user = SshClient::new();
    let signed = lab
        .sign(&lab.admin, "cluster", &[&host], &user.public_key)
        .unwrap();
    user.certificate(&signed.certificate);
    let opens = || user.login(host.host.sshd.port(), &host.fqdn) == Login::In;
    until("the host opens", secs(30), opens, || {
        lab.logs(&[&host.host.tail()])
    });

    // No lease twice: of what waits or was taken there is one for each version of a secret and result.
    lab.nexus.stop();
    let database = rusqlite::Connection::open(lab.nexus.data().join("nexus.db")).unwrap();
    let twice: i64 = database
        .query_row(
            "SELECT count(*) FROM (SELECT 1 FROM lease WHERE state <> 'wipe' GROUP BY device, asked, secret HAVING count(*) > 1)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(twice, 0, "one request, one lease of each secret");
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Kills one of the three, lets it come back, looks at the log; how often each, and the last head.
fn kill_for(
    most: Duration,
    lab: &mut Lab,
    device: &mut Device,
    host: &mut Paired,
) -> ([u32; 3], Head) {
    let end = Instant::now() + most;
    let (mut kills, key) = ([0; 3], log::key(&lab.admin));
    let mut export = log::Export::default();
    export.go_on(&lab.admin);
    let mut head = export.must_hold(&key, &[]).head;
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(below(400)));
        match below(5) {
            0 => {
                device.agent.kill();
                thread::sleep(Duration::from_millis(below(300)));
                device.agent.up();
                kills[1] += 1;
            }
            1 => {
                host.host.kill();
                thread::sleep(Duration::from_millis(below(300)));
                host.host.up();
                kills[2] += 1;
            }
            _ => {
                lab.nexus.kill();
                lab.nexus.up();
                // What was read before must go on in what there is now.
                export.go_on(&lab.admin);
                head = export.must_hold(&key, &[head]).head;
                kills[0] += 1;
            }
        }
    }
    (kills, head)
}

fn all_tenants(admin: &Person) -> BTreeSet<String> {
    let (mut names, mut after) = (BTreeSet::new(), None);
    loop {
        let ask = InTenant {
            tenant: None,
            after,
            limit: Some(500),
        };
        let page = admin.must::<call::list_tenants>(None, &ask);
        names.extend(page.items.into_iter().map(|t| t.name));
        after = page.next;
        if after.is_none() {
            return names;
        }
    }
}

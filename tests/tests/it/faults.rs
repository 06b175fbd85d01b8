//! Full disks, locked databases, lost keys, missing TPMs: clear errors, the gate is closed, revoking works, nothing runs in circles.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use assay_api::routes::call;
use assay_api::types::*;
use assay_tests::agent::Agent;
use assay_tests::lab::{Lab, reason};
use assay_tests::log;
use assay_tests::nexus::{Nexus, Options};
use assay_tests::person::Person;
use assay_tests::raw::Request;
use assay_tests::wait::{secs, until};
use nix::sys::signal::Signal;

use crate::ready;

const SMALL_DISK: &str = "ASSAY_TEST_SMALL_DISK_WORLD";

fn tenant(name: String) -> TenantCreate {
    TenantCreate { name }
}

#[test]
fn i6_another_master_key_starts_nothing_and_changes_nothing() {
    let mut nexus = Nexus::start();
    let admin = Person::join(&nexus, nexus.token(), Some("Ada Admin")).unwrap();
    nexus.stop();
    let key = nexus.data().join("master-key");
    let database = nexus.data().join("nexus.db");
    let (good, before) = (fs::read(&key).unwrap(), fs::read(&database).unwrap());
    let refuses = |nexus: &mut Nexus, what: &str| {
        let said = nexus.said().len();
        nexus.spawn();
        let status = nexus.process().wait(secs(20));
        let log = nexus.said()[said..].to_owned();
        assert!(
            !status.success() && log.contains("master key"),
            "{what}: {status} {log}"
        );
        assert_eq!(fs::read(&database).unwrap(), before, "{what}");
    };
    fs::write(&key, [0x5a; 32]).unwrap();
    refuses(&mut nexus, "another key");
    fs::write(&key, [0x5a; 31]).unwrap();
    refuses(&mut nexus, "a short key");
    fs::remove_file(&key).unwrap();
    refuses(&mut nexus, "no key");
    assert!(
        !key.exists(),
        "a key is made only where there is no database"
    );
    fs::write(&key, good).unwrap();
    set_private(&key);
    nexus.up();
    admin.must::<call::whoami>(None, &Empty {});
}

fn set_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_locked_database_is_told_as_busy_and_comes_back() {
    let lab = Lab::new();
    // For some seconds after a start proofs for reads are kept on disk, too.
    std::thread::sleep(secs(17));
    let other = rusqlite::Connection::open(lab.nexus.data().join("nexus.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let from = Instant::now();
    let refused = lab
        .admin
        .call::<call::create_tenant>(None, &tenant("while-locked".into()))
        .unwrap_err();
    println!("busy after {:?}", from.elapsed());
    assert_eq!(
        (refused.status(), refused.code()),
        (Some(503), "store.busy")
    );
    assert!(refused.is_retryable());
    lab.admin
        .must::<call::list_tenants>(None, &InTenant::default());
    other.execute_batch("ROLLBACK").unwrap();
    lab.admin
        .must::<call::create_tenant>(None, &tenant("after-it".into()));
    log::must_hold(&lab.admin, &[]);
}

/// Runs in a mount namespace with a small disk: see below.
#[test]
fn small_disk_child() {
    let Some(disk) = std::env::var_os(SMALL_DISK).map(PathBuf::from) else {
        return;
    };
    let mut lab = Lab::with(Options {
        data: Some(disk.join("data")),
        ..Options::default()
    });
    let people: Vec<Person> = (0..6)
        .map(|n| lab.person(&format!("Person {n}"), PersonRole::Operator))
        .collect();
    // For some seconds after a start proofs for reads are kept on disk, too.
    std::thread::sleep(secs(17));
    let filler = disk.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
    drop(file);

    let create = |n: usize| {
        lab.admin
            .call::<call::create_tenant>(None, &tenant(format!("t-{n}")))
    };
    let refused = (0..3000)
        .find_map(|n| create(n).err())
        .expect("the disk fills up");
    assert_eq!(
        (refused.status(), refused.code()),
        (Some(503), "store.full")
    );
    let ready = Request::bare(&lab.nexus, "GET", "/ready", b"").send(&lab.nexus);
    assert!(
        String::from_utf8_lossy(&ready.body).contains("store.full"),
        "{ready:?}"
    );
    assert_eq!(ready.status, 503);
    // Revoking goes on, and takes effect.
    for person in &people {
        person.must::<call::whoami>(None, &Empty {});
        lab.admin.must::<call::suspend_operator>(
            Some(&person.joined.operator_id.to_string()),
            &reason("the disk is full"),
        );
        assert_eq!(
            person.refused::<call::whoami>(None, &Empty {}).1,
            "auth.failed"
        );
        assert_eq!(create(9000).unwrap_err().code(), "store.full");
    }
    // Over a restart, too.
    lab.nexus.kill();
    lab.nexus.up();
    let create = |n: usize| {
        lab.admin
            .call::<call::create_tenant>(None, &tenant(format!("t-{n}")))
    };
    let still = (9100..9400).find_map(|n| create(n).err());
    assert_eq!(
        still.map(|e| e.code().to_owned()).as_deref(),
        Some("store.full")
    );
    fs::remove_file(&filler).unwrap();
    until(
        "freeing space is all that it takes",
        secs(20),
        || create(9999).is_ok(),
        || lab.logs(&[]),
    );
    let ready = Request::bare(&lab.nexus, "GET", "/ready", b"").send(&lab.nexus);
    assert_eq!(ready.status, 200, "{ready:?}");
    log::must_hold(&lab.admin, &[]);
    println!("the small disk was filled and emptied");
}

#[test]
fn on_a_full_disk_nothing_is_given_and_revoking_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=24m tmpfs "$1" && exec "$2" faults::small_disk_child --exact --nocapture"#;
    let done = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .args([directory.path(), &std::env::current_exe().unwrap()])
        .env(SMALL_DISK, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(
        done.status.success() && said.contains("filled and emptied"),
        "{said}"
    );
}

#[test]
fn a_missing_tpm_is_said_and_waited_for_without_a_loop() {
    if !ready::tpm() {
        return;
    }
    let lab = Lab::new();
    let mut agent = Agent::new("dpu-a", "SN-1", &lab.claim("dpu-a", "SN-1"));
    agent.tpm.off();
    agent.up();
    std::thread::sleep(secs(8));
    assert_eq!(agent.process().ended(), None, "it ended: {}", agent.tail());
    let faults = agent.status().expect("it answers").faults;
    assert!(faults.iter().any(|f| f.code.contains("tpm")), "{faults:?}");
    let tries = agent.said().matches("\"ERROR\"").count();
    assert!(
        (1..=5).contains(&tries),
        "{tries} tries in 8 s: {}",
        agent.tail()
    );
    agent.tpm.on();
    let enrolled = || {
        !lab.admin
            .must::<call::list_dpus>(None, &InTenant::default())
            .items
            .is_empty()
    };
    until(
        "it enrols once the TPM is there",
        secs(40),
        enrolled,
        || lab.logs(&[&agent.tail()]),
    );

    // Gone again while the agent runs: it holds on, says so, and proves itself when the TPM is back.
    lab.admin
        .must::<call::confirm_dpu>(Some("dpu-a"), &reason("compared"));
    agent.tpm.off();
    let ask = || {
        lab.admin
            .call::<call::demand_proof>(Some("dpu-a"), &reason("are you there?"))
    };
    ask().unwrap();
    let says = || {
        agent
            .status()
            .is_some_and(|s| s.faults.iter().any(|f| f.what == "proof"))
    };
    until("it says that it can't prove itself", secs(20), says, || {
        format!("{:?}{}", agent.status(), agent.tail())
    });
    agent.tpm.on();
    let proves = || {
        lab.admin
            .must::<call::show_demand>(Some("dpu-a"), &Empty {})
            .state
            == "answered"
    };
    until("it proves itself again", secs(60), proves, || {
        format!("{:?}{}", agent.status(), agent.tail())
    });
    assert_eq!(agent.process().ended(), None);
}

/// A process that is stopped for a while, as by a busy or sleeping machine, goes on where it was.
#[test]
fn a_frozen_nexus_closes_the_gate_and_goes_on() {
    if !ready::tpm() {
        return;
    }
    let mut lab = Lab::new();
    let device = lab.dpu("dpu-a");
    lab.good(&device);
    lab.nexus.process().signal(Signal::SIGSTOP);
    std::thread::sleep(secs(7));
    lab.nexus.process().signal(Signal::SIGCONT);
    lab.prove(&device);
    lab.await_attestation(&device, "verified");
    log::must_hold(&lab.admin, &[]);
}

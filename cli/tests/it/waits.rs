//! What waits: for a proof, for a host, for the next trust. Each ends as it should, and none for ever.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::played::{Played, refusal};
use crate::support::Ran;

const TIME: &str = "2026-11-22T21:00:05.000Z";
const DEMAND: &str = "POST /v1/dpus/a/demand";
const SHOW_DEMAND: &str = "GET /v1/dpus/a/demand";
const SHOW: &str = "GET /v1/dpus/a";
const PUSH: &str = "POST /v1/dpus/a/push";
const DPU: &str = "d-aaaaaaaaaaaaaaaaaaaaaaaaaa";
const HOST: &str = "h-aaaaaaaaaaaaaaaaaaaaaaaaaa";

fn id(prefix: &str) -> String {
    format!("{prefix}-{}", "a".repeat(26))
}

fn demand(state: &str) -> (u16, Value) {
    let body = json!({
        "id": id("dm"), "device_id": DPU, "state": state, "made_at": TIME, "deadline": TIME,
    });
    (200, body)
}

fn dpu(attestation: &str) -> (u16, Value) {
    let body = json!({
        "id": DPU, "name": "a", "tenant_id": id("t"), "serial": "S1", "lifecycle": "active",
        "attestation": attestation, "reasons": ["pcr.mismatch"], "rejected": 0, "root": "operator", "key": "tpm",
        "runtime": "measured", "hosts": [], "exposed": [], "fresh_until": TIME, "leases": [],
    });
    (200, body)
}

fn pushed() -> (u16, Value) {
    (
        200,
        json!({ "manifests": [{ "host_id": HOST, "sequence": 5 }] }),
    )
}

fn host(installed: u64, report: &str) -> (u16, Value) {
    let body = json!({
        "id": HOST, "tenant_id": id("t"), "name": "gpu-a", "device_id": DPU, "principals": ["a.example"],
        "logins": ["root"], "state": "paired", "sequence": 5, "installed": installed, "report": report,
        "attestation": "verified",
    });
    (200, body)
}

fn run(scripts: &[(&str, Vec<(u16, Value)>)], args: &[&str]) -> (Ran, Played, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let nexus = Played::start(scripts);
    let person = nexus.person(dir.path());
    let since = Instant::now();
    let ran = person.run(args);
    (ran, nexus, since.elapsed())
}

const DEMAND_IT: [&str; 6] = ["dpu", "demand", "a", "--reason", "look again", "--wait=20"];

#[test]
fn a_demand_is_waited_for_until_it_is_answered() {
    let scripts = [
        (DEMAND, vec![demand("open")]),
        (
            SHOW_DEMAND,
            vec![
                demand("open"),
                // What may pass is no reason to give up.
                refusal(503, "store.busy", true),
                demand("open"),
                demand("answered"),
            ],
        ),
        (SHOW, vec![dpu("verified")]),
    ];
    let (ran, nexus, _) = run(&scripts, &DEMAND_IT);
    assert!(ran.ok().contains("has proved itself"));
    assert_eq!(nexus.count(SHOW_DEMAND), 4);
    assert_eq!(nexus.count(DEMAND), 1);
}

#[test]
fn a_demand_that_ends_badly_is_an_error_of_attestation() {
    // Its deadline has passed at the nexus.
    let gone = [
        (DEMAND, vec![demand("open")]),
        (SHOW_DEMAND, vec![demand("open"), demand("unanswered")]),
    ];
    let (ran, _, _) = run(&gone, &DEMAND_IT);
    assert!(ran.fails(3).contains("attestation.unanswered"));

    // The proof came, and was bad.
    let failed = [
        (DEMAND, vec![demand("open")]),
        (SHOW_DEMAND, vec![demand("answered")]),
        (SHOW, vec![dpu("failed")]),
    ];
    let (ran, _, _) = run(&failed, &DEMAND_IT);
    let said = ran.fails(3);
    assert!(said.contains("attestation.failed") && said.contains("pcr.mismatch"));

    // Nobody may look any more: that does not pass by itself.
    let refused = [
        (DEMAND, vec![demand("open")]),
        (SHOW_DEMAND, vec![refusal(401, "auth.failed", false)]),
    ];
    let (ran, nexus, took) = run(&refused, &DEMAND_IT);
    assert!(ran.fails(2).contains("auth.failed"));
    assert!(nexus.count(SHOW_DEMAND) == 1 && took < Duration::from_secs(10));
}

#[test]
fn a_wait_ends_at_its_own_time() {
    let scripts = [
        (DEMAND, vec![demand("open")]),
        (SHOW_DEMAND, vec![demand("open")]),
    ];
    let args = ["dpu", "demand", "a", "--reason", "look again", "--wait=2"];
    let (ran, nexus, took) = run(&scripts, &args);
    assert!(ran.fails(3).contains("has not proved itself yet"));
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(10));
    assert!((2..6).contains(&nexus.count(SHOW_DEMAND)));
    // A nexus that only stumbles is not asked for ever either.
    let scripts = [
        (DEMAND, vec![demand("open")]),
        (SHOW_DEMAND, vec![refusal(503, "store.busy", true)]),
    ];
    let (ran, _, took) = run(&scripts, &args);
    assert!(ran.fails(1).contains("store.busy"));
    assert!(took < Duration::from_secs(10));
    // Without `--wait` nothing is waited for.
    let scripts = [(DEMAND, vec![demand("open")])];
    let (ran, nexus, _) = run(&scripts, &args[..5]);
    ran.ok();
    assert_eq!(nexus.count(SHOW_DEMAND), 0);
}

const PUSH_IT: [&str; 5] = ["push", "a", "--ca", "cluster", "--wait=20"];

#[test]
fn a_push_waits_for_the_proof_and_then_for_the_host() {
    let show_host = format!("GET /v1/hosts/{HOST}");
    let scripts = [
        (
            PUSH,
            vec![
                refusal(412, "attestation.stale", true),
                // Still: somebody has taken the fresh proof's place.
                refusal(412, "attestation.stale", true),
                pushed(),
            ],
        ),
        (SHOW_DEMAND, vec![demand("open"), demand("answered")]),
        (
            show_host.as_str(),
            vec![host(4, "ok"), host(4, "sshd.trial_refused"), host(5, "ok")],
        ),
    ];
    let (ran, nexus, _) = run(&scripts, &PUSH_IT);
    assert!(ran.ok().contains("installed and tried on `gpu-a`"));
    assert_eq!((nexus.count(PUSH), nexus.count(&show_host)), (3, 3));

    // What a proof can't mend is not waited for.
    for code in ["attestation.failed", "attestation.quarantined"] {
        let scripts = [(PUSH, vec![refusal(412, code, false)])];
        let (ran, nexus, _) = run(&scripts, &PUSH_IT);
        assert!(ran.fails(3).contains(code));
        assert_eq!((nexus.count(PUSH), nexus.count(SHOW_DEMAND)), (1, 0));
    }
    // And without `--wait` a refusal is one.
    let scripts = [(PUSH, vec![refusal(412, "attestation.stale", true)])];
    let (ran, nexus, _) = run(&scripts, &PUSH_IT[..4]);
    assert!(ran.fails(3).contains("attestation.stale"));
    assert_eq!((nexus.count(PUSH), nexus.count(SHOW_DEMAND)), (1, 0));
}

#[test]
fn a_host_that_does_not_install_is_a_failure_with_its_own_words() {
    let show_host = format!("GET /v1/hosts/{HOST}");
    let scripts = [
        (PUSH, vec![pushed()]),
        (show_host.as_str(), vec![host(4, "sshd.trial_refused")]),
    ];
    let (ran, _, took) = run(&scripts, &["push", "a", "--ca", "cluster", "--wait=2"]);
    let said = ran.fails(1);
    assert!(said.contains("push.not_installed") && said.contains("sshd.trial_refused"));
    assert!(took < Duration::from_secs(10));
}

fn trust(pattern: &str, list: u8) -> (u16, Value) {
    use assay_api::types::B64;
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    let krl = [b"SSHKRL\n\0".as_slice(), &[list; 40]].concat();
    let body = json!({
        "known_hosts": [format!("@cert-authority {pattern} {key}")],
        "revoked_host_keys": B64(krl), "refresh_in": 5,
    });
    (200, body)
}

#[test]
fn i13_trust_is_refreshed_and_outlives_a_nexus_that_stumbles() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("ssh").display().to_string();
    let nexus = Played::start(&[(
        "GET /v1/ssh-cas/cluster/trust",
        vec![
            trust("a.example", 1),
            refusal(503, "store.busy", true),
            trust("a.example,b.example", 2),
            // A line that is no CA's ends it, and what was good stays.
            (
                200,
                json!({ "known_hosts": ["a.example ssh-ed25519 AAAA"], "revoked_host_keys": "", "refresh_in": 5 }),
            ),
        ],
    )]);
    let person = nexus.person(dir.path());
    let since = Instant::now();
    let ran = person.run(&["ssh", "trust", "--ca", "cluster", "--dir", &at, "--refresh"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("not refreshed: because store.busy"));
    assert!(ran.stderr.contains("ssh.trust"));
    assert_eq!(ran.stdout.matches("RevokedHostKeys").count(), 1);
    assert!(since.elapsed() >= Duration::from_secs(14), "it is paced");
    let known = std::fs::read_to_string(dir.path().join("ssh/known_hosts")).unwrap();
    assert!(known.starts_with("@cert-authority a.example,b.example "));
    let list = std::fs::read(dir.path().join("ssh/revoked_host_keys")).unwrap();
    assert_eq!(list[8], 2);
}

/// All that people see of a nexus is made harmless on the way, whoever runs it.
#[test]
fn a_hostile_nexus_does_not_move_the_cursor() {
    let evil = "x\u{1b}[2J\u{9b}1m\u{202e}\n[forged]";
    let mut bad = dpu("verified");
    for field in ["name", "serial", "lifecycle", "runtime", "root", "key"] {
        bad.1[field] = evil.into();
    }
    bad.1["reasons"] = json!([evil]);
    let list = (200, json!({ "items": [bad.1.clone()] }));
    let mut refused = refusal(500, evil, false);
    refused.1["detail"] = evil.into();
    refused.1["hint"] = evil.into();
    let scripts = [
        (SHOW, vec![bad]),
        ("GET /v1/dpus?limit=500", vec![list]),
        ("GET /v1/dpus/b", vec![refused]),
    ];
    for format in ["table", "json", "yaml"] {
        for args in [
            vec!["dpu", "show", "a"],
            vec!["dpu", "list"],
            vec!["dpu", "show", "b"],
        ] {
            let (ran, _, _) = run(&scripts, &[&["-o", format], &args[..]].concat());
            let all = format!("{}{}", ran.stdout, ran.stderr);
            assert!(all.contains("forged"), "{args:?} {all}");
            let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!all.chars().any(obeyed), "{args:?} {all:?}");
            assert!(
                !all.lines()
                    .any(|line| line.trim_start().starts_with("[forged]")
                        && args != ["dpu", "show", "a"]),
                "{all}"
            );
        }
    }
}

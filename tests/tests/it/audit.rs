//! The log in an auditor's hands: exported, checked offline by the CLI against a head that an agent kept, tampered with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use assay_api::routes::call;
use assay_api::types::*;
use assay_tests::lab::Lab;
use assay_tests::programs;
use assay_tests::wait::{secs, until};

use crate::ready;

fn cli(home: &Path, args: &[&str]) -> Output {
    Command::new(programs::ours("assay"))
        .env("ASSAY_HOME", home)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn must(home: &Path, args: &[&str]) -> String {
    let done = cli(home, args);
    assert!(
        done.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn i8_an_exported_log_is_checked_offline_and_every_tampering_is_found() {
    if !ready::tpm() {
        return;
    }
    let lab = Lab::new();
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let at = |name: &str| dir.path().join(name).display().to_string();
    let invite = InviteCreate {
        tenant: None,
        name: "Aud Itor".into(),
        role: PersonRole::SuperAdmin,
    };
    let token = lab.admin.must::<call::create_invite>(None, &invite).token.0;
    fs::write(at("invite"), token.as_bytes()).unwrap();
    fs::set_permissions(at("invite"), fs::Permissions::from_mode(0o600)).unwrap();
    must(&home, &["join", "--no-passphrase", &at("invite")]);

    // The agent keeps the last head that it has seen.
    let device = lab.dpu("dpu-a");
    lab.good(&device);
    let size = || {
        device
            .agent
            .status()
            .and_then(|s| s.audit_size)
            .unwrap_or(0)
    };
    until(
        "the agent has seen a head",
        secs(30),
        || size() > 8,
        || lab.logs(&[&device.agent.tail()]),
    );
    let head = device.agent.head_file().unwrap().display().to_string();
    must(&home, &["audit", "export", &at("log")]);
    fs::write(at("key"), must(&home, &["audit", "key"])).unwrap();

    let verify = |log: &str, format: &str| {
        cli(
            &home,
            &[
                "audit",
                "verify",
                log,
                "--key",
                &at("key"),
                "--head",
                &head,
                "-o",
                format,
            ],
        )
    };
    for format in ["table", "json", "yaml"] {
        let done = verify(&at("log"), format);
        assert_eq!(
            done.status.code(),
            Some(0),
            "{format}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
    let alone = cli(&home, &["audit", "verify", &at("log"), "--key", &at("key")]);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&alone.stdout),
        String::from_utf8_lossy(&alone.stderr)
    );
    assert!(
        alone.status.success() && said.contains("rollback not excluded"),
        "{said}"
    );

    let text = fs::read_to_string(at("log")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let entries = lines
        .iter()
        .filter(|line| line.starts_with("{\"chain\""))
        .count();
    assert!(entries > 10, "{entries}");
    let third = lines
        .iter()
        .position(|line| line.contains("\"index\":3,"))
        .unwrap();
    let mut byte = lines.clone();
    let edited = byte[third].replacen("\"time_ms\":17", "\"time_ms\":18", 1);
    assert_ne!(edited, byte[third]);
    byte[third] = &edited;
    let mut row = lines.clone();
    row.remove(third);
    let mut swapped = lines.clone();
    swapped.swap(third, third + 1);
    // As somebody would cut who knows the format: an older log, whole with an older checkpoint, if it was kept; else the tail.
    let cut = lines[..lines.len() / 2].to_vec();
    for (what, tampered, index) in [
        ("byte", byte, Some(3)),
        ("row", row, Some(3)),
        ("swapped", swapped, Some(3)),
        ("cut", cut, None),
    ] {
        fs::write(at(what), tampered.join("\n") + "\n").unwrap();
        for format in ["table", "json", "yaml"] {
            let done = verify(&at(what), format);
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr)
            );
            assert_eq!(done.status.code(), Some(1), "{what} {format}: {said}");
            assert!(said.contains("broken"), "{what} {format}: {said}");
            let place = index.is_none_or(|n: u64| said.contains(&n.to_string()));
            assert!(place, "{what} {format} does not say where: {said}");
        }
    }

    // A key of somebody else's log, and files that are not there: not checked, or broken, never valid.
    let missing = verify(&at("none"), "table");
    assert_eq!(
        missing.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&missing.stderr)
    );
    fs::write(
        at("otherkey"),
        must(&home, &["audit", "key"]).replace("localhost", "elsewhere"),
    )
    .unwrap();
    let other = cli(
        &home,
        &["audit", "verify", &at("log"), "--key", &at("otherkey")],
    );
    assert_ne!(other.status.code(), Some(0));
}

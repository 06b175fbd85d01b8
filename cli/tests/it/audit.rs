//! `audit verify` offline: what holds, what does not, what can't be told; in every output mode.

use std::path::{Path, PathBuf};

use assay_api::log::{
    Actor, ActorKind, Decision, Entry, LogEnd, LogKey, NoteFault, checkpoint_line, entry_line,
    sign_checkpoint,
};
use assay_attest::time::Timestamp;
use ed25519_dalek::{Signer, SigningKey};

use crate::support::Person;

struct Log {
    key: LogKey,
    lines: Vec<Vec<u8>>,
    heads: Vec<String>,
}

/// A log of `size` entries with a checkpoint after every `batch`.
fn log(size: u64, batch: u64) -> Log {
    let secret = SigningKey::from_bytes(&[7; 32]);
    let key = LogKey::new("nexus.example/log", secret.verifying_key().as_bytes()).unwrap();
    let (mut end, mut lines, mut heads) = (LogEnd::default(), Vec::new(), Vec::new());
    for index in 0..size {
        let entry = Entry {
            index,
            time_ms: Timestamp::from_millis(1_767_225_600_000 + index),
            event: "tenant.create".into(),
            actor: Actor {
                kind: ActorKind::Operator,
                id: "op-1".into(),
                kid: None,
            },
            tenant: None,
            target: Some(format!("t-{index}")),
            decision: Decision::Allowed,
            code: None,
            reason: None,
            request: None,
            client: None,
            rows: Vec::new(),
            details: Default::default(),
        };
        let bytes = entry.to_bytes().unwrap();
        let chain = end.append(&bytes).chain;
        lines.push(entry_line(&bytes, &chain));
        if (index + 1) % batch == 0 || index + 1 == size {
            let head = end.head(key.origin());
            let note = sign_checkpoint::<NoteFault>(head, &key, |m| Ok(secret.sign(m).to_bytes()))
                .unwrap();
            lines.push(checkpoint_line(note.text()));
            heads.push(note.text().to_owned());
        }
    }
    Log { key, lines, heads }
}

fn write(dir: &Path, name: &str, lines: &[Vec<u8>]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, [lines.join(&b'\n'), b"\n".to_vec()].concat()).unwrap();
    path
}

#[test]
fn i8_what_was_changed_removed_or_cut_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(10, 4);
    let key = log.key.to_string();
    let verify = |path: &Path, more: &[&str]| {
        let mut args = vec!["audit", "verify", path.to_str().unwrap(), "--key", &key];
        args.extend(more);
        Person::at(dir.path(), "auditor").run(&args)
    };
    let whole = write(dir.path(), "whole", &log.lines);
    let said = verify(&whole, &[]).ok();
    assert!(
        said.contains("valid to its own head, rollback not excluded"),
        "{said}"
    );

    let head = dir.path().join("head");
    std::fs::write(&head, &log.heads[2]).unwrap();
    let with_head = ["--head", head.to_str().unwrap()];
    let report = verify(&whole, &[&with_head[..], &["-o", "json"]].concat()).json();
    assert_eq!(
        (
            report["status"].as_str(),
            report["rollback_excluded"].as_bool(),
            report["held_against"].as_u64()
        ),
        (Some("valid"), Some(true), Some(10))
    );

    // One byte of entry 5, whose line is the seventh: four entries, a checkpoint, then it.
    let mut lines = log.lines.clone();
    let at = lines[6].windows(6).position(|w| w == b"tenant").unwrap();
    lines[6][at] = b'T';
    let changed = write(dir.path(), "changed", &lines);
    // A row less.
    let mut lines = log.lines.clone();
    lines.remove(6);
    let removed = write(dir.path(), "removed", &lines);
    // The tail cut at a checkpoint: only a head from elsewhere tells.
    let cut = write(dir.path(), "cut", &log.lines[..10]);
    // And in the middle of a line.
    let bytes = std::fs::read(&whole).unwrap();
    let torn = dir.path().join("torn");
    std::fs::write(&torn, &bytes[..bytes.len() - 30]).unwrap();
    for (path, index, code) in [
        (&changed, 5, "log.edited"),
        (&removed, 5, "log.removed"),
        (&cut, 8, "log.rolled_back"),
        (&torn, 10, "log.line"),
    ] {
        for format in ["table", "json", "yaml"] {
            let ran = verify(path, &[&with_head[..], &["-o", format]].concat());
            assert_eq!(ran.code, 1, "{path:?} {format}: {ran:?}");
            assert!(
                ran.stdout.contains(code) && ran.stdout.contains(&index.to_string()),
                "{path:?} {format}: {ran:?}"
            );
        }
    }
    assert_eq!(verify(&cut, &[]).code, 0, "without a head it can't be told");
}

#[test]
fn what_could_not_be_checked_is_neither_valid_nor_broken() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(3, 3);
    let whole = write(dir.path(), "whole", &log.lines);
    let whole = whole.to_str().unwrap();
    let key = log.key.to_string();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let auditor = Person::at(dir.path(), "auditor");
    let good_key = file("log.key", &format!("{key}\n"));
    auditor
        .run(&["audit", "verify", whole, "--key", &good_key])
        .ok();
    let input = std::fs::read_to_string(whole).unwrap();
    assert_eq!(
        auditor
            .run_with(&["audit", "verify", "-", "--key", &key], &input)
            .code,
        0
    );

    let other = LogKey::new(
        "other/log",
        SigningKey::from_bytes(&[9; 32]).verifying_key().as_bytes(),
    )
    .unwrap()
    .to_string();
    let (bad_head, none) = (
        file("bad.head", "nothing"),
        dir.path().join("none").display().to_string(),
    );
    for args in [
        &["audit", "verify", &none, "--key", &key][..],
        &[
            "audit",
            "verify",
            dir.path().to_str().unwrap(),
            "--key",
            &key,
        ],
        &["audit", "verify", whole, "--key", "a+b+c"],
        &["audit", "verify", whole, "--key", &none],
        &["audit", "verify", whole, "--key", &key, "--head", &bad_head],
        &["audit", "verify", whole, "--key", &key, "--head", &none],
    ] {
        for format in ["table", "json", "yaml"] {
            let ran = auditor.run(&[args, &["-o", format]].concat());
            assert_eq!(
                (ran.code, ran.stdout.as_str()),
                (2, ""),
                "{args:?} {format}: {ran:?}"
            );
        }
    }
    // Under a key that is not the log's it is broken: nothing in it is signed by that key.
    assert_eq!(
        auditor
            .run(&["audit", "verify", whole, "--key", &other])
            .code,
        1
    );
    // A usage error stays one.
    assert_eq!(auditor.run(&["audit", "verify", whole]).code, 64);
}

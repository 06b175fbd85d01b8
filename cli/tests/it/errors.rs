//! What people read when something is wrong, and how the process ends.

use std::os::unix::fs::PermissionsExt;

use assay_api::htu::Htu;
use assay_api::token::{Token, TokenKind};

use crate::support::{Person, golden};

fn token(kind: TokenKind) -> String {
    // Nobody listens there.
    let url = Htu::parse("https://127.0.0.1:9/").unwrap();
    Token::new(kind, [7; 32].into(), url, [8; 32])
        .unwrap()
        .expose()
        .to_string()
}

fn context(key: &str) -> String {
    let log = assay_api::log::LogKey::new(
        "nexus.example/log",
        ed25519_dalek::SigningKey::from_bytes(&[7; 32])
            .verifying_key()
            .as_bytes(),
    )
    .unwrap();
    format!(
        "url = \"https://127.0.0.1:9/\"\npin = \"{}\"\noperator_id = \"op-aaaaaaaaaaaaaaaaaaaaaaaaaa\"\n\
         key_id = \"k-aaaaaaaaaaaaaaaaaaaaaaaaaa\"\nname = \"Ada\"\nlog_key = \"{log}\"\n[key]\nfile = \"{key}\"\n",
        "a1".repeat(32)
    )
}

#[test]
fn errors_say_what_to_do_next() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    for (name, kind) in [
        ("claim", TokenKind::Claim),
        ("invite", TokenKind::Invite),
        ("bootstrap", TokenKind::Bootstrap),
    ] {
        std::fs::write(at(name), token(kind)).unwrap();
        std::fs::set_permissions(at(name), PermissionsExt::from_mode(0o600)).unwrap();
    }
    std::fs::write(at("garbage"), "hello\n").unwrap();
    std::fs::set_permissions(at("garbage"), PermissionsExt::from_mode(0o600)).unwrap();
    let stranger = Person::at(dir.path(), "stranger");
    let (claim, invite, bootstrap, garbage) =
        (at("claim"), at("invite"), at("bootstrap"), at("garbage"));
    let nowhere = at("nowhere");
    let mut text = String::new();
    let cases: &[(&[&str], i32)] = &[
        (&[], 64),
        (&["frobnicate"], 64),
        (&["dpu"], 64),
        (&["dpu", "shw"], 64),
        (&["dpu", "confirm", "bf3-a"], 64),
        (&["dpu", "claim"], 64),
        (&["dpu", "claim", "--serial", "x"], 64),
        (
            &[
                "dpu", "claim", "--serial", "x", "--name", "y", "--ek", "abc",
            ],
            64,
        ),
        (
            &[
                "grant",
                "create",
                "--operator",
                "o",
                "--ca",
                "c",
                "--login",
                "root",
            ],
            64,
        ),
        (
            &[
                "cert",
                "sign",
                "--ca",
                "c",
                "--host",
                "h",
                "--login",
                "l",
                "--lifetime",
                "soon",
                "k.pub",
            ],
            64,
        ),
        (&["-o", "xml", "whoami"], 64),
        (&["-o", "json", "dpu", "confirm", "bf3-a"], 64),
        (&["whoami"], 1),
        (&["-o", "json", "whoami"], 1),
        (&["--context", "prod", "whoami"], 1),
        (&["--context", "../x", "whoami"], 64),
        (&["join", "assay1.invite.secret"], 64),
        (&["join", &nowhere], 1),
        (&["join", &garbage], 2),
        (&["join", &claim], 2),
        (&["join", &bootstrap], 2),
        (&["bootstrap", &invite], 2),
        (&["join", &invite], 2),
        (&["join", &invite, "--agent", "SHA256:x"], 2),
        (&["join", &invite, "--no-passphrase"], 1),
        (
            &[
                "cert", "sign", "--ca", "c", "--host", "h", "--login", "l", &nowhere,
            ],
            1,
        ),
        (&["audit", "verify", &nowhere, "--key", "x+y+z"], 2),
        (&["audit", "verify", &nowhere, "--key", &nowhere], 2),
    ];
    for (args, code) in cases {
        let ran = stranger.run(args);
        assert_eq!(ran.code, *code, "{args:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{args:?}: data only on standard output");
        let said = ran.stderr.replace(&dir.path().display().to_string(), "DIR");
        let shown = args
            .join(" ")
            .replace(&dir.path().display().to_string(), "DIR");
        text.push_str(&format!("$ assay {shown}\n{}[exit {code}]\n\n", said));
    }
    golden("errors.txt", &text);
}

#[test]
fn json_mode_gives_json_errors() {
    let dir = tempfile::tempdir().unwrap();
    let stranger = Person::at(dir.path(), "stranger");
    for args in [
        &["-o", "json", "whoami"][..],
        &["whoami", "-ojson"],
        &["dpu", "--output=json", "frob"],
        &["-o", "yaml", "frob"],
    ] {
        let ran = stranger.run(args);
        let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
        assert!(
            error["error"]["code"].is_string() && error["error"]["retryable"].is_boolean(),
            "{error}"
        );
    }
}

#[test]
fn a_key_that_others_may_read_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let person = Person::at(dir.path(), "ada");
    let key = dir.path().join("key");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    let contexts = person.home.join("contexts");
    std::fs::create_dir_all(&contexts).unwrap();
    std::fs::write(
        contexts.join("lab.toml"),
        context(&key.display().to_string()),
    )
    .unwrap();
    // As ssh-keygen made it, the key is good, and only the nexus is missing.
    assert!(
        person
            .run(&["whoami"])
            .fails(1)
            .contains("client.unreachable")
    );
    for mode in [0o644, 0o640, 0o660] {
        std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
        let said = person.run(&["whoami"]).fails(2);
        assert!(
            said.contains("file.permissions") && said.contains("chmod 600"),
            "{said}"
        );
    }
}

#[test]
fn a_locked_key_needs_its_passphrase_from_a_private_file() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "four random words", "-f"])
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    let file = dir.path().join("passphrase");
    let person = Person::at(dir.path(), "ada");
    let contexts = person.home.join("contexts");
    std::fs::create_dir_all(&contexts).unwrap();
    std::fs::write(
        contexts.join("lab.toml"),
        context(&key.display().to_string()),
    )
    .unwrap();
    assert!(
        person
            .run(&["whoami"])
            .fails(2)
            .contains("no terminal to ask at")
    );
    let person = person.env("ASSAY_PASSPHRASE_FILE", &file);
    for (words, mode, code, part) in [
        ("four random words\n", 0o600, 1, "client.unreachable"),
        ("four random words\n", 0o644, 2, "file.permissions"),
        ("five random words\n", 0o600, 2, "not the passphrase"),
    ] {
        std::fs::write(&file, words).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let said = person.run(&["whoami"]).fails(code);
        assert!(said.contains(part), "{said}");
        assert!(!said.contains("random words"), "{said}");
    }
}

#[test]
fn nothing_is_asked_and_nothing_destroyed_without_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let person = Person::at(dir.path(), "ada");
    let key = dir.path().join("key");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    let contexts = person.home.join("contexts");
    std::fs::create_dir_all(&contexts).unwrap();
    std::fs::write(
        contexts.join("lab.toml"),
        context(&key.display().to_string()),
    )
    .unwrap();
    for args in [
        &[
            "operator",
            "suspend",
            "op-aaaaaaaaaaaaaaaaaaaaaaaaaa",
            "--reason",
            "x",
        ][..],
        &[
            "key",
            "revoke",
            "k-aaaaaaaaaaaaaaaaaaaaaaaaaa",
            "--reason",
            "x",
        ],
        &[
            "grant",
            "revoke",
            "g-aaaaaaaaaaaaaaaaaaaaaaaaaa",
            "--reason",
            "x",
        ],
        &["dpu", "decommission", "a", "--reason", "x"],
        &["dpu", "quarantine", "a", "--reason", "x"],
        &[
            "secret",
            "withdraw",
            "s-aaaaaaaaaaaaaaaaaaaaaaaaaa",
            "--reason",
            "x",
        ],
        &[
            "cert",
            "revoke",
            "ca-aaaaaaaaaaaaaaaaaaaaaaaaaa.1",
            "--reason",
            "x",
        ],
        &["withdraw", "--ca", "a", "b"],
        &["ssh-ca", "rotate", "retire", "a"],
    ] {
        let ran = person.run_with(args, "a\nyes\n");
        let said = ran.fails(64);
        assert!(
            said.contains("cli.not_confirmed") && said.contains("--yes"),
            "{args:?}: {said}"
        );
    }
}

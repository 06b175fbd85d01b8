//! People at a real nexus: bootstrap, invites, roles, keys in files and in ssh-agent, the log.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::nexus::{Nexus, free_port};
use crate::support::{Person, golden};

/// A nexus with its first admin.
fn lab(dir: &Path) -> (Nexus, Person) {
    let nexus = Nexus::start(&dir.join("nexus"), free_port());
    let admin = Person::at(dir, "admin");
    let token = nexus.token.clone().unwrap();
    let said = admin
        .run(&[
            "bootstrap",
            "--no-passphrase",
            "--name",
            "Ada Admin",
            token.to_str().unwrap(),
        ])
        .ok();
    assert!(
        said.starts_with("you are Ada Admin (super:admin, op-"),
        "{said}"
    );
    (nexus, admin)
}

fn invite(admin: &Person, dir: &Path, name: &str, role: &str) -> String {
    let file = dir.join(format!("{name}.token")).display().to_string();
    admin
        .run(&[
            "invite", "create", "--name", name, "--role", role, "--tenant", "acme", "--out", &file,
        ])
        .ok();
    file
}

#[test]
fn the_first_admin_shuts_the_door_and_others_come_by_invite() {
    let dir = tempfile::tempdir().unwrap();
    let nexus = Nexus::start(&dir.path().join("nexus"), free_port());
    let token = nexus.token.clone().unwrap();
    let kept = dir.path().join("kept.token");
    std::fs::copy(&token, &kept).unwrap();
    let admin = Person::at(dir.path(), "admin");
    let joined = admin
        .run(&[
            "-o",
            "json",
            "bootstrap",
            "--no-passphrase",
            "--name",
            "Ada",
            token.to_str().unwrap(),
        ])
        .json();
    assert_eq!(
        (&joined["role"], &joined["context"]),
        (&"super:admin".into(), &"default".into())
    );
    let late = Person::at(dir.path(), "late").run(&[
        "bootstrap",
        "--no-passphrase",
        kept.to_str().unwrap(),
    ]);
    assert!(late.fails(2).contains("auth.failed"));

    let mut shapes = String::new();
    let mut shape = |name: &str, value: &Value| {
        shapes.push_str(&format!(
            "$ assay {name}\n{}\n\n",
            serde_json::to_string_pretty(&plain(value)).unwrap()
        ))
    };
    let tenant = admin
        .run(&["tenant", "create", "acme", "-o", "json"])
        .json();
    shape("tenant create acme", &tenant);
    shape(
        "tenant list",
        &admin.run(&["tenant", "list", "-o", "json"]).json(),
    );
    let made = admin
        .run(&[
            "invite", "create", "--name", "Bob", "--role", "operator", "--tenant", "acme", "-o",
            "json",
        ])
        .json();
    shape("invite create", &made);
    let invites = admin.run(&["invite", "list", "-o", "json"]).json();
    shape("invite list", &invites);

    // By standard input, as from a pipe.
    let bob = Person::at(dir.path(), "bob");
    let said = bob.run_with(
        &["join", "--no-passphrase", "--label", "laptop", "-"],
        made["token"].as_str().unwrap(),
    );
    assert!(said.ok().contains("you are Bob (operator, op-"));
    // The token is used up.
    let again = Person::at(dir.path(), "eve").run_with(
        &["join", "--no-passphrase", "-"],
        made["token"].as_str().unwrap(),
    );
    assert_eq!(again.code, 2);
    let me = bob.run(&["whoami", "-o", "json"]).json();
    shape("whoami", &me);
    assert_eq!(me["tenant_id"], tenant["id"]);
    let shown = admin.run(&["operator", "show", "Bob", "-o", "json"]).json();
    shape("operator show Bob", &shown);
    golden("shapes.txt", &shapes);

    // What one may not do is an error; who is suspended is nobody.
    assert!(
        bob.run(&["tenant", "create", "mine"])
            .fails(1)
            .contains("auth.forbidden")
    );
    assert!(
        admin
            .run(&["tenant", "create", "acme"])
            .fails(1)
            .contains("name.taken")
    );
    assert!(
        admin
            .run(&["operator", "show", "Nobody"])
            .fails(4)
            .contains("not_found")
    );
    assert!(
        admin
            .run(&["dpu", "show", "none"])
            .fails(4)
            .contains("not_found")
    );
    assert!(
        admin
            .run(&["invite", "list", "--tenant", "none"])
            .fails(4)
            .contains("not_found")
    );
    admin
        .run(&["operator", "suspend", "Bob", "--reason", "left", "--yes"])
        .ok();
    assert!(bob.run(&["whoami"]).fails(2).contains("auth.failed"));
    admin
        .run(&["operator", "unsuspend", "Bob", "--reason", "is back"])
        .ok();
    bob.run(&["whoami"]).ok();
    let key = shown["keys"][0]["id"].as_str().unwrap();
    admin
        .run(&["key", "revoke", key, "--reason", "lost", "--yes"])
        .ok();
    assert_eq!(bob.run(&["whoami"]).code, 2);
}

/// Values that differ from run to run, by their kind.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            Value::Object(members.iter().map(|(k, v)| (k.clone(), plain(v))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        Value::String(text) => {
            let kind = match text.split_once('-') {
                Some((prefix, tail)) if tail.len() == 26 => format!("{prefix}-..."),
                _ if text.starts_with("assay1.") => "assay1...".to_owned(),
                _ if text.ends_with('Z') && text.contains('T') && text.len() == 24 => {
                    "TIME".to_owned()
                }
                _ if text.len() == 43 => "BASE64URL".to_owned(),
                _ => text.clone(),
            };
            kind.into()
        }
        other => other.clone(),
    }
}

#[test]
fn a_key_under_a_passphrase_and_one_in_ssh_agent_sign_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let (_nexus, admin) = lab(dir.path());
    admin.run(&["tenant", "create", "acme"]).ok();
    let passphrase = dir.path().join("passphrase");
    std::fs::write(&passphrase, "four random words\n").unwrap();
    std::fs::set_permissions(
        &passphrase,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let carol = Person::at(dir.path(), "carol").env("ASSAY_PASSPHRASE_FILE", &passphrase);
    let token = invite(&admin, dir.path(), "Carol", "tenant:admin");
    carol.run(&["join", &token]).ok();
    let key = std::fs::read_to_string(carol.home.join("keys/default")).unwrap();
    assert!(
        ssh_key_is_encrypted(&carol.home.join("keys/default"))
            && key.starts_with("-----BEGIN OPENSSH")
    );
    carol.run(&["operator", "list"]).ok();
    let bare = Person {
        home: carol.home.clone(),
        env: Vec::new(),
    };
    assert!(bare.run(&["whoami"]).fails(2).contains("key.passphrase"));

    let agent = Agent::start(dir.path());
    agent.add(dir.path(), "dave@laptop");
    let dave = Person::at(dir.path(), "dave").env("SSH_AUTH_SOCK", &agent.socket);
    let token = invite(&admin, dir.path(), "Dave", "tenant:admin");
    assert!(
        dave.run(&["join", &token, "--agent", "nobody"])
            .fails(2)
            .contains("agent.no_key")
    );
    dave.run(&["join", &token, "--agent", "dave@laptop"]).ok();
    dave.run(&["whoami"]).ok();
    let listed = dave.run(&["context", "list"]).ok();
    assert!(listed.contains("ssh-agent SHA256:"), "{listed}");
    let without = Person {
        home: dave.home.clone(),
        env: Vec::new(),
    };
    assert!(without.run(&["whoami"]).fails(2).contains("agent.none"));
}

fn ssh_key_is_encrypted(path: &Path) -> bool {
    let opened = Command::new("ssh-keygen")
        .args(["-y", "-P", "", "-f"])
        .arg(path)
        .output()
        .unwrap();
    !opened.status.success()
}

struct Agent {
    process: Child,
    socket: std::path::PathBuf,
}

impl Agent {
    fn start(dir: &Path) -> Self {
        let socket = dir.join("agent.sock");
        let process = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..100 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Self { process, socket }
    }

    fn add(&self, dir: &Path, comment: &str) {
        let key = dir.join("agent-key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
            .arg(&key)
            .status()
            .unwrap();
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg(&key)
            .env("SSH_AUTH_SOCK", &self.socket)
            .status()
            .unwrap();
        assert!(made.success() && added.success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn i7_at_a_terminal_secrets_are_asked_without_echo_and_what_destroys_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let nexus = Nexus::start(&dir.path().join("nexus"), free_port());
    let token = nexus.token.clone().unwrap();
    let text = std::fs::read_to_string(&token).unwrap();
    let admin = Person::at(dir.path(), "admin");
    let words = "four random words\r";
    let (code, shown) = admin.at_terminal(
        &["bootstrap", "--name", "Ada", "-"],
        &[
            ("token: ", &format!("{}\r", text.trim())),
            ("passphrase for your new key: ", words),
            ("once more: ", words),
        ],
    );
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("you are Ada"), "{shown}");
    assert!(
        !shown.contains("random") && !shown.contains("assay1."),
        "{shown}"
    );
    assert!(ssh_key_is_encrypted(&admin.home.join("keys/default")));

    let passphrase = ("passphrase of ", words);
    admin.at_terminal(&["tenant", "create", "acme"], &[passphrase]);
    let invite = [
        "invite", "create", "--name", "Bob", "--role", "operator", "--tenant", "acme", "--out",
    ];
    let file = dir.path().join("bob.token").display().to_string();
    admin.at_terminal(&[&invite[..], &[&file]].concat(), &[passphrase]);
    let bob = Person::at(dir.path(), "bob");
    bob.run(&["join", "--no-passphrase", &file]).ok();

    let suspend = ["operator", "suspend", "Bob", "--reason", "left"];
    let (code, shown) =
        admin.at_terminal(&suspend, &[passphrase, ("type `Bob` to go on: ", "bob\r")]);
    assert_eq!(code, 64, "{shown}");
    assert!(shown.contains("nothing was done"), "{shown}");
    bob.run(&["whoami"]).ok();
    let (code, shown) =
        admin.at_terminal(&suspend, &[passphrase, ("type `Bob` to go on: ", "Bob\r")]);
    assert_eq!(code, 0, "{shown}");
    assert_eq!(bob.run(&["whoami"]).code, 2);

    // Interrupted, the terminal is as it was: the shell echoes again.
    let (code, shown) = admin.at_terminal(&["whoami"], &[("passphrase of ", "abc\x03")]);
    assert_eq!(code, 1, "{shown}");
    assert!(
        shown.contains("aborted") && !shown.contains("abc"),
        "{shown}"
    );
}

#[test]
fn claims_come_one_by_one_and_from_an_inventory() {
    let dir = tempfile::tempdir().unwrap();
    let (_nexus, admin) = lab(dir.path());
    admin.run(&["tenant", "create", "acme"]).ok();
    let out = dir.path().join("a.token").display().to_string();
    admin
        .run(&[
            "dpu", "claim", "--serial", "MT1", "--name", "bf3-a", "--tenant", "acme", "--out", &out,
        ])
        .ok();
    let token = std::fs::read_to_string(&out).unwrap();
    assert!(token.starts_with("assay1.claim."));
    // A second one would overwrite it, and is refused before anything is made.
    assert!(
        admin
            .run(&[
                "dpu", "claim", "--serial", "MT9", "--name", "bf3-z", "--tenant", "acme", "--out",
                &out
            ])
            .fails(1)
            .contains("file.exists")
    );
    let inventory = dir.path().join("inventory.csv");
    std::fs::write(
        &inventory,
        format!(
            "name,serial,ek\nbf3-b,MT2,{}\nbf3-c,MT3,\n",
            "ab".repeat(32)
        ),
    )
    .unwrap();
    let tokens = dir.path().join("tokens");
    let args = [
        "dpu",
        "claim",
        "--from",
        inventory.to_str().unwrap(),
        "--tenant",
        "acme",
        "--out",
        tokens.to_str().unwrap(),
    ];
    let table = admin.run(&args).ok();
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(
        std::fs::read_to_string(tokens.join("bf3-b.token"))
            .unwrap()
            .starts_with("assay1.claim.")
    );
    let claims = admin.run(&["dpu", "claims", "-o", "json"]).json();
    let items = claims["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    let known =
        |name: &str| items.iter().find(|c| c["name"] == name).unwrap()["identity_known"] == true;
    assert!(known("bf3-b") && !known("bf3-c") && !known("bf3-a"));
    let made = admin
        .run(&[
            "dpu", "claim", "--serial", "MT4", "--name", "bf3-d", "--tenant", "acme", "-o", "json",
        ])
        .json();
    assert!(
        made["items"][0]["token"]
            .as_str()
            .unwrap()
            .starts_with("assay1.claim.")
    );
}

#[test]
fn i8_the_log_is_exported_verified_and_its_rollback_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (data, port) = (dir.path().join("nexus"), free_port());
    let nexus = Nexus::start(&data, port);
    let admin = Person::at(dir.path(), "admin");
    admin
        .run(&[
            "bootstrap",
            "--no-passphrase",
            nexus.token.clone().unwrap().to_str().unwrap(),
        ])
        .ok();
    admin.run(&["tenant", "create", "one"]).ok();
    drop(nexus);
    let backup = dir.path().join("backup");
    copy(&data, &backup);

    let nexus = Nexus::start(&data, port);
    for name in ["two", "three", "four"] {
        admin.run(&["tenant", "create", name]).ok();
    }
    let head = dir.path().join("head");
    std::fs::write(&head, admin.run(&["audit", "head"]).ok()).unwrap();
    let listed = admin
        .run(&["audit", "list", "--event", "tenant.create", "--limit", "2"])
        .ok();
    assert!(
        listed.lines().count() == 3
            && listed
                .lines()
                .all(|l| l.contains("tenant.create") || l.starts_with("INDEX")),
        "{listed}"
    );
    let key = dir.path().join("key");
    std::fs::write(&key, admin.run(&["audit", "key"]).ok()).unwrap();
    let export = dir.path().join("log.jsonl");
    let (export, key, head) = (
        export.to_str().unwrap(),
        key.to_str().unwrap(),
        head.to_str().unwrap(),
    );
    admin.run(&["audit", "export", export]).ok();
    let auditor = Person::at(dir.path(), "auditor");
    let report = auditor
        .run(&[
            "audit", "verify", export, "--key", key, "--head", head, "-o", "json",
        ])
        .json();
    assert_eq!(
        (&report["status"], &report["rollback_excluded"]),
        (&"valid".into(), &true.into())
    );
    let text = std::fs::read_to_string(export).unwrap();
    let entries: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert!(
        entries
            .iter()
            .any(|e| e["entry"]["event"] == "tenant.create")
    );
    drop(nexus);

    // Somebody puts the old database back.
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    let _nexus = Nexus::start(&data, port);
    let said = admin.run(&["audit", "head"]).fails(1);
    assert!(said.contains("log.rolled_back"), "{said}");
    // It stays refused: what was seen is not forgotten.
    assert_eq!(admin.run(&["audit", "list"]).code, 1);
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(done.success());
}

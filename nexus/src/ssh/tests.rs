//! Certificates and lists, judged by the real `ssh-keygen`.

use super::certificate::{
    CertificateFault, Template, UserOptions, ca_public_line, host, read_public_key, user,
};
use super::krl::Revoked;
use crate::keys::{Signer, SoftwareSigner};
use assay_attest::key::PublicKey as Public;
use std::path::Path;
use std::process::Command;

fn run(dir: &Path, args: &[&str]) -> (i32, String) {
    let out = Command::new("ssh-keygen")
        .args(args)
        .current_dir(dir)
        .output()
        .expect("ssh-keygen is installed");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    (out.status.code().unwrap_or(-1), text)
}

fn subject(dir: &Path, kind: &[&str]) -> String {
    let mut args = vec!["-q", "-N", "", "-f", "subject"];
    args.extend_from_slice(kind);
    assert_eq!(run(dir, &args).0, 0);
    std::fs::read_to_string(dir.join("subject.pub")).unwrap()
}

fn template<'a>(serial: u64, principals: &'a [String]) -> Template<'a> {
    Template {
        serial,
        key_id: "k",
        principals,
        valid_after: 1_000,
        valid_before: 4_000_000_000,
    }
}

#[test]
fn ssh_keygen_reads_what_was_signed() {
    let dir = tempfile::tempdir().unwrap();
    let ca = SoftwareSigner::from_seed(&[7; 32]).unwrap();
    let key = read_public_key(&subject(dir.path(), &["-t", "ecdsa", "-b", "256"])).unwrap();
    let principals = vec!["root@h-aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned()];
    let line = user(
        &ca,
        key.key_data(),
        &template(42, &principals),
        &UserOptions::Interactive,
        [1; 32],
    )
    .unwrap();
    std::fs::write(dir.path().join("c-cert.pub"), line).unwrap();
    let (code, text) = run(dir.path(), &["-L", "-f", "c-cert.pub"]);
    assert_eq!(code, 0, "{text}");
    for expected in [
        "user certificate",
        "Serial: 42",
        "root@h-aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "permit-pty",
    ] {
        assert!(text.contains(expected), "{expected} not in {text}");
    }
    assert!(!text.contains("forwarding"), "{text}");

    let line = user(
        &ca,
        key.key_data(),
        &template(43, &principals),
        &UserOptions::Trial,
        [2; 32],
    )
    .unwrap();
    std::fs::write(dir.path().join("t-cert.pub"), line).unwrap();
    let (_, text) = run(dir.path(), &["-L", "-f", "t-cert.pub"]);
    assert!(
        text.contains("force-command /bin/true")
            && text.contains("source-address 127.0.0.1/32,::1/128"),
        "{text}"
    );

    let line = host(
        &ca,
        key.key_data(),
        &template(44, &["a.example".to_owned()]),
        [3; 32],
    )
    .unwrap();
    std::fs::write(dir.path().join("h-cert.pub"), line).unwrap();
    let (_, text) = run(dir.path(), &["-L", "-f", "h-cert.pub"]);
    assert!(
        text.contains("host certificate") && text.contains("Extensions: (none)"),
        "{text}"
    );
}

#[test]
fn a_certificate_without_principals_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let ca = SoftwareSigner::from_seed(&[7; 32]).unwrap();
    let key = read_public_key(&subject(dir.path(), &["-t", "ed25519"])).unwrap();
    for principals in [vec![], vec![String::new()]] {
        let made = user(
            &ca,
            key.key_data(),
            &template(1, &principals),
            &UserOptions::Interactive,
            [1; 32],
        );
        assert_eq!(made, Err(CertificateFault::NoPrincipals));
    }
}

#[test]
fn other_kinds_of_keys_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let line = subject(dir.path(), &["-t", "ecdsa", "-b", "384"]);
    assert_eq!(
        read_public_key(&line),
        Err(CertificateFault::KeyKind("ecdsa-sha2-nistp384".to_owned()))
    );
    assert_eq!(
        read_public_key("ssh-ed25519 AAAA"),
        Err(CertificateFault::NotAKey)
    );
}

#[test]
fn ssh_keygen_finds_revoked_what_was_revoked_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, other) = (
        SoftwareSigner::from_seed(&[7; 32]).unwrap(),
        SoftwareSigner::from_seed(&[8; 32]).unwrap(),
    );
    let key = read_public_key(&subject(dir.path(), &["-t", "ed25519"])).unwrap();
    let blob = |k: &SoftwareSigner| {
        let Public::Ed25519(public) = k.public() else {
            panic!("not Ed25519")
        };
        let line = ca_public_line(public, "ca").unwrap();
        ssh_key::PublicKey::from_openssh(&line)
            .unwrap()
            .to_bytes()
            .unwrap()
    };
    let principals = vec!["a".to_owned()];
    let revoked: &[u64] = &[1, 5, 6, 7, 8, 100, u64::MAX];
    let mut list = Revoked::default();
    for serial in revoked {
        list.certificate(&blob(&ca), *serial);
    }
    std::fs::write(
        dir.path().join("krl"),
        list.encode(3, 1_700_000_000, "assay"),
    )
    .unwrap();
    std::fs::write(
        dir.path().join("none"),
        Revoked::default().encode(1, 1_700_000_000, "assay"),
    )
    .unwrap();
    for serial in [1, 2, 4, 5, 6, 7, 8, 9, 99, 100, 101, u64::MAX - 1, u64::MAX] {
        for (signer, is_ours) in [(&ca, true), (&other, false)] {
            let line = user(
                signer,
                key.key_data(),
                &template(serial, &principals),
                &UserOptions::Interactive,
                [1; 32],
            )
            .unwrap();
            std::fs::write(dir.path().join("q-cert.pub"), line).unwrap();
            let (code, text) = run(dir.path(), &["-Q", "-f", "krl", "q-cert.pub"]);
            assert_eq!(
                code != 0,
                is_ours && revoked.contains(&serial),
                "serial {serial}, ours {is_ours}: {text}"
            );
            assert_eq!(run(dir.path(), &["-Q", "-f", "none", "q-cert.pub"]).0, 0);
        }
    }
}

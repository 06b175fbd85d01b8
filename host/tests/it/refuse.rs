//! What is refused, and that nothing is changed by it.

use crate::world::{World, certificate, ready};
use assay_host::sshd::Trust;
use ssh_key::Certificate;
use std::fs;

/// Installs on top of a good state and expects a refusal that changes nothing.
fn refused(world: &World, trust: &Trust, code: &str) {
    let before = world.picture();
    let fault = world.install(trust).unwrap_err();
    assert_eq!(fault.code(), code, "{fault}\n{}", world.log());
    assert_eq!(world.picture(), before, "{code}");
    assert!(!world.at("state/journal.json").exists());
    assert!(world.local_key_opens());
}

#[test]
fn a_broken_list_is_refused_before_anything_is_touched() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let good = world.trust(&["root"], 3600, &[]);
    for krl in [
        Vec::new(),
        b"SSHKRL\n\0".to_vec(),
        good.krl[..good.krl.len() - 7].to_vec(),
        fs::read(world.at("ca.pub")).unwrap(),
    ] {
        let trust = Trust {
            krl,
            ..good.clone()
        };
        refused(&world, &trust, "sshd.krl_invalid");
    }
    // A list that does not revoke what it must, or revokes what it must not.
    let trust = Trust {
        krl: world.krl(&[]),
        ..good.clone()
    };
    refused(&world, &trust, "sshd.trial_unfit");
    let ca = world.at("ca.pub");
    let trust = Trust {
        krl: world.krl(&[&ca]),
        ..good.clone()
    };
    refused(&world, &trust, "sshd.trial_unfit");
    world.install(&good).unwrap();
}

#[test]
fn a_pid_file_that_names_a_stranger_has_nobody_signalled() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let first = world.trust(&["root"], 3600, &[]);
    world.install(&first).unwrap();
    let mut stranger = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    fs::write(world.at("pid"), format!("{}\n", stranger.id())).unwrap();
    // Its host certificate is a new one: that takes a reload.
    let trust = world.trust(&["root"], 3600, &[]);
    let fault = world.install(&trust).unwrap_err();
    assert!(
        ["sshd.reload", "sshd.rollback"].contains(&fault.code()),
        "{fault}"
    );
    assert!(fault.to_string().contains("not sshd"), "{fault}");
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(stranger.try_wait().unwrap().is_none(), "it was left alone");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(world.local_key_opens());
}

/// The same with one bit of its signature changed.
fn forged(certificate: &Certificate) -> Certificate {
    let mut bytes = certificate.to_bytes().unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    Certificate::from_bytes(&bytes).unwrap()
}

/// An sshd that was started with another configuration than the one that is looked after: `sshd -T` can't tell, a login can.
#[test]
fn i13_a_running_sshd_that_reads_something_else_is_found_by_the_trial() {
    if !ready() {
        return;
    }
    let ours = "TrustedUserCAKeys {dir}/assay/user_ca.pub\nAuthorizedPrincipalsFile {dir}/assay/principals/%u\n";
    let shown = "HostCertificate {dir}/assay/host-cert.pub\n";
    for (extra, code) in [
        // It takes our certificates, and those that are revoked.
        (format!("{ours}{shown}"), "sshd.revoked_accepted"),
        // It takes none; that the trial key itself would open the door must not pass for a certificate.
        (shown.to_owned(), "sshd.trial_refused"),
    ] {
        let mut world = World::stopped("Include {dir}/sshd_config.d/*.conf\n", "");
        let looked_after = world.sshd.config.clone();
        let sound = fs::read_to_string(&looked_after).unwrap();
        let (_, own) = sound.split_once('\n').unwrap();
        let read = world.at("other_config");
        let dir = world.dir.path().display().to_string();
        fs::write(&read, format!("{own}{}", extra.replace("{dir}", &dir))).unwrap();
        let mut keys = fs::read_to_string(world.at("authorized_keys")).unwrap();
        keys.push_str(&fs::read_to_string(world.at("state/trial_key.pub")).unwrap());
        fs::write(world.at("authorized_keys"), keys).unwrap();
        world.sshd.config = read;
        world.start();
        world.sshd.config = looked_after;
        let trust = world.trust(&["root"], 3600, &[]);
        refused(&world, &trust, code);
    }
}

#[test]
fn trial_certificates_must_be_for_this_and_nothing_else() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let good = world.trust(&["root"], 3600, &[]);
    let principal = format!("root@{}", world.host);
    let force = ["-O", "clear", "-O", "force-command=/bin/true"];
    let other_ca = world.certify("foreign", "state/trial_key", &principal, "+5m", &force);
    let other_key = world.certify("ca", "user", &principal, "+5m", &force);
    let bare = world.certify("ca", "state/trial_key", "root", "+5m", &force);
    let two = world.certify(
        "ca",
        "state/trial_key",
        &format!("{principal},x"),
        "+5m",
        &force,
    );
    let free = world.certify("ca", "state/trial_key", &principal, "+5m", &[]);
    let ended = world.certify("ca", "state/trial_key", &principal, "-30s", &force);
    let host = world.certify("ca", "state/trial_key", &principal, "+5m", &["-h"]);
    for cert in [other_ca, other_key, bare, two, free, ended, host] {
        let mut trust = good.clone();
        trust.trial.as_mut().unwrap().certificate = certificate(&cert);
        refused(&world, &trust, "sshd.trial_unfit");
    }
    // Signed by nobody, in the CA's name.
    let mut trust = good.clone();
    let trial = trust.trial.as_mut().unwrap();
    trial.certificate = forged(&trial.certificate);
    // ssh-keygen sees that first.
    refused(&world, &trust, "sshd.krl_invalid");
    let mut trust = good.clone();
    trust.host_certificate = Some(forged(&trust.host_certificate.unwrap()));
    refused(&world, &trust, "sshd.trial_unfit");
    let mut trust = good.clone();
    trust.host_certificate = Some(certificate(&world.certify(
        "host_ca",
        "user",
        "a.example",
        "+1d",
        &["-h"],
    )));
    refused(&world, &trust, "sshd.trial_unfit");
}

#[test]
fn what_others_own_is_refused() {
    if !ready() {
        return;
    }
    for (extra, code) in [
        (
            "Match Address 10.0.0.0/8\nTrustedUserCAKeys none\n",
            "sshd.match_block",
        ),
        ("Match User root\nRevokedKeys none\n", "sshd.match_block"),
        (
            "AuthorizedPrincipalsFile {dir}/x\n",
            "sshd.foreign_principals",
        ),
        (
            "AuthorizedPrincipalsCommand /bin/true\nAuthorizedPrincipalsCommandUser root\n",
            "sshd.foreign_principals",
        ),
        (
            "RevokedKeys {dir}/foreign.pub\n",
            "sshd.foreign_revoked_keys",
        ),
        ("TrustedUserCAKeys {dir}/absent\n", "sshd.foreign_ca"),
        (
            "Match User root\nPubkeyAuthentication no\nMatch Address 10.0.0.0/8\nX11Forwarding no\n",
            "sshd.not_effective",
        ),
    ] {
        let mut world = World::new(extra);
        let trust = world.trust(&["root"], 3600, &[]);
        let before = world.picture();
        let fault = world.install(&trust).unwrap_err();
        assert_eq!(fault.code(), code, "{extra}: {fault}");
        assert_eq!(world.picture(), before, "{extra}");
    }
}

#[test]
fn an_earlier_file_that_hides_ours_is_found() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let earlier = world.at("sshd_config.d/00-aaa.conf");
    fs::write(&earlier, "Match User ops\nPubkeyAuthentication no\n").unwrap();
    let trust = world.trust(&["root"], 3600, &[]);
    world.install(&trust).unwrap();
    let trust = world.trust(&["root", "ops"], 3600, &[]);
    refused(&world, &trust, "sshd.not_effective");
    let cert = world.user_certificate("ca");
    assert!(world.opens(&cert));
}

#[test]
fn a_failed_trial_puts_everything_back() {
    if !ready() {
        return;
    }
    // sshd -t and -T find no fault: only a login does.
    let mut world = World::new("AllowUsers nobody\n");
    let before = world.picture();
    let trust = world.trust(&["root"], 3600, &[]);
    let fault = world.install(&trust).unwrap_err();
    assert_eq!(fault.code(), "sshd.trial_refused", "{fault}");
    assert_eq!(world.picture(), before);
    assert!(!world.at("state/journal.json").exists());

    // From one good state to a bad one.
    let mut world = World::new("");
    let good = world.trust(&["root"], 3600, &[]);
    world.install(&good).unwrap();
    let cert = world.user_certificate("ca");
    let config = world.at("sshd_config");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}AllowUsers nobody\n")).unwrap();
    let before = world.picture();
    let next = world.trust(&["root"], 7200, &[&cert]);
    assert_eq!(
        world.install(&next).unwrap_err().code(),
        "sshd.trial_refused"
    );
    assert_eq!(world.picture(), before);
    fs::write(&config, text).unwrap();
    world.install(&next).unwrap();
    assert!(!world.opens(&cert));
}

#[test]
fn a_host_certificate_that_sshd_does_not_show_fails_the_trial() {
    if !ready() {
        return;
    }
    let mut world = World::new("HostCertificate {dir}/theirs-cert.pub\n");
    let theirs = world.certify("foreign", "sshd_key", "b.example", "+1d", &["-h"]);
    fs::copy(theirs, world.at("theirs-cert.pub")).unwrap();
    world.stop();
    world.start();
    let trust = world.trust(&["root"], 3600, &[]);
    refused(&world, &trust, "sshd.trial_refused");
}

#[test]
fn an_sshd_that_is_broken_or_gone_is_no_success() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let trust = world.trust(&["root"], 3600, &[]);
    let config = world.at("sshd_config");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}NoSuchDirective yes\n")).unwrap();
    let before = world.picture();
    let fault = world.install(&trust).unwrap_err();
    assert_eq!(fault.code(), "sshd.config_test", "{fault}");
    assert_eq!(world.picture(), before);
    fs::write(&config, &text).unwrap();
    world.stop();
    let fault = world.install(&trust).unwrap_err();
    assert_eq!(fault.code(), "sshd.reload", "{fault}");
    assert!(!world.sshd.drop_in.exists());
    world.start();
    world.install(&trust).unwrap();
}

#[test]
fn an_sshd_that_reads_no_utc_is_refused() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let trust = world.trust(&["root"], 3600, &[]);
    let old = world.at("old-sshd");
    fs::write(&old, "#!/bin/sh\necho OpenSSH_8.9p1 Ubuntu-3 >&2\nexit 1\n").unwrap();
    fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.sshd.program = old;
    refused(&world, &trust, "sshd.too_old");
}

#[test]
fn without_the_list_sshd_locks_everybody_out_and_installing_mends_it() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let trust = world.trust(&["root"], 3600, &[]);
    world.install(&trust).unwrap();
    let list = world.at("assay/revoked.krl");
    fs::remove_file(&list).unwrap();
    // Why the list comes before its directive, and goes after it.
    assert!(!world.local_key_opens());
    world.install(&trust).unwrap();
    assert!(world.local_key_opens());
    // An empty one would revoke nothing.
    fs::write(&list, b"").unwrap();
    world.install(&trust).unwrap();
    assert_eq!(fs::read(&list).unwrap(), trust.krl);
}

#[test]
fn two_installers_do_not_meet() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let trust = world.trust(&["root"], 3600, &[]);
    let installer = world.installer();
    let state = world.at("state");
    let second = assay_host::sshd::Installer::open(&world.sshd, &state, state.join("trial_key"));
    assert_eq!(second.unwrap_err().code(), "sshd.busy");
    installer
        .install(&trust, world.record("1"), crate::world::now())
        .unwrap();
}

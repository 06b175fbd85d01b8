//! What an installation does.

use crate::world::{World, in_secs, now, ready};
use assay_host::sshd::Outcome;
use std::fs;
use std::time::Duration;

#[test]
fn a_certificate_opens_this_host_and_purge_leaves_no_trace() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let before = world.picture();
    let cert = world.user_certificate("ca");
    assert!(!world.opens(&cert));
    let trust = world.trust(&["root", "ops"], 3600, &[]);
    assert_eq!(
        world.install(&trust).unwrap(),
        Outcome::Installed,
        "{}",
        world.log()
    );
    assert!(world.opens(&cert));
    assert!(world.local_key_opens());
    assert!(!world.at("state/journal.json").exists());

    let elsewhere = world.certify(
        "ca",
        "user",
        "root@h-haaaaaaaaaaaaaaaaaaaaaaaaa",
        "+1h",
        &[],
    );
    assert!(!world.opens(&elsewhere), "another host's certificate");
    let bare = world.certify("ca", "user", "root", "+1h", &[]);
    assert!(!world.opens(&bare), "a bare login");
    let other_login = world.certify("ca", "user", &format!("ops@{}", world.host), "+1h", &[]);
    assert!(!world.opens(&other_login), "another login");
    let stranger = world.user_certificate("foreign");
    assert!(!world.opens(&stranger), "another CA");

    world.installer().purge(Some(world.record("none"))).unwrap();
    assert!(!world.opens(&cert));
    assert!(world.local_key_opens());
    let mut after = world.picture();
    after.remove(&world.at("state/installed"));
    assert_eq!(before, after);
    assert!(!world.at("assay").exists());
    world.installer().purge(Some(world.record("none"))).unwrap();
}

#[test]
fn i13_a_newer_list_revokes_at_the_next_login() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let (cert, other) = (world.user_certificate("ca"), world.user_certificate("ca"));
    let trust = world.trust(&["root"], 3600, &[]);
    world.install(&trust).unwrap();
    assert!(world.opens(&cert) && world.opens(&other));
    let stamp = fs::metadata(world.at("pid")).unwrap().modified().unwrap();
    let trust = world.trust(&["root"], 3600, &[&cert]);
    assert_eq!(world.install(&trust).unwrap(), Outcome::Installed);
    assert!(!world.opens(&cert));
    assert!(world.opens(&other));
    assert!(world.local_key_opens());
    // The host certificate is a new one: that takes a reload.
    assert_ne!(
        fs::metadata(world.at("pid")).unwrap().modified().unwrap(),
        stamp
    );

    let stamp = fs::metadata(world.at("pid")).unwrap().modified().unwrap();
    let mut next = world.trust(&["root"], 3600, &[&cert, &other]);
    next.host_certificate = trust.host_certificate;
    assert_eq!(world.install(&next).unwrap(), Outcome::Installed);
    assert!(!world.opens(&other));
    assert_eq!(
        fs::metadata(world.at("pid")).unwrap().modified().unwrap(),
        stamp,
        "no reload for a list alone"
    );
}

#[test]
fn i13_past_not_after_ca_logins_stop_and_local_keys_work() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let cert = world.user_certificate("ca");
    let mut trust = world.trust(&["root"], 3600, &[]);
    world.install(&trust).unwrap();
    assert!(world.opens(&cert));

    // A renewal with unchanged content: lines alone, no trial (this one could not pass any), no reload.
    let stamp = fs::metadata(world.at("pid")).unwrap().modified().unwrap();
    let before = world.picture();
    trust.not_after = in_secs(3);
    trust.trial = None;
    assert_eq!(world.install(&trust).unwrap(), Outcome::Renewed);
    assert_eq!(
        fs::metadata(world.at("pid")).unwrap().modified().unwrap(),
        stamp
    );
    let changed: Vec<_> = world
        .picture()
        .into_iter()
        .filter(|(path, file)| before.get(path) != Some(file))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(changed, [world.at("assay/principals/root")]);
    assert!(world.opens(&cert));
    while now() <= trust.not_after {
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_millis(1100));
    assert!(!world.opens(&cert), "sshd itself ends it");
    assert!(world.local_key_opens());
    assert_eq!(world.install(&trust).unwrap_err().code(), "sshd.expired");
}

#[test]
fn what_is_withdrawn_is_gone() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let cert = world.user_certificate("ca");
    let mut trust = world.trust(&["root", "ops"], 3600, &[]);
    world.install(&trust).unwrap();
    assert!(world.at("assay/principals/ops").exists());
    trust.logins.retain(|login| login.as_str() == "root");
    trust.trial = None;
    assert_eq!(world.install(&trust).unwrap(), Outcome::Withdrawn);
    assert!(!world.at("assay/principals/ops").exists());
    assert!(world.opens(&cert));
    trust.user_ca.clear();
    assert_eq!(world.install(&trust).unwrap(), Outcome::Withdrawn);
    assert!(!world.opens(&cert));
    assert!(world.local_key_opens());
    trust.logins.clear();
    trust.host_certificate = None;
    assert_eq!(world.install(&trust).unwrap(), Outcome::Withdrawn);
    assert!(world.local_key_opens());
    // What adds must prove itself.
    trust.user_ca = world.trust(&["root"], 3600, &[]).user_ca;
    trust.logins = world.trust(&["root"], 3600, &[]).logins;
    assert_eq!(
        world.install(&trust).unwrap_err().code(),
        "sshd.trial_unfit"
    );
}

#[test]
fn another_ca_keeps_its_logins() {
    if !ready() {
        return;
    }
    let mut world = World::new("TrustedUserCAKeys {dir}/foreign.pub\n");
    let theirs = world.certify("foreign", "user", "root", "+1h", &[]);
    assert!(world.opens(&theirs));
    let before = world.picture();
    let trust = world.trust(&["root"], 3600, &[]);
    world.install(&trust).unwrap();
    let ours = world.user_certificate("ca");
    assert!(world.opens(&theirs) && world.opens(&ours));
    let not_theirs = world.certify("foreign", "user", "ops", "+1h", &[]);
    assert!(!world.opens(&not_theirs));
    world.installer().purge(Some(world.record("none"))).unwrap();
    assert!(world.opens(&theirs) && !world.opens(&ours));
    let mut after = world.picture();
    after.remove(&world.at("state/installed"));
    assert_eq!(before, after);
}

#[test]
fn without_an_include_the_main_file_gets_one_and_loses_it() {
    if !ready() {
        return;
    }
    // The only include stands inside a block: what is there does not reach root.
    for extra in ["", "Match User git\nInclude {dir}/sshd_config.d/*.conf\n"] {
        let mut world = World::stopped("", extra).started();
        let before = world.picture();
        let trust = world.trust(&["root"], 3600, &[]);
        world.install(&trust).unwrap();
        let cert = world.user_certificate("ca");
        assert!(world.opens(&cert));
        let main = fs::read_to_string(world.at("sshd_config")).unwrap();
        assert!(main.starts_with("# assay-host:"), "{main}");
        assert_eq!(world.install(&trust).unwrap(), Outcome::Renewed);
        world.installer().purge(Some(world.record("none"))).unwrap();
        assert!(!world.opens(&cert));
        let mut after = world.picture();
        after.remove(&world.at("state/installed"));
        assert_eq!(before, after);
    }
}

#[test]
fn a_reload_may_be_a_command() {
    if !ready() {
        return;
    }
    let mut world = World::new("");
    let trust = world.trust(&["root"], 3600, &[]);
    world.sshd.reload = ["/bin/sh", "-c", "exit 7"].map(str::to_owned).into();
    // It can't be put back either, and says so; what it needs is mended, then it is.
    assert_eq!(world.install(&trust).unwrap_err().code(), "sshd.rollback");
    assert!(world.local_key_opens());
    let kill = format!("kill -HUP $(cat {})", world.at("pid").display());
    world.sshd.reload = ["/bin/sh", "-c", &kill].map(str::to_owned).into();
    assert!(world.installer().recovered());
    assert!(!world.at("assay").exists());
    world.install(&trust).unwrap();
    let cert = world.user_certificate("ca");
    assert!(world.opens(&cert));
}

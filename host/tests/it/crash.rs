//! kill -9 of the installer: the old or the new stands, and sshd lets in whom it should.

use crate::paired::Paired;
use crate::world::{World, path, ready};
use assay_api::manifest::Manifest;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Picture = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// How often; `ASSAY_KILLS` asks for more.
fn kills() -> u32 {
    std::env::var("ASSAY_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(16)
}

fn random(below: u64) -> u64 {
    getrandom::u64().unwrap() % below
}

/// What revokes is not put back: the list may be the next one's already, and the record may say so.
fn but_for_the_list(paired: &Paired, next: &Manifest, mut picture: Picture) -> Picture {
    let list = paired.world.at("assay/revoked.krl");
    if picture
        .get(&list)
        .is_some_and(|(_, krl)| *krl == next.files.krl)
    {
        let pairing = paired.pairing();
        let record = paired.host.record(&pairing).unwrap().unwrap();
        assert_eq!(record.newer_list(), Some(next.sequence));
    }
    picture.retain(|path, _| *path != list && !path.to_string_lossy().contains("installed-"));
    picture
}

#[test]
fn i13_a_killed_installer_leaves_the_old_or_the_new() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::new(""));
    let host_toml = paired.world.at("host.toml");
    fs::write(&host_toml, crate::command::toml(&paired.world)).unwrap();
    let kept = paired.world.user_certificate("ca");
    // How long it takes undisturbed: the kills fall evenly over that and as much again.
    let begun = Instant::now();
    let first = paired.manifest(3600, &[]);
    assert_eq!(paired.install(&first), Ok(1));
    let limit = u64::try_from(begun.elapsed().as_micros()).unwrap() * 2;
    let (mut old, mut new) = (0, 0);
    for round in 0..kills() {
        let was = paired.installed();
        // Now and then it is all taken away first, so that the first installation is met, too.
        if round % 4 == 3 {
            paired.host.purge().unwrap();
        }
        let opened = paired.world.opens(&kept);
        let before = paired.world.picture();
        let dropped = paired.world.user_certificate("ca");
        let manifest = paired.manifest(3600, &[&dropped]);
        let file = paired.world.at("next.manifest");
        fs::write(&file, paired.sign(&manifest)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_assay-host"))
            .args(["--config", path(&host_toml), "install", path(&file)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(
            (u64::from(round) * limit + random(limit)) / u64::from(kills()),
        ));
        child.kill().unwrap();
        child.wait().unwrap();
        // Before anything is mended: nobody is locked out.
        assert!(
            paired.world.local_key_opens(),
            "round {round}: {}",
            paired.world.log()
        );

        paired.host.recover().unwrap();
        assert!(paired.world.local_key_opens());
        if paired.installed() == manifest.sequence {
            new += 1;
            let pairing = paired.pairing();
            let record = paired.host.record(&pairing).unwrap().unwrap();
            assert!(
                paired.host.in_force(&pairing, &record).unwrap(),
                "round {round}"
            );
            assert!(paired.world.opens(&kept) && !paired.world.opens(&dropped));
        } else {
            old += 1;
            assert_eq!(paired.installed(), was);
            assert_eq!(
                but_for_the_list(&paired, &manifest, paired.world.picture()),
                but_for_the_list(&paired, &manifest, before),
                "round {round}"
            );
            assert_eq!(paired.world.opens(&kept), opened, "round {round}");
        }
    }
    eprintln!("{old} times the old, {new} times the new");
    assert!(old > 0 && new > 0, "the kills fell all on one side");
    let last = paired.manifest(3600, &[]);
    assert_eq!(paired.install(&last), Ok(last.sequence));
    assert!(paired.world.opens(&kept));
}

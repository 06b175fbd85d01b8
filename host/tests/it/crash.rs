//! kill -9 of the installer: the old or the new stands, and sshd lets in whom it should.

use crate::paired::Paired;
use crate::world::{World, path, ready};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How often; `ASSAY_KILLS` asks for more.
fn kills() -> u32 {
    std::env::var("ASSAY_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(24)
}

fn random(below: u64) -> u64 {
    getrandom::u64().unwrap() % below
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
    let (mut old, mut new, mut longest) = (0, 0, Duration::from_millis(900));
    for round in 0..kills() {
        let before = paired.world.picture();
        let was = paired.installed();
        // Every other round takes it all away first, so that the first installation is met, too.
        let purged = round % 4 == 3 && was > 0;
        if purged {
            paired.host.purge().unwrap();
        }
        let before = if purged {
            paired.world.picture()
        } else {
            before
        };
        let dropped = paired.world.user_certificate("ca");
        let manifest = paired.manifest(3600, &[&dropped]);
        let file = paired.world.at("next.manifest");
        fs::write(&file, paired.sign(&manifest)).unwrap();
        let begun = std::time::Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_assay-host"))
            .args(["--config", path(&host_toml), "install", path(&file)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let limit = u64::try_from(longest.as_micros()).unwrap();
        std::thread::sleep(Duration::from_micros(random(limit)));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        if ended.is_some_and(|status| status.success()) {
            longest = begun.elapsed().min(longest);
        }
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
            assert_eq!(paired.world.picture(), before, "round {round}");
            assert_eq!(
                paired.world.opens(&kept),
                was > 0 && !purged,
                "round {round}"
            );
        }
    }
    eprintln!("{old} times the old, {new} times the new");
    let last = paired.manifest(3600, &[]);
    assert_eq!(paired.install(&last), Ok(last.sequence));
    assert!(paired.world.opens(&kept));
}

//! The unit's own limits, as far as they can be had without systemd: the file system read-only but for what the unit names,
//! its capabilities and no more. What does not work in there does not work in the field.

use crate::paired::Paired;
use crate::world::{World, path, ready};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The value of a key of the unit.
fn unit(key: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/assay-host.service");
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("{key}")).to_owned()
}

/// Everything read-only but the test's directory, which stands for /etc/ssh and the state directory.
const CAGE: &str = r#"
set -eu
writable=$1; bounding=$2; shift 2
mount --bind "$writable" "$writable"
findmnt -rno TARGET | while read -r at; do
    case "$at" in
    "$writable" | /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) ;;
    *) mount -o remount,bind,ro "$at" 2>/dev/null || true ;;
    esac
done
umask 0077
ulimit -c 0
exec setpriv --no-new-privs --inh-caps=-all --bounding-set="$bounding" -- "$@"
"#;

fn caged(world: &World, program: &[&str]) -> Output {
    let named = unit("CapabilityBoundingSet=");
    let bounding: Vec<String> = std::iter::once("-all".to_owned())
        .chain(
            named
                .split_whitespace()
                .map(|cap| format!("+{}", cap.trim_start_matches("CAP_").to_lowercase())),
        )
        .collect();
    let bounding = bounding.join(",");
    let cage = [
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        CAGE,
        "cage",
    ];
    Command::new("unshare")
        .args(cage)
        .args([path(world.dir.path()), &bounding])
        .args(program)
        .output()
        .unwrap()
}

#[test]
fn it_works_within_the_limits_of_its_unit() {
    if !ready() {
        return;
    }
    assert_eq!(unit("ProtectSystem="), "strict");
    assert_eq!(unit("ReadWritePaths="), "/etc/ssh");
    assert_eq!(unit("StateDirectory="), "assay-host");
    let mut paired = Paired::new(World::new(""));
    let outside = format!("/run/{}", paired.world.host);
    let touch = caged(&paired.world, &["touch", &outside]);
    let said = String::from_utf8_lossy(&touch.stderr).into_owned();
    if said.contains("unshare") {
        eprintln!("skipped: no mount namespace can be had here");
        return;
    }
    assert!(!touch.status.success(), "the cage is shut");
    assert!(said.contains("Read-only"), "{said}");

    let config = paired.world.at("host.toml");
    fs::write(&config, crate::command::toml(&paired.world)).unwrap();
    let run = |world: &World, args: &[&str]| {
        let program = env!("CARGO_BIN_EXE_assay-host");
        let ran = caged(
            world,
            &[&[program, "--config", path(&config)], args].concat(),
        );
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{args:?}: {said}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let cert = paired.world.user_certificate("ca");
    let file = paired.world.at("next.manifest");
    for revoked in [vec![], vec![cert.as_path()]] {
        let manifest = paired.manifest(3600, &revoked);
        fs::write(&file, paired.sign(&manifest)).unwrap();
        let said = run(&paired.world, &["install", path(&file)]);
        assert!(said.contains("a trial login has shown it"), "{said}");
        assert_eq!(paired.world.opens(&cert), revoked.is_empty());
    }
    assert!(run(&paired.world, &["status"]).contains("in force"));
    run(&paired.world, &["purge"]);
    assert!(paired.world.local_key_opens());
    assert!(!paired.world.at("assay").exists());
}

//! The program as people call it.

use crate::paired::Paired;
use crate::world::{World, path, ready};
use assay_host::config::Config;
use assay_host::run::{Ran, run};
use std::fs;
use std::path::Path;
use std::time::Duration;

pub(crate) fn toml(world: &World) -> String {
    let d = world.dir.path().display();
    format!(
        "state = \"{d}/state\"\n[sshd]\nconfig = \"{d}/sshd_config\"\ndrop_in = \"{d}/sshd_config.d/00-assay.conf\"\n\
         directory = \"{d}/assay\"\nhost_key = \"{d}/sshd_key.pub\"\nport = {}\n",
        world.sshd.port
    )
}

fn call(args: &[&str]) -> Ran {
    let program = Path::new(env!("CARGO_BIN_EXE_assay-host"));
    run(program, args, Duration::from_secs(60)).unwrap()
}

#[test]
fn the_sample_is_the_default() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/host.toml");
    let text = fs::read_to_string(sample).unwrap();
    let sample = Config::parse(&text).unwrap();
    assert_eq!(
        format!("{sample:?}"),
        format!("{:?}", Config::parse("").unwrap())
    );
    // What is commented out must read, too.
    let all: String = text
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert!(Config::parse(&all).unwrap().dpu.address.is_some());
}

#[test]
fn a_configuration_that_sshd_could_misread_is_refused() {
    for bad in [
        "[sshd]\ndirectory = \"/etc/a b\"\n",
        "[sshd]\ndirectory = \"etc\"\n",
        "[sshd]\ndirectory = \"/etc/%u\"\n",
        "[sshd]\naddress = \"10.0.0.1\"\n",
        "[dpu]\naddress = \"10.0.0.1\"\n",
        "nonsense = 1\n",
    ] {
        assert!(Config::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn exit_codes_say_what_went_wrong() {
    if !ready() {
        return;
    }
    let world = World::stopped("", "");
    let config = world.at("host.toml");
    fs::write(&config, toml(&world)).unwrap();
    let call = |args: &[&str]| call(&[&["--config", path(&config)], args].concat());
    assert_eq!(call(&[]).code, Some(64));
    assert_eq!(call(&["init"]).code, Some(64));
    assert_eq!(call(&["init", "--login", "no such"]).code, Some(64));
    assert_eq!(call(&["pair", "x", "--nexus-id", "12"]).code, Some(64));
    assert_eq!(call(&["--help"]).code, Some(0));
    for (args, code) in [
        (&["status"][..], "host.not_init"),
        (&["pair", path(&world.at("absent"))][..], "host.io"),
        (&["pair", path(&config)][..], "host.not_a_document"),
        (&["run"][..], "host.not_init"),
    ] {
        let ran = call(args);
        assert_eq!(ran.code, Some(1), "{args:?}");
        assert!(
            ran.stderr.contains(&format!("[{code}]")),
            "{args:?}: {}",
            ran.stderr
        );
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    }
    fs::write(&config, "x = 1").unwrap();
    assert!(call(&["status"]).stderr.contains("[host.config]"));
}

#[test]
fn the_whole_way_by_hand() {
    if !ready() {
        return;
    }
    let mut paired = Paired::new(World::new(""));
    let config = paired.world.at("host.toml");
    fs::write(&config, toml(&paired.world)).unwrap();
    let call = |args: &[&str]| call(&[&["--config", path(&config)], args].concat());
    let out = paired.world.at("request");
    let again = call(&["init", "--login", "root", "--out", path(&out)]);
    assert!(
        again.stderr.contains("[host.already_init]"),
        "{}",
        again.stderr
    );
    let ran = call(&[
        "init",
        "--force",
        "--login",
        "root",
        "--login",
        "ops",
        "--out",
        path(&out),
    ]);
    assert!(ran.ok(), "{ran:?}");
    for key in ["state/host_key", "state/trial_key"] {
        assert_eq!(assay_host::files::mode_of(&paired.world.at(key), 0), 0o600);
    }
    let request = assay_api::armor::read(&fs::read(&out).unwrap()).unwrap();
    let request =
        assay_api::signed::Unverified::<assay_api::pairing::PairingRequest>::parse(&request)
            .unwrap();
    paired.request = request.claimed().clone();
    let pairing = paired.world.at("pairing");
    fs::write(
        &pairing,
        assay_api::armor::write(&paired.sign_pairing(&paired.pairing())),
    )
    .unwrap();
    let ran = call(&["pair", path(&pairing), "--nexus-id", &"05".repeat(32)]);
    assert!(
        ran.ok() && ran.stdout.contains(paired.world.host.as_str()),
        "{ran:?}"
    );
    assert!(call(&["status"]).stdout.contains("nothing installed"));

    let file = paired.world.at("manifest");
    let manifest = paired.manifest(3600, &[]);
    fs::write(&file, assay_api::armor::write(&paired.sign(&manifest))).unwrap();
    let ran = call(&["install", path(&file)]);
    assert!(
        ran.ok() && ran.stdout.contains("a trial login has shown it"),
        "{ran:?}"
    );
    let ran = call(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&json["state"], &json["sequence"]),
        (&"in force".into(), &1.into())
    );
    let cert = paired.world.user_certificate("ca");
    assert!(paired.world.opens(&cert));
    let ran = call(&["purge"]);
    assert!(ran.ok(), "{ran:?}");
    assert!(!paired.world.opens(&cert));
    assert!(call(&["status"]).stdout.contains("1: nothing installed"));
}

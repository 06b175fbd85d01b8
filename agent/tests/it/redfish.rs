//! Proofs of a hardware root of trust through a management controller, and all that can go wrong on the way.

use crate::bmc::{Bmc, Fault, PASSWORD, USER, pem};
use crate::verifier::{Known, proof, run, settings};
use assay_agent::source::SourceError;
use assay_agent::source::dice::SoftwareRoot;
use assay_agent::source::redfish::{Bmc as Settings, Root};
use assay_agent::source::roots::Roots;
use assay_attest::attester::dice::{SoftwareDice, SoftwareFactory};
use assay_attest::chain::TrustAnchors;
use assay_attest::digest::HashAlg;
use assay_attest::expected::{DiceExpectation, DiceRoot};
use assay_attest::session::Label;
use assay_attest::time::Timestamp;
use std::path::Path;
use tempfile::TempDir;

struct World {
    dir: TempDir,
    factory: SoftwareFactory,
    bmc: Bmc,
}

fn world() -> World {
    world_over(&[&rustls::version::TLS13])
}

fn world_over(versions: &[&'static rustls::SupportedProtocolVersion]) -> World {
    let factory = SoftwareFactory::new(&[3; 32], Timestamp::from_secs(1_700_000_000)).unwrap();
    let rom = SoftwareDice::rom_key(&[4; 32]).unwrap();
    let chain = factory.provision(&rom).unwrap();
    let firmware = [
        HashAlg::Sha384.hash(&[b"fmc"]),
        HashAlg::Sha384.hash(&[b"runtime"]),
    ];
    let dice = SoftwareDice::boot(&[4; 32], &chain, &firmware).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let world = World {
        dir,
        factory,
        bmc: Bmc::start(dice, versions),
    };
    world.password(PASSWORD);
    world
}

impl World {
    fn password_file(&self) -> std::path::PathBuf {
        self.dir.path().join("password")
    }

    fn password(&self, password: &str) {
        std::fs::write(self.password_file(), format!("{password}\n")).unwrap();
    }

    fn settings(&self) -> Settings {
        Settings {
            address: self.bmc.address(),
            user: USER.into(),
            password_file: Some(self.password_file()),
            pins: vec!["00".repeat(32), self.bmc.pin()],
            roots: vec![Root::Irot],
        }
    }

    fn open(&self, bmc: Settings) -> Result<Roots, SourceError> {
        let mut settings = settings(self.dir.path(), None);
        settings.bmc = Some(bmc);
        Roots::open(settings)
    }

    fn roots(&self) -> Roots {
        self.open(self.settings()).unwrap()
    }

    fn known(&self, roots: &Roots) -> Known {
        let mut known = Known::of(roots);
        known.dice = DiceExpectation::Roots(vec![DiceRoot {
            label: Label::Irot,
            anchors: TrustAnchors::new(self.factory.anchor("lab").unwrap(), vec![]),
            device_key: None,
        }]);
        known.required = vec![Label::Irot];
        known
    }

    /// The code with which a proof fails.
    fn fails(&self, fault: Fault) -> &'static str {
        self.bmc.set(fault);
        run(self.roots().prove(proof(1))).unwrap_err().code()
    }
}

fn marks(dir: &Path) -> bool {
    dir.join("bmc.refused").exists()
}

#[test]
fn a_root_behind_a_controller_proves_itself_and_the_verifier_agrees() {
    let world = world();
    let roots = world.roots();
    let bytes = run(roots.prove(proof(1))).unwrap();
    let claims = world.known(&roots).verify(&proof(1), &bytes).unwrap();
    assert_eq!(claims.dice.len(), 1);
    let [spdm] = claims.spdm.as_slice() else {
        panic!("one transcript was due");
    };
    assert_eq!(spdm.label, Label::Irot);
    // The version of the table, three firmwares, six configurations, the device's ids.
    assert_eq!(spdm.measurements.len(), 11);
    // Another session's measurements answer nothing.
    assert!(world.known(&roots).verify(&proof(2), &bytes).is_err());
    let seen = world.bmc.seen();
    assert_eq!(seen.unauthorized, 0);
    assert!(
        seen.requests
            .iter()
            .all(|request| request.contains(" /redfish/v1/"))
    );
}

#[test]
fn a_controller_that_knows_only_the_older_tls_is_asked_all_the_same() {
    let world = world_over(&[&rustls::version::TLS12]);
    assert!(run(world.roots().prove(proof(1))).is_ok());
}

#[test]
fn a_slow_task_is_waited_for() {
    let world = world();
    world.bmc.slow(4);
    assert!(run(world.roots().prove(proof(1))).is_ok());
    let looks = |request: &&String| request.ends_with("/Tasks/7");
    assert_eq!(world.bmc.seen().requests.iter().filter(looks).count(), 5);
}

#[test]
fn requests_are_signed_while_a_controller_takes_its_time() {
    let world = world();
    // Each look but the first waits longer: this takes seconds.
    world.bmc.slow(6);
    let roots = world.roots();
    let proving = roots.clone();
    let prover = std::thread::spawn(move || run(proving.prove(proof(1))).unwrap());
    let looked = |world: &World| {
        let seen = world.bmc.seen().requests;
        seen.iter().any(|request| request.ends_with("/Tasks/7"))
    };
    while !looked(&world) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    roots.sign(b"a request").unwrap();
    assert!(!prover.is_finished(), "the controller was too fast to tell");
    let bytes = prover.join().unwrap();
    assert!(world.known(&roots).verify(&proof(1), &bytes).is_ok());
}

#[test]
fn what_goes_wrong_on_the_controller_has_its_code_and_gives_no_half_a_proof() {
    let world = world();
    for (fault, code) in [
        (Fault::OldFirmware, "bmc.no_spdm"),
        (Fault::Disabled, "bmc.disabled"),
        (Fault::FailedTask, "bmc.task_failed"),
        (Fault::Cut, "bmc.unreachable"),
        (Fault::OtherNonce, "bmc.nonce"),
        (Fault::Redirect, "bmc.answer"),
        (Fault::ForeignLink, "bmc.answer"),
        (Fault::Giant, "bmc.answer"),
        (Fault::Garbage, "bmc.answer"),
    ] {
        assert_eq!(world.fails(fault), code, "{fault:?}");
    }
    world.bmc.set(Fault::None);
    assert!(run(world.roots().prove(proof(1))).is_ok());
}

#[test]
fn the_agent_gives_no_opinion_the_verifier_refuses_what_is_cut() {
    let world = world();
    world.bmc.set(Fault::Truncated);
    let roots = world.roots();
    let sent = run(roots.prove(proof(1))).unwrap();
    let refused = world.known(&roots).verify(&proof(1), &sent).unwrap_err();
    assert!(
        refused.code().starts_with("spdm.") || refused.code().starts_with("evidence."),
        "{refused:?}"
    );
}

#[test]
fn a_controller_with_another_key_never_sees_the_password() {
    let world = world();
    let mut settings = world.settings();
    settings.pins = vec!["11".repeat(32)];
    let roots = world.open(settings).unwrap();
    assert_eq!(
        run(roots.prove(proof(1))).unwrap_err().code(),
        "bmc.other_key"
    );
    assert!(world.bmc.seen().requests.is_empty());
}

#[test]
fn a_refused_password_is_tried_twice_and_never_again_not_even_after_a_restart() {
    let world = world();
    world.password("wrong");
    for _ in 0..2 {
        assert_eq!(
            run(world.roots().prove(proof(1))).unwrap_err().code(),
            "bmc.refused"
        );
    }
    let seen = world.bmc.seen();
    assert_eq!((seen.unauthorized, seen.requests.len()), (2, 2));
    for _ in 0..3 {
        assert_eq!(
            run(world.roots().prove(proof(1))).unwrap_err().code(),
            "bmc.refused"
        );
    }
    assert!(world.bmc.seen().requests.is_empty());
    assert!(marks(world.dir.path()));
    // What is kept says nothing of the password.
    let kept = std::fs::read_to_string(world.dir.path().join("bmc.refused")).unwrap();
    assert!(!kept.contains("wrong"));
    // The right one is taken as soon as it is there, by the same process.
    let roots = world.roots();
    world.password(PASSWORD);
    assert!(run(roots.prove(proof(1))).is_ok());
    assert!(!marks(world.dir.path()));
}

#[test]
fn what_a_sick_controller_says_does_not_make_a_refused_password_good() {
    let world = world();
    world.password("wrong");
    let fails = || run(world.roots().prove(proof(1))).unwrap_err().code();
    assert_eq!(fails(), "bmc.refused");
    world.bmc.set(Fault::Unwell);
    assert_eq!(fails(), "bmc.answer");
    world.bmc.set(Fault::None);
    assert_eq!(fails(), "bmc.refused");
    assert_eq!(world.bmc.seen().unauthorized, 2);
    assert_eq!(fails(), "bmc.refused");
    assert!(world.bmc.seen().requests.is_empty());
}

#[test]
fn a_refusal_that_the_disk_does_not_take_counts_all_the_same() {
    let world = world();
    world.password("wrong");
    std::fs::create_dir(world.dir.path().join("bmc.refused")).unwrap();
    let roots = world.roots();
    for _ in 0..4 {
        assert_eq!(
            run(roots.prove(proof(1))).unwrap_err().code(),
            "bmc.refused"
        );
    }
    assert_eq!(world.bmc.seen().unauthorized, 2);
}

#[test]
fn two_roots_for_one_place_are_refused_at_the_start() {
    let world = world();
    let file = |name: &str, bytes: &[u8]| {
        let path = world.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let rom = SoftwareDice::rom_key(&[4; 32]).unwrap();
    let chain = world.factory.provision(&rom).unwrap();
    let mut settings = settings(world.dir.path(), None);
    settings.bmc = Some(world.settings());
    settings.software_dice = Some(SoftwareRoot {
        uds: file("uds", &[4; 32]),
        certificates: file("chain.pem", pem(chain.iter()).as_bytes()),
        firmware: [file("first", b"one"), file("second", b"two")],
    });
    assert_eq!(Roots::open(settings).unwrap_err().code(), "source.twice");
}

#[test]
fn a_password_rotates_without_a_restart() {
    let world = world();
    let roots = world.roots();
    assert!(run(roots.prove(proof(1))).is_ok());
    world.bmc.set_password("another");
    world.password("another");
    assert!(run(roots.prove(proof(2))).is_ok());
    assert_eq!(world.bmc.seen().unauthorized, 0);
}

#[test]
fn settings_that_can_not_be_meant_are_refused_at_the_start() {
    let world = world();
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = world.settings();
        change(&mut settings);
        world.open(settings).unwrap_err().code()
    };
    assert_eq!(with(&|s| s.pins.clear()), "bmc.config");
    assert_eq!(with(&|s| s.pins.push("22".repeat(32))), "bmc.config");
    assert_eq!(with(&|s| s.pins = vec!["xyz".into()]), "bmc.config");
    assert_eq!(with(&|s| s.address = "http://bmc".into()), "bmc.config");
}

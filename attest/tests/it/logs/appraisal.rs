//! Policy and reference values over logs: what changed is named, and no name hides it.

use super::make::{Boot, Firmware, GOOD, Ima, SHA256, boot, stub};
use super::members::{device, list, of_this_boot, prove, verify};
use assay_attest::appraise::{Appraisal, Previous, Reference, appraise};
use assay_attest::boot::Measurement;
use assay_attest::codec::eventlog::EventType;
use assay_attest::digest::HashAlg;
use assay_attest::evidence::ima_log::ImaEvidence;
use assay_attest::policy::{AppraisalPolicy, SecureBootPolicy, ViolationPolicy};
use assay_attest::reference::{Component, Entry, Need, ReferenceValues};
use assay_attest::result::{AttestationResult, Outcome, RootLevel, Verdict};
use assay_attest::time::Timestamp;
use assay_attest::verify::{Evidence, Verified};
use std::collections::{BTreeMap, BTreeSet};

fn proof(log: &Firmware, ima: Option<&Ima>) -> Evidence<Verified> {
    let device = device(1, log, ima);
    let ima = ima.map(|ima| ImaEvidence::write(0, &ima.bytes));
    let bytes = prove(&device, Some(&log.bytes), ima);
    verify(&device, &bytes, None).unwrap()
}

fn run(
    evidence: &Evidence<Verified>,
    reference: &ReferenceValues,
    policy: &AppraisalPolicy,
) -> AttestationResult {
    appraise(
        evidence,
        &Appraisal {
            reference: Reference::Known(reference),
            policy,
            root: RootLevel::Operator,
            previous: &Previous::Nothing,
            now: Timestamp::from_secs(1_800_000_000),
        },
    )
}

/// Failed checks as `code:component`.
fn failures(result: &AttestationResult) -> Vec<String> {
    let failed = result
        .checks()
        .iter()
        .filter(|check| check.outcome != Outcome::Pass);
    failed
        .map(|check| match check.component {
            Some(component) => format!("{}:{component}", check.code),
            None => check.code.to_owned(),
        })
        .collect()
}

fn taken(log: &Firmware, pcrs: &[u8]) -> ReferenceValues {
    ReferenceValues::taken_from(&proof(log, None), "lab", 1, pcrs, Timestamp::MAX).unwrap()
}

fn values(entries: &[(Measurement, Need, &[&[u8]])]) -> ReferenceValues {
    let entries = entries.iter().map(|(what, need, measured)| {
        let digests: BTreeSet<_> = measured
            .iter()
            .map(|bytes| HashAlg::Sha256.hash(&[bytes]))
            .collect();
        (Component::Uefi(*what), Entry::new(*need, digests).unwrap())
    });
    ReferenceValues::new("lab", 1, entries.collect(), Timestamp::MAX).unwrap()
}

fn wide(text: &str) -> Vec<u8> {
    text.bytes().flat_map(|byte| [byte, 0]).collect()
}

#[test]
fn a_changed_command_line_fails_by_its_name() {
    let good = boot(&[SHA256], GOOD);
    let reference = taken(&good, &[4, 7, 9]);
    assert!(
        reference
            .entries()
            .contains_key(&Component::Uefi(Measurement::CommandLine))
    );
    let policy = AppraisalPolicy::default();
    let result = run(&proof(&good, None), &reference, &policy);
    assert_eq!(result.verdict(), Verdict::Verified);

    let cmdline = "root=/dev/vda rw init=/bin/sh";
    let changed = boot(&[SHA256], Boot { cmdline, ..GOOD });
    let result = run(&proof(&changed, None), &reference, &policy);
    assert_eq!(
        failures(&result),
        [
            "appraisal.component:pcr.sha256.9",
            "appraisal.component:uefi.cmdline"
        ]
    );
    let loader = boot(
        &[SHA256],
        Boot {
            loader: b"x",
            ..GOOD
        },
    );
    let result = run(&proof(&loader, None), &reference, &policy);
    assert_eq!(
        failures(&result),
        [
            "appraisal.component:pcr.sha256.4",
            "appraisal.component:uefi.image"
        ]
    );
    let seen = &result
        .checks()
        .iter()
        .find(|check| check.component == Some(Component::Uefi(Measurement::Image)));
    assert!(seen.unwrap().seen.contains("(event "));
}

#[test]
fn reference_values_by_name_need_no_pcr() {
    let cmdline = wide(GOOD.cmdline);
    let reference = values(&[
        (
            Measurement::Image,
            Need::Required,
            &[b"a kernel", b"the next kernel"],
        ),
        (Measurement::CommandLine, Need::Required, &[&cmdline]),
        (Measurement::Initrd, Need::Optional, &[b"an initrd"]),
    ]);
    let policy = AppraisalPolicy::default();
    let verdict = |boot: &Firmware| failures(&run(&proof(boot, None), &reference, &policy));
    let good: [&str; 0] = [];
    assert_eq!(verdict(&boot(&[SHA256], GOOD)), good);
    let next = Boot {
        loader: b"the next kernel",
        ..GOOD
    };
    assert_eq!(verdict(&boot(&[SHA256], next)), good);
    let evil = Boot {
        loader: b"evil",
        ..GOOD
    };
    assert_eq!(
        verdict(&boot(&[SHA256], evil)),
        ["appraisal.component:uefi.image"]
    );
    // Without the log in the evidence nothing was measured.
    let log = boot(&[SHA256], GOOD);
    let device = device(1, &log, None);
    let bare = verify(&device, &prove(&device, None, None), None).unwrap();
    assert_eq!(
        failures(&run(&bare, &reference, &policy)),
        [
            "appraisal.component:uefi.image",
            "appraisal.component:uefi.cmdline"
        ]
    );
}

#[test]
fn i2_no_label_hides_an_event() {
    let cmdline = wide(GOOD.cmdline);
    let reference = values(&[
        (Measurement::CommandLine, Need::Required, &[&cmdline]),
        (Measurement::Initrd, Need::Required, &[b"an initrd"]),
    ]);
    let policy = AppraisalPolicy::default();
    // Booted with another command line; then the system extends what it would have liked, and the log calls the first event
    // something else.
    for (pcr, called) in [
        (9, EventType::IPL),
        (9, EventType::EVENT_TAG),
        (9, EventType::EFI_ACTION),
        (8, EventType::IPL),
        (12, EventType::IPL),
    ] {
        let mut log = Firmware::new(&[SHA256]);
        log.event(pcr, called, &wide("init=/bin/sh"), b"a harmless word");
        stub(&mut log, GOOD.cmdline, GOOD.initrd);
        let result = run(&proof(&log, None), &reference, &policy);
        assert_eq!(
            failures(&result),
            [format!("appraisal.unlisted_event:uefi.event.{pcr}")],
            "{called}"
        );
    }
    // Called an initrd: then the initrd's own check fails.
    let mut log = Firmware::new(&[SHA256]);
    stub(&mut log, GOOD.cmdline, &wide("init=/bin/sh"));
    stub(&mut log, GOOD.cmdline, GOOD.initrd);
    let result = run(&proof(&log, None), &reference, &policy);
    assert_eq!(failures(&result), ["appraisal.component:uefi.initrd"]);
    // And where only the command line is listed, an event by any other name is one too many.
    let alone = values(&[(Measurement::CommandLine, Need::Required, &[&cmdline])]);
    let result = run(&proof(&log, None), &alone, &policy);
    assert!(failures(&result).contains(&"appraisal.unlisted_event:uefi.initrd".to_owned()));
    // What can only be told by its label can't be forbidden by it.
    let entries = BTreeMap::from([(
        Component::Uefi(Measurement::Initrd),
        Entry::new(Need::Forbidden, BTreeSet::new()).unwrap(),
    )]);
    assert!(ReferenceValues::new("lab", 1, entries, Timestamp::MAX).is_err());
}

#[test]
fn secure_boot_can_be_asked_for() {
    let policy = AppraisalPolicy {
        secure_boot: SecureBootPolicy::Required,
        ..AppraisalPolicy::default()
    };
    for (secure, failed) in [(1, vec![]), (0, vec!["appraisal.secure_boot"])] {
        let log = boot(&[SHA256], Boot { secure, ..GOOD });
        let reference = taken(&log, &[7]);
        let result = run(&proof(&log, None), &reference, &policy);
        assert_eq!(failures(&result), failed);
        let anyway = AppraisalPolicy::default();
        assert!(failures(&run(&proof(&log, None), &reference, &anyway)).is_empty());
        assert_ne!(anyway.digest(), policy.digest());
    }
    let log = boot(&[SHA256], GOOD);
    let device = device(1, &log, None);
    let bare = verify(&device, &prove(&device, None, None), None).unwrap();
    let result = run(&bare, &taken(&log, &[16]), &policy);
    assert!(
        failures(&result).contains(&"appraisal.secure_boot".to_owned()),
        "no log, no proof"
    );
}

#[test]
fn a_violation_fails_unless_policy_takes_it() {
    let log = boot(&[SHA256], GOOD);
    let reference = taken(&log, &[7]);
    let mut ima = of_this_boot(&log);
    let policy = AppraisalPolicy::default();
    assert!(failures(&run(&proof(&log, Some(&ima)), &reference, &policy)).is_empty());
    ima.violation("/var/log/wtmp");
    let evidence = proof(&log, Some(&ima));
    assert_eq!(
        failures(&run(&evidence, &reference, &policy)),
        ["appraisal.ima_violations"]
    );
    let reported = AppraisalPolicy {
        ima_violations: ViolationPolicy::Reported,
        ..policy
    };
    assert!(failures(&run(&evidence, &reference, &reported)).is_empty());
}

#[test]
fn a_list_of_another_boot_fails() {
    let log = boot(&[SHA256], GOOD);
    let reference = taken(&log, &[7]);
    let evidence = proof(&log, Some(&list()));
    let result = run(&evidence, &reference, &AppraisalPolicy::default());
    assert_eq!(failures(&result), ["appraisal.boot_aggregate"]);
}

#[test]
fn measurements_have_one_spelling() {
    for name in [
        "uefi.secure_boot",
        "uefi.pk",
        "uefi.kek",
        "uefi.db",
        "uefi.dbx",
        "uefi.image",
        "uefi.cmdline",
        "uefi.initrd",
        "uefi.event.0",
        "uefi.event.23",
    ] {
        let component: Component = name.parse().unwrap();
        assert_eq!(component.to_string(), name);
    }
    for bad in [
        "uefi.event.24",
        "uefi.event.07",
        "uefi.event",
        "uefi.Image",
        "uefi.",
    ] {
        assert!(bad.parse::<Component>().is_err(), "{bad}");
    }
}

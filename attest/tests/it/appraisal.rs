//! Appraisal over real verified evidence: what is missing, wrong, rolled back or unlisted fails, with its reason.

use crate::dice::{Lab, NOW};
use crate::world::{ASK, Device};
use assay_attest::appraise::{Appraisal, CLOCK_SLACK_MILLIS, Previous, Reference, appraise};
use assay_attest::chain::{Anchor, AnchorKind, TrustAnchors};
use assay_attest::claims::{KeyLevel, TpmClock};
use assay_attest::codec::x509::Certificate;
use assay_attest::digest::{Digest, HashAlg, hex};
use assay_attest::ear::{self, EarHead};
use assay_attest::evidence::{dice as dice_member, tpm as tpm_member};
use assay_attest::expected::{DiceExpectation, DiceRoot, Expected};
use assay_attest::policy::{AppraisalPolicy, KeyPolicy, RootPolicy, RuntimePolicy};
use assay_attest::reference::{Component, Entry, Need, ReferenceValues, Root};
use assay_attest::result::{AttestationResult, Outcome, RootLevel, RuntimeLevel, Tier, Verdict};
use assay_attest::session::Label;
use assay_attest::standing::Event;
use assay_attest::time::Timestamp;
use assay_attest::verify::{Evidence, Verified};
use assay_checks::AwsLc;
use std::collections::{BTreeMap, BTreeSet};

const PCR7: Component = Component::Pcr(HashAlg::Sha256, 7);
const PCR4: Component = Component::Pcr(HashAlg::Sha256, 4);

fn proof(device: &Device) -> Evidence<Verified> {
    device.verify(ASK, &device.prove(ASK)).unwrap()
}

fn taken(device: &Device, pcrs: &[u8]) -> ReferenceValues {
    ReferenceValues::taken_from(&proof(device), "lab", 1, pcrs, Timestamp::MAX).unwrap()
}

fn with(component: Component, need: Need, accepted: &[&[u8]]) -> ReferenceValues {
    let digests = accepted
        .iter()
        .map(|data| HashAlg::Sha256.hash(&[data]))
        .collect();
    let entries = BTreeMap::from([(component, Entry::new(need, digests).unwrap())]);
    ReferenceValues::new("lab", 1, entries, Timestamp::MAX).unwrap()
}

struct Case<'a> {
    reference: Reference<'a>,
    policy: AppraisalPolicy,
    root: RootLevel,
    previous: Previous,
    now: Timestamp,
}

impl<'a> Case<'a> {
    fn of(reference: &'a ReferenceValues) -> Self {
        Self {
            reference: Reference::Known(reference),
            policy: AppraisalPolicy::default(),
            root: RootLevel::Operator,
            previous: Previous::Nothing,
            now: Timestamp::from_secs(1_800_000_000),
        }
    }

    fn run(&self, evidence: &Evidence<Verified>) -> AttestationResult {
        let Case {
            reference,
            policy,
            root,
            previous,
            now,
        } = self;
        let (reference, root, now) = (*reference, *root, *now);
        let result = appraise(
            evidence,
            &Appraisal {
                reference,
                policy,
                root,
                previous,
                now,
            },
        );
        let affirming = result.tier() == Tier::Affirming;
        assert_eq!(
            affirming,
            result.verdict() == Verdict::Verified,
            "tier and verdict say the same"
        );
        result
    }
}

fn failures(result: &AttestationResult) -> Vec<&'static str> {
    let failed = |check: &&assay_attest::result::Check| check.outcome != Outcome::Pass;
    result
        .checks()
        .iter()
        .filter(failed)
        .map(|check| check.code)
        .collect()
}

#[test]
fn the_machine_that_the_values_were_taken_from_is_verified() {
    let device = Device::new(1);
    let reference = taken(&device, &[4, 7]);
    let result = Case::of(&reference).run(&proof(&device));
    assert_eq!(result.verdict(), Verdict::Verified);
    assert_eq!(result.event(), Event::ProofVerified);
    assert_eq!(result.key(), KeyLevel::Tpm);
    assert_eq!(result.runtime(), RuntimeLevel::Measured);
    assert_eq!(result.root(), RootLevel::Operator);
    assert_eq!(result.reference().unwrap().digest, reference.digest());
    assert_eq!(result.policy().digest, AppraisalPolicy::default().digest());
    assert_eq!(result.ends(), Timestamp::MAX);
}

#[test]
fn a_changed_component_fails_and_says_which() {
    let device = Device::new(1);
    let reference = taken(&device, &[4, 7]);
    let mut changed = Device::new(1);
    changed
        .tpm
        .pcrs
        .get_mut(&HashAlg::Sha256)
        .unwrap()
        .insert(7, HashAlg::Sha256.hash(&[b"other"]));
    let result = Case::of(&reference).run(&proof(&changed));
    assert_eq!(result.verdict(), Verdict::Failed);
    assert_eq!(result.event(), Event::ProofFailed);
    assert_eq!(failures(&result), ["appraisal.component"]);
    let check = result
        .checks()
        .iter()
        .find(|check| check.outcome == Outcome::Fail)
        .unwrap();
    assert_eq!(check.component, Some(PCR7));
    assert_eq!(check.seen, HashAlg::Sha256.hash(&[b"other"]).to_string());
    assert_eq!(
        check.expected,
        device.tpm.pcrs[&HashAlg::Sha256][&7].to_string()
    );
    assert_eq!(
        result.runtime(),
        RuntimeLevel::Measured,
        "pcr 7 does not hold the operating system"
    );
}

#[test]
fn a_changed_operating_system_is_not_measured() {
    let device = Device::new(1);
    let reference = taken(&device, &[4, 7]);
    let mut changed = Device::new(1);
    changed
        .tpm
        .pcrs
        .get_mut(&HashAlg::Sha256)
        .unwrap()
        .insert(4, HashAlg::Sha256.hash(&[b"other"]));
    let result = Case::of(&reference).run(&proof(&changed));
    assert_eq!(
        (result.verdict(), result.runtime()),
        (Verdict::Failed, RuntimeLevel::Unmeasured)
    );
}

/// A machine that is measured to nothing must not pass for one whose operating system is.
#[test]
fn i6_an_operating_system_that_nothing_measures_is_unmeasured() {
    let device = Device::new(1);
    let far = Component::Pcr(HashAlg::Sha256, 14);
    let beside = |component, need, accepted: &[&[u8]]| {
        let mut entries = taken(&device, &[7]).entries().clone();
        entries.extend(with(component, need, accepted).entries().clone());
        ReferenceValues::new("lab", 1, entries, Timestamp::MAX).unwrap()
    };
    for reference in [
        beside(far, Need::Optional, &[b"kernel"]),
        beside(far, Need::Forbidden, &[]),
        beside(PCR4, Need::Optional, &[&[1, 4]]),
    ] {
        let mut case = Case::of(&reference);
        let result = case.run(&proof(&device));
        assert_eq!(
            (result.verdict(), result.runtime()),
            (Verdict::Verified, RuntimeLevel::Unmeasured)
        );
        case.policy.runtime = RuntimePolicy::Measured;
        assert_eq!(failures(&case.run(&proof(&device))), ["appraisal.runtime"]);
    }
    let absent = with(far, Need::Optional, &[b"kernel"]);
    let result = Case::of(&absent).run(&proof(&device));
    let tpm = result.submodules().iter().find(|s| s.name == "tpm");
    assert_eq!(tpm.unwrap().vector.executables, 0, "nothing was compared");
}

/// All zero is what a PCR holds before anybody extends it.
#[test]
fn i6_a_pcr_that_was_never_extended_measures_no_operating_system() {
    let mut device = Device::new(1);
    let bank = device.tpm.pcrs.get_mut(&HashAlg::Sha256).unwrap();
    bank.insert(4, Digest::new(HashAlg::Sha256, &[0; 32]).unwrap());
    let reference = taken(&device, &[4, 7]);
    let result = Case::of(&reference).run(&proof(&device));
    assert_eq!(
        (result.verdict(), result.runtime()),
        (Verdict::Verified, RuntimeLevel::Unmeasured)
    );
}

#[test]
fn i6_missing_reference_values_fail_closed() {
    let device = Device::new(1);
    let reference = taken(&device, &[7]);
    let missing = Case {
        reference: Reference::Missing,
        ..Case::of(&reference)
    }
    .run(&proof(&device));
    assert_eq!(
        (missing.verdict(), failures(&missing)),
        (Verdict::Failed, vec!["appraisal.reference"])
    );
    assert!(missing.reference().is_none());

    let optional = with(PCR7, Need::Optional, &[&[1, 7]]);
    let nothing_required = Case::of(&optional).run(&proof(&device));
    assert_eq!(failures(&nothing_required), ["appraisal.reference"]);

    let absent = with(Component::Pcr(HashAlg::Sha256, 14), Need::Required, &[b"x"]);
    assert_eq!(
        failures(&Case::of(&absent).run(&proof(&device))),
        ["appraisal.component"]
    );

    let mut case = Case::of(&reference);
    case.policy.required.insert(PCR4);
    assert_eq!(
        failures(&case.run(&proof(&device))),
        ["appraisal.required_component"]
    );
}

#[test]
fn i6_ended_reference_values_fail_and_bound_the_result() {
    let device = Device::new(1);
    let end = Timestamp::from_secs(1_800_000_000);
    let reference = ReferenceValues::taken_from(&proof(&device), "lab", 1, &[7], end).unwrap();
    let code = |now| {
        failures(
            &Case {
                now,
                ..Case::of(&reference)
            }
            .run(&proof(&device)),
        )
    };
    assert!(code(end.minus_millis(1)).is_empty());
    assert_eq!(code(end), ["appraisal.reference"]);
    let result = Case {
        now: end.minus_millis(1),
        ..Case::of(&reference)
    }
    .run(&proof(&device));
    assert_eq!(result.ends(), end);
}

#[test]
fn needs_mean_what_they_say() {
    let device = Device::new(1);
    let seen: &[u8] = &[1, 7];
    let far = Component::Pcr(HashAlg::Sha256, 14);
    let ok = |component, need, accepted: &[&[u8]]| {
        let mut entries = taken(&device, &[0]).entries().clone();
        entries.extend(with(component, need, accepted).entries().clone());
        let reference = ReferenceValues::new("lab", 1, entries, Timestamp::MAX).unwrap();
        Case::of(&reference).run(&proof(&device)).verdict() == Verdict::Verified
    };
    assert!(ok(PCR7, Need::Required, &[seen]));
    assert!(
        ok(PCR7, Need::Required, &[b"older", seen]),
        "one of several"
    );
    assert!(!ok(PCR7, Need::Required, &[b"older"]));
    assert!(ok(PCR7, Need::Optional, &[seen]));
    assert!(
        !ok(PCR7, Need::Optional, &[b"older"]),
        "optional is not ignored"
    );
    assert!(ok(far, Need::Optional, &[b"older"]));
    assert!(!ok(far, Need::Required, &[b"older"]));
    assert!(ok(far, Need::Forbidden, &[]));
    assert!(!ok(PCR7, Need::Forbidden, &[]));
}

#[test]
fn key_root_and_runtime_are_judged_each_alone() {
    let device = Device::new(1);
    let firmware = taken(&device, &[7]);
    let nonce = device
        .verify(
            ASK,
            &device.prove_with(ASK, |parts| parts.request_key = None),
        )
        .unwrap();
    let case = Case::of(&firmware);
    assert_eq!(failures(&case.run(&nonce)), ["appraisal.key"]);
    let mut opted = Case::of(&firmware);
    opted.policy.key = KeyPolicy::TpmOrNonce;
    let result = opted.run(&nonce);
    assert_eq!(
        (result.verdict(), result.key()),
        (Verdict::Verified, KeyLevel::Nonce),
        "and it says so"
    );

    let rootless = Case {
        root: RootLevel::None,
        ..Case::of(&firmware)
    };
    assert_eq!(failures(&rootless.run(&proof(&device))), ["appraisal.root"]);
    let mut vendor_only = Case {
        root: RootLevel::Tofu,
        ..Case::of(&firmware)
    };
    assert_eq!(
        vendor_only.run(&proof(&device)).verdict(),
        Verdict::Verified
    );
    vendor_only.policy.roots = RootPolicy {
        vendor: true,
        operator: false,
        tofu: false,
    };
    assert_eq!(
        failures(&vendor_only.run(&proof(&device))),
        ["appraisal.root"]
    );

    let mut measured = Case::of(&firmware);
    measured.policy.runtime = RuntimePolicy::Measured;
    assert_eq!(
        failures(&measured.run(&proof(&device))),
        ["appraisal.runtime"],
        "pcr 7 alone measures no system"
    );
}

#[test]
fn a_tpm_clock_that_went_back_is_a_quarantine() {
    let clock = |reset_count, restart_count, clock, safe| TpmClock {
        clock,
        reset_count,
        restart_count,
        safe,
    };
    let before = clock(7, 3, 10_000_000, true);
    let cases = [
        (clock(7, 3, 10_000_000, true), true, "the same"),
        (clock(7, 3, 10_000_001, true), true, "later"),
        (
            clock(7, 3, 9_999_999, true),
            false,
            "the clock went back within one boot",
        ),
        (
            clock(7, 3, 9_999_999, false),
            false,
            "unsafe does not excuse it within one boot",
        ),
        (clock(7, 4, 10_000_001, true), true, "a restart"),
        (
            clock(8, 0, 10_000_001, true),
            true,
            "a reset takes the restarts back to 0",
        ),
        (clock(7, 2, 10_000_001, true), false, "a restart undone"),
        (clock(6, 9, 10_000_001, true), false, "a reset undone"),
        (
            clock(8, 0, 10_000_000 - CLOCK_SLACK_MILLIS, false),
            true,
            "an unorderly shutdown explains this much",
        ),
        (
            clock(8, 0, 10_000_000 - CLOCK_SLACK_MILLIS - 1, false),
            false,
            "and no more",
        ),
        (
            clock(8, 0, 9_999_999, true),
            false,
            "an orderly one explains nothing",
        ),
        (clock(0, 0, 0, true), false, "cleared"),
    ];
    for (now, good, why) in cases {
        let mut device = Device::new(1);
        let reference = taken(&device, &[7]);
        device.tpm.clock = now;
        let mut case = Case::of(&reference);
        case.previous = Previous::Tpm {
            ak: device.tpm.ak_name(),
            clock: before,
        };
        let result = case.run(&proof(&device));
        let event = if good {
            Event::ProofVerified
        } else {
            Event::Quarantine
        };
        assert_eq!(result.event(), event, "{why}");
        case.previous = Previous::Tpm {
            ak: Device::new(2).tpm.ak_name(),
            clock: before,
        };
        assert_eq!(
            case.run(&proof(&device)).event(),
            Event::ProofVerified,
            "clocks of two AKs are not compared"
        );
    }
}

#[test]
fn taking_values_of_a_pcr_that_was_not_quoted_is_refused() {
    let refusal =
        ReferenceValues::taken_from(&proof(&Device::new(1)), "lab", 1, &[7, 12], Timestamp::MAX);
    assert_eq!(refusal.unwrap_err().code(), "reference.pcr_missing");
    let nothing =
        ReferenceValues::taken_from(&proof(&Device::new(1)), "lab", 1, &[], Timestamp::MAX);
    assert_eq!(nothing.unwrap_err().code(), "evidence.malformed");
}

#[test]
fn reference_values_have_one_encoding() {
    let device = Device::new(1);
    let end = Timestamp::from_secs(1);
    for ends in [Timestamp::MAX, end] {
        let values =
            ReferenceValues::taken_from(&proof(&device), "lab", 3, &[0, 4, 7], ends).unwrap();
        let bytes = values.to_bytes();
        assert_eq!(ReferenceValues::parse(&bytes).unwrap(), values);
        for at in 0..bytes.len() {
            assert!(ReferenceValues::parse(&bytes[..at]).is_err());
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(
                ReferenceValues::parse(&other)
                    .map_or(true, |other| other.digest() != values.digest())
            );
        }
    }
    let golden = with(PCR7, Need::Required, &[b"abc"]);
    assert_eq!(
        hex(&golden.to_bytes()),
        "a301636c6162020103a16c7063722e7368613235362e37826872657175697265648182015820\
         ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn components_have_one_name() {
    for name in [
        "pcr.sha256.0",
        "pcr.sha384.23",
        "dice.irot.layer.0.fwid",
        "dice.erot.layer.5.fwid",
    ] {
        assert_eq!(name.parse::<Component>().unwrap().to_string(), name);
    }
    for name in [
        "",
        "pcr.sha1.0",
        "pcr.sha256.24",
        "pcr.sha256.07",
        "pcr.sha256",
        "dice.irot.layer.fwid",
        "PCR.sha256.1",
    ] {
        assert_eq!(
            name.parse::<Component>().unwrap_err().code(),
            "reference.component_unknown",
            "{name}"
        );
    }
}

#[test]
fn an_unused_firmware_slot_is_no_reference_value() {
    let fwid = Component::Fwid(Root::Irot, 4);
    let set = |byte| {
        let digest = Digest::new(HashAlg::Sha384, &[byte; 48]).unwrap();
        let entry = Entry::new(Need::Required, BTreeSet::from([digest])).unwrap();
        ReferenceValues::new("lab", 1, BTreeMap::from([(fwid, entry)]), Timestamp::MAX)
    };
    assert!(set(1).is_ok());
    assert_eq!(set(0).unwrap_err().code(), "evidence.malformed");
}

#[test]
fn entries_that_say_nothing_are_refused() {
    let digest = BTreeSet::from([HashAlg::Sha256.hash(&[b"x"])]);
    assert!(Entry::new(Need::Required, BTreeSet::new()).is_err());
    assert!(Entry::new(Need::Optional, BTreeSet::new()).is_err());
    assert!(Entry::new(Need::Forbidden, digest.clone()).is_err());
    let wrong_bank = BTreeMap::from([(
        Component::Pcr(HashAlg::Sha384, 1),
        Entry::new(Need::Required, digest).unwrap(),
    )]);
    assert!(ReferenceValues::new("lab", 1, wrong_bank, Timestamp::MAX).is_err());
    assert!(ReferenceValues::new("lab", 1, BTreeMap::new(), Timestamp::MAX).is_err());
}

#[test]
fn the_ear_is_json_in_one_order() {
    let device = Device::new(1);
    let reference = with(PCR7, Need::Required, &[&[1, 7]]);
    let result = Case::of(&reference).run(&proof(&device));
    let head = EarHead {
        issuer: "nexus",
        subject: "device-1",
        result_id: "r-1",
        issued: Timestamp::from_millis(1_800_000_000_999),
        fresh_until: Timestamp::from_millis(1_800_000_900_999),
        nonce: &ASK.nonce,
        developer: "assay",
        build: "0.1.0",
    };
    let json = String::from_utf8(ear::claims(&result, &head).unwrap()).unwrap();
    let digest = HashAlg::Sha256.hash(&[&[1, 7]]);
    let expected = format!(
        concat!(
            r#"{{"eat_profile":"tag:ietf.org,2026:rats/ear#03","iss":"nexus","sub":"device-1","jti":"r-1","#,
            r#""iat":1800000000,"exp":1800000900,"eat_nonce":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI","#,
            r#""ear_verifier_id":{{"developer":"assay","build":"0.1.0"}},"submods":{{"#,
            r#""device":{{"ear_status":"affirming","ear_trustworthiness_vector":"#,
            r#"{{"instance-identity":2,"configuration":2}},"ear_appraisal_policy_ids":["default"]}},"#,
            r#""tpm":{{"ear_status":"affirming","ear_trustworthiness_vector":"#,
            r#"{{"instance-identity":2,"executables":3}},"ear_appraisal_policy_ids":["default"]}}}},"#,
            r#""assay_result":{{"verdict":"verified","root":"operator","key":"tpm","runtime":"unmeasured","#,
            r#""evidence":"sha256:{evidence}","#,
            r#""reference_values":{{"id":"lab","version":1,"digest":"sha256:{reference}"}},"#,
            r#""policy":{{"id":"default","version":1,"digest":"sha256:{policy}"}},"checks":["#,
            r#"{{"code":"appraisal.key","expected":"tpm","seen":"tpm","outcome":"pass"}},"#,
            r#"{{"code":"appraisal.root","expected":"vendor or operator or tofu","seen":"operator","outcome":"pass"}},"#,
            r#"{{"code":"appraisal.reference","expected":"in force","seen":"in force","outcome":"pass"}},"#,
            r#"{{"code":"appraisal.component","component":"pcr.sha256.7","expected":"{digest}","seen":"{digest}","outcome":"pass"}},"#,
            r#"{{"code":"appraisal.runtime","expected":"any","seen":"unmeasured","outcome":"pass"}}]}}}}"#,
        ),
        evidence = hex(result.evidence_digest()),
        reference = hex(&reference.digest()),
        policy = hex(&AppraisalPolicy::default().digest()),
        digest = digest,
    );
    assert_eq!(json, expected);
}

#[test]
fn tiers_follow_ar4si() {
    for (value, tier) in [
        (0, Tier::None),
        (1, Tier::None),
        (-1, Tier::None),
        (2, Tier::Affirming),
        (31, Tier::Affirming),
        (32, Tier::Warning),
        (95, Tier::Warning),
        (96, Tier::Contraindicated),
        (99, Tier::Contraindicated),
        (-2, Tier::Affirming),
        (-33, Tier::Warning),
        (-97, Tier::Contraindicated),
    ] {
        assert_eq!(Tier::of(value), tier, "{value}");
    }
    assert_eq!(Tier::overall(&[]), Tier::None);
    assert_eq!(
        Tier::overall(&[Tier::None, Tier::Affirming]),
        Tier::Affirming
    );
    assert_eq!(
        Tier::overall(&[Tier::Warning, Tier::Affirming]),
        Tier::Warning
    );
    assert_eq!(
        Tier::overall(&[Tier::Warning, Tier::Contraindicated, Tier::Affirming]),
        Tier::Contraindicated
    );
}

/// A proof by TPM and IRoT; the chain's root is pinned as `kind`.
fn dice_proof(firmware: [u8; 2], kind: AnchorKind) -> Evidence<Verified> {
    let (lab, device) = (Lab::new(), Device::new(1));
    let irot = lab.boot(1, firmware);
    let mut draft = device.draft(ASK);
    let parts = device.tpm_parts(&draft.binding(Label::Tpm).unwrap());
    let tpm = assay_attest::attester::tpm::member(&parts).unwrap();
    draft.add(Label::Tpm, tpm_member::MEDIA_TYPE, tpm).unwrap();
    let value = irot.member(&draft.binding(Label::Irot).unwrap());
    draft
        .add(Label::Irot, dice_member::MEDIA_TYPE, value)
        .unwrap();
    let root = Certificate::parse(&irot.certificates()[0]).unwrap();
    let anchor = Anchor::pin("root", kind, root.spki()).unwrap();
    let anchors = TrustAnchors::new(anchor, Vec::new());
    let root = DiceRoot {
        label: Label::Irot,
        anchors,
        device_key: None,
    };
    let dice = DiceExpectation::Roots(vec![root]);
    let expected = Expected {
        dice,
        now: NOW,
        ..device.expected(ASK)
    };
    Evidence::parse(&device.seal(&draft))
        .unwrap()
        .verify(&expected, &AwsLc)
        .unwrap()
}

#[test]
fn dice_layers_are_appraised_by_name() {
    let good = dice_proof([10, 20], AnchorKind::Operator);
    let reference = ReferenceValues::taken_from(&good, "lab", 1, &[7], Timestamp::MAX).unwrap();
    let named: Vec<String> = reference
        .entries()
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        named,
        [
            "pcr.sha256.7",
            "dice.irot.layer.4.fwid",
            "dice.irot.layer.5.fwid"
        ]
    );
    let case = Case {
        now: NOW,
        ..Case::of(&reference)
    };
    let result = case.run(&good);
    assert_eq!(result.verdict(), Verdict::Verified);
    let names: Vec<&str> = result.submodules().iter().map(|part| part.name).collect();
    assert_eq!(names, ["device", "tpm", "irot"]);

    let other = case.run(&dice_proof([10, 21], AnchorKind::Operator));
    assert_eq!(failures(&other), ["appraisal.component"]);
    let failed = other
        .checks()
        .iter()
        .find(|check| check.outcome == Outcome::Fail)
        .unwrap();
    assert_eq!(
        failed.component.unwrap().to_string(),
        "dice.irot.layer.5.fwid"
    );

    let missing = case.run(&proof(&Device::new(1)));
    assert_eq!(
        failures(&missing),
        ["appraisal.component"; 2],
        "layers that are not there"
    );
}

#[test]
fn a_layer_beside_the_listed_ones_fails() {
    let good = dice_proof([10, 20], AnchorKind::Operator);
    let all = ReferenceValues::taken_from(&good, "lab", 1, &[7], Timestamp::MAX).unwrap();
    let without = |name: &str| {
        let mut entries = all.entries().clone();
        entries.remove(&name.parse().unwrap()).unwrap();
        ReferenceValues::new("lab", 1, entries, Timestamp::MAX).unwrap()
    };
    let less = without("dice.irot.layer.4.fwid");
    let result = Case {
        now: NOW,
        ..Case::of(&less)
    }
    .run(&good);
    assert_eq!(failures(&result), ["appraisal.unlisted_layer"]);
}

#[test]
fn an_engineering_root_is_never_production() {
    let evidence = dice_proof([10, 20], AnchorKind::Engineering);
    let reference = ReferenceValues::taken_from(&evidence, "lab", 1, &[7], Timestamp::MAX).unwrap();
    let case = Case {
        now: NOW,
        root: RootLevel::Vendor,
        ..Case::of(&reference)
    };
    assert_eq!(failures(&case.run(&evidence)), ["appraisal.anchor"]);
}

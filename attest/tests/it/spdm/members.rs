//! SPDM members inside of whole evidence: roots and accelerators, bound to one session, appraised by index.

use std::collections::{BTreeMap, BTreeSet};

use assay_attest::appraise::{Appraisal, Previous, Reference, appraise};
use assay_attest::attester::dice::SoftwareDice;
use assay_attest::attester::tpm::member;
use assay_attest::claims::KeyLevel;
use assay_attest::codec::spdm::Version;
use assay_attest::codec::spdm::measurements::Operation;
use assay_attest::digest::{Digest, HashAlg};
use assay_attest::evidence::spdm::{MEDIA_TYPE, SpdmEvidence};
use assay_attest::evidence::tpm;
use assay_attest::expected::{DiceExpectation, DiceRoot, Expected, TpmExpectation};
use assay_attest::policy::{AppraisalPolicy, KeyPolicy};
use assay_attest::reference::{Component, Entry, Need, ReferenceValues, Root, measured};
use assay_attest::refusal::Refusal;
use assay_attest::result::{RootLevel, Verdict};
use assay_attest::session::{Binding, Label};
use assay_attest::time::Timestamp;
use assay_attest::verify::{Evidence, Verified};
use assay_checks::AwsLc;

use super::{blocks, measure};
use crate::dice::{Lab, NOW};
use crate::world::{ASK, Device};

type Make<'a> = (Label, &'a dyn Fn(&Binding) -> Vec<u8>);

fn of(dice: &SoftwareDice, version: Version, binding: &Binding) -> Vec<u8> {
    let transcript = measure(dice, version, binding.as_bytes(), &[Operation::All]);
    SpdmEvidence::write(dice.certificates(), &transcript)
}

struct Known {
    lab: Lab,
    device: Device,
    irot: SoftwareDice,
    gpu: SoftwareDice,
    with_tpm: bool,
}

impl Known {
    fn new() -> Self {
        let lab = Lab::new();
        Self {
            irot: lab.boot(1, [10, 20]),
            gpu: lab.boot(2, [30, 40]),
            device: Device::new(1),
            lab,
            with_tpm: true,
        }
    }

    fn prove(&self, members: &[Make<'_>]) -> Vec<u8> {
        let mut draft = self.device.draft(ASK);
        if self.with_tpm {
            let parts = self.device.tpm_parts(&draft.binding(Label::Tpm).unwrap());
            draft
                .add(Label::Tpm, tpm::MEDIA_TYPE, member(&parts).unwrap())
                .unwrap();
        }
        for (label, make) in members {
            let value = make(&draft.binding(*label).unwrap());
            draft.add(*label, MEDIA_TYPE, value).unwrap();
        }
        self.device.seal(&draft)
    }

    fn verify(&self, bytes: &[u8]) -> Result<Evidence<Verified>, Refusal> {
        let key = |dice: &SoftwareDice| Some(self.lab.identity(dice).device_key());
        let root = |label, device_key| DiceRoot {
            label,
            anchors: self.lab.anchors.clone(),
            device_key,
        };
        let expected = Expected {
            tpm: if self.with_tpm {
                self.device.pinned.clone()
            } else {
                TpmExpectation::NoTpm
            },
            dice: DiceExpectation::Roots(vec![
                root(Label::Irot, key(&self.irot)),
                root(Label::Accel(0), None),
                root(Label::Accel(1), key(&self.gpu)),
            ]),
            required: &[],
            now: NOW,
            ..self.device.expected(ASK)
        };
        Evidence::parse(bytes)?.verify(&expected, &AwsLc)
    }

    fn code(&self, members: &[Make<'_>]) -> &'static str {
        self.verify(&self.prove(members))
            .map_or_else(|refusal| refusal.code(), |_| "accepted")
    }
}

#[test]
fn an_irot_and_an_accelerator_give_their_claims() {
    let known = Known::new();
    for version in Version::ALL {
        let proof = known.prove(&[
            (Label::Accel(0), &|binding| of(&known.gpu, version, binding)),
            (Label::Irot, &|binding| of(&known.irot, version, binding)),
        ]);
        let verified = known.verify(&proof).unwrap();
        let claims = verified.claims();
        assert_eq!(claims.dice.len(), 1, "an accelerator is not the machine");
        assert_eq!(claims.dice[0].label, Label::Irot);
        assert_eq!(claims.spdm.len(), 2);
        assert_eq!(claims.identities().count(), 2);
        assert_eq!(claims.spdm[1].version, version);
        let seen = measured(claims);
        for block in blocks() {
            let component = Component::Block(Root::Irot, block.index);
            assert_eq!(
                seen[&component],
                BTreeSet::from([block.comparable().unwrap()])
            );
            assert!(seen.contains_key(&Component::Block(Root::Accel(0), block.index)));
        }
        assert!(seen.contains_key(&Component::Fwid(Root::Accel(0), 5)));
    }
}

#[test]
fn i4_a_member_is_good_for_one_session_label_and_place() {
    let known = Known::new();
    let good: &dyn Fn(&Binding) -> Vec<u8> = &|binding| of(&known.irot, Version::V11, binding);
    let gpu: &dyn Fn(&Binding) -> Vec<u8> = &|binding| of(&known.gpu, Version::V11, binding);
    assert_eq!(known.code(&[(Label::Irot, good)]), "accepted");
    let old = of(&known.irot, Version::V11, &crate::dice::binding(1));
    assert_eq!(known.code(&[(Label::Irot, &|_| old.clone())]), "spdm.nonce");
    // Made for the place before the accelerator's member came in between.
    let early = {
        let mut draft = known.device.draft(ASK);
        let parts = known.device.tpm_parts(&draft.binding(Label::Tpm).unwrap());
        draft
            .add(Label::Tpm, tpm::MEDIA_TYPE, member(&parts).unwrap())
            .unwrap();
        of(
            &known.irot,
            Version::V11,
            &draft.binding(Label::Irot).unwrap(),
        )
    };
    assert_eq!(
        known.code(&[(Label::Accel(0), gpu), (Label::Irot, &|_| early.clone())]),
        "spdm.nonce"
    );
    assert_eq!(known.code(&[(Label::Erot, good)]), "spdm.unexpected");
    assert_eq!(known.code(&[(Label::Accel(2), gpu)]), "spdm.unexpected");
    assert_eq!(known.code(&[(Label::Irot, gpu)]), "dice.other_device");
    assert_eq!(known.code(&[(Label::Accel(1), good)]), "dice.other_device");
    assert_eq!(known.code(&[(Label::Accel(1), gpu)]), "accepted");
}

#[test]
fn i4_the_chain_is_the_signers() {
    let known = Known::new();
    let mixed: &dyn Fn(&Binding) -> Vec<u8> = &|binding| {
        let transcript = measure(
            &known.gpu,
            Version::V11,
            binding.as_bytes(),
            &[Operation::All],
        );
        SpdmEvidence::write(known.irot.certificates(), &transcript)
    };
    assert_eq!(known.code(&[(Label::Irot, mixed)]), "spdm.signature");
    let short: &dyn Fn(&Binding) -> Vec<u8> = &|binding| {
        let transcript = measure(
            &known.irot,
            Version::V11,
            binding.as_bytes(),
            &[Operation::All],
        );
        SpdmEvidence::write(&known.irot.certificates()[..5], &transcript)
    };
    assert_eq!(
        known.code(&[(Label::Irot, short)]),
        "chain.basic_constraints"
    );
}

/// An SPDM nonce proves a live device, not that its requester runs on it; and an accelerator alone is not the machine.
#[test]
fn i4_a_nonce_is_no_key_and_an_accelerator_is_no_proof_of_the_machine() {
    let known = Known {
        with_tpm: false,
        ..Known::new()
    };
    let irot: &dyn Fn(&Binding) -> Vec<u8> = &|binding| of(&known.irot, Version::V11, binding);
    let gpu: &dyn Fn(&Binding) -> Vec<u8> = &|binding| of(&known.gpu, Version::V11, binding);
    let verified = known.verify(&known.prove(&[(Label::Irot, irot)])).unwrap();
    assert_eq!(verified.claims().key_level(), KeyLevel::Nonce);
    assert_eq!(known.code(&[(Label::Accel(0), gpu)]), "evidence.no_proof");
}

fn judged(known: &Known, entries: BTreeMap<Component, Entry>) -> (Verdict, Vec<String>) {
    let proof = known.prove(&[(Label::Irot, &|binding| {
        of(&known.irot, Version::V11, binding)
    })]);
    let verified = known.verify(&proof).unwrap();
    let values = ReferenceValues::new("lab", 1, entries, Timestamp::MAX).unwrap();
    let result = appraise(
        &verified,
        &Appraisal {
            reference: Reference::Known(&values),
            policy: &AppraisalPolicy {
                key: KeyPolicy::Tpm,
                ..AppraisalPolicy::default()
            },
            root: RootLevel::Operator,
            previous: &Previous::Nothing,
            now: NOW,
        },
    );
    let failed = result
        .checks()
        .iter()
        .filter(|check| !matches!(check.outcome, assay_attest::result::Outcome::Pass))
        .map(|check| {
            let component = check.component.map(|one| one.to_string());
            format!("{} {}", check.code, component.unwrap_or_default())
        })
        .collect();
    (result.verdict(), failed)
}

#[test]
fn appraisal_compares_blocks_by_index() {
    let known = Known::new();
    let good = |index: u8| {
        let block = blocks().into_iter().find(|block| block.index == index);
        block.unwrap().comparable().unwrap()
    };
    let entry =
        |need, digests: Vec<Digest>| Entry::new(need, digests.into_iter().collect()).unwrap();
    let at = |index| Component::Block(Root::Irot, index);
    let all: BTreeMap<Component, Entry> = (1..=4)
        .map(|index| (at(index), entry(Need::Required, vec![good(index)])))
        .collect();
    assert_eq!(judged(&known, all.clone()), (Verdict::Verified, vec![]));
    let mut other = all.clone();
    other.insert(at(4), entry(Need::Required, vec![good(3)]));
    assert_eq!(
        judged(&known, other),
        (
            Verdict::Failed,
            vec!["appraisal.component spdm.irot.mb.4".to_owned()]
        )
    );
    // T28: what is missing is a failure, whatever else matches.
    let mut more = all.clone();
    more.insert(
        at(12),
        entry(Need::Required, vec![HashAlg::Sha512.hash(&[b"x"])]),
    );
    assert_eq!(
        judged(&known, more).1,
        ["appraisal.component spdm.irot.mb.12"]
    );
    let mut forbidden = all;
    forbidden.insert(at(11), entry(Need::Forbidden, vec![]));
    assert_eq!(
        judged(&known, forbidden).1,
        ["appraisal.component spdm.irot.mb.11"]
    );
}

#[test]
fn components_have_one_spelling() {
    for name in [
        "spdm.irot.mb.1",
        "spdm.erot.mb.254",
        "spdm.accel.15.mb.9",
        "dice.accel.0.layer.4.fwid",
    ] {
        let component: Component = name.parse().unwrap();
        assert_eq!(component.to_string(), name);
    }
    for name in [
        "spdm.irot.mb.0",
        "spdm.irot.mb.255",
        "spdm.irot.mb.01",
        "spdm.accel.16.mb.1",
        "spdm.accel.00.mb.1",
        "spdm.accel.mb.1",
        "spdm.tpm.mb.1",
        "spdm.irot.mb",
        "dice.accel.1.fwid",
    ] {
        assert!(name.parse::<Component>().is_err(), "{name}");
    }
}

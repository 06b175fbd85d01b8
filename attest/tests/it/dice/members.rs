//! The `irot` and `erot` members inside of whole evidence: what an attacker who holds the request key may try.

use assay_attest::attester::dice::SoftwareDice;
use assay_attest::attester::tpm::member;
use assay_attest::evidence::dice::{DiceEvidence, MEDIA_TYPE};
use assay_attest::evidence::tpm;
use assay_attest::expected::{DiceExpectation, DiceRoot, Expected};
use assay_attest::session::{Binding, Label};
use assay_attest::verify::Evidence;
use assay_checks::AwsLc;

use super::{Lab, NOW, binding};
use crate::world::{ASK, Ask, Device};

/// What stands under a label: made from the binding that the label's root must sign.
type Make<'a> = (Label, &'a dyn Fn(&Binding) -> Vec<u8>);

fn prove(device: &Device, ask: Ask, members: &[Make<'_>]) -> Vec<u8> {
    let mut draft = device.draft(ask);
    let parts = device.tpm_parts(&draft.binding(Label::Tpm).unwrap());
    draft
        .add(Label::Tpm, tpm::MEDIA_TYPE, member(&parts).unwrap())
        .unwrap();
    for (label, make) in members {
        let value = make(&draft.binding(*label).unwrap());
        draft.add(*label, MEDIA_TYPE, value).unwrap();
    }
    device.seal(&draft)
}

struct Known {
    lab: Lab,
    device: Device,
    irot: SoftwareDice,
    pin: Option<[u8; 32]>,
    labels: Vec<Label>,
}

impl Known {
    fn new() -> Self {
        let lab = Lab::new();
        let irot = lab.boot(1, [10, 20]);
        let pin = Some(lab.identity(&irot).device_key());
        Self {
            lab,
            device: Device::new(1),
            irot,
            pin,
            labels: vec![Label::Irot],
        }
    }

    fn code(&self, ask: Ask, bytes: &[u8]) -> &'static str {
        let root = |label: &Label| DiceRoot {
            label: *label,
            anchors: self.lab.anchors.clone(),
            device_key: self.pin,
        };
        let required: Vec<Label> = [&[Label::Tpm], &self.labels[..]].concat();
        let expected = Expected {
            dice: DiceExpectation::Roots(self.labels.iter().map(root).collect()),
            ima: None,
            required: &required,
            now: NOW,
            ..self.device.expected(ask)
        };
        match Evidence::parse(bytes).and_then(|parsed| parsed.verify(&expected, &AwsLc)) {
            Ok(verified) => {
                assert_eq!(verified.claims().dice.len(), self.labels.len());
                "accepted"
            }
            Err(refusal) => refusal.code(),
        }
    }
}

#[test]
fn a_good_irot_gives_its_claims() {
    let known = Known::new();
    let good = prove(
        &known.device,
        ASK,
        &[(Label::Irot, &|binding| known.irot.member(binding))],
    );
    assert_eq!(known.code(ASK, &good), "accepted");
    let first = Known {
        pin: None,
        ..Known::new()
    };
    assert_eq!(
        first.code(ASK, &good),
        "accepted",
        "before anything is pinned"
    );
}

#[test]
fn i4_an_irot_member_is_good_for_one_session_label_and_place() {
    let known = Known::new();
    let good: &dyn Fn(&Binding) -> Vec<u8> = &|binding| known.irot.member(binding);
    let old = known.irot.member(&binding(1));
    let replayed = prove(&known.device, ASK, &[(Label::Irot, &|_| old.clone())]);
    assert_eq!(known.code(ASK, &replayed), "dice.signature");
    let other_nonce = Ask {
        nonce: [3; 32],
        ..ASK
    };
    assert_eq!(
        known.code(
            other_nonce,
            &prove(&known.device, ASK, &[(Label::Irot, good)])
        ),
        "evidence.session"
    );

    // The eRoT's signature does not serve as the IRoT's, though both answer one session.
    let both = Known {
        labels: vec![Label::Erot, Label::Irot],
        ..Known::new()
    };
    assert_eq!(
        both.code(
            ASK,
            &prove(
                &both.device,
                ASK,
                &[(Label::Erot, good), (Label::Irot, good)]
            )
        ),
        "accepted"
    );
    let kept = std::cell::RefCell::new(Vec::new());
    let keep = |binding: &Binding| {
        kept.replace(known.irot.member(binding));
        kept.borrow().clone()
    };
    let moved = prove(
        &both.device,
        ASK,
        &[
            (Label::Erot, &keep),
            (Label::Irot, &|_| kept.borrow().clone()),
        ],
    );
    assert_eq!(both.code(ASK, &moved), "dice.signature");
}

#[test]
fn i4_an_irot_covers_the_tpm_member_before_it() {
    let known = Known::new();
    let mut draft = known.device.draft(ASK);
    let before = draft.binding(Label::Irot).unwrap();
    let parts = known.device.tpm_parts(&draft.binding(Label::Tpm).unwrap());
    draft
        .add(Label::Tpm, tpm::MEDIA_TYPE, member(&parts).unwrap())
        .unwrap();
    draft
        .add(Label::Irot, MEDIA_TYPE, known.irot.member(&before))
        .unwrap();
    assert_eq!(
        known.code(ASK, &known.device.seal(&draft)),
        "dice.signature"
    );
}

#[test]
fn i4_an_irot_of_another_device_is_refused() {
    let known = Known::new();
    let other = known.lab.boot(2, [10, 20]);
    let relayed = prove(
        &known.device,
        ASK,
        &[(Label::Irot, &|binding| other.member(binding))],
    );
    assert_eq!(
        known.code(ASK, &relayed),
        "dice.other_device",
        "its own good proof, and not the pinned device"
    );
    let mixed: &dyn Fn(&Binding) -> Vec<u8> =
        &|binding| DiceEvidence::write(known.irot.certificates(), &other.sign(binding));
    assert_eq!(
        known.code(ASK, &prove(&known.device, ASK, &[(Label::Irot, mixed)])),
        "dice.signature"
    );
}

#[test]
fn a_new_firmware_is_the_same_device() {
    let known = Known::new();
    let updated = known.lab.boot(1, [11, 21]);
    let proof = prove(
        &known.device,
        ASK,
        &[(Label::Irot, &|binding| updated.member(binding))],
    );
    assert_eq!(
        known.code(ASK, &proof),
        "accepted",
        "its reference values decide, not its identity"
    );
}

#[test]
fn i6_a_required_root_that_is_missing_or_unknown_is_refused() {
    let known = Known::new();
    assert_eq!(
        known.code(ASK, &prove(&known.device, ASK, &[])),
        "evidence.required_missing"
    );
    let chain_only: &dyn Fn(&Binding) -> Vec<u8> =
        &|_| DiceEvidence::write(known.irot.certificates(), &[]);
    assert_eq!(
        known.code(
            ASK,
            &prove(&known.device, ASK, &[(Label::Irot, chain_only)])
        ),
        "dice.signature"
    );
    let good: &dyn Fn(&Binding) -> Vec<u8> = &|binding| known.irot.member(binding);
    let extra = prove(
        &known.device,
        ASK,
        &[(Label::Erot, good), (Label::Irot, good)],
    );
    assert_eq!(
        known.code(ASK, &extra),
        "dice.unexpected",
        "no root is pinned for the eRoT"
    );
    let none = Known {
        labels: Vec::new(),
        ..Known::new()
    };
    assert_eq!(
        none.code(ASK, &prove(&known.device, ASK, &[(Label::Irot, good)])),
        "dice.unexpected"
    );
    let elsewhere = Known {
        lab: Lab {
            anchors: super::nvidia(),
            ..Lab::new()
        },
        ..Known::new()
    };
    assert_eq!(
        elsewhere.code(ASK, &prove(&known.device, ASK, &[(Label::Irot, good)])),
        "chain.no_anchor"
    );
}

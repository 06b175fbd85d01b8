//! Forged shapes: each is right but for one thing, so that each rule is seen to refuse by its own code.

use assay_attest::chain::{Anchor, AnchorKind, Chain, Order, TrustAnchors, Usage};
use assay_attest::codec::x509::Certificate;
use assay_attest::digest::sha256;
use assay_attest::evidence::dice::DiceIdentity;
use assay_attest::refusal::Refusal;
use assay_attest::session::Label;
use assay_checks::AwsLc;
use p384::ecdsa::signature::Signer as _;

use super::{NOW, binding, identify};
use crate::forge::{self, Spec, extension};

fn riot(device: &str, digest: u8) -> Vec<u8> {
    extension(forge::DICE_TCB_INFO, false, &forge::riot(device, digest))
}

fn shaped() -> Vec<Spec> {
    vec![
        Spec::ca("root"),
        Spec::ca("model"),
        Spec::ca("provisioner"),
        Spec::ca("rom"),
        Spec::ca("fmc").with(riot("rom", 1)),
        Spec::leaf("leaf").with(riot("fmc", 2)),
    ]
}

fn pinned() -> TrustAnchors {
    TrustAnchors::new(
        Anchor::pin("forge", AnchorKind::Operator, &forge::spki("root")).unwrap(),
        Vec::new(),
    )
}

fn forged(specs: &[Spec]) -> Result<DiceIdentity, Refusal> {
    identify(&forge::chain(specs), &pinned())
}

/// The shaped chain with one certificate replaced.
fn but(index: usize, spec: Spec) -> Result<DiceIdentity, Refusal> {
    let mut specs = shaped();
    specs[index] = spec;
    forged(&specs)
}

#[test]
fn the_shape_itself_is_good() {
    let identity = forged(&shaped()).unwrap();
    assert_eq!(identity.device_key(), sha256(&[&forge::spki("rom")]));
}

#[test]
fn each_rule_of_a_path_has_its_own_code() {
    let ca_without = |kept: usize| {
        let mut spec = Spec::ca("model");
        spec.extensions = vec![spec.extensions.remove(kept)];
        spec
    };
    assert_eq!(
        but(1, ca_without(1)),
        Err(Refusal::ChainBasicConstraints { index: 1 })
    );
    assert_eq!(
        but(1, ca_without(0)),
        Err(Refusal::ChainKeyUsage { index: 1 })
    );
    let mut no_ca = Spec::ca("model");
    no_ca.extensions[0] = extension(forge::BASIC_CONSTRAINTS, true, b"\x30\x00");
    assert_eq!(
        but(1, no_ca),
        Err(Refusal::ChainBasicConstraints { index: 1 })
    );
    let mut signs_data = Spec::ca("model");
    signs_data.extensions[1] = extension(forge::KEY_USAGE, true, b"\x03\x02\x07\x80");
    assert_eq!(but(1, signs_data), Err(Refusal::ChainKeyUsage { index: 1 }));
    let leaf_ca = Spec::leaf("leaf").with(riot("fmc", 2)).with(extension(
        forge::BASIC_CONSTRAINTS,
        true,
        b"\x30\x03\x01\x01\xff",
    ));
    assert_eq!(
        but(5, leaf_ca),
        Err(Refusal::ChainBasicConstraints { index: 5 })
    );
    let leaf_no_ca = Spec::leaf("leaf").with(riot("fmc", 2)).with(extension(
        forge::BASIC_CONSTRAINTS,
        true,
        b"\x30\x00",
    ));
    assert!(but(5, leaf_no_ca).is_ok());
    let mut leaf_signs_certificates = Spec::leaf("leaf").with(riot("fmc", 2));
    leaf_signs_certificates.extensions[0] = extension(forge::KEY_USAGE, true, b"\x03\x02\x02\x84");
    assert_eq!(
        but(5, leaf_signs_certificates),
        Err(Refusal::ChainKeyUsage { index: 5 })
    );
    let mut leaf_without_usage = Spec::leaf("leaf").with(riot("fmc", 2));
    leaf_without_usage.extensions.remove(0);
    assert_eq!(
        but(5, leaf_without_usage),
        Err(Refusal::ChainKeyUsage { index: 5 })
    );
    let renamed = Spec {
        issuer: Some("nobody"),
        ..Spec::ca("model")
    };
    assert_eq!(but(1, renamed), Err(Refusal::ChainName { index: 1 }));
    let misplaced = Spec {
        issuer: Some("rom"),
        ..Spec::ca("provisioner")
    };
    assert_eq!(but(2, misplaced), Err(Refusal::ChainOrder { index: 2 }));
}

#[test]
fn path_lengths_count_the_cas_below() {
    let limited = |name: &'static str, limit: u8| {
        let mut spec = Spec::ca(name);
        spec.extensions[0] = extension(
            forge::BASIC_CONSTRAINTS,
            true,
            &[0x30, 6, 1, 1, 0xff, 2, 1, limit],
        );
        spec
    };
    assert!(but(0, limited("root", 4)).is_ok());
    assert_eq!(
        but(0, limited("root", 3)),
        Err(Refusal::ChainPathLen { index: 0 })
    );
    assert!(but(2, limited("provisioner", 2)).is_ok());
    assert_eq!(
        but(2, limited("provisioner", 1)),
        Err(Refusal::ChainPathLen { index: 2 })
    );
    let absurd = |value: &[u8]| {
        let mut spec = Spec::ca("model");
        spec.extensions[0] = extension(forge::BASIC_CONSTRAINTS, true, value);
        but(1, spec).unwrap_err().code()
    };
    assert_eq!(
        absurd(&[0x30, 3, 2, 1, 1]),
        "evidence.malformed",
        "a path length without a CA"
    );
    assert_eq!(
        absurd(&[0x30, 6, 1, 1, 0x01, 2, 1, 1]),
        "evidence.malformed",
        "TRUE has one encoding"
    );
    assert_eq!(
        absurd(&[0x30, 6, 1, 1, 0xff, 2, 1, 0xff]),
        "evidence.malformed",
        "negative"
    );
}

#[test]
fn a_path_length_binds_an_anchor_that_is_left_out() {
    let mut middle = Spec::ca("middle");
    middle.extensions[0] = extension(
        forge::BASIC_CONSTRAINTS,
        true,
        &[0x30, 6, 1, 1, 0xff, 2, 1, 0],
    );
    let mut ek = Spec::leaf("ek");
    ek.extensions[0] = extension(forge::KEY_USAGE, true, b"\x03\x02\x03\x08");
    let below = Spec::ca("below");
    let certificates = forge::chain(&[Spec::ca("root"), middle, below, ek.clone()]);
    let middle = Certificate::parse(&certificates[1]).unwrap();
    let anchors = TrustAnchors::new(
        Anchor::from_certificate("m", AnchorKind::Vendor, &middle).unwrap(),
        Vec::new(),
    );
    let verify = |certificates: &[Vec<u8>]| {
        let chain = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst).unwrap();
        chain
            .verify(&anchors, Usage::EndorsementKey, NOW, &AwsLc)
            .map(|_| ())
    };
    assert_eq!(
        verify(&certificates[2..]),
        Err(Refusal::ChainPathLen { index: 0 })
    );
    let direct = forge::chain(&[Spec::ca("middle"), ek]);
    assert_eq!(verify(&direct[1..]), Ok(()));
}

/// Whoever pins a key believes what that key signs, and nothing else that carries it.
#[test]
fn a_root_that_carries_the_pinned_key_must_be_signed_by_it_and_name_itself() {
    let mut borrowed = forge::chain(&shaped());
    *borrowed[0].last_mut().unwrap() ^= 1;
    assert_eq!(
        identify(&borrowed, &pinned()),
        Err(Refusal::ChainSignature { index: 0 })
    );
    let crossed = Spec {
        issuer: Some("somebody"),
        ..Spec::ca("root")
    };
    assert_eq!(but(0, crossed), Err(Refusal::ChainNoAnchor));
}

#[test]
fn a_key_that_certifies_itself_again_is_refused() {
    let mut specs = shaped();
    specs.insert(2, Spec::ca("model"));
    assert_eq!(forged(&specs), Err(Refusal::ChainDuplicate { index: 2 }));
}

#[test]
fn a_ca_that_names_other_purposes_issues_no_ek() {
    let mut ek = Spec::leaf("ek");
    ek.extensions[0] = extension(forge::KEY_USAGE, true, b"\x03\x02\x03\x08");
    let root = forge::chain(&[Spec::ca("root")]);
    let root = Certificate::parse(&root[0]).unwrap();
    let anchors = TrustAnchors::new(
        Anchor::from_certificate("r", AnchorKind::Vendor, &root).unwrap(),
        Vec::new(),
    );
    let under = |purpose: &[u8]| {
        let purposes = forge::sequence(&[&forge::element(0x06, &[purpose])]);
        let middle =
            Spec::ca("middle").with(extension(forge::EXTENDED_KEY_USAGE, false, &purposes));
        let certificates = forge::chain(&[Spec::ca("root"), middle, ek.clone()]);
        let chain = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst).unwrap();
        chain
            .verify(&anchors, Usage::EndorsementKey, NOW, &AwsLc)
            .map(|_| ())
    };
    // tcg-kp-EKCertificate, then id-kp-serverAuth.
    assert_eq!(under(b"\x67\x81\x05\x08\x01"), Ok(()));
    assert_eq!(
        under(b"\x2b\x06\x01\x05\x05\x07\x03\x01"),
        Err(Refusal::ChainExtendedKeyUsage { index: 1 })
    );
}

#[test]
fn dates_and_purposes_and_critical_extensions_have_their_own_codes() {
    let dated = |dates| {
        but(
            2,
            Spec {
                dates,
                ..Spec::ca("provisioner")
            },
        )
    };
    assert_eq!(
        dated(["20200101000000Z", "20261121235959Z"]),
        Err(Refusal::ChainExpired { index: 2 })
    );
    assert_eq!(
        dated(["20261122000001Z", "20300101000000Z"]),
        Err(Refusal::ChainNotYetValid { index: 2 })
    );
    assert_eq!(
        dated(["20261122000000Z", "20261122000000Z"])
            .unwrap()
            .ends(),
        NOW
    );
    assert_eq!(
        dated(["20260230000000Z", "20300101000000Z"])
            .unwrap_err()
            .code(),
        "evidence.malformed"
    );

    let unknown = Spec::ca("model").with(extension(forge::NAME_CONSTRAINTS, true, b"\x30\x00"));
    assert_eq!(
        but(1, unknown),
        Err(Refusal::ChainCritical {
            index: 1,
            oid: "2.5.29.30".into()
        })
    );
    let harmless = Spec::ca("model").with(extension(forge::NAME_CONSTRAINTS, false, b"\x30\x00"));
    assert!(but(1, harmless).is_ok());
    let twice = harmless_twice();
    assert_eq!(but(1, twice).unwrap_err().code(), "evidence.malformed");

    let purpose = |last: &[u8]| {
        let value = forge::sequence(&[last]);
        but(
            5,
            Spec::leaf("leaf").with(riot("fmc", 2)).with(extension(
                forge::EXTENDED_KEY_USAGE,
                false,
                &value,
            )),
        )
    };
    let responder: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x83\x1c\x82\x12\x03";
    let requester: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x83\x1c\x82\x12\x04";
    assert!(purpose(responder).is_ok());
    assert!(purpose(&[responder, requester].concat()).is_ok());
    assert_eq!(
        purpose(requester),
        Err(Refusal::ChainExtendedKeyUsage { index: 5 })
    );
}

fn harmless_twice() -> Spec {
    let one = || extension(forge::NAME_CONSTRAINTS, false, b"\x30\x00");
    Spec::ca("model").with(one()).with(one())
}

#[test]
fn a_missing_fwid_is_a_refusal() {
    assert_eq!(
        but(5, Spec::leaf("leaf")),
        Err(Refusal::DiceNoFwid { index: 5 })
    );
    let empty_list = |value: &[u8]| {
        but(
            5,
            Spec::leaf("leaf").with(extension(forge::DICE_TCB_INFO, false, value)),
        )
    };
    assert_eq!(
        empty_list(&forge::sequence(&[b"\x80\x01v"])),
        Err(Refusal::DiceNoFwid { index: 5 })
    );
    assert_eq!(
        empty_list(&forge::sequence(&[b"\xa6\x00"])),
        Err(Refusal::DiceNoFwid { index: 5 })
    );
    assert_eq!(
        empty_list(&forge::sequence(&[])).unwrap_err().code(),
        "evidence.malformed"
    );
    let no_infos =
        Spec::leaf("leaf").with(extension(forge::DICE_MULTI_TCB_INFO, false, b"\x30\x00"));
    assert_eq!(but(5, no_infos), Err(Refusal::DiceNoFwid { index: 5 }));
    let bare: Vec<Spec> = vec![Spec::ca("root"), Spec::ca("model"), Spec::leaf("leaf")];
    assert_eq!(forged(&bare), Err(Refusal::DiceNoFwid { index: 2 }));
}

#[test]
fn a_layer_names_its_issuers_key() {
    assert_eq!(
        but(5, Spec::leaf("leaf").with(riot("rom", 2))),
        Err(Refusal::DiceDeviceKey { index: 5 })
    );
    assert_eq!(
        but(4, Spec::ca("fmc").with(riot("model", 1))),
        Err(Refusal::DiceDeviceKey { index: 4 })
    );
    assert_eq!(
        but(0, Spec::ca("root").with(riot("root", 1))),
        Err(Refusal::DiceDeviceKey { index: 0 })
    );
    let other_name = forge::element(
        0xa0,
        &[
            &forge::element(0x06, &[forge::DICE_TCB_INFO]),
            &forge::riot("rom", 2),
        ],
    );
    let alt_name = extension(
        forge::SUBJECT_ALT_NAME,
        false,
        &forge::sequence(&[&other_name]),
    );
    assert_eq!(
        but(5, Spec::leaf("leaf").with(alt_name)),
        Err(Refusal::DiceDeviceKey { index: 5 })
    );
}

#[test]
fn a_layer_states_its_firmware_once() {
    let tcb_info = forge::sequence(&[&forge::element(0xa6, &[&forge::fwid(3)])]);
    let multi = extension(
        forge::DICE_MULTI_TCB_INFO,
        false,
        &forge::sequence(&[&tcb_info]),
    );
    assert_eq!(
        but(5, Spec::leaf("leaf").with(riot("fmc", 2)).with(multi)),
        Err(Refusal::DiceLayouts { index: 5 })
    );
}

#[test]
fn the_device_key_stands_where_it_must() {
    // A further unmeasured CA: the fourth from the root would be somebody else's.
    let deeper = [
        &shaped()[..4],
        &[
            Spec::ca("extra"),
            Spec::ca("fmc").with(riot("extra", 1)),
            Spec::leaf("leaf").with(riot("fmc", 2)),
        ],
    ];
    assert_eq!(forged(&deeper.concat()), Err(Refusal::DiceNoDeviceKey));
    let shallower = vec![
        Spec::ca("root"),
        Spec::ca("model"),
        Spec::ca("provisioner"),
        Spec::ca("fmc").with(riot("provisioner", 1)),
        Spec::leaf("leaf").with(riot("fmc", 2)),
    ];
    assert_eq!(forged(&shallower), Err(Refusal::DiceNoDeviceKey));
    // Short chains: below the root, never the root itself.
    let short = [
        Spec::ca("root"),
        Spec::ca("rom"),
        Spec::leaf("leaf").with(riot("rom", 1)),
    ];
    assert_eq!(
        forged(&short).unwrap().device_key(),
        sha256(&[&forge::spki("rom")])
    );
    let shorter = [Spec::ca("root"), Spec::leaf("leaf").with(riot("root", 1))];
    assert_eq!(forged(&shorter), Err(Refusal::DiceNoDeviceKey));
}

#[test]
fn a_ueid_has_its_length() {
    let with = |length: usize| {
        let value = forge::sequence(&[&forge::element(0x04, &[&vec![1; length]])]);
        but(
            3,
            Spec::ca("rom").with(extension(forge::DICE_UEID, false, &value)),
        )
    };
    assert_eq!(with(17).unwrap().layers()[3].ueid, Some(vec![1; 17]));
    for length in [0, 6, 34] {
        assert_eq!(with(length).unwrap_err().code(), "evidence.malformed");
    }
}

#[test]
fn sha3_is_an_identity_and_no_claim() {
    let sha3 = forge::sequence(&[
        b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x09",
        &forge::element(0x04, &[&[5; 48]]),
    ]);
    let tcb_info = forge::sequence(&[&forge::element(0xa6, &[&sha3])]);
    let identity = but(
        5,
        Spec::leaf("leaf").with(extension(forge::DICE_TCB_INFO, true, &tcb_info)),
    )
    .unwrap();
    let signature: p384::ecdsa::Signature = forge::key("leaf").sign(binding(1).as_bytes());
    let proof = identity
        .prove(&binding(1), &signature.to_bytes(), &AwsLc)
        .unwrap();
    assert_eq!(
        proof.claims(Label::Irot).unwrap_err().code(),
        "evidence.unsupported"
    );
    assert_eq!(
        proof.identity().device_key(),
        sha256(&[&forge::spki("rom")])
    );
}

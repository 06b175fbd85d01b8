//! DICE: identities out of real chains, proofs out of the lab's software root, and what must not pass for either.

use assay_attest::attester::dice::{SoftwareDice, SoftwareFactory};
use assay_attest::chain::{Anchor, AnchorKind, Chain, Order, TrustAnchors, Usage};
use assay_attest::codec::dice::{DiceLayout, Fwid, FwidAlg, LayerInfo, ueid};
use assay_attest::codec::x509::Certificate;
use assay_attest::digest::{Digest, HashAlg, sha256};
use assay_attest::evidence::dice::{DiceEvidence, DiceIdentity};
use assay_attest::hpke::{HpkeKey, Kem};
use assay_attest::refusal::Refusal;
use assay_attest::session::{Binding, BindingChain, Label, Purpose, Session, SessionInput};
use assay_attest::time::Timestamp;
use assay_checks::AwsLc;
use p384::ecdsa::signature::Signer as _;

use crate::chain::bluefield;
use crate::forge::{self, Spec, extension};
use crate::vectors::{folder, pem, unhex};

/// 2026-11-22.
const NOW: Timestamp = Timestamp::from_secs(1_795_305_600);
const MADE: Timestamp = Timestamp::from_secs(1_767_225_600);

fn identify(certificates: &[Vec<u8>], anchors: &TrustAnchors) -> Result<DiceIdentity, Refusal> {
    let chain = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst)?;
    DiceIdentity::verify(&chain, anchors, NOW, &AwsLc)
}

fn nvidia() -> TrustAnchors {
    TrustAnchors::new(Anchor::nvidia_device_identity(), Vec::new())
}

fn sha384(digest: &str) -> Fwid {
    Fwid {
        alg: FwidAlg::Sha2(HashAlg::Sha384),
        digest: unhex(digest),
    }
}

fn binding(of: u8) -> Binding {
    let hpke = HpkeKey::new(Kem::X25519, &[9; 32]).unwrap();
    let input = SessionInput {
        nexus_id: [1; 32],
        subject: "device",
        purpose: Purpose::Attest,
        nonce: [of; 32],
        request_key_thumbprint: [3; 32],
        hpke: &hpke,
        activation_secret: &[],
    };
    BindingChain::new(Session::new(&input))
        .binding(Label::Irot)
        .unwrap()
}

#[test]
fn the_real_bluefield_is_its_rom_key() {
    let Some(certificates) = bluefield() else {
        return;
    };
    let identity = identify(&certificates, &nvidia()).unwrap();
    let rom = "9c75556476a7c9197f613649b85ee582727ff9423538ec7bbee263a3ba671c9f";
    assert_eq!(identity.device_key().to_vec(), unhex(rom));
    assert_eq!(
        (identity.anchor(), identity.anchor_kind()),
        ("nvidia-device-identity", AnchorKind::Vendor)
    );

    let layouts: Vec<_> = identity
        .layers()
        .iter()
        .map(|layer| layer.info.as_ref().map(|info| info.layout))
        .collect();
    assert_eq!(
        layouts,
        [
            None,
            None,
            None,
            None,
            Some(DiceLayout::Riot),
            Some(DiceLayout::Riot)
        ]
    );
    let fwids: Vec<_> = identity
        .layers()
        .iter()
        .flat_map(|layer| &layer.info)
        .flat_map(LayerInfo::fwids)
        .cloned()
        .collect();
    assert_eq!(
        fwids,
        [
            sha384(
                "148ce154f3da232994d870bab5b452e830562e74d5b36eb9b1d8c55614f24a314828ace2260349ab7bf69176ba450930"
            ),
            sha384(
                "97c1b6f3fc7f2f025891e868b15e1844e6c3ac8f4f5beac42d1f67e09eb6865c33b463de9d080e2b1ea8abb6e35339cd"
            ),
        ]
    );
}

#[test]
fn gpus_are_their_boot_rom_key() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    for (name, layout, fwids) in [
        ("gh100-a", DiceLayout::Riot, 1),
        ("ls10-a", DiceLayout::Riot, 1),
        ("gb100-a", DiceLayout::NvidiaTcbInfo, 2),
    ] {
        let mut certificates = pem(&folder.join(format!("{name}.chain.pem")));
        certificates.reverse();
        let identity = identify(&certificates, &nvidia()).unwrap();
        assert_eq!(identity.device_key(), identity.layers()[3].key, "{name}");
        let info = identity.layers()[4].info.as_ref().unwrap();
        assert_eq!(
            (info.layout, info.fwids().count()),
            (layout, fwids),
            "{name}"
        );
        if fwids == 2 {
            assert_eq!(info.tcb[0].model.as_deref(), Some("GB100 A01 GSP"));
            assert!(
                info.fwids().nth(1).unwrap().to_digest().unwrap().is_zero(),
                "present and unused"
            );
        }
    }
}

#[test]
fn other_layouts_are_read() {
    let Some(folder_) = folder("caliptra") else {
        return;
    };
    let parse = |folder: &std::path::Path, name: &str| {
        Certificate::parse(&std::fs::read(folder.join(name)).unwrap()).unwrap()
    };
    let fmc = parse(&folder_, "fmc_alias_cert_ecc.der");
    let info = LayerInfo::of(0, &fmc).unwrap().unwrap();
    assert_eq!(info.layout, DiceLayout::MultiTcbInfo);
    let fwids: Vec<_> = info.fwids().cloned().collect();
    assert_eq!(
        fwids,
        [
            sha384(
                "89174d323270f9d456b0862335949437959be8a134458df89821cb50e2ac11843daa5b5a5a6bacf74ef8bdffd422e20b"
            ),
            sha384(
                "83ffe184760328cf1263026aacbc9d81e5d143d4fdc6253afcee3210f7c25bfcad4cae405b8b2811403bb3f1e3e85c19"
            ),
        ]
    );
    // Bits count from the left (X.680, 22.1): what is set in 00000001 is bit 31, which says only that the length is fixed.
    assert!(info.tcb.iter().all(|tcb| tcb.flags == 0));
    assert_eq!(info.tcb[0].kind, b"DEVICE_INFO");
    assert!(ueid(&fmc).unwrap().is_some());
    let ldevid = parse(&folder_, "ldevid_cert_ecc.der");
    assert_eq!(LayerInfo::of(0, &ldevid).unwrap(), None);
    assert!(ueid(&ldevid).unwrap().is_some());

    let alias = parse(&folder("oxide").unwrap(), "alias.cert.der");
    let info = LayerInfo::of(0, &alias).unwrap().unwrap();
    assert_eq!(
        (info.layout, info.fwids().next().unwrap().alg),
        (DiceLayout::TcbInfo, FwidAlg::Sha3(32))
    );

    let san = std::fs::read(folder("riot").unwrap().join("riot-ext.der")).unwrap();
    let info = LayerInfo::alt_name(&san).unwrap().unwrap();
    let digest = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    assert_eq!(info.layout, DiceLayout::RiotAltName);
    assert_eq!(info.fwids().next().unwrap().digest, unhex(digest));
}

/// A chain shown by somebody who has only seen it: identity, and no proof of it.
#[test]
fn i4_a_chain_without_a_fresh_signature_proves_nothing() {
    let Some(certificates) = bluefield() else {
        return;
    };
    let identity = identify(&certificates, &nvidia()).unwrap();
    for signature in [&[][..], &[0; 96], &[1; 96], &[0xff; 96]] {
        assert_eq!(
            identity
                .clone()
                .prove(&binding(1), signature, &AwsLc)
                .unwrap_err(),
            Refusal::DiceSignature
        );
    }
}

struct Lab {
    factory: SoftwareFactory,
    anchors: TrustAnchors,
}

impl Lab {
    fn new() -> Self {
        let factory = SoftwareFactory::new(&[7; 32], MADE).unwrap();
        let anchors = TrustAnchors::new(factory.anchor("lab").unwrap(), Vec::new());
        Self { factory, anchors }
    }

    fn boot(&self, uds: u8, firmware: [u8; 2]) -> SoftwareDice {
        let provisioned = self
            .factory
            .provision(&SoftwareDice::rom_key(&[uds; 32]).unwrap())
            .unwrap();
        SoftwareDice::boot(
            &[uds; 32],
            &provisioned,
            &firmware.map(|byte| HashAlg::Sha384.hash(&[&[byte]])),
        )
        .unwrap()
    }

    fn identity(&self, device: &SoftwareDice) -> DiceIdentity {
        identify(device.certificates(), &self.anchors).unwrap()
    }
}

#[test]
fn the_software_root_speaks_the_hardwares_formats() {
    let lab = Lab::new();
    let device = lab.boot(1, [10, 20]);
    let identity = lab.identity(&device);
    assert_eq!(
        (identity.anchor(), identity.anchor_kind()),
        ("lab", AnchorKind::Operator)
    );
    let layouts: Vec<_> = identity
        .layers()
        .iter()
        .map(|layer| layer.info.as_ref().map(|info| info.layout))
        .collect();
    assert_eq!(
        layouts,
        [
            None,
            None,
            None,
            None,
            Some(DiceLayout::Riot),
            Some(DiceLayout::Riot)
        ]
    );

    let proof = identity
        .prove(&binding(1), &device.sign(&binding(1)), &AwsLc)
        .unwrap();
    let claims = proof.claims(Label::Irot).unwrap();
    assert_eq!(claims.layers[4].fwids, [HashAlg::Sha384.hash(&[&[10]])]);
    assert_eq!(claims.layers[5].fwids, [HashAlg::Sha384.hash(&[&[20]])]);
    assert!(
        claims.layers[..4]
            .iter()
            .all(|layer| layer.fwids.is_empty() && layer.layout.is_none())
    );
    assert_eq!(claims.ends.as_secs(), 253_402_300_799);

    // openssl, which knows nothing of all this, agrees that it is a chain.
    let Some(folder) = openssl_verifies(device.certificates()) else {
        return;
    };
    drop(folder);
}

fn openssl_verifies(certificates: &[Vec<u8>]) -> Option<tempfile::TempDir> {
    use base64ct::{Base64, Encoding as _};
    let folder = tempfile::tempdir().unwrap();
    let pem = |certificates: &[Vec<u8>]| -> String {
        let one = |der: &Vec<u8>| {
            let body = Base64::encode_string(der);
            let lines: Vec<_> = body
                .as_bytes()
                .chunks(64)
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                lines.join("\n")
            )
        };
        certificates.iter().map(one).collect()
    };
    for (name, part) in [
        ("root", &certificates[..1]),
        ("middle", &certificates[1..5]),
        ("leaf", &certificates[5..]),
    ] {
        std::fs::write(folder.path().join(name), pem(part)).unwrap();
    }
    let verdict = std::process::Command::new("openssl")
        .args([
            "verify",
            "-x509_strict",
            "-CAfile",
            "root",
            "-untrusted",
            "middle",
            "leaf",
        ])
        .current_dir(folder.path())
        .output()
        .ok()?;
    assert!(
        verdict.status.success(),
        "{}",
        String::from_utf8_lossy(&verdict.stderr)
    );
    Some(folder)
}

#[test]
fn the_software_root_follows_from_its_inputs_alone() {
    let lab = Lab::new();
    let keys = |device: &SoftwareDice| -> Vec<[u8; 32]> {
        lab.identity(device)
            .layers()
            .iter()
            .map(|layer| layer.key)
            .collect()
    };
    let first = lab.boot(1, [10, 20]);
    assert_eq!(first.certificates(), lab.boot(1, [10, 20]).certificates());
    assert_eq!(
        first.sign(&binding(1)),
        lab.boot(1, [10, 20]).sign(&binding(1))
    );

    let (base, runtime, code, other) = (
        keys(&first),
        keys(&lab.boot(1, [10, 21])),
        keys(&lab.boot(1, [11, 20])),
        keys(&lab.boot(2, [10, 20])),
    );
    assert_eq!(
        base[..5],
        runtime[..5],
        "run-time firmware changes the leaf only"
    );
    assert_ne!(base[5], runtime[5]);
    assert_eq!(
        base[..4],
        code[..4],
        "first code changes all below the device"
    );
    assert!(base[4] != code[4] && base[5] != code[5]);
    assert_eq!(base[..3], other[..3], "the operator's part is shared");
    assert!((3..6).all(|layer| base[layer] != other[layer]));

    let again = SoftwareFactory::new(&[7; 32], MADE).unwrap();
    assert_eq!(
        again.anchor("lab").unwrap(),
        lab.factory.anchor("lab").unwrap()
    );
    let another = SoftwareFactory::new(&[8; 32], MADE).unwrap();
    assert_ne!(
        another.anchor("lab").unwrap().spki(),
        lab.factory.anchor("lab").unwrap().spki()
    );
    assert!(SoftwareFactory::new(&[7; 32], Timestamp::MAX).is_err());
}

#[test]
fn a_device_takes_its_own_certificates_only() {
    let lab = Lab::new();
    let provisioned = lab
        .factory
        .provision(&SoftwareDice::rom_key(&[1; 32]).unwrap())
        .unwrap();
    let firmware = [1, 2].map(|byte| HashAlg::Sha384.hash(&[&[byte]]));
    assert_eq!(
        SoftwareDice::boot(&[2; 32], &provisioned, &firmware).unwrap_err(),
        Refusal::DiceOtherDevice
    );
    let short = SoftwareDice::boot(&[1; 32], &provisioned[..3], &firmware).unwrap_err();
    assert_eq!(short, Refusal::ChainTooShort { limit: 4 });
}

#[test]
fn i4_a_signature_for_another_session_is_refused() {
    let lab = Lab::new();
    let device = lab.boot(1, [10, 20]);
    let old = device.sign(&binding(1));
    assert_eq!(
        lab.identity(&device)
            .prove(&binding(2), &old, &AwsLc)
            .unwrap_err(),
        Refusal::DiceSignature
    );
}

#[test]
fn i4_a_relayed_chain_is_refused() {
    let lab = Lab::new();
    let (device, other) = (lab.boot(1, [10, 20]), lab.boot(2, [10, 20]));
    let own_signature = other.sign(&binding(1));
    assert_eq!(
        lab.identity(&device)
            .prove(&binding(1), &own_signature, &AwsLc)
            .unwrap_err(),
        Refusal::DiceSignature
    );
}

#[test]
fn i4_layers_of_two_devices_do_not_mix() {
    let lab = Lab::new();
    let (device, other) = (lab.boot(1, [10, 20]), lab.boot(2, [10, 20]));
    for layer in 3..6 {
        let mut mixed = device.certificates().to_vec();
        mixed[layer] = other.certificates()[layer].clone();
        let refusal = identify(&mixed, &lab.anchors).unwrap_err();
        let at = if layer == 3 { 4 } else { layer };
        assert_eq!(
            refusal,
            Refusal::ChainName { index: at },
            "names hold the key's serial, so they part first"
        );
    }
}

#[test]
fn an_operators_root_is_no_vendors() {
    let lab = Lab::new();
    let device = lab.boot(1, [10, 20]);
    assert_eq!(
        identify(device.certificates(), &nvidia()).unwrap_err(),
        Refusal::ChainNoAnchor
    );
}

#[test]
fn the_member_is_one_encoding_of_chain_and_signature() {
    let lab = Lab::new();
    let device = lab.boot(1, [10, 20]);
    let member = device.member(&binding(1));
    DiceEvidence::parse(&member).unwrap();
    for length in 0..member.len() {
        assert!(DiceEvidence::parse(&member[..length]).is_err(), "{length}");
    }
    assert!(DiceEvidence::parse(&[&member[..], &[0]].concat()).is_err());
    let write = |certificates: &[Vec<u8>]| {
        DiceEvidence::parse(&DiceEvidence::write(certificates, &[0; 96])).map(|_| ())
    };
    assert_eq!(write(&[]), Err(Refusal::ChainTooShort { limit: 1 }));
    assert_eq!(
        write(&[device.certificates(), device.certificates()].concat()),
        Err(Refusal::ChainTooLong { limit: 8 })
    );
    assert!(DiceEvidence::parse(&DiceEvidence::write(device.certificates(), &[0; 97])).is_err());
}

// -- forged shapes: each is right but for one thing ---------------------------------------------------------------------

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

#[test]
fn reference_digests_come_out_as_they_went_in() {
    let digest = Digest::new(HashAlg::Sha512, &[6; 64]).unwrap();
    let lab = Lab::new();
    let provisioned = lab
        .factory
        .provision(&SoftwareDice::rom_key(&[1; 32]).unwrap())
        .unwrap();
    let device =
        SoftwareDice::boot(&[1; 32], &provisioned, &[digest.clone(), digest.clone()]).unwrap();
    let proof = lab
        .identity(&device)
        .prove(&binding(1), &device.sign(&binding(1)), &AwsLc)
        .unwrap();
    assert_eq!(proof.claims(Label::Irot).unwrap().layers[5].fwids, [digest]);
}

//! The lab's software root: the hardware's formats, and every way to use its proofs for something else.

use assay_attest::attester::dice::{SoftwareDice, SoftwareFactory};
use assay_attest::chain::AnchorKind;
use assay_attest::codec::dice::DiceLayout;
use assay_attest::digest::{Digest, HashAlg};
use assay_attest::evidence::dice::DiceEvidence;
use assay_attest::refusal::Refusal;
use assay_attest::session::Label;
use assay_attest::time::Timestamp;
use assay_checks::AwsLc;

use super::{Lab, MADE, binding, identify, nvidia};

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
    assert!(DiceEvidence::parse(&DiceEvidence::write(device.certificates(), &[0; 133])).is_err());
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

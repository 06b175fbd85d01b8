//! Chains of real devices, and every way to spoil them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use assay_attest::chain::{Anchor, AnchorKind, Chain, Order, TrustAnchors, Usage};
use assay_attest::codec::spki;
use assay_attest::codec::x509::Certificate;
use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use assay_attest::refusal::Refusal;
use assay_attest::time::Timestamp;
use assay_checks::AwsLc;

use crate::vectors::{folder, pem, unhex};

/// 2026-11-22.
const NOW: Timestamp = Timestamp::from_secs(1_795_305_600);

fn nvidia() -> TrustAnchors {
    TrustAnchors::new(Anchor::nvidia_device_identity(), Vec::new())
}

/// The six certificates of a real BlueField-3, root first.
pub(crate) fn bluefield() -> Option<Vec<Vec<u8>>> {
    let mut certificates = pem(&folder("nvidia-bf3")?.join("bf3-irot-chain.pem"));
    certificates.reverse();
    assert_eq!(certificates.len(), 6);
    Some(certificates)
}

fn verify(
    certificates: &[Vec<u8>],
    anchors: &TrustAnchors,
    usage: Usage,
    now: Timestamp,
) -> Result<(), Refusal> {
    let chain = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst)?;
    chain.verify(anchors, usage, now, &AwsLc).map(|_| ())
}

fn dice(certificates: &[Vec<u8>]) -> Result<(), Refusal> {
    verify(certificates, &nvidia(), Usage::Dice, NOW)
}

#[test]
fn the_real_bluefield_chain_verifies_to_nvidias_root() {
    let Some(certificates) = bluefield() else {
        return;
    };
    let chain = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst).unwrap();
    let anchors = nvidia();
    let verified = chain.verify(&anchors, Usage::Dice, NOW, &AwsLc).unwrap();
    assert_eq!(verified.anchor().name(), "nvidia-device-identity");
    assert_eq!(verified.anchor().kind(), AnchorKind::Vendor);
    assert_eq!(
        verified.ends().as_secs(),
        253_402_300_799,
        "9999-12-31T23:59:59Z"
    );
    let leaf_first = Chain::parse(
        certificates.iter().rev().map(Vec::as_slice),
        Order::LeafFirst,
    )
    .unwrap();
    assert_eq!(leaf_first, chain);
    let root = std::fs::read(folder("nvidia-bf3").unwrap().join("opn_root_cert.der")).unwrap();
    assert_eq!(chain.certificates()[0].der(), root);
    assert_eq!(
        Anchor::nvidia_device_identity().spki(),
        chain.certificates()[0].spki()
    );
}

/// Remembers what verified, so that a changed certificate costs one check and not five. Failures are never remembered.
#[derive(Default)]
struct Remembering(Mutex<Vec<(PublicKey, Vec<u8>)>>);

impl CheckSignature for Remembering {
    fn check(
        &self,
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let asked = (key.clone(), [message, signature].concat());
        if self.0.lock().unwrap().contains(&asked) {
            return Ok(());
        }
        AwsLc.check(key, scheme, message, signature)?;
        self.0.lock().unwrap().push(asked);
        Ok(())
    }
}

#[test]
fn i2_each_one_bit_change_in_each_certificate_is_refused() {
    let Some(certificates) = bluefield() else {
        return;
    };
    let (anchors, check) = (nvidia(), Remembering::default());
    let verify = |certificates: &[Vec<u8>]| {
        let chain = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst)?;
        chain.verify(&anchors, Usage::Dice, NOW, &check).map(|_| ())
    };
    verify(&certificates).unwrap();
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for index in 0..certificates.len() {
        for bit in 0..certificates[index].len() * 8 {
            let mut changed = certificates.clone();
            changed[index][bit / 8] ^= 0x80 >> (bit % 8);
            let Err(refusal) = verify(&changed) else {
                panic!("certificate {index}, bit {bit}: accepted")
            };
            let at = match refusal {
                Refusal::ChainSignature { index }
                | Refusal::ChainName { index }
                | Refusal::ChainOrder { index } => Some(index),
                Refusal::ChainNoAnchor => Some(0),
                _ => None,
            };
            // A changed name or key is noticed at the certificate itself or at the next one.
            assert!(
                at.is_none_or(|at| at == index || at == index + 1),
                "certificate {index}, bit {bit}: {refusal:?}"
            );
            *codes.entry(refusal.code()).or_default() += 1;
        }
    }
    let known = [
        "chain.signature",
        "chain.name",
        "chain.no_anchor",
        "chain.order",
        "evidence.malformed",
        "evidence.truncated",
    ];
    let known = [
        &known[..],
        &[
            "evidence.trailing_bytes",
            "evidence.unsupported",
            "evidence.too_large",
            "algorithm.unsupported",
        ],
    ]
    .concat();
    for code in codes.keys() {
        assert!(
            known.contains(code),
            "{code} is not how a changed bit is told: {codes:?}"
        );
    }
    assert!(
        codes["chain.signature"] > codes.values().sum::<usize>() / 2,
        "{codes:?}"
    );
}

#[test]
fn i2_each_bit_of_a_signature_counts() {
    let Some(certificates) = bluefield() else {
        return;
    };
    for (index, certificate) in certificates.iter().enumerate() {
        // The last byte belongs to s: no length, no tag.
        let mut changed = certificates.clone();
        changed[index][certificate.len() - 1] ^= 1;
        assert_eq!(dice(&changed), Err(Refusal::ChainSignature { index }));
    }
}

#[test]
fn a_dropped_certificate_is_refused() {
    let Some(certificates) = bluefield() else {
        return;
    };
    let without = |index: usize| {
        let mut rest = certificates.clone();
        rest.remove(index);
        dice(&rest)
    };
    assert_eq!(without(0), Err(Refusal::ChainNoAnchor));
    for index in 1..5 {
        assert_eq!(without(index), Err(Refusal::ChainName { index }));
    }
    assert_eq!(
        without(5),
        Err(Refusal::ChainBasicConstraints { index: 4 }),
        "the last one left is a CA"
    );
    assert_eq!(dice(&[]), Err(Refusal::ChainTooShort { limit: 1 }));
    assert_eq!(
        dice(&certificates[..1]),
        Err(Refusal::ChainBasicConstraints { index: 0 })
    );
}

#[test]
fn a_repeated_certificate_is_refused() {
    let Some(certificates) = bluefield() else {
        return;
    };
    for index in 0..certificates.len() {
        for at in 0..=certificates.len() {
            let mut more = certificates.clone();
            more.insert(at, certificates[index].clone());
            let second = if at <= index { index + 1 } else { at };
            assert_eq!(
                dice(&more),
                Err(Refusal::ChainDuplicate { index: second }),
                "{index} again at {at}"
            );
        }
    }
    let nine = [&certificates[..], &certificates[..3]].concat();
    assert_eq!(dice(&nine), Err(Refusal::ChainTooLong { limit: 8 }));
}

#[test]
fn a_reordered_chain_is_refused() {
    let Some(certificates) = bluefield() else {
        return;
    };
    for first in 0..certificates.len() {
        for second in first + 1..certificates.len() {
            let mut swapped = certificates.clone();
            swapped.swap(first, second);
            let refusal = dice(&swapped).unwrap_err();
            assert_eq!(
                refusal.code(),
                "chain.order",
                "{first} and {second}: {refusal:?}"
            );
        }
    }
    let leaf_first: Vec<_> = certificates.iter().rev().cloned().collect();
    assert_eq!(dice(&leaf_first), Err(Refusal::ChainOrder { index: 0 }));
}

#[test]
fn i4_a_certificate_of_another_device_is_refused() {
    let Some(certificates) = bluefield() else {
        return;
    };
    let mut gpu = pem(&folder("nvidia-spdm").unwrap().join("gh100-a.chain.pem"));
    gpu.reverse();
    for (index, other) in [(1, 1), (2, 2), (3, 3), (5, 4)] {
        let mut swapped = certificates.clone();
        swapped[index] = gpu[other].clone();
        let refusal = dice(&swapped).unwrap_err();
        let expected = if index == 1 { 2 } else { index };
        assert_eq!(refusal, Refusal::ChainName { index: expected }, "{index}");
    }
}

#[test]
fn only_pinned_roots_count() {
    let Some(certificates) = bluefield() else {
        return;
    };
    let chain = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst).unwrap();
    let anchor = |index: usize| {
        let certificate: &Certificate = &chain.certificates()[index];
        TrustAnchors::new(
            Anchor::from_certificate("x", AnchorKind::Vendor, certificate).unwrap(),
            Vec::new(),
        )
    };
    verify(&certificates, &anchor(0), Usage::Dice, NOW).unwrap();
    let pinned = Anchor::pin("x", AnchorKind::Vendor, chain.certificates()[0].spki()).unwrap();
    verify(
        &certificates,
        &TrustAnchors::new(pinned, Vec::new()),
        Usage::Dice,
        NOW,
    )
    .unwrap();
    // A pinned middle does not stand in for the root, with or without what is above it.
    assert_eq!(
        verify(&certificates, &anchor(2), Usage::Dice, NOW),
        Err(Refusal::ChainOrder { index: 0 })
    );
    assert_eq!(
        verify(&certificates[2..], &anchor(2), Usage::Dice, NOW),
        Err(Refusal::ChainNoAnchor)
    );
    assert_eq!(
        verify(&certificates[3..], &anchor(2), Usage::Dice, NOW),
        Err(Refusal::ChainNoAnchor)
    );
    let leaf = &chain.certificates()[5];
    assert_eq!(
        Anchor::from_certificate("x", AnchorKind::Vendor, leaf).unwrap_err(),
        Refusal::ChainBasicConstraints { index: 0 }
    );
}

#[test]
fn dates_are_held_against_now() {
    let Some(certificates) = bluefield() else {
        return;
    };
    let at = |secs| {
        verify(
            &certificates,
            &nvidia(),
            Usage::Dice,
            Timestamp::from_secs(secs),
        )
    };
    // Root: 2021-11-05; model CA: 2022-01-12; the others: 2020-10-17.
    assert_eq!(
        at(1_636_070_399),
        Err(Refusal::ChainNotYetValid { index: 0 })
    );
    assert_eq!(
        at(1_636_070_400),
        Err(Refusal::ChainNotYetValid { index: 1 })
    );
    assert_eq!(
        at(1_641_945_599),
        Err(Refusal::ChainNotYetValid { index: 1 })
    );
    assert_eq!(at(1_641_945_600), Ok(()));
    assert_eq!(at(253_402_300_799), Ok(()));
    assert_eq!(at(253_402_300_800), Err(Refusal::ChainExpired { index: 0 }));
}

#[test]
fn chains_of_other_nvidia_devices_verify() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    for name in ["gh100-a", "gb100-a", "ls10-a"] {
        let mut certificates = pem(&folder.join(format!("{name}.chain.pem")));
        certificates.reverse();
        assert_eq!(dice(&certificates), Ok(()), "{name}");
    }
    let mut certificates = pem(&folder.join("chain-missing-intermediate.pem"));
    certificates.reverse();
    assert_eq!(dice(&certificates), Err(Refusal::ChainName { index: 2 }));
}

fn certificate(folder: &str, name: &str) -> Option<Vec<u8>> {
    let path = self::folder(folder)?.join(name);
    let bytes = std::fs::read(&path).unwrap();
    Some(if bytes.starts_with(b"-----") {
        pem(&path).remove(0)
    } else {
        bytes
    })
}

#[test]
fn caliptras_names_do_not_chain_though_the_signature_is_good() {
    let Some(ldevid) = certificate("caliptra", "ldevid_cert_ecc.der") else {
        return;
    };
    let fmc = certificate("caliptra", "fmc_alias_cert_ecc.der").unwrap();
    let (above, below) = (
        Certificate::parse(&ldevid).unwrap(),
        Certificate::parse(&fmc).unwrap(),
    );
    assert_eq!(below.is_signed_by(above.key(), &AwsLc), Ok(()));
    // The LDevID stands for a root here: its issuer's certificate is not published, only a request for it.
    let anchor = Anchor::from_certificate("caliptra", AnchorKind::Engineering, &above).unwrap();
    let anchors = TrustAnchors::new(anchor, Vec::new());
    assert_eq!(
        verify(&[ldevid.clone(), fmc.clone()], &anchors, Usage::Layers, NOW),
        Err(Refusal::ChainName { index: 1 }),
        "the pinned certificate itself, and another issuer's name"
    );
    assert_eq!(
        verify(&[ldevid.clone(), fmc.clone()], &anchors, Usage::Dice, NOW),
        Err(Refusal::ChainNoAnchor),
        "a proof's chain has its root"
    );
    // A pin of the key alone says nothing of a certificate that somebody else signed.
    let key = Anchor::pin("caliptra", AnchorKind::Engineering, above.spki()).unwrap();
    assert_eq!(
        verify(
            &[ldevid, fmc.clone()],
            &TrustAnchors::new(key, Vec::new()),
            Usage::Dice,
            NOW
        ),
        Err(Refusal::ChainNoAnchor),
        "not self-issued"
    );
    assert_eq!(
        verify(&[fmc], &anchors, Usage::EndorsementKey, NOW),
        Err(Refusal::ChainNoAnchor),
        "another issuer's name"
    );
    assert_ne!(below.issuer(), above.subject());
}

#[test]
fn caliptras_ldevid_is_signed_by_the_key_of_its_idevid_request() {
    let Some(ldevid) = certificate("caliptra", "ldevid_cert_ecc.der") else {
        return;
    };
    let request = certificate("caliptra", "idevid_csr_ecc.der").unwrap();
    // A P-384 SubjectPublicKeyInfo has 120 bytes and begins with these.
    let head = unhex("3076301006072a8648ce3d020106052b81040022036200");
    let at = request
        .windows(head.len())
        .position(|window| window == head)
        .unwrap();
    let idevid = spki::parse("request", &request[at..at + 120]).unwrap();
    let ldevid = Certificate::parse(&ldevid).unwrap();
    let check = ldevid.is_signed_by(&idevid, &AwsLc);
    assert_eq!(check, Ok(()));
    assert_eq!(ldevid.basic_constraints().unwrap().path_len, Some(6));
}

/// Every link stands on the one above; cut anywhere below the root it is still a chain of layers, and no proof.
#[test]
fn an_open_dice_chain_is_one_of_layers() {
    let Some(root) = certificate("open-dice", "x509-ed25519-uds.der") else {
        return;
    };
    let mut chain = vec![root];
    for link in 0..3 {
        let name = format!("x509-ed25519-chain-{link}.der");
        chain.push(certificate("open-dice", &name).unwrap());
    }
    let parsed = Certificate::parse(&chain[0]).unwrap();
    let anchor = Anchor::from_certificate("uds", AnchorKind::Operator, &parsed).unwrap();
    let anchors = TrustAnchors::new(anchor, Vec::new());
    for length in 1..=4 {
        let layers = verify(&chain[..length], &anchors, Usage::Layers, NOW);
        assert_eq!(layers, Ok(()), "{length}");
    }
    assert_eq!(
        verify(&chain[1..], &anchors, Usage::Layers, NOW),
        Ok(()),
        "the root left out"
    );
    assert_eq!(
        verify(&chain, &anchors, Usage::Dice, NOW),
        Err(Refusal::ChainBasicConstraints { index: 3 }),
        "its last layer is a CA and signs no evidence"
    );
    for dropped in 1..3 {
        let mut short = chain.clone();
        short.remove(dropped);
        assert_eq!(
            verify(&short, &anchors, Usage::Layers, NOW),
            Err(Refusal::ChainName { index: dropped })
        );
    }
    let mut swapped = chain.clone();
    swapped.swap(1, 2);
    assert_eq!(
        verify(&swapped, &anchors, Usage::Layers, NOW),
        Err(Refusal::ChainOrder { index: 1 })
    );
    let repeated = [&chain[..], &chain[3..]].concat();
    assert_eq!(
        verify(&repeated, &anchors, Usage::Layers, NOW),
        Err(Refusal::ChainDuplicate { index: 4 })
    );
    for at in 0..4 {
        let mut bent = chain.clone();
        *bent[at].last_mut().unwrap() ^= 1;
        let found = verify(&bent, &anchors, Usage::Layers, NOW);
        assert_eq!(found, Err(Refusal::ChainSignature { index: at }));
    }
}

#[test]
fn oxides_template_does_not_verify_under_its_ca() {
    let Some(ca) = certificate("oxide", "ca.cert.der") else {
        return;
    };
    let alias = certificate("oxide", "alias.cert.der").unwrap();
    let root = Certificate::parse(&ca).unwrap();
    let anchors = |kind| {
        TrustAnchors::new(
            Anchor::from_certificate("oxide", kind, &root).unwrap(),
            Vec::new(),
        )
    };
    let anchors = anchors(AnchorKind::Operator);
    // The alias names "device-id" as its issuer, the CA is "identity".
    assert_eq!(
        verify(&[ca.clone(), alias.clone()], &anchors, Usage::Dice, NOW),
        Err(Refusal::ChainName { index: 1 })
    );
    let alias = Certificate::parse(&alias).unwrap();
    assert_eq!(alias.is_signed_by(root.key(), &AwsLc), Err(BadSignature));
    assert_eq!(
        verify(&[ca], &anchors, Usage::Dice, NOW),
        Err(Refusal::ChainBasicConstraints { index: 0 })
    );
}

#[test]
fn an_ek_certificate_is_for_secrets_and_an_ak_certificate_is_not() {
    let Some(root) = certificate("ek-certs", "gcp_ek_ak_ca_root.crt") else {
        return;
    };
    let [middle, ek, ak] = [
        "gcp_ek_ak_ca_intermediate_v3.crt",
        "pca_tpm_rsa_enc_cert.pem",
        "pca_tpm_ecc_sign_cert.pem",
    ]
    .map(|name| certificate("ek-certs", name).unwrap());
    let anchor = |der: &[u8]| {
        let certificate = Certificate::parse(der).unwrap();
        TrustAnchors::new(
            Anchor::from_certificate("gcp", AnchorKind::Vendor, &certificate).unwrap(),
            Vec::new(),
        )
    };
    let check = |chain: &[&Vec<u8>], anchors: &TrustAnchors, usage| {
        verify(
            &chain.iter().map(|der| (*der).clone()).collect::<Vec<_>>(),
            anchors,
            usage,
            NOW,
        )
    };
    let ek_usage = Usage::EndorsementKey;
    assert_eq!(
        check(&[&root, &middle, &ek], &anchor(&root), ek_usage),
        Ok(())
    );
    assert_eq!(
        check(&[&middle, &ek], &anchor(&root), ek_usage),
        Ok(()),
        "the root may be left out"
    );
    assert_eq!(
        check(&[&ek], &anchor(&middle), ek_usage),
        Ok(()),
        "a pinned middle"
    );
    assert_eq!(
        check(&[&ek], &anchor(&root), ek_usage),
        Err(Refusal::ChainNoAnchor)
    );
    assert_eq!(
        check(&[&root, &ek], &anchor(&root), ek_usage),
        Err(Refusal::ChainName { index: 1 })
    );
    assert_eq!(
        check(&[&root, &middle, &ak], &anchor(&root), ek_usage),
        Err(Refusal::ChainKeyUsage { index: 2 }),
        "an AK's"
    );
    assert_eq!(
        check(&[&root, &middle, &ek], &anchor(&root), Usage::Dice),
        Err(Refusal::ChainKeyUsage { index: 2 })
    );
    let mut changed = ek.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    assert_eq!(
        check(&[&middle, &changed], &anchor(&root), ek_usage),
        Err(Refusal::ChainSignature { index: 1 })
    );
    assert_eq!(
        check(&[&changed], &anchor(&middle), ek_usage),
        Err(Refusal::ChainSignature { index: 0 })
    );
}

#[test]
fn a_cross_signed_ek_root_is_pinned_and_left_out() {
    let Some(root) = certificate("ek-certs", "STM_ECC_01RT.pem") else {
        return;
    };
    let middle = certificate("ek-certs", "STM_ECC_01I.pem").unwrap();
    let parsed = Certificate::parse(&root).unwrap();
    let anchors = TrustAnchors::new(
        Anchor::from_certificate("stm", AnchorKind::Vendor, &parsed).unwrap(),
        Vec::new(),
    );
    // The middle is a CA, so as a leaf it is refused, but only after anchor, name and signature have held.
    let alone = verify(
        std::slice::from_ref(&middle),
        &anchors,
        Usage::EndorsementKey,
        NOW,
    );
    assert_eq!(alone, Err(Refusal::ChainBasicConstraints { index: 0 }));
    let authority = Usage::EndorsementAuthority;
    assert_eq!(
        verify(std::slice::from_ref(&middle), &anchors, authority, NOW),
        Ok(())
    );
    // The pinned certificate itself may stand in the chain, though GlobalSign signed it, whom nobody pinned.
    let both = [root, middle];
    assert_eq!(verify(&both, &anchors, authority, NOW), Ok(()));
    let key = Anchor::pin("stm", AnchorKind::Vendor, parsed.spki()).unwrap();
    assert_eq!(
        verify(&both, &TrustAnchors::new(key, Vec::new()), authority, NOW),
        Err(Refusal::ChainNoAnchor),
        "signed by somebody nobody pinned"
    );
}

/// A decision, recorded: the issuer's SET OF of this genuine vendor root is not in DER's order. Names are compared as they
/// stand and nothing is read out of them, so it is accepted.
#[test]
fn nuvotons_unordered_names_are_accepted_as_they_stand() {
    let Some(der) = certificate("ek-certs", "NUVO_2110.pem") else {
        return;
    };
    let root = Certificate::parse(&der).unwrap();
    assert!(root.is_self_issued());
    assert_eq!(root.is_signed_by(root.key(), &AwsLc), Ok(()));
    Anchor::from_certificate("nuvoton", AnchorKind::Vendor, &root).unwrap();
}

#[test]
fn anchors_are_never_empty() {
    assert_eq!(TrustAnchors::from_vec(Vec::new()), None);
    let one = TrustAnchors::from_vec(vec![Anchor::nvidia_device_identity()]).unwrap();
    assert_eq!(one, nvidia());
    assert_eq!(one.iter().count(), 1);
    let digest = assay_attest::digest::sha256(&[Anchor::nvidia_device_identity().spki()]);
    assert_eq!(
        digest.to_vec(),
        unhex("a90c4eb5acfd3e3d03a25db6a26b84f720ad0503196c627c21ddd48dd85b06a4")
    );
}

//! Our responder in every version, and its messages one by one.

use assay_attest::attester::spdm::{Responder, record};
use assay_attest::codec::spdm::Version;
use assay_attest::codec::spdm::algorithms::{Asymmetric, MeasurementHash, OpaqueFormat};
use assay_attest::codec::spdm::block::{Block, Value, ValueType};
use assay_attest::codec::spdm::measurements::{Changed, Operation};
use assay_attest::codec::spdm::opaque::Opaque;
use assay_attest::codec::spdm::slot::SlotChain;
use assay_attest::codec::spdm::transcript::Transcript;
use assay_attest::digest::HashAlg;
use assay_attest::refusal::Refusal;
use assay_attest::spdm::verify;
use assay_checks::AwsLc;

use super::{NONCE, blocks, code, leaf, measure};
use crate::dice::Lab;

#[test]
fn every_version_signs_what_it_measured() {
    let lab = Lab::new();
    let dice = lab.boot(1, [10, 20]);
    let leaf = leaf(dice.certificates(), &lab.anchors).unwrap();
    let one_by_one: Vec<Operation> = core::iter::once(Operation::Count)
        .chain((1..=11).map(Operation::Index))
        .collect();
    for version in Version::ALL {
        for operations in [&[Operation::All][..], &one_by_one] {
            let bytes = measure(&dice, version, &NONCE, operations);
            assert_eq!(code(&bytes, &leaf, &NONCE), "accepted", "{version:?}");
            let transcript = Transcript::parse(&bytes).unwrap();
            assert_eq!(transcript.exchanges().len(), operations.len());
            assert_eq!(transcript.as_bytes(), bytes);
            let report = verify(&transcript, &leaf, &AwsLc).unwrap();
            let found: Vec<Block> = report.blocks().values().cloned().collect();
            assert_eq!(found, blocks(), "{version:?}");
            if let Some(agreed) = transcript.negotiation() {
                assert_eq!(
                    (agreed.version, agreed.asymmetric, agreed.hash),
                    (version, Asymmetric::P384, HashAlg::Sha384)
                );
                assert_eq!(
                    agreed.measurement_hash,
                    MeasurementHash::Hash(HashAlg::Sha512)
                );
                assert_eq!(agreed.opaque, OpaqueFormat::General);
            }
        }
    }
}

#[test]
fn the_certificates_come_in_portions_and_give_the_chain() {
    let lab = Lab::new();
    let dice = lab.boot(1, [10, 20]);
    let mut responder = Responder::new(&dice, Version::V11, blocks());
    let mut slot = Vec::new();
    loop {
        let offset = u16::try_from(slot.len()).unwrap().to_le_bytes();
        let request = [&[0x11, 0x82, 0, 0][..], &offset, &700u16.to_le_bytes()].concat();
        let answer = responder.respond(&request, &[0; 32]);
        assert_eq!(&answer[..4], &[0x11, 0x02, 0, 0]);
        slot.extend_from_slice(&answer[8..]);
        if answer[6..8] == [0, 0] {
            break;
        }
    }
    let chain = SlotChain::parse(&slot).unwrap();
    assert_eq!(chain.certificates(), dice.certificates());
    assert_eq!(
        chain.root_hash(),
        Some(&HashAlg::Sha384.hash(&[&dice.certificates()[0]]))
    );
    let digests = responder.respond(&[0x11, 0x81, 0, 0], &[0; 32]);
    assert_eq!(&digests[4..], HashAlg::Sha384.hash(&[&slot]).bytes());

    // A slot is its root's hash, its length, its certificates: each of them counts.
    for at in [0, 2, 4, 30, 51] {
        let mut bent = slot.clone();
        bent[at] ^= 1;
        assert!(SlotChain::parse(&bent).is_err(), "byte {at}");
    }
    assert_eq!(
        SlotChain::parse(&[&slot[..4], &[0; 48], &slot[52..]].concat())
            .unwrap_err()
            .code(),
        "spdm.root_hash"
    );
    for length in 0..slot.len() {
        assert!(SlotChain::parse(&slot[..length]).is_err(), "{length} bytes");
    }
    assert!(SlotChain::parse(&[&slot[..], &[0]].concat()).is_err());
}

#[test]
fn what_it_can_not_answer_is_an_error_message() {
    let lab = Lab::new();
    let dice = lab.boot(1, [10, 20]);
    let mut responder = Responder::new(&dice, Version::V11, blocks());
    for (request, error) in [
        (&[0x11, 0x83, 0, 0][..], 0x07),
        (&[0x12, 0xe0, 0, 0xff], 0x41),
        (&[0x11, 0xe0, 0, 200], 0x01),
        (&[0x11, 0xe0, 1, 0xff], 0x01),
        (&[0x11], 0x01),
        (&[], 0x01),
    ] {
        let answer = responder.respond(request, &[0; 32]);
        assert_eq!(answer, [0x11, 0x7f, error, 0], "{request:?}");
    }
    let refused = record(Version::V12, &NONCE, &[Operation::All], |request| {
        Ok::<_, Refusal>(responder.respond(request, &[0; 32]))
    });
    assert_eq!(
        refused,
        Err(Refusal::SpdmCode {
            expected: 0x61,
            found: 0x7f
        }),
        "it speaks 1.1"
    );
}

#[test]
fn opaque_data_are_in_the_format_that_was_agreed_on() {
    let lab = Lab::new();
    let dice = lab.boot(1, [10, 20]);
    let leaf = leaf(dice.certificates(), &lab.anchors).unwrap();
    let speak = |version, opaque: &[u8]| {
        let mut responder = Responder::new(&dice, version, blocks()).with_opaque(opaque);
        record(version, &NONCE, &[Operation::All], |request| {
            Ok::<_, Refusal>(responder.respond(request, &[1; 32]))
        })
        .unwrap()
    };
    // One element: registry 3 (PCI-SIG), vendor 10de, three bytes, padded.
    let general = b"\x01\0\0\0\x03\x02\xde\x10\x03\0abc\0\0\0";
    let bytes = speak(Version::V12, general);
    let transcript = Transcript::parse(&bytes).unwrap();
    let Opaque::General(elements) = transcript.opaque() else {
        panic!("not general");
    };
    assert_eq!(elements.len(), 1);
    assert_eq!(
        (elements[0].registry, &elements[0].data[..]),
        (3, &b"abc"[..])
    );
    for bad in [
        &general[..15],
        b"\x02\0\0\0\x03\x02\xde\x10\x03\0abc\0\0\0",
        b"\x14\0\x01\0a",
    ] {
        assert!(Transcript::parse(&speak(Version::V12, bad)).is_err());
    }
    // Before 1.2 it is the vendor's own; a firmware digest in it must be the leaf's.
    assert_eq!(
        code(&speak(Version::V11, b"anything"), &leaf, &NONCE),
        "accepted"
    );
    let fwid = HashAlg::Sha384.hash(&[&[20]]);
    let field = |digest: &[u8]| [&[20, 0, 48, 0][..], digest].concat();
    let good = speak(Version::V11, &field(fwid.bytes()));
    assert_eq!(code(&good, &leaf, &NONCE), "accepted");
    for bad in [HashAlg::Sha384.hash(&[&[10]]).bytes(), &[0; 48]] {
        let other = speak(Version::V11, &field(bad));
        assert_eq!(code(&other, &leaf, &NONCE), "spdm.fwid");
    }
}

#[test]
fn measurements_that_changed_meanwhile_are_refused() {
    let lab = Lab::new();
    let dice = lab.boot(1, [10, 20]);
    let leaf = leaf(dice.certificates(), &lab.anchors).unwrap();
    for (version, changed, expected) in [
        (Version::V12, Changed::Yes, "spdm.content_changed"),
        (Version::V13, Changed::Yes, "spdm.content_changed"),
        (Version::V12, Changed::No, "accepted"),
        (Version::V12, Changed::Unknown, "accepted"),
        // Those bits have no meaning before 1.2.
        (Version::V11, Changed::Yes, "accepted"),
    ] {
        let mut responder = Responder::new(&dice, version, blocks()).with_changed(changed);
        let bytes = record(version, &NONCE, &[Operation::All], |request| {
            Ok::<_, Refusal>(responder.respond(request, &[1; 32]))
        })
        .unwrap();
        assert_eq!(
            code(&bytes, &leaf, &NONCE),
            expected,
            "{version:?} {changed:?}"
        );
    }
}

#[test]
fn a_zero_digest_measures_nothing_and_raw_values_are_compared_by_sha256() {
    let zero = Block {
        index: 1,
        kind: ValueType::MutableFirmware,
        value: Value::Digest(assay_attest::digest::Digest::new(HashAlg::Sha384, &[0; 48]).unwrap()),
    };
    assert_eq!(zero.comparable(), None);
    let raw = Block {
        value: Value::Raw(vec![0, 0, 0, 1]),
        ..zero
    };
    assert_eq!(
        raw.comparable(),
        Some(HashAlg::Sha256.hash(&[&[0, 0, 0, 1]]))
    );
}

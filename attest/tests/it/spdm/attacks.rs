//! What somebody between device and verifier may try with transcripts: each rule is broken by one test.

use assay_attest::chain::{Chain, Order, Usage};
use assay_attest::codec::spdm::Version;
use assay_attest::codec::spdm::block;
use assay_attest::codec::spdm::measurements::Operation;
use assay_attest::codec::spdm::transcript::Transcript;
use assay_attest::spdm::{Leaf, verify};
use assay_checks::AwsLc;

use super::{NONCE, code, leaf, measure};
use crate::dice::{Lab, NOW};

struct Known {
    lab: Lab,
    leaf: Leaf,
    dice: assay_attest::attester::dice::SoftwareDice,
}

impl Known {
    fn new() -> Self {
        let lab = Lab::new();
        let dice = lab.boot(1, [10, 20]);
        let leaf = leaf(dice.certificates(), &lab.anchors).unwrap();
        Self { lab, leaf, dice }
    }

    fn all(&self, version: Version) -> Vec<u8> {
        measure(&self.dice, version, &NONCE, &[Operation::All])
    }

    fn code(&self, bytes: &[u8]) -> &'static str {
        code(bytes, &self.leaf, &NONCE)
    }
}

/// Where GET_MEASUREMENTS begins.
fn requests(bytes: &[u8], version: Version) -> Vec<usize> {
    let start = [version.byte(), 0xe0];
    (0..bytes.len() - 4)
        .filter(|at| {
            bytes[*at..].starts_with(&start)
                && bytes[at + 2] <= 1
                && Transcript::parse(bytes).is_ok()
        })
        .collect()
}

#[test]
fn i4_a_transcript_answers_one_nonce() {
    let known = Known::new();
    for version in Version::ALL {
        let good = known.all(version);
        assert_eq!(code(&good, &known.leaf, &[1; 32]), "spdm.nonce");
        assert_eq!(code(&good, &known.leaf, &NONCE[..31]), "spdm.nonce");
        assert_eq!(code(&good, &known.leaf, &[]), "spdm.nonce");
    }
}

#[test]
fn i2_every_byte_of_a_transcript_is_covered() {
    let known = Known::new();
    for version in Version::ALL {
        let good = known.all(version);
        for at in 0..good.len() {
            // The signature and a sample of what it covers; headers whole.
            if at > 190 && at + 96 < good.len() && at % 11 != 0 {
                continue;
            }
            let mut bent = good.clone();
            bent[at] ^= 0x01 << (at % 8);
            assert_ne!(known.code(&bent), "accepted", "{version:?}: byte {at}");
        }
        for length in 0..good.len() {
            assert_ne!(
                known.code(&good[..length]),
                "accepted",
                "{version:?}: {length}"
            );
        }
        assert_ne!(known.code(&[&good[..], &[0]].concat()), "accepted");
    }
}

#[test]
fn i4_exchanges_are_neither_dropped_added_nor_swapped() {
    let known = Known::new();
    let operations = [
        Operation::Count,
        Operation::Index(2),
        Operation::Index(3),
        Operation::Index(4),
    ];
    let good = measure(&known.dice, Version::V11, &NONCE, &operations);
    assert_eq!(known.code(&good), "accepted");
    let starts = requests(&good, Version::V11);
    assert_eq!(starts.len(), 4);
    let part = |at: usize| &good[starts[at]..starts.get(at + 1).copied().unwrap_or(good.len())];
    for order in [
        &[1, 2, 3][..],
        &[0, 1, 3],
        &[0, 2, 3],
        &[0, 2, 1, 3],
        &[0, 1, 1, 2, 3],
    ] {
        let parts: Vec<u8> = order.iter().flat_map(|at| part(*at)).copied().collect();
        assert_eq!(known.code(&parts), "spdm.signature", "{order:?}");
    }
    let unsigned: Vec<u8> = (0..3).flat_map(part).copied().collect();
    assert_eq!(known.code(&unsigned), "spdm.unsigned");
    // What follows the signed exchange is covered by nothing.
    let after = [&good[..], part(1)].concat();
    assert_ne!(known.code(&after), "accepted");
}

/// Since 1.2 the negotiation is signed, so no side can be talked into less; before, it is not, so it may not be shown.
#[test]
fn i4_the_negotiation_is_there_exactly_where_it_is_signed() {
    let known = Known::new();
    for version in [Version::V12, Version::V13] {
        let good = known.all(version);
        let start = requests(&good, version)[0];
        assert_ne!(known.code(&good[start..]), "accepted", "without it");
        let mut more = good.clone();
        // One more version in the offer.
        more[9] = 2;
        more.splice(12..12, [0, 0x11]);
        assert_eq!(known.code(&more), "spdm.signature");
    }
    let negotiation = {
        let good = known.all(Version::V12);
        good[..requests(&good, Version::V12)[0]].to_vec()
    };
    let mut older = negotiation.clone();
    for byte in &mut older {
        if *byte == 0x12 {
            *byte = 0x11;
        }
    }
    let good = known.all(Version::V11);
    assert_ne!(known.code(&[&negotiation[..], &good].concat()), "accepted");
    assert_ne!(known.code(&[&older[..], &good].concat()), "accepted");
}

/// A signature of 1.1 is none of 1.2, and the other way round: the context is what keeps them apart.
#[test]
fn i4_signatures_do_not_cross_versions() {
    let known = Known::new();
    let (twelve, thirteen) = (known.all(Version::V12), known.all(Version::V13));
    let cut = |bytes: &[u8]| bytes.len() - 96;
    for (body, signature) in [
        (&twelve, &thirteen),
        (&thirteen, &twelve),
        (&twelve, &known.all(Version::V11)),
    ] {
        let mixed = [&body[..cut(body)], &signature[cut(signature)..]].concat();
        assert_eq!(known.code(&mixed), "spdm.signature");
    }
}

#[test]
fn i4_another_devices_chain_or_an_older_boot_does_not_fit() {
    let known = Known::new();
    let good = known.all(Version::V11);
    for other in [known.lab.boot(2, [10, 20]), known.lab.boot(1, [10, 21])] {
        let leaf = leaf(other.certificates(), &known.lab.anchors).unwrap();
        assert_eq!(code(&good, &leaf, &NONCE), "spdm.signature");
    }
}

/// The requester is the attacker here: a context that is not given back, a slot that was not asked for.
#[test]
fn the_response_is_to_this_request() {
    let known = Known::new();
    let good = known.all(Version::V13);
    let start = requests(&good, Version::V13)[0];
    let mut bent = good.clone();
    bent[start + 4 + 32 + 1] ^= 1;
    assert_eq!(known.code(&bent), "spdm.context");
    let good = known.all(Version::V11);
    let mut bent = good.clone();
    bent[36] = 1;
    assert_eq!(known.code(&bent), "spdm.slot");
    let mut bent = good;
    (bent[36], bent[40]) = (0x0f, 0x0f);
    assert_eq!(
        known.code(&bent),
        "spdm.slot",
        "a public key without a chain"
    );
}

#[test]
fn records_are_exact() {
    let code = |bytes: &[u8], count| {
        block::record(bytes, count).map_or_else(|refusal| refusal.code(), |_| "accepted")
    };
    let digest = |index: u8, size: u16, byte: u8| {
        let mut block = vec![index, 1];
        block.extend_from_slice(&(size + 3).to_le_bytes());
        block.push(1);
        block.extend_from_slice(&size.to_le_bytes());
        block.extend(std::iter::repeat_n(byte, usize::from(size)));
        block
    };
    assert_eq!(code(&digest(1, 48, 7), Some(1)), "accepted");
    assert_eq!(code(&digest(1, 48, 7), Some(2)), "spdm.block_count");
    assert_eq!(
        code(&[digest(1, 48, 7), digest(1, 48, 7)].concat(), None),
        "spdm.block_twice"
    );
    assert_eq!(
        code(&[digest(1, 48, 7), digest(2, 64, 7)].concat(), None),
        "spdm.digest_size"
    );
    assert_eq!(code(&digest(1, 20, 7), None), "spdm.digest_size");
    assert_eq!(code(&digest(0, 48, 7), None), "spdm.block_index");
    assert_eq!(code(&digest(255, 48, 7), None), "spdm.block_index");
    assert_eq!(
        code(&[1, 2, 4, 0, 1, 1, 0, 0], None),
        "evidence.unsupported"
    );
    assert_eq!(
        code(&[1, 1, 4, 0, 0x8b, 1, 0, 0], None),
        "evidence.unsupported"
    );
    assert_eq!(code(&[1, 1, 4, 0, 0x81, 2, 0, 0], None), "spdm.block");
    assert_eq!(code(&[1, 1, 5, 0, 0x81, 1, 0, 0, 0], None), "spdm.block");
    assert_eq!(code(&[1, 1, 3, 0, 0x81, 0, 0], None), "spdm.block");
    assert_eq!(code(&[1, 1, 2, 0, 0x81, 0], None), "spdm.block");
    assert_eq!(code(&[1, 1, 4, 0, 0x85, 1, 0, 0], None), "spdm.block");
    assert_eq!(code(&[1, 1, 4, 0, 0x87, 1, 0, 0], None), "spdm.block");
    assert_eq!(code(&[1, 1, 0xff, 0xff, 0x81], None), "evidence.truncated");
    assert_eq!(code(&[], Some(0)), "accepted");
}

#[test]
fn c29_what_is_not_known_is_unsupported_never_a_panic() {
    let code = |bytes: &[u8]| Transcript::parse(bytes).unwrap_err().code();
    assert_eq!(code(&[0x14, 0xe0, 1, 0xff]), "evidence.unsupported");
    assert_eq!(code(&[0x21, 0xe0, 1, 0xff]), "evidence.unsupported");
    assert_eq!(code(&[0x11, 0x83, 0, 0]), "spdm.code");
    assert_eq!(code(&[]), "evidence.truncated");
    let known = Known::new();
    let good = known.all(Version::V12);
    // BaseAsymSel of ALGORITHMS: ML-DSA has no bit there; SM2 and two at once are refused.
    let at = good
        .windows(6)
        .position(|window| window == [0x12, 0x63, 0, 0, 36, 0])
        .unwrap();
    for (offset, byte) in [
        (12, 0x00),
        (13, 0x02),
        (12, 0x90),
        (16, 0x08),
        (16, 0x03),
        (8, 0x10),
    ] {
        let mut bent = good.clone();
        if byte == 0x02 && offset == 13 {
            bent[at + 12] = 0;
        }
        bent[at + offset] = byte;
        assert_eq!(code(&bent), "spdm.algorithm", "{offset}: {byte:#x}");
    }
}

#[test]
fn the_key_must_be_what_was_agreed_on() {
    let known = Known::new();
    let good = known.all(Version::V12);
    let at = good
        .windows(6)
        .position(|window| window == [0x12, 0x63, 0, 0, 36, 0])
        .unwrap();
    let mut bent = good.clone();
    // P-256 is agreed on, and the signature has its length: the key is still one of P-384.
    bent[at + 12] = 0x10;
    bent.truncate(bent.len() - 32);
    assert_eq!(known.code(&bent), "spdm.key");
}

/// Without the chain's own verification there is no leaf, and without a leaf nothing is checked: there is no other way in.
#[test]
fn i2_only_the_leaf_of_a_verified_chain_checks() {
    let known = Known::new();
    let stranger = crate::dice::nvidia();
    let chain = Chain::parse(
        known.dice.certificates().iter().map(Vec::as_slice),
        Order::RootFirst,
    )
    .unwrap();
    assert_eq!(
        chain
            .verify(&stranger, Usage::Spdm, NOW, &AwsLc)
            .unwrap_err()
            .code(),
        "chain.no_anchor"
    );
    let good = known.all(Version::V11);
    let transcript = Transcript::parse(&good).unwrap();
    assert!(verify(&transcript, &known.leaf, &AwsLc).is_ok());
}

//! No bytes make a certificate, chain or DICE parser panic: what comes in is parsed or refused.

use std::sync::LazyLock;

use assay_attest::attester::dice::SoftwareDice;
use assay_attest::chain::{Chain, Order, Usage};
use assay_attest::codec::dice::{LayerInfo, ueid};
use assay_attest::codec::spki;
use assay_attest::codec::x509::Certificate;
use assay_attest::evidence::dice::{DiceEvidence, DiceIdentity};
use assay_checks::AwsLc;
use proptest::prelude::*;

use crate::dice::{Lab, NOW, binding};

/// All that reads certificates, one after the other.
fn read(bytes: &[u8]) {
    let _ = spki::parse("key", bytes);
    let _ = LayerInfo::alt_name(bytes);
    let _ = DiceEvidence::parse(bytes);
    if let Ok(certificate) = Certificate::parse(bytes) {
        assert_eq!(certificate.der(), bytes);
        let _ = certificate.extended_key_usage();
        let _ = LayerInfo::of(0, &certificate);
        let _ = ueid(&certificate);
    }
    let _ = Chain::parse([bytes, bytes], Order::LeafFirst);
}

/// The lab and one device of it, made once.
static LAB: LazyLock<(Lab, SoftwareDice)> = LazyLock::new(|| {
    let lab = Lab::new();
    let device = lab.boot(1, [10, 20]);
    (lab, device)
});
static MEMBER: LazyLock<Vec<u8>> = LazyLock::new(|| LAB.1.member(&binding(1)));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read(&bytes);
    }

    #[test]
    fn changed_members_are_parsed_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut member = MEMBER.clone();
        let place = at.index(member.len());
        member[place] = byte;
        read(&member);
        member.truncate(cut.index(member.len()));
        read(&member);
    }

    /// Bytes replaced, inserted and taken out anywhere in the chain: the verifier refuses or the chain is what it was.
    #[test]
    fn i2_a_changed_chain_never_verifies(
        which in 0..6usize,
        at in any::<prop::sample::Index>(),
        replaced in prop::collection::vec(any::<u8>(), 0..4),
        taken in 0..4usize,
    ) {
        let (lab, device) = &*LAB;
        let mut certificates = device.certificates().to_vec();
        let certificate = &mut certificates[which];
        let place = at.index(certificate.len());
        let end = (place + taken).min(certificate.len());
        certificate.splice(place..end, replaced);
        read(certificate);
        let unchanged = certificates == device.certificates();
        if let Ok(chain) = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst) {
            let verified = chain.verify(&lab.anchors, Usage::Dice, NOW, &AwsLc);
            prop_assert_eq!(verified.is_ok(), unchanged);
            prop_assert_eq!(DiceIdentity::verify(&chain, &lab.anchors, NOW, &AwsLc).is_ok(), unchanged);
        }
    }
}

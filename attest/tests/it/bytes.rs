//! No bytes make a certificate, chain or DICE parser panic: what comes in is parsed or refused.

use std::path::Path;
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
use crate::forge::{self, Spec, extension};

/// All that reads certificates, one after the other.
pub(crate) fn read(bytes: &[u8]) {
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

/// Fuzzing starts from good inputs: this writes them anew (`ASSAY_BLESS=1`), else checks that they are still good.
#[test]
fn the_seeds_are_current() {
    let certificates = LAB.1.certificates();
    let lengths = |certificates: &[Vec<u8>]| -> Vec<u8> {
        let one =
            |der: &Vec<u8>| [&u16::try_from(der.len()).unwrap().to_be_bytes()[..], der].concat();
        certificates.iter().flat_map(one).collect()
    };
    let mut reordered = certificates.to_vec();
    reordered.swap(3, 4);
    let short = forge::chain(&[
        Spec::ca("root"),
        Spec::ca("rom"),
        Spec::leaf("leaf").with(extension(
            forge::DICE_TCB_INFO,
            false,
            &forge::riot("rom", 1),
        )),
    ]);
    let tcb_info = forge::sequence(&[
        b"\x83\x01\x07",
        &forge::element(0xa6, &[&forge::fwid(3)]),
        b"\x87\x02\x03\xf8",
        b"\x8a\x02\x03\x18",
    ]);
    let multi = extension(
        forge::DICE_MULTI_TCB_INFO,
        false,
        &forge::sequence(&[&tcb_info, &tcb_info]),
    );
    let ueid = extension(
        forge::DICE_UEID,
        false,
        &forge::sequence(&[&forge::element(0x04, &[&[1; 17]])]),
    );
    let other = forge::element(
        0xa0,
        &[
            &forge::element(0x06, &[forge::DICE_TCB_INFO]),
            &forge::riot("rom", 2),
        ],
    );
    let alt_name = forge::sequence(&[&other]);
    let one = |spec: Spec| forge::chain(&[spec]).remove(0);
    let named = one(Spec::leaf("leaf").with(extension(forge::SUBJECT_ALT_NAME, false, &alt_name)));
    let seeds: [(&str, Vec<u8>); 11] = [
        ("x509/root", certificates[0].clone()),
        ("x509/leaf", certificates[5].clone()),
        ("x509/multi", one(Spec::leaf("leaf").with(multi).with(ueid))),
        (
            "x509/tcb_info",
            one(Spec::leaf("leaf").with(extension(forge::DICE_TCB_INFO, true, &tcb_info))),
        ),
        ("x509/alt_name", named),
        ("x509/key", forge::spki("leaf")),
        ("chain/good", lengths(certificates)),
        ("chain/reordered", lengths(&reordered)),
        ("chain/short", lengths(&short)),
        ("dice/good", MEMBER.clone()),
        ("dice/short", DiceEvidence::write(&short, &[7; 96])),
    ];
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, bytes) in seeds {
        let path = corpus.join(name);
        if std::env::var_os("ASSAY_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(
            std::fs::read(&path).unwrap(),
            bytes,
            "{name}: run with ASSAY_BLESS=1"
        );
    }
}

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

/// The readers of other people's files.
pub(crate) fn files(bytes: &[u8]) {
    use assay_attest::codec::{crl, csr, dice, go_attestation, name, ocsp, open_dice, quote_file};
    let _ = crl::Crl::parse(bytes).map(|list| list.reason(&[1]));
    let _ = ocsp::Answer::parse(bytes).map(|answer| answer.about(&[], &[], &[1]).is_ok());
    let _ = csr::Request::parse(bytes);
    let _ = open_dice::CwtChain::parse(bytes);
    let _ = open_dice::Inputs::parse(bytes);
    let _ = dice::LayerInfo::bare(bytes);
    let _ = go_attestation::Attestation::parse(bytes);
    let _ = quote_file::attest(bytes).map(|attest| quote_file::pcrs(bytes, &attest).is_ok());
    let _ = quote_file::public(bytes);
    let _ = std::str::from_utf8(bytes).map(|text| quote_file::keylime(text).is_ok());
    let _ = (name::text(bytes), name::is_ordered(bytes));
}

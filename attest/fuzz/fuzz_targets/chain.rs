//! Every signature passes, so that only order, names and constraints are left to refuse a chain; what passes keeps them.
//! The input is certificates, each preceded by its length in two bytes.
#![no_main]
use assay_attest::chain::{Anchor, AnchorKind, Chain, Order, TrustAnchors, Usage};
use assay_attest::codec::x509::Certificate;
use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use assay_attest::time::Timestamp;

struct Always;

impl CheckSignature for Always {
    fn check(&self, _: &PublicKey, _: Scheme, _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let Some((certificate, rest)) =
            rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        else {
            break;
        };
        all.push(certificate);
        bytes = rest;
    }
    all
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let certificates = split(bytes);
    let Some(first) = certificates
        .first()
        .and_then(|der| Certificate::parse(der).ok())
    else {
        return;
    };
    let Ok(anchor) = Anchor::from_certificate("fuzz", AnchorKind::Engineering, &first) else {
        return;
    };
    let anchors = TrustAnchors::new(anchor, Vec::new());
    for (skip, usage) in [
        (0, Usage::Dice),
        (0, Usage::EndorsementKey),
        (1, Usage::EndorsementKey),
    ] {
        let Ok(chain) = Chain::parse(certificates.iter().copied().skip(skip), Order::RootFirst)
        else {
            continue;
        };
        let now = Timestamp::from_secs(1_795_305_600);
        let Ok(verified) = chain.verify(&anchors, usage, now, &Always) else {
            continue;
        };
        let links = verified.certificates();
        assert!(!links.is_empty() && links.len() <= 8);
        assert!(
            links
                .iter()
                .zip(links.iter().skip(1))
                .all(|(above, below)| above.subject() == below.issuer())
        );
        assert!(
            verified
                .leaf()
                .basic_constraints()
                .is_none_or(|constraints| !constraints.ca)
        );
        assert!(
            links
                .iter()
                .all(|link| link.not_before() <= now && now <= verified.ends())
        );
    }
});

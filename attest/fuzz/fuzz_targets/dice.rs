//! DICE members under a checker that passes everything: layers stay whole, and an identity stands below its root.
#![no_main]
use assay_attest::chain::{Anchor, AnchorKind, Chain, Order, TrustAnchors};
use assay_attest::codec::x509::Certificate;
use assay_attest::evidence::dice::{DiceEvidence, DiceIdentity};
use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use assay_attest::time::Timestamp;

struct Always;

impl CheckSignature for Always {
    fn check(&self, _: &PublicKey, _: Scheme, _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(member) = DiceEvidence::parse(bytes) else {
        return;
    };
    let certificates: Vec<Vec<u8>> = member
        .chain()
        .certificates()
        .iter()
        .map(|one| one.der().to_vec())
        .collect();
    assert_eq!(
        DiceEvidence::write(&certificates, member.signature()),
        bytes
    );
    let Some(root) = certificates
        .first()
        .and_then(|der| Certificate::parse(der).ok())
    else {
        return;
    };
    let Ok(anchor) = Anchor::pin("fuzz", AnchorKind::Engineering, root.spki()) else {
        return;
    };
    let anchors = TrustAnchors::new(anchor, Vec::new());
    let Ok(chain) = Chain::parse(certificates.iter().map(Vec::as_slice), Order::RootFirst) else {
        return;
    };
    let now = Timestamp::from_secs(1_795_305_600);
    let Ok(identity) = DiceIdentity::verify(&chain, &anchors, now, &Always) else {
        return;
    };
    let layers = identity.layers();
    let device = layers
        .iter()
        .position(|layer| layer.key == identity.device_key());
    assert!(device.is_some_and(|at| at > 0 && (layers.len() < 5 || at == 3)));
    for (at, layer) in layers.iter().enumerate() {
        let measured = layer
            .info
            .as_ref()
            .is_some_and(|info| info.fwids().next().is_some());
        assert_eq!(measured, device.is_some_and(|device| at > device));
    }
});

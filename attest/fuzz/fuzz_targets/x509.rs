//! Nothing panics; a certificate keeps its bytes, and all that was read out of it stands in them.
#![no_main]
use assay_attest::chain::{Anchor, AnchorKind};
use assay_attest::codec::dice::{LayerInfo, ueid};
use assay_attest::codec::spki;
use assay_attest::codec::x509::Certificate;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = spki::parse("fuzz", bytes);
    let _ = LayerInfo::alt_name(bytes);
    let Ok(certificate) = Certificate::parse(bytes) else {
        return;
    };
    assert_eq!(certificate.der(), bytes);
    for part in [
        certificate.tbs(),
        certificate.issuer(),
        certificate.subject(),
        certificate.spki(),
    ] {
        assert!(bytes.windows(part.len()).any(|window| window == part));
    }
    assert_eq!(
        spki::parse("fuzz", certificate.spki()).as_ref(),
        Ok(certificate.key())
    );
    let _ = certificate.extended_key_usage();
    let _ = ueid(&certificate);
    let _ = Anchor::from_certificate("fuzz", AnchorKind::Engineering, &certificate);
    if let Ok(Some(info)) = LayerInfo::of(0, &certificate) {
        for fwid in info.fwids() {
            let _ = fwid.to_digest();
        }
    }
});

//! Quotes as tools keep them: whatever verifies under a checker that passes everything has the digest of its values.
#![no_main]
use assay_attest::codec::go_attestation::Attestation;
use assay_attest::codec::quote_file;
use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use assay_attest::quote::Ak;

struct Always;

impl CheckSignature for Always {
    fn check(&self, _: &PublicKey, _: Scheme, _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(attest) = quote_file::attest(bytes) {
        let _ = quote_file::pcrs(bytes, &attest);
    }
    let _ = quote_file::public(bytes);
    if let Ok(text) = core::str::from_utf8(bytes) {
        let _ = quote_file::keylime(text);
    }
    if let Ok(attestation) = Attestation::parse(bytes) {
        let ak = Ak::Public(attestation.ak.clone());
        for quote in &attestation.quotes {
            let _ = quote.verify(&ak, None, &Always);
        }
    }
});

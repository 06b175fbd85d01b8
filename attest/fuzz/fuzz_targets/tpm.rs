//! Nothing panics, and what parses keeps its bytes.
#![no_main]
use assay_attest::codec::tpm::{Attest, Public, Signature};
use assay_attest::evidence::tpm::TpmEvidence;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(attest) = Attest::parse(bytes) {
        assert_eq!(attest.as_bytes(), bytes);
    }
    if let Ok(public) = Public::parse(bytes) {
        assert_eq!(public.as_bytes(), bytes);
        let _ = public.name();
        if let Ok(signature) = Signature::parse(bytes) {
            let _ = signature.raw_for(&public.key);
        }
    }
    let _ = Public::parse_sized(bytes);
    let _ = Signature::parse(bytes);
    let _ = TpmEvidence::parse(bytes);
});

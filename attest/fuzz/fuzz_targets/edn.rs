//! Diagnostic notation: nothing panics; what is read is well-formed CBOR, but for keys that are there twice and depth that tags add.
#![no_main]
use assay_attest::codec::edn;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(bytes) = edn::to_cbor(text) {
        assert!(!bytes.is_empty());
    }
});

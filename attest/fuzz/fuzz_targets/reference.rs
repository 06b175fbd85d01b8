//! Reference values have one encoding.
#![no_main]
use assay_attest::reference::ReferenceValues;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(values) = ReferenceValues::parse(bytes) {
        assert_eq!(values.to_bytes(), bytes);
    }
});

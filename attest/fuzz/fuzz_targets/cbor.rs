//! What decodes deterministically encodes to the same bytes; nothing panics.
#![no_main]
use assay_attest::codec::cbor::{Form, decode, encode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = decode("fuzz", bytes, 1 << 20, Form::WellFormed);
    let _ = decode("fuzz", bytes, 1 << 20, Form::Preferred);
    if let Ok(value) = decode("fuzz", bytes, 1 << 20, Form::Deterministic) {
        assert_eq!(encode(value), bytes);
    }
});

//! CMWs in CBOR and in JSON: nothing panics, a collection is never empty.
#![no_main]
use assay_attest::codec::cmw::Cmw;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let full = |cmw: &Cmw| !matches!(cmw, Cmw::Collection { members, .. } if members.is_empty());
    assert!(Cmw::from_cbor(bytes).iter().all(full));
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(Cmw::from_json(text).iter().all(full));
    }
});

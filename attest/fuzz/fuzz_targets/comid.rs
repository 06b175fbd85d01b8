//! One CoMID: whatever is read can be shown.
#![no_main]
use assay_attest::corim::Document;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let tagged = [&[0xd9, 0x01, 0xfa], bytes].concat();
    for file in [bytes, &tagged] {
        let Ok(document) = Document::parse(file) else {
            continue;
        };
        for comid in document.comids() {
            for measurement in comid.triples.reference.iter().flat_map(|t| &t.measurements) {
                let _ = (
                    measurement.values.to_string(),
                    measurement.key.as_ref().map(ToString::to_string),
                );
            }
        }
    }
});

//! Nothing panics in any of the three encodings.
#![no_main]
use assay_attest::codec::cel::{CanonicalLog, is_violation};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(log) = CanonicalLog::parse(bytes) {
        let _ = (log.replay(false), log.replay(true));
        for record in &log.records {
            let _ = (record.is_covered(), is_violation(record));
        }
    }
});

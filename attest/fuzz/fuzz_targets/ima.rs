//! Nothing panics, binary or ASCII, as a file or as a member.
#![no_main]
use assay_attest::codec::ima::{Extended, ImaLog};
use assay_attest::evidence::ima_log::ImaEvidence;
use assay_attest::replay::{Bank, Replay};

fn read(log: &ImaLog<'_>) {
    for bank in Bank::ALL {
        let mut replay = Replay::new([bank]);
        log.replay(&mut replay, bank, Extended::PerBank);
        log.replay(&mut replay, bank, Extended::PaddedSha1);
    }
    for entry in &log.entries {
        let _ = (entry.path(), entry.file(), entry.signature(), entry.buffer());
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(log) = ImaLog::parse(bytes) {
        read(&log);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(log) = ImaLog::parse_ascii(text)
    {
        read(&log);
    }
    let _ = ImaEvidence::parse(bytes);
});

//! Nothing panics; what is read of a log are its own events.
#![no_main]
use assay_attest::boot::MeasuredBoot;
use assay_attest::codec::efi::{ImageLoad, Tagged, Variable, text};
use assay_attest::codec::eventlog::EventLog;
use assay_attest::digest::HashAlg;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(log) = EventLog::parse(bytes) {
        let replay = log.replay(&log.banks());
        assert!(replay.banks().len() <= log.banks().len());
        for alg in HashAlg::ALL {
            let boot = MeasuredBoot::read(&log, alg, |_| true);
            assert!(boot.measured.len() <= log.events.len());
        }
    }
    let _ = Variable::parse(bytes);
    let _ = ImageLoad::parse(bytes).map(|image| image.file());
    let _ = Tagged::parse(bytes);
    let _ = text(bytes);
});

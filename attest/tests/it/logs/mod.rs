//! Logs of measured boot and of IMA: parsed, replayed, read; as members of evidence; against real ones and other tools.

mod appraisal;
mod canonical;
mod make;
mod members;
mod tools;
mod vectors;

use assay_attest::boot::MeasuredBoot;
use assay_attest::codec::cel::{CanonicalLog, is_violation};
use assay_attest::codec::efi::{ImageLoad, Tagged, Variable, text};
use assay_attest::codec::eventlog::EventLog;
use assay_attest::codec::ima::{Extended, ImaLog};
use assay_attest::digest::HashAlg;
use assay_attest::evidence::ima_log::ImaEvidence;
use assay_attest::replay::{Bank, Replay};

/// All that reads logs, one after the other: none may panic, and nothing is made up.
pub(crate) fn read(bytes: &[u8]) {
    if let Ok(log) = EventLog::parse(bytes) {
        let replay = log.replay(&log.banks());
        assert!(replay.banks().len() <= log.banks().len());
        for alg in HashAlg::ALL {
            let boot = MeasuredBoot::read(&log, alg, |_| true);
            assert!(boot.measured.len() <= log.events.len());
        }
    }
    if let Ok(log) = CanonicalLog::parse(bytes) {
        let _ = (log.replay(false), log.replay(true));
        for record in &log.records {
            let _ = (record.is_covered(), is_violation(record));
        }
    }
    ima(ImaLog::parse(bytes).ok());
    ima(std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| ImaLog::parse_ascii(text).ok()));
    let _ = ImaEvidence::parse(bytes);
    let _ = Variable::parse(bytes);
    let _ = ImageLoad::parse(bytes).map(|image| image.file());
    let _ = Tagged::parse(bytes);
    let _ = text(bytes);
}

/// What fuzzing starts from, by name.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    use make::{GOOD, SHA256, boot};
    let mut legacy = make::Firmware::legacy();
    legacy.says(
        7,
        assay_attest::codec::eventlog::EventType::SEPARATOR,
        &[0; 4],
    );
    let mut list = members::list();
    list.violation("/var/log/x");
    list.legacy("/bin/sh", &[5; 20]);
    vec![
        ("eventlog/agile", boot(&[Bank::Sha1, SHA256], GOOD).bytes),
        ("eventlog/legacy", legacy.bytes),
        ("ima/binary", list.bytes.clone()),
        ("ima/ascii", list.ascii.into_bytes()),
        ("ima/member", ImaEvidence::write(3, &list.bytes)),
        ("cel/tlv", canonical::tlv()),
        ("cel/cbor", canonical::cbor()),
        ("cel/json", canonical::json().into_bytes()),
    ]
}

fn ima(log: Option<ImaLog<'_>>) {
    let Some(log) = log else { return };
    for bank in Bank::ALL {
        let mut replay = Replay::new([bank]);
        log.replay(&mut replay, bank, Extended::PerBank);
        log.replay(&mut replay, bank, Extended::PaddedSha1);
    }
    for entry in &log.entries {
        let _ = (
            entry.path(),
            entry.file(),
            entry.signature(),
            entry.buffer(),
        );
    }
}

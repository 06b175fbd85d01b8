//! Real logs of other projects and of our lab: each replays to the values that the manifest gives, and nothing else does.

use crate::vectors;
use assay_attest::boot::{MeasuredBoot, Measurement};
use assay_attest::codec::cel::{CanonicalLog, Content, Encoding, Index};
use assay_attest::codec::eventlog::EventLog;
use assay_attest::codec::ima::{Extended, ImaLog};
use assay_attest::digest::{HashAlg, hex};
use assay_attest::replay::{Bank, Replay};
use base64ct::{Base64, Encoding as _};

fn read(name: &str) -> Option<Vec<u8>> {
    let (folder, file) = name.split_once('/').unwrap();
    vectors::folder(folder).map(|folder| std::fs::read(folder.join(file)).unwrap())
}

fn base64(name: &str) -> Option<Vec<u8>> {
    let text: String = String::from_utf8(read(name)?)
        .unwrap()
        .split_whitespace()
        .collect();
    Some(Base64::decode_vec(&text).unwrap())
}

fn as_expected(name: &str) {
    let (Some(bytes), Some(expected)) = (
        read(&format!("eventlogs/{name}")),
        read("eventlogs/expected-pcrs.json"),
    ) else {
        return;
    };
    let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
    let expected = &expected[name];
    let log = EventLog::parse(&bytes).unwrap();
    // The manifest counts the events after the header.
    let header = usize::from(log.spec.is_some());
    assert_eq!(expected["events"], log.events.len() - header);
    assert_eq!(expected["format"] == "agile", log.spec.is_some());
    let replay = log.replay(&log.banks());
    let banks = expected["pcrs"].as_object().unwrap();
    assert_eq!(replay.banks().len(), banks.len());
    for (bank, pcrs) in banks {
        let bank = Bank::from_name(bank).unwrap();
        let pcrs = pcrs.as_object().unwrap();
        assert_eq!(replay.banks()[&bank].len(), pcrs.len(), "{name} {bank}");
        for (index, value) in pcrs {
            let found = replay.value(bank, index.parse().unwrap()).unwrap();
            assert_eq!(value, &hex(found), "{name} {bank} pcr {index}");
        }
    }
    mutations(&bytes, &replay);
}

/// Cut anywhere, with a byte more: refused, or other registers. Never a panic.
fn mutations(bytes: &[u8], good: &Replay) {
    for cut in 0..bytes.len() {
        if let Ok(log) = EventLog::parse(&bytes[..cut]) {
            let short = log.replay(&log.banks());
            let nothing = log.extended().next().is_none();
            assert!(nothing || short != *good || log.extended().count() == 0);
        }
    }
    let more = [bytes, &[0]].concat();
    assert_eq!(
        EventLog::parse(&more).unwrap_err().code(),
        "evidence.truncated"
    );
}

#[test]
fn arch_linux_workstation() {
    as_expected("arch-linux-workstation.bin");
}

#[test]
fn binary_bios_measurements_secureboot() {
    as_expected("binary_bios_measurements-secureboot.bin");
    let Some(bytes) = read("eventlogs/binary_bios_measurements-secureboot.bin") else {
        return;
    };
    let log = EventLog::parse(&bytes).unwrap();
    let boot = MeasuredBoot::read(&log, HashAlg::Sha256, |_| true);
    assert_eq!(boot.secure_boot, Some(true));
    let cmdline: Vec<_> = boot.of(Measurement::CommandLine).collect();
    assert!(!cmdline.is_empty() && cmdline.iter().all(|found| found.text.is_some()));
    for what in [
        Measurement::Pk,
        Measurement::Kek,
        Measurement::Db,
        Measurement::Dbx,
        Measurement::Image,
    ] {
        assert!(boot.of(what).next().is_some(), "{what}");
    }
    // Nothing is read of a register that is not proved.
    let none = MeasuredBoot::read(&log, HashAlg::Sha256, |pcr| pcr != 7);
    assert_eq!(none.secure_boot, None);
    assert!(none.of(Measurement::Db).next().is_none());
}

#[test]
fn binary_bios_measurements_bogus() {
    let Some(bytes) = read("eventlogs/binary_bios_measurements-bogus.bin") else {
        return;
    };
    let refusal = EventLog::parse(&bytes).unwrap_err();
    assert!(
        ["evidence.too_large", "evidence.truncated"].contains(&refusal.code()),
        "{refusal}"
    );
}

#[test]
fn cos_101_amd_sev() {
    as_expected("cos-101-amd-sev.bin");
}

#[test]
fn rhel8_uefi() {
    as_expected("rhel8-uefi.bin");
}

#[test]
fn short_no_action_eventlog() {
    as_expected("short_no_action_eventlog.bin");
}

#[test]
fn cel() {
    let Some(bytes) = base64("eventlogs/cel.b64") else {
        return;
    };
    let log = CanonicalLog::parse(&bytes).unwrap();
    assert_eq!(log.encoding, Encoding::Tlv);
    assert!(
        log.records
            .iter()
            .all(|record| record.index == Index::Ccmr(4) && record.is_covered())
    );
    let Content::Cos { data, .. } = &log.records[0].content else {
        panic!("another content");
    };
    assert!(String::from_utf8_lossy(data).starts_with("us-west1-docker.pkg.dev/"));
    let replay = log.replay(true);
    assert_eq!(
        replay.banks().keys().copied().collect::<Vec<_>>(),
        [Bank::Sha2(HashAlg::Sha384)]
    );
    assert_eq!(replay.banks()[&Bank::Sha2(HashAlg::Sha384)].len(), 1);
    assert!(log.replay(false).banks().is_empty());
    for cut in 0..bytes.len() {
        if let Ok(short) = CanonicalLog::parse(&bytes[..cut]) {
            assert_ne!(short.replay(true), replay);
        }
    }
    assert!(CanonicalLog::parse(&[bytes.as_slice(), &[0]].concat()).is_err());
    // Its digests cover its content: no bit of it can change unnoticed.
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        if let Ok(other) = CanonicalLog::parse(&other) {
            let same = other.replay(true) == replay;
            let changed = other
                .records
                .iter()
                .zip(&log.records)
                .any(|(is, was)| is.is_covered() && is.content != was.content);
            assert!(!same || !changed, "byte {at}");
        }
    }
}

fn ima_pcr10(log: &ImaLog<'_>) -> String {
    let mut replay = Replay::new([Bank::Sha1]);
    log.replay(&mut replay, Bank::Sha1, Extended::PerBank);
    hex(replay.value(Bank::Sha1, 10).unwrap())
}

#[test]
fn sml_ima_ng_sha1() {
    let Some(bytes) = base64("ima/sml-ima-ng-sha1.b64") else {
        return;
    };
    // The file ends in a line feed, which is no part of a log.
    assert_eq!(
        ImaLog::parse(&bytes).unwrap_err().code(),
        "evidence.truncated"
    );
    let bytes = bytes.strip_suffix(b"\n").unwrap();
    let log = ImaLog::parse(bytes).unwrap();
    assert_eq!(ima_pcr10(&log), "ef2a20de2a84a4780f92ab11d5c4934c709dff00");
    assert_eq!(log.violations().count(), 0);
    assert_eq!(log.entries[1].path().unwrap(), "/init");
    assert_eq!(log.entries[1].file().unwrap().algorithm, "sha1");
    every_bit_of_an_ima_log_counts(bytes);
}

#[test]
fn sml_ima_sig_sha256_invalidated() {
    let Some(bytes) = base64("ima/sml-ima-sig-sha256-invalidated.b64") else {
        return;
    };
    let log = ImaLog::parse(&bytes).unwrap();
    assert_eq!(ima_pcr10(&log), "a0e7bc9af0a2b54147b0d595d058f15c6cc44a6d");
    let violations: Vec<_> = log
        .violations()
        .map(|entry| entry.path().unwrap())
        .collect();
    assert_eq!(violations, ["/init"]);
}

fn every_bit_of_an_ima_log_counts(bytes: &[u8]) {
    let good = ima_pcr10(&ImaLog::parse(bytes).unwrap());
    for bit in 0..bytes.len() * 8 {
        let mut other = bytes.to_vec();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(
            ImaLog::parse(&other).is_err_and(|refusal| !refusal.to_string().is_empty())
                || ImaLog::parse(&other).is_ok_and(|log| {
                    // The register's number is all that its digest does not cover.
                    log.entries.iter().any(|entry| entry.pcr != 10) || ima_pcr10(&log) != good
                }),
            "bit {bit}"
        );
    }
    for cut in 1..bytes.len() {
        if let Ok(log) = ImaLog::parse(&bytes[..cut]) {
            assert_ne!(ima_pcr10(&log), good);
        }
    }
    assert!(ImaLog::parse(&[bytes, &[0]].concat()).is_err());
}

#[test]
fn invalid_ima_log() {
    let Some(bytes) = read("ima/invalid_ima_log.txt") else {
        return;
    };
    assert!(ImaLog::parse(&bytes).is_err());
    assert!(ImaLog::parse_ascii(std::str::from_utf8(&bytes).unwrap()).is_err());
}

/// A log, and the registers that the TPM then held.
type Booted = (Vec<u8>, Vec<(u8, Vec<u8>)>);

fn lab(boot: u8) -> Option<Booted> {
    let name = format!("lab-edk2/edk2-2022.11-aavmf-boot{boot}");
    let log = read(&format!("{name}.eventlog.bin"))?;
    let pcrs = String::from_utf8(read(&format!("{name}.pcr-sha256.txt"))?).unwrap();
    let pcrs = pcrs.lines().map(|line| {
        let (index, value) = line.split_once(' ').unwrap();
        (index.parse().unwrap(), vectors::unhex(value))
    });
    Some((log, pcrs.collect()))
}

fn lab_boot(number: u8) {
    let Some((bytes, pcrs)) = lab(number) else {
        return;
    };
    let bank = Bank::Sha2(HashAlg::Sha256);
    let log = EventLog::parse(&bytes).unwrap();
    let replay = log.replay(&log.banks());
    let quoted = || pcrs.iter().map(|(index, value)| (*index, value.as_slice()));
    replay.compare("log", bank, quoted()).unwrap();
    mutations(&bytes, &replay);
    let boot = MeasuredBoot::read(&log, HashAlg::Sha256, |_| true);
    assert_eq!(boot.secure_boot, Some(false));
    assert!(boot.exited);
    assert_eq!(boot.of(Measurement::CommandLine).count(), 1);
    assert_eq!(boot.of(Measurement::Initrd).count(), 1);
    assert_eq!(boot.of(Measurement::Image).count(), 1);
    assert_eq!(
        boot.separators.iter().copied().collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5, 6, 7]
    );
    // No bit of what the digests cover can change without either the registers or the claim going.
    for bit in 0..bytes.len() * 8 {
        let mut other = bytes.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        let Ok(log) = EventLog::parse(&other) else {
            continue;
        };
        if log
            .replay(&[bank].into())
            .compare("log", bank, quoted())
            .is_err()
        {
            continue;
        }
        let other = MeasuredBoot::read(&log, HashAlg::Sha256, |_| true);
        assert!(matches!(other.secure_boot, Some(false) | None));
        let digests = |boot: &MeasuredBoot| -> Vec<_> {
            boot.measured.iter().map(|m| m.digest.clone()).collect()
        };
        assert_eq!(digests(&boot), digests(&other), "bit {bit}");
        for (was, is) in boot.measured.iter().zip(&other.measured) {
            assert!(is.text.is_none() || is.text == was.text, "bit {bit}");
        }
    }
}

#[test]
fn lab_edk2_boot1() {
    lab_boot(1);
}

#[test]
fn lab_edk2_boot2() {
    lab_boot(2);
    if let (Some(first), Some(second)) = (lab(1), lab(2)) {
        assert_eq!(first.1, second.1);
    }
}

#[test]
fn lab_edk2_boot3_has_another_command_line() {
    lab_boot(3);
    let (Some(first), Some(third)) = (lab(1), lab(3)) else {
        return;
    };
    let read = |bytes: &[u8]| {
        let log = EventLog::parse(bytes).unwrap();
        MeasuredBoot::read(&log, HashAlg::Sha256, |_| true).measured
    };
    let changed: Vec<_> = read(&first.0)
        .into_iter()
        .zip(read(&third.0))
        .filter(|(before, after)| before != after)
        .map(|(before, _)| (before.what, before.pcr))
        .collect();
    assert_eq!(changed, [(Measurement::CommandLine, 9)]);
}

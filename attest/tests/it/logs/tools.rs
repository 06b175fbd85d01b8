//! The same logs read by tpm2-tools: events and registers are the same.

use super::make::{self, Boot, Firmware, GOOD, boot};
use crate::vectors;
use assay_attest::codec::eventlog::{EventLog, EventType};
use assay_attest::digest::{HashAlg, hex};
use assay_attest::replay::Bank;
use std::collections::BTreeMap;
use std::process::Command;

/// What `tpm2_eventlog` says: each event's register and type, and the registers of each bank.
type Oracle = (Vec<(u32, String)>, BTreeMap<(String, u8), String>);

fn oracle(bytes: &[u8]) -> Option<Oracle> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let output = Command::new("tpm2_eventlog").arg(file.path()).output();
    let Ok(output) = output else {
        assert!(
            std::env::var_os("CI").is_none(),
            "tpm2-tools are needed in CI"
        );
        println!("skipped: tpm2_eventlog is not installed");
        return None;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut events, mut registers) = (Vec::new(), BTreeMap::new());
    let (mut pcr, mut bank) = (0, String::new());
    let (listed, pcrs) = text.split_once("\npcrs:").unwrap_or((&text, ""));
    for line in listed.lines() {
        if let Some(index) = line.strip_prefix("  PCRIndex: ") {
            pcr = index.parse().unwrap();
        } else if let Some(name) = line.strip_prefix("  EventType: ") {
            events.push((pcr, name.to_owned()));
        }
    }
    for line in pcrs.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some((name, "")) => bank = name.to_owned(),
            Some((index, value)) => {
                let index = index.trim().parse().unwrap();
                let value = value.trim().trim_start_matches("0x").to_owned();
                registers.insert((bank.clone(), index), value);
            }
            None => panic!("{line}"),
        }
    }
    Some((events, registers))
}

fn same(name: &str, bytes: &[u8]) {
    let Some((events, registers)) = oracle(bytes) else {
        return;
    };
    let log = EventLog::parse(bytes).unwrap();
    let ours: Vec<(u32, String)> = log
        .events
        .iter()
        .map(|event| (event.pcr, event.event_type.to_string()))
        .collect();
    assert_eq!(ours.len(), events.len(), "{name}");
    for (ours, theirs) in ours.iter().zip(&events) {
        assert_eq!(ours.0, theirs.0, "{name}");
        // Types that this version of the tool has no name for.
        if theirs.1.starts_with("EV_") {
            assert_eq!(ours.1, theirs.1, "{name}");
        }
    }
    let replay = log.replay(&log.banks());
    // tpm2-tools 5.4 extends the event that states the locality, which is not extended: PCR 0 is then another.
    let skipped = |index: u8| index == 0 && log.startup_locality.is_some();
    let ours: BTreeMap<(String, u8), String> = replay
        .banks()
        .iter()
        .flat_map(|(bank, registers)| {
            registers
                .iter()
                .filter(|(index, _)| !skipped(**index))
                .map(|(index, value)| ((bank.name().to_owned(), *index), hex(value)))
        })
        .collect();
    let registers: BTreeMap<_, _> = registers
        .into_iter()
        .filter(|((_, index), _)| !skipped(*index))
        .collect();
    assert_eq!(ours, registers, "{name}");
}

#[test]
fn made_logs_read_the_same() {
    let all = Bank::ALL;
    same("sha-256", &boot(&[make::SHA256], GOOD).bytes);
    same("all banks", &boot(&all, GOOD).bytes);
    let other = Boot {
        secure: 0,
        cmdline: "root=/dev/vda rw init=/bin/sh",
        ..GOOD
    };
    same("another", &boot(&[Bank::Sha1, make::SHA256], other).bytes);
    for locality in [0, 3, 4] {
        let mut log = Firmware::new(&[make::SHA256, Bank::Sha2(HashAlg::Sha384)]);
        log.locality(locality);
        log.says(0, EventType::S_CRTM_VERSION, b"1\0\0\0");
        log.says(0, EventType::SEPARATOR, &[0; 4]);
        same("locality", &log.bytes);
    }
    let mut legacy = Firmware::legacy();
    legacy.says(0, EventType::S_CRTM_VERSION, b"1\0\0\0");
    legacy.says(7, EventType::SEPARATOR, &[0; 4]);
    same("legacy", &legacy.bytes);
}

#[test]
fn real_logs_read_the_same() {
    let Some(folder) = vectors::folder("eventlogs") else {
        return;
    };
    for name in [
        "arch-linux-workstation.bin",
        "binary_bios_measurements-secureboot.bin",
        "cos-101-amd-sev.bin",
        "rhel8-uefi.bin",
    ] {
        same(name, &std::fs::read(folder.join(name)).unwrap());
    }
    let Some(folder) = vectors::folder("lab-edk2") else {
        return;
    };
    for number in 1..=3 {
        let name = format!("edk2-2022.11-aavmf-boot{number}.eventlog.bin");
        same(&name, &std::fs::read(folder.join(&name)).unwrap());
    }
}

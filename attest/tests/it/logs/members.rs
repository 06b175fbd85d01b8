//! The `log.uefi` and `log.ima` members: covered by the quote of the same evidence, or refused.

use super::make::{self, Boot, Firmware, GOOD, Ima, SHA256, boot, secure_boot};
use crate::world::{ASK, Device, Pure};
use assay_attest::attester::tpm::member;
use assay_attest::boot::Measurement;
use assay_attest::claims::{Claims, ImaState};
use assay_attest::codec::efi::GLOBAL_VARIABLE;
use assay_attest::codec::eventlog::EventType;
use assay_attest::digest::{Digest, HashAlg};
use assay_attest::evidence::ima_log::{self, ImaEvidence};
use assay_attest::evidence::{tpm, uefi_log};
use assay_attest::expected::TpmExpectation;
use assay_attest::refusal::Refusal;
use assay_attest::replay::Bank;
use assay_attest::session::Label;
use assay_attest::verify::{Evidence, Verified};
use std::collections::BTreeMap;

/// A device whose TPM holds what these logs say.
pub(super) fn device(seed: u8, firmware: &Firmware, ima: Option<&Ima>) -> Device {
    let mut device = Device::new(seed);
    device.tpm.pcrs = BTreeMap::from([(HashAlg::Sha256, firmware.pcrs(HashAlg::Sha256))]);
    if let Some(ima) = ima {
        set(&mut device, 10, ima.value());
    }
    device
}

fn set(device: &mut Device, index: u8, value: Digest) {
    let bank = device.tpm.pcrs.get_mut(&HashAlg::Sha256).unwrap();
    bank.insert(index, value);
}

/// A proof with these members before the TPM's.
pub(super) fn prove(device: &Device, uefi: Option<&[u8]>, ima: Option<Vec<u8>>) -> Vec<u8> {
    let mut draft = device.draft(ASK);
    if let Some(uefi) = uefi {
        draft
            .add(Label::LogUefi, uefi_log::MEDIA_TYPE, uefi.to_vec())
            .unwrap();
    }
    if let Some(ima) = ima {
        draft.add(Label::LogIma, ima_log::MEDIA_TYPE, ima).unwrap();
    }
    let parts = device.tpm_parts(&draft.binding(Label::Tpm).unwrap());
    draft
        .add(Label::Tpm, tpm::MEDIA_TYPE, member(&parts).unwrap())
        .unwrap();
    device.seal(&draft)
}

pub(super) fn verify(
    device: &Device,
    proof: &[u8],
    known: Option<&ImaState>,
) -> Result<Evidence<Verified>, Refusal> {
    let mut expected = device.expected(ASK);
    expected.ima = known;
    Evidence::parse(proof)?.verify(&expected, &Pure)
}

fn code(device: &Device, proof: &[u8], known: Option<&ImaState>) -> &'static str {
    verify(device, proof, known).map_or_else(|refusal| refusal.code(), |_| "accepted")
}

fn claims(device: &Device, log: &Firmware) -> Claims {
    let proof = prove(device, Some(&log.bytes), None);
    verify(device, &proof, None).unwrap().claims().clone()
}

#[test]
fn a_log_that_replays_gives_its_claims() {
    let log = boot(&[Bank::Sha1, SHA256], GOOD);
    let device = device(1, &log, None);
    let uefi = claims(&device, &log).uefi.unwrap();
    assert_eq!(uefi.secure_boot, Some(true));
    assert_eq!(uefi.bank, HashAlg::Sha256);
    assert!(uefi.exited && uefi.crtm_version.is_some());
    let wide: Vec<u8> = GOOD.cmdline.bytes().flat_map(|byte| [byte, 0]).collect();
    let cmdline: Vec<_> = uefi.of(Measurement::CommandLine).collect();
    assert_eq!(cmdline.len(), 1);
    assert_eq!(cmdline[0].digest, HashAlg::Sha256.hash(&[&wide]));
    assert_eq!(
        cmdline[0].text, None,
        "the log does not hold what was hashed"
    );
    let image: Vec<_> = uefi.of(Measurement::Image).collect();
    assert_eq!(image.len(), 1);
    assert!(image[0].stated.ends_with("\\EFI\\BOOT\\BOOTAA64.EFI"));
}

#[test]
fn i2_a_log_is_covered_by_a_quote_or_refused() {
    let log = boot(&[SHA256], GOOD);
    let good = device(1, &log, None);
    let proof = |device: &Device, log: &Firmware| prove(device, Some(&log.bytes), None);
    assert_eq!(code(&good, &proof(&good, &log), None), "accepted");

    // Another boot's log, a log with one event less, with one more.
    let other = boot(
        &[SHA256],
        Boot {
            cmdline: "x",
            ..GOOD
        },
    );
    assert_eq!(code(&good, &proof(&good, &other), None), "log.replay");
    let mut more = log.clone();
    more.says(9, EventType::IPL, b"more");
    assert_eq!(code(&good, &proof(&good, &more), None), "log.replay");
    let mut less = Firmware::new(&[SHA256]);
    secure_boot(&mut less, 1);
    assert_eq!(code(&good, &proof(&good, &less), None), "log.replay");
    // Leaving out all of a register that boot measures into is a cut, too.
    let empty = Firmware::new(&[SHA256]);
    assert_eq!(code(&good, &proof(&good, &empty), None), "log.replay");

    // Only banks that are quoted count, and SHA-1 never does.
    let sha384 = boot(&[Bank::Sha2(HashAlg::Sha384)], GOOD);
    assert_eq!(code(&good, &proof(&good, &sha384), None), "log.uncovered");
    let mut sha1 = Firmware::legacy();
    sha1.says(7, EventType::SEPARATOR, &[0; 4]);
    assert_eq!(code(&good, &proof(&good, &sha1), None), "log.sha1_only");
    let mut none = device(1, &log, None);
    let bank = none.tpm.pcrs.get_mut(&HashAlg::Sha256).unwrap();
    bank.retain(|index, _| *index == 16);
    assert_eq!(code(&none, &proof(&none, &log), None), "log.uncovered");

    // Without a TPM there is nothing that covers it.
    let mut bare = device(1, &log, None);
    bare.pinned = TpmExpectation::NoTpm;
    bare.required.clear();
    let mut draft = bare.draft(ASK);
    draft
        .add(Label::LogUefi, uefi_log::MEDIA_TYPE, log.bytes.clone())
        .unwrap();
    assert_eq!(code(&bare, &bare.seal(&draft), None), "log.uncovered");
}

#[test]
fn i4_a_log_can_t_be_stripped_swapped_or_moved() {
    let log = boot(&[SHA256], GOOD);
    let mut good = device(1, &log, None);
    good.required.push(Label::LogUefi);
    let proof = prove(&good, Some(&log.bytes), None);
    assert_eq!(code(&good, &proof, None), "accepted");
    let stripped = prove(&good, None, None);
    assert_eq!(code(&good, &stripped, None), "evidence.required_missing");
    // The quote binds the log: the same TPM parts under another log are another binding.
    let mut draft = good.draft(ASK);
    let without = draft.binding(Label::Tpm).unwrap();
    draft
        .add(Label::LogUefi, uefi_log::MEDIA_TYPE, log.bytes.clone())
        .unwrap();
    let parts = good.tpm_parts(&without);
    draft
        .add(Label::Tpm, tpm::MEDIA_TYPE, member(&parts).unwrap())
        .unwrap();
    assert_eq!(code(&good, &good.seal(&draft), None), "tpm.binding");
    // Under the other log's label, or as the other kind.
    for (label, kind) in [
        (Label::LogIma, uefi_log::MEDIA_TYPE),
        (Label::LogUefi, ima_log::MEDIA_TYPE),
    ] {
        let mut draft = good.draft(ASK);
        draft.add(label, kind, log.bytes.clone()).unwrap();
        let bytes = good.seal(&draft);
        assert_eq!(code(&good, &bytes, None), "evidence.kind_unknown");
    }
}

#[test]
fn i2_secure_boot_can_t_be_claimed_after_the_fact() {
    let variable = |on| make::variable(&GLOBAL_VARIABLE, "SecureBoot", &[on]);
    let config = EventType::EFI_VARIABLE_DRIVER_CONFIG;
    let state = |log: &Firmware| claims(&device(1, log, None), log).uefi.unwrap().secure_boot;
    let off = boot(&[SHA256], Boot { secure: 0, ..GOOD });
    assert_eq!(state(&off), Some(false));
    // The system extends PCR 7 with the event that it would have liked.
    let mut late = off.clone();
    late.says(7, config, &variable(1));
    assert_eq!(state(&late), Some(false));
    // And hides what firmware measured: the digests stay, the data say otherwise.
    let mut hidden = Firmware::new(&[SHA256]);
    hidden.event(7, config, &variable(0), &variable(1));
    hidden.says(7, EventType::SEPARATOR, &[0; 4]);
    hidden.says(7, config, &variable(1));
    assert_eq!(state(&hidden), None);
    // The real separator can't be renamed: its digest tells it.
    let mut renamed = Firmware::new(&[SHA256]);
    renamed.says(7, config, &variable(0));
    renamed.event(7, EventType::EVENT_TAG, &[0; 4], b"no separator");
    renamed.says(7, config, &variable(1));
    assert_eq!(state(&renamed), Some(false));
    // Both, before the separator: off.
    let mut both = Firmware::new(&[SHA256]);
    both.says(7, config, &variable(1));
    both.says(7, config, &variable(0));
    both.says(7, EventType::SEPARATOR, &[0; 4]);
    assert_eq!(state(&both), Some(false));
    // Without a separator nothing says that firmware has finished.
    let mut open = Firmware::new(&[SHA256]);
    open.says(7, config, &variable(1));
    assert_eq!(state(&open), None);
    // In another register it is not the variable.
    let mut elsewhere = Firmware::new(&[SHA256]);
    elsewhere.says(1, config, &variable(1));
    elsewhere.says(7, EventType::SEPARATOR, &[0; 4]);
    assert_eq!(state(&elsewhere), None);
}

#[test]
fn i2_an_image_can_t_be_called_harmless() {
    let mut log = boot(&[SHA256], GOOD);
    let says = b"Calling EFI Application from Boot Option";
    log.event(4, EventType::EFI_ACTION, b"an implant", says);
    log.event(4, EventType::SEPARATOR, b"another", &[0; 4]);
    let uefi = claims(&device(1, &log, None), &log).uefi.unwrap();
    assert_eq!(uefi.of(Measurement::Image).count(), 3);
}

pub(super) fn list() -> Ima {
    let mut ima = Ima::new();
    ima.ng("boot_aggregate", &[3; 32], false);
    ima.file("/usr/bin/init", b"init");
    ima.signed("/usr/lib/libc.so", &[3, 2, 4]);
    ima
}

/// The log begins with the digest of the registers that the TPM quotes.
pub(super) fn of_this_boot(firmware: &Firmware) -> Ima {
    let pcrs = firmware.pcrs(HashAlg::Sha256);
    let values: Vec<&[u8]> = (0..10).map(|index| pcrs[&index].bytes()).collect();
    let mut ima = Ima::new();
    ima.ng(
        "boot_aggregate",
        HashAlg::Sha256.hash(&values).bytes(),
        false,
    );
    ima.file("/usr/bin/init", b"init");
    ima
}

#[test]
fn ima_is_followed_from_proof_to_proof() {
    let firmware = boot(&[SHA256], GOOD);
    let mut ima = of_this_boot(&firmware);
    let mut device = device(1, &firmware, Some(&ima));
    let whole = prove(&device, None, Some(ImaEvidence::write(0, &ima.bytes)));
    let first = verify(&device, &whole, None).unwrap();
    let first = first.claims().ima.clone().unwrap();
    assert_eq!((first.sent, first.state.entries), (2, 2));
    assert_eq!(first.state.boot_aggregate, Some(true));

    // Only what is new.
    let known = ima.bytes.len();
    ima.file("/usr/bin/new", b"new");
    ima.violation("/var/log/x");
    set(&mut device, 10, ima.value());
    let part = |from: usize, offset| Some(ImaEvidence::write(offset, &ima.bytes[from..]));
    let proof = prove(&device, None, part(known, 2));
    let second = verify(&device, &proof, Some(&first.state)).unwrap();
    let second = second.claims().ima.clone().unwrap();
    assert_eq!((second.sent, second.state.entries), (2, 4));
    assert_eq!(second.state.violations, 1);
    assert_eq!(second.state.boot_aggregate, Some(true), "it is carried on");

    // Nothing new is a proof, too; and the whole log always is.
    let none = prove(&device, None, part(ima.bytes.len(), 4));
    let third = verify(&device, &none, Some(&second.state)).unwrap();
    assert_eq!(third.claims().ima.as_ref().unwrap().state, second.state);
    let again = prove(&device, None, part(0, 0));
    assert_eq!(code(&device, &again, Some(&second.state)), "accepted");

    // A part that does not go on from what is known.
    assert_eq!(code(&device, &proof, None), "ima.offset");
    assert_eq!(code(&device, &proof, Some(&second.state)), "ima.offset");
    let gap = prove(&device, None, part(ima.bytes.len(), 2));
    assert_eq!(code(&device, &gap, Some(&first.state)), "log.replay");
    let lie = prove(&device, None, part(known, 0));
    assert_eq!(code(&device, &lie, Some(&first.state)), "log.replay");
    // Another boot, another AK: what was known is of no use.
    for change in [
        |state: &mut ImaState| state.boot.0 += 1,
        |state: &mut ImaState| state.boot.1 += 1,
        |state: &mut ImaState| state.ak = Device::new(9).tpm.ak_name(),
    ] {
        let mut state = first.state.clone();
        change(&mut state);
        assert_eq!(code(&device, &proof, Some(&state)), "ima.offset");
    }
}

#[test]
fn i2_an_ima_log_is_covered_by_a_quote_or_refused() {
    let firmware = boot(&[SHA256], GOOD);
    let ima = list();
    let good = device(1, &firmware, Some(&ima));
    let of = |log: &[u8]| Some(ImaEvidence::write(0, log));
    let proof = |log: &[u8]| prove(&good, None, of(log));
    assert_eq!(code(&good, &proof(&ima.bytes), None), "accepted");
    assert_eq!(code(&good, &proof(&[]), None), "log.replay");
    let mut more = ima.clone();
    more.file("/usr/bin/more", b"more");
    assert_eq!(code(&good, &proof(&more.bytes), None), "log.replay");
    // A register that is not quoted.
    let mut unquoted = device(1, &firmware, Some(&ima));
    let bank = unquoted.tpm.pcrs.get_mut(&HashAlg::Sha256).unwrap();
    bank.remove(&10);
    let bytes = prove(&unquoted, None, of(&ima.bytes));
    assert_eq!(code(&unquoted, &bytes, None), "log.uncovered");
    // An old kernel pads SHA-1 digests: only as good as those.
    let mut padded = device(1, &firmware, None);
    let mut replay = assay_attest::replay::Replay::new([SHA256]);
    let log = assay_attest::codec::ima::ImaLog::parse(&ima.bytes).unwrap();
    log.replay(
        &mut replay,
        SHA256,
        assay_attest::codec::ima::Extended::PaddedSha1,
    );
    let value = replay.value(SHA256, 10).unwrap();
    set(
        &mut padded,
        10,
        Digest::new(HashAlg::Sha256, value).unwrap(),
    );
    let bytes = prove(&padded, None, of(&ima.bytes));
    assert_eq!(code(&padded, &bytes, None), "log.sha1_only");
    // The digest of an entry in the log itself is checked, though nothing rests on it.
    let mut entry = ima.bytes.clone();
    entry[4] ^= 1;
    let bytes = prove(&good, None, of(&entry));
    assert_eq!(code(&good, &bytes, None), "log.entry_digest");
}

#[test]
fn the_ascii_form_says_the_same() {
    use assay_attest::codec::ima::ImaLog;
    let mut ima = list();
    ima.violation("/var/log/x");
    ima.legacy("/bin/sh", &[5; 20]);
    let binary = ImaLog::parse(&ima.bytes).unwrap();
    assert_eq!(ImaLog::parse_ascii(&ima.ascii).unwrap(), binary);
    assert_eq!(binary.entries[2].signature(), Some([3, 2, 4].as_slice()));
    assert_eq!(binary.entries[4].path().unwrap(), "/bin/sh");
    assert_eq!(binary.entries[4].file().unwrap().bytes, [5; 20]);
    let mut replay = assay_attest::replay::Replay::new(Bank::ALL);
    for bank in Bank::ALL {
        binary.replay(
            &mut replay,
            bank,
            assay_attest::codec::ima::Extended::PerBank,
        );
    }
    assert_eq!(replay, ima.replay);
    for (bad, code) in [
        (
            ima.ascii.replace("/usr/bin/init", "/usr/bin/evil"),
            "log.entry_digest",
        ),
        (
            ima.ascii.replace("ima-ng", "ima-xx"),
            "evidence.unsupported",
        ),
        (ima.ascii.replace("\n", " 00 00\n"), "evidence.malformed"),
        (ima.ascii.replacen("10 ", "24 ", 1), "evidence.malformed"),
    ] {
        assert_eq!(ImaLog::parse_ascii(&bad).unwrap_err().code(), code, "{bad}");
    }
}

//! Evidence that the agent makes with a real TPM, held against the real Verifier.

use crate::swtpm::SwTpm;
use crate::verifier::{Known, proof, run, settings};
use assay_agent::source::dice::SoftwareRoot;
use assay_agent::source::roots::Roots;
use assay_attest::attester::dice::{SoftwareDice, SoftwareFactory};
use assay_attest::chain::TrustAnchors;
use assay_attest::claims::KeyLevel;
use assay_attest::codec::tpm::Public;
use assay_attest::digest::HashAlg;
use assay_attest::expected::{DiceExpectation, DiceRoot};
use assay_attest::session::{Label, Purpose};
use assay_attest::time::Timestamp;
use assay_checks::tpm_credential::{AesBits, EndorsementKey, NameAlg, make_credential};

fn open(swtpm: &SwTpm) -> Roots {
    let state = swtpm.path("");
    Roots::open(settings(&state, Some(swtpm.tcti()))).unwrap()
}

#[test]
fn the_agents_evidence_verifies_and_shows_every_pcr() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    swtpm.extend(16);
    let roots = open(&swtpm);
    let known = Known::of(&roots);
    let proof = proof(1);
    let bytes = run(roots.prove(proof.clone())).unwrap();
    let claims = known.verify(&proof, &bytes).unwrap();
    assert_eq!(claims.key_level(), KeyLevel::Tpm);
    let banks = claims.tpm.unwrap().pcrs;
    let bank = &banks[&HashAlg::Sha256];
    assert_eq!(bank.keys().copied().collect::<Vec<_>>(), proof.pcrs);
    assert_ne!(bank[&16], bank[&0], "an extended PCR shows");
    assert!(bytes.len() < 8 * 1024, "{} bytes", bytes.len());
}

#[test]
fn i4_a_proof_answers_its_own_session_only() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let roots = open(&swtpm);
    let known = Known::of(&roots);
    let bytes = run(roots.prove(proof(1))).unwrap();
    let refused = |change: &dyn Fn(&mut assay_agent::source::roots::Proof)| {
        let mut other = proof(1);
        change(&mut other);
        known.verify(&other, &bytes).unwrap_err().code()
    };
    let replayed = refused(&|p| p.nonce = [2; 32]);
    assert_eq!(replayed, refused(&|p| p.nexus_id = [2; 32]));
    assert_eq!(replayed, refused(&|p| p.purpose = Purpose::Enrol));
    assert_eq!(replayed, refused(&|p| p.subject = "d-other".into()));
    assert_eq!(replayed, refused(&|p| p.activation_secret = vec![1; 32]));
    assert_eq!(replayed, "evidence.session");
}

#[test]
fn i4_proofs_of_two_devices_cannot_be_swapped() {
    let (Some(a), Some(b)) = (SwTpm::start(), SwTpm::start()) else {
        return;
    };
    let (roots_a, roots_b) = (open(&a), open(&b));
    let bytes_b = run(roots_b.prove(proof(1))).unwrap();
    let mut known = Known::of(&roots_a);
    let other_key = known.verify(&proof(1), &bytes_b).unwrap_err();
    // Even with the request key of B, the TPM that is pinned is A's.
    known.request_key = roots_b.request_key().clone();
    let other_tpm = known.verify(&proof(1), &bytes_b).unwrap_err();
    assert_ne!(other_key.code(), other_tpm.code());
    assert_eq!(other_tpm.code(), "tpm.other_ak");
}

#[test]
fn i4_every_changed_byte_is_noticed() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let roots = open(&swtpm);
    let known = Known::of(&roots);
    let bytes = run(roots.prove(proof(1))).unwrap();
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(known.verify(&proof(1), &changed).is_err(), "byte {at}");
    }
}

#[test]
fn the_labs_dice_proves_itself_beside_the_tpm_and_warns() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let file = |name: &str, bytes: &[u8]| {
        let path = swtpm.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let factory = SoftwareFactory::new(&[3; 32], Timestamp::from_secs(1_700_000_000)).unwrap();
    let rom = SoftwareDice::rom_key(&[4; 32]).unwrap();
    let chain = factory.provision(&rom).unwrap();
    let pem: String = chain
        .iter()
        .map(|der| {
            use base64ct::Encoding as _;
            let body = base64ct::Base64::encode_string(der);
            let lines: Vec<&str> = body
                .as_bytes()
                .chunks(64)
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                lines.join("\n")
            )
        })
        .collect();
    let mut settings = settings(&swtpm.path(""), Some(swtpm.tcti()));
    settings.software_dice = Some(SoftwareRoot {
        uds: file("uds", &[4; 32]),
        certificates: file("chain.pem", pem.as_bytes()),
        firmware: [file("first", b"one"), file("second", b"two")],
    });
    let roots = Roots::open(settings.clone()).unwrap();
    assert!(roots.warnings()[0].contains("nothing about hardware"));
    let mut known = Known::of(&roots);
    known.dice = DiceExpectation::Roots(vec![DiceRoot {
        label: Label::Irot,
        anchors: TrustAnchors::new(factory.anchor("lab").unwrap(), vec![]),
        device_key: None,
    }]);
    known.required = vec![Label::Tpm, Label::Irot];
    let bytes = run(roots.prove(proof(1))).unwrap();
    let claims = known.verify(&proof(1), &bytes).unwrap();
    assert_eq!(claims.dice.len(), 1);
    drop(roots);
    // Other firmware is another leaf of the same device.
    file("second", b"changed");
    let roots = Roots::open(settings).unwrap();
    let bytes = run(roots.prove(proof(2))).unwrap();
    let changed = known.verify(&proof(2), &bytes).unwrap();
    assert_eq!(changed.dice[0].device_key, claims.dice[0].device_key);
    assert_ne!(changed.dice[0].layers, claims.dice[0].layers);
}

#[test]
fn a_credential_for_this_tpm_is_activated_and_no_other() {
    for setup in [&["--create-ek-cert"][..], &[][..]] {
        let (Some(mine), Some(other)) = (SwTpm::start_with(setup), SwTpm::start_with(setup)) else {
            return;
        };
        let (mine, other) = (open(&mine), open(&other));
        let identity = mine.identity().unwrap();
        let ek = Public::parse(&identity.ek_public).unwrap();
        let name = Public::parse(&identity.ak_public).unwrap().name().unwrap();
        let (name_alg, symmetric) = match ek.name_alg {
            0x000c => (NameAlg::Sha384, AesBits::Aes256),
            _ => (NameAlg::Sha256, AesBits::Aes128),
        };
        let credential = make_credential(
            EndorsementKey {
                key: &ek.key,
                name_alg,
                symmetric,
            },
            name.as_bytes(),
            &[0x5a; 32],
            &mut |out| {
                getrandom::fill(out).unwrap();
                Ok(())
            },
        )
        .unwrap();
        let (blob, seed) = (credential.id_object, credential.encrypted_secret);
        let secret = run(mine.activate(blob.clone(), seed.clone())).unwrap();
        assert_eq!(secret, [0x5a; 32]);
        let refused = run(other.activate(blob.clone(), seed.clone())).unwrap_err();
        assert_eq!(refused.code(), "tpm.failed");
        let cut = run(mine.activate(blob[1..].to_vec(), seed)).unwrap_err();
        assert_eq!(cut.code(), "evidence.asked");
        // And the agent goes on.
        assert!(run(mine.prove(proof(3))).is_ok());
    }
}

#[test]
fn what_the_nexus_may_not_ask_is_refused_before_the_tpm_is_bothered() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let roots = open(&swtpm);
    for pcrs in [vec![], vec![24], vec![1, 1], vec![2, 1]] {
        let mut proof = proof(1);
        proof.pcrs = pcrs;
        let refused = run(roots.prove(proof)).unwrap_err();
        assert_eq!(refused.code(), "evidence.asked");
    }
}

#[test]
fn without_a_root_the_key_is_soft_and_the_proof_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots::open(settings(dir.path(), None)).unwrap();
    let again = Roots::open(settings(dir.path(), None)).unwrap();
    assert_eq!(roots.request_key(), again.request_key());
    let bytes = run(roots.prove(proof(1))).unwrap();
    let refused = Known::of(&roots).verify(&proof(1), &bytes).unwrap_err();
    assert_eq!(refused.code(), "evidence.no_proof");
}

/// A log with these events, each in the SHA-256 bank, extended into the TPM as firmware would.
fn boot_log(swtpm: &SwTpm, events: &[(u8, u32, &[u8])]) -> Vec<u8> {
    let mut header = b"Spec ID Event03\0".to_vec();
    header.extend([0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, 0x0b, 0, 32, 0, 0]);
    let mut log = vec![0, 0, 0, 0, 3, 0, 0, 0];
    log.extend([0; 20]);
    log.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
    log.extend(header);
    for (pcr, kind, data) in events {
        let digest = HashAlg::Sha256.hash(&[data]);
        let hex = assay_attest::digest::hex(digest.bytes());
        swtpm.tool(&["tpm2_pcrextend", &format!("{pcr}:sha256={hex}")]);
        log.extend(u32::from(*pcr).to_le_bytes());
        log.extend(kind.to_le_bytes());
        log.extend([1, 0, 0, 0, 0x0b, 0]);
        log.extend(digest.bytes());
        log.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        log.extend(*data);
    }
    log
}

/// One `ima-ng` entry, extended into the TPM as the kernel would where `extend` says so.
fn ima_entry(swtpm: &SwTpm, path: &str, extend: bool) -> Vec<u8> {
    let mut data = 40_u32.to_le_bytes().to_vec();
    data.extend(b"sha256:\0");
    data.extend([7; 32]);
    data.extend(u32::try_from(path.len() + 1).unwrap().to_le_bytes());
    data.extend(path.bytes());
    data.push(0);
    if extend {
        let digest = HashAlg::Sha256.hash(&[&data]);
        let hex = assay_attest::digest::hex(digest.bytes());
        swtpm.tool(&["tpm2_pcrextend", &format!("10:sha256={hex}")]);
    }
    let sha1 = assay_attest::replay::Bank::Sha1.hash(&[&data]);
    let mut entry = 10_u32.to_le_bytes().to_vec();
    entry.extend(sha1);
    entry.extend(6_u32.to_le_bytes());
    entry.extend(b"ima-ng");
    entry.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    entry.extend(data);
    entry
}

#[test]
fn i2_logs_go_with_the_quote_that_covers_them() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let uefi = boot_log(
        &swtpm,
        &[(4, 4, &[0; 4]), (4, 5, b"a loader"), (7, 4, &[0; 4])],
    );
    let mut ima = ima_entry(&swtpm, "/usr/bin/init", true);
    let (uefi_path, ima_path) = (swtpm.path("uefi.log"), swtpm.path("ima.log"));
    std::fs::write(&uefi_path, uefi).unwrap();
    std::fs::write(&ima_path, &ima).unwrap();
    let mut settings = settings(&swtpm.path(""), Some(swtpm.tcti()));
    settings.uefi_log = Some(uefi_path);
    settings.ima_log = Some(ima_path.clone());
    let roots = Roots::open(settings).unwrap();
    let known = Known::of(&roots);
    let mut asked = proof(1);
    asked.pcrs = (0..=10).collect();
    let bytes = run(roots.prove(asked.clone())).unwrap();
    let claims = known.verify(&asked, &bytes).unwrap();
    assert_eq!(claims.uefi.unwrap().measured.len(), 1);
    assert_eq!(claims.ima.unwrap().state.entries, 1);
    // A log that never fits is sent all the same, after a few tries; the Verifier says what is wrong.
    ima.extend(ima_entry(&swtpm, "/usr/bin/other", false));
    std::fs::write(&ima_path, ima).unwrap();
    let bytes = run(roots.prove(asked.clone())).unwrap();
    let refusal = known.verify(&asked, &bytes).unwrap_err();
    assert_eq!(refusal.code(), "log.replay");
}

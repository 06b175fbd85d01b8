//! The TPM source against a real swtpm.

use crate::swtpm::SwTpm;
use assay_agent::source::tpm::Tpm;
use assay_agent::source::{Keys as _, Source as _};
use assay_attest::codec::tpm::Public;
use assay_attest::expected::RequestKey;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

fn check(key: &RequestKey, message: &[u8], signature: &[u8; 64]) -> bool {
    use assay_attest::key::{CheckSignature as _, Scheme};
    assay_api::checks::SoftwareChecks
        .check(key.key(), Scheme::EcdsaSha256, message, signature)
        .is_ok()
}

#[test]
fn keys_stay_the_same_across_restarts_of_agent_and_tpm() {
    let Some(mut swtpm) = SwTpm::start() else {
        return;
    };
    let file = swtpm.path("tpm.json");
    let mut tpm = Tpm::open(&swtpm.tcti(), &file).unwrap();
    let identity = tpm.identity().unwrap().clone();
    assert!(identity.ek_certificate.is_some(), "the first certified EK");
    let ek = Public::parse(&identity.ek_public).unwrap();
    assert!(matches!(ek.key, assay_attest::key::PublicKey::P384(_)));
    let ak = Public::parse(&identity.ak_public).unwrap();
    assert!(ak.attributes.is_attestation_key());
    let request = Public::parse(&identity.request_key_public).unwrap();
    assert!(request.attributes.is_request_key());
    let signature = tpm.sign(b"message").unwrap();
    assert!(check(tpm.request_key(), b"message", &signature));
    assert!(!check(tpm.request_key(), b"massage", &signature));
    drop(tpm);

    let mut tpm = Tpm::open(&swtpm.tcti(), &file).unwrap();
    assert_eq!(tpm.identity(), Some(&identity));
    // Saved contexts don't survive a TPM reset; the keys do.
    swtpm.restart();
    let signature = tpm.sign(b"message").unwrap();
    assert!(check(tpm.request_key(), b"message", &signature));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn without_a_certified_ek_any_will_do() {
    let Some(swtpm) = SwTpm::start_with(&[]) else {
        return;
    };
    let tpm = Tpm::open(&swtpm.tcti(), &swtpm.path("tpm.json")).unwrap();
    assert_eq!(tpm.identity().unwrap().ek_certificate, None);
}

#[test]
fn a_cleared_tpm_has_lost_the_keys_and_says_what_to_do() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let file = swtpm.path("tpm.json");
    drop(Tpm::open(&swtpm.tcti(), &file).unwrap());
    swtpm.tool(&["tpm2_clear"]);
    let lost = Tpm::open(&swtpm.tcti(), &file).unwrap_err();
    assert_eq!(lost.code(), "tpm.keys_lost", "{lost}");
    assert!(lost.to_string().contains("claim"), "{lost}");
}

#[test]
fn a_missing_tpm_is_a_clear_error_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tpm.json");
    let error = Tpm::open("swtpm:host=127.0.0.1,port=1", &file).unwrap_err();
    assert_eq!(error.code(), "tpm.unreachable");
    assert!(error.to_string().contains("port=1"), "{error}");
    assert!(Tpm::open("nonsense", &file).is_err());
    assert!(!file.exists());
}

#[test]
fn a_broken_key_file_is_an_error_and_never_replaced() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let file = swtpm.path("tpm.json");
    std::fs::write(&file, "{}").unwrap();
    let error = Tpm::open(&swtpm.tcti(), &file).unwrap_err();
    assert_eq!(error.code(), "state.file");
    assert_eq!(std::fs::read(&file).unwrap(), b"{}");
}

#[test]
fn the_tpm_is_free_for_others_while_the_agent_rests() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let mut tpm = Tpm::open(&swtpm.tcti(), &swtpm.path("tpm.json")).unwrap();
    tpm.rest();
    swtpm.extend(16);
    assert!(tpm.sign(b"message").is_ok());
}

/// Somebody who is killed leaves sessions in a TPM without a resource manager; there is room for a few, and no reset in sight.
#[test]
fn a_tpm_full_of_what_a_killed_process_left_is_flushed() {
    use std::io::{Read as _, Write as _};
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let file = swtpm.path("tpm.json");
    drop(Tpm::open(&swtpm.tcti(), &file).unwrap());
    let port: u16 = swtpm.tcti().rsplit_once('=').unwrap().1.parse().unwrap();
    for kinds in [[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0]] {
        let mut direct = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        // TPM2_StartAuthSession, HMAC (0) or policy (1), unbound, without salt.
        let mut command = vec![0x80, 0x01, 0, 0, 0, 43, 0, 0, 0x01, 0x76];
        command.extend([0x40, 0, 0, 0x07, 0x40, 0, 0, 0x07, 0, 16]);
        command.extend([7; 16]);
        command.extend([0, 0, 0, 0, 0x10, 0, 0x0b]);
        let mut codes = Vec::new();
        for kind in kinds {
            command[40 - 2] = kind;
            direct.write_all(&command).unwrap();
            let mut answer = [0; 256];
            assert!(direct.read(&mut answer).unwrap() >= 10);
            codes.push(u32::from_be_bytes(answer[6..10].try_into().unwrap()));
        }
        drop(direct);
        assert_eq!(codes.last(), Some(&0x903), "it is full: {codes:x?}");
        let mut tpm = Tpm::open(&swtpm.tcti(), &file).unwrap();
        let signature = tpm.sign(b"message").unwrap();
        assert!(check(tpm.request_key(), b"message", &signature));
    }
}

/// Objects of others fill a TPM as well. That is no reason to tell a person that the keys are lost.
#[test]
fn a_full_tpm_is_not_one_that_lost_its_keys() {
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let file = swtpm.path("tpm.json");
    let mut tpm = Tpm::open(&swtpm.tcti(), &file).unwrap();
    tpm.rest();
    for round in 0..3 {
        let context = swtpm.path(&format!("other{round}"));
        // Without a resource manager the tool leaves its object in the TPM, which has room for three.
        swtpm.tool(&["tpm2_createprimary", "-c", context.to_str().unwrap()]);
    }
    let signature = tpm.sign(b"message").unwrap();
    assert!(check(tpm.request_key(), b"message", &signature));
}

/// Stands between the agent and a real TPM; while `full` is set, loading anything is answered as a full TPM does.
fn between(swtpm: &SwTpm, full: &'static AtomicBool) -> String {
    use std::io::{Read as _, Write as _};
    let real: u16 = swtpm.tcti().rsplit_once('=').unwrap().1.parse().unwrap();
    let port = crate::swtpm::free_ports();
    let bind = |port| std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (command, control) = (bind(port), bind(port + 1));
    for (listener, to) in [(command, real), (control, real + 1)] {
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let mut server = std::net::TcpStream::connect(("127.0.0.1", to)).unwrap();
                std::thread::spawn(move || {
                    let mut bytes = [0; 8192];
                    while let Ok(read @ 1..) = client.read(&mut bytes) {
                        // TPM2_Load, TPM2_ContextLoad.
                        let loads = read >= 10 && matches!(bytes[6..10], [0, 0, 1, 0x57 | 0x61]);
                        if to == real && loads && full.load(Ordering::Relaxed) {
                            let no_room = [0x80, 1, 0, 0, 0, 10, 0, 0, 9, 2];
                            client.write_all(&no_room).unwrap();
                            continue;
                        }
                        if server.write_all(&bytes[..read]).is_err() {
                            break;
                        }
                        let Ok(read @ 1..) = server.read(&mut bytes) else {
                            break;
                        };
                        client.write_all(&bytes[..read]).unwrap();
                    }
                });
            }
        });
    }
    format!("swtpm:host=127.0.0.1,port={port}")
}

#[test]
fn a_tpm_without_room_is_busy_and_serves_again_later() {
    static FULL: AtomicBool = AtomicBool::new(false);
    let Some(swtpm) = SwTpm::start() else {
        return;
    };
    let file = swtpm.path("tpm.json");
    let tcti = between(&swtpm, &FULL);
    let mut tpm = Tpm::open(&tcti, &file).unwrap();
    FULL.store(true, Ordering::Relaxed);
    let busy = tpm.sign(b"message").unwrap_err();
    assert_eq!(busy.code(), "tpm.busy", "{busy}");
    tpm.rest();
    assert_eq!(Tpm::open(&tcti, &file).unwrap_err().code(), "tpm.busy");
    FULL.store(false, Ordering::Relaxed);
    let signature = tpm.sign(b"message").unwrap();
    assert!(check(tpm.request_key(), b"message", &signature));
}

//! NVIDIA's reports as they came from the hardware; DMTF's sample record and chains.

use std::path::Path;

use assay_attest::chain::{Anchor, AnchorKind, Chain, Order, TrustAnchors, Usage};
use assay_attest::codec::spdm::Version;
use assay_attest::codec::spdm::block::{self, Value, ValueType};
use assay_attest::codec::spdm::opaque::Opaque;
use assay_attest::codec::spdm::slot::{Model, SlotChain, is_hardware_identity};
use assay_attest::codec::spdm::transcript::Transcript;
use assay_attest::codec::x509::Certificate;
use assay_attest::digest::{HashAlg, hex, sha256};
use assay_attest::refusal::Refusal;
use assay_attest::spdm::{Leaf, verify};
use assay_attest::time::Timestamp;
use assay_checks::AwsLc;
use base64ct::{Base64, Encoding as _};

use super::{code, leaf};
use crate::dice::{NOW, nvidia};
use crate::vectors::{folder, pem, unhex};

struct Device {
    report: Vec<u8>,
    chain: Vec<Vec<u8>>,
    leaf: Leaf,
}

fn report(folder: &Path, name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.report.hex"))).unwrap();
    unhex(text.trim())
}

fn device(folder: &Path, name: &str) -> Device {
    let mut chain = pem(&folder.join(format!("{name}.chain.pem")));
    chain.reverse();
    Device {
        report: report(folder, name),
        leaf: leaf(&chain, &nvidia()).unwrap(),
        chain,
    }
}

fn oracle(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap()
}

/// A report gives what an independent verifier read in it.
fn as_expected(name: &str) {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    let Device { report, leaf, .. } = device(&folder, name);
    let expected = &oracle(&folder)[format!("{name}.report.hex")];
    let transcript = Transcript::parse(&report).unwrap();
    let found = verify(&transcript, &leaf, &AwsLc).unwrap();
    assert_eq!(transcript.version(), Version::V11);
    assert_eq!(found.hash(), HashAlg::Sha384);
    assert_eq!(hex(transcript.nonce()), expected["requester_nonce"]);
    assert_eq!(transcript.nonce(), &report[4..36]);
    assert_eq!(u64::from(transcript.slot()), expected["slot"]);
    assert_eq!(
        u64::try_from(found.blocks().len()).unwrap(),
        expected["blocks"]
    );
    assert_eq!(
        hex(HashAlg::Sha384.hash(&[transcript.signed_bytes()]).bytes()),
        expected["signed_sha384"]
    );
    // The oracle's digest is over its own rendering of all blocks, in Python's spacing.
    let rendered: Vec<String> = found.blocks().values().map(rendered).collect();
    let rendered = format!("{{{}}}", rendered.join(", "));
    assert_eq!(
        hex(&sha256(&[rendered.as_bytes()])),
        expected["measurements_sha256"]
    );
    for (index, first) in expected["first3"].as_object().unwrap() {
        let found = &found.blocks()[&index.parse().unwrap()];
        let Value::Digest(digest) = &found.value else {
            panic!("{index} is raw");
        };
        assert_eq!(found.kind, ValueType::MutableFirmware);
        assert_eq!(hex(digest.bytes()), first["value"]);
        assert_eq!(found.comparable().is_none(), digest.is_zero());
    }
    let fwids: Vec<_> = found.opaque().fwids().map(hex).collect();
    match expected["opaque_fwid"].as_str() {
        Some(fwid) => assert_eq!(fwids, [fwid]),
        None => assert!(fwids.is_empty()),
    }
    let nonce = unhex(expected["requester_nonce"].as_str().unwrap());
    assert_eq!(code(&report, &leaf, &nonce), "accepted");
    assert_eq!(code(&report, &leaf, &[0; 32]), "spdm.nonce");
}

fn rendered(block: &block::Block) -> String {
    let Value::Digest(digest) = &block.value else {
        panic!("{} is raw", block.index);
    };
    format!(
        r#""{}": {{"type": {}, "value": "{}"}}"#,
        block.index,
        block.kind.number(),
        hex(digest.bytes())
    )
}

#[test]
fn gh100_a() {
    as_expected("gh100-a");
}

#[test]
fn gb100_a_whose_second_firmware_digest_is_all_zero() {
    as_expected("gb100-a");
}

#[test]
fn ls10_a() {
    as_expected("ls10-a");
}

#[test]
fn opaque_data_have_their_names() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    let transcript = Transcript::parse(&report(&folder, "gh100-a")).unwrap();
    let Opaque::Nvidia(fields) = transcript.opaque() else {
        panic!("no fields");
    };
    let text = |name| {
        fields
            .iter()
            .find(|field| field.name() == Some(name))
            .and_then(assay_attest::codec::spdm::opaque::NvidiaField::text)
    };
    assert_eq!(text("driver_version").as_deref(), Some("580.159.03"));
    assert_eq!(text("project").as_deref(), Some("1010"));
    assert_eq!(text("board_id"), None, "numbers are not text");
}

#[test]
fn ls10_badsig() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    let Device { leaf, .. } = device(&folder, "ls10-a");
    let bad = report(&folder, "ls10-badsig");
    assert_eq!(code(&bad, &leaf, &bad[4..36]), "spdm.signature");
}

#[test]
fn hopper_evidence() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("hopper_evidence.json")).unwrap())
            .unwrap();
    let text = |name: &str| json[0][name].as_str().unwrap();
    let chain = String::from_utf8(Base64::decode_vec(text("certificate")).unwrap()).unwrap();
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), chain).unwrap();
    let mut chain = pem(path.path());
    chain.reverse();
    let leaf = leaf(&chain, &nvidia()).unwrap();
    let report = Base64::decode_vec(text("evidence")).unwrap();
    assert_eq!(code(&report, &leaf, &unhex(text("nonce"))), "accepted");
}

#[test]
fn chain_missing_intermediate() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    let mut chain = pem(&folder.join("chain-missing-intermediate.pem"));
    chain.reverse();
    assert_eq!(leaf(&chain, &nvidia()).unwrap_err().code(), "chain.name");
}

#[test]
fn signed_measurements_truncated() {
    let Some(folder) = folder("nvidia-redfish") else {
        return;
    };
    let json: serde_json::Value = serde_json::from_slice(
        &std::fs::read(folder.join("signed-measurements-truncated.json")).unwrap(),
    )
    .unwrap();
    let bytes = Base64::decode_vec(json["SignedMeasurements"].as_str().unwrap()).unwrap();
    assert!(Transcript::parse(&bytes).is_err());
}

/// The generic mutations on a real report: nothing but the report itself passes.
#[test]
fn i4_every_bit_byte_and_length_of_a_real_report_counts() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    for name in ["ls10-a", "gb100-a"] {
        let Device { report, leaf, .. } = device(&folder, name);
        let nonce = report[4..36].to_vec();
        for at in 0..report.len() {
            // Every byte of headers, nonces and sizes, and some of each block; a check costs time.
            if at > 120 && at + 500 < report.len() && at % 37 != 0 {
                continue;
            }
            let mut bent = report.clone();
            bent[at] ^= 1 << (at % 8);
            assert_ne!(code(&bent, &leaf, &nonce), "accepted", "{name}: byte {at}");
        }
        for length in 0..report.len() {
            // Where the cut leaves as many bytes as another key's signature has, the key tells.
            assert_ne!(
                code(&report[..length], &leaf, &nonce),
                "accepted",
                "{name}: {length} bytes"
            );
        }
        for more in [&[0][..], b"\n", &report[..37]] {
            let longer = [&report, more].concat();
            assert!(Transcript::parse(&longer).is_err(), "{name}: {more:?}");
        }
    }
}

#[test]
fn i4_a_report_is_good_under_its_own_devices_chain_only() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    let devices = ["gh100-a", "gb100-a", "ls10-a"].map(|name| device(&folder, name));
    for (at, one) in devices.iter().enumerate() {
        for (other, of) in devices.iter().enumerate() {
            let found = code(&one.report, &of.leaf, &one.report[4..36]);
            assert_eq!(found == "accepted", at == other, "{at} under {other}");
        }
    }
}

#[test]
fn each_certificate_of_a_real_chain_counts() {
    let Some(folder) = folder("nvidia-spdm") else {
        return;
    };
    let Device { chain, .. } = device(&folder, "gh100-a");
    for at in 0..chain.len() {
        let mut dropped = chain.clone();
        dropped.remove(at);
        // Without its leaf it ends in a CA.
        assert!(leaf(&dropped, &nvidia()).is_err(), "without {at}");
        let mut twice = chain.clone();
        twice.insert(at, chain[at].clone());
        assert!(leaf(&twice, &nvidia()).is_err(), "{at} twice");
        for other in 0..at {
            let mut swapped = chain.clone();
            swapped.swap(at, other);
            assert!(leaf(&swapped, &nvidia()).is_err(), "{at} and {other}");
        }
        let mut bent = chain.clone();
        let last = bent[at].len() - 1;
        bent[at][last] ^= 1;
        assert!(leaf(&bent, &nvidia()).is_err(), "signature of {at}");
    }
}

// -- DMTF ---------------------------------------------------------------------------------------------------------------

#[test]
fn device_measurement() {
    let Some(folder) = folder("spdm-emu") else {
        return;
    };
    let bytes = std::fs::read(folder.join("device_measurement.bin")).unwrap();
    let blocks = block::record(&bytes, None).unwrap();
    assert_eq!(blocks.len(), 7);
    let oracle: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("SpdmSampleMeasurement.json")).unwrap())
            .unwrap();
    for entry in oracle["evidences"].as_array().unwrap() {
        let entry = &entry["evidence"];
        let index = u8::try_from(entry["index"].as_u64().unwrap()).unwrap();
        let block = blocks.iter().find(|block| block.index == index).unwrap();
        if let Some(svn) = entry["svn"].as_u64() {
            assert_eq!(block.svn(), Some(svn));
        } else {
            let Value::Digest(digest) = &block.value else {
                panic!("{index} is raw");
            };
            assert_eq!(u64::from(digest.alg().iana()), entry["digest"][0]);
            assert_eq!(hex(digest.bytes()), entry["digest"][1]);
        }
    }
    let mode = blocks.last().unwrap().device_mode().unwrap();
    assert_eq!(mode.operational(), "normal");
    assert_eq!(
        mode.debug(),
        [
            "non_invasive_debug_active",
            "invasive_debug_after_manufacturing"
        ]
    );
    assert!(!mode.is_closed());
    let written: Vec<u8> = blocks.iter().flat_map(block::Block::write).collect();
    assert_eq!(written, bytes);
    for length in 1..bytes.len() {
        let cut = block::record(&bytes[..length], Some(7));
        assert!(cut.is_err(), "{length} bytes");
    }
    assert!(block::record(&[&bytes[..], &[0]].concat(), None).is_err());
}

fn bundle(name: &str) -> Option<Vec<Certificate>> {
    let bytes = std::fs::read(folder("libspdm")?.join(name)).unwrap();
    let chain = SlotChain::parse(&bytes).unwrap();
    assert_eq!(chain.root_hash(), None);
    Some(
        chain
            .certificates()
            .iter()
            .map(|der| Certificate::parse(der).unwrap())
            .collect(),
    )
}

fn check(certificates: &[Certificate], at: Timestamp) -> Result<(), Refusal> {
    let anchor = Anchor::pin("dmtf", AnchorKind::Operator, certificates[0].spki()).unwrap();
    let anchors = TrustAnchors::new(anchor, Vec::new());
    let chain = Chain::parse(certificates.iter().map(Certificate::der), Order::RootFirst)?;
    chain.verify(&anchors, Usage::Spdm, at, &AwsLc).map(drop)
}

#[test]
fn ecp384_responder_bundle() {
    let Some(chain) = bundle("ecp384-responder-bundle.der") else {
        return;
    };
    assert_eq!(check(&chain, NOW), Ok(()));
    assert_eq!(Model::of(&chain), Ok(Model::Device));
    assert_eq!(is_hardware_identity(&chain[2]), Ok(true));
    assert_eq!(
        check(&chain[..2], NOW).unwrap_err().code(),
        "chain.basic_constraints",
        "a chain that ends in a CA"
    );
}

#[test]
fn ecp384_alias_bundle() {
    let Some(chain) = bundle("ecp384-alias-bundle.der") else {
        return;
    };
    assert_eq!(check(&chain, NOW), Ok(()));
    assert_eq!(Model::of(&chain), Ok(Model::Alias));
    assert_eq!(
        check(&chain[..3], NOW).unwrap_err().code(),
        "chain.basic_constraints",
        "the device's certificate is no leaf"
    );
}

#[test]
fn expired_responder_bundle() {
    let Some(chain) = bundle("expired-responder-bundle.der") else {
        return;
    };
    // 2026-06-24T00:00:00Z and a day later.
    let then = Timestamp::from_secs(1_782_259_200);
    assert_eq!(check(&chain, then), Ok(()));
    let after = Timestamp::from_secs(1_782_345_600);
    assert_eq!(check(&chain, after).unwrap_err().code(), "chain.expired");
    assert_eq!(check(&chain, NOW).unwrap_err().code(), "chain.expired");
}

/// The relaxed rule is ours in every version: BlueField-3's own leaf has no BasicConstraints, and speaks 1.1.
#[test]
fn ecp256_leaf_no_basicconstraints() {
    let Some(chain) = bundle("ecp256-leaf-no-basicconstraints.der") else {
        return;
    };
    assert_eq!(chain[0].basic_constraints(), None);
    assert_eq!(is_hardware_identity(&chain[0]), Ok(true));
    // It brings no issuer, so there is nothing that it could be verified under.
    assert_eq!(
        check(&chain, NOW).unwrap_err().code(),
        "chain.no_anchor",
        "a leaf is no root"
    );
}

//! Manifests of the field: what each of them gives, and that nothing bent passes.

use crate::vectors::{folder, pem};
use assay_attest::codec::cbor::{self, Form, Value};
use assay_attest::codec::x509::Certificate;
use assay_attest::corim::*;
use assay_attest::digest::{hex, sha256};
use assay_attest::key::PublicKey;
use assay_attest::refusal::Refusal;
use assay_attest::time::Timestamp;
use assay_checks::AwsLc;
use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};

/// 2025-06-01T00:00:00Z.
const THEN: Timestamp = Timestamp::from_secs(1_748_736_000);
/// 2026-11-23T00:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_795_392_000);

fn file(group: &str, name: &str) -> Option<Vec<u8>> {
    folder(group).map(|folder| std::fs::read(folder.join(name)).unwrap())
}

fn nvidia() -> Option<(Vec<u8>, Certificate)> {
    let bytes = file("nvidia-corim", "nvidia-cx7-28.39.4082.corim.cbor")?;
    let path = folder("nvidia-corim")?.join("nvidia-corim-signer-cx7-id-2.pem");
    Some((bytes, Certificate::parse(&pem(&path)[0]).unwrap()))
}

fn veraison_key() -> Option<PublicKey> {
    let text = String::from_utf8(file("veraison-corim", "ec-p256.pub.jwk")?).unwrap();
    let member = |name: &str| {
        let after = text.split(&format!("\"{name}\": \"")).nth(1).unwrap();
        Base64UrlUnpadded::decode_vec(after.split('"').next().unwrap()).unwrap()
    };
    let point = [vec![4], member("x"), member("y")].concat();
    Some(PublicKey::P256(Box::new(point.try_into().unwrap())))
}

fn signed(bytes: &[u8]) -> Result<SignedCorim, Refusal> {
    match Document::parse(bytes)? {
        Document::Signed(signed) => Ok(*signed),
        Document::Unsigned(_) | Document::Comid(..) => Err(Refusal::CorimUnsigned),
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn nvidia_cx7_28_39_4082_is_signed_by_nvidias_signer() {
    let Some((bytes, certificate)) = nvidia() else {
        return;
    };
    assert_eq!(
        hex(&sha256(&[&bytes])),
        "ca3f3a12d38746dfa9168a3ecd39be4aabb57aab94b83f3b771482e2c3c89e02"
    );
    let manifest = signed(&bytes).unwrap();
    let signer = Signer::Certificate(Box::new(certificate.clone()));
    let trusted = manifest.verify(&signer, NOW, &AwsLc).unwrap();
    assert_eq!(trusted.meta.signer, "NVIDIA");
    assert_eq!(trusted.ends, certificate.not_after());
    let corim = trusted.corim;
    assert_eq!(corim.id.to_string(), "ConnectX-7_28.39.4082");
    let relaxed: Vec<&str> = corim.relaxed.iter().map(|r| r.as_str()).collect();
    assert_eq!(relaxed, ["old-wrapping", "bare-map", "swapped-tag"]);
    let comid = corim.comids().next().unwrap();
    assert_eq!(comid.id.to_string(), "15b3102115b3003300-28.39.4082");
    let triple = &comid.triples.reference[0];
    assert_eq!(
        triple.environment.class.as_ref().unwrap().vendor.as_deref(),
        Some("NVIDIA")
    );
    let keys: Vec<String> = triple
        .measurements
        .iter()
        .map(|m| m.key.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(keys, ["1", "2", "3", "4", "5"]);
    assert_eq!(
        triple.measurements[0].values.raw.as_ref().unwrap().value,
        [0, 0, 0, 1]
    );
    assert!(
        triple.measurements[1]
            .values
            .to_string()
            .starts_with("sha512:f8f6ea6fa03bb08fcffb28bd4cda66a6f46adb2ebade5226")
    );
    // The thumbprint is over the text of the PEM file, not over the certificate.
    let thumbprint = &corim.dependent[0].thumbprint[0];
    assert_eq!(thumbprint.bytes, pem_thumbprint(certificate.der()));
    assert_ne!(thumbprint.bytes, sha256(&[certificate.der()]));
    let text = file("nvidia-corim", "nvidia-corim-signer-cx7-id-2.pem").unwrap();
    assert_eq!(thumbprint.bytes, sha256(&[&text]));
}

#[test]
fn nvidia_cx7_counts_while_its_signers_certificate_does() {
    let Some((bytes, certificate)) = nvidia() else {
        return;
    };
    let manifest = signed(&bytes).unwrap();
    let early = Timestamp::from_secs(certificate.not_before().as_secs() - 1);
    let late = certificate.not_after().plus_millis(1000);
    let signer = Signer::Certificate(Box::new(certificate));
    assert_eq!(
        code(manifest.verify(&signer, early, &AwsLc)),
        "corim.not_yet_valid"
    );
    assert_eq!(
        code(manifest.verify(&signer, late, &AwsLc)),
        "corim.expired"
    );
}

#[test]
fn rim_service_response_holds_the_same_manifest() {
    let Some(bytes) = file("nvidia-corim", "rim-service-response.json") else {
        return;
    };
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let rim = Base64::decode_vec(json["rim"].as_str().unwrap()).unwrap();
    assert_eq!(hex(&sha256(&[&rim])), json["sha256"].as_str().unwrap());
    assert_eq!(rim, nvidia().unwrap().0);
}

#[test]
fn no_bit_of_a_signed_region_of_nvidias_may_flip() {
    let Some((bytes, certificate)) = nvidia() else {
        return;
    };
    let signer = Signer::Certificate(Box::new(certificate));
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 1 << (at % 8);
        let accepted = signed(&bent).is_ok_and(|m| m.verify(&signer, NOW, &AwsLc).is_ok());
        assert!(!accepted, "byte {at}");
    }
    for length in 0..bytes.len() {
        assert!(signed(&bytes[..length]).is_err(), "{length} bytes");
    }
    let mut longer = bytes;
    longer.push(0);
    assert_eq!(code(signed(&longer)), "evidence.trailing_bytes");
}

#[test]
fn signed_good_corim_counts_until_its_signature_ends() {
    let Some(bytes) = file("veraison-corim", "signed-good-corim.cbor") else {
        return;
    };
    let signer = Signer::Key(veraison_key().unwrap());
    let manifest = signed(&bytes).unwrap();
    let trusted = manifest.verify(&signer, THEN, &AwsLc).unwrap();
    assert_eq!(trusted.meta.signer, "ACME Ltd signing key");
    assert_eq!(trusted.meta.uri.as_deref(), Some("https://acme.example"));
    // 2025-12-31T00:00:00Z
    assert_eq!(trusted.ends, Timestamp::from_secs(1_767_139_200));
    assert_eq!(code(manifest.verify(&signer, NOW, &AwsLc)), "corim.expired");
    let before = Timestamp::from_secs(1_600_000_000);
    assert_eq!(
        code(manifest.verify(&signer, before, &AwsLc)),
        "corim.not_yet_valid"
    );
    assert_eq!(manifest.key_id(), b"1");
}

#[test]
fn signed_good_corim_needs_its_own_signer() {
    let Some(bytes) = file("veraison-corim", "signed-good-corim.cbor") else {
        return;
    };
    let (_, certificate) = nvidia().unwrap();
    let manifest = signed(&bytes).unwrap();
    // The key decides the algorithm: a P-384 key has no ES256.
    let other = Signer::Key(certificate.key().clone());
    assert_eq!(
        code(manifest.verify(&other, THEN, &AwsLc)),
        "cose.algorithm"
    );
    let signer = Signer::Key(veraison_key().unwrap());
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 0x10;
        let accepted = signed(&bent).is_ok_and(|m| m.verify(&signer, THEN, &AwsLc).is_ok());
        assert!(!accepted, "byte {at}");
    }
    for length in 0..bytes.len() {
        assert!(signed(&bytes[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn signed_corim_bad_signature_is_not_even_cose() {
    let Some(bytes) = file("veraison-corim", "signed-corim-bad-signature.cbor") else {
        return;
    };
    assert!(Document::parse(&bytes).is_err());
}

#[test]
fn unsigned_good_corim_reads_and_is_no_source() {
    let Some(bytes) = file("veraison-corim", "unsigned-good-corim.cbor") else {
        return;
    };
    let Document::Unsigned(corim) = Document::parse(&bytes).unwrap() else {
        panic!("it is unsigned")
    };
    assert_eq!(corim.id.to_string(), "test corim id");
    assert!(corim.relaxed.is_empty());
    assert_eq!(
        corim.comids().next().unwrap().triples.reference[0]
            .measurements
            .len(),
        3
    );
    assert_eq!(code(signed(&bytes)), "corim.unsigned");
}

#[test]
fn comid_integrity_registers_reads_registers_of_both_names() {
    let Some(bytes) = file("veraison-corim", "comid-integrity-registers.cbor") else {
        return;
    };
    let document = Document::parse(&bytes).unwrap();
    let comids = document.comids();
    let registers = &comids[0].triples.reference[0].measurements[0]
        .values
        .registers;
    assert_eq!(registers.len(), 2);
    assert_eq!(registers[&RegisterId::Uint(0)].len(), 2);
    assert_eq!(
        registers[&RegisterId::Text("my-ir".into())][1].to_string(),
        "my-alg-id:fefefafa"
    );
}

#[test]
fn corim_parsec_tpm_valid_has_pcrs_and_a_key() {
    let Some(bytes) = file("veraison-corim", "corim-parsec-tpm-valid.cbor") else {
        return;
    };
    let document = Document::parse(&bytes).unwrap();
    let comids = document.comids();
    assert_eq!(document.corim().unwrap().profile, Some(Profile::ParsecTpm));
    assert_eq!(comids[0].triples.reference[0].measurements.len(), 3);
    assert_eq!(
        comids[1].triples.attest_key[0].keys[0].kind(),
        "pkix-base64-key"
    );
}

#[test]
fn corim_parsec_tpm_bad_no_digests_breaks_its_scheme() {
    let Some(bytes) = file("veraison-corim", "corim-parsec-tpm-bad-no-digests.cbor") else {
        return;
    };
    assert_eq!(code(Document::parse(&bytes)), "corim.scheme");
}

#[test]
fn psa_invalid_impl_id_breaks_its_scheme() {
    let Some(bytes) = file("veraison-corim", "psa-invalid-impl-id.cbor") else {
        return;
    };
    assert_eq!(code(Document::parse(&bytes)), "corim.scheme");
}

#[test]
fn cca_no_profile_needs_one() {
    let Some(bytes) = file("veraison-corim", "cca-no-profile.cbor") else {
        return;
    };
    assert_eq!(code(Document::parse(&bytes)), "corim.profile_missing");
}

#[test]
fn corim_riot_valid_has_a_trust_anchor() {
    let Some(bytes) = file("riot", "corim-riot-valid.cbor") else {
        return;
    };
    let document = Document::parse(&bytes).unwrap();
    let comids = document.comids();
    let CryptoKey::PkixPath(path) = &comids[0].triples.attest_key[0].keys[0] else {
        panic!("it is a path")
    };
    assert!(path.starts_with("-----BEGIN CERTIFICATE-----"));
}

#[test]
fn corim_riot_bad_no_vendor_breaks_its_scheme() {
    let Some(bytes) = file("riot", "corim-riot-bad-no-vendor.cbor") else {
        return;
    };
    assert_eq!(code(Document::parse(&bytes)), "corim.scheme");
}

#[test]
fn every_cut_and_every_tail_of_every_manifest_is_refused() {
    for (group, name) in [
        ("veraison-corim", "unsigned-good-corim.cbor"),
        ("veraison-corim", "comid-integrity-registers.cbor"),
        ("veraison-corim", "corim-parsec-tpm-valid.cbor"),
        ("riot", "corim-riot-valid.cbor"),
    ] {
        let Some(bytes) = file(group, name) else {
            return;
        };
        for length in 0..bytes.len() {
            assert!(
                Document::parse(&bytes[..length]).is_err(),
                "{name}: {length} bytes"
            );
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(
            code(Document::parse(&longer)),
            "evidence.trailing_bytes",
            "{name}"
        );
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << (at % 8);
            let _no_panic = Document::parse(&bent);
        }
    }
}

#[test]
fn a_profile_that_nobody_knows_is_refused() {
    let Some(bytes) = file("veraison-corim", "corim-parsec-tpm-valid.cbor") else {
        return;
    };
    let Value::Tag(501, map) = cbor::decode("it", &bytes, bytes.len(), Form::WellFormed).unwrap()
    else {
        panic!("it is tagged")
    };
    let with = |key: u8, value: Value| {
        let mut entries = map.as_map().unwrap().clone();
        entries.retain(|(found, _)| *found != Value::from(key));
        entries.push((Value::from(key), value));
        cbor::write(&Value::Tag(501, Box::new(Value::Map(entries))))
    };
    let profile = Value::Tag(32, Box::new(Value::Text("http://example.com/other".into())));
    assert_eq!(
        code(Document::parse(&with(3, profile))),
        "corim.profile_unknown"
    );
    let oid = Value::Tag(111, Box::new(Value::Bytes(vec![0x2a, 3])));
    assert_eq!(
        code(Document::parse(&with(3, oid))),
        "corim.profile_unknown"
    );
    assert_eq!(
        code(Document::parse(&with(1, Value::Array(Vec::new())))),
        "evidence.malformed"
    );
    assert_eq!(
        code(Document::parse(&with(9, Value::Null))),
        "evidence.malformed"
    );
}

/// Reads, shows, compares and follows whatever is a manifest.
pub(crate) fn read(bytes: &[u8]) {
    let Ok(document) = Document::parse(bytes) else {
        return;
    };
    if let Document::Signed(signed) = &document {
        let _ = signed.verify(&Signer::Key(PublicKey::Ed25519([1; 32])), THEN, &AwsLc);
    }
    for comid in document.comids() {
        for triple in &comid.triples.reference {
            let _ = compare(&comid.triples.reference, &triple.measurements);
        }
        let _ = endorsed([&comid.triples], &comid.triples.reference);
    }
}

/// Good inputs to begin fuzzing from.
pub(crate) fn seeds() -> [(&'static str, Vec<u8>); 4] {
    let digest = assay_attest::digest::HashAlg::Sha256.hash(&[b"seed"]);
    let values = Values {
        svn: Some(Svn::Min(2)),
        digests: vec![AlgDigest::from(&digest)],
        flags: Some(Flags { stated: 5, set: 1 }),
        raw: Some(Raw {
            value: vec![1, 2],
            mask: Some(vec![255, 0]),
        }),
        registers: [(RegisterId::Uint(0), vec![AlgDigest::from(&digest)])].into(),
        ..Values::default()
    };
    let draft = Draft {
        id: "seed".into(),
        version: 1,
        profile: None,
        ends: Some(NOW),
        reference: vec![ValueTriple {
            environment: Environment {
                class: Some(Class {
                    vendor: Some("acme".into()),
                    layer: Some(1),
                    ..Class::default()
                }),
                ..Environment::default()
            },
            measurements: vec![Measurement {
                key: Some(Mkey::Uint(1)),
                values,
                authorized_by: Vec::new(),
            }],
        }],
    };
    let unsigned = draft.to_bytes();
    let key = PublicKey::Ed25519([1; 32]);
    let signed = sign(unsigned.clone(), &key, b"1", "seed", Some(NOW), |_| {
        Ok::<_, std::convert::Infallible>(vec![0; 64])
    })
    .unwrap();
    let Value::Tag(501, map) = cbor::decode("it", &unsigned, 4096, Form::WellFormed).unwrap()
    else {
        panic!("it is tagged")
    };
    let entries = map.as_map().unwrap();
    let tags = &entries
        .iter()
        .find(|(key, _)| *key == Value::from(1))
        .unwrap()
        .1;
    let Value::Tag(506, comid) = &tags.as_array().unwrap()[0] else {
        panic!("it is a comid")
    };
    [
        ("corim/unsigned", unsigned),
        (
            "corim/old",
            cbor::write(&Value::Tag(
                500,
                Value::Tag(
                    502,
                    cbor::decode("it", &signed, 4096, Form::WellFormed)
                        .unwrap()
                        .into(),
                )
                .into(),
            )),
        ),
        ("corim/signed", signed),
        ("comid/good", comid.as_bytes().unwrap().clone()),
    ]
}

#[test]
fn the_seeds_read() {
    for (name, bytes) in seeds() {
        Document::parse(&bytes).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    }
}

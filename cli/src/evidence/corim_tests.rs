//! Manifests of the field through the offline tool, and what is measured against them.

use std::path::{Path, PathBuf};

use assay_attest::digest::HashAlg;
use assay_attest::time::Timestamp;
use assay_checks::AwsLc;
use serde_json::Value;

use super::references::{Components, match_references};
use super::{Accepted, Artefact, Rejection, With, encoding, table};

/// 2025-06-01T00:00:00Z.
const THEN: u64 = 1_748_736_000;
/// 2026-11-23T00:00:00Z.
const NOW: u64 = 1_795_392_000;

fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let all = std::env::var_os("ASSAY_VECTORS").map_or(beside, PathBuf::from);
    if all.is_dir() {
        return Some(all);
    }
    assert!(std::env::var_os("CI").is_none(), "vectors are needed in CI");
    println!("skipped: no vectors at {}", all.display());
    None
}

fn vector(name: &str) -> Option<Artefact> {
    let path = folder()?.join(name);
    Some(Artefact::new(name, std::fs::read(path).unwrap()))
}

fn with(at: u64) -> With<'static> {
    With {
        chain: None,
        roots: Vec::new(),
        key: None,
        nonce: None,
        at: Timestamp::from_secs(at),
        pcrs: None,
        signature: None,
        references: Vec::new(),
        root_from_chain: false,
        check: &AwsLc,
    }
}

fn verify(kind: &str, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
    table::find(kind).unwrap().verify(file, with)
}

fn code(result: Result<Accepted, Rejection>) -> String {
    result.unwrap_err().code
}

#[test]
fn nvidias_corim_holds_under_its_signers_certificate_and_no_other() {
    let Some(file) = vector("nvidia-corim/nvidia-cx7-28.39.4082.corim.cbor") else {
        return;
    };
    assert_eq!(table::detect(&file).unwrap().name(), "corim");
    assert_eq!(code(verify("corim", &file, &with(NOW))), "verify.no_anchor");
    let key = vector("nvidia-corim/nvidia-corim-signer-cx7-id-2.pem");
    let signed = With { key, ..with(NOW) };
    let accepted = verify("corim", &file, &signed).unwrap();
    assert!(accepted.authenticated);
    let claims = Value::Object(accepted.claims);
    assert_eq!(claims["id"], "ConnectX-7_28.39.4082");
    assert_eq!(claims["signer"], "NVIDIA");
    assert_eq!(
        claims["sha256"],
        "ca3f3a12d38746dfa9168a3ecd39be4aabb57aab94b83f3b771482e2c3c89e02"
    );
    let tag = &claims["tags"][0];
    assert_eq!(tag["id"], "15b3102115b3003300-28.39.4082");
    let measurements = &tag["reference_values"][0]["measurements"];
    assert_eq!(measurements[0]["raw"], "00000001");
    assert!(
        measurements[4]["digests"][0]
            .as_str()
            .unwrap()
            .starts_with("sha512:6ac2edc7")
    );
    // Before its certificate: the signature holds, and does not count yet.
    let early = With {
        at: Timestamp::from_secs(1_700_000_000),
        ..signed
    };
    let rejection = verify("corim", &file, &early).unwrap_err();
    assert_eq!(
        (rejection.code.as_str(), rejection.authenticated),
        ("corim.not_yet_valid", true)
    );
    let other = With {
        key: vector("nvidia-rim/rim_root.crt"),
        ..with(NOW)
    };
    assert_eq!(code(verify("corim", &file, &other)), "cose.signature");
}

#[test]
fn the_rim_services_answer_holds_while_its_digest_does() {
    let Some(file) = vector("nvidia-corim/rim-service-response.json") else {
        return;
    };
    assert_eq!(table::detect(&file).unwrap().name(), "corim");
    let key = vector("nvidia-corim/nvidia-corim-signer-cx7-id-2.pem");
    let signed = With { key, ..with(NOW) };
    assert!(verify("corim", &file, &signed).unwrap().authenticated);
    let text = file.text().unwrap();
    let bent = text.replace("\"sha256\": \"ca", "\"sha256\": \"cb");
    assert_ne!(bent, text);
    let bent = Artefact::new("x", bent.into_bytes());
    assert_eq!(code(verify("corim", &bent, &signed)), "rim.digest");
    let other = text.replace("CORIM", "TCG");
    let other = Artefact::new("x", other.into_bytes());
    assert_eq!(code(verify("corim", &other, &signed)), "rim.format");
}

#[test]
fn signed_good_corim_holds_then_and_not_now() {
    let Some(file) = vector("veraison-corim/signed-good-corim.cbor") else {
        return;
    };
    let at = |at| With {
        key: vector("veraison-corim/ec-p256.pub.jwk"),
        ..with(at)
    };
    assert!(verify("corim", &file, &at(THEN)).unwrap().authenticated);
    let rejection = verify("corim", &file, &at(NOW)).unwrap_err();
    assert_eq!(
        (rejection.code.as_str(), rejection.authenticated),
        ("corim.expired", true)
    );
    assert_eq!(rejection.claims["signer"], "ACME Ltd signing key");
    let root = With {
        roots: vec![vector("nvidia-rim/rim_root.crt").unwrap()],
        ..with(THEN)
    };
    assert_eq!(code(verify("corim", &file, &root)), "corim.signer");
}

#[test]
fn files_come_in_any_encoding() {
    let Some(file) = vector("veraison-corim/signed-good-corim.cbor") else {
        return;
    };
    let hex = base16ct::lower::encode_string(file.raw());
    let base64 = <base64ct::Base64 as base64ct::Encoding>::encode_string(file.raw());
    for text in [hex, base64] {
        let encoded = Artefact::new("x", text.into_bytes());
        let key = vector("veraison-corim/ec-p256.pub.jwk");
        assert!(verify("corim", &encoded, &With { key, ..with(THEN) }).is_ok());
    }
}

#[test]
fn unsigned_manifests_are_read_and_are_no_source() {
    let Some(file) = vector("veraison-corim/unsigned-good-corim.cbor") else {
        return;
    };
    assert_eq!(code(verify("corim", &file, &with(NOW))), "corim.unsigned");
    let accepted = verify("comid", &file, &with(NOW)).unwrap();
    assert!(!accepted.authenticated);
    let signed = vector("veraison-corim/signed-good-corim.cbor").unwrap();
    assert_eq!(code(verify("comid", &signed, &with(THEN))), "comid.signed");
}

#[test]
fn each_scheme_has_its_rules() {
    for (name, expected) in [
        ("veraison-corim/comid-integrity-registers.cbor", None),
        ("veraison-corim/corim-parsec-tpm-valid.cbor", None),
        ("riot/corim-riot-valid.cbor", None),
        (
            "veraison-corim/corim-parsec-tpm-bad-no-digests.cbor",
            Some("corim.scheme"),
        ),
        (
            "veraison-corim/psa-invalid-impl-id.cbor",
            Some("corim.scheme"),
        ),
        (
            "veraison-corim/cca-no-profile.cbor",
            Some("corim.profile_missing"),
        ),
        ("riot/corim-riot-bad-no-vendor.cbor", Some("corim.scheme")),
    ] {
        let Some(file) = vector(name) else { return };
        let found = verify("comid", &file, &with(NOW))
            .err()
            .map(|rejection| rejection.code);
        assert_eq!(found.as_deref(), expected, "{name}");
    }
    let Some(file) = vector("veraison-corim/signed-corim-bad-signature.cbor") else {
        return;
    };
    let key = vector("veraison-corim/ec-p256.pub.jwk");
    assert!(verify("corim", &file, &With { key, ..with(THEN) }).is_err());
}

fn rim(name: &str) -> Option<Artefact> {
    vector(&format!("nvidia-rim/{name}"))
}

fn rooted(at: u64) -> With<'static> {
    With {
        roots: rim("rim_root.crt").into_iter().collect(),
        ..with(at)
    }
}

#[test]
fn nvidias_xml_rim_holds_until_its_signer_runs_out() {
    let Some(file) = rim("gh100-driver-550.144.03.swidtag.xml") else {
        return;
    };
    assert_eq!(table::detect(&file).unwrap().name(), "rim-xml");
    let accepted = verify("rim-xml", &file, &rooted(THEN)).unwrap();
    assert!(accepted.authenticated);
    let claims = Value::Object(accepted.claims);
    assert_eq!(claims["name"], "GH100");
    assert_eq!(claims["facts"]["colloquial_version"], "550.144.03");
    assert_eq!(claims["measurements"].as_array().unwrap().len(), 64);
    assert_eq!(claims["measurements"][7]["active"], true);
    assert!(
        claims["measurements"][7]["digests"][0]
            .as_str()
            .unwrap()
            .starts_with("sha384:4a5e4b3d")
    );
    assert_eq!(claims["ends"], "2026-12-30T16:56:50.000Z");
    assert_eq!(
        code(verify("rim-xml", &file, &with(THEN))),
        "verify.no_anchor"
    );
    let own = With {
        root_from_chain: true,
        ..with(THEN)
    };
    assert_eq!(
        verify("rim-xml", &file, &own).unwrap().claims["anchor"],
        "file"
    );
    // 2026-12-31 and 2027-05-01
    assert_eq!(
        code(verify("rim-xml", &file, &rooted(1_798_675_200))),
        "chain.expired"
    );
    assert_eq!(
        code(verify("rim-xml", &file, &rooted(1_809_129_600))),
        "chain.expired"
    );
}

#[test]
fn a_bent_xml_rim_is_refused() {
    let Some(file) = rim("driver-bad-signature.xml") else {
        return;
    };
    let rejection = verify("rim-xml", &file, &rooted(THEN)).unwrap_err();
    println!("{}", rejection.code);
    assert!(!rejection.authenticated);
    let good = rim("gh100-driver-550.144.03.swidtag.xml").unwrap();
    let text = good.text().unwrap();
    let bend = |from: &str, to: &str| {
        let bent = text.replacen(from, to, 1);
        assert_ne!(bent, text, "{from}");
        code(verify(
            "rim-xml",
            &Artefact::new("x", bent.into_bytes()),
            &rooted(THEN),
        ))
    };
    assert_eq!(bend("ns2:Hash0=\"4a5e", "ns2:Hash0=\"4a5f"), "xml.digest");
    assert_eq!(bend("GH100", "GH101"), "xml.digest");
    assert_eq!(bend("    <ns0:Resource", "   <ns0:Resource"), "xml.digest");
    assert_eq!(
        bend("<ds:DigestValue>Bq", "<ds:DigestValue>Bp"),
        "xml.digest"
    );
    assert_eq!(
        bend("<ds:SignatureValue>T", "<ds:SignatureValue>S"),
        "xml.signature"
    );
    assert_eq!(bend("URI=\"\"", "URI=\"#x\""), "xml.signature_form");
    assert_eq!(
        bend("#enveloped-signature", "#base64"),
        "xml.signature_form"
    );
    assert_eq!(
        bend("xmldsig-more#sha384", "xmldsig#sha1"),
        "xml.signature_form"
    );
    assert_eq!(
        bend("<SoftwareIdentity", "<!DOCTYPE a><SoftwareIdentity"),
        "xml.malformed"
    );
    assert_eq!(
        bend("</ns0:Payload>", "<ns0:Resource/></ns0:Payload>"),
        "xml.digest"
    );
    // A second document wrapped around the signed one is no SWID tag.
    let wrapped = format!("<a>{text}</a>");
    assert_eq!(
        code(verify(
            "rim-xml",
            &Artefact::new("x", wrapped.into_bytes()),
            &rooted(THEN)
        )),
        "xml.unsigned"
    );
    let twice = text.replace("</SoftwareIdentity>", "")
        + text
            .split_once("<ds:Signature ")
            .map(|(_, s)| format!("<ds:Signature {s}"))
            .unwrap()
            .as_str();
    assert_eq!(
        code(verify(
            "rim-xml",
            &Artefact::new("x", twice.into_bytes()),
            &rooted(THEN)
        )),
        "xml.signature_form"
    );
}

#[test]
fn each_certificate_of_an_xml_rim_is_needed_in_its_place() {
    let Some(good) = rim("gh100-driver-550.144.03.swidtag.xml") else {
        return;
    };
    let text = good.text().unwrap();
    let (before, rest) = text.split_once("<ds:X509Data>").unwrap();
    let (inner, after) = rest.split_once("</ds:X509Data>").unwrap();
    let parts: Vec<&str> = inner.split_inclusive("</ds:X509Certificate>").collect();
    assert_eq!(parts.len(), 4);
    let refused = |order: &[usize]| {
        let chain: String = order.iter().map(|at| parts[*at]).collect();
        let bent = format!("{before}<ds:X509Data>{chain}</ds:X509Data>{after}");
        verify(
            "rim-xml",
            &Artefact::new("x", bent.into_bytes()),
            &rooted(THEN),
        )
        .is_err()
    };
    assert!(!refused(&[0, 1, 2, 3]));
    assert!(!refused(&[0, 1, 2]), "the root may be left out");
    for order in [
        &[0, 1, 3][..],
        &[0, 2, 3],
        &[1, 2, 3],
        &[0, 2, 1, 3],
        &[1, 0, 2, 3],
        &[0, 1, 1, 2, 3],
        &[],
    ] {
        assert!(refused(order), "{order:?}");
    }
}

#[test]
fn an_xml_rim_becomes_a_corim_with_the_same_values() {
    let Some(file) = rim("gh100-driver-550.144.03.swidtag.xml") else {
        return;
    };
    let (rim, _) = super::rim_xml::read(&file).unwrap();
    let bytes = rim.to_draft(None).to_bytes();
    let file = Artefact::new("x", bytes);
    let claims = Value::Object(verify("comid", &file, &with(NOW)).unwrap().claims);
    let triple = &claims["tags"][0]["reference_values"][0];
    assert_eq!(triple["environment"]["vendor"], "NVIDIA Corporation");
    assert_eq!(
        triple["measurements"][0]["key"], "8",
        "as SPDM counts: from 1"
    );
    assert!(
        triple["measurements"][0]["digests"][0]
            .as_str()
            .unwrap()
            .starts_with("sha384:4a5e4b3d")
    );
}

fn cx7() -> Components {
    let mut measured = Components::default();
    measured.raw(1, &[0, 0, 0, 1], None);
    let digests = [
        "f8f6ea6fa03bb08fcffb28bd4cda66a6f46adb2ebade522600d0d4a46fdf3ebc25e17c2d7a3927c581e4b10ad1973859b064c51a9820b41f7bfa729f201242a8",
        "0598af8e38b1a8e0b963bbdb4405b8fed4e145af86d03faa0058ccdfc75909eb31c117c819e02a74c3ab6a233e9d9b0f2976cf0caaa8895935332bf85e906f28",
        "52cf172eb02dca191d405e59fa177971bce647902f00ac5470b1b998f2a9bcdef7caefebe9df7e843e9986a859c11421e162ba62d9005619ac06930d8de186b7",
        "6ac2edc7752ca21aa88ace407af54d58f1098ab3dfb5d0638eeecb7a8f761a5903323bf47dbeed2d8d3ded229519940cdf519b85376fb492ad5fdea6fc48619d",
    ];
    for (index, hex) in (2..).zip(digests) {
        let bytes = encoding::from_hex(hex).unwrap();
        measured.digest(
            index,
            &assay_attest::digest::Digest::new(HashAlg::Sha512, &bytes).unwrap(),
        );
    }
    measured
}

#[test]
fn measurements_match_the_vendors_manifest_whole_or_not() {
    let Some(file) = vector("nvidia-corim/nvidia-cx7-28.39.4082.corim.cbor") else {
        return;
    };
    let files = [file];
    let mut measured = cx7();
    measured.digest(9, &HashAlg::Sha512.hash(&[b"security configuration"]));
    let claims = Value::Object(match_references(&files, &measured).unwrap());
    assert_eq!(claims["reference_matches"].as_array().unwrap().len(), 5);
    assert_eq!(claims["unlisted"], serde_json::json!(["9"]));
    assert_eq!(claims["references"][0]["id"], "ConnectX-7_28.39.4082");

    let mut other = Components::default();
    other.raw(1, &[0, 0, 0, 1], None);
    other.digest(2, &HashAlg::Sha512.hash(&[b"other"]));
    let rejection = match_references(&files, &other).unwrap_err();
    assert_eq!(rejection.code, "reference.mismatch");
    let outcomes: Vec<&str> = rejection.claims["reference_matches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        ["match", "mismatch", "missing", "missing", "missing"]
    );
    assert!(match_references(&[], &other).unwrap().is_empty());
}

#[test]
fn pcrs_match_by_number_by_name_and_as_registers() {
    let Some(file) = vector("veraison-corim/corim-parsec-tpm-valid.cbor") else {
        return;
    };
    let zero = assay_attest::digest::Digest::new(HashAlg::Sha256, &[0; 32]).unwrap();
    let mut measured = Components::default();
    measured.pcrs([(0, &zero), (1, &zero), (2, &zero)]);
    assert!(match_references(&[file], &measured).is_ok());
    let registers = vector("veraison-corim/comid-integrity-registers.cbor").unwrap();
    assert_eq!(
        match_references(&[registers], &measured).unwrap_err().code,
        "reference.mismatch"
    );
}

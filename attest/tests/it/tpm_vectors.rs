//! Real TPM and COSE bytes of other projects: what each must give stands in the manifest beside them.

use crate::vectors;
use crate::world::Pure;
use assay_attest::codec::cose::Sign1;
use assay_attest::codec::tpm::{self, Attest, Attested, Public, Signature};
use assay_attest::digest::{Digest, HashAlg, hex};
use assay_attest::key::{CheckSignature, PublicKey};
use assay_checks::AwsLc;
use base64ct::{Base64, Base64Unpadded, Encoding as _};

fn read(name: &str) -> Option<Vec<u8>> {
    let (folder, file) = name.split_once('/').unwrap();
    vectors::folder(folder).map(|folder| std::fs::read(folder.join(file)).unwrap())
}

fn hex_bytes(text: &str) -> Vec<u8> {
    base16ct::mixed::decode_vec(text).unwrap()
}

fn selected(attest: &Attest) -> (u16, Vec<u8>, Vec<u8>) {
    let Attested::Quote { selection, digest } = &attest.attested else {
        panic!("no quote")
    };
    (selection[0].bank, selection[0].pcrs.clone(), digest.clone())
}

#[test]
fn keylimes_quote_verifies() {
    let Some(ak) = read("tpm-keylime/ak.pub") else {
        return;
    };
    let ak = Public::parse_sized(&ak).unwrap();
    assert_eq!(
        ak.name().unwrap().as_bytes(),
        read("tpm-keylime/ak.name").unwrap()
    );
    assert!(ak.attributes.is_attestation_key());
    assert_eq!(ak.attributes.0, 327_794);

    let ek = Public::parse_sized(&read("tpm-keylime/ek.pub").unwrap()).unwrap();
    assert!(!ek.attributes.is_attestation_key() && !ek.attributes.is_request_key());
    assert_eq!(ek.symmetric, Some((6, 128, 0x43)), "AES-128-CFB");
    assert!(hex(&ek.auth_policy).starts_with("837197674484b3f8"));

    let quote = Attest::parse(&read("tpm-keylime/quote.out").unwrap()).unwrap();
    assert_eq!(
        hex(&quote.qualified_signer),
        "000b7ca54a622c87f30888b6da66f51e4a31ccb723cad8daa111a5006b44342dd623"
    );
    let qualified = tpm::qualified_name(Some(&ek.name().unwrap()), &ak.name().unwrap()).unwrap();
    assert_eq!(
        qualified.as_bytes(),
        quote.qualified_signer,
        "the AK is a child of the EK"
    );
    assert_eq!(
        hex(&quote.extra_data),
        "db1db298db6d60e6385b7231743e9c3056a18003"
    );
    let clock = quote.clock;
    assert_eq!(
        (
            clock.clock,
            clock.reset_count,
            clock.restart_count,
            clock.safe
        ),
        (5994, 0, 0, true)
    );
    assert_eq!(quote.firmware_version, 0x2016_0511_0016_2800);
    let (bank, pcrs, digest) = selected(&quote);
    assert_eq!((bank, pcrs.as_slice()), (0x0b, [15, 16, 22].as_slice()));
    assert_eq!(
        hex(&digest),
        "ec1636c69c548fd09a165a4f874e5d1610a8fbe36241566017e92b17e144b971"
    );

    // tpm2-tools: TPML_PCR_SELECTION (132 bytes), one TPML_DIGEST: its count, then size and 64 bytes of each.
    let values = read("tpm-keylime/quotepcr.out").unwrap();
    let values: Vec<Digest> = (0..3)
        .map(|n| Digest::new(HashAlg::Sha256, &values[142 + n * 66..174 + n * 66]).unwrap())
        .collect();
    assert_eq!(
        tpm::pcr_digest(HashAlg::Sha256, &values.iter().collect::<Vec<_>>()).bytes(),
        digest
    );

    let signature = Signature::parse(&read("tpm-keylime/quotesig.out").unwrap()).unwrap();
    assert_eq!(ak.scheme, Some(signature.ids));
    let (scheme, raw) = (
        signature.ids.accepted().unwrap(),
        signature.raw_for(&ak.key).unwrap(),
    );
    AwsLc
        .check(&ak.key, scheme, quote.as_bytes(), &raw)
        .unwrap();
    for bit in 0..quote.as_bytes().len() * 8 {
        let mut other = quote.as_bytes().to_vec();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(AwsLc.check(&ak.key, scheme, &other, &raw).is_err());
    }
}

#[test]
fn trustees_quote_verifies() {
    let Some(evidence) = read("tpm-trustee/tpm_evidence.json") else {
        return;
    };
    let evidence: serde_json::Value = serde_json::from_slice(&evidence).unwrap();
    let field = |name: &str| Base64::decode_vec(evidence["tpm_quote"][name].as_str().unwrap());
    let spki = Base64::decode_vec(evidence["ak_public"].as_str().unwrap()).unwrap();
    let key = PublicKey::Rsa {
        modulus: spki[33..289].to_vec(),
        exponent: spki[291..].to_vec(),
    };
    let quote = Attest::parse(&field("message").unwrap()).unwrap();
    let signature = Signature::parse(&field("signature").unwrap()).unwrap();
    let raw = signature.raw_for(&key).unwrap();
    AwsLc
        .check(
            &key,
            signature.ids.accepted().unwrap(),
            quote.as_bytes(),
            &raw,
        )
        .unwrap();
    let values: Vec<Digest> = evidence["tpm_quote"]["pcrs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pcr| Digest::new(HashAlg::Sha256, &hex_bytes(pcr.as_str().unwrap())).unwrap())
        .collect();
    let (bank, pcrs, digest) = selected(&quote);
    assert_eq!((bank, pcrs.len()), (0x0b, 24));
    assert_eq!(
        tpm::pcr_digest(HashAlg::Sha256, &values.iter().collect::<Vec<_>>()).bytes(),
        digest
    );
    assert_eq!(quote.extra_data.len(), 64);
    assert!(quote.extra_data[48..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_sha_1_bank_parses_and_is_refused_by_algorithm() {
    let Some(quote) = read("tpm-rust-keylime/test-quote.txt") else {
        return;
    };
    let quote = String::from_utf8(quote).unwrap();
    let part = |text: &str| Base64Unpadded::decode_vec(text.trim().trim_end_matches('=')).unwrap();
    let mut parts = quote.trim_start_matches('r').split(':').map(part);
    let attest = Attest::parse(&parts.next().unwrap()).unwrap();
    let signature = Signature::parse(&parts.next().unwrap()).unwrap();
    let (bank, _, _) = selected(&attest);
    assert_eq!(bank, 4, "SHA-1");
    assert_eq!(tpm::hash_of(bank), None);
    assert!(signature.ids.accepted().is_none() || tpm::hash_of(bank).is_none());
}

#[test]
fn cose_wg_messages_verify_as_they_should() {
    for (name, expected) in [
        ("sign1-pass-01.json", "accepted"),
        ("sign1-fail-02.json", "cose.signature"),
    ] {
        let Some(vector) = read(&format!("cose-wg/{name}")) else {
            return;
        };
        let vector: serde_json::Value = serde_json::from_slice(&vector).unwrap();
        let key = &vector["input"]["sign0"]["key"];
        let mut point = vec![4];
        for coordinate in ["x", "y"] {
            point.extend(
                base64ct::Base64UrlUnpadded::decode_vec(key[coordinate].as_str().unwrap()).unwrap(),
            );
        }
        let key = PublicKey::P256(point.into_boxed_slice().try_into().unwrap());
        let bytes = hex_bytes(vector["output"]["cbor"].as_str().unwrap());
        let message = Sign1::parse(&bytes).unwrap();
        let checks: [&dyn CheckSignature; 2] = [&Pure, &AwsLc];
        for check in checks {
            let found = message
                .verify(&key, b"", check)
                .map_or_else(|refusal| refusal.code(), |_| "accepted");
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(message.key_id(), b"11");
        let strict = Sign1::parse_strict(&bytes).unwrap_err();
        assert_eq!(
            strict.code(),
            "evidence.malformed",
            "ours has nothing unprotected"
        );
    }
}

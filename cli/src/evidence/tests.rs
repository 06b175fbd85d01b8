//! Attacks on artefacts that hold: whatever is changed in what is signed, nothing is accepted any more. And artefacts of our own making where no
//! vector exists.

use std::path::{Path, PathBuf};

use assay_api::jose;
use assay_api::types::Time;
use assay_attest::codec::cbor::{self, Value as Cbor};
use assay_attest::codec::{cose, edn};
use assay_attest::digest::sha256;
use assay_attest::key::PublicKey;
use assay_checks::AwsLc;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use super::kind::hex;
use super::{Accepted, Artefact, Rejection, With, encoding, table};

fn vector(name: &str) -> Option<Artefact> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let all = std::env::var_os("ASSAY_VECTORS").map_or(beside, PathBuf::from);
    let bytes = std::fs::read(all.join(name)).ok()?;
    Some(Artefact::new(name, bytes))
}

fn with(at: &str) -> With<'static> {
    With {
        chain: None,
        roots: Vec::new(),
        key: None,
        nonce: None,
        at: at.parse::<Time>().unwrap().0,
        pcrs: None,
        signature: None,
        references: Vec::new(),
        root_from_chain: false,
        check: &AwsLc,
    }
}

fn by_key(key: Artefact) -> With<'static> {
    With {
        key: Some(key),
        ..with("2025-01-01T00:00:00Z")
    }
}

fn verify(kind: &str, bytes: &[u8], with: &With<'_>) -> Result<Accepted, Rejection> {
    table::find(kind)
        .unwrap()
        .verify(&Artefact::new("x", bytes.to_vec()), with)
}

fn code(kind: &str, bytes: &[u8], with: &With<'_>) -> String {
    verify(kind, bytes, with).unwrap_err().code
}

/// Each bit (or as many as leave the test fast), each length, one byte more: nothing of it is accepted.
fn nothing_else_holds(kind: &str, bytes: &[u8], with: &With<'_>, steps: usize) {
    assert!(verify(kind, bytes, with).unwrap().authenticated);
    let bits = bytes.len() * 8;
    for bit in (0..bits).step_by((bits / steps).max(1) | 1) {
        let mut bent = bytes.to_vec();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(kind, &bent, with).is_err(), "{kind}: bit {bit}");
    }
    for length in (0..bytes.len()).step_by((bytes.len() / steps).max(1)) {
        assert!(
            verify(kind, &bytes[..length], with).is_err(),
            "{kind}: cut at {length}"
        );
    }
    for more in [0, 0xff, b'A'] {
        let longer = [bytes, &[more]].concat();
        assert!(verify(kind, &longer, with).is_err(), "{kind}: a byte more");
    }
}

#[test]
fn nothing_but_the_psa_token_itself_holds() {
    let Some(token) = vector("eat/psa-2_0_0_sign1.bin") else {
        return;
    };
    let with = by_key(vector("eat/public.pem").unwrap());
    nothing_else_holds("eat", token.raw(), &with, 1500);
    nothing_else_holds("cose", token.raw(), &with, 500);
}

#[test]
fn nothing_but_the_nitro_document_itself_holds() {
    let Some(document) = vector("nitro/nitro-2023-09-18.b64") else {
        return;
    };
    let root = vector("nitro/nitro-root.pem").unwrap();
    let at = |at: &str| With {
        roots: vec![root.clone()],
        ..with(at)
    };
    nothing_else_holds("eat", &document.binary(), &at("2023-09-18T15:03:30Z"), 150);
    // The leaf lives three hours: neither before nor after.
    assert_eq!(
        code("eat", document.raw(), &at("2023-09-18T12:00:00Z")),
        "chain.not_yet_valid"
    );
    assert_eq!(
        code("eat", document.raw(), &at("2023-09-18T18:10:00Z")),
        "chain.expired"
    );
}

#[test]
fn nothing_but_the_ear_itself_holds() {
    let Some(token) = vector("ear/ear-es256.jwt") else {
        return;
    };
    let text = token.text().unwrap().trim().to_owned();
    nothing_else_holds(
        "ear",
        text.as_bytes(),
        &by_key(vector("ear/pkey.json").unwrap()),
        600,
    );
}

#[test]
fn nothing_but_the_messages_of_cose_wg_hold() {
    for name in ["cose-wg/sign1-pass-01.json", "cose-wg/ecdsa-sig-02.json"] {
        let Some(case) = vector(name) else { return };
        let json = case.json().unwrap();
        let bytes = encoding::from_hex(json["output"]["cbor"].as_str().unwrap()).unwrap();
        let with = by_key(case);
        assert!(verify("cose", &bytes, &with).unwrap().authenticated);
        // Untagged it is the same message.
        assert!(verify("cose", &bytes[1..], &with).is_ok());
        let payload = verify("cose", &bytes, &with).unwrap().claims["payload"].clone();
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            // What is not protected may change (the key id); what is signed may not.
            if let Ok(accepted) = verify("cose", &bent, &with) {
                assert_eq!(accepted.claims["payload"], payload, "{name}: bit {bit}");
                assert!((6..16).contains(&(bit / 8)), "{name}: bit {bit}");
            }
        }
        for length in 0..bytes.len() {
            assert!(verify("cose", &bytes[..length], &with).is_err());
        }
    }
}

#[test]
fn external_data_is_covered() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let jwk = public(&key);
    let message = cose::build(
        &cose::Protected {
            key: &PublicKey::Ed25519(key.verifying_key().to_bytes()),
            key_id: b"k",
            content_type: "text/plain",
        },
        b"content".to_vec(),
        &[0x11, 0xaa],
        |m| Ok::<_, ()>(key.sign(m).to_vec()),
    )
    .unwrap();
    let case = |external: Value| {
        json!({"input": {"sign0": {"external": external}}, "output": {"cbor": hex(&message)}})
            .to_string()
    };
    assert!(verify("cose", case(json!("11aa")).as_bytes(), &by_key(jwk.clone())).is_ok());
    for other in ["", "11ab", "11aa00"] {
        let case = case(json!(other));
        let code = code("cose", case.as_bytes(), &by_key(jwk.clone()));
        assert!(
            code == "cose.signature" || other.is_empty(),
            "{other}: {code}"
        );
    }
    assert_eq!(code("cose", &message, &by_key(jwk)), "cose.signature");
}

#[test]
fn of_several_signers_the_one_that_verifies_is_named() {
    let keys = [[1; 32], [2; 32], [3; 32]].map(|seed| SigningKey::from_bytes(&seed));
    let protected = vec![0xa1, 0x01, 0x27];
    let signature = |key: &SigningKey| {
        let parts = vec![
            Cbor::from("Signature"),
            Cbor::Bytes(Vec::new()),
            Cbor::Bytes(protected.clone()),
            Cbor::Bytes(Vec::new()),
            Cbor::Bytes(b"content".to_vec()),
        ];
        let signed = cbor::write(&Cbor::Array(parts));
        Cbor::Array(vec![
            Cbor::Bytes(protected.clone()),
            Cbor::Map(Vec::new()),
            Cbor::Bytes(key.sign(&signed).to_vec()),
        ])
    };
    let message = Cbor::Tag(
        98,
        Box::new(Cbor::Array(vec![
            Cbor::Bytes(Vec::new()),
            Cbor::Map(Vec::new()),
            Cbor::Bytes(b"content".to_vec()),
            Cbor::Array(keys[..2].iter().map(signature).collect()),
        ])),
    );
    let bytes = cbor::write(&message);
    for (index, key) in keys[..2].iter().enumerate() {
        let accepted = verify("cose", &bytes, &by_key(public(key))).unwrap();
        assert_eq!(accepted.claims["signer"], index);
        assert_eq!(accepted.claims["signatures"][1 - index]["verified"], false);
    }
    assert_eq!(
        code("cose", &bytes, &by_key(public(&keys[2]))),
        "cose.signature"
    );
    assert_eq!(
        code("cose", &bytes, &with("2025-01-01T00:00:00Z")),
        "verify.no_anchor"
    );
}

#[test]
fn a_detached_payload_is_the_file_and_the_message_its_signature() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let parts = vec![
        Cbor::from("Signature1"),
        Cbor::Bytes(vec![0xa1, 0x01, 0x27]),
        Cbor::Bytes(Vec::new()),
        Cbor::Bytes(b"the file".to_vec()),
    ];
    let signature = key.sign(&cbor::write(&Cbor::Array(parts))).to_vec();
    let message = Cbor::Array(vec![
        Cbor::Bytes(vec![0xa1, 0x01, 0x27]),
        Cbor::Map(Vec::new()),
        Cbor::Null,
        Cbor::Bytes(signature),
    ]);
    let bytes = cbor::write(&message);
    let detached = With {
        signature: Some(Artefact::new("x.cose", bytes.clone())),
        ..by_key(public(&key))
    };
    assert!(
        verify("cose", b"the file", &detached)
            .unwrap()
            .authenticated
    );
    assert_eq!(code("cose", b"the bile", &detached), "cose.signature");
    assert_eq!(
        code("cose", &bytes, &by_key(public(&key))),
        "evidence.unsupported"
    );
}

const EAR_CBOR: &str = r#"{
    265: "tag:ietf.org,2026:rats/ear#03", 6: 1666529184, 10: h'0011223344556677',
    1004: {0: "https://veraison-project.org", 1: "vts 0.0.1"},
    266: {"PSA": {1000: 96, 1001: {0: 2, 2: 96, 4: 2}, 1003: ["https://veraison.example/policy/1/60a0068d"]}}
}"#;

#[test]
fn an_ear_as_cwt_says_what_it_says_as_jwt() {
    let unsigned = verify("ear", EAR_CBOR.as_bytes(), &with("2025-01-01T00:00:00Z")).unwrap();
    assert!(!unsigned.authenticated);
    assert_eq!(
        unsigned.claims["submods"]["PSA"]["vector"]["executables"],
        96
    );
    assert_eq!(unsigned.claims["status"], "contraindicated");

    let key = SigningKey::from_bytes(&[7; 32]);
    let sign = |payload: &str| {
        let protected = cose::Protected {
            key: &PublicKey::Ed25519(key.verifying_key().to_bytes()),
            key_id: b"",
            content_type: "application/eat-ucs+cbor",
        };
        let payload = edn::to_cbor(payload).unwrap();
        cose::build(&protected, payload, b"", |m| {
            Ok::<_, ()>(key.sign(m).to_vec())
        })
        .unwrap()
    };
    let mut with = by_key(public(&key));
    let cwt = sign(EAR_CBOR);
    assert_eq!(
        table::detect(&Artefact::new("x", cwt.clone()))
            .unwrap()
            .name(),
        "ear"
    );
    let accepted = verify("ear", &cwt, &with).unwrap();
    assert!(accepted.authenticated);
    assert_eq!(accepted.claims["freshness"]["proven"], false);
    with.nonce = Some(vec![0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]);
    assert_eq!(
        verify("ear", &cwt, &with).unwrap().claims["freshness"]["proven"],
        true
    );
    with.nonce = Some(vec![0]);
    let refused = verify("ear", &cwt, &with).unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.authenticated),
        ("evidence.nonce", true)
    );

    with.nonce = None;
    for (from, to, due) in [
        ("#03", "#99", "ear.profile"),
        ("6: 1666529184,", "", "ear.claim_missing"),
        ("6: 1666529184", "6: \"now\"", "ear.claim_missing"),
        ("6: 1666529184", "6: 1966529184", "token.issued_in_future"),
        (
            "6: 1666529184",
            "6: 1666529184, 4: 1666529185",
            "token.expired",
        ),
        (
            "6: 1666529184",
            "6: 1666529184, 4: \"never\"",
            "token.malformed",
        ),
        (
            "6: 1666529184",
            "6: 1666529184, 5: 1966529184",
            "token.not_yet_valid",
        ),
        ("1000: 96", "1000: 2", "ear.submodule"),
        ("1000: 96", "1000: 3", "ear.submodule"),
        ("2: 96", "2: 200", "ear.submodule"),
        ("2: 96", "9: 96", "ear.submodule"),
        (
            "0: \"https://veraison-project.org\", ",
            "",
            "ear.claim_missing",
        ),
    ] {
        let text = EAR_CBOR.replacen(from, to, 1);
        assert_ne!(text, EAR_CBOR, "{from}");
        let refused = verify("ear", &sign(&text), &with).unwrap_err();
        assert_eq!(
            (refused.code.as_str(), refused.authenticated),
            (due, true),
            "{from} -> {to}"
        );
    }
}

#[test]
fn a_detached_bundle_holds_as_a_whole_or_not_at_all() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let sign = |claims: &Value| {
        let claims = claims.to_string();
        jose::build(br#"{"alg":"EdDSA","kid":"a"}"#, claims.as_bytes(), |m| {
            Ok::<_, ()>(key.sign(m).to_bytes())
        })
        .unwrap()
    };
    let one = sign(&json!({"eat_nonce": "00ff", "exp": 2_000_000_000, "measres": "success"}));
    let overall = |digest: &str, result: bool| {
        sign(&json!({
            "eat_nonce": "00ff", "exp": 2_000_000_000, "iat": 1_600_000_000, "x-nvidia-overall-att-result": result,
            "submods": {"GPU-0": ["DIGEST", ["SHA-256", digest]]}
        }))
    };
    let digest = hex(&sha256(&[one.as_bytes()]));
    let bundle = |overall: String, submods: Value| json!([["JWT", overall], submods]).to_string();
    let good = bundle(overall(&digest, true), json!({"GPU-0": one}));
    let mut set: Value = serde_json::from_slice(public(&key).raw()).unwrap();
    set["kid"] = "a".into();
    let other = public(&SigningKey::from_bytes(&[8; 32])).json().unwrap();
    let keys = json!({"keys": [other, set]}).to_string();
    let mut with = by_key(Artefact::new("keys", keys.into_bytes()));
    with.nonce = Some(vec![0, 0xff]);
    let accepted = verify("eat", good.as_bytes(), &with).unwrap();
    assert_eq!(accepted.claims["submods"]["GPU-0"]["digest_matches"], true);
    with.nonce = Some(vec![1]);
    assert_eq!(code("eat", good.as_bytes(), &with), "evidence.nonce");
    with.nonce = None;
    for (bundle, due) in [
        (
            bundle(overall(&digest, false), json!({"GPU-0": one})),
            "eat.result",
        ),
        (
            bundle(overall(&digest, true), json!({})),
            "eat.submodule_missing",
        ),
        (
            bundle(overall(&digest, true), json!({"GPU-1": one})),
            "eat.submodule_missing",
        ),
        (
            bundle(overall(&digest, true), json!({"GPU-0": one, "GPU-1": one})),
            "eat.submodule_digest",
        ),
        (
            bundle(overall(&"0".repeat(64), true), json!({"GPU-0": one})),
            "eat.submodule_digest",
        ),
    ] {
        let refused = verify("eat", bundle.as_bytes(), &with).unwrap_err();
        assert_eq!(
            (refused.code.as_str(), refused.authenticated),
            (due, true),
            "{bundle}"
        );
    }
    with.at = "2040-01-01T00:00:00Z".parse::<Time>().unwrap().0;
    assert_eq!(code("eat", good.as_bytes(), &with), "token.expired");
    let set = json!({"keys": [other, other]}).to_string();
    let with = by_key(Artefact::new("keys", set.into_bytes()));
    assert_eq!(code("eat", good.as_bytes(), &with), "token.signature");
}

#[test]
fn a_wrapper_is_read_in_every_encoding() {
    let record = br#"["application/eat+cwt","YQ",4]"#;
    assert!(verify("cmw", record, &with("2025-01-01T00:00:00Z")).is_ok());
    let cbor = edn::to_cbor(r#"["application/eat+cwt", 'a', 4]"#).unwrap();
    let hexed = hex(&cbor);
    for bytes in [
        cbor.as_slice(),
        hexed.as_bytes(),
        b"[\"application/eat+cwt\", h'61', 4] / EDN /",
    ] {
        let claims = verify("cmw", bytes, &with("2025-01-01T00:00:00Z"))
            .unwrap()
            .claims;
        assert_eq!(
            (&claims["value"], &claims["indicator"]),
            (&json!("61"), &json!(["evidence"]))
        );
    }
    for length in 0..cbor.len() {
        assert!(verify("cmw", &cbor[..length], &with("2025-01-01T00:00:00Z")).is_err());
    }
}

/// The key as JWK.
fn public(key: &SigningKey) -> Artefact {
    let jwk = jose::Jwk::ed25519(key.verifying_key().to_bytes());
    Artefact::new("key", serde_json::to_vec(&jwk).unwrap())
}

proptest::proptest! {
    #[test]
    fn no_bytes_upset_any_kind(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let file = Artefact::new("x", bytes);
        for kind in table::KINDS {
            let _ = kind.detect(&file);
            let _ = kind.inspect(&file);
            let _ = kind.verify(&file, &with("2025-01-01T00:00:00Z"));
        }
    }

    #[test]
    fn no_text_upsets_any_kind(text in "[\\[\\]{}\":,0-9a-fh'()<>/. A-Z=_-]{0,80}") {
        let file = Artefact::new("x", text.into_bytes());
        for kind in table::KINDS {
            let _ = kind.detect(&file);
            let _ = kind.inspect(&file);
        }
    }
}

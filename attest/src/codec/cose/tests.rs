//! The rules around a signature; the mathematics are replaced by a checker that signs with SHA-256 of key and message.

use super::*;
use crate::digest::sha256;
use crate::key::BadSignature;
use alloc::boxed::Box;

/// Only fit to see what was signed under which key and scheme.
struct Fake;

impl CheckSignature for Fake {
    fn check(
        &self,
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        if signature == fake(key, scheme, message) {
            Ok(())
        } else {
            Err(BadSignature)
        }
    }
}

fn fake(key: &PublicKey, scheme: Scheme, message: &[u8]) -> Vec<u8> {
    sha256(&[format!("{key:?}{scheme:?}").as_bytes(), message]).to_vec()
}

fn keys() -> [(PublicKey, Scheme); 3] {
    [
        (PublicKey::Ed25519([1; 32]), Scheme::Ed25519),
        (PublicKey::P256(Box::new([4; 65])), Scheme::EcdsaSha256),
        (PublicKey::P384(Box::new([4; 97])), Scheme::EcdsaSha384),
    ]
}

fn message(key: &PublicKey, scheme: Scheme) -> Vec<u8> {
    let protected = Protected {
        key,
        key_id: b"kid",
        content_type: "text/plain",
    };
    build(&protected, b"payload".to_vec(), b"aad", |signed| {
        Ok::<_, ()>(fake(key, scheme, signed))
    })
    .unwrap()
}

/// A message with these protected and unprotected headers.
fn raw(protected: &[u8], unprotected: Value, payload: Value) -> Vec<u8> {
    let parts = [
        Value::Bytes(protected.to_vec()),
        unprotected,
        payload,
        Value::Bytes(alloc::vec![0; 64]),
    ];
    cbor::encode(Value::Tag(TAG, Box::new(Value::Array(parts.to_vec()))))
}

fn map(entries: &[(i64, Value)]) -> Value {
    Value::Map(
        entries
            .iter()
            .map(|(key, value)| (Value::Integer((*key).into()), value.clone()))
            .collect(),
    )
}

#[test]
fn what_is_built_verifies() {
    for (key, scheme) in keys() {
        let bytes = message(&key, scheme);
        let parsed = Sign1::parse_strict(&bytes).unwrap();
        assert_eq!(parsed.key_id(), b"kid");
        assert_eq!(parsed.content_type(), Some("text/plain"));
        assert_eq!(
            parsed.verify(&key, b"aad", &Fake),
            Ok(b"payload".as_slice())
        );
        assert_eq!(
            parsed.verify(&key, b"other", &Fake),
            Err(Refusal::CoseSignature)
        );
        for (other, _) in keys().iter().filter(|(other, _)| *other != key) {
            assert_eq!(
                parsed.verify(other, b"aad", &Fake).unwrap_err().code(),
                "cose.algorithm"
            );
        }
    }
}

#[test]
fn what_is_signed_is_the_sig_structure() {
    let key = PublicKey::Ed25519([1; 32]);
    let protected = Protected {
        key: &key,
        key_id: b"k",
        content_type: "t",
    };
    let mut seen = Vec::new();
    let built = build(&protected, b"p".to_vec(), b"", |signed| {
        seen = signed.to_vec();
        Ok::<_, ()>(alloc::vec![0; 64])
    });
    built.unwrap();
    // ["Signature1", h'{1: -19, 3: "t", 4: h"k"}', h'', h'p'] (RFC 9052, 4.4).
    let expected = [
        b"\x84\x6aSignature1\x49\xa3\x01\x32\x03\x61t\x04\x41".as_slice(),
        b"k\x40\x41p",
    ]
    .concat();
    assert_eq!(seen, expected);
}

#[test]
fn the_algorithm_follows_from_the_key() {
    let verify = |alg: i64, key: &PublicKey| {
        let protected = cbor::encode(map(&[(1, Value::Integer(alg.into()))]));
        let bytes = raw(&protected, map(&[]), Value::Bytes(b"p".to_vec()));
        Sign1::parse_strict(&bytes)
            .unwrap()
            .verify(key, b"", &Fake)
            .unwrap_err()
            .code()
    };
    let [(ed25519, _), (p256, _), (p384, _)] = keys();
    // The fake signature fails in the end: what counts is which of the two refusals it is.
    for (key, good) in [
        (&ed25519, [-8, -19]),
        (&p256, [-7, -9]),
        (&p384, [-35, -51]),
    ] {
        for alg in [-7, -8, -9, -19, -35, -36, -37, -38, -51, -257, 5] {
            let expected = if good.contains(&alg) {
                "cose.signature"
            } else {
                "cose.algorithm"
            };
            assert_eq!(verify(alg, key), expected, "{alg}");
        }
    }
    let rsa = PublicKey::Rsa {
        modulus: alloc::vec![0xff; 256],
        exponent: alloc::vec![1, 0, 1],
    };
    assert_eq!(verify(-257, &rsa), "cose.algorithm");
}

#[test]
fn critical_detached_doubled_and_unprotected_headers_are_refused() {
    let alg = (1, Value::Integer((-8).into()));
    let payload = Value::Bytes(b"p".to_vec());
    let protected = cbor::encode(map(core::slice::from_ref(&alg)));
    let code =
        |bytes: &[u8]| Sign1::parse_strict(bytes).map_or_else(|refusal| refusal.code(), |_| "ok");
    assert_eq!(code(&raw(&protected, map(&[]), payload.clone())), "ok");
    assert_eq!(
        code(&raw(&protected, map(&[]), Value::Null)),
        "evidence.unsupported"
    );
    assert_eq!(
        code(&raw(
            &protected,
            map(core::slice::from_ref(&alg)),
            payload.clone()
        )),
        "evidence.duplicate_key"
    );
    assert_eq!(
        code(&raw(
            &protected,
            map(&[(4, payload.clone())]),
            payload.clone()
        )),
        "evidence.malformed"
    );
    assert_eq!(
        code(&raw(&[], map(&[]), payload.clone())),
        "evidence.malformed",
        "no algorithm"
    );
    let crit = Value::Array(alloc::vec![Value::Integer(1.into())]);
    let critical = cbor::encode(map(&[alg.clone(), (2, crit)]));
    assert_eq!(
        code(&raw(&critical, map(&[]), payload.clone())),
        "evidence.unsupported"
    );
    let doubled = [0xa2, 0x01, 0x27, 0x01, 0x27];
    assert_eq!(
        code(&raw(&doubled, map(&[]), payload.clone())),
        "evidence.duplicate_key"
    );
    let untagged = raw(&protected, map(&[]), payload)[1..].to_vec();
    assert_eq!(code(&untagged), "evidence.malformed");
    assert!(
        Sign1::parse(&untagged).is_ok(),
        "others may leave the tag out"
    );
}

#[test]
fn a_signer_that_fails_builds_nothing() {
    let key = PublicKey::Ed25519([1; 32]);
    let protected = Protected {
        key: &key,
        key_id: b"k",
        content_type: "t",
    };
    let built = build(&protected, Vec::new(), b"", |_| Err("no"));
    assert!(matches!(built, Err(BuildError::Signer("no"))));
    let rsa = PublicKey::Rsa {
        modulus: alloc::vec![0xff; 256],
        exponent: alloc::vec![1, 0, 1],
    };
    let refused = build(
        &Protected {
            key: &rsa,
            ..protected
        },
        Vec::new(),
        b"",
        |_| Ok::<_, ()>(Vec::new()),
    );
    assert!(matches!(refused, Err(BuildError::Refused(_))));
}

#[test]
fn truncated_messages_are_refused() {
    let (key, scheme) = &keys()[0];
    let bytes = message(key, *scheme);
    for end in 0..bytes.len() {
        assert!(Sign1::parse(&bytes[..end]).is_err());
        assert!(Sign1::parse_strict(&bytes[..end]).is_err());
    }
}

#[test]
fn counter_signatures_are_refused_before_they_are_read() {
    // Each holds a header that may hold the next: read, they would cost a stack frame for every dozen bytes.
    let mut header = cbor::encode(map(&[]));
    for _ in 0..20_000 {
        let parts = [Value::Bytes(header), map(&[]), Value::Bytes(alloc::vec![0])];
        header = cbor::encode(map(&[(7, Value::Array(parts.to_vec()))]));
    }
    let nested: Value = ciborium::from_reader(header.as_slice()).unwrap();
    let payload = Value::Bytes(b"p".to_vec());
    let alg = cbor::encode(map(&[(1, Value::Integer((-8).into()))]));
    for bytes in [
        raw(&alg, nested, payload.clone()),
        raw(
            &header[..0],
            map(&[(7, Value::Array(Vec::new()))]),
            payload.clone(),
        ),
        raw(
            &cbor::encode(map(&[(7, Value::Array(Vec::new()))])),
            map(&[]),
            payload,
        ),
    ] {
        for parsed in [Sign1::parse(&bytes), Sign1::parse_strict(&bytes)] {
            assert_eq!(parsed.unwrap_err().code(), "evidence.unsupported");
        }
    }
}

#[test]
fn a_message_of_ours_says_alg_type_and_kid_in_one_encoding_and_no_more() {
    let alg = (1, Value::Integer((-8).into()));
    let payload = Value::Bytes(b"p".to_vec());
    let code =
        |bytes: &[u8]| Sign1::parse_strict(bytes).map_or_else(|refusal| refusal.code(), |_| "ok");
    for extra in [5, 6, 33, 42] {
        let protected = cbor::encode(map(&[alg.clone(), (extra, payload.clone())]));
        let bytes = raw(&protected, map(&[]), payload.clone());
        assert_eq!(code(&bytes), "evidence.malformed", "{extra}");
        assert!(Sign1::parse(&bytes).is_ok(), "{extra}");
    }
    // {1: -8} with a long head, with an indefinite length, and with kid before alg.
    for protected in [
        b"\xa1\x18\x01\x27".as_slice(),
        b"\xbf\x01\x27\xff",
        b"\xa2\x04\x41k\x01\x27",
    ] {
        let bytes = raw(protected, map(&[]), payload.clone());
        assert_eq!(code(&bytes), "evidence.malformed");
        assert!(Sign1::parse(&bytes).is_ok());
    }
}

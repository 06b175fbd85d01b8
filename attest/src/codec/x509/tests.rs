use super::*;
use crate::attester::dice::{SoftwareDice, SoftwareFactory};
use crate::codec::der::build::{element, sequence};
use alloc::boxed::Box;

fn rom() -> Vec<u8> {
    let factory = SoftwareFactory::new(&[7; 32], Timestamp::from_secs(1_767_225_600)).unwrap();
    factory
        .provision(&SoftwareDice::rom_key(&[1; 32]).unwrap())
        .unwrap()
        .remove(3)
}

#[test]
fn what_is_kept_is_what_came() {
    let der = rom();
    let certificate = Certificate::parse(&der).unwrap();
    assert_eq!(certificate.der(), der);
    assert_eq!(certificate.tbs(), &der[4..4 + certificate.tbs().len()]);
    for part in [
        certificate.issuer(),
        certificate.subject(),
        certificate.spki(),
    ] {
        assert!(der.windows(part.len()).any(|window| window == part));
    }
    assert_eq!(certificate.not_before().as_secs(), 1_767_225_600);
    assert_eq!(certificate.not_after().as_secs(), 253_402_300_799);
    assert_eq!(
        *certificate.key(),
        PublicKey::P384(Box::new(SoftwareDice::rom_key(&[1; 32]).unwrap()))
    );
    assert_eq!(
        (certificate.serial().len(), certificate.signature()[0]),
        (20, 0x30)
    );
    assert!(
        certificate
            .key_usage()
            .unwrap()
            .allows(KeyUsage::KEY_CERT_SIGN)
    );
    assert!(
        !certificate
            .key_usage()
            .unwrap()
            .allows(KeyUsage::DIGITAL_SIGNATURE)
    );
}

#[test]
fn every_truncation_and_every_byte_more_is_refused() {
    let der = rom();
    for length in 0..der.len() {
        assert!(Certificate::parse(&der[..length]).is_err(), "{length}");
    }
    let longer = [&der[..], &[0]].concat();
    assert_eq!(
        Certificate::parse(&longer).unwrap_err().code(),
        "evidence.trailing_bytes"
    );
    let huge = alloc::vec![0x30; limits::CERTIFICATE_BYTES + 1];
    assert_eq!(
        Certificate::parse(&huge).unwrap_err().code(),
        "evidence.too_large"
    );
}

/// The certificate with one piece of it replaced, lengths put right, so that only the piece can be at fault.
fn with(field: usize, replacement: &[u8]) -> Result<Certificate, Refusal> {
    let der = rom();
    let mut outer = Walk::new("x", single("x", Tag::Sequence, &der).unwrap().value).unwrap();
    let tbs = outer.next().unwrap();
    let (algorithm, signature) = (outer.next().unwrap(), outer.next().unwrap());
    let mut fields = outer.inside(tbs).unwrap();
    let mut parts = Vec::new();
    while !fields.is_empty() {
        parts.push(fields.next().unwrap().raw.to_vec());
    }
    parts[field] = replacement.to_vec();
    let inner: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Certificate::parse(&sequence(&[
        &sequence(&inner),
        algorithm.raw,
        signature.raw,
    ]))
}

#[test]
fn each_field_has_its_rule() {
    const VERSION: usize = 0;
    const SERIAL: usize = 1;
    const ALGORITHM: usize = 2;
    const ISSUER: usize = 3;
    const VALIDITY: usize = 4;
    const SPKI: usize = 6;
    const EXTENSIONS: usize = 7;
    assert!(with(SERIAL, &[2, 1, 1]).is_ok());
    let p256 = sequence(&[
        b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01",
        b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
    ]);
    let p521 = sequence(&[
        b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01",
        b"\x06\x05\x2b\x81\x04\x00\x23",
    ]);
    let ml_dsa = sequence(&[b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12"]);
    let key = |algorithm: &[u8], first: u8, length: usize| {
        let mut point = alloc::vec![7; length];
        point[0] = first;
        sequence(&[algorithm, &element(3, &[&[0], &point])])
    };
    let extensions = |list: &[&[u8]]| element(0xa3, &[&sequence(list)]);
    let one: &[u8] = b"\x30\x09\x06\x03\x55\x1d\x63\x04\x02\x05\x00";
    let explicit_false: &[u8] = b"\x30\x0c\x06\x03\x55\x1d\x63\x01\x01\x00\x04\x02\x05\x00";
    let many: Vec<Vec<u8>> = (0..33u8)
        .map(|n| sequence(&[&[6, 3, 0x55, 0x1d, 0x40 + n], &[4, 2, 5, 0]]))
        .collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    assert!(with(EXTENSIONS, &extensions(&[one])).is_ok());
    assert!(with(EXTENSIONS, &extensions(&many[..32])).is_ok());
    assert!(with(SPKI, &key(&p256, 4, 65)).is_ok());
    assert!(with(SPKI, &key(&p521, 4, 133)).is_ok());
    let malformed = "evidence.malformed";
    let unsupported = "evidence.unsupported";
    for (field, replacement, code) in [
        (VERSION, element(0xa0, &[&[2, 1, 1]]), malformed),
        (VERSION, element(0xa0, &[&[2, 1, 0]]), malformed),
        (SERIAL, alloc::vec![2, 1, 0], malformed),
        (SERIAL, alloc::vec![2, 1, 0x81], malformed),
        (SERIAL, alloc::vec![2, 0], malformed),
        (SERIAL, element(2, &[&[1; 21]]), malformed),
        (
            ALGORITHM,
            sequence(&[b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"]),
            malformed,
        ),
        (ISSUER, sequence(&[]), malformed),
        (ISSUER, element(0x31, &[]), malformed),
        (
            VALIDITY,
            sequence(&[&element(0x17, &[b"260101000000Z"])]),
            "evidence.truncated",
        ),
        (
            VALIDITY,
            sequence(&[
                &element(0x17, &[b"260101000000Z"]),
                &element(0x17, &[b"2601010000Z"]),
            ]),
            malformed,
        ),
        (
            VALIDITY,
            sequence(&[
                &element(0x17, &[b"260101000000Z"]),
                &element(0x0c, &[b"260101000000Z"]),
            ]),
            malformed,
        ),
        (
            VALIDITY,
            sequence(&[
                &element(0x17, &[b"260101000000Z"]),
                &element(0x18, &[b"20260230000000Z"]),
            ]),
            malformed,
        ),
        (SPKI, key(&p256, 4, 97), malformed),
        (SPKI, key(&p256, 4, 64), malformed),
        (SPKI, key(&p256, 2, 33), unsupported),
        (SPKI, key(&p521, 4, 132), malformed),
        (SPKI, key(&ml_dsa, 4, 1312), "algorithm.unsupported"),
        (EXTENSIONS, extensions(&[one, one]), malformed),
        (EXTENSIONS, extensions(&[explicit_false]), malformed),
        (EXTENSIONS, extensions(&many), "evidence.too_large"),
        (
            EXTENSIONS,
            element(0xa3, &[&sequence(&[one]), &[5, 0]]),
            "evidence.trailing_bytes",
        ),
        (
            EXTENSIONS,
            element(0x81, &[&[0, 1]]),
            "evidence.trailing_bytes",
        ),
    ] {
        assert_eq!(
            with(field, &replacement).unwrap_err().code(),
            code,
            "field {field}: {replacement:x?}"
        );
    }
}

#[test]
fn the_algorithm_inside_and_outside_is_one() {
    let der = rom();
    let mut outer = Walk::new("x", single("x", Tag::Sequence, &der).unwrap().value).unwrap();
    let (tbs, _, signature) = (
        outer.next().unwrap(),
        outer.next().unwrap(),
        outer.next().unwrap(),
    );
    let other = sequence(&[b"\x06\x03\x2b\x65\x70"]);
    let swapped = Certificate::parse(&sequence(&[tbs.raw, &other, signature.raw]));
    assert_eq!(swapped.unwrap_err().code(), "evidence.malformed");
    let unknown = sequence(&[b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12"]);
    let unknown = Certificate::parse(&sequence(&[tbs.raw, &unknown, signature.raw]));
    assert_eq!(
        unknown.unwrap_err().code(),
        "algorithm.unsupported",
        "ML-DSA is told apart from no signature"
    );
}

//! TPM structures, byte by byte; real ones are in the integration tests.

use super::*;

fn rsa_public(bits: u16, exponent: u32, modulus: &[u8]) -> Vec<u8> {
    let mut out = alloc::vec![
        0, 1, 0, 0x0b, 0, 5, 0, 0x72, 0, 0, 0, 0x10, 0, 0x14, 0, 0x0b
    ];
    out.extend_from_slice(&bits.to_be_bytes());
    out.extend_from_slice(&exponent.to_be_bytes());
    out.extend_from_slice(&u16::try_from(modulus.len()).unwrap().to_be_bytes());
    out.extend_from_slice(modulus);
    out
}

fn ecc_public(curve: u16, x: &[u8], y: &[u8]) -> Vec<u8> {
    let mut out = alloc::vec![
        0, 0x23, 0, 0x0c, 0, 4, 0, 0x72, 0, 0, 0, 0x10, 0, 0x18, 0, 0x0c
    ];
    out.extend_from_slice(&curve.to_be_bytes());
    out.extend_from_slice(&[0, 0x10]);
    for coordinate in [x, y] {
        out.extend_from_slice(&u16::try_from(coordinate.len()).unwrap().to_be_bytes());
        out.extend_from_slice(coordinate);
    }
    out
}

fn code<T>(result: Result<T, Refusal>) -> &'static str {
    result.map_or_else(|refusal| refusal.code(), |_| "ok")
}

#[test]
fn rsa_keys_are_2048_to_4096_bits() {
    for (bits, bytes, expected) in [
        (2048, 256, "ok"),
        (3072, 384, "ok"),
        (4096, 512, "ok"),
        (1024, 128, "evidence.malformed"),
        (2048, 255, "evidence.malformed"),
        (2047, 256, "evidence.malformed"),
        (8192, 512, "evidence.malformed"),
    ] {
        let public = Public::parse(&rsa_public(bits, 0, &alloc::vec![0xff; bytes]));
        assert_eq!(code(public), expected, "{bits} bits in {bytes} bytes");
    }
    assert_eq!(
        code(Public::parse(&rsa_public(2048, 0, &[0x7f; 256]))),
        "evidence.malformed",
        "2047 bits"
    );
    let exponent = |given| match Public::parse(&rsa_public(2048, given, &[0xff; 256]))
        .unwrap()
        .key
    {
        PublicKey::Rsa { exponent, .. } => exponent,
        other => panic!("{other:?}"),
    };
    assert_eq!(exponent(0), [1, 0, 1], "zero stands for 65537");
    assert_eq!(exponent(3), [3]);
    for none in [1, 2, 65536] {
        assert_eq!(
            code(Public::parse(&rsa_public(2048, none, &[0xff; 256]))),
            "evidence.malformed",
            "{none}"
        );
    }
}

#[test]
fn ecc_keys_keep_their_leading_zeros() {
    let public = Public::parse(&ecc_public(3, &[7; 31], &[0; 32])).unwrap();
    let PublicKey::P256(point) = public.key else {
        panic!()
    };
    assert_eq!(point[..3], [4, 0, 7]);
    assert!(matches!(
        Public::parse(&ecc_public(4, &[7; 48], &[7; 48]))
            .unwrap()
            .key,
        PublicKey::P384(_)
    ));
    assert_eq!(
        code(Public::parse(&ecc_public(3, &[7; 33], &[7; 32]))),
        "evidence.malformed"
    );
    assert!(matches!(
        Public::parse(&ecc_public(5, &[7; 66], &[7; 66]))
            .unwrap()
            .key,
        PublicKey::P521(_)
    ));
    assert_eq!(
        code(Public::parse(&ecc_public(0x20, &[7; 32], &[7; 32]))),
        "evidence.unsupported",
        "SM2"
    );
    assert_eq!(
        code(Public::parse(&ecc_public(3, &[7; 67], &[7; 32]))),
        "evidence.too_large"
    );
}

#[test]
fn names_take_the_name_algorithm() {
    let public = Public::parse(&ecc_public(4, &[7; 48], &[7; 48])).unwrap();
    let name = public.name().unwrap();
    assert_eq!(name.as_bytes().len(), 50);
    assert_eq!(
        name.as_bytes()[2..],
        *HashAlg::Sha384.hash(&[public.as_bytes()]).bytes()
    );
    let mut sha1 = ecc_public(3, &[7; 32], &[7; 32]);
    sha1[3] = 4;
    assert_eq!(code(Public::parse(&sha1).unwrap().name()), "tpm.algorithm");
}

#[test]
fn signatures_fit_their_key_or_none() {
    let p256 = Public::parse(&ecc_public(3, &[7; 32], &[7; 32]))
        .unwrap()
        .key;
    let p384 = Public::parse(&ecc_public(4, &[7; 48], &[7; 48]))
        .unwrap()
        .key;
    let rsa = Public::parse(&rsa_public(2048, 0, &[0xff; 256]))
        .unwrap()
        .key;
    let ecdsa = Signature::parse(&[0, 0x18, 0, 0x0b, 0, 1, 9, 0, 2, 0, 8]).unwrap();
    let raw = ecdsa.raw_for(&p256).unwrap();
    assert_eq!((raw.len(), raw[31], raw[63]), (64, 9, 8));
    assert_eq!(ecdsa.raw_for(&p384).unwrap().len(), 96);
    assert_eq!(ecdsa.raw_for(&rsa), None);
    assert_eq!(ecdsa.raw_for(&PublicKey::Ed25519([0; 32])), None);
    let block = Signature::parse(&[0, 0x14, 0, 0x0b, 0, 2, 9, 9]).unwrap();
    assert_eq!(block.raw_for(&rsa), Some(alloc::vec![9, 9]));
    assert_eq!(block.raw_for(&p256), None);
    let long = [[0, 0x18, 0, 0x0b, 0, 33].as_slice(), &[9; 33], &[0, 1, 9]].concat();
    assert_eq!(
        Signature::parse(&long).unwrap().raw_for(&p256),
        None,
        "r is over the field"
    );
    assert_eq!(
        code(Signature::parse(&[0, 0x1a, 0, 0x0b, 0, 1, 9, 0, 1, 8])),
        "evidence.unsupported",
        "ECDAA"
    );
    assert_eq!(
        code(Signature::parse(&[0, 0x18, 0, 0x0b, 0, 1, 9, 0, 1, 8, 0])),
        "evidence.trailing_bytes"
    );
}

#[test]
fn only_sha_2_signs() {
    let accepted = |scheme, hash| SchemeIds { scheme, hash }.accepted();
    assert_eq!(accepted(0x18, 0x0b), Some(Scheme::EcdsaSha256));
    assert_eq!(accepted(0x18, 0x0c), Some(Scheme::EcdsaSha384));
    assert_eq!(accepted(0x14, 0x0b), Some(Scheme::RsaPkcs1Sha256));
    assert_eq!(accepted(0x16, 0x0c), Some(Scheme::RsaPssSha384));
    assert_eq!(accepted(0x18, 0x0d), Some(Scheme::EcdsaSha512));
    for (scheme, hash) in [
        (0x18, 4),
        (0x14, 4),
        (0x16, 4),
        (0x18, 0x12),
        (0x17, 0x0b),
        (0x10, 0x10),
        (0x19, 0x0b),
    ] {
        assert_eq!(accepted(scheme, hash), None, "{scheme:#x} {hash:#x}");
    }
}

#[test]
fn attributes_decide_what_a_key_is() {
    let resident =
        Attributes::FIXED_TPM | Attributes::FIXED_PARENT | Attributes::SENSITIVE_DATA_ORIGIN;
    let ak = resident | Attributes::RESTRICTED | Attributes::SIGN;
    assert!(Attributes(ak).is_attestation_key());
    assert!(!Attributes(ak).is_request_key());
    assert!(Attributes(resident | Attributes::SIGN).is_request_key());
    let ek = resident | Attributes::RESTRICTED | Attributes::DECRYPT;
    assert!(!Attributes(ek).is_attestation_key());
    assert!(!Attributes(0).is_request_key());
}

#[test]
fn selections_are_bounded_and_read_bit_by_bit() {
    let attest = |selection: &[u8]| {
        let mut out = GENERATED.to_be_bytes().to_vec();
        out.extend_from_slice(&ATTEST_QUOTE.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&[0; 16]);
        out.push(1);
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(selection);
        out.extend_from_slice(&[0, 0]);
        Attest::parse(&out)
    };
    let pcrs = |selection: &[u8]| match attest(selection).unwrap().attested {
        Attested::Quote { selection, .. } => selection,
        other => panic!("{other:?}"),
    };
    let read = pcrs(&[0, 0, 0, 2, 0, 0x0b, 3, 0x81, 0, 0x80, 0, 0x0c, 1, 2]);
    assert_eq!(
        read[0],
        PcrSelection {
            bank: 0x0b,
            pcrs: alloc::vec![0, 7, 23]
        }
    );
    assert_eq!(
        read[1],
        PcrSelection {
            bank: 0x0c,
            pcrs: alloc::vec![1]
        }
    );
    assert!(pcrs(&[0; 4]).is_empty());
    assert_eq!(code(attest(&[0, 0, 0, 5])), "evidence.too_large");
    assert_eq!(code(attest(&[0xff; 4])), "evidence.too_large");
    assert_eq!(
        code(attest(&[0, 0, 0, 1, 0, 0x0b, 4, 0, 0, 0, 0])),
        "evidence.too_large"
    );
}

#[test]
fn other_attestations_are_refused_by_type() {
    let mut out = GENERATED.to_be_bytes().to_vec();
    out.extend_from_slice(&0x8016_u16.to_be_bytes());
    out.extend_from_slice(&[0; 40]);
    assert_eq!(code(Attest::parse(&out)), "tpm.type");
    out[0] = 0;
    assert_eq!(code(Attest::parse(&out)), "tpm.magic");
    assert_eq!(
        code(Attest::parse(&alloc::vec![0; 2049])),
        "evidence.too_large"
    );
}

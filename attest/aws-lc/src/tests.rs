use assay_attest::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use ed25519_dalek::Signer;

use super::AwsLc;

const MESSAGE: &[u8] = b"what was said";

/// The order of P-256's group (SEC 2, 2.4.2).
const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

fn hex(text: &str) -> Vec<u8> {
    base16ct::mixed::decode_vec(text).unwrap()
}

fn p256() -> (PublicKey, Vec<u8>) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let signature = pair
        .sign(&SystemRandom::new(), MESSAGE)
        .unwrap()
        .as_ref()
        .to_vec();
    (
        PublicKey::P256(Box::new(pair.public_key().as_ref().try_into().unwrap())),
        signature,
    )
}

fn p384() -> (PublicKey, Vec<u8>) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let signature = pair
        .sign(&SystemRandom::new(), MESSAGE)
        .unwrap()
        .as_ref()
        .to_vec();
    (
        PublicKey::P384(Box::new(pair.public_key().as_ref().try_into().unwrap())),
        signature,
    )
}

fn p521() -> (PublicKey, Vec<u8>) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
    let signature = pair
        .sign(&SystemRandom::new(), MESSAGE)
        .unwrap()
        .as_ref()
        .to_vec();
    (
        PublicKey::P521(Box::new(pair.public_key().as_ref().try_into().unwrap())),
        signature,
    )
}

fn ed25519() -> (PublicKey, Vec<u8>) {
    let pair = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    (
        PublicKey::Ed25519(pair.verifying_key().to_bytes()),
        pair.sign(MESSAGE).to_bytes().to_vec(),
    )
}

fn rsa() -> (PublicKey, RsaKeyPair) {
    let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    // RSAPublicKey (RFC 8017, A.1.1): two headers, a zero and the modulus, then 65537.
    let modulus = pair.public_key().as_ref()[9..265].to_vec();
    (
        PublicKey::Rsa {
            modulus,
            exponent: vec![1, 0, 1],
        },
        pair,
    )
}

fn good(key: &PublicKey, scheme: Scheme, signature: &[u8]) {
    assert_eq!(
        AwsLc.check(key, scheme, MESSAGE, signature),
        Ok(()),
        "{scheme:?}"
    );
    assert_eq!(
        AwsLc.check(key, scheme, b"what was Said", signature),
        Err(BadSignature),
        "{scheme:?}"
    );
    for (at, bit) in [
        (0, 1),
        (signature.len() / 2, 0x80),
        (signature.len() - 1, 1),
    ] {
        let mut changed = signature.to_vec();
        changed[at] ^= bit;
        assert_eq!(
            AwsLc.check(key, scheme, MESSAGE, &changed),
            Err(BadSignature),
            "{scheme:?} byte {at}"
        );
    }
    for cut in [
        &signature[..signature.len() - 1],
        &signature[1..],
        &[],
        &[signature, &[0]].concat(),
        &[&[0], signature].concat(),
    ] {
        assert_eq!(
            AwsLc.check(key, scheme, MESSAGE, cut),
            Err(BadSignature),
            "{scheme:?} {} bytes",
            cut.len()
        );
    }
}

fn only_under(key: &PublicKey, signature: &[u8], right: Scheme) {
    for scheme in [
        Scheme::Ed25519,
        Scheme::EcdsaSha256,
        Scheme::EcdsaSha384,
        Scheme::EcdsaSha512,
        Scheme::RsaPkcs1Sha256,
        Scheme::RsaPkcs1Sha384,
        Scheme::RsaPkcs1Sha512,
        Scheme::RsaPssSha256,
        Scheme::RsaPssSha384,
        Scheme::RsaPssSha512,
    ] {
        assert_eq!(
            AwsLc.check(key, scheme, MESSAGE, signature).is_ok(),
            scheme == right,
            "{scheme:?}"
        );
    }
}

#[test]
fn each_algorithm_checks_its_own_signatures_only() {
    for ((key, signature), scheme) in [
        (p256(), Scheme::EcdsaSha256),
        (p384(), Scheme::EcdsaSha384),
        (p521(), Scheme::EcdsaSha512),
        (ed25519(), Scheme::Ed25519),
    ] {
        good(&key, scheme, &signature);
        only_under(&key, &signature, scheme);
    }
    let (key, pair) = rsa();
    let encodings: [(&'static dyn RsaEncoding, Scheme); 6] = [
        (&RSA_PKCS1_SHA256, Scheme::RsaPkcs1Sha256),
        (&RSA_PKCS1_SHA384, Scheme::RsaPkcs1Sha384),
        (&RSA_PKCS1_SHA512, Scheme::RsaPkcs1Sha512),
        (&RSA_PSS_SHA256, Scheme::RsaPssSha256),
        (&RSA_PSS_SHA384, Scheme::RsaPssSha384),
        (&RSA_PSS_SHA512, Scheme::RsaPssSha512),
    ];
    for (encoding, scheme) in encodings {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), MESSAGE, &mut signature)
            .unwrap();
        good(&key, scheme, &signature);
        only_under(&key, &signature, scheme);
    }
}

#[test]
fn ecdsa_numbers_out_of_range_are_refused() {
    let (key, signature) = p256();
    let order = hex(P256_ORDER);
    let (r, s) = signature.split_at(32);
    for (r, s) in [
        (&[0; 32][..], s),
        (r, &[0; 32][..]),
        (&order, s),
        (r, &order),
        (&[0; 32], &[0; 32]),
        (&[0xff; 32], s),
    ] {
        assert_eq!(
            AwsLc.check(&key, Scheme::EcdsaSha256, MESSAGE, &[r, s].concat()),
            Err(BadSignature)
        );
    }
}

#[test]
fn a_point_has_one_encoding_and_lies_on_its_curve() {
    let (PublicKey::P256(point), signature) = p256() else {
        unreachable!()
    };
    for (at, value) in [(0, 0x06), (0, 0x02), (0, 0x00), (64, point[64] ^ 1)] {
        let mut changed = point.clone();
        changed[at] = value;
        assert_eq!(
            AwsLc.check(
                &PublicKey::P256(changed),
                Scheme::EcdsaSha256,
                MESSAGE,
                &signature
            ),
            Err(BadSignature)
        );
    }
}

#[test]
fn ed25519_points_of_small_order_are_refused() {
    // The identity as key, with R the identity and s zero: the cofactored equation holds for every message.
    let mut identity = [0; 32];
    identity[0] = 1;
    let forged = [&identity[..], &[0; 32]].concat();
    assert_eq!(
        AwsLc.check(
            &PublicKey::Ed25519(identity),
            Scheme::Ed25519,
            MESSAGE,
            &forged
        ),
        Err(BadSignature)
    );
}

#[test]
fn rsa_under_2048_bits_is_refused_though_it_verifies() {
    let modulus = hex(
        "E348FE87B64E8AF0205D9DBC59D6A36BCEC2A19BF6EDE03C67D2D77E9B46BF692CBDAF796C3AE5047578ACBA11494798CF4C7CAE023A76565ED3954E\
         4F2190A3BF799B7678B41E3E50ED15B2BD7C8AA47FE15A3F1EA71A7F044D9292A00F9CA26A24D24C8D04D10E6C3842317D320392AC08A76870EF15FB\
         24AC2FDED38D1AE3",
    );
    let signature = hex(
        "d7b16b363742bca6ce37216521ec92213a5d35caaa17ad641182b009ac97d593e33be67cf7e2146de82ebba110efe7eb5b74be8438135419c7a4d062\
         425543d75637bb1af497100efc38e8a47fb3a4fdb33bfdb2d5c2dbc02c7f149bc440e1e7a4c688062c16f1b4855a4564092b89e1cbe74afa87a419a6\
         44210ab9e58315c1",
    );
    let weak = aws_lc_rs::signature::RsaPublicKeyComponents {
        n: &modulus[..],
        e: &[1, 0, 1],
    };
    let any_size = &aws_lc_rs::signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
    assert!(
        weak.verify(any_size, b"a message", &signature).is_ok(),
        "the vector itself is good"
    );
    let key = PublicKey::Rsa {
        modulus,
        exponent: vec![1, 0, 1],
    };
    assert_eq!(
        AwsLc.check(&key, Scheme::RsaPkcs1Sha256, b"a message", &signature),
        Err(BadSignature)
    );
}

#[test]
fn rsa_numbers_have_one_encoding() {
    let (PublicKey::Rsa { modulus, exponent }, pair) = rsa() else {
        unreachable!()
    };
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        MESSAGE,
        &mut signature,
    )
    .unwrap();
    let check = |modulus: Vec<u8>, exponent: Vec<u8>| {
        AwsLc.check(
            &PublicKey::Rsa { modulus, exponent },
            Scheme::RsaPkcs1Sha256,
            MESSAGE,
            &signature,
        )
    };
    assert_eq!(check(modulus.clone(), exponent.clone()), Ok(()));
    assert_eq!(
        check([&[0], &modulus[..]].concat(), exponent.clone()),
        Err(BadSignature)
    );
    assert_eq!(
        check(modulus.clone(), [&[0], &exponent[..]].concat()),
        Err(BadSignature)
    );
    assert_eq!(check(modulus.clone(), vec![]), Err(BadSignature));
    assert_eq!(check(vec![], exponent), Err(BadSignature));
    assert_eq!(check(modulus, vec![1; 5]), Err(BadSignature));
    assert_eq!(check(vec![0xff; 513], vec![1, 0, 1]), Err(BadSignature));
}

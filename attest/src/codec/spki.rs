//! Keys and signatures as X.509 has them: SubjectPublicKeyInfo to [`PublicKey`], AlgorithmIdentifier to [`Scheme`], DER
//! signatures to numbers of fixed length (RFC 3279, RFC 5480, RFC 5758, RFC 8410).

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use der::Tag;
use der::asn1::ObjectIdentifier;

use super::der::{Walk, build, context, malformed, single};
use crate::key::{BadSignature, CheckSignature, PublicKey, Scheme};
use crate::refusal::Refusal;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// What is recognised and not supported, by name, so that a refusal can say what was found.
const NAMES: [(&str, &str); 13] = [
    ("1.3.101.113", "ed448"),
    ("1.3.101.110", "x25519"),
    ("1.3.101.111", "x448"),
    ("1.2.156.10197.1.301", "sm2"),
    ("1.2.156.10197.1.501", "sm2 with sm3"),
    ("1.2.840.113549.1.1.4", "rsa with md5"),
    ("1.2.840.113549.1.1.5", "rsa with sha-1"),
    ("1.2.840.10045.4.1", "ecdsa with sha-1"),
    ("2.16.840.1.101.3.4.3.17", "ml-dsa-44"),
    ("2.16.840.1.101.3.4.3.18", "ml-dsa-65"),
    ("2.16.840.1.101.3.4.3.19", "ml-dsa-87"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
];

/// The orders of the groups of P-256 and P-384 (SEC 2, 2.4.2 and 2.5.1).
const P256_ORDER: [u8; 32] = *b"\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
const P384_ORDER: [u8; 48] = *b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xc7\x63\x4d\x81\xf4\x37\x2d\xdf\x58\x1a\x0d\xb2\x48\xb0\xa7\x7a\xec\xec\x19\x6a\xcc\xc5\x29\x73";

/// The order of the group of P-521 (SEC 2, 2.6.1).
const P521_ORDER: [u8; 66] = *b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfa\x51\x86\x87\x83\xbf\x2f\x96\x6b\x7f\xcc\x01\x48\xf7\x09\xa5\xd0\x3b\xb5\xc9\xb8\x89\x9c\x47\xae\xbb\x6f\xb7\x1e\x91\x38\x64\x09";

/// The key in a SubjectPublicKeyInfo: Ed25519, P-256, P-384 or P-521 (uncompressed), RSA of 2048 to 4096 bits.
///
/// # Errors
/// The shape's refusals; `algorithm.unsupported` for other keys.
pub fn parse(what: &'static str, der: &[u8]) -> Result<PublicKey, Refusal> {
    let mut fields = Walk::new(what, single(what, Tag::Sequence, der)?.value)?;
    let mut algorithm = fields.sequence()?;
    let bits = fields.octets_in_bits()?;
    fields.end()?;

    let oid = algorithm.oid()?;
    let key = if oid == EC_PUBLIC_KEY {
        ec(what, algorithm.oid()?, bits)?
    } else if oid == ED25519 {
        PublicKey::Ed25519(
            bits.try_into()
                .map_err(|_| malformed(what, "an Ed25519 key is not 32 bytes"))?,
        )
    } else if oid == RSA {
        algorithm.expect(Tag::Null)?;
        rsa(what, bits)?
    } else {
        return Err(unknown("public key algorithm", oid));
    };
    algorithm.end()?;
    Ok(key)
}

fn ec(what: &'static str, curve: ObjectIdentifier, point: &[u8]) -> Result<PublicKey, Refusal> {
    if point.first().is_some_and(|first| *first != 4) {
        return Err(Refusal::Unsupported {
            what: "point format",
            found: "compressed".to_string(),
        });
    }
    let wrong = |_| malformed(what, "a point does not have its curve's length");
    if curve == P256 {
        Ok(PublicKey::P256(Box::new(point.try_into().map_err(wrong)?)))
    } else if curve == P384 {
        Ok(PublicKey::P384(Box::new(point.try_into().map_err(wrong)?)))
    } else if curve == P521 {
        Ok(PublicKey::P521(Box::new(point.try_into().map_err(wrong)?)))
    } else {
        Err(unknown("curve", curve))
    }
}

fn rsa(what: &'static str, bits: &[u8]) -> Result<PublicKey, Refusal> {
    let mut numbers = Walk::new(what, single(what, Tag::Sequence, bits)?.value)?;
    let (modulus, exponent) = (numbers.unsigned()?, numbers.unsigned()?);
    numbers.end()?;
    let size = modulus.len().saturating_mul(8);
    if !(2048..=4096).contains(&size) || modulus.first().is_none_or(|first| *first < 0x80) {
        return Err(Refusal::AlgorithmUnsupported {
            what: "RSA key size",
            found: size.to_string(),
        });
    }
    if exponent.is_empty()
        || exponent.len() > 4
        || exponent.last().is_none_or(|last| last & 1 == 0)
        || exponent == [1]
    {
        return Err(malformed(
            what,
            "an RSA exponent is not an odd number of at most four bytes",
        ));
    }
    Ok(PublicKey::Rsa {
        modulus: modulus.to_vec(),
        exponent: exponent.to_vec(),
    })
}

/// The scheme that a signature AlgorithmIdentifier names, its parameters as its RFC has them.
pub(crate) fn signature_scheme(what: &'static str, der: &[u8]) -> Result<Scheme, Refusal> {
    let mut fields = Walk::new(what, single(what, Tag::Sequence, der)?.value)?;
    let oid = fields.oid()?;
    let scheme = if oid == ECDSA_SHA256 {
        Scheme::EcdsaSha256
    } else if oid == ECDSA_SHA384 {
        Scheme::EcdsaSha384
    } else if oid == ECDSA_SHA512 {
        Scheme::EcdsaSha512
    } else if oid == ED25519 {
        Scheme::Ed25519
    } else if oid == RSA_SHA256 || oid == RSA_SHA384 || oid == RSA_SHA512 {
        fields.expect(Tag::Null)?;
        if oid == RSA_SHA256 {
            Scheme::RsaPkcs1Sha256
        } else if oid == RSA_SHA384 {
            Scheme::RsaPkcs1Sha384
        } else {
            Scheme::RsaPkcs1Sha512
        }
    } else if oid == RSA_PSS {
        pss(fields.sequence()?)?
    } else {
        return Err(unknown("signature algorithm", oid));
    };
    fields.end()?;
    Ok(scheme)
}

/// RSASSA-PSS-params (RFC 8017, A.2.3): one SHA-2 for message and mask, a salt as long as it, trailer 1. The defaults would
/// be SHA-1, so all three are stated.
fn pss(mut fields: Walk<'_>) -> Result<Scheme, Refusal> {
    let what = "RSASSA-PSS parameters";
    let unsupported = |found: &str| Refusal::AlgorithmUnsupported {
        what,
        found: found.to_string(),
    };
    let hash = |mut fields: Walk<'_>| {
        let oid = fields.oid()?;
        fields.optional(Tag::Null)?;
        fields.end().map(|()| oid)
    };
    let Some(message) = fields.optional(context(0))? else {
        return Err(unsupported("sha-1 by default"));
    };
    let message = hash(fields.inside(message)?.sequence()?)?;
    let Some(mask) = fields.optional(context(1))? else {
        return Err(unsupported("sha-1 by default"));
    };
    let mut mask = fields.inside(mask)?.sequence()?;
    if mask.oid()? != MGF1 || hash(mask.sequence()?)? != message {
        return Err(unsupported("another mask than mgf1 of the same hash"));
    }
    mask.end()?;
    let Some(salt) = fields.optional(context(2))? else {
        return Err(unsupported("a salt of 20 bytes"));
    };
    let salt = fields.inside(salt)?.unsigned()?;
    if let Some(trailer) = fields.optional(context(3))?
        && fields.inside(trailer)?.unsigned()? != [1]
    {
        return Err(unsupported("another trailer than 1"));
    }
    fields.end()?;
    match (message, salt) {
        (SHA256, [32]) => Ok(Scheme::RsaPssSha256),
        (SHA384, [48]) => Ok(Scheme::RsaPssSha384),
        (SHA512, [64]) => Ok(Scheme::RsaPssSha512),
        _ => Err(unsupported("a salt of another length than its hash")),
    }
}

fn unknown(what: &'static str, oid: ObjectIdentifier) -> Refusal {
    let oid = oid.to_string();
    let name = NAMES.iter().find(|(number, _)| **number == oid);
    Refusal::AlgorithmUnsupported {
        what,
        found: name.map_or(oid.clone(), |(_, name)| (*name).to_string()),
    }
}

/// What stands in the BIT STRING of a SubjectPublicKeyInfo: what OCSP's key hash is taken of (RFC 6960, 4.1.1).
pub(crate) fn key_bits<'a>(what: &'static str, der: &'a [u8]) -> Result<&'a [u8], Refusal> {
    let mut fields = Walk::new(what, single(what, Tag::Sequence, der)?.value)?;
    fields.expect(Tag::Sequence)?;
    let bits = fields.octets_in_bits()?;
    fields.end()?;
    Ok(bits)
}

/// A signature as it stands in a BIT STRING, its shape checked: for ECDSA two positive numbers in DER.
pub(crate) fn signature_value<'a>(
    what: &'static str,
    scheme: Scheme,
    signature: &'a [u8],
) -> Result<&'a [u8], Refusal> {
    if matches!(
        scheme,
        Scheme::EcdsaSha256 | Scheme::EcdsaSha384 | Scheme::EcdsaSha512
    ) {
        ecdsa_fixed(what, signature, &P521_ORDER)?;
    }
    Ok(signature)
}

/// Checks a signature as X.509 has it (ECDSA in DER, numbers in range of the key's curve), by a scheme of the key's family.
pub(crate) fn check(
    key: &PublicKey,
    scheme: Scheme,
    message: &[u8],
    signature: &[u8],
    check: &dyn CheckSignature,
) -> Result<(), BadSignature> {
    if !key.may(scheme) {
        return Err(BadSignature);
    }
    let order: &[u8] = match key {
        PublicKey::P256(_) => &P256_ORDER,
        PublicKey::P384(_) => &P384_ORDER,
        PublicKey::P521(_) => &P521_ORDER,
        PublicKey::Ed25519(_) | PublicKey::Rsa { .. } => {
            return check.check(key, scheme, message, signature);
        }
    };
    let fixed = ecdsa_fixed("signature", signature, order).map_err(|_| BadSignature)?;
    check.check(key, scheme, message, &fixed)
}

/// The two numbers of an ECDSA-Sig-Value, big-endian, without leading zeros.
pub(crate) fn ecdsa_numbers(
    what: &'static str,
    signature: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let mut numbers = Walk::new(what, single(what, Tag::Sequence, signature)?.value)?;
    let pair = (numbers.unsigned()?.to_vec(), numbers.unsigned()?.to_vec());
    numbers.end()?;
    Ok(pair)
}

/// ECDSA-Sig-Value (RFC 3279, 2.2.3) to r and s of the order's length, each in 1..order.
fn ecdsa_fixed(what: &'static str, signature: &[u8], order: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut numbers = Walk::new(what, single(what, Tag::Sequence, signature)?.value)?;
    let mut fixed = Vec::with_capacity(order.len().saturating_mul(2));
    for _ in 0..2 {
        let number = numbers.unsigned()?;
        let padding = order
            .len()
            .checked_sub(number.len())
            .filter(|_| !number.is_empty());
        let Some(padding) = padding else {
            return Err(malformed(what, "a number of the signature is out of range"));
        };
        let start = fixed.len();
        fixed.resize(start.saturating_add(padding), 0);
        fixed.extend_from_slice(number);
        if fixed.get(start..).is_none_or(|number| number >= order) {
            return Err(malformed(what, "a number of the signature is out of range"));
        }
    }
    numbers.end()?;
    Ok(fixed)
}

/// The SubjectPublicKeyInfo of a key, as [`parse`] reads it: its hash names an EK in an inventory.
#[must_use]
pub fn write(key: &PublicKey) -> Vec<u8> {
    let ec = |curve, point: &[u8]| {
        let algorithm = build::sequence(&[&build::oid(EC_PUBLIC_KEY), &build::oid(curve)]);
        build::sequence(&[&algorithm, &build::bits(point)])
    };
    match key {
        PublicKey::Ed25519(point) => build::sequence(&[
            &build::sequence(&[&build::oid(ED25519)]),
            &build::bits(point),
        ]),
        PublicKey::P256(point) => ec(P256, point.as_slice()),
        PublicKey::P384(point) => ec(P384, point.as_slice()),
        PublicKey::P521(point) => ec(P521, point.as_slice()),
        PublicKey::Rsa { modulus, exponent } => {
            let algorithm = build::sequence(&[&build::oid(RSA), &build::element(5, &[])]);
            let key = build::sequence(&[&build::unsigned(modulus), &build::unsigned(exponent)]);
            build::sequence(&[&algorithm, &build::bits(&key)])
        }
    }
}

/// The SubjectPublicKeyInfo of a P-384 key, as [`parse`] reads it.
pub(crate) fn p384(point: &[u8; 97]) -> Vec<u8> {
    write(&PublicKey::P384(Box::new(*point)))
}

/// The AlgorithmIdentifier of ecdsa-with-SHA384: no parameters (RFC 5758, 3.2).
pub(crate) fn ecdsa_sha384() -> Vec<u8> {
    build::sequence(&[&build::oid(ECDSA_SHA384)])
}

/// r and s of equal length, one after the other, to ECDSA-Sig-Value (RFC 3279, 2.2.3).
#[must_use]
pub fn ecdsa_der(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at_checked(fixed.len() / 2).unwrap_or_default();
    build::sequence(&[&build::unsigned(r), &build::unsigned(s)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_reads_back_as_it_was_written() {
        let mut modulus = alloc::vec![0x80];
        modulus.resize(256, 7);
        let keys = [
            PublicKey::Ed25519([3; 32]),
            PublicKey::P256(Box::new([4; 65])),
            PublicKey::P384(Box::new([4; 97])),
            PublicKey::P521(Box::new([4; 133])),
            PublicKey::Rsa {
                modulus,
                exponent: alloc::vec![1, 0, 1],
            },
        ];
        for key in keys {
            assert_eq!(parse("x", &write(&key)), Ok(key));
        }
    }

    #[test]
    fn signature_numbers_are_in_range_and_minimal() {
        let order = P256_ORDER;
        let mut below = order;
        below[31] -= 1;
        let sig = |r: &[u8], s: &[u8]| build::sequence(&[&build::unsigned(r), &build::unsigned(s)]);
        let read = |der: &[u8]| ecdsa_fixed("x", der, &P256_ORDER);
        assert_eq!(
            read(&sig(&[1], &below)).unwrap(),
            [&[0; 31][..], &[1], &below].concat()
        );
        for bad in [
            sig(&[0], &[1]),
            sig(&[1], &[0]),
            sig(&order, &[1]),
            sig(&[1], &order),
            sig(&[1; 33], &[1]),
            build::sequence(&[&build::unsigned(&[1])]),
            build::sequence(&[
                &build::unsigned(&[1]),
                &build::unsigned(&[1]),
                &build::unsigned(&[1]),
            ]),
            build::sequence(&[&[2, 2, 0, 1], &build::unsigned(&[1])]),
            build::sequence(&[&[2, 1, 0x81], &build::unsigned(&[1])]),
            Vec::new(),
            [&sig(&[1], &[1])[..], &[0]].concat(),
        ] {
            assert!(read(&bad).is_err(), "{bad:?}");
        }
        let fixed = read(&sig(&[1], &below)).unwrap();
        assert_eq!(ecdsa_der(&fixed), sig(&[1], &below));
    }

    #[test]
    fn what_is_built_is_what_is_read() {
        let mut point = [7; 97];
        point[0] = 4;
        assert_eq!(
            parse("x", &p384(&point)),
            Ok(PublicKey::P384(Box::new(point)))
        );
        assert_eq!(
            signature_scheme("x", &ecdsa_sha384()),
            Ok(Scheme::EcdsaSha384)
        );
    }

    #[test]
    fn rsa_keys_have_2048_to_4096_bits_and_an_odd_exponent() {
        let spki = |modulus: &[u8], exponent: &[u8]| {
            let key = build::sequence(&[&build::unsigned(modulus), &build::unsigned(exponent)]);
            build::sequence(&[
                &build::sequence(&[&build::oid(RSA), &[5, 0]]),
                &build::bits(&key),
            ])
        };
        assert!(parse("x", &spki(&[0xff; 256], &[1, 0, 1])).is_ok());
        assert!(parse("x", &spki(&[0xff; 512], &[3])).is_ok());
        for (modulus, exponent) in [
            (255, &[1, 0, 1][..]),
            (513, &[3]),
            (256, &[4]),
            (256, &[1]),
            (256, &[]),
            (256, &[3; 5]),
        ] {
            assert!(
                parse("x", &spki(&alloc::vec![0xff; modulus], exponent)).is_err(),
                "{modulus} {exponent:?}"
            );
        }
        assert!(parse("x", &spki(&[0x7f; 256], &[1, 0, 1])).is_err());
    }
}

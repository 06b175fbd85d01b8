//! Keys and signatures as X.509 has them: SubjectPublicKeyInfo to [`PublicKey`], AlgorithmIdentifier to [`Scheme`], DER
//! signatures to numbers of fixed length (RFC 3279, RFC 5480, RFC 5758, RFC 8410).

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use der::Tag;
use der::asn1::ObjectIdentifier;

use super::der::{Walk, build, malformed, single};
use crate::key::{PublicKey, Scheme};
use crate::refusal::Refusal;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");

/// The orders of the groups of P-256 and P-384 (SEC 2, 2.4.2 and 2.5.1).
const P256_ORDER: [u8; 32] = *b"\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
const P384_ORDER: [u8; 48] = *b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xc7\x63\x4d\x81\xf4\x37\x2d\xdf\x58\x1a\x0d\xb2\x48\xb0\xa7\x7a\xec\xec\x19\x6a\xcc\xc5\x29\x73";

/// The key in a SubjectPublicKeyInfo: Ed25519, P-256 or P-384 (uncompressed), RSA of 2048 to 4096 bits.
///
/// # Errors
/// The shape's refusals; `evidence.unsupported` for other keys.
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
        return Err(Refusal::Unsupported {
            what: "public key algorithm",
            found: oid.to_string(),
        });
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
    } else {
        Err(Refusal::Unsupported {
            what: "curve",
            found: curve.to_string(),
        })
    }
}

fn rsa(what: &'static str, bits: &[u8]) -> Result<PublicKey, Refusal> {
    let mut numbers = Walk::new(what, single(what, Tag::Sequence, bits)?.value)?;
    let (modulus, exponent) = (numbers.unsigned()?, numbers.unsigned()?);
    numbers.end()?;
    let size = modulus.len().saturating_mul(8);
    if !(2048..=4096).contains(&size) || modulus.first().is_none_or(|first| *first < 0x80) {
        return Err(Refusal::Unsupported {
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
    } else if oid == ED25519 {
        Scheme::Ed25519
    } else if oid == RSA_SHA256 || oid == RSA_SHA384 {
        fields.expect(Tag::Null)?;
        if oid == RSA_SHA256 {
            Scheme::RsaPkcs1Sha256
        } else {
            Scheme::RsaPkcs1Sha384
        }
    } else {
        return Err(Refusal::Unsupported {
            what: "signature algorithm",
            found: oid.to_string(),
        });
    };
    fields.end()?;
    Ok(scheme)
}

/// A signature as [`crate::key::CheckSignature`] takes it: for ECDSA r and s at the length of the curve that goes with the
/// scheme's hash, for the others as it stands.
pub(crate) fn signature_bytes(
    what: &'static str,
    scheme: Scheme,
    signature: &[u8],
) -> Result<Vec<u8>, Refusal> {
    match scheme {
        Scheme::EcdsaSha256 => ecdsa_fixed(what, signature, &P256_ORDER),
        Scheme::EcdsaSha384 => ecdsa_fixed(what, signature, &P384_ORDER),
        Scheme::Ed25519
        | Scheme::RsaPkcs1Sha256
        | Scheme::RsaPkcs1Sha384
        | Scheme::RsaPssSha256
        | Scheme::RsaPssSha384 => Ok(signature.to_vec()),
    }
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

/// r and s of equal length to ECDSA-Sig-Value.
pub(crate) fn ecdsa_der(fixed: &[u8]) -> Vec<u8> {
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
        let read = |der: &[u8]| signature_bytes("x", Scheme::EcdsaSha256, der);
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

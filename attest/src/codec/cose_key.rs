//! COSE_Key (RFC 9052, 7; RFC 9053, 7): public keys as CBOR maps.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::cbor::{self, Fields, Value};
use crate::key::PublicKey;
use crate::refusal::Refusal;

const WHAT: &str = "cose key";
/// Private parts: -4 of OKP and EC2, -3 of RSA.
const PRIVATE: i64 = -4;
const RSA_PRIVATE: i64 = -3;

/// The public key in a COSE_Key. A key that holds its private part is refused: it is no public key any more.
///
/// # Errors
/// The shape's refusals; `algorithm.unsupported` for other types and curves.
pub fn parse(value: Value) -> Result<PublicKey, Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let kind = fields.unsigned(1)?;
    if fields.has(PRIVATE) || (kind == 3 && fields.has(RSA_PRIVATE)) {
        return Err(malformed("it holds the private key"));
    }
    match kind {
        1 => okp(&mut fields),
        2 => ec2(&mut fields),
        3 => rsa(&mut fields),
        other => Err(unsupported(&format!("key type {other}"))),
    }
}

fn okp(fields: &mut Fields) -> Result<PublicKey, Refusal> {
    match fields.unsigned(-1)? {
        6 => fields.bytes32(-2).map(PublicKey::Ed25519),
        7 => Err(unsupported("ed448")),
        other => Err(unsupported(&format!("curve {other}"))),
    }
}

fn ec2(fields: &mut Fields) -> Result<PublicKey, Refusal> {
    let curve = fields.unsigned(-1)?;
    let size = match curve {
        1 => 32,
        2 => 48,
        3 => 66,
        other => return Err(unsupported(&format!("curve {other}"))),
    };
    let x = fields.bytes(-2, size)?;
    let y = match fields.required(-3)? {
        Value::Bool(_) => return Err(unsupported("a compressed point")),
        other => cbor::bytes(WHAT, other, size)?,
    };
    if x.len() != size || y.len() != size {
        return Err(malformed("a coordinate does not have its curve's length"));
    }
    let point: Vec<u8> = [&[4], x.as_slice(), &y].concat();
    let point = point.into_boxed_slice();
    let key = match curve {
        1 => Box::<[u8; 65]>::try_from(point).map(PublicKey::P256),
        2 => Box::<[u8; 97]>::try_from(point).map(PublicKey::P384),
        _ => Box::<[u8; 133]>::try_from(point).map(PublicKey::P521),
    };
    key.map_err(|_| malformed("a point does not have its curve's length"))
}

fn rsa(fields: &mut Fields) -> Result<PublicKey, Refusal> {
    let (modulus, exponent) = (fields.bytes(-1, 512)?, fields.bytes(-2, 4)?);
    let key = PublicKey::Rsa { modulus, exponent };
    // One rule for RSA keys: the one of SubjectPublicKeyInfo.
    super::spki::parse(WHAT, &super::spki::write(&key))
}

fn malformed(why: &str) -> Refusal {
    Refusal::Malformed {
        what: WHAT,
        why: why.to_string(),
    }
}

fn unsupported(found: &str) -> Refusal {
    Refusal::AlgorithmUnsupported {
        what: "public key algorithm",
        found: found.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(i64, Value)]) -> Value {
        Value::Map(
            entries
                .iter()
                .map(|(label, value)| (Value::from(*label), value.clone()))
                .collect(),
        )
    }

    fn bytes(length: usize) -> Value {
        Value::Bytes(alloc::vec![7; length])
    }

    #[test]
    fn each_kind_is_read() {
        let okp = map(&[(1, 1.into()), (-1, 6.into()), (-2, bytes(32))]);
        assert_eq!(parse(okp), Ok(PublicKey::Ed25519([7; 32])));
        for (curve, size) in [(1, 32), (2, 48), (3, 66)] {
            let key = parse(map(&[
                (1, 2.into()),
                (-1, curve.into()),
                (-2, bytes(size)),
                (-3, bytes(size)),
            ]));
            assert_eq!(key.unwrap().field(), Some(size));
        }
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let ed25519 =
            |extra: (i64, Value)| map(&[(1, 1.into()), (-1, 6.into()), (-2, bytes(32)), extra]);
        for (key, code) in [
            (ed25519((-4, bytes(32))), "evidence.malformed"),
            (
                map(&[(1, 1.into()), (-1, 6.into()), (-2, bytes(31))]),
                "evidence.malformed",
            ),
            (
                map(&[(1, 1.into()), (-1, 7.into())]),
                "algorithm.unsupported",
            ),
            (
                map(&[(1, 4.into()), (-1, bytes(32))]),
                "algorithm.unsupported",
            ),
            (
                map(&[
                    (1, 2.into()),
                    (-1, 1.into()),
                    (-2, bytes(32)),
                    (-3, Value::Bool(true)),
                ]),
                "algorithm.unsupported",
            ),
            (
                map(&[
                    (1, 2.into()),
                    (-1, 1.into()),
                    (-2, bytes(32)),
                    (-3, bytes(31)),
                ]),
                "evidence.malformed",
            ),
            (
                map(&[
                    (1, 3.into()),
                    (-1, bytes(128)),
                    (-2, Value::Bytes(alloc::vec![1, 0, 1])),
                ]),
                "algorithm.unsupported",
            ),
            (Value::from(1), "evidence.malformed"),
        ] {
            assert_eq!(parse(key).unwrap_err().code(), code);
        }
    }
}

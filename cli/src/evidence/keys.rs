//! Public keys of other people's formats: JWK (RFC 7517, RFC 8037) and COSE_Key (RFC 9052, 7). What is private in them is not looked at.

use assay_attest::codec::cbor::{self, Form};
use assay_attest::key::PublicKey;
use serde_json::Value;

use super::encoding;

/// Longest COSE_Key, bytes.
const COSE_KEY: usize = 4 * 1024;

/// The keys of a JWK, a JWK set, or a test case of cose-wg/Examples; ids beside. `None` where one is no public key that is supported.
pub(crate) fn from_json(json: &Value) -> Option<Vec<(Vec<u8>, PublicKey)>> {
    if let Some(set) = json.get("keys").and_then(Value::as_array) {
        return set.iter().map(jwk).collect();
    }
    if json.get("kty").is_some() {
        return jwk(json).map(|key| vec![key]);
    }
    let input = json.get("input")?;
    if let Some(signers) = input
        .get("sign")
        .and_then(|sign| sign.get("signers"))
        .and_then(Value::as_array)
    {
        return signers.iter().map(|s| jwk(s.get("key")?)).collect();
    }
    jwk(input.get("sign0")?.get("key")?).map(|key| vec![key])
}

/// One JWK.
pub(crate) fn jwk(json: &Value) -> Option<(Vec<u8>, PublicKey)> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    // cose-wg/Examples write numbers as `x_hex`, too.
    let number = |name: &str| match text(name) {
        Some(found) => encoding::from_base64(found),
        None => encoding::from_hex(text(&format!("{name}_hex"))?),
    };
    let key = match (text("kty")?, text("crv")) {
        ("EC" | "EC2", Some(curve)) => ec(curve, &number("x")?, &number("y")?)?,
        ("OKP", Some("Ed25519")) => PublicKey::Ed25519(number("x")?.try_into().ok()?),
        ("RSA", _) => PublicKey::Rsa {
            modulus: number("n")?,
            exponent: number("e")?,
        },
        _ => return None,
    };
    let id = text("kid").unwrap_or_default().as_bytes().to_vec();
    Some((id, key))
}

/// A COSE_Key: the whole of the bytes.
pub(crate) fn from_cose(bytes: &[u8]) -> Option<(Vec<u8>, PublicKey)> {
    let value = cbor::decode("the key", bytes, COSE_KEY, Form::WellFormed).ok()?;
    let entries = value.as_map()?;
    let find = |label: i64| {
        let label = cbor::Value::from(label);
        entries.iter().find(|(k, _)| *k == label).map(|(_, v)| v)
    };
    let number = |label: i64| find(label).and_then(cbor::Value::as_bytes);
    let integer = |label: i64| find(label)?.as_integer().map(i128::from);
    let key = match (integer(1)?, integer(-1)) {
        (1, Some(6)) => PublicKey::Ed25519(number(-2)?.as_slice().try_into().ok()?),
        (2, Some(curve)) => {
            let curve = match curve {
                1 => "P-256",
                2 => "P-384",
                3 => "P-521",
                _ => return None,
            };
            ec(curve, number(-2)?, number(-3)?)?
        }
        (3, _) => PublicKey::Rsa {
            modulus: number(-1)?.clone(),
            exponent: number(-2)?.clone(),
        },
        _ => return None,
    };
    Some((number(2).cloned().unwrap_or_default(), key))
}

/// A point from its coordinates, each padded to the field's length: some writers leave leading zeros out.
fn ec(curve: &str, x: &[u8], y: &[u8]) -> Option<PublicKey> {
    let point = |size: usize| {
        let mut point = vec![4];
        for coordinate in [x, y] {
            let padding = size.checked_sub(coordinate.len())?;
            point.resize(point.len().checked_add(padding)?, 0);
            point.extend_from_slice(coordinate);
        }
        Some(point)
    };
    match curve {
        "P-256" => Some(PublicKey::P256(Box::new(point(32)?.try_into().ok()?))),
        "P-384" => Some(PublicKey::P384(Box::new(point(48)?.try_into().ok()?))),
        "P-521" => Some(PublicKey::P521(Box::new(point(66)?.try_into().ok()?))),
        _ => None,
    }
}

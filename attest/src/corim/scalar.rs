//! The small types of a CoRIM: ids, digests, times, keys.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::WHAT;
use super::model::*;
use super::values::*;
use crate::codec::cbor::{self, Fields, Value};
use crate::limits;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use alloc::collections::BTreeSet;

pub(super) mod tag {
    pub(crate) const TIME: u64 = 1;
    pub(crate) const URI: u64 = 32;
    pub(crate) const UUID: u64 = 37;
    pub(crate) const OID: u64 = 111;
    pub(crate) const UEID: u64 = 550;
    pub(crate) const SVN: u64 = 552;
    pub(crate) const MIN_SVN: u64 = 553;
    pub(crate) const BYTES: u64 = 560;
    pub(crate) const MASKED: u64 = 563;
    pub(crate) const INT_RANGE: u64 = 564;
    pub(crate) const PSA_IMPLEMENTATION: u64 = 600;
    pub(crate) const PSA_COMPONENT: u64 = 601;
    pub(crate) const CCA_CONFIG: u64 = 602;
}

pub(super) fn malformed(why: &str) -> Refusal {
    Refusal::Malformed {
        what: WHAT,
        why: why.to_string(),
    }
}

/// An array of at least one item.
pub(super) fn list(value: Value, what: &str) -> Result<Vec<Value>, Refusal> {
    match value {
        Value::Array(items) if items.is_empty() => Err(malformed(&format!("{what} is empty"))),
        Value::Array(items) if items.len() > limits::CORIM_LIST => Err(Refusal::TooLarge {
            what: WHAT,
            limit: limits::CORIM_LIST,
        }),
        Value::Array(items) => Ok(items),
        _ => Err(malformed(&format!("{what} is no list"))),
    }
}

/// Items of a list that may be missing, but not be empty.
pub(super) fn items<T>(
    value: Option<Value>,
    what: &str,
    read: impl FnMut(Value) -> Result<T, Refusal>,
) -> Result<Vec<T>, Refusal> {
    match value {
        None => Ok(Vec::new()),
        Some(value) => list(value, what)?.into_iter().map(read).collect(),
    }
}

pub(super) fn text(value: Value) -> Result<String, Refusal> {
    cbor::text(WHAT, value, limits::CORIM_TEXT)
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>, Refusal> {
    cbor::bytes(WHAT, value, limits::CORIM_BLOB)
}

pub(super) fn unsigned(value: &Value) -> Result<u64, Refusal> {
    cbor::unsigned(WHAT, value)
}

pub(super) fn uuid(value: Value) -> Result<[u8; 16], Refusal> {
    bytes(value)?
        .try_into()
        .map_err(|_other_length| malformed("a uuid has not 16 bytes"))
}

pub(super) fn sized(value: Value, sizes: &[usize], what: &str) -> Result<Vec<u8>, Refusal> {
    let bytes = bytes(value)?;
    if sizes.contains(&bytes.len()) {
        Ok(bytes)
    } else {
        Err(malformed(&format!("{what} has {} bytes", bytes.len())))
    }
}

pub(super) fn ueid(value: Value) -> Result<Vec<u8>, Refusal> {
    let bytes = bytes(value)?;
    if (7..=33).contains(&bytes.len()) {
        Ok(bytes)
    } else {
        Err(malformed("a ueid has 7 to 33 bytes"))
    }
}

/// A text or 16 bytes, tagged or not.
pub(super) fn tag_id(value: Value) -> Result<TagId, Refusal> {
    match value {
        Value::Text(found) if found.is_empty() => Err(malformed("an id is empty")),
        Value::Text(_) => text(value).map(TagId::Text),
        Value::Bytes(_) => uuid(value).map(TagId::Uuid),
        Value::Tag(tag::UUID, inner) => uuid(*inner).map(TagId::Uuid),
        _ => Err(malformed("an id is neither text nor uuid")),
    }
}

/// A URI: tag 32 in some maps, a bare text in others.
pub(super) fn uri(value: Value) -> Result<String, Refusal> {
    match value {
        Value::Tag(tag::URI, inner) => text(*inner),
        other => text(other),
    }
}

/// Seconds since the epoch, whole or not; what lies before it is it.
pub(super) fn time(value: Value, relaxed: &mut BTreeSet<Relaxed>) -> Result<Timestamp, Refusal> {
    let number = match value {
        Value::Tag(tag::TIME, inner) => *inner,
        other => {
            relaxed.insert(Relaxed::BareTime);
            other
        }
    };
    match number {
        Value::Integer(seconds) => {
            let seconds = i128::from(seconds).max(0);
            Ok(Timestamp::from_secs(
                u64::try_from(seconds).unwrap_or(u64::MAX),
            ))
        }
        Value::Float(seconds) if seconds.is_finite() => whole(seconds),
        _ => Err(malformed("a time is no number")),
    }
}

/// Rounded down to seconds: no float is cast, its text is read.
fn whole(seconds: f64) -> Result<Timestamp, Refusal> {
    if seconds < 0.0 {
        return Ok(Timestamp::from_secs(0));
    }
    if seconds > 1e12 {
        return Err(malformed("a time lies too far ahead"));
    }
    let text = format!("{seconds}");
    let whole = text
        .split('.')
        .next()
        .and_then(|digits| digits.parse().ok());
    whole
        .map(Timestamp::from_secs)
        .ok_or_else(|| malformed("a time is no number"))
}

pub(super) fn validity(value: Value, relaxed: &mut BTreeSet<Relaxed>) -> Result<Validity, Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let not_before = fields
        .optional(0)
        .map(|value| time(value, relaxed))
        .transpose()?;
    let not_after = time(fields.required(1)?, relaxed)?;
    fields.finish()?;
    Ok(Validity {
        not_before,
        not_after,
    })
}

pub(super) fn entity(value: Value, roles: &[u64]) -> Result<Entity, Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let name = text(fields.required(0)?)?;
    let reg_id = fields.optional(1).map(uri).transpose()?;
    let stated = list(fields.required(2)?, "the roles of an entity")?
        .iter()
        .map(unsigned)
        .collect::<Result<Vec<_>, _>>()?;
    fields.finish()?;
    if stated.iter().any(|role| !roles.contains(role)) {
        return Err(malformed("an entity has a role that does not exist"));
    }
    Ok(Entity {
        name,
        reg_id,
        roles: stated,
    })
}

pub(super) fn locator(value: Value) -> Result<Locator, Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let href = match fields.required(0)? {
        many @ Value::Array(_) => items(Some(many), "a locator", uri)?,
        one => alloc::vec![uri(one)?],
    };
    let thumbprint = match fields.optional(1) {
        None => Vec::new(),
        // One digest is [alg, bytes], several are a list of such.
        Some(Value::Array(parts)) if parts.first().is_some_and(Value::is_array) => {
            digests(Value::Array(parts))?
        }
        Some(one) => alloc::vec![digest(one)?],
    };
    fields.finish()?;
    Ok(Locator { href, thumbprint })
}

pub(super) fn digests(value: Value) -> Result<Vec<AlgDigest>, Refusal> {
    items(Some(value), "a list of digests", digest)
}

/// Bytes of the digests that are numbered (IANA named information, COSE algorithms).
const SIZES: [(i64, usize); 15] = [
    (1, 32),
    (2, 16),
    (3, 15),
    (4, 12),
    (5, 8),
    (6, 4),
    (7, 48),
    (8, 64),
    (9, 28),
    (10, 32),
    (11, 48),
    (12, 64),
    (-16, 32),
    (-43, 48),
    (-44, 64),
];

pub(super) fn digest(value: Value) -> Result<AlgDigest, Refusal> {
    let parts = value
        .into_array()
        .ok()
        .and_then(|parts| <[Value; 2]>::try_from(parts).ok());
    let Some([alg, value]) = parts else {
        return Err(malformed("a digest is no pair of algorithm and bytes"));
    };
    let alg = match alg {
        Value::Integer(number) => i64::try_from(number)
            .map(AlgId::Number)
            .map_err(|_too_large| malformed("a digest has an algorithm that does not exist"))?,
        name => AlgId::Name(text(name)?),
    };
    let bytes = cbor::bytes(WHAT, value, 128)?;
    let expected = match &alg {
        AlgId::Number(number) => SIZES
            .iter()
            .find(|(known, _)| known == number)
            .map(|(_, size)| *size),
        AlgId::Name(_) => alg.known().map(crate::digest::HashAlg::size),
    };
    if bytes.is_empty() || expected.is_some_and(|size| size != bytes.len()) {
        return Err(malformed("a digest has not the length of its algorithm"));
    }
    Ok(AlgDigest { alg, bytes })
}

pub(super) fn crypto_keys(value: Option<Value>) -> Result<Vec<CryptoKey>, Refusal> {
    items(value, "a list of keys", crypto_key)
}

pub(super) fn crypto_key(value: Value) -> Result<CryptoKey, Refusal> {
    let Value::Tag(tag, inner) = value else {
        return Err(malformed("a key has no tag"));
    };
    let key_text = |value| match cbor_text(value)? {
        empty if empty.is_empty() => Err(malformed("a key is empty")),
        found => Ok(found),
    };
    Ok(match tag {
        554 => CryptoKey::PkixKey(key_text(*inner)?),
        555 => CryptoKey::PkixCert(key_text(*inner)?),
        556 => CryptoKey::PkixPath(key_text(*inner)?),
        557 => CryptoKey::KeyThumbprint(digest(*inner)?),
        558 => match *inner {
            map @ Value::Map(_) => CryptoKey::CoseKey(cbor::write(&map)),
            _ => return Err(malformed("a cose key is no map")),
        },
        559 => CryptoKey::CertThumbprint(digest(*inner)?),
        tag::BYTES => CryptoKey::Bytes(bytes(*inner)?),
        561 => CryptoKey::PathThumbprint(digest(*inner)?),
        562 => CryptoKey::Der(bytes(*inner)?),
        other => {
            return Err(Refusal::Unsupported {
                what: "the corim key type",
                found: format!("{other}"),
            });
        }
    })
}

/// A text of a key: PEM has line ends, which other texts may not have.
fn cbor_text(value: Value) -> Result<String, Refusal> {
    match value {
        Value::Text(text) if text.len() > limits::CORIM_BLOB => Err(Refusal::TooLarge {
            what: WHAT,
            limit: limits::CORIM_BLOB,
        }),
        Value::Text(text) => Ok(text),
        _ => Err(malformed("a key is no text")),
    }
}

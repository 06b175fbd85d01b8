//! CBOR (RFC 8949), strictly: bounded depth, items and bytes, no duplicate keys, no trailing bytes.
//!
//! A first pass walks the bytes and bounds everything before ciborium allocates; a second looks for duplicate keys.

use crate::limits;
use crate::refusal::Refusal;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
pub use ciborium::Value;

/// How strictly an encoding is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Anything well-formed, indefinite lengths too: for messages of others.
    WellFormed,
    /// Definite lengths and shortest heads; maps in the order sent ("preferred", RFC 8949, 4.1).
    Preferred,
    /// And maps sorted by the bytes of their keys ("core deterministic", RFC 8949, 4.2.1): one encoding for one value.
    Deterministic,
}

/// Decodes one item that fills `bytes`.
///
/// # Errors
/// [`Refusal::TooLarge`] over `limit` bytes, [`limits::CBOR_DEPTH`] or [`limits::CBOR_ITEMS`]; [`Refusal::Truncated`],
/// [`Refusal::TrailingBytes`], [`Refusal::DuplicateKey`], [`Refusal::Malformed`].
pub fn decode(
    what: &'static str,
    bytes: &[u8],
    limit: usize,
    form: Form,
) -> Result<Value, Refusal> {
    if bytes.len() > limit {
        return Err(Refusal::TooLarge { what, limit });
    }
    let mut scan = Scan {
        what,
        bytes,
        at: 0,
        items: 0,
        indefinite: form == Form::WellFormed,
    };
    scan.item(0)?;
    if scan.at != bytes.len() {
        return Err(Refusal::TrailingBytes {
            what,
            offset: scan.at,
        });
    }
    let value: Value = ciborium::from_reader(bytes).map_err(|error| Refusal::Malformed {
        what,
        why: why(&error),
    })?;
    unique_keys(what, &value)?;
    let same = match form {
        Form::WellFormed => true,
        Form::Preferred => write(&value) == bytes,
        Form::Deterministic => sorted(&value) && write(&value) == bytes,
    };
    if same {
        Ok(value)
    } else {
        Err(Refusal::Malformed {
            what,
            why: "it is not in its one encoding".to_string(),
        })
    }
}

/// Encodes deterministically: shortest heads, definite lengths, maps sorted by the bytes of their keys.
#[must_use]
pub fn encode(mut value: Value) -> Vec<u8> {
    sort(&mut value);
    write(&value)
}

/// Encodes with maps in the order that they have.
#[must_use]
pub fn write(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing a `Value` to a `Vec` has no way to fail; were there one, the empty output decodes nowhere.
    if ciborium::into_writer(value, &mut bytes).is_err() {
        bytes.clear();
    }
    bytes
}

/// A map with integer or text keys, taken apart field by field; what is left over at the end is refused.
#[derive(Debug)]
pub struct Fields {
    what: &'static str,
    fields: BTreeMap<Key, Value>,
}

impl Fields {
    /// Takes a map apart.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] where `value` is no map or a key is neither integer nor text; [`Refusal::DuplicateKey`].
    pub fn new(what: &'static str, value: Value) -> Result<Self, Refusal> {
        let Value::Map(entries) = value else {
            return Err(malformed(what, "it is not a map"));
        };
        let mut fields = BTreeMap::new();
        for (key, value) in entries {
            let key = Key::of(what, &key)?;
            if fields.insert(key, value).is_some() {
                return Err(Refusal::DuplicateKey { what });
            }
        }
        Ok(Self { what, fields })
    }

    /// Whether there is a field under integer `key` that has not been taken.
    #[must_use]
    pub fn has(&self, key: i64) -> bool {
        self.fields.contains_key(&Key::Int(i128::from(key)))
    }

    /// The field under integer `key`, if it is there.
    pub fn optional(&mut self, key: i64) -> Option<Value> {
        self.fields.remove(&Key::Int(i128::from(key)))
    }

    /// The field under integer `key`.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] where it is missing.
    pub fn required(&mut self, key: i64) -> Result<Value, Refusal> {
        self.optional(key).ok_or_else(|| Refusal::Malformed {
            what: self.what,
            why: format!("field {key} is missing"),
        })
    }

    /// A byte string of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::TooLarge`].
    pub fn bytes(&mut self, key: i64, limit: usize) -> Result<Vec<u8>, Refusal> {
        let value = self.required(key)?;
        bytes(self.what, value, limit)
    }

    /// A byte string of exactly 32 bytes.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn bytes32(&mut self, key: i64) -> Result<[u8; 32], Refusal> {
        let value = self.required(key)?;
        let found = bytes(self.what, value, 32)?;
        found
            .try_into()
            .map_err(|_wrong_length| malformed(self.what, "a field of 32 bytes has another length"))
    }

    /// A text of at most `limit` bytes without control characters.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::TooLarge`].
    pub fn text(&mut self, key: i64, limit: usize) -> Result<String, Refusal> {
        let value = self.required(key)?;
        text(self.what, value, limit)
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn unsigned(&mut self, key: i64) -> Result<u64, Refusal> {
        let value = self.required(key)?;
        unsigned(self.what, &value)
    }

    /// Ends here.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] where a field has not been taken: what is not known is not accepted.
    pub fn finish(self) -> Result<(), Refusal> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(Key::Int(key)) => Err(Refusal::Malformed {
                what: self.what,
                why: format!("field {key} is not known"),
            }),
            Some(Key::Text(_) | Key::Bytes(_)) => {
                Err(malformed(self.what, "a named field is not known"))
            }
        }
    }
}

/// A byte string of at most `limit` bytes.
///
/// # Errors
/// [`Refusal::Malformed`], [`Refusal::TooLarge`].
pub fn bytes(what: &'static str, value: Value, limit: usize) -> Result<Vec<u8>, Refusal> {
    match value {
        Value::Bytes(bytes) if bytes.len() <= limit => Ok(bytes),
        Value::Bytes(_) => Err(Refusal::TooLarge { what, limit }),
        _ => Err(malformed(what, "a byte string was expected")),
    }
}

/// A text of at most `limit` bytes without control characters.
///
/// # Errors
/// [`Refusal::Malformed`], [`Refusal::TooLarge`].
pub fn text(what: &'static str, value: Value, limit: usize) -> Result<String, Refusal> {
    match value {
        Value::Text(text) if text.len() > limit => Err(Refusal::TooLarge { what, limit }),
        Value::Text(text) if text.chars().any(char::is_control) => {
            Err(malformed(what, "a text holds control characters"))
        }
        Value::Text(text) => Ok(text),
        _ => Err(malformed(what, "a text was expected")),
    }
}

/// An unsigned integer of at most 64 bits.
///
/// # Errors
/// [`Refusal::Malformed`].
pub fn unsigned(what: &'static str, value: &Value) -> Result<u64, Refusal> {
    value
        .as_integer()
        .and_then(|integer| u64::try_from(integer).ok())
        .ok_or_else(|| malformed(what, "an unsigned integer was expected"))
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Int(i128),
    Text(String),
    Bytes(Vec<u8>),
}

impl Key {
    fn of(what: &'static str, value: &Value) -> Result<Self, Refusal> {
        match value {
            Value::Integer(integer) => Ok(Self::Int(i128::from(*integer))),
            Value::Text(text) => Ok(Self::Text(text.clone())),
            Value::Bytes(bytes) => Ok(Self::Bytes(bytes.clone())),
            _ => Err(malformed(
                what,
                "a map key is neither integer, text nor bytes",
            )),
        }
    }
}

fn malformed(what: &'static str, why: &str) -> Refusal {
    Refusal::Malformed {
        what,
        why: why.to_string(),
    }
}

fn why<E: core::fmt::Debug>(error: &ciborium::de::Error<E>) -> String {
    match error {
        ciborium::de::Error::Io(_) => "it ends early".to_string(),
        ciborium::de::Error::Syntax(offset) => format!("no cbor at byte {offset}"),
        ciborium::de::Error::Semantic(..) => "a cbor item is out of place".to_string(),
        ciborium::de::Error::RecursionLimitExceeded => "it is nested too deeply".to_string(),
    }
}

// Recursion is bounded by `limits::CBOR_DEPTH`: the scan has passed.
fn unique_keys(what: &'static str, value: &Value) -> Result<(), Refusal> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| unique_keys(what, item)),
        Value::Tag(_, item) => unique_keys(what, item),
        Value::Map(entries) => {
            let mut seen = alloc::collections::BTreeSet::new();
            for (key, item) in entries {
                if !seen.insert(Key::of(what, key)?) {
                    return Err(Refusal::DuplicateKey { what });
                }
                unique_keys(what, item)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn sorted(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(sorted),
        Value::Tag(_, item) => sorted(item),
        Value::Map(entries) => {
            entries.iter().map(|(key, _)| write(key)).is_sorted()
                && entries
                    .iter()
                    .all(|(key, item)| sorted(key) && sorted(item))
        }
        _ => true,
    }
}

fn sort(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort),
        Value::Tag(_, item) => sort(item),
        Value::Map(entries) => {
            entries.iter_mut().for_each(|(key, item)| {
                sort(key);
                sort(item);
            });
            entries.sort_by_cached_key(|(key, _)| write(key));
        }
        _ => {}
    }
}

/// Walks the bytes of one item: structure and bounds only.
struct Scan<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
    items: usize,
    indefinite: bool,
}

impl Scan<'_> {
    const BREAK: u8 = 0xff;

    fn item(&mut self, depth: usize) -> Result<(), Refusal> {
        self.count(depth)?;
        let (major, info, argument) = self.head()?;
        let inner = depth.saturating_add(1);
        match (major, argument) {
            (0 | 1, Some(_)) => Ok(()),
            (2 | 3, Some(length)) => self.skip(length),
            (2 | 3, None) => {
                while !self.at_break()? {
                    self.count(inner)?;
                    match self.head()? {
                        (chunk, _, Some(length)) if chunk == major => self.skip(length)?,
                        _ => return Err(malformed(self.what, "a chunk is out of place")),
                    }
                }
                Ok(())
            }
            (4, Some(count)) => self.items(count, inner),
            (5, Some(count)) => self.items(count.saturating_mul(2), inner),
            (4 | 5, None) => {
                let mut count = 0_u64;
                while !self.at_break()? {
                    self.item(inner)?;
                    count = count.saturating_add(1);
                }
                if major == 5 && count % 2 == 1 {
                    return Err(malformed(self.what, "a map key has no value"));
                }
                Ok(())
            }
            (6, Some(_)) => self.item(inner),
            (7, Some(value)) if info != 24 || value >= 32 => Ok(()),
            _ => Err(malformed(self.what, "a cbor item is not well-formed")),
        }
    }

    fn items(&mut self, count: u64, depth: usize) -> Result<(), Refusal> {
        // Each item takes at least a byte: a count beyond the input can't be honest, and nothing is allocated for it.
        let left = self.bytes.len().saturating_sub(self.at);
        if u64::try_from(left).is_ok_and(|left| count > left) {
            return Err(self.truncated());
        }
        (0..count).try_for_each(|_| self.item(depth))
    }

    fn count(&mut self, depth: usize) -> Result<(), Refusal> {
        self.items = self.items.saturating_add(1);
        let what = self.what;
        if depth > limits::CBOR_DEPTH {
            return Err(Refusal::TooLarge {
                what,
                limit: limits::CBOR_DEPTH,
            });
        }
        if self.items > limits::CBOR_ITEMS {
            return Err(Refusal::TooLarge {
                what,
                limit: limits::CBOR_ITEMS,
            });
        }
        Ok(())
    }

    /// Major type, additional information and argument; no argument is an indefinite length.
    fn head(&mut self) -> Result<(u8, u8, Option<u64>), Refusal> {
        let first = *self.bytes.get(self.at).ok_or_else(|| self.truncated())?;
        self.at = self.at.saturating_add(1);
        let (major, info) = (first >> 5, first & 0x1f);
        let argument = match info {
            0..=23 => u64::from(info),
            24..=27 => {
                let width = 1_usize << (info & 3);
                let end = self.at.saturating_add(width);
                let raw = self
                    .bytes
                    .get(self.at..end)
                    .ok_or_else(|| self.truncated())?;
                self.at = end;
                raw.iter()
                    .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
            }
            31 if self.indefinite && matches!(major, 2..=5) => return Ok((major, info, None)),
            31 if matches!(major, 2..=5) => {
                return Err(malformed(self.what, "an indefinite length is not accepted"));
            }
            _ => return Err(malformed(self.what, "a cbor head is not well-formed")),
        };
        Ok((major, info, Some(argument)))
    }

    fn at_break(&mut self) -> Result<bool, Refusal> {
        let next = *self.bytes.get(self.at).ok_or_else(|| self.truncated())?;
        let is_break = next == Self::BREAK;
        if is_break {
            self.at = self.at.saturating_add(1);
        }
        Ok(is_break)
    }

    fn skip(&mut self, length: u64) -> Result<(), Refusal> {
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| self.at.checked_add(length))
            .filter(|end| *end <= self.bytes.len())
            .ok_or_else(|| self.truncated())?;
        self.at = end;
        Ok(())
    }

    const fn truncated(&self) -> Refusal {
        Refusal::Truncated {
            what: self.what,
            offset: self.bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests;

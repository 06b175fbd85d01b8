//! JSON that is read before anybody is known: bounded, and no member twice.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::JoseFault;

const MAX_DEPTH: u8 = 4;
const MAX_MEMBERS: usize = 64;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number that is not negative.
    Natural(u64),
    /// Any other number; always finite.
    Number(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object; each name once.
    Map(BTreeMap<String, Json>),
}

impl Json {
    /// Reads one value and nothing after it.
    ///
    /// # Errors
    /// [`JoseFault::Json`], [`JoseFault::Duplicate`], [`JoseFault::TooDeep`] (over four levels, or over 64 members in one).
    pub fn parse(bytes: &[u8]) -> Result<Self, JoseFault> {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let value = Seed(MAX_DEPTH)
            .deserialize(&mut reader)
            .map_err(|e| fault_of(&e))?;
        reader.end().map_err(|_| JoseFault::Json)?;
        Ok(value)
    }

    /// The members, where this is an object.
    ///
    /// # Errors
    /// [`JoseFault::Json`].
    pub fn into_map(self) -> Result<BTreeMap<String, Self>, JoseFault> {
        match self {
            Self::Map(map) => Ok(map),
            Self::Null
            | Self::Bool(_)
            | Self::Natural(_)
            | Self::Number(_)
            | Self::Text(_)
            | Self::List(_) => Err(JoseFault::Json),
        }
    }

    /// The string, where this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }
}

const DUPLICATE: &str = "\u{1}duplicate";
const TOO_DEEP: &str = "\u{1}too deep";

/// serde carries our two faults through its own error as text; nothing that is read can put them there.
fn fault_of(error: &serde_json::Error) -> JoseFault {
    let text = error.to_string();
    if text.starts_with(DUPLICATE) {
        JoseFault::Duplicate
    } else if text.starts_with(TOO_DEEP) {
        JoseFault::TooDeep
    } else {
        JoseFault::Json
    }
}

/// Reads a value with this many levels left.
struct Seed(u8);

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Natural(value))
    }

    #[expect(
        clippy::as_conversions,
        reason = "a negative number is never used as more than that"
    )]
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(u64::try_from(value).map_or(Json::Number(value as f64), Json::Natural))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        if value.is_finite() {
            Ok(Json::Number(value))
        } else {
            Err(E::custom("not finite"))
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let level = self
            .0
            .checked_sub(1)
            .ok_or_else(|| serde::de::Error::custom(TOO_DEEP))?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(Seed(level))? {
            list.push(value);
            if list.len() > MAX_MEMBERS {
                return Err(serde::de::Error::custom(TOO_DEEP));
            }
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let level = self
            .0
            .checked_sub(1)
            .ok_or_else(|| serde::de::Error::custom(TOO_DEEP))?;
        let mut map = BTreeMap::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Seed(level))?;
            if map.insert(name, value).is_some() {
                return Err(serde::de::Error::custom(DUPLICATE));
            }
            if map.len() > MAX_MEMBERS {
                return Err(serde::de::Error::custom(TOO_DEEP));
            }
        }
        Ok(Json::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_fault_by_its_name() {
        for (text, fault) in [
            (r#"{"a":1,"a":2}"#, JoseFault::Duplicate),
            (r#"{"a":1,"\u0061":2}"#, JoseFault::Duplicate),
            (r#"{"x":{"a":1,"a":1}}"#, JoseFault::Duplicate),
            ("[[[[[]]]]]", JoseFault::TooDeep),
            (r#"{"a":1}x"#, JoseFault::Json),
            ("{\"a\":\"\u{1}duplicate\"}", JoseFault::Json),
            (r#"{"a":1e999}"#, JoseFault::Json),
            ("{'a':1}", JoseFault::Json),
            ("", JoseFault::Json),
        ] {
            assert_eq!(Json::parse(text.as_bytes()), Err(fault), "{text}");
        }
        assert!(
            Json::parse(br#" {"a":1} "#).is_ok(),
            "white space around a value is JSON"
        );
        assert_eq!(
            Json::parse(b"{\"a\":\"\xff\"}"),
            Err(JoseFault::Json),
            "UTF-8 only"
        );
        assert!(Json::parse(b"[[[[]]]]").is_ok());
        let wide = format!("[{}1]", "1,".repeat(MAX_MEMBERS));
        assert_eq!(Json::parse(wide.as_bytes()), Err(JoseFault::TooDeep));
    }

    #[test]
    fn a_member_named_like_our_marks_is_only_a_member() {
        let sly = br#"{"\u0001duplicate":1,"\u0001too deep":2}"#;
        assert_eq!(Json::parse(sly).unwrap().into_map().unwrap().len(), 2);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:0-9a-e. -]{0,60}") {
            let _ = Json::parse(&bytes);
            let _ = Json::parse(text.as_bytes());
        }
    }
}

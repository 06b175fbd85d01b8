//! Conceptual Message Wrappers (RFC 9999): records, tagged values and collections, in CBOR and in JSON.
//!
//! A wrapper is unsigned: it says what something is, not that it is so. Types that are not known are kept, never trusted.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::cbor::{self, Form, Value};
use super::der::malformed;
use crate::limits;
use crate::refusal::Refusal;

const WHAT: &str = "the cmw";
/// The member of a collection that says what kind of collection it is (RFC 9999, 3.3).
const COLLECTION_TYPE: &str = "__cmwc_t";
/// First and last CBOR tag of CoAP content formats (RFC 9277, 4.3): 0x63740101 + (c div 255) * 256 + c mod 255.
const TAGS: core::ops::RangeInclusive<u64> = 0x6374_0101..=0x6374_ffff;

/// A wrapper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cmw {
    /// `[type, value, ?indicator]`.
    Record {
        /// What the value is.
        media: Media,
        /// The value itself.
        value: Vec<u8>,
        /// Which conceptual messages it holds: bit 0 Reference Values, 1 Endorsements, 2 Evidence, 3 Attestation Results, 4
        /// Appraisal Policy.
        indicator: Option<u8>,
    },
    /// A CBOR tag over a byte string.
    Tagged {
        /// The tag.
        tag: u64,
        /// The CoAP content format that the tag was made of, where it was.
        format: Option<u16>,
        /// The value itself.
        value: Vec<u8>,
    },
    /// Several under labels.
    Collection {
        /// What kind of collection it says it is: a URI or an OID.
        kind: Option<String>,
        /// Labels (integers written as decimals) and members, in the order sent.
        members: Vec<(String, Box<Self>)>,
    },
}

/// How a record names its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// A media type.
    Type(String),
    /// A CoAP content format.
    Format(u16),
}

impl Cmw {
    /// Reads CBOR.
    ///
    /// # Errors
    /// The shape's refusals.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, Refusal> {
        from_value(cbor::decode(
            WHAT,
            bytes,
            limits::EVIDENCE_BYTES,
            Form::WellFormed,
        )?)
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// The shape's refusals.
    pub fn from_json(text: &str) -> Result<Self, Refusal> {
        if text.len() > limits::EVIDENCE_BYTES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::EVIDENCE_BYTES,
            });
        }
        let value: Json =
            serde_json::from_str(text).map_err(|error| malformed(WHAT, error.to_string()))?;
        from_json(value, 0)
    }

    /// The indicator's bits in words.
    #[must_use]
    pub fn messages(indicator: u8) -> Vec<&'static str> {
        [
            "reference-values",
            "endorsements",
            "evidence",
            "attestation-results",
            "appraisal-policy",
        ]
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| (indicator >> bit) & 1 == 1)
        .map(|(_, name)| name)
        .collect()
    }
}

fn from_value(value: Value) -> Result<Cmw, Refusal> {
    match value {
        Value::Array(parts) => {
            let mut parts = parts.into_iter();
            let (media, value, indicator) = (parts.next(), parts.next(), parts.next());
            if parts.next().is_some() {
                return Err(malformed(WHAT, "a record has more than three members"));
            }
            let media = match media {
                Some(Value::Text(text)) => media_type(text)?,
                Some(number @ Value::Integer(_)) => {
                    Media::Format(format(cbor::unsigned(WHAT, &number)?)?)
                }
                _ => return Err(malformed(WHAT, "a record does not begin with its type")),
            };
            let Some(Value::Bytes(value)) = value else {
                return Err(malformed(WHAT, "a record's value is no byte string"));
            };
            let indicator = indicator
                .map(|number| indicator_of(cbor::unsigned(WHAT, &number)?))
                .transpose()?;
            Ok(Cmw::Record {
                media,
                value,
                indicator,
            })
        }
        Value::Tag(number, inner) => {
            let Value::Bytes(value) = *inner else {
                return Err(malformed(WHAT, "a tagged value is no byte string"));
            };
            Ok(Cmw::Tagged {
                tag: number,
                format: format_of_tag(number)?,
                value,
            })
        }
        Value::Map(entries) => {
            let mut kind = None;
            let mut members = Vec::new();
            for (label, member) in entries {
                let label = match label {
                    Value::Text(text) if text == COLLECTION_TYPE => {
                        kind = Some(match member {
                            Value::Text(text) => uri_or_oid(text)?,
                            _ => return Err(malformed(WHAT, "the collection's type is no text")),
                        });
                        continue;
                    }
                    Value::Text(text) => text,
                    Value::Integer(number) => i128::from(number).to_string(),
                    _ => return Err(malformed(WHAT, "a label is neither text nor integer")),
                };
                members.push((label, Box::new(from_value(member)?)));
            }
            collection(kind, members)
        }
        _ => Err(malformed(WHAT, "it is neither record, tag nor collection")),
    }
}

fn from_json(value: Json, depth: usize) -> Result<Cmw, Refusal> {
    if depth > limits::CBOR_DEPTH {
        return Err(Refusal::TooLarge {
            what: WHAT,
            limit: limits::CBOR_DEPTH,
        });
    }
    match value {
        Json::Array(parts) => {
            let mut parts = parts.into_iter();
            let (media, value, indicator) = (parts.next(), parts.next(), parts.next());
            if parts.next().is_some() {
                return Err(malformed(WHAT, "a record has more than three members"));
            }
            let media = match media {
                Some(Json::Text(text)) => media_type(text)?,
                Some(Json::Number(number)) => Media::Format(format(number)?),
                _ => return Err(malformed(WHAT, "a record does not begin with its type")),
            };
            let Some(Json::Text(value)) = value else {
                return Err(malformed(WHAT, "a record's value is no base64url text"));
            };
            let value = Base64UrlUnpadded::decode_vec(&value)
                .map_err(|_| malformed(WHAT, "a record's value is no base64url without padding"))?;
            let indicator = match indicator {
                None => None,
                Some(Json::Number(number)) => Some(indicator_of(number)?),
                Some(_) => return Err(malformed(WHAT, "an indicator is no number")),
            };
            Ok(Cmw::Record {
                media,
                value,
                indicator,
            })
        }
        Json::Map(entries) => {
            let mut kind = None;
            let mut members = Vec::new();
            for (label, member) in entries {
                if label == COLLECTION_TYPE {
                    kind = Some(match member {
                        Json::Text(text) => uri_or_oid(text)?,
                        _ => return Err(malformed(WHAT, "the collection's type is no text")),
                    });
                } else {
                    let member = from_json(member, depth.saturating_add(1))?;
                    members.push((label, Box::new(member)));
                }
            }
            collection(kind, members)
        }
        Json::Text(_) | Json::Number(_) => {
            Err(malformed(WHAT, "it is neither record nor collection"))
        }
    }
}

fn collection(kind: Option<String>, members: Vec<(String, Box<Cmw>)>) -> Result<Cmw, Refusal> {
    if members.is_empty() {
        return Err(malformed(WHAT, "the collection is empty"));
    }
    if members.len() > limits::CMW_MEMBERS {
        return Err(Refusal::TooLarge {
            what: WHAT,
            limit: limits::CMW_MEMBERS,
        });
    }
    Ok(Cmw::Collection { kind, members })
}

/// `type/subtype` with parameters (RFC 9110, 8.3.1), or one of the names for a CMW of the other encoding (`#cmw-c2j-tunnel`).
fn media_type(text: String) -> Result<Media, Refusal> {
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let known = text.len() <= limits::TEXT_BYTES
        && text.bytes().all(|b| (b' '..=b'~').contains(&b))
        && (essence
            .split_once('/')
            .is_some_and(|(a, b)| token(a) && token(b))
            || (text.starts_with("#cmw-") && token(&text)));
    if known {
        Ok(Media::Type(text))
    } else {
        Err(malformed(WHAT, "a type is no media type"))
    }
}

/// A URI with a scheme, or an OID in decimals.
fn uri_or_oid(text: String) -> Result<String, Refusal> {
    let is_oid = text.contains('.')
        && text
            .split('.')
            .all(|arc| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()));
    let is_uri = text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && !rest.is_empty()
    });
    if text.len() <= limits::TEXT_BYTES && (is_oid || is_uri) {
        Ok(text)
    } else {
        Err(malformed(
            WHAT,
            "the collection's type is neither uri nor oid",
        ))
    }
}

fn format(number: u64) -> Result<u16, Refusal> {
    u16::try_from(number).map_err(|_| malformed(WHAT, "a content format has 16 bits at most"))
}

/// Tags of content formats are one way; a format may have a tag of its own (RFC 9999, 3.2).
fn format_of_tag(tag: u64) -> Result<Option<u16>, Refusal> {
    let low = tag & 0xff;
    if !TAGS.contains(&tag) {
        return Ok(None);
    }
    if low == 0 {
        return Err(Refusal::Unsupported {
            what: "the cmw tag",
            found: format!("{tag}"),
        });
    }
    let high = tag.saturating_sub(0x6374_0101) >> 8;
    format(
        high.saturating_mul(255)
            .saturating_add(low.saturating_sub(1)),
    )
    .map(Some)
}

fn indicator_of(number: u64) -> Result<u8, Refusal> {
    u8::try_from(number)
        .ok()
        .filter(|bits| *bits < 32)
        .ok_or_else(|| malformed(WHAT, "an indicator has bits that have no meaning"))
}

/// JSON with the order of its members, and a refusal of what a wrapper never holds; a label twice is one, too.
enum Json {
    Text(String),
    Number(u64),
    Array(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Json;
            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a cmw")
            }
            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
                Ok(Json::Number(number))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    all.push(one);
                }
                Ok(Json::Array(all))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut all: Vec<(String, Json)> = Vec::new();
                let mut seen = alloc::collections::BTreeSet::new();
                while let Some((label, member)) = map.next_entry::<String, Json>()? {
                    if !seen.insert(label.clone()) {
                        return Err(serde::de::Error::custom("a label is there twice"));
                    }
                    all.push((label, member));
                }
                Ok(Json::Map(all))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_read() {
        let record = Cmw::from_json(r#"["application/eat+cwt","YQ",4]"#).unwrap();
        assert_eq!(
            record,
            Cmw::Record {
                media: Media::Type("application/eat+cwt".into()),
                value: b"a".to_vec(),
                indicator: Some(4)
            }
        );
        assert_eq!(Cmw::messages(4), ["evidence"]);
        // RFC 9277, 4.3: content format 10571 is tag 1668557429.
        let tagged = Cmw::from_cbor(&[0xda, 0x63, 0x74, 0x2a, 0x75, 0x41, 1]);
        assert_eq!(
            tagged,
            Ok(Cmw::Tagged {
                tag: 0x6374_2a75,
                format: Some(10571),
                value: alloc::vec![1]
            })
        );
        let Ok(Cmw::Collection { kind, members }) =
            Cmw::from_json(r#"{"__cmwc_t":"tag:example.com,2024:x","b":[60,"YQ"],"a":["a/b",""]}"#)
        else {
            panic!("no collection");
        };
        assert_eq!(kind.as_deref(), Some("tag:example.com,2024:x"));
        assert_eq!(members.len(), 2);
        assert_eq!(members[0].0, "b");
    }

    #[test]
    fn what_is_no_wrapper_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            "\"x\"",
            "7",
            "null",
            r#"["a/b"]"#,
            r#"["a/b","YQ=="]"#,
            r#"["a/b","a+/8"]"#,
            r#"["ab","YQ"]"#,
            r#"["a/","YQ"]"#,
            r#"[65536,"YQ"]"#,
            r#"[-1,"YQ"]"#,
            r#"["a/b","YQ",32]"#,
            r#"["a/b","YQ",4,4]"#,
            r#"["a/b","YQ","4"]"#,
            r#"{"a":["a/b","YQ"],"a":["a/b","YQ"]}"#,
            r#"{"__cmwc_t":"x:y"}"#,
            r#"{"__cmwc_t":7,"a":["a/b","YQ"]}"#,
            r#"{"__cmwc_t":"xy","a":["a/b","YQ"]}"#,
            r#"{"a":7}"#,
            r#"["a/b","YQ"] x"#,
        ] {
            assert!(Cmw::from_json(text).is_err(), "{text}");
        }
        for bytes in [
            &[0xa0][..],
            &[0x80],
            &[0x41, 1],
            &[0xd2, 0x01],
            &[0xda, 0x63, 0x74, 0x2a, 0x00, 0x41, 1],
            &[0xda, 0x63, 0x74, 0x2a, 0x75, 0x01],
            &[0x82, 0x01, 0x61, b'a'],
            &[0xa1, 0x41, 1, 0x82, 0x01, 0x41, 1],
        ] {
            assert!(Cmw::from_cbor(bytes).is_err(), "{bytes:?}");
        }
        let deep = alloc::format!("{}{}", "{\"a\":".repeat(100), "}".repeat(100));
        assert!(Cmw::from_json(&deep).is_err());
    }
}

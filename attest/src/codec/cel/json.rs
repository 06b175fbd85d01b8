//! CEL-JSON: objects with `recnum`, `pcr` or `nv_index`, `digests`, `content_type`, `content`. In an array, one a line, or with a
//! record separator before each.

use super::{Content, Index, Parts, Record, add_digest, content, malformed, register};
use crate::codec::eventlog::EventType;
use crate::limits;
use crate::refusal::Refusal;
use crate::replay::Bank;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use base64ct::Encoding as _;
use serde_json::{Map, Value};

const RECORD_SEPARATOR: char = '\u{1e}';
const KINDS: [(&str, u64); 6] = [
    ("cel", 4),
    ("pcclient_std", 5),
    ("ima_template", 7),
    ("ima_tlv", 8),
    ("systemd", 9),
    ("cos", 80),
];

pub(super) fn records(bytes: &[u8]) -> Result<Vec<Record>, Refusal> {
    let text = core::str::from_utf8(bytes)
        .map_err(|_other| malformed("it is not UTF-8".into()))?
        .trim_matches([' ', '\n', '\r', '\t']);
    let parse = |text: &str| {
        serde_json::from_str::<Value>(text).map_err(|error| {
            malformed(format!(
                "no JSON at line {}, column {}",
                error.line(),
                error.column()
            ))
        })
    };
    let values = if text.starts_with('[') {
        match parse(text)? {
            Value::Array(values) => values,
            _ => return Err(malformed("it is no array of records".into())),
        }
    } else if text.starts_with(RECORD_SEPARATOR) {
        text.split(RECORD_SEPARATOR)
            .skip(1)
            .map(parse)
            .collect::<Result<_, _>>()?
    } else if let Ok(value) = parse(text) {
        alloc::vec![value]
    } else {
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .map(parse)
            .collect::<Result<_, _>>()?
    };
    values.into_iter().map(record).collect()
}

fn record(value: Value) -> Result<Record, Refusal> {
    let Value::Object(map) = value else {
        return Err(malformed("a record is no object".into()));
    };
    let number = map
        .get("recnum")
        .map(|number| number.as_u64().ok_or_else(|| not("recnum", "a number")))
        .transpose()?;
    let at = |name: &str| map.get(name).map(|value| value.as_u64().ok_or(()));
    let index = match (at("pcr"), at("nv_index"), at("ccmr")) {
        (Some(Ok(pcr)), None, None) => register(pcr, Index::Pcr)?,
        (None, None, Some(Ok(ccmr))) => register(ccmr, Index::Ccmr)?,
        (None, Some(Ok(nv)), None) => {
            Index::Nv(u32::try_from(nv).map_err(|_large| not("nv_index", "of 32 bits"))?)
        }
        _ => return Err(malformed("a record has not one index".into())),
    };
    let digests = digests(map.get("digests"))?;
    let kind = match map.get("content_type") {
        Some(Value::String(name)) => KINDS
            .iter()
            .find(|(known, _)| known == name)
            .map_or(Err(name.clone()), |(_, kind)| Ok(*kind)),
        Some(number) => Ok(number
            .as_u64()
            .ok_or_else(|| not("content_type", "a name or number"))?),
        None => return Err(not("content_type", "there")),
    };
    let value = map.get("content").unwrap_or(&Value::Null);
    let content = match kind {
        Ok(kind) => content(kind, parts(kind, value, &digests)?),
        Err(kind) => Content::Other {
            kind: kind.chars().take(64).collect(),
            data: value.to_string().into_bytes(),
        },
    };
    Ok(Record {
        number,
        index,
        digests,
        content,
    })
}

fn digests(value: Option<&Value>) -> Result<BTreeMap<u16, Vec<u8>>, Refusal> {
    let items = value
        .and_then(Value::as_array)
        .ok_or_else(|| not("digests", "an array"))?;
    let mut digests = BTreeMap::new();
    for item in items {
        let alg = match item.get("hashAlg") {
            Some(Value::String(name)) => Bank::from_name(&name.to_ascii_lowercase())
                .map(Bank::alg)
                .or_else(|| u16::from_str_radix(name.strip_prefix("0x")?, 16).ok()),
            Some(number) => number.as_u64().and_then(|alg| u16::try_from(alg).ok()),
            None => None,
        };
        let alg = alg.ok_or_else(|| not("hashAlg", "a hash algorithm"))?;
        let digest = item.get("digest").and_then(Value::as_str);
        let digest = digest
            .and_then(bytes)
            .ok_or_else(|| not("digest", "hexadecimal or base64"))?;
        add_digest(&mut digests, alg, digest)?;
    }
    Ok(digests)
}

fn parts(kind: u64, value: &Value, digests: &BTreeMap<u16, Vec<u8>>) -> Result<Parts, Refusal> {
    let field = |map: &Map<String, Value>, name: &'static str| {
        let text = map.get(name).and_then(Value::as_str);
        text.and_then(|text| data(text, digests))
            .ok_or_else(|| not(name, "hexadecimal or base64"))
    };
    Ok(match (kind, value) {
        (5, Value::Object(map)) => {
            let event_type = match map.get("event_type") {
                Some(Value::String(name)) => EventType::from_name(name).or_else(|| {
                    u32::from_str_radix(name.strip_prefix("0x")?, 16)
                        .ok()
                        .map(EventType)
                }),
                Some(number) => number
                    .as_u64()
                    .and_then(|number| u32::try_from(number).ok())
                    .map(EventType),
                None => None,
            };
            let event_type = event_type.ok_or_else(|| not("event_type", "an event type"))?;
            Parts::Event(event_type, field(map, "event_data")?)
        }
        (7, Value::Object(map)) => {
            let name = map.get("template_name").and_then(Value::as_str);
            let name = name.ok_or_else(|| not("template_name", "a text"))?;
            let name = name.chars().take(limits::IMA_TEMPLATE_BYTES).collect();
            let data = match map.contains_key("template_value") {
                true => field(map, "template_value")?,
                false => field(map, "template_data")?,
            };
            Parts::Template(name, data)
        }
        // systemd: what was measured is the text, or what the text stands for.
        (9, Value::Object(map)) => {
            let text = map.get("string").and_then(Value::as_str);
            Parts::Bytes(text.unwrap_or_default().as_bytes().to_vec())
        }
        (_, Value::String(text)) => {
            Parts::Bytes(data(text, digests).unwrap_or_else(|| text.clone().into_bytes()))
        }
        (_, other) => Parts::Bytes(other.to_string().into_bytes()),
    })
}

/// Bytes in hexadecimal or base64; where both can be meant, what the digests cover.
fn data(text: &str, digests: &BTreeMap<u16, Vec<u8>>) -> Option<Vec<u8>> {
    let covered = |bytes: &Vec<u8>| {
        digests
            .iter()
            .filter_map(|(alg, digest)| Some((Bank::from_alg(*alg)?, digest)))
            .any(|(bank, digest)| bank.hash(&[bytes]) == *digest)
    };
    let hex = base16ct::mixed::decode_vec(text).ok();
    let base64 = base64ct::Base64::decode_vec(text).ok();
    match (hex, base64) {
        (Some(hex), Some(base64)) if !covered(&hex) && covered(&base64) => Some(base64),
        (Some(hex), _) => Some(hex),
        (None, base64) => base64,
    }
}

/// A digest: hexadecimal, else base64.
fn bytes(text: &str) -> Option<Vec<u8>> {
    base16ct::mixed::decode_vec(text)
        .ok()
        .or_else(|| base64ct::Base64::decode_vec(text).ok())
}

fn not(name: &str, what: &str) -> Refusal {
    malformed(format!("`{name}` is not {what}"))
}

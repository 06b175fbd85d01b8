//! CEL-CBOR: maps `{0: number, 1: pcr or 2: nv index, 3: [{0: algorithm, 1: digest}...], 9: content type, 10: content}`, in one
//! array or one after the other. Revisions before 1.1 put the content under its type (4 to 8) directly.

use super::{Content, Index, Parts, Record, WHAT, add_digest, content, malformed, register};
use crate::codec::cbor::{self, Fields, Form, Value};
use crate::codec::eventlog::EventType;
use crate::limits;
use crate::refusal::Refusal;
use alloc::collections::BTreeMap;
use alloc::string::ToString as _;
use alloc::vec::Vec;

pub(super) fn records(bytes: &[u8]) -> Result<Vec<Record>, Refusal> {
    let items = match bytes.first() {
        Some(0x80..=0x9f) => cbor::decode(WHAT, bytes, limits::EVENT_LOG_BYTES, Form::WellFormed)?,
        // A sequence is an array without its head.
        _ => {
            let mut whole = alloc::vec![0x9f];
            whole.extend_from_slice(bytes);
            whole.push(0xff);
            cbor::decode(
                WHAT,
                &whole,
                limits::EVENT_LOG_BYTES.saturating_add(2),
                Form::WellFormed,
            )?
        }
    };
    let Value::Array(items) = items else {
        return Err(malformed("it is no array of records".into()));
    };
    items.into_iter().map(record).collect()
}

fn record(value: Value) -> Result<Record, Refusal> {
    let mut fields = Fields::new(WHAT, value)?;
    let number = Some(fields.unsigned(0)?);
    let index = match (fields.optional(1), fields.optional(2)) {
        (Some(pcr), None) => register(cbor::unsigned(WHAT, &pcr)?, Index::Pcr)?,
        (None, Some(nv)) => {
            let nv = u32::try_from(cbor::unsigned(WHAT, &nv)?);
            Index::Nv(nv.map_err(|_large| malformed("an nv index has over 32 bits".into()))?)
        }
        (None, None) => match fields.optional(108) {
            Some(ccmr) => register(cbor::unsigned(WHAT, &ccmr)?, Index::Ccmr)?,
            None => return Err(malformed("a record has no index".into())),
        },
        (Some(_), Some(_)) => return Err(malformed("a record has two indices".into())),
    };
    let digests = digests(fields.required(3)?)?;
    let (kind, value) = match fields.optional(9) {
        Some(kind) => (cbor::unsigned(WHAT, &kind)?, fields.required(10)?),
        None => (4..=8)
            .find_map(|kind: i64| Some((u64::try_from(kind).ok()?, fields.optional(kind)?)))
            .ok_or_else(|| malformed("a record has no content".into()))?,
    };
    fields.finish()?;
    Ok(Record {
        number,
        index,
        digests,
        content: parts(kind, value)?,
    })
}

fn digests(value: Value) -> Result<BTreeMap<u16, Vec<u8>>, Refusal> {
    let Value::Array(items) = value else {
        return Err(malformed("the digests are no array".into()));
    };
    let mut digests = BTreeMap::new();
    for item in items {
        let mut fields = Fields::new(WHAT, item)?;
        let alg = u16::try_from(fields.unsigned(0)?)
            .map_err(|_large| malformed("an algorithm has over 16 bits".into()))?;
        add_digest(&mut digests, alg, fields.bytes(1, super::DIGEST_BYTES)?)?;
        fields.finish()?;
    }
    Ok(digests)
}

fn parts(kind: u64, value: Value) -> Result<Content, Refusal> {
    let parts = match (kind, value) {
        (5, map @ Value::Map(_)) => {
            let mut fields = Fields::new(WHAT, map)?;
            let event_type = match fields.required(0)? {
                Value::Text(name) => EventType::from_name(&name)
                    .ok_or_else(|| malformed("a record has an unknown event type".into()))?,
                number => EventType(
                    u32::try_from(cbor::unsigned(WHAT, &number)?)
                        .map_err(|_large| malformed("an event type has over 32 bits".into()))?,
                ),
            };
            let data = fields.bytes(1, limits::LOG_EVENT_BYTES)?;
            fields.finish()?;
            Parts::Event(event_type, data)
        }
        (7, map @ Value::Map(_)) => {
            let mut fields = Fields::new(WHAT, map)?;
            let name = fields.text(0, limits::IMA_TEMPLATE_BYTES)?;
            let data = fields.bytes(1, limits::LOG_EVENT_BYTES)?;
            fields.finish()?;
            Parts::Template(name.to_string(), data)
        }
        (80, map @ Value::Map(_)) => {
            let mut fields = Fields::new(WHAT, map)?;
            let event = u8::try_from(fields.unsigned(0)?)
                .map_err(|_large| malformed("an event of type 80 has over 8 bits".into()))?;
            let data = fields.bytes(1, limits::LOG_EVENT_BYTES)?;
            fields.finish()?;
            Parts::Nested(event, data)
        }
        (_, Value::Bytes(data)) => Parts::Bytes(data),
        (_, other) => Parts::Bytes(cbor::write(&other)),
    };
    Ok(content(kind, parts))
}

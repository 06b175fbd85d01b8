//! CEL-TLV: type (u8), length (u32, big-endian), value. A record is four of them: number, index, digests, content.

use super::{Content, Index, Parts, Record, WHAT, add_digest, content, malformed, register};
use crate::codec::eventlog::EventType;
use crate::codec::reader::Reader;
use crate::limits;
use crate::refusal::Refusal;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const NUMBER: u8 = 0;
const PCR: u8 = 1;
const NV: u8 = 2;
const DIGESTS: u8 = 3;
const CCMR: u8 = 108;
const COS: u8 = 80;

pub(super) fn records(bytes: &[u8]) -> Result<Vec<Record>, Refusal> {
    let mut reader = Reader::new(WHAT, bytes);
    let mut records = Vec::new();
    while !reader.is_empty() {
        if records.len() >= limits::LOG_EVENTS {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::LOG_EVENTS,
            });
        }
        records.push(record(&mut reader)?);
    }
    Ok(records)
}

fn record(reader: &mut Reader<'_>) -> Result<Record, Refusal> {
    let (NUMBER, number) = item(reader)? else {
        return Err(malformed("a record does not begin with its number".into()));
    };
    if number.len() != 8 {
        return Err(malformed("a record's number has not 8 bytes".into()));
    }
    let (kind, index) = item(reader)?;
    let value = (1..=4).contains(&index.len()).then(|| unsigned(index));
    let index = match (kind, value) {
        (PCR, Some(value)) => register(value, Index::Pcr)?,
        (CCMR, Some(value)) => register(value, Index::Ccmr)?,
        (NV, Some(value)) => Index::Nv(u32::try_from(value).unwrap_or(u32::MAX)),
        _ => return Err(malformed(format!("a record has an index of type {kind}"))),
    };
    let (DIGESTS, list) = item(reader)? else {
        return Err(malformed("a record has no digests".into()));
    };
    let mut digests = BTreeMap::new();
    let mut list = Reader::new(WHAT, list);
    while !list.is_empty() {
        let (alg, digest) = item(&mut list)?;
        add_digest(&mut digests, u16::from(alg), digest.to_vec())?;
    }
    let (kind, value) = item(reader)?;
    Ok(Record {
        number: Some(unsigned(number)),
        index,
        digests,
        content: parts(kind, value)?,
    })
}

fn parts(kind: u8, value: &[u8]) -> Result<Content, Refusal> {
    let mut nested = Reader::new(WHAT, value);
    let parts = match kind {
        5 => {
            let (_, event_type) = item(&mut nested)?;
            let (_, data) = item(&mut nested)?;
            let event_type = u32::try_from(unsigned(event_type))
                .map_err(|_large| malformed("an event type has more than 4 bytes".into()))?;
            nested.finish()?;
            Parts::Event(EventType(event_type), data.to_vec())
        }
        7 => {
            let (_, name) = item(&mut nested)?;
            let (_, data) = item(&mut nested)?;
            nested.finish()?;
            Parts::Template(String::from_utf8_lossy(name).into_owned(), data.to_vec())
        }
        COS => {
            let (event, data) = item(&mut nested)?;
            nested.finish()?;
            Parts::Nested(event, data.to_vec())
        }
        _ => Parts::Bytes(value.to_vec()),
    };
    Ok(content(u64::from(kind), parts))
}

/// What Container-Optimized OS hashes: its content as encoded, type and length included.
pub(super) fn cos(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut inner = head(kind, data.len());
    inner.extend_from_slice(data);
    let mut outer = head(COS, inner.len());
    outer.extend(inner);
    outer
}

fn head(kind: u8, length: usize) -> Vec<u8> {
    let mut head = alloc::vec![kind];
    head.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    head
}

fn item<'a>(reader: &mut Reader<'a>) -> Result<(u8, &'a [u8]), Refusal> {
    Ok((reader.u8()?, reader.sized_u32(limits::LOG_EVENT_BYTES)?))
}

/// Big-endian, of at most 8 bytes; more give the greatest.
fn unsigned(bytes: &[u8]) -> u64 {
    if bytes.len() > 8 {
        return u64::MAX;
    }
    bytes
        .iter()
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

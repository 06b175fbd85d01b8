//! The Canonical Event Log (TCG CEL 1.1): one model in three encodings. TLV as go-tpm-tools and Container-Optimized OS write it
//! (with their content type 80 and register index 108), CBOR as an array or a sequence, JSON as an array, a JSON text
//! sequence (RFC 7464, systemd's `tpm2-measure.log`) or one record a line.

mod cbor;
mod json;
mod tlv;

use super::eventlog::EventType;
use crate::limits;
use crate::refusal::Refusal;
use crate::replay::{Bank, Replay, index};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub(crate) const WHAT: &str = "the canonical event log";
/// Digests of one record.
const DIGESTS: usize = 16;
/// The longest digest.
const DIGEST_BYTES: usize = 64;

/// What a record was extended into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Index {
    /// A PCR, under 24.
    Pcr(u8),
    /// A register of a confidential computing platform (index 108 of go-tpm-tools; TDX: RTMR n is n + 1), under 24.
    Ccmr(u8),
    /// An NV index.
    Nv(u32),
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `cel`: speaks of the log (version, end of firmware, time).
    Management(Vec<u8>),
    /// `pcclient_std`: an event of TCG firmware.
    PcClient {
        /// Its type.
        event_type: EventType,
        /// Its data.
        data: Vec<u8>,
    },
    /// `ima_template`: an entry of IMA.
    Ima {
        /// The template's name.
        template: String,
        /// Its data.
        data: Vec<u8>,
    },
    /// Content type 80 of Container-Optimized OS: what a container is started with.
    Cos {
        /// Which of its events.
        kind: u8,
        /// What it holds.
        data: Vec<u8>,
    },
    /// `systemd`: a word for people on what systemd measured.
    Systemd(String),
    /// Anything else.
    Other {
        /// The content type.
        kind: String,
        /// As it came.
        data: Vec<u8>,
    },
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, where it has one: within the log, or within its register.
    pub number: Option<u64>,
    /// Its register.
    pub index: Index,
    /// TPM_ALG_ID and digest, each algorithm once.
    pub digests: BTreeMap<u16, Vec<u8>>,
    /// What it says.
    pub content: Content,
}

impl Record {
    /// Whether it is extended: what speaks of the log only is not.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        match &self.content {
            Content::Management(_) => !self.digests.is_empty(),
            Content::PcClient { event_type, .. } => *event_type != EventType::NO_ACTION,
            Content::Ima { .. }
            | Content::Cos { .. }
            | Content::Systemd(_)
            | Content::Other { .. } => true,
        }
    }

    /// Whether its digests are those of its content. What they are not is the reporter's word.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        let measured = match &self.content {
            Content::Management(data)
            | Content::PcClient { data, .. }
            | Content::Ima { data, .. }
            | Content::Other { data, .. } => data.clone(),
            Content::Cos { kind, data } => tlv::cos(*kind, data),
            Content::Systemd(text) => text.as_bytes().to_vec(),
        };
        let mut known = self
            .digests
            .iter()
            .filter_map(|(alg, digest)| Some((Bank::from_alg(*alg)?, digest)))
            .peekable();
        known.peek().is_some() && known.all(|(bank, digest)| bank.hash(&[&measured]) == *digest)
    }
}

/// The encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Type, length, value; lengths big-endian.
    Tlv,
    /// CBOR.
    Cbor,
    /// JSON.
    Json,
}

impl Encoding {
    /// `tlv`, `cbor`, `json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tlv => "tlv",
            Self::Cbor => "cbor",
            Self::Json => "json",
        }
    }
}

/// A log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalLog {
    /// How it came.
    pub encoding: Encoding,
    /// All records; at least one.
    pub records: Vec<Record>,
}

impl CanonicalLog {
    /// Parses a log in whichever encoding it is in.
    ///
    /// # Errors
    /// What the shape offends against; [`Refusal::LogEntryDigest`] where a record whose content is what is measured has
    /// another digest.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > limits::EVENT_LOG_BYTES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::EVENT_LOG_BYTES,
            });
        }
        let (encoding, records) = match bytes.first() {
            // The record number of the first record: type 0, length 8.
            Some(0) => (Encoding::Tlv, tlv::records(bytes)?),
            Some(b'[' | b'{' | 0x1e | b' ' | b'\n' | b'\r' | b'\t') => {
                (Encoding::Json, json::records(bytes)?)
            }
            Some(0x80..=0xbf) => (Encoding::Cbor, cbor::records(bytes)?),
            Some(_) | None => {
                return Err(malformed("it is neither TLV, CBOR nor JSON".into()));
            }
        };
        if records.is_empty() {
            return Err(malformed("it holds no record".into()));
        }
        let log = Self { encoding, records };
        log.check()?;
        Ok(log)
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.records.len() > limits::LOG_EVENTS {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::LOG_EVENTS,
            });
        }
        let mut of_index: BTreeMap<Index, u64> = BTreeMap::new();
        for (place, record) in self.records.iter().enumerate() {
            let within = of_index.entry(record.index).or_default();
            let place_64 = u64::try_from(place).unwrap_or(u64::MAX);
            if record
                .number
                .is_some_and(|number| number != place_64 && number != *within)
            {
                return Err(malformed(format!("record {place} is out of sequence")));
            }
            *within = within.saturating_add(1);
            let digest = |(alg, digest): (&u16, &Vec<u8>)| {
                Bank::from_alg(*alg).map_or((1..=DIGEST_BYTES).contains(&digest.len()), |bank| {
                    bank.size() == digest.len()
                })
            };
            if !record.digests.iter().all(digest) || record.digests.len() > DIGESTS {
                return Err(malformed(format!(
                    "record {place} has a digest without the length of its algorithm"
                )));
            }
            if record.is_extended() && record.digests.is_empty() {
                return Err(malformed(format!("record {place} has no digest")));
            }
            // These two measure their own content, and nothing else.
            let own = matches!(record.content, Content::Cos { .. } | Content::Ima { .. });
            if own && !record.is_covered() && !is_violation(record) {
                return Err(Refusal::LogEntryDigest {
                    log: WHAT,
                    entry: place,
                });
            }
        }
        Ok(())
    }

    /// Replays the PCRs, or with `ccmr` the registers of the confidential computing platform. A bank that an extended record
    /// leaves out is not in the outcome.
    #[must_use]
    pub fn replay(&self, ccmr: bool) -> Replay {
        let extended: Vec<(u8, &Record)> = self
            .records
            .iter()
            .filter(|record| record.is_extended())
            .filter_map(|record| match record.index {
                Index::Pcr(index) if !ccmr => Some((index, record)),
                Index::Ccmr(index) if ccmr => Some((index, record)),
                Index::Pcr(_) | Index::Ccmr(_) | Index::Nv(_) => None,
            })
            .collect();
        let banks: BTreeSet<Bank> = extended
            .iter()
            .flat_map(|(_, record)| record.digests.keys())
            .filter_map(|alg| Bank::from_alg(*alg))
            .collect();
        let mut replay = Replay::new(banks.iter().copied());
        for bank in banks {
            for (index, record) in &extended {
                let Some(digest) = record.digests.get(&bank.alg()) else {
                    replay.forget(bank);
                    break;
                };
                replay.extend(bank, *index, digest);
            }
        }
        replay
    }
}

/// A PCR or CCMR index out of a number.
fn register(number: u64, make: fn(u8) -> Index) -> Result<Index, Refusal> {
    u32::try_from(number)
        .ok()
        .and_then(index)
        .map(make)
        .ok_or_else(|| malformed(format!("there is no register {number}")))
}

/// A record's content from its type and parts, as all three encodings name them.
fn content(kind: u64, parts: Parts) -> Content {
    match (kind, parts) {
        (4, Parts::Bytes(data)) => Content::Management(data),
        (5, Parts::Event(event_type, data)) => Content::PcClient { event_type, data },
        (7, Parts::Template(template, data)) => Content::Ima { template, data },
        (9, Parts::Bytes(data)) => Content::Systemd(String::from_utf8_lossy(&data).into_owned()),
        (80, Parts::Nested(kind, data)) => Content::Cos { kind, data },
        (
            _,
            Parts::Bytes(data)
            | Parts::Event(_, data)
            | Parts::Template(_, data)
            | Parts::Nested(_, data),
        ) => Content::Other {
            kind: format!("{kind}"),
            data,
        },
    }
}

enum Parts {
    Bytes(Vec<u8>),
    Event(EventType, Vec<u8>),
    Template(String, Vec<u8>),
    Nested(u8, Vec<u8>),
}

fn add_digest(
    digests: &mut BTreeMap<u16, Vec<u8>>,
    alg: u16,
    digest: Vec<u8>,
) -> Result<(), Refusal> {
    match digests.insert(alg, digest) {
        None => Ok(()),
        Some(_) => Err(malformed(format!(
            "a record has two digests of algorithm {alg:#06x}"
        ))),
    }
}

fn malformed(why: String) -> Refusal {
    Refusal::Malformed { what: WHAT, why }
}

/// The violation of an IMA entry in a canonical log is what was extended: all ones.
#[must_use]
pub fn is_violation(record: &Record) -> bool {
    matches!(record.content, Content::Ima { .. })
        && record
            .digests
            .values()
            .any(|digest| digest.iter().all(|byte| *byte == 0xff) || digest.iter().all(|b| *b == 0))
}

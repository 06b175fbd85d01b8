//! The Canonical Event Log.

use std::collections::BTreeMap;

use assay_attest::codec::cel::{CanonicalLog, Content, Encoding, Index, Record, is_violation};
use assay_attest::refusal::Refusal;
use assay_attest::replay::{Bank, Replay};
use serde_json::{Value, json};

use super::kind::hex;
use super::pcrs::{self, names, registers};
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

const LOG: &str = "the canonical event log";
/// Content up to this length is shown whole.
const SHOWN: usize = 1024;

/// The kind `cel`.
pub(crate) struct Cel;

impl Kind for Cel {
    fn name(&self) -> &'static str {
        "cel"
    }

    fn about(&self) -> &'static str {
        "A Canonical Event Log (TCG CEL 1.1) in TLV, CBOR (array or sequence; also as diagnostic notation) or JSON (array, one record a line, or a JSON text \
         sequence such as systemd's tpm2-measure.log); binary, base64 or hexadecimal.\n\n\
         A log has no signature: it is accepted with `authenticated` false when it parses, its own digests hold, and it replays to `--pcrs`, where they are \
         given, in the registers that it speaks of. `--pcrs` takes what the kind `eventlog` takes; where the log speaks of no PCR, its values are those \
         of the confidential computing platform's registers.\n\n\
         Claims: `encoding` (tlv, cbor, json), `events`, `pcrs` and `ccmrs` (replayed values of PCRs, and of registers of a confidential computing platform, \
         by bank and index), `pcrs_compared`, `records`: each with `index`, `content_type`, `content`, and `covered`: whether its digests are those of its content; \
         where they are not, the content is the log's word.\n\n\
         Refused: `log.entry_digest` (a container or IMA record whose digest is not that of its content), `log.replay`, `log.uncovered` (no register in common), \
         `log.sha1_only` and `ima.violation` (by policy), `pcrs.malformed`, `evidence.*` (no log)."
    }

    fn takes(&self) -> &'static [Opt] {
        &[Opt::Pcrs]
    }

    fn detect(&self, file: &Artefact) -> bool {
        read(file).is_ok()
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        Ok(claims(&read(file)?))
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        let log = read(file)?;
        let mut claims = claims(&log);
        let (pcrs, ccmrs) = (log.replay(false), log.replay(true));
        let refused = |refusal: Refusal| Err(Rejection::from(refusal).claims(&claims));
        if let Some(given) = &with.pcrs {
            let own = if pcrs.banks().is_empty() {
                &ccmrs
            } else {
                &pcrs
            };
            match compare(own, &pcrs::read(given, file)?) {
                Ok(compared) => {
                    claims.insert("pcrs_compared".into(), names(compared.iter()));
                }
                Err(refusal) => return refused(refusal),
            }
        }
        let banks = || pcrs.banks().keys().chain(ccmrs.banks().keys());
        if banks().next().is_some() && banks().all(|bank| *bank == Bank::Sha1) {
            return Err(Rejection::from(Refusal::LogSha1 { log: LOG }).claims(&claims));
        }
        let violations = log.records.iter().filter(|record| is_violation(record));
        match u64::try_from(violations.count()) {
            Ok(0) => Ok(Accepted {
                authenticated: false,
                claims,
            }),
            count => Err(Rejection::from(Refusal::LogViolations {
                count: count.unwrap_or(u64::MAX),
            })
            .claims(&claims)),
        }
    }
}

fn read(file: &Artefact) -> Result<CanonicalLog, Refusal> {
    let log = CanonicalLog::parse(&file.binary());
    match (log, file.text()) {
        (Err(refusal), Some(_)) => match file.cbor() {
            Ok(bytes) => CanonicalLog::parse(&bytes).map_err(|_no_notation| refusal),
            Err(_) => Err(refusal),
        },
        (log, _) => log,
    }
}

/// Only registers that the log speaks of: a log of user space begins where it begins.
fn compare(
    replay: &Replay,
    given: &BTreeMap<Bank, assay_attest::replay::Registers>,
) -> Result<Vec<Bank>, Refusal> {
    let mut compared = Vec::new();
    for (bank, values) in given {
        let Some(own) = replay.banks().get(bank) else {
            continue;
        };
        let common: Vec<(u8, &[u8])> = values
            .iter()
            .filter(|(index, _)| own.contains_key(index))
            .map(|(index, value)| (*index, value.as_slice()))
            .collect();
        if !common.is_empty() {
            replay.compare(LOG, *bank, common)?;
            compared.push(*bank);
        }
    }
    match compared.is_empty() {
        true => Err(Refusal::LogUncovered { log: LOG }),
        false => Ok(compared),
    }
}

fn claims(log: &CanonicalLog) -> Claims {
    let mut claims = Claims::new();
    let encoding = match log.encoding {
        Encoding::Tlv | Encoding::Cbor | Encoding::Json => log.encoding.name(),
    };
    claims.insert("encoding".into(), encoding.into());
    claims.insert("events".into(), log.records.len().into());
    for (name, ccmr) in [("pcrs", false), ("ccmrs", true)] {
        let replay = log.replay(ccmr);
        if !replay.banks().is_empty() {
            claims.insert(name.into(), registers(&replay));
        }
    }
    let records: Vec<Value> = log.records.iter().map(record).collect();
    claims.insert("records".into(), records.into());
    claims
}

fn record(record: &Record) -> Value {
    let index = match record.index {
        Index::Pcr(index) => format!("pcr {index}"),
        Index::Ccmr(index) => format!("ccmr {index}"),
        Index::Nv(index) => format!("nv {index:#010x}"),
    };
    let (kind, content) = match &record.content {
        Content::Management(data) => ("cel".to_owned(), shown(data)),
        Content::PcClient { event_type, data } => (
            "pcclient_std".to_owned(),
            json!({"event_type": event_type.to_string(), "event_data": shown(data)}),
        ),
        Content::Ima { template, data } => (
            "ima_template".to_owned(),
            json!({"template": template, "data": shown(data)}),
        ),
        Content::Cos { kind, data } => (
            "cos".to_owned(),
            json!({"event": kind, "data": shown(data)}),
        ),
        Content::Systemd(text) => ("systemd".to_owned(), text.as_str().into()),
        Content::Other { kind, data } => (kind.clone(), shown(data)),
    };
    json!({
        "index": index,
        "content_type": kind,
        "content": content,
        "covered": record.is_covered(),
    })
}

/// Text where it is text, else hexadecimal.
fn shown(data: &[u8]) -> Value {
    let data = data.get(..SHOWN).unwrap_or(data);
    match std::str::from_utf8(data) {
        Ok(text) if !text.chars().any(char::is_control) => text.into(),
        _ => hex(data).into(),
    }
}

//! The kernel's IMA measurement list.

use std::collections::BTreeMap;

use assay_attest::codec::ima::{BOOT_AGGREGATE, Entry, Extended, ImaLog, LOG, boot_aggregate};
use assay_attest::refusal::Refusal;
use assay_attest::replay::{Bank, Registers, Replay};
use serde_json::{Value, json};

use super::kind::hex;
use super::pcrs::{self, names, registers};
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

/// Entries that `entries` shows.
const SHOWN: usize = 10_000;

/// The kind `ima`.
pub(crate) struct Ima;

impl Kind for Ima {
    fn name(&self) -> &'static str {
        "ima"
    }

    fn about(&self) -> &'static str {
        "An IMA measurement list, binary (also in base64 or hexadecimal; one line feed after it is no part of it) or ASCII: \
         /sys/kernel/security/ima/binary_runtime_measurements or ascii_runtime_measurements. Templates: ima, ima-ng, ima-sig, ima-ngv2, ima-sigv2, ima-buf, \
         ima-modsig, evm-sig, and formats of the same fields; of the last two, the binary form only.\n\n\
         A list has no signature: it is accepted with `authenticated` false when it parses, the digest of each entry is that of its data, it holds no \
         violation, and it replays to `--pcrs`, where they are given (in the forms that the kind `eventlog` takes). Where they hold PCRs 0 to 9, its first entry must be \
         their digest.\n\n\
         Claims: `events` (entries), `violations`, `templates`, `pcrs` (replayed values by bank and index, each bank by its own algorithm), \
         `pcrs_compared`, `boot_aggregate` (true or false where `--pcrs` tell), `entries` (the first 10000): each with `path`, `template`, `digest`, `signed`, `violation`.\n\n\
         Refused: `ima.violation` (by policy: a file changed while it was in use), `ima.boot_aggregate` (the list is of another boot), `log.entry_digest`, \
         `log.replay`, `log.uncovered` (no PCR in common), `log.sha1_only` (a bank other than SHA-1 was extended with padded SHA-1 digests, as before Linux 5.8), \
         `pcrs.malformed`, `evidence.unsupported` (another template), `evidence.*` (no list)."
    }

    fn takes(&self) -> &'static [Opt] {
        &[Opt::Pcrs]
    }

    fn detect(&self, file: &Artefact) -> bool {
        with_log(file, |_| Ok(())).is_ok()
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        with_log(file, |log| Ok(claims(log)))
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        let given = match &with.pcrs {
            Some(given) => Some(pcrs::read(given, file)?),
            None => None,
        };
        with_log(file, |log| {
            let mut claims = claims(log);
            let refused =
                |refusal: Refusal, claims: &Claims| Rejection::from(refusal).claims(claims);
            if let Some(given) = &given {
                let compared = compare(log, given).map_err(|refusal| refused(refusal, &claims))?;
                claims.insert("pcrs_compared".into(), names(compared.iter()));
                if let Some(good) = of_this_boot(log, given) {
                    claims.insert("boot_aggregate".into(), good.into());
                    if !good {
                        return Err(Rejection::new(
                            "ima.boot_aggregate",
                            "the list does not begin with the digest of the pcrs of boot: it is of another boot",
                        )
                        .claims(&claims));
                    }
                }
            }
            let count = u64::try_from(log.violations().count()).unwrap_or(u64::MAX);
            if count > 0 {
                return Err(refused(Refusal::LogViolations { count }, &claims));
            }
            Ok(Accepted {
                authenticated: false,
                claims,
            })
        })
    }
}

/// Parses whichever form it is in. An empty list says nothing.
fn with_log<R>(
    file: &Artefact,
    then: impl FnOnce(&ImaLog<'_>) -> Result<R, Rejection>,
) -> Result<R, Rejection> {
    let line = |text: &str| {
        let mut words = text.trim_start().split(' ');
        let pcr = words.next().is_some_and(|pcr| pcr.parse::<u8>().is_ok());
        pcr && words
            .next()
            .is_some_and(|digest| base16ct::mixed::decode_vec(digest).is_ok_and(|d| d.len() >= 20))
    };
    let bytes;
    let log = match file.text().filter(|text| line(text)) {
        Some(text) => ImaLog::parse_ascii(text)?,
        None => {
            bytes = file.binary();
            let exact = ImaLog::parse(&bytes);
            match (exact, bytes.strip_suffix(b"\n")) {
                (Err(refusal), Some(without)) => {
                    ImaLog::parse(without).map_err(|_not_that_either| refusal)?
                }
                (exact, _) => exact?,
            }
        }
    };
    if log.entries.is_empty() {
        return Err(Rejection::from(Refusal::Malformed {
            what: LOG,
            why: "it holds no entry".into(),
        }));
    }
    then(&log)
}

fn replay(log: &ImaLog<'_>, bank: Bank, extended: Extended) -> Replay {
    let mut replay = Replay::new([bank]);
    log.replay(&mut replay, bank, extended);
    replay
}

fn compare(log: &ImaLog<'_>, given: &BTreeMap<Bank, Registers>) -> Result<Vec<Bank>, Refusal> {
    let mut compared = Vec::new();
    for (bank, values) in given {
        let common: Vec<(u8, &[u8])> = values
            .iter()
            .filter(|(index, _)| log.entries.iter().any(|entry| entry.pcr == **index))
            .map(|(index, value)| (*index, value.as_slice()))
            .collect();
        if common.is_empty() {
            continue;
        }
        let by = |extended| replay(log, *bank, extended).compare(LOG, *bank, common.clone());
        if let Err(differs) = by(Extended::PerBank) {
            return Err(match by(Extended::PaddedSha1) {
                Ok(()) => Refusal::LogSha1 { log: LOG },
                Err(_) => differs,
            });
        }
        compared.push(*bank);
    }
    match compared.is_empty() {
        true => Err(Refusal::LogUncovered { log: LOG }),
        false => Ok(compared),
    }
}

/// Whether the first entry is the digest of the PCRs of boot, where they are given.
fn of_this_boot(log: &ImaLog<'_>, given: &BTreeMap<Bank, Registers>) -> Option<bool> {
    let first = log.entries.first()?;
    let file = first.file()?;
    let bank = Bank::from_name(file.algorithm)?;
    let values = given.get(&bank)?;
    let due = boot_aggregate(bank, |index| values.get(&index).map(Vec::as_slice))?;
    Some(first.path()? == BOOT_AGGREGATE && due == file.bytes)
}

fn claims(log: &ImaLog<'_>) -> Claims {
    let mut claims = Claims::new();
    claims.insert("events".into(), log.entries.len().into());
    claims.insert("violations".into(), log.violations().count().into());
    let templates: std::collections::BTreeSet<&str> =
        log.entries.iter().map(|entry| entry.template).collect();
    claims.insert("templates".into(), templates.into_iter().collect());
    let mut all = Replay::default();
    for bank in Bank::ALL {
        for (index, value) in replay(log, bank, Extended::PerBank)
            .banks()
            .values()
            .flatten()
        {
            all.begin(bank, *index, value.clone());
        }
    }
    claims.insert("pcrs".into(), registers(&all));
    let entries: Vec<Value> = log.entries.iter().take(SHOWN).map(entry).collect();
    claims.insert("entries".into(), entries.into());
    claims
}

fn entry(entry: &Entry<'_>) -> Value {
    let digest = entry
        .file()
        .map(|file| format!("{}:{}", file.algorithm, hex(file.bytes)));
    json!({
        "path": entry.path(),
        "template": entry.template,
        "digest": digest,
        "signed": entry.signature().is_some(),
        "violation": entry.violation,
    })
}

//! Logs of measured boot, as the kernel gives them in `binary_bios_measurements`.

use std::collections::BTreeMap;

use assay_attest::boot::{Measured, MeasuredBoot, Measurement};
use assay_attest::codec::eventlog::EventLog;
use assay_attest::digest::HashAlg;
use assay_attest::refusal::Refusal;
use assay_attest::replay::{Bank, Registers, Replay};
use serde_json::{Value, json};

use super::pcrs::{self, names, registers};
use super::{Accepted, Artefact, Claims, Kind, Opt, Rejection, With};

const LOG: &str = "the event log";

/// The kind `eventlog`.
pub(crate) struct Log;

impl Kind for Log {
    fn name(&self) -> &'static str {
        "eventlog"
    }

    fn about(&self) -> &'static str {
        "The log of measured boot (TCG PC Client Platform Firmware Profile), crypto-agile or legacy, binary or in base64 or hexadecimal: \
         /sys/kernel/security/tpm0/binary_bios_measurements.\n\n\
         A log has no signature: it is accepted with `authenticated` false when it parses and replays to `--pcrs`, where they are given; PCRs 0 to 9 and 14 \
         among them must be accounted for. `--pcrs` takes what tpm2_pcrread or tpm2_eventlog prints (YAML), JSON \
         (`{\"sha256\":{\"0\":\"hex\"}}`, also under `pcrs`, or under the log's file name), or lines `sha256:0=hex`, `0 hex`, `PCR-00: hex`, where the length tells \
         the bank. Claims are then read of those PCRs only.\n\n\
         Claims: `format` (crypto-agile, legacy), `spec_version`, `banks`, `other_algorithms`, `events` (without the header), `startup_locality`, `pcrs` (the \
         replayed values, by bank and index), `pcrs_compared` (banks that were held against `--pcrs`); read in `bank`, the best one: `secure_boot` \
         (true, false, or null where the log does not prove either), `separators` (PCRs that hold one), `boot_services_exited`, `crtm_version`, \
         `uefi.pk`, `uefi.kek`, `uefi.db`, `uefi.dbx`, `uefi.image` (boot loader and kernel), `uefi.cmdline`, `uefi.initrd`, `uefi.event.N` (all else that PCR \
         N holds): lists of digests, as reference values name them; `measured`: each event with `event` (its place), `pcr`, `component`, `digest`, `text` \
         (what was hashed, where the log holds it) and `stated` (type and data: the log's word, covered by no digest).\n\n\
         Refused: `log.replay` (a PCR differs: entries are missing, added or changed, or it is another boot's log), `log.uncovered` (no PCR in common), \
         `log.sha1_only` (by policy: only SHA-1 digests, which can be forged), `pcrs.malformed`, `evidence.*` (no log). A legacy log that extends nothing is \
         accepted."
    }

    fn takes(&self) -> &'static [Opt] {
        &[Opt::Pcrs]
    }

    fn detect(&self, file: &Artefact) -> bool {
        EventLog::parse(&file.binary()).is_ok()
    }

    fn inspect(&self, file: &Artefact) -> Result<Claims, Rejection> {
        let bytes = file.binary();
        let log = EventLog::parse(&bytes)?;
        Ok(claims(&log, &log.replay(&log.banks()), |_| true))
    }

    fn verify(&self, file: &Artefact, with: &With<'_>) -> Result<Accepted, Rejection> {
        let bytes = file.binary();
        let log = EventLog::parse(&bytes)?;
        let replay = log.replay(&log.banks());
        let given = match &with.pcrs {
            Some(given) => Some(pcrs::read(given, file)?),
            None => None,
        };
        let proved = |pcr: u8| {
            given
                .as_ref()
                .is_none_or(|given| given.values().any(|bank| bank.contains_key(&pcr)))
        };
        let mut claims = claims(&log, &replay, proved);
        if let Some(given) = &given {
            let compared = compare(&replay, given, LOG)
                .map_err(|refusal| Rejection::from(refusal).claims(&claims))?;
            claims.insert("pcrs_compared".into(), names(compared.iter()));
        }
        let only_sha1 = replay.banks().keys().all(|bank| *bank == Bank::Sha1);
        if only_sha1 && log.extended().next().is_some() {
            return Err(Rejection::from(Refusal::LogSha1 { log: LOG }).claims(&claims));
        }
        Ok(Accepted {
            authenticated: false,
            claims,
        })
    }
}

/// Holds the replay against each bank that both have.
fn compare(
    replay: &Replay,
    given: &BTreeMap<Bank, Registers>,
    log: &'static str,
) -> Result<Vec<Bank>, Refusal> {
    let mut compared = Vec::new();
    for (bank, values) in given {
        let Some(registers) = replay.banks().get(bank) else {
            continue;
        };
        let values_of = values
            .iter()
            .map(|(index, value)| (*index, value.as_slice()));
        replay.compare(log, *bank, values_of)?;
        if values.keys().any(|index| registers.contains_key(index)) {
            compared.push(*bank);
        }
    }
    match compared.is_empty() {
        true => Err(Refusal::LogUncovered { log }),
        false => Ok(compared),
    }
}

fn claims(log: &EventLog<'_>, replay: &Replay, proved: impl Fn(u8) -> bool) -> Claims {
    let mut claims = Claims::new();
    let header = usize::from(log.spec.is_some());
    let format = match &log.spec {
        Some(spec) => {
            let (major, minor, errata) = spec.version;
            claims.insert(
                "spec_version".into(),
                format!("{major}.{minor}.{errata}").into(),
            );
            "crypto-agile"
        }
        None => "legacy",
    };
    claims.insert("format".into(), format.into());
    claims.insert("banks".into(), names(log.banks().iter()));
    let others = log.other_algorithms();
    if !others.is_empty() {
        let others: Vec<String> = others.iter().map(|alg| format!("{alg:#06x}")).collect();
        claims.insert("other_algorithms".into(), others.into());
    }
    claims.insert(
        "events".into(),
        log.events.len().saturating_sub(header).into(),
    );
    if let Some(locality) = log.startup_locality {
        claims.insert("startup_locality".into(), locality.into());
    }
    claims.insert("pcrs".into(), registers(replay));
    let best = HashAlg::ALL
        .into_iter()
        .find(|alg| replay.banks().contains_key(&Bank::Sha2(*alg)));
    if let Some(alg) = best {
        boot(&MeasuredBoot::read(log, alg, proved), &mut claims);
    }
    claims
}

fn boot(boot: &MeasuredBoot, claims: &mut Claims) {
    claims.insert("bank".into(), boot.bank.name().into());
    claims.insert("secure_boot".into(), boot.secure_boot.into());
    let separators: Vec<u8> = boot.separators.iter().copied().collect();
    claims.insert("separators".into(), separators.into());
    claims.insert("boot_services_exited".into(), boot.exited.into());
    if let Some(version) = &boot.crtm_version {
        claims.insert("crtm_version".into(), version.as_str().into());
    }
    let mut named: BTreeMap<Measurement, Vec<Value>> = BTreeMap::new();
    for measured in &boot.measured {
        let digest = measured.digest.to_string().into();
        named.entry(measured.what).or_default().push(digest);
    }
    for (what, digests) in named {
        claims.insert(what.to_string(), digests.into());
    }
    let measured: Vec<Value> = boot.measured.iter().map(event).collect();
    claims.insert("measured".into(), measured.into());
}

fn event(measured: &Measured) -> Value {
    let mut event = json!({
        "event": measured.event,
        "pcr": measured.pcr,
        "component": measured.what.to_string(),
        "digest": measured.digest.to_string(),
        "stated": measured.stated,
    });
    if let (Some(text), Some(map)) = (&measured.text, event.as_object_mut()) {
        map.insert("text".into(), text.as_str().into());
    }
    event
}

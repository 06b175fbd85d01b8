//! `--pcrs`: the values that a TPM gave, as tools write them; and replayed ones, as claims show them.

use std::collections::BTreeMap;

use assay_attest::replay::{Bank, Registers, Replay};
use serde_json::Value;

use super::kind::hex;
use super::{Artefact, Rejection};

const PCRS: u8 = 24;

/// Every value of the file, by bank and index.
///
/// # Errors
/// `pcrs.malformed` where it holds none, one twice, or something else.
pub(crate) fn read(file: &Artefact, of: &Artefact) -> Result<BTreeMap<Bank, Registers>, Rejection> {
    let found = match file.json() {
        Some(json) => from_json(&json, of),
        None => file.text().and_then(from_text),
    };
    found.filter(|banks| !banks.is_empty()).ok_or_else(|| {
        Rejection::new(
            "pcrs.malformed",
            format!(
                "`{}` holds no pcr values: give what tpm2_pcrread prints, JSON, or lines `sha256:0=hex`",
                file.name()
            ),
        )
    })
}

fn from_json(json: &Value, of: &Artefact) -> Option<BTreeMap<Bank, Registers>> {
    let map = json.as_object()?;
    let name = of.name().rsplit('/').next().unwrap_or_default();
    if let Some(inner) = map.get("pcrs").or_else(|| map.get(name)) {
        return from_json(inner, of);
    }
    let mut banks = BTreeMap::new();
    for (bank, values) in map {
        let bank = Bank::from_name(&bank.to_ascii_lowercase())?;
        let values: Vec<(String, &Value)> = match values {
            Value::Object(values) => values.iter().map(|(at, v)| (at.clone(), v)).collect(),
            Value::Array(values) => (0..)
                .zip(values)
                .map(|(at, v): (u32, _)| (at.to_string(), v))
                .collect(),
            _ => return None,
        };
        for (index, value) in values {
            add(&mut banks, Some(bank), &index, value.as_str()?)?;
        }
    }
    Some(banks)
}

fn from_text(text: &str) -> Option<BTreeMap<Bank, Registers>> {
    // The whole of what tpm2_eventlog prints: events first.
    let text = text.split_once("\npcrs:").map_or(text, |(_, pcrs)| pcrs);
    let mut banks = BTreeMap::new();
    let mut bank = None;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') || matches!(line, "---" | "pcrs:") {
            continue;
        }
        if let Some(name) = line.strip_suffix(':')
            && let Some(named) = Bank::from_name(name.trim())
        {
            bank = Some(named);
            continue;
        }
        let (own, rest) = match line.split_once([':', '.']) {
            Some((name, rest)) if Bank::from_name(name).is_some() => (Bank::from_name(name), rest),
            _ => (bank, line),
        };
        let (index, value) = rest
            .split_once(['=', ':'])
            .or_else(|| rest.split_once(char::is_whitespace))?;
        add(&mut banks, own, index, value)?;
    }
    Some(banks)
}

fn add(
    banks: &mut BTreeMap<Bank, Registers>,
    bank: Option<Bank>,
    index: &str,
    value: &str,
) -> Option<()> {
    let index = index.trim().to_ascii_lowercase();
    let index = index
        .trim_start_matches("pcr")
        .trim_start_matches('-')
        .trim();
    let index: u8 = index.parse().ok().filter(|index| *index < PCRS)?;
    let value: String = value.split_whitespace().collect();
    let value = value.trim_start_matches("0x").trim_start_matches("0X");
    let value = base16ct::mixed::decode_vec(value).ok()?;
    let mut fits = Bank::ALL
        .into_iter()
        .filter(|bank| bank.size() == value.len());
    let bank = match bank {
        Some(bank) if bank.size() == value.len() => bank,
        Some(_) => return None,
        None => fits.next()?,
    };
    banks
        .entry(bank)
        .or_default()
        .insert(index, value)
        .is_none()
        .then_some(())
}

/// Replayed values by bank and index.
pub(crate) fn registers(replay: &Replay) -> Value {
    let banks = replay.banks().iter().map(|(bank, registers)| {
        let registers = registers
            .iter()
            .map(|(index, value)| (index.to_string(), hex(value).into()));
        (bank.name().to_owned(), Value::Object(registers.collect()))
    });
    Value::Object(banks.collect())
}

pub(crate) fn names<'b>(banks: impl Iterator<Item = &'b Bank>) -> Value {
    banks.map(|bank| bank.name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banks(text: &str) -> Option<Vec<(&'static str, u8, usize)>> {
        let file = Artefact::new("pcrs", text.as_bytes().to_vec());
        let of = Artefact::new("dir/log.bin", Vec::new());
        let read = read(&file, &of).ok()?;
        let all = read.iter().flat_map(|(bank, values)| {
            let name = bank.name();
            values
                .iter()
                .map(move |(index, value)| (name, *index, value.len()))
        });
        Some(all.collect())
    }

    #[test]
    fn every_form_reads() {
        let (short, long) = ("ab".repeat(20), "CD".repeat(32));
        let spaced = "ab ".repeat(20);
        let both = Some(vec![("sha1", 0, 20), ("sha256", 10, 32)]);
        for text in [
            format!("  sha1:\n    0 : 0x{short}\n  sha256:\n    10: 0x{long}\n"),
            format!(
                "---\nversion: 1\nevents:\npcrs:\n  sha1:\n    0  : 0x{short}\n  sha256:\n    10 : 0x{long}\n"
            ),
            format!("sha1:0={short}\n# a comment\n\nsha256:10={long}\n"),
            format!("sha1.0={short}\nsha256.10={long}\n"),
            format!("0 {short}\n10 {long}\n"),
            format!("PCR-00: {spaced}\nPCR-10: {long}\n"),
            format!("{{\"sha1\":{{\"0\":\"{short}\"}},\"sha256\":{{\"10\":\"0x{long}\"}}}}"),
            format!("{{\"pcrs\":{{\"sha1\":[\"{short}\"],\"SHA256\":{{\"10\":\"{long}\"}}}}}}"),
            format!(
                "{{\"log.bin\":{{\"pcrs\":{{\"sha1\":[\"{short}\"],\"sha256\":{{\"10\":\"{long}\"}}}}}}}}"
            ),
        ] {
            assert_eq!(banks(&text), both, "{text}");
        }
    }

    #[test]
    fn what_is_no_pcr_is_refused() {
        let long = "cd".repeat(32);
        for text in [
            String::new(),
            "{}".into(),
            "sha256:0=00".into(),
            format!("sha1:0={long}"),
            format!("24 {long}"),
            format!("0 {long}\n0 {long}"),
            format!("0 {long}\nnonsense"),
            format!("{{\"sha256\":{{\"x\":\"{long}\"}}}}"),
            format!("{{\"sha257\":{{\"0\":\"{long}\"}}}}"),
        ] {
            assert_eq!(banks(&text), None, "{text}");
        }
    }
}

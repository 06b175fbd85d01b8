//! Quotes as tools write them into files: tpm2-tools' quote, signature, PCR and key files, keylime's text, trustee's JSON.
//!
//! tpm2-tools writes TPMS_ATTEST, TPMT_SIGNATURE and TPM2B_PUBLIC as the TPM has them (big-endian), and PCR values in a form of
//! its own (little-endian, tpm2-tools `lib/files.c` and `tools/misc/tpm2_checkquote.c`) or as text.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use base64ct::{Base64, Base64Unpadded, Encoding as _};

use super::reader::Reader;
use super::tpm::{Attest, Attested, GENERATED, PcrSelection, Public, SchemeIds, Signature};
use crate::key::PublicKey;
use crate::limits;
use crate::quote::{PcrValues, Quote};
use crate::refusal::Refusal;

const PCRS: &str = "pcr file";
const TEXT: &str = "quote text";

/// TPML_PCR_SELECTION in memory: 16 selections of 8 bytes each (hash, size, four bytes of map, one of padding).
const SELECTIONS: usize = 16;
const SELECTION_MAP: usize = 4;
/// TPML_DIGEST in memory: eight digests, each with its size and 64 bytes of room.
const DIGESTS: usize = 8;
const DIGEST_ROOM: usize = 64;
/// Lists of digests in one file: 24 PCRs in each of four banks.
const DIGEST_LISTS: u32 = 16;

/// A TPMS_ATTEST, with or without the length of a TPM2B_ATTEST in front.
///
/// # Errors
/// As [`Attest::parse`].
pub fn attest(bytes: &[u8]) -> Result<Attest, Refusal> {
    let sized = bytes
        .get(2..6)
        .is_some_and(|magic| magic == GENERATED.to_be_bytes());
    if !sized || bytes.starts_with(&GENERATED.to_be_bytes()) {
        return Attest::parse(bytes);
    }
    let mut r = Reader::new("the tpm attestation", bytes);
    let inner = r.sized_u16(limits::TPM_STRUCTURE_BYTES)?;
    r.finish()?;
    Attest::parse(inner)
}

/// A public area: TPM2B_PUBLIC or TPMT_PUBLIC.
///
/// # Errors
/// As [`Public::parse`].
pub fn public(bytes: &[u8]) -> Result<Public, Refusal> {
    let length = bytes
        .first_chunk()
        .map_or(0, |length| u16::from_be_bytes(*length));
    if usize::from(length).saturating_add(2) == bytes.len() {
        Public::parse_sized(bytes)
    } else {
        Public::parse(bytes)
    }
}

/// A signature file: TPMT_SIGNATURE, or what `tpm2_quote -f plain` writes for this key: the RSA block or ECDSA in DER, whose
/// scheme is the one of the key's public area (`ids`).
///
/// # Errors
/// As [`Signature::parse`].
pub fn signature(
    bytes: &[u8],
    key: Option<&PublicKey>,
    ids: Option<SchemeIds>,
) -> Result<Signature, Refusal> {
    match (Signature::parse(bytes), key, ids) {
        (Ok(signature), _, _) => Ok(signature),
        (Err(refusal), Some(key), Some(ids)) => Signature::plain(bytes, key, ids).ok_or(refusal),
        (Err(refusal), _, _) => Err(refusal),
    }
}

/// PCR values for a quote: tpm2-tools' serialised form, the values one after the other (`--pcrs_format values`), or text as
/// `tpm2_pcrread` and `tpm2_quote` print it (`sha256:` and lines `7 : 0x...`).
///
/// # Errors
/// The shape's refusals; `tpm.pcr_selection` where the file's own selection is not the quote's.
pub fn pcrs(bytes: &[u8], attest: &Attest) -> Result<PcrValues, Refusal> {
    if bytes.len() > limits::QUOTE_FILE_BYTES {
        return Err(Refusal::TooLarge {
            what: PCRS,
            limit: limits::QUOTE_FILE_BYTES,
        });
    }
    let Attested::Quote { selection, .. } = &attest.attested else {
        return Err(Refusal::TpmPcrSelection);
    };
    if let Some(values) = plain_values(bytes, selection) {
        return Ok(values);
    }
    match core::str::from_utf8(bytes) {
        Ok(text) if text.contains(':') => text_values(text, selection),
        _ => serialised(bytes),
    }
}

/// Digests of exactly the quoted PCRs, with nothing before, between or after them.
fn plain_values(bytes: &[u8], selection: &[PcrSelection]) -> Option<PcrValues> {
    let mut rest = bytes;
    let mut values = PcrValues::new();
    for one in selection.iter().filter(|one| !one.pcrs.is_empty()) {
        let mut bank = BTreeMap::new();
        for index in &one.pcrs {
            let (digest, after) = rest.split_at_checked(size_of_bank(one.bank)?)?;
            bank.insert(*index, digest.to_vec());
            rest = after;
        }
        values.insert(one.bank, bank);
    }
    (rest.is_empty() && !values.is_empty()).then_some(values)
}

const fn size_of_bank(bank: u16) -> Option<usize> {
    match bank {
        0x0004 => Some(20),
        0x000b => Some(32),
        0x000c => Some(48),
        0x000d => Some(64),
        _ => None,
    }
}

/// tpm2-tools' own: TPML_PCR_SELECTION, the number of lists, and TPML_DIGESTs, all as they lie in memory, little-endian.
fn serialised(bytes: &[u8]) -> Result<PcrValues, Refusal> {
    let mut r = Reader::new(PCRS, bytes);
    let malformed = |why: &str| Refusal::Malformed {
        what: PCRS,
        why: why.to_string(),
    };
    let count = usize::try_from(r.u32()?.swap_bytes()).unwrap_or(usize::MAX);
    if count > SELECTIONS {
        return Err(malformed("it selects too many banks"));
    }
    let mut selected: Vec<(u16, u8)> = Vec::new();
    for at in 0..SELECTIONS {
        let (bank, size) = (r.u16()?.swap_bytes(), r.u8()?);
        let map = r.take(SELECTION_MAP)?;
        r.u8()?;
        if at >= count {
            continue;
        }
        if usize::from(size) > SELECTION_MAP {
            return Err(malformed("a selection is too long"));
        }
        for index in 0..limits::PCRS.min(size.saturating_mul(8)) {
            let byte = map.get(usize::from(index / 8)).copied().unwrap_or(0);
            if byte & (1 << (index % 8)) != 0 {
                selected.push((bank, index));
            }
        }
    }
    let lists = r.u32()?.swap_bytes();
    if lists > DIGEST_LISTS {
        return Err(malformed("it has too many lists"));
    }
    let mut selected = selected.into_iter();
    let mut values = PcrValues::new();
    for _ in 0..lists {
        let count = usize::try_from(r.u32()?.swap_bytes()).unwrap_or(usize::MAX);
        if count > DIGESTS {
            return Err(malformed("a list is too long"));
        }
        for at in 0..DIGESTS {
            let size = usize::from(r.u16()?.swap_bytes());
            let room = r.take(DIGEST_ROOM)?;
            if at >= count {
                continue;
            }
            let digest = room
                .get(..size)
                .ok_or_else(|| malformed("a digest is too long"))?;
            let (bank, index) = selected.next().ok_or(Refusal::TpmPcrSelection)?;
            let bank = values.entry(bank).or_default();
            if bank.insert(index, digest.to_vec()).is_some() {
                return Err(Refusal::TpmPcrSelection);
            }
        }
    }
    r.finish()?;
    match selected.next() {
        None => Ok(values),
        Some(_) => Err(Refusal::TpmPcrSelection),
    }
}

/// Banks and values as tpm2-tools prints them; PCRs that were not quoted are passed over (`tpm2_pcrread` prints all).
fn text_values(text: &str, selection: &[PcrSelection]) -> Result<PcrValues, Refusal> {
    let malformed = || Refusal::Malformed {
        what: PCRS,
        why: "a line is neither a bank nor a pcr's value".to_string(),
    };
    let mut values = PcrValues::new();
    let mut bank = None;
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let (name, value) = (name.trim().trim_matches('"'), value.trim());
        let Ok(index) = name.parse::<u8>() else {
            bank = match name.to_ascii_lowercase().as_str() {
                "sha1" => Some(0x0004),
                "sha256" => Some(0x000b),
                "sha384" => Some(0x000c),
                "sha512" => Some(0x000d),
                _ => None,
            };
            continue;
        };
        let Some(bank) = bank else {
            continue;
        };
        let quoted = selection
            .iter()
            .any(|one| one.bank == bank && one.pcrs.contains(&index));
        if !quoted {
            continue;
        }
        let value = value.trim_matches([',', '"']);
        let value = value
            .strip_prefix("0x")
            .or_else(|| value.strip_prefix("0X"));
        let value = value.unwrap_or_else(|| line_value(line));
        let digest = base16ct::mixed::decode_vec(value).map_err(|_| malformed())?;
        let bank: &mut BTreeMap<u8, Vec<u8>> = values.entry(bank).or_default();
        if bank.insert(index, digest).is_some() {
            return Err(malformed());
        }
    }
    if values.is_empty() {
        return Err(malformed());
    }
    Ok(values)
}

fn line_value(line: &str) -> &str {
    let value = line.split_once(':').map_or("", |(_, value)| value);
    value.trim().trim_matches([',', '"'])
}

/// keylime's quote: `r`, then quote, signature and PCR values (tpm2-tools' form), each in base64, with colons between.
///
/// # Errors
/// The shape's refusals.
pub fn keylime(text: &str) -> Result<Quote, Refusal> {
    if text.len() > limits::QUOTE_FILE_BYTES {
        return Err(Refusal::TooLarge {
            what: TEXT,
            limit: limits::QUOTE_FILE_BYTES,
        });
    }
    let malformed = |why: &str| Refusal::Malformed {
        what: TEXT,
        why: why.to_string(),
    };
    let parts = text
        .trim()
        .strip_prefix('r')
        .ok_or_else(|| malformed("it does not begin with `r`"))?;
    let mut parts = parts.split(':').map(|part| base64(TEXT, part));
    let (Some(quote), Some(signature), Some(values), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("it is not in three parts"));
    };
    let attest = self::attest(&quote?)?;
    let pcrs = self::pcrs(&values?, &attest)?;
    Ok(Quote {
        signature: Signature::parse(&signature?)?,
        attest,
        pcrs: Some(pcrs),
    })
}

/// trustee's evidence: `{"ak_public": SPKI, "tpm_quote": {"message", "signature", "pcrs": [hex]}}`, base64 but for the PCR values,
/// which are those of the one bank that is quoted, in order from 0.
///
/// # Errors
/// The shape's refusals.
pub fn trustee(json: &serde_json::Value) -> Result<(Quote, Option<Vec<u8>>), Refusal> {
    const WHAT: &str = "tpm evidence in json";
    let malformed = |why: &str| Refusal::Malformed {
        what: WHAT,
        why: why.to_string(),
    };
    let body = json
        .get("tpm_quote")
        .ok_or_else(|| malformed("`tpm_quote` is missing"))?;
    let field = |name: &str| {
        let text = body.get(name).and_then(serde_json::Value::as_str);
        base64(
            WHAT,
            text.ok_or_else(|| malformed(&[name, " is missing"].concat()))?,
        )
    };
    let attest = self::attest(&field("message")?)?;
    let signature = Signature::parse(&field("signature")?)?;
    let listed = body.get("pcrs").and_then(serde_json::Value::as_array);
    let listed = listed.ok_or_else(|| malformed("`pcrs` is missing"))?;
    let Attested::Quote { selection, .. } = &attest.attested else {
        return Err(Refusal::TpmPcrSelection);
    };
    let mut banks = selection.iter().filter(|one| !one.pcrs.is_empty());
    let (Some(bank), None) = (banks.next(), banks.next()) else {
        return Err(malformed("it quotes more than one bank"));
    };
    if listed.len() > usize::from(limits::PCRS) {
        return Err(Refusal::TooLarge {
            what: WHAT,
            limit: usize::from(limits::PCRS),
        });
    }
    let mut values = BTreeMap::new();
    for (index, value) in (0u8..).zip(listed) {
        let text = value.as_str().unwrap_or_default();
        let digest = base16ct::mixed::decode_vec(text)
            .map_err(|_| malformed("a pcr's value is not hexadecimal"))?;
        if bank.pcrs.contains(&index) {
            values.insert(index, digest);
        }
    }
    let key = match json.get("ak_public").and_then(serde_json::Value::as_str) {
        None => None,
        Some(text) => Some(base64(WHAT, text)?),
    };
    let pcrs = PcrValues::from([(bank.bank, values)]);
    let quote = Quote {
        attest,
        signature,
        pcrs: Some(pcrs),
    };
    Ok((quote, key))
}

fn base64(what: &'static str, text: &str) -> Result<Vec<u8>, Refusal> {
    if text.len() > limits::QUOTE_FILE_BYTES {
        return Err(Refusal::TooLarge {
            what,
            limit: limits::QUOTE_FILE_BYTES,
        });
    }
    let text: String = text.split_whitespace().collect();
    Base64::decode_vec(&text)
        .or_else(|_| Base64Unpadded::decode_vec(&text))
        .map_err(|_| Refusal::Malformed {
            what,
            why: "a part is not base64".to_string(),
        })
}

//! go-tpm-tools' `Attestation` (proto/attest.proto): AK, quotes with their PCR values, event log, AK certificate.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::protobuf::{Field, Message, Value};
use super::tpm::{Attest, Public, Signature};
use crate::limits;
use crate::quote::{PcrValues, Quote};
use crate::refusal::Refusal;

const WHAT: &str = "attestation protobuf";

/// The parts of an Attestation that are evidence of a TPM, parsed and not yet trusted.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// The AK's public area.
    pub ak: Public,
    /// One quote for each bank.
    pub quotes: Vec<Quote>,
    /// The firmware's event log as it came; empty where there is none.
    pub event_log: Vec<u8>,
    /// The Canonical Event Log as it came; empty where there is none.
    pub canonical_event_log: Vec<u8>,
    /// The AK's certificate, DER; empty where there is none.
    pub ak_certificate: Vec<u8>,
    /// Certificates between it and a root, DER.
    pub intermediates: Vec<Vec<u8>>,
    /// Whether there is evidence of a TEE beside it, which is not looked at.
    pub tee: bool,
}

impl Attestation {
    /// Parses the message, at most [`limits::ATTESTATION_PB_BYTES`]. Fields that are not known are passed over, as Protocol Buffers
    /// have it; nothing in the message but what a signature covers is believed anyway.
    ///
    /// # Errors
    /// The shape's refusals; `evidence.malformed` without AK or quote.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > limits::ATTESTATION_PB_BYTES {
            return Err(Refusal::TooLarge {
                what: WHAT,
                limit: limits::ATTESTATION_PB_BYTES,
            });
        }
        let (mut ak, mut quotes) = (None, Vec::new());
        let (mut event_log, mut canonical, mut certificate) = (Vec::new(), Vec::new(), Vec::new());
        let (mut intermediates, mut tee) = (Vec::new(), false);
        let mut message = Message::new(WHAT, bytes);
        while let Some(Field { number, value }) = message.next()? {
            match (number, value) {
                (1, Value::Bytes(bytes)) => ak = Some(Public::parse(bytes)?),
                (2, Value::Bytes(bytes)) => {
                    if quotes.len() >= limits::QUOTES {
                        return Err(Refusal::TooLarge {
                            what: WHAT,
                            limit: limits::QUOTES,
                        });
                    }
                    quotes.push(quote(bytes)?);
                }
                (3, Value::Bytes(bytes)) => event_log = bytes.to_vec(),
                (5, Value::Bytes(bytes)) => canonical = bytes.to_vec(),
                (6, Value::Bytes(bytes)) => certificate = bytes.to_vec(),
                (7, Value::Bytes(bytes)) => {
                    if intermediates.len() >= limits::CHAIN_CERTIFICATES {
                        return Err(Refusal::ChainTooLong {
                            limit: limits::CHAIN_CERTIFICATES,
                        });
                    }
                    intermediates.push(bytes.to_vec());
                }
                (8 | 9, Value::Bytes(_)) => tee = true,
                _ => {}
            }
        }
        let missing = |what: &str| Refusal::Malformed {
            what: WHAT,
            why: ["it has no ", what].concat(),
        };
        if quotes.is_empty() {
            return Err(missing("quote"));
        }
        Ok(Self {
            ak: ak.ok_or_else(|| missing("attestation key"))?,
            quotes,
            event_log,
            canonical_event_log: canonical,
            ak_certificate: certificate,
            intermediates,
            tee,
        })
    }
}

/// `Quote { quote = 1, raw_sig = 2, pcrs = 3 }`.
fn quote(bytes: &[u8]) -> Result<Quote, Refusal> {
    let (mut attest, mut signature, mut values) = (None, None, PcrValues::new());
    let mut message = Message::new(WHAT, bytes);
    while let Some(Field { number, value }) = message.next()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => attest = Some(Attest::parse(bytes)?),
            (2, Value::Bytes(bytes)) => signature = Some(Signature::parse(bytes)?),
            (3, Value::Bytes(bytes)) => {
                let (bank, bank_values) = pcrs(bytes)?;
                if values.insert(bank, bank_values).is_some() {
                    return Err(Refusal::TpmPcrSelection);
                }
            }
            _ => {}
        }
    }
    let missing = || Refusal::Malformed {
        what: WHAT,
        why: "a quote is not whole".into(),
    };
    Ok(Quote {
        attest: attest.ok_or_else(missing)?,
        signature: signature.ok_or_else(missing)?,
        pcrs: Some(values),
    })
}

/// `PCRs { hash = 1 (TPM_ALG_ID), pcrs = 2 (map of index to digest) }`.
fn pcrs(bytes: &[u8]) -> Result<(u16, BTreeMap<u8, Vec<u8>>), Refusal> {
    let malformed = || Refusal::Malformed {
        what: WHAT,
        why: "pcr values are none".into(),
    };
    let (mut bank, mut values) = (0u16, BTreeMap::new());
    let mut message = Message::new(WHAT, bytes);
    while let Some(Field { number, value }) = message.next()? {
        match (number, value) {
            (1, Value::Number(alg)) => bank = u16::try_from(alg).map_err(|_| malformed())?,
            (2, Value::Bytes(entry)) => {
                let (mut index, mut digest) = (0u64, Vec::new());
                let mut entry = Message::new(WHAT, entry);
                while let Some(Field { number, value }) = entry.next()? {
                    match (number, value) {
                        (1, Value::Number(at)) => index = at,
                        (2, Value::Bytes(bytes)) => digest = bytes.to_vec(),
                        _ => {}
                    }
                }
                let index = u8::try_from(index)
                    .ok()
                    .filter(|index| *index < limits::PCRS)
                    .ok_or_else(malformed)?;
                if digest.len() > 64 || values.insert(index, digest).is_some() {
                    return Err(malformed());
                }
            }
            _ => {}
        }
    }
    Ok((bank, values))
}

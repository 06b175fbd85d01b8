//! The `log.ima` member: the kernel's measurement list, from its beginning or from where the Verifier has followed it.
//!
//! A CBOR map, deterministic: 1 entries left out because the Verifier knows them, 2 the entries after those
//! (`binary_runtime_measurements`). It signs nothing; its claims come from the replay to the quoted PCRs.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Context, Format, Member};
use crate::claims::{Claims, ImaClaims, ImaState, TpmClaims};
use crate::codec::cbor::{self, Fields, Form, Value};
use crate::codec::ima::{self, BOOT_AGGREGATE, Extended, ImaLog, LOG, PCR};
use crate::digest::{Digest, HashAlg};
use crate::expected::Expected;
use crate::limits;
use crate::refusal::Refusal;
use crate::replay::{Bank, Replay};
use crate::session::Label;

/// Media type of the member.
pub const MEDIA_TYPE: &str = "application/vnd.assay.ima-log+cbor";

const WHAT: &str = "the ima member";

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Ima;

impl Format for Ima {
    fn media_type(&self) -> &'static str {
        MEDIA_TYPE
    }

    fn stands_under(&self, label: Label) -> bool {
        label == Label::LogIma
    }

    fn parse(&self, _label: Label, value: &[u8]) -> Result<Box<dyn Member>, Refusal> {
        ImaEvidence::parse(value).map(|parsed| -> Box<dyn Member> { Box::new(parsed) })
    }
}

/// The parsed member.
#[derive(Clone, Debug)]
pub struct ImaEvidence {
    offset: u64,
    log: Vec<u8>,
}

impl ImaEvidence {
    /// Parses the wrapper value.
    ///
    /// # Errors
    /// What the shape offends against.
    pub fn parse(value: &[u8]) -> Result<Self, Refusal> {
        let map = cbor::decode(WHAT, value, limits::EVIDENCE_BYTES, Form::Deterministic)?;
        let mut fields = Fields::new(WHAT, map)?;
        let offset = fields.unsigned(1)?;
        let log = fields.bytes(2, limits::EVIDENCE_BYTES)?;
        fields.finish()?;
        ImaLog::parse(&log)?;
        Ok(Self { offset, log })
    }

    /// Writes a member: `log` holds the entries after the first `offset`.
    #[must_use]
    pub fn write(offset: u64, log: &[u8]) -> Vec<u8> {
        cbor::encode(Value::Map(alloc::vec![
            (Value::from(1), Value::from(offset)),
            (Value::from(2), Value::Bytes(log.to_vec())),
        ]))
    }

    /// The entries of a member as they were sent.
    pub(crate) fn entries(value: &[u8]) -> Result<Vec<u8>, Refusal> {
        Self::parse(value).map(|parsed| parsed.log)
    }

    /// Where it goes on from: at the beginning, or at what is known of this boot.
    fn begin<'e>(
        &self,
        expected: &'e Expected<'_>,
        tpm: &TpmClaims,
    ) -> Result<Option<&'e ImaState>, Refusal> {
        if self.offset == 0 {
            return Ok(None);
        }
        let known = expected.ima.filter(|known| known.is_of(tpm));
        known
            .filter(|known| known.entries == self.offset)
            .map(Some)
            .ok_or(Refusal::ImaOffset {
                offset: self.offset,
                known: known.map_or(0, |known| known.entries),
            })
    }
}

impl Member for ImaEvidence {
    fn verify(&self, _context: &Context<'_>, _claims: &mut Claims) -> Result<(), Refusal> {
        // Nothing here is signed: see `conclude`.
        Ok(())
    }

    fn conclude(&self, expected: &Expected<'_>, claims: &mut Claims) -> Result<(), Refusal> {
        let uncovered = Refusal::LogUncovered { log: LOG };
        let Some(tpm) = &claims.tpm else {
            return Err(uncovered);
        };
        let known = self.begin(expected, tpm)?;
        let bank = match known {
            Some(known) => Some(known.value.alg()),
            None => quoted_bank(tpm),
        };
        let alg = bank.ok_or_else(|| uncovered.clone())?;
        let quoted = tpm.pcrs.get(&alg).filter(|bank| bank.contains_key(&PCR));
        let quoted = quoted.ok_or_else(|| uncovered.clone())?;
        let log = ImaLog::parse(&self.log)?;
        let registers: BTreeSet<u8> = log.entries.iter().map(|entry| entry.pcr).collect();
        // Only PCR 10 is carried on from proof to proof.
        let elsewhere = registers.iter().any(|pcr| !quoted.contains_key(pcr))
            || (known.is_some() && registers.iter().any(|pcr| *pcr != PCR));
        if elsewhere {
            return Err(uncovered);
        }
        let bank = Bank::Sha2(alg);
        let compare = |extended| {
            let mut replay = Replay::new([bank]);
            let begin = known.map_or_else(
                || alloc::vec![0; bank.size()],
                |known| known.value.bytes().to_vec(),
            );
            replay.begin(bank, PCR, begin);
            log.replay(&mut replay, bank, extended);
            let values = quoted
                .iter()
                .filter(|(index, _)| **index == PCR || registers.contains(index))
                .map(|(index, digest)| (*index, digest.bytes()));
            replay.compare(LOG, bank, values)
        };
        if let Err(differs) = compare(Extended::PerBank) {
            return Err(match compare(Extended::PaddedSha1) {
                Ok(()) => Refusal::LogSha1 { log: LOG },
                Err(_) => differs,
            });
        }
        let sent = u64::try_from(log.entries.len()).unwrap_or(u64::MAX);
        let violations = u64::try_from(log.violations().count()).unwrap_or(u64::MAX);
        let boot_aggregate = match known {
            Some(known) => known.boot_aggregate,
            None => aggregate(&log, tpm),
        };
        let value = quoted.get(&PCR).cloned().ok_or(uncovered)?;
        let state = ImaState {
            ak: tpm.ak_name.clone(),
            boot: (tpm.clock.reset_count, tpm.clock.restart_count),
            entries: self.offset.saturating_add(sent),
            violations: known
                .map_or(0, |known| known.violations)
                .saturating_add(violations),
            boot_aggregate,
            value,
        };
        claims.ima = Some(ImaClaims { sent, state });
        Ok(())
    }
}

/// The first bank whose PCR 10 is quoted.
fn quoted_bank(tpm: &TpmClaims) -> Option<HashAlg> {
    let mut banks = tpm.pcrs.iter();
    banks
        .find(|(_, values)| values.contains_key(&PCR))
        .map(|(alg, _)| *alg)
}

/// Whether the first entry sums up the quoted registers of boot, where it does and they are quoted.
fn aggregate(log: &ImaLog<'_>, tpm: &TpmClaims) -> Option<bool> {
    let first = log.entries.first()?;
    if first.violation || first.path()? != BOOT_AGGREGATE {
        return Some(false);
    }
    let file = first.file()?;
    let Bank::Sha2(alg) = Bank::from_name(file.algorithm)? else {
        return None;
    };
    let values = tpm.pcrs.get(&alg)?;
    let due = ima::boot_aggregate(Bank::Sha2(alg), |index| {
        values.get(&index).map(Digest::bytes)
    })?;
    Some(due == file.bytes)
}

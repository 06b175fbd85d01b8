//! The `log.uefi` member: the firmware's event log as the kernel gives it, nothing around it.
//!
//! It signs nothing. Its claims come from the replay: every register that it speaks of and that the TPM of the same evidence
//! quotes must have the quoted value.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Context, Format, Member};
use crate::boot::MeasuredBoot;
use crate::claims::Claims;
use crate::codec::eventlog::EventLog;
use crate::digest::HashAlg;
use crate::expected::Expected;
use crate::refusal::Refusal;
use crate::replay::Bank;
use crate::session::Label;

/// Media type of the member.
pub const MEDIA_TYPE: &str = "application/vnd.assay.uefi-log";
/// What the log is called in refusals.
pub const LOG: &str = "the uefi event log";

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct UefiLog;

impl Format for UefiLog {
    fn media_type(&self) -> &'static str {
        MEDIA_TYPE
    }

    fn stands_under(&self, label: Label) -> bool {
        label == Label::LogUefi
    }

    fn parse(&self, _label: Label, value: &[u8]) -> Result<Box<dyn Member>, Refusal> {
        UefiLogEvidence::parse(value).map(|parsed| -> Box<dyn Member> { Box::new(parsed) })
    }
}

/// The parsed member.
#[derive(Clone, Debug)]
pub struct UefiLogEvidence {
    bytes: Vec<u8>,
}

impl UefiLogEvidence {
    /// Parses the wrapper value.
    ///
    /// # Errors
    /// What the shape offends against; [`Refusal::LogSha1`] where it has no bank that can be quoted.
    pub fn parse(value: &[u8]) -> Result<Self, Refusal> {
        let log = EventLog::parse(value)?;
        if !log.banks().iter().any(|bank| *bank != Bank::Sha1) {
            return Err(Refusal::LogSha1 { log: LOG });
        }
        Ok(Self {
            bytes: value.to_vec(),
        })
    }
}

impl Member for UefiLogEvidence {
    fn verify(&self, _context: &Context<'_>, _claims: &mut Claims) -> Result<(), Refusal> {
        // Nothing here is signed: see `conclude`.
        Ok(())
    }

    fn conclude(&self, _expected: &Expected<'_>, claims: &mut Claims) -> Result<(), Refusal> {
        let uncovered = Refusal::LogUncovered { log: LOG };
        let Some(tpm) = &claims.tpm else {
            return Err(uncovered);
        };
        let log = EventLog::parse(&self.bytes)?;
        let quoted = |alg: &HashAlg| tpm.pcrs.contains_key(alg);
        let banks = log
            .banks()
            .into_iter()
            .filter(|bank| matches!(bank, Bank::Sha2(alg) if quoted(alg)))
            .collect();
        let replay = log.replay(&banks);
        let mut read = None;
        for (alg, values) in &tpm.pcrs {
            let bank = Bank::Sha2(*alg);
            let Some(registers) = replay.banks().get(&bank) else {
                continue;
            };
            let values_of = values
                .iter()
                .map(|(index, digest)| (*index, digest.bytes()));
            replay.compare(LOG, bank, values_of)?;
            let proved = |pcr| values.contains_key(&pcr);
            if read.is_none() && registers.keys().any(|pcr| proved(*pcr)) {
                read = Some(MeasuredBoot::read(&log, *alg, proved));
            }
        }
        // A log of other banks than were quoted, or of none of the quoted registers, is covered by nothing.
        claims.uefi = Some(read.ok_or(uncovered)?);
        Ok(())
    }
}

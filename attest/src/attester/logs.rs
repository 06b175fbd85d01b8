//! Whether logs fit the quote of the same evidence, as the Verifier will ask: they grow while they are read.

use crate::claims::PcrBanks;
use crate::codec::eventlog::EventLog;
use crate::codec::ima::{Extended, ImaLog, LOG, PCR};
use crate::digest::Digest;
use crate::evidence::tpm::TpmEvidence;
use crate::evidence::{ima_log, uefi_log};
use crate::refusal::Refusal;
use crate::replay::{Bank, Replay};
use crate::session::Label;

/// Whether the log under `label` replays to what the `tpm` member quotes. Any other member fits.
///
/// # Errors
/// [`Refusal::LogReplay`] where it does not; what is malformed.
pub fn fits(label: Label, log: &[u8], tpm: &[u8]) -> Result<(), Refusal> {
    let pcrs = TpmEvidence::parse(tpm)?.quoted()?;
    match label {
        Label::LogUefi => uefi(log, &pcrs),
        Label::LogIma => ima(log, &pcrs),
        Label::Claims
        | Label::Posture
        | Label::Tpm
        | Label::Accel(_)
        | Label::Erot
        | Label::Irot => Ok(()),
    }
}

fn uefi(bytes: &[u8], pcrs: &PcrBanks) -> Result<(), Refusal> {
    let log = EventLog::parse(bytes)?;
    let replay = log.replay(&log.banks());
    for (alg, values) in pcrs {
        let bank = Bank::Sha2(*alg);
        if replay.banks().contains_key(&bank) {
            let values = values.iter().map(|(index, value)| (*index, value.bytes()));
            replay.compare(uefi_log::LOG, bank, values)?;
        }
    }
    Ok(())
}

fn ima(member: &[u8], pcrs: &PcrBanks) -> Result<(), Refusal> {
    let bytes = ima_log::ImaEvidence::entries(member)?;
    let log = ImaLog::parse(&bytes)?;
    for (alg, values) in pcrs {
        let Some(value) = values.get(&PCR).map(Digest::bytes) else {
            continue;
        };
        let bank = Bank::Sha2(*alg);
        let mut replay = Replay::new([bank]);
        replay.begin(bank, PCR, alloc::vec![0; bank.size()]);
        log.replay(&mut replay, bank, Extended::PerBank);
        replay.compare(LOG, bank, [(PCR, value)])?;
    }
    Ok(())
}

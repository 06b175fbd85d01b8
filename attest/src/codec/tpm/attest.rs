//! TPMS_ATTEST: what a TPM signs.

use super::{bounded, malformed};
use crate::claims::TpmClock;
use crate::codec::reader::Reader;
use crate::limits;
use crate::refusal::Refusal;
use alloc::format;
use alloc::vec::Vec;

/// TPM_GENERATED_VALUE: what only a TPM writes at the head of what it signs with a restricted key.
pub const GENERATED: u32 = 0xff54_4347;
/// TPM_ST_ATTEST_QUOTE.
pub const ATTEST_QUOTE: u16 = 0x8018;
/// TPM_ST_ATTEST_CERTIFY.
pub const ATTEST_CERTIFY: u16 = 0x8017;

/// TPMS_ATTEST of a quote or a certification (Part 2, 10.12.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attest {
    raw: Vec<u8>,
    /// qualifiedSigner as sent: a TPM2B_NAME's content.
    pub qualified_signer: Vec<u8>,
    /// extraData: the qualifying data that the caller gave.
    pub extra_data: Vec<u8>,
    /// clockInfo.
    pub clock: TpmClock,
    /// firmwareVersion.
    pub firmware_version: u64,
    /// What was attested.
    pub attested: Attested,
}

/// TPMU_ATTEST, as far as evidence holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attested {
    /// TPMS_QUOTE_INFO.
    Quote {
        /// The PCRs, in the order in which they were digested.
        selection: Vec<PcrSelection>,
        /// Their digest.
        digest: Vec<u8>,
    },
    /// TPMS_CERTIFY_INFO.
    Certify {
        /// The name of the certified object.
        name: Vec<u8>,
        /// Its qualified name.
        qualified_name: Vec<u8>,
    },
}

/// TPMS_PCR_SELECTION (Part 2, 10.6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrSelection {
    /// TPM_ALG_ID of the bank.
    pub bank: u16,
    /// Selected indices, ascending.
    pub pcrs: Vec<u8>,
}

impl Attest {
    /// Parses a TPMS_ATTEST.
    ///
    /// # Errors
    /// [`Refusal::TpmMagic`], [`Refusal::TpmType`], [`Refusal::Truncated`] and its kin.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut r = bounded("the tpm attestation", bytes)?;
        if r.u32()? != GENERATED {
            return Err(Refusal::TpmMagic);
        }
        let kind = r.u16()?;
        let qualified_signer = r.sized_u16(66)?.to_vec();
        let extra_data = r.sized_u16(66)?.to_vec();
        let clock = TpmClock {
            clock: r.u64()?,
            reset_count: r.u32()?,
            restart_count: r.u32()?,
            safe: match r.u8()? {
                0 => false,
                1 => true,
                other => return Err(malformed(&r, format!("`safe` is {other}"))),
            },
        };
        let firmware_version = r.u64()?;
        let attested = match kind {
            ATTEST_QUOTE => Attested::Quote {
                selection: pcr_selections(&mut r)?,
                digest: r.sized_u16(64)?.to_vec(),
            },
            ATTEST_CERTIFY => Attested::Certify {
                name: r.sized_u16(66)?.to_vec(),
                qualified_name: r.sized_u16(66)?.to_vec(),
            },
            found => return Err(Refusal::TpmType { found }),
        };
        r.finish()?;
        let raw = bytes.to_vec();
        Ok(Self {
            raw,
            qualified_signer,
            extra_data,
            clock,
            firmware_version,
            attested,
        })
    }

    /// The signed bytes, as received.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }
}

fn pcr_selections(r: &mut Reader<'_>) -> Result<Vec<PcrSelection>, Refusal> {
    let count = r.u32()?;
    if usize::try_from(count).map_or(true, |count| count > limits::PCR_BANKS) {
        return Err(Refusal::TooLarge {
            what: "the pcr selection",
            limit: limits::PCR_BANKS,
        });
    }
    (0..count).map(|_| pcr_selection(r)).collect()
}

fn pcr_selection(r: &mut Reader<'_>) -> Result<PcrSelection, Refusal> {
    let bank = r.u16()?;
    let size = r.u8()?;
    if size > limits::PCRS / 8 {
        return Err(Refusal::TooLarge {
            what: "the pcr selection",
            limit: usize::from(limits::PCRS),
        });
    }
    let map = r.take(usize::from(size))?;
    let selected = |index: &u8| {
        let byte = map.get(usize::from(index / 8)).copied().unwrap_or(0);
        byte & (1 << (index % 8)) != 0
    };
    Ok(PcrSelection {
        bank,
        pcrs: (0..limits::PCRS).filter(selected).collect(),
    })
}

//! PCR banks, and what a log says they hold: extended event by event, compared with what a TPM quoted.
//!
//! A log proves nothing by itself. Only where its replay gives the quoted values is each of its digests covered by the
//! quote; what its events say beside their digests stays the reporter's word (I2).

use crate::digest::HashAlg;
use crate::limits;
use crate::refusal::Refusal;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use sha1::Digest as _;
use subtle::ConstantTimeEq as _;

/// TPM_ALG_SHA1 (TPM 2.0 Part 2, 6.3).
const ALG_SHA1: u16 = 0x0004;
const ALG_SHA256: u16 = 0x000b;
const ALG_SHA384: u16 = 0x000c;
const ALG_SHA512: u16 = 0x000d;
/// Bytes of a SHA-1 digest.
pub const SHA1_SIZE: usize = 20;

/// PCRs that firmware, boot loader and the kernel's own loader measure into, and nobody afterwards: a log that does not
/// account for one of them has been cut.
pub const MEASURED_BOOT: [u8; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14];

/// A PCR bank. SHA-1 is replayed for logs that hold nothing better, and never counts as proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bank {
    /// SHA-1: broken.
    Sha1,
    /// One of the accepted algorithms.
    Sha2(HashAlg),
}

impl Bank {
    /// All that can be replayed.
    pub const ALL: [Self; 4] = [
        Self::Sha1,
        Self::Sha2(HashAlg::Sha256),
        Self::Sha2(HashAlg::Sha384),
        Self::Sha2(HashAlg::Sha512),
    ];

    /// The bank of that TPM_ALG_ID.
    #[must_use]
    pub fn from_alg(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|bank| bank.alg() == id)
    }

    /// The bank of that name: `sha1`, `sha256`, `sha384`, `sha512`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bank| bank.name() == name)
    }

    /// Its TPM_ALG_ID.
    #[must_use]
    pub const fn alg(self) -> u16 {
        match self {
            Self::Sha1 => ALG_SHA1,
            Self::Sha2(HashAlg::Sha256) => ALG_SHA256,
            Self::Sha2(HashAlg::Sha384) => ALG_SHA384,
            Self::Sha2(HashAlg::Sha512) => ALG_SHA512,
        }
    }

    /// Bytes of a digest.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Sha1 => SHA1_SIZE,
            Self::Sha2(alg) => alg.size(),
        }
    }

    /// `sha1`, `sha256`, `sha384`, `sha512`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha2(alg) => alg.name(),
        }
    }

    /// Hashes `parts` one after the other.
    #[must_use]
    pub fn hash(self, parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha1 => {
                let mut hasher = sha1::Sha1::new();
                for part in parts {
                    hasher.update(part);
                }
                hasher.finalize().to_vec()
            }
            Self::Sha2(alg) => alg.hash(parts).bytes().to_vec(),
        }
    }
}

impl fmt::Display for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The registers of one bank, by index. What was never extended is not there.
pub type Registers = BTreeMap<u8, Vec<u8>>;

/// What a log, replayed, says the registers hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    banks: BTreeMap<Bank, Registers>,
}

impl Replay {
    /// Nothing extended yet, in these banks.
    #[must_use]
    pub fn new(banks: impl IntoIterator<Item = Bank>) -> Self {
        Self {
            banks: banks
                .into_iter()
                .map(|bank| (bank, Registers::new()))
                .collect(),
        }
    }

    /// Sets what a register holds before its first extension: the locality of TPM2_Startup in the last byte of PCR 0, or the
    /// value that a replay goes on from.
    pub fn begin(&mut self, bank: Bank, index: u8, value: Vec<u8>) {
        self.banks.entry(bank).or_default().insert(index, value);
    }

    /// PCR := H(PCR || digest) (TPM 2.0 Part 1, 17.2).
    pub fn extend(&mut self, bank: Bank, index: u8, digest: &[u8]) {
        let register = self
            .banks
            .entry(bank)
            .or_default()
            .entry(index)
            .or_insert_with(|| alloc::vec![0; bank.size()]);
        *register = bank.hash(&[register, digest]);
    }

    /// Drops a bank: a log that leaves it out somewhere says nothing of it.
    pub fn forget(&mut self, bank: Bank) {
        self.banks.remove(&bank);
    }

    /// The banks, each with the registers that were extended.
    #[must_use]
    pub const fn banks(&self) -> &BTreeMap<Bank, Registers> {
        &self.banks
    }

    /// One register.
    #[must_use]
    pub fn value(&self, bank: Bank, index: u8) -> Option<&[u8]> {
        self.banks.get(&bank)?.get(&index).map(Vec::as_slice)
    }

    /// Whether these are the values of `quoted` (one bank of it): every register that the replay extended and that was
    /// quoted, and of [`MEASURED_BOOT`] also those that the replay never touched.
    ///
    /// # Errors
    /// [`Refusal::LogReplay`] names the first register that differs.
    pub fn compare<'q>(
        &self,
        log: &'static str,
        bank: Bank,
        quoted: impl IntoIterator<Item = (u8, &'q [u8])>,
    ) -> Result<(), Refusal> {
        let zero = alloc::vec![0; bank.size()];
        for (index, value) in quoted {
            let replayed = match self.value(bank, index) {
                Some(replayed) => replayed,
                None if MEASURED_BOOT.contains(&index) => &zero,
                None => continue,
            };
            if !bool::from(replayed.ct_eq(value)) {
                return Err(Refusal::LogReplay {
                    log,
                    bank: bank.name(),
                    index,
                });
            }
        }
        Ok(())
    }
}

/// A PCR index, under [`limits::PCRS`].
pub(crate) fn index(pcr: u32) -> Option<u8> {
    u8::try_from(pcr).ok().filter(|pcr| *pcr < limits::PCRS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex;

    #[test]
    fn extending_is_the_tpms() {
        let mut replay = Replay::new(Bank::ALL);
        for bank in Bank::ALL {
            replay.extend(bank, 7, &bank.hash(&[&[0; 4]]));
            assert_eq!(Bank::from_alg(bank.alg()), Some(bank));
            assert_eq!(Bank::from_name(bank.name()), Some(bank));
        }
        // A PCR with nothing but a separator, as every PC has it in PCR 2 or 6.
        assert_eq!(
            hex(replay.value(Bank::Sha1, 7).unwrap()),
            "b2a83b0ebf2f8374299a5b2bdfc31ea955ad7236"
        );
        assert_eq!(
            hex(replay.value(Bank::Sha2(HashAlg::Sha256), 7).unwrap()),
            "3d458cfe55cc03ea1f443f1562beec8df51c75e14a9fcf9a7234a13f198e7969"
        );
    }

    #[test]
    fn a_register_that_the_log_does_not_account_for_is_a_difference() {
        let bank = Bank::Sha2(HashAlg::Sha256);
        let replay = Replay::new([bank]);
        let (zero, other) = ([0; 32], [1; 32]);
        let compare = |index, value| replay.compare("log", bank, [(index, value)]);
        assert!(compare(7, &zero[..]).is_ok() && compare(16, &other[..]).is_ok());
        for index in MEASURED_BOOT {
            assert_eq!(compare(index, &other[..]).unwrap_err().code(), "log.replay");
        }
        assert!(compare(7, &zero[..31]).is_err());
    }
}

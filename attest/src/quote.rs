//! A TPM quote on its own, as tools keep it in files: outside of a session, against a nonce that somebody knows.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use subtle::ConstantTimeEq as _;

use crate::claims::{PcrBanks, TpmClock};
use crate::codec::tpm::{self, Attest, Attested, PcrSelection, Public, Signature};
use crate::digest::Digest;
use crate::expected::Name;
use crate::key::{CheckSignature, PublicKey};
use crate::refusal::Refusal;

/// PCR values as somebody sent them: TPM_ALG_ID to index to digest.
pub type PcrValues = BTreeMap<u16, BTreeMap<u8, Vec<u8>>>;

const SHA1: u16 = 0x0004;

/// A quote with its signature and, where somebody sent them, the values of the PCRs; not yet verified.
#[derive(Clone, Debug)]
pub struct Quote {
    /// What the TPM signed.
    pub attest: Attest,
    /// Its signature.
    pub signature: Signature,
    /// The values that are said to have been quoted.
    pub pcrs: Option<PcrValues>,
}

/// The key that is held to have signed.
#[derive(Clone, Debug)]
pub enum Ak {
    /// With its public area: attributes and scheme are judged, too.
    Public(Public),
    /// The key alone: nobody says that it is a restricted one.
    Key(PublicKey),
}

impl Ak {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        match self {
            Self::Public(public) => &public.key,
            Self::Key(key) => key,
        }
    }

    /// The name, where the public area is known.
    ///
    /// # Errors
    /// `tpm.algorithm`.
    pub fn name(&self) -> Result<Option<Name>, Refusal> {
        match self {
            Self::Public(public) => public.name().map(Some),
            Self::Key(_) => Ok(None),
        }
    }
}

/// What a verified quote says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// The PCRs that were quoted, bank by bank.
    pub selection: Vec<PcrSelection>,
    /// Their digest, as it was signed.
    pub digest: Vec<u8>,
    /// Their values, where they were sent: they give the digest.
    pub pcrs: Option<PcrBanks>,
    /// The qualifying data.
    pub nonce: Vec<u8>,
    /// The TPM's clock.
    pub clock: TpmClock,
    /// Firmware version.
    pub firmware_version: u64,
    /// The name of the key that signed, as the TPM says.
    pub qualified_signer: Vec<u8>,
}

impl Quote {
    /// Refuses what policy does not accept whoever signed: another type than a quote, SHA-1 in signature or banks.
    ///
    /// # Errors
    /// `tpm.type`, `tpm.algorithm`.
    pub fn acceptable(&self) -> Result<(), Refusal> {
        let Attested::Quote { selection, .. } = &self.attest.attested else {
            return Err(Refusal::TpmType {
                found: tpm::ATTEST_CERTIFY,
            });
        };
        let hash = self.signature.ids.hash;
        if tpm::hash_of(hash).is_none() {
            return Err(tpm::algorithm("signature", hash));
        }
        match selection
            .iter()
            .find(|one| !one.pcrs.is_empty() && tpm::hash_of(one.bank).is_none())
        {
            Some(one) => Err(tpm::algorithm("pcr bank", one.bank)),
            None => Ok(()),
        }
    }

    /// Whether the quote is of SHA-1 banks alone: tools send such quotes beside others.
    #[must_use]
    pub fn is_sha1_only(&self) -> bool {
        match &self.attest.attested {
            Attested::Quote { selection, .. } => {
                let mut banks = selection.iter().filter(|one| !one.pcrs.is_empty());
                banks.all(|one| one.bank == SHA1)
            }
            Attested::Certify { .. } => false,
        }
    }

    /// Verifies signature, key, nonce and PCR values.
    ///
    /// # Errors
    /// `tpm.*`.
    pub fn verify(
        &self,
        ak: &Ak,
        nonce: Option<&[u8]>,
        check: &dyn CheckSignature,
    ) -> Result<Quoted, Refusal> {
        self.acceptable()?;
        self.authentic(ak, nonce, check)?;
        let Attested::Quote { selection, digest } = &self.attest.attested else {
            return Err(Refusal::TpmType {
                found: tpm::ATTEST_CERTIFY,
            });
        };
        let pcrs = match &self.pcrs {
            None => None,
            Some(values) => Some(quoted_pcrs(&self.attest, &self.signature, values)?),
        };
        Ok(Quoted {
            selection: selection.clone(),
            digest: digest.clone(),
            pcrs,
            nonce: self.attest.extra_data.clone(),
            clock: self.attest.clock,
            firmware_version: self.attest.firmware_version,
            qualified_signer: self.attest.qualified_signer.clone(),
        })
    }

    /// Verifies signature, key and nonce, whatever banks are quoted: no claim is drawn.
    ///
    /// # Errors
    /// `tpm.*`.
    pub fn authentic(
        &self,
        ak: &Ak,
        nonce: Option<&[u8]>,
        check: &dyn CheckSignature,
    ) -> Result<(), Refusal> {
        self.is_signed_by(ak, check)?;
        if nonce.is_some_and(|nonce| !bool::from(nonce.ct_eq(&self.attest.extra_data))) {
            return Err(Refusal::TpmNonce);
        }
        Ok(())
    }

    fn is_signed_by(&self, ak: &Ak, check: &dyn CheckSignature) -> Result<(), Refusal> {
        const WHAT: &str = "quote";
        let ids = self.signature.ids;
        if let Ak::Public(public) = ak {
            if !public.attributes.is_attestation_key() {
                return Err(Refusal::TpmAkAttributes {
                    found: public.attributes.0,
                });
            }
            // A restricted key has one scheme; another in the message is a downgrade.
            if public.scheme != Some(ids) {
                return Err(tpm::algorithm(WHAT, ids.hash));
            }
        }
        let scheme = ids
            .accepted()
            .ok_or_else(|| tpm::algorithm(WHAT, ids.hash))?;
        let raw = self
            .signature
            .raw_for(ak.key())
            .ok_or(Refusal::TpmSignature { what: WHAT })?;
        check
            .check(ak.key(), scheme, self.attest.as_bytes(), &raw)
            .map_err(|_bad| Refusal::TpmSignature { what: WHAT })
    }
}

/// The values of exactly the PCRs that a quote selects, held against the digest that it signed.
///
/// # Errors
/// `tpm.type`, `tpm.algorithm`, `tpm.pcr_selection`, `tpm.pcr_digest`.
pub fn quoted_pcrs(
    attest: &Attest,
    signature: &Signature,
    sent: &PcrValues,
) -> Result<PcrBanks, Refusal> {
    let Attested::Quote { selection, digest } = &attest.attested else {
        return Err(Refusal::TpmType {
            found: tpm::ATTEST_CERTIFY,
        });
    };
    let mut banks = PcrBanks::new();
    let mut in_order = Vec::new();
    for PcrSelection { bank, pcrs } in selection.iter().filter(|bank| !bank.pcrs.is_empty()) {
        let hash = tpm::hash_of(*bank).ok_or_else(|| tpm::algorithm("pcr bank", *bank))?;
        let values = sent.get(bank).ok_or(Refusal::TpmPcrSelection)?;
        if !values.keys().eq(pcrs) {
            return Err(Refusal::TpmPcrSelection);
        }
        let values = values
            .iter()
            .map(|(index, value)| Some((*index, Digest::new(hash, value)?)))
            .collect::<Option<BTreeMap<_, _>>>()
            .ok_or(Refusal::TpmPcrSelection)?;
        in_order.extend(values.values().cloned());
        if banks.insert(hash, values).is_some() {
            return Err(Refusal::TpmPcrSelection);
        }
    }
    if banks.is_empty() || banks.len() != sent.len() {
        return Err(Refusal::TpmPcrSelection);
    }
    let hash = signature.ids.hash;
    let hash = tpm::hash_of(hash).ok_or_else(|| tpm::algorithm("quote", hash))?;
    let recomputed = tpm::pcr_digest(hash, &in_order.iter().collect::<Vec<_>>());
    if bool::from(recomputed.bytes().ct_eq(digest)) {
        Ok(banks)
    } else {
        Err(Refusal::TpmPcrDigest)
    }
}

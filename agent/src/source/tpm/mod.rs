//! A TPM 2.0: quotes PCRs, holds the request key, activates credentials. `device` speaks to it, `keys` is its file.

mod convert;
mod device;
mod keys;

use super::{Ask, Keys, Source, SourceError, TpmIdentity};
use assay_attest::attester::tpm::{CertifiedKeyParts, TpmParts, member};
use assay_attest::claims::PcrBanks;
use assay_attest::codec::tpm::{Attest, Attested, Public, pcr_digest};
use assay_attest::digest::{Digest, HashAlg};
use assay_attest::evidence::tpm::MEDIA_TYPE;
use assay_attest::expected::{Name, RequestKey};
use assay_attest::session::Label;
use device::Device;
use keys::KeyFile;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use subtle::ConstantTimeEq as _;

/// How often PCRs are read and quoted before giving up (design, section 2, item 3).
const TRIES: u32 = 5;

/// A TPM with this agent's keys.
#[derive(Debug)]
pub struct Tpm {
    device: Device,
    ek_name: Name,
    request_key: RequestKey,
    identity: TpmIdentity,
}

impl Tpm {
    /// Opens the TPM at `tcti` (`device:/dev/tpmrm0`, `swtpm:host=127.0.0.1,port=2321`). The keys come from `key_file`; where
    /// there is none, they are made and the file is written (0600; the private parts in it are wrapped by the TPM).
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn open(tcti: &str, key_file: &Path) -> Result<Self, SourceError> {
        let mut device = Device::open(tcti)?;
        let keys = match KeyFile::load(key_file)? {
            Some(keys) => keys,
            None => {
                let keys = device.make_keys()?;
                keys.save(key_file)?;
                keys
            }
        };
        let identity = device.load_keys(&keys)?;
        let build = |refusal: assay_attest::refusal::Refusal| SourceError::Build {
            why: refusal.to_string(),
        };
        let ek_name = Public::parse(&identity.ek_public)
            .and_then(|ek| ek.name())
            .map_err(build)?;
        let public = Public::parse(&identity.request_key_public).map_err(build)?;
        let request_key = RequestKey::new(public.key).ok_or_else(|| SourceError::Build {
            why: "the request key in the tpm is not p-256".into(),
        })?;
        Ok(Self {
            device,
            ek_name,
            request_key,
            identity,
        })
    }

    fn quote(&mut self, ask: &Ask<'_>) -> Result<TpmParts, SourceError> {
        for _ in 0..TRIES {
            let values = self.device.read_pcrs(ask.pcrs)?;
            let (quote, quote_signature) = self.device.quote(ask.binding.as_bytes(), ask.pcrs)?;
            let bank: BTreeMap<u8, Digest> = ask
                .pcrs
                .iter()
                .zip(&values)
                .filter_map(|(pcr, value)| Some((*pcr, Digest::new(HashAlg::Sha256, value)?)))
                .collect();
            if !quoted(&quote, &bank)? {
                continue;
            }
            let (certification, signature) = self.device.certify(ask.binding.as_bytes())?;
            return Ok(TpmParts {
                quote,
                quote_signature,
                pcrs: PcrBanks::from([(HashAlg::Sha256, bank)]),
                ak: self.identity.ak_public.clone(),
                ak_parent: Some(self.ek_name.clone()),
                request_key: Some(CertifiedKeyParts {
                    public: self.identity.request_key_public.clone(),
                    certification,
                    signature,
                }),
            });
        }
        Err(SourceError::Moving { tries: TRIES })
    }
}

/// Whether the values read are those quoted.
fn quoted(quote: &[u8], bank: &BTreeMap<u8, Digest>) -> Result<bool, SourceError> {
    let attest = Attest::parse(quote).map_err(|refusal| SourceError::Build {
        why: refusal.to_string(),
    })?;
    let Attested::Quote { digest, .. } = attest.attested else {
        return Ok(false);
    };
    let read = pcr_digest(HashAlg::Sha256, &bank.values().collect::<Vec<_>>());
    Ok(bool::from(read.bytes().ct_eq(&digest)))
}

impl Source for Tpm {
    fn label(&self) -> Label {
        Label::Tpm
    }

    fn media_type(&self) -> &'static str {
        MEDIA_TYPE
    }

    fn collect(&mut self, ask: &Ask<'_>) -> Result<Vec<u8>, SourceError> {
        let ascending = ask
            .pcrs
            .iter()
            .zip(ask.pcrs.iter().skip(1))
            .all(|(a, b)| a < b);
        if ask.pcrs.is_empty() || !ascending || ask.pcrs.iter().any(|pcr| *pcr > 23) {
            return Err(SourceError::Asked {
                what: format!("pcrs {:?}", ask.pcrs),
            });
        }
        let parts = self.quote(ask)?;
        member(&parts).map_err(|refusal| SourceError::Build {
            why: refusal.to_string(),
        })
    }

    fn keys(&mut self) -> Option<&mut dyn Keys> {
        Some(self)
    }

    fn rest(&mut self) {
        self.device.close();
    }
}

impl Keys for Tpm {
    fn request_key(&self) -> &RequestKey {
        &self.request_key
    }

    fn sign(&mut self, message: &[u8]) -> Result<[u8; 64], SourceError> {
        self.device.sign(&Sha256::digest(message))
    }

    fn identity(&self) -> Option<&TpmIdentity> {
        Some(&self.identity)
    }

    fn activate(
        &mut self,
        id_object: &[u8],
        encrypted_secret: &[u8],
    ) -> Result<[u8; 32], SourceError> {
        let id_object = without_length("the credential", id_object)?;
        let encrypted_secret = without_length("the encrypted secret", encrypted_secret)?;
        self.device.activate(id_object, encrypted_secret)
    }
}

/// The content of a TPM2B structure.
fn without_length<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a [u8], SourceError> {
    bytes
        .split_first_chunk::<2>()
        .filter(|(length, rest)| usize::from(u16::from_be_bytes(**length)) == rest.len())
        .map(|(_, rest)| rest)
        .ok_or_else(|| SourceError::Asked {
            what: format!("{what} is no TPM2B structure"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TPMS_ATTEST of a quote of PCR 7 (SHA-256 bank) with that digest.
    fn attest(digest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xff, 0x54, 0x43, 0x47, 0x80, 0x18, 0, 0, 0, 0];
        bytes.extend_from_slice(&[0; 16]);
        bytes.push(1);
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0x0b, 3, 0x80, 0, 0, 0, 32]);
        bytes.extend_from_slice(digest);
        bytes
    }

    #[test]
    fn values_that_changed_before_the_quote_are_noticed() {
        let bank = |byte| BTreeMap::from([(7, Digest::new(HashAlg::Sha256, &[byte; 32]).unwrap())]);
        let quote = attest(&Sha256::digest([1; 32]));
        assert_eq!(quoted(&quote, &bank(1)), Ok(true));
        assert_eq!(quoted(&quote, &bank(2)), Ok(false));
        assert!(quoted(&quote[1..], &bank(1)).is_err());
    }

    #[test]
    fn a_length_that_lies_is_refused() {
        assert_eq!(without_length("x", &[0, 1, 9]), Ok(&[9][..]));
        assert!(without_length("x", &[0, 2, 9]).is_err());
        assert!(without_length("x", &[0]).is_err());
    }
}

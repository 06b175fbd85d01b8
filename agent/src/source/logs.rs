//! The logs of measured boot and of IMA, as the kernel gives them. They sign nothing: the TPM's quote covers them.

use super::{Ask, Source, SourceError};
use assay_attest::evidence::{ima_log, uefi_log};
use assay_attest::session::Label;
use std::path::{Path, PathBuf};

/// The most that is read of one log, bytes: both and the rest of the evidence stay under the Verifier's bound.
const LIMIT: u64 = 640 * 1024;

/// One log.
#[derive(Debug)]
pub struct Log {
    label: Label,
    path: PathBuf,
}

impl Log {
    /// The firmware's event log: `/sys/kernel/security/tpm0/binary_bios_measurements`.
    #[must_use]
    pub fn uefi(path: &Path) -> Self {
        Self {
            label: Label::LogUefi,
            path: path.to_owned(),
        }
    }

    /// The IMA list: `/sys/kernel/security/ima/binary_runtime_measurements`.
    #[must_use]
    pub fn ima(path: &Path) -> Self {
        Self {
            label: Label::LogIma,
            path: path.to_owned(),
        }
    }
}

impl Source for Log {
    fn label(&self) -> Label {
        self.label
    }

    fn media_type(&self) -> &'static str {
        match self.label {
            Label::LogIma => ima_log::MEDIA_TYPE,
            _ => uefi_log::MEDIA_TYPE,
        }
    }

    fn collect(&mut self, _ask: &Ask<'_>) -> Result<Vec<u8>, SourceError> {
        let fault = |why: String| SourceError::File {
            path: self.path.display().to_string(),
            why,
        };
        let bytes = crate::files::read(&self.path, LIMIT)
            .map_err(|error| fault(error.to_string()))?
            .ok_or_else(|| fault("there is no such log: leave it out under `[logs]`".into()))?;
        Ok(match self.label {
            Label::LogIma => ima_log::ImaEvidence::write(0, &bytes),
            _ => bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_attest::session::{Binding, BindingChain, Session, SessionInput};

    fn binding() -> Binding {
        let hpke = assay_attest::hpke::HpkeKey::new(assay_attest::hpke::Kem::X25519, &[1; 32]);
        let session = Session::new(&SessionInput {
            nexus_id: [0; 32],
            subject: "d",
            purpose: assay_attest::session::Purpose::Attest,
            nonce: [0; 32],
            request_key_thumbprint: [0; 32],
            hpke: &hpke.unwrap(),
            activation_secret: b"",
        });
        BindingChain::new(session).binding(Label::LogUefi).unwrap()
    }

    #[test]
    fn a_log_is_read_bounded_and_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let ask = Ask {
            binding: &binding(),
            pcrs: &[7],
        };
        let missing = Log::uefi(&path).collect(&ask).unwrap_err();
        assert_eq!(missing.code(), "state.file");
        std::fs::write(&path, b"log").unwrap();
        assert_eq!(Log::uefi(&path).collect(&ask).unwrap(), b"log");
        let member = Log::ima(&path).collect(&ask).unwrap();
        assert_eq!(member, ima_log::ImaEvidence::write(0, b"log"));
        std::fs::write(&path, vec![0; 640 * 1024 + 1]).unwrap();
        assert!(Log::uefi(&path).collect(&ask).is_err());
    }
}

//! The lab's DICE in software, of `assay-attest`. **A software root proves nothing about hardware**: whoever can read its
//! secret is the device. A hardware source (BlueField's PSC through its BMC) is another member of the table.

use super::{Ask, Source, SourceError};
use assay_attest::attester::dice::SoftwareDice;
use assay_attest::digest::{Digest, HashAlg};
use assay_attest::evidence::dice::MEDIA_TYPE;
use assay_attest::refusal::Refusal;
use assay_attest::session::Label;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where the software root of trust lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftwareRoot {
    /// The unique device secret: 32 bytes. Made where it is missing.
    pub uds: PathBuf,
    /// The four certificates of the lab's factory, PEM, root first.
    pub certificates: PathBuf,
    /// What stands for the firmware: two files, measured at each start.
    pub firmware: [PathBuf; 2],
}

/// The source.
#[derive(Debug)]
pub struct Dice(SoftwareDice);

impl Dice {
    /// Measures the firmware and derives the layers.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn open(root: &SoftwareRoot) -> Result<Self, SourceError> {
        let uds = super::soft_key::seed(&root.uds)?;
        let provisioned = certificates(&root.certificates)?;
        let [first, runtime] = &root.firmware;
        let firmware = [measure(first)?, measure(runtime)?];
        SoftwareDice::boot(&uds, &provisioned, &firmware)
            .map(Self)
            .map_err(|refusal| build(&refusal))
    }
}

impl Source for Dice {
    fn label(&self) -> Label {
        Label::Irot
    }

    fn media_type(&self) -> &'static str {
        MEDIA_TYPE
    }

    fn collect(&mut self, ask: &Ask<'_>) -> Result<Vec<u8>, SourceError> {
        Ok(self.0.member(ask.binding))
    }

    fn warning(&self) -> Option<&'static str> {
        Some("the dice root is software: it proves nothing about hardware; use it in a lab only")
    }
}

fn build(refusal: &Refusal) -> SourceError {
    SourceError::Build {
        why: refusal.to_string(),
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, SourceError> {
    let fault = |why: String| SourceError::File {
        path: path.display().to_string(),
        why,
    };
    crate::files::read(path, limit)
        .map_err(|e| fault(e.to_string()))?
        .ok_or_else(|| fault("the file is missing".into()))
}

fn measure(path: &Path) -> Result<Digest, SourceError> {
    let bytes = read(path, 256 * 1024 * 1024)?;
    Ok(HashAlg::Sha384.hash(&[&bytes]))
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, SourceError> {
    let fault = |why: String| SourceError::File {
        path: path.display().to_string(),
        why,
    };
    let pem = read(path, 64 * 1024)?;
    let chain = x509_cert::Certificate::load_pem_chain(&pem).map_err(|e| fault(e.to_string()))?;
    chain
        .iter()
        .map(|certificate| der::Encode::to_der(certificate).map_err(|e| fault(e.to_string())))
        .collect()
}

//! The roots that evidence may end in, as the configuration pins them. NVIDIA's device identity root is always among them.

use std::path::PathBuf;

use assay_attest::chain::{Anchor, AnchorKind, TrustAnchors};
use assay_attest::codec::x509::Certificate;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;

use crate::verifier::Anchors;

/// What a root vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum For {
    /// Endorsement keys of TPMs.
    Ek,
    /// DICE chains.
    Dice,
}

/// Who stands behind a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The maker of the hardware.
    Vendor,
    /// Whoever runs the fleet.
    Operator,
    /// The maker's engineering parts: never production.
    Engineering,
}

/// A file of root certificates (PEM), all of one sort.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorFile {
    /// What they vouch for.
    pub r#for: For,
    /// Who stands behind them.
    pub by: By,
    /// Where they are.
    pub file: PathBuf,
}

/// A file of roots can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the anchors in `{file}` can't be used: {why}")]
pub struct BadAnchor {
    /// Which file.
    pub file: String,
    /// Why not.
    pub why: String,
}

/// Reads all of them.
///
/// # Errors
/// [`BadAnchor`] for a file that can't be read, holds none, or holds what is no CA certificate.
pub fn load(files: &[AnchorFile]) -> Result<Anchors, BadAnchor> {
    let (mut ek, mut dice) = (Vec::new(), vec![Anchor::nvidia_device_identity()]);
    for file in files {
        let anchors = read(file)?;
        match file.r#for {
            For::Ek => ek.extend(anchors),
            For::Dice => dice.extend(anchors),
        }
    }
    Ok(Anchors {
        ek: TrustAnchors::from_vec(ek),
        dice: TrustAnchors::from_vec(dice),
    })
}

fn read(file: &AnchorFile) -> Result<Vec<Anchor>, BadAnchor> {
    let bad = |why: String| BadAnchor {
        file: file.file.display().to_string(),
        why,
    };
    let name = file
        .file
        .file_stem()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let kind = match file.by {
        By::Vendor => AnchorKind::Vendor,
        By::Operator => AnchorKind::Operator,
        By::Engineering => AnchorKind::Engineering,
    };
    let mut out = Vec::new();
    for der in CertificateDer::pem_file_iter(&file.file).map_err(|e| bad(e.to_string()))? {
        let der = der.map_err(|e| bad(e.to_string()))?;
        let certificate = Certificate::parse(&der).map_err(|e| bad(e.to_string()))?;
        out.push(
            Anchor::from_certificate(&name, kind, &certificate).map_err(|e| bad(e.to_string()))?,
        );
    }
    if out.is_empty() {
        Err(bad("it holds no certificate".into()))
    } else {
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use assay_attest::time::Timestamp;
    use assay_tls::Validity;
    use base64ct::{Base64, Encoding};

    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, AnchorFile) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lab.pem");
        std::fs::write(&path, text).unwrap();
        (
            directory,
            AnchorFile {
                r#for: For::Ek,
                by: By::Operator,
                file: path,
            },
        )
    }

    fn pem(der: &[u8]) -> String {
        let body = Base64::encode_string(der);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn nvidias_root_is_always_there_and_no_ek_root_is() {
        let anchors = load(&[]).unwrap();
        assert!(anchors.ek.is_none());
        assert_eq!(
            anchors.dice.unwrap().iter().next().unwrap().name(),
            "nvidia-device-identity"
        );
    }

    #[test]
    fn a_root_is_read_and_a_leaf_is_not() {
        let key = assay_tls::CertKey::p256(&[7; 32]).unwrap();
        let (not_before, not_after) = (
            Timestamp::from_secs(1_767_225_600),
            Timestamp::from_secs(2_000_000_000),
        );
        let root = assay_tls::root(
            &key,
            [1; 16],
            Validity {
                not_before,
                not_after,
            },
        )
        .unwrap();
        let (_keep, good) = file(&pem(&root));
        assert_eq!(
            load(&[good])
                .unwrap()
                .ek
                .unwrap()
                .iter()
                .next()
                .unwrap()
                .name(),
            "lab"
        );
        let leaf = assay_tls::channel_certificate(&assay_tls::CertKey::ed25519(&[7; 32])).unwrap();
        let leaf = pem(&leaf);
        for bad in [
            leaf.as_str(),
            "",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let (_keep, pem) = file(bad);
            assert!(load(&[pem]).is_err(), "{bad}");
        }
    }
}

//! All that a host is to trust, in one document that the DPU may withhold and never forge (design sections 1 and 9).

use std::collections::BTreeMap;

use assay_attest::key::CheckSignature;
use assay_attest::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::HostId;
use crate::signed::rules::{CERTIFICATES, KEYS, demand, login, ssh_line};
use crate::signed::{DeliveryKeys, Document, SignedFault, Unverified, Verified, bytes, to_vec};

const WHAT: &str = "manifest";
/// The most that a KRL may take, in bytes.
pub const MAX_KRL: usize = 1024 * 1024;
const MAX_LOGINS: usize = 64;
const MAX_CAS: usize = 16;

/// What a host installs. Its files are inside, so the one signature covers them as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The host that it is for.
    pub host_id: HostId,
    /// Counts up with every manifest for this host.
    pub sequence: u64,
    /// When the nexus made it.
    pub issued: Timestamp,
    /// From then on the host takes no CA login; local keys go on working.
    pub not_after: Timestamp,
    /// The delivery keys to pin from now on.
    pub delivery_keys: DeliveryKeys,
    /// The files.
    pub files: Files,
    /// For the trial login; absent where the files are those of the manifest before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

/// What is written to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// `TrustedUserCAKeys`: public key lines of the SSH CAs, current and next, without options or comments.
    pub user_cas: Vec<String>,
    /// `RevokedKeys`: an OpenSSH KRL. Never empty: an empty file would turn revocation off.
    #[serde(with = "bytes")]
    pub krl: Vec<u8>,
    /// Principals of each managed login: its own `<login>@<host id>` or none; a login without any takes no certificate.
    pub principals: BTreeMap<String, Vec<String>>,
    /// `HostCertificate`: a certificate line for the sshd host key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_certificate: Option<String>,
}

/// What the trial login needs: a certificate that must open the door, and one that must not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The trial key that the pairing states: a public key line.
    pub key: String,
    /// A certificate for it, five minutes, `force-command=/bin/true`, loopback only.
    pub good: String,
    /// A second one that is already in the KRL.
    pub revoked: String,
}

impl Document for Manifest {
    const WHAT: &'static str = WHAT;
    const CONTENT_TYPE: &'static str = "application/vnd.assay.manifest+cbor";
    const DOMAIN: &'static str = "assay/manifest/1";
    const LIMIT: usize = MAX_KRL + 256 * 1024;

    fn check(&self) -> Result<(), SignedFault> {
        let Files {
            user_cas,
            krl,
            principals,
            host_certificate,
        } = &self.files;
        demand(
            WHAT,
            self.not_after > self.issued,
            "it ends before it begins",
        )?;
        demand(
            WHAT,
            user_cas.len() <= MAX_CAS,
            "it has more than 16 ca keys",
        )?;
        for line in user_cas {
            ssh_line(WHAT, line, KEYS)?;
        }
        // PROTOCOL.krl: the magic of a KRL in OpenSSH's binary form.
        let is_krl = krl.starts_with(b"SSHKRL\n\0") && krl.len() <= MAX_KRL;
        demand(
            WHAT,
            is_krl,
            "its krl is empty, over 1 MiB or no openssh krl",
        )?;
        demand(
            WHAT,
            principals.len() <= MAX_LOGINS,
            "it has more than 64 logins",
        )?;
        for (name, allowed) in principals {
            login(WHAT, name)?;
            demand(
                WHAT,
                allowed.len() <= MAX_LOGINS,
                "a login has more than 64 principals",
            )?;
            for principal in allowed {
                let bare = principal
                    .strip_suffix(self.host_id.as_str())
                    .and_then(|p| p.strip_suffix('@'));
                demand(
                    WHAT,
                    bare == Some(name),
                    "a principal is not its login's own at this host",
                )?;
            }
        }
        if let Some(line) = host_certificate {
            ssh_line(WHAT, line, CERTIFICATES)?;
        }
        if let Some(trial) = &self.trial {
            ssh_line(WHAT, &trial.key, KEYS)?;
            ssh_line(WHAT, &trial.good, CERTIFICATES)?;
            ssh_line(WHAT, &trial.revoked, CERTIFICATES)?;
            demand(
                WHAT,
                trial.good != trial.revoked,
                "its two trial certificates are one",
            )?;
        }
        Ok(())
    }
}

impl Files {
    /// SHA-256 over the files: two manifests with the same digest differ in nothing that needs a reload or a trial.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        // INVARIANT: strings, bytes and maps of them always encode.
        Sha256::digest(to_vec(self).unwrap_or_default()).into()
    }

    /// Whether these files give nothing that `before` did not give: then they are no release and pass no gate. The KRL is
    /// not compared, since the nexus's KRLs only grow.
    #[must_use]
    pub fn only_remove_from(&self, before: &Self) -> bool {
        let cas = self.user_cas.iter().all(|ca| before.user_cas.contains(ca));
        let certificate =
            self.host_certificate.is_none() || self.host_certificate == before.host_certificate;
        let principals = self.principals.iter().all(|(login, allowed)| {
            let had = before.principals.get(login);
            allowed
                .iter()
                .all(|p| had.is_some_and(|had| had.contains(p)))
        });
        cas && certificate && principals
    }
}

/// What a host has in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The sequence of its manifest.
    pub sequence: u64,
    /// SHA-256 of that manifest's bytes.
    pub digest: [u8; 32],
}

impl Unverified<Manifest> {
    /// Checks signature, host and sequence, in this order. The manifest in force may come again, byte for byte.
    ///
    /// # Errors
    /// [`SignedFault::Signature`], [`SignedFault::OtherHost`], [`SignedFault::Older`].
    pub fn verify(
        self,
        pinned: &DeliveryKeys,
        host: &HostId,
        in_force: Option<InForce>,
        checks: &dyn CheckSignature,
    ) -> Result<Verified<Manifest>, SignedFault> {
        let verified = self.verify_by(pinned.iter(), checks)?;
        let manifest = verified.content();
        if manifest.host_id != *host {
            return Err(SignedFault::OtherHost { what: WHAT });
        }
        match in_force {
            Some(last)
                if manifest.sequence < last.sequence
                    || (manifest.sequence == last.sequence && verified.digest() != last.digest) =>
            {
                Err(SignedFault::Older {
                    what: WHAT,
                    found: manifest.sequence,
                    last: last.sequence,
                })
            }
            _ => Ok(verified),
        }
    }
}

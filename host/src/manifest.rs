//! From the bytes of a manifest to what sshd is to trust: every check before anything is touched.

use crate::login::Login;
use crate::record::Record;
use crate::sshd::{Trial, Trust};
use assay_api::checks::SoftwareChecks;
use assay_api::manifest::Manifest;
use assay_api::pairing::Pairing;
use assay_api::signed::{SignedFault, Unverified};
use assay_attest::time::Timestamp;
use ssh_key::{Certificate, PublicKey};
use std::collections::BTreeSet;

/// Why a manifest is refused. The signature has been checked before any of these but the first.
#[derive(Debug, thiserror::Error)]
pub enum ManifestFault {
    /// As a signed document: shape, signature, host, sequence.
    #[error(transparent)]
    Signed(#[from] SignedFault),
    /// Its time is over.
    #[error(
        "the manifest ended at `{not_after}`: have the DPU fetch a newer one, and check this host's clock"
    )]
    Expired {
        /// When.
        not_after: String,
    },
    /// It manages a login that this host's owner did not name.
    #[error("the manifest manages login `{login}`, which the pairing does not name")]
    Login {
        /// The login.
        login: String,
    },
    /// It opens a login for another principal.
    #[error("the manifest opens login `{login}` for `{principal}`, which is not its own principal")]
    Principal {
        /// The login.
        login: String,
        /// The principal.
        principal: String,
    },
    /// A line of it is no key or certificate.
    #[error("the manifest's {what} does not read as an OpenSSH key or certificate")]
    Ssh {
        /// Which.
        what: &'static str,
    },
    /// Its host certificate names what the pairing does not.
    #[error("the manifest's host certificate names `{found}`, which the pairing does not")]
    HostPrincipal {
        /// What it names.
        found: String,
    },
    /// Its trial is for another key.
    #[error("the manifest's trial is for another trial key than this host's: pair the host anew")]
    TrialKey,
}

impl ManifestFault {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Signed(fault) => fault.code(),
            Self::Expired { .. } => "manifest.expired",
            Self::Login { .. } => "manifest.login",
            Self::Principal { .. } => "manifest.principal",
            Self::Ssh { .. } => "manifest.ssh",
            Self::HostPrincipal { .. } => "manifest.host_principal",
            Self::TrialKey => "manifest.trial_key",
        }
    }
}

/// A manifest that may be installed.
#[derive(Debug)]
pub struct Checked {
    /// What to install.
    pub trust: Trust,
    /// What to remember with it.
    pub record: Record,
}

/// Checks a manifest against the pinned pairing and what is in force.
///
/// # Errors
/// [`ManifestFault`].
pub fn check(
    bytes: &[u8],
    pairing: &Pairing,
    last: Option<&Record>,
    now: Timestamp,
) -> Result<Checked, ManifestFault> {
    let pinned = last.map_or_else(|| pairing.delivery_keys.clone(), Record::delivery_keys);
    let verified = Unverified::<Manifest>::parse(bytes)?.verify(
        &pinned,
        &pairing.host_id,
        last.map(Record::in_force),
        &SoftwareChecks,
    )?;
    let not_after = verified.content().not_after;
    if not_after <= now {
        return Err(ManifestFault::Expired {
            not_after: assay_api::types::Time(not_after).to_string(),
        });
    }
    Ok(Checked {
        trust: trust(verified.content(), pairing)?,
        record: Record::of(&verified),
    })
}

/// The content of a manifest that was checked when it was recorded: its keys may have been rotated since.
///
/// # Errors
/// [`ManifestFault`].
pub fn recorded(bytes: &[u8], pairing: &Pairing) -> Result<Trust, ManifestFault> {
    trust(Unverified::<Manifest>::parse(bytes)?.claimed(), pairing)
}

fn trust(manifest: &Manifest, pairing: &Pairing) -> Result<Trust, ManifestFault> {
    let user_ca = manifest
        .files
        .user_cas
        .iter()
        .map(|line| {
            PublicKey::from_openssh(line).map_err(|_bad| ManifestFault::Ssh { what: "CA key" })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let host_certificate = manifest
        .files
        .host_certificate
        .as_deref()
        .map(|line| certificate(line, "host certificate"))
        .transpose()?;
    if let Some(cert) = &host_certificate
        && let Some(found) = cert
            .valid_principals()
            .iter()
            .find(|name| !pairing.principals.contains(name))
    {
        return Err(ManifestFault::HostPrincipal {
            found: found.clone(),
        });
    }
    Ok(Trust {
        host: manifest.host_id.clone(),
        logins: logins(manifest, pairing)?,
        user_ca,
        krl: manifest.files.krl.clone(),
        host_certificate,
        not_after: manifest.not_after,
        trial: trial(manifest, pairing)?,
    })
}

/// The logins that take certificates: each by its own principal, and none that the pairing does not name.
fn logins(manifest: &Manifest, pairing: &Pairing) -> Result<BTreeSet<Login>, ManifestFault> {
    let mut logins = BTreeSet::new();
    for (name, principals) in &manifest.files.principals {
        let not_ours = || ManifestFault::Login {
            login: name.clone(),
        };
        if !pairing.request.logins.contains(name) {
            return Err(not_ours());
        }
        let login = Login::parse(name).map_err(|_bad| not_ours())?;
        let own = format!("{login}@{}", manifest.host_id);
        if let Some(other) = principals.iter().find(|principal| **principal != own) {
            return Err(ManifestFault::Principal {
                login: name.clone(),
                principal: other.clone(),
            });
        }
        if !principals.is_empty() {
            logins.insert(login);
        }
    }
    Ok(logins)
}

fn trial(manifest: &Manifest, pairing: &Pairing) -> Result<Option<Trial>, ManifestFault> {
    let Some(trial) = &manifest.trial else {
        return Ok(None);
    };
    if trial.key != pairing.request.trial_key {
        return Err(ManifestFault::TrialKey);
    }
    let good = certificate(&trial.good, "trial certificate")?;
    // The login is the one that the certificate names; whether it fits is checked with the rest of the trial.
    let login = good
        .valid_principals()
        .first()
        .and_then(|principal| principal.split_once('@'))
        .and_then(|(login, _)| Login::parse(login).ok())
        .ok_or(ManifestFault::Ssh {
            what: "trial certificate",
        })?;
    Ok(Some(Trial {
        login,
        certificate: good,
        revoked: certificate(&trial.revoked, "revoked trial certificate")?,
    }))
}

fn certificate(line: &str, what: &'static str) -> Result<Certificate, ManifestFault> {
    Certificate::from_openssh(line).map_err(|_bad| ManifestFault::Ssh { what })
}

//! What sshd is to trust: the content of one verified manifest, in parsed form.

use super::Fault;
use crate::login::Login;
use assay_api::id::HostId;
use assay_attest::time::Timestamp;
use ssh_key::certificate::CertType;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, PublicKey};
use std::collections::BTreeSet;

/// What sshd is to trust. Whoever makes one vouches for where it came from; what is inside is checked against itself by
/// [`Trust::check_list`] and [`Trust::check`].
#[derive(Clone, Debug)]
pub struct Trust {
    /// The host.
    pub host: HostId,
    /// The managed logins that CA certificates may open.
    pub logins: BTreeSet<Login>,
    /// User CA keys.
    pub user_ca: Vec<PublicKey>,
    /// The revocation list (OpenSSH PROTOCOL.krl).
    pub krl: Vec<u8>,
    /// sshd's host certificate.
    pub host_certificate: Option<Certificate>,
    /// When CA logins stop.
    pub not_after: Timestamp,
    /// What proves it; may be absent only where nothing could log in, or where the content only removes.
    pub trial: Option<Trial>,
}

/// Two certificates for the host's trial key.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The login they are for.
    pub login: Login,
    /// One that must be let in.
    pub certificate: Certificate,
    /// One that is in the revocation list and must not.
    pub revoked: Certificate,
}

/// `SSHKRL\n\0`, with which every KRL begins (OpenSSH PROTOCOL.krl). An empty file and a list of keys do not, and sshd takes both.
const KRL_MAGIC: &[u8] = b"SSHKRL\n\0";

impl Trust {
    /// The one principal that opens a login here.
    #[must_use]
    pub fn principal(&self, login: &Login) -> String {
        format!("{login}@{}", self.host)
    }

    /// What must be so for the revocation list to count, before anything is touched.
    ///
    /// # Errors
    /// [`Fault::Expired`], [`Fault::Krl`].
    pub fn check_list(&self, now: Timestamp) -> Result<(), Fault> {
        if self.not_after <= now {
            return Err(Fault::Expired {
                not_after: assay_api::types::Time(self.not_after).to_string(),
            });
        }
        if !self.krl.starts_with(KRL_MAGIC) {
            return Err(Fault::Krl {
                why: "it does not begin as one".to_owned(),
            });
        }
        Ok(())
    }

    /// Checks the other parts against each other, before any of them is put in place.
    ///
    /// `sshd_key` is sshd's host key, `trial_key` the host's own.
    ///
    /// # Errors
    /// [`Fault::TrialUnfit`].
    pub fn check(
        &self,
        sshd_key: &KeyData,
        trial_key: &KeyData,
        now: Timestamp,
    ) -> Result<(), Fault> {
        if let Some(cert) = &self.host_certificate {
            let fits = cert.cert_type() == CertType::Host
                && cert.public_key() == sshd_key
                && !cert.valid_principals().is_empty()
                && cert.critical_options().is_empty()
                && in_force(cert, now)
                && cert.verify_signature().is_ok();
            if !fits {
                return Err(unfit(
                    "the host certificate is not one for this sshd's key, in force now",
                ));
            }
        }
        if let Some(trial) = &self.trial {
            self.check_trial(trial, trial_key, now)?;
        }
        Ok(())
    }

    fn check_trial(&self, trial: &Trial, trial_key: &KeyData, now: Timestamp) -> Result<(), Fault> {
        if !self.logins.contains(&trial.login) {
            return Err(unfit("it is for a login that is not managed"));
        }
        let principal = self.principal(&trial.login);
        for cert in [&trial.certificate, &trial.revoked] {
            if cert.cert_type() != CertType::User || cert.public_key() != trial_key {
                return Err(unfit("a certificate is not for this host's trial key"));
            }
            if !self
                .user_ca
                .iter()
                .any(|key| key.key_data() == cert.signature_key())
                || cert.verify_signature().is_err()
            {
                return Err(unfit("a certificate is not by a CA of the manifest"));
            }
            if cert.valid_principals() != [principal.as_str()] {
                return Err(unfit("a certificate names another principal"));
            }
            let force = cert.critical_options().get("force-command");
            if force.map(String::as_str) != Some("/bin/true") {
                return Err(unfit("a certificate could do more than `/bin/true`"));
            }
            if !in_force(cert, now) {
                return Err(unfit(
                    "a certificate is not in force now: check this host's clock, or have a new manifest sent",
                ));
            }
        }
        if trial.certificate.serial() == trial.revoked.serial() {
            return Err(unfit("both certificates are the same"));
        }
        Ok(())
    }
}

/// RFC-less OpenSSH rule: `valid_after <= now < valid_before`.
fn in_force(cert: &Certificate, now: Timestamp) -> bool {
    cert.valid_after() <= now.as_secs() && now.as_secs() < cert.valid_before()
}

fn unfit(why: &str) -> Fault {
    Fault::TrialUnfit {
        why: why.to_owned(),
    }
}

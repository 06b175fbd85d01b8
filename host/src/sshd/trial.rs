//! The trial login: a real ssh into the real sshd, once to be let in and once to be refused.

use super::Fault;
use super::tools::{both, krl_reads, krl_revokes};
use super::trust::{Trial, Trust};
use crate::config::Sshd;
use crate::run::{Ran, run};
use ssh_key::Certificate;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A directory with what ssh needs, gone when dropped.
#[derive(Debug)]
pub(crate) struct Bench {
    dir: tempfile::TempDir,
}

const OK: &str = "ok";
const REVOKED: &str = "revoked";

impl Bench {
    /// Lays the revocation list out and, where there is a trial, its certificates beside links to the trial key.
    pub(crate) fn lay(state: &Path, trust: &Trust, key: &Path) -> Result<Self, Fault> {
        let dir = tempfile::Builder::new()
            .prefix("trial.")
            .tempdir_in(state)?;
        let bench = Self { dir };
        fs::write(bench.path("krl"), &trust.krl)?;
        if let Some(trial) = &trust.trial {
            // ssh takes `<key>-cert.pub` as the certificate of `<key>`.
            for (name, cert) in [(OK, &trial.certificate), (REVOKED, &trial.revoked)] {
                symlink(key, bench.path(name))?;
                fs::write(bench.path(&format!("{name}-cert.pub")), line(cert)?)?;
            }
        }
        Ok(bench)
    }

    /// Has ssh-keygen read the list, and try both certificates on it, before sshd is touched.
    pub(crate) fn check_krl(&self, sshd: &Sshd, trust: &Trust) -> Result<(), Fault> {
        let krl = self.path("krl");
        let revokes = |name: &str| {
            let cert = self.path(&format!("{name}-cert.pub"));
            krl_revokes(sshd, &krl, &cert)
        };
        if trust.trial.is_none() {
            return krl_reads(sshd, &krl);
        }
        let (reads, answers) = both(
            || krl_reads(sshd, &krl),
            || Ok(both(|| revokes(OK), || revokes(REVOKED))),
        );
        reads?;
        let (ok, revoked) = answers?;
        for (name, found, wanted) in [(OK, ok, false), (REVOKED, revoked, true)] {
            if found? != wanted {
                return Err(Fault::TrialUnfit {
                    why: format!("the revocation list has the `{name}` certificate wrong"),
                });
            }
        }
        Ok(())
    }

    /// Logs in for real.
    pub(crate) fn log_in(&self, sshd: &Sshd, trust: &Trust, trial: &Trial) -> Result<(), Fault> {
        let alias = self.know_the_host(sshd, trust)?;
        let login = trial.login.to_string();
        let (ran, revoked) = std::thread::scope(|both| {
            let revoked = both.spawn(|| self.ssh(sshd, &alias, &login, REVOKED));
            let ran = self.ssh(sshd, &alias, &login, OK);
            let gone = || io::Error::other("the trial's thread has gone");
            let revoked = revoked.join().unwrap_or_else(|_panic| Err(gone().into()));
            (ran, revoked)
        });
        let ran = ran?;
        if !ran.ok() {
            return Err(Fault::Trial {
                login,
                why: ran.complaint(),
            });
        }
        let ran = revoked?;
        if ran.ok() {
            return Err(Fault::RevokedAccepted { login });
        }
        if ran.code == Some(255) && ran.stderr.contains("Permission denied") {
            Ok(())
        } else {
            Err(Fault::RevokedUnclear {
                why: ran.complaint(),
            })
        }
    }

    /// Pins sshd's host key, or the CA of its host certificate: then the certificate must be shown, too.
    fn know_the_host(&self, sshd: &Sshd, trust: &Trust) -> Result<String, Fault> {
        let (alias, known) = match &trust.host_certificate {
            Some(cert) => {
                let name = cert.valid_principals().first().cloned().unwrap_or_default();
                let ca = ssh_key::PublicKey::new(cert.signature_key().clone(), "");
                let ca = ca.to_openssh().map_err(io::Error::other)?;
                let line = format!("@cert-authority {name} {ca}\n");
                (name, line)
            }
            None => {
                let key = fs::read_to_string(&sshd.host_key)?;
                ("assay-trial".to_owned(), format!("assay-trial {key}\n"))
            }
        };
        fs::write(self.path("known_hosts"), known)?;
        Ok(alias)
    }

    fn ssh(&self, sshd: &Sshd, alias: &str, login: &str, key: &str) -> Result<Ran, Fault> {
        let options = [
            format!("UserKnownHostsFile={}", self.path("known_hosts").display()),
            format!("HostKeyAlias={alias}"),
            format!("IdentityFile={}", self.path(key).display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            // Certificates alone: the bare trial key must not be what opens the door.
            "PubkeyAcceptedAlgorithms=*-cert-v01@openssh.com".to_owned(),
            "PreferredAuthentications=publickey".to_owned(),
            "BatchMode=yes".to_owned(),
            "ControlPath=none".to_owned(),
            "ConnectTimeout=10".to_owned(),
        ];
        let mut args: Vec<String> = ["-F", "none", "-n", "-T", "-x", "-a"]
            .map(str::to_owned)
            .into();
        args.extend(options.into_iter().flat_map(|one| ["-o".to_owned(), one]));
        args.extend(["-p".to_owned(), sshd.port.to_string()]);
        args.extend(["-l".to_owned(), login.to_owned(), sshd.address.to_string()]);
        args.push("/bin/true".to_owned());
        run(&sshd.ssh, &args, Duration::from_secs(40)).map_err(|error| Fault::Tool {
            program: sshd.ssh.display().to_string(),
            why: error.to_string(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A certificate as its one line.
pub(crate) fn line(cert: &Certificate) -> Result<String, Fault> {
    let text = cert.to_openssh().map_err(io::Error::other)?;
    Ok(format!("{}\n", text.trim_end()))
}

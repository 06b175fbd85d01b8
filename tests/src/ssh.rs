//! The ssh client: a key, a certificate, the trust that the nexus gives, real logins.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use assay_api::types::SshTrust;
use tempfile::TempDir;

use crate::programs;

/// A user's key with what belongs to it.
#[derive(Debug)]
pub struct SshClient {
    dir: TempDir,
    /// The public key line.
    pub public_key: String,
}

/// What came of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// It worked.
    In,
    /// The server did not take the key or certificate.
    Denied,
    /// The client did not take the server's key, or knows it as revoked.
    HostRefused(String),
    /// Something else.
    Other(String),
}

impl SshClient {
    /// A fresh key.
    ///
    /// # Panics
    /// Where ssh-keygen fails.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("assay-ssh.")
            .tempdir()
            .unwrap();
        let key = dir.path().join("key").display().to_string();
        programs::must(
            &programs::find("ssh-keygen").unwrap(),
            &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", &key],
        );
        let public_key = fs::read_to_string(dir.path().join("key.pub"))
            .unwrap()
            .trim()
            .to_owned();
        Self { dir, public_key }
    }

    /// Takes a certificate.
    ///
    /// # Panics
    /// Where it can't be written.
    pub fn certificate(&self, line: &str) {
        fs::write(self.at("certificate"), format!("{}\n", line.trim())).unwrap();
    }

    /// Takes the trust that the nexus gives to clients.
    ///
    /// # Panics
    /// Where it can't be written.
    pub fn trust(&self, trust: &SshTrust) {
        fs::write(
            self.at("known_hosts"),
            format!("{}\n", trust.known_hosts.join("\n")),
        )
        .unwrap();
        fs::write(self.at("revoked"), &trust.revoked_host_keys.0).unwrap();
    }

    /// Trusts whatever the server shows: for tests of the server's side alone.
    ///
    /// # Panics
    /// Where it can't be written.
    pub fn trust_blindly(&self) {
        let _none = fs::remove_file(self.at("known_hosts"));
    }

    /// Logs in as this user, with the certificate.
    #[must_use]
    pub fn login(&self, port: u16, name: &str) -> Login {
        let certificate = format!("CertificateFile={}", self.at("certificate").display());
        self.ssh(port, name, &self.at("key"), &["-o", &certificate])
    }

    /// Logs in with another key and no certificate.
    #[must_use]
    pub fn login_with(&self, port: u16, name: &str, key: &std::path::Path) -> Login {
        self.ssh(port, name, key, &[])
    }

    fn ssh(&self, port: u16, name: &str, key: &std::path::Path, more: &[&str]) -> Login {
        let known = self.at("known_hosts");
        let mut options = vec![
            format!("IdentityFile={}", key.display()),
            format!("HostKeyAlias={name}"),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "BatchMode=yes".to_owned(),
            "ConnectTimeout=20".to_owned(),
        ];
        if known.is_file() {
            options.push(format!("UserKnownHostsFile={}", known.display()));
            options.push(format!("RevokedHostKeys={}", self.at("revoked").display()));
            options.push("StrictHostKeyChecking=yes".to_owned());
        } else {
            options.push("UserKnownHostsFile=/dev/null".to_owned());
            options.push("StrictHostKeyChecking=no".to_owned());
        }
        let port = port.to_string();
        let user = me();
        let mut args = vec!["-F", "none", "-n", "-T", "-p", &port, "-l", &user];
        for option in &options {
            args.extend(["-o", option]);
        }
        args.extend(more);
        args.extend(["127.0.0.1", "echo in"]);
        outcome(&programs::run(&programs::find("ssh").unwrap(), &args))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Default for SshClient {
    fn default() -> Self {
        Self::new()
    }
}

/// This user's login name.
///
/// # Panics
/// Where this user has none.
#[must_use]
pub fn me() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .unwrap()
        .name
}

fn outcome(ran: &Output) -> Login {
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    match ran.status.code() {
        Some(0) if ran.stdout == b"in\n" => Login::In,
        _ if said.contains("Permission denied") => Login::Denied,
        _ if said.contains("Host key verification failed") || said.contains("revoked") => {
            Login::HostRefused(said)
        }
        _ => Login::Other(said),
    }
}

//! The host's two private keys: the host key (channel, posture, statements) and the trial key. Made here, they never leave.

use crate::files;
use assay_tls::CertKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ed25519_dalek::{Signer, SigningKey};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{PrivateKey, PublicKey};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Why the keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// A file operation failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Others may read a key.
    #[error(
        "`{path}` may be read by others: `chmod 600` it if nobody did, else make new keys (`assay-host init --force`)"
    )]
    Mode {
        /// The file.
        path: String,
    },
    /// A key does not read.
    #[error(
        "`{path}` holds no Ed25519 private key: restore it, or make new keys (`assay-host init --force`)"
    )]
    Damaged {
        /// The file.
        path: String,
    },
    /// There is no randomness.
    #[error("the system gives no randomness")]
    Random,
}

impl KeyFault {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "key.io",
            Self::Mode { .. } => "key.mode",
            Self::Damaged { .. } => "key.damaged",
            Self::Random => "key.random",
        }
    }
}

/// The host key.
pub struct HostKey(SigningKey);

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostKey(..)")
    }
}

impl HostKey {
    /// Its public key, 32 bytes.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// An Ed25519 signature (RFC 8032), 64 bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// For TLS.
    #[must_use]
    pub fn for_tls(&self) -> CertKey {
        CertKey::ed25519(&Zeroizing::new(self.0.to_bytes()))
    }
}

/// Where they are.
#[derive(Clone, Debug)]
pub struct KeyFiles {
    host: PathBuf,
    trial: PathBuf,
}

impl KeyFiles {
    /// In the state directory.
    #[must_use]
    pub fn in_dir(state: &Path) -> Self {
        Self {
            host: state.join("host_key"),
            trial: state.join("trial_key"),
        }
    }

    /// The trial key in OpenSSH's form; its public half stands beside it as `.pub`.
    #[must_use]
    pub const fn trial(&self) -> &PathBuf {
        &self.trial
    }

    /// Whether there is a host key.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.host.exists()
    }

    /// Makes both anew, from 64 fresh random bytes, and gives the host key and the trial key's public line.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn make(&self, random: &Zeroizing<[u8; 64]>) -> Result<(HostKey, String), KeyFault> {
        let (first, second) = random.split_first_chunk::<32>().ok_or(KeyFault::Random)?;
        let second: &[u8; 32] = second.try_into().map_err(|_short| KeyFault::Random)?;
        let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(second));
        let trial = PrivateKey::new(pair, "").map_err(io::Error::other)?;
        let line = bare_line(trial.public_key())?;
        let text = trial.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
        files::replace(&self.trial, text.as_bytes(), 0o600)?;
        let public = format!("{line}\n");
        files::replace(&self.trial.with_extension("pub"), public.as_bytes(), 0o644)?;
        // The host key last: while it is missing, nothing is made.
        let host = SigningKey::from_bytes(first);
        let pem = host
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(io::Error::other)?;
        files::replace(&self.host, pem.as_bytes(), 0o600)?;
        Ok((HostKey(host), line))
    }

    /// Reads the host key; `None` where there is none.
    ///
    /// # Errors
    /// [`KeyFault`], also where either file may be read by others.
    pub fn read(&self) -> Result<Option<HostKey>, KeyFault> {
        let Some(bytes) = files::read(&self.host)?.map(Zeroizing::new) else {
            return Ok(None);
        };
        for path in [&self.host, &self.trial] {
            if files::mode_of(path, 0o600) & 0o077 != 0 {
                return Err(KeyFault::Mode {
                    path: path.display().to_string(),
                });
            }
        }
        std::str::from_utf8(&bytes)
            .ok()
            .and_then(|pem| SigningKey::from_pkcs8_pem(pem).ok())
            .map(|key| Some(HostKey(key)))
            .ok_or_else(|| KeyFault::Damaged {
                path: self.host.display().to_string(),
            })
    }
}

/// An OpenSSH public key as type and base64 alone, as pairings state it.
///
/// # Errors
/// Where it has no such form.
pub fn bare_line(key: &PublicKey) -> io::Result<String> {
    let line = key.to_openssh().map_err(io::Error::other)?;
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some(kind), Some(body)) => Ok(format!("{kind} {body}")),
        _ => Err(io::Error::other("a public key has no text form")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_read_back_and_kept_to_root() {
        let dir = tempfile::tempdir().unwrap();
        let files = KeyFiles::in_dir(dir.path());
        assert!(files.read().unwrap().is_none());
        let (made, line) = files.make(&Zeroizing::new([3; 64])).unwrap();
        assert!(line.starts_with("ssh-ed25519 ") && line.split(' ').count() == 2);
        assert_eq!(files.read().unwrap().unwrap().public(), made.public());
        assert_eq!(format!("{made:?}"), "HostKey(..)");
        let path = dir.path().join("host_key");
        let bytes = std::fs::read(&path).unwrap();
        files::replace(&path, &bytes, 0o640).unwrap();
        assert_eq!(files.read().unwrap_err().code(), "key.mode");
        files::replace(&path, b"x", 0o600).unwrap();
        assert_eq!(files.read().unwrap_err().code(), "key.damaged");
    }
}

//! The password of the controller's account: read anew for each proof, so that it rotates without a restart, and never tried
//! again once it was refused twice: controllers lock accounts.

use super::BmcError;
use crate::files;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The longest password, bytes.
const PASSWORD: u64 = 256;
/// Refusals after which a password is given up.
const TRIES: u8 = 2;
/// The credential's name in the unit.
const CREDENTIAL: &str = "bmc-password";

/// Where the password is, and what is known of it.
pub(super) struct Credentials {
    file: Option<PathBuf>,
    refused: PathBuf,
    /// The same as in the file, for a disk that takes nothing.
    last: RefCell<Option<Refused>>,
}

/// What is kept of a password that was refused: enough to know it again, too little to learn anything of it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    salt: [u8; 16],
    /// Two bytes of a salted hash: a guess is confirmed by one in 65,536 of all wrong ones, too.
    mark: [u8; 2],
    times: u8,
}

impl Credentials {
    pub(super) const fn new(file: Option<PathBuf>, refused: PathBuf) -> Self {
        let last = RefCell::new(None);
        Self {
            file,
            refused,
            last,
        }
    }

    /// The password, unless it is one that the controller has refused.
    pub(super) fn password(&self, user: &str) -> Result<Zeroizing<String>, BmcError> {
        let why = |why: String| BmcError::Password { why };
        let path = match &self.file {
            Some(path) => path.clone(),
            None => std::env::var_os("CREDENTIALS_DIRECTORY")
                .map(|dir| PathBuf::from(dir).join(CREDENTIAL))
                .ok_or_else(|| why("the unit has no credentials".into()))?,
        };
        let bytes = files::read(&path, PASSWORD)
            .map_err(|e| why(format!("`{}`: {e}", path.display())))?
            .ok_or_else(|| why(format!("`{}` is missing", path.display())))?;
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).map_err(|_no| why("it is not UTF-8".into()))?;
        let password = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
        if password.is_empty() {
            return Err(why(format!("`{}` is empty", path.display())));
        }
        match self.kept() {
            Some(kept) if kept.times >= TRIES && kept.is(&password) => Err(BmcError::Refused {
                user: user.to_owned(),
            }),
            _ => Ok(password),
        }
    }

    /// The controller said 401 to this password.
    pub(super) fn refuse(&self, password: &str) {
        let times = match self.kept() {
            Some(kept) if kept.is(password) => kept.times.saturating_add(1),
            _ => 1,
        };
        let mut salt = [0; 16];
        if getrandom::fill(&mut salt).is_err() {
            // That the refusal is kept counts more.
            salt = [0; 16];
        }
        let kept = Refused {
            salt,
            mark: mark(&salt, password),
            times,
        };
        self.last.replace(Some(kept.clone()));
        let written = serde_json::to_vec(&kept)
            .map_err(std::io::Error::from)
            .and_then(|bytes| files::write(&self.refused, &bytes));
        if let Err(error) = written {
            tracing::warn!(%error, "the refusal of the bmc can't be kept over a restart");
        }
    }

    /// The controller took the password, and did what was asked.
    pub(super) fn accept(&self) {
        self.last.replace(None);
        if self.refused.exists() {
            drop(files::remove(&self.refused));
        }
    }

    fn kept(&self) -> Option<Refused> {
        let read = files::read(&self.refused, 1024).ok().flatten();
        let kept = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        kept.or_else(|| self.last.borrow().clone())
    }
}

impl Refused {
    fn is(&self, password: &str) -> bool {
        mark(&self.salt, password) == self.mark
    }
}

fn mark(salt: &[u8; 16], password: &str) -> [u8; 2] {
    let hash = Sha256::new().chain_update(salt).chain_update(password);
    let [first, second, ..] = <[u8; 32]>::from(hash.finalize());
    [first, second]
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

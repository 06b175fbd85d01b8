//! What to put back: written before the first change, removed after the last, so that a crash leaves the old or the new.

use super::Fault;
use super::layout::{Role, Wanted};
use crate::files;
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The files of one change as they were.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    version: u32,
    files: Vec<Before>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    path: PathBuf,
    directive: bool,
    reload: bool,
    mode: u32,
    /// Base64; absent where there was no file.
    bytes: Option<String>,
}

impl Journal {
    /// Takes down how things are.
    pub(crate) fn of(changes: &[Wanted]) -> Result<Self, Fault> {
        let before = |change: &Wanted| -> Result<Before, Fault> {
            Ok(Before {
                path: change.path.clone(),
                directive: change.role == Role::Directive,
                reload: change.role.needs_reload(),
                mode: files::mode_of(&change.path, change.mode),
                bytes: files::read(&change.path)?.map(|bytes| Base64::encode_string(&bytes)),
            })
        };
        Ok(Self {
            version: 1,
            files: changes.iter().map(before).collect::<Result<_, _>>()?,
        })
    }

    /// Reads what an interrupted installation left; `None` where there was none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Fault> {
        let Some(bytes) = files::read(path)? else {
            return Ok(None);
        };
        let damaged = |why: String| Fault::Journal { why };
        let journal: Self =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if journal.version == 1 {
            Ok(Some(journal))
        } else {
            Err(damaged(format!("version {}", journal.version)))
        }
    }

    /// Makes it last.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Fault> {
        let bytes = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        Ok(files::replace(path, &bytes, 0o600)?)
    }

    /// Whether putting back calls for a reload.
    pub(crate) fn needs_reload(&self) -> bool {
        self.files.iter().any(|file| file.reload)
    }

    /// Puts the contents back, the directives last; files that were not there stay until [`Journal::take_away`].
    pub(crate) fn put_back(&self) -> Result<(), Fault> {
        for directives in [false, true] {
            for file in self.files.iter().filter(|f| f.directive == directives) {
                match &file.bytes {
                    Some(text) => {
                        let bytes = Base64::decode_vec(text).map_err(|error| Fault::Journal {
                            why: error.to_string(),
                        })?;
                        files::replace(&file.path, &bytes, file.mode)?;
                    }
                    None if directives => files::remove(&file.path)?,
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// Takes away what was not there: only once no running sshd looks for it.
    pub(crate) fn take_away(&self) -> Result<(), Fault> {
        for file in self.files.iter().filter(|file| file.bytes.is_none()) {
            files::remove(&file.path)?;
        }
        Ok(())
    }
}

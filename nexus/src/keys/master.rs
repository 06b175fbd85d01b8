//! The master key: the one secret that the database does not hold, and the root of all that are derived.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use assay_api::lp;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{KeyFault, LockedKey};

/// The name of the systemd credential (`LoadCredentialEncrypted=master-key:...`).
pub const CREDENTIAL: &str = "master-key";

/// Where the master key is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterSource {
    /// A file that somebody else guards: a systemd credential. Read only, never made.
    Credential(PathBuf),
    /// A file with mode 0600, made at the first start.
    File(PathBuf),
}

impl MasterSource {
    /// `$CREDENTIALS_DIRECTORY/master-key` where that exists, else the file. `main` passes the variable.
    #[must_use]
    pub fn choose(credentials_directory: Option<&Path>, file: PathBuf) -> Self {
        credentials_directory
            .map(|d| d.join(CREDENTIAL))
            .filter(|p| p.exists())
            .map_or(Self::File(file), Self::Credential)
    }
}

/// 32 random bytes in locked memory. Never printed, never stored by us but in the 0600 file.
#[derive(Debug)]
pub struct Master {
    key: LockedKey,
}

impl Master {
    /// Loads the key. `first_start` says that no database exists yet: only then may a missing file be made, so that a lost
    /// key is an error and not a new key.
    ///
    /// # Errors
    /// [`KeyFault`] where the key is missing, has the wrong length, or its file is open to others.
    pub fn open(source: &MasterSource, first_start: bool) -> Result<Self, KeyFault> {
        match source {
            MasterSource::Credential(path) => Self::read(path, false),
            MasterSource::File(path) if first_start && !path.exists() => Self::create(path),
            MasterSource::File(path) => Self::read(path, true),
        }
    }

    /// From bytes that the caller already guards.
    ///
    /// # Errors
    /// [`KeyFault::Memory`] where no page can be had.
    pub fn from_bytes(key: &[u8; 32]) -> Result<Self, KeyFault> {
        Ok(Self {
            key: LockedKey::new(key).map_err(|e| KeyFault::Memory(e.to_string()))?,
        })
    }

    /// `HKDF-SHA256(master, info = lp("assay/key/1") lp(name) lp(version))`, 32 bytes; the version is four bytes,
    /// big-endian. The same name and version always give the same key.
    #[must_use]
    pub fn derive(&self, name: &str, version: u32) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        let info = lp::join(&[b"assay/key/1", name.as_bytes(), &version.to_be_bytes()]);
        // 32 bytes are far below HKDF's bound of 255 hashes, its only failure.
        let _ = Hkdf::<Sha256>::new(None, self.key.expose()).expand(&info, out.as_mut_slice());
        out
    }

    /// Whether the key is kept out of swap; `main` warns where not.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.key.is_locked()
    }

    fn create(path: &Path) -> Result<Self, KeyFault> {
        let mut key = Zeroizing::new([0_u8; 32]);
        getrandom::fill(key.as_mut_slice()).map_err(|e| KeyFault::Random(e.to_string()))?;
        let wrong = |why: std::io::Error| KeyFault::Unreadable {
            path: path.into(),
            why: why.to_string(),
        };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(wrong)?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(wrong)?;
        file.write_all(key.as_slice())
            .and_then(|()| file.sync_all())
            .map_err(wrong)?;
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            File::open(directory)
                .and_then(|d| d.sync_all())
                .map_err(wrong)?;
        }
        Self::from_bytes(&key)
    }

    fn read(path: &Path, ours: bool) -> Result<Self, KeyFault> {
        let wrong = |why: std::io::Error| match why.kind() {
            std::io::ErrorKind::NotFound => KeyFault::Missing { path: path.into() },
            _ => KeyFault::Unreadable {
                path: path.into(),
                why: why.to_string(),
            },
        };
        let options = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_CLOEXEC)
            .open(path);
        let mut file = options.map_err(wrong)?;
        let meta = file.metadata().map_err(wrong)?;
        // systemd hands its credentials out with mode 0400 or 0440 and guards the directory itself.
        if ours && (meta.mode() & 0o077 != 0 || !meta.is_file()) {
            return Err(KeyFault::OpenToOthers {
                path: path.into(),
                mode: meta.mode() & 0o7777,
            });
        }
        let mut key = Zeroizing::new([0_u8; 33]);
        let mut length = 0;
        while let Some(rest) = key.get_mut(length..).filter(|r| !r.is_empty()) {
            match file.read(rest).map_err(wrong)? {
                0 => break,
                n => length = length.saturating_add(n),
            }
        }
        match key.first_chunk::<32>().filter(|_| length == 32) {
            Some(key) => Self::from_bytes(key),
            None => Err(KeyFault::Length { path: path.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn derivation_is_fixed() {
        // Python: HKDF-SHA256 (RFC 5869) with an empty salt, written out with hmac.
        let master = Master::from_bytes(&[1; 32]).unwrap();
        let expected = "edb5ea3943474e2dfcc07c8b4426beefc66a7eacbc1e9d4ec9f0f7f71d4ac65f";
        assert_eq!(
            base16ct::lower::encode_string(master.derive("row-mac", 1).as_slice()),
            expected
        );
        assert_ne!(master.derive("row-mac", 1), master.derive("row-mac", 2));
        assert_ne!(master.derive("row-mac", 1), master.derive("log", 1));
    }

    #[test]
    fn the_file_is_made_once_with_mode_0600() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/master");
        let source = MasterSource::File(path.clone());
        let made = Master::open(&source, true).unwrap().derive("x", 1);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(made, Master::open(&source, true).unwrap().derive("x", 1));
        assert_eq!(made, Master::open(&source, false).unwrap().derive("x", 1));
    }

    #[test]
    fn a_lost_key_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let source = MasterSource::File(dir.path().join("master"));
        assert_eq!(
            Master::open(&source, false).unwrap_err().code(),
            "keys.missing"
        );
    }

    #[test]
    fn i7_a_file_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master");
        std::fs::write(&path, [9; 32]).unwrap();
        for mode in [0o640, 0o604, 0o644, 0o660] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = Master::open(&MasterSource::File(path.clone()), false).unwrap_err();
            assert_eq!(refused.code(), "keys.open_to_others");
        }
        Master::open(&MasterSource::Credential(path), false).unwrap();
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for length in [0, 31, 33, 64] {
            let path = dir.path().join("master");
            std::fs::write(&path, vec![9; length]).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(
                Master::open(&MasterSource::File(path), false)
                    .unwrap_err()
                    .code(),
                "keys.length"
            );
        }
    }

    #[test]
    fn the_credential_comes_first_where_it_exists() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("other");
        assert_eq!(
            MasterSource::choose(Some(dir.path()), file.clone()),
            MasterSource::File(file.clone())
        );
        std::fs::write(dir.path().join(CREDENTIAL), [1; 32]).unwrap();
        let expected = MasterSource::Credential(dir.path().join(CREDENTIAL));
        assert_eq!(MasterSource::choose(Some(dir.path()), file), expected);
    }
}

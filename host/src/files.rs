//! Files that are whole or not there: written beside their place, synced, renamed, and the directory synced too.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What the temporary names begin with; a crash may leave some behind, [`sweep`] takes them away.
pub const TEMPORARY: &str = ".assay-host.";

const MAX_BYTES: u64 = 16 << 20;

/// The bytes of a file; `None` where there is none.
///
/// # Errors
/// As the file system has it; more than 16 MiB is refused.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path, error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| at(path, error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(at(path, io::Error::other("longer than 16 MiB")));
    }
    Ok(Some(bytes))
}

/// Puts bytes in place in one step: whoever opens `path` sees the old or the new, and after this returns a power cut does too.
///
/// An existing file keeps its owner. The mode is set before the name appears.
///
/// # Errors
/// As the file system has it; the old file is untouched then.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = parent(path)?;
    let put = || -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(dir)?;
        file.write_all(bytes)?;
        if let Ok(old) = fs::metadata(path) {
            let mine = file.as_file().metadata()?;
            if (old.uid(), old.gid()) != (mine.uid(), mine.gid()) {
                std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid()))?;
            }
        }
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|failed| failed.error)?;
        File::open(dir)?.sync_all()
    };
    put().map_err(|error| at(path, error))
}

/// Takes a file away; one that is not there is fine.
///
/// # Errors
/// As the file system has it.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => File::open(parent(path)?)
            .and_then(|dir| dir.sync_all())
            .map_err(|error| at(path, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at(path, error)),
    }
}

/// Makes a directory and those above it; a new one gets `mode`.
///
/// # Errors
/// As the file system has it.
pub fn directory(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        directory(above, 0o755)?;
    }
    fs::create_dir(path).map_err(|error| at(path, error))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|error| at(path, error))?;
    File::open(parent(path)?)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| at(path, error))
}

/// Takes away what a crash left of [`replace`] in a directory.
///
/// # Errors
/// As the file system has it; a directory that is not there is fine.
pub fn sweep(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(dir, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| at(dir, error))?;
        let left_over = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(TEMPORARY));
        if left_over && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// The mode bits of a file, or `fallback` where it is not there.
#[must_use]
pub fn mode_of(path: &Path, fallback: u32) -> u32 {
    fs::metadata(path).map_or(fallback, |meta| meta.mode() & 0o7777)
}

/// Says which file an error is about.
pub(crate) fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .ok_or_else(|| at(path, io::Error::other("the path must be absolute")))
}

/// The file behind symbolic links, so that a rename replaces it and not the link.
///
/// # Errors
/// As the file system has it.
pub fn real(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path).map_err(|error| at(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_leftovers_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        directory(path.parent().unwrap(), 0o700).unwrap();
        assert_eq!(read(&path).unwrap(), None);
        replace(&path, b"one", 0o644).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(mode_of(&path, 0), 0o600);
        fs::write(path.with_file_name(".assay-host.x"), b"").unwrap();
        sweep(path.parent().unwrap()).unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        sweep(&dir.path().join("absent")).unwrap();
    }
}

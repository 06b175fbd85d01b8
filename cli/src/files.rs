//! Files: read with a bound, checked for who else may read them, written whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::fault::{Exit, Fault};

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// 0600.
    Private,
    /// 0644.
    Public,
}

/// The bytes of a file, at most `limit`. Wiped when dropped: it may be a secret.
///
/// # Errors
/// `file.read`, or `file.too_large`.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    bounded(file, limit).map_err(|e| match e {
        TooMuch::Io(e) => unreadable(path, &e),
        TooMuch::Large => too_large(&path.display().to_string(), limit),
    })
}

/// The same for a file that holds a private key or a passphrase: nobody else may read or write it.
///
/// # Errors
/// As [`read`], and `file.permissions`.
pub(crate) fn read_private(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let meta = file.metadata().map_err(|e| unreadable(path, &e))?;
    let me = nix::unistd::geteuid().as_raw();
    if meta.mode() & 0o077 != 0 || (meta.uid() != me && me != 0) {
        let message = format!(
            "`{}` can be read by others (mode {:04o})",
            path.display(),
            meta.mode() & 0o7777
        );
        return Err(Fault::new("file.permissions", message)
            .exit(Exit::Authentication)
            .hint(format!(
                "if nobody has read it, `chmod 600 {}`; else replace it",
                path.display()
            )));
    }
    bounded(file, limit).map_err(|e| match e {
        TooMuch::Io(e) => unreadable(path, &e),
        TooMuch::Large => too_large(&path.display().to_string(), limit),
    })
}

/// Standard input to its end, at most `limit` bytes.
///
/// # Errors
/// `file.read`, or `file.too_large`.
pub(crate) fn read_stdin(limit: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    bounded(io::stdin().lock(), limit).map_err(|e| match e {
        TooMuch::Io(e) => Fault::new("file.read", format!("standard input can't be read: {e}")),
        TooMuch::Large => too_large("standard input", limit),
    })
}

/// Puts a file in place in one step: written beside it, synced, renamed.
///
/// # Errors
/// `file.write`; the old file is as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), Fault> {
    put(path, bytes, mode, true)
}

/// The same, but never over a file that is there.
///
/// # Errors
/// `file.exists`, `file.write`.
pub(crate) fn create(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), Fault> {
    put(path, bytes, mode, false)
}

/// Finds out beforehand whether [`create`] would meet a file.
///
/// # Errors
/// `file.exists`.
pub(crate) fn check_free(path: &Path) -> Result<(), Fault> {
    if path.symlink_metadata().is_ok() {
        return Err(taken(path));
    }
    Ok(())
}

/// Makes a directory that only its owner may enter, where there is none.
///
/// # Errors
/// `file.write`.
pub(crate) fn private_dir(path: &Path) -> Result<(), Fault> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| unwritable(path, &e))
}

fn put(path: &Path, bytes: &[u8], mode: Mode, over: bool) -> Result<(), Fault> {
    let mode = match mode {
        Mode::Private => 0o600,
        Mode::Public => 0o644,
    };
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let write = || -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".assay.")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(dir)?;
        file.write_all(bytes)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        if over {
            file.persist(path).map_err(|e| e.error)?;
        } else {
            file.persist_noclobber(path).map_err(|e| e.error)?;
        }
        File::open(dir)?.sync_all()
    };
    write().map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => taken(path),
        _ => unwritable(path, &e),
    })
}

enum TooMuch {
    Io(io::Error),
    Large,
}

fn bounded(from: impl Read, limit: usize) -> Result<Zeroizing<Vec<u8>>, TooMuch> {
    // As large as it can get, so that no half-filled buffer with a secret is left behind by growing.
    let start = limit.saturating_add(1).min(128 * 1024);
    let mut bytes = Zeroizing::new(Vec::with_capacity(start));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    from.take(most)
        .read_to_end(&mut bytes)
        .map_err(TooMuch::Io)?;
    if bytes.len() > limit {
        return Err(TooMuch::Large);
    }
    Ok(bytes)
}

fn taken(path: &Path) -> Fault {
    Fault::new(
        "file.exists",
        format!("`{}` exists already", path.display()),
    )
    .hint("choose another name; nothing was overwritten")
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    Fault::new(
        "file.read",
        format!("`{}` can't be read: {}", path.display(), plain(error)),
    )
}

fn unwritable(path: &Path, error: &io::Error) -> Fault {
    Fault::new(
        "file.write",
        format!("`{}` can't be written: {}", path.display(), plain(error)),
    )
}

fn too_large(what: &str, limit: usize) -> Fault {
    Fault::new(
        "file.too_large",
        format!("`{what}` is over its limit of {limit} bytes"),
    )
}

/// The system's words without its number, in lower case.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path, b"x", Mode::Private).unwrap();
        assert_eq!(&**read_private(&path, 10).unwrap(), b"x");
        for mode in [0o640, 0o604, 0o660, 0o620] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let fault = read_private(&path, 10).unwrap_err();
            assert_eq!(&*fault.code, "file.permissions", "{mode:o}");
        }
    }

    #[test]
    fn files_are_bounded_whole_and_not_overwritten_by_accident() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        create(&path, b"one", Mode::Public).unwrap();
        assert_eq!(
            create(&path, b"two", Mode::Public).unwrap_err().code,
            "file.exists".into()
        );
        assert_eq!(&**read(&path, 3).unwrap(), b"one");
        assert_eq!(read(&path, 2).unwrap_err().code.as_ref(), "file.too_large");
        replace(&path, b"two", Mode::Public).unwrap();
        assert_eq!(&**read(&path, 3).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

//! A Unix socket: host side and agent on one machine, as in the lab, or a forwarded vsock.

use super::{Listen, Local, Stream, Way};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// The way.
#[derive(Clone, Copy, Debug)]
pub struct Unix;

impl Way for Unix {
    fn scheme(&self) -> &'static str {
        "unix"
    }

    fn fits(&self, at: &str) -> bool {
        Path::new(at).is_absolute() && at.len() < 108
    }

    fn listen<'a>(&'a self, at: &'a str) -> Local<'a, io::Result<Box<dyn Listen>>> {
        Box::pin(async move {
            let listener: Box<dyn Listen> = Box::new(Bound::new(Path::new(at), 0o660)?);
            Ok(listener)
        })
    }
}

/// A socket file, removed when dropped.
#[derive(Debug)]
pub struct Bound {
    listener: UnixListener,
    path: PathBuf,
}

impl Bound {
    /// Listens at `path` with that file mode. A socket left behind by an agent that died is replaced; one that still answers is not.
    ///
    /// # Errors
    /// [`io::Error`].
    pub fn new(path: &Path, mode: u32) -> io::Result<Self> {
        let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
        if is_socket {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another agent listens there",
                ));
            }
            std::fs::remove_file(path)?;
        }
        // Under a name of its own first, so that nobody connects before the mode is right.
        let hidden = path.with_extension(format!("{}.new", std::process::id()));
        let listener = UnixListener::bind(&hidden)?;
        std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(mode))?;
        std::fs::rename(&hidden, path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// The listener.
    #[must_use]
    pub const fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

impl Listen for Bound {
    fn accept(&self) -> Local<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let (stream, _) = self.listener.accept().await?;
            let stream: Box<dyn Stream> = Box::new(stream);
            Ok(stream)
        })
    }

    fn address(&self) -> String {
        format!("unix:{}", self.path.display())
    }
}

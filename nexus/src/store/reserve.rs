//! A file of nothing: given up when the disk is full, so that revoking still has room.

use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::fcntl::posix_fallocate;

use super::fault::StoreFault;

/// Below this much free space, in bytes, a failed write is laid to the disk being full.
const NEARLY_FULL: u64 = 256 * 1024;

/// The reserve beside the database.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    pub(super) fn new(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes }
    }

    /// Takes the room. `true` where it is taken, which says that the disk is no longer full.
    pub(super) fn take(&self) -> bool {
        if self.bytes == 0 {
            return true;
        }
        let length = i64::try_from(self.bytes).unwrap_or(i64::MAX);
        let taken = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&self.path)
            .is_ok_and(|file| posix_fallocate(file.as_fd(), 0, length).is_ok());
        if !taken {
            self.release();
        }
        taken
    }

    /// Why SQLite undid a transaction by itself: it says so by the disk, not to us.
    pub(super) fn why_undone(&self) -> StoreFault {
        let directory = self.path.parent().unwrap_or(&self.path);
        match nix::sys::statvfs::statvfs(directory) {
            Ok(disk)
                if disk.blocks_available().saturating_mul(disk.fragment_size()) < NEARLY_FULL =>
            {
                StoreFault::Full
            }
            Ok(_) | Err(_) => StoreFault::Unavailable("the database undid the transaction".into()),
        }
    }

    /// Gives the room back to whoever is quickest, which is the revocation that waits.
    pub(super) fn release(&self) {
        if let Err(why) = std::fs::remove_file(&self.path)
            && why.kind() != std::io::ErrorKind::NotFound
        {
            tracing::error!(%why, "the disk reserve can't be released");
        }
    }
}

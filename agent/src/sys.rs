//! What needs `unsafe`, all of it: memory that never reaches swap or a core dump, one environment variable at the start, and
//! watching a descriptor that tokio does not know.
#![expect(
    unsafe_code,
    reason = "mmap, mlock, setenv and watching a descriptor have no safe form; each use says why it is sound"
)]

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap_anonymous, munmap};
use nix::sys::resource::{Resource, setrlimit};
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use zeroize::Zeroize as _;

/// Makes this process one that leaves no core dump and that no other of its user may read, and silences the TSS, which
/// writes to stderr by itself.
///
/// # Safety
/// To be called before a second thread exists: it changes the environment.
///
/// # Errors
/// [`io::Error`].
pub unsafe fn harden() -> io::Result<()> {
    // SAFETY: the caller says that no other thread is there to read the environment.
    unsafe { std::env::set_var("TSS2_LOG", "all+NONE") };
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

/// Secret bytes in pages of their own: locked, left out of core dumps, zeroed before they are given back.
pub struct Locked {
    at: NonNull<u8>,
    length: usize,
    mapped: NonZeroUsize,
}

// SAFETY: the pages belong to this value alone; `&` gives only `&[u8]`, `&mut` only `&mut [u8]`.
unsafe impl Send for Locked {}
// SAFETY: as above.
unsafe impl Sync for Locked {}

impl Locked {
    /// Zeroes of that length.
    ///
    /// # Errors
    /// [`io::Error`]: most likely over the limit of locked memory (`LimitMEMLOCK` of the unit).
    pub fn zeroed(length: usize) -> io::Result<Self> {
        let mapped = NonZeroUsize::new(length).unwrap_or(NonZeroUsize::MIN);
        let (read_write, private) = (
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_PRIVATE,
        );
        // SAFETY: a new anonymous mapping at an address that the kernel chooses touches no other memory.
        let at = unsafe { mmap_anonymous(None, mapped, read_write, private) }?;
        // From here on dropping `locked` gives the pages back.
        let locked = Self {
            at: at.cast(),
            length,
            mapped,
        };
        // SAFETY: `at` and `mapped` are the mapping just made.
        unsafe {
            mlock(at, mapped.get())?;
            madvise(at, mapped.get(), MmapAdvise::MADV_DONTDUMP)?;
        }
        Ok(locked)
    }

    /// A copy of `bytes`.
    ///
    /// # Errors
    /// As [`Locked::zeroed`].
    pub fn copy_of(bytes: &[u8]) -> io::Result<Self> {
        let mut locked = Self::zeroed(bytes.len())?;
        locked.as_mut().copy_from_slice(bytes);
        Ok(locked)
    }

    /// The bytes. The only way in.
    #[must_use]
    pub const fn expose(&self) -> &[u8] {
        // SAFETY: `length` bytes from `at` are mapped, readable and initialised (the kernel zeroes pages) while `self` lives.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.length) }
    }

    /// The bytes, to be written.
    #[must_use]
    pub const fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `expose`, writable, and `&mut self` says that nobody else looks.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.length) }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.as_mut().zeroize();
        // SAFETY: the mapping of this value, which nobody can use any more. Unmapping also unlocks.
        let _gone = unsafe { munmap(self.at.cast(), self.mapped.get()) };
    }
}

impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked(..)")
    }
}

/// Gives the pages of code back that a busy moment has mapped: half of what a DPU's memory holds of an idle agent. They are clean
/// and of a file; what is run again comes back from there, page by page.
///
/// # Errors
/// [`io::Error`].
pub fn give_code_back() -> io::Result<()> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    for (from, length) in maps.lines().filter_map(code) {
        // SAFETY: a private mapping of a file that is not writable and never was (nothing here has relocations in its text, and a
        // process that can't be dumped is not traced): it holds what the file holds, and that is mapped again when it is used.
        unsafe { madvise(from, length, MmapAdvise::MADV_DONTNEED) }?;
    }
    Ok(())
}

/// Where a line of `/proc/self/maps` speaks of code of a file: beginning and length.
fn code(line: &str) -> Option<(NonNull<std::ffi::c_void>, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    let is_code = fields.next() == Some("r-xp") && fields.nth(3)?.starts_with('/');
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (from, to) = (number(from)?, number(to)?);
    let start = NonNull::new(std::ptr::with_exposed_provenance_mut(from))?;
    is_code.then_some((start, to.checked_sub(from)?))
}

/// Watches a file descriptor for something to read.
///
/// # Errors
/// [`io::Error`].
pub fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` gives one number, of a descriptor that stays open as long as it lives, and it moves in.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(|refused| refused.into_parts().1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of /proc/self/smaps about the mapping at this address.
    fn smaps(locked: &Locked) -> String {
        let wanted = format!("{:x}", locked.at.as_ptr().addr());
        let all = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut mappings = Vec::<String>::new();
        for line in all.lines() {
            if line.split(' ').next().unwrap().contains('-') {
                mappings.push(String::new());
            }
            let last = mappings.last_mut().unwrap();
            last.push_str(line);
            last.push('\n');
        }
        let holds = |mapping: &&String| {
            let (from, to) = mapping.split_once(' ').unwrap().0.split_once('-').unwrap();
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            (number(from)..number(to)).contains(&number(&wanted))
        };
        mappings.iter().find(holds).unwrap().clone()
    }

    #[test]
    fn i7_the_pages_are_locked_and_not_dumped() {
        let locked = Locked::copy_of(&[7; 100]).unwrap();
        assert_eq!(locked.expose(), [7; 100]);
        let smaps = smaps(&locked);
        let flags = smaps.lines().find(|l| l.starts_with("VmFlags")).unwrap();
        assert!(flags.contains(" lo") && flags.contains(" dd"), "{flags}");
        assert_eq!(format!("{locked:?}"), "Locked(..)");
    }

    #[test]
    fn code_that_is_given_back_runs_again() {
        let resident = || -> u64 {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|l| l.starts_with("RssFile:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let before = resident();
        give_code_back().unwrap();
        assert!(resident() < before);
        let vdso = "7ffd1c5f2000-7ffd1c5f4000 r-xp 00000000 00:00 0    [vdso]";
        assert!(code(vdso).is_none());
        let data = "7f0000001000-7f0000002000 r--p 00000000 fe:00 77   /lib/x.so";
        assert!(code(data).is_none());
        let text = "7f0000001000-7f0000003000 r-xp 00000000 fe:00 77   /lib/x.so";
        assert_eq!(code(text).map(|(_, length)| length), Some(0x2000));
    }

    #[test]
    fn nothing_is_locked_as_well() {
        assert!(Locked::copy_of(&[]).unwrap().expose().is_empty());
    }
}

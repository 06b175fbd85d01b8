//! Keys in memory that is not swapped and not dumped. The only module of the nexus with `unsafe`.

#![expect(
    unsafe_code,
    reason = "a page of its own, to lock it: mmap, mlock and madvise have no safe form"
)]

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap_anonymous, munmap};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use zeroize::Zeroize;

/// One page; the kernel rounds up where pages are larger.
const PAGE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// 32 bytes on a page of their own: locked where the limit (RLIMIT_MEMLOCK) allows, left out of core dumps, and zeroised
/// when dropped.
pub(crate) struct LockedKey {
    page: NonNull<c_void>,
    locked: bool,
}

// SAFETY: the page belongs to this value alone, is written only while it is being made, and is shared read-only.
unsafe impl Send for LockedKey {}
// SAFETY: as above.
unsafe impl Sync for LockedKey {}

impl LockedKey {
    /// Copies `key` to a page of its own. The caller zeroises its copy.
    pub(crate) fn new(key: &[u8; 32]) -> std::io::Result<Self> {
        let flags = MapFlags::MAP_PRIVATE;
        // SAFETY: a fresh anonymous mapping, which aliases nothing.
        let page = unsafe {
            mmap_anonymous(
                None,
                PAGE,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                flags,
            )
        }?;
        // SAFETY: the range is the mapping just made.
        let locked = unsafe { mlock(page, PAGE.get()) }.is_ok();
        // SAFETY: the range is the mapping just made; this advice changes no content.
        let _ = unsafe { madvise(page, PAGE.get(), MmapAdvise::MADV_DONTDUMP) };
        // SAFETY: the page is writable and longer than 32 bytes.
        unsafe { page.cast::<[u8; 32]>().write(*key) };
        Ok(Self { page, locked })
    }

    /// The key.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        // SAFETY: written in `new`, aligned to a page, alive as long as `self`.
        unsafe { self.page.cast::<[u8; 32]>().as_ref() }
    }

    /// Whether the page is kept out of swap.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }
}

impl Drop for LockedKey {
    fn drop(&mut self) {
        // SAFETY: the page is still mapped and nobody else holds it.
        unsafe { self.page.cast::<[u8; 32]>().as_mut() }.zeroize();
        // SAFETY: unmapped once, here; munmap also unlocks.
        let _ = unsafe { munmap(self.page, PAGE.get()) };
    }
}

impl std::fmt::Debug for LockedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LockedKey(..)")
    }
}

/// No core dump and no debugger for this process from now on (PR_SET_DUMPABLE 0, RLIMIT_CORE 0). Call it first in `main`.
///
/// # Errors
/// Where the kernel refuses.
pub fn forbid_dumps() -> std::io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // SAFETY: PR_SET_DUMPABLE takes one integer and touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0_u64, 0_u64, 0_u64, 0_u64) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Keeps the whole process out of swap, pages as they are touched (mlockall with MCL_ONFAULT): the libraries' copies of keys
/// lie on the common heap. Only where there is no limit (`LimitMEMLOCK=infinity`), since under one a later allocation would
/// fail. `false`: not locked, and `main` warns that swap must be encrypted or off.
#[must_use]
pub fn lock_memory() -> bool {
    let unlimited = getrlimit(Resource::RLIMIT_MEMLOCK)
        .is_ok_and(|(_, hard)| hard == libc::RLIM_INFINITY)
        && setrlimit(
            Resource::RLIMIT_MEMLOCK,
            libc::RLIM_INFINITY,
            libc::RLIM_INFINITY,
        )
        .is_ok();
    // SAFETY: mlockall takes flags and touches no memory of ours.
    unlimited
        && unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) } == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i7_a_locked_key_holds_its_bytes_and_hides_them() {
        let key = LockedKey::new(&[7; 32]).unwrap();
        assert_eq!(key.expose(), &[7; 32]);
        assert_eq!(format!("{key:?}"), "LockedKey(..)");
        assert!(key.is_locked());
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let at = format!("{:x}-", key.page.as_ptr().addr());
        let flags = smaps
            .split_once(&at)
            .and_then(|(_, rest)| rest.split_once("VmFlags:"))
            .unwrap()
            .1;
        let flags: Vec<&str> = flags.lines().next().unwrap().split_whitespace().collect();
        assert!(
            flags.contains(&"lo") && flags.contains(&"dd"),
            "locked, not dumped: {flags:?}"
        );
    }

    #[test]
    fn i7_no_core_dumps() {
        forbid_dumps().unwrap();
        assert_eq!(
            nix::sys::resource::getrlimit(Resource::RLIMIT_CORE)
                .unwrap()
                .0,
            0
        );
        // SAFETY: reads one integer.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 0);
        // SAFETY: as above; other tests of this process read /proc/self.
        assert_eq!(
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1_u64, 0_u64, 0_u64, 0_u64) },
            0
        );
    }
}

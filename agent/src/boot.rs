//! Time since boot, suspension included (CLOCK_BOOTTIME): what leases and freshness are counted on, since nobody can set it.

use std::fmt;
use std::time::Duration;

/// Milliseconds since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(u64);

impl Boot {
    /// Later than anything.
    pub const NEVER: Self = Self(u64::MAX);

    /// From milliseconds since boot.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since boot.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This much later; saturates.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Time from `earlier` to `self`; zero where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads the clock.
    ///
    /// # Errors
    /// [`std::io::Error`] where the kernel has no such clock.
    pub fn now() -> std::io::Result<Self> {
        let read = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)?;
        let part = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(Self(
            part(read.tv_sec())
                .saturating_mul(1000)
                .saturating_add(part(read.tv_nsec()) / 1_000_000),
        ))
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s after boot", self.0 / 1000, self.0 % 1000)
    }
}

//! A timer on the boot-time clock: it goes off on time even where the machine was suspended, and never while idle.

use crate::boot::Boot;
use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use tokio::io::unix::AsyncFd;

/// One timer.
#[derive(Debug)]
pub struct Timer {
    timer: TimerFd,
    /// The same timer under a second descriptor.
    readiness: AsyncFd<OwnedFd>,
}

impl Timer {
    /// A timer that is not set. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`io::Error`].
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
        let readiness = crate::sys::watch(timer.as_fd().try_clone_to_owned()?)?;
        Ok(Self { timer, readiness })
    }

    /// Sets it, in place of what it was set to. A time that has passed goes off at once.
    ///
    /// # Errors
    /// [`io::Error`].
    pub fn set(&self, at: Boot) -> io::Result<()> {
        let timer = &self.timer;
        if at == Boot::NEVER {
            return Ok(timer.unset()?);
        }
        // Zero would unset it.
        let millis = i64::try_from(at.as_millis().max(1)).unwrap_or(i64::MAX / 2);
        let at = Expiration::OneShot(TimeSpec::milliseconds(millis));
        Ok(timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }

    /// Waits until it goes off.
    ///
    /// # Errors
    /// [`io::Error`].
    pub async fn wait(&self) -> io::Result<()> {
        loop {
            let mut ready = self.readiness.readable().await?;
            let read = ready.try_io(|_| Ok(self.timer.wait()?));
            match read {
                Ok(done) => return done,
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_goes_off_when_it_should_and_can_be_set_anew() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let timer = Timer::new().unwrap();
            let start = Boot::now().unwrap();
            timer.set(start.plus_millis(60_000)).unwrap();
            timer.set(start.plus_millis(30)).unwrap();
            timer.wait().await.unwrap();
            assert!(Boot::now().unwrap().since(start) >= Duration::from_millis(29));
            timer.set(Boot::default()).unwrap();
            timer.wait().await.unwrap();
            timer.set(Boot::NEVER).unwrap();
            let silent = tokio::time::timeout(Duration::from_millis(50), timer.wait()).await;
            assert!(silent.is_err());
        });
    }
}

//! A timer of the kernel, as exact as its clock: those of tokio end on whole milliseconds, which is longer than most of what
//! is measured here.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Nanoseconds of a clock that all processes of this machine share.
pub(crate) fn shared_nanos() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // It begins when the machine does, and is never below zero.
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

/// Ends one wait at a time.
#[derive(Debug)]
pub(crate) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// Within a runtime.
    #[expect(
        deprecated,
        reason = "what takes its place is `unsafe`, for types that close or change what they give out; an OwnedFd does not"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    /// Returns at `due`, or at once if that has passed. Dropping it leaves nothing behind.
    pub(crate) async fn until(&self, due: Instant) -> io::Result<()> {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let seconds = i64::try_from(left.as_secs()).map_err(io::Error::other)?;
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: seconds, tv_nsec: left.subsec_nanos().into() };
        // This also forgets an end that nobody has read.
        let spec = Itimerspec { it_interval: once, it_value: value };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &spec)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut ends = [0; 8];
            if let Ok(read) = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut ends)?)) {
                return read.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Real time: 20 ms, and nothing is said of how much later it ends.
    #[test]
    fn a_timer_never_ends_early_and_ends_again_after_one_that_was_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let timer = Timer::new().unwrap();
            let (short, long) = (Duration::from_millis(2), Duration::from_millis(18));
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                _ = timer.until(Instant::now() + short) => {}
            }
            let due = Instant::now() + long;
            timer.until(due).await.unwrap();
            assert!(Instant::now() >= due);
            timer.until(due).await.unwrap();
        });
    }
}

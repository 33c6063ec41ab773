//! loom's locks, with a timed wait that times out.
//!
//! loom's own `wait_timeout` never does, so a wake that comes between the end of the time and the return of the lock would
//! not be tried. Here a timed wait gives the lock up, lets others run and takes it back: that is a wait whose time was over
//! at once, and whatever can happen in between happens.

use std::sync::LockResult;
use std::time::Duration;

use loom::sync;

/// As `std::sync::Mutex`.
#[derive(Debug)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

/// As `std::sync::MutexGuard`, and knows its lock.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    guard: sync::MutexGuard<'a, T>,
    lock: &'a Mutex<T>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        Ok(MutexGuard { guard: self.0.lock().expect("loom does not poison"), lock: self })
    }
}

impl<T> std::ops::Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> std::ops::DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// As `std::sync::Condvar`.
#[derive(Debug)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(sync::Condvar::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn wait<'a, T>(&self, held: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let MutexGuard { guard, lock } = held;
        Ok(MutexGuard { guard: self.0.wait(guard).expect("loom does not poison"), lock })
    }

    /// Times out at once; see the module documentation. The second value says so.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        held: MutexGuard<'a, T>,
        _limit: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        let lock = held.lock;
        drop(held);
        loom::thread::yield_now();
        Ok((lock.lock().expect("loom does not poison"), true))
    }
}

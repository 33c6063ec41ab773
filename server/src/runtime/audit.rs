//! The thread of the audit log: it writes what the node hands on, tries again what failed, reads for clients, and deletes what
//! is kept long enough. The node's thread never waits for it.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use holdfast_wal::disk::RealDisk;

use super::hub::Clock;
use super::workers::Ring;
use crate::audit::AuditWork;
use crate::node::{AuditDone, AuditJob};

/// How long it waits before it writes again what it could not write.
const RETRY: Duration = Duration::from_secs(1);

/// How often it looks for files that are kept long enough, beside each time that a file was begun.
const TEND: Duration = Duration::from_secs(60);

/// The thread, and the ways to it and back.
#[derive(Debug)]
pub(super) struct Audit {
    jobs: Sender<AuditJob>,
    done: Receiver<AuditDone>,
    thread: JoinHandle<()>,
}

impl Audit {
    /// Starts it for this node; `waker` is used after each piece of work.
    pub(super) fn start(work: AuditWork<RealDisk>, node: u64, waker: Waker) -> io::Result<Self> {
        let (jobs, wanted) = channel();
        let (results, done) = channel();
        let run = move || {
            let ring = Ring(waker);
            work_on(work, node, &wanted, &results, &ring);
        };
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(run)?;
        Ok(Self { jobs, done, thread })
    }

    /// Gives it work. How much there can be is bounded by the node.
    pub(super) fn give(&self, job: AuditJob) {
        // Refused only if the thread has ended: then the loop ends the node.
        let _ = self.jobs.send(job);
    }

    /// What is done by now.
    pub(super) fn next(&self) -> Option<AuditDone> {
        self.done.try_recv().ok()
    }

    /// Whether it has ended, which it does not while this lives, unless it panics.
    pub(super) fn is_broken(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it: what was given to it is written and synced, and nothing is written to the directory after this.
    pub(super) fn close(self) {
        let Self { jobs, done, thread } = self;
        drop(jobs);
        // A panic of it has ended the node already.
        let _ = thread.join();
        drop(done);
    }
}

fn work_on(
    mut work: AuditWork<RealDisk>,
    node: u64,
    wanted: &Receiver<AuditJob>,
    results: &Sender<AuditDone>,
    ring: &Ring,
) {
    let clock = Clock::new();
    let (mut retried, mut tended, mut files) = (clock.millis(), None, 0);
    let mut done = Vec::new();
    loop {
        let now = clock.millis();
        if work.status().files > files || tended.is_none_or(|tended| now >= tended + millis(TEND)) {
            tended = Some(now);
            tend(&mut work, node, &clock);
            files = work.status().files;
        }
        let wait = if work.is_failing() { RETRY } else { TEND };
        match wanted.recv_timeout(wait) {
            Ok(job) => work.run(job, &mut done),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = clock.millis();
        if work.is_failing() && now >= retried + millis(RETRY) {
            retried = now;
            work.retry(&mut done);
        }
        if !done.is_empty() {
            for done in done.drain(..) {
                if results.send(done).is_err() {
                    break;
                }
            }
            ring.0.wake_by_ref();
        }
    }
    if let Err(error) = work.close() {
        tracing::error!(node, %error, "the end of the audit log is not written; it is made again from the log at the next start");
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is done from time to time.
fn tend(work: &mut AuditWork<RealDisk>, node: u64, clock: &Clock) {
    if work.is_failing() {
        tracing::error!(node, "the audit log still cannot be written");
    }
    match work.retain(clock.now().wall.get()) {
        Ok(removed) => {
            for file in removed {
                tracing::info!(node, file, "a file of the audit log was kept long enough, and is deleted");
            }
        }
        Err(error) => tracing::error!(node, %error, "old files of the audit log cannot be deleted"),
    }
}

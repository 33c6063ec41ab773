//! The thread of the snapshots: it encodes, writes, reads, decodes and drops, so that the node's thread never does.
//!
//! A snapshot that is being taken is written chunk by chunk, and between two chunks comes whatever else is asked for: a peer
//! that receives an older one does not wait for the end of a newer one.

use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use holdfast_wal::disk::RealDisk;

use super::workers::Ring;
use crate::node::{SnapshotDone, SnapshotJob};
use crate::storage::SnapshotFiles;

/// As for `nice`: Linux has a priority for each thread.
const NICE: i32 = 10;

/// The thread, and the ways to it and back.
#[derive(Debug)]
pub(super) struct Snapshots {
    jobs: Sender<SnapshotJob>,
    done: Receiver<SnapshotDone>,
    thread: JoinHandle<()>,
}

impl Snapshots {
    /// Starts it for this node; `waker` is used after each piece of work.
    pub(super) fn start(files: SnapshotFiles<RealDisk>, node: u64, waker: Waker) -> io::Result<Self> {
        let (jobs, work) = channel();
        let (results, done) = channel();
        let run = move || {
            let ring = Ring(waker);
            stand_back(node);
            work_on(files, &work, &results, &ring);
            tracing::debug!(node, "the thread of the snapshots has ended");
        };
        let thread = thread::Builder::new().name("snapshots".to_owned()).spawn(run)?;
        Ok(Self { jobs, done, thread })
    }

    /// Gives it work. How much there can be is bounded by the core: a piece per peer, and one snapshot each way.
    pub(super) fn give(&self, job: SnapshotJob) {
        // Refused only if the thread has ended: then the loop ends the node.
        let _ = self.jobs.send(job);
    }

    /// What is done by now.
    pub(super) fn next(&self) -> Option<SnapshotDone> {
        self.done.try_recv().ok()
    }

    /// Whether it has ended, which it does not while this lives, unless it panics.
    pub(super) fn is_broken(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it: what is under way is given up, and nothing is written to the directory after this.
    pub(super) fn close(self) {
        let Self { jobs, done, thread } = self;
        drop((jobs, done));
        // A panic of it has ended the node already.
        let _ = thread.join();
    }
}

/// Gives this thread a tenth of the share of a processor that others have: nobody waits for a snapshot that is taken, and three nodes
/// on two processors that took one at once left a third of the rate to writes. What is not wanted by others it has all the same. The
/// price: on a machine without an idle processor a snapshot that is sent, or received and installed, takes longer as well.
fn stand_back(node: u64) {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        tracing::debug!(node, %error, "the thread of the snapshots has the priority of all others");
    }
}

fn work_on(
    mut files: SnapshotFiles<RealDisk>,
    work: &Receiver<SnapshotJob>,
    results: &Sender<SnapshotDone>,
    ring: &Ring,
) {
    loop {
        let job = if files.is_taking() {
            match work.try_recv() {
                Ok(job) => Some(job),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return,
            }
        } else {
            match work.recv() {
                Ok(job) => Some(job),
                Err(_) => return,
            }
        };
        let done = match job {
            Some(job) => files.run(job),
            None => files.step(),
        };
        if let Some(done) = done {
            if results.send(done).is_err() {
                return;
            }
            ring.0.wake_by_ref();
        }
    }
}

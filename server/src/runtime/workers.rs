//! The threads for what takes long: one applies, one reads (states, and entries of the log that are not in
//! memory), so that a long read never holds up an apply.

use std::io;
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use holdfast_raft::{Entry, Index, LogRead, NodeId};
use holdfast_wal::Reader;
use holdfast_wal::disk::RealDisk;

use crate::node::{Job, JobDone};
use crate::storage::read_run;

/// Reads that may be under way on the other thread; more are refused as overload.
pub(super) const READS_MAX: usize = 1_024;

/// Work for one of the threads.
#[derive(Debug)]
enum Task {
    Job(Job),
    /// Entries that a slow peer needs and that are not in memory.
    Entries(LogRead),
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Done {
    Job(Box<JobDone>),
    /// As many of the entries as could be read.
    Entries {
        to: NodeId,
        first: Index,
        entries: Vec<Entry>,
    },
}

/// The two threads. They end when this is dropped and their work is done.
#[derive(Debug)]
pub(super) struct Workers {
    apply: Sender<Task>,
    read: Sender<Task>,
    done: Receiver<Done>,
    reads: usize,
    threads: [JoinHandle<()>; 2],
}

impl Workers {
    /// Starts both for this node, whose log is read through `log`; `waker` is used after each piece of work.
    pub(super) fn start(node: u64, log: &Reader<RealDisk>, waker: &Waker) -> io::Result<Self> {
        let (done, results) = channel();
        let worker = |name: &str| {
            let does = Worker { node, log: log.clone(), done: done.clone() };
            does.start(name, waker.clone())
        };
        let (apply, applying) = worker("apply")?;
        let (read, reading) = worker("read")?;
        Ok(Self { apply, read, done: results, reads: 0, threads: [applying, reading] })
    }

    /// Gives work to one of them.
    ///
    /// # Errors
    /// The job, if too many reads are under way.
    pub(super) fn give(&mut self, job: Job) -> Result<(), Job> {
        let to = match job {
            Job::Apply { .. } => &self.apply,
            Job::Read { .. } if self.reads >= READS_MAX => return Err(job),
            Job::Read { .. } => {
                self.reads += 1;
                &self.read
            }
            // The watches bound by themselves how many there are.
            Job::Splice { .. } => &self.read,
        };
        match to.send(Task::Job(job)) {
            Err(SendError(Task::Job(refused))) => Err(refused),
            Err(SendError(Task::Entries(_))) | Ok(()) => Ok(()),
        }
    }

    /// Has entries read from the log. The core asks for one run per peer at a time.
    pub(super) fn read_log(&self, wanted: LogRead) {
        // Refused only if the thread has ended: then the loop ends the node.
        let _ = self.read.send(Task::Entries(wanted));
    }

    /// Whether a thread has ended, which none does while this lives, unless it panics.
    pub(super) fn is_broken(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// What is done by now.
    pub(super) fn next(&mut self) -> Option<Done> {
        let done = self.done.try_recv().ok()?;
        if matches!(&done, Done::Job(done) if matches!(**done, JobDone::Answer(..))) {
            self.reads -= 1;
        }
        Some(done)
    }
}

/// Wakes the node loop when it goes, also by a panic.
struct Ring(Waker);

impl Drop for Ring {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

/// What one thread has.
struct Worker {
    node: u64,
    log: Reader<RealDisk>,
    done: Sender<Done>,
}

impl Worker {
    fn start(self, name: &str, waker: Waker) -> io::Result<(Sender<Task>, JoinHandle<()>)> {
        let (tasks, work) = channel::<Task>();
        let run = move || {
            let ring = Ring(waker);
            for task in work {
                if self.done.send(self.run(task)).is_err() {
                    return;
                }
                ring.0.wake_by_ref();
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok((tasks, thread))
    }

    fn run(&self, task: Task) -> Done {
        match task {
            Task::Job(job) => Done::Job(Box::new(job.run())),
            Task::Entries(wanted) => {
                let (entries, error) = read_run(&self.log, &wanted, "log");
                let LogRead { to, first, .. } = wanted;
                if let Some(error) = error {
                    let read = entries.len();
                    tracing::error!(node = self.node, peer = %to, %first, read, %error, "the log cannot be read back for a peer");
                }
                Done::Entries { to, first, entries }
            }
        }
    }
}

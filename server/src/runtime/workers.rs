//! The threads for what takes long: one applies, one reads, so that a long read never holds up an apply.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use crate::node::{Job, JobDone};

/// Reads that may be under way on the other thread; more are refused as overload.
pub(super) const READS_MAX: usize = 1_024;

/// The two threads. They end when this is dropped and their work is done.
#[derive(Debug)]
pub(super) struct Workers {
    apply: Sender<Job>,
    read: Sender<Job>,
    done: Receiver<JobDone>,
    reads: usize,
    threads: [JoinHandle<()>; 2],
}

impl Workers {
    /// Starts both; `waker` is used after each piece of work.
    pub(super) fn start(waker: Waker) -> io::Result<Self> {
        let (done, results) = channel();
        let (apply, applying) = worker("apply", done.clone(), waker.clone())?;
        let (read, reading) = worker("read", done, waker)?;
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
        to.send(job).map_err(|refused| refused.0)
    }

    /// Whether a thread has ended, which none does while this lives, unless it panics.
    pub(super) fn is_broken(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// What is done by now.
    pub(super) fn next(&mut self) -> Option<JobDone> {
        let done = self.done.try_recv().ok()?;
        if matches!(done, JobDone::Answer(..)) {
            self.reads -= 1;
        }
        Some(done)
    }
}

/// What a thread holds that works for the node loop: wakes the loop when it goes, also by a panic.
pub(super) struct Ring(pub(super) Waker);

impl Drop for Ring {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

fn worker(name: &str, done: Sender<JobDone>, waker: Waker) -> io::Result<(Sender<Job>, JoinHandle<()>)> {
    let (jobs, work) = channel::<Job>();
    let run = move || {
        let ring = Ring(waker);
        for job in work {
            if done.send(job.run()).is_err() {
                return;
            }
            ring.0.wake_by_ref();
        }
    };
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
    Ok((jobs, thread))
}

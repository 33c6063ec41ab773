//! The thread that reads entries back which a slow peer needs and the core does not hold in memory.
//!
//! A thread of its own: the disk may be slow or sick, and then it delays slow peers and nobody else; and no long read of a client
//! stands before what a quorum may be waiting for.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use holdfast_raft::{Entry, LogRead};
use holdfast_wal::Reader;
use holdfast_wal::disk::RealDisk;

use super::workers::Ring;
use crate::storage::read_run;

/// The thread, and the ways to it and back. It ends when this is dropped and its work is done.
#[derive(Debug)]
pub(super) struct LogReads {
    wanted: Sender<LogRead>,
    done: Receiver<(LogRead, Vec<Entry>)>,
    thread: JoinHandle<()>,
}

impl LogReads {
    /// Starts it for this node, whose log is read through `log`; `waker` is used after each piece of work.
    pub(super) fn start(log: Reader<RealDisk>, node: u64, waker: Waker) -> io::Result<Self> {
        let (wanted, work) = channel::<LogRead>();
        let (results, done) = channel();
        let run = move || {
            let ring = Ring(waker);
            for wanted in work {
                let (entries, error) = read_run(&log, &wanted, "log");
                if let Some(error) = error {
                    let (peer, first, read) = (wanted.to, wanted.first, entries.len());
                    tracing::error!(node, %peer, %first, read, %error, "the log cannot be read back for a peer");
                }
                if results.send((wanted, entries)).is_err() {
                    return;
                }
                ring.0.wake_by_ref();
            }
        };
        let thread = thread::Builder::new().name("log-read".to_owned()).spawn(run)?;
        Ok(Self { wanted, done, thread })
    }

    /// Has entries read. How much there can be is bounded by the core: one run per peer.
    pub(super) fn give(&self, wanted: LogRead) {
        // Refused only if the thread has ended: then the loop ends the node.
        let _ = self.wanted.send(wanted);
    }

    /// What is done by now: as many of the entries as could be read.
    pub(super) fn next(&self) -> Option<(LogRead, Vec<Entry>)> {
        self.done.try_recv().ok()
    }

    /// Whether it has ended, which it does not while this lives, unless it panics.
    pub(super) fn is_broken(&self) -> bool {
        self.thread.is_finished()
    }
}

//! A log behind its thread on a fake disk, and whoever submits to it.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use holdfast_handoff::park::{Parker, parker};
use holdfast_handoff::watermark::{Wait, Waiter};
use holdfast_wal::disk::FakeDisk;
use holdfast_wal::thread::{Failure, Handle, Running, Settings, Ticket, Why, start};
use holdfast_wal::{AsDesigned, Group, Identity, Log, Op, Options};

use crate::gate::Gate;

pub(crate) const SEGMENT: u64 = 64 * 1024;
/// What the meta file takes.
pub(crate) const META: u64 = 12 * 1024;
/// Longer than any test.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

pub(crate) type WalLog = Log<Gate, AsDesigned>;

pub(crate) fn options(segment_bytes: u64) -> Options {
    let identity = Identity { cluster: [1; 16], node: [2; 16] };
    Options { segment_bytes, ..Options::new(identity, 3) }
}

pub(crate) fn patient() -> Settings {
    Settings { idle: NEVER, retry: NEVER, ..Settings::default() }
}

/// A log behind its thread, and whoever submits to it.
pub(crate) struct Fixture {
    pub(crate) gate: Gate,
    pub(crate) handle: Handle,
    pub(crate) waiter: Waiter,
    pub(crate) parker: Parker,
    pub(crate) running: Running<Gate, AsDesigned>,
    pub(crate) failures: Receiver<Failure>,
    /// The last index that was accepted.
    pub(crate) index: u64,
}

impl Fixture {
    /// On a disk without end, with segments prepared.
    pub(crate) fn new(settings: Settings) -> Self {
        Self::on(Gate::new(FakeDisk::new(u64::MAX)), settings)
    }

    pub(crate) fn on(gate: Gate, settings: Settings) -> Self {
        let mut log: WalLog = Log::create(gate.clone(), options(SEGMENT)).unwrap();
        log.prepare().unwrap();
        Self::with(log, gate, settings)
    }

    pub(crate) fn with(log: WalLog, gate: Gate, mut settings: Settings) -> Self {
        let (report, failures) = channel();
        settings.on_fatal = Box::new(move |failure| report.send(failure).unwrap());
        let (parker, waker) = parker();
        let (handle, waiter, running) = start(log, settings, waker).unwrap();
        Self { gate, handle, waiter, parker, running, failures, index: 0 }
    }

    pub(crate) fn entry(&self, bytes: usize) -> Op {
        entry(self.index + 1, bytes)
    }

    /// Submits an entry that is the next one.
    pub(crate) fn submit(&mut self, bytes: usize) -> Result<Ticket, Why> {
        let ops = vec![self.entry(bytes)];
        let ticket = self.handle.submit(ops).map_err(|refused| refused.why)?;
        self.index += 1;
        Ok(ticket)
    }

    /// Submits until the disk is full, and says what the refusal says of it.
    pub(crate) fn fill(&mut self) -> (u64, u64) {
        loop {
            match self.submit(1000) {
                Ok(ticket) => assert_eq!(self.wait_for(ticket), Wait::Reached(ticket.0)),
                Err(Why::NoSpace { free, needed }) => return (free, needed),
                Err(Why::Preparing) => self.parker.park(),
                Err(why) => panic!("{why}"),
            }
        }
    }

    /// Sleeps until the ticket is durable, or never will be.
    pub(crate) fn wait_for(&mut self, ticket: Ticket) -> Wait {
        loop {
            match self.waiter.wait_for(ticket.0) {
                Wait::Pending => self.parker.park(),
                found => return found,
            }
        }
    }

    /// Sleeps until the ticket is durable.
    pub(crate) fn finish(&mut self, ticket: Ticket) {
        let found = self.wait_for(ticket);
        assert!(matches!(found, Wait::Reached(_)), "{found:?}");
    }

    pub(crate) fn stop(self) -> WalLog {
        drop(self.handle);
        self.running.join()
    }
}

pub(crate) fn entry(index: u64, bytes: usize) -> Op {
    Op::Entry { group: Group(0), index, term: 1, body: Bytes::from(vec![index as u8; bytes]) }
}

pub(crate) fn last(log: &WalLog) -> u64 {
    log.bounds(Group(0)).map_or(0, |bounds| bounds.last)
}

/// What the log holds after a power cut that kept nothing but what was synced.
pub(crate) fn last_after_power_cut(gate: &Gate) -> u64 {
    let durable = gate.disk.after_power_cut(&vec![0; gate.disk.unsynced().len()]);
    let (log, _) = Log::open(Gate::new(durable), options(SEGMENT)).unwrap();
    last(&log)
}

//! A node of the simulated cluster: a core, its disk and state machine, and what its owner keeps around it.

use bytes::Bytes;
use holdfast_raft::{
    Boot, Envelope, HardState, Index, NodeId, Output, PersistId, ReadReady, SnapshotMeta, Term,
};

use super::disk::Disk;
use super::machine::Machine;
use super::queue::Micros;
use super::swarm::NODES_MAX;
use super::under_test::{UnderTest, View};

/// A snapshot whose pieces are being received, in its temporary place. Lost with the process.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Which snapshot.
    pub meta: SnapshotMeta,
    /// What has come.
    pub bytes: Vec<u8>,
    /// All of it has come, and it is being put in place.
    pub installing: bool,
}

/// A message that waits for the disk.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// What has to be durable first.
    pub after: PersistId,
    /// When the core made it.
    pub made: Micros,
    /// What it says its sender has.
    pub promised: holdfast_raft::EntryId,
    /// The message.
    pub envelope: Envelope,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its id; its place among the nodes is one less.
    pub id: NodeId,
    /// How often it was started.
    pub boot: Boot,
    /// Its core; `None` while it is down.
    pub core: Option<Box<dyn UnderTest>>,
    /// What the core showed after its last step, or before it went down.
    pub view: View,
    /// Its disk.
    pub disk: Disk,
    /// What it has applied.
    pub machine: Machine,
    /// A snapshot that it receives.
    pub incoming: Option<Incoming>,
    /// Messages that wait for the disk.
    pub waiting: Vec<Waiting>,
    /// What the disk has made durable in this boot.
    pub durable: PersistId,
    /// Reads that wait for the state machine.
    pub reads: Vec<ReadReady>,
    /// Ticks of its own clock in this boot.
    pub ticks: u64,
    /// How fast its clock goes, in thousandths.
    pub rate: u64,
    /// It stands still until then.
    pub paused_until: Micros,
    /// Its disk stalls until then.
    pub stalled_until: Micros,
    /// When its disk is done with what it has.
    pub disk_busy_until: Micros,
    /// When the state machine is done with what it has.
    pub apply_busy_until: Micros,
    /// The end of a turn is on its way.
    pub turn_open: bool,
    /// Messages from this node are lost except to these; for the smallest quorum.
    pub reaches_only: Option<[bool; NODES_MAX]>,
    /// Filled by the core, over and over.
    pub output: Output,
}

impl Node {
    /// One that was never started, with this disk.
    #[must_use]
    pub fn new(id: NodeId, disk: Disk) -> Self {
        let view = View {
            term: disk.hard_state.term,
            vote: disk.hard_state.vote,
            role: holdfast_raft::RoleState::Follower,
            leader: None,
            commit: Index(0),
            applied: Index(0),
            last: disk.whole_end(),
            prev: disk.base,
            durable: Index(0),
            established: false,
            damaged: false,
            may_vote: true,
            acting: Index(0),
        };
        Self {
            id,
            boot: Boot(0),
            core: None,
            view,
            machine: Machine::new(None),
            disk,
            incoming: None,
            waiting: Vec::new(),
            durable: PersistId(0),
            reads: Vec::new(),
            ticks: 0,
            rate: 1000,
            paused_until: 0,
            stalled_until: 0,
            disk_busy_until: 0,
            apply_busy_until: 0,
            turn_open: false,
            reaches_only: None,
            output: Output::default(),
        }
    }

    /// One that starts with nothing: it joins later.
    #[must_use]
    pub fn blank(id: NodeId) -> Self {
        Self::new(id, Disk::new(HardState { term: Term(0), vote: None }, Vec::new()))
    }

    /// Whether its process runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.core.is_some()
    }

    /// Whether it runs and leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.is_up() && self.view.leads()
    }

    /// Its core.
    ///
    /// # Panics
    /// If it is down.
    #[must_use]
    pub fn running(&self) -> &dyn UnderTest {
        self.core.as_deref().expect("only nodes that run are asked")
    }

    /// A piece of its durable snapshot, if that is still the one that ends here.
    #[must_use]
    pub fn read_snapshot(
        &self,
        last: holdfast_raft::EntryId,
        offset: u64,
        bytes_max: usize,
    ) -> Option<Bytes> {
        let snapshot = self.disk.snapshot.as_ref().filter(|snapshot| snapshot.meta.last == last)?;
        let end = snapshot.bytes.len().min(offset as usize + bytes_max);
        (offset as usize <= end).then(|| snapshot.bytes.slice(offset as usize..end))
    }

    /// What becomes of a process that ends: all but the disk.
    pub fn forget(&mut self) {
        self.core = None;
        self.incoming = None;
        self.waiting.clear();
        self.reads.clear();
        self.turn_open = false;
        self.durable = PersistId(0);
        self.ticks = 0;
        self.paused_until = 0;
        self.disk_busy_until = 0;
        self.apply_busy_until = 0;
        self.reaches_only = None;
    }
}

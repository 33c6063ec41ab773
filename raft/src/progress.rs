//! Machine 03: what a leader knows of one peer's log, and how it sends.
//!
//! ```text
//!   Probe      one append at a time, until the peer says where its log ends
//!   Replicate  a window of appends on their way, next index moved forward in hope
//!   Snapshot   the peer's next entry is gone: pieces of a snapshot instead
//! ```
//! # Invariants
//! - `matched` is what this boot of the peer acknowledged in this term; it never goes back within both.
//! - `matched < next`; in Replicate everything from `matched` to before `next` is on its way.

use std::collections::VecDeque;

use holdfast_machine::{Machine, Verdict, decide, numbered};

use crate::{Boot, Index, Round, SnapshotMeta, Stretch};

numbered! {
    /// How a leader sends to a peer.
    pub enum ProgressState: u8, "S" {
        /// Where the peer's log ends is not known: one append at a time.
        Probe = 1,
        /// The logs match up to a known index: appends are sent ahead of acknowledgements.
        Replicate = 2,
        /// What the peer needs next is gone from the log: it is sent a snapshot.
        Snapshot = 3,
    }
}

numbered! {
    /// A fact about a peer.
    pub enum ProgressEvent: u8, "E" {
        /// It acknowledged an append: the logs match up to there.
        Matched = 1,
        /// It rejected an append of the present stretch.
        Rejected = 2,
        /// What is on its way may be lost: a new connection, a new boot, or silence for too long.
        Lost = 3,
        /// The entry it needs next, or the one before it, is gone from the log.
        Gone = 4,
        /// It acknowledged all that the snapshot covers.
        Installed = 5,
        /// The snapshot cannot be read here, or not be taken there.
        SnapshotFailed = 6,
    }
}

numbered! {
    /// A change in how a leader sends.
    pub enum ProgressEdge: u8, "T" {
        /// Send ahead.
        StartPipeline = 1,
        /// Go back to where the logs may match.
        FallBack = 2,
        /// Find out what arrived.
        ProbeAgain = 3,
        /// Send the newest snapshot.
        OfferSnapshot = 4,
        /// Go on behind the snapshot.
        FinishSnapshot = 5,
        /// Give this snapshot up and see what the peer needs now.
        AbandonSnapshot = 6,
    }
}

/// Machine 03.
#[derive(Debug)]
pub struct ProgressMachine;

impl Machine for ProgressMachine {
    const NUMBER: u8 = 3;
    const NAME: &'static str = "follower-progress";
    const INITIAL: ProgressState = ProgressState::Probe;
    const FINAL: &'static [ProgressState] = &[];

    type State = ProgressState;
    type Event = ProgressEvent;
    type Edge = ProgressEdge;

    fn next(state: ProgressState, event: ProgressEvent) -> Verdict<ProgressEdge> {
        use ProgressEdge as T;
        use ProgressEvent as E;
        use ProgressState as S;
        use Verdict::{Never, Stay, Take};
        const NO_SNAPSHOT: &str = "no snapshot is on its way";
        match (state, event) {
            (S::Probe, E::Matched) => Take(T::StartPipeline),
            (S::Replicate, E::Matched) => Stay("the window moves"),
            (S::Snapshot, E::Matched) => Stay("what it has is less than the snapshot"),

            (S::Probe, E::Rejected) => Stay("the next probe starts where the logs may match"),
            (S::Replicate, E::Rejected) => Take(T::FallBack),
            (S::Snapshot, E::Rejected) => Never("an offer begins a new stretch, to which no append belongs"),

            (S::Probe, E::Lost) => Stay("the probe is sent again"),
            (S::Replicate, E::Lost) => Take(T::ProbeAgain),
            (S::Snapshot, E::Lost) => Take(T::AbandonSnapshot),

            (S::Probe | S::Replicate, E::Gone) => Take(T::OfferSnapshot),
            (S::Snapshot, E::Gone) => Never("nothing is taken from the log for it"),

            (S::Snapshot, E::Installed) => Take(T::FinishSnapshot),
            (S::Snapshot, E::SnapshotFailed) => Take(T::AbandonSnapshot),
            (S::Probe | S::Replicate, E::Installed | E::SnapshotFailed) => Never(NO_SNAPSHOT),
        }
    }

    fn target(edge: ProgressEdge) -> ProgressState {
        match edge {
            ProgressEdge::StartPipeline | ProgressEdge::FinishSnapshot => ProgressState::Replicate,
            ProgressEdge::FallBack | ProgressEdge::ProbeAgain | ProgressEdge::AbandonSnapshot => {
                ProgressState::Probe
            }
            ProgressEdge::OfferSnapshot => ProgressState::Snapshot,
        }
    }
}

/// A snapshot on its way to a peer: one piece at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Which snapshot: the newest when it was offered. It is sent to its end also when a newer one is taken meanwhile, or a
    /// slow peer would never get a whole one.
    pub meta: SnapshotMeta,
    /// Where the next piece begins, as acknowledged.
    pub offset: u64,
    /// What the next piece waits for.
    pub(crate) wait: SendingWait,
}

/// What the next piece of a snapshot waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendingWait {
    /// Nothing: it can be asked for.
    Nothing,
    /// For the owner to read it.
    Read,
    /// For the peer to acknowledge it, or to install.
    Ack,
}

/// What a leader knows of one peer.
#[derive(Clone, Debug)]
pub struct Progress {
    state: ProgressState,
    /// The logs are equal, and the peer's durable, up to here.
    pub matched: Index,
    /// The next entry to send.
    pub next: Index,
    /// The boot whose acknowledgements count; `None` before anything was heard.
    pub boot: Option<Boot>,
    /// Which stretch of replication this is.
    pub stretch: Stretch,
    /// The snapshot that it is sent.
    pub sending: Option<Sending>,
    /// Appends with entries on their way, oldest first: last index and bytes.
    pub(crate) inflight: VecDeque<(Index, usize)>,
    pub(crate) inflight_bytes: usize,
    /// The first of the entries that are being read back for it.
    pub(crate) reading: Option<Index>,
    /// Ticks until a snapshot may be offered or entries be read back again, after that failed.
    pub(crate) pause_ticks: u32,
    /// A probe is on its way.
    pub(crate) probing: bool,
    /// Ticks since something that is on its way was sent or acknowledged.
    pub(crate) silent_ticks: u32,
    /// Ticks since it was heard; `None` if this leader never heard it.
    pub(crate) heard_ticks: Option<u32>,
    /// It was heard within the shortest election timeout.
    pub(crate) heard_lately: bool,
    /// The newest round of heartbeats that it answered, and that counts.
    pub(crate) round: Round,
    /// The commit index that it was told last.
    pub(crate) told_commit: Index,
    /// Whether what it says counts towards a quorum: once its present boot said so; not when its term and vote are lost.
    pub(crate) counting: bool,
    /// What it had acknowledged in this term before it came back with less: it is not counted below that.
    pub(crate) floor: Index,
    /// It is not a member any more, and is sent the log for so many ticks yet, to learn of it.
    pub(crate) leaving_ticks: Option<u32>,
}

impl Progress {
    /// What is known at the start: nothing, so the end of the leader's own log is tried first.
    pub(crate) fn new(last: Index, boot: Option<Boot>, stretch: Stretch) -> Self {
        Self {
            state: ProgressMachine::INITIAL,
            matched: Index(0),
            next: last.next(),
            boot,
            stretch,
            sending: None,
            inflight: VecDeque::new(),
            inflight_bytes: 0,
            reading: None,
            pause_ticks: 0,
            probing: false,
            silent_ticks: 0,
            heard_ticks: None,
            heard_lately: false,
            round: Round(0),
            told_commit: Index(0),
            counting: false,
            floor: Index(0),
            leaving_ticks: None,
        }
    }

    /// How it is sent to.
    #[must_use]
    pub fn state(&self) -> ProgressState {
        self.state
    }

    /// The choke point: the only assignment of the state. Returns the edge, if one is taken.
    pub(crate) fn shift(&mut self, event: ProgressEvent) -> Option<ProgressEdge> {
        let edge = decide::<ProgressMachine>(self.state, event)?;
        self.state = ProgressMachine::target(edge);
        assert!(
            (self.state == ProgressState::Snapshot) == self.sending.is_some(),
            "{edge:?}: a snapshot is on its way in state Snapshot, and only there"
        );
        Some(edge)
    }

    /// Whether it was heard within the shortest election timeout.
    #[must_use]
    pub fn heard_lately(&self) -> bool {
        self.heard_lately
    }

    /// It was heard just now.
    pub(crate) fn heard(&mut self) {
        (self.heard_ticks, self.heard_lately) = (Some(0), true);
    }

    /// A tick passed; whoever was not heard for `bound` of them is not heard lately.
    pub(crate) fn tick(&mut self, bound: u32) {
        self.pause_ticks = self.pause_ticks.saturating_sub(1);
        self.heard_ticks = self.heard_ticks.map(|ticks| ticks.saturating_add(1));
        self.heard_lately = self.heard_ticks.is_some_and(|ticks| ticks < bound);
    }

    /// Up to where it counts towards a commit.
    pub(crate) fn counted(&self) -> Index {
        if self.counts() { self.matched } else { Index(0) }
    }

    /// Whether its answers count towards a read or a leader's quorum.
    pub(crate) fn counts(&self) -> bool {
        self.counting && self.matched >= self.floor
    }

    /// Forgets what is on its way.
    pub(crate) fn forget_inflight(&mut self) {
        self.inflight.clear();
        self.inflight_bytes = 0;
        self.probing = false;
        self.silent_ticks = 0;
    }

    /// Notes an append on its way.
    pub(crate) fn sent(&mut self, last: Index, bytes: usize) {
        self.inflight.push_back((last, bytes));
        self.inflight_bytes += bytes;
    }

    /// Takes appends up to `matched` out of the window.
    pub(crate) fn arrived(&mut self, matched: Index) {
        while let Some(&(last, bytes)) = self.inflight.front() {
            if last > matched {
                break;
            }
            self.inflight.pop_front();
            self.inflight_bytes -= bytes;
        }
        self.silent_ticks = 0;
    }
}

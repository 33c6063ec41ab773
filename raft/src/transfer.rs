//! Machine 05: the receiving of a snapshot, piece by piece, up to its installation.
//!
//! Until the owner says that the snapshot is durable and in place, nothing of what the node had is touched: an interrupted
//! transfer leaves the old state, a finished one the new, and nothing in between exists.

use holdfast_machine::{Machine, Verdict, numbered};

use crate::{Boot, NodeId, SnapshotMeta};

numbered! {
    /// How far a snapshot has come.
    pub enum TransferState: u8, "S" {
        /// None is being received.
        Idle = 1,
        /// Pieces are coming; they are stored in a temporary place.
        Receiving = 2,
        /// All pieces are there: the owner verifies them, makes them durable and swaps the state.
        Installing = 3,
    }
}

numbered! {
    /// A fact about a snapshot.
    pub enum TransferEvent: u8, "E" {
        /// The first piece came, of a snapshot that reaches beyond what is committed here.
        Begun = 1,
        /// The next piece came, and it is not the last.
        Extended = 2,
        /// The last piece came.
        Completed = 3,
        /// The first piece of another snapshot came, or of the same from another sender.
        Replaced = 4,
        /// The log committed what the snapshot covers.
        Overtaken = 5,
        /// The snapshot is durable and in place.
        Installed = 6,
        /// It could not be put in place; everything is as it was.
        Failed = 7,
    }
}

numbered! {
    /// A step in the receiving of a snapshot.
    pub enum TransferEdge: u8, "T" {
        /// Store pieces.
        Begin = 1,
        /// Install.
        Complete = 2,
        /// Drop the pieces, and store those of the other one.
        BeginAgain = 3,
        /// Drop the pieces: they are not needed.
        Discard = 4,
        /// Go on behind the snapshot.
        Install = 5,
        /// Go on as before.
        Fail = 6,
    }
}

/// Machine 05.
#[derive(Debug)]
pub struct TransferMachine;

impl Machine for TransferMachine {
    const NUMBER: u8 = 5;
    const NAME: &'static str = "snapshot-transfer";
    const INITIAL: TransferState = TransferState::Idle;
    const FINAL: &'static [TransferState] = &[];

    type State = TransferState;
    type Event = TransferEvent;
    type Edge = TransferEdge;

    fn next(state: TransferState, event: TransferEvent) -> Verdict<TransferEdge> {
        use TransferEdge as T;
        use TransferEvent as E;
        use TransferState as S;
        use Verdict::{Never, Stay, Take};
        const NOTHING_COMING: &str = "no piece is taken unless the first one was";
        const ONE_AT_A_TIME: &str = "pieces are not taken while one is being installed";
        const NOT_INSTALLING: &str = "the owner was not told to install";
        match (state, event) {
            (S::Idle, E::Begun) => Take(T::Begin),
            (S::Receiving, E::Begun) => Never("a second first piece replaces"),
            (S::Idle, E::Extended | E::Completed | E::Replaced) => Never(NOTHING_COMING),
            (S::Receiving, E::Extended) => Stay("one piece more"),
            (S::Receiving, E::Completed) => Take(T::Complete),
            (S::Receiving, E::Replaced) => Take(T::BeginAgain),
            (S::Installing, E::Begun | E::Extended | E::Completed | E::Replaced) => Never(ONE_AT_A_TIME),

            (S::Idle, E::Overtaken) => Stay("there is nothing to drop"),
            (S::Receiving, E::Overtaken) => Take(T::Discard),
            (S::Installing, E::Overtaken) => Never("nothing is committed past it meanwhile"),

            (S::Installing, E::Installed) => Take(T::Install),
            (S::Installing, E::Failed) => Take(T::Fail),
            (S::Idle | S::Receiving, E::Installed | E::Failed) => Never(NOT_INSTALLING),
        }
    }

    fn target(edge: TransferEdge) -> TransferState {
        match edge {
            TransferEdge::Begin | TransferEdge::BeginAgain => TransferState::Receiving,
            TransferEdge::Complete => TransferState::Installing,
            TransferEdge::Discard | TransferEdge::Install | TransferEdge::Fail => TransferState::Idle,
        }
    }
}

/// The snapshot that is being received, with what only this state knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    Idle,
    Receiving(Receiving),
    Installing(SnapshotMeta),
}

/// A snapshot of which pieces have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receiving {
    pub(crate) meta: SnapshotMeta,
    /// Who sends it, in which boot: pieces of different files are never mixed.
    pub(crate) from: (NodeId, Boot),
    /// How many bytes have come.
    pub(crate) offset: u64,
}

impl Transfer {
    pub(crate) fn state(&self) -> TransferState {
        match self {
            Self::Idle => TransferState::Idle,
            Self::Receiving(_) => TransferState::Receiving,
            Self::Installing(_) => TransferState::Installing,
        }
    }
}

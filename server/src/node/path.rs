//! Machine 01: the way of a batch of writes through the leader. The page is `docs/state-machines/01-request-path.md`.
//!
//! All writes that a turn of the leader admits are one batch: they are appended together, synced together and sent
//! together, so one machine describes them all. What runs at the same time (the own disk, the followers) shows as two
//! ways from Appended to Committed.

use holdfast_machine::{Machine, Verdict, numbered};

numbered! {
    /// Where a batch is. The numbers of the stages it is in stand behind.
    pub enum State: u8, "S" {
        /// Decoded, and looked at (stages 1 to 3).
        Admitting = 1,
        /// In the leader's log, on its way to its disk and to its peers (stages 4 to 6).
        Appended = 2,
        /// Durable here, and not yet known to be at a quorum (stage 6).
        Synced = 3,
        /// Known to be committed (stages 7 and 8).
        Committed = 4,
        /// Applied, and the answers are on their way (stage 9).
        Answered = 5,
        /// Nothing was appended; the reason was given.
        Refused = 6,
        /// Leadership ended; the clients were told that the outcome is unknown.
        GivenUp = 7,
    }
}

numbered! {
    /// Facts about a batch.
    pub enum Event: u8, "E" {
        /// The core took it into its log.
        Taken = 1,
        /// The core did not take it.
        NotTaken = 2,
        /// The own disk holds it.
        OwnDiskDone = 3,
        /// A quorum holds it durably, and the leader knows.
        QuorumDone = 4,
        /// The store has executed all of it.
        Executed = 5,
        /// This node is not the leader of that term any more.
        Deposed = 6,
    }
}

numbered! {
    /// What is done about it.
    pub enum Edge: u8, "T" {
        /// Hand it to the disk and to the peers at once.
        Append = 1,
        /// Say why not.
        Refuse = 2,
        /// Count this node towards the quorum.
        CountSelf = 3,
        /// Commit on the word of the followers, before the own disk is done.
        CommitEarly = 4,
        /// Commit: this node was part of the quorum.
        Commit = 5,
        /// Answer the clients.
        Answer = 6,
        /// Tell the clients that the outcome is unknown.
        GiveUp = 7,
    }
}

/// Machine 01. See the module documentation.
#[derive(Debug)]
pub struct PathMachine;

impl Machine for PathMachine {
    const NUMBER: u8 = 1;
    const NAME: &'static str = "request-path";
    const INITIAL: State = State::Admitting;
    const FINAL: &'static [State] = &[State::Answered, State::Refused, State::GivenUp];
    type State = State;
    type Event = Event;
    type Edge = Edge;

    fn next(state: State, event: Event) -> Verdict<Edge> {
        use Verdict::{Never, Stay, Take};
        use {Edge as T, Event as E, State as S};
        match (state, event) {
            (S::Admitting, E::Taken) => Take(T::Append),
            (S::Admitting, E::NotTaken) => Take(T::Refuse),
            (S::Appended | S::Synced | S::Committed, E::Taken | E::NotTaken) => {
                Never("a batch is proposed once")
            }

            (S::Appended, E::OwnDiskDone) => Take(T::CountSelf),
            (S::Synced, E::OwnDiskDone) => Never("a batch is one write of the disk"),
            (S::Committed, E::OwnDiskDone) => Stay("the followers were faster"),

            (S::Appended, E::QuorumDone) => Take(T::CommitEarly),
            (S::Synced, E::QuorumDone) => Take(T::Commit),
            (S::Committed, E::QuorumDone) => Never("a batch is committed once"),

            (S::Committed, E::Executed) => Take(T::Answer),
            (S::Appended | S::Synced, E::Executed) => Never("only what is committed is executed"),

            (S::Appended | S::Synced | S::Committed, E::Deposed) => Take(T::GiveUp),

            (S::Admitting, E::OwnDiskDone | E::QuorumDone | E::Executed | E::Deposed) => {
                Never("nothing was appended yet")
            }
            (
                S::Answered | S::Refused | S::GivenUp,
                E::Taken | E::NotTaken | E::OwnDiskDone | E::QuorumDone | E::Executed | E::Deposed,
            ) => Never("nobody asks about a batch that is over"),
        }
    }

    fn target(edge: Edge) -> State {
        match edge {
            Edge::Append => State::Appended,
            Edge::CountSelf => State::Synced,
            Edge::CommitEarly | Edge::Commit => State::Committed,
            Edge::Answer => State::Answered,
            Edge::Refuse => State::Refused,
            Edge::GiveUp => State::GivenUp,
        }
    }
}

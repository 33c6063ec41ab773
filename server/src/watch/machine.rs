//! Machine 13: the life of a watch on a node. The page is `docs/state-machines/13-watch.md`.

use holdfast_machine::{Machine, Verdict, numbered};

numbered! {
    /// Where a watch gets its events from.
    pub enum State: u8, "S" {
        /// It waits until this node has applied the position that it names.
        Opening = 1,
        /// It reads history, piece by piece, as its connection takes it.
        Splicing = 2,
        /// Each new revision is queued for it as it is applied.
        Live = 3,
        /// Its connection does not keep up: nothing is queued for it, and the revision from which on is remembered.
        Behind = 4,
        /// It is over, and its client has been told, or is gone.
        Ended = 5,
    }
}

numbered! {
    /// Facts, after all guards.
    pub enum Event: u8, "E" {
        /// It can begin, with a revision that is published already.
        PastWanted = 1,
        /// It can begin, with a revision that is still to come.
        FutureWanted = 2,
        /// Everything published was queued.
        CaughtUp = 3,
        /// A revision does not fit into the queue of its connection.
        QueueFull = 4,
        /// The connection has taken enough of its queue.
        Drained = 5,
        /// What it has to read next was compacted.
        HistoryGone = 6,
        /// The state was replaced by that of a snapshot.
        Reinstalled = 7,
        /// Its client has cancelled it or is gone, or the node serves it no longer.
        Dismissed = 8,
    }
}

numbered! {
    /// What a watch does.
    pub enum Edge: u8, "T" {
        /// Begin with history.
        BeginPast = 1,
        /// Begin with what comes.
        BeginLive = 2,
        /// Give up before it began: nothing can be read from where it should begin, and the call is refused.
        RefuseOpening = 3,
        /// Be forgotten before it began.
        DropOpening = 4,
        /// From now on take what is applied: the next revision is the one behind the last that was read.
        JoinLive = 5,
        /// Stop reading: the queue is full.
        PauseSplice = 6,
        /// Say that history has a hole: which revision is missing, and what is the oldest that can be read.
        CutSplice = 7,
        /// Read on, from the same revision, in the history of the new state; what was read of it in part comes anew.
        RestartSplice = 8,
        /// End: say where to resume, unless nobody listens any more.
        EndSplice = 9,
        /// Leave the live events at this revision, and remember it.
        FallBehind = 10,
        /// Read what the snapshot brought, from behind the last revision that was queued.
        ResumeFromSnapshot = 11,
        /// End: say where to resume, unless nobody listens any more.
        EndLive = 12,
        /// Read on where it left.
        ReadOn = 13,
        /// End: say where to resume, unless nobody listens any more.
        EndBehind = 14,
    }
}

/// Machine 13. See the module documentation.
#[derive(Debug)]
pub struct WatchMachine;

impl Machine for WatchMachine {
    const NUMBER: u8 = 13;
    const NAME: &'static str = "watch";
    const INITIAL: State = State::Opening;
    const FINAL: &'static [State] = &[State::Ended];
    type State = State;
    type Event = Event;
    type Edge = Edge;

    fn next(state: State, event: Event) -> Verdict<Edge> {
        use Verdict::{Never, Stay, Take};
        use {Edge as T, Event as E, State as S};
        match (state, event) {
            (S::Opening, E::PastWanted) => Take(T::BeginPast),
            (S::Opening, E::FutureWanted) => Take(T::BeginLive),
            (S::Opening, E::HistoryGone) => Take(T::RefuseOpening),
            (S::Opening, E::Reinstalled) => Stay("where it begins is not decided yet"),
            (S::Opening, E::Dismissed) => Take(T::DropOpening),
            (S::Opening, E::CaughtUp | E::QueueFull | E::Drained) => Never("nothing is queued for it"),

            (S::Splicing, E::CaughtUp) => Take(T::JoinLive),
            (S::Splicing, E::QueueFull) => Take(T::PauseSplice),
            (S::Splicing, E::HistoryGone) => Take(T::CutSplice),
            (S::Splicing, E::Reinstalled) => Take(T::RestartSplice),
            (S::Splicing, E::Dismissed) => Take(T::EndSplice),
            (S::Splicing, E::Drained) => Never("it is asked only of those that are behind"),

            (S::Live, E::QueueFull) => Take(T::FallBehind),
            (S::Live, E::Reinstalled) => Take(T::ResumeFromSnapshot),
            (S::Live, E::Dismissed) => Take(T::EndLive),
            (S::Live, E::CaughtUp | E::HistoryGone | E::Drained) => Never("it reads no history"),

            (S::Behind, E::Drained) => Take(T::ReadOn),
            (S::Behind, E::Reinstalled) => Stay("it reads from the state that is there when it reads on"),
            (S::Behind, E::Dismissed) => Take(T::EndBehind),
            (S::Behind, E::QueueFull | E::CaughtUp | E::HistoryGone) => {
                Never("nothing is read or queued for it")
            }

            (S::Splicing | S::Live | S::Behind, E::PastWanted | E::FutureWanted) => Never("it has begun"),
            (
                S::Ended,
                E::PastWanted
                | E::FutureWanted
                | E::CaughtUp
                | E::QueueFull
                | E::Drained
                | E::HistoryGone
                | E::Reinstalled
                | E::Dismissed,
            ) => Never("it was forgotten: its call finds nothing"),
        }
    }

    fn target(edge: Edge) -> State {
        match edge {
            Edge::BeginPast | Edge::RestartSplice | Edge::ResumeFromSnapshot | Edge::ReadOn => {
                State::Splicing
            }
            Edge::BeginLive | Edge::JoinLive => State::Live,
            Edge::PauseSplice | Edge::FallBehind => State::Behind,
            Edge::RefuseOpening
            | Edge::DropOpening
            | Edge::CutSplice
            | Edge::EndSplice
            | Edge::EndLive
            | Edge::EndBehind => State::Ended,
        }
    }
}

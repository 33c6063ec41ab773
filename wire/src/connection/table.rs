//! Machine 08: the life of a connection, for clients and peers, for the side that dials and the side that
//! accepts. The page is `docs/state-machines/08-connection.md`.

use holdfast_machine::{Machine, Verdict, numbered};

numbered! {
    /// Where a connection is.
    pub enum State: u8, "S" {
        /// The transport is open; the preface of the other side has not all come.
        Prefacing = 1,
        /// The prefaces agree on a version; the other side has not been accepted yet.
        Greeting = 2,
        /// Both sides know each other; calls flow.
        Open = 3,
        /// One side has said Goodbye; calls in flight are finished, none is opened.
        Draining = 4,
        /// Nothing more is read. What was queued, a Goodbye at most, is flushed.
        Closed = 5,
    }
}

numbered! {
    /// Facts, after all guards.
    pub enum Event: u8, "E" {
        /// The preface is whole and the version ranges meet.
        VersionAgreed = 1,
        /// The greeting of the other side (Hello, or Welcome) passed every check.
        GreetingAccepted = 2,
        /// What the other side says of itself is well formed and not acceptable.
        Refused = 3,
        /// What came is not the protocol: a broken frame, or a whole one in the wrong place.
        Violated = 4,
        /// The other side said Goodbye.
        GoodbyeHeard = 5,
        /// This side wants an ordered end.
        CloseWanted = 6,
        /// No call is in flight any more.
        Drained = 7,
        /// The deadline of the present state passed.
        DeadlinePassed = 8,
        /// The transport ended: end of stream, reset, failed write.
        TransportLost = 9,
    }
}

numbered! {
    /// What a connection does.
    pub enum Edge: u8, "T" {
        /// Fix the version for all that follows.
        AgreeVersion = 1,
        /// Take the other side for what it says it is.
        Accept = 2,
        /// Say why not, and close.
        Refuse = 3,
        /// Trust nothing behind this byte, and close.
        BreakOff = 4,
        /// The other side refused us: note its reason, and close.
        BeRefused = 5,
        /// Leave before the handshake is done.
        Abandon = 6,
        /// The other side took too long to greet.
        GiveUp = 7,
        /// Say Goodbye and let the calls in flight finish.
        BeginDrain = 8,
        /// The other side wants to go: open no more calls.
        HeedGoodbye = 9,
        /// Everything is answered.
        FinishDrain = 10,
        /// Calls were not answered in time: leave them unanswered.
        CutDrain = 11,
        /// The other side has been silent too long: it is gone, or the path is.
        PresumeDead = 12,
        /// The transport is gone.
        Lose = 13,
    }
}

/// Machine 08. See the module documentation.
#[derive(Debug)]
pub struct ConnectionMachine;

impl Machine for ConnectionMachine {
    const NUMBER: u8 = 8;
    const NAME: &'static str = "connection";
    const INITIAL: State = State::Prefacing;
    const FINAL: &'static [State] = &[State::Closed];
    type State = State;
    type Event = Event;
    type Edge = Edge;

    fn next(state: State, event: Event) -> Verdict<Edge> {
        use Verdict::{Never, Stay, Take};
        use {Edge as T, Event as E, State as S};
        match (state, event) {
            (S::Prefacing, E::VersionAgreed) => Take(T::AgreeVersion),
            (S::Greeting | S::Open | S::Draining, E::VersionAgreed) => Never("the preface is read once"),

            (S::Prefacing, E::GreetingAccepted) => Never("no greeting is read before a version is agreed"),
            (S::Greeting, E::GreetingAccepted) => Take(T::Accept),
            (S::Open | S::Draining, E::GreetingAccepted) => Never("a second greeting is a violation"),

            (S::Prefacing | S::Greeting, E::Refused) => Take(T::Refuse),
            (S::Open | S::Draining, E::Refused) => Never("only a greeting can be refused"),

            (S::Prefacing | S::Greeting | S::Open | S::Draining, E::Violated) => Take(T::BreakOff),

            (S::Prefacing, E::GoodbyeHeard) => Never("no frame is read before a version is agreed"),
            (S::Greeting, E::GoodbyeHeard) => Take(T::BeRefused),
            (S::Open, E::GoodbyeHeard) => Take(T::HeedGoodbye),
            (S::Draining, E::GoodbyeHeard) => Stay("both sides want to go"),

            (S::Prefacing | S::Greeting, E::CloseWanted) => Take(T::Abandon),
            (S::Open, E::CloseWanted) => Take(T::BeginDrain),
            (S::Draining, E::CloseWanted) => Stay("already leaving"),

            (S::Prefacing | S::Greeting | S::Open, E::Drained) => Stay("idle, not leaving"),
            (S::Draining, E::Drained) => Take(T::FinishDrain),

            (S::Prefacing | S::Greeting, E::DeadlinePassed) => Take(T::GiveUp),
            (S::Open, E::DeadlinePassed) => Take(T::PresumeDead),
            (S::Draining, E::DeadlinePassed) => Take(T::CutDrain),

            (S::Prefacing | S::Greeting | S::Open | S::Draining, E::TransportLost) => Take(T::Lose),

            (
                S::Closed,
                E::VersionAgreed
                | E::GreetingAccepted
                | E::Refused
                | E::Violated
                | E::GoodbyeHeard
                | E::DeadlinePassed,
            ) => Never("nothing is read or timed once closed"),
            (S::Closed, E::CloseWanted | E::Drained) => Stay("the owner had not looked yet"),
            (S::Closed, E::TransportLost) => Stay("expected: the other side closes too"),
        }
    }

    fn target(edge: Edge) -> State {
        match edge {
            Edge::AgreeVersion => State::Greeting,
            Edge::Accept => State::Open,
            Edge::BeginDrain | Edge::HeedGoodbye => State::Draining,
            Edge::Refuse
            | Edge::BreakOff
            | Edge::BeRefused
            | Edge::Abandon
            | Edge::GiveUp
            | Edge::FinishDrain
            | Edge::CutDrain
            | Edge::PresumeDead
            | Edge::Lose => State::Closed,
        }
    }
}

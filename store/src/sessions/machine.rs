//! Machine 09: the life of a client session. The page is `docs/state-machines/09-session.md`.

use holdfast_machine::{Machine, Verdict, numbered};

numbered! {
    /// Where a session is.
    pub enum State: u8, "S" {
        /// Its requests are executed once each, and their answers kept.
        Live = 1,
        /// Its time was over before its client was heard again.
        Expired = 2,
        /// Its client has ended it.
        Closed = 3,
    }
}

numbered! {
    /// Facts, after all guards.
    pub enum Event: u8, "E" {
        /// A request or a renewal of its client was applied.
        ClientHeard = 1,
        /// The cluster clock has reached its deadline.
        DeadlinePassed = 2,
        /// A command to close it was applied.
        CloseAsked = 3,
    }
}

numbered! {
    /// What a session does.
    pub enum Edge: u8, "T" {
        /// Move the deadline: the clock plus the time to live.
        Renew = 1,
        /// Forget it and all of its answers, on every node at the same entry.
        Expire = 2,
        /// Forget it and all of its answers at once.
        Close = 3,
    }
}

/// Machine 09. See the module documentation.
#[derive(Debug)]
pub struct SessionMachine;

impl Machine for SessionMachine {
    const NUMBER: u8 = 9;
    const NAME: &'static str = "session";
    const INITIAL: State = State::Live;
    const FINAL: &'static [State] = &[State::Expired, State::Closed];
    type State = State;
    type Event = Event;
    type Edge = Edge;

    fn next(state: State, event: Event) -> Verdict<Edge> {
        use Verdict::{Never, Take};
        use {Edge as T, Event as E, State as S};
        match (state, event) {
            (S::Live, E::ClientHeard) => Take(T::Renew),
            (S::Live, E::DeadlinePassed) => Take(T::Expire),
            (S::Live, E::CloseAsked) => Take(T::Close),
            (S::Expired | S::Closed, E::ClientHeard | E::DeadlinePassed | E::CloseAsked) => {
                Never("it was forgotten: its number finds nothing")
            }
        }
    }

    fn target(edge: Edge) -> State {
        match edge {
            Edge::Renew => State::Live,
            Edge::Expire => State::Expired,
            Edge::Close => State::Closed,
        }
    }
}

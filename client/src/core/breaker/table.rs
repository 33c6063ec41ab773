//! Machine 17: whether an endpoint is asked. The page is `docs/state-machines/17-circuit-breaker.md`.

use holdfast_machine::{Machine, Verdict, numbered};

numbered! {
    /// Whether an endpoint is asked.
    pub enum BreakerState: u8, "S" {
        /// It is asked like any other.
        Closed = 1,
        /// It failed several times in a row, and is left alone for a while.
        Open = 2,
        /// One connection is tried. Nothing else is sent there until it has answered.
        HalfOpen = 3,
    }
}

numbered! {
    /// Facts, after all guards.
    pub enum BreakerEvent: u8, "E" {
        /// It answered: a call, or the Ping that follows each Welcome.
        Succeeded = 1,
        /// A connection failed, could not be made or was lost, and fewer in a row have than the limit.
        Failed = 2,
        /// A connection failed, and with it as many in a row as the limit, or more.
        FailedOften = 3,
        /// The time that it is left alone is over, and somebody wants to ask it.
        WaitOver = 4,
    }
}

numbered! {
    /// What the breaker does.
    pub enum BreakerEdge: u8, "T" {
        /// Leave the endpoint alone.
        Trip = 1,
        /// Try one connection.
        Probe = 2,
        /// Ask it as before.
        Restore = 3,
        /// Leave it alone for longer than the last time.
        TripAgain = 4,
    }
}

/// Machine 17. See the module documentation.
#[derive(Debug)]
pub struct BreakerMachine;

impl Machine for BreakerMachine {
    const NUMBER: u8 = 17;
    const NAME: &'static str = "circuit-breaker";
    const INITIAL: BreakerState = BreakerState::Closed;
    const FINAL: &'static [BreakerState] = &[];
    type State = BreakerState;
    type Event = BreakerEvent;
    type Edge = BreakerEdge;

    fn next(state: BreakerState, event: BreakerEvent) -> Verdict<BreakerEdge> {
        use Verdict::{Never, Stay, Take};
        use {BreakerEdge as T, BreakerEvent as E, BreakerState as S};
        match (state, event) {
            (S::Closed, E::Succeeded) => Stay("as it should be; failures are counted from 0 again"),
            (S::Open, E::Succeeded) => Stay("there is no connection that could have answered now"),
            (S::HalfOpen, E::Succeeded) => Take(T::Restore),

            (S::Closed, E::Failed) => Stay("counted; one failure may be a node that restarts"),
            (S::Open, E::Failed) => Stay("already left alone"),
            (S::HalfOpen, E::Failed) => Never("the failures that opened it still count"),

            (S::Closed, E::FailedOften) => Take(T::Trip),
            (S::Open, E::FailedOften) => Stay("already left alone"),
            (S::HalfOpen, E::FailedOften) => Take(T::TripAgain),

            (S::Closed | S::HalfOpen, E::WaitOver) => Never("only an open breaker waits"),
            (S::Open, E::WaitOver) => Take(T::Probe),
        }
    }

    fn target(edge: BreakerEdge) -> BreakerState {
        match edge {
            BreakerEdge::Trip | BreakerEdge::TripAgain => BreakerState::Open,
            BreakerEdge::Probe => BreakerState::HalfOpen,
            BreakerEdge::Restore => BreakerState::Closed,
        }
    }
}

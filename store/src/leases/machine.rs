//! Machine 10: the life of a lease. The page is `docs/state-machines/10-lease.md`.

use holdfast_machine::{Machine, Verdict, numbered};

numbered! {
    /// Where a lease is.
    pub enum State: u8, "S" {
        /// Keys may hang on it, and places in queues live by it.
        Alive = 1,
        /// Nobody renewed it in time, and the leader has said so.
        Expired = 2,
        /// Its holder has ended it.
        Revoked = 3,
    }
}

numbered! {
    /// Facts, after all guards.
    pub enum Event: u8, "E" {
        /// A renewal in the name of its holder was applied.
        RenewalApplied = 1,
        /// An expiry was applied that has its counter, at a cluster clock that has reached its deadline.
        ExpiryApplied = 2,
        /// An expiry was applied that has another counter, or came before the deadline.
        StaleExpiryApplied = 3,
        /// A revocation by its holder was applied.
        RevocationApplied = 4,
    }
}

numbered! {
    /// What a lease does.
    pub enum Edge: u8, "T" {
        /// Move the deadline, and take the index of the entry as the new counter.
        Renew = 1,
        /// Delete its keys in one revision, give up its places, and forget it.
        Expire = 2,
        /// The same, at the wish of its holder.
        Revoke = 3,
    }
}

/// Machine 10. See the module documentation.
#[derive(Debug)]
pub struct LeaseMachine;

impl Machine for LeaseMachine {
    const NUMBER: u8 = 10;
    const NAME: &'static str = "lease";
    const INITIAL: State = State::Alive;
    const FINAL: &'static [State] = &[State::Expired, State::Revoked];
    type State = State;
    type Event = Event;
    type Edge = Edge;

    fn next(state: State, event: Event) -> Verdict<Edge> {
        use Verdict::{Never, Stay, Take};
        use {Edge as T, Event as E, State as S};
        match (state, event) {
            (S::Alive, E::RenewalApplied) => Take(T::Renew),
            (S::Alive, E::ExpiryApplied) => Take(T::Expire),
            (S::Alive, E::StaleExpiryApplied) => {
                Stay("it was renewed since, or is another of the same number")
            }
            (S::Alive, E::RevocationApplied) => Take(T::Revoke),
            (
                S::Expired | S::Revoked,
                E::RenewalApplied | E::ExpiryApplied | E::StaleExpiryApplied | E::RevocationApplied,
            ) => Never("it was forgotten: its number finds nothing, or another"),
        }
    }

    fn target(edge: Edge) -> State {
        match edge {
            Edge::Renew => State::Alive,
            Edge::Expire => State::Expired,
            Edge::Revoke => State::Revoked,
        }
    }
}

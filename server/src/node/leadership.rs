//! Machine 15: what this node owes its clients while it leads. The page is `docs/state-machines/15-leadership.md`.
//!
//! The core knows whether it leads (machine 02); this knows whether clients may rely on it. Between the two lie the
//! own-term entry, which has to be applied before anything is admitted, and the promises that a deposed leader cannot
//! keep and has to give back before it goes on as a follower.

use holdfast_machine::{Machine, Verdict, numbered};

numbered! {
    /// What clients may expect of this node.
    pub enum State: u8, "S" {
        /// It does not lead, and holds no call that depends on leading.
        Revoked = 1,
        /// It leads, and has not applied an entry of its own term: writes wait.
        Establishing = 2,
        /// It leads: writes are admitted, stamped and proposed.
        Established = 3,
        /// It led until now: the calls that depended on it are being answered.
        Revoking = 4,
    }
}

numbered! {
    /// Facts that the node derives from its core and its store.
    pub enum Event: u8, "E" {
        /// The core became the leader of a term.
        Elected = 1,
        /// An entry of that term has been applied: all that earlier leaders committed has been, too.
        OwnTermApplied = 2,
        /// The core leads that term no longer.
        Deposed = 3,
        /// Every call that depended on leading has been answered.
        Settled = 4,
    }
}

numbered! {
    /// What is done about it.
    pub enum Edge: u8, "T" {
        /// Let writes wait for the own-term entry.
        Begin = 1,
        /// Start the clocks from the applied state, and admit.
        Establish = 2,
        /// The term ended before it was of use.
        Abort = 3,
        /// Stop admitting, and answer what is under way: the outcome is unknown.
        Revoke = 4,
        /// Go on as a follower.
        Settle = 5,
    }
}

/// Machine 15. See the module documentation.
#[derive(Debug)]
pub struct LeadershipMachine;

impl Machine for LeadershipMachine {
    const NUMBER: u8 = 15;
    const NAME: &'static str = "leadership";
    const INITIAL: State = State::Revoked;
    const FINAL: &'static [State] = &[];
    type State = State;
    type Event = Event;
    type Edge = Edge;

    fn next(state: State, event: Event) -> Verdict<Edge> {
        use Verdict::{Never, Stay, Take};
        use {Edge as T, Event as E, State as S};
        match (state, event) {
            (S::Revoked, E::Elected) => Take(T::Begin),
            (S::Establishing | S::Established, E::Elected) => Never("a term is lost before another is won"),
            (S::Revoking, E::Elected) => Never("revoking completes within the turn that began it"),

            (S::Establishing, E::OwnTermApplied) => Take(T::Establish),
            (S::Established, E::OwnTermApplied) => Stay("further entries of the own term"),
            (S::Revoked | S::Revoking, E::OwnTermApplied) => Stay("the term is over"),

            (S::Establishing, E::Deposed) => Take(T::Abort),
            (S::Established, E::Deposed) => Take(T::Revoke),
            (S::Revoked | S::Revoking, E::Deposed) => Never("who does not lead is not deposed"),

            (S::Revoking, E::Settled) => Take(T::Settle),
            (S::Revoked | S::Establishing | S::Established, E::Settled) => {
                Never("only what was revoked is settled")
            }
        }
    }

    fn target(edge: Edge) -> State {
        match edge {
            Edge::Begin => State::Establishing,
            Edge::Establish => State::Established,
            Edge::Abort | Edge::Revoke => State::Revoking,
            Edge::Settle => State::Revoked,
        }
    }
}

//~ compiles
use holdfast_machine::{Machine, Verdict, numbered};

numbered! {
    /// States.
    pub enum S: u8, "S" {
        /// Waiting.
        Idle = 1,
        /// Working.
        Busy = 2,
    }
}
numbered! {
    /// Events.
    pub enum E: u8, "E" {
        /// Work came.
        Begin = 1,
        /// Work went.
        End = 2,
    }
}
numbered! {
    /// Edges.
    pub enum T: u8, "T" {
        /// Take it up.
        Start = 1,
        /// Put it down.
        Stop = 2,
    }
}

/// A machine.
pub struct M;

impl Machine for M {
    const NUMBER: u8 = 1;
    const NAME: &'static str = "m";
    const INITIAL: S = S::Idle;
    const FINAL: &'static [S] = &[];
    type State = S;
    type Event = E;
    type Edge = T;

    fn next(state: S, event: E) -> Verdict<T> {
        match (state, event) {
            (S::Idle, E::Begin) => Verdict::Take(T::Start),
            (S::Idle, E::End) => Verdict::Never("nothing runs"),
            (S::Busy, E::Begin) => Verdict::Stay("one at a time"),
            (S::Busy, E::End) => Verdict::Take(T::Stop),
        }
    }

    fn target(edge: T) -> S {
        match edge {
            T::Start => S::Busy,
            T::Stop => S::Idle,
        }
    }
}

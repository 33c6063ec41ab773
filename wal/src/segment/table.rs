//! Machine 06: the life of a segment. The page is `docs/state-machines/06-wal-segment.md`.

use holdfast_machine::{Machine, Verdict, numbered};

numbered! {
    /// Where a segment is in its life.
    pub enum State: u8, "S" {
        /// A file under a temporary name is being filled with zeros.
        Preparing = 1,
        /// Zero, with a header, durable under its name. No record yet.
        Prepared = 2,
        /// Records are appended to it. One segment at most.
        Active = 3,
        /// Complete: it ends where the checkpoint of the next one says.
        Sealed = 4,
        /// No group needs anything in it, and that is durable; or it was not used and cannot be trusted.
        Dead = 5,
        /// Its name is gone.
        Gone = 6,
    }
}

numbered! {
    /// Facts about a segment.
    pub enum Event: u8, "E" {
        /// It is full of zeros, has its header, and both and its name are durable.
        Zeroed = 1,
        /// The log goes on here.
        Needed = 2,
        /// The next record does not fit any more, and all it holds is durable.
        Full = 3,
        /// Recovery cut a torn tail here.
        TailCut = 4,
        /// Recovery found damage: the log goes on elsewhere.
        DamageFound = 5,
        /// Every group begins in a later segment, and the record that says so is durable.
        Outlived = 6,
        /// It holds bytes that nothing accounts for.
        Distrusted = 7,
        /// Its name is removed.
        Removed = 8,
    }
}

numbered! {
    /// What happens to a segment.
    pub enum Edge: u8, "T" {
        /// Give it its name.
        FinishPreparing = 1,
        /// Write its checkpoint and append to it.
        Begin = 2,
        /// Leave it complete.
        SealFull = 3,
        /// Leave it with its tail cut, never to be appended to again.
        SealAtCut = 4,
        /// Leave it with its damage, which later records may repair.
        SealDamaged = 5,
        /// Let it go.
        Retire = 6,
        /// Let go of one that was never used.
        Discard = 7,
        /// Remove its file.
        Remove = 8,
    }
}

/// Machine 06. See the module documentation.
#[derive(Debug)]
pub struct SegmentMachine;

impl Machine for SegmentMachine {
    const NUMBER: u8 = 6;
    const NAME: &'static str = "wal-segment";
    const INITIAL: State = State::Preparing;
    const FINAL: &'static [State] = &[State::Gone];
    type State = State;
    type Event = Event;
    type Edge = Edge;

    fn next(state: State, event: Event) -> Verdict<Edge> {
        use Verdict::{Never, Stay, Take};
        use {Edge as T, Event as E, State as S};
        match (state, event) {
            (S::Preparing, E::Zeroed) => Take(T::FinishPreparing),
            (S::Prepared | S::Active | S::Sealed | S::Dead, E::Zeroed) => Never("a segment is filled once"),

            (S::Preparing, E::Needed) => Never("the log takes only segments that are prepared"),
            (S::Prepared, E::Needed) => Take(T::Begin),
            (S::Active, E::Needed) => Stay("recovery found its end whole, and the log goes on in it"),
            (S::Sealed | S::Dead, E::Needed) => Never("a sealed segment is not appended to"),

            (S::Active, E::Full) => Take(T::SealFull),
            (S::Preparing | S::Prepared | S::Sealed | S::Dead, E::Full) => Never("only the active one fills"),

            (S::Active, E::TailCut) => Take(T::SealAtCut),
            (S::Preparing | S::Prepared | S::Sealed | S::Dead, E::TailCut) => {
                Never("the tail is in the active one")
            }

            (S::Active, E::DamageFound) => Take(T::SealDamaged),
            (S::Preparing | S::Prepared | S::Dead, E::DamageFound) => Never("it holds no records"),
            (S::Sealed, E::DamageFound) => Stay("sealed already; its damage is reported"),

            (S::Sealed, E::Outlived) => Take(T::Retire),
            (S::Preparing | S::Prepared | S::Active, E::Outlived) => Never("the log still goes on behind it"),
            (S::Dead, E::Outlived) => Stay("its name is still to be removed"),

            (S::Preparing, E::Distrusted) => Never("a preparation that failed is begun anew"),
            (S::Prepared, E::Distrusted) => Take(T::Discard),
            (S::Active | S::Sealed, E::Distrusted) => {
                Never("records are never thrown away for being damaged")
            }
            (S::Dead, E::Distrusted) => Stay("its name is still to be removed"),

            (S::Dead, E::Removed) => Take(T::Remove),
            (S::Preparing | S::Prepared | S::Active | S::Sealed, E::Removed) => {
                Never("only what is dead is removed")
            }

            (
                S::Gone,
                E::Zeroed
                | E::Needed
                | E::Full
                | E::TailCut
                | E::DamageFound
                | E::Outlived
                | E::Distrusted
                | E::Removed,
            ) => Never("a number is never used twice at a time"),
        }
    }

    fn target(edge: Edge) -> State {
        match edge {
            Edge::FinishPreparing => State::Prepared,
            Edge::Begin => State::Active,
            Edge::SealFull | Edge::SealAtCut | Edge::SealDamaged => State::Sealed,
            Edge::Retire | Edge::Discard => State::Dead,
            Edge::Remove => State::Gone,
        }
    }
}

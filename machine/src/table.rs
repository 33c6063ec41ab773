//! The transition table: what one cell says, and the trait that joins states, events and edges.

use crate::Numbered;

/// What one (state, event) cell of a table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<Edge> {
    /// Take this numbered edge.
    Take(Edge),
    /// Legal, and the state stays as it is. The reason is printed in the grid of the machine's page.
    Stay(&'static str),
    /// Cannot happen. Only for facts that this node derived itself: reaching it is a bug, and
    /// [`decide`] panics. What a peer or a client sent is dropped and counted instead.
    Never(&'static str),
}

/// A machine: three numbered enums and a total function over two of them.
///
/// Events are facts *after* guards (`VoteWon`, `HigherTerm`), not raw messages: handlers turn messages
/// into facts, the table turns facts into edges. That keeps a machine to about 6 states × 10 events.
pub trait Machine: 'static {
    /// The number of the machine's page in `docs/state-machines/`, 1 to 99.
    const NUMBER: u8;
    /// The name of the page: lower case with hyphens, `raft-role`.
    const NAME: &'static str;
    /// Where a new machine starts. Drawn with an arrow from `[*]`.
    const INITIAL: Self::State;
    /// Where a machine may rest for ever. Drawn with an arrow to `[*]`; may be empty.
    const FINAL: &'static [Self::State];

    /// Where the machine is.
    type State: Numbered;
    /// What it is told.
    type Event: Numbered;
    /// What it does about it.
    type Edge: Numbered;

    /// The cell for this pair. Written as one `match` with no `_` arm, so that a new state or event does
    /// not compile until every cell is written.
    fn next(state: Self::State, event: Self::Event) -> Verdict<Self::Edge>;

    /// The state an edge leads to. An edge has one target, whatever state it leaves.
    fn target(edge: Self::Edge) -> Self::State;
}

/// The look-up of the choke point: which edge to take, or `None` to stay.
///
/// # Panics
/// If the cell says [`Verdict::Never`]: this node derived a fact that contradicts its own state, and
/// going on would act on it.
#[must_use = "the state has not changed yet: take the edge"]
#[track_caller]
pub fn decide<M: Machine>(state: M::State, event: M::Event) -> Option<M::Edge> {
    match M::next(state, event) {
        Verdict::Take(edge) => Some(edge),
        Verdict::Stay(_) => None,
        Verdict::Never(why) => {
            panic!("{}: {} met {}: {why}", M::NAME, state.label(), event.label())
        }
    }
}

//! Rules that are left out of a core or of a whole node, chosen when it runs.
//!
//! The tests of the store and of the hub compile the code anew for each rule that they leave out. A core or a whole node, some
//! seventy times, would take an hour to compile. So one further type stands for all: it asks what this thread has chosen.

use std::cell::Cell;
use std::fmt;

use holdfast_machine::Numbered;
use holdfast_server::{node, watch};

thread_local! {
    static CHOICE: Cell<Option<Planted>> = const { Cell::new(None) };
}

/// A rule that is left out, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Planted {
    /// Of the core.
    Raft(holdfast_raft::Bug),
    /// Of the store.
    Store(holdfast_store::Bug),
    /// Of the hub of watches.
    Watch(watch::plant::Bug),
    /// Of the node that holds them together.
    Node(node::plant::Bug),
}

impl Planted {
    /// All that there are.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let raft = holdfast_raft::Bug::ALL.iter().copied().map(Self::Raft);
        let store = holdfast_store::Bug::ALL.iter().copied().map(Self::Store);
        let watch = watch::plant::Bug::ALL.iter().copied().map(Self::Watch);
        let node = node::plant::Bug::ALL.iter().copied().map(Self::Node);
        raft.chain(store).chain(watch).chain(node).collect()
    }

    /// The one of this name, as it is displayed.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|planted| planted.to_string() == name)
    }

    /// The one of the core of this name: what the simulator of the core calls it.
    #[must_use]
    pub fn in_core(name: &str) -> Option<Self> {
        holdfast_raft::Bug::ALL.iter().find(|bug| bug.name() == name).map(|bug| Self::Raft(*bug))
    }
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, name) = match self {
            Self::Raft(bug) => ("raft", bug.name()),
            Self::Store(bug) => ("store", bug.name()),
            Self::Watch(bug) => ("watch", bug.name()),
            Self::Node(bug) => ("node", bug.name()),
        };
        f.pad(&format!("{part}:{name}"))
    }
}

/// Does something while this rule is left out of every [`Chosen`] of this thread.
pub fn chosen<T>(planted: Planted, what: impl FnOnce() -> T) -> T {
    /// Puts it back, also when `what` panics.
    struct Back(Option<Planted>);

    impl Drop for Back {
        fn drop(&mut self) {
            CHOICE.set(self.0);
        }
    }

    let _back = Back(CHOICE.replace(Some(planted)));
    what()
}

fn is(planted: Planted) -> bool {
    CHOICE.get() == Some(planted)
}

/// Core, store, hub and node without the rule that this thread has chosen.
#[derive(Clone, Copy, Debug)]
pub struct Chosen;

impl holdfast_raft::Plant for Chosen {
    const BUG: Option<holdfast_raft::Bug> = None;

    fn plants(bug: holdfast_raft::Bug) -> bool {
        is(Planted::Raft(bug))
    }

    fn any() -> bool {
        matches!(CHOICE.get(), Some(Planted::Raft(_)))
    }
}

impl holdfast_store::Plant for Chosen {
    const BUG: Option<holdfast_store::Bug> = None;

    fn plants(bug: holdfast_store::Bug) -> bool {
        is(Planted::Store(bug))
    }
}

impl watch::plant::Plant for Chosen {
    const BUG: Option<watch::plant::Bug> = None;

    fn plants(bug: watch::plant::Bug) -> bool {
        is(Planted::Watch(bug))
    }
}

impl node::plant::Plant for Chosen {
    type Raft = Self;
    type Store = Self;
    type Watch = Self;

    fn plants(bug: node::plant::Bug) -> bool {
        is(Planted::Node(bug))
    }
}

//! A store without a rule that is chosen when it runs: one type for all rules, or the store would be compiled for each.

use std::cell::Cell;

use holdfast_store::{Bug, Plant};

thread_local! {
    static LEFT_OUT: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// The store without the rule that this thread has chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen;

impl Plant for Chosen {
    const BUG: Option<Bug> = None;

    fn plants(bug: Bug) -> bool {
        LEFT_OUT.get() == Some(bug)
    }
}

/// Does something while this rule is left out of every [`Chosen`] of this thread. If it panics, the test is over.
pub(crate) fn chosen<T>(bug: Bug, what: impl FnOnce() -> T) -> T {
    LEFT_OUT.set(Some(bug));
    let done = what();
    LEFT_OUT.set(None);
    done
}

//! Breadth first, to the fixpoint: so a violation comes with a shortest way to it.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use holdfast_raft::Plant;

use super::{Action, Bounds, World};

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Found {
    /// States that differ.
    pub states: u64,
    /// Actions taken.
    pub steps: u64,
    /// The longest of the shortest ways to a state, in actions.
    pub depth: u64,
    /// No state was left to go on from.
    pub fixpoint: bool,
    /// What did not hold, and the way there.
    pub violation: Option<(String, Vec<Action>)>,
}

/// A state that has to be gone on from: the number of the step that led to it, and the state.
type Open<P> = (usize, World<P>);

/// What one action led to: where it was taken, which it was, and the state with its hash, if it was not seen before; or what
/// does not hold.
type Step<P> = (usize, Action, Result<Option<(u128, World<P>)>, String>);

/// Takes every action from every state, up to about `states_max` states, on `threads` threads. What is found does not depend
/// on their number.
#[must_use]
pub fn explore<P: Plant + Sync>(bounds: Bounds, states_max: u64, threads: usize) -> Found {
    let start = World::<P>::new(bounds);
    let mut seen: BTreeSet<u128> = BTreeSet::from([start.hash()]);
    // The ways are kept as a tree: which step led to the state where this action was taken.
    let mut ways: Vec<(usize, Action)> = Vec::new();
    let mut front: Vec<Open<P>> = vec![(usize::MAX, start)];
    let mut found = Found { states: 1, steps: 0, depth: 0, fixpoint: false, violation: None };
    while !front.is_empty() {
        let mut next: Vec<Open<P>> = Vec::new();
        // In portions, so that states which turn out to be old do not all have to be held at once.
        for portion in front.chunks(PORTION) {
            let share = portion.len().div_ceil(threads);
            let steps: Vec<Vec<Step<P>>> = std::thread::scope(|scope| {
                let shares: Vec<_> =
                    portion.chunks(share).map(|share| scope.spawn(|| take_all(share, &seen))).collect();
                shares.into_iter().map(|share| share.join().unwrap_or_default()).collect()
            });
            for (from, action, outcome) in steps.into_iter().flatten() {
                found.steps += 1;
                match outcome {
                    Err(what) => {
                        found.violation = Some((what, way(&ways, from, action)));
                        return found;
                    }
                    Ok(None) => {}
                    Ok(Some((hash, after))) => {
                        if seen.insert(hash) {
                            found.states += 1;
                            ways.push((from, action));
                            next.push((ways.len() - 1, after));
                        }
                    }
                }
            }
            if found.states > states_max {
                return found;
            }
        }
        front = next;
        found.depth += 1;
    }
    found.fixpoint = true;
    found
}

/// States that are gone on from at a time.
const PORTION: usize = 1024;

/// Takes every action from each of these states.
fn take_all<P: Plant>(open: &[Open<P>], seen: &BTreeSet<u128>) -> Vec<Step<P>> {
    let mut steps = Vec::new();
    for (from, world) in open {
        for action in world.actions() {
            let mut after = world.clone();
            let outcome = catch_unwind(AssertUnwindSafe(|| after.act(action)));
            let outcome = outcome.unwrap_or_else(|panic| Err(said(&*panic)));
            let new =
                outcome.map(|()| after.hash()).map(|hash| (!seen.contains(&hash)).then_some((hash, after)));
            steps.push((*from, action, new));
        }
    }
    steps
}

fn way(ways: &[(usize, Action)], mut from: usize, last: Action) -> Vec<Action> {
    let mut actions = vec![last];
    while let Some((before, action)) = ways.get(from) {
        actions.push(*action);
        from = *before;
    }
    actions.reverse();
    actions
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

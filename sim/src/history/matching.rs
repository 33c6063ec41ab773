//! Which effect is of which call, where several calls would explain several effects.
//!
//! A deletion of unknown outcome leaves no value that tells whose it was. Taking the first that fits could use up the
//! only one that another effect has left, and call a correct history wrong; so it is a largest matching of the two sets.

use std::collections::{BTreeMap, VecDeque};

/// Gives each effect one of the calls that fit it, each call once, such that as few as possible go without.
pub(super) fn assign(fitting: &[Vec<usize>]) -> Vec<Option<usize>> {
    // To each call its effect, and to each effect its call.
    let mut effects: BTreeMap<usize, usize> = BTreeMap::new();
    let mut calls: Vec<Option<usize>> = vec![None; fitting.len()];
    for wanted in 0..fitting.len() {
        // Breadth first over alternating paths; `from` is the effect that a call was reached from.
        let mut from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = VecDeque::from([wanted]);
        let mut free = None;
        'search: while let Some(at) = queue.pop_front() {
            for call in &fitting[at] {
                if from.contains_key(call) {
                    continue;
                }
                from.insert(*call, at);
                match effects.get(call) {
                    Some(other) => queue.push_back(*other),
                    None => {
                        free = Some(*call);
                        break 'search;
                    }
                }
            }
        }
        // Back along the path: each effect takes the call that it was left by, and gives away its own.
        while let Some(call) = free {
            let at = from[&call];
            effects.insert(call, at);
            free = calls[at].replace(call);
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::rng::Rng;

    /// How many effects find a call, at most, by trying everything.
    fn most(fitting: &[Vec<usize>], used: &mut Vec<usize>) -> usize {
        let Some((first, others)) = fitting.split_first() else { return 0 };
        let mut best = most(others, used);
        for call in first {
            if !used.contains(call) {
                used.push(*call);
                best = best.max(1 + most(others, used));
                used.pop();
            }
        }
        best
    }

    #[test]
    fn as_many_as_possible_find_a_call_that_fits_and_each_call_is_used_once() {
        for seed in 0..2_000 {
            let mut rng = Rng::new(seed);
            let calls = rng.between(1, 6);
            let fitting: Vec<Vec<usize>> = (0..rng.between(1, 6))
                .map(|_| (0..calls as usize).filter(|_| rng.chance(350)).collect())
                .collect();
            let assigned = assign(&fitting);
            let mut used: Vec<usize> = assigned.iter().flatten().copied().collect();
            assert_eq!(used.len(), most(&fitting, &mut Vec::new()), "seed {seed}: {fitting:?} {assigned:?}");
            used.sort_unstable();
            used.dedup();
            assert_eq!(used.len(), assigned.iter().flatten().count(), "seed {seed}: {assigned:?}");
            let fits =
                |(at, call): (usize, &Option<usize>)| call.is_none_or(|call| fitting[at].contains(&call));
            assert!(assigned.iter().enumerate().all(fits), "seed {seed}: {fitting:?} {assigned:?}");
        }
    }
}

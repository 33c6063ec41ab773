//! Is there an order of the calls that explains all answers? Asked with times and values alone.
//!
//! # Why a second judge
//! [`witness`](super::witness) believes the indexes and revisions of the answers. If those were made up to fit, it
//! would be content. This one does not look at them: it searches for an order (Wing and Gong 1993) in which a
//! sequential store gives all answers, each call between its begin and its end, and remembers which pairs of *calls
//! done* and *state* it has been at (Lowe 2017). That is exponential in what overlaps, so it is for short
//! histories, and gives up after a bounded number of such pairs. Giving up is an outcome of its own.
//!
//! # What is ordered
//! Writes, and reads that are linearizable. One object is a set of keys that calls connect: linearizability is
//! local, so each is searched alone (Herlihy and Wing 1990). A call of unknown outcome is never over, and may be
//! left out. Revisions that a condition names stand for the value that was seen with them and for nothing else;
//! whether a fence held is not judged. Keys that hang on leases change without a call: objects with such a key are
//! left out.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Ask, Freshness, History, Op, text};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none; with what could not be explained.
    Not(String),
    /// So many states were visited, and nothing was found.
    Undecided,
}

/// Searches for an order of each object, visiting at most so many states of each. One object without an order
/// decides; else one that is not decided does.
#[must_use]
pub fn check(history: &History, limit: usize) -> Verdict {
    let mut outcome = Verdict::Linearizable;
    for object in objects(history) {
        match Search::new(history, &object).run(limit) {
            Verdict::Linearizable => {}
            Verdict::Not(what) => return Verdict::Not(what),
            Verdict::Undecided => outcome = Verdict::Undecided,
        }
    }
    outcome
}

/// The keys of a call, those of its conditions too.
fn keys(op: &Op) -> Vec<&[u8]> {
    match &op.ask {
        Ask::Write { changes, only_if, .. } => {
            let conditions = only_if.iter().map(|(key, _)| key.as_ref());
            changes.iter().map(|(key, _)| key.as_ref()).chain(conditions).collect()
        }
        Ask::Read { keys, .. } => keys.iter().map(AsRef::as_ref).collect(),
    }
}

/// The calls of each object, by when they were asked.
fn objects(history: &History) -> Vec<Vec<&Op>> {
    fn root(parents: &[usize], mut at: usize) -> usize {
        while parents[at] != at {
            at = parents[at];
        }
        at
    }
    let takes_part = |op: &&Op| match (&op.ask, &op.answer) {
        (_, Answer::Refused) | (Ask::Read { .. }, Answer::Unknown) => false,
        (Ask::Read { freshness, .. }, _) => *freshness == Freshness::Linearizable,
        (Ask::Write { .. }, _) => true,
    };
    let ops: Vec<&Op> = history.ops.iter().filter(takes_part).collect();
    let mut numbers: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut parents: Vec<usize> = Vec::new();
    for op in &ops {
        let mut first = None;
        for key in keys(op) {
            let number = *numbers.entry(key).or_insert_with(|| {
                parents.push(parents.len());
                parents.len() - 1
            });
            let own = root(&parents, number);
            let of = *first.get_or_insert(own);
            let of = root(&parents, of);
            parents[own] = of;
        }
    }
    let hanging: BTreeSet<usize> = numbers
        .iter()
        .filter(|(key, _)| history.hanging.contains_key(**key))
        .map(|(_, number)| root(&parents, *number))
        .collect();
    let mut by_object: BTreeMap<usize, Vec<&Op>> = BTreeMap::new();
    for op in ops {
        if let Some(key) = keys(op).first() {
            let object = root(&parents, numbers[key]);
            if !hanging.contains(&object) {
                by_object.entry(object).or_default().push(op);
            }
        }
    }
    let mut all: Vec<Vec<&Op>> = by_object.into_values().collect();
    all.iter_mut().for_each(|ops| ops.sort_by_key(|op| op.invoked));
    all
}

/// A value, or none: small numbers instead of bytes.
type Tag = u32;
const NOTHING: Tag = 0;

/// What a call does in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Its answer cannot be given here.
    No,
    /// Its answer is right, and nothing changes.
    Looks,
    /// Its answer is right, and it changes something.
    Changes,
}

/// A call in numbers.
#[derive(Debug)]
struct Call<'a> {
    op: &'a Op,
    /// `None` if it is never over.
    returned: Option<u64>,
    /// Key and what it becomes, or was found to be.
    keys: Vec<(usize, Tag)>,
    /// Conditions that are understood.
    only_if: Vec<(usize, Tag)>,
    /// There is a condition that cannot be judged here.
    opaque: bool,
}

/// Calls done, and state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    done: Box<[u64]>,
    state: Box<[Tag]>,
}

impl Place {
    fn is_done(&self, call: usize) -> bool {
        self.done[call / 64] >> (call % 64) & 1 == 1
    }

    fn set_done(&mut self, call: usize) {
        self.done[call / 64] |= 1 << (call % 64);
    }
}

#[derive(Debug)]
struct Search<'a> {
    calls: Vec<Call<'a>>,
    keys: usize,
}

impl<'a> Search<'a> {
    fn new(history: &'a History, ops: &[&'a Op]) -> Self {
        let mut numbers: BTreeMap<&[u8], usize> = BTreeMap::new();
        let mut tags: BTreeMap<&[u8], Tag> = BTreeMap::new();
        for op in ops {
            for key in keys(op) {
                let next = numbers.len();
                numbers.entry(key).or_insert(next);
            }
            let mut meet = |value: &'a [u8]| {
                let next = tags.len() as Tag + 1;
                tags.entry(value).or_insert(next);
            };
            if let Ask::Write { changes, .. } = &op.ask {
                changes.iter().filter_map(|(_, value)| value.as_deref()).for_each(&mut meet);
            }
            if let Answer::Found { items, .. } = &op.answer {
                items.iter().for_each(|(_, value, _)| meet(value));
            }
        }
        // What a revision in a condition stands for: the value that somebody was told with it.
        let mut stands_for: BTreeMap<(&[u8], u64), Tag> = BTreeMap::new();
        for op in &history.ops {
            if let Answer::Found { items, .. } = &op.answer {
                for (key, value, revision) in items {
                    if let Some(tag) = tags.get(value.as_ref()) {
                        stands_for.insert((key, *revision), *tag);
                    }
                }
            }
            if let Ask::Write { changes, .. } = &op.ask
                && let Answer::Written { revision, .. } = op.answer
            {
                for (key, value) in changes {
                    if let Some(tag) = value.as_ref().and_then(|value| tags.get(value.as_ref())) {
                        stands_for.insert((key, revision), *tag);
                    }
                }
            }
        }
        let call = |op: &&'a Op| {
            let mut call = Call {
                op,
                returned: (op.answer != Answer::Unknown).then_some(op.returned),
                keys: Vec::new(),
                only_if: Vec::new(),
                opaque: false,
            };
            match &op.ask {
                Ask::Write { changes, only_if, fence } => {
                    for (key, value) in changes {
                        let tag = value.as_ref().map_or(NOTHING, |value| tags[value.as_ref()]);
                        call.keys.push((numbers[key.as_ref()], tag));
                    }
                    call.opaque = fence.is_some();
                    for (key, revision) in only_if {
                        let tag = if *revision == 0 {
                            Some(NOTHING)
                        } else {
                            stands_for.get(&(key.as_ref(), *revision)).copied()
                        };
                        match tag {
                            Some(tag) => call.only_if.push((numbers[key.as_ref()], tag)),
                            None => call.opaque = true,
                        }
                    }
                }
                Ask::Read { keys, .. } => {
                    let Answer::Found { items, .. } = &op.answer else { return call };
                    for key in keys {
                        let item = items.iter().find(|(found, _, _)| found == key);
                        let tag = item.map_or(NOTHING, |(_, value, _)| tags[value.as_ref()]);
                        call.keys.push((numbers[key.as_ref()], tag));
                    }
                }
            }
            call
        };
        Self { calls: ops.iter().map(call).collect(), keys: numbers.len() }
    }

    /// What a call does in a state.
    fn does(call: &Call<'a>, state: &[Tag]) -> Does {
        let met = call.only_if.iter().all(|(key, tag)| state[*key] == *tag);
        let changes = call.keys.iter().any(|(key, tag)| *tag != NOTHING || state[*key] != NOTHING);
        match call.op.answer {
            Answer::Found { .. } => {
                let same = call.keys.iter().all(|(key, tag)| state[*key] == *tag);
                if same { Does::Looks } else { Does::No }
            }
            Answer::Written { .. } | Answer::Unknown if met && changes => Does::Changes,
            Answer::NotMet { .. } if !met || !changes || call.opaque => Does::Looks,
            Answer::Written { .. } | Answer::Unknown | Answer::NotMet { .. } | Answer::Refused => Does::No,
        }
    }

    fn run(&self, limit: usize) -> Verdict {
        let words = self.calls.len().div_ceil(64);
        let start = Place { done: vec![0; words].into(), state: vec![NOTHING; self.keys].into() };
        let mut visited = BTreeSet::new();
        let mut stack = vec![start];
        let mut furthest: Option<(usize, Place)> = None;
        while let Some(mut place) = stack.pop() {
            let next = self.ready(&mut place);
            // Everything that is over is in the order.
            if self.calls.iter().enumerate().all(|(at, call)| call.returned.is_none() || place.is_done(at)) {
                return Verdict::Linearizable;
            }
            if visited.contains(&place) {
                continue;
            }
            if visited.len() >= limit {
                return Verdict::Undecided;
            }
            visited.insert(place.clone());
            // Those of unknown outcome are tried last: most never took effect, or much later.
            let (sure, unknown): (Vec<usize>, Vec<usize>) =
                next.into_iter().partition(|at| self.calls[*at].returned.is_some());
            for at in unknown.into_iter().chain(sure.into_iter().rev()) {
                let mut then = place.clone();
                then.set_done(at);
                self.calls[at].keys.iter().for_each(|(key, tag)| then.state[*key] = *tag);
                stack.push(then);
            }
            let done = (0..self.calls.len()).filter(|at| place.is_done(*at)).count();
            if furthest.as_ref().is_none_or(|(most, _)| done > *most) {
                furthest = Some((done, place));
            }
        }
        Verdict::Not(furthest.map_or_else(String::new, |(done, place)| self.stuck(done, &place)))
    }

    /// The calls that may come next and change something. Those that only look are taken at once: whatever order
    /// there is from here on, there is one in which they come first.
    fn ready(&self, place: &mut Place) -> Vec<usize> {
        loop {
            let mut next = Vec::new();
            let mut looked = false;
            for at in self.candidates(place) {
                match Self::does(&self.calls[at], &place.state) {
                    Does::No => {}
                    Does::Looks => {
                        place.set_done(at);
                        looked = true;
                    }
                    Does::Changes => next.push(at),
                }
            }
            if !looked {
                return next;
            }
        }
    }

    /// The calls that no other, which is still to come, had returned before.
    fn candidates(&self, place: &Place) -> Vec<usize> {
        let mut deadline = u64::MAX;
        let mut open = Vec::new();
        for (at, call) in self.calls.iter().enumerate() {
            if call.op.invoked > deadline {
                break;
            }
            if !place.is_done(at) {
                open.push(at);
                deadline = deadline.min(call.returned.unwrap_or(u64::MAX));
            }
        }
        open.retain(|at| self.calls[*at].op.invoked <= deadline);
        open
    }

    /// Where it did not go on, for people.
    fn stuck(&self, done: usize, place: &Place) -> String {
        let waiting = self.candidates(place).into_iter().take(4).map(|at| {
            let op = self.calls[at].op;
            let keys: Vec<_> = keys(op).into_iter().take(3).map(text).collect();
            format!(
                "client {} [{}..{}] {} {:?}",
                op.client,
                op.invoked,
                op.returned,
                keys.join(","),
                op.answer
            )
        });
        let waiting: Vec<_> = waiting.collect();
        format!("behind {done} of {} calls nothing explains: {}", self.calls.len(), waiting.join("; "))
    }
}

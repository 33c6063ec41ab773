//! Which watches want a key: the cost of a change depends on the watches that it concerns, not on how many there are.
//!
//! | spans | kept in | a key is looked for by |
//! |---|---|---|
//! | one key | an ordered map | one look |
//! | a prefix, and all keys | an ordered map | steps of the length that it shares with its neighbour: below |
//! | any other range | ranges by their start, with the highest end of each subtree | the path of a balanced tree, and the hits |
//!
//! # Prefixes of a key
//! They all sort at or below the key, and every prefix of it is a prefix of the longer ones. So look for the last entry at
//! or below the key. If it is a prefix of the key it is a hit, and the next can only be a prefix of it that is shorter. If
//! not, every prefix of the key that is left is no longer than what the two have in common. Either way the key is cut to
//! that length, and the search goes on. With ten thousand prefixes of which none fits it takes two looks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use holdfast_command::keys::Span;

use crate::node::Caller;

type Callers = BTreeSet<Caller>;

/// A range that is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stretch {
    start: Bytes,
    caller: Caller,
    /// The first key that does not belong to it; none if there is no end.
    end: Option<Bytes>,
}

/// All spans that are watched.
#[derive(Debug, Default)]
pub(super) struct Index {
    keys: BTreeMap<Bytes, Callers>,
    prefixes: BTreeMap<Bytes, Callers>,
    /// Sorted. Read as a tree: the root of a stretch of places is in its middle.
    ranges: Vec<Stretch>,
    /// For each range the place of the one that ends last in the tree below it. Made anew when it is needed.
    last_ends: Vec<usize>,
    /// Whether `last_ends` fits `ranges`.
    is_current: bool,
    count: usize,
}

/// The prefix that a span is all keys of, if it is that.
fn as_prefix(span: &Span) -> Option<&Bytes> {
    match span {
        Span::Key(_) => None,
        Span::From(start) => start.is_empty().then_some(start),
        Span::Between { start, end } => {
            // The end is the start with one more in its last byte that allows it, and nothing behind that.
            let (last, before) = end.split_last()?;
            let kept = start.strip_prefix(before)?;
            let (first, rest) = kept.split_first()?;
            (first.checked_add(1) == Some(*last) && rest.iter().all(|byte| *byte == u8::MAX)).then_some(start)
        }
    }
}

/// Whether a range that ends here ends later than one that ends there.
fn ends_later(one: Option<&Bytes>, other: Option<&Bytes>) -> bool {
    match (one, other) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(one), Some(other)) => one > other,
    }
}

impl Index {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn insert(&mut self, span: &Span, caller: Caller) {
        self.count += 1;
        if let Some(prefix) = as_prefix(span) {
            self.prefixes.entry(prefix.clone()).or_default().insert(caller);
            return;
        }
        let stretch = match span.clone() {
            Span::Key(key) => {
                self.keys.entry(key).or_default().insert(caller);
                return;
            }
            Span::Between { start, end } => Stretch { start, caller, end: Some(end) },
            Span::From(start) => Stretch { start, caller, end: None },
        };
        let at = self.ranges.partition_point(|other| *other < stretch);
        self.ranges.insert(at, stretch);
        self.is_current = false;
    }

    pub(super) fn remove(&mut self, span: &Span, caller: Caller) {
        self.count = self.count.saturating_sub(1);
        if let Some(prefix) = as_prefix(span) {
            forget(&mut self.prefixes, prefix, caller);
            return;
        }
        let start = match span {
            Span::Key(key) => return forget(&mut self.keys, key, caller),
            Span::Between { start, .. } | Span::From(start) => start,
        };
        let at = self.ranges.partition_point(|other| (&other.start, other.caller) < (start, caller));
        if self.ranges.get(at).is_some_and(|other| other.caller == caller && other.start == *start) {
            self.ranges.remove(at);
            self.is_current = false;
        }
    }

    /// Adds to `found` all who want this key, each once.
    pub(super) fn find(&mut self, key: &[u8], found: &mut Vec<Caller>) {
        if let Some(callers) = self.keys.get(key) {
            found.extend(callers);
        }
        let mut rest = key;
        while let Some((entry, callers)) = self.last_at_or_below(rest) {
            let common = entry.iter().zip(rest).take_while(|(one, other)| one == other).count();
            if common == entry.len() {
                found.extend(callers);
                let Some(shorter) = common.checked_sub(1) else { break };
                rest = rest.get(..shorter).unwrap_or_default();
            } else {
                rest = rest.get(..common).unwrap_or_default();
            }
        }
        if !self.ranges.is_empty() {
            if !self.is_current {
                self.last_ends = vec![0; self.ranges.len()];
                measure(&self.ranges, &mut self.last_ends, 0);
                self.is_current = true;
            }
            self.stab(0, self.ranges.len(), key, found);
        }
    }

    fn last_at_or_below(&self, key: &[u8]) -> Option<(&Bytes, &Callers)> {
        self.prefixes.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()
    }

    /// The ranges between two places that hold the key.
    fn stab(&self, from: usize, to: usize, key: &[u8], found: &mut Vec<Caller>) {
        let middle = from.midpoint(to);
        let (Some(root), Some(last)) = (self.ranges.get(middle), self.last_ends.get(middle)) else { return };
        let holds = |end: &Option<Bytes>| end.as_ref().is_none_or(|end| key < &end[..]);
        if from >= to || !self.ranges.get(*last).is_some_and(|last| holds(&last.end)) {
            return;
        }
        self.stab(from, middle, key, found);
        if root.start <= key {
            if holds(&root.end) {
                found.push(root.caller);
            }
            self.stab(middle + 1, to, key, found);
        }
    }
}

/// For each tree the place of the range in it that ends last; `base` is the place of the first of `ranges`. Says it of the
/// whole.
fn measure(ranges: &[Stretch], last_ends: &mut [usize], base: usize) -> Option<usize> {
    let middle = 0_usize.midpoint(ranges.len());
    let (left, rest) = ranges.split_at_checked(middle)?;
    let (root, right) = rest.split_first()?;
    let (left_ends, rest_ends) = last_ends.split_at_mut_checked(middle)?;
    let (root_end, right_ends) = rest_ends.split_first_mut()?;
    let (mut best, mut end) = (base + middle, root.end.as_ref());
    for side in [measure(left, left_ends, base), measure(right, right_ends, base + middle + 1)] {
        if let Some(other) = side
            && let Some(range) = ranges.get(other - base)
            && ends_later(range.end.as_ref(), end)
        {
            (best, end) = (other, range.end.as_ref());
        }
    }
    *root_end = best;
    Some(best)
}

fn forget(map: &mut BTreeMap<Bytes, Callers>, key: &Bytes, caller: Caller) {
    if let Some(callers) = map.get_mut(key) {
        callers.remove(&caller);
        if callers.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(call: u64) -> Caller {
        Caller { connection: call % 3, call }
    }

    /// A small generator, so that the spans collide.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, below: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % below
        }

        fn key(&mut self) -> Bytes {
            let letters = [0, 1, b'a', b'b', 254, 255];
            (0..self.roll(5)).map(|_| letters[self.roll(6) as usize]).collect::<Vec<u8>>().into()
        }

        fn span(&mut self) -> Span {
            match self.roll(4) {
                0 => Span::Key(self.key()),
                1 => Span::prefix(self.key()),
                2 => Span::From(self.key()),
                _ => Span::Between { start: self.key(), end: self.key() },
            }
        }
    }

    #[test]
    fn it_finds_each_watch_that_holds_a_key_once_and_no_other() {
        for seed in 0..300 {
            let (mut dice, mut index, mut spans) = (Dice(seed), Index::default(), BTreeMap::new());
            for call in 0..120 {
                if dice.roll(4) == 0
                    && let Some((gone, span)) = spans.pop_first()
                {
                    index.remove(&span, gone);
                }
                let span = dice.span();
                index.insert(&span, caller(call));
                spans.insert(caller(call), span);
                let key = dice.key();
                let mut found = Vec::new();
                index.find(&key, &mut found);
                found.sort();
                let naive: Vec<Caller> =
                    spans.iter().filter(|(_, span)| span.contains(&key)).map(|(caller, _)| *caller).collect();
                assert_eq!(found, naive, "seed {seed}, key {key:?}, spans {spans:?}");
            }
        }
    }

    #[test]
    fn a_prefix_is_known_whatever_its_bytes() {
        for prefix in [&b"a"[..], b"", b"a\xff", b"a\xff\xff", b"\x00", b"ab/", b"\xfe"] {
            let span = Span::prefix(prefix.to_vec());
            assert_eq!(as_prefix(&span).map(|bytes| &bytes[..]), Some(prefix), "{span:?}");
        }
        let other = |start: &'static [u8], end: &'static [u8]| {
            as_prefix(&Span::Between { start: start.into(), end: end.into() }).is_some()
        };
        assert!(!other(b"a", b"c"), "two prefixes");
        assert!(!other(b"ab", b"b"), "the end of a prefix, from the middle of it on");
        assert!(!other(b"a", b"b\x00"), "one key too many");
    }

    #[test]
    fn what_was_removed_leaves_nothing_behind() {
        let (mut dice, mut index) = (Dice(7), Index::default());
        let spans: Vec<Span> = (0..100).map(|_| dice.span()).collect();
        for (call, span) in spans.iter().enumerate() {
            index.insert(span, caller(call as u64));
        }
        for (call, span) in spans.iter().enumerate() {
            index.remove(span, caller(call as u64));
        }
        assert!(index.is_empty() && index.keys.is_empty() && index.prefixes.is_empty());
        assert!(index.ranges.is_empty());
    }
}

//! All versions of all keys that are known to have existed.
//!
//! # Where they come from
//! From [`End`](super::End) on, everything is known. Below its oldest revision only what answers say: acknowledged
//! writes, values that were read, events of watches. There, a call whose outcome nobody knows may have changed a
//! key between two versions that are known; so nothing is concluded from silence about such keys.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Ask, History, Kind, Told, Violation, text};

/// A version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version<'a> {
    /// The revision of the change.
    pub(super) revision: u64,
    /// The value; `None` if it was deleted.
    pub(super) value: Option<&'a [u8]>,
}

/// What a key was at a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State<'a> {
    /// There, in this version.
    Is(Version<'a>),
    /// Not there.
    Absent,
    /// Perhaps this version, perhaps a later one that nobody saw, perhaps not there.
    Unsure(Option<Version<'a>>),
}

/// All versions that are known.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// By key, ascending by revision.
    pub(super) keys: BTreeMap<&'a [u8], Vec<Version<'a>>>,
    /// From here on they are all.
    pub(super) oldest: u64,
    /// Keys that calls with unknown outcome, or the end of a lease, may have changed.
    touched: BTreeSet<&'a [u8]>,
}

impl<'a> Facts<'a> {
    /// Gathers them, and says where they contradict each other.
    pub(super) fn new(history: &'a History) -> (Self, Vec<Violation>) {
        let mut wrong = Vec::new();
        let oldest = history.end.oldest;
        let mut keys: BTreeMap<&'a [u8], Vec<Version<'a>>> = BTreeMap::new();
        for (key, versions) in &history.end.keys {
            let list = keys.entry(key).or_default();
            let mut before: Option<Version<'a>> = None;
            for (revision, value) in versions {
                let next = Version { revision: *revision, value: value.as_deref() };
                if before.is_some_and(|before| before.revision >= *revision) {
                    let what = format!("the history of {} goes back to revision {revision}", text(key));
                    wrong.push(Violation::new(Kind::WrongOrder, what));
                }
                let absent = before.map_or(oldest <= 1, |before| before.value.is_none());
                if absent && next.value.is_none() {
                    let what = format!("revision {revision} deletes {}, which was not there", text(key));
                    wrong.push(Violation::new(Kind::Phantom, what));
                }
                if *revision > history.end.revision {
                    let what = format!("{} changed in revision {revision}, behind the last", text(key));
                    wrong.push(Violation::new(Kind::WrongOrder, what));
                }
                before = Some(next);
                list.push(next);
            }
        }
        let mut touched: BTreeSet<&'a [u8]> = history.hanging.keys().map(AsRef::as_ref).collect();
        let unknown = history.ops.iter().filter(|op| op.answer == Answer::Unknown);
        for op in unknown {
            if let Ask::Write { changes, .. } = &op.ask {
                touched.extend(changes.iter().map(|(key, _)| key.as_ref()));
            }
        }
        let mut facts = Self { keys, oldest, touched };
        if oldest > 1 {
            facts.gather(history, &mut wrong);
        }
        (facts, wrong)
    }

    /// What answers say about the time that is compacted.
    fn gather(&mut self, history: &'a History, wrong: &mut Vec<Violation>) {
        let mut old: Vec<(&'a [u8], Version<'a>)> = Vec::new();
        let mut say = |key: &'a [u8], revision: u64, value: Option<&'a [u8]>| {
            if revision > 0 && revision < history.end.oldest {
                old.push((key, Version { revision, value }));
            }
        };
        for op in &history.ops {
            if let Ask::Write { changes, .. } = &op.ask
                && let Answer::Written { revision, .. } = &op.answer
            {
                changes.iter().for_each(|(key, value)| say(key, *revision, value.as_deref()));
            }
            if let Answer::Found { items, .. } = &op.answer {
                items.iter().for_each(|(key, value, revision)| say(key, *revision, Some(value)));
            }
        }
        for told in history.watches.iter().flat_map(|watch| &watch.told) {
            if let Told::Revision { revision, changes } = told {
                changes.iter().for_each(|(key, value)| say(key, *revision, value.as_deref()));
            }
        }
        for (key, version) in old {
            self.keys.entry(key).or_default().push(version);
        }
        for (key, list) in &mut self.keys {
            // What End says comes first, and holds.
            list.sort_by_key(|version| version.revision);
            list.dedup_by(|next, known| {
                let same = next.revision == known.revision;
                if same && next.value != known.value {
                    let (one, two) = (shown(known.value), shown(next.value));
                    let what = format!("revision {} gave {} both {one} and {two}", next.revision, text(key));
                    wrong.push(Violation::new(Kind::WrongValue, what));
                }
                same
            });
        }
    }

    /// The newest version of a key up to a revision, a deletion included.
    pub(super) fn newest(&self, key: &[u8], revision: u64) -> Option<Version<'a>> {
        let list = self.keys.get(key)?;
        let behind = list.partition_point(|version| version.revision <= revision);
        behind.checked_sub(1).map(|at| list[at])
    }

    /// The version of exactly this revision.
    pub(super) fn exactly(&self, key: &[u8], revision: u64) -> Option<Version<'a>> {
        self.newest(key, revision).filter(|version| version.revision == revision)
    }

    /// What a key was at a revision.
    pub(super) fn state(&self, key: &[u8], revision: u64) -> State<'a> {
        let newest = self.newest(key, revision);
        let complete = self.oldest <= 1 || newest.is_some_and(|version| version.revision >= self.oldest);
        if !complete && self.touched.contains(key) {
            return State::Unsure(newest.filter(|version| version.value.is_some()));
        }
        match newest {
            Some(version) if version.value.is_some() => State::Is(version),
            Some(_) | None => State::Absent,
        }
    }
}

/// A value or its absence, for people.
pub(super) fn shown(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "nothing".to_owned(), text)
}

//! What a log should hold, kept in the plainest way.
//!
//! # Why so naive
//! The model is the judge of the log, so it must be possible to see that it is right. It knows nothing of records,
//! segments or cuts: each group is a map from index to entry, and each operation changes that map in the way its
//! documentation says. Of the log it uses the names of the operations only.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use holdfast_wal::{Group, Hole, Op};

/// One group's part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupModel {
    /// The first index that is kept.
    pub first: u64,
    /// The term of the entry before it.
    pub prev_term: u64,
    /// Term and body by index, without a gap from `first` on.
    pub entries: BTreeMap<u64, (u64, Bytes)>,
    /// Term, vote, and how many hard states there have been.
    pub hard: (u64, u64, u64),
    /// What the log said it lost, and was not given again.
    pub lost: BTreeSet<u64>,
    /// What the log said it holds and cannot answer for.
    pub doubtful: BTreeSet<u64>,
    /// What was doubtful and is confirmed, which a crash forgets.
    pub confirmed: BTreeSet<u64>,
}

impl Default for GroupModel {
    fn default() -> Self {
        let (entries, lost, doubtful, confirmed) = Default::default();
        Self { first: 1, prev_term: 0, entries, hard: (0, 0, 0), lost, doubtful, confirmed }
    }
}

impl GroupModel {
    /// The last index; `first − 1` when there is none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.entries.last_key_value().map_or(self.first - 1, |(index, _)| *index)
    }

    /// The term of the last entry, or of the one before the first.
    #[must_use]
    pub fn last_term(&self) -> u64 {
        self.entries.last_key_value().map_or(self.prev_term, |(_, (term, _))| *term)
    }

    /// Whether nothing is open from damage.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.doubtful.is_empty() && self.confirmed.is_empty()
    }

    /// Whether the log may call this index a hole.
    #[must_use]
    pub fn may_be_hole(&self, index: u64) -> bool {
        self.lost.contains(&index) || self.doubtful.contains(&index) || self.confirmed.contains(&index)
    }

    fn cut(&mut self, from: u64) {
        self.entries.split_off(&from);
        self.lost.split_off(&from);
        self.doubtful.split_off(&from);
        self.confirmed.split_off(&from);
    }

    fn begin(&mut self, first: u64) {
        self.entries = self.entries.split_off(&first);
        self.lost = self.lost.split_off(&first);
        self.doubtful = self.doubtful.split_off(&first);
        self.confirmed = self.confirmed.split_off(&first);
        self.first = first;
    }
}

/// All groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// By number. A group that is missing is as good as one in which nothing ever happened.
    pub groups: BTreeMap<u32, GroupModel>,
}

impl Model {
    /// A log in which nothing happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn group(&mut self, group: Group) -> &mut GroupModel {
        self.groups.entry(group.0).or_default()
    }

    /// Does what the operation says. The operation fits: a workload that submits others is wrong.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Entry { group, index, term, body } => {
                let group = self.group(*group);
                group.cut(*index);
                group.entries.insert(*index, (*term, body.clone()));
            }
            Op::HardState { group, term, vote } => {
                let group = self.group(*group);
                group.hard = (*term, *vote, group.hard.2 + 1);
            }
            Op::Trim { group, first } => {
                let group = self.group(*group);
                if *first > group.first {
                    group.prev_term = group.entries[&(*first - 1)].0;
                    group.begin(*first);
                }
            }
            Op::Reset { group, index, term } => {
                let group = self.group(*group);
                group.cut(0);
                group.begin(*index + 1);
                group.prev_term = *term;
            }
            Op::Fill { group, index, term, body } => {
                let group = self.group(*group);
                group.entries.insert(*index, (*term, body.clone()));
                group.lost.remove(index);
                group.doubtful.remove(index);
                group.confirmed.remove(index);
            }
            Op::Confirm { group, first, last, term: _ } => {
                let group = self.group(*group);
                let named: Vec<u64> = group.doubtful.range(*first..=*last).copied().collect();
                group.doubtful.retain(|index| !named.contains(index));
                group.confirmed.extend(named);
            }
            Op::Heal { whole: _ } => {
                for group in self.groups.values_mut() {
                    let hole = group.lost.first().into_iter().chain(group.doubtful.first()).min().copied();
                    if let Some(hole) = hole {
                        group.cut(hole);
                    }
                    group.confirmed.clear();
                }
            }
        }
    }

    /// The log found itself damaged, and says up to where it goes and what it cannot answer for.
    pub fn damage(&mut self, group: Group, last: u64, holes: &[Hole]) {
        let group = self.group(group);
        group.cut(last + 1);
        group.confirmed.clear();
        for hole in holes {
            let into = if hole.doubtful { &mut group.doubtful } else { &mut group.lost };
            into.extend(hole.first..=hole.last);
        }
    }
}

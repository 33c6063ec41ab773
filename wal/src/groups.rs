//! What the log holds of each group: built by replaying records, on open and as they are written alike.
//!
//! # Why one structure
//! The next open has to come to the state the writer had. So both go through the same functions here, record by record,
//! and what the writer knows beyond its records (which doubtful entries a leader confirmed) is forgotten at a crash.
//!
//! # Evidence across an unreadable part
//! Behind a part without readable heads, a group's log may have gone on and may have been cut. The next record of the
//! group tells: it says how many cuts there have been, where the last one began, and the term of the entry before it.
//!
//! | cuts since | what was before the unreadable part |
//! |---|---|
//! | none | survives; indices up to the next record are missing |
//! | one | survives below where the cut began; the rest is missing |
//! | more | is doubtful: a cut that nobody sees any more may have gone deeper |
//! | fewer | is doubtful: it is from a tail that was cut off |
//!
//! A group of which no later record exists is doubtful too.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use crate::format::{Bounds, GroupBounds, Head};
use crate::types::{Group, HardState, Hole, INDEX_LIMIT, LogBounds};
use crate::variant::{Break, Variant};

/// Set in `cut_from` when not a conflict but a snapshot ended what was before: the log begins anew at the rest.
const ANEW: u64 = 1 << 63;

/// Where an entry's record stands. Positions are multiples of 8: the lowest bit says that the entry is doubtful.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    /// 0: missing.
    at: u64,
    /// 0: missing and unknown.
    term: u64,
}

const MISSING: Slot = Slot { at: 0, term: 0 };
const DOUBT: u64 = 1;

impl Slot {
    fn is_hole(self) -> bool {
        self.at == 0 || self.at & DOUBT != 0
    }
}

/// How a record fits what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It follows.
    Follows,
    /// It follows only if something in between is unreadable.
    Jumps,
    /// It claims more missing entries than the files have room for.
    Impossible,
}

/// One group's part of the log.
#[derive(Clone, Debug)]
pub(crate) struct GroupLog {
    first: u64,
    prev_term: u64,
    slots: VecDeque<Slot>,
    cuts: u64,
    cut_from: u64,
    hard: HardState,
    /// A part without readable heads has been passed since the last record of this group.
    gap: bool,
    /// The first index is that of a later record, which trimmed what was below it: records that are older than that one
    /// may still speak of lower indices.
    trimmed_later: bool,
}

impl GroupLog {
    fn new(gap: bool) -> Self {
        let hard = HardState::default();
        Self {
            first: 1,
            prev_term: 0,
            slots: VecDeque::new(),
            cuts: 0,
            cut_from: 0,
            hard,
            gap,
            trimmed_later: false,
        }
    }

    pub(crate) fn bounds(&self) -> LogBounds {
        let (last, last_term) = (self.last(), self.last_term());
        LogBounds { first: self.first, prev_term: self.prev_term, last, last_term }
    }

    pub(crate) fn last(&self) -> u64 {
        self.first + self.slots.len() as u64 - 1
    }

    pub(crate) fn last_term(&self) -> u64 {
        self.slots.back().map_or(self.prev_term, |slot| slot.term)
    }

    pub(crate) fn hard(&self) -> HardState {
        self.hard
    }

    pub(crate) fn cuts(&self) -> (u64, u64) {
        (self.cuts, self.cut_from)
    }

    fn slot(&self, index: u64) -> Option<Slot> {
        self.slots.get(usize::try_from(index.checked_sub(self.first)?).ok()?).copied()
    }

    /// The term of the entry at `index`; of the one before the first too. `None` if it is not there, or not known.
    pub(crate) fn term(&self, index: u64) -> Option<u64> {
        if index.checked_add(1) == Some(self.first) {
            // Behind a hole of unknown term, a trim does not know it either. Terms begin with 1.
            return Some(self.prev_term).filter(|term| *term != 0 || self.first == 1);
        }
        self.slot(index).map(|slot| slot.term).filter(|term| *term != 0)
    }

    /// The position of an entry, and whether the log can answer for it.
    pub(crate) fn position(&self, index: u64) -> Option<(u64, bool)> {
        self.slot(index).map(|slot| (slot.at & !DOUBT, !slot.is_hole()))
    }

    /// The lowest position at which an entry that is kept stands.
    pub(crate) fn oldest(&self) -> Option<u64> {
        // Fills stand behind what they fill, so the first slot need not be the lowest one.
        self.slots.iter().map(|slot| slot.at & !DOUBT).filter(|at| *at != 0).min()
    }

    fn truncate(&mut self, from: u64) {
        self.slots.truncate(usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX));
    }

    fn doubt_all(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.at != 0) {
            slot.at |= DOUBT;
        }
    }

    fn begin_at(&mut self, first: u64, prev_term: u64) {
        if first > self.first {
            let drop = usize::try_from(first - self.first).unwrap_or(usize::MAX).min(self.slots.len());
            self.slots.drain(..drop);
            self.first = first;
            self.prev_term = prev_term;
        }
    }

    /// Weighs what was before an unreadable part, now that a record says that the next index is `next`.
    fn settle<V: Variant>(
        &mut self,
        next: u64,
        before: u64,
        cuts: u64,
        cut_from: u64,
        most: &mut u64,
    ) -> Fit {
        if cut_from & ANEW != 0 && cut_from & !ANEW > next {
            return Fit::Impossible;
        }
        if !V::breaks(Break::DeadSuffixRevived) {
            let anew = cut_from & ANEW != 0;
            match cuts.checked_sub(self.cuts) {
                None => self.doubt_all(),
                Some(0) if next <= self.last() => self.doubt_all(),
                Some(0) => {}
                Some(_) if anew => {
                    self.slots.clear();
                    self.begin_at(cut_from & !ANEW, if cut_from & !ANEW == next { before } else { 0 });
                }
                Some(1) => self.truncate(cut_from),
                Some(_) => {
                    self.truncate(cut_from);
                    self.doubt_all();
                }
            }
        }
        self.truncate(next);
        let missing = next.saturating_sub(self.last() + 1);
        let Some(left) = most.checked_sub(missing) else {
            return Fit::Impossible;
        };
        *most = left;
        self.slots.extend((0..missing).map(|_| MISSING));
        match self.slots.back_mut() {
            Some(slot) if slot.term == 0 => slot.term = before,
            Some(slot) if slot.term != before => {
                *slot = Slot { at: 0, term: before };
                self.doubt_all();
            }
            Some(_) | None => {}
        }
        (self.cuts, self.cut_from, self.gap) = (cuts, cut_from, false);
        Fit::Follows
    }

    /// Takes an entry whose head is readable; `at` is 0 if its body is not.
    pub(crate) fn entry<V: Variant>(&mut self, head: &Head, at: u64, most: &mut u64) -> Fit {
        let Head { index, term, prev_term, cuts, cut_from, .. } = *head;
        if index == 0
            || term == 0
            || index.max(cuts) >= INDEX_LIMIT
            || (index < self.first && !self.trimmed_later)
        {
            return Fit::Impossible;
        }
        if index < self.first {
            // It supersedes all that is known, and what was before it is not kept.
            self.restart(index, prev_term, cuts, cut_from);
        }
        let follows = if index == self.last() + 1 {
            cuts == self.cuts && self.precedes(index, prev_term)
        } else {
            index <= self.last()
                && cuts == self.cuts + 1
                && cut_from == index
                && self.precedes(index, prev_term)
        };
        let mut fit = Fit::Follows;
        if follows && !self.gap {
            self.truncate(index);
            (self.cuts, self.cut_from) = (cuts, cut_from);
        } else {
            let jumped = !self.gap;
            if self.settle::<V>(index, prev_term, cuts, cut_from, most) == Fit::Impossible {
                return Fit::Impossible;
            }
            if jumped {
                fit = Fit::Jumps;
            }
        }
        // By a quarter and not by as much again, which may be half of the room for nothing: 8 of 16 MiB at a million entries.
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(self.slots.len() / 4 + 64);
        }
        self.slots.push_back(Slot { at, term });
        fit
    }

    /// What a lost record would have told.
    fn learn_prev_term(&mut self, first: u64, prev_term: u64) {
        if self.first == first && self.prev_term == 0 {
            self.prev_term = prev_term;
        }
    }

    fn restart(&mut self, first: u64, prev_term: u64, cuts: u64, cut_from: u64) {
        self.slots.clear();
        (self.first, self.prev_term) = (first, prev_term);
        (self.cuts, self.cut_from, self.gap) = (cuts, cut_from, false);
    }

    fn precedes(&self, index: u64, prev_term: u64) -> bool {
        self.term(index - 1).is_none_or(|term| term == prev_term)
    }

    /// Takes an entry that fills a hole.
    pub(crate) fn fill(&mut self, index: u64, term: u64, at: u64) {
        let offset = index.checked_sub(self.first).and_then(|offset| usize::try_from(offset).ok());
        if let Some(slot) = offset.and_then(|offset| self.slots.get_mut(offset)) {
            // If the repair itself is damaged, an entry of that term that stood here is still the same one.
            if at != 0 || slot.at == 0 || slot.term != term {
                *slot = Slot { at, term };
            }
        }
    }

    /// Takes what a checkpoint or a bounds record says.
    fn apply_bounds<V: Variant>(&mut self, bounds: &GroupBounds, most: &mut u64) -> Fit {
        let GroupBounds { first, prev_term, last, last_term, cuts, cut_from, hard, group: _ } = *bounds;
        if last.max(cuts).max(hard.sequence) >= INDEX_LIMIT {
            return Fit::Impossible;
        }
        if hard.sequence > self.hard.sequence {
            self.hard = hard;
        }
        if last + 1 < self.first && self.trimmed_later {
            self.restart(last + 1, last_term, cuts, cut_from);
            return Fit::Follows;
        }
        let same = cuts == self.cuts && last == self.last() && self.precedes(last + 1, last_term);
        let anew = cuts == self.cuts + 1 && cut_from == ANEW | first && last + 1 == first;
        let cut = cuts == self.cuts + 1
            && cut_from == last + 1
            && last < self.last()
            && self.precedes(last + 1, last_term);
        let mut fit = Fit::Follows;
        if !self.gap && (same || anew || cut) {
            if anew {
                self.slots.clear();
            }
            self.truncate(last + 1);
            (self.cuts, self.cut_from) = (cuts, cut_from);
        } else {
            let jumped = !self.gap;
            if first > self.last() + 1 {
                // All that was before is trimmed by now.
                self.slots.clear();
                self.begin_at(first, prev_term);
            }
            if self.settle::<V>(last + 1, last_term, cuts, cut_from, most) == Fit::Impossible {
                return Fit::Impossible;
            }
            if jumped {
                fit = Fit::Jumps;
            }
        }
        self.begin_at(first, prev_term);
        self.learn_prev_term(first, prev_term);
        fit
    }

    pub(crate) fn has_holes(&self) -> bool {
        self.slots.iter().any(|slot| slot.is_hole())
    }

    pub(crate) fn first_hole(&self) -> Option<u64> {
        (self.first..).zip(&self.slots).find(|(_, slot)| slot.is_hole()).map(|(index, _)| index)
    }

    /// Cuts the log from `index` on, as a conflict would.
    pub(crate) fn cut(&mut self, index: u64) {
        self.truncate(index);
        (self.cuts, self.cut_from) = (self.cuts + 1, index);
    }

    /// Begins anew behind a snapshot.
    pub(crate) fn reset(&mut self, index: u64, term: u64) {
        self.slots.clear();
        (self.first, self.prev_term) = (index + 1, term);
        (self.cuts, self.cut_from) = (self.cuts + 1, ANEW | (index + 1));
    }

    /// Drops what is below `first`.
    pub(crate) fn trim(&mut self, first: u64) {
        let before = self.term(first - 1).unwrap_or(0);
        self.begin_at(first, before);
    }

    pub(crate) fn holes(&self) -> Vec<Hole> {
        let mut holes: Vec<Hole> = Vec::new();
        for (index, slot) in (self.first..).zip(&self.slots).filter(|(_, slot)| slot.is_hole()) {
            let doubtful = slot.at != 0;
            match holes.last_mut() {
                Some(hole) if hole.last + 1 == index && hole.doubtful == doubtful => hole.last = index,
                Some(_) | None => holes.push(Hole { first: index, last: index, doubtful }),
            }
        }
        holes
    }

    /// The first of these indices at which there is no entry of this term.
    pub(crate) fn first_other(&self, mut indices: RangeInclusive<u64>, term: u64) -> Option<u64> {
        indices.find(|index| self.slot(*index).is_none_or(|slot| slot.at == 0 || slot.term != term))
    }

    /// The entries at these indices are a leader's too.
    pub(crate) fn confirm(&mut self, indices: RangeInclusive<u64>) {
        for (index, slot) in (self.first..).zip(&mut self.slots) {
            if indices.contains(&index) {
                slot.at &= !DOUBT;
            }
        }
    }
}

/// All groups of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    map: BTreeMap<Group, GroupLog>,
    /// A part without readable heads has been passed: a group that nobody has heard of may have begun in it.
    gap: bool,
    /// A group had no readable record behind such a part. Stays until the damage is healed.
    unsure: bool,
    /// Not every head in the damage is readable. Stays as long.
    untrusted: bool,
}

impl Groups {
    pub(crate) fn get(&self, group: Group) -> Option<&GroupLog> {
        self.map.get(&group)
    }

    pub(crate) fn get_mut(&mut self, group: Group) -> &mut GroupLog {
        self.map.entry(group).or_insert_with(|| GroupLog::new(self.gap))
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Group, &GroupLog)> {
        self.map.iter().map(|(group, log)| (*group, log))
    }

    /// Before the first record of a log whose beginning is unreadable: what the meta file knows.
    pub(crate) fn begin_from(&mut self, group: Group, hard: HardState, first: u64) {
        let log = self.get_mut(group);
        log.begin_at(first, 0);
        log.hard = hard;
        log.trimmed_later = true;
    }

    /// The checkpoint of the first live segment. What it counts and is not trimmed stood in segments that are gone: it is
    /// trimmed by a later record, or superseded. `floor` says from which index on the meta file keeps entries.
    pub(crate) fn adopt(&mut self, bounds: &GroupBounds, floor: Option<u64>, most: &mut u64) -> Fit {
        let GroupBounds { group, hard, first, prev_term, last, last_term, cuts, cut_from } = *bounds;
        let (first, prev_term, trimmed_later) = match floor {
            // The term that the meta file names is that of the entry before it by then: not yet by these records.
            Some(floor) if floor == last + 1 => (floor, last_term, true),
            Some(floor) if floor > first && floor <= last => (floor, 0, true),
            Some(_) | None => (first, prev_term, false),
        };
        let gone = last + 1 - first;
        let left = most.checked_sub(gone).filter(|_| last.max(cuts).max(hard.sequence) < INDEX_LIMIT);
        let Some(left) = left else {
            return Fit::Impossible;
        };
        *most = left;
        let mut slots = VecDeque::from(vec![MISSING; gone as usize]);
        if let Some(slot) = slots.back_mut() {
            slot.term = last_term;
        }
        self.map.insert(
            group,
            GroupLog { first, prev_term, slots, cuts, cut_from, hard, gap: false, trimmed_later },
        );
        Fit::Follows
    }

    /// The meta file is newer than a bounds record that is unreadable.
    pub(crate) fn trim_from(&mut self, group: Group, hard: HardState, first: u64, prev_term: u64) {
        let log = self.get_mut(group);
        if hard.sequence > log.hard.sequence {
            log.hard = hard;
        }
        if first > log.last() + 1 {
            // A snapshot took the place of all that is known.
            let (cuts, gap) = (log.cuts + 1, log.gap);
            log.restart(first, prev_term, cuts, ANEW | first);
            log.gap = gap;
        } else if first > log.first && log.precedes(first, prev_term) {
            log.begin_at(first, prev_term);
        } else {
            log.learn_prev_term(first, prev_term);
        }
    }

    /// A part without readable heads was passed.
    pub(crate) fn pass_gap(&mut self) {
        self.gap = true;
        for log in self.map.values_mut() {
            log.gap = true;
        }
    }

    /// The end of the log: of groups that had no record since an unreadable part nothing is certain. Each counts two
    /// cuts more, so that whoever reads a later record of it behind the damage finds it doubtful again.
    pub(crate) fn end<V: Variant>(&mut self) {
        self.unsure |= self.gap && self.map.is_empty();
        for log in self.map.values_mut().filter(|log| log.gap) {
            log.gap = false;
            self.unsure = true;
            if !V::breaks(Break::DeadSuffixRevived) {
                log.doubt_all();
                (log.cuts, log.cut_from) = (log.cuts + 2, log.last() + 1);
            }
        }
        self.gap = false;
    }

    /// Something that concerned no entry was damaged where the last batch may have stood: it may have been more.
    pub(crate) fn be_unsure(&mut self) {
        self.unsure = true;
    }

    /// The log may have gone on beyond all that is known of it.
    pub(crate) fn distrust(&mut self) {
        self.untrusted = true;
    }

    pub(crate) fn untrusted(&self) -> bool {
        self.untrusted
    }

    /// Whether the end of some group's log is unknown.
    pub(crate) fn unsure(&self) -> bool {
        self.unsure
    }

    pub(crate) fn apply_bounds<V: Variant>(&mut self, bounds: &Bounds, most: &mut u64) -> Fit {
        let mut fit = Fit::Follows;
        self.unsure |= bounds.unsure;
        self.untrusted |= bounds.untrusted;
        for group in &bounds.groups {
            match self.get_mut(group.group).apply_bounds::<V>(group, most) {
                Fit::Follows => {}
                Fit::Jumps => fit = Fit::Jumps,
                Fit::Impossible => return Fit::Impossible,
            }
        }
        fit
    }

    /// Forgets all doubt: a healed record says that these are the logs.
    pub(crate) fn heal(&mut self) {
        (self.unsure, self.untrusted) = (false, false);
        for log in self.map.values_mut() {
            log.confirm(0..=INDEX_LIMIT);
        }
    }

    pub(crate) fn set_hard(&mut self, group: Group, hard: HardState) {
        let log = self.get_mut(group);
        if hard.sequence > log.hard.sequence {
            log.hard = hard;
        }
    }

    pub(crate) fn has_holes(&self) -> bool {
        self.map.values().any(GroupLog::has_holes)
    }

    /// The bounds of every group, as a checkpoint says them.
    pub(crate) fn snapshot(&self) -> Vec<GroupBounds> {
        self.iter()
            .map(|(group, log)| {
                let LogBounds { first, prev_term, last, last_term } = log.bounds();
                let (cuts, cut_from) = (log.cuts, log.cut_from);
                GroupBounds { group, hard: log.hard, first, prev_term, last, last_term, cuts, cut_from }
            })
            .collect()
    }
}

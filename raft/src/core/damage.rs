//! Holes in the log, and when the node may vote again.
//!
//! What a disk lost in the middle may have been acknowledged, so that somebody counted it. Two things follow. The node
//! must not lead, for it could not say what it lacks. And it must not vote as if its log ended at the hole, for it may then
//! elect somebody who lacks the entry too; it votes with the end that its damaged log *claims*, if nothing can have stood
//! behind that, and otherwise not at all (protocol-aware recovery, FAST 2018).
//!
//! Nor is the readable part what it seems: what stands behind a hole may belong to another branch of the log than what a leader
//! sends for the hole. So nothing readable counts before it was compared with a leader's log, entry by entry.
//!
//! It is whole again when its log has no gap up to a commit index that an established leader told *this boot* of it:
//! whatever was committed with the help of the lost copies is committed at or below that index, since such a leader has
//! all of it, and has an entry of its own term committed behind it.

use std::collections::BTreeMap;

use super::{Canon, Core};
use crate::role::Role;
use crate::{COUNT_MAX, Damage, Entry, EntryId, Event, Hole, Index, LogOp, Plant};

/// What is damaged, until the log is whole.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    /// Not filled yet; sorted. The first begins right behind the log.
    holes: Vec<Hole>,
    /// Readable behind the first hole.
    behind: BTreeMap<Index, Entry>,
    claimed_end: EntryId,
    trustworthy: bool,
    /// The disk has no holes any more: what is missing is appended.
    cut: bool,
    /// What stood before the log of the disk is lost, and with it the place of all that is in it: nothing of it counts. It stays
    /// there until a leader sends something, for whoever wants to look at it.
    unplaced: bool,
}

impl Broken {
    /// # Errors
    /// What contradicts itself.
    pub(super) fn new(damage: Damage, last: EntryId) -> Result<Self, String> {
        let Damage { holes, behind, claimed_end, trustworthy } = damage;
        let next = last.index.next();
        // What is readable right behind the log and yet no part of it is of a branch that a snapshot has ended.
        let other_branch = behind.iter().any(|(index, entry)| *index == next && entry.term < last.term);
        let begins = other_branch || holes.first().is_none_or(|hole| hole.first == next);
        let apart = holes.windows(2).all(|pair| pair[0].last.next() < pair[1].first);
        let runs = holes.iter().all(|hole| hole.first <= hole.last);
        let placed = behind.iter().all(|(index, entry)| {
            let in_range = entry.term.0 >= 1 && entry.term.0 < COUNT_MAX;
            *index > last.index && *index <= claimed_end.index && in_range
        });
        let ends = holes.last().is_none_or(|hole| hole.last <= claimed_end.index);
        if begins && apart && runs && placed && ends {
            let behind = behind.into_iter().collect();
            Ok(Self { holes, behind, claimed_end, trustworthy, cut: false, unplaced: false })
        } else {
            Err(format!("the log ends at {last}, and its holes are {holes:?} up to {claimed_end}"))
        }
    }

    /// Of a log that begins behind what the snapshot covers: the snapshot that stood for the beginning is lost. All from
    /// there to the claimed end is missing.
    pub(super) fn unplaced(covered: Index, claimed_end: EntryId, trustworthy: bool) -> Self {
        let holes = vec![Hole { first: covered.next(), last: claimed_end.index }];
        Self { holes, behind: BTreeMap::new(), claimed_end, trustworthy, cut: true, unplaced: true }
    }

    pub(super) fn may_vote(&self) -> bool {
        self.trustworthy
    }

    pub(super) fn claimed_end(&self) -> EntryId {
        self.claimed_end
    }

    /// A snapshot took the place of the log, or an append that of its end: what was behind went with it, on the disk as well.
    /// What was claimed beyond is missing now, and is appended when it comes.
    pub(super) fn cut_behind(&mut self, last: Index) {
        self.behind.clear();
        (self.cut, self.unplaced) = (true, false);
        let missing = Hole { first: last.next(), last: self.claimed_end.index };
        self.holes = if missing.first <= missing.last { vec![missing] } else { Vec::new() };
    }

    /// An index is not missing any more.
    fn filled(&mut self, index: Index) {
        if let Some(hole) = self.holes.first_mut().filter(|hole| hole.first == index) {
            hole.first = index.next();
        }
        self.holes.retain(|hole| hole.first <= hole.last);
    }

    /// Tells what behaviour depends on.
    pub(super) fn tell(&self, canon: &mut impl Canon) {
        let ids = self.behind.iter().map(|(index, entry)| (entry.term.0, index.0));
        let holes = self.holes.iter().map(|hole| (hole.first.0, hole.last.0));
        let claimed = (self.claimed_end.term.0, self.claimed_end.index.0);
        let flags = (u64::from(self.trustworthy), u64::from(self.cut) + 2 * u64::from(self.unplaced));
        canon.value(holes.len() as u64);
        for (one, other) in holes.chain(ids).chain([claimed, flags]) {
            canon.value(one);
            canon.value(other);
        }
    }
}

impl<P: Plant> Core<P> {
    /// Takes an entry of the leader for an index behind the contiguous log, which has holes.
    pub(super) fn append_behind_hole(&mut self, index: Index, entry: Entry) {
        if self.broken.as_ref().is_some_and(|broken| broken.unplaced) {
            self.reset_log(self.log.last());
        }
        let Some(broken) = &mut self.broken else { return };
        let readable = broken.behind.remove(&index).map(|readable| readable.term);
        let hole = broken.holes.first().is_some_and(|hole| hole.first <= index && index <= hole.last);
        // Terms never fall along a log: what stands behind is of a branch that was given up, and must not outlive this.
        if broken.behind.first_key_value().is_some_and(|(_, next)| next.term < entry.term) {
            broken.cut_behind(index.previous());
            broken.filled(index);
            self.append_entry(entry);
            return;
        }
        let op = match (hole, readable) {
            // Readable and doubtful: the leader says that it stands.
            (true, Some(term)) if term == entry.term => Some(LogOp::Confirm { index, term }),
            (true, _) if !broken.cut => Some(LogOp::Fill { index, entry: entry.clone() }),
            // Readable and certain: it is on the disk already.
            (false, Some(term)) if term == entry.term => None,
            // Another leader replaced it, and with it all that stood behind: on the disk it goes with the append.
            (false, Some(_)) => {
                broken.cut_behind(index.previous());
                broken.filled(index);
                self.append_entry(entry);
                return;
            }
            (true, _) | (false, None) => {
                broken.filled(index);
                self.append_entry(entry);
                return;
            }
        };
        broken.filled(index);
        if let Some(op) = op {
            self.durability.op(op);
        }
        self.hold_entry(index, entry);
    }

    /// Nothing that stands on the disk behind the log may be read again as if it belonged there: the last entry is written once
    /// more, which supersedes it together with all behind it.
    fn cut_on_disk(&mut self, whole: Index) {
        match self.log.entry(whole).cloned() {
            Some(entry) => {
                self.durability.truncated(whole);
                self.durability.append(whole, &entry);
            }
            None => self.durability.op(LogOp::Reset { last: self.log.prev() }),
        }
    }

    /// A damaged log may be a mixture of branches, so one entry that equals the leader's proves nothing of those before it: the
    /// log is compared entry by entry from what is proven on. Returns where that is, if `prev` lies behind it.
    pub(super) fn proven_before(&self, prev: Index) -> Option<EntryId> {
        self.broken.as_ref()?;
        let verified = match &self.role {
            Role::Follower(follower) => follower.verified,
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => Index(0),
        };
        let index = verified.max(self.commit).min(self.log.last().index);
        let term = self.log.term_at(index)?;
        (prev > index).then_some(EntryId { term, index })
    }

    /// An established leader told this boot how far it has committed, and up to `verified` the log equals the leader's: if
    /// that is as far, the log is whole as far as it matters. What is still missing behind was never committed.
    pub(super) fn whole_up_to(&mut self, commit: Index, verified: Index) {
        if self.broken.is_none() || verified < commit {
            return;
        }
        let whole = self.log.last().index;
        let leftover =
            self.broken.take().is_some_and(|broken| !broken.cut && broken.claimed_end.index > whole);
        if leftover {
            self.cut_on_disk(whole);
        }
        self.durability.op(LogOp::Heal { whole });
        self.turn.events.push(Event::Healed(whole));
    }
}

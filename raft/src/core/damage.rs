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
//! all of it, and has an entry of its own term committed behind it. Every such index is enough, for good, so the lowest counts:
//! a node that is always some entries behind a leader under load would never reach the newest one.

use std::collections::BTreeMap;

use super::{Canon, Core};
use crate::role::Role;
use crate::{COUNT_MAX, Damage, Entry, EntryId, Event, Hole, Index, LogOp, Plant, Term};

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
    /// What the log of the disk begins behind, if the snapshot that stood for that is lost: the first hole ends there. What a
    /// leader sends for it is held in memory only, for the disk has no place for it, and is missing again after the next start;
    /// it is committed, and others hold it. Until a snapshot stands for it again, this node is not whole.
    base: Option<EntryId>,
    /// The log is whole once it has no gap up to here; `None` before an established leader has told this boot what is committed.
    goal: Option<Index>,
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
            Ok(Self { holes, behind, claimed_end, trustworthy, cut: false, base: None, goal: None })
        } else {
            Err(format!("the log ends at {last}, and its holes are {holes:?} up to {claimed_end}"))
        }
    }

    /// Of a log that begins behind `base`, which is further than the snapshot reaches that there is.
    ///
    /// # Errors
    /// What contradicts itself.
    pub(super) fn without_snapshot(
        mut damage: Damage,
        covered: EntryId,
        base: EntryId,
    ) -> Result<Self, String> {
        let mut lost = Hole { first: covered.index.next(), last: base.index };
        if let Some(next) = damage.holes.first().filter(|next| next.first == base.index.next()) {
            lost.last = next.last;
            damage.holes.remove(0);
        }
        damage.holes.insert(0, lost);
        Ok(Self { base: Some(base), ..Self::new(damage, covered)? })
    }

    /// Whether what a leader sends for this index can be part of the log that the disk goes on with. What the disk begins behind
    /// was committed, so every leader of a later term has it.
    pub(super) fn leads_to_base(&self, index: Index, term: Term) -> bool {
        let known = self.base.filter(|base| base.index == index && base.term > Term(0));
        known.is_none_or(|base| base.term == term)
    }

    /// Whether the log of the disk begins behind `last` and not at it: then it stays as it is when the log begins anew there.
    /// Otherwise it begins anew as well, and has no other beginning.
    pub(super) fn disk_begins_later(&mut self, last: Index) -> bool {
        let later = self.base.is_some_and(|base| last < base.index);
        if !later {
            self.base = None;
        }
        later
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
        self.cut = true;
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
        let flags = (u64::from(self.trustworthy), u64::from(self.cut));
        let base = self.base.map_or((0, 0), |base| (base.term.0, base.index.0));
        let goal = self.goal.map_or((0, 0), |goal| (1, goal.0));
        canon.value(holes.len() as u64);
        for (one, other) in holes.chain(ids).chain([claimed, flags, base, goal]) {
            canon.value(one);
            canon.value(other);
        }
    }
}

impl<P: Plant> Core<P> {
    /// Takes an entry of the leader for an index behind the contiguous log, which has holes.
    pub(super) fn append_behind_hole(&mut self, index: Index, entry: Entry) {
        let Some(broken) = &mut self.broken else { return };
        if broken.base.is_some_and(|base| index <= base.index) {
            broken.filled(index);
            self.hold_entry(index, entry);
            return;
        }
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

    /// Where the log of the disk begins, as long as nothing stands for what was before.
    fn lost_base(&self) -> Option<Index> {
        let base = self.broken.as_ref()?.base?.index;
        (self.covered() < base).then_some(base)
    }

    /// Whether a snapshot of what is applied is all that this node lacks to be whole: nothing else stands for the beginning of
    /// its log; or a peer needs what cannot be read of it. The owner takes one as soon as it can.
    #[must_use]
    pub fn wants_snapshot(&self) -> bool {
        self.lost_base().is_some_and(|base| base <= self.applied)
            || self.unreadable.is_some_and(|unreadable| unreadable > self.covered())
    }

    /// Nothing that stands on the disk behind the log may be read again as if it belonged there: the last entry is written once
    /// more, which supersedes it together with all behind it.
    fn cut_on_disk(&mut self, whole: EntryId, base: Option<EntryId>) {
        let on_disk = base.is_none_or(|base| base.index < whole.index);
        match self.log.entry(whole.index).filter(|_| on_disk).cloned() {
            Some(entry) => {
                self.durability.truncated(whole.index);
                self.durability.append(whole.index, &entry);
            }
            None => self.durability.op(LogOp::Reset { last: whole }),
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
    /// that is as far as the lowest it was told, the log is whole as far as it matters. What is still missing behind was never committed.
    pub(super) fn whole_up_to(&mut self, commit: Index, verified: Index) {
        let Some(broken) = &mut self.broken else { return };
        let goal = broken.goal.map_or(commit, |goal| goal.min(commit));
        broken.goal = Some(goal);
        if verified < goal || self.lost_base().is_some() {
            return;
        }
        let Some(broken) = self.broken.take() else { return };
        let whole = self.log.last();
        if !broken.cut && broken.claimed_end.index > whole.index {
            self.cut_on_disk(whole, broken.base);
        }
        let whole = whole.index;
        if let Some(base) = broken.base {
            // The log of the disk begins there: what memory holds before it, the snapshot covers.
            let start = base.index.min(whole);
            self.log.trim(start);
            self.configurations.trim(start);
        }
        self.durability.op(LogOp::Heal { whole });
        self.turn.events.push(Event::Healed(whole));
    }
}

//! Whether all members have made the same of the same entries.
//!
//! Equal logs make equal states, unless a build, a processor or a memory is broken. Then a node answers clients wrongly and
//! looks well. So each keeps a digest of all that it has applied, chained from range to range of entries, and tells the others.
//! Two that are equal at some index are equal before it as well.
//!
//! | at an index that this node has a digest of | it |
//! |---|---|
//! | a quorum has the same | goes on: nothing at or before it is looked at again |
//! | a quorum has another | halts: it is the one that differs |
//! | some voter has another, and no quorum is known to agree on any | refuses clients, and goes on replicating: the missing members decide |
//!
//! A snapshot is taken, and the log let go of, only up to an index that a quorum agrees on: so a snapshot never spreads a
//! divergence.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_command::Refusal;
use holdfast_raft::NodeId;

use super::io::NodeEvent;
use super::plant::Plant;
use super::{Node, limits};

/// A digest.
type Digest = [u8; 32];

/// What is known of the others.
#[derive(Debug, Default)]
pub(super) struct Digests {
    heard: BTreeMap<NodeId, BTreeMap<u64, Digest>>,
    /// The highest index at which this node and a peer are known to be equal.
    equal: BTreeMap<NodeId, u64>,
    /// A quorum agrees with this node up to here.
    agreed: u64,
    /// Members differ at this index, and nobody is in the majority yet.
    doubt: Option<u64>,
    /// The last index of the newest range that was told.
    said: Option<u64>,
    /// What the owner is to tell all peers.
    pub(super) told: Vec<(u64, Digest)>,
}

impl Digests {
    /// Up to which index a quorum has the same state.
    pub(super) fn agreed(&self) -> u64 {
        self.agreed
    }

    /// Why clients are refused, if they are.
    pub(super) fn doubts(&self) -> Option<Refusal> {
        self.doubt.map(|index| Refusal::Diverged { index })
    }
}

impl<P: Plant> Node<P> {
    /// Up to which index a quorum is known to have made the same of the log as this node.
    #[must_use]
    pub fn agreed(&self) -> u64 {
        self.digests.agreed
    }

    /// Why this node serves nobody for the time being: members differ, and nobody is in the majority.
    #[must_use]
    pub fn doubts(&self) -> Option<Refusal> {
        self.digests.doubts()
    }

    /// Says what this node has made of the last ranges: when one has ended, and again from time to time, since a message may be
    /// lost. Then looks at what was heard.
    pub(super) fn tell_digests(&mut self) {
        let last = self.store.last_range().map(|(last, _)| last);
        if self.digests.said == last && !self.ticks.is_multiple_of(limits::DIGEST_TICKS) {
            return;
        }
        self.digests.said = last;
        self.digests.told = self.store.digest_ranges().rev().take(limits::DIGESTS_TOLD).collect();
        self.digests.told.reverse();
        self.judge_digests();
    }

    /// A peer says what it has made of some ranges.
    pub(super) fn hear_digests(&mut self, from: NodeId, ranges: Vec<(u64, Digest)>) {
        if !self.core.configuration().1.members().contains_key(&from) {
            return;
        }
        let heard = self.digests.heard.entry(from).or_default();
        heard.extend(ranges.into_iter().take(limits::DIGESTS_HEARD));
        while heard.len() > limits::DIGESTS_HEARD {
            heard.pop_first();
        }
        self.judge_digests();
    }

    /// Compares what was heard with what this node has made itself.
    fn judge_digests(&mut self) {
        let before = self.digests.doubt;
        let Self { core, store, digests, .. } = self;
        let (_, configuration) = core.configuration();
        let own = core.id();
        digests.heard.retain(|id, _| configuration.members().contains_key(id));
        digests.equal.retain(|id, _| configuration.members().contains_key(id));
        digests.doubt = None;
        // What somebody has told of, and the own end: nothing else can change what is known.
        let told = digests.heard.values().flat_map(BTreeMap::keys).chain(digests.equal.values()).copied();
        let candidates: BTreeSet<u64> = told.chain(store.last_range().map(|(last, _)| last)).collect();
        let open = candidates.into_iter().filter(|index| *index > digests.agreed);
        let open: Vec<(u64, Digest)> =
            open.filter_map(|index| Some((index, store.digest_at(index)?))).collect();
        let mut diverged = None;
        for (index, digest) in &open {
            let mut others: BTreeSet<Digest> = BTreeSet::new();
            for (id, heard) in &digests.heard {
                match heard.get(index) {
                    Some(theirs) if theirs == digest => {
                        let equal = digests.equal.entry(*id).or_default();
                        *equal = (*equal).max(*index);
                    }
                    // A learner is in no majority, so it raises no doubt either.
                    Some(theirs) if configuration.is_voter(*id) => {
                        others.insert(*theirs);
                    }
                    Some(_) | None => {}
                }
            }
            let has = |id: NodeId, digest: &Digest| {
                digests.heard.get(&id).and_then(|heard| heard.get(index)) == Some(digest)
            };
            if others.iter().any(|other| configuration.has_quorum(|id| has(id, other))) {
                diverged = Some(*index);
                break;
            }
            if !others.is_empty() && digests.doubt.is_none() {
                digests.doubt = Some(*index);
            }
        }
        // Equal at a later index is equal at an earlier one.
        let equal =
            |id: NodeId, index: u64| id == own || digests.equal.get(&id).is_some_and(|equal| *equal >= index);
        let agreed = open.iter().map(|(index, _)| *index);
        let agreed = agreed.filter(|index| configuration.has_quorum(|id| equal(id, *index))).max();
        digests.agreed = digests.agreed.max(agreed.unwrap_or_default());
        if digests.doubt.is_some_and(|index| index <= digests.agreed) {
            // The others are in the minority, and will find out themselves.
            digests.doubt = None;
        }
        if let (None, Some(doubt)) = (before, self.digests.doubts()) {
            self.watches.end_all(doubt, &self.store);
            self.give_up_parked(doubt);
        }
        if let Some(index) = diverged
            && self.halted.is_none()
        {
            let why = format!(
                "what it has made of the entries up to {index} differs from what a majority has: a broken memory, disk or \
                 build. Keep its directory and report it; then replace this member with `member replace` by one with a new \
                 directory"
            );
            self.events.push(NodeEvent::Halted(why.clone()));
            self.halted = Some(why);
        }
    }
}

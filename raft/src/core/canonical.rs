//! The state of cores and of messages on their way, as a number that is equal when they would behave equally.
//!
//! A model checker meets the same situation again and again under other names: a later boot, a higher round, another
//! persist. What only names is renumbered by rank, over all cores and messages at once, so that which name is current stays
//! visible and how large it is does not. Clocks and the random state are left out, except for the facts that behaviour
//! depends on: whether a leader was heard lately.

use std::collections::{BTreeMap, BTreeSet};

use super::Core;
use super::durability::Durability;
use super::leader::Leader;
use super::reads::Reader;
use crate::role::Role;
use crate::transfer::Transfer;
use crate::{
    Configuration, Entry, EntryId, Envelope, Index, LogOp, Message, NodeId, Payload, Plant, SnapshotMeta,
};

/// What counts on its own, and is compared only with itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namespace {
    /// Boots of a node.
    Boot(NodeId),
    /// Rounds of heartbeats of a node.
    Round(NodeId),
    /// Stretches of replication by a node.
    Stretch(NodeId),
    /// Batches of reads of a node.
    Batch(NodeId),
    /// Persists of a node.
    Persist(NodeId),
}

/// What a state is told to.
pub trait Canon {
    /// A value that means what it says.
    fn value(&mut self, value: u64);
    /// A name, of which only the rank among all of its kind means something.
    fn name(&mut self, space: Namespace, name: u64);
}

/// First pass: which names there are.
#[derive(Debug, Default)]
struct Names(BTreeMap<Namespace, BTreeSet<u64>>);

impl Canon for Names {
    fn value(&mut self, _: u64) {}

    fn name(&mut self, space: Namespace, name: u64) {
        self.0.entry(space).or_insert_with(|| BTreeSet::from([0])).insert(name);
    }
}

/// Second pass: the multiplication of FNV-1a, of 128 bits, over words, with ranks in the place of names.
#[derive(Debug)]
struct Digest<'a> {
    ranks: &'a BTreeMap<Namespace, BTreeMap<u64, u64>>,
    hash: u128,
}

impl Digest<'_> {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
}

impl Canon for Digest<'_> {
    fn value(&mut self, value: u64) {
        let mixed = (self.hash ^ u128::from(value)).wrapping_mul(Self::PRIME);
        // A multiplication only carries upwards; this brings the upper half back down.
        self.hash = mixed ^ (mixed >> 67);
    }

    fn name(&mut self, space: Namespace, name: u64) {
        let rank = self.ranks.get(&space).and_then(|ranks| ranks.get(&name));
        self.value(rank.copied().unwrap_or(u64::MAX));
    }
}

/// The canonical hash of these cores, in their order, and of the messages on their way, in any order.
#[must_use]
pub fn canonical_hash<P: Plant>(cores: &[&Core<P>], messages: &[&Envelope]) -> u128 {
    let mut names = Names::default();
    cores.iter().for_each(|core| core.tell(&mut names));
    messages.iter().for_each(|envelope| envelope.tell(&mut names));
    let rank = |names: BTreeSet<u64>| names.into_iter().zip(0u64..).collect();
    let ranks = names.0.into_iter().map(|(space, names)| (space, rank(names))).collect();
    let mut digest = Digest { ranks: &ranks, hash: Digest::BASIS };
    cores.iter().for_each(|core| core.tell(&mut digest));
    let mut of_messages: Vec<u128> = messages
        .iter()
        .map(|envelope| {
            let mut digest = Digest { ranks: &ranks, hash: Digest::BASIS };
            envelope.tell(&mut digest);
            digest.hash
        })
        .collect();
    of_messages.sort_unstable();
    for hash in of_messages {
        digest.value(hash as u64);
        digest.value((hash >> 64) as u64);
    }
    digest.hash
}

fn bytes(canon: &mut impl Canon, bytes: &[u8]) {
    canon.value(bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        canon.value(u64::from_le_bytes(word));
    }
}

fn id(canon: &mut impl Canon, id: EntryId) {
    canon.value(id.term.0);
    canon.value(id.index.0);
}

fn option(canon: &mut impl Canon, value: Option<u64>) {
    canon.value(u64::from(value.is_some()));
    canon.value(value.unwrap_or(0));
}

fn configuration(canon: &mut impl Canon, configuration: &Configuration) {
    for half in [configuration.voters(), configuration.outgoing()] {
        canon.value(half.len() as u64);
        half.iter().for_each(|id| canon.value(id.0));
    }
    canon.value(configuration.members().len() as u64);
    for (id, member) in configuration.members() {
        canon.value(id.0);
        bytes(canon, &member.uuid.0);
        canon.value(u64::from(member.promote));
        bytes(canon, &member.context);
    }
    canon.value(configuration.removed().len() as u64);
    configuration.removed().iter().for_each(|id| canon.value(id.0));
}

fn entry(canon: &mut impl Canon, entry: &Entry) {
    canon.value(entry.term.0);
    match &entry.payload {
        Payload::Empty => canon.value(0),
        Payload::Data(data) => {
            canon.value(1);
            bytes(canon, data);
        }
        Payload::Configuration(of) => {
            canon.value(2);
            configuration(canon, of);
        }
    }
}

fn meta(canon: &mut impl Canon, meta: &SnapshotMeta) {
    id(canon, meta.last);
    canon.value(meta.bytes);
    canon.value(meta.configuration.0.0);
    configuration(canon, &meta.configuration.1);
}

impl Envelope {
    /// Tells what it says.
    pub fn tell(&self, canon: &mut impl Canon) {
        canon.value(self.from.0);
        canon.value(self.to.0);
        canon.value(self.epoch.0);
        canon.name(Namespace::Boot(self.from), self.from_boot.0);
        canon.value(u64::from(self.to_boot.is_some()));
        if let Some(boot) = self.to_boot {
            canon.name(Namespace::Boot(self.to), boot.0);
        }
        canon.value(self.term.0);
        let (from, to) = (self.from, self.to);
        bytes(canon, self.message.name().as_bytes());
        match &self.message {
            Message::PreVote { last } | Message::TimeoutNow { last } | Message::SnapshotReject { last } => {
                id(canon, *last);
            }
            Message::PreVoteReply { asked, granted } => {
                canon.value(asked.0);
                canon.value(u64::from(*granted));
            }
            Message::Vote { last, transfer } => {
                id(canon, *last);
                canon.value(u64::from(*transfer));
            }
            Message::VoteReply { granted } => canon.value(u64::from(*granted)),
            Message::Append { prev, entries, commit, established, stretch } => {
                id(canon, *prev);
                canon.value(entries.len() as u64);
                entries.iter().for_each(|one| entry(canon, one));
                canon.value(commit.0);
                canon.value(u64::from(*established));
                canon.name(Namespace::Stretch(from), stretch.0);
            }
            Message::AppendAck { matched, stretch, counting } => {
                canon.value(matched.0);
                canon.name(Namespace::Stretch(to), stretch.0);
                canon.value(u64::from(*counting));
            }
            Message::AppendReject { prev, hint, stretch } => {
                id(canon, *prev);
                id(canon, *hint);
                canon.name(Namespace::Stretch(to), stretch.0);
            }
            Message::Heartbeat { round, commit, established } => {
                canon.name(Namespace::Round(from), round.0);
                canon.value(commit.0);
                canon.value(u64::from(*established));
            }
            Message::HeartbeatAck { round, counting } => {
                canon.name(Namespace::Round(to), round.0);
                canon.value(u64::from(*counting));
            }
            Message::ReadIndex { batch } => canon.name(Namespace::Batch(from), *batch),
            Message::ReadIndexReply { batch, index } => {
                canon.name(Namespace::Batch(to), *batch);
                option(canon, index.map(|index| index.0));
            }
            Message::SnapshotChunk { meta: of, offset, data } => {
                meta(canon, of);
                canon.value(*offset);
                bytes(canon, data);
            }
            Message::SnapshotAck { last, offset } => {
                id(canon, *last);
                canon.value(*offset);
            }
            Message::Notice => {}
        }
    }
}

impl<P: Plant> Core<P> {
    /// Tells what its behaviour depends on. Between turns only: what a turn has collected is not told.
    pub fn tell(&self, canon: &mut impl Canon) {
        let own = self.config.id;
        canon.value(own.0);
        canon.name(Namespace::Boot(own), self.config.boot.0);
        canon.value(self.hard.term.0);
        option(canon, self.hard.vote.map(|id| id.0));
        canon.value(u64::from(self.hard_lost));
        id(canon, self.log.prev());
        canon.value(self.log.last().index.0);
        self.log.pieces().for_each(|end| id(canon, end));
        option(canon, self.unreadable.map(|index| index.0));
        self.log.iter_from(self.log.prev().index.next()).for_each(|(_, one)| entry(canon, one));
        canon.value(self.configurations.all().count() as u64);
        for (index, of) in self.configurations.all() {
            canon.value(index.0);
            configuration(canon, of);
        }
        for index in [self.commit, self.applied, self.handed, self.durability.index()] {
            canon.value(index.0);
        }
        option(canon, self.snapshot.as_ref().map(|meta| meta.last.index.0));
        canon.value(u64::from(self.broken.is_some()));
        if let Some(broken) = &self.broken {
            broken.tell(canon);
        }
        self.durability.tell(own, canon);
        canon.value(self.boots.len() as u64);
        for (peer, boot) in &self.boots {
            canon.value(peer.0);
            canon.name(Namespace::Boot(*peer), boot.0);
        }
        canon.value(u64::from(self.leader_heard.is_some_and(|ticks| ticks < self.config.election_ticks)));
        canon.name(Namespace::Round(own), self.round.0);
        canon.name(Namespace::Stretch(own), self.stretch.0);
        match &self.transfer {
            Transfer::Idle => canon.value(0),
            Transfer::Receiving(receiving) => {
                canon.value(1);
                meta(canon, &receiving.meta);
                canon.value(receiving.from.0.0);
                canon.name(Namespace::Boot(receiving.from.0), receiving.from.1.0);
                canon.value(receiving.offset);
            }
            Transfer::Installing(of) => {
                canon.value(2);
                meta(canon, of);
            }
        }
        canon.value(self.forwarded.batches.len() as u64);
        for (batch, (ids, _)) in &self.forwarded.batches {
            canon.name(Namespace::Batch(own), *batch);
            canon.value(ids.len() as u64);
        }
        self.tell_role(canon);
    }

    fn tell_role(&self, canon: &mut impl Canon) {
        match &self.role {
            Role::Follower(follower) => {
                canon.value(10);
                option(canon, follower.leader.map(|id| id.0));
                canon.value(follower.verified.0);
            }
            Role::PreCandidate(ballot) => {
                canon.value(11);
                canon.value(ballot.votes.len() as u64);
                ballot.votes.iter().for_each(|(id, yes)| canon.value(id.0 * 2 + u64::from(*yes)));
            }
            Role::Candidate(ballot) => {
                canon.value(12);
                canon.value(ballot.votes.len() as u64);
                ballot.votes.iter().for_each(|(id, yes)| canon.value(id.0 * 2 + u64::from(*yes)));
            }
            Role::Leader(leader) => {
                canon.value(13);
                self.tell_leader(leader, canon);
            }
        }
    }

    fn tell_leader(&self, leader: &Leader, canon: &mut impl Canon) {
        let own = self.config.id;
        canon.value(leader.first.0);
        option(canon, leader.handing.map(|handing| handing.to.0 * 2 + u64::from(handing.told)));
        canon.value(leader.peers.len() as u64);
        for (peer, progress) in &leader.peers {
            canon.value(peer.0);
            canon.value(u64::from(progress.pause_ticks > 0));
            canon.value(u64::from(holdfast_machine::Numbered::number(progress.state())));
            for index in [progress.matched, progress.next, progress.floor, progress.told_commit] {
                canon.value(index.0);
            }
            canon.value(u64::from(progress.counting));
            canon.value(u64::from(progress.heard_lately()));
            canon.value(u64::from(progress.probing));
            canon.value(u64::from(progress.leaving_ticks.is_some()));
            canon.name(Namespace::Stretch(own), progress.stretch.0);
            canon.name(Namespace::Round(own), progress.round.0);
            canon.value(u64::from(progress.boot.is_some()));
            if let Some(boot) = progress.boot {
                canon.name(Namespace::Boot(*peer), boot.0);
            }
            canon.value(progress.inflight.len() as u64);
            progress.inflight.iter().for_each(|(last, _)| canon.value(last.0));
            option(canon, progress.reading.map(|index| index.0));
            if let Some(sending) = &progress.sending {
                id(canon, sending.meta.last);
                canon.value(sending.offset);
                canon.value(sending.wait as u64);
            }
        }
        let mut tell_reader = |reader: &Reader| match reader {
            Reader::Own(_) => canon.value(1),
            Reader::Peer { from, boot, batch } => {
                canon.value(2);
                canon.value(from.0);
                canon.name(Namespace::Boot(*from), boot.0);
                canon.name(Namespace::Batch(*from), *batch);
            }
        };
        leader.reads.queued.iter().for_each(&mut tell_reader);
        for (_, _, readers) in &leader.reads.begun {
            readers.iter().for_each(&mut tell_reader);
        }
        canon.value(leader.reads.queued.len() as u64);
        for (round, index, readers) in &leader.reads.begun {
            canon.name(Namespace::Round(own), round.0);
            canon.value(index.0);
            canon.value(readers.len() as u64);
        }
    }
}

impl Durability {
    /// Tells what is on its way to the disk.
    fn tell(&self, own: NodeId, canon: &mut impl Canon) {
        canon.value(self.hard().term.0);
        option(canon, self.hard().vote.map(|id| id.0));
        canon.value(self.on_their_way().count() as u64);
        for (persist, last, hard) in self.on_their_way() {
            canon.name(Namespace::Persist(own), persist.0);
            canon.value(last.0);
            canon.value(hard.term.0);
            option(canon, hard.vote.map(|id| id.0));
        }
    }
}

impl LogOp {
    /// Tells what it does.
    pub fn tell(&self, canon: &mut impl Canon) {
        match self {
            Self::Append { first, entries } => {
                canon.value(first.0);
                entries.iter().for_each(|one| entry(canon, one));
            }
            Self::Fill { index, entry: one } => {
                canon.value(index.0);
                entry(canon, one);
            }
            Self::Confirm { index, term } => id(canon, EntryId { index: *index, term: *term }),
            Self::Heal { whole } => canon.value(whole.0),
            Self::Reset { last } => id(canon, *last),
            Self::Trim { through } => canon.value(Index::next(*through).0),
        }
    }
}

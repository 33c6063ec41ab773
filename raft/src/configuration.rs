//! Who decides: voters, learners, joint quorums, and how one configuration leads to the next.
//!
//! # Why joint consensus
//! Replacing a member one server at a time passes through a configuration of even size, and the single-server protocol as
//! first published was wrong (Ongaro 2015). While two configurations are *joint*, whatever is decided needs a majority of
//! each (the paper, §6), so that no two disjoint majorities ever exist, however large the step.
//!
//! # Invariants
//! - There is at least one voter, except in the configuration of a node that has not heard of any.
//! - Every voter is a member; learners are the members that vote in neither half.
//! - Ids of removed members are remembered and never used again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;

use crate::{Index, NodeId, NodeUuid, Refusal};

/// Members that a configuration may list. Every heartbeat goes to each of them.
pub const MEMBERS_MAX: usize = 64;

/// Voters that one half of a configuration may have. More voters make every write slower and nothing safer; etcd and
/// Consul advise seven at most, and this is twice that and one.
pub const VOTERS_MAX: usize = 15;

/// Bytes of a member's context: some addresses and names. A configuration travels in every piece of a snapshot.
pub const MEMBER_CONTEXT_BYTES_MAX: usize = 1024;

/// What a configuration says of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which data directory: tells a wiped node from the one that had its id before.
    pub uuid: NodeUuid,
    /// Whether the leader makes it a voter as soon as it has caught up.
    pub promote: bool,
    /// Addresses, names and versions: opaque here. At most [`MEMBER_CONTEXT_BYTES_MAX`].
    pub context: Bytes,
}

impl Member {
    fn fits(&self) -> bool {
        self.context.len() <= MEMBER_CONTEXT_BYTES_MAX
    }
}

/// Who decides, from the entry on that carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The voters; while joint, those of the new half. Sorted.
    voters: Vec<NodeId>,
    /// While joint, the voters of the old half; otherwise empty. Sorted.
    outgoing: Vec<NodeId>,
    members: BTreeMap<NodeId, Member>,
    removed: BTreeSet<NodeId>,
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new member without a vote, which is sent the log.
    AddLearner {
        /// Its id, never used before.
        id: NodeId,
        /// The rest.
        member: Member,
    },
    /// Another context for a member: its addresses changed.
    Update {
        /// Which member.
        id: NodeId,
        /// Its new context.
        context: Bytes,
    },
    /// In one step: these learners become voters, these voters become learners, these members are removed.
    Reconfigure {
        /// Learners that become voters.
        promote: Vec<NodeId>,
        /// Voters that become learners.
        demote: Vec<NodeId>,
        /// Members that are removed, voters or learners.
        remove: Vec<NodeId>,
    },
}

/// How a vote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// A quorum says yes.
    Won,
    /// No quorum can say yes any more.
    Lost,
    /// Neither.
    Open,
}

/// How many of `count` voters are a majority.
fn majority(count: usize) -> usize {
    count / 2 + 1
}

impl Configuration {
    /// The first configuration of a cluster: these members, all of them voters.
    ///
    /// # Panics
    /// If that is none: an id of 0, more than [`VOTERS_MAX`] members, a context that is too long. Who formed the cluster has
    /// checked it ([`MemberList`](crate::formation::MemberList)).
    #[must_use]
    pub fn initial(members: impl IntoIterator<Item = (NodeId, Member)>) -> Self {
        let members: BTreeMap<NodeId, Member> = members.into_iter().collect();
        let voters = members.keys().copied().collect();
        let initial = Self::from_parts(voters, Vec::new(), members, BTreeSet::new());
        initial.unwrap_or_else(|rule| panic!("no first configuration: {rule}"))
    }

    /// Puts a configuration together again that was taken apart for a disk or a wire.
    ///
    /// # Errors
    /// The rule that is broken: what was read is no configuration.
    pub fn from_parts(
        voters: Vec<NodeId>,
        outgoing: Vec<NodeId>,
        members: BTreeMap<NodeId, Member>,
        removed: BTreeSet<NodeId>,
    ) -> Result<Self, &'static str> {
        let sorted = |half: &[NodeId]| half.windows(2).all(|pair| pair[0] < pair[1]);
        let listed = |half: &[NodeId]| half.iter().all(|id| members.contains_key(id));
        let leaves = |id: NodeId| outgoing.contains(&id) && !voters.contains(&id);
        let rules = [
            (sorted(&voters) && sorted(&outgoing), "voters are sorted, each once"),
            (listed(&voters) && listed(&outgoing), "every voter is a member"),
            (!voters.is_empty() || members.is_empty(), "somebody votes"),
            // A voter that is being removed stays a member while joint, in the old half.
            (members.keys().all(|id| !removed.contains(id) || leaves(*id)), "no member was removed before"),
            (members.keys().all(|id| id.0 != 0), "no member has the id 0"),
            (members.len() <= MEMBERS_MAX, "there are at most 64 members"),
            (members.values().all(Member::fits), "a member's context is at most 1024 bytes"),
            (voters.len().max(outgoing.len()) <= VOTERS_MAX, "there are at most 15 voters"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(rule),
            None => Ok(Self { voters, outgoing, members, removed }),
        }
    }

    /// The voters; while joint, those of the new half. Sorted.
    #[must_use]
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// While joint, the voters of the old half; otherwise empty. Sorted.
    #[must_use]
    pub fn outgoing(&self) -> &[NodeId] {
        &self.outgoing
    }

    /// All members, voters or not.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<NodeId, Member> {
        &self.members
    }

    /// Ids that were members once and never will be again. Eight bytes each, for ever: a hundred thousand removals are 800 kB.
    #[must_use]
    pub fn removed(&self) -> &BTreeSet<NodeId> {
        &self.removed
    }

    /// Whether decisions need two majorities.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether this node has a vote, in either half.
    #[must_use]
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.binary_search(&id).is_ok() || self.outgoing.binary_search(&id).is_ok()
    }

    /// Whether this node is a member without a vote.
    #[must_use]
    pub fn is_learner(&self, id: NodeId) -> bool {
        self.members.contains_key(&id) && !self.is_voter(id)
    }

    /// Bytes that it counts against limits.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let members: usize = self.members.values().map(|member| 40 + member.context.len()).sum();
        members + 8 * (self.voters.len() + self.outgoing.len() + self.removed.len())
    }

    /// The halves: one, or two while joint.
    fn halves(&self) -> impl Iterator<Item = &[NodeId]> {
        [&self.voters[..], &self.outgoing[..]].into_iter().filter(|half| !half.is_empty())
    }

    /// Whether those that `agree` are a quorum: a majority of each half. Never of a configuration without voters.
    #[must_use]
    pub fn has_quorum(&self, agree: impl Fn(NodeId) -> bool) -> bool {
        !self.voters.is_empty()
            && self.halves().all(|half| half.iter().filter(|id| agree(**id)).count() >= majority(half.len()))
    }

    /// How a vote stands in which each voter said yes, no, or nothing yet.
    #[must_use]
    pub fn tally(&self, vote: impl Fn(NodeId) -> Option<bool>) -> Tally {
        if self.has_quorum(|id| vote(id) == Some(true)) {
            Tally::Won
        } else if self.has_quorum(|id| vote(id) != Some(false)) {
            Tally::Open
        } else {
            Tally::Lost
        }
    }

    /// The highest index that a quorum holds, where each voter holds up to `held(id)`: the median of each half, the lower
    /// of both. Zero for a configuration without voters.
    #[must_use]
    pub fn quorum_index(&self, held: impl Fn(NodeId) -> Index) -> Index {
        self.halves().map(|half| half_index(half, &held)).min().unwrap_or_default()
    }

    /// The same for the voters of the new half alone.
    pub(crate) fn incoming_index(&self, held: impl Fn(NodeId) -> Index) -> Index {
        half_index(&self.voters, &held)
    }

    /// The configuration that a change leads to. If it changes who votes, that is a joint one, which
    /// [`leave_joint`](Self::leave_joint) ends.
    ///
    /// # Errors
    /// A [`Refusal`] with the reason: [`ChangePending`](Refusal::ChangePending) while joint,
    /// [`IdReused`](Refusal::IdReused), [`UuidTaken`](Refusal::UuidTaken), [`UnknownMember`](Refusal::UnknownMember),
    /// [`WrongKindOfMember`](Refusal::WrongKindOfMember), [`NoVoterLeft`](Refusal::NoVoterLeft),
    /// [`TooManyMembers`](Refusal::TooManyMembers), [`ContextTooLong`](Refusal::ContextTooLong), [`NothingToChange`](Refusal::NothingToChange).
    pub fn plan(&self, change: &Change) -> Result<Self, Refusal> {
        if self.is_joint() {
            return Err(Refusal::ChangePending);
        }
        let mut next = self.clone();
        match change {
            Change::AddLearner { id, member } => {
                if id.0 == 0 || self.members.contains_key(id) || self.removed.contains(id) {
                    return Err(Refusal::IdReused);
                }
                if self.members.values().any(|other| other.uuid == member.uuid) {
                    return Err(Refusal::UuidTaken);
                }
                if self.members.len() >= MEMBERS_MAX {
                    return Err(Refusal::TooManyMembers);
                }
                if !member.fits() {
                    return Err(Refusal::ContextTooLong);
                }
                next.members.insert(*id, member.clone());
            }
            Change::Update { id, context } => {
                if context.len() > MEMBER_CONTEXT_BYTES_MAX {
                    return Err(Refusal::ContextTooLong);
                }
                next.members.get_mut(id).ok_or(Refusal::UnknownMember)?.context = context.clone();
            }
            Change::Reconfigure { promote, demote, remove } => next.reconfigure(promote, demote, remove)?,
        }
        if next == *self { Err(Refusal::NothingToChange) } else { Ok(next) }
    }

    fn reconfigure(
        &mut self,
        promote: &[NodeId],
        demote: &[NodeId],
        remove: &[NodeId],
    ) -> Result<(), Refusal> {
        let before = self.voters.clone();
        for id in promote.iter().chain(demote).chain(remove) {
            if !self.members.contains_key(id) {
                return Err(Refusal::UnknownMember);
            }
        }
        for (at, id) in promote.iter().enumerate() {
            let again = promote[..at].contains(id) || demote.contains(id) || remove.contains(id);
            if self.is_voter(*id) || again {
                return Err(Refusal::WrongKindOfMember);
            }
        }
        for (at, id) in demote.iter().enumerate() {
            if !self.is_voter(*id) || demote[..at].contains(id) || remove.contains(id) {
                return Err(Refusal::WrongKindOfMember);
            }
        }
        self.voters.retain(|id| !demote.contains(id) && !remove.contains(id));
        self.voters.extend_from_slice(promote);
        self.voters.sort_unstable();
        if self.voters.is_empty() {
            return Err(Refusal::NoVoterLeft);
        }
        if self.voters.len() > VOTERS_MAX {
            return Err(Refusal::TooManyMembers);
        }
        for id in promote.iter().chain(demote) {
            if let Some(member) = self.members.get_mut(id) {
                member.promote = false;
            }
        }
        // A voter that goes stays a member while joint: it still has to be sent the log and be counted.
        for id in remove {
            self.removed.insert(*id);
            if !before.contains(id) {
                self.members.remove(id);
            }
        }
        if self.voters != before {
            self.outgoing = before;
        }
        Ok(())
    }

    /// The configuration that ends a joint one: the new half decides alone, and members that were to be removed are gone.
    #[must_use]
    pub fn leave_joint(&self) -> Self {
        let mut next = Self { outgoing: Vec::new(), ..self.clone() };
        let removed = &next.removed;
        next.members.retain(|id, _| !removed.contains(id));
        next
    }
}

fn half_index(half: &[NodeId], held: &impl Fn(NodeId) -> Index) -> Index {
    // On the stack: this runs for every acknowledgement.
    let mut indices = [Index(0); VOTERS_MAX];
    let indices = &mut indices[..half.len().min(VOTERS_MAX)];
    for (slot, id) in indices.iter_mut().zip(half) {
        *slot = held(*id);
    }
    indices.sort_unstable_by(|a, b| b.cmp(a));
    indices.get(majority(half.len()) - 1).copied().unwrap_or_default()
}

/// `1 2 3`, or `1 2 3 ← 1 2 4` while joint; learners behind a plus sign.
impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |ids: &[NodeId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        f.write_str(&list(&self.voters))?;
        if self.is_joint() {
            write!(f, " ← {}", list(&self.outgoing))?;
        }
        let learners: Vec<NodeId> = self.members.keys().copied().filter(|id| self.is_learner(*id)).collect();
        if learners.is_empty() { Ok(()) } else { write!(f, " + {}", list(&learners)) }
    }
}

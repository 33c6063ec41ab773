//! What can be seen of a core from outside.

use std::sync::Arc;

use holdfast_machine::{Numbered, Trace};

use super::{Core, TRACED};
use crate::membership::MembershipState;
use crate::progress::Progress;
use crate::role::{Role, RoleMachine, RoleState};
use crate::{Config, Configuration, DropCause, Entry, EntryId, Index, NodeId, Plant, SnapshotMeta, Term};

impl<P: Plant> Core<P> {
    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Which node it is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// Its term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.hard.term
    }

    /// Whom it voted for in its term.
    #[must_use]
    pub fn vote(&self) -> Option<NodeId> {
        self.hard.vote
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> RoleState {
        self.role.state()
    }

    /// The leader of its term, if it knows one; itself, if it is one.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(_) => Some(self.config.id),
            Role::Follower(follower) => follower.leader,
            Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }

    /// How far it knows the log to be committed.
    #[must_use]
    pub fn commit(&self) -> Index {
        self.commit
    }

    /// How far its owner has reported to have applied.
    #[must_use]
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// The end of its log, up to the first hole.
    #[must_use]
    pub fn last(&self) -> EntryId {
        self.log.last()
    }

    /// What stands before the first entry that it holds.
    #[must_use]
    pub fn prev(&self) -> EntryId {
        self.log.prev()
    }

    /// Up to here, what the log holds now is durable.
    #[must_use]
    pub fn durable(&self) -> Index {
        self.durability.index()
    }

    /// The last entry that it holds on the disk only; [`prev`](Self::prev) if all that it holds are in memory.
    #[must_use]
    pub fn evicted(&self) -> EntryId {
        self.log.evicted()
    }

    /// An entry that it holds in memory: one behind [`evicted`](Self::evicted).
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.log.entry(index)
    }

    /// The term at an index: of an entry that it holds, or of what stands before the first.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.log.term_at(index)
    }

    /// The configuration that acts, and the index of its entry.
    #[must_use]
    pub fn configuration(&self) -> &(Index, Arc<Configuration>) {
        self.configurations.acting()
    }

    /// The configuration that acted at this index, and the index of its entry; for what the log holds, and for its snapshot.
    #[must_use]
    pub fn configuration_at(&self, index: Index) -> &(Index, Arc<Configuration>) {
        self.configurations.at(index)
    }

    /// How far the change that led to it has come.
    #[must_use]
    pub fn membership(&self) -> MembershipState {
        self.membership
    }

    /// The newest snapshot that is durable here.
    #[must_use]
    pub fn snapshot(&self) -> Option<&SnapshotMeta> {
        self.snapshot.as_ref()
    }

    /// How far a snapshot has come that is being received.
    #[must_use]
    pub fn transfer(&self) -> crate::TransferState {
        self.transfer.state()
    }

    /// Whether it leads and has committed an entry of its own term: only then does it know how far the log is committed.
    #[must_use]
    pub fn established(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.first <= self.commit,
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => false,
        }
    }

    /// What it knows of a peer's log; only while it leads, and only of those that it replicates to.
    #[must_use]
    pub fn progress(&self, peer: NodeId) -> Option<&Progress> {
        match &self.role {
            Role::Leader(leader) => leader.peers.get(&peer),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }

    /// Whether its log has holes, or may have lost its end.
    #[must_use]
    pub fn damaged(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether its term and vote are lost: it takes part in no quorum, for ever.
    #[must_use]
    pub fn hard_state_lost(&self) -> bool {
        self.hard_lost
    }

    /// How often messages were dropped for this cause.
    #[must_use]
    pub fn drops(&self, cause: DropCause) -> u64 {
        self.drops[cause.position()]
    }

    /// The last edges of machine 02, and how often each was taken.
    #[must_use]
    pub fn roles(&self) -> &Trace<RoleMachine, TRACED> {
        &self.roles
    }
}

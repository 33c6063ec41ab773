//! Changes of the members, asked for by an operator: who is added, promoted, removed, and who is to lead.
//!
//! The core decides whether a change may be made at all, and leads a change of voters through its two configurations. What is
//! left to this file is to allow no ambiguity: a call is answered when the configuration that it led to is committed, and not
//! when it was appended; the same call twice (a client that asks again) is answered once more and changes nothing; and a
//! leader that is deposed meanwhile says that it does not know.

use holdfast_command::Refusal;
use holdfast_machine::Numbered;
use holdfast_raft::{
    Change, Index, Input as CoreInput, Member, MembershipState, NodeId, NodeUuid, Refusal as R, RoleState,
};
use holdfast_wire::message::{ChangeMembers, MemberChange, MembersChanged};

use super::io::Caller;
use super::plant::Plant;
use super::writes::until;
use super::{Node, limits};
use crate::storage::{MemberContext, is_host_and_port};

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// A configuration of this index or a later one is committed, and no change is under way.
    Settled(Index),
    /// This node leads.
    Leads(NodeId),
}

/// A change that was taken on and is not answered.
#[derive(Debug)]
struct Waiting {
    caller: Caller,
    goal: Goal,
    until: u64,
}

/// All changes that wait.
#[derive(Debug, Default)]
pub(super) struct Members(Vec<Waiting>);

impl Members {
    pub(super) fn waiting(&self) -> usize {
        self.0.len()
    }
}

impl<P: Plant> Node<P> {
    /// Takes a change on, if this node leads and the core agrees.
    pub(super) fn change_members(&mut self, caller: Caller, change: &ChangeMembers) {
        match self.begin_change(change) {
            Ok(goal) => {
                let until = until(self.now.micros, change.timeout_ms);
                self.members.0.push(Waiting { caller, goal, until });
            }
            Err(refusal) => self.refuse(caller, refusal),
        }
    }

    fn begin_change(&mut self, change: &ChangeMembers) -> Result<Goal, Refusal> {
        if let Some(refusal) = self.not_leading() {
            return Err(refusal);
        }
        if self.members.waiting() >= limits::MEMBER_CHANGES_MAX {
            return Err(Refusal::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS.into() });
        }
        let node = NodeId(change.node.get());
        let kind = MemberChange::from_number(change.change).ok_or(Refusal::Malformed { offset: 0 })?;
        let only = |promote: &[NodeId], demote: &[NodeId], remove: &[NodeId]| {
            let (promote, demote, remove) = (promote.to_vec(), demote.to_vec(), remove.to_vec());
            Change::Reconfigure { promote, demote, remove }
        };
        let wanted = match kind {
            MemberChange::Transfer => return self.begin_transfer(node),
            MemberChange::AddLearner => {
                let uuid = change.uuid.ok_or(Refusal::Malformed { offset: 0 })?;
                let member = Member {
                    uuid: NodeUuid(uuid.0),
                    promote: change.promote,
                    context: context(change, holdfast_command::FeatureLevel::FIRST.0)?,
                };
                if self.is_member_already(node, &member) {
                    return Ok(Goal::Settled(self.core.configuration().0));
                }
                Change::AddLearner { id: node, member }
            }
            MemberChange::Move => {
                let (_, configuration) = self.core.configuration();
                let member = configuration.members().get(&node);
                let member = member.ok_or(Refusal::UnknownMember { node: node.0 })?;
                let level =
                    MemberContext::decode(member.context.clone()).map(|context| context.feature_level);
                let level = level.unwrap_or(holdfast_command::FeatureLevel::FIRST.0);
                Change::Update { id: node, context: context(change, level)? }
            }
            MemberChange::Promote => only(&[node], &[], &[]),
            MemberChange::Demote => only(&[], &[node], &[]),
            MemberChange::Remove => only(&[], &[], &[node]),
            MemberChange::Replace => {
                let other = change.other.ok_or(Refusal::Malformed { offset: 0 })?;
                only(&[node], &[], &[NodeId(other.get())])
            }
        };
        match self.core.step(CoreInput::ChangeMembership(wanted)) {
            Ok(id) => Ok(Goal::Settled(id.map_or(self.core.configuration().0, |id| id.index))),
            Err(why) => Err(refusal(why, node)),
        }
    }

    /// The office is handed to `node`, unless it has it.
    fn begin_transfer(&mut self, node: NodeId) -> Result<Goal, Refusal> {
        if node != self.core.id() {
            self.core.step(CoreInput::Transfer(node)).map_err(|why| refusal(why, node))?;
        }
        Ok(Goal::Leads(node))
    }

    /// Whether a node was added before with the same directory and address: a call that comes again.
    fn is_member_already(&self, node: NodeId, wanted: &Member) -> bool {
        let address =
            |member: &Member| MemberContext::decode(member.context.clone()).map(|context| context.peer);
        let (_, configuration) = self.core.configuration();
        let known = configuration.members().get(&node);
        known.is_some_and(|known| known.uuid == wanted.uuid && address(known) == address(wanted))
    }

    /// Answers whoever has what he waits for, or cannot have it any more.
    pub(super) fn settle_members(&mut self) {
        if self.members.0.is_empty() {
            return;
        }
        let (core, now) = (&self.core, self.now.micros);
        let leads = core.role() == RoleState::Leader;
        let (at, configuration) = (core.configuration().0, core.membership());
        let settled = configuration == MembershipState::Stable && core.commit() >= at;
        let (term, handing) = (core.term(), core.handing_over());
        let position = self.position(self.store.applied());
        for waiting in std::mem::take(&mut self.members.0) {
            let Waiting { caller, goal, until } = waiting;
            let verdict = match goal {
                // A leader that removed itself leads no more, and no other has said anything in its term.
                Goal::Settled(index) if term.0 == self.led && settled && at >= index => Some(Ok(())),
                Goal::Settled(_) if !leads || term.0 != self.led => Some(Err(Refusal::LeadershipLost)),
                Goal::Leads(node) if self.core.leader() == Some(node) => Some(Ok(())),
                Goal::Leads(node) if leads && handing != Some(node) => {
                    Some(Err(Refusal::TransferFailed { node: node.0 }))
                }
                Goal::Leads(node) if !leads && self.core.leader().is_some() => {
                    Some(Err(Refusal::TransferFailed { node: node.0 }))
                }
                Goal::Settled(_) | Goal::Leads(_) if until <= now => Some(Err(Refusal::TimedOut)),
                Goal::Settled(_) | Goal::Leads(_) => None,
            };
            match verdict {
                None => self.members.0.push(waiting),
                Some(Ok(())) => {
                    self.replies.push((caller, MembersChanged { position, configuration: at.0 }.into()));
                }
                Some(Err(refusal)) => self.refuse(caller, refusal),
            }
        }
    }

    /// A member that knows that it was removed serves nobody any more.
    pub(super) fn stop_if_removed(&mut self) {
        let (at, configuration) = self.core.configuration();
        let own = self.core.id();
        if self.halted.is_some() || !configuration.removed().contains(&own) || self.core.commit() < *at {
            return;
        }
        if self.core.role() == RoleState::Leader || self.core.membership() != MembershipState::Stable {
            return;
        }
        self.removed(&format!("by entry {at}"));
    }

    /// It is no member any more.
    pub(super) fn removed(&mut self, how: &str) {
        if self.halted.is_some() {
            return;
        }
        let why = format!(
            "it was removed from the cluster, {how}. Its directory holds nothing that the others lack, and can be deleted; a \
             node that takes its place needs a number that was never used"
        );
        self.events.push(super::NodeEvent::Halted(why.clone()));
        self.halted = Some(why);
        self.is_removed = true;
    }
}

/// What is kept of a member: where peers reach it. Where clients do, it says itself.
fn context(change: &ChangeMembers, feature_level: u16) -> Result<bytes::Bytes, Refusal> {
    if !is_host_and_port(&change.peer) {
        return Err(Refusal::BadAddress);
    }
    let context = MemberContext { peer: change.peer.clone(), client: None, http: None, feature_level };
    context.encode().map_err(|_| Refusal::Malformed { offset: 0 })
}

/// What a client is told of a refusal of the core.
fn refusal(why: R, node: NodeId) -> Refusal {
    let node = node.0;
    match why {
        R::NotLeader => Refusal::NotLeader,
        R::NoLeader | R::NotEstablished => Refusal::NoLeader,
        R::Transferring | R::ChangePending => Refusal::ChangePending,
        R::WouldLoseQuorum => Refusal::WouldLoseQuorum,
        R::IdReused => Refusal::NodeIdUsed { node },
        R::UuidTaken => Refusal::DirectoryTaken,
        R::UnknownMember => Refusal::UnknownMember { node },
        R::WrongKindOfMember => Refusal::WrongKindOfMember { node },
        R::NotCaughtUp => Refusal::NotCaughtUp { node },
        R::NoVoterLeft => Refusal::NoVoterLeft,
        R::TooManyMembers => Refusal::TooManyMembers,
        R::NothingToChange => Refusal::NothingToChange,
        R::NoTransferTarget => Refusal::NoTransferTarget { node },
        R::ContextTooLong | R::EntryTooLong => Refusal::Malformed { offset: 0 },
        R::LeadershipLost => Refusal::LeadershipLost,
        R::UncommittedFull | R::ReadsFull | R::SnapshotAhead | R::SnapshotOld => {
            Refusal::Overloaded { retry_after_ms: limits::RETRY_AFTER_MS.into() }
        }
    }
}

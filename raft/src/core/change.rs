//! Changes of members (the paper, §6; dissertation chapter 4), and handing the office over (dissertation §3.10).

use super::Core;
use super::leader::Handing;
use crate::membership::MembershipState;
use crate::progress::{Progress, ProgressState};
use crate::{Bug, Change, Configuration, EntryId, Event, Message, NodeId, Payload, Plant, Refusal};

impl<P: Plant> Core<P> {
    /// Appends the configuration that a change leads to. Voters change by way of a joint configuration, which the leader ends
    /// by itself once it is committed.
    pub(super) fn change_membership(&mut self, change: &Change) -> Result<EntryId, Refusal> {
        let leader = self.leading().ok_or(Refusal::NotLeader)?;
        if leader.handing.is_some() {
            return Err(Refusal::Transferring);
        }
        if !P::plants(Bug::ChangeBeforeOwnTerm) {
            // Ongaro 2015: without this, two leaders in turn can each lead a change from the same configuration, to two
            // that share no majority.
            if !self.established() {
                return Err(Refusal::NotEstablished);
            }
            if self.membership != MembershipState::Stable {
                return Err(Refusal::ChangePending);
            }
        }
        let next = self.configuration().1.plan(change)?;
        if let Change::Reconfigure { promote, .. } = change
            && !promote.iter().all(|id| self.caught_up(*id))
        {
            return Err(Refusal::NotCaughtUp);
        }
        self.can_commit(&next)?;
        let joint = next.is_joint();
        let end = joint.then(|| next.leave_joint());
        let id = self.append_as_leader(Payload::Configuration(next.into()));
        if let Some(end) = end.filter(|_| P::plants(Bug::JointLeftEarly)) {
            self.append_as_leader(Payload::Configuration(end.into()));
        }
        Ok(id)
    }

    /// That the members which answer now are a quorum of this configuration, and of the one that it leads to: a change that
    /// cannot commit would leave the cluster without a leader that can undo it.
    fn can_commit(&self, next: &Configuration) -> Result<(), Refusal> {
        let own = self.config.id;
        let answers = |id: NodeId| {
            let progress = self.progress(id);
            id == own || progress.is_some_and(|peer| peer.heard_lately() && peer.counts())
        };
        if next.has_quorum(answers) && next.leave_joint().has_quorum(answers) {
            Ok(())
        } else {
            Err(Refusal::WouldLoseQuorum)
        }
    }

    fn caught_up(&self, id: NodeId) -> bool {
        let last = self.log.last().index.0;
        let close = |peer: &Progress| {
            peer.state() == ProgressState::Replicate
                && peer.heard_lately()
                && peer.counts()
                && last - peer.matched.0 <= self.config.caught_up_entries
        };
        self.progress(id).is_some_and(close)
    }

    /// Makes a voter of a learner that is meant to be one and has caught up: one at a time, the lowest id first.
    pub(super) fn promote_learner(&mut self) {
        if self.membership != MembershipState::Stable || !self.established() {
            return;
        }
        let members = self.configuration().1.members();
        let ready = members.iter().find(|(id, member)| member.promote && self.caught_up(**id));
        let Some(id) = ready.map(|(id, _)| *id) else { return };
        let change = Change::Reconfigure { promote: vec![id], demote: vec![], remove: vec![] };
        // Refused while the office is handed over, or while too few answer; it is tried again with the next heartbeat.
        let _ = self.change_membership(&change);
    }

    /// Hands the office to another voter: catches it up, appends nothing meanwhile, and tells it to campaign.
    pub(super) fn hand_over(&mut self, to: NodeId) -> Result<(), Refusal> {
        let ticks_left = self.config.election_ticks;
        let leader = self.leading().ok_or(Refusal::NotLeader)?;
        if leader.handing.is_some() {
            return Err(Refusal::Transferring);
        }
        let known = leader.peers.get(&to).is_some_and(Progress::counts);
        if !known || self.configuration().1.voters().binary_search(&to).is_err() {
            return Err(Refusal::NoTransferTarget);
        }
        if let Some(leader) = self.leader_mut() {
            leader.handing = Some(Handing { to, ticks_left, told: false });
        }
        Ok(())
    }

    /// To whom the office is being handed over.
    #[must_use]
    pub fn handing_over(&self) -> Option<NodeId> {
        Some(self.leading()?.handing?.to)
    }

    /// Gives a transfer up that took an election timeout: the successor is dead, or cut off, or behind.
    pub(super) fn tick_handing(&mut self) {
        let Some(leader) = self.leader_mut() else { return };
        let Some(handing) = &mut leader.handing else { return };
        handing.ticks_left = handing.ticks_left.saturating_sub(1);
        let to = handing.to;
        if handing.ticks_left == 0 {
            leader.handing = None;
            self.turn.events.push(Event::TransferGivenUp(to));
        }
    }

    /// Tells the successor as soon as it has the whole log, and again with each heartbeat.
    pub(super) fn flush_handing(&mut self, again: bool) {
        let last = self.log.last();
        let Some(leader) = self.leader_mut() else { return };
        let Some(handing) = &mut leader.handing else { return };
        let to = handing.to;
        let whole = leader.peers.get(&to).is_some_and(|peer| peer.matched == last.index);
        if !whole || (handing.told && !again) {
            return;
        }
        handing.told = true;
        self.send(to, Message::TimeoutNow { last });
        self.turn.events.push(Event::HandedOver(to));
    }

    /// Before it resigns, a leader tells the voter that has the whole log to take over, if there is one: nobody has to wait
    /// for an election timeout then.
    pub(super) fn tell_best_successor(&mut self) {
        let last = self.log.last();
        let configuration = self.configuration().1.clone();
        let Some(leader) = self.leading() else { return };
        let whole = |id: &&NodeId| {
            leader
                .peers
                .get(*id)
                .is_some_and(|peer| peer.matched == last.index && peer.heard_lately() && peer.counts())
        };
        let successor = configuration.voters().iter().find(whole).copied();
        if let Some(to) = successor {
            self.send(to, Message::TimeoutNow { last });
            self.turn.events.push(Event::HandedOver(to));
        }
    }
}

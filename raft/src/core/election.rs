//! Clocks, votes, becoming and ceasing to be a leader (the paper, §5.2 and §5.4.1; dissertation §6.2 and §9.6).
//!
//! Three rules keep elections rare, and it takes all three (Howard and Abraham 2020): nobody raises its term before a quorum
//! said that it would vote (*PreVote*); a leader that hears no quorum resigns (*CheckQuorum*); and a voter that hears a live
//! leader refuses (*stickiness*), unless that leader hands its office over.

use std::collections::BTreeMap;

use super::Core;
use super::leader::Leader;
use crate::config::{REFUSED_STEP_TICKS, START_HEARTBEATS};
use crate::role::{Ballot, Follower, Role, RoleEvent};
use crate::transfer::Transfer;
use crate::{Bug, COUNT_MAX, DropCause, EntryId, HardState, Message, NodeId, Plant, Tally, Term};

impl<P: Plant> Core<P> {
    pub(super) fn tick(&mut self) {
        self.now += 1;
        self.leader_heard = self.leader_heard.map(|ticks| ticks.saturating_add(1));
        self.expire_forwarded();
        if matches!(self.role, Role::Leader(_)) {
            self.tick_leader();
            return;
        }
        self.election_clock = self.election_clock.saturating_add(1);
        if self.election_clock >= self.election_timeout {
            self.await_next_attempt();
            if self.may_campaign() {
                self.ask_around();
            }
        }
    }

    /// Draws the timeout of the next attempt, so that nodes seldom try at the same time (§5.2).
    pub(super) fn reset_election_clock(&mut self) {
        self.election_clock = 0;
        let spread = u64::from(self.config.election_ticks);
        self.election_timeout = self.config.election_ticks + (self.draw() % spread) as u32;
    }

    /// The same, but soon if the leader is known to be dead, or none is known: who was asked too early did not know it yet, and who asked next may
    /// have lacked an entry. In a round each voter has its turn, by its number.
    fn await_next_attempt(&mut self) {
        self.reset_election_clock();
        self.hurry(self.round());
        self.hurried = self.hurried.saturating_sub(1);
    }

    /// Ticks in which each voter but the dead leader has its turn.
    fn round(&self) -> u32 {
        self.other_voters().len() as u32 * REFUSED_STEP_TICKS
    }

    /// How many rounds of turns there are until nobody can believe any more that a leader lives.
    fn hurried_attempts(&self) -> u32 {
        1 + self.config.election_ticks.div_ceil(self.round().max(1))
    }

    /// After a start no leader is known, dead or alive. One that lives says so within two heartbeats, and who asks before it
    /// did is refused by every voter that hears it; only if a quorum starts at once, and none of it hears the leader in that time, is
    /// the leader replaced. So when all nodes of a cluster come
    /// back, they need not wait for an election timeout, which is there for leaders that may live.
    pub(super) fn expect_no_leader(&mut self) {
        self.hurried = self.hurried_attempts();
        self.hurry(
            START_HEARTBEATS * self.config.heartbeat_ticks + self.turns_before(None) * REFUSED_STEP_TICKS,
        );
    }

    /// The next attempt comes in so many ticks at the latest, if the leader is known to be dead.
    fn hurry(&mut self, ticks: u32) {
        if self.hurried > 0 {
            self.election_clock = self.election_clock.max(self.election_timeout.saturating_sub(ticks));
        }
    }

    /// How many voters with a lower number there are, without the one that is dead.
    fn turns_before(&self, dead: Option<NodeId>) -> u32 {
        let before = |voter: &&NodeId| **voter < self.config.id && Some(**voter) != dead;
        self.other_voters().iter().filter(before).count() as u32
    }

    /// Whether this node could lead: it has a part in elections, its log and its votes are whole, its disk answers, and no
    /// snapshot is about to replace what it has.
    fn may_campaign(&self) -> bool {
        let part = self.has_part() || P::plants(Bug::NonVoterCampaigns);
        let whole = self.broken.is_none() && !self.hard_lost;
        let installing = matches!(self.transfer, Transfer::Installing(_));
        part && whole && !installing && !self.disk_stalled() && self.hard.term.0 + 1 < COUNT_MAX
    }

    /// Whether this node votes in the acting configuration; or did in the one before, and the acting one, which leaves it out,
    /// is not known to be committed. Then its log may be the longest, and the others, which act on a configuration that needs
    /// its vote, do not get it for a shorter one: unless it asks them, nobody ever leads (dissertation §4.2.2). It asks the
    /// voters of the configuration that leaves it out, and does not count itself.
    fn has_part(&self) -> bool {
        let (index, acting) = self.configuration();
        let before = || &self.configurations.at(index.previous()).1;
        let own = self.config.id;
        acting.is_voter(own) || (*index > self.commit && before().is_voter(own))
    }

    /// Whether something that has to be durable has been waiting for longer than a disk may take.
    #[must_use]
    pub fn disk_stalled(&self) -> bool {
        let bound = u64::from(self.config.disk_stall_ticks);
        self.now >= bound && self.durability.stalled_since(self.now - bound)
    }

    /// Whether this node's vote counts for anything.
    #[must_use]
    pub fn may_vote(&self) -> bool {
        let counts = !self.hard_lost || P::plants(Bug::LostHardStateCounts);
        counts && self.broken.as_ref().is_none_or(super::damage::Broken::may_vote)
    }

    /// What this node compares a candidate's log with: the end of its own, or what a damaged log claims to have had.
    fn vote_end(&self) -> EntryId {
        let claimed = self.broken.as_ref().map_or(EntryId::ZERO, super::damage::Broken::claimed_end);
        self.log.last().max(claimed)
    }

    /// Whether a request for votes is refused because a live leader is heard (dissertation §4.2.3).
    pub(super) fn sticks_to_leader(&self, transfer: bool) -> bool {
        let live = match &self.role {
            Role::Leader(_) => true,
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {
                self.leader_heard.is_some_and(|ticks| ticks < self.config.election_ticks)
            }
        };
        live && (!transfer || P::plants(Bug::StickyDuringTransfer)) && !P::plants(Bug::NotSticky)
    }

    /// Asks all voters whether they would vote for this node.
    fn ask_around(&mut self) {
        let Some(_) = self.role_edge(RoleEvent::TimedOut) else { return };
        self.refuse_forwarded();
        let votes = BTreeMap::from([(self.config.id, true)]);
        self.role = Role::PreCandidate(Ballot { votes });
        self.leader_heard = None;
        let last = self.log.last();
        for voter in self.other_voters() {
            self.send(voter, Message::PreVote { last });
        }
        self.count_votes();
    }

    /// The voters of the acting configuration, without this node.
    pub(super) fn other_voters(&self) -> Vec<NodeId> {
        let configuration = &self.configuration().1;
        let others = configuration.members().keys().copied();
        others.filter(|id| *id != self.config.id && configuration.is_voter(*id)).collect()
    }

    /// Raises the term and asks for votes.
    fn campaign(&mut self, fact: RoleEvent, transfer: bool) {
        self.set_hard_state(HardState { term: self.hard.term.next(), vote: Some(self.config.id) });
        self.role_edge(fact);
        self.reset_election_clock();
        self.leader_heard = None;
        self.role = Role::Candidate(Ballot::default());
        let last = self.log.last();
        for voter in self.other_voters() {
            self.promise(voter, Message::Vote { last, transfer });
        }
        if P::plants(Bug::RequestVoteBeforeDurable) {
            self.count_vote(self.config.id, true);
        }
    }

    fn set_hard_state(&mut self, hard: HardState) {
        self.hard = hard;
        self.durability.hard_changed();
    }

    /// Its own vote counts once it is durable, as every other's.
    pub(super) fn count_own_vote(&mut self) {
        if self.durability.hard() == self.hard {
            self.count_vote(self.config.id, true);
        }
    }

    fn count_vote(&mut self, voter: NodeId, granted: bool) {
        match &mut self.role {
            Role::PreCandidate(ballot) | Role::Candidate(ballot) => {
                ballot.votes.entry(voter).or_insert(granted);
            }
            Role::Follower(_) | Role::Leader(_) => return,
        }
        self.count_votes();
    }

    fn count_votes(&mut self) {
        let (ballot, pre) = match &self.role {
            Role::PreCandidate(ballot) => (ballot, true),
            Role::Candidate(ballot) => (ballot, false),
            Role::Follower(_) | Role::Leader(_) => return,
        };
        let configuration = &self.configuration().1;
        let mut tally = configuration.tally(|id| ballot.votes.get(&id).copied());
        if P::plants(Bug::NonVoterCampaigns) && configuration.voters().is_empty() {
            tally = Tally::Open;
        }
        match tally {
            Tally::Open => {}
            Tally::Lost => {
                self.role_edge(RoleEvent::VoteLost);
                self.become_follower();
            }
            Tally::Won if pre => self.campaign(RoleEvent::PreVoteWon, false),
            Tally::Won => self.become_leader(),
        }
    }

    /// Waits for a leader, in the present term.
    pub(super) fn become_follower(&mut self) {
        self.end_leadership();
        self.role = Role::Follower(Follower::default());
        self.leader_heard = None;
        // A turn that is near stays where it is: turns that move with each refusal would come to meet those of others.
        if self.hurried == 0 || self.election_clock + self.round() < self.election_timeout {
            self.reset_election_clock();
            self.hurry(self.round());
        }
    }

    /// Follows the leader that was just heard.
    pub(super) fn heed_leader(&mut self) {
        if self.role_edge(RoleEvent::LeaderHeard).is_some() {
            self.become_follower();
        }
    }

    /// Somebody is at a higher term.
    pub(super) fn adopt_term(&mut self, term: Term) {
        self.refuse_forwarded();
        self.set_hard_state(HardState { term, vote: None });
        self.role_edge(RoleEvent::HigherTerm);
        self.become_follower();
    }

    fn become_leader(&mut self) {
        self.role_edge(RoleEvent::VoteWon);
        self.hurried = 0;
        let first = self.log.last().index.next();
        self.leader_heard = None;
        let uncommitted = self.log.iter_from(self.commit.next()).map(|(_, entry)| entry.bytes()).sum();
        self.role = Role::Leader(Box::new(Leader::new(first, uncommitted)));
        self.add_peers();
        self.append_own_term();
    }

    /// Leaves the office, if it was held.
    pub(super) fn resign(&mut self, fact: RoleEvent) {
        if self.role_edge(fact).is_some() {
            self.become_follower();
        }
    }

    /// Would this node vote for the sender in the term `asked`, which is the one after the sender's? Only questions of the
    /// own term or a higher one come here, so that term is new to this node as well.
    pub(super) fn receive_pre_vote(&mut self, from: NodeId, asked: Term, last: EntryId) {
        let newer = last >= self.vote_end() || P::plants(Bug::VoteIgnoresLog);
        if !self.may_vote() {
            self.drop_message(DropCause::MayNotVote);
        }
        let granted = !self.sticks_to_leader(false) && self.may_vote() && newer;
        self.send(from, Message::PreVoteReply { asked, granted });
    }

    pub(super) fn receive_pre_vote_reply(&mut self, from: NodeId, asked: Term, granted: bool) {
        match &self.role {
            Role::PreCandidate(_) if asked == self.hard.term.next() => self.count_vote(from, granted),
            Role::PreCandidate(_) | Role::Follower(_) | Role::Candidate(_) | Role::Leader(_) => {
                self.drop_message(DropCause::NotAsked);
            }
        }
    }

    pub(super) fn receive_vote(&mut self, from: NodeId, last: EntryId) {
        let free = self.hard.vote.is_none_or(|vote| vote == from) || P::plants(Bug::VotesTwice);
        // Whoever knows the leader of this term needs no other; and a candidate has voted for itself.
        let waiting = self.leader().is_none() && !matches!(self.role, Role::Candidate(_));
        let newer = last >= self.vote_end() || P::plants(Bug::VoteIgnoresLog);
        if !self.may_vote() {
            self.drop_message(DropCause::MayNotVote);
        }
        if !(free && waiting && newer && self.may_vote()) {
            self.send(from, Message::VoteReply { granted: false });
            return;
        }
        if self.hard.vote != Some(from) {
            let vote = HardState { vote: Some(from), ..self.hard };
            if P::plants(Bug::VoteNotPersisted) {
                self.hard = vote;
            } else {
                self.set_hard_state(vote);
            }
        }
        self.election_clock = 0;
        self.promise(from, Message::VoteReply { granted: true });
    }

    pub(super) fn receive_vote_reply(&mut self, from: NodeId, granted: bool) {
        match &self.role {
            Role::Candidate(_) => {
                if !granted {
                    // Two tried at once after all. Not on silence: a slow disk would abandon its own candidacy each time.
                    self.hurry(self.round() + self.turns_before(None) * REFUSED_STEP_TICKS);
                }
                self.count_vote(from, granted);
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Leader(_) => {
                self.drop_message(DropCause::NotAsked);
            }
        }
    }

    /// The leader hands its office over: campaign at once, without asking around.
    pub(super) fn receive_timeout_now(&mut self, last: EntryId) {
        if last != self.log.last() || !self.may_campaign() {
            self.drop_message(DropCause::NotAsked);
            return;
        }
        self.refuse_forwarded();
        self.campaign(RoleEvent::ToldToTakeOver, true);
    }

    /// What [`Bug::TimeoutNowUnbound`] does.
    pub(super) fn take_over_unbound(&mut self) {
        if matches!(self.role, Role::Follower(_)) && self.may_campaign() {
            self.campaign(RoleEvent::ToldToTakeOver, true);
        }
    }

    /// The machine of the leader answers and its process does not: nobody has to wait for it.
    pub(super) fn peer_refused(&mut self, id: NodeId) {
        self.peer_lost(id);
        let Role::Follower(follower) = &mut self.role else { return };
        if follower.leader != Some(id) {
            return;
        }
        self.leader_heard = None;
        self.hurried = self.hurried_attempts();
        // All followers learn it at once, and two that try at once share the votes: so one after the other, by their numbers.
        self.hurry(1 + self.turns_before(Some(id)) * REFUSED_STEP_TICKS);
    }
}

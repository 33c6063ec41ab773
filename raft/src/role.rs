//! Machine 02: the role of a node, and the data that each role has.
//!
//! The table says which role follows from which fact; the votes, the clocks and the progress of the peers live in the role
//! that needs them, so that no follower holds a leader's data, and none of it outlives an election.

use std::collections::BTreeMap;

use holdfast_machine::{Machine, Verdict, numbered};

use crate::core::leader::Leader;
use crate::{Index, NodeId, Stretch};

numbered! {
    /// What a node is in its term.
    pub enum RoleState: u8, "S" {
        /// Follows a leader, or waits for one.
        Follower = 1,
        /// Asks whether it would be elected, without disturbing anybody.
        PreCandidate = 2,
        /// Asks for votes in a new term.
        Candidate = 3,
        /// Won an election: the only node that appends in this term.
        Leader = 4,
    }
}

numbered! {
    /// A fact about elections.
    pub enum RoleEvent: u8, "E" {
        /// No leader was heard for an election timeout, or the election took that long, and this node may campaign.
        TimedOut = 1,
        /// A quorum would vote for this node.
        PreVoteWon = 2,
        /// A quorum voted for this node, its own vote being durable.
        VoteWon = 3,
        /// No quorum can vote for this node any more in this attempt.
        VoteLost = 4,
        /// Somebody is at a higher term.
        HigherTerm = 5,
        /// A leader of the own term was heard.
        LeaderHeard = 6,
        /// The leader has no answer of a quorum that is younger than an election timeout.
        QuorumLost = 7,
        /// The leader's own disk took too long.
        DiskStalled = 8,
        /// The leader of the own term told this node to take over, and its log is the leader's.
        ToldToTakeOver = 9,
        /// A configuration without the leader is committed.
        VoteTaken = 10,
    }
}

numbered! {
    /// A change of role.
    pub enum RoleEdge: u8, "T" {
        /// Ask all voters whether they would vote for this node.
        AskAround = 1,
        /// Ask again: the answers did not suffice in time.
        AskAgain = 2,
        /// Raise the term, vote for itself, and ask for votes once that is durable.
        Campaign = 3,
        /// Wait: somebody else is better placed.
        StandBack = 4,
        /// Follow the leader that won this term.
        HeedLeader = 5,
        /// Forget this term's vote and leader, and wait in the new one.
        AdoptTerm = 6,
        /// Campaign at once: the leader hands over.
        TakeOver = 7,
        /// Nobody won in time: ask around again before raising the term once more.
        StartOver = 8,
        /// Lead: append an empty entry and replicate.
        WinElection = 9,
        /// Stop leading: a higher term exists.
        GiveWay = 10,
        /// Stop leading: whoever is cut off from a quorum only delays its clients.
        ResignWithoutQuorum = 11,
        /// Stop leading: writes wait for this node's disk.
        ResignStalled = 12,
        /// Stop leading: the cluster goes on without this node.
        ResignRemoved = 13,
    }
}

/// Machine 02.
#[derive(Debug)]
pub struct RoleMachine;

impl Machine for RoleMachine {
    const NUMBER: u8 = 2;
    const NAME: &'static str = "raft-role";
    const INITIAL: RoleState = RoleState::Follower;
    const FINAL: &'static [RoleState] = &[];

    type State = RoleState;
    type Event = RoleEvent;
    type Edge = RoleEdge;

    fn next(state: RoleState, event: RoleEvent) -> Verdict<RoleEdge> {
        use RoleEdge as T;
        use RoleEvent as E;
        use RoleState as S;
        use Verdict::{Never, Stay, Take};
        const NOT_ASKED: &str = "votes are counted by the role that asked for them";
        const NOT_LEADING: &str = "only a leader watches this";
        const HEEDED: &str = "the leader that says so was heeded first";
        match (state, event) {
            (S::Follower, E::TimedOut) => Take(T::AskAround),
            (S::PreCandidate, E::TimedOut) => Take(T::AskAgain),
            (S::Candidate, E::TimedOut) => Take(T::StartOver),
            (S::Leader, E::TimedOut) => Never("a leader counts its quorum instead"),

            (S::PreCandidate, E::PreVoteWon) => Take(T::Campaign),
            (S::Follower | S::Candidate | S::Leader, E::PreVoteWon) => Never(NOT_ASKED),

            (S::Candidate, E::VoteWon) => Take(T::WinElection),
            (S::Follower | S::PreCandidate | S::Leader, E::VoteWon) => Never(NOT_ASKED),

            (S::PreCandidate | S::Candidate, E::VoteLost) => Take(T::StandBack),
            (S::Follower | S::Leader, E::VoteLost) => Never(NOT_ASKED),

            (S::Follower | S::PreCandidate | S::Candidate, E::HigherTerm) => Take(T::AdoptTerm),
            (S::Leader, E::HigherTerm) => Take(T::GiveWay),

            (S::Follower, E::LeaderHeard) => Stay("it follows already"),
            (S::PreCandidate | S::Candidate, E::LeaderHeard) => Take(T::HeedLeader),
            (S::Leader, E::LeaderHeard) => {
                Never("a second leader of one term is dropped and raised as an alarm")
            }

            (S::Leader, E::QuorumLost) => Take(T::ResignWithoutQuorum),
            (S::Leader, E::DiskStalled) => Take(T::ResignStalled),
            (S::Leader, E::VoteTaken) => Take(T::ResignRemoved),
            (S::Follower | S::PreCandidate | S::Candidate, E::QuorumLost | E::DiskStalled | E::VoteTaken) => {
                Never(NOT_LEADING)
            }

            (S::Follower, E::ToldToTakeOver) => Take(T::TakeOver),
            (S::PreCandidate | S::Candidate, E::ToldToTakeOver) => Never(HEEDED),
            (S::Leader, E::ToldToTakeOver) => Never("a leader obeys no leader of its own term"),
        }
    }

    fn target(edge: RoleEdge) -> RoleState {
        use RoleEdge as T;
        match edge {
            T::AskAround | T::AskAgain | T::StartOver => RoleState::PreCandidate,
            T::Campaign | T::TakeOver => RoleState::Candidate,
            T::WinElection => RoleState::Leader,
            T::StandBack
            | T::HeedLeader
            | T::AdoptTerm
            | T::GiveWay
            | T::ResignWithoutQuorum
            | T::ResignStalled
            | T::ResignRemoved => RoleState::Follower,
        }
    }
}

/// The role, with what only this role knows.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    Follower(Follower),
    PreCandidate(Ballot),
    Candidate(Ballot),
    Leader(Box<Leader>),
}

impl Role {
    pub(crate) fn state(&self) -> RoleState {
        match self {
            Self::Follower(_) => RoleState::Follower,
            Self::PreCandidate(_) => RoleState::PreCandidate,
            Self::Candidate(_) => RoleState::Candidate,
            Self::Leader(_) => RoleState::Leader,
        }
    }
}

/// What a follower knows of its leader.
#[derive(Clone, Debug, Default)]
pub(crate) struct Follower {
    /// The leader of this term, once it was heard.
    pub(crate) leader: Option<NodeId>,
    /// Up to here the log was compared with this leader's, and equals it. Only that may be acknowledged or committed.
    pub(crate) verified: Index,
    /// An acknowledgement is owed, for appends of this stretch.
    pub(crate) owes_ack: Option<Stretch>,
}

/// Who said what to a candidate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ballot {
    pub(crate) votes: BTreeMap<NodeId, bool>,
}

//! Machine 04: how far a change of members has come, as this node's log shows it.
//!
//! A configuration acts from the moment its entry is appended, is reverted when the entry is truncated, and after a
//! snapshot is the snapshot's: so the state here is a function of the log and the commit index, on every node, and a test
//! compares it with what a recomputation from scratch gives.

use std::sync::Arc;

use holdfast_machine::{Machine, Verdict, numbered};

use crate::{Configuration, Index};

numbered! {
    /// How far a change of members has come.
    pub enum MembershipState: u8, "S" {
        /// The acting configuration is committed and not joint.
        Stable = 1,
        /// A configuration with the same voters is appended and not committed.
        Adjusting = 2,
        /// A joint configuration is appended and not committed.
        Entering = 3,
        /// A joint configuration is committed: the leader ends it.
        Joint = 4,
        /// The configuration that ends a joint one is appended and not committed.
        Leaving = 5,
    }
}

numbered! {
    /// A fact about the configurations in the log.
    pub enum MembershipEvent: u8, "E" {
        /// A configuration with the same voters was appended.
        AdjustmentAppended = 1,
        /// A joint configuration was appended.
        JointAppended = 2,
        /// The end of a joint configuration was appended.
        FinalAppended = 3,
        /// The acting configuration is committed.
        Committed = 4,
        /// After a truncation, a snapshot or a start, what acts is committed and not joint.
        FoundStable = 5,
        /// After one of these, what acts is an uncommitted configuration with the same voters.
        FoundAdjusting = 6,
        /// After one of these, what acts is an uncommitted joint configuration.
        FoundEntering = 7,
        /// After one of these, what acts is a committed joint configuration.
        FoundJoint = 8,
        /// After one of these, what acts is the uncommitted end of a joint configuration.
        FoundLeaving = 9,
    }
}

numbered! {
    /// A step of a change of members.
    pub enum MembershipEdge: u8, "T" {
        /// Learners come, go, or change.
        Adjust = 1,
        /// From here on both halves decide.
        EnterJoint = 2,
        /// Both halves know of each other: the old one may be left.
        CommitJoint = 3,
        /// From here on the new half decides alone.
        LeaveJoint = 4,
        /// The change is done.
        Complete = 5,
        /// Act on a committed configuration again.
        RevertToStable = 6,
        /// Act on an uncommitted adjustment again.
        RevertToAdjusting = 7,
        /// Act on an uncommitted joint configuration again.
        RevertToEntering = 8,
        /// Act on a committed joint configuration again.
        RevertToJoint = 9,
        /// Act on the uncommitted end of a joint configuration again.
        RevertToLeaving = 10,
    }
}

/// Machine 04.
#[derive(Debug)]
pub struct MembershipMachine;

impl Machine for MembershipMachine {
    const NUMBER: u8 = 4;
    const NAME: &'static str = "membership";
    const INITIAL: MembershipState = MembershipState::Stable;
    const FINAL: &'static [MembershipState] = &[];

    type State = MembershipState;
    type Event = MembershipEvent;
    type Edge = MembershipEdge;

    fn next(state: MembershipState, event: MembershipEvent) -> Verdict<MembershipEdge> {
        use MembershipEdge as T;
        use MembershipEvent as E;
        use MembershipState as S;
        use Verdict::{Never, Stay, Take};
        const FROM_ONE: &str = "a log shows the end of a joint configuration only behind its beginning";
        const TO_JOINT: &str = "a joint configuration is followed by its end, and by nothing else";
        const SAME: &str = "what was cut or covered was not what acts";
        match (state, event) {
            // A follower sees entries before it hears that they are committed, so for it the next change may follow an
            // uncommitted one: the leader knew better.
            (S::Stable | S::Adjusting | S::Leaving, E::AdjustmentAppended) => Take(T::Adjust),
            (S::Stable | S::Adjusting | S::Leaving, E::JointAppended) => Take(T::EnterJoint),
            (S::Entering | S::Joint, E::AdjustmentAppended | E::JointAppended) => Never(TO_JOINT),
            (S::Entering | S::Joint, E::FinalAppended) => Take(T::LeaveJoint),
            (S::Stable | S::Adjusting | S::Leaving, E::FinalAppended) => Never(FROM_ONE),

            (S::Adjusting | S::Leaving, E::Committed) => Take(T::Complete),
            (S::Entering, E::Committed) => Take(T::CommitJoint),
            (S::Stable | S::Joint, E::Committed) => Stay("it was known"),

            (S::Stable, E::FoundStable) => Stay(SAME),
            (S::Adjusting | S::Entering | S::Joint | S::Leaving, E::FoundStable) => Take(T::RevertToStable),
            (S::Adjusting, E::FoundAdjusting) => Stay(SAME),
            (S::Stable | S::Entering | S::Joint | S::Leaving, E::FoundAdjusting) => {
                Take(T::RevertToAdjusting)
            }
            (S::Entering, E::FoundEntering) => Stay(SAME),
            (S::Stable | S::Adjusting | S::Joint | S::Leaving, E::FoundEntering) => Take(T::RevertToEntering),
            (S::Joint, E::FoundJoint) => Stay(SAME),
            (S::Stable | S::Adjusting | S::Entering | S::Leaving, E::FoundJoint) => Take(T::RevertToJoint),
            (S::Leaving, E::FoundLeaving) => Stay(SAME),
            (S::Stable | S::Adjusting | S::Entering | S::Joint, E::FoundLeaving) => Take(T::RevertToLeaving),
        }
    }

    fn target(edge: MembershipEdge) -> MembershipState {
        use MembershipEdge as T;
        match edge {
            T::Complete | T::RevertToStable => MembershipState::Stable,
            T::Adjust | T::RevertToAdjusting => MembershipState::Adjusting,
            T::EnterJoint | T::RevertToEntering => MembershipState::Entering,
            T::CommitJoint | T::RevertToJoint => MembershipState::Joint,
            T::LeaveJoint | T::RevertToLeaving => MembershipState::Leaving,
        }
    }
}

/// What the appending of `next` behind `acting` means.
pub(crate) fn appended(acting: &Configuration, next: &Configuration) -> MembershipEvent {
    match (acting.is_joint(), next.is_joint()) {
        (_, true) => MembershipEvent::JointAppended,
        (true, false) => MembershipEvent::FinalAppended,
        (false, false) => MembershipEvent::AdjustmentAppended,
    }
}

/// The configurations that a log holds.
///
/// # Invariants
/// - Indices ascend strictly.
/// - The last one acts; it equals the last configuration entry of the log, or `base` if there is none.
#[derive(Clone, Debug)]
pub(crate) struct Configurations {
    /// In force where the log begins: empty on a node that has heard of none.
    base: (Index, Arc<Configuration>),
    /// Those whose entries the log holds.
    later: Vec<(Index, Arc<Configuration>)>,
}

impl Configurations {
    pub(crate) fn new(base: (Index, Arc<Configuration>)) -> Self {
        Self { base, later: Vec::new() }
    }

    /// The one in force at the end of the log.
    pub(crate) fn acting(&self) -> &(Index, Arc<Configuration>) {
        self.later.last().unwrap_or(&self.base)
    }

    /// The one in force at `index`, which is not before the base.
    pub(crate) fn at(&self, index: Index) -> &(Index, Arc<Configuration>) {
        let behind = self.later.partition_point(|(at, _)| *at <= index);
        behind.checked_sub(1).map_or(&self.base, |at| &self.later[at])
    }

    /// All of them, the base first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &(Index, Arc<Configuration>)> {
        std::iter::once(&self.base).chain(&self.later)
    }

    pub(crate) fn append(&mut self, index: Index, configuration: Arc<Configuration>) {
        self.later.push((index, configuration));
    }

    /// Entries from `first` on are gone.
    pub(crate) fn truncate(&mut self, first: Index) {
        self.later.retain(|(at, _)| *at < first);
    }

    /// Entries up to `through` are not held any more: the one in force there becomes the base.
    pub(crate) fn trim(&mut self, through: Index) {
        self.base = self.at(through).clone();
        self.later.retain(|(at, _)| *at > through);
    }

    /// What the state of machine 04 is, recomputed: the acting one, compared with the one before it and the commit index.
    pub(crate) fn found(&self, commit: Index) -> MembershipEvent {
        let (index, acting) = self.acting();
        let committed = *index <= commit;
        match (acting.is_joint(), committed) {
            (false, true) => MembershipEvent::FoundStable,
            (true, true) => MembershipEvent::FoundJoint,
            (true, false) => MembershipEvent::FoundEntering,
            (false, false) => {
                let before = self.at(index.previous());
                if before.1.is_joint() {
                    MembershipEvent::FoundLeaving
                } else {
                    MembershipEvent::FoundAdjusting
                }
            }
        }
    }
}

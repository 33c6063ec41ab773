//! What the loop of a node counts for `/metrics` beside what the node itself counts: edges of machines, and how long a
//! heartbeat takes there and back.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use hdrhistogram::Histogram;
use holdfast_machine::{Machine, Numbered};
use holdfast_raft::{
    Envelope, Event as CoreEvent, MembershipMachine, Message, NodeId, ProgressMachine, RoleMachine, Round,
    TransferMachine,
};
use holdfast_store::leases::LeaseMachine;
use holdfast_store::queues::{election::ElectionMachine, lock::LockMachine};
use holdfast_store::sessions::SessionMachine;

use crate::node::leadership::LeadershipMachine;
use crate::node::{Node, NodeEvent};
use crate::watch::machine::WatchMachine;

/// An edge of a machine, as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EdgeName {
    /// Number of the machine's page.
    pub(crate) machine: u8,
    /// Its name.
    pub(crate) machine_name: &'static str,
    /// Number of the edge.
    pub(crate) edge: u64,
    /// Its name.
    pub(crate) name: &'static str,
}

impl EdgeName {
    fn of<M: Machine>(edge: M::Edge) -> Self {
        let (machine, machine_name) = (M::NUMBER, M::NAME);
        Self { machine, machine_name, edge: edge.number().into(), name: edge.name() }
    }
}

/// How often each edge was taken since the process began.
#[derive(Debug, Default)]
pub(super) struct Edges(BTreeMap<EdgeName, u64>);

impl Edges {
    fn count<M: Machine>(&mut self, edge: M::Edge) {
        *self.0.entry(EdgeName::of::<M>(edge)).or_default() += 1;
    }

    /// Counts the edge that an event tells of, if it does.
    pub(super) fn hear(&mut self, event: &NodeEvent) {
        match event {
            NodeEvent::Raft(CoreEvent::Role(edge, _)) => self.count::<RoleMachine>(*edge),
            NodeEvent::Raft(CoreEvent::Progress(_, edge)) => self.count::<ProgressMachine>(*edge),
            NodeEvent::Raft(CoreEvent::Membership(edge, _)) => self.count::<MembershipMachine>(*edge),
            NodeEvent::Raft(CoreEvent::Transfer(edge, _)) => self.count::<TransferMachine>(*edge),
            NodeEvent::Leadership(edge, _) => self.count::<LeadershipMachine>(*edge),
            NodeEvent::Raft(
                CoreEvent::Alarm(..)
                | CoreEvent::HandedOver(_)
                | CoreEvent::TransferGivenUp(_)
                | CoreEvent::Healed(_),
            )
            | NodeEvent::Halted(_)
            | NodeEvent::SnapshotTaken { .. }
            | NodeEvent::SnapshotFailed(_)
            | NodeEvent::Reinstalled { .. }
            | NodeEvent::AuditFailed(_)
            | NodeEvent::AuditGoesOn
            | NodeEvent::Drift(_)
            | NodeEvent::DriftOver => {}
        }
    }

    /// All edges of the machines of a node, those too that were never taken: a metric that appears only when something
    /// goes wrong is missed by whoever watches for its change.
    pub(super) fn all(&self, node: &Node) -> BTreeMap<EdgeName, u64> {
        fn own<M: Machine>(edges: &Edges, all: &mut BTreeMap<EdgeName, u64>) {
            put::<M>(all, |edge| edges.0.get(&EdgeName::of::<M>(edge)).copied().unwrap_or(0));
        }
        fn put<M: Machine>(all: &mut BTreeMap<EdgeName, u64>, count: impl Fn(M::Edge) -> u64) {
            all.extend(M::Edge::ALL.iter().map(|edge| (EdgeName::of::<M>(*edge), count(*edge))));
        }
        let (mut all, store) = (BTreeMap::new(), node.store());
        own::<RoleMachine>(self, &mut all);
        own::<ProgressMachine>(self, &mut all);
        own::<MembershipMachine>(self, &mut all);
        own::<TransferMachine>(self, &mut all);
        own::<LeadershipMachine>(self, &mut all);
        put::<SessionMachine>(&mut all, |edge| store.session_edges(edge));
        put::<LeaseMachine>(&mut all, |edge| store.lease_edges(edge));
        put::<LockMachine>(&mut all, |edge| store.lock_edges(edge));
        put::<ElectionMachine>(&mut all, |edge| store.election_edges(edge));
        put::<WatchMachine>(&mut all, |edge| node.watches().edges(edge));
        all
    }
}

/// Who has led, as this node has seen.
#[derive(Debug, Default)]
pub(super) struct Leaders {
    last: Option<NodeId>,
    /// How often another one came behind one.
    pub(super) changes: u64,
}

impl Leaders {
    /// This one leads now, as far as is known.
    pub(super) fn see(&mut self, leader: Option<NodeId>) {
        if leader.is_some() && leader != self.last {
            self.changes += u64::from(self.last.is_some());
            self.last = leader;
        }
    }
}

/// Microseconds that are told apart at most: ten seconds.
const LONGEST_US: u64 = 10_000_000;

/// From a heartbeat to its answer, by peer. One heartbeat at a time is followed for each.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    under_way: BTreeMap<NodeId, (Round, u64)>,
    histograms: BTreeMap<u64, Histogram<u64>>,
}

impl RoundTrips {
    /// A message goes out now.
    pub(super) fn sent(&mut self, envelope: &Envelope, now: u64) {
        if let Message::Heartbeat { round, .. } = envelope.message {
            let (followed, at) = *self.under_way.entry(envelope.to).or_insert((round, now));
            // One whose answer was lost is followed for as long as any answer may take.
            if followed != round && now.saturating_sub(at) >= LONGEST_US {
                self.under_way.insert(envelope.to, (round, now));
            }
        }
    }

    /// A message came in now.
    pub(super) fn heard(&mut self, envelope: &Envelope, now: u64) {
        let Message::HeartbeatAck { round, .. } = envelope.message else { return };
        let Some((followed, at)) = self.under_way.get(&envelope.from).copied() else { return };
        if round < followed {
            return;
        }
        self.under_way.remove(&envelope.from);
        if round == followed {
            let histogram = match self.histograms.entry(envelope.from.0) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(room) => match Histogram::new_with_bounds(1, LONGEST_US, 2) {
                    Ok(empty) => room.insert(empty),
                    // These are bounds that a histogram can have.
                    Err(_) => return,
                },
            };
            let _ = histogram.record(now.saturating_sub(at).clamp(1, LONGEST_US));
        }
    }

    /// What was measured.
    pub(super) fn histograms(&self) -> &BTreeMap<u64, Histogram<u64>> {
        &self.histograms
    }
}

//! Messages that no node of this cluster would send: for another cluster, another life of it, another node, or with numbers
//! that are out of range or contradict each other. They are dropped, counted by their cause, and change nothing (F25).

use holdfast_raft::{
    Boot, COUNT_MAX, ClusterEpoch, ClusterId, DropCause, EntryId, Envelope, Index, Input, Message, NodeId,
    Term,
};

use super::ghost::{Verdict, holds};
use super::probes::Probe;
use super::rng::Rng;
use super::trace::{message, say};
use super::under_test::UnderTest;
use super::world::World;

/// The causes for which such a message may be dropped.
const CAUSES: [DropCause; 5] = [
    DropCause::OtherCluster,
    DropCause::OtherEpoch,
    DropCause::WrongAddressee,
    DropCause::Malformed,
    DropCause::Impossible,
];

fn drops(core: &dyn UnderTest) -> u64 {
    CAUSES.iter().map(|cause| core.drops(*cause)).sum()
}

/// Makes a message one that nobody may believe.
pub(super) fn spoil(envelope: &mut Envelope, rng: &mut Rng) {
    let far = Index(COUNT_MAX + rng.below(1000));
    match rng.below(10) {
        0 => envelope.cluster = ClusterId([7; 16]),
        1 => envelope.epoch = ClusterEpoch(envelope.epoch.0 + 1),
        2 => envelope.to = NodeId(envelope.to.0 + 1),
        3 => envelope.from = envelope.to,
        4 => envelope.term = Term(COUNT_MAX + rng.below(1000)),
        5 => envelope.term = Term(envelope.term.0 + (1 << 40)),
        6 => envelope.from_boot = Boot(0),
        7 => envelope.from = NodeId(0),
        8 => {
            let last = EntryId { term: envelope.term, index: far };
            envelope.message = match rng.below(4) {
                0 => Message::PreVote { last },
                1 => Message::Vote { last, transfer: true },
                2 => Message::TimeoutNow { last },
                _ => Message::AppendReject { prev: last, hint: EntryId::ZERO, stretch: Default::default() },
            };
        }
        _ => {
            // A vote for a log that ends in a term that has not come yet.
            let last = EntryId { term: envelope.term.next(), index: Index(5) };
            envelope.message = Message::Vote { last, transfer: false };
        }
    }
}

impl World {
    /// A node is told what nobody may believe.
    ///
    /// # Errors
    /// F25: it does.
    pub fn forge(&mut self, at: usize, envelope: Envelope) -> Verdict {
        say!(
            self,
            "n{} is told what is wrong: {} term {}",
            at + 1,
            message(&envelope.message),
            envelope.term
        );
        let node = &mut self.nodes[at];
        let Some(core) = &mut node.core else { return Ok(()) };
        let (before, count) = (core.view(), drops(&**core));
        let refused = core.step(Input::Receive(envelope)).is_err();
        let (after, now) = (core.view(), drops(&**core));
        self.ghost.probes.hit(Probe::ForgeryDropped);
        judge(at, before == after && !refused, now == count + 1)
    }
}

fn judge(at: usize, unchanged: bool, counted: bool) -> Verdict {
    holds!(unchanged, "F25 Malformed", "node {} believes what nobody of this cluster says", at + 1);
    holds!(counted, "F25 Malformed", "node {} does not count what it dropped", at + 1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::swarm::CLUSTER;

    #[test]
    fn what_is_believed_or_not_counted_is_found() {
        assert!(
            judge(0, true, true).is_ok() && judge(0, false, true).is_err() && judge(0, true, false).is_err()
        );
    }

    #[test]
    fn what_is_spoilt_is_not_what_it_was() {
        let rng = &mut Rng::new(3);
        let whole = Envelope {
            cluster: CLUSTER,
            epoch: ClusterEpoch(1),
            from: NodeId(1),
            from_boot: Boot(1),
            to: NodeId(2),
            to_boot: None,
            term: Term(3),
            message: Message::Notice,
        };
        for _ in 0..100 {
            let mut spoilt = whole.clone();
            spoil(&mut spoilt, rng);
            assert_ne!(spoilt, whole);
        }
    }
}

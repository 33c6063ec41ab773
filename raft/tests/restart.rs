//! A core that starts again from a disk on which a snapshot, a damaged log and an older hard state meet.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_raft::{
    Boot, ClusterId, Config, Configuration, Core, Damage, Entry, EntryId, HardState, Hole, Index, Member,
    NodeId, NodeUuid, Payload, Recovered, Rejected, SnapshotMeta, Term,
};

const COVERED: EntryId = EntryId::new(5, 8);

fn configuration() -> Arc<Configuration> {
    let member = |id: u64| Member { uuid: NodeUuid([id as u8; 16]), promote: false, context: Bytes::new() };
    Arc::new(Configuration::initial((1..=3).map(|id| (NodeId(id), member(id)))))
}

fn entry(term: u64) -> Entry {
    Entry { term: Term(term), payload: Payload::Empty }
}

fn hole(first: u64, last: u64) -> Hole {
    Hole { first: Index(first), last: Index(last) }
}

/// Entries 1 to 5 of term 2, a snapshot up to 8@5, holes, and what is readable behind.
fn start(term: u64, holes: Vec<Hole>, behind: &[(u64, u64)], claimed_end: EntryId) -> Result<Core, Rejected> {
    let behind = behind.iter().map(|(index, term)| (Index(*index), entry(*term))).collect();
    let recovered = Recovered {
        hard_state: HardState { term: Term(term), vote: None },
        snapshot: Some(SnapshotMeta { last: COVERED, configuration: (Index(1), configuration()), bytes: 1 }),
        entries: std::iter::repeat_with(|| entry(2)).take(5).collect(),
        damage: Some(Damage { holes, behind, claimed_end, trustworthy: true }),
        ..Recovered::default()
    };
    Core::new(Config::new(ClusterId([1; 16]), NodeId(1), NodeUuid([1; 16]), Boot(2), 1), recovered)
}

#[test]
fn what_is_readable_behind_a_snapshot_is_kept_although_there_is_a_hole_before_its_end() {
    let core = start(5, vec![hole(6, 6)], &[(7, 5), (8, 5), (9, 5), (10, 5)], EntryId::new(5, 10)).unwrap();
    assert_eq!((core.prev(), core.last()), (COVERED, EntryId::new(5, 10)));
    assert!(core.damaged(), "one that nobody compared with a leader's log is not whole");
}

#[test]
fn a_branch_that_the_snapshot_ended_does_not_keep_the_node_from_starting() {
    let holes = vec![hole(6, 8), hole(11, 11)];
    let core = start(5, holes, &[(9, 3), (10, 3)], EntryId::new(3, 11)).unwrap();
    assert_eq!((core.prev(), core.last()), (COVERED, COVERED));
}

#[test]
fn the_term_of_a_snapshot_does_not_prove_that_the_hard_state_is_lost() {
    let core = start(4, vec![hole(6, 9)], &[(10, 4)], EntryId::new(4, 10)).unwrap();
    assert!(!core.hard_state_lost());
    assert_eq!(
        (core.term(), core.vote()),
        (Term(5), None),
        "the snapshot's term is known, and nobody has its vote"
    );
}

#[test]
fn a_log_of_a_later_term_proves_that_the_hard_state_is_lost() {
    let rejected = start(4, vec![hole(6, 9)], &[(10, 6)], EntryId::new(6, 10)).unwrap_err();
    assert_eq!(rejected, Rejected::HardStateOlder { hard_state: Term(4), log: Term(6) });
}

#[test]
fn every_configuration_on_the_way_of_a_change_can_be_put_together_from_its_parts() {
    use holdfast_raft::Change;
    let first = configuration();
    let member = Member { uuid: NodeUuid([4; 16]), promote: false, context: Bytes::new() };
    let learner = first.plan(&Change::AddLearner { id: NodeId(4), member }).unwrap();
    let change =
        Change::Reconfigure { promote: vec![NodeId(4)], demote: vec![NodeId(2)], remove: vec![NodeId(3)] };
    let joint = learner.plan(&change).unwrap();
    for configuration in [&*first, &learner, &joint, &joint.leave_joint()] {
        let parts = (configuration.voters().to_vec(), configuration.outgoing().to_vec());
        let members: BTreeMap<NodeId, Member> = configuration.members().clone();
        let again = Configuration::from_parts(parts.0, parts.1, members, configuration.removed().clone());
        assert_eq!(again.as_ref(), Ok(configuration), "{configuration}");
    }
}

//! Logs, disks, snapshots, and what never goes back.

use std::sync::Arc;

use holdfast_raft::{
    Committed, Entry, EntryId, HardState, Index, LogOp, NodeId, Payload, SnapshotMeta, Term,
};

use super::{Stage, violates};
use crate::raft::liveness::could_go_on;
use crate::raft::machine::content;
use crate::raft::node::Incoming;
use crate::raft::swarm::NODES_MAX;

#[test]
fn s10_what_goes_back() {
    let mut stage = Stage::with_leader();
    violates(stage.step(1, |puppet| puppet.view.term = Term(1)), "S10 Monotone");
    let mut stage = Stage::with_leader();
    stage.step(2, |puppet| puppet.view.vote = Some(NodeId(1))).unwrap();
    violates(stage.step(2, |puppet| puppet.view.vote = Some(NodeId(3))), "S10 Monotone");
    let mut stage = Stage::with_leader();
    violates(stage.commit(1, 1), "S10 Monotone");
    let mut stage = Stage::with_leader();
    violates(stage.step(1, |puppet| puppet.view.applied = Index(3)), "S10 Monotone");
    let mut stage = Stage::with_leader();
    stage.vote(2, 5, 1).unwrap();
    let older = HardState { term: Term(4), vote: None };
    violates(stage.ghost.judge_hard_state(&stage.nodes[1], older), "S10 Monotone");
}

#[test]
fn s8_a_disk_that_loses_what_is_committed() {
    let mut stage = Stage::with_leader();
    stage.ghost.shadows[1].log.truncate(2);
    let entry = |term| Entry { term: Term(term), payload: Payload::Empty };
    let append = |first, terms: &[u64]| LogOp::Append {
        first: Index(first),
        entries: terms.iter().map(|term| entry(*term)).collect(),
    };
    let node = &stage.nodes[1];
    let judge = |op| stage.ghost.judge_disk_op(node, &op);
    violates(judge(append(2, &[3])).map(|_| ()), "S8 QuorumLog");
    violates(judge(LogOp::Heal { whole: Index(1) }).map(|_| ()), "S8 QuorumLog");
    assert_eq!(judge(append(2, &[2, 3])), Ok(true), "written again, and more");
    assert_eq!(judge(append(3, &[3])), Ok(false));
}

#[test]
fn s8_a_disk_that_is_behind_a_log_that_has_the_entry_again() {
    let stage = Stage::with_leader();
    let other = Entry { term: Term(3), payload: Payload::Empty };
    let append = LogOp::Append { first: Index(2), entries: vec![other] };
    assert_eq!(stage.ghost.judge_disk_op(&stage.nodes[1], &append), Ok(true));
}

#[test]
fn s6_a_node_that_hands_out_something_else_or_out_of_order() {
    let mut stage = Stage::with_leader();
    let hand = |term, index, payload| Committed { id: EntryId::new(term, index), payload };
    violates(stage.ghost.judge_apply(&stage.nodes[0], &hand(2, 2, Payload::Empty)), "S6 StateMachineSafety");
    violates(stage.ghost.judge_apply(&stage.nodes[0], &hand(1, 1, Payload::Empty)), "S6 StateMachineSafety");
    let initial = Payload::Configuration(stage.puppets[0].configuration.clone());
    assert_eq!(stage.ghost.judge_apply(&stage.nodes[0], &hand(1, 1, initial)), Ok(()));
    stage.nodes[0].machine.applied = EntryId::new(2, 2);
    violates(stage.ghost.judge_state(&stage.nodes[0]), "S6 StateMachineSafety");
}

#[test]
fn d3_a_node_that_starts_with_something_else() {
    let mut stage = Stage::with_leader();
    stage.nodes[1].disk.slots.pop();
    violates(stage.ghost.judge_start(&stage.nodes[1]), "D3 Recovered");
    let mut stage = Stage::with_leader();
    stage.nodes[1].disk.hard_state = HardState { term: Term(6), vote: None };
    violates(stage.ghost.judge_start(&stage.nodes[1]), "S10 Monotone");
}

#[test]
fn s7_a_log_that_begins_behind_what_is_not_committed() {
    let mut stage = Stage::with_leader();
    let change = |puppet: &mut super::Puppet| {
        (puppet.view.prev, puppet.view.last) = (EntryId::new(2, 9), EntryId::new(2, 9));
        (puppet.covered, puppet.view.applied, puppet.view.commit) = (Index(9), Index(9), Index(9));
    };
    violates(stage.step(3, change), "S7 CommittedImmutable");
}

fn snapshot(stage: &Stage) -> (SnapshotMeta, Incoming) {
    let configuration = stage.ghost.configuration_at(Index(2)).clone();
    let meta = SnapshotMeta { last: EntryId::new(2, 2), configuration, bytes: 20 };
    let digest = stage.ghost.fact(Index(2)).unwrap().digest;
    let bytes = content(Index(2), digest, 20).to_vec();
    let incoming = Incoming { meta: meta.clone(), bytes, installing: false };
    (meta, incoming)
}

#[test]
fn f19_snapshots_that_are_not_whole() {
    let mut stage = Stage::with_leader();
    let (meta, mut incoming) = snapshot(&stage);
    assert_eq!(stage.ghost.judge_install(&stage.nodes[2], Some(&incoming), &meta), Ok(()));
    violates(stage.ghost.judge_install(&stage.nodes[2], None, &meta), "F19 SnapshotWhole");
    incoming.bytes[7] ^= 1;
    violates(stage.ghost.judge_install(&stage.nodes[2], Some(&incoming), &meta), "F19 SnapshotWhole");
    incoming.bytes.truncate(5);
    let node = &stage.nodes[2];
    assert_eq!(stage.ghost.judge_piece(node, Some(&incoming), &meta, 5), Ok(()));
    assert_eq!(stage.ghost.judge_piece(node, Some(&incoming), &meta, 0), Ok(()), "it begins anew");
    violates(stage.ghost.judge_piece(node, Some(&incoming), &meta, 4), "F19 SnapshotWhole");
    violates(stage.ghost.judge_piece(node, None, &meta, 5), "F19 SnapshotWhole");
    stage.ghost.judge_snapshot(&stage.nodes[2], Index(2)).unwrap();
    violates(stage.ghost.judge_snapshot(&stage.nodes[2], Index(1)), "S10 Monotone");
}

#[test]
fn m3_a_snapshot_with_another_configuration_and_one_that_takes_the_state_back() {
    let mut stage = Stage::with_leader();
    let (mut meta, mut incoming) = snapshot(&stage);
    stage.nodes[2].machine.applied = EntryId::new(2, 2);
    violates(stage.ghost.judge_install(&stage.nodes[2], Some(&incoming), &meta), "S10 Monotone");
    meta.configuration = (Index(2), Arc::default());
    incoming.meta = meta.clone();
    violates(stage.ghost.judge_install(&stage.nodes[2], Some(&incoming), &meta), "M3 ActingConfiguration");
}

#[test]
fn a_core_that_could_go_on_has_a_whole_voter_and_a_quorum_that_votes_for_it() {
    let mut stage = Stage::with_leader();
    let go_on = |stage: &Stage, ids: &[usize]| {
        let mut core = [false; NODES_MAX];
        ids.iter().for_each(|id| core[id - 1] = true);
        could_go_on(&stage.nodes, &stage.ghost, &core)
    };
    assert!(go_on(&stage, &[1, 2]) && go_on(&stage, &[1, 3]), "whoever has the newest log");
    assert!(!go_on(&stage, &[1]), "no quorum");
    // Node 3 lacks an entry: it may vote, and not lead.
    stage.nodes[0].disk.hard_state_lost = true;
    assert!(!go_on(&stage, &[1, 3]), "one of them counts for nothing, the other has an older log");
    assert!(go_on(&stage, &[1, 2, 3]) && go_on(&stage, &[2, 3]));
    let claimed_end = EntryId::new(2, 2);
    stage.nodes[2].disk.mark = Some(crate::raft::disk::Mark { claimed_end, trustworthy: false });
    assert!(!go_on(&stage, &[1, 2, 3]), "one without hard state, one barred by its damage");
    stage.nodes[2].disk.mark = Some(crate::raft::disk::Mark { claimed_end, trustworthy: true });
    assert!(go_on(&stage, &[2, 3]), "it may vote for who has what it claims");
    let claimed_end = EntryId::new(3, 4);
    stage.nodes[2].disk.mark = Some(crate::raft::disk::Mark { claimed_end, trustworthy: true });
    assert!(!go_on(&stage, &[2, 3]), "nobody has what it claims");
}

//! Elections, commits, configurations.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_raft::{
    Change, Configuration, Entry, EntryId, HardState, Index, NodeId, NodeUuid, Payload, RoleState, Term,
};

use super::{Stage, letter, violates};
use crate::raft::disk::{Mark, Slot};
use crate::raft::heard::{Heard, What};

fn joint(stage: &Stage, remove: u64) -> Configuration {
    let acting = &stage.puppets[0].configuration;
    let remove = vec![NodeId(remove)];
    acting.plan(&Change::Reconfigure { promote: vec![], demote: vec![], remove }).unwrap()
}

#[test]
fn s1_two_leaders_of_one_term() {
    let mut stage = Stage::with_leader();
    violates(
        stage.step(3, |puppet| (puppet.view.term, puppet.view.role) = (Term(2), RoleState::Leader)),
        "S1 ElectionSafety",
    );
}

#[test]
fn s2_two_votes_in_one_term_also_over_a_restart() {
    let mut stage = Stage::new(3);
    stage.vote(2, 2, 1).unwrap();
    stage.ghost.shadows[1].forget();
    violates(stage.vote(2, 2, 3), "S2 VoteOnce");
    let nothing = HardState { term: Term(2), vote: None };
    violates(stage.ghost.judge_hard_state(&stage.nodes[1], nothing), "S2 VoteOnce");
}

#[test]
fn s2_a_leader_without_a_quorum_of_durable_votes() {
    violates(Stage::new(3).elect(1, 2, &[1]), "S2 VoteOnce");
}

#[test]
fn s5_a_leader_that_lacks_what_is_committed() {
    let mut stage = Stage::with_leader();
    // Without the look ahead of M1b, which finds this before: node 2 loses what it has.
    stage.vote(2, 3, 3).unwrap();
    violates(stage.elect(3, 3, &[3]), "S5 LeaderCompleteness");
}

#[test]
fn s6_a_follower_that_commits_what_nobody_committed_or_something_else() {
    let mut stage = Stage::with_leader();
    let command = stage.command();
    stage.append(&[1, 2], 2, &command).unwrap();
    violates(stage.commit(2, 3), "S6 StateMachineSafety");
    let mut stage = Stage::with_leader();
    violates(stage.commit(3, 2), "S10 Monotone");
}

#[test]
fn s8_a_commit_that_is_not_durable_on_a_quorum() {
    let mut stage = Stage::with_leader();
    let command = stage.command();
    stage.append(&[1], 2, &command).unwrap();
    violates(stage.commit(1, 3), "S8 QuorumLog");
}

#[test]
fn s8_a_node_without_hard_state_does_not_count() {
    let mut stage = Stage::with_leader();
    let command = stage.command();
    stage.append(&[1, 2], 2, &command).unwrap();
    stage.nodes[1].disk.hard_state_lost = true;
    violates(stage.commit(1, 3), "S8 QuorumLog");
}

#[test]
fn s12_a_leader_that_counts_copies_of_an_entry_of_an_earlier_term() {
    let mut stage = Stage::new(3);
    stage.elect(1, 2, &[1, 2]).unwrap();
    stage.append(&[1, 2], 2, &Payload::Empty).unwrap();
    stage.follow(1, 3, 2).unwrap();
    stage.elect(1, 4, &[1, 2]).unwrap();
    violates(stage.commit(1, 2), "S12 CurrentTermCommit");
}

#[test]
fn s11_a_log_that_ends_later_and_has_something_else() {
    let mut stage = Stage::with_leader();
    // Node 3 has an entry of a later term at an index that is committed.
    stage.ghost.leaders.insert(Term(3), (NodeId(3), holdfast_raft::Boot(1)));
    violates(stage.append(&[3], 3, &Payload::Empty), "S11 MoreUpToDate");
}

#[test]
fn m1b_somebody_could_be_elected_without_what_is_committed() {
    let mut stage = Stage::with_leader();
    assert_eq!(stage.ghost.judge_all_electable(&stage.nodes), Ok(()));
    stage.nodes[1].disk.slots.pop();
    violates(stage.ghost.judge_all_electable(&stage.nodes), "M1b Electable");
}

#[test]
fn m1b_a_damaged_voter_that_is_not_trusted_elects_nobody() {
    let mut stage = Stage::with_leader();
    stage.nodes[1].disk.slots[1] = Slot::Hole;
    stage.nodes[1].disk.mark = Some(Mark { claimed_end: EntryId::new(1, 1), trustworthy: false });
    assert_eq!(stage.ghost.judge_all_electable(&stage.nodes), Ok(()));
    stage.nodes[1].disk.mark = Some(Mark { claimed_end: EntryId::new(1, 1), trustworthy: true });
    violates(stage.ghost.judge_all_electable(&stage.nodes), "M1b Electable");
}

#[test]
fn m1_consecutive_configurations_without_a_common_quorum() {
    let mut stage = Stage::with_leader();
    let two = joint(&stage, 3).leave_joint();
    let alone = |id: u64| {
        let member = two.members()[&NodeId(id)].clone();
        Payload::Configuration(Arc::new(Configuration::initial([(NodeId(id), member)])))
    };
    // 1 2 3, and then 2 alone: 1 and 3 are a quorum of the former.
    violates(stage.append(&[1], 2, &alone(2)), "M1 QuorumOverlap");
}

#[test]
fn m2_a_change_while_another_is_uncommitted_or_before_an_own_entry_is_committed() {
    let mut stage = Stage::with_leader();
    let next = joint(&stage, 3);
    stage.append(&[1], 2, &Payload::Configuration(Arc::new(next.clone()))).unwrap();
    let end = Payload::Configuration(Arc::new(next.leave_joint()));
    violates(stage.append(&[1], 2, &end), "M2 OneAtATime");
    let mut stage = Stage::new(3);
    stage.elect(1, 2, &[1, 2]).unwrap();
    let next = Payload::Configuration(Arc::new(joint(&stage, 3)));
    violates(stage.append(&[1], 2, &next), "M2 OneAtATime");
}

#[test]
fn m3_a_node_that_acts_on_something_else_than_its_log() {
    let mut stage = Stage::with_leader();
    let other = Arc::new(joint(&stage, 3));
    violates(
        stage.step(1, |puppet| {
            puppet.append(2, Payload::Empty);
            puppet.configuration = other;
        }),
        "M3 ActingConfiguration",
    );
}

#[test]
fn m4_ids_that_come_back() {
    let mut stage = Stage::with_leader();
    let before = stage.puppets[0].configuration.clone();
    let mut members = before.members().clone();
    members.get_mut(&NodeId(3)).unwrap().uuid = NodeUuid([9; 16]);
    let other =
        Configuration::from_parts(before.voters().to_vec(), vec![], members.clone(), Default::default());
    violates(stage.append(&[1], 2, &Payload::Configuration(Arc::new(other.unwrap()))), "M4 Ids");
    let without = Arc::new(joint(&stage, 3).leave_joint());
    let before = Arc::new(Configuration::default());
    assert_eq!(stage.ghost.judge_configuration(0, Index(9), &before, &without), Ok(()));
    let again = Arc::new(Configuration::initial(without.members().clone().into_iter().chain(members)));
    violates(stage.ghost.judge_configuration(0, Index(9), &without, &again), "M4 Ids");
}

#[test]
fn m4_a_leader_that_is_no_voter_or_not_whole() {
    let mut stage = Stage::new(3);
    let member = stage.puppets[0].configuration.members()[&NodeId(1)].clone();
    let without = Arc::new(Configuration::initial([(NodeId(1), member)]));
    stage.puppets[2].configuration = without.clone();
    stage.ghost.shadows[2].configurations = vec![(Index(1), without)];
    violates(stage.elect(3, 2, &[1, 2, 3]), "M4 NeverElected");
    let mut stage = Stage::new(3);
    stage.nodes[0].disk.hard_state_lost = true;
    violates(stage.elect(1, 2, &[2, 3]), "M4 NeverElected");
}

#[test]
fn f10_f11_a_leader_that_stays_without_quorum_or_disk() {
    let mut stage = Stage::with_leader();
    let long = 3 * stage.ghost.election_ticks;
    stage.nodes[0].ticks = long;
    assert_eq!(stage.hears(1, Heard::Tick, |_| ()), Ok(()));
    stage.nodes[0].ticks = long + 1;
    violates(stage.hears(1, Heard::Tick, |_| ()), "F11 CheckQuorum");
    let ack = letter(2, 2, What::AppendAck);
    assert_eq!(stage.hears(1, Heard::Letter(ack), |_| ()), Ok(()));
    assert_eq!(stage.hears(1, Heard::Tick, |_| ()), Ok(()));
    let persist = holdfast_raft::Persist { id: holdfast_raft::PersistId(1), hard_state: None, log: vec![] };
    stage.nodes[0].disk.pending.push_back(crate::raft::disk::Pending { due: 9, issued_at_tick: 0, persist });
    stage.nodes[0].ticks = stage.ghost.disk_stall_ticks + 2 * stage.ghost.election_ticks + 1;
    stage.ghost.shadows[0].heard_at = [stage.nodes[0].ticks; _];
    violates(stage.hears(1, Heard::Tick, |_| ()), "F10 DiskStall");
}

#[test]
fn f12_f18_a_voter_sticks_to_a_live_leader_unless_it_hands_over() {
    let vote = |transfer| Heard::Letter(letter(3, 3, What::Vote { last: EntryId::new(2, 2), transfer }));
    let mut stage = Stage::with_leader();
    violates(stage.hears(2, vote(false), |puppet| puppet.view.term = Term(3)), "F12 Stickiness");
    let mut stage = Stage::with_leader();
    violates(stage.hears(2, vote(true), |_| ()), "F18 TransferHeeded");
    let mut stage = Stage::with_leader();
    stage.step(2, |puppet| puppet.view.leader = None).unwrap();
    violates(stage.hears(2, vote(false), |_| ()), "S2 VoteConsidered");
}

#[test]
fn d2_entries_that_nobody_proposed_or_no_leader_wrote() {
    let mut stage = Stage::with_leader();
    violates(stage.append(&[1], 2, &Payload::Data(Bytes::from_static(b"whatever it is"))), "D2 NoPhantom");
    let mut stage = Stage::with_leader();
    let command = stage.command();
    stage.append(&[1], 2, &command).unwrap();
    violates(stage.append(&[1], 2, &command), "D2 NoPhantom");
    let mut stage = Stage::with_leader();
    violates(stage.append(&[2], 2, &Payload::Empty), "D2 NoPhantom");
}

#[test]
fn s3_a_leader_that_cuts_its_log() {
    let mut stage = Stage::with_leader();
    let command = stage.command();
    stage.append(&[1], 2, &command).unwrap();
    violates(stage.step(1, |puppet| puppet.cut(2)), "S3 LeaderAppendOnly");
}

#[test]
fn s4_two_logs_that_differ_below_an_entry_of_one_name() {
    let mut stage = Stage::with_leader();
    let command = stage.command();
    stage.append(&[1], 2, &command).unwrap();
    stage.follow(3, 2, 1).unwrap();
    let other = stage.command();
    violates(
        stage.step(3, |puppet| {
            puppet.append(2, Payload::Empty);
            puppet.entries.push(Entry { term: Term(2), payload: other });
            puppet.view.last = EntryId::new(2, 3);
        }),
        "S4 LogMatching",
    );
}

#[test]
fn s7_a_committed_entry_that_is_cut() {
    let mut stage = Stage::with_leader();
    violates(stage.step(2, |puppet| puppet.cut(1)), "S7 CommittedImmutable");
}

#[test]
fn s7_a_node_may_cut_what_was_committed_in_a_term_that_it_has_not_reached() {
    let mut stage = Stage::new(3);
    assert_eq!(stage.elect(1, 2, &[1, 2]), Ok(()));
    assert_eq!(stage.follow(2, 2, 1).and_then(|()| stage.follow(3, 2, 1)), Ok(()));
    assert_eq!(stage.append(&[1, 2, 3], 2, &Payload::Empty), Ok(()));
    assert_eq!(stage.commit(1, 2), Ok(()));
    stage.ghost.facts[2].committed_in = Term(3);
    assert_eq!(stage.step(3, |puppet| puppet.cut(1)), Ok(()));
}

#[test]
fn m4_a_voter_that_an_uncommitted_configuration_leaves_out_has_a_part_until_it_is_committed() {
    let mut stage = Stage::with_leader();
    let joint = joint(&stage, 3);
    let shadow = &mut stage.ghost.shadows[2];
    let end = Arc::new(joint.leave_joint());
    shadow.configurations.extend([(Index(3), Arc::new(joint)), (Index(4), end)]);
    assert!(!shadow.acting().1.is_voter(NodeId(3)));
    assert!(shadow.has_part(NodeId(3), Index(2)), "two configurations that it does not know committed");
    assert!(shadow.has_part(NodeId(3), Index(3)), "the one that leaves it out is not committed");
    assert!(!shadow.has_part(NodeId(3), Index(4)), "it is");
    assert!(!shadow.has_part(NodeId(4), Index(2)), "it never was a voter");
}

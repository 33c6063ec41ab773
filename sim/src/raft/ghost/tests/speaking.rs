//! Messages and reads.

use holdfast_raft::{
    Boot, ClusterEpoch, DropCause, EntryId, Envelope, Index, Message, NodeId, ReadId, ReadReady, Refusal,
    RoleState, Round, Stretch, Term,
};

use super::{Stage, letter, violates};
use crate::raft::ghost::Ghost;
use crate::raft::heard::{Heard, Letter, What};
use crate::raft::swarm::CLUSTER;
use crate::raft::under_test::Peer;

fn says(from: u64, to: u64, term: u64, message: Message) -> Envelope {
    Envelope {
        cluster: CLUSTER,
        epoch: ClusterEpoch(1),
        from: NodeId(from),
        from_boot: Boot(1),
        to: NodeId(to),
        to_boot: Some(Boot(1)),
        term: Term(term),
        message,
    }
}

impl Stage {
    fn sends(&mut self, envelope: &Envelope) -> super::Verdict {
        let node = &self.nodes[envelope.from.0 as usize - 1];
        self.ghost.judge_making(node, envelope)?;
        let promised = self.ghost.promised(node, &envelope.message);
        self.ghost.judge_sending(node, envelope, promised)
    }
}

#[test]
fn s2_a_vote_and_a_request_that_are_not_durable() {
    let mut stage = Stage::new(3);
    violates(stage.sends(&says(2, 1, 2, Message::VoteReply { granted: true })), "S2 VoteOnce");
    let request = Message::Vote { last: EntryId::new(1, 1), transfer: false };
    violates(stage.sends(&says(1, 2, 2, request)), "S2 VoteOnce");
    stage.vote(2, 2, 1).unwrap();
    assert_eq!(stage.sends(&says(2, 1, 2, Message::VoteReply { granted: true })), Ok(()));
    // A higher term is durable: no vote in a lower one can follow, but two may not have left.
    stage.vote(2, 4, 3).unwrap();
    assert_eq!(stage.sends(&says(2, 1, 3, Message::VoteReply { granted: true })), Ok(()));
    violates(stage.sends(&says(2, 3, 3, Message::VoteReply { granted: true })), "S2 VoteOnce");
}

#[test]
fn s9_an_acknowledgement_of_what_is_not_durable() {
    let mut stage = Stage::with_leader();
    let command = stage.command();
    stage.append(&[1, 2], 2, &command).unwrap();
    let ack = |matched| Message::AppendAck { matched: Index(matched), stretch: Stretch(1), counting: true };
    assert_eq!(stage.sends(&says(2, 1, 2, ack(3))), Ok(()));
    stage.nodes[1].disk.slots.pop();
    violates(stage.sends(&says(2, 1, 2, ack(3))), "S9 OwnDurable");
    violates(stage.sends(&says(2, 1, 2, ack(4))), "S9 OwnDurable");
    violates(stage.step(2, |puppet| puppet.view.durable = Index(3)), "S9 OwnDurable");
}

#[test]
fn m4_a_node_without_hard_state_counts_for_nothing() {
    let mut stage = Stage::with_leader();
    stage.vote(2, 3, 1).unwrap();
    stage.nodes[1].disk.hard_state_lost = true;
    let heartbeat = |counting| Message::HeartbeatAck { round: Round(1), counting };
    assert_eq!(stage.sends(&says(2, 1, 2, heartbeat(false))), Ok(()));
    violates(stage.sends(&says(2, 1, 2, heartbeat(true))), "M4 HardStateLost");
    violates(stage.sends(&says(2, 1, 3, Message::VoteReply { granted: true })), "M4 HardStateLost");
    let granted = Message::PreVoteReply { asked: Term(3), granted: true };
    violates(stage.sends(&says(2, 1, 2, granted)), "M4 HardStateLost");
}

#[test]
fn m4_a_barred_node_that_votes_and_a_stranger_that_asks() {
    let mut stage = Stage::new(3);
    stage.vote(2, 2, 1).unwrap();
    stage.nodes[1].view.may_vote = false;
    violates(stage.sends(&says(2, 1, 2, Message::VoteReply { granted: true })), "M4 Damaged");
    stage.ghost.shadows[2].cut(Index(0));
    violates(stage.sends(&says(3, 1, 1, Message::PreVote { last: EntryId::ZERO })), "M4 NeverElected");
    violates(stage.sends(&Envelope { from_boot: Boot(2), ..says(3, 1, 1, Message::Notice) }), "F15 Identity");
}

#[test]
fn f15_a_message_of_another_boot_that_changes_something() {
    let mut stage = Stage::with_leader();
    let old = Letter { to_boot: Some(Boot(7)), ..letter(3, 9, What::FromLeader) };
    violates(stage.hears(2, Heard::Letter(old), |puppet| puppet.view.term = Term(9)), "F15 ReplayNoOp");
    let mut stage = Stage::with_leader();
    let drops = Ghost::stale_drops(&stage.nodes[1]);
    violates(stage.ghost.judge_stale(&stage.nodes[1], &old, drops), "F15 ReplayNoOp");
    stage.hears(2, Heard::Letter(old), |puppet| puppet.drops = 1).unwrap();
    assert_eq!(stage.nodes[1].running().drops(DropCause::StaleSender), 1);
    assert_eq!(stage.ghost.judge_stale(&stage.nodes[1], &old, drops), Ok(()));
}

#[test]
fn f15_a_match_that_goes_back_or_outlives_a_boot() {
    let mut stage = Stage::with_leader();
    let peer = |matched| Peer { matched: Index(matched), boot: Some(Boot(1)) };
    let ack = Heard::Letter(letter(2, 2, What::AppendAck));
    stage.hears(1, ack, |puppet| puppet.peers = [(NodeId(2), peer(2))].into()).unwrap();
    violates(stage.hears(1, ack, |puppet| puppet.peers = [(NodeId(2), peer(1))].into()), "F15 MatchForward");
    let mut stage = Stage::with_leader();
    stage.hears(1, ack, |puppet| puppet.peers = [(NodeId(2), peer(2))].into()).unwrap();
    let anew = Letter { from_boot: Boot(2), ..letter(2, 2, What::Notice) };
    violates(stage.hears(1, Heard::Letter(anew), |_| ()), "F15 BootForgotten");
}

#[test]
fn f18_a_leader_of_a_higher_term_that_is_ignored() {
    let mut stage = Stage::with_leader();
    violates(stage.hears(2, Heard::Letter(letter(3, 3, What::FromLeader)), |_| ()), "F18 StrangerHeeded");
}

#[test]
fn f13_a_question_of_a_lower_term_that_is_not_answered() {
    let mut stage = Stage::with_leader();
    stage.hears(2, Heard::Letter(letter(3, 1, What::FromLeader)), |_| ()).unwrap();
    violates(stage.ghost.judge_answers(&stage.nodes[1]), "F13 Rejoin");
    stage.hears(2, Heard::Letter(letter(3, 1, What::FromLeader)), |_| ()).unwrap();
    stage.nodes[1].output.send_now.push(says(2, 3, 2, Message::Notice));
    assert_eq!(stage.ghost.judge_answers(&stage.nodes[1]), Ok(()));
}

#[test]
fn r3_an_order_to_campaign_that_is_not_from_the_leader_of_the_term() {
    let mut stage = Stage::with_leader();
    let order = Heard::Letter(letter(3, 2, What::TimeoutNow));
    let obey =
        |puppet: &mut super::Puppet| (puppet.view.term, puppet.view.role) = (Term(3), RoleState::Candidate);
    violates(stage.hears(2, order, obey), "R3 TimeoutNow");
    let mut stage = Stage::with_leader();
    assert_eq!(stage.hears(2, Heard::Letter(letter(1, 2, What::TimeoutNow)), obey), Ok(()));
}

fn ready(index: u64) -> ReadReady {
    ReadReady { id: ReadId(1), index: Index(index) }
}

#[test]
fn r1_a_read_without_evidence_too_old_or_not_asked_for() {
    let mut stage = Stage::with_leader();
    violates(stage.ghost.judge_ready(&stage.nodes[0], ready(2)), "R1 Asked");
    violates(stage.ghost.judge_refused(&stage.nodes[0], ReadId(1), Refusal::LeadershipLost), "R1 Asked");
    stage.ghost.now = 100;
    stage.ghost.note_read(&stage.nodes[0], ReadId(1));
    violates(stage.ghost.judge_ready(&stage.nodes[0], ready(1)), "R1 Fresh");
    let answer = |made| {
        let what = What::HeartbeatAck { round: Round(1), counting: true };
        Heard::Letter(Letter { made, ..letter(2, 2, what) })
    };
    stage.hears(1, answer(99), |_| ()).unwrap();
    stage.ghost.note_read(&stage.nodes[0], ReadId(1));
    violates(stage.ghost.judge_ready(&stage.nodes[0], ready(2)), "R1 Evidence");
    stage.hears(1, answer(100), |_| ()).unwrap();
    stage.ghost.note_read(&stage.nodes[0], ReadId(1));
    assert_eq!(stage.ghost.judge_ready(&stage.nodes[0], ready(2)), Ok(()));
}

#[test]
fn r1_an_answer_to_a_follower_without_evidence_and_one_before_the_own_term() {
    let mut stage = Stage::with_leader();
    stage.ghost.now = 100;
    let reply = says(1, 2, 2, Message::ReadIndexReply { batch: 4, index: Some(Index(2)) });
    violates(stage.ghost.judge_read_reply(&stage.nodes[0], &reply), "R1 Asked");
    stage.hears(1, Heard::Letter(letter(2, 2, What::ReadIndex { batch: 4 })), |_| ()).unwrap();
    violates(stage.ghost.judge_read_reply(&stage.nodes[0], &reply), "R1 Evidence");

    let mut stage = Stage::new(1);
    stage.elect(1, 2, &[1]).unwrap();
    stage.ghost.note_read(&stage.nodes[0], ReadId(1));
    violates(stage.ghost.judge_ready(&stage.nodes[0], ready(1)), "R1 OwnTerm");
}

#[test]
fn r2_a_read_that_is_served_too_early() {
    let mut stage = Stage::with_leader();
    violates(stage.ghost.judge_served(&stage.nodes[0], Index(2)), "R2 Applied");
    assert_eq!(stage.ghost.judge_served(&stage.nodes[0], Index(0)), Ok(()));
}

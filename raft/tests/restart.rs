//! A core that starts again from a disk on which a snapshot, a damaged log and an older hard state meet.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_raft::{
    Boot, ClusterEpoch, ClusterId, Config, Configuration, Core, Damage, Entry, EntryId, Envelope, HardState,
    Hole, Index, Input, LogOp, Member, Message, NoPlant, NodeId, NodeUuid, Output, Payload, Recovered,
    Rejected, RoleState, SnapshotMeta, Stretch, Term, invariants,
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

/// A log behind 8@3 up to 10@4 whose beginning, and the snapshot that stood for it, is lost.
fn without_beginning(trustworthy: bool) -> Core {
    let damage = Damage { holes: vec![], behind: vec![], claimed_end: EntryId::new(4, 10), trustworthy };
    let recovered = Recovered {
        hard_state: HardState { term: Term(5), vote: None },
        prev: EntryId::new(3, 8),
        entries: vec![entry(4), entry(4)],
        damage: Some(damage),
        ..Recovered::default()
    };
    Core::new(Config::new(ClusterId([1; 16]), NodeId(1), NodeUuid([1; 16]), Boot(2), 1), recovered).unwrap()
}

/// Gives it a message of node 2; returns what it wants done.
fn hears(core: &mut Core, message: Message) -> Output {
    let envelope = Envelope {
        cluster: ClusterId([1; 16]),
        epoch: ClusterEpoch(1),
        from: NodeId(2),
        from_boot: Boot(1),
        to: NodeId(1),
        to_boot: Some(Boot(2)),
        term: Term(5),
        message,
    };
    core.step(Input::Receive(envelope)).unwrap();
    let mut output = Output::default();
    core.flush(&mut output);
    invariants::check(core);
    output
}

#[test]
fn a_log_whose_beginning_is_lost_votes_by_the_end_that_it_had() {
    for (trustworthy, last, granted) in [
        (true, EntryId::new(4, 9), false),
        (true, EntryId::new(4, 10), true),
        (false, EntryId::new(4, 10), false),
    ] {
        let mut core = without_beginning(trustworthy);
        let said = hears(&mut core, Message::PreVote { last }).send_now;
        let reply = Message::PreVoteReply { asked: Term(6), granted };
        assert!(said.iter().any(|envelope| envelope.message == reply), "{trustworthy} {last}: {said:?}");
    }
}

/// Entries of these terms behind `prev`, from a leader that has committed 10.
fn append(prev: EntryId, terms: &[u64]) -> Message {
    Message::Append {
        prev,
        entries: terms.iter().map(|term| entry(*term)).collect(),
        commit: Index(10),
        established: true,
        stretch: Stretch(1),
    }
}

fn written(output: Output) -> Vec<LogOp> {
    output.persist.map(|persist| persist.log).unwrap_or_default()
}

#[test]
fn what_a_leader_sends_for_a_lost_beginning_is_held_in_memory_and_what_the_disk_has_behind_it_counts_again() {
    let mut core = without_beginning(true);
    assert_eq!((core.prev(), core.last()), (EntryId::ZERO, EntryId::ZERO), "nothing of it counts");
    for _ in 0..1_000 {
        core.step(Input::Tick).unwrap();
        let mut output = Output::default();
        core.flush(&mut output);
        assert_eq!((written(output), core.role()), (vec![], RoleState::Follower));
    }
    assert_eq!(
        written(hears(&mut core, append(EntryId::new(4, 10), &[5]))),
        [],
        "behind what does not count"
    );
    assert_eq!(written(hears(&mut core, append(EntryId::ZERO, &[2; 5]))), [], "the disk has no place for it");
    assert_eq!(written(hears(&mut core, append(EntryId::new(2, 5), &[2, 2, 2]))), [], "8 was of term 3");
    assert_eq!(core.last(), EntryId::new(2, 7));
    assert_eq!(
        written(hears(&mut core, append(EntryId::new(2, 5), &[2, 2, 3, 4, 4]))),
        [],
        "9 and 10 are on the disk"
    );
    let log = written(hears(&mut core, append(EntryId::new(4, 10), &[5])));
    assert!(matches!(&log[..], [LogOp::Append { first: Index(11), .. }]), "{log:?}");
    assert!(
        core.damaged() && !core.wants_snapshot(),
        "nothing stands for the beginning yet, nor is it applied"
    );
    core.step(Input::Applied(Index(9))).unwrap();
    assert!(core.wants_snapshot());
    assert!(core.step(Input::SnapshotReady { index: Index(9), bytes: 1 }).is_ok());
    let healed = written(hears(&mut core, append(EntryId::new(5, 11), &[])));
    assert!(matches!(&healed[..], [LogOp::Heal { whole: Index(11) }]), "{healed:?}");
    assert!(!core.damaged() && !core.wants_snapshot());
}

#[test]
fn a_snapshot_of_a_leader_that_ends_before_the_log_of_the_disk_begins_leaves_the_disk_alone() {
    for (last, reset) in [(EntryId::new(2, 6), false), (EntryId::new(3, 8), true), (EntryId::new(4, 9), true)]
    {
        let mut core = without_beginning(true);
        let meta = SnapshotMeta { last, configuration: (Index(1), configuration()), bytes: 1 };
        hears(&mut core, Message::SnapshotChunk { meta, offset: 0, data: Bytes::from_static(b"x") });
        core.step(Input::SnapshotInstalled { last, done: true }).unwrap();
        let mut output = Output::default();
        core.flush(&mut output);
        let log = written(output);
        assert_eq!(log.contains(&LogOp::Reset { last }), reset, "{last}: {log:?}");
        assert_eq!((core.prev(), core.damaged()), (last, true));
        if !reset {
            let log = written(hears(&mut core, append(last, &[2, 3])));
            assert_eq!(log, [], "up to where the disk begins");
            let log = written(hears(&mut core, append(EntryId::new(3, 8), &[4])));
            assert!(matches!(&log[..], [LogOp::Append { first: Index(9), .. }]), "{log:?}");
        }
    }
}

#[test]
fn a_log_that_begins_behind_its_snapshot_without_being_damaged_is_a_contradiction() {
    let recovered = Recovered {
        hard_state: HardState { term: Term(5), vote: None },
        prev: EntryId::new(3, 8),
        ..Recovered::default()
    };
    let config = Config::new(ClusterId([1; 16]), NodeId(1), NodeUuid([1; 16]), Boot(2), 1);
    assert!(matches!(Core::<NoPlant>::new(config, recovered), Err(Rejected::Contradiction(_))));
}

//! The log of a formed node: made once, read back whole, its damage never forgotten, and refused when it is gone.

mod storage_common;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_raft::formation::IdentityState;
use holdfast_raft::{
    Boot, ClusterEpoch, Config, Configuration, Core, Entry, EntryId, HardState, Hole, Index, LogOp, NoPlant,
    NodeId, Payload, Persist, PersistId, Recovered, SnapshotMeta, Term,
};
use holdfast_server::storage::{
    DamageMark, DataDir, GROUP, Identity, StorageError, clear_damage, encode_payload, initial_configuration,
    open_log, start_core, to_ops, with_snapshot,
};
use holdfast_wal::disk::FakeDisk;
use holdfast_wal::format::{Head, Kind};
use holdfast_wal::{Ending, Log, Op, OpenError, tools};
use storage_common::{FakeLog, NODE, Node, crashes, formed, formed_of, identity, mint, options, power_cuts};

fn first() -> Recovered {
    Recovered::formed(initial_configuration(&formed()).expect("addresses"))
}

fn data(term: u64, index: u64) -> Entry {
    let text = format!("\x01 entry {index} of term {term}");
    Entry { term: Term(term), payload: Payload::Data(Bytes::from(text)) }
}

fn append(first: u64, terms: &[u64]) -> LogOp {
    let entries = (first..).zip(terms).map(|(index, term)| data(*term, index)).collect();
    LogOp::Append { first: Index(first), entries }
}

fn voted(term: u64, vote: u64) -> Option<HardState> {
    Some(HardState { term: Term(term), vote: Some(NodeId(vote)).filter(|id| id.0 != 0) })
}

/// Writes a persist and makes it durable.
fn put(log: &mut FakeLog, hard_state: Option<HardState>, ops: Vec<LogOp>) {
    let persist = Persist { id: PersistId(1), hard_state, log: ops };
    log.append(&to_ops(persist).expect("envelopes")).expect("fits");
    log.sync().expect("syncs");
}

/// A node with entries 2 to 10 of term 2, and a vote in it. Each entry is durable by itself.
fn used() -> Node {
    let node = Node::with_log();
    let (mut log, ..) = node.start().expect("a log");
    put(&mut log, voted(2, 3), Vec::new());
    for index in 2..=10 {
        put(&mut log, None, vec![append(index, &[2])]);
    }
    drop(log);
    node.power_cut()
}

fn used_entries() -> Vec<Entry> {
    first().entries.into_iter().chain((2..=10).map(|index| data(2, index))).collect()
}

/// Flips a bit of the record of an entry.
fn flip(disk: &FakeDisk, index: u64, byte: u64) {
    flip_in(disk, byte, |head| head.is_entry() && head.index == index);
}

/// Flips a bit of the last such record.
fn flip_in(disk: &FakeDisk, byte: u64, wanted: impl Fn(&Head) -> bool) {
    let mut place = None;
    tools::dump(disk, &mut |line| {
        if let tools::Shown::Record { head, .. } = &line.shown
            && wanted(head)
        {
            place = Some((line.file.clone(), line.offset));
        }
    })
    .expect("a log");
    let (file, offset) = place.expect("it is there");
    disk.flip_bit(&file, (offset + byte) * 8 + 3);
}

const HEAD: u64 = 8;
const BODY: u64 = 90;

fn config(boot: u64) -> Config {
    let formed = formed();
    let mut config = Config::new(formed.cluster, NODE, formed.uuid, Boot(boot), 7);
    config.epoch = ClusterEpoch(1);
    config
}

#[test]
fn a_new_log_holds_exactly_the_first_term_and_the_first_entry() {
    let node = Node::new();
    let (log, recovered, report) = node.start().expect("an empty disk");
    assert_eq!(recovered, first());
    assert!(report.made && node.identity.borrow().log_made);
    let bounds = log.bounds(GROUP).expect("it was written to");
    assert_eq!((bounds.first, bounds.last, bounds.last_term), (1, 1, 1));
    drop(log);
    let (_, again, report) = node.power_cut().start().expect("a log");
    assert_eq!(again, first());
    assert!(!report.made && !report.news);
}

#[test]
fn a_crash_anywhere_in_the_making_of_the_log_is_made_good_by_the_next_start() {
    // Old identity or new, killed or cut off: the next start ends with the same log, and says so for good.
    let node = Node::new();
    let old = node.identity.borrow().clone();
    let images = crashes(&node.disk, 24, || drop(node.start().expect("an empty disk")));
    let new = node.identity.borrow().clone();
    assert!(!old.log_made && new.log_made);
    let mut finished = BTreeSet::new();
    for (crash, disk) in images {
        // The identity is stored after the log is durable: with the last image only it may be the new one.
        let identities = if crash.ends_with("the end") { vec![&old, &new] } else { vec![&old] };
        for identity in identities {
            let node = Node { identity: RefCell::new(identity.clone()), disk: disk.after_kill() };
            let (log, recovered, report) = node.start().unwrap_or_else(|error| panic!("{crash}: {error}"));
            assert_eq!(recovered, first(), "{crash}");
            assert!(node.identity.borrow().log_made, "{crash}");
            finished.insert((identity.log_made, report.recovery.is_some()));
            drop(log);
            let (_, again, _) = node.power_cut().start().unwrap_or_else(|error| panic!("{crash}: {error}"));
            assert_eq!(again, first(), "{crash}");
        }
    }
    assert_eq!(finished.len(), 3, "made, finished, and read back: {finished:?}");
}

#[test]
fn the_identity_says_that_the_log_is_made_only_when_no_power_cut_takes_it_back() {
    let node = Node::new();
    let mut own = node.identity.borrow().clone();
    let mut stored = 0;
    let store = |next: &Identity| {
        assert!(next.log_made);
        stored += 1;
        for disk in power_cuts(&node.disk, 64) {
            let node = Node { identity: RefCell::new(next.clone()), disk };
            assert_eq!(node.start().expect("a log").1, first());
        }
        Ok(())
    };
    open_log(node.disk.clone(), &mut own, store, &formed(), options()).expect("an empty disk");
    assert_eq!(stored, 1);
}

#[test]
fn what_cannot_be_noted_in_the_identity_is_not_gone_on_with() {
    let fail = |_: &Identity| {
        let error = io::Error::from(io::ErrorKind::StorageFull);
        Err(StorageError::Io { place: "there".into(), doing: "storing".into(), error })
    };
    let mut own = identity();
    let made = open_log(FakeDisk::new(1 << 30), &mut own, fail, &formed(), options());
    assert!(matches!(made, Err(StorageError::Io { .. })));
    assert!(!own.log_made, "the memory is not ahead of the disk");

    let node = used();
    flip(&node.disk, 5, BODY);
    let mut own = node.identity.borrow().clone();
    let opened = open_log(node.disk.clone(), &mut own, fail, &formed(), options());
    assert!(matches!(opened, Err(StorageError::Io { .. })));
    assert_eq!(own.damage, None);
}

#[test]
fn a_log_is_read_back_as_it_was_written_with_term_and_vote() {
    let node = used();
    let (mut log, recovered, _) = node.start().expect("a log");
    let expected = Recovered { hard_state: voted(2, 3).unwrap(), entries: used_entries(), ..first() };
    assert_eq!(recovered, expected);

    // A leader of term 3 has something else from 8 on, and changes who is a member.
    let learner = initial_configuration(&formed_of(&mint(), NodeId(1))).expect("addresses");
    let change = Payload::Configuration(Arc::new(learner));
    let entries =
        vec![Entry { term: Term(3), payload: Payload::Empty }, Entry { term: Term(3), payload: change }];
    put(&mut log, voted(3, 0), vec![LogOp::Append { first: Index(8), entries: entries.clone() }]);
    drop(log);
    let (_, recovered, _) = node.power_cut().start().expect("a log");
    let entries = used_entries().into_iter().take(7).chain(entries).collect();
    assert_eq!(recovered, Recovered { hard_state: voted(3, 0).unwrap(), entries, ..first() });
}

#[test]
fn a_trimmed_or_reset_log_begins_behind_what_is_gone() {
    let node = used();
    let (mut log, ..) = node.start().expect("a log");
    put(&mut log, None, vec![LogOp::Trim { through: Index(6) }]);
    drop(log);
    let node = node.power_cut();
    let (mut log, recovered, _) = node.start().expect("a log");
    assert_eq!((recovered.prev, recovered.entries), (EntryId::new(2, 6), used_entries().split_off(6)));
    put(&mut log, voted(4, 0), vec![LogOp::Reset { last: EntryId::new(3, 50) }, append(51, &[4])]);
    drop(log);
    let (_, recovered, _) = node.power_cut().start().expect("a log");
    assert_eq!((recovered.prev, recovered.entries), (EntryId::new(3, 50), vec![data(4, 51)]));
}

#[test]
fn a_log_that_is_reset_and_empty_is_not_gone() {
    let node = used();
    let (mut log, ..) = node.start().expect("a log");
    put(&mut log, voted(4, 0), vec![LogOp::Reset { last: EntryId::new(3, 50) }]);
    drop(log);
    let (_, recovered, _) = node.power_cut().start().expect("a log");
    assert_eq!((recovered.prev, recovered.entries.len()), (EntryId::new(3, 50), 0));
}

#[test]
fn a_formed_node_whose_log_is_gone_is_refused_and_told_to_be_replaced() {
    let node = used();
    // Nothing at all; one that was just made; one that holds a term and nothing else.
    let empty = FakeDisk::new(1 << 30);
    let names = holdfast_wal::Identity { cluster: formed().cluster.0, node: formed().uuid.0 };
    let wal = holdfast_wal::Options { segment_bytes: 16 * 1024, ..holdfast_wal::Options::new(names, 3) };
    let made = FakeDisk::new(1 << 30);
    drop(Log::<FakeDisk>::create(made.clone(), wal).expect("an empty disk"));
    let begun = FakeDisk::new(1 << 30);
    let mut log: FakeLog = Log::create(begun.clone(), wal).expect("an empty disk");
    log.append(&[Op::HardState { group: GROUP, term: 1, vote: 0 }]).expect("fits");
    log.sync().expect("syncs");
    drop(log);
    for disk in [empty, made, begun] {
        let names = disk.names();
        let node = Node { identity: node.identity.clone(), disk };
        let error = node.start().expect_err("it may have voted");
        assert!(matches!(error, StorageError::LogGone { .. }), "{error}");
        assert!(error.to_string().contains("member replace"), "{error}");
        assert_eq!(node.disk.names().is_empty(), names.is_empty(), "nothing is made in its place");
    }
}

#[test]
fn a_used_log_under_an_identity_that_knows_of_none_is_an_old_copy_and_refused() {
    let node = used();
    let old = Node { identity: RefCell::new(identity()), disk: node.disk.after_kill() };
    let error = old.start().expect_err("it has voted");
    assert!(matches!(error, StorageError::LogInUse { .. }), "{error}");
    assert!(!old.identity.borrow().log_made);
    // It is still whole for whoever brings the right file back.
    assert_eq!(node.start().expect("a log").1.entries, used_entries());
}

#[test]
fn a_vote_alone_makes_a_log_used() {
    let node = Node::with_log();
    let (mut log, ..) = node.start().expect("a log");
    put(&mut log, voted(1, 2), Vec::new());
    drop(log);
    let old = Node { identity: RefCell::new(identity()), ..node.power_cut() };
    assert!(matches!(old.start(), Err(StorageError::LogInUse { .. })));
}

#[test]
fn a_log_of_another_directory_is_refused() {
    let node = used();
    let mut other = Identity { node: NodeId(1), ..node.identity.borrow().clone() };
    let opened =
        open_log(node.disk.clone(), &mut other, |_| Ok(()), &formed_of(&mint(), NodeId(1)), options());
    assert!(matches!(opened, Err(StorageError::Open(OpenError::Foreign { .. }))), "{opened:?}");
}

#[test]
fn only_a_formed_node_opens_a_log_and_only_under_its_own_names() {
    for formation in [IdentityState::Blank, IdentityState::Minted(mint()), IdentityState::Prepared(mint())] {
        let mut own = Identity { formation, ..identity() };
        let opened = open_log(FakeDisk::new(1 << 30), &mut own, |_| Ok(()), &formed(), options());
        assert!(matches!(opened, Err(StorageError::NotFormed)));
    }
    let opened = open_log(
        FakeDisk::new(1 << 30),
        &mut identity(),
        |_| Ok(()),
        &formed_of(&mint(), NodeId(3)),
        options(),
    );
    assert!(matches!(opened, Err(StorageError::NotFormed)));
}

#[test]
fn a_damaged_middle_is_a_hole_and_what_stands_behind_it_is_kept_apart() {
    let node = used();
    flip(&node.disk, 5, BODY);
    let (_, recovered, report) = node.start().expect("a damaged log opens");
    assert_eq!(recovered.entries, used_entries()[..4]);
    let damage = recovered.damage.expect("it is");
    assert_eq!(damage.holes, [Hole { first: Index(5), last: Index(5) }]);
    let behind: Vec<_> = (6..=10).map(|index| (Index(index), data(2, index))).collect();
    assert_eq!(damage.behind, behind);
    assert_eq!((damage.claimed_end, damage.trustworthy), (EntryId::new(2, 10), true));
    let mark = DamageMark { claimed_end: EntryId::new(2, 10), trustworthy: true };
    assert_eq!(node.identity.borrow().damage, Some(mark));
    assert!(report.news && !recovered.hard_state_lost);
}

#[test]
fn damage_that_touches_no_entry_and_no_vote_leaves_no_mark() {
    let node = used();
    let (mut log, ..) = node.start().expect("a log");
    log.mark().expect("fits");
    log.sync().expect("syncs");
    put(&mut log, None, vec![append(11, &[2])]);
    drop(log);
    let node = node.power_cut();
    flip_in(&node.disk, 24, |head| head.kind == Kind::Mark);
    let (_, recovered, report) = node.start().expect("a log");
    assert!(report.recovery.is_some_and(|recovery| recovery.healed), "or it was not damaged");
    assert_eq!((recovered.damage, recovered.entries.len()), (None, 11));
    assert_eq!(node.identity.borrow().damage, None);
}

#[test]
fn a_log_that_was_damaged_before_it_was_used_is_made_anew_by_the_operator() {
    let node = Node::with_log();
    node.identity.borrow_mut().log_made = false;
    flip(&node.disk, 1, BODY);
    let error = node.start().expect_err("it is not what was written");
    assert!(matches!(error, StorageError::UnusedLogDamaged { .. }), "{error}");
    assert!(!node.identity.borrow().log_made);
}

#[test]
fn what_damage_makes_doubtful_is_a_hole_and_the_claim_is_not_trusted() {
    let node = used();
    flip(&node.disk, 10, HEAD);
    let (_, recovered, _) = node.start().expect("a damaged log opens");
    let damage = recovered.damage.clone().expect("it is");
    assert_eq!(damage.holes.first().map(|hole| hole.first), Some(Index(1)));
    assert!(!damage.trustworthy);
    assert!(damage.claimed_end >= EntryId::new(2, 9), "{}", damage.claimed_end);
    // The core takes it, or says that term and vote are lost: nothing else.
    let mut own = node.identity.borrow().clone();
    let core: Core<NoPlant> = start_core(config(2), recovered, &mut own, |_| Ok(())).expect("a core");
    assert_eq!(core.term(), Term(2));
}

#[test]
fn where_branches_are_mixed_the_log_ends_before_the_term_falls_and_no_readable_entry_is_behind_the_claim() {
    let node = used();
    flip(&node.disk, 5, BODY);
    flip(&node.disk, 7, BODY);
    let (mut log, ..) = node.start().expect("a damaged log opens");
    put(&mut log, voted(3, 0), vec![LogOp::Fill { index: Index(5), entry: data(3, 5) }]);
    drop(log);
    let node = node.power_cut();
    // What this opening says alone: the highest term stands at 5, and the highest index is 10.
    node.identity.borrow_mut().damage = None;
    let (_, recovered, _) = node.start().expect("a damaged log opens");
    let mixed = used_entries().into_iter().take(4).chain([data(3, 5)]).collect::<Vec<_>>();
    assert_eq!(recovered.entries, mixed);
    let damage = recovered.damage.clone().expect("it is");
    assert_eq!(damage.holes, [Hole { first: Index(7), last: Index(7) }]);
    assert_eq!(damage.behind.first(), Some(&(Index(6), data(2, 6))));
    assert_eq!(damage.claimed_end, EntryId::new(3, 10));
    let mut own = node.identity.borrow().clone();
    let core: Core<NoPlant> = start_core(config(2), recovered, &mut own, |_| Ok(())).expect("a core");
    assert_eq!((core.last(), core.term()), (EntryId::new(3, 5), Term(3)));
}

#[test]
fn damage_of_every_entry_gives_a_start_that_the_core_takes() {
    for index in 1..=10 {
        for byte in [HEAD, BODY] {
            let node = used();
            flip(&node.disk, index, byte);
            let (_, recovered, _) = node.start().expect("a damaged log opens");
            let damage = recovered.damage.clone().expect("it is damaged");
            assert!(damage.claimed_end.index <= Index(10), "entry {index}, byte {byte}");
            assert!(!damage.trustworthy || damage.claimed_end == EntryId::new(2, 10), "entry {index}");
            let mut own = node.identity.borrow().clone();
            let core: Result<Core<NoPlant>, _> = start_core(config(2), recovered, &mut own, |_| Ok(()));
            core.unwrap_or_else(|error| panic!("entry {index}, byte {byte}: {error}"));
        }
    }
}

#[test]
fn the_mark_of_damage_stays_over_restarts_when_the_holes_are_filled_until_it_is_cleared() {
    let node = used();
    flip(&node.disk, 5, BODY);
    let (mut log, ..) = node.start().expect("a damaged log opens");
    let mark = node.identity.borrow().damage;
    put(&mut log, None, vec![LogOp::Fill { index: Index(5), entry: data(2, 5) }]);
    drop(log);
    let mut node = node.power_cut();
    // Nothing is missing any more, and the log itself has healed at the second of these.
    for start in 1..=3 {
        let (log, recovered, report) = node.start().expect("a log");
        let damage = recovered.damage.unwrap_or_else(|| panic!("start {start} forgot it"));
        assert_eq!((damage.claimed_end, damage.trustworthy), (EntryId::new(2, 10), true));
        assert!(damage.holes.is_empty() && damage.behind.is_empty());
        assert_eq!(recovered.entries, used_entries());
        assert!(!report.news);
        drop(log);
        node = node.power_cut();
    }
    assert_eq!(node.identity.borrow().damage, mark);
    let (mut log, ..) = node.start().expect("a log");
    put(&mut log, None, vec![LogOp::Heal { whole: Index(10) }]);
    let mut own = node.identity.borrow().clone();
    clear_damage(&mut own, |next| node.store(next)).expect("stored");
    drop(log);
    let (_, recovered, report) = node.power_cut().start().expect("a log");
    assert_eq!((recovered.damage, recovered.entries), (None, used_entries()));
    assert_eq!(report.recovery.map(|recovery| recovery.ending), Some(Ending::Clean));
}

#[test]
fn damage_that_a_reset_swept_away_is_still_reported() {
    let node = used();
    flip(&node.disk, 5, HEAD);
    let (mut log, ..) = node.start().expect("a damaged log opens");
    let before = node.identity.borrow().damage.expect("noted");
    assert!(!before.trustworthy);
    put(&mut log, None, vec![LogOp::Reset { last: EntryId::new(2, 20) }]);
    drop(log);
    let (_, recovered, _) = node.power_cut().start().expect("a log");
    let damage = recovered.damage.expect("nobody healed it");
    assert!(!damage.trustworthy);
    assert!(damage.claimed_end.index >= before.claimed_end.index);
}

#[test]
fn what_the_identity_and_the_log_say_of_damage_is_put_together_on_the_cautious_side() {
    let node = used();
    let known = DamageMark { claimed_end: EntryId::new(1, 40), trustworthy: false };
    node.identity.borrow_mut().damage = Some(known);
    flip(&node.disk, 5, BODY);
    let (_, recovered, report) = node.start().expect("a damaged log opens");
    let damage = recovered.damage.expect("it is");
    assert_eq!((damage.claimed_end, damage.trustworthy), (EntryId::new(2, 40), false));
    assert!(report.news);
    let mark = DamageMark { claimed_end: EntryId::new(2, 40), trustworthy: false };
    assert_eq!(node.identity.borrow().damage, Some(mark));
}

#[test]
fn a_lost_hard_state_stays_lost_whatever_the_log_says_later() {
    let node = used();
    node.identity.borrow_mut().hard_state_lost = true;
    for _ in 0..2 {
        assert!(node.start().expect("a log").1.hard_state_lost);
        assert!(node.identity.borrow().hard_state_lost);
    }
}

#[test]
fn a_term_older_than_the_log_is_noted_as_lost_before_the_core_starts_and_then_for_good() {
    let node = used();
    let (log, mut recovered, _) = node.start().expect("a log");
    drop(log);
    recovered.hard_state = voted(1, 1).unwrap();
    let mut own = node.identity.borrow().clone();
    let core: Core<NoPlant> =
        start_core(config(2), recovered.clone(), &mut own, |next| node.store(next)).expect("a core");
    assert!(node.identity.borrow().hard_state_lost && own.hard_state_lost);
    assert_eq!((core.term(), core.vote()), (Term(2), None));
    assert!(node.start().expect("a log").1.hard_state_lost);
    // And without the note there is no core.
    let fail = |_: &Identity| {
        let error = io::Error::from(io::ErrorKind::StorageFull);
        Err(StorageError::Io { place: "there".into(), doing: "storing".into(), error })
    };
    let core: Result<Core<NoPlant>, _> = start_core(config(2), recovered, &mut identity(), fail);
    assert!(matches!(core, Err(StorageError::Io { .. })));
}

#[test]
fn an_option_out_of_range_and_a_contradiction_are_told_apart() {
    let bad = Config { epoch: ClusterEpoch(0), ..config(2) };
    let start = |config, recovered| start_core::<NoPlant>(config, recovered, &mut identity(), |_| Ok(()));
    assert!(matches!(start(bad, first()), Err(StorageError::Config(_))));
    let contradiction = Recovered { prev: EntryId::new(2, 6), ..first() };
    let error = start(config(2), contradiction).expect_err("it begins behind nothing");
    assert!(matches!(error, StorageError::Rejected(_)) && error.to_string().contains("member replace"));
}

#[test]
fn a_core_starts_from_a_new_log_and_from_one_that_was_used() {
    for node in [Node::with_log(), used()] {
        let (_, recovered, _) = node.start().expect("a log");
        let (hard_state, last) = (recovered.hard_state, recovered.entries.len());
        let mut own = node.identity.borrow().clone();
        let core: Core<NoPlant> =
            start_core(config(2), recovered, &mut own, |_| panic!("nothing to note")).expect("a core");
        assert_eq!((core.term(), core.vote()), (hard_state.term, hard_state.vote));
        assert_eq!(core.last().index, Index(last as u64));
        assert_eq!(core.configuration().1.voters(), [NodeId(1), NodeId(2), NodeId(3)]);
    }
}

#[test]
fn an_entry_that_is_none_is_refused_with_its_index() {
    let node = used();
    let (mut log, ..) = node.start().expect("a log");
    let body = Bytes::from_static(b"\xee of a later build");
    log.append(&[Op::Entry { group: GROUP, index: 11, term: 2, body }]).expect("fits");
    log.sync().expect("syncs");
    drop(log);
    let error = node.power_cut().start().expect_err("what is it?");
    assert!(matches!(error, StorageError::Entry { index: 11, .. }), "{error}");
    assert!(error.to_string().contains("use the build that wrote it"), "{error}");
}

#[test]
fn the_snapshot_lends_its_term_to_a_log_that_does_not_know_what_stood_before_it() {
    let configuration = Arc::new(Configuration::default());
    let meta = SnapshotMeta { last: EntryId::new(5, 9), configuration: (Index(1), configuration), bytes: 10 };
    let recovered = |prev| Recovered { prev, ..first() };
    for (prev, expected) in [
        (EntryId::new(0, 9), EntryId::new(5, 9)),
        (EntryId::new(0, 8), EntryId::new(0, 8)),
        (EntryId::new(4, 9), EntryId::new(4, 9)),
        (EntryId::ZERO, EntryId::ZERO),
    ] {
        let with = with_snapshot(recovered(prev), meta.clone());
        assert_eq!((with.prev, with.snapshot.as_ref()), (expected, Some(&meta)));
    }
}

#[test]
fn the_first_entry_on_the_disk_is_the_encoded_first_configuration() {
    let node = Node::with_log();
    let (log, ..) = node.start().expect("a log");
    let body = encode_payload(&first().entries[0].payload).expect("a configuration");
    assert_eq!(log.read(GROUP, 1).expect("it is there").body, body);
}

/// What a log should hold.
struct Model {
    hard: HardState,
    prev: EntryId,
    entries: Vec<Entry>,
}

impl Model {
    fn last(&self) -> Index {
        Index(self.prev.index.0 + self.entries.len() as u64)
    }

    fn term_at(&self, index: u64) -> Term {
        match index.checked_sub(self.prev.index.0 + 1) {
            Some(at) => self.entries[at as usize].term,
            None => self.prev.term,
        }
    }

    /// Some persist that a core could want.
    fn step(&mut self, draw: &mut impl FnMut(u64) -> u64) -> Persist {
        let term = Term(self.hard.term.0 + u64::from(draw(4) == 0));
        let vote = Some(NodeId(draw(4))).filter(|id| id.0 != 0);
        let hard_state = (term > self.hard.term).then_some(HardState { term, vote });
        self.hard = hard_state.unwrap_or(self.hard);
        let (prev, last) = (self.prev.index.0, self.last().0);
        let mut log = Vec::new();
        match draw(10) {
            0 => {
                let through = prev + 1 + draw(last - prev + 1);
                if through <= last {
                    let term = self.term_at(through);
                    self.entries.drain(..(through - prev) as usize);
                    self.prev = EntryId { term, index: Index(through) };
                    log.push(LogOp::Trim { through: Index(through) });
                }
            }
            1 if draw(4) == 0 => {
                self.prev = EntryId { term: self.hard.term, index: Index(last + draw(5)) };
                self.entries.clear();
                log.push(LogOp::Reset { last: self.prev });
            }
            _ => {
                // Mostly behind the last, sometimes over what is there.
                let first = if draw(3) == 0 { prev + 1 + draw(last - prev + 1) } else { last + 1 };
                self.entries.truncate((first - prev - 1) as usize);
                let count = 1 + draw(4);
                let entries: Vec<Entry> =
                    (first..first + count).map(|index| data(self.hard.term.0, index)).collect();
                self.entries.extend(entries.iter().cloned());
                log.push(LogOp::Append { first: Index(first), entries });
            }
        }
        Persist { id: PersistId(1), hard_state, log }
    }
}

#[test]
fn whatever_was_made_durable_is_read_back_after_power_cuts_at_random() {
    for seed in 1..=40_u64 {
        let mut random = seed;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut model = Model { hard: first().hard_state, prev: EntryId::ZERO, entries: first().entries };
        let mut node = Node::with_log();
        for start in 0..6 {
            let (mut log, recovered, _) = node.start().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let Model { hard, prev, entries } = &model;
            let found = (&recovered.hard_state, &recovered.prev, &recovered.entries);
            assert_eq!(found, (hard, prev, entries), "seed {seed}, start {start}");
            assert!(recovered.damage.is_none() && !recovered.hard_state_lost, "seed {seed}, start {start}");
            for _ in 0..draw(30) {
                let ops = to_ops(model.step(&mut draw)).expect("envelopes");
                log.append(&ops).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            }
            log.sync().expect("syncs");
            drop(log);
            node = node.power_cut();
        }
    }
}

#[test]
fn a_node_on_a_real_disk_starts_forms_and_starts_again() {
    let path = tempfile::tempdir().expect("a temporary directory");
    for start in 1..=3 {
        let dir = DataDir::open(path.path()).expect("a directory");
        let mut own = dir.begin_boot(NODE, "prod").expect("ours");
        assert_eq!(own.boot, start);
        if start == 1 {
            own.formation = IdentityState::Formed(mint());
            dir.store(&own).expect("stored");
        }
        let disk = dir.log_disk().expect("a directory in it");
        let (_log, recovered, report) =
            open_log(disk, &mut own, |next| dir.store(next), &formed(), options()).expect("a log");
        assert_eq!((recovered, report.made), (first(), start == 1));
        assert_eq!(dir.load().expect("whole"), Some(own));
    }
}

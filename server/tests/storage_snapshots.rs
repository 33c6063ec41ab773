//! The files of snapshots: whole under their name or nothing, the newest that is whole is used, and a damaged one is never
//! passed over when it stands for what is nowhere else.

mod storage_common;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_command::keys::Put;
use holdfast_command::{Command, Entry as Logged, Envelope, Request};
use holdfast_raft::{
    Boot, ClusterEpoch, ClusterId, Config, Configuration, Core, Entry, EntryId, Envelope as PeerEnvelope,
    HardState, Index, Member, Message, NodeId, NodeUuid, Payload, Recovered, SnapshotMeta, Term,
};
use holdfast_server::node::{Caller, NoPiece, Piece, SnapshotDone, SnapshotJob};
use holdfast_server::storage::{Opened, SnapshotFiles, StorageError, start_from};
use holdfast_store::{LogPosition, Store};
use holdfast_wal::disk::{Call, FakeDisk, Fault, Injection};
use storage_common::crashes;

const CLUSTER: ClusterId = ClusterId([7; 16]);
const EPOCH: ClusterEpoch = ClusterEpoch(1);

type Files = SnapshotFiles<FakeDisk>;
fn open(disk: &FakeDisk) -> Opened<FakeDisk> {
    SnapshotFiles::open(disk.clone(), CLUSTER, EPOCH).expect("a directory")
}

/// A state behind so many entries of term 3, with so many bytes in each.
fn state(entries: u64, length: usize) -> Store {
    let mut store = Store::new();
    for index in 1..=entries {
        let key = Bytes::from(format!("k{:04}", index % 50));
        let put = Put { key, value: vec![index as u8; length].into(), ..Put::default() };
        let entry = Logged { envelope: Envelope::default(), request: Request::from(Command::Put(put)) };
        let applied = store.apply(LogPosition { index, term: 3 }, &entry.encode()).expect("no halt");
        applied.outcome.0.expect("it is executed");
    }
    store
}

fn last(index: u64) -> EntryId {
    EntryId::new(3, index)
}

fn meta(index: u64) -> SnapshotMeta {
    let member = Member { uuid: NodeUuid([1; 16]), promote: false, context: Bytes::new() };
    let configuration = Configuration::initial([(NodeId(1), member)]);
    SnapshotMeta { last: last(index), configuration: (Index(1), Arc::new(configuration)), bytes: 0 }
}

/// Takes a snapshot to its end.
fn take(files: &mut Files, entries: u64) -> Result<u64, String> {
    let store = Box::new(state(entries, 100));
    let mut done = files.run(SnapshotJob::Take { store, meta: meta(entries) });
    while done.is_none() {
        assert!(files.is_taking());
        done = files.step();
    }
    match done {
        Some(SnapshotDone::Taken { last: end, bytes }) if end == last(entries) => bytes,
        other => panic!("{other:?}"),
    }
}

/// The last entry of the state that a start finds.
fn found(disk: &FakeDisk) -> u64 {
    let Opened { loaded, damaged, .. } = open(disk);
    assert!(damaged.is_empty(), "{damaged:?}");
    loaded.map_or(0, |loaded| {
        assert_eq!(loaded.store.applied().index, loaded.meta.last.index.0);
        loaded.meta.last.index.0
    })
}

fn read(files: &mut Files, index: u64, offset: u64, bytes_max: usize) -> Result<Bytes, NoPiece> {
    let job = SnapshotJob::Read { to: NodeId(2), last: last(index), offset, bytes_max };
    match files.run(job) {
        Some(SnapshotDone::Read { data, .. }) => data,
        other => panic!("{other:?}"),
    }
}

fn ack() -> Box<PeerEnvelope> {
    Box::new(PeerEnvelope {
        cluster: CLUSTER,
        epoch: EPOCH,
        from: NodeId(1),
        from_boot: Boot(1),
        to: NodeId(2),
        to_boot: Some(Boot(1)),
        term: Term(3),
        message: Message::SnapshotAck { last: last(1), offset: 0 },
    })
}

/// Gives a snapshot to another node, piece by piece.
fn transfer(from: &mut Files, to: &mut Files, index: u64, piece: usize) -> SnapshotMeta {
    let mut whole = Vec::new();
    loop {
        match read(from, index, whole.len() as u64, piece) {
            Ok(data) if !data.is_empty() => whole.extend_from_slice(&data),
            Ok(_) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    let meta = SnapshotMeta { bytes: whole.len() as u64, ..meta(index) };
    for (number, data) in whole.chunks(piece).enumerate() {
        let (offset, data) = ((number * piece) as u64, Bytes::copy_from_slice(data));
        let stored = to.run(SnapshotJob::Store { meta: meta.clone(), offset, data, ack: ack() });
        assert!(matches!(stored, Some(SnapshotDone::Stored(_) | SnapshotDone::NotStored(_))), "{stored:?}");
    }
    meta
}

fn install(files: &mut Files, meta: SnapshotMeta) -> Result<Box<Store>, String> {
    match files.run(SnapshotJob::Install { meta }) {
        Some(SnapshotDone::Installed { store, .. }) => store,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_crash_while_a_snapshot_is_taken_leaves_the_one_before_or_this_one() {
    let disk = FakeDisk::new(1 << 24);
    let mut files = open(&disk).files;
    take(&mut files, 10).expect("there is room");
    let mut seen = BTreeSet::new();
    for (crash, disk) in crashes(&disk, 64, || _ = take(&mut files, 60).expect("there is room")) {
        let index = found(&disk);
        assert!(index == 10 || index == 60, "{crash}: {index}");
        assert!(!crash.ends_with("the end") || index == 60, "{crash}: it was said to be in place");
        seen.insert((crash.starts_with("killed"), index));
        // And again, over what was left.
        let mut files = open(&disk).files;
        take(&mut files, 70).unwrap_or_else(|error| panic!("{crash}: {error}"));
        assert_eq!(found(&disk), 70, "{crash}");
    }
    assert_eq!(seen.len(), 4, "both were left by both kinds of crash");
}

#[test]
fn a_crash_while_a_snapshot_is_received_and_installed_leaves_the_one_before_or_this_one() {
    let mut sender = open(&FakeDisk::new(1 << 24)).files;
    take(&mut sender, 60).expect("there is room");
    let disk = FakeDisk::new(1 << 24);
    let mut files = open(&disk).files;
    take(&mut files, 10).expect("there is room");
    let mut seen = BTreeSet::new();
    let images = crashes(&disk, 64, || {
        let meta = transfer(&mut sender, &mut files, 60, 3_000);
        assert_eq!(install(&mut files, meta).expect("all of it").applied().index, 60);
    });
    for (crash, disk) in images {
        let index = found(&disk);
        assert!(index == 10 || index == 60, "{crash}: {index}");
        assert!(!crash.ends_with("the end") || index == 60, "{crash}: it was said to be in place");
        seen.insert((crash.starts_with("killed"), index));
    }
    assert_eq!(seen.len(), 4, "both were left by both kinds of crash");
}

#[test]
fn the_newest_two_are_kept_and_what_has_no_name_is_removed() {
    let disk = FakeDisk::new(1 << 24);
    let mut files = open(&disk).files;
    for entries in [10, 20, 30, 40] {
        take(&mut files, entries).expect("there is room");
    }
    let kept = ["000000000000001e-0000000000000003.snap", "0000000000000028-0000000000000003.snap"];
    assert_eq!(disk.names(), kept);
    let begun = files.run(SnapshotJob::Take { store: Box::new(state(50, 10)), meta: meta(50) });
    assert!(begun.is_none() && files.step().is_none());
    let data = Bytes::from_static(b"a piece");
    files.run(SnapshotJob::Store { meta: meta(60), offset: 0, data, ack: ack() });
    assert_eq!(disk.names(), [kept[0], kept[1], "receiving.new", "taking.new"]);
    drop(files);
    assert_eq!(found(&disk), 40);
    assert_eq!(disk.names(), kept);
}

#[test]
fn a_snapshot_is_read_to_its_end_when_it_was_removed_meanwhile() {
    let disk = FakeDisk::new(1 << 24);
    let mut files = open(&disk).files;
    let bytes = take(&mut files, 10).expect("there is room");
    let first = read(&mut files, 10, 0, 100).expect("it is there");
    assert_eq!(first.len(), 100);
    for entries in [20, 30, 40] {
        take(&mut files, entries).expect("there is room");
    }
    assert!(!disk.names().iter().any(|name| name.starts_with("000000000000000a")));
    let rest = read(&mut files, 10, 100, 1 << 20).expect("it is open");
    assert_eq!(rest.len() as u64, bytes - 100);
    let gone = read(&mut files, 20, 0, 100).expect_err("nobody had it open");
    assert!(matches!(gone, NoPiece::Gone), "replaced by newer ones, which is no failure: {gone:?}");
}

#[test]
fn a_failure_of_any_step_costs_that_snapshot_only() {
    let calls = [Call::Create, Call::Allocate, Call::Write, Call::Sync, Call::Rename, Call::SyncDirectory];
    for call in calls {
        for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
            let disk = FakeDisk::new(1 << 24);
            let mut files = open(&disk).files;
            take(&mut files, 10).expect("there is room");
            disk.inject(Injection { call, skip: 0, fault: Fault::Fail(kind) });
            let error = take(&mut files, 60).expect_err("it failed");
            assert!(error.contains("a snapshot"), "{call:?}: {error}");
            assert!(!files.is_taking());
            assert!(!disk.names().iter().any(|name| name == "taking.new"), "{call:?}: it takes no room");
            take(&mut files, 70).expect("nothing is left in the way");
            assert_eq!(found(&disk), 70, "{call:?}");

            let mut sender = open(&FakeDisk::new(1 << 24)).files;
            take(&mut sender, 90).expect("there is room");
            disk.inject(Injection { call, skip: 0, fault: Fault::Fail(kind) });
            let meta = transfer(&mut sender, &mut files, 90, 3_000);
            install(&mut files, meta).expect_err("not all of it, or not in place");
            assert!(!disk.names().iter().any(|name| name == "receiving.new"), "{call:?}: it takes no room");
            let meta = transfer(&mut sender, &mut files, 90, 3_000);
            install(&mut files, meta).unwrap_or_else(|error| panic!("{call:?}: {error}"));
            assert_eq!(found(&disk), 90, "{call:?}");
        }
    }
}

#[test]
fn what_is_not_whole_or_not_what_the_leader_said_is_not_installed() {
    let mut sender = open(&FakeDisk::new(1 << 24)).files;
    take(&mut sender, 60).expect("there is room");
    let disk = FakeDisk::new(1 << 24);
    let mut files = open(&disk).files;
    take(&mut files, 10).expect("there is room");
    let mut refused = |change: &dyn Fn(&mut Files, SnapshotMeta) -> SnapshotMeta, text: &str| {
        let meta = transfer(&mut sender, &mut files, 60, 3_000);
        let meta = change(&mut files, meta);
        let error = install(&mut files, meta).expect_err(text);
        assert!(error.contains(text), "{error}");
        assert_eq!(found(&disk), 10, "{text}");
    };
    refused(&|_, meta| SnapshotMeta { bytes: meta.bytes + 1, ..meta }, "not all of it");
    refused(&|_, meta| SnapshotMeta { last: last(61), ..meta }, "not all of it");
    refused(
        &|_, meta| SnapshotMeta { configuration: (Index(2), meta.configuration.1.clone()), ..meta },
        "another than the leader said",
    );
    refused(
        &|_, meta| {
            disk.flip_bit("receiving.new", 8 * 500);
            meta
        },
        "check does not fit",
    );
    refused(
        &|files, meta| {
            // A piece that belongs further on.
            let data = Bytes::from_static(b"x");
            let stored = files.run(SnapshotJob::Store { meta: meta.clone(), offset: 7, data, ack: ack() });
            assert!(matches!(stored, Some(SnapshotDone::NotStored(_))));
            meta
        },
        "not all of it",
    );
    // Of another cluster, and of another life of this one.
    for (cluster, epoch) in [(ClusterId([8; 16]), EPOCH), (CLUSTER, ClusterEpoch(2))] {
        let mut other =
            SnapshotFiles::open(FakeDisk::new(1 << 24), cluster, epoch).expect("a directory").files;
        take(&mut other, 60).expect("there is room");
        let meta = transfer(&mut other, &mut files, 60, 3_000);
        let error = install(&mut files, meta).expect_err("another cluster's");
        assert!(error.contains("of another cluster, or of another life"), "{error}");
    }
}

/// A log behind `prev`, up to `end`.
fn log(prev: u64, end: u64) -> Recovered {
    let entry = Entry { term: Term(3), payload: Payload::Empty };
    let entries = vec![entry; (end - prev) as usize];
    let hard_state = HardState { term: Term(3), vote: None };
    Recovered {
        hard_state,
        prev: if prev > 0 { last(prev) } else { EntryId::ZERO },
        entries,
        ..Recovered::default()
    }
}

#[test]
fn a_damaged_snapshot_is_passed_over_only_if_the_log_stands_for_all_of_it() {
    let disk = FakeDisk::new(1 << 24);
    let mut files = open(&disk).files;
    take(&mut files, 40).expect("there is room");
    take(&mut files, 60).expect("there is room");
    drop(files);
    let begin = |prev, end| {
        let Opened { loaded, damaged, .. } = open(&disk);
        let (recovered, store) = start_from(log(prev, end), loaded, &damaged)?;
        let covered = recovered.snapshot.as_ref().map_or(0, |meta| meta.last.index.0);
        assert_eq!(store.applied().index, covered);
        let damage = recovered.damage.as_ref().map(|damage| (damage.claimed_end.index.0, damage.trustworthy));
        let config = Config::new(CLUSTER, NodeId(1), NodeUuid([1; 16]), Boot(2), 1);
        let core = Core::<holdfast_raft::NoPlant>::new(config, recovered).expect("a core goes on from that");
        assert_eq!(core.damaged(), damage.is_some());
        Ok::<_, StorageError>((covered, damage))
    };
    let begin = |prev, end| begin(prev, end).unwrap_or_else(|error| panic!("{prev} to {end}: {error}"));
    assert_eq!(begin(60, 60), (60, None));
    disk.flip_bit("000000000000003c-0000000000000003.snap", 8 * 300);
    assert_eq!(begin(40, 60), (40, None), "the older one, and the log");
    assert_eq!(begin(20, 80), (40, None), "the older one, and the log");
    assert_eq!(begin(41, 80), (40, Some((80, true))), "the log begins too late");
    assert_eq!(begin(60, 80), (40, Some((80, true))), "the log begins too late");
    assert_eq!(begin(40, 59), (40, Some((60, true))), "the log ends too early");
    assert_eq!(begin(0, 59), (40, Some((60, true))), "the log ends too early");
    disk.flip_bit("0000000000000028-0000000000000003.snap", 8 * 300);
    assert_eq!(begin(0, 60), (0, None), "the whole log");
    assert_eq!(begin(1, 60), (0, Some((60, true))), "nothing stands before the log");
    // A newer one makes them good.
    let mut files = open(&disk).files;
    take(&mut files, 70).expect("there is room");
    assert_eq!(disk.names(), ["0000000000000046-0000000000000003.snap"]);
    disk.remove_file("0000000000000046-0000000000000003.snap");
    let Opened { loaded, damaged, .. } = open(&disk);
    let error =
        start_from(log(70, 80), loaded, &damaged).expect_err("nothing claims to stand before the log");
    assert!(matches!(error, StorageError::SnapshotMissing { index: 70 }), "{error}");
}

#[test]
fn a_damaged_snapshot_stays_until_a_newer_one_is_in_place() {
    let disk = FakeDisk::new(1 << 24);
    let mut files = open(&disk).files;
    take(&mut files, 60).expect("there is room");
    disk.flip_bit("000000000000003c-0000000000000003.snap", 8 * 300);
    drop(files);
    let mut files = open(&disk).files;
    take(&mut files, 50).expect("there is room");
    drop(files);
    let Opened { loaded, damaged, .. } = open(&disk);
    assert_eq!(loaded.map(|loaded| loaded.meta.last), Some(last(50)));
    assert_eq!(damaged[0].0, last(60), "it says how far this node has come");
    let mut files = open(&disk).files;
    take(&mut files, 61).expect("there is room");
    assert!(open(&disk).damaged.is_empty());
}

#[test]
fn a_log_of_a_later_term_than_the_vote_proves_that_the_vote_is_lost_whatever_a_damaged_snapshot_says() {
    let disk = FakeDisk::new(1 << 24);
    let mut files = open(&disk).files;
    take(&mut files, 60).expect("there is room");
    disk.flip_bit("000000000000003c-0000000000000003.snap", 8 * 300);
    drop(files);
    for (hard, prev, end, lost) in [(2, 0, 10, true), (2, 0, 0, false), (3, 0, 10, false)] {
        let Opened { loaded, damaged, .. } = open(&disk);
        let hard_state = HardState { term: Term(hard), vote: Some(NodeId(2)) };
        let log = Recovered { hard_state, ..log(prev, end) };
        let (recovered, _) = start_from(log, loaded, &damaged).expect("it is repaired");
        let config = Config::new(CLUSTER, NodeId(1), NodeUuid([1; 16]), Boot(2), 1);
        let core = Core::<holdfast_raft::NoPlant>::new(config, recovered);
        assert_eq!(core.is_err(), lost, "{hard} {prev} {end}: {core:?}");
        if let Ok(core) = core {
            assert_eq!((core.term(), core.vote().is_some()), (Term(3), hard == 3));
        }
    }
}

#[test]
fn a_file_under_another_name_is_refused() {
    let disk = FakeDisk::new(1 << 24);
    let mut files = open(&disk).files;
    take(&mut files, 40).expect("there is room");
    disk.rename_file("0000000000000028-0000000000000003.snap", "0000000000000029-0000000000000003.snap");
    let Opened { loaded, damaged, .. } = open(&disk);
    assert!(loaded.is_none());
    assert!(damaged[0].1.to_string().contains("not the one that it is called"), "{}", damaged[0].1);
    // What has no such name is none.
    disk.rename_file("0000000000000029-0000000000000003.snap", "29-3.snap");
    assert!(open(&disk).damaged.is_empty());
}

/// Writes a state for an operator over this connection, up to the first piece.
fn save(files: &mut Files, connection: u64, entries: u64) -> Result<Piece, NoPiece> {
    let store = Box::new(state(entries, 30_000));
    let caller = Caller { connection, call: 1 };
    let mut done = files.run(SnapshotJob::Save { caller, store, meta: meta(entries) });
    while done.is_none() {
        assert!(files.is_taking());
        done = files.step();
    }
    match done {
        Some(SnapshotDone::Fetched { caller: asked, piece }) if asked == caller => piece,
        other => panic!("{other:?}"),
    }
}

fn fetch(files: &mut Files, connection: u64, last: Option<EntryId>, offset: u64) -> Result<Piece, NoPiece> {
    let caller = Caller { connection, call: 2 };
    match files.run(SnapshotJob::Fetch { caller, last, offset }) {
        Some(SnapshotDone::Fetched { caller: asked, piece }) if asked == caller => piece,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_saved_for_an_operator_is_the_snapshot_of_that_state_has_no_name_and_ends_with_its_reader() {
    let disk = FakeDisk::new(1 << 26);
    let mut files = open(&disk).files;
    let first = save(&mut files, 7, 40).expect("a piece");
    assert_eq!((first.last, first.offset), (last(40), 0));
    assert!(first.bytes > first.data.len() as u64, "more than one piece");
    assert_eq!(disk.names(), Vec::<String>::new());
    // Another connection has no part in it.
    assert!(matches!(fetch(&mut files, 8, Some(last(40)), 0), Err(NoPiece::Gone)));
    let mut all = first.data.to_vec();
    while (all.len() as u64) < first.bytes {
        let piece = fetch(&mut files, 7, Some(last(40)), all.len() as u64).expect("a piece");
        assert_eq!((piece.last, piece.bytes), (first.last, first.bytes));
        all.extend_from_slice(&piece.data);
    }
    let mut decoder = holdfast_store::snapshot::Decoder::<holdfast_store::NoPlant>::new();
    decoder.push(&all).expect("whole");
    assert_eq!(decoder.finish().expect("whole").store.digest(), state(40, 30_000).digest());
    assert!(matches!(fetch(&mut files, 7, Some(last(40)), 0), Err(NoPiece::Gone)), "it was read to its end");

    // Two are kept; the third takes the place of the first, and a connection that is gone takes its own along.
    for (connection, entries) in [(1, 41), (2, 42), (3, 43)] {
        save(&mut files, connection, entries).expect("a piece");
    }
    assert!(matches!(fetch(&mut files, 1, Some(last(41)), 0), Err(NoPiece::Gone)));
    assert!(fetch(&mut files, 2, Some(last(42)), 0).is_ok());
    assert!(files.run(SnapshotJob::Leave(2)).is_none());
    assert!(matches!(fetch(&mut files, 2, Some(last(42)), 0), Err(NoPiece::Gone)));
    assert!(fetch(&mut files, 3, Some(last(43)), 0).is_ok());
    // Nobody is left who would read on.
    let caller = Caller { connection: 4, call: 1 };
    let job = SnapshotJob::Save { caller, store: Box::new(state(44, 30_000)), meta: meta(44) };
    assert!(files.run(job).is_none() && files.is_taking());
    assert!(files.run(SnapshotJob::Leave(4)).is_none());
    let answer = files.step();
    assert!(
        matches!(answer, Some(SnapshotDone::Fetched { caller: asked, piece: Err(NoPiece::Gone) }) if asked == caller),
        "the node counts it until it is answered: {answer:?}"
    );
    assert!(!files.is_taking(), "it is written for nobody");
}

#[test]
fn the_newest_snapshot_is_fetched_by_its_name_until_it_is_replaced() {
    let disk = FakeDisk::new(1 << 26);
    let mut files = open(&disk).files;
    assert!(matches!(fetch(&mut files, 1, None, 0), Err(NoPiece::Gone)), "there is none");
    for entries in [10, 20] {
        take(&mut files, entries).expect("taken");
    }
    let piece = fetch(&mut files, 1, None, 0).expect("a piece");
    assert_eq!((piece.last, piece.data.len() as u64), (last(20), piece.bytes));
    assert!(matches!(fetch(&mut files, 1, Some(last(15)), 0), Err(NoPiece::Gone)));
    // It is open, so it can be read on; one that was never opened goes with its name.
    for entries in [30, 40] {
        take(&mut files, entries).expect("taken");
    }
    assert!(fetch(&mut files, 1, Some(last(20)), 5).is_ok());
    assert!(matches!(fetch(&mut files, 1, Some(last(10)), 0), Err(NoPiece::Gone)));
    assert_eq!(fetch(&mut files, 1, None, u64::MAX).expect("nothing is there").data.len(), 0);
}

#[test]
fn a_failure_while_a_snapshot_is_saved_is_told_and_costs_nothing_else() {
    for call in [Call::Create, Call::Unlink, Call::Allocate, Call::Write] {
        let disk = FakeDisk::new(1 << 26);
        let mut files = open(&disk).files;
        take(&mut files, 10).expect("there is room");
        disk.inject(Injection { call, skip: 0, fault: Fault::Fail(ErrorKind::StorageFull) });
        match save(&mut files, 1, 20) {
            Err(NoPiece::Failed(why)) => assert!(why.contains("a snapshot to save"), "{call:?}: {why}"),
            other => panic!("{call:?}: {other:?}"),
        }
        assert!(!files.is_taking());
        assert!(save(&mut files, 1, 30).is_ok(), "{call:?}: nothing is left in the way");
        assert_eq!(found(&disk), 10, "{call:?}: nothing of it is the node's own");
    }
}

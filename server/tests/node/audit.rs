//! The audit log: what nodes hand on, what their files make of it, and what has to wait for it.
//!
//! Each node has the real files on a disk that loses what was not synced. What is checked in every world: two nodes hand on the
//! same records for the same indices, and no snapshot is in place of entries whose records are not durable.

use std::collections::VecDeque;

use bytes::Bytes;
use holdfast_command::keys::{Operation, Put, Span, Transaction};
use holdfast_command::leases::GrantLease;
use holdfast_command::query::{Answer, AuditPage, AuditQuery, MissingReason, Query};
use holdfast_command::settings::RaiseFeatureLevel;
use holdfast_command::{
    Actor, AuditRecord, Code, Command, CommandNumber, Entry, Envelope, FeatureLevel, Reply, Request,
};
use holdfast_machine::Numbered;
use holdfast_raft::{ClusterEpoch, ClusterId};
use holdfast_server::audit::{AuditFiles, AuditPolicy, AuditStatus, AuditWork, RefusedLog};
use holdfast_server::node::{AuditDone, AuditJob, Caller, Input, RefusedWrite, Submission, limits};
use holdfast_wal::disk::FakeDisk;
use holdfast_wire::Message;
use holdfast_wire::message::Consistency;

use crate::clients::{put, read};
use crate::rng::Rng;
use crate::world::{Happening, MS, Rough, World};

/// Small files, so that one is followed by the next in every history.
const POLICY: AuditPolicy = AuditPolicy { file_bytes: 8 * 1024, total_bytes: 1 << 40, age_ms: u64::MAX };

/// The audit log of a machine, and its thread.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) disk: FakeDisk,
    work: Option<AuditWork<FakeDisk>>,
    jobs: VecDeque<AuditJob>,
    /// Nothing is done.
    held: bool,
    /// Up to which index the node has handed on what there was.
    handed: u64,
    pub(crate) failures: u64,
    pub(crate) recoveries: u64,
    /// What was refused, in all boots.
    refused: Vec<RefusedWrite>,
    /// And how many more there were.
    refused_more: u64,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            disk: FakeDisk::new(1 << 30),
            work: None,
            jobs: VecDeque::new(),
            held: false,
            handed: 0,
            failures: 0,
            recoveries: 0,
            refused: Vec::new(),
            refused_more: 0,
        }
    }
}

impl Desk {
    /// A process starts whose state has so much applied.
    pub(crate) fn open(&mut self, cluster: ClusterId, epoch: ClusterEpoch, applied: u64) {
        let opened = AuditFiles::open(self.disk.clone(), cluster, epoch, applied, POLICY).expect("files");
        assert!(opened.damaged.is_empty(), "{:?}", opened.damaged);
        let refused = RefusedLog::open(self.disk.clone()).expect("a file");
        self.work = Some(AuditWork::new(opened.files, refused));
        self.handed = applied;
    }

    /// The process ends, or the power goes, and leaves all or nothing of each thing that was not synced.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        (self.work, self.held) = (None, false);
        self.jobs.clear();
        let cells = self.disk.unsynced();
        let choices: Vec<usize> =
            cells.iter().map(|cell| if rng.chance(500) { 0 } else { cell.versions - 1 }).collect();
        let killed = rng.chance(500);
        self.disk = if killed { self.disk.after_kill() } else { self.disk.after_power_cut(&choices) };
    }

    pub(crate) fn status(&self) -> AuditStatus {
        self.work.as_ref().expect("a process").status()
    }
}

impl World {
    /// A node wants something done with its audit log.
    pub(crate) fn give_audit(&mut self, at: usize, jobs: Vec<AuditJob>) {
        if jobs.is_empty() {
            return;
        }
        for job in &jobs {
            self.judge_handed(at, job);
        }
        let place = &mut self.places[at];
        let (idle, boot) = (place.desk.jobs.is_empty(), place.boot);
        place.desk.jobs.extend(jobs);
        if idle {
            let wait = self.rng.between(0, self.rough.job);
            self.after(wait, Happening::Audit(at, boot));
        }
    }

    /// What a node hands on is what others have handed on, and nothing is left out.
    fn judge_handed(&mut self, at: usize, job: &AuditJob) {
        let desk = &mut self.places[at].desk;
        match job {
            AuditJob::Append { through, records, .. } => {
                let from = std::mem::replace(&mut desk.handed, *through) + 1;
                let here = |index: u64| format!("seed {}: node {}, index {index}", self.seed, at + 1);
                if self.halts.contains(&at) {
                    return;
                }
                assert!(records.is_sorted_by_key(|(index, _)| *index));
                for (index, record) in records {
                    assert!((from..=*through).contains(index), "{}", here(*index));
                    let decoded = AuditRecord::decode(record.clone()).expect("a record");
                    assert_eq!(decoded.index, *index, "{}", here(*index));
                    assert!(
                        *index > self.recorded || self.records.contains_key(index),
                        "{}: others have none",
                        here(*index)
                    );
                }
                for (index, record) in self.records.range(from..=*through) {
                    let own = records.iter().find(|(own, _)| own == index).map(|(_, record)| record);
                    assert_eq!(own, Some(record), "{}", here(*index));
                }
                self.records.extend(records.iter().cloned());
                if from <= self.recorded + 1 {
                    self.recorded = self.recorded.max(*through);
                }
            }
            AuditJob::Reinstalled { index } => desk.handed = desk.handed.max(*index),
            AuditJob::Refused { writes, more } => {
                desk.refused.extend(writes.iter().cloned());
                desk.refused_more += more;
            }
            AuditJob::Sync | AuditJob::Read { .. } => {}
        }
    }

    /// The thread of the audit log does one thing.
    pub(crate) fn work_on_audit(&mut self, at: usize, boot: u64) {
        let place = &mut self.places[at];
        if place.boot != boot || place.desk.held {
            return;
        }
        let Some(work) = &mut place.desk.work else { return };
        let mut done = Vec::new();
        match place.desk.jobs.pop_front() {
            Some(job) => work.run(job, &mut done),
            None => work.retry(&mut done),
        }
        let (failing, more) = (work.is_failing(), !place.desk.jobs.is_empty());
        if failing || more {
            let wait = if more { self.rng.between(0, self.rough.job) } else { 1_000 * MS };
            self.after(wait, Happening::Audit(at, boot));
        }
        for done in done {
            if let AuditDone::Answer(caller, Message::QueryDone(done)) = &done {
                assert!(self.linearizable.contains(caller) && done.staleness_ms == 0);
            }
            self.tell(at, boot, Input::Audit(done));
        }
    }

    /// Work on the audit log is done, or it is not.
    pub(crate) fn hold_audit(&mut self, at: usize, held: bool) {
        let place = &mut self.places[at];
        place.desk.held = held;
        let boot = place.boot;
        self.after(0, Happening::Audit(at, boot));
    }

    /// All records of a node's files, page by page, as a client gets them.
    pub(crate) fn audit_of(&mut self, at: usize, asked: &AuditQuery) -> (AuditPage, Vec<Bytes>) {
        let (mut query, mut records) = (asked.clone(), Vec::new());
        loop {
            let caller = self.query(at, &Query::Audit(query.clone()), 0);
            let Answer::Audit(page) = self.await_answer_to_query(caller) else { panic!("another answer") };
            records.extend(page.records.iter().cloned());
            if page.next == 0 {
                return (page, records);
            }
            assert!(page.next > query.from, "seed {}: it goes on", self.seed);
            query.from = page.next;
        }
    }

    /// In peace, the files of every node hold what all nodes have handed on, from where they say on.
    pub(crate) fn judge_audit(&mut self) {
        for at in 0..self.places.len() {
            if self.places[at].node.is_none() || self.halts.contains(&at) {
                continue;
            }
            self.places[at].desk.held = false;
            let (page, records) = self.audit_of(at, &AuditQuery::default());
            let here = format!("seed {}: node {}", self.seed, at + 1);
            assert!(page.through >= self.node(at).store().applied().index.min(self.recorded), "{here}");
            let known: Vec<&Bytes> =
                self.records.range(page.complete_from..=page.through).map(|(_, record)| record).collect();
            let own: Vec<&Bytes> =
                records.iter().filter(|record| index_of(record) >= page.complete_from).collect();
            let indices = |all: &[&Bytes]| all.iter().map(|one| index_of(one)).collect::<Vec<_>>();
            assert_eq!(indices(&own), indices(&known), "{here}: complete from {}", page.complete_from);
            assert!(own == known, "{here}: the same indices, and other bytes");
        }
    }
}

fn index_of(record: &Bytes) -> u64 {
    decoded(record).index
}

fn decoded(record: &Bytes) -> AuditRecord {
    AuditRecord::decode(record.clone()).expect("a record")
}

/// A put of a key that hangs on a lease.
fn hung(key: &'static str, lease: i64) -> Request {
    Request::from(Command::Put(Put { key: key.into(), value: "v".into(), lease, ..Put::default() }))
}

/// A calm world whose nodes take a snapshot every 20 entries.
fn with_snapshots(seed: u64) -> (World, usize) {
    let mut world = World::with_snapshots(seed, 3, Rough::CALM, (20, 0));
    let leader = world.await_leader();
    (world, leader)
}

fn write(world: &mut World, at: usize, name: &str, count: u64) {
    for number in 0..count {
        world.done(at, &put(&format!("{name}/{number:04}"), "v")).1.expect("it is executed");
    }
}

#[test]
fn every_command_that_changed_something_leaves_one_record_at_every_node_and_nothing_else_does() {
    let (mut world, leader) = World::calm(1, 3);
    let (at, _) = world.done(leader, &Request { reason: "because".into(), ..put("k", "v") });
    let granted =
        world.done(leader, &Request::from(Command::GrantLease(GrantLease { ttl_ms: 5_000, lease: 0 })));
    let Ok(Reply::LeaseGranted { lease, .. }) = granted.1 else { panic!("not granted: {granted:?}") };
    let refused = world.done(leader, &hung("k2", 77)).1;
    assert!(refused.is_err(), "there is no such lease");
    let (changed_nothing, _) = world.done(leader, &crate::away::delete_all("nothing"));
    for _ in 0..8 {
        // Renewals, and the clock of the log.
        let kept = world.keep_lease(leader, lease);
        world.await_answer(kept);
        world.run_ms(1_000);
    }
    world.run_ms(7_000);
    world.until("the lease is over", 10_000, |world| world.node(leader).store().lease(lease).is_none());
    let (last, _) = world.done(leader, &put("k", "w"));
    world.run_ms(500);
    let mut all = Vec::new();
    for node in 0..3 {
        let (page, records) = world.audit_of(node, &AuditQuery::default());
        assert_eq!((page.complete_from, page.missing), (1, vec![]), "node {}", node + 1);
        all.push(records);
    }
    assert!(all[0] == all[1] && all[1] == all[2], "the same bytes at all nodes");
    let records: Vec<AuditRecord> = all[0].iter().map(decoded).collect();
    let commands: Vec<CommandNumber> = records.iter().map(|record| record.command).collect();
    assert!(commands.starts_with(&[CommandNumber::RaiseFeatureLevel]), "{commands:?}");
    let behind: Vec<_> = records.iter().filter(|record| record.index >= at.index).collect();
    let commands: Vec<CommandNumber> = behind.iter().map(|record| record.command).collect();
    let wanted =
        [CommandNumber::Put, CommandNumber::GrantLease, CommandNumber::ExpireLease, CommandNumber::Put];
    assert_eq!(commands, wanted, "no refusal, no renewal, no tick, nothing that changed nothing");
    assert_eq!((behind[0].index, &*behind[0].reason), (at.index, "because"));
    assert_eq!(behind[3].index, last.index);
    assert!(!records.iter().any(|record| record.index == changed_nothing.index));
    world.judge_audit();
}

/// What that entry left is lost with the process: if the log were said to be complete up to it, no later build would make
/// the record again.
#[test]
fn an_entry_that_a_node_halts_at_is_not_said_to_have_left_its_record() {
    let raise = |level| {
        let request =
            Request::from(Command::RaiseFeatureLevel(RaiseFeatureLevel { level: FeatureLevel(level) }));
        let entry = Entry { envelope: Envelope { actor: Actor::Cluster, ..Envelope::default() }, request };
        holdfast_raft::Entry {
            term: holdfast_raft::Term(1),
            payload: holdfast_raft::Payload::Data(entry.encode()),
        }
    };
    // The last one is beyond what this build knows.
    let entries: Vec<_> = (FeatureLevel::FIRST.0 + 1..=FeatureLevel::LATEST.0 + 1).map(raise).collect();
    // Behind the configuration that the log begins with.
    let halts_at = 1 + entries.len() as u64;
    for seed in 0..60 {
        let mut world = World::with_entries(seed, &entries);
        world.halts.insert(0);
        world.until("it halts", 20_000, |world| world.places[0].node.is_none());
        assert!(world.places[0].desk.handed < halts_at, "seed {seed}");
    }
}

#[test]
fn a_snapshot_waits_until_the_audit_log_is_durable_up_to_its_end() {
    let (mut world, leader) = with_snapshots(2);
    world.hold_audit(leader, true);
    write(&mut world, leader, "k", 60);
    world.run_ms(3_000);
    let covered: Vec<u64> = world.places.iter().map(|place| place.covered).collect();
    assert_eq!(covered[leader], 0, "it would stand for records that are nowhere");
    assert_eq!(covered.iter().filter(|covered| **covered >= 40).count(), 2, "{covered:?}");
    world.hold_audit(leader, false);
    world.until("its own", 5_000, |world| world.places[leader].covered >= 20);
    world.judge_audit();
}

#[test]
fn what_a_crash_takes_of_the_audit_log_is_made_again() {
    for seed in 100..130 {
        println!("seed {seed}");
        let (mut world, _) = with_snapshots(seed);
        for round in 0..6 {
            let leader = world.await_leader();
            write(&mut world, leader, &format!("r{round}"), 15);
            for at in 0..3 {
                world.crash(at);
                world.start(at);
            }
        }
        world.await_leader();
        world.judge_audit();
        for at in 0..3 {
            let (page, records) = world.audit_of(at, &AuditQuery::default());
            assert_eq!((page.complete_from, page.missing), (1, vec![]), "seed {seed}: node {}", at + 1);
            assert!(records.len() >= 90, "seed {seed}: {}", records.len());
        }
    }
}

#[test]
fn a_node_that_was_given_a_state_says_from_where_on_it_has_records() {
    let (mut world, leader) = with_snapshots(3);
    let away = usize::from(leader == 0);
    world.isolate(away);
    write(&mut world, leader, "k", 60);
    world.until("the log does not reach back", 5_000, |world| {
        world.node(leader).core().prev() > world.node(away).core().last()
    });
    world.heal();
    world.until("the state is replaced", 10_000, |world| world.places[away].snapshots[1] == 1);
    write(&mut world, leader, "behind", 5);
    let covered = world.node(away).core().snapshot().map_or(0, |meta| meta.last.index.0);
    for _ in 0..2 {
        let (page, records) = world.audit_of(away, &AuditQuery::default());
        assert!(page.complete_from > 20 && page.complete_from <= covered + 1, "{page:?}");
        let [missing] = page.missing[..] else { panic!("one gap: {:?}", page.missing) };
        assert_eq!((missing.last + 1, missing.why), (page.complete_from, MissingReason::Passed));
        assert!(records.len() >= 5);
        // It knows that after a start as well.
        world.crash(away);
        world.start(away);
        world.until("it follows", 10_000, |world| world.node(away).is_ready());
    }
    world.judge_audit();
}

/// A request that leaves a record of a quarter of a MiB.
fn large() -> Request {
    let one = |number: u32| {
        let key = Bytes::from(format!("{number:04}{}", "k".repeat(4_000)));
        Operation::Put(Put { key, value: Bytes::new(), ..Put::default() })
    };
    let then = (0..64).map(one).collect();
    Request::from(Command::Transact(Transaction { then, ..Transaction::default() }))
}

#[test]
fn a_stalled_audit_log_stops_applying_at_its_bound_and_goes_on_with_nothing_lost() {
    let (mut world, leader) = World::calm(4, 3);
    let stalled = usize::from(leader == 0);
    world.hold_audit(stalled, true);
    for _ in 0..160 {
        world.done(leader, &large()).1.expect("it is executed");
    }
    world.run_ms(500);
    let node = world.node(stalled);
    let (behind, commit) = (node.store().applied().index, node.core().commit().0);
    assert!(behind + 10 < commit, "applied {behind} of {commit}");
    let bytes = node.audit_outstanding_bytes();
    assert!((limits::AUDIT_BYTES_MAX..limits::AUDIT_BYTES_MAX + (300 << 10)).contains(&bytes), "{bytes}");
    let turns = node.counts().turns;
    world.run_ms(2_000);
    let turns = world.node(stalled).counts().turns - turns;
    assert!((200..2_000).contains(&turns), "{turns} turns: ticks go on, and nothing spins");
    assert_eq!(world.node(stalled).store().applied().index, behind);
    // A read there waits, and is answered when it goes on.
    let waiting = world.read(stalled, read(Consistency::Linearizable, Span::Key("k".into()), None));
    world.run_ms(500);
    assert_eq!(world.answer(waiting), None);
    world.hold_audit(stalled, false);
    assert!(matches!(world.await_answer(waiting), Message::ReadDone(_)));
    world.until("all are equally far", 20_000, World::all_equally_far);
    world.judge_audit();
    assert!(world.audit_of(stalled, &AuditQuery::default()).1.len() >= 160);
    world.run_ms(500);
    assert!(world.node(stalled).audit_outstanding_bytes() < 4_096, "what is written counts no more");
}

#[test]
fn a_query_covers_what_was_applied_before_it_at_any_node_and_gives_what_it_asks_for() {
    let (mut world, leader) = World::calm(5, 3);
    for round in 0..20 {
        let (at, _) = world.done(leader, &put(&format!("a/{round}"), "v"));
        world.done(leader, &put(&format!("b/{round}"), "v")).1.expect("it is executed");
        let node = round % 3;
        let asked = AuditQuery { from: at.index, prefix: "a/".into(), ..AuditQuery::default() };
        let (page, records) = world.audit_of(node, &asked);
        assert!(page.through > at.index, "round {round}");
        assert_eq!(records.iter().map(index_of).collect::<Vec<_>>(), [at.index], "round {round}");
    }
    let asked = AuditQuery { limit: 7, prefix: "b/".into(), ..AuditQuery::default() };
    assert_eq!(world.audit_of(leader, &asked).1.len(), 20, "in three pages");
    let asked = AuditQuery { actor: Some("ada".into()), ..AuditQuery::default() };
    assert!(world.audit_of(leader, &asked).1.is_empty());
}

#[test]
fn more_queries_of_the_audit_log_than_the_bound_are_refused_and_do_not_wait() {
    let (mut world, leader) = World::calm(6, 3);
    world.hold_audit(leader, true);
    let ask = |world: &mut World| world.query(leader, &Query::Audit(AuditQuery::default()), 0);
    let waiting: Vec<Caller> = (0..limits::AUDIT_READS_MAX).map(|_| ask(&mut world)).collect();
    world.run_ms(100);
    let beyond = ask(&mut world);
    assert_eq!(world.await_refusal(beyond).0, Code::Overloaded);
    assert!(waiting.iter().all(|caller| world.answer(*caller).is_none()));
    world.hold_audit(leader, false);
    for caller in waiting {
        assert!(matches!(world.await_answer_to_query(caller), Answer::Audit(_)));
    }
    let again = ask(&mut world);
    assert!(matches!(world.await_answer_to_query(again), Answer::Audit(_)));
}

#[test]
fn a_full_disk_costs_no_records_and_is_said_once_each_way() {
    let (mut world, leader) = with_snapshots(7);
    write(&mut world, leader, "before", 5);
    world.run_ms(500);
    world.places[leader].desk.disk.set_capacity(1_000);
    write(&mut world, leader, "k", 60);
    world.run_ms(5_000);
    let desk = &world.places[leader].desk;
    assert!(desk.failures >= 1 && desk.recoveries == 0, "{} {}", desk.failures, desk.recoveries);
    assert_eq!(world.places[leader].covered, 0, "no snapshot meanwhile");
    world.places[leader].desk.disk.set_capacity(1 << 30);
    world.until("a snapshot", 10_000, |world| world.places[leader].covered > 0);
    assert_eq!(world.places[leader].desk.recoveries, 1);
    world.judge_audit();
    assert_eq!(world.audit_of(leader, &AuditQuery::default()).0.complete_from, 1);
}

#[test]
fn a_refused_write_is_noted_with_who_and_why_and_one_that_went_to_the_wrong_node_is_not() {
    let (mut world, leader) = World::calm(8, 3);
    let submit = |world: &mut World, at: usize, request: Request| {
        let (caller, actor) = (world.caller(), Actor::Named("ada".into()));
        let address = Some(([10, 0, 0, 9].into(), 7));
        let (request, timeout_ms) = (request.encode(), 0);
        let submission =
            Submission { caller, actor, address, request, timeout_ms, at: u64::MAX, keyed_here: false };
        world.input(at, Input::Submit(submission));
        world.await_answer(caller)
    };
    // At admission, and by the state.
    submit(&mut world, leader, put("", "v"));
    submit(&mut world, leader, hung("k", 77));
    submit(&mut world, leader, put("k", "v"));
    let elsewhere = (leader + 1) % 3;
    submit(&mut world, elsewhere, put("k", "v"));
    world.run_ms(300);
    let noted: Vec<_> = world.places[leader].desk.refused.iter().collect();
    let codes: Vec<Code> = noted.iter().map(|noted| noted.refusal.code()).collect();
    assert_eq!(codes, [Code::EmptyKey, Code::UnknownLease]);
    for write in noted {
        assert_eq!(write.actor, Actor::Named("ada".into()));
        assert_eq!(write.address, Some(([10, 0, 0, 9].into(), 7)));
        assert_eq!(write.command, Some(CommandNumber::Put.number()));
    }
    assert!(world.places[elsewhere].desk.refused.is_empty(), "it was only sent on");
    assert!(world.places[leader].desk.disk.names().iter().any(|name| name == "refused.jsonl"));
}

#[test]
fn more_refusals_than_there_is_room_for_are_counted() {
    let (mut world, leader) = World::calm(9, 3);
    world.hold_audit(leader, true);
    for _ in 0..10 * limits::REFUSED_NOTED {
        world.submit(leader, &put("", "v"), 0);
    }
    world.run_ms(1_000);
    // One batch is on its way, and one waits; the rest is a number.
    assert_eq!(world.places[leader].desk.refused.len(), limits::REFUSED_NOTED);
    world.hold_audit(leader, false);
    world.run_ms(1_000);
    let desk = &world.places[leader].desk;
    assert!(desk.refused.len() <= 2 * limits::REFUSED_NOTED, "{}", desk.refused.len());
    assert_eq!(desk.refused.len() as u64 + desk.refused_more, 10 * limits::REFUSED_NOTED as u64);
}

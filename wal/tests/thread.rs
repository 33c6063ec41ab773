//! The thread: what it promises to those who submit, on a disk that can be held and broken.

#[path = "thread/gate.rs"]
mod gate;

use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use gate::Gate;
use holdfast_handoff::batch::Limits;
use holdfast_handoff::park::{Parker, parker};
use holdfast_handoff::watermark::{Wait, Waiter};
use holdfast_wal::disk::{Call, FakeDisk, Fault, Injection};
use holdfast_wal::thread::{Failure, Handle, Running, Settings, Ticket, Why, start};
use holdfast_wal::{AsDesigned, Group, Identity, Log, Op, Options, Refusal};

const SEGMENT: u64 = 64 * 1024;
/// What the meta file takes.
const META: u64 = 12 * 1024;
/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3600);

type WalLog = Log<Gate, AsDesigned>;

fn options(segment_bytes: u64) -> Options {
    let identity = Identity { cluster: [1; 16], node: [2; 16] };
    Options { segment_bytes, ..Options::new(identity, 3) }
}

fn patient() -> Settings {
    Settings { idle: NEVER, retry: NEVER, ..Settings::default() }
}

/// A log behind its thread, and whoever submits to it.
struct Fixture {
    gate: Gate,
    handle: Handle,
    waiter: Waiter,
    parker: Parker,
    running: Running<Gate, AsDesigned>,
    failures: Receiver<Failure>,
    /// The last index that was accepted.
    index: u64,
}

impl Fixture {
    /// On a disk without end, with segments prepared.
    fn new(settings: Settings) -> Self {
        Self::on(Gate::new(FakeDisk::new(u64::MAX)), settings)
    }

    fn on(gate: Gate, settings: Settings) -> Self {
        let mut log: WalLog = Log::create(gate.clone(), options(SEGMENT)).unwrap();
        log.prepare().unwrap();
        Self::with(log, gate, settings)
    }

    fn with(log: WalLog, gate: Gate, mut settings: Settings) -> Self {
        let (report, failures) = channel();
        settings.on_fatal = Box::new(move |failure| report.send(failure).unwrap());
        let (parker, waker) = parker();
        let (handle, waiter, running) = start(log, settings, waker).unwrap();
        Self { gate, handle, waiter, parker, running, failures, index: 0 }
    }

    fn entry(&self, bytes: usize) -> Op {
        entry(self.index + 1, bytes)
    }

    /// Submits an entry that is the next one.
    fn submit(&mut self, bytes: usize) -> Result<Ticket, Why> {
        let ops = vec![self.entry(bytes)];
        let ticket = self.handle.submit(ops).map_err(|refused| refused.why)?;
        self.index += 1;
        Ok(ticket)
    }

    /// Submits until the disk is full, and says what the refusal says of it.
    fn fill(&mut self) -> (u64, u64) {
        loop {
            match self.submit(1000) {
                Ok(ticket) => assert_eq!(self.wait_for(ticket), Wait::Reached(ticket.0)),
                Err(Why::NoSpace { free, needed }) => return (free, needed),
                Err(Why::Preparing) => self.parker.park(),
                Err(why) => panic!("{why}"),
            }
        }
    }

    /// Sleeps until the ticket is durable, or never will be.
    fn wait_for(&mut self, ticket: Ticket) -> Wait {
        loop {
            match self.waiter.wait_for(ticket.0) {
                Wait::Pending => self.parker.park(),
                found => return found,
            }
        }
    }

    /// Sleeps until the ticket is durable.
    fn finish(&mut self, ticket: Ticket) {
        let found = self.wait_for(ticket);
        assert!(matches!(found, Wait::Reached(_)), "{found:?}");
    }

    fn stop(self) -> WalLog {
        drop(self.handle);
        self.running.join()
    }
}

fn entry(index: u64, bytes: usize) -> Op {
    Op::Entry { group: Group(0), index, term: 1, body: Bytes::from(vec![index as u8; bytes]) }
}

fn last(log: &WalLog) -> u64 {
    log.bounds(Group(0)).map_or(0, |bounds| bounds.last)
}

/// What the log holds after a power cut that kept nothing but what was synced.
fn last_after_power_cut(gate: &Gate) -> u64 {
    let durable = gate.disk.after_power_cut(&vec![0; gate.disk.unsynced().len()]);
    let (log, _) = Log::open(Gate::new(durable), options(SEGMENT)).unwrap();
    last(&log)
}

#[test]
fn tickets_count_up_by_one_from_1() {
    let mut wal = Fixture::new(patient());
    let tickets: Vec<Ticket> = (0..3).map(|_| wal.submit(10).unwrap()).collect();
    assert_eq!(tickets, [Ticket(1), Ticket(2), Ticket(3)]);
}

#[test]
fn what_the_watermark_says_survives_a_power_cut() {
    let mut wal = Fixture::new(patient());
    for count in 1..=5 {
        let ticket = wal.submit(100).unwrap();
        assert_eq!(wal.wait_for(ticket), Wait::Reached(count));
        assert_eq!(last_after_power_cut(&wal.gate), count);
    }
}

#[test]
fn entries_come_back_in_the_order_they_were_submitted() {
    let mut wal = Fixture::new(patient());
    for bytes in 1..=20 {
        wal.submit(bytes).unwrap();
    }
    let log = wal.stop();
    let lengths: Vec<usize> = (1..=20).map(|index| log.read(Group(0), index).unwrap().body.len()).collect();
    assert_eq!(lengths, (1..=20).collect::<Vec<usize>>());
}

#[test]
fn what_arrives_during_one_sync_takes_one_more() {
    let mut wal = Fixture::new(patient());
    wal.gate.hold(Call::Sync);
    wal.submit(10).unwrap();
    wal.gate.wait_until_held();
    for _ in 0..10 {
        wal.submit(10).unwrap();
    }
    wal.gate.release();
    let ticket = wal.handle.last();
    wal.finish(ticket);
    assert_eq!(wal.running.stats().counters().batches, 2);
}

#[test]
fn what_arrives_during_one_sync_is_written_with_one_call() {
    let mut wal = Fixture::new(patient());
    wal.gate.hold(Call::Sync);
    wal.submit(10).unwrap();
    wal.gate.wait_until_held();
    let before = wal.gate.writes();
    for _ in 0..10 {
        wal.submit(10).unwrap();
    }
    wal.gate.release();
    let ticket = wal.handle.last();
    wal.finish(ticket);
    assert_eq!(wal.gate.writes() - before, 1);
}

#[test]
fn nothing_is_reported_while_the_sync_runs() {
    let mut wal = Fixture::new(patient());
    wal.gate.hold(Call::Sync);
    wal.submit(10).unwrap();
    wal.gate.wait_until_held();
    assert_eq!(wal.waiter.reader().get(), 0);
    wal.gate.release();
}

#[test]
fn a_failed_sync_is_reported_and_acknowledges_nothing_more() {
    let mut wal = Fixture::new(patient());
    let before = wal.submit(10).unwrap();
    wal.finish(before);
    wal.gate.disk.inject(Injection { call: Call::Sync, skip: 0, fault: Fault::FailClean(ErrorKind::Other) });
    let ticket = wal.submit(10).unwrap();
    assert_eq!(wal.wait_for(ticket), Wait::Closed(before.0));
    assert!(matches!(wal.failures.recv().unwrap(), Failure::Disk(_)));
}

#[test]
fn a_failed_write_is_reported_and_acknowledges_nothing_more() {
    let mut wal = Fixture::new(patient());
    wal.gate.disk.inject(Injection { call: Call::Write, skip: 0, fault: Fault::Fail(ErrorKind::Other) });
    let ticket = wal.submit(10).unwrap();
    assert_eq!(wal.wait_for(ticket), Wait::Closed(0));
    assert!(matches!(wal.failures.recv().unwrap(), Failure::Disk(_)));
}

#[test]
fn a_failure_is_reported_once() {
    let mut wal = Fixture::new(patient());
    wal.gate.disk.inject(Injection { call: Call::Sync, skip: 0, fault: Fault::FailClean(ErrorKind::Other) });
    let ticket = wal.submit(10).unwrap();
    assert_eq!(wal.wait_for(ticket), Wait::Closed(0));
    drop(wal.handle);
    let _ = wal.running.join();
    assert_eq!(wal.failures.iter().count(), 1);
}

#[test]
fn after_a_failure_submissions_are_refused_with_their_operations() {
    let mut wal = Fixture::new(patient());
    wal.gate.disk.inject(Injection { call: Call::Sync, skip: 0, fault: Fault::FailClean(ErrorKind::Other) });
    let ticket = wal.submit(10).unwrap();
    assert_eq!(wal.wait_for(ticket), Wait::Closed(0));
    // The watermark is closed before the queue is; both are, once the thread has ended.
    let _ = wal.running.join();
    let ops = vec![entry(2, 10)];
    let refused = wal.handle.submit(ops.clone()).unwrap_err();
    assert_eq!((refused.why, refused.ops), (Why::Stopped, ops));
}

/// Submits an operation that the log refuses, at a place in the last of three submissions that are written
/// together. Says which place in which submission the failure names.
fn refused_at(place: u64) -> (Ticket, usize) {
    let mut wal = Fixture::new(patient());
    wal.gate.hold(Call::Sync);
    wal.submit(10).unwrap();
    wal.gate.wait_until_held();
    wal.submit(10).unwrap();
    wal.submit(10).unwrap();
    let gap = |at: u64| entry(if at < place { 4 + at } else { 100 }, 10);
    wal.handle.submit((0..=place).map(gap).collect()).unwrap();
    wal.gate.release();
    match wal.failures.recv().unwrap() {
        Failure::Refused { ticket, at, why: Refusal::NotContiguous { index: 100, .. } } => (ticket, at),
        failure => panic!("{failure}"),
    }
}

#[test]
fn an_operation_that_the_log_refuses_is_named_in_the_failure() {
    assert_eq!([0, 1, 2].map(refused_at), [(Ticket(4), 0), (Ticket(4), 1), (Ticket(4), 2)]);
}

#[test]
fn a_queue_that_is_full_of_submissions_gives_the_operations_back() {
    let mut wal = Fixture::new(Settings { limits: Limits { items: 2, bytes: 1 << 20 }, ..patient() });
    wal.gate.hold(Call::Sync);
    wal.submit(10).unwrap();
    wal.gate.wait_until_held();
    wal.submit(10).unwrap();
    wal.submit(10).unwrap();
    let ops = vec![wal.entry(10)];
    let refused = wal.handle.submit(ops.clone()).unwrap_err();
    assert_eq!((refused.why, refused.ops), (Why::Full(Limits { items: 2, bytes: 1 << 20 }), ops));
    wal.gate.release();
}

#[test]
fn a_queue_that_is_full_of_bytes_refuses() {
    let mut wal = Fixture::new(Settings { limits: Limits { items: 10, bytes: 2500 }, ..patient() });
    wal.gate.hold(Call::Sync);
    wal.submit(10).unwrap();
    wal.gate.wait_until_held();
    wal.submit(1000).unwrap();
    wal.submit(1000).unwrap();
    assert_eq!(wal.submit(1000), Err(Why::Full(Limits { items: 10, bytes: 2500 })));
    wal.gate.release();
}

#[test]
fn what_a_full_queue_holds_becomes_durable() {
    let mut wal = Fixture::new(Settings { limits: Limits { items: 2, bytes: 1 << 20 }, ..patient() });
    wal.gate.hold(Call::Sync);
    wal.submit(10).unwrap();
    wal.gate.wait_until_held();
    wal.submit(10).unwrap();
    wal.submit(10).unwrap();
    wal.submit(10).unwrap_err();
    wal.gate.release();
    assert_eq!(wal.wait_for(Ticket(3)), Wait::Reached(3));
}

#[test]
fn a_submission_that_never_fits_is_told_so() {
    let mut wal = Fixture::new(patient());
    let ops = vec![wal.entry(SEGMENT as usize / 2), wal.entry(SEGMENT as usize / 2)];
    assert!(matches!(wal.handle.submit(ops).unwrap_err().why, Why::TooLarge { .. }));
}

#[test]
fn what_was_refused_while_a_segment_is_prepared_is_accepted_after_the_wake() {
    let gate = Gate::new(FakeDisk::new(u64::MAX));
    let log = Log::create(gate.clone(), options(SEGMENT)).unwrap();
    gate.hold(Call::Create);
    let mut wal = Fixture::with(log, gate, patient());
    assert_eq!(wal.submit(20_000), Err(Why::Preparing));
    wal.gate.release();
    while wal.submit(20_000) == Err(Why::Preparing) {
        wal.parker.park();
    }
    assert_eq!(wal.wait_for(Ticket(1)), Wait::Reached(1));
}

#[test]
fn who_waits_for_a_segment_is_woken_to_hear_that_the_disk_is_full() {
    let gate = Gate::new(FakeDisk::new(META + SEGMENT));
    let log = Log::create(gate.clone(), options(SEGMENT)).unwrap();
    gate.hold(Call::Create);
    let mut wal = Fixture::with(log, gate, patient());
    assert_eq!(wal.submit(20_000), Err(Why::Preparing));
    wal.gate.release();
    wal.parker.park();
    assert_eq!(wal.submit(20_000), Err(Why::NoSpace { free: 0, needed: SEGMENT }));
}

#[test]
fn segments_are_prepared_by_the_preparer_alone() {
    let gate = Gate::new(FakeDisk::new(u64::MAX));
    let log = Log::create(gate.clone(), options(SEGMENT)).unwrap();
    let before = gate.allocators();
    let mut wal = Fixture::with(log, gate, patient());
    while wal.running.stats().counters().log.rotations < 5 {
        match wal.submit(3000) {
            Ok(ticket) => assert_eq!(wal.wait_for(ticket), Wait::Reached(ticket.0)),
            Err(why) => {
                assert_eq!(why, Why::Preparing);
                wal.parker.park();
            }
        }
    }
    let mut all = wal.gate.allocators();
    all.retain(|name| !before.contains(name));
    assert_eq!(all, ["wal-prepare"]);
}

#[test]
fn a_segment_that_cannot_be_prepared_ends_the_thread_if_the_disk_is_not_full() {
    let gate = Gate::new(FakeDisk::new(u64::MAX));
    let log = Log::create(gate.clone(), options(SEGMENT)).unwrap();
    gate.disk.inject(Injection { call: Call::Create, skip: 0, fault: Fault::Fail(ErrorKind::Other) });
    let wal = Fixture::with(log, gate, patient());
    assert!(matches!(wal.failures.recv().unwrap(), Failure::Preparing(_)));
}

/// A disk on which just one segment and the two prepared ones fit.
fn small_disk() -> Gate {
    Gate::new(FakeDisk::new(META + 3 * SEGMENT + 1000))
}

#[test]
fn a_full_disk_refuses_entries_and_says_what_is_free_and_needed() {
    let mut wal = Fixture::on(small_disk(), patient());
    assert_eq!(wal.fill(), (1000, SEGMENT));
}

#[test]
fn a_full_disk_leaves_the_reserve_alone() {
    let mut wal = Fixture::on(small_disk(), patient());
    wal.fill();
    assert_eq!(wal.running.stats().counters().log.rotations, 1);
}

#[test]
fn what_was_accepted_before_the_disk_was_full_is_durable() {
    let mut wal = Fixture::on(small_disk(), patient());
    wal.fill();
    assert_eq!(last_after_power_cut(&wal.gate), wal.index);
}

#[test]
fn a_vote_passes_when_entries_are_refused() {
    let mut wal = Fixture::on(small_disk(), patient());
    wal.fill();
    let vote = Op::HardState { group: Group(0), term: 2, vote: 7 };
    let ticket = wal.handle.submit(vec![vote]).unwrap();
    assert_eq!(wal.wait_for(ticket), Wait::Reached(ticket.0));
}

#[test]
fn a_trim_fits_also_when_votes_have_begun_the_reserve_and_entries_were_tried_behind_them() {
    let mut wal = Fixture::on(small_disk(), patient());
    wal.fill();
    let mut term = 2;
    while wal.running.stats().counters().log.rotations < 2 {
        let vote = Op::HardState { group: Group(0), term, vote: 7 };
        let ticket = wal.handle.submit(vec![vote]).unwrap();
        wal.finish(ticket);
        term += 1;
    }
    wal.fill();
    let ticket = wal.handle.submit(vec![Op::Trim { group: Group(0), first: wal.index }]).unwrap();
    wal.finish(ticket);
}

#[test]
fn a_trim_makes_a_full_disk_accept_entries_again() {
    let mut wal = Fixture::on(small_disk(), patient());
    wal.fill();
    let first = wal.index + 1;
    wal.handle.submit(vec![Op::Trim { group: Group(0), first }]).unwrap();
    while let Err(why) = wal.submit(1000) {
        assert!(matches!(why, Why::NoSpace { .. } | Why::Preparing), "{why}");
        wal.parker.park();
    }
    assert_eq!(last(&wal.stop()), first);
}

#[test]
fn a_full_disk_is_tried_again_without_anything_being_submitted() {
    let mut wal = Fixture::on(small_disk(), Settings { retry: Duration::from_millis(1), ..patient() });
    wal.fill();
    wal.gate.disk.set_capacity(u64::MAX);
    while let Err(why) = wal.submit(1000) {
        assert!(matches!(why, Why::NoSpace { .. } | Why::Preparing), "{why}");
        wal.parker.park();
    }
    assert!(wal.running.stats().counters().shortages > 0);
}

/// The next of a sequence of numbers without pattern, below `limit`.
fn draw(state: &mut u64, limit: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % limit
}

#[test]
fn what_is_accepted_never_runs_out_of_room() {
    for seed in 0..60 {
        let mut state = seed;
        let size = [16, 32, 64][draw(&mut state, 3) as usize] * 1024;
        let gate = Gate::new(FakeDisk::new(META + size * (3 + draw(&mut state, 3))));
        let mut log: WalLog = Log::create(gate.clone(), options(size)).unwrap();
        log.prepare().unwrap();
        // Half of them with a mark whenever the queue is empty.
        let idle = if seed % 2 == 0 { NEVER } else { Duration::ZERO };
        let mut wal = Fixture::with(log, gate, Settings { idle, ..patient() });
        let mut term = 1;
        for _ in 0..300 {
            if draw(&mut state, 20) == 0 {
                wal.gate.hold(Call::Sync);
            } else if draw(&mut state, 10) == 0 {
                wal.gate.release();
            }
            let op = match draw(&mut state, 12) {
                0 => {
                    term += 1;
                    Op::HardState { group: Group(0), term, vote: 1 }
                }
                1 if wal.index > 0 => {
                    let first = wal.index + 1 - draw(&mut state, wal.index.min(4));
                    Op::Trim { group: Group(0), first }
                }
                kind => {
                    let most = if kind == 2 { size / 4 } else { 700 };
                    wal.entry(draw(&mut state, most) as usize)
                }
            };
            let grows = matches!(op, Op::Entry { .. });
            if wal.handle.submit(vec![op]).is_ok() && grows {
                wal.index += 1;
            }
        }
        wal.gate.release();
        let ticket = wal.handle.last();
        assert_eq!(
            wal.wait_for(ticket),
            Wait::Reached(ticket.0),
            "seed {seed}: {:?}",
            wal.failures.try_recv()
        );
    }
}

#[test]
fn a_mark_is_written_when_nothing_arrives() {
    let mut wal = Fixture::new(Settings { idle: Duration::from_millis(1), ..patient() });
    let ticket = wal.submit(10).unwrap();
    wal.finish(ticket);
    while wal.running.stats().counters().marks == 0 {
        std::thread::yield_now();
    }
    let log = wal.stop();
    assert_eq!(log.counts().records, 3, "a checkpoint, an entry, a mark");
}

#[test]
fn one_mark_is_written_for_as_long_as_nothing_arrives() {
    let mut wal = Fixture::new(Settings { idle: Duration::ZERO, ..patient() });
    for _ in 0..50 {
        let ticket = wal.submit(10).unwrap();
        wal.finish(ticket);
    }
    let stats = wal.running.stats();
    let _ = wal.stop();
    assert!(stats.counters().marks <= 50, "{:?}", stats.counters());
}

#[test]
fn a_stop_makes_durable_what_was_accepted() {
    let mut wal = Fixture::new(patient());
    wal.gate.hold(Call::Sync);
    wal.submit(10).unwrap();
    wal.gate.wait_until_held();
    for _ in 0..5 {
        wal.submit(10).unwrap();
    }
    let gate = wal.gate.clone();
    drop(wal.handle);
    gate.release();
    let _ = wal.running.join();
    assert_eq!(last_after_power_cut(&gate), 6);
}

#[test]
fn a_stop_says_in_the_log_that_its_last_batch_is_durable() {
    let mut wal = Fixture::new(patient());
    wal.submit(10).unwrap();
    let stats = wal.running.stats();
    let _ = wal.stop();
    assert_eq!(stats.counters().marks, 1);
}

#[test]
fn a_stop_is_no_failure() {
    let mut wal = Fixture::new(patient());
    wal.submit(10).unwrap();
    drop(wal.handle);
    let _ = wal.running.join();
    assert_eq!(wal.failures.iter().count(), 0);
}

#[test]
fn after_a_stop_the_watermark_is_closed_at_the_last_ticket() {
    let mut wal = Fixture::new(patient());
    wal.submit(10).unwrap();
    drop(wal.handle);
    let _ = wal.running.join();
    assert_eq!(wal.waiter.wait_for(2), Wait::Closed(1));
}

#[test]
fn a_stop_lets_go_of_the_directory() {
    let mut wal = Fixture::new(patient());
    wal.submit(10).unwrap();
    let gate = wal.gate.clone();
    drop(wal.stop());
    assert!(Log::<_, AsDesigned>::open(gate, options(SEGMENT)).is_ok());
}

#[test]
fn a_stop_keeps_the_segment_that_was_being_prepared() {
    let gate = Gate::new(FakeDisk::new(u64::MAX));
    let log = Log::create(gate.clone(), options(SEGMENT)).unwrap();
    gate.hold(Call::Create);
    let wal = Fixture::with(log, gate.clone(), patient());
    gate.wait_until_held();
    drop(wal.handle);
    gate.release();
    let mut log = wal.running.join();
    let segments = gate.disk.names().iter().filter(|name| name.ends_with(".seg")).count() as u64;
    let known = log.wants_prepared().map_or(3, |wanted| wanted.number() - 1);
    assert_eq!(known, segments);
}

#[test]
fn a_batch_is_counted_before_it_is_reported() {
    let mut wal = Fixture::new(patient());
    for count in 1..=20 {
        let ticket = wal.submit(10).unwrap();
        wal.finish(ticket);
        assert_eq!(wal.running.stats().counters().submissions, count);
    }
}

#[test]
fn snapshots_add_up() {
    let mut wal = Fixture::new(patient());
    let stats = wal.running.stats();
    for count in 1..=20 {
        let ticket = wal.submit(10).unwrap();
        wal.finish(ticket);
        assert_eq!(stats.snapshot().batches.sync_nanos.len(), count);
    }
}

#[test]
fn a_snapshot_does_not_wait_for_the_disk() {
    let mut wal = Fixture::new(patient());
    wal.gate.hold(Call::Sync);
    wal.submit(10).unwrap();
    wal.gate.wait_until_held();
    assert_eq!(wal.running.stats().snapshot().counters.batches, 0);
    wal.gate.release();
}

#[test]
fn refusals_are_counted() {
    let mut wal = Fixture::new(Settings { limits: Limits { items: 0, bytes: 0 }, ..patient() });
    wal.submit(10).unwrap_err();
    assert_eq!(wal.running.stats().counters().refusals, 1);
}

//! The thread: what it promises to those who submit, on a disk that can be held and broken.

#[path = "thread/fixture.rs"]
mod fixture;
#[path = "thread/full_disk.rs"]
mod full_disk;
#[path = "thread/gate.rs"]
mod gate;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use fixture::{Fixture, META, SEGMENT, entry, last_after_power_cut, options, patient};
use gate::Gate;
use holdfast_handoff::batch::Limits;
use holdfast_handoff::watermark::Wait;
use holdfast_wal::disk::{Call, FakeDisk, Fault, Injection};
use holdfast_wal::thread::{Failure, Settings, SyncDelay, Ticket, Why};
use holdfast_wal::{AsDesigned, Group, Log, Refusal};

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
fn in_a_drill_nothing_is_reported_earlier_and_the_wait_counts_as_the_sync() {
    const DELAY: Duration = Duration::from_millis(30);
    let sync_delay = SyncDelay::default();
    sync_delay.set(DELAY);
    let mut wal = Fixture::new(Settings { sync_delay, ..patient() });
    for count in 1..=3 {
        let began = Instant::now();
        let ticket = wal.submit(100).unwrap();
        assert_eq!(wal.wait_for(ticket), Wait::Reached(count));
        assert!(began.elapsed() >= DELAY, "a lower bound: no load makes it shorter");
        assert_eq!(last_after_power_cut(&wal.gate), count, "a drill weakens no sync");
    }
    let syncs = wal.running.stats().snapshot().batches.sync_nanos;
    // The histogram keeps three digits.
    assert!(syncs.len() == 3 && Duration::from_nanos(syncs.min()) >= DELAY * 99 / 100, "{}", syncs.min());
}

#[test]
fn a_sync_that_waits_for_a_drill_ends_with_the_drill() {
    let sync_delay = SyncDelay::default();
    sync_delay.set(Duration::from_secs(3600));
    let mut wal = Fixture::new(Settings { sync_delay: sync_delay.clone(), ..patient() });
    wal.gate.hold(Call::Sync);
    let ticket = wal.submit(10).unwrap();
    wal.gate.wait_until_held();
    wal.gate.release();
    sync_delay.set(Duration::ZERO);
    wal.finish(ticket);
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

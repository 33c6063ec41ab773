//! A full disk: met before anything is accepted, and over without anybody's doing.

use std::time::Duration;

use holdfast_handoff::watermark::Wait;
use holdfast_wal::disk::{Call, FakeDisk};
use holdfast_wal::thread::{Settings, Why};
use holdfast_wal::{Group, Log, Op};

use crate::fixture::{Fixture, META, NEVER, SEGMENT, WalLog, last, last_after_power_cut, options, patient};
use crate::gate::Gate;

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

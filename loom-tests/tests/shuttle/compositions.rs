//! One test per way in which a node puts the structures together.

use std::collections::BTreeSet;

use shuttle::sync::Arc;
use shuttle::thread;

use crate::batch::{Consumer, Limits, Take, batch};
use crate::clock::Clock;
use crate::explore;
use crate::latch::{Party, Signal, latch};
use crate::park::{Parker, parker};
use crate::stamp::{Stamp, UnixMillis};
use crate::stream::{Budget, Gone, Publisher};
use crate::watermark::{Wait, Writer, watermark};

const ROOM: Limits = Limits { items: 1_000, bytes: 1_000 };

/// What the WAL thread does: takes all there is, "syncs" it, publishes the position; sleeps when there is
/// nothing; ends with its queue.
fn wal(mut consumer: Consumer<u64>, mut parker: Parker, mut durable: Writer) -> Vec<u64> {
    let mut log = Vec::new();
    loop {
        match consumer.take() {
            Take::Items(items, _) => {
                log.extend(items);
                durable.publish(log.len() as u64).unwrap();
            }
            Take::Empty => parker.park(),
            Take::Closed => return log,
        }
    }
}

/// Threads: 2. Property: whatever the node appends becomes durable, in order, and the node, asleep for a
/// position, is woken at it.
#[test]
fn an_append_becomes_durable_and_the_node_hears_of_it() {
    explore("an_append_becomes_durable_and_the_node_hears_of_it", 10_000, || {
        let (wal_parker, wal_waker) = parker();
        let (mut node_parker, node_waker) = parker();
        let (producer, consumer) = batch(ROOM, wal_waker);
        let (durable, mut waiter) = watermark(0, node_waker);
        let wal = thread::spawn(move || wal(consumer, wal_parker, durable));
        let mut appended = 0;
        for group in [1, 3, 2] {
            for _ in 0..group {
                appended += 1;
                producer.push(appended, 1).unwrap();
            }
            while waiter.wait_for(appended) == Wait::Pending {
                node_parker.park();
            }
        }
        drop(producer);
        assert_eq!(wal.join().unwrap(), [1, 2, 3, 4, 5, 6]);
    });
}

/// Threads: 5. Property: with four producers the log has every entry once and each producer's in order, and
/// the watermark ends at their number.
#[test]
fn four_producers_share_one_log() {
    explore("four_producers_share_one_log", 10_000, || {
        let (parker, waker) = parker();
        let (_node, node_waker) = crate::park::parker();
        let (producer, consumer) = batch(ROOM, waker);
        let (durable, _waiter) = watermark(0, node_waker);
        let position = durable.reader();
        let producers: Vec<_> = (0..4)
            .map(|id| {
                let producer = producer.clone();
                thread::spawn(move || (0..3).for_each(|n| producer.push(id * 10 + n, 1).unwrap()))
            })
            .collect();
        drop(producer);
        let log = wal(consumer, parker, durable);
        for id in 0..4 {
            let own: Vec<_> = log.iter().filter(|entry| **entry / 10 == id).map(|entry| entry % 10).collect();
            assert_eq!(own, [0, 1, 2]);
        }
        assert_eq!(position.get(), 12);
        producers.into_iter().for_each(|producer| producer.join().unwrap());
    });
}

/// Threads: 4. Property: readers that sleep on a watermark of the stream's length get every event in order,
/// each at its own pace, and the end.
#[test]
fn readers_woken_by_a_watermark_get_every_event() {
    explore("readers_woken_by_a_watermark_get_every_event", 10_000, || {
        let mut publisher = Publisher::new();
        let budget = Budget { events: u64::MAX, bytes: u64::MAX };
        let mut ends = Vec::new();
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (mut parker, waker) = parker();
                let (length, mut waiter) = watermark(0, waker);
                ends.push(length);
                let mut cursor = publisher.subscribe(budget);
                thread::spawn(move || {
                    let mut got = Vec::new();
                    loop {
                        match cursor.advance() {
                            Ok(Some(event)) => got.push(*event),
                            Ok(None) => {
                                if waiter.wait_for(got.len() as u64 + 1) == Wait::Pending {
                                    parker.park();
                                }
                            }
                            Err(gone) => {
                                assert_eq!(gone, Gone::Ended);
                                return got;
                            }
                        }
                    }
                })
            })
            .collect();
        for event in 1..=5 {
            publisher.publish(event, 1);
            for length in &mut ends {
                length.publish(publisher.published()).unwrap();
            }
        }
        drop(publisher);
        drop(ends);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), [1, 2, 3, 4, 5]);
        }
    });
}

/// Carries out phases until the leader goes; says which.
fn serve(mut party: Party, mut parker: Parker) -> Vec<u16> {
    let mut phases = Vec::new();
    loop {
        match party.signal() {
            Signal::Raised(phase) => {
                phases.push(phase);
                party.done(phase).unwrap();
            }
            Signal::Quiet => parker.park(),
            Signal::LeaderGone => return phases,
        }
    }
}

/// Threads: 4, one of which dies. Property: phases complete one after the other, for all who live, and the
/// one who died is counted as abandoned in at most one of them.
#[test]
fn an_ordered_end_survives_the_death_of_a_party() {
    explore("an_ordered_end_survives_the_death_of_a_party", 10_000, || {
        let (mut leader_parker, waker) = parker();
        let mut leader = latch(waker);
        let parties: Vec<_> = (0..2)
            .map(|_| {
                let (parker, waker) = parker();
                let party = leader.join(waker).unwrap();
                thread::spawn(move || serve(party, parker))
            })
            .collect();
        let (_, waker) = parker();
        let dying = leader.join(waker).unwrap();
        let dying = thread::spawn(move || drop(dying));
        let mut abandoned = 0;
        for phase in 1..=3 {
            assert_eq!(leader.raise().unwrap(), phase);
            while !leader.progress().is_complete() {
                leader_parker.park();
            }
            abandoned += leader.progress().abandoned;
        }
        assert!(abandoned <= 1);
        drop(leader);
        for party in parties {
            assert_eq!(party.join().unwrap(), [1, 2, 3]);
        }
        dying.join().unwrap();
    });
}

/// Threads: 5. Property: four threads that tick and merge never make a stamp twice, and each one's grow,
/// across the overflow of a counter that starts just below it.
#[test]
fn four_threads_never_make_a_stamp_twice() {
    explore("four_threads_never_make_a_stamp_twice", 10_000, || {
        let at = |ms| UnixMillis::new(ms).unwrap();
        let clock = Arc::new(Clock::starting_at(Stamp::new(at(1_000), u16::MAX - 5), 0));
        let threads: Vec<_> = (0..4)
            .map(|id| {
                let clock = Arc::clone(&clock);
                thread::spawn(move || {
                    let first = clock.tick(at(999)).unwrap();
                    clock.merge(Stamp::new(at(1_000), u16::MAX - id), at(999));
                    let second = clock.tick(at(999)).unwrap();
                    assert!(first < second);
                    [first, second]
                })
            })
            .collect();
        let stamps: BTreeSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(stamps.len(), 8);
    });
}

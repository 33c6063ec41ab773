//! Beyond what a node takes on: it says so, keeps nothing, and still lets in what gives room or keeps promises.

use bytes::Bytes;
use holdfast_command::keys::Span;
use holdfast_command::sessions::{CloseSession, OpenSession};
use holdfast_command::{Code, Command, Reply, Request, SessionId};
use holdfast_machine::Numbered;
use holdfast_server::node::{Input, limits};
use holdfast_wire::Message;
use holdfast_wire::message::{Consistency, Refused};

use crate::away::delete_all;
use crate::clients::{position, put, read};
use crate::world::World;

/// A leader that has not noticed yet that nobody hears it.
fn cut_off(seed: u64) -> (World, usize) {
    let (mut world, leader) = World::calm(seed, 3);
    world.isolate(leader);
    (world, leader)
}

fn overloaded(world: &mut World, caller: holdfast_server::node::Caller) {
    let answer = world.answer(caller).cloned();
    let Some(Message::Refused(refused)) = answer else { panic!("not refused at once: {answer:?}") };
    assert_eq!(Code::from_number(refused.code), Some(Code::Overloaded));
    assert_eq!(refused.effect, Refused::NOT_APPLIED);
    assert_eq!(refused.retry_after_ms, limits::RETRY_AFTER_MS);
    assert_eq!(refused.first, u64::from(limits::RETRY_AFTER_MS));
}

#[test]
fn more_writes_than_the_bound_are_refused_and_do_not_wait_while_deletions_and_renewals_get_in() {
    let (mut world, leader) = cut_off(1);
    for number in 0..limits::WRITES_MAX {
        world.submit(leader, &put("a", number.to_string()), 0);
    }
    let one_more = world.submit(leader, &put("a", "one more"), 0);
    world.run_ms(1);
    assert_eq!(world.node(leader).waiting_writes(), limits::WRITES_MAX);
    overloaded(&mut world, one_more);
    let urgent = [
        world.submit(leader, &delete_all("x"), 0),
        world.keep(leader, SessionId(1)),
        world.submit(
            leader,
            &Request::from(Command::CloseSession(CloseSession { session: SessionId(1) })),
            0,
        ),
    ];
    world.run_ms(1);
    for caller in urgent {
        assert_eq!(world.answer(caller), None, "it waits like the others");
    }
    assert_eq!(world.node(leader).waiting_writes(), limits::WRITES_MAX + 3);
    // The reserve has an end as well.
    for _ in 3..limits::RESERVED_WRITES {
        world.submit(leader, &delete_all("x"), 0);
    }
    let beyond = [world.submit(leader, &delete_all("x"), 0), world.keep(leader, SessionId(1))];
    world.run_ms(1);
    for caller in beyond {
        overloaded(&mut world, caller);
    }
}

#[test]
fn more_bytes_than_the_bound_are_refused_and_do_not_wait_while_deletions_and_renewals_get_in() {
    let (mut world, leader) = cut_off(2);
    let value = Bytes::from(vec![7; 1_000_000]);
    let mut taken = Vec::new();
    for number in 0..100 {
        // Turns go by, so that most of it is in the log.
        world.run_ms(1);
        let caller = world.submit(leader, &put(&format!("k{number}"), value.clone()), 0);
        world.run_ms(1);
        match world.answer(caller) {
            None => taken.push(caller),
            Some(_) => {
                overloaded(&mut world, caller);
                break;
            }
        }
    }
    let bytes = taken.len() * 1_000_000;
    assert!(bytes <= limits::WRITE_BYTES_MAX && bytes > limits::WRITE_BYTES_MAX - 2_100_000, "{bytes}");
    assert_eq!(world.node(leader).waiting_writes(), taken.len());
    let urgent = [world.submit(leader, &delete_all("x"), 0), world.keep(leader, SessionId(1))];
    world.run_ms(2);
    for caller in urgent {
        assert_eq!(world.answer(caller), None, "there is room for it");
    }
}

#[test]
fn many_small_requests_fill_the_core_no_sooner_than_the_node() {
    // What an entry costs beside its request counts in the core; the reserve has to be left there, too.
    let (mut world, leader) = cut_off(3);
    let value = Bytes::from(vec![7; 900]);
    let mut refused = 0;
    for number in 0..limits::WRITES_MAX {
        let caller = world.submit(leader, &put("a", value.clone()), 0);
        if number % 2_000 == 1_999 {
            world.run_ms(1);
            refused += usize::from(world.answer(caller).is_some());
        }
        if refused > 0 {
            break;
        }
    }
    world.run_ms(5);
    let urgent = [world.submit(leader, &delete_all("x"), 0), world.keep(leader, SessionId(1))];
    world.run_ms(2);
    for caller in urgent {
        assert_eq!(world.answer(caller), None, "there is room for it");
    }
}

#[test]
fn renewals_under_way_count_one_by_one() {
    let (mut world, leader) = cut_off(4);
    for number in 0..limits::WRITES_MAX + limits::RESERVED_WRITES {
        world.keep(leader, SessionId(number as u64));
        if number % 1_000 == 0 {
            world.run_ms(1);
        }
    }
    let beyond = world.keep(leader, SessionId(1));
    world.run_ms(1);
    overloaded(&mut world, beyond);
}

#[test]
fn more_reads_than_the_bound_are_refused_and_do_not_wait() {
    let (mut world, leader) = World::calm(5, 3);
    let follower = (leader + 1) % 3;
    let far = Some(position(1, 0, 1, 1_000_000));
    let waiting = read(Consistency::Follower, Span::all(), far);
    for _ in 0..limits::READS_MAX {
        world.read(follower, waiting.clone());
    }
    world.run_ms(1);
    assert_eq!(world.node(follower).waiting(), limits::READS_MAX);
    for consistency in Consistency::ALL {
        let caller = world.read(follower, read(*consistency, Span::all(), None));
        world.run_ms(1);
        overloaded(&mut world, caller);
    }
    assert_eq!(world.node(follower).waiting(), limits::READS_MAX);
}

#[test]
fn a_full_disk_refuses_puts_and_lets_in_what_gives_room() {
    let (mut world, leader) = World::calm(6, 3);
    let open = Request::from(Command::OpenSession(OpenSession { ttl_ms: 60_000 }));
    let Ok(Reply::SessionOpened { session }) = world.done(leader, &open).1 else { panic!("not opened") };
    world.done(leader, &put("a", "1")).1.expect("there is room");
    world.input(leader, Input::Disk(Some((17, 4_000))));
    for request in [put("a", "2"), open] {
        let caller = world.submit(leader, &request, 0);
        let (code, refused) = world.await_refusal(caller);
        assert_eq!((code, refused.effect), (Code::DiskFull, Refused::NOT_APPLIED));
        assert_eq!((refused.first, refused.second), (17, 4_000));
    }
    assert_eq!(world.node(leader).waiting_writes(), 0);
    let kept = world.keep(leader, session);
    assert!(matches!(world.await_answer(kept), Message::SessionKept(kept) if kept.known));
    let deleted = world.done(leader, &delete_all("a")).1;
    assert!(matches!(deleted, Ok(Reply::Deleted { count: 1, .. })), "{deleted:?}");
    let close = Request::from(Command::CloseSession(CloseSession { session }));
    assert_eq!(world.done(leader, &close).1, Ok(Reply::SessionClosed));
    world.input(leader, Input::Disk(None));
    world.done(leader, &put("a", "3")).1.expect("there is room again");
}

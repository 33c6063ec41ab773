//! Sessions: the edges of machine 09, and what may never happen twice.

mod common;

use common::{Fed, named, numbered, put, refused};
use holdfast_command::keys::Put;
use holdfast_command::sessions::{CloseSession, KeepSessions, Kept};
use holdfast_command::{
    Actor, Code, Command, Effect, Extensions, Refusal, Reply, Request, RequestKey, SessionId, Setting,
};
use holdfast_store::sessions::Edge;

fn keep(fed: &mut Fed, sessions: &[SessionId], actor: &Actor) -> Vec<SessionId> {
    let kept = sessions.iter().map(|session| Kept { session: *session, actor: actor.clone() }).collect();
    let before = std::mem::replace(&mut fed.actor, Actor::Cluster);
    let reply = fed.command(Command::KeepSessions(KeepSessions { kept }));
    fed.actor = before;
    match reply {
        Ok(Reply::SessionsKept { unknown }) => unknown,
        other => panic!("{other:?}"),
    }
}

#[test]
fn t1_renew_by_a_request_or_a_keepalive_moves_the_deadline_and_a_refused_request_counts_as_well() {
    let mut fed = Fed::new();
    let session = fed.open(5_000);
    for (step, sequence) in [(0, 1), (1, 2), (2, 3)] {
        fed.pass(4_000);
        match step {
            0 => drop(fed.request(numbered(session, sequence, 1, put("k", "v")))),
            1 => assert_eq!(keep(&mut fed, &[session], &Actor::Anonymous), []),
            _ => {
                let long = Command::Put(Put { key: vec![b'k'; 5_000].into(), ..Put::default() });
                let applied = fed.request(numbered(session, sequence, 1, long));
                assert_eq!(refused(&applied.outcome).code(), Code::KeyTooLong);
            }
        }
        let (_, held) = fed.store.sessions().next().expect("it is alive");
        assert_eq!(held.deadline(), fed.clock + 5_000, "step {step}");
    }
    assert_eq!(fed.store.session_edges(Edge::Renew), 3);
}

#[test]
fn t2_expire_happens_at_the_entry_whose_clock_reaches_the_deadline_and_never_before() {
    let mut fed = Fed::new();
    let session = fed.open(5_000);
    fed.request(numbered(session, 1, 1, put("k", "once")));
    fed.pass(4_999);
    assert_eq!(fed.store.sessions().count(), 1);
    let expected = fed.request(numbered(session, 1, 1, put("k", "twice")));
    assert!(expected.repeated, "it lives, and was renewed");
    fed.pass(5_000);
    assert_eq!(fed.store.sessions().count(), 0);
    let late = fed.request(numbered(session, 1, 1, put("k", "twice")));
    assert_eq!(refused(&late.outcome), Refusal::UnknownSession { session });
    assert_eq!(
        refused(&late.outcome).code().effect(),
        Effect::Unknown,
        "the first copy may have been executed"
    );
    assert_eq!(fed.value("k").as_deref(), Some("once"));
    assert_eq!(fed.store.session_edges(Edge::Expire), 1);
}

#[test]
fn t3_close_forgets_the_session_at_once_and_its_number_never_comes_again() {
    let mut fed = Fed::new();
    let session = fed.open(5_000);
    fed.request(numbered(session, 1, 1, put("k", "v")));
    let close = Command::CloseSession(CloseSession { session });
    assert_eq!(fed.command(close.clone()), Ok(Reply::SessionClosed));
    assert_eq!(fed.command(close), Err(Refusal::UnknownSession { session }));
    let late = fed.request(numbered(session, 1, 1, put("k", "again")));
    assert_eq!(refused(&late.outcome), Refusal::UnknownSession { session });
    assert_ne!(fed.open(5_000), session);
    assert_eq!(fed.store.session_edges(Edge::Close), 1);
}

#[test]
fn a_session_that_is_closed_leaves_no_timer_behind() {
    let mut fed = Fed::new();
    for _ in 0..100 {
        let session = fed.open(60_000);
        assert_eq!(fed.command(Command::CloseSession(CloseSession { session })), Ok(Reply::SessionClosed));
    }
    assert_eq!(fed.store.sessions().count(), 0);
    fed.pass(120_000);
    assert_eq!(fed.store.session_edges(Edge::Expire), 0);
}

#[test]
fn a_clock_that_jumps_ahead_ends_no_session_before_it_has_gone_on_entry_by_entry() {
    let mut fed = Fed::new();
    fed.open(5_000);
    fed.clock = 1_000_000;
    fed.put("a", "");
    fed.put("b", "");
    assert_eq!((fed.store.clock(), fed.store.sessions().count()), (4_000, 1));
    fed.put("c", "");
    assert_eq!(fed.store.sessions().count(), 0);
}

#[test]
fn a_repetition_is_answered_as_the_first_time_with_the_position_of_the_first_time() {
    let mut fed = Fed::new();
    let session = fed.open(60_000);
    let first = fed.request(numbered(session, 1, 1, put("k", "v")));
    fed.put("k", "other");
    let again = fed.request(numbered(session, 1, 1, put("k", "v")));
    assert_eq!((again.outcome, again.at, again.repeated), (first.outcome, first.at, true));
    assert_eq!(fed.value("k").as_deref(), Some("other"));
}

#[test]
fn what_was_refused_is_refused_again_although_it_would_be_accepted_now() {
    let mut fed = Fed::new();
    let session = fed.open(60_000);
    let keeping = || {
        let key = "k".into();
        numbered(session, 1, 1, Command::Put(Put { key, keep_lease: true, ..Put::default() }))
    };
    assert_eq!(refused(&fed.request(keeping()).outcome), Refusal::KeyNotFound);
    fed.put("k", "v");
    let again = fed.request(keeping());
    assert_eq!((refused(&again.outcome), again.repeated), (Refusal::KeyNotFound, true));
    assert_eq!(fed.value("k").as_deref(), Some("v"));
}

#[test]
fn a_refusal_is_kept_when_there_is_room_for_no_answer_at_all() {
    let mut fed = Fed::new();
    fed.set(&[(Setting::SessionReplyBytes, 0), (Setting::IdempotencyReplyBytes, 0)]);
    let session = fed.open(60_000);
    let keys = [
        RequestKey::Session { session, sequence: 1, low: 1 },
        RequestKey::Idempotency { key: [1; 32], request: [2; 32] },
    ];
    for key in keys {
        let absent = Command::Put(Put { key: "none".into(), keep_value: true, ..Put::default() });
        let request = Request { key, ..Request::from(absent) };
        assert_eq!(refused(&fed.request(request.clone()).outcome), Refusal::KeyNotFound);
        assert_eq!(refused(&fed.request(request).outcome), Refusal::KeyNotFound, "not: executed before");
    }
    let written = numbered(session, 2, 1, put("k", "v"));
    let first = fed.request(written.clone());
    let again = refused(&fed.request(written).outcome);
    assert_eq!(again, Refusal::AppliedReplyDropped { index: first.at.index });
}

#[test]
fn a_limit_that_was_lowered_in_between_does_not_make_a_repetition_look_as_if_it_had_been_refused() {
    let mut fed = Fed::new();
    let session = fed.open(60_000);
    let request = numbered(session, 1, 1, put("k", &"v".repeat(100)));
    let first = fed.request(request.clone());
    fed.set(&[(Setting::ValueBytes, 16)]);
    let encoded = request.encode();
    assert!(fed.store.admit(&encoded, &Actor::Anonymous).is_ok(), "it is to get its answer");
    assert_eq!(fed.request(request).outcome, first.outcome);
    let fresh = numbered(session, 2, 1, put("k", &"v".repeat(100)));
    assert_eq!(refused(&fed.request(fresh).outcome).code(), Code::ValueTooLong);
}

#[test]
fn below_low_nothing_is_executed_whatever_was_forgotten() {
    let mut fed = Fed::new();
    let session = fed.open(60_000);
    fed.request(numbered(session, 1, 1, put("k", "1")));
    fed.request(numbered(session, 5, 5, put("k", "5")));
    for sequence in 1..5 {
        let applied = fed.request(numbered(session, sequence, 1, put("k", "late")));
        assert_eq!(refused(&applied.outcome), Refusal::StaleSequence { sequence, low: 5 });
    }
    assert_eq!(fed.value("k").as_deref(), Some("5"));
}

#[test]
fn the_window_counts_from_low_and_what_it_refuses_may_still_be_executed_as_another_copy() {
    let mut fed = Fed::new();
    fed.set(&[(Setting::SessionWindow, 3)]);
    let session = fed.open(60_000);
    let third = fed.request(numbered(session, 3, 1, put("k", "3")));
    assert!(third.outcome.0.is_ok(), "limit");
    let fourth = refused(&fed.request(numbered(session, 4, 1, put("k", "4"))).outcome);
    assert_eq!(fourth, Refusal::WindowFull { sequence: 4, highest: 3 });
    assert!(fourth.code().is_of_copy());
    assert!(fed.request(numbered(session, 4, 2, put("k", "4"))).outcome.0.is_ok());
}

#[test]
fn requests_of_one_session_come_in_any_order_and_each_is_remembered() {
    let mut fed = Fed::new();
    let session = fed.open(60_000);
    for sequence in [3, 1, 4, 2] {
        assert!(
            fed.request(numbered(session, sequence, 1, put("k", &sequence.to_string()))).outcome.0.is_ok()
        );
    }
    let held = fed.store.sessions().next().expect("it is alive").1;
    assert_eq!(held.answered().collect::<Vec<_>>(), [1, 2, 3, 4]);
    for sequence in 1..5 {
        assert!(fed.request(numbered(session, sequence, 1, put("k", "again"))).repeated);
    }
    assert_eq!(fed.value("k").as_deref(), Some("2"));
}

#[test]
fn a_session_of_another_is_as_unknown_as_none() {
    let mut fed = Fed::new();
    fed.actor = named("alice");
    let session = fed.open(5_000);
    fed.actor = named("bob");
    fed.pass(4_000);
    let unknown = Refusal::UnknownSession { session };
    assert_eq!(refused(&fed.request(numbered(session, 1, 1, put("k", "v"))).outcome), unknown);
    assert_eq!(fed.command(Command::CloseSession(CloseSession { session })), Err(unknown));
    assert_eq!(keep(&mut fed, &[session], &named("bob")), [session]);
    fed.pass(1_000);
    assert_eq!(fed.store.sessions().count(), 0, "and bob has not kept it alive");
}

#[test]
fn an_idempotency_key_means_one_request_until_its_time_is_over() {
    let mut fed = Fed::new();
    fed.set(&[(Setting::IdempotencyTtl, 5_000)]);
    let with = |request: u8, value: &str| Request {
        key: RequestKey::Idempotency { key: [7; 32], request: [request; 32] },
        ..Request::from(put("k", value))
    };
    let first = fed.request(with(1, "one"));
    assert_eq!(fed.request(with(1, "one")).outcome, first.outcome);
    let other = refused(&fed.request(with(2, "two")).outcome);
    assert_eq!(other, Refusal::IdempotencyMismatch { index: first.at.index });
    fed.pass(5_000);
    assert_eq!(fed.store.idempotency_keys(), 0);
    assert!(fed.request(with(2, "two")).outcome.0.is_ok());
    assert_eq!(fed.value("k").as_deref(), Some("two"));
}

#[test]
fn a_deadline_is_an_extension_of_level_2_and_goes_by_the_clock_of_the_state() {
    let mut fed = Fed::new();
    let with =
        |not_after| Request { extensions: Extensions::not_after(not_after), ..Request::from(put("k", "v")) };
    let early = refused(&fed.request(with(u64::MAX)).outcome);
    assert_eq!(early.code(), Code::UnsupportedFeature, "although this build knows it");
    fed.actor = Actor::Cluster;
    let raise = holdfast_command::settings::RaiseFeatureLevel { level: holdfast_command::FeatureLevel(2) };
    assert!(fed.command(Command::RaiseFeatureLevel(raise)).is_ok());
    fed.actor = Actor::Anonymous;
    fed.pass(1_000);
    fed.clock = 1_000;
    assert!(fed.request(with(1_000)).outcome.0.is_ok(), "limit");
    assert_eq!(refused(&fed.request(with(999)).outcome), Refusal::TooLate { clock: 1_000, not_after: 999 });
}

#[test]
fn a_level_that_this_build_does_not_know_is_not_admitted_and_halts_it_if_others_raised_it() {
    let mut fed = Fed::new();
    fed.actor = Actor::Cluster;
    let raise = |level| {
        let level = holdfast_command::FeatureLevel(level);
        Request::from(Command::RaiseFeatureLevel(holdfast_command::settings::RaiseFeatureLevel { level }))
    };
    assert!(fed.store.admit(&raise(1).encode(), &Actor::Anonymous).is_err(), "clients do not raise it");
    let latest = holdfast_command::FeatureLevel::LATEST.0;
    for level in 2..=latest {
        assert!(fed.request(raise(level)).outcome.0.is_ok());
    }
    let next = raise(latest + 1);
    assert!(fed.store.admit(&next.encode(), &Actor::Cluster).is_err());
    let entry = fed.entry(next);
    let index = fed.store.applied().index + 1;
    let halt = fed.store.apply(holdfast_store::LogPosition { term: 1, index }, &entry);
    assert!(matches!(halt, Err(holdfast_store::Halt::LevelUnknown { .. })));
    let further = fed.store.skip(holdfast_store::LogPosition { term: 1, index: index + 1 });
    assert!(matches!(further, Err(holdfast_store::Halt::Halted { .. })));
}

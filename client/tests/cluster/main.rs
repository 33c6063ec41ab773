//! The core against a cluster in memory: whatever breaks, nothing is executed twice, and every error says the truth.
//!
//! Each test prints its seeds. Time is a number; nothing here waits.

mod fake;
mod watches;

use std::collections::BTreeMap;

use bytes::Bytes;
use fake::{Chaos, Cluster, Seen, address};
use holdfast_client::command::keys::{Put, Range, Span};
use holdfast_client::command::{Code, Command, Reply, Request};
use holdfast_client::core::breaker::BreakerState;
use holdfast_client::core::{Answer, Ask, Config, Core, Done, Work};
use holdfast_client::{Consistency, Error, Kind, Outcome, What};

/// A call that the test waits for: the key that it writes, if it does; whether in the session; its deadline.
#[derive(Clone, Debug)]
struct Asked {
    key: Option<Bytes>,
    deadline: u64,
}

struct Run {
    core: Core<Asked>,
    cluster: Cluster,
    now: u64,
    asked: u64,
    keys: u64,
    results: Vec<(Asked, Result<Answer, Error>)>,
}

impl Run {
    fn new(nodes: usize, seed: u64, chaos: Chaos, config: Config) -> Self {
        let endpoints: Vec<String> = (0..nodes).map(address).collect();
        let core = Core::new(config, &endpoints, seed).unwrap();
        Self { core, cluster: Cluster::new(nodes, seed, chaos), now: 0, asked: 0, keys: 0, results: vec![] }
    }

    fn calm(nodes: usize) -> Self {
        Self::new(nodes, 1, Chaos::default(), Config::default())
    }

    fn ask(&mut self, work: Work, key: Option<Bytes>, timeout_ms: u64) {
        let asked = Asked { key, deadline: self.now + timeout_ms };
        self.core.call(Ask { work, timeout_ms: Some(timeout_ms) }, asked, self.now);
        self.asked += 1;
    }

    fn put(&mut self, exactly_once: bool, timeout_ms: u64) {
        self.keys += 1;
        let kind = if self.keys % 17 == 7 { "long" } else { "key" };
        let key = Bytes::from(format!("{kind}{}", self.keys));
        let put = Put { key: key.clone(), value: vec![1; 100].into(), ..Put::default() };
        let work = Work::Submit { request: Command::Put(put).into(), exactly_once: Some(exactly_once) };
        self.ask(work, Some(key), timeout_ms);
    }

    fn read(&mut self, consistency: Consistency, timeout_ms: u64) {
        let range = Range::of(Span::all());
        self.ask(Work::Read { range, consistency, max_stale_ms: 0, min_position: None }, None, timeout_ms);
    }

    fn step(&mut self) {
        self.now += 1;
        for Done { waiter, result } in self.cluster.step(&mut self.core, self.now) {
            assert!(
                self.now <= waiter.deadline.saturating_add(1),
                "ended {} at {}",
                waiter.deadline,
                self.now
            );
            self.results.push((waiter, result));
        }
    }

    /// Goes on until everything asked has ended.
    fn settle(&mut self) {
        let until = self.now + 20_000;
        while (self.results.len() as u64) < self.asked {
            assert!(self.now < until, "{} of {} calls ended", self.results.len(), self.asked);
            self.step();
        }
    }

    /// The result of the only call since the last look.
    fn only(&mut self) -> Result<Answer, Error> {
        self.settle();
        self.asked = 0;
        let mut results = std::mem::take(&mut self.results);
        assert_eq!(results.len(), 1);
        results.pop().unwrap().1
    }

    fn put_one(&mut self) -> Result<Answer, Error> {
        (self.asked, self.results) = (0, vec![]);
        self.put(true, 5_000);
        self.only()
    }
}

/// How often each end was seen.
#[derive(Debug, Default)]
struct Ends {
    written: u64,
    not_applied: u64,
    applied: u64,
    unknown: u64,
    unknown_and_written: u64,
    unknown_and_not: u64,
}

/// One life of a client among misfortunes. Every stated outcome is compared with what the cluster has executed.
fn live(seed: u64, chaos: Chaos, exactly_once: bool) -> (Ends, Seen) {
    let config = Config { session_ttl_ms: 900, session_window: 8, ..Config::default() };
    let mut run = Run::new(3, seed, chaos, config);
    run.cluster.window = 8;
    while run.now < 6_000 {
        run.step();
        if run.core.in_flight() < 24 {
            match run.cluster.rng.below(40) {
                0 => run.read(Consistency::Linearizable, 400),
                1 => run.read(Consistency::Stale, 400),
                2..8 => run.put(exactly_once, 20 + run.cluster.rng.clone().below(1_500)),
                _ => {}
            }
        }
    }
    run.settle();
    // What was under way for longer than its client waited is executed before the count.
    run.cluster.calm(run.now);
    run.core.close(run.now);
    let until = run.now + 5_000;
    while !run.core.is_closed() {
        assert!(run.now < until, "seed {seed}: not closed");
        run.step();
    }
    assert_eq!((run.core.in_flight(), run.core.deadline()), (0, None), "seed {seed}");

    let mut ends = Ends::default();
    for (asked, result) in &run.results {
        let Some(key) = &asked.key else {
            let read = matches!(result, Ok(Answer::Read(_)));
            let outcome = result.as_ref().err().map(|error| error.outcome);
            assert!(read || outcome == Some(Outcome::NotApplied), "seed {seed}: {result:?}");
            continue;
        };
        let times = run.cluster.written.get(key).copied().unwrap_or(0);
        assert!(times <= 1, "seed {seed}: {key:?} was written {times} times");
        match result {
            Ok(Answer::Written { reply: Reply::Put { .. }, .. }) => {
                ends.written += 1;
                assert_eq!(times, 1, "seed {seed}: {key:?} was acknowledged");
            }
            Ok(other) => panic!("seed {seed}: {other:?}"),
            Err(error) => {
                assert!(error.write);
                match error.outcome {
                    Outcome::NotApplied => {
                        ends.not_applied += 1;
                        assert_eq!(times, 0, "seed {seed}: {key:?}: {error}");
                    }
                    Outcome::Applied => {
                        ends.applied += 1;
                        assert_eq!(times, 1, "seed {seed}: {key:?}: {error}");
                    }
                    Outcome::Unknown => {
                        ends.unknown += 1;
                        ends.unknown_and_written += times;
                        ends.unknown_and_not += 1 - times;
                    }
                }
            }
        }
    }
    (ends, run.cluster.seen)
}

const STORM: Chaos = Chaos {
    breaks: 30,
    elections: 20,
    restarts: 10,
    silences: 4,
    expiries: 10,
    overloads: 300,
    lost_answers: 400,
    dropped_answers: 1_000,
    slow_ms: 60,
};

#[test]
fn nothing_is_written_twice_and_every_stated_outcome_is_true_whatever_breaks() {
    let (mut all, mut seen) = (Ends::default(), Seen::default());
    for seed in 0..25 {
        let (ends, met) = live(seed, STORM, true);
        all.written += ends.written;
        all.not_applied += ends.not_applied;
        all.applied += ends.applied;
        all.unknown += ends.unknown;
        all.unknown_and_written += ends.unknown_and_written;
        all.unknown_and_not += ends.unknown_and_not;
        seen.repeats += met.repeats;
        seen.unknown_sessions += met.unknown_sessions;
        seen.stale += met.stale;
        seen.leaderships_lost += met.leaderships_lost;
        seen.late += met.late;
    }
    println!("{all:?} {seen:?}");
    let Ends { written, not_applied, applied, unknown: _, unknown_and_written, unknown_and_not } = all;
    let Seen { repeats, unknown_sessions, stale, leaderships_lost, late } = seen;
    let met = BTreeMap::from([
        ("written", written),
        ("not applied", not_applied),
        ("applied", applied),
        ("unknown, and written", unknown_and_written),
        ("unknown, and not", unknown_and_not),
        ("repetitions", repeats),
        ("unknown sessions", unknown_sessions),
        ("late copies refused", stale),
        ("leaderships lost", leaderships_lost),
        ("executed after the client was told otherwise", late),
    ]);
    for (what, count) in met {
        assert!(count > 10, "the storm has to meet more of this: {what}, {count}");
    }
    assert!(written > 5 * unknown_and_not, "an unknown outcome is the exception");
}

#[test]
fn without_a_session_a_write_is_sent_once_unless_it_was_certainly_not_executed() {
    let (mut written, mut unknown) = (0, 0);
    for seed in 1_000..1_010 {
        let (ends, seen) = live(seed, STORM, false);
        assert_eq!(seen.repeats, 0);
        written += ends.written;
        unknown += ends.unknown;
    }
    assert!(written > 300 && unknown > 50, "{written} written, {unknown} unknown");
}

#[test]
fn in_good_weather_every_call_is_answered() {
    for seed in 0..5 {
        let (ends, seen) = live(seed, Chaos { slow_ms: 5, ..Chaos::default() }, true);
        // Some keys are refused by the store.
        assert_eq!((ends.applied, ends.unknown), (0, 0), "seed {seed}");
        assert!(ends.written > 10 * ends.not_applied, "seed {seed}: {ends:?}");
        assert_eq!((seen.repeats, seen.unknown_sessions, seen.stale), (0, 0, 0), "seed {seed}");
    }
}

#[test]
fn a_write_that_met_an_expired_session_as_its_only_copy_is_sent_in_a_new_one() {
    let mut run = Run::calm(1);
    run.put_one().unwrap();
    let first = run.core.session();
    run.cluster.expire_sessions();
    run.put_one().unwrap();
    assert!(first.is_some() && run.core.session().is_some() && run.core.session() != first);
    assert_eq!(run.cluster.seen.unknown_sessions, 1);
}

#[test]
fn a_write_of_which_a_copy_may_have_been_executed_ends_unknown_when_its_session_is_gone() {
    let mut run = Run::calm(1);
    run.put_one().unwrap();
    run.cluster.chaos.lost_answers = 10_000;
    run.asked = 0;
    run.put(true, 5_000);
    let written = run.cluster.written.len();
    while run.cluster.written.len() == written {
        assert!(run.now < 1_000, "the write is executed");
        run.step();
    }
    run.cluster.chaos.lost_answers = 0;
    run.cluster.expire_sessions();
    let error = run.only().unwrap_err();
    assert_eq!((error.outcome, error.code), (Outcome::Unknown, Some(Code::UnknownSession)), "{error}");
    assert_eq!(run.cluster.written.values().max(), Some(&1));
}

#[test]
fn a_lost_answer_is_fetched_under_the_same_sequence() {
    let mut run = Run::calm(1);
    run.put_one().unwrap();
    run.cluster.chaos.lost_answers = 10_000;
    run.asked = 0;
    run.put(true, 5_000);
    let written = run.cluster.written.len();
    while run.cluster.written.len() == written {
        assert!(run.now < 1_000, "the write is executed");
        run.step();
    }
    run.cluster.chaos.lost_answers = 0;
    run.only().unwrap();
    assert_eq!((run.cluster.seen.repeats, run.cluster.written.values().max()), (1, Some(&1)));
}

#[test]
fn writes_beyond_the_window_wait_and_none_is_refused_for_it() {
    let config = Config { session_window: 4, ..Config::default() };
    let mut run = Run::new(1, 3, Chaos { slow_ms: 30, ..Chaos::default() }, config);
    // The cluster asserts that no sequence lies beyond its window.
    run.cluster.window = 4;
    for _ in 0..200 {
        run.put(true, 10_000);
    }
    run.settle();
    assert!(run.results.iter().all(|(asked, result)| {
        result.is_ok() || asked.key.as_ref().is_some_and(|key| key.starts_with(b"long"))
    }));
}

#[test]
fn a_session_lives_on_without_writes_and_ends_with_the_client() {
    let config = Config { session_ttl_ms: 300, ..Config::default() };
    let mut run = Run::new(3, 5, Chaos::default(), config);
    run.put_one().unwrap();
    let session = run.core.session();
    let until = run.now + 1_000;
    let mut renewals = 0;
    while run.now < until {
        let before = run.core.in_flight();
        run.step();
        renewals += u64::from(run.core.in_flight() > before);
    }
    assert_eq!(run.core.session(), session);
    assert!((7..=13).contains(&renewals), "{renewals} renewals in ten thirds of a time to live");
    run.core.close(run.now);
    while !run.core.is_closed() {
        assert!(run.now < until + 2_000, "it is closed");
        run.step();
    }
    assert_eq!((run.cluster.sessions(), run.cluster.connections()), (0, 0));
}

#[test]
fn a_session_is_opened_with_the_longest_time_that_the_cluster_allows() {
    let mut run = Run::calm(1);
    run.cluster.ttl_max = 5_000;
    run.put_one().unwrap();
}

#[test]
fn writes_fail_when_no_session_can_be_had_and_reads_and_bare_writes_do_not() {
    let mut run = Run::calm(1);
    run.cluster.sessions_full = true;
    let error = run.put_one().unwrap_err();
    assert_eq!((error.code, error.outcome), (Some(Code::TooManySessions), Outcome::NotApplied), "{error}");
    run.read(Consistency::Linearizable, 1_000);
    run.only().unwrap();
    run.put(false, 1_000);
    run.only().unwrap();
}

#[test]
fn the_leader_is_found_from_any_endpoint_and_one_that_was_not_given_is_learned() {
    for leader in 0..3 {
        let mut run = Run::new(3, 7, Chaos::default(), Config::default());
        let only = [address(0)];
        run.core = Core::new(Config::default(), &only, 7).unwrap();
        run.cluster.elect(Some(leader));
        run.put_one().unwrap();
        let leads: Vec<_> = run
            .core
            .endpoints()
            .into_iter()
            .filter(|endpoint| endpoint.leader)
            .map(|view| view.address)
            .collect();
        assert_eq!(leads, [address(leader)]);
    }
}

#[test]
fn hints_that_lead_in_a_circle_end_at_the_deadline() {
    let mut run = Run::calm(3);
    run.put_one().unwrap();
    // Each is told by somebody who is behind now and then; nobody leads.
    run.cluster.elect(None);
    let asked_at = run.now;
    let error = run.put_one().unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::TimedOut, Some(Code::NoLeader)));
    // Refused by all, but for a copy that the deadline may have found under way.
    let under_way = error.tried.iter().any(|attempt| attempt.what == What::NoAnswer);
    assert_eq!(error.outcome, if under_way { Outcome::Unknown } else { Outcome::NotApplied });
    assert_eq!(error.is_safe_to_retry(), !under_way);
    assert_eq!(run.now - asked_at, 5_000);
    let tries = error.tried.len() as u32 + error.tried_before;
    assert!((8..100).contains(&tries), "{tries} tries in 5 s");
}

#[test]
fn where_nothing_listens_a_call_fails_at_once_and_waits_if_it_is_to() {
    let mut run = Run::calm(3);
    for node in 0..3 {
        run.cluster.set_up(node, false);
    }
    for _ in 0..5 {
        let asked_at = run.now;
        let error = run.put_one().unwrap_err();
        assert_eq!((error.kind, error.outcome), (Kind::NoEndpoint, Outcome::NotApplied));
        assert_eq!(error.tried.len(), 3);
        assert!(error.tried.iter().all(|attempt| attempt.what == What::ConnectRefused), "{error}");
        assert!(run.now - asked_at < 20, "after {} ms", run.now - asked_at);
    }
    let config = Config { wait_for_cluster: true, ..Config::default() };
    let mut run = Run::new(3, 9, Chaos::default(), config);
    (0..3).for_each(|node| run.cluster.set_up(node, false));
    run.put(true, 5_000);
    while run.now < 1_000 {
        run.step();
    }
    (0..3).for_each(|node| run.cluster.set_up(node, true));
    run.only().unwrap();
}

#[test]
fn a_cluster_that_was_reached_once_is_waited_for() {
    let mut run = Run::calm(3);
    run.put_one().unwrap();
    (0..3).for_each(|node| run.cluster.set_up(node, false));
    run.put(true, 5_000);
    let until = run.now + 2_500;
    while run.now < until {
        run.step();
    }
    assert_eq!(run.results.len(), 0);
    let left_alone = run.core.endpoints().iter().filter(|view| view.breaker == BreakerState::Open).count();
    assert!(left_alone > 0, "who fails again and again is left alone");
    (0..3).for_each(|node| run.cluster.set_up(node, true));
    run.asked = 1;
    run.only().unwrap();
    assert!(run.now < until + 2_500, "a node that is back is found by the end of the longest wait");
}

#[test]
fn what_is_more_than_the_bounds_is_refused_here_and_nothing_of_it_is_sent() {
    let config = Config { calls_max: 10, bytes_max: 700, ..Config::default() };
    let mut run = Run::new(1, 11, Chaos::default(), config);
    run.cluster.elect(None);
    for _ in 0..3 {
        run.put(true, 100);
    }
    for _ in 0..20 {
        run.read(Consistency::Linearizable, 100);
    }
    for _ in 0..6 {
        run.put(true, 100);
    }
    let overloaded = |results: &[(Asked, Result<Answer, Error>)]| {
        let of =
            |result: &Result<Answer, Error>| result.as_ref().err().map(|error| (error.kind, error.outcome));
        results
            .iter()
            .filter(|(_, result)| of(result) == Some((Kind::Overloaded, Outcome::NotApplied)))
            .count()
    };
    run.step();
    assert!(overloaded(&run.results) >= 19, "{:?}", run.results);
    assert!(run.core.in_flight() <= 11, "ten calls, and one for the session");
    run.settle();
    run.cluster.elect(Some(0));
    run.put_one().unwrap();
}

#[test]
fn a_request_with_a_key_of_its_own_is_sent_as_it_is() {
    let mut run = Run::calm(1);
    let key = holdfast_client::command::RequestKey::Idempotency { key: [1; 32], request: [2; 32] };
    let put = Put { key: "k".into(), ..Put::default() };
    let request = Request { key, ..Command::Put(put).into() };
    run.ask(Work::Submit { request, exactly_once: None }, None, 1_000);
    run.only().unwrap();
    assert_eq!(run.core.session(), None);
}

#[test]
fn a_closed_client_takes_no_calls_and_finishes_those_under_way() {
    let mut run = Run::new(1, 13, Chaos { slow_ms: 50, ..Chaos::default() }, Config::default());
    run.put(true, 5_000);
    run.step();
    run.core.close(run.now);
    run.put(true, 5_000);
    run.settle();
    let ends: Vec<_> = run
        .results
        .iter()
        .map(|(_, result)| result.as_ref().err().map(|error| (error.kind, error.outcome)))
        .collect();
    assert_eq!(ends, [Some((Kind::Closed, Outcome::NotApplied)), None]);
}

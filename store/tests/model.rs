//! The store against a model that is too plain to be wrong in the same way, over generated logs.
//!
//! A failure prints the seed and the last entries; [`SEEDS`] is where to put it to see it again. In `tests/model`:
//!
//! | | |
//! |---|---|
//! | `naive` | the model: what becomes of an entry, and what is kept for repetitions |
//! | `rules` | the model: what no state could accept |
//! | `keys` | the model: what the commands on keys do |
//! | `coordination` | the model: leases, locks, elections |
//! | `others` | the model: what the other commands do |
//! | `trail` | the model: the digest and audit records |
//! | `reads` | the model: ranges, histories, changes |
//! | `rng`, `generate`, `pieces`, `transactions`, `coordinate` | logs |
//! | `compare` | what can be seen of a store and of the model |
//! | `snapshots` | a store through a snapshot and back |
//! | `run` | one log through both, and what it came across |

mod model {
    pub(crate) mod chosen;
    pub(crate) mod compare;
    pub(crate) mod coordinate;
    pub(crate) mod coordination;
    pub(crate) mod generate;
    pub(crate) mod keys;
    pub(crate) mod naive;
    pub(crate) mod others;
    pub(crate) mod pieces;
    pub(crate) mod reads;
    pub(crate) mod rng;
    pub(crate) mod rules;
    pub(crate) mod run;
    pub(crate) mod snapshots;
    pub(crate) mod trail;
    pub(crate) mod transactions;
}

use std::collections::BTreeSet;

use bytes::Bytes;
use holdfast_command::keys::{Range, SortBy, Span};
use holdfast_command::settings::RaiseFeatureLevel;
use holdfast_command::{
    Actor, Code, Command, Entry, Envelope, FeatureLevel, Limits, Outcome, Refusal, Request, RequestKey,
    Settings, validate,
};
use holdfast_machine::Numbered;
use holdfast_store::leases::LeaseEdge;
use holdfast_store::queues::{election, lock};
use holdfast_store::sessions::{Edge, Row};
use holdfast_store::{Applied, Bug, Halt, LogPosition, NoPlant, Plant, Store};
use model::chosen::{Chosen, chosen};
use model::compare::{self, Present};
use model::generate::Generator;
use model::rng::Rng;
use model::rules;
use model::run::{Care, Logged, Report, missing, run};
use model::snapshots;

/// Each seed is another log.
const SEEDS: std::ops::Range<u64> = 0..240;
const CARE: Care = Care { length: 220, ranges: 1 };
/// For logs that are made for other tests, which look at something else.
const LIGHT: Care = Care { length: 120, ranges: 0 };

/// Codes that no command can be refused with here: one needs 2⁶⁴ revisions, one 2⁵² grants, and those of availability and members are said by
/// nodes, of what does not stand in the log.
fn impossible(code: Code) -> bool {
    // Availability, membership, HTTP.
    let of_nodes = [1201..=1299, 2001..=2099, 2101..=2199].iter().any(|family| family.contains(&code.number()))
        // What it says of a condition of its own, a store says by the branch of a transaction.
        || code == Code::WrongRevision;
    of_nodes || matches!(code, Code::RevisionsExhausted | Code::TokensExhausted)
}

/// The finer points of the page that a run comes across if it is any good.
const MARKS: [&str; 55] = [
    "above the quota of bytes, but not more than before",
    "above the quota of keys, but not more than before",
    "answer dropped for an idempotency key",
    "answers forgotten",
    "beyond the limits under a request key",
    "clock behind",
    "clock far ahead",
    "idempotency key expired",
    "namespace replaced at the limit",
    "nothing to delete",
    "nothing to restore",
    "own writes read",
    "page within a transaction",
    "refusal repeated for an idempotency key",
    "refusal repeated in a session",
    "repetition beyond the window",
    "refusal kept without room for it",
    "answer dropped for want of room for all sessions",
    "reply repeated for an idempotency key",
    "restored to nothing",
    "session closed by its own request",
    "session not kept",
    "settings changed under a request key",
    "shortest time to live above the longest",
    "stamp behind",
    "too many visits of a comparison",
    "too many visits of a deletion",
    "too many visits of a range",
    "unreadable envelope",
    "value too long that was there before",
    "values compared of nothing",
    "comparison over several keys",
    "above the keys of a lease, but not more than before",
    "campaigned while campaigning",
    "campaigned while elected",
    "expiry before the deadline",
    "expiry of no lease",
    "expiry with another counter",
    "fence held",
    "fence kept somebody out",
    "key moved to another lease",
    "key taken from its lease",
    "lease granted anew under its number",
    "lease kept",
    "lease not renewed",
    "lease renewed behind its deadline",
    "lock asked for by a waiter",
    "lock asked for by its holder",
    "lock passed on",
    "number of a lease passed over",
    "office passed on",
    "several keys gone with their lease",
    "shortest time to live of a lease above the longest",
    "term compared",
    "more touched than a record lists",
];

fn log_of(seed: u64) -> Vec<Logged> {
    run::<NoPlant>(seed, LIGHT).unwrap_or_else(|fault| panic!("{fault}")).log
}

fn apply<P: Plant>(store: &mut Store<P>, (at, entry): &Logged) -> Option<Outcome> {
    match entry {
        None => store.skip(*at).map(|()| None).expect("the next entry"),
        Some(entry) => Some(store.apply(*at, entry).expect("no halt").outcome),
    }
}

#[test]
fn store_and_model_agree_behind_every_entry_and_every_corner_is_reached() {
    let mut all = Report::default();
    for seed in SEEDS {
        all.add(&run::<NoPlant>(seed, CARE).unwrap_or_else(|fault| panic!("{fault}")));
    }
    let logs = SEEDS.end - SEEDS.start;
    let share = all.accepted * 100 / all.commands;
    println!(
        "{logs} logs, {} commands, {share} % accepted, {} repeated, {} revisions, {} compactions, {} further pages",
        all.commands, all.repeated, all.revisions, all.compactions, all.pages
    );
    assert!(share >= 60, "only {share} % of the commands do anything");
    assert!(all.revisions >= 30 * logs && all.compactions >= logs && all.pages >= logs);
    assert!(all.snapshots >= 5 * logs, "only {} snapshots", all.snapshots);
    assert!(all.repeated >= 3 * logs, "only {} repetitions were answered", all.repeated);
    assert_eq!(missing(&all, impossible), [""; 0], "codes and replies that no log reached");
    let said = Code::ALL.iter().filter(|code| impossible(**code) && all.codes.contains(&code.number()));
    assert_eq!(said.count(), 0, "a store never says that somebody cannot answer now");
    let rows = Row::ALL.iter().map(|row| format!("row {}", row.name()));
    let edges = Edge::ALL.iter().map(|edge| format!("edge {}", edge.name()));
    let leases = LeaseEdge::ALL.iter().map(|edge| format!("lease edge {}", edge.name()));
    let locks = lock::Edge::ALL.iter().map(|edge| format!("lock edge {}", edge.name()));
    let elections = election::Edge::ALL.iter().map(|edge| format!("election edge {}", edge.name()));
    let edges = edges.chain(leases).chain(locks).chain(elections);
    let listed: BTreeSet<String> = MARKS.map(str::to_owned).into_iter().chain(rows).chain(edges).collect();
    let reached: BTreeSet<String> = all.marks.iter().map(|mark| (*mark).to_owned()).collect();
    let differ: Vec<&String> = listed.symmetric_difference(&reached).collect();
    assert!(differ.is_empty(), "listed and not reached, or the other way round: {differ:?}");
}

/// For a night, or after a change of the generator: `SEEDS=1000..9000 cargo test -p holdfast-store --test model -- --ignored`.
#[test]
#[ignore = "takes as long as one likes"]
fn store_and_model_agree_on_as_many_logs_as_asked_for() {
    let seeds = std::env::var("SEEDS").unwrap_or_else(|_| "1000..2000".to_owned());
    let (first, end) = seeds.split_once("..").expect("SEEDS=first..end");
    let mut faults = Vec::new();
    for seed in first.parse().expect("a number")..end.parse().expect("a number") {
        faults.extend(run::<NoPlant>(seed, CARE).err());
        assert!(faults.len() < 3, "{}", faults.join("\n\n"));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn an_entry_out_of_place_and_a_level_beyond_the_build_halt_the_node() {
    let mut store = Store::<NoPlant>::new();
    let log = log_of(4_000);
    for logged in &log {
        apply(&mut store, logged);
    }
    let (before, last) = (Present::of_store(&store), store.applied());
    let next = LogPosition { index: last.index + 1, ..last };
    for index in [0, last.index - 1, last.index, last.index + 2, u64::MAX] {
        let at = LogPosition { index, ..last };
        for (_, entry) in &log {
            let mut halted = store.clone();
            let halt = match entry {
                None => halted.skip(at).is_err(),
                Some(entry) => halted.apply(at, entry).is_err(),
            };
            assert!(halt, "{at:?}");
            assert!(halted.skip(next).is_err(), "goes on behind {at:?}");
            assert!(Present::of_store(&halted) == before, "{at:?} left something behind");
        }
    }
    while store.level() < FeatureLevel::LATEST {
        let next = store.level().0 + 1;
        raise(&mut store, next).expect("a level that is known");
    }
    assert!(raise(&mut store, FeatureLevel::LATEST.0 + 1).is_err());
    assert!(
        raise(&mut store, FeatureLevel::LATEST.0).is_err(),
        "goes on behind a level that it does not know"
    );
}

fn raise(store: &mut Store<NoPlant>, level: u16) -> Result<Applied, Halt> {
    let raise = RaiseFeatureLevel { level: FeatureLevel(level) };
    let request = Request::from(Command::RaiseFeatureLevel(raise));
    let envelope = Envelope { actor: Actor::Cluster, ..Envelope::default() };
    let entry = Entry { envelope, request }.encode();
    let LogPosition { term, index } = store.applied();
    store.apply(LogPosition { term, index: index + 1 }, &entry)
}

/// What must not matter: clones that live on or are dropped, sweeps, reads in between, and where a node started from.
#[test]
fn replicas_that_differ_in_everything_but_the_log_are_equal() {
    let mut swept = 0;
    for seed in 1_000..1_020 {
        let log = log_of(seed);
        let mut rng = Rng::new(seed);
        let mut plain = Store::<NoPlant>::new();
        let mut busy = Store::<NoPlant>::new();
        let mut kept = Vec::new();
        for (number, logged) in log.iter().enumerate() {
            let expected = apply(&mut plain, logged);
            assert_eq!(expected, apply(&mut busy, logged), "seed {seed}, entry {number}");
            match rng.below(8) {
                0 => kept.push((number, Present::of_store(&busy), busy.clone())),
                1 if !kept.is_empty() => drop(kept.swap_remove(rng.below(kept.len() as u64) as usize)),
                2 => busy = busy.clone(),
                3 => {
                    let budget = rng.below(4) as usize;
                    swept += u64::from(budget > 0 && busy.sweep(budget));
                }
                4 => assert!(!busy.sweep(usize::MAX), "seed {seed}: more than everything"),
                5 => _ = busy.changes(busy.oldest() + 1).map(Iterator::count),
                _ => {}
            }
            equal(&plain, &busy, &format!("seed {seed}, entry {number}"));
        }
        // Each clone stayed what it was, and becomes what the others are.
        for (number, present, mut clone) in kept {
            assert!(Present::of_store(&clone) == present, "seed {seed}: the clone behind {number} moved");
            for logged in &log[number + 1..] {
                apply(&mut clone, logged);
            }
            equal(&plain, &clone, &format!("seed {seed}, restarted behind entry {number}"));
        }
    }
    assert!(swept >= 8, "a sweep left something to a later one only {swept} times");
}

/// The node that goes on from a snapshot, and the one that it was taken of, over the rest of the log.
#[test]
fn a_store_from_a_snapshot_answers_reads_and_remembers_as_the_one_it_was_taken_of() {
    let mut bytes_equal = 0;
    for seed in 5_000..5_040 {
        let log = log_of(seed);
        let mut rng = Rng::new(seed);
        let mut original = Store::<NoPlant>::new();
        let mut others: Vec<Store<NoPlant>> = Vec::new();
        for (number, logged) in log.iter().enumerate() {
            let what = format!("seed {seed}, entry {number}");
            let expected = apply(&mut original, logged);
            for other in &mut others {
                assert_eq!(expected, apply(other, logged), "{what}");
                equal(&original, other, &what);
                // Sweeps at other times, and never: they must not show in the bytes.
                other.sweep(rng.below(3) as usize);
                if rng.permille(50) {
                    assert!(snapshots::taken(&original) == snapshots::taken(other), "{what}: other bytes");
                    bytes_equal += 1;
                }
            }
            if rng.permille(30) {
                let restored =
                    snapshots::through(&original).unwrap_or_else(|fault| panic!("{what}: {fault}"));
                equal(&original, &restored, &what);
                // What is not swept yet is not in a snapshot.
                let mut swept = original.clone();
                swept.sweep(usize::MAX);
                assert_eq!(swept.compaction_due(), restored.compaction_due(), "{what}");
                assert_eq!(swept.history_bytes(), restored.history_bytes(), "{what}");
                others.push(restored);
            }
        }
    }
    assert!(bytes_equal > 200, "only {bytes_equal} comparisons of bytes");
}

fn equal<P: Plant>(one: &Store<P>, other: &Store<P>, what: &str) {
    assert_eq!(one.digest(), other.digest(), "{what}");
    alike(one, other, what);
}

/// Equal, but perhaps for the digest.
fn alike<P: Plant>(one: &Store<P>, other: &Store<P>, what: &str) {
    let check = |result: Result<(), String>| result.unwrap_or_else(|fault| panic!("{what}: {fault}"));
    check(compare::same(
        "state",
        &Present::of_store(one).but_digest(),
        &Present::of_store(other).but_digest(),
    ));
    let from = one.oldest() + 1;
    let changes = |store| compare::changes_of_store(store, from);
    check(compare::same("changes", &changes(one), &changes(other)));
    for key in [&b"a/b"[..], b"a/b/c", b"c"] {
        let key = Bytes::from_static(key);
        let history = |store| compare::history_of_store(store, &key, usize::MAX);
        check(compare::same("history", &history(one), &history(other)));
    }
}

/// An entry with its bytes changed in one to three places, or of another length.
fn damaged(rng: &mut Rng, entry: &Bytes) -> Bytes {
    let mut bytes = entry.to_vec();
    for _ in 0..rng.between(1, 3) {
        let at = rng.below(bytes.len().max(1) as u64) as usize;
        match rng.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), rng.below(256) as u8),
            2 => bytes.extend_from_slice(&rng.number().to_le_bytes()),
            _ if bytes.is_empty() => {}
            3 => bytes[at] = *rng.pick(&[0, 1, 0x7f, 0x80, 0xff]),
            _ => bytes[at] ^= 1 << rng.below(8),
        }
    }
    bytes.into()
}

/// What the entries of a log look like that apply cannot accept: they pass time, and nothing else.
#[test]
fn damaged_entries_never_panic_and_change_nothing_but_clock_stamp_and_position() {
    let (mut refused, mut good) = (0, 0);
    for seed in 2_000..2_012 {
        let log = log_of(seed);
        let mut rng = Rng::new(seed);
        let mut store = Store::<NoPlant>::new();
        for logged in &log {
            apply(&mut store, logged);
            let next = LogPosition { term: logged.0.term, index: logged.0.index + 1 };
            for _ in 0..4 {
                let Some(entry) = &log[rng.below(log.len() as u64) as usize].1 else { continue };
                let entry = damaged(&mut rng, entry);
                let (mut hit, mut spared) = (store.clone(), store.clone());
                // A raised level may halt it, which is an answer as well.
                let Ok(applied) = hit.apply(next, &entry) else { continue };
                match Envelope::split(&entry) {
                    Err(_) => {
                        assert!(matches!(applied.outcome, Outcome(Err(Refusal::Malformed { .. }))));
                        spared.skip(next).expect("the next entry");
                    }
                    Ok((envelope, request)) => {
                        if !barred(&store, &request, &envelope) {
                            good += 1;
                            continue;
                        }
                        let mut empty = Vec::new();
                        envelope.write(&mut empty);
                        spared.apply(next, &empty.into()).expect("the next entry");
                    }
                }
                refused += 1;
                let what = format!("seed {seed}, entry {}, {entry:?}", next.index);
                // The digest tells what was answered, so that may differ.
                alike(&hit, &spared, &what);
            }
        }
    }
    println!("{refused} damaged entries refused, {good} still good");
    assert!(refused > 1_000 && good > 100);
}

/// Whether a request is refused before anybody looks at its request key, or has none.
fn barred<P: Plant>(store: &Store<P>, request: &Bytes, envelope: &Envelope) -> bool {
    match rules::gate(request, store.level()) {
        Err(_) => true,
        Ok((decoded, _)) => {
            let nobody_else = rules::of_request_key(&decoded, &envelope.actor).is_err();
            nobody_else || (decoded.key == RequestKey::None && store.admit(request, &envelope.actor).is_err())
        }
    }
}

/// A continuation is a client's to change. Whatever it brings, there is a page of the span or a refusal.
#[test]
fn continuations_that_nobody_gave_are_refused_or_give_a_page_of_the_span() {
    let (mut refused, mut pages) = (0, 0);
    for seed in 4_100..4_104 {
        let mut rng = Rng::new(seed);
        let mut store = Store::<NoPlant>::new();
        for logged in log_of(seed) {
            apply(&mut store, &logged);
        }
        for sort_by in SortBy::ALL {
            let span = Span::From(Bytes::from_static(b"a"));
            let mut range = Range { sort_by: *sort_by, page_bytes: 1, ..Range::of(span.clone()) };
            range.descending = rng.permille(500);
            while let Ok(page) = store.range(&range)
                && !page.continuation.is_empty()
            {
                for _ in 0..6 {
                    let continuation = damaged(&mut rng, &page.continuation);
                    match store.range(&Range { continuation, ..range.clone() }) {
                        Ok(page) => {
                            pages += 1;
                            assert!((store.oldest()..=store.revision()).contains(&page.revision));
                            assert!(page.entries.iter().all(|version| rules::within(&span, version.key())));
                        }
                        Err(refusal) => {
                            refused += 1;
                            let known = [Code::BadContinuation, Code::Compacted, Code::FutureRevision];
                            assert!(known.contains(&refusal.code()), "seed {seed}: {refusal}");
                        }
                    }
                }
                range.continuation = page.continuation;
            }
        }
    }
    println!("{refused} damaged continuations refused, {pages} pages");
    assert!(refused > 500 && pages > 200);
}

/// Admission refuses with what apply would say, unless apply knows the request key already; and what apply executes is admitted.
#[test]
fn admission_refuses_what_apply_would_for_the_request_alone() {
    let mut refusals = BTreeSet::new();
    let by_request_key = [
        Code::UnknownSession,
        Code::StaleSequence,
        Code::WindowFull,
        Code::AppliedReplyDropped,
        Code::IdempotencyMismatch,
        Code::TooManyIdempotencyKeys,
    ];
    for seed in 3_000..3_020 {
        let mut store = Store::<NoPlant>::new();
        for (at, entry) in log_of(seed) {
            let Some(entry) = entry else {
                store.skip(at).expect("the next entry");
                continue;
            };
            let admitted = Envelope::split(&entry).ok();
            let admitted = admitted.map(|(envelope, request)| store.admit(&request, &envelope.actor));
            let applied = store.apply(at, &entry).expect("no halt");
            if let Some(Err(refusal)) = admitted
                && !applied.repeated
            {
                refusals.insert(refusal.code().number());
                let Outcome(Err(said)) = applied.outcome else { panic!("seed {seed}: executed {refusal}") };
                let known = by_request_key.contains(&said.code());
                assert!(said == refusal || known, "seed {seed}, entry {}: {said}, {refusal}", at.index);
            }
        }
    }
    assert!(refusals.len() > 12, "only {refusals:?}");
}

/// In a log a key that is written twice mostly is so in several ways. Here, many small transactions, in which it may be by one.
#[test]
fn keys_that_a_transaction_changes_twice_are_found_as_by_comparing_each_with_each() {
    let mut twice = 0;
    let settings = Settings::default();
    for seed in 0..8_000 {
        let request = Request::from(Command::Transact(Generator::new(seed).clash(3)));
        let mine = rules::limits(&request, 0, &settings);
        assert_eq!(validate(&request, 0, &Limits::from(&settings)), mine, "seed {seed}: {request:?}");
        twice += u64::from(mine.is_err());
    }
    println!("{twice} of 8000 change a key twice");
    assert!((1_000..7_000).contains(&twice));
}

/// The comparison finds this bug within so many logs.
fn found(bug: Bug, seeds: u64) {
    assert!(seeds <= SEEDS.end, "logs on which the store without a bug is compared as well");
    let found = chosen(bug, || (0..seeds).find_map(|seed| run::<Chosen>(seed, CARE).err()));
    let bug = bug.label();
    let found = found.unwrap_or_else(|| panic!("{bug} is not found within {seeds} logs"));
    println!("{bug}: {}", found.lines().next().unwrap_or_default());
}

/// Declares a test for each bug, and how soon it is found.
macro_rules! found {
    ($( $name:ident = $bug:ident within $seeds:literal; )+) => { $(
        #[test]
        fn $name() {
            found(Bug::$bug, $seeds);
        } )+

        #[test]
        fn every_planted_bug_is_looked_for() {
            assert_eq!(Bug::ALL, [$( Bug::$bug ),+]);
        }
    };
}

found! {
    bug_version_not_reset_is_found = VersionNotReset within 40;
    bug_compaction_moves_revision_back_is_found = CompactionMovesRevisionBack within 40;
    bug_needless_range_skipped_is_found = NeedlessRangeSkipped within 40;
    bug_stale_reexecuted_is_found = StaleReexecuted within 40;
    bug_cap_from_node_is_found = CapFromNode within 40;
    bug_level_of_binary_is_found = LevelOfBinary within 40;
    bug_refusal_forgotten_is_found = RefusalForgotten within 40;
    bug_empty_deletion_counts_is_found = EmptyDeletionCounts within 40;
    bug_inner_compares_late_is_found = InnerComparesLate within 40;
    bug_quota_by_operation_is_found = QuotaByOperation within 40;
    bug_deadline_by_envelope_is_found = DeadlineByEnvelope within 40;
    bug_token_repeats_is_found = TokenRepeats within 40;
    bug_lease_revoked_by_halves_is_found = LeaseRevokedByHalves within 40;
    bug_expiry_ignores_counter_is_found = ExpiryIgnoresCounter within 40;
    bug_lock_granted_to_dead_lease_is_found = LockGrantedToDeadLease within 40;
    bug_lease_by_wall_clock_is_found = LeaseByWallClock within 40;
    bug_place_of_former_lease_is_found = PlaceOfFormerLease within 40;
    bug_sessions_missing_from_snapshot_is_found = SessionsMissingFromSnapshot within 40;
    bug_value_not_in_digest_is_found = ValueNotInDigest within 40;
}

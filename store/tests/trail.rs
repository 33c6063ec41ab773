//! Audit records and the digest, from outside.

mod common;

use bytes::Bytes;
use common::{Fed, acquire, named, numbered, put, put_on, revoke};
use holdfast_command::audit::{LISTED_MAX, Touched, TouchedKind};
use holdfast_command::keys::{Delete, Operation, Put, Span, Transaction};
use holdfast_command::settings::ChangeSettings;
use holdfast_command::{
    Actor, AuditRecord, Command, CommandNumber, Entry, Envelope, Reply, ReplyNumber, Request, Setting,
};
use holdfast_machine::Numbered;
use holdfast_store::snapshot::{Decoder, Encoder, Source};
use holdfast_store::{Bug, LogPosition, Plant, Store};

fn record(fed: &mut Fed, command: Command) -> Option<AuditRecord> {
    let audit = fed.request(Request::from(command)).audit;
    (!audit.is_empty()).then(|| AuditRecord::decode(audit).expect("a record"))
}

fn key(name: &'static str, before: u64, gone: bool) -> Touched {
    Touched { kind: TouchedKind::Key, name: name.into(), before, gone }
}

#[test]
fn a_record_says_who_did_what_from_where_and_why_and_what_was_there_before() {
    let mut fed = Fed::new();
    fed.put("a", "1");
    let deletion = Operation::Delete(Delete { span: Span::Key("a".into()), return_previous: false });
    let then = vec![deletion, Operation::Put(Put { key: "b".into(), ..Put::default() })];
    let command = Command::Transact(Transaction { then, ..Transaction::default() });
    let request = Request { reason: "because".into(), ..Request::from(command) };
    let address = Some(("10.0.0.3".parse().expect("an address"), 7400));
    let envelope =
        Envelope { stamp: 77 << 16, clock: 5, actor: named("ann"), address, ..Envelope::default() };
    let applied = fed.apply(&Entry { envelope, request }.encode());
    let record = AuditRecord::decode(applied.audit).expect("a record");
    assert_eq!((record.index, record.term, record.revision), (2, 1, 3));
    assert_eq!((record.stamp, record.clock), (77 << 16, 5));
    assert_eq!((record.actor, record.address), (named("ann"), address));
    assert_eq!(&*record.reason, "because");
    assert_eq!((record.command, record.reply), (CommandNumber::Transact, ReplyNumber::Transacted));
    assert_eq!((record.count, record.touched), (2, vec![key("a", 2, true), key("b", 0, false)]));
}

#[test]
fn what_was_refused_or_repeated_or_changed_nothing_leaves_no_record() {
    let mut fed = Fed::new();
    let session = fed.open(60_000);
    let lease = fed.grant(0, 60_000);
    fed.command(acquire("l", lease)).expect("it is free");
    let first = fed.request(numbered(session, 1, 1, put("k", "v")));
    assert!(!first.audit.is_empty());
    let again = fed.request(numbered(session, 1, 1, put("k", "v")));
    assert!(again.repeated && again.audit.is_empty());
    let nothing = Delete { span: Span::Key("none".into()), return_previous: false };
    for command in [
        put("", "refused"),
        Command::Delete(nothing),
        Command::Transact(Transaction::default()),
        acquire("l", lease),
        revoke(77),
    ] {
        assert_eq!(record(&mut fed, command.clone()), None, "{command:?}");
    }
    fed.actor = Actor::Cluster;
    assert_eq!(record(&mut fed, Command::Tick), None);
    let kept = vec![holdfast_command::leases::Renewed { lease, actor: Actor::Anonymous }];
    let renewal = Command::RenewLeases(holdfast_command::leases::RenewLeases { kept });
    assert_eq!(record(&mut fed, renewal), None);
}

#[test]
fn a_lease_that_expires_leaves_a_record_in_the_name_of_the_cluster_with_all_that_went() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 5_000);
    fed.command(put_on(lease, "k", "v")).expect("a live lease");
    fed.command(acquire("l", lease)).expect("it is free");
    fed.pass(5_000);
    let (_, counter) = fed.store.leases_due(5_000).next().expect("it is due");
    fed.actor = Actor::Cluster;
    let expire = Command::ExpireLease(holdfast_command::leases::ExpireLease { lease, counter });
    let record = record(&mut fed, expire).expect("something was changed");
    assert_eq!(record.actor, Actor::Cluster);
    let number = Bytes::copy_from_slice(&lease.to_le_bytes());
    let ended = Touched { kind: TouchedKind::Lease, name: number, before: 0, gone: true };
    let lock = Touched { kind: TouchedKind::Lock, name: "l".into(), before: 1, gone: true };
    assert_eq!(record.touched, [key("k", 2, true), ended, lock]);
}

#[test]
fn a_record_of_many_keys_lists_the_first_and_counts_the_rest() {
    let mut fed = Fed::new();
    for number in 0..100 {
        fed.put(&format!("k{number:02}"), "");
    }
    let all = Command::Delete(Delete { span: Span::all(), return_previous: false });
    let record = record(&mut fed, all).expect("something was changed");
    assert_eq!((record.count, record.touched.len()), (100, usize::from(LISTED_MAX)));
}

#[test]
fn a_change_of_settings_is_recorded_with_what_they_were() {
    let mut fed = Fed::new();
    let changes = vec![(Setting::LeaseKeys.number(), 7)];
    let record = record(&mut fed, Command::ChangeSettings(ChangeSettings { changes }));
    let number = u64::from(Setting::LeaseKeys.number()).to_le_bytes();
    let name = Bytes::copy_from_slice(&number);
    let touched = Touched { kind: TouchedKind::Setting, name, before: 10_000, gone: false };
    assert_eq!(record.expect("something was changed").touched, [touched]);
}

/// The same entries, of which one puts another value.
fn digests<P: Plant>(values: [&str; 2]) -> [[u8; 32]; 2] {
    values.map(|value| {
        let mut store = Store::<P>::new();
        for (index, value) in (1..).zip(["before", value, "behind"]) {
            let entry = Entry { envelope: Envelope::default(), request: Request::from(put("k", value)) };
            store.apply(LogPosition { index, term: 1 }, &entry.encode()).expect("it goes on");
        }
        store.digest()
    })
}

#[test]
fn the_digest_sees_another_value_also_when_it_was_overwritten() {
    let [one, other] = digests::<holdfast_store::NoPlant>(["one", "two"]);
    assert_ne!(one, other);
    let [one, other] = digests::<holdfast_store::NoPlant>(["same", "same"]);
    assert_eq!(one, other);
}

#[test]
fn a_digest_that_does_not_look_at_values_would_miss_it() {
    #[derive(Clone, Copy, Debug)]
    struct Planted;
    impl Plant for Planted {
        const BUG: Option<Bug> = Some(Bug::ValueNotInDigest);
    }
    let [one, other] = digests::<Planted>(["one", "two"]);
    assert_eq!(one, other, "this is the difference that the real one sees");
}

#[test]
fn the_digest_sees_term_and_index_of_entries_that_hold_no_command() {
    let of = |terms: &[u64]| {
        let mut store = Store::<holdfast_store::NoPlant>::new();
        for (index, term) in (1..).zip(terms) {
            store.skip(LogPosition { index, term: *term }).expect("it goes on");
        }
        store.digest()
    };
    assert_ne!(of(&[1, 1]), of(&[1, 2]));
    assert_ne!(of(&[1]), of(&[1, 1]));
    assert_eq!(of(&[1, 2]), of(&[1, 2]));
}

#[test]
fn a_range_is_finished_with_its_last_index_whatever_that_entry_holds() {
    for length in [256, 1, 7] {
        let mut fed = Fed::new();
        let changes = vec![(Setting::DigestRange.number(), length)];
        fed.request(Request::from(Command::ChangeSettings(ChangeSettings { changes })));
        let mut at_ends: Vec<_> = fed.store.last_range().into_iter().collect();
        while fed.store.applied().index < 3 * length.max(5) {
            let index = fed.store.applied().index + 1;
            if index == length - 1 {
                fed.store.skip(LogPosition { index, term: 1 }).expect("it goes on");
            } else {
                fed.put("k", "v");
            }
            if index % length == length - 1 {
                at_ends.push((index, fed.store.digest()));
            }
        }
        assert!(at_ends.len() >= 3, "ranges of {length}");
        assert_eq!(fed.store.digest_ranges().collect::<Vec<_>>(), at_ends, "ranges of {length}");
        assert_eq!(fed.store.last_range(), at_ends.last().copied());
    }
}

#[test]
fn a_range_ends_early_once_its_entries_have_16_mib_also_behind_a_snapshot_in_its_middle() {
    let mut fed = Fed::new();
    let value = "v".repeat(1 << 20);
    for _ in 0..8 {
        fed.put("k", &value);
    }
    assert_eq!(fed.store.last_range(), None);
    let mut other = Fed::new();
    other.store = through_a_snapshot(&fed);
    for fed in [&mut fed, &mut other] {
        for _ in 0..7 {
            fed.put("k", &value);
        }
        assert_eq!(fed.store.last_range(), None, "15 MiB and a little");
        fed.put("k", &value);
        assert_eq!(fed.store.last_range().map(|(last, _)| last), Some(16));
        fed.put("k", &value);
        assert_eq!(fed.store.last_range().map(|(last, _)| last), Some(16), "the next one begins at nothing");
    }
    assert_eq!(fed.store.last_range(), other.store.last_range());
}

fn through_a_snapshot(fed: &Fed) -> Store {
    let source = Source { cluster: [1; 16], epoch: 1, membership: Bytes::new() };
    let mut decoder = Decoder::new();
    for chunk in Encoder::new(fed.store.clone(), source).expect("it has not halted") {
        decoder.push(&chunk).expect("a chunk");
    }
    decoder.finish().expect("a snapshot").store
}

#[test]
fn a_store_from_a_snapshot_goes_on_with_the_chain() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 5_000);
    fed.command(put_on(lease, "k", "v")).expect("a live lease");
    let mut other = Fed::new();
    other.store = through_a_snapshot(&fed);
    assert_eq!(fed.store.digest(), other.store.digest());
    for fed in [&mut fed, &mut other] {
        assert!(matches!(fed.command(revoke(lease)), Ok(Reply::LeaseRevoked { keys: 1, .. })));
    }
    assert_eq!(fed.store.digest(), other.store.digest());
}

/// Which of two sessions is looked at first depends on where a node started from; the digest must not.
#[test]
fn sessions_that_end_with_one_entry_do_so_in_the_order_of_their_numbers() {
    let mut fed = Fed::new();
    let (_, second) = (fed.open(3_000), fed.open(2_000));
    fed.pass(1_500);
    // The second ends at 3,500 now, and still stands at 2,000 among the timers; the first ends at 3,000.
    fed.request(numbered(second, 1, 1, put("k", "v")));
    let source = Source { cluster: [1; 16], epoch: 1, membership: Bytes::new() };
    let mut decoder = Decoder::new();
    for chunk in Encoder::new(fed.store.clone(), source).expect("it has not halted") {
        decoder.push(&chunk).expect("a chunk");
    }
    let mut other = Fed::new();
    (other.store, other.clock) = (decoder.finish().expect("a snapshot").store, fed.clock);
    for fed in [&mut fed, &mut other] {
        fed.pass(2_000);
        assert_eq!(fed.store.sessions().count(), 0);
    }
    assert_eq!(fed.store.digest(), other.store.digest());
}

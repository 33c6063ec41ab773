//! A sample of everything that has a number, and of every shape besides.
//!
//! Each list is made by a `match` over the numbers without `_`: a new command, reply or code does not compile until it has a
//! sample, and with it a line in the golden file.

use std::net::IpAddr;

use bytes::Bytes;
use holdfast_command::elections::{Campaign, Proclaim, Resign};
use holdfast_command::keys::{
    Against, Bounds, Compact, Compare, Content, Delete, Operation, OperationNumber, Put, Range, Relation,
    Restore, SortBy, Span, Subject, Transaction,
};
use holdfast_command::leases::{ExpireLease, GrantLease, RenewLeases, Renewed, RevokeLease};
use holdfast_command::locks::{Acquire, Release};
use holdfast_command::namespaces::{DeleteNamespace, Rules, SetNamespace};
use holdfast_command::outcome::RangePage;
use holdfast_command::query::{
    Answer, AuditPage, AuditQuery, Holding, LeaseInfo, MissingReason, MissingRecords, NamespaceInfo,
    PlaceInfo, Query, QueryNumber, QueueInfo, QueueKind, SessionInfo, VersionInfo, When,
};
use holdfast_command::sessions::{CloseSession, KeepSessions, Kept, OpenSession};
use holdfast_command::settings::{ChangeSettings, RaiseFeatureLevel};
use holdfast_command::{
    Actor, Code, Command, CommandNumber, Entry, Envelope, Extension, Extensions, FeatureLevel, KeyValue,
    Outcome, Refusal, Reply, ReplyNumber, Request, RequestKey, SessionId, Setting,
};
use holdfast_machine::Numbered;

use super::Value;

pub(crate) fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

pub(crate) fn put(key: &'static str, value: &'static str) -> Put {
    Put { key: bytes(key), value: bytes(value), ..Put::default() }
}

pub(crate) fn delete(span: Span) -> Delete {
    Delete { span, return_previous: false }
}

pub(crate) fn between(start: &'static str, end: &'static str) -> Span {
    Span::Between { start: bytes(start), end: bytes(end) }
}

/// A key with numbers that can be told apart in its bytes.
pub(crate) fn key_value() -> KeyValue {
    KeyValue {
        key: bytes("app/a"),
        value: bytes("1"),
        create_revision: 2,
        mod_revision: 3,
        version: 4,
        lease: -5,
        stamp: 6,
    }
}

/// All samples, each under a name of its own that begins with the word of its kind.
pub(crate) fn all() -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = Vec::new();
    for &number in CommandNumber::ALL {
        for (shape, command) in commands(number) {
            all.push((format!("request {number} {shape}"), Value::Request(command.into())));
        }
    }
    let others = parts().into_iter().chain(request_keys()).chain(extensions());
    all.extend(others.map(|(name, request)| (format!("request {name}"), Value::Request(request))));
    all.extend(ranges().into_iter().map(|(name, range)| (format!("range {name}"), Value::Range(range))));
    for &number in QueryNumber::ALL {
        for (shape, query) in queries(number) {
            all.push((format!("query {number} {shape}"), Value::Query(query)));
        }
        for (shape, answer) in answers(number) {
            all.push((format!("answer {number} {shape}"), Value::Answer(Ok(answer))));
        }
    }
    all.push(("answer refused".into(), Value::Answer(Err(Refusal::UnknownLease { lease: 5 }))));
    for (name, envelope) in envelopes() {
        let request = Request::from(Command::Put(put("k", "v")));
        all.push((format!("entry {name}"), Value::Entry(Entry { envelope, request })));
    }
    for &number in ReplyNumber::ALL {
        for (shape, reply) in replies(number) {
            all.push((format!("outcome {number} {shape}"), Value::Outcome(Outcome(Ok(reply)))));
        }
    }
    for &code in Code::ALL {
        all.push((format!("outcome {code}"), Value::Outcome(Outcome(Err(refusal(code))))));
    }
    // Names end where the shape has nothing to add.
    all.into_iter().map(|(name, value)| (name.trim_end().to_owned(), value)).collect()
}

fn commands(number: CommandNumber) -> Vec<(&'static str, Command)> {
    match number {
        CommandNumber::Put => vec![
            ("", Command::Put(put("app/a", "1"))),
            ("with an empty value", Command::Put(put("app/a", ""))),
            ("returns the previous", Command::Put(Put { return_previous: true, ..put("a", "1") })),
            ("keeps the value", Command::Put(Put { keep_value: true, lease: 7, ..put("a", "") })),
            ("keeps the lease", Command::Put(Put { keep_lease: true, ..put("a", "1") })),
            ("with a negative lease", Command::Put(Put { lease: -2, ..put("a", "1") })),
        ],
        CommandNumber::Delete => vec![
            ("a key", Command::Delete(delete(Span::Key(bytes("a"))))),
            ("a span", Command::Delete(delete(between("a", "b")))),
            ("all from a key on", Command::Delete(delete(Span::From(bytes("a"))))),
            ("all", Command::Delete(Delete { span: Span::all(), return_previous: true })),
        ],
        CommandNumber::Transact => transactions()
            .into_iter()
            .map(|(shape, transaction)| (shape, Command::Transact(transaction)))
            .collect(),
        CommandNumber::Restore => {
            let restore = Restore { key: bytes("a"), revision: 9, return_previous: false };
            let previous = Restore { return_previous: true, ..restore.clone() };
            vec![("", Command::Restore(restore)), ("returns the previous", Command::Restore(previous))]
        }
        CommandNumber::Compact => vec![("", Command::Compact(Compact { revision: 9 }))],
        CommandNumber::SetNamespace => {
            let bare = SetNamespace { name: "team/app/".into(), rules: Rules::default() };
            let rules = Rules {
                quota_keys: 1,
                quota_bytes: 2,
                value_bytes: 3,
                description: "été".into(),
                owners: vec!["ada".into(), "".into()],
            };
            let full = SetNamespace { rules, ..bare.clone() };
            vec![("without rules", Command::SetNamespace(bare)), ("", Command::SetNamespace(full))]
        }
        CommandNumber::DeleteNamespace => {
            vec![("", Command::DeleteNamespace(DeleteNamespace { name: "team/app/".into() }))]
        }
        CommandNumber::ChangeSettings => {
            let changes = vec![(3, 1_000), (1, 2_000)];
            vec![
                ("none", Command::ChangeSettings(ChangeSettings::default())),
                ("two", Command::ChangeSettings(ChangeSettings { changes })),
                (
                    "of a later version",
                    Command::ChangeSettings(ChangeSettings { changes: vec![(u16::MAX, u64::MAX)] }),
                ),
            ]
        }
        CommandNumber::RaiseFeatureLevel => {
            vec![("", Command::RaiseFeatureLevel(RaiseFeatureLevel { level: FeatureLevel(2) }))]
        }
        CommandNumber::OpenSession => vec![("", Command::OpenSession(OpenSession { ttl_ms: 30_000 }))],
        CommandNumber::KeepSessions => {
            let actors = [Actor::Anonymous, Actor::Named("ada".into()), Actor::Cluster];
            let kept = (1..).zip(actors).map(|(session, actor)| Kept { session: SessionId(session), actor });
            vec![
                ("none", Command::KeepSessions(KeepSessions::default())),
                ("of each kind of actor", Command::KeepSessions(KeepSessions { kept: kept.collect() })),
            ]
        }
        CommandNumber::CloseSession => {
            vec![("", Command::CloseSession(CloseSession { session: SessionId(8) }))]
        }
        CommandNumber::Tick => vec![("", Command::Tick)],
        CommandNumber::GrantLease => vec![
            ("", Command::GrantLease(GrantLease { lease: 7, ttl_ms: 30_000 })),
            ("of a number that the store chooses", Command::GrantLease(GrantLease { lease: 0, ttl_ms: 1 })),
        ],
        CommandNumber::RenewLeases => {
            let actors = [Actor::Anonymous, Actor::Named("ada".into()), Actor::Cluster];
            let kept = (1..).zip(actors).map(|(lease, actor)| Renewed { lease, actor });
            vec![
                ("none", Command::RenewLeases(RenewLeases::default())),
                ("of each kind of actor", Command::RenewLeases(RenewLeases { kept: kept.collect() })),
            ]
        }
        CommandNumber::RevokeLease => vec![("", Command::RevokeLease(RevokeLease { lease: 7 }))],
        CommandNumber::ExpireLease => vec![("", Command::ExpireLease(ExpireLease { lease: 7, counter: 77 }))],
        CommandNumber::Acquire => {
            let (name, value) = (bytes("lock"), bytes("who"));
            let acquire = Acquire { name, lease: 7, wait: false, value };
            let waits = Acquire { wait: true, ..acquire.clone() };
            vec![("", Command::Acquire(acquire)), ("waits", Command::Acquire(waits))]
        }
        CommandNumber::Release => {
            vec![("", Command::Release(Release { name: bytes("lock"), lease: 7 }))]
        }
        CommandNumber::Campaign => {
            let (name, value) = (bytes("office"), bytes("who"));
            vec![("", Command::Campaign(Campaign { name, lease: 7, value }))]
        }
        CommandNumber::Proclaim => {
            let (name, value) = (bytes("office"), bytes("what"));
            vec![("", Command::Proclaim(Proclaim { name, lease: 7, token: 8, value }))]
        }
        CommandNumber::Resign => {
            vec![("", Command::Resign(Resign { name: bytes("office"), lease: 7 }))]
        }
    }
}

fn operation(number: OperationNumber) -> Operation {
    match number {
        OperationNumber::Put => Operation::Put(put("a", "1")),
        OperationNumber::Delete => Operation::Delete(delete(between("b", "c"))),
        OperationNumber::Range => Operation::Range(Range::of(Span::prefix(bytes("d/")))),
        OperationNumber::Transaction => Operation::Transaction(Transaction::default()),
        OperationNumber::Restore => {
            Operation::Restore(Restore { key: bytes("e"), revision: 3, return_previous: true })
        }
    }
}

fn against(subject: Subject) -> Against {
    match subject {
        Subject::Version => Against::Version(1),
        Subject::CreateRevision => Against::CreateRevision(2),
        Subject::ModRevision => Against::ModRevision(3),
        Subject::Value => Against::Value(bytes("four")),
        Subject::Lease => Against::Lease(-5),
        Subject::Fence => Against::Fence(6),
        Subject::Term => Against::Term(7),
    }
}

fn transactions() -> Vec<(&'static str, Transaction)> {
    // Several at once, always the same ones; each by itself stands in `parts`.
    let pairs = Subject::ALL.iter().zip(Relation::ALL.iter().cycle()).take(5);
    let compares = pairs.map(|(&subject, &relation)| compare(subject, relation)).collect();
    let operations = OperationNumber::ALL.iter().take(5).map(|&number| operation(number)).collect();
    let mut deep = Transaction { then: vec![Operation::Put(put("x", "y"))], ..Transaction::default() };
    for _ in 1..holdfast_command::keys::DEPTH_MAX {
        deep = Transaction { otherwise: vec![Operation::Transaction(deep)], ..Transaction::default() };
    }
    vec![
        ("nothing", Transaction::default()),
        ("by five subjects", Transaction { compares, ..Transaction::default() }),
        ("five operations", Transaction { then: operations, ..Transaction::default() }),
        ("as deep as allowed", deep),
    ]
}

fn compare(subject: Subject, relation: Relation) -> Compare {
    Compare { span: Span::Key(bytes("k")), relation, against: against(subject) }
}

/// Everything inside of a body that has a number, each by itself: what is added then adds a line and changes none.
fn parts() -> Vec<(String, Request)> {
    let of_compare = |compare| Transaction { compares: vec![compare], ..Transaction::default() };
    let of_operation = |operation| Transaction { then: vec![operation], ..Transaction::default() };
    let subjects = Subject::ALL
        .iter()
        .map(|&subject| (format!("comparing {subject}"), of_compare(compare(subject, Relation::Equal))));
    let relations = Relation::ALL.iter().map(|&relation| {
        (format!("comparing by {relation}"), of_compare(compare(Subject::Version, relation)))
    });
    let operations = OperationNumber::ALL
        .iter()
        .map(|&number| (format!("doing {number}"), of_operation(operation(number))));
    let transactions = subjects.chain(relations).chain(operations);
    let transactions = transactions.map(|(name, transaction)| (name, Command::Transact(transaction)));
    let settings = Setting::ALL.iter().map(|setting| {
        let changes = vec![(setting.number(), 1_000)];
        (format!("setting {setting}"), Command::ChangeSettings(ChangeSettings { changes }))
    });
    transactions.chain(settings).map(|(name, command)| (name, command.into())).collect()
}

fn request_keys() -> Vec<(String, Request)> {
    let plain = Request::from(Command::Put(put("a", "1")));
    let session = RequestKey::Session { session: SessionId(1), sequence: 3, low: 2 };
    let idempotency = RequestKey::Idempotency { key: [0xaa; 32], request: [0xbb; 32] };
    let with = |key| Request { key, ..plain.clone() };
    vec![
        ("in a session".into(), with(session)),
        ("with an idempotency key".into(), with(idempotency)),
        ("with a reason".into(), Request { reason: "because é".into(), ..plain.clone() }),
    ]
}

fn extensions() -> Vec<(String, Request)> {
    let plain = Request::from(Command::Put(put("a", "1")));
    let mut all: Vec<(String, Request)> = Extension::ALL
        .iter()
        .map(|&extension| {
            let extensions = match extension {
                Extension::NotAfter => Extensions::not_after(0x1122),
            };
            (format!("with {extension}"), Request { extensions, ..plain.clone() })
        })
        .collect();
    let several = [&plain.encode()[..], b"\x01\0\x08\0\0\0\x02\0\0\0\0\0\0\0", b"\xff\xff\0\0\0\0"].concat();
    let several = Request::decode(several.into()).expect("two extensions in order");
    all.push(("with an extension of a later version".into(), several));
    let everything = Request {
        key: RequestKey::Session { session: SessionId(1), sequence: 3, low: 2 },
        reason: "because".into(),
        command: Command::Put(put("a", "1")),
        extensions: Extensions::not_after(0x1122),
    };
    all.push(("with key, reason and extension".into(), everything));
    all
}

fn queries(number: QueryNumber) -> Vec<(&'static str, Query)> {
    let (kind, name, limit) = (QueueKind::Lock, bytes("jobs"), 7);
    match number {
        QueryNumber::Lease => vec![("", Query::Lease { lease: 5 })],
        QueryNumber::Leases => vec![("", Query::Leases { after: 5, limit })],
        QueryNumber::Queue => {
            let queue = |when| Query::Queue { kind, name: name.clone(), when };
            vec![
                ("now", queue(When::Now)),
                ("settled", queue(When::Settled { lease: 5 })),
                ("changed", queue(When::ChangedFrom { index: 9 })),
            ]
        }
        QueryNumber::Queues => {
            vec![("", Query::Queues { kind: QueueKind::Election, after: bytes("a"), limit })]
        }
        QueryNumber::History => vec![("", Query::History { key: bytes("k"), before: 8, limit })],
        QueryNumber::Audit => {
            let asked = AuditQuery {
                from: 5,
                since: 6,
                until: 8,
                limit,
                prefix: bytes("k"),
                actor: Some("ada".into()),
            };
            vec![("of all", Query::Audit(AuditQuery::default())), ("of some", Query::Audit(asked))]
        }
        QueryNumber::Namespaces => vec![("", Query::Namespaces { after: "app/".into(), limit })],
        QueryNumber::Settings => vec![("", Query::Settings)],
        QueryNumber::Sessions => vec![("", Query::Sessions { after: 5, limit })],
    }
}

fn answers(number: QueryNumber) -> Vec<(&'static str, Answer)> {
    let actor = Actor::Named("ada".into());
    let info = LeaseInfo { lease: 5, ttl_ms: 10, left_ms: 9, granted_at: 8, keys: 7, actor: actor.clone() };
    let place = |token| PlaceInfo { lease: 5, token, since: 4, value: bytes("who") };
    let held = QueueInfo { changed_at: 3, waiting: 2, holder: Some(place(6)), places: vec![place(0)] };
    match number {
        QueryNumber::Lease => vec![("", Answer::Lease { info, keys: vec![bytes("k")] })],
        QueryNumber::Leases => vec![("", Answer::Leases { leases: vec![info], more: true })],
        QueryNumber::Queue => {
            vec![("held", Answer::Queue(held)), ("empty", Answer::Queue(QueueInfo::default()))]
        }
        QueryNumber::Queues => {
            vec![("", Answer::Queues { queues: vec![(bytes("jobs"), held)], more: false })]
        }
        QueryNumber::History => {
            let version = VersionInfo { entry: key_value(), deleted: false, actor, reason: "why".into() };
            vec![("", Answer::History { oldest: 2, versions: vec![version], more: true })]
        }
        QueryNumber::Audit => {
            let missing = [(2, 3, MissingReason::Passed), (6, 6, MissingReason::Lost)];
            let missing = missing.map(|(first, last, why)| MissingRecords { first, last, why });
            let (records, missing) = (vec![bytes("record")], missing.to_vec());
            let page = AuditPage { complete_from: 7, through: 9, next: 8, records, missing };
            vec![("", Answer::Audit(page)), ("empty", Answer::Audit(AuditPage::default()))]
        }
        QueryNumber::Namespaces => {
            let rules = Rules { quota_keys: 1, owners: vec!["ada".into()], ..Rules::default() };
            let namespace = SetNamespace { name: "app/".into(), rules };
            let holds = Holding { keys: 2, bytes: 3 };
            let namespaces = vec![NamespaceInfo { namespace, holds }];
            vec![("", Answer::Namespaces { namespaces, more: true })]
        }
        QueryNumber::Settings => {
            let settings = vec![(1, 4_096), (26, 256)];
            vec![("", Answer::Settings { outside: Holding { keys: 2, bytes: 3 }, settings })]
        }
        QueryNumber::Sessions => {
            let (session, ttl_ms, left_ms, low, answers, bytes) = (1, 2, 3, 4, 5, 6);
            let session = SessionInfo { session, ttl_ms, left_ms, low, answers, bytes, actor };
            vec![("", Answer::Sessions { sessions: vec![session], more: false })]
        }
    }
}

pub(crate) fn ranges() -> Vec<(String, Range)> {
    let plain = Range::of(Span::prefix(bytes("app/")));
    let mut all: Vec<(String, Range)> = Vec::new();
    for &sort_by in SortBy::ALL {
        all.push((format!("{sort_by}"), Range { sort_by, ..plain.clone() }));
    }
    for &content in Content::ALL {
        all.push((format!("{content}"), Range { content, ..plain.clone() }));
    }
    let bounds = |min, max| Bounds { min, max };
    let full = Range {
        revision: 1,
        limit: 2,
        page_bytes: 3,
        mod_revision: bounds(4, 5),
        create_revision: bounds(6, 7),
        continuation: bytes("next"),
        ..Range::of(between("a", "b"))
    };
    all.push(("descending".into(), Range { descending: true, ..Range::of(Span::all()) }));
    all.push(("counted".into(), Range { count: true, ..Range::of(Span::Key(bytes("a"))) }));
    all.push(("with every field".into(), full));
    all
}

fn envelopes() -> Vec<(&'static str, Envelope)> {
    let plain = Envelope { stamp: 0x1000_0001, clock: 2_000, ..Envelope::default() };
    let from = |ip: &str, port: u16| Some((ip.parse::<IpAddr>().expect("an address"), port));
    let actor = |actor| Envelope { actor, ..plain.clone() };
    vec![
        ("by nobody known", plain.clone()),
        ("by a name", actor(Actor::Named("ada".into()))),
        ("by the cluster", actor(Actor::Cluster)),
        ("from IPv4", Envelope { address: from("10.0.0.3", 7400), ..plain.clone() }),
        ("from IPv6", Envelope { address: from("2001:db8::1", 7400), ..plain.clone() }),
        ("with every field", {
            let actor = Actor::Named("é".into());
            Envelope { stamp: 1, clock: 2, actor, auth_revision: 3, address: from("1.2.3.4", 0) }
        }),
    ]
}

fn replies(number: ReplyNumber) -> Vec<(&'static str, Reply)> {
    let revision = 9;
    let previous = || Some(key_value());
    match number {
        ReplyNumber::Put => vec![
            ("", Reply::Put { revision, previous: None }),
            ("with the previous", Reply::Put { revision, previous: previous() }),
        ],
        ReplyNumber::Deleted => vec![
            ("nothing", Reply::Deleted { revision, count: 0, previous: vec![] }),
            ("", Reply::Deleted { revision, count: 2, previous: vec![key_value(), KeyValue::default()] }),
        ],
        ReplyNumber::Transacted => vec![
            ("nothing", Reply::Transacted { revision, succeeded: false, results: vec![] }),
            ("", Reply::Transacted { revision, succeeded: true, results: results() }),
        ],
        ReplyNumber::Restored => vec![
            ("to nothing", Reply::Restored { revision, exists: false, previous: None }),
            ("", Reply::Restored { revision, exists: true, previous: previous() }),
        ],
        ReplyNumber::Compacted => vec![("", Reply::Compacted { oldest: 3 })],
        ReplyNumber::Ranged => {
            let page = RangePage { revision, ..RangePage::default() };
            let full = RangePage {
                entries: vec![key_value()],
                count: Some(7),
                more: true,
                continuation: bytes("next"),
                ..page.clone()
            };
            let counted = RangePage { count: Some(7), ..page.clone() };
            vec![
                ("empty", Reply::Ranged(page)),
                ("counted", Reply::Ranged(counted)),
                ("", Reply::Ranged(full)),
            ]
        }
        ReplyNumber::NamespaceSet => vec![("", Reply::NamespaceSet)],
        ReplyNumber::NamespaceDeleted => vec![("", Reply::NamespaceDeleted)],
        ReplyNumber::SettingsChanged => vec![("", Reply::SettingsChanged)],
        ReplyNumber::LevelRaised => vec![("", Reply::LevelRaised { level: FeatureLevel(2) })],
        ReplyNumber::SessionOpened => vec![("", Reply::SessionOpened { session: SessionId(8) })],
        ReplyNumber::SessionsKept => vec![
            ("all", Reply::SessionsKept { unknown: vec![] }),
            ("but two", Reply::SessionsKept { unknown: vec![SessionId(8), SessionId(9)] }),
        ],
        ReplyNumber::SessionClosed => vec![("", Reply::SessionClosed)],
        ReplyNumber::Ticked => vec![("", Reply::Ticked)],
        ReplyNumber::LeaseGranted => vec![("", Reply::LeaseGranted { lease: 7, ttl_ms: 30_000 })],
        ReplyNumber::LeasesRenewed => vec![
            ("all", Reply::LeasesRenewed { unknown: vec![] }),
            ("but two", Reply::LeasesRenewed { unknown: vec![8, -9] }),
        ],
        ReplyNumber::LeaseRevoked => vec![("", Reply::LeaseRevoked { revision, keys: 2 })],
        ReplyNumber::LeaseExpired => vec![
            ("not", Reply::LeaseExpired { expired: false, revision, keys: 0 }),
            ("", Reply::LeaseExpired { expired: true, revision, keys: 2 }),
        ],
        ReplyNumber::LockGranted => vec![("", Reply::LockGranted { token: 8 })],
        ReplyNumber::LockQueued => vec![("", Reply::LockQueued { ahead: 2 })],
        ReplyNumber::LockReleased => vec![
            ("by the holder", Reply::LockReleased { held: true }),
            ("by a waiter", Reply::LockReleased { held: false }),
        ],
        ReplyNumber::Elected => vec![("", Reply::Elected { token: 8 })],
        ReplyNumber::Campaigning => vec![("", Reply::Campaigning { ahead: 2 })],
        ReplyNumber::Proclaimed => vec![("", Reply::Proclaimed)],
        ReplyNumber::Resigned => vec![
            ("the office", Reply::Resigned { held: true }),
            ("the candidacy", Reply::Resigned { held: false }),
        ],
    }
}

/// What the operations of a transaction answer, one transaction in another among them.
fn results() -> Vec<Reply> {
    let inner = Reply::Transacted { revision: 8, succeeded: false, results: vec![Reply::Ticked] };
    let ranged = Reply::Ranged(RangePage { revision: 7, ..RangePage::default() });
    vec![Reply::Put { revision: 9, previous: None }, inner, ranged]
}

/// The refusal of each code, its fields different from one another so that the golden bytes show their order.
pub(crate) fn refusal(code: Code) -> Refusal {
    let (bytes, limit, level) = (11, 10, FeatureLevel(1));
    match code {
        Code::Malformed => Refusal::Malformed { offset: 1 },
        Code::UnknownCommand => Refusal::UnknownCommand { number: 500, level },
        Code::UnsupportedFeature => Refusal::UnsupportedFeature { tag: 2, level },
        Code::EmptyKey => Refusal::EmptyKey,
        Code::EmptySpan => Refusal::EmptySpan,
        Code::DuplicateKey => Refusal::DuplicateKey,
        Code::Contradiction => Refusal::Contradiction,
        Code::TooLate => Refusal::TooLate { clock: 2_000, not_after: 1_000 },
        Code::BadContinuation => Refusal::BadContinuation,
        Code::BadSequence => Refusal::BadSequence { sequence: 1, low: 2 },
        Code::NotForClients => Refusal::NotForClients { number: 401 },
        Code::KeyTooLong => Refusal::KeyTooLong { bytes, limit },
        Code::ValueTooLong => Refusal::ValueTooLong { bytes, limit },
        Code::RequestTooLong => Refusal::RequestTooLong { bytes, limit },
        Code::TooManyOperations => Refusal::TooManyOperations { operations: 11, limit },
        Code::ReasonTooLong => Refusal::ReasonTooLong { bytes, limit },
        Code::QuotaOfKeys => Refusal::QuotaOfKeys { keys: 11, quota: 10 },
        Code::QuotaOfBytes => Refusal::QuotaOfBytes { bytes, quota: 10 },
        Code::TooManySessions => Refusal::TooManySessions { limit },
        Code::TooManyIdempotencyKeys => Refusal::TooManyIdempotencyKeys { limit },
        Code::TooManyNamespaces => Refusal::TooManyNamespaces { limit },
        Code::ReplyTooLong => Refusal::ReplyTooLong { limit },
        Code::DescriptionTooLong => Refusal::DescriptionTooLong { bytes, limit },
        Code::TooManyVisits => Refusal::TooManyVisits { limit },
        Code::NotLeader => Refusal::NotLeader,
        Code::Overloaded => Refusal::Overloaded { retry_after_ms: 25 },
        Code::NoLeader => Refusal::NoLeader,
        Code::LeadershipLost => Refusal::LeadershipLost,
        Code::TimedOut => Refusal::TimedOut,
        Code::PositionNotReached => Refusal::PositionNotReached { applied: 1, asked: 2 },
        Code::OtherEpoch => Refusal::OtherEpoch { asked: 1, current: 2 },
        Code::OtherGroup => Refusal::OtherGroup { asked: 1 },
        Code::TooStale => Refusal::TooStale { staleness_ms: 2_000, bound_ms: 1_500 },
        Code::DiskFull => Refusal::DiskFull { free: 1, needed: 2 },
        Code::Starting => Refusal::Starting,
        Code::Stopping => Refusal::Stopping,
        Code::Diverged => Refusal::Diverged { index: 512 },
        Code::AuditUnreadable => Refusal::AuditUnreadable,
        Code::NoSnapshot => Refusal::NoSnapshot,
        Code::SnapshotFailed => Refusal::SnapshotFailed,
        Code::KeyNotFound => Refusal::KeyNotFound,
        Code::Compacted => Refusal::Compacted { asked: 1, oldest: 2 },
        Code::FutureRevision => Refusal::FutureRevision { asked: 2, current: 1 },
        Code::RevisionsExhausted => Refusal::RevisionsExhausted,
        Code::WrongRevision => Refusal::WrongRevision { revision: 7 },
        Code::UnknownSession => Refusal::UnknownSession { session: SessionId(8) },
        Code::StaleSequence => Refusal::StaleSequence { sequence: 1, low: 2 },
        Code::WindowFull => Refusal::WindowFull { sequence: 2, highest: 1 },
        Code::AppliedReplyDropped => Refusal::AppliedReplyDropped { index: 77 },
        Code::IdempotencyMismatch => Refusal::IdempotencyMismatch { index: 77 },
        Code::TtlOutOfRange => Refusal::TtlOutOfRange { ttl_ms: 1, bound_ms: 1_000 },
        Code::UnknownSetting => Refusal::UnknownSetting { number: 500 },
        Code::SettingOutOfRange => Refusal::SettingOutOfRange { number: 3, value: 4 },
        Code::LevelNotNext => Refusal::LevelNotNext { level, asked: FeatureLevel(3) },
        Code::UnknownNamespace => Refusal::UnknownNamespace,
        Code::BadNamespaceName => Refusal::BadNamespaceName,
        Code::UnknownLease => Refusal::UnknownLease { lease: -1 },
        Code::LeaseExists => Refusal::LeaseExists { lease: 7 },
        Code::LeaseTtlOutOfRange => Refusal::LeaseTtlOutOfRange { ttl_ms: 1, bound_ms: 1_000 },
        Code::TooManyLeases => Refusal::TooManyLeases { limit },
        Code::TooManyKeysOfLease => Refusal::TooManyKeysOfLease { keys: 11, limit },
        Code::BadLease => Refusal::BadLease { lease: -1 },
        Code::LockHeld => Refusal::LockHeld { token: 8 },
        Code::NotInQueue => Refusal::NotInQueue { lease: 7 },
        Code::TooManyPlaces => Refusal::TooManyPlaces { limit },
        Code::BadName => Refusal::BadName,
        Code::TokensExhausted => Refusal::TokensExhausted,
        Code::NotElected => Refusal::NotElected { asked: 1, current: 2 },
        Code::ChangePending => Refusal::ChangePending,
        Code::WouldLoseQuorum => Refusal::WouldLoseQuorum,
        Code::NodeIdUsed => Refusal::NodeIdUsed { node: 4 },
        Code::DirectoryTaken => Refusal::DirectoryTaken,
        Code::UnknownMember => Refusal::UnknownMember { node: 4 },
        Code::WrongKindOfMember => Refusal::WrongKindOfMember { node: 4 },
        Code::NotCaughtUp => Refusal::NotCaughtUp { node: 4 },
        Code::NoVoterLeft => Refusal::NoVoterLeft,
        Code::TooManyMembers => Refusal::TooManyMembers,
        Code::NothingToChange => Refusal::NothingToChange,
        Code::NoTransferTarget => Refusal::NoTransferTarget { node: 4 },
        Code::TransferFailed => Refusal::TransferFailed { node: 4 },
        Code::BadAddress => Refusal::BadAddress,
        Code::NoSuchRoute => Refusal::NoSuchRoute,
        Code::MethodNotAllowed => Refusal::MethodNotAllowed,
        Code::BadParameter => Refusal::BadParameter,
        Code::BadBody => Refusal::BadBody,
        Code::BodyTooLong => Refusal::BodyTooLong { bytes, limit },
        Code::BodyTooSlow => Refusal::BodyTooSlow,
        Code::ForwardFailed => Refusal::ForwardFailed { node: 4 },
        Code::ForeignOrigin => Refusal::ForeignOrigin,
    }
}

//! Arbitrary values of everything that has bytes.
//!
//! They stay within what can be written at all (a name of an actor up to its bound) and go beyond what
//! `validate` allows: bytes come before rules.

use std::net::IpAddr;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::elections::{Campaign, Proclaim, Resign};
use holdfast_command::keys::{
    Against, Bounds, Compact, Compare, Content, Delete, Operation, Put, Range, Relation, Restore, SortBy,
    Span, Transaction,
};
use holdfast_command::leases::{ExpireLease, GrantLease, RenewLeases, Renewed, RevokeLease};
use holdfast_command::locks::{Acquire, Release};
use holdfast_command::namespaces::{DeleteNamespace, OWNERS_MAX, Rules, SetNamespace};
use holdfast_command::outcome::RangePage;
use holdfast_command::query::{
    Answer, AuditPage, AuditQuery, Holding, LeaseInfo, MissingReason, MissingRecords, NamespaceInfo,
    PlaceInfo, Query, QueueInfo, QueueKind, SessionInfo, VersionInfo, When,
};
use holdfast_command::sessions::{CloseSession, KeepSessions, Kept, OpenSession};
use holdfast_command::settings::{ChangeSettings, RaiseFeatureLevel};
use holdfast_command::{
    Actor, Code, Command, Entry, Envelope, Extensions, FeatureLevel, KeyValue, Outcome, Refusal, Reply,
    Request, RequestKey, SessionId,
};
use holdfast_machine::Numbered;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::Value;

pub(crate) fn blob() -> impl Strategy<Value = Bytes> + Clone {
    vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn text() -> impl Strategy<Value = ByteString> {
    ".{0,12}".prop_map(ByteString::from)
}

fn any_of<N: Numbered>() -> impl Strategy<Value = N> {
    select(N::ALL)
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<u64>().prop_map(SessionId)
}

fn level() -> impl Strategy<Value = FeatureLevel> {
    any::<u16>().prop_map(FeatureLevel)
}

fn put() -> impl Strategy<Value = Put> {
    (blob(), blob(), any::<i64>(), any::<[bool; 3]>()).prop_map(|(key, value, lease, flags)| {
        let [return_previous, keep_value, keep_lease] = flags;
        Put { key, value, lease, return_previous, keep_value, keep_lease }
    })
}

fn span() -> impl Strategy<Value = Span> + Clone {
    prop_oneof![
        blob().prop_map(Span::Key),
        (blob(), blob()).prop_map(|(start, end)| Span::Between { start, end }),
        blob().prop_map(Span::From),
    ]
}

fn delete() -> impl Strategy<Value = Delete> {
    (span(), any::<bool>()).prop_map(|(span, return_previous)| Delete { span, return_previous })
}

fn restore() -> impl Strategy<Value = Restore> {
    (blob(), any::<u64>(), any::<bool>()).prop_map(|(key, revision, return_previous)| Restore {
        key,
        revision,
        return_previous,
    })
}

fn bounds() -> impl Strategy<Value = Bounds> {
    any::<[u64; 2]>().prop_map(|[min, max]| Bounds { min, max })
}

pub(crate) fn range() -> impl Strategy<Value = Range> {
    let how = (any_of::<SortBy>(), any_of::<Content>(), any::<[bool; 2]>(), any::<u32>());
    (span(), any::<[u64; 2]>(), how, bounds(), bounds(), blob()).prop_map(
        |(span, [revision, limit], (sort_by, content, flags, page_bytes), mods, creates, continuation)| {
            let [descending, count] = flags;
            Range {
                span,
                revision,
                limit,
                sort_by,
                descending,
                content,
                count,
                mod_revision: mods,
                create_revision: creates,
                page_bytes,
                continuation,
            }
        },
    )
}

fn compare() -> impl Strategy<Value = Compare> {
    let against = prop_oneof![
        any::<u64>().prop_map(Against::Version),
        any::<u64>().prop_map(Against::CreateRevision),
        any::<u64>().prop_map(Against::ModRevision),
        blob().prop_map(Against::Value),
        any::<i64>().prop_map(Against::Lease),
        any::<u64>().prop_map(Against::Fence),
        any::<u64>().prop_map(Against::Term),
    ];
    (span(), any_of::<Relation>(), against).prop_map(|(span, relation, against)| Compare {
        span,
        relation,
        against,
    })
}

/// A transaction over operations of this kind and, up to `depth` deep, transactions over them.
pub(crate) fn transaction_of(
    compare: impl Strategy<Value = Compare> + Clone + 'static,
    operation: impl Strategy<Value = Operation> + Clone + 'static,
    depth: u32,
) -> BoxedStrategy<Transaction> {
    let over = move |operation: BoxedStrategy<Operation>| {
        let lists = (vec(operation.clone(), 0..4), vec(operation, 0..4));
        (vec(compare.clone(), 0..3), lists)
            .prop_map(|(compares, (then, otherwise))| Transaction { compares, then, otherwise })
            .boxed()
    };
    let mut transaction = over(operation.clone().boxed());
    for _ in 1..depth {
        let inner = transaction.prop_map(Operation::Transaction);
        transaction = over(prop_oneof![3 => operation.clone(), 1 => inner].boxed());
    }
    transaction
}

/// The one comparison that is always the same, for transactions whose operations matter.
pub(crate) fn no_compare() -> impl Strategy<Value = Compare> + Clone {
    Just(Compare { span: Span::all(), relation: Relation::Equal, against: Against::Version(0) })
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let operation = prop_oneof![
        put().prop_map(Operation::Put),
        delete().prop_map(Operation::Delete),
        range().prop_map(Operation::Range),
        restore().prop_map(Operation::Restore),
    ];
    transaction_of(compare().boxed(), operation.boxed(), holdfast_command::keys::DEPTH_MAX.into())
}

fn set_namespace() -> impl Strategy<Value = SetNamespace> {
    (text(), any::<[u64; 3]>(), text(), vec(text(), 0..=OWNERS_MAX)).prop_map(
        |(name, [quota_keys, quota_bytes, value_bytes], description, owners)| SetNamespace {
            name,
            rules: Rules { quota_keys, quota_bytes, value_bytes, description, owners },
        },
    )
}

fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        Just(Actor::Anonymous),
        ".{1,60}".prop_map(|name| Actor::Named(name.into())),
        Just(Actor::Cluster),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let kept = (session(), actor()).prop_map(|(session, actor)| Kept { session, actor });
    let changes = vec(any::<(u16, u64)>(), 0..6);
    let simple = prop_oneof![
        put().prop_map(Command::Put),
        delete().prop_map(Command::Delete),
        restore().prop_map(Command::Restore),
        any::<u64>().prop_map(|revision| Command::Compact(Compact { revision })),
        set_namespace().prop_map(Command::SetNamespace),
        text().prop_map(|name| Command::DeleteNamespace(DeleteNamespace { name })),
        changes.prop_map(|changes| Command::ChangeSettings(ChangeSettings { changes })),
        level().prop_map(|level| Command::RaiseFeatureLevel(RaiseFeatureLevel { level })),
        any::<u64>().prop_map(|ttl_ms| Command::OpenSession(OpenSession { ttl_ms })),
        vec(kept, 0..6).prop_map(|kept| Command::KeepSessions(KeepSessions { kept })),
        session().prop_map(|session| Command::CloseSession(CloseSession { session })),
        Just(Command::Tick),
    ];
    prop_oneof![2 => simple, 1 => leases_and_queues(), 1 => transaction().prop_map(Command::Transact)]
}

fn leases_and_queues() -> impl Strategy<Value = Command> {
    let renewed = (any::<i64>(), actor()).prop_map(|(lease, actor)| Renewed { lease, actor });
    let place = || (blob(), any::<i64>());
    prop_oneof![
        (any::<i64>(), any::<u64>())
            .prop_map(|(lease, ttl_ms)| Command::GrantLease(GrantLease { lease, ttl_ms })),
        vec(renewed, 0..6).prop_map(|kept| Command::RenewLeases(RenewLeases { kept })),
        any::<i64>().prop_map(|lease| Command::RevokeLease(RevokeLease { lease })),
        (any::<i64>(), any::<u64>())
            .prop_map(|(lease, counter)| Command::ExpireLease(ExpireLease { lease, counter })),
        (place(), any::<bool>(), blob()).prop_map(|((name, lease), wait, value)| {
            Command::Acquire(Acquire { name, lease, wait, value })
        }),
        place().prop_map(|(name, lease)| Command::Release(Release { name, lease })),
        (place(), blob()).prop_map(|((name, lease), value)| Command::Campaign(Campaign {
            name,
            lease,
            value
        })),
        (place(), any::<u64>(), blob()).prop_map(|((name, lease), token, value)| {
            Command::Proclaim(Proclaim { name, lease, token, value })
        }),
        place().prop_map(|(name, lease)| Command::Resign(Resign { name, lease })),
    ]
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    let key =
        prop_oneof![
            Just(RequestKey::None),
            (session(), any::<u64>(), any::<u64>())
                .prop_map(|(session, sequence, low)| RequestKey::Session { session, sequence, low }),
            any::<[[u8; 32]; 2]>().prop_map(|[key, request]| RequestKey::Idempotency { key, request }),
        ];
    let extensions = prop_oneof![
        Just(Extensions::default()),
        any::<u64>().prop_map(Extensions::not_after),
        (any::<u16>(), blob()).prop_map(|(tag, value)| Extensions::raw(tag, value)),
    ];
    (key, text(), command(), extensions).prop_map(|(key, reason, command, extensions)| Request {
        key,
        reason,
        command,
        extensions,
    })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let address = option::of((any::<IpAddr>(), any::<u16>()));
    (any::<[u64; 3]>(), actor(), address).prop_map(|([stamp, clock, auth_revision], actor, address)| {
        Envelope { stamp, clock, actor, auth_revision, address }
    })
}

fn key_value() -> impl Strategy<Value = KeyValue> {
    (blob(), blob(), any::<[u64; 4]>(), any::<i64>()).prop_map(|(key, value, numbers, lease)| {
        let [create_revision, mod_revision, version, stamp] = numbers;
        KeyValue { key, value, create_revision, mod_revision, version, lease, stamp }
    })
}

fn page() -> impl Strategy<Value = RangePage> {
    let what = (any::<u64>(), option::of(any::<u64>()), any::<bool>());
    (what, vec(key_value(), 0..4), blob()).prop_map(|((revision, count, more), entries, continuation)| {
        RangePage { revision, entries, count, more, continuation }
    })
}

fn simple_reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        (any::<u64>(), option::of(key_value()))
            .prop_map(|(revision, previous)| Reply::Put { revision, previous }),
        (any::<[u64; 2]>(), vec(key_value(), 0..4))
            .prop_map(|([revision, count], previous)| Reply::Deleted { revision, count, previous }),
        (any::<u64>(), any::<bool>(), option::of(key_value()))
            .prop_map(|(revision, exists, previous)| Reply::Restored { revision, exists, previous }),
        any::<u64>().prop_map(|oldest| Reply::Compacted { oldest }),
        page().prop_map(Reply::Ranged),
        level().prop_map(|level| Reply::LevelRaised { level }),
        session().prop_map(|session| Reply::SessionOpened { session }),
        vec(session(), 0..6).prop_map(|unknown| Reply::SessionsKept { unknown }),
        lease_or_queue_reply(),
        select(vec![
            Reply::NamespaceSet,
            Reply::NamespaceDeleted,
            Reply::SettingsChanged,
            Reply::SessionClosed,
            Reply::Ticked,
            Reply::Proclaimed,
        ]),
    ]
}

fn lease_or_queue_reply() -> impl Strategy<Value = Reply> {
    (any::<[u64; 2]>(), any::<i64>(), any::<bool>(), vec(any::<i64>(), 0..6), 0..9).prop_map(
        |([one, two], lease, flag, unknown, kind)| match kind {
            0 => Reply::LeaseGranted { lease, ttl_ms: one },
            1 => Reply::LeasesRenewed { unknown },
            2 => Reply::LeaseRevoked { revision: one, keys: two },
            3 => Reply::LeaseExpired { expired: flag, revision: one, keys: two },
            4 => Reply::LockGranted { token: one },
            5 => Reply::LockQueued { ahead: one },
            6 => Reply::LockReleased { held: flag },
            7 if flag => Reply::Elected { token: one },
            7 => Reply::Campaigning { ahead: one },
            _ => Reply::Resigned { held: flag },
        },
    )
}

fn reply() -> impl Strategy<Value = Reply> {
    simple_reply().prop_recursive(holdfast_command::keys::DEPTH_MAX.into(), 32, 4, |inner| {
        (any::<u64>(), any::<bool>(), vec(inner, 0..4))
            .prop_map(|(revision, succeeded, results)| Reply::Transacted { revision, succeeded, results })
    })
}

pub(crate) fn refusal() -> impl Strategy<Value = Refusal> {
    (any_of::<Code>(), any::<[u64; 2]>(), any::<[u16; 2]>()).prop_map(|(code, wide, narrow)| {
        // As many particulars as the code has, in the width that they have.
        let [one, two] = narrow.map(u64::from);
        let shapes = [wide, [wide[0], 0], [one, wide[1]], [one, two], [one, 0], [0, 0]];
        let fits = shapes.into_iter().find_map(|particulars| Refusal::from_parts(code, particulars));
        fits.expect("every code takes one of these shapes")
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![3 => reply().prop_map(Ok), 1 => refusal().prop_map(Err)].prop_map(Outcome)
}

fn query() -> impl Strategy<Value = Query> {
    let when = prop_oneof![
        Just(When::Now),
        any::<i64>().prop_map(|lease| When::Settled { lease }),
        any::<u64>().prop_map(|index| When::ChangedFrom { index }),
    ];
    prop_oneof![
        any::<i64>().prop_map(|lease| Query::Lease { lease }),
        any::<(i64, u32)>().prop_map(|(after, limit)| Query::Leases { after, limit }),
        (any_of::<QueueKind>(), blob(), when).prop_map(|(kind, name, when)| Query::Queue {
            kind,
            name,
            when
        }),
        (any_of::<QueueKind>(), blob(), any::<u32>()).prop_map(|(kind, after, limit)| Query::Queues {
            kind,
            after,
            limit
        }),
        (blob(), any::<u64>(), any::<u32>()).prop_map(|(key, before, limit)| Query::History {
            key,
            before,
            limit
        }),
        (any::<[u64; 3]>(), any::<u32>(), blob(), option::of(".{0,20}")).prop_map(
            |([from, since, until], limit, prefix, actor)| Query::Audit(AuditQuery {
                from,
                since,
                until,
                limit,
                prefix,
                actor: actor.map(Into::into)
            })
        ),
        (".{0,20}", any::<u32>()).prop_map(|(after, limit)| Query::Namespaces { after: after.into(), limit }),
        Just(Query::Settings),
        any::<(u64, u32)>().prop_map(|(after, limit)| Query::Sessions { after, limit }),
    ]
}

fn answer() -> impl Strategy<Value = Result<Answer, Refusal>> {
    let lease = || {
        (any::<i64>(), any::<[u64; 4]>(), actor()).prop_map(|(lease, numbers, actor)| {
            let [ttl_ms, left_ms, granted_at, keys] = numbers;
            LeaseInfo { lease, ttl_ms, left_ms, granted_at, keys, actor }
        })
    };
    let place = || {
        (any::<i64>(), any::<[u64; 2]>(), blob()).prop_map(|(lease, [token, since], value)| PlaceInfo {
            lease,
            token,
            since,
            value,
        })
    };
    let queue = move || {
        (any::<[u64; 2]>(), option::of(place()), vec(place(), 0..4)).prop_map(
            |([changed_at, waiting], holder, places)| QueueInfo { changed_at, waiting, holder, places },
        )
    };
    let version =
        (key_value(), any::<bool>(), actor(), ".{0,20}").prop_map(|(entry, deleted, actor, reason)| {
            VersionInfo { entry, deleted, actor, reason: reason.into() }
        });
    let missing = (any::<[u64; 2]>(), any_of::<MissingReason>())
        .prop_map(|([first, last], why)| MissingRecords { first, last, why });
    let holding = || any::<[u64; 2]>().prop_map(|[keys, bytes]| Holding { keys, bytes });
    let namespace = (".{0,20}", any::<[u64; 3]>(), vec(".{0,9}", 0..3), holding()).prop_map(
        |(name, [quota_keys, quota_bytes, value_bytes], owners, holds)| {
            let description = name.as_str().into();
            let owners = owners.into_iter().map(Into::into).collect();
            let rules = Rules { quota_keys, quota_bytes, value_bytes, description, owners };
            NamespaceInfo { namespace: SetNamespace { name: name.into(), rules }, holds }
        },
    );
    let session = (any::<[u64; 6]>(), actor()).prop_map(|(numbers, actor)| {
        let [session, ttl_ms, left_ms, low, answers, bytes] = numbers;
        SessionInfo { session, ttl_ms, left_ms, low, answers, bytes, actor }
    });
    let answer = prop_oneof![
        (vec(namespace, 0..4), any::<bool>())
            .prop_map(|(namespaces, more)| Answer::Namespaces { namespaces, more }),
        (holding(), vec(any::<(u16, u64)>(), 0..4))
            .prop_map(|(outside, settings)| Answer::Settings { outside, settings }),
        (vec(session, 0..4), any::<bool>()).prop_map(|(sessions, more)| Answer::Sessions { sessions, more }),
        (lease(), vec(blob(), 0..4)).prop_map(|(info, keys)| Answer::Lease { info, keys }),
        (vec(lease(), 0..4), any::<bool>()).prop_map(|(leases, more)| Answer::Leases { leases, more }),
        queue().prop_map(Answer::Queue),
        (vec((blob(), queue()), 0..4), any::<bool>())
            .prop_map(|(queues, more)| Answer::Queues { queues, more }),
        (any::<u64>(), vec(version, 0..4), any::<bool>())
            .prop_map(|(oldest, versions, more)| Answer::History { oldest, versions, more }),
        (any::<[u64; 3]>(), vec(blob(), 0..4), vec(missing, 0..4)).prop_map(
            |([complete_from, through, next], records, missing)| {
                Answer::Audit(AuditPage { complete_from, through, next, records, missing })
            }
        ),
    ];
    prop_oneof![3 => answer.prop_map(Ok), 1 => refusal().prop_map(Err)]
}

/// A value of any kind.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => request().prop_map(Value::Request),
        2 => (envelope(), request()).prop_map(|(envelope, request)| Value::Entry(Entry { envelope, request })),
        4 => outcome().prop_map(Value::Outcome),
        1 => range().prop_map(Value::Range),
        1 => query().prop_map(Value::Query),
        1 => answer().prop_map(Value::Answer),
    ]
}

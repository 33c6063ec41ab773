//! What clients do while faults come: everything that a store promises something about, by real clients, a little pause after
//! each call.
//!
//! No value is written by two calls. What hangs on leases stands apart from the other keys, since it ends without a call.

use std::collections::BTreeMap;
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use holdfast_client::command::keys::{
    Against, Compare, Delete, Operation, Put, Range, Relation, Span, Transaction,
};
use holdfast_client::command::leases::{GrantLease, RevokeLease};
use holdfast_client::command::query::Query;
use holdfast_client::command::{Code, Command, Refusal, Reply};
use holdfast_client::{CallOptions, Client, Error, LockOptions, Notice, Outcome, PutOptions, ReadOptions};

use super::super::raft::rng::{Rng, mix};
use super::record::Recorder;
use crate::history::{Answer, Ask, Freshness, Grant, Lease, Op, Position, Told, Watching};

/// Keys that do not hang on leases.
pub(super) const KEYS: u64 = 20;
/// What they begin with.
const PREFIX: &str = "k/";
/// How long a call may take, in milliseconds: each client has its own patience, so that some give up within an election.
const CALL_MS: (u64, u64) = (300, 5_000);
/// How long a watch may take to come to the end.
const COMPLETE: Duration = Duration::from_secs(30);
/// Clients that read and write keys.
const WRITERS: u32 = 10;
/// Clients that want locks, and locks.
const LOCKERS: (u32, u32) = (4, 2);
/// Clients with leases.
const LEASERS: u32 = 3;

/// The key of this number.
pub(super) fn key(number: u64) -> Bytes {
    format!("{PREFIX}{number:02}").into()
}

/// The place in the log that a client was told.
pub(super) fn position(position: holdfast_client::Position) -> Position {
    let position = position.wire();
    Position { term: position.term, index: position.index }
}

/// Starts all clients, in a thread of their own. It ends when the recorder says that all is over.
///
/// # Errors
/// If there is no thread to be had.
pub(super) fn start(
    endpoints: Vec<String>,
    seed: u64,
    recorder: Recorder,
) -> io::Result<JoinHandle<Result<(), String>>> {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, all(endpoints, seed, recorder))
    };
    std::thread::Builder::new().name("load".to_owned()).spawn(run)
}

async fn all(endpoints: Vec<String>, seed: u64, recorder: Recorder) -> Result<(), String> {
    let mut tasks = Vec::new();
    let mut number = 0;
    let mut next = || -> Result<Actor, String> {
        number += 1;
        Actor::new(&endpoints, number, seed, recorder.clone()).map_err(|error| error.to_string())
    };
    for _ in 0..WRITERS {
        tasks.push(tokio::task::spawn_local(write(next()?)));
    }
    for count in 0..LOCKERS.0 {
        tasks.push(tokio::task::spawn_local(lock(next()?, count % LOCKERS.1)));
    }
    for _ in 0..LEASERS {
        tasks.push(tokio::task::spawn_local(leases(next()?)));
    }
    for prefix in ["k/", "k/0", "k/1"] {
        tasks.push(tokio::task::spawn_local(watch(next()?, prefix)));
    }
    for _ in 0..2 {
        tasks.push(tokio::task::spawn_local(watch_for_a_while(next()?)));
    }
    for task in tasks {
        task.await.map_err(|error| format!("a client has panicked: {error}"))?;
    }
    Ok(())
}

/// One client.
struct Actor {
    client: Client,
    number: u32,
    rng: Rng,
    recorder: Recorder,
    values: u64,
    /// The revision at which a key was last seen modified; 0 if it was not there.
    seen: BTreeMap<Bytes, u64>,
    /// The last position that it was told.
    position: Option<holdfast_client::Position>,
    revision: u64,
}

impl Actor {
    fn new(endpoints: &[String], number: u32, seed: u64, recorder: Recorder) -> Result<Self, Error> {
        let seed = mix(seed, number.into());
        let mut rng = Rng::new(seed);
        let call = Duration::from_millis(rng.between(CALL_MS.0, CALL_MS.1));
        let builder = Client::builder(endpoints.to_vec()).timeout(call).wait_for_cluster(true).seed(seed);
        let client = builder.name(format!("client-{number}")).build()?;
        let seen = BTreeMap::new();
        Ok(Self { client, number, rng, recorder, values: 0, seen, position: None, revision: 1 })
    }

    fn value(&mut self) -> Bytes {
        self.values += 1;
        // Sometimes long enough that frames and log records cross pages.
        let padding = if self.rng.chance(30) { self.rng.position(6_000) } else { 0 };
        format!("{}-{}{}", self.number, self.values, ".".repeat(padding)).into()
    }

    fn some_key(&mut self) -> Bytes {
        key(self.rng.below(KEYS))
    }

    fn some_keys(&mut self) -> Vec<Bytes> {
        let first = self.rng.below(KEYS);
        let count = self.rng.between(2, 3);
        (0..count).map(|step| key((first + step * 7) % KEYS)).collect()
    }

    async fn pause(&mut self) {
        let millis = self.rng.between(2, 12);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Makes a transaction of what is asked for, and writes down what comes of it.
    async fn transact(
        &mut self,
        changes: Vec<(Bytes, Option<Bytes>)>,
        only_if: Vec<(Bytes, u64)>,
        fence: Option<(Bytes, u64)>,
    ) {
        let transaction = transaction(&changes, &only_if, fence.as_ref());
        let ask = Ask::Write { changes, only_if, fence };
        let invoked = self.recorder.now();
        let done = self.client.transact(transaction).await;
        self.written(ask, invoked, done);
    }

    /// Writes down what came of a write.
    fn written(&mut self, ask: Ask, invoked: u64, done: Result<(Reply, holdfast_client::Position), Error>) {
        let returned = self.recorder.now();
        let answer = match done {
            Ok((reply, at)) => {
                self.position = Some(at);
                self.executed(&ask, &reply, position(at))
            }
            Err(error) => unexecuted(&error),
        };
        let client = self.number;
        self.recorder.op(Op { client, ask, invoked, returned, answer });
    }

    fn executed(&mut self, ask: &Ask, reply: &Reply, at: Position) -> Answer {
        let Some((revision, changed)) = effect(reply) else { return Answer::Unknown };
        self.revision = self.revision.max(revision);
        if !changed {
            return Answer::NotMet { at, revision };
        }
        if let Ask::Write { changes, .. } = ask {
            for (key, value) in changes {
                self.seen.insert(key.clone(), if value.is_some() { revision } else { 0 });
            }
        }
        Answer::Written { at, revision }
    }

    async fn put(&mut self) {
        let (key, value) = (self.some_key(), self.value());
        let ask = Ask::Write {
            changes: vec![(key.clone(), Some(value.clone()))],
            only_if: Vec::new(),
            fence: None,
        };
        let invoked = self.recorder.now();
        let done = self.client.put(key, value).await;
        self.written(ask, invoked, done);
    }

    /// Writes a key that goes with a lease.
    async fn hang(&mut self, lease: i64) {
        let (key, value) = (Bytes::from(format!("lease/{lease}")), self.value());
        self.recorder.hang(key.clone(), lease);
        let ask = Ask::Write {
            changes: vec![(key.clone(), Some(value.clone()))],
            only_if: Vec::new(),
            fence: None,
        };
        let options = PutOptions { lease, ..PutOptions::default() };
        let invoked = self.recorder.now();
        let done = self.client.put_with(key, value, options).await;
        self.written(ask, invoked, done);
    }

    async fn delete(&mut self) {
        let key = self.some_key();
        let ask = Ask::Write { changes: vec![(key.clone(), None)], only_if: Vec::new(), fence: None };
        let invoked = self.recorder.now();
        let done = self.client.delete(key).await;
        self.written(ask, invoked, done);
    }

    async fn put_if(&mut self) {
        let key = self.some_key();
        if self.rng.chance(600) {
            self.read(
                vec![key.clone()],
                Span::Key(key.clone()),
                Freshness::Linearizable,
                ReadOptions::default(),
            )
            .await;
        }
        let value = self.value();
        let revision = self.seen.get(&key).copied().unwrap_or(0);
        self.transact(vec![(key.clone(), Some(value))], vec![(key, revision)], None).await;
    }

    async fn put_many(&mut self) {
        let keys = self.some_keys();
        let mut only_if = Vec::new();
        let mut changes = Vec::new();
        for key in keys {
            let seen = self.seen.get(&key).copied().unwrap_or(0);
            if seen > 0 && self.rng.chance(150) {
                // Only of a key that is there, so that every change of an executed one can be seen.
                only_if.push((key.clone(), seen));
                changes.push((key, None));
            } else {
                if self.rng.chance(150) {
                    only_if.push((key.clone(), seen));
                }
                changes.push((key, Some(self.value())));
            }
        }
        self.transact(changes, only_if, None).await;
    }

    async fn read(&mut self, keys: Vec<Bytes>, span: Span, freshness: Freshness, options: ReadOptions) {
        let invoked = self.recorder.now();
        let done = self.client.read(Range::of(span), options).await;
        let returned = self.recorder.now();
        let answer = match done {
            Ok(page) if !page.page.more => {
                let (at, revision) = (position(page.position), page.page.revision);
                self.position = Some(page.position);
                self.revision = self.revision.max(revision);
                for key in &keys {
                    self.seen.insert(key.clone(), 0);
                }
                let items: Vec<(Bytes, Bytes, u64)> = page
                    .page
                    .entries
                    .into_iter()
                    .map(|entry| (entry.key, entry.value, entry.mod_revision))
                    .collect();
                for (key, _, modified) in &items {
                    self.seen.insert(key.clone(), *modified);
                }
                Answer::Found { at, revision, items }
            }
            Ok(_) | Err(_) => Answer::Refused,
        };
        let ask = Ask::Read { keys, freshness };
        self.recorder.op(Op { client: self.number, ask, invoked, returned, answer });
    }

    async fn read_one(&mut self) {
        let key = self.some_key();
        self.read(vec![key.clone()], Span::Key(key), Freshness::Linearizable, ReadOptions::default()).await;
    }

    async fn read_all(&mut self) {
        let keys = (0..KEYS).map(key).collect();
        self.read(keys, Span::prefix(PREFIX), Freshness::Linearizable, ReadOptions::default()).await;
    }

    async fn read_behind(&mut self) {
        let Some(at) = self.position else { return self.read_one().await };
        let key = self.some_key();
        let freshness = Freshness::NotBefore(position(at).index);
        self.read(vec![key.clone()], Span::Key(key), freshness, ReadOptions::behind(at)).await;
    }
}

/// A transaction that makes these changes under these conditions.
fn transaction(
    changes: &[(Bytes, Option<Bytes>)],
    only_if: &[(Bytes, u64)],
    fence: Option<&(Bytes, u64)>,
) -> Transaction {
    let compare =
        |key: &Bytes, against| Compare { span: Span::Key(key.clone()), relation: Relation::Equal, against };
    let mut compares: Vec<Compare> =
        only_if.iter().map(|(key, revision)| compare(key, Against::ModRevision(*revision))).collect();
    compares.extend(fence.map(|(lock, token)| compare(lock, Against::Fence(*token))));
    let operation = |(key, value): &(Bytes, Option<Bytes>)| match value {
        Some(value) => Operation::Put(Put { key: key.clone(), value: value.clone(), ..Put::default() }),
        None => Operation::Delete(Delete { span: Span::Key(key.clone()), return_previous: false }),
    };
    Transaction { compares, then: changes.iter().map(operation).collect(), otherwise: Vec::new() }
}

/// The revision of a reply to a write, and whether the write has changed anything.
fn effect(reply: &Reply) -> Option<(u64, bool)> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no answers to what is asked here")]
    match reply {
        Reply::Put { revision, .. } => Some((*revision, true)),
        Reply::Deleted { revision, count, .. } => Some((*revision, *count > 0)),
        Reply::Transacted { revision, succeeded, results } => {
            let changed = results.iter().filter_map(effect).any(|(_, changed)| changed);
            Some((*revision, *succeeded && changed))
        }
        _ => None,
    }
}

/// What came of a write that was not answered with its effect. That it was applied, and nobody knows where, tells the same.
fn unexecuted(error: &Error) -> Answer {
    match error.outcome {
        Outcome::NotApplied => Answer::Refused,
        Outcome::Applied | Outcome::Unknown => Answer::Unknown,
    }
}

async fn write(mut actor: Actor) {
    while !actor.recorder.is_stopped() {
        match actor.rng.below(100) {
            0..26 => actor.put().await,
            26..38 => actor.put_if().await,
            38..46 => actor.delete().await,
            46..58 => actor.put_many().await,
            58..78 => actor.read_one().await,
            78..82 => actor.read_all().await,
            _ => actor.read_behind().await,
        }
        actor.pause().await;
    }
    actor.client.close().await;
}

/// Acquires a lock, writes a little under its fence, gives it up.
async fn lock(mut actor: Actor, which: u32) {
    let name = Bytes::from(format!("lock-{which}"));
    while !actor.recorder.is_stopped() {
        let ttl = Duration::from_millis(actor.rng.between(1_500, 4_000));
        let wait = Some(Duration::from_secs(6));
        let options = LockOptions { ttl, wait, value: actor.number.to_string().into() };
        if let Ok(guard) = actor.client.lock(name.clone(), options).await {
            let heard = actor.recorder.now();
            // A moment at which it was held for sure: taken before it is asked whether it is.
            let mut until = heard;
            let writes = actor.rng.between(1, 8);
            for _ in 0..writes {
                let now = actor.recorder.now();
                // Sometimes also when it is lost: the fence has to hold then.
                if guard.is_held() {
                    until = now;
                } else if actor.rng.chance(500) {
                    break;
                }
                let (key, value) = (actor.some_key(), actor.value());
                let fence = Some((name.clone(), guard.token()));
                actor.transact(vec![(key, Some(value))], Vec::new(), fence).await;
                actor.pause().await;
            }
            let (client, token) = (actor.number, guard.token());
            let grant = Grant { lock: name.clone(), client, token, at: Position::default(), heard, until };
            actor.recorder.grant(grant);
            let _ = guard.release().await;
        }
        let millis = actor.rng.between(5, 60);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
    actor.client.close().await;
}

/// Grants a lease, keeps it for a while, ends it or lets it die, and looks when it is gone.
async fn leases(mut actor: Actor) {
    while !actor.recorder.is_stopped() {
        let ttl_ms = actor.rng.between(1_000, 3_000);
        let asked = actor.recorder.now();
        let grant = Command::GrantLease(GrantLease { lease: 0, ttl_ms });
        let Ok((Reply::LeaseGranted { lease: id, ttl_ms }, _)) = actor.client.submit(grant).await else {
            actor.pause().await;
            continue;
        };
        let mut lease = Lease { id, ttl: ttl_ms * 1_000, kept: vec![asked], revoked: None, gone: None };
        actor.hang(id).await;
        let renewals = actor.rng.between(0, 5);
        for _ in 0..renewals {
            let millis = actor.rng.between(ttl_ms / 5, ttl_ms * 4 / 5);
            tokio::time::sleep(Duration::from_millis(millis)).await;
            let asked = actor.recorder.now();
            match actor.client.keep_lease(id, CallOptions::default()).await {
                Ok(Some(_)) => lease.kept.push(asked),
                Ok(None) => {
                    lease.gone = Some(actor.recorder.now());
                    break;
                }
                Err(_) => {}
            }
            if actor.recorder.is_stopped() {
                break;
            }
        }
        if lease.gone.is_none() && actor.rng.chance(300) {
            lease.revoked = Some(actor.recorder.now());
            let _ = actor.client.submit(Command::RevokeLease(RevokeLease { lease: id })).await;
        }
        while lease.gone.is_none() && !actor.recorder.is_stopped() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let asked = actor.client.query(Query::Lease { lease: id }, ReadOptions::default()).await;
            if let Err(error) = asked
                && error.code == Some(Code::UnknownLease)
            {
                lease.gone = Some(actor.recorder.now());
            }
        }
        actor.recorder.lease(lease);
    }
    actor.client.close().await;
}

/// Watches a prefix from the first revision to the end of the run.
async fn watch(actor: Actor, prefix: &'static str) {
    let watching = follow(&actor, prefix, 2, None).await;
    actor.recorder.watch(watching);
    actor.client.close().await;
}

/// Watches from a little before now, for a while, again and again.
async fn watch_for_a_while(mut actor: Actor) {
    while !actor.recorder.is_stopped() {
        actor.read_all().await;
        let from = actor.revision.saturating_sub(actor.rng.below(300)).max(2);
        let until = tokio::time::Instant::now() + Duration::from_millis(actor.rng.between(500, 8_000));
        let watching = follow(&actor, PREFIX, from, Some(until)).await;
        actor.recorder.watch(watching);
    }
    actor.client.close().await;
}

/// One watch, until then, or until it has seen the last revision of the run.
async fn follow(
    actor: &Actor,
    prefix: &'static str,
    from: u64,
    until: Option<tokio::time::Instant>,
) -> Watching {
    let mut told = Vec::new();
    let mut told_to = 0;
    let mut last_chance: Option<tokio::time::Instant> = None;
    let mut complete_to = None;
    let begin = |from| actor.client.watch(Span::prefix(prefix)).from(from).with_progress().start();
    let mut watch = begin(from);
    loop {
        let now = tokio::time::Instant::now();
        if until.is_some_and(|until| now >= until || actor.recorder.is_stopped()) {
            break;
        }
        if let (None, Some(end)) = (until, actor.recorder.end()) {
            complete_to = Some(end);
            let last_chance = *last_chance.get_or_insert(now + COMPLETE);
            if told_to >= end || now >= last_chance {
                break;
            }
        }
        let notice = match tokio::time::timeout(Duration::from_millis(100), watch.next()).await {
            Err(_) => continue,
            Ok(notice) => notice,
        };
        match notice {
            Ok(Notice::Changes(changes)) => {
                told_to = changes.revision;
                let change = |event: holdfast_client::command::WatchEvent| {
                    (event.entry.key, (!event.deleted).then_some(event.entry.value))
                };
                let all = changes.events.into_iter().map(change).collect();
                told.push(Told::Revision { revision: changes.revision, changes: all });
            }
            Ok(Notice::Progress(revision)) => {
                told_to = told_to.max(revision);
                told.push(Told::Progress(revision));
            }
            Err(error) => match error.refusal {
                Some(Refusal::Compacted { oldest, .. }) => {
                    told.push(Told::Compacted(oldest));
                    watch = begin(oldest);
                }
                _ => {
                    actor.recorder.trouble(format!("a watch has ended: {error}"));
                    break;
                }
            },
        }
    }
    Watching { client: actor.number, prefix: prefix.into(), from, told, complete_to }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_carries_every_condition_and_every_change() {
        let changes = [(key(1), Some(Bytes::from("v"))), (key(2), None)];
        let made = transaction(&changes, &[(key(2), 7)], Some(&("lock".into(), 9)));
        let against: Vec<Against> = made.compares.into_iter().map(|compare| compare.against).collect();
        assert_eq!(against, [Against::ModRevision(7), Against::Fence(9)]);
        assert!(matches!(&made.then[..], [Operation::Put(_), Operation::Delete(_)]));
        assert!(made.otherwise.is_empty());
    }

    #[test]
    fn only_what_has_changed_something_counts_as_written() {
        let deleted = |count| Reply::Deleted { revision: 5, count, previous: Vec::new() };
        let put = || Reply::Put { revision: 5, previous: None };
        let done = |succeeded, results| Reply::Transacted { revision: 5, succeeded, results };
        for (reply, changed) in [
            (put(), true),
            (deleted(0), false),
            (deleted(1), true),
            (done(true, vec![put()]), true),
            (done(true, vec![deleted(0)]), false),
            (done(false, Vec::new()), false),
        ] {
            assert_eq!(effect(&reply), Some((5, changed)), "{reply:?}");
        }
        assert_eq!(effect(&Reply::Ticked), None);
    }
}

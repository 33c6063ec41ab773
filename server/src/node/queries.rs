//! Queries: what is asked beside ranges of keys, and the long ones that wait for news of a lock or an election.
//!
//! A query is made ready as a read is: confirmed by the leader, or applied up to a position, or young enough. What waits for
//! news is then put aside under the name of its queue, and looked at again only when an entry touches that queue: a thousand
//! who wait for a thousand locks cost a release of one of them nothing. Whoever waits longest is answered with what is so.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_command::locks::NAME_BYTES_MAX;
use holdfast_command::namespaces::SetNamespace;
use holdfast_command::query::{
    Answer, AuditPage, AuditQuery, Holding, ITEMS_MAX, LeaseInfo, NamespaceInfo, PlaceInfo, Query, QueueInfo,
    QueueKind, SessionInfo, VersionInfo, When,
};
use holdfast_command::{KeyValue, Refusal, Setting};
use holdfast_machine::Numbered as _;
use holdfast_store::{
    Lease, Namespace, Place, Plant as StorePlant, Queue, Session, Standing, Store, Touch, Touched, Usage,
    Version,
};

use super::limits::ANSWER_BYTES;
use super::reads::Waiting;

/// No key is longer than this, whatever the settings say.
const KEY_BYTES_MAX: usize = 32 * 1024;

/// What a query waits for: news of a queue, or of a lease in it.
type News = (QueueKind, Bytes, Option<i64>);

/// Queries that wait for news of a queue.
#[derive(Debug, Default)]
pub(super) struct Parked {
    by_news: BTreeMap<News, Vec<Waiting>>,
    count: usize,
}

impl Parked {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn park(&mut self, news: News, waiting: Waiting) {
        self.by_news.entry(news).or_default().push(waiting);
        self.count += 1;
    }

    /// Takes out those who asked about what was touched.
    pub(super) fn touched(&mut self, touched: &[Touched]) -> Vec<Waiting> {
        let mut told = Vec::new();
        for Touched { kind, name, what } in touched {
            if self.count == 0 {
                break;
            }
            let about = match what {
                Touch::Granted { lease, .. } | Touch::Left { lease } => Some(*lease),
                Touch::Changed => None,
            };
            let mut waiting = self.by_news.remove(&(*kind, name.clone(), about)).unwrap_or_default();
            self.count -= waiting.len();
            told.append(&mut waiting);
        }
        told
    }

    /// Takes out all of them: the state was replaced.
    pub(super) fn all(&mut self) -> Vec<Waiting> {
        self.count = 0;
        std::mem::take(&mut self.by_news).into_values().flatten().collect()
    }

    /// Forgets those of a connection that is gone.
    pub(super) fn drop_connection(&mut self, connection: u64) {
        if self.count == 0 {
            return;
        }
        self.by_news.retain(|_, waiting| {
            let before = waiting.len();
            waiting.retain(|waiting| waiting.caller.connection != connection);
            self.count -= before - waiting.len();
            !waiting.is_empty()
        });
    }

    /// Takes out those who do not wait any longer.
    pub(super) fn late(&mut self, now: u64) -> Vec<Waiting> {
        let mut late = Vec::new();
        self.by_news.retain(|_, waiting| {
            late.extend(waiting.extract_if(.., |waiting| waiting.until <= now));
            !waiting.is_empty()
        });
        self.count -= late.len();
        late
    }
}

/// That a query asks for something that can be there at all. What waits must not be long: names are kept meanwhile.
pub(super) fn is_valid(query: &Query) -> Result<(), Refusal> {
    match query {
        Query::Queue { name, .. } if name.is_empty() || name.len() > NAME_BYTES_MAX => Err(Refusal::BadName),
        Query::Queues { after, .. } if after.len() > NAME_BYTES_MAX => Err(Refusal::BadName),
        Query::Audit(AuditQuery { prefix, .. }) if prefix.len() > KEY_BYTES_MAX => {
            Err(Refusal::KeyTooLong { bytes: prefix.len() as u64, limit: KEY_BYTES_MAX as u64 })
        }
        Query::History { key, .. } if key.is_empty() => Err(Refusal::EmptyKey),
        Query::History { key, .. } if key.len() > KEY_BYTES_MAX => {
            Err(Refusal::KeyTooLong { bytes: key.len() as u64, limit: KEY_BYTES_MAX as u64 })
        }
        Query::Lease { .. }
        | Query::Leases { .. }
        | Query::Queue { .. }
        | Query::Queues { .. }
        | Query::History { .. }
        | Query::Audit(_)
        | Query::Namespaces { .. }
        | Query::Settings
        | Query::Sessions { .. } => Ok(()),
    }
}

/// The news that a query waits for, if it has to: what it asks for is not so yet.
pub(super) fn waits_for(query: &Query, store: &Store<impl StorePlant>) -> Option<News> {
    let Query::Queue { kind, name, when } = query else { return None };
    match *when {
        When::Now => None,
        When::Settled { lease } => match store.standing(*kind, name, lease) {
            Some(Standing::Waits { .. }) => Some((*kind, name.clone(), Some(lease))),
            Some(Standing::Holds { .. }) | None => None,
        },
        When::ChangedFrom { index } => {
            let changed_at = store.queue(*kind, name).map_or(0, Queue::changed_at);
            (changed_at == index).then(|| (*kind, name.clone(), None))
        }
    }
}

/// The answer to a query, from this state.
pub(super) fn answer(query: &Query, store: &Store<impl StorePlant>) -> Result<Answer, Refusal> {
    let most = |limit: u32| if limit == 0 { ITEMS_MAX } else { limit.min(ITEMS_MAX) } as usize;
    Ok(match query {
        Query::Lease { lease } => {
            let known = store.lease(*lease).ok_or(Refusal::UnknownLease { lease: *lease })?;
            let mut page = Page::new(ITEMS_MAX as usize);
            page.fill(store.lease_keys(*lease).cloned(), Bytes::len);
            Answer::Lease { info: lease_info(*lease, known, store), keys: page.items }
        }
        Query::Leases { after, limit } => {
            let mut page = Page::new(most(*limit));
            let from = after.saturating_add(1);
            let leases = store.leases(from).map(|(id, lease)| lease_info(id, lease, store));
            page.fill(leases, |info| info.actor.name().len());
            Answer::Leases { leases: page.items, more: page.more }
        }
        Query::Queue { kind, name, when } => {
            let queue = store.queue(*kind, name).map(|queue| {
                let mut page = Page::new(ITEMS_MAX as usize);
                // Whoever waits for its own turn needs no list of the others, a thousand times over.
                if let When::Settled { lease } = when {
                    let own = store.place(*kind, name, *lease);
                    let waits = own.filter(|own| queue.holder().map(Place::lease) != Some(own.lease()));
                    page.items.extend(waits.map(|place| place_info(place, 0)));
                } else {
                    page.fill(queue.waiters().map(|place| place_info(place, 0)), PlaceInfo::bytes);
                }
                QueueInfo { places: page.items, ..queue_info(queue) }
            });
            Answer::Queue(queue.unwrap_or_default())
        }
        Query::Queues { kind, after, limit } => {
            let mut page = Page::new(most(*limit));
            let queues =
                store.queues_after(*kind, after).map(|(name, queue)| (name.clone(), queue_info(queue)));
            page.fill(queues, |(name, queue)| name.len() + queue.holder.as_ref().map_or(0, PlaceInfo::bytes));
            Answer::Queues { queues: page.items, more: page.more }
        }
        Query::History { key, before, limit } => {
            let mut page = Page::new(most(*limit));
            page.fill(store.history_before(key, *before).map(version_info), VersionInfo::bytes);
            Answer::History { oldest: store.oldest(), versions: page.items, more: page.more }
        }
        Query::Namespaces { after, limit } => {
            let mut page = Page::new(most(*limit));
            let behind = store.namespaces().filter(|(name, _)| *name > &**after);
            page.fill(behind.map(namespace_info), NamespaceInfo::bytes);
            Answer::Namespaces { namespaces: page.items, more: page.more }
        }
        Query::Settings => Answer::Settings {
            outside: holding(store.default_usage()),
            settings: Setting::ALL
                .iter()
                .map(|setting| (setting.number(), store.settings().get(*setting)))
                .collect(),
        },
        Query::Sessions { after, limit } => {
            let mut page = Page::new(most(*limit));
            let behind = store.sessions().filter(|(id, _)| id.0 > *after);
            page.fill(behind.map(|(id, session)| session_info(id.0, session, store)), |info| {
                info.actor.name().len()
            });
            Answer::Sessions { sessions: page.items, more: page.more }
        }
        // A state holds no records; whoever asks for them is sent to the files before it comes here.
        Query::Audit(_) => {
            let through = store.applied().index;
            Answer::Audit(AuditPage { complete_from: through + 1, through, ..AuditPage::default() })
        }
    })
}

/// Items up to a number and a size.
struct Page<T> {
    items: Vec<T>,
    most: usize,
    bytes: usize,
    more: bool,
}

impl<T> Page<T> {
    fn new(most: usize) -> Self {
        Self { items: Vec::new(), most, bytes: 0, more: false }
    }

    fn fill(&mut self, items: impl Iterator<Item = T>, size: impl Fn(&T) -> usize) {
        for item in items {
            self.bytes += size(&item);
            if self.items.len() == self.most || (self.bytes > ANSWER_BYTES && !self.items.is_empty()) {
                self.more = true;
                break;
            }
            self.items.push(item);
        }
    }
}

fn lease_info(lease: i64, known: &Lease, store: &Store<impl StorePlant>) -> LeaseInfo {
    LeaseInfo {
        lease,
        ttl_ms: known.ttl_ms(),
        left_ms: known.deadline().saturating_sub(store.clock()),
        granted_at: known.granted_at(),
        keys: known.keys(),
        actor: known.actor().clone(),
    }
}

fn holding(usage: Usage) -> Holding {
    Holding { keys: usage.keys, bytes: usage.bytes }
}

fn namespace_info((name, namespace): (&str, &Namespace)) -> NamespaceInfo {
    let namespace_set = SetNamespace { name: name.into(), rules: namespace.rules.clone() };
    NamespaceInfo { namespace: namespace_set, holds: holding(namespace.usage) }
}

fn session_info(session: u64, known: &Session, store: &Store<impl StorePlant>) -> SessionInfo {
    SessionInfo {
        session,
        ttl_ms: known.ttl_ms(),
        left_ms: known.deadline().saturating_sub(store.clock()),
        low: known.low(),
        answers: known.answered().count() as u64,
        bytes: known.reply_bytes(),
        actor: known.actor().clone(),
    }
}

fn place_info(place: &Place, token: u64) -> PlaceInfo {
    PlaceInfo { lease: place.lease(), token, since: place.entered_at(), value: place.value().clone() }
}

/// Without those who wait.
fn queue_info(queue: &Queue) -> QueueInfo {
    QueueInfo {
        changed_at: queue.changed_at(),
        waiting: queue.len().saturating_sub(1) as u64,
        holder: queue.holder().map(|place| place_info(place, queue.token())),
        places: Vec::new(),
    }
}

fn version_info(version: &Version) -> VersionInfo {
    let deleted = version.is_tombstone();
    let entry = version.to_key_value(true);
    let entry = if deleted { KeyValue { value: Bytes::new(), ..entry } } else { entry };
    VersionInfo { entry, deleted, actor: version.actor(), reason: version.reason().into() }
}

//! The async verbs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::keys::{Compact, Delete, Put, Range, Span, Transaction};
use holdfast_command::outcome::{KeyValue, RangePage};
use holdfast_command::query::{self, AuditPage, AuditQuery, Query};
use holdfast_command::{Command, Reply, Request};
use holdfast_wire::message::{
    ChangeMembers, Consistency, Examined, SaveSnapshot, SnapshotPiece, StatsReply, StatusReply, Trace,
    TraceReply,
};

use crate::builder::millis;
use crate::core::{Answer, Ask, Work};
use crate::shell::Shell;
use crate::{Builder, EndpointView, Error, Kind, Position, WatchOptions};

/// A client of one cluster. Clones are cheap and share connections, session and limits.
///
/// Any number of calls may be under way at once; they are answered in any order. Dropping the future of a call does not
/// take the call back: what was asked for may still happen. When the last clone is dropped, session and connections are
/// closed in the background; [`close`](Self::close) waits for that.
#[derive(Clone, Debug)]
pub struct Client {
    shell: Arc<Shell>,
}

/// How one call is made; [`Default`] is what the [`Builder`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// How long it may take in all. [`Duration::MAX`] for no limit.
    pub timeout: Option<Duration>,
    /// Whether it is sent within the session. Without, it is sent once: if the connection breaks meanwhile, the outcome
    /// is unknown. A request with an idempotency key of its own is sent as it is, and may be sent again.
    pub exactly_once: Option<bool>,
}

/// What a put may ask for besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// The lease it is attached to, 0 for none.
    pub lease: i64,
    /// Answer with what was there before.
    pub return_previous: bool,
    /// Why, up to 1,024 bytes; it is kept with the version.
    pub reason: ByteString,
    /// How the call is made.
    pub call: CallOptions,
}

/// What a read may see, and where it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Linearizable unless said otherwise.
    pub consistency: Consistency,
    /// For a read that is not linearizable: what has to have been applied where it is made. Waits for that until the
    /// deadline.
    pub min_position: Option<Position>,
    /// For a stale read: how many milliseconds old the data may be; 0 for any age.
    pub max_stale_ms: u64,
    /// How long it may take in all; the default is that of the [`Builder`].
    pub timeout: Option<Duration>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { consistency: Consistency::Linearizable, min_position: None, max_stale_ms: 0, timeout: None }
    }
}

impl ReadOptions {
    /// A read that sees at least `position`, at any member.
    #[must_use]
    pub fn behind(position: Position) -> Self {
        Self { consistency: Consistency::Follower, min_position: Some(position), ..Self::default() }
    }

    /// A read of what some member has, up to `max_stale_ms` old; 0 for any age.
    #[must_use]
    pub fn stale(max_stale_ms: u64) -> Self {
        Self { consistency: Consistency::Stale, max_stale_ms, ..Self::default() }
    }
}

/// What a read has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The keys. If its `more` is set, the rest is read with its `continuation`.
    pub page: RangePage,
    /// What had been applied: a later read behind this position sees no less.
    pub position: Position,
    /// How many milliseconds old it can be at most; 0 for a linearizable read.
    pub staleness_ms: u64,
}

impl Client {
    /// How a client of these endpoints is made. Each is the client address of a member, `host:port`; some suffice, the
    /// leader is found from any.
    pub fn builder(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Builder {
        Builder::new(endpoints.into_iter().map(Into::into).collect())
    }

    /// A client with the defaults of the [`Builder`], once one of these endpoints has welcomed it. Has to be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// Why no endpoint could be reached. If all refuse the connection, that takes milliseconds.
    pub async fn connect(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, Error> {
        Self::builder(endpoints).connect().await
    }

    pub(crate) fn start(builder: Builder) -> Result<Self, Error> {
        Ok(Self { shell: Arc::new(Shell::start(builder)?) })
    }

    /// Waits until some endpoint has welcomed this client.
    ///
    /// # Errors
    /// Why none has, as for any call.
    pub async fn connected(&self) -> Result<(), Error> {
        self.ask(Work::Connect, CallOptions::default()).await.map(|_| ())
    }

    /// Writes a key. The reply is [`Reply::Put`]: the revision.
    ///
    /// # Errors
    /// With the outcome of the write, as all writes.
    pub async fn put(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<(Reply, Position), Error> {
        let put = Put { key: key.into(), value: value.into(), ..Put::default() };
        self.submit(Command::Put(put)).await
    }

    /// Writes a key, with options.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn put_with(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<(Reply, Position), Error> {
        let PutOptions { lease, return_previous, reason, call } = options;
        let put = Put { key: key.into(), value: value.into(), lease, return_previous, ..Put::default() };
        self.submit_with(Request { reason, ..Command::Put(put).into() }, call).await
    }

    /// Deletes a key. The reply is [`Reply::Deleted`]: the revision behind it, and whether there was one to delete.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn delete(&self, key: impl Into<Bytes>) -> Result<(Reply, Position), Error> {
        self.delete_span(Span::Key(key.into())).await
    }

    /// Deletes all keys of a span.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn delete_span(&self, span: Span) -> Result<(Reply, Position), Error> {
        self.submit(Command::Delete(Delete { span, return_previous: false })).await
    }

    /// Compares, and does one of two lists of operations, all of it at one revision. The reply is
    /// [`Reply::Transacted`].
    ///
    /// # Errors
    /// As [`put`](Self::put). That a comparison does not hold is no error.
    pub async fn transact(&self, transaction: Transaction) -> Result<(Reply, Position), Error> {
        self.submit(Command::Transact(transaction)).await
    }

    /// Gives up all revisions below `revision`.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn compact(&self, revision: u64) -> Result<(Reply, Position), Error> {
        self.submit(Command::Compact(Compact { revision })).await
    }

    /// Executes any command or request: namespaces, settings, a request with an idempotency key.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn submit(&self, request: impl Into<Request>) -> Result<(Reply, Position), Error> {
        self.submit_with(request, CallOptions::default()).await
    }

    /// Executes any command or request, with options.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn submit_with(
        &self,
        request: impl Into<Request>,
        options: CallOptions,
    ) -> Result<(Reply, Position), Error> {
        let request = request.into();
        let work = Work::Submit { request, exactly_once: options.exactly_once };
        let Answer::Written { reply, position } = self.ask(work, options).await? else {
            return Err(mixed_up("write"));
        };
        Ok((reply, position))
    }

    /// The value of a key and its numbers, linearizable; `None` if it does not exist.
    ///
    /// # Errors
    /// Why it could not be read.
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<KeyValue>, Error> {
        let mut page = self.range(Range::of(Span::Key(key.into()))).await?;
        Ok(page.page.entries.pop())
    }

    /// A page of a range, linearizable.
    ///
    /// # Errors
    /// Why it could not be read.
    pub async fn range(&self, range: Range) -> Result<Page, Error> {
        self.read(range, ReadOptions::default()).await
    }

    /// A page of a range, as consistent as the options say.
    ///
    /// # Errors
    /// Why it could not be read.
    pub async fn read(&self, range: Range, options: ReadOptions) -> Result<Page, Error> {
        let call = CallOptions { timeout: options.timeout, exactly_once: None };
        let Answer::Read(page) = self.ask(Work::read(range, options), call).await? else {
            return Err(mixed_up("read"));
        };
        Ok(page)
    }

    /// Asks for what is no key, as consistent as the options say.
    ///
    /// # Errors
    /// Why it could not be answered.
    pub async fn query(
        &self,
        query: Query,
        options: ReadOptions,
    ) -> Result<(query::Answer, Position), Error> {
        let call = CallOptions { timeout: options.timeout, exactly_once: None };
        let ReadOptions { consistency, min_position, max_stale_ms, timeout: _ } = options;
        let work = Work::Query { query, consistency, max_stale_ms, min_position };
        let Answer::Queried { answer, position } = self.ask(work, call).await? else {
            return Err(mixed_up("query"));
        };
        Ok((answer, position))
    }

    /// A page of the audit log: of the leader's, or of any member's if the options ask for less than a linearizable read. The
    /// next one begins at the page's `next`; see [`AuditPage`] for what a page says about what is missing.
    ///
    /// # Errors
    /// Why it could not be answered.
    pub async fn audit(&self, query: AuditQuery, options: ReadOptions) -> Result<AuditPage, Error> {
        page_of(self.query(Query::Audit(query), options).await?.0)
    }

    /// The same of the audit log of the node at an endpoint, as far as it has come, whether it knows a leader or not. Asks
    /// that endpoint and no other.
    ///
    /// # Errors
    /// Why it could not be answered.
    pub async fn audit_at(&self, endpoint: &str, query: AuditQuery) -> Result<AuditPage, Error> {
        let work = Work::QueryAt(endpoint.into(), Query::Audit(query));
        let Answer::Queried { answer, .. } = self.ask(work, CallOptions::default()).await? else {
            return Err(mixed_up("query"));
        };
        page_of(answer)
    }

    /// Renews a lease once: for how long it lives from there on, `None` if the cluster does not know it. A
    /// [`Lease`](crate::Lease) does so by itself.
    ///
    /// # Errors
    /// That nobody said so in time. The lease may have been renewed.
    pub async fn keep_lease(&self, lease: i64, options: CallOptions) -> Result<Option<Duration>, Error> {
        let Answer::LeaseKept { known, ttl_ms } = self.ask(Work::KeepLease(lease), options).await? else {
            return Err(mixed_up("renew a lease"));
        };
        Ok(known.then(|| Duration::from_millis(ttl_ms)))
    }

    /// Changes the members, or who leads; `timeout_ms` is set from the options. Answered when the change is committed: the
    /// index of the configuration in force.
    ///
    /// # Errors
    /// Why not, with the outcome: a change that a deposed leader had begun may still be carried out.
    pub async fn change_members(&self, change: ChangeMembers, options: CallOptions) -> Result<u64, Error> {
        let Answer::MembersChanged { configuration } = self.ask(Work::ChangeMembers(change), options).await?
        else {
            return Err(mixed_up("change the members"));
        };
        Ok(configuration)
    }

    /// Watches all changes of a span of keys, from what comes next on unless the options say otherwise.
    ///
    /// ```no_run
    /// # async fn example(client: holdfast_client::Client) -> Result<(), holdfast_client::Error> {
    /// use holdfast_client::{Notice, command::keys::Span};
    ///
    /// let mut watch = client.watch(Span::prefix("app/")).from(17).with_previous().start();
    /// while let Notice::Changes(changes) = watch.next().await? {
    ///     println!("revision {}: {} keys", changes.revision, changes.events.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self, span: Span) -> WatchOptions {
        WatchOptions::new(Arc::clone(&self.shell), span)
    }

    /// How the node at an endpoint is, as it sees itself and the cluster. Asks that endpoint and no other, once. It may
    /// be one that the client was not made with.
    ///
    /// # Errors
    /// Why it did not answer; within milliseconds if nothing listens there.
    pub async fn status(&self, endpoint: &str) -> Result<StatusReply, Error> {
        let work = Work::Status(endpoint.into());
        let Answer::Status(status) = self.ask(work, CallOptions::default()).await? else {
            return Err(mixed_up("status"));
        };
        Ok(*status)
    }

    /// What the node at an endpoint has measured since it started. Asks that endpoint and no other, once.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn stats(&self, endpoint: &str) -> Result<StatsReply, Error> {
        let work = Work::Stats(endpoint.into());
        let Answer::Stats(stats) = self.ask(work, CallOptions::default()).await? else {
            return Err(mixed_up("stats"));
        };
        Ok(*stats)
    }

    /// Where the time of writes went that the node at an endpoint has proposed as the leader: see [`Trace`]. Asks that endpoint and
    /// no other, once. One that does not lead has what it proposed when it did.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn trace(&self, endpoint: &str, trace: Trace) -> Result<TraceReply, Error> {
        let work = Work::Trace(endpoint.into(), trace);
        let Answer::Trace(reply) = self.ask(work, CallOptions::default()).await? else {
            return Err(mixed_up("trace"));
        };
        Ok(reply)
    }

    /// What the node at an endpoint says of itself: its disk, its limits, its clock, what it has measured. Asks that endpoint and
    /// no other, once.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn examine(&self, endpoint: &str) -> Result<Examined, Error> {
        let work = Work::Examine(endpoint.into());
        let Answer::Examined(examined) = self.ask(work, CallOptions::default()).await? else {
            return Err(mixed_up("examine"));
        };
        Ok(*examined)
    }

    /// A piece of a snapshot of the node at an endpoint: the first one names it, and says how long it is; see
    /// [`SaveSnapshot`]. Asks that endpoint and no other, once; all pieces have to be asked for over one connection.
    ///
    /// # Errors
    /// [`NoSnapshot`](holdfast_command::Refusal::NoSnapshot) if the node does not have it any more: begin anew. Otherwise as
    /// [`status`](Self::status).
    pub async fn snapshot_piece(
        &self,
        endpoint: &str,
        save: SaveSnapshot,
        options: CallOptions,
    ) -> Result<SnapshotPiece, Error> {
        let work = Work::SaveSnapshot(endpoint.into(), save);
        let Answer::Snapshot(piece) = self.ask(work, options).await? else {
            return Err(mixed_up("ask for a snapshot"));
        };
        Ok(piece)
    }

    /// The endpoints, those that were learned too, and how each is.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointView> {
        self.shell.endpoints()
    }

    /// Takes no more calls, waits for those under way, closes session and connections.
    pub async fn close(&self) {
        self.shell.close().await;
    }

    async fn ask(&self, work: Work, options: CallOptions) -> Result<Answer, Error> {
        self.shell.ask(Ask { work, timeout_ms: options.timeout.map(millis) }).await
    }
}

fn page_of(answer: query::Answer) -> Result<AuditPage, Error> {
    if let query::Answer::Audit(page) = answer { Ok(page) } else { Err(mixed_up("query")) }
}

/// The core answers each call in kind; should it not, that is said and not panicked about.
fn mixed_up(operation: &str) -> Error {
    Error::unheard(Kind::Unreadable, operation, "an answer of another kind")
}

//! A request of HTTP as a call to the node: what all paths share.
//!
//! # Who answers
//! Writes and linearizable reads are the leader's. A node that does not lead answers them with 307 and the same path at the
//! leader; a client that cannot follow that may say `X-Holdfast-Forward: true`, and the node asks the leader for it. What was
//! forwarded is not forwarded again: two nodes that take each other for the leader would send it to and fro.
//!
//! # What comes of a write
//! The node answers each call once. If it ends first, or the deadline is over, the outcome is *unknown*, and that is what is
//! said: only an idempotency key makes it safe to send the write again.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use bytestring::ByteString;
use holdfast_client::Position;
use holdfast_command::keys::Range;
use holdfast_command::outcome::RangePage;
use holdfast_command::query::{Answer, Query};
use holdfast_command::{Code, Command, Outcome, Refusal, Reply, Request, RequestKey};
use holdfast_machine::Numbered as _;
use holdfast_wire::Message;
use holdfast_wire::message::{self as wire, Consistency};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::params::Params;
use super::problem::Problem;
use crate::runtime::LifeState;
use crate::runtime::desk::{Desk, NoSeat};
use crate::runtime::examine::Looker;

/// The longest body: a transaction as long as the replicated settings may ever allow, and what JSON adds to it.
pub(super) const BODY_BYTES_MAX: usize = 16 << 20;

/// A body up to this is read whatever else is read.
const SHORT_BODY: u64 = 64 << 10;

/// So many longer ones are read at once, so that all of them together take no more than 128 MiB.
const LONG_BODIES_MAX: usize = 8;

/// So many streams of events at once: a quarter of the connections is left to whoever asks whether the node is well.
const STREAMS_MAX: usize = 768;

/// How long a body may take to come.
pub(super) const BODY_TIME: Duration = Duration::from_secs(30);

/// How long a request may take if it does not say so itself.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time that it may ask for: what the node lets anybody wait.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_millis(crate::node::limits::CALL_MS_MAX as u64);

/// What is waited beyond the deadline for the node's own word on it.
const GRACE: Duration = Duration::from_millis(500);

/// The longest idempotency key.
const KEY_BYTES_MAX: usize = 255;

/// Where a write was executed, or what a read has seen.
pub(super) const POSITION: HeaderName = HeaderName::from_static("x-holdfast-position");
/// How old what was read can be at most.
pub(super) const STALENESS: HeaderName = HeaderName::from_static("x-holdfast-staleness-ms");
/// The revision of a key or a page.
pub(super) const REVISION: HeaderName = HeaderName::from_static("x-holdfast-revision");
const FORWARD: HeaderName = HeaderName::from_static("x-holdfast-forward");
const FORWARDED_BY: HeaderName = HeaderName::from_static("x-holdfast-forwarded-by");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What came of a request.
pub(super) type Handled = Result<Response, Problem>;

/// What all requests share.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) desk: Desk,
    pub(super) node: u64,
    /// What the system says of it.
    pub(super) looker: Looker,
    /// Where this node is told to be: nobody is sent there from here.
    address: String,
    /// Bodies that are long are read a few at a time.
    long_bodies: Arc<Semaphore>,
    /// Streams of events leave connections to others.
    pub(super) streams: Arc<Semaphore>,
    forwarder: Client<HttpConnector, Body>,
}

/// The other side of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct From(pub(super) SocketAddr);

/// One request, read to its end.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) app: App,
    pub(super) from: SocketAddr,
    pub(super) path: String,
    pub(super) params: Params,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// How long it may take.
    pub(super) timeout: Duration,
    key: RequestKey,
}

/// What a read may see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    pub(super) consistency: Consistency,
    max_stale_ms: u64,
    min_position: Option<Position>,
}

impl Fresh {
    pub(super) const LINEARIZABLE: Self =
        Self { consistency: Consistency::Linearizable, max_stale_ms: 0, min_position: None };
}

impl App {
    pub(super) fn new(desk: Desk, node: u64, address: String, looker: Looker) -> Self {
        let forwarder = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let long_bodies = Arc::new(Semaphore::new(LONG_BODIES_MAX));
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        Self { desk, node, looker, address, long_bodies, streams, forwarder }
    }
}

/// Reads a request, lets `handler` do it, and sends it to the leader if that is who should have been asked.
pub(super) async fn handle<Done>(
    app: App,
    request: axum::extract::Request,
    handler: impl FnOnce(Call) -> Done,
) -> Response
where
    Done: Future<Output = Handled>,
{
    let (parts, body) = request.into_parts();
    let from =
        parts.extensions.get::<From>().map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |from| from.0);
    let body = match app.read(&parts.headers, body).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let (method, uri, headers) = (parts.method, parts.uri, parts.headers);
    let call = match Call::new(app.clone(), from, (&method, &uri), headers.clone(), body.clone()) {
        Ok(call) => call,
        Err(problem) => return problem.into_response(),
    };
    let timeout = call.timeout;
    match handler(call).await {
        Ok(response) => response,
        Err(problem) if problem.is(Code::NotLeader) => {
            app.elsewhere(problem, (method, uri, headers, body), timeout).await.into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

impl App {
    /// The whole body.
    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
        let length = headers.get(header::CONTENT_LENGTH);
        let announced = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let limit = BODY_BYTES_MAX as u64;
        if let Some(bytes) = announced.filter(|bytes| *bytes > limit) {
            return Err(Problem::of(Refusal::BodyTooLong { bytes, limit }));
        }
        let is_short = announced.is_some_and(|bytes| bytes <= SHORT_BODY) || body.is_end_stream();
        let whole = async {
            let _room = if is_short { None } else { self.long_bodies.acquire().await.ok() };
            to_bytes(body, BODY_BYTES_MAX).await
        };
        match tokio::time::timeout(BODY_TIME, whole).await {
            Err(_) => Err(Problem::of(Refusal::BodyTooSlow)),
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) => {
                use std::error::Error as _;
                if error.source().is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
                {
                    return Err(Problem::of(Refusal::BodyTooLong { bytes: limit + 1, limit }));
                }
                Err(Problem::body(format!("it broke off: {error}")))
            }
        }
    }
}

/// The request key of an `Idempotency-Key`: the same key with another method, path, query or body is another request, and
/// refused.
fn request_key(
    headers: &HeaderMap,
    (method, uri): (&Method, &Uri),
    body: &[u8],
) -> Result<RequestKey, Problem> {
    let Some(key) = headers.get(&IDEMPOTENCY_KEY) else { return Ok(RequestKey::None) };
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::parameter(format!("an Idempotency-Key has 1 to {KEY_BYTES_MAX} bytes")));
    }
    let hash = |parts: &[&[u8]]| {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    };
    // Nobody has proved who it is yet, so all share one name.
    let key = hash(&[b"anonymous", key.as_bytes()]);
    let query = uri.query().unwrap_or_default();
    let request = hash(&[method.as_str().as_bytes(), uri.path().as_bytes(), query.as_bytes(), body]);
    Ok(RequestKey::Idempotency { key, request })
}

fn encoded(range: &Range) -> Bytes {
    let mut bytes = Vec::new();
    range.write(&mut bytes);
    bytes.into()
}

/// For how many milliseconds the node is told that somebody waits.
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1)
}

impl Call {
    fn new(
        app: App,
        from: SocketAddr,
        (method, uri): (&Method, &Uri),
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Self, Problem> {
        let mut params = Params::new(uri.query())?;
        let timeout = params.duration("timeout")?.unwrap_or(TIMEOUT);
        if timeout.is_zero() || timeout > TIMEOUT_MAX {
            return Err(Problem::parameter(format!(
                "timeout is above 0 and at most {} s",
                TIMEOUT_MAX.as_secs()
            )));
        }
        let key = request_key(&headers, (method, uri), &body)?;
        Ok(Self { app, from, path: uri.path().to_owned(), params, headers, body, timeout, key })
    }

    /// All parameters were taken: whatever is left is an error.
    pub(super) fn finish(&self) -> Result<(), Problem> {
        self.params.finish()
    }

    /// What a read may see, as its parameters say.
    pub(super) fn fresh(&mut self) -> Result<Fresh, Problem> {
        let min_position = self.params.position("min_position")?;
        let max_stale = self.params.duration("max_stale")?;
        let consistency = match self.params.text("consistency")?.as_deref() {
            None if max_stale.is_some() => Consistency::Stale,
            None if min_position.is_some() => Consistency::Follower,
            None | Some("linearizable") => Consistency::Linearizable,
            Some("follower") => Consistency::Follower,
            Some("stale") => Consistency::Stale,
            Some(other) => {
                return Err(Problem::parameter(format!(
                    "consistency={other:?}: expected linearizable, follower or stale"
                )));
            }
        };
        if max_stale.is_some() && consistency != Consistency::Stale {
            return Err(Problem::parameter("max_stale is for consistency=stale"));
        }
        if min_position.is_some() && consistency == Consistency::Linearizable {
            return Err(Problem::parameter(
                "min_position is for consistency=follower: a linearizable read sees all that was acknowledged",
            ));
        }
        let max_stale_ms =
            max_stale.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX).max(1));
        Ok(Fresh { consistency, max_stale_ms, min_position })
    }

    /// Asks the node.
    async fn ask(
        &self,
        message: impl Into<Message>,
        timeout: Duration,
        is_write: bool,
    ) -> Result<Message, Problem> {
        let answer = tokio::time::timeout(timeout + GRACE, self.app.desk.call(self.from, message)).await;
        match answer {
            Ok(Ok(Some(Message::Refused(refused)))) => Err(Problem::refused(&refused)),
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) if is_write => Err(Problem::of(Refusal::Stopping)
                .because("the node ended before it answered")
                .of_unknown_outcome()),
            Ok(Ok(None)) => Err(Problem::of(Refusal::Stopping)),
            Ok(Err(NoSeat::Full)) => Err(Problem::of(Refusal::Overloaded {
                retry_after_ms: crate::node::limits::RETRY_AFTER_MS.into(),
            })),
            Ok(Err(NoSeat::NotServing(life))) => Err(not_serving(life)),
            Err(_) if is_write => Err(Problem::of(Refusal::TimedOut)),
            Err(_) => Err(Problem::of(Refusal::TimedOut).because("not answered in time")),
        }
    }

    /// That this node leads, as far as it knows; else whoever does is to be asked.
    fn leads(&self) -> Result<(), Problem> {
        let leading = self.app.desk.leading();
        match (leading.here, leading.leader) {
            (false, Some(_)) => Err(Problem::of(Refusal::NotLeader)),
            (true, _) | (false, None) => Ok(()),
        }
    }

    /// Executes a command, under the idempotency key if there is one.
    pub(super) async fn submit(
        &self,
        command: Command,
        reason: ByteString,
    ) -> Result<(Reply, Position), Problem> {
        self.leads()?;
        let request = Request { key: self.key, reason, ..Request::from(command) };
        let submit = wire::Submit { timeout_ms: millis(self.timeout), request: request.encode() };
        let Message::Submitted(submitted) = self.ask(submit, self.timeout, true).await? else {
            return Err(unreadable());
        };
        let position = submitted.position.into();
        match Outcome::decode(submitted.outcome) {
            Ok(Outcome(Ok(reply))) => Ok((reply, position)),
            Ok(Outcome(Err(refusal))) => Err(Problem::of(refusal).with(POSITION, position.to_string())),
            Err(_) => Err(unreadable()),
        }
    }

    /// Reads a page of a range.
    pub(super) async fn range(&self, range: &Range, fresh: Fresh) -> Result<(RangePage, Seen), Problem> {
        if fresh.consistency == Consistency::Linearizable {
            self.leads()?;
        }
        let read = wire::Read {
            consistency: fresh.consistency.number(),
            timeout_ms: millis(self.timeout),
            max_stale_ms: fresh.max_stale_ms,
            min_position: fresh.min_position.map(Into::into),
            range: encoded(range),
        };
        let Message::ReadDone(done) = self.ask(read, self.timeout, false).await? else {
            return Err(unreadable());
        };
        let seen = Seen::new(done.position.into(), done.staleness_ms, fresh);
        match Outcome::decode(done.outcome) {
            Ok(Outcome(Ok(Reply::Ranged(page)))) => Ok((page, seen)),
            Ok(Outcome(Err(refusal))) => Err(Problem::of(refusal)),
            Ok(Outcome(Ok(_))) | Err(_) => Err(unreadable()),
        }
    }

    /// Asks for what is no key.
    pub(super) async fn query(&self, query: &Query, fresh: Fresh) -> Result<(Answer, Seen), Problem> {
        self.query_within(query, fresh, self.timeout).await
    }

    /// The same within another time.
    pub(super) async fn query_within(
        &self,
        query: &Query,
        fresh: Fresh,
        timeout: Duration,
    ) -> Result<(Answer, Seen), Problem> {
        if fresh.consistency == Consistency::Linearizable {
            self.leads()?;
        }
        let asked = wire::Query {
            consistency: fresh.consistency.number(),
            timeout_ms: millis(timeout),
            max_stale_ms: fresh.max_stale_ms,
            min_position: fresh.min_position.map(Into::into),
            query: query.encode(),
        };
        let Message::QueryDone(done) = self.ask(asked, timeout, false).await? else {
            return Err(unreadable());
        };
        let seen = Seen::new(done.position.into(), done.staleness_ms, fresh);
        match Answer::decode(done.answer) {
            Ok(Ok(answer)) => Ok((answer, seen)),
            Ok(Err(refusal)) => Err(Problem::of(refusal)),
            Err(_) => Err(unreadable()),
        }
    }

    /// Renews a lease: for how many milliseconds it lives from there on.
    pub(super) async fn keep_lease(&self, lease: i64) -> Result<(u64, Position), Problem> {
        self.leads()?;
        let keep = wire::KeepLease { timeout_ms: millis(self.timeout), lease };
        let Message::LeaseKept(kept) = self.ask(keep, self.timeout, true).await? else {
            return Err(unreadable());
        };
        if kept.known {
            Ok((kept.ttl_ms, kept.position.into()))
        } else {
            Err(Problem::of(Refusal::UnknownLease { lease }))
        }
    }
}

/// What a read has seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) position: Position,
    staleness_ms: Option<u64>,
}

impl Seen {
    fn new(position: Position, staleness_ms: u64, fresh: Fresh) -> Self {
        let is_stale = fresh.consistency == Consistency::Stale;
        Self { position, staleness_ms: is_stale.then_some(staleness_ms) }
    }

    /// The response with what was seen in its header.
    pub(super) fn on(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        mark(headers, POSITION, &self.position.to_string());
        if let Some(age) = self.staleness_ms {
            headers.insert(STALENESS, HeaderValue::from(age));
        }
        response
    }
}

/// Sets a header.
pub(super) fn mark(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The node's answer is of another kind, or of a later version. Its outcome is not known here.
pub(super) fn unreadable() -> Problem {
    Problem::of(Refusal::TimedOut)
        .because("the node gave an answer that this interface cannot read; please report this")
}

/// The node has not come so far, or is ending.
pub(super) fn not_serving(life: LifeState) -> Problem {
    match life {
        LifeState::Opening | LifeState::Forming | LifeState::Recovering => {
            Problem::of(Refusal::Starting).because(format!("the node is starting: {}", life.name()))
        }
        LifeState::Joining
        | LifeState::Ready
        | LifeState::Draining
        | LifeState::Closing
        | LifeState::Stopped
        | LifeState::Failed => Problem::of(Refusal::Stopping),
    }
}

type Whole = (Method, Uri, HeaderMap, Bytes);

impl App {
    /// What becomes of a request that the leader has to be asked.
    async fn elsewhere(&self, problem: Problem, whole: Whole, timeout: Duration) -> Response {
        let leading = self.desk.leading();
        let Some(leader) = leading.leader else { return problem.into_response() };
        if leading.here || leading.http.is_empty() || leading.http == self.address {
            return problem
                .because(format!("node {leader} leads, and where it serves HTTP is not known"))
                .into_response();
        }
        let (method, uri, mut headers, body) = whole;
        let place = uri.path_and_query().map_or("/", |place| place.as_str());
        let location = format!("http://{}{place}", leading.http);
        let why = format!("node {leader} leads");
        let wants = headers.get(&FORWARD).is_some_and(|value| value == "true");
        if !wants || headers.contains_key(&FORWARDED_BY) {
            return problem.because(why).redirect(location).into_response();
        }
        // Where a page comes from was looked at here, and the leader has another name.
        for hop in [
            header::HOST,
            header::ORIGIN,
            header::CONNECTION,
            header::TRANSFER_ENCODING,
            header::CONTENT_LENGTH,
        ] {
            headers.remove(hop);
        }
        mark(&mut headers, FORWARDED_BY, &self.node.to_string());
        let is_read = method == Method::GET;
        let mut request = axum::http::Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        let failed = |why: String| {
            let failed = Problem::of(Refusal::ForwardFailed { node: leader }).because(why);
            if is_read { failed.of_no_outcome() } else { failed }.into_response()
        };
        match location.parse() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => return failed(format!("{location:?} is no address: {error}")),
        }
        match tokio::time::timeout(timeout + 2 * GRACE, self.forwarder.request(request)).await {
            Ok(Ok(response)) => response.map(Body::new),
            Ok(Err(error)) if error.is_connect() => Problem::of(Refusal::NoLeader)
                .because(format!("node {leader} leads and cannot be reached at {location}"))
                .into_response(),
            Ok(Err(error)) => failed(error.to_string()),
            Err(_) => failed("no answer in time".to_owned()),
        }
    }
}

//! Locks and elections: the same queue under two names.
//!
//! A place in the queue belongs to the lease and not to the call that waits: a caller whose time is over, or whose connection
//! ends, asks again and goes on waiting where it was. So nothing is given up behind anybody's back, neither a lock that was granted
//! meanwhile nor the place of another call for the same lease; whoever wants it no more says so, or lets the lease end.

use std::time::Duration;

use bytes::Bytes;
use holdfast_command::elections::{Campaign, Proclaim, Resign};
use holdfast_command::locks::{Acquire, Release};
use holdfast_command::query::{Answer, PlaceInfo, Query, QueueInfo, QueueKind, When};
use holdfast_command::{Code, Command, Refusal, Reply};
use serde::Serialize;
use tokio::time::Instant;

use super::ask::{Call, Fresh, Handled, TIMEOUT_MAX, unreadable};
use super::kv::written;
use super::params::tail;
use super::problem::Problem;
use super::respond;
use crate::json::Blob;

/// What whoever holds is told.
#[derive(Serialize)]
struct Holds<'a> {
    name: Blob<'a>,
    /// The fencing token, or the term of office.
    token: u64,
    lease: String,
    position: String,
}

/// What whoever gave it up is told.
#[derive(Serialize)]
struct GaveUp<'a> {
    name: Blob<'a>,
    /// It was held; else it was waited for.
    held: bool,
    position: String,
}

/// The name in the path, behind `/v1/locks/` or `/v1/elections/`, without what stands behind it.
fn name(call: &Call, kind: QueueKind, verb: &str) -> Bytes {
    let path = call.path.strip_suffix(verb).unwrap_or(&call.path);
    tail(
        path,
        match kind {
            QueueKind::Lock => "/v1/locks/",
            QueueKind::Election => "/v1/elections/",
        },
    )
}

/// How long to queue up; nothing if not at all.
fn wait(call: &mut Call) -> Result<Option<Duration>, Problem> {
    let wait = call.params.duration("wait")?.filter(|wait| !wait.is_zero());
    if wait.is_some_and(|wait| wait > TIMEOUT_MAX) {
        return Err(Problem::parameter(format!(
            "wait is at most {} s: ask again after that",
            TIMEOUT_MAX.as_secs()
        )));
    }
    Ok(wait)
}

/// The value that goes with a place: the parameter, or the body.
fn value(call: &mut Call) -> Bytes {
    call.params.bytes("value").unwrap_or_else(|| call.body.clone())
}

/// `POST /v1/locks/{name}`.
pub(super) async fn acquire(mut call: Call) -> Handled {
    let name = name(&call, QueueKind::Lock, "");
    let (lease, wait, value) = (call.params.lease()?, wait(&mut call)?, value(&mut call));
    call.finish()?;
    let command = Command::Acquire(Acquire { name: name.clone(), lease, wait: wait.is_some(), value });
    queue_up(call, (QueueKind::Lock, name, lease), command, wait).await
}

/// `POST /v1/elections/{name}/campaign`.
pub(super) async fn campaign(mut call: Call) -> Handled {
    let name = name(&call, QueueKind::Election, "/campaign");
    let (lease, wait, value) = (call.params.lease()?, wait(&mut call)?, value(&mut call));
    call.finish()?;
    let command = Command::Campaign(Campaign { name: name.clone(), lease, value });
    queue_up(call, (QueueKind::Election, name, lease), command, wait).await
}

async fn queue_up(
    call: Call,
    (kind, name, lease): (QueueKind, Bytes, i64),
    command: Command,
    wait: Option<Duration>,
) -> Handled {
    let until = Instant::now() + wait.unwrap_or_default();
    let (reply, position) = call.submit(command, "".into()).await?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "neither command answers anything else")]
    let token = match reply {
        Reply::LockGranted { token } | Reply::Elected { token } => token,
        Reply::LockQueued { .. } | Reply::Campaigning { .. } => {
            turn(&call, (kind, &name, lease), until).await?
        }
        _ => return Err(unreadable()),
    };
    let (lease, position_text) = (lease.to_string(), position.to_string());
    Ok(written(&Holds { name: Blob(&name), token, lease, position: position_text }, position))
}

/// Waits in a queue until it is the turn of this lease: its token.
async fn turn(
    call: &Call,
    (kind, name, lease): (QueueKind, &Bytes, i64),
    until: Instant,
) -> Result<u64, Problem> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(held(lease));
    }
    let query = Query::Queue { kind, name: name.clone(), when: When::Settled { lease } };
    let queue = match call.query_within(&query, Fresh::LINEARIZABLE, left).await {
        Ok((Answer::Queue(queue), _)) => queue,
        Ok(_) => return Err(unreadable()),
        Err(problem) if problem.is(Code::TimedOut) => return Err(held(lease)),
        Err(problem) => return Err(problem),
    };
    match queue.holder {
        Some(holder) if holder.lease == lease => Ok(holder.token),
        // As long as anybody may be told, and still others come first.
        Some(_) if queue.places.iter().any(|place| place.lease == lease) => Err(held(lease)),
        Some(_) | None => Err(Problem::of(Refusal::NotInQueue { lease })
            .because("the place in the queue is gone: its lease ended, or it was given up")),
    }
}

fn held(lease: i64) -> Problem {
    Problem::of(Refusal::LockHeld { token: 0 }).because(format!(
        "somebody else comes first; lease {lease} keeps its place in the queue until it gives that up or ends: ask again to go on \
         waiting"
    ))
}

/// `DELETE /v1/locks/{name}`: by the token that a grant gave, or by the lease, which gives up a place too.
pub(super) async fn release(mut call: Call) -> Handled {
    let name = name(&call, QueueKind::Lock, "");
    let (token, lease) = (call.params.number::<u64>("token")?, call.params.number::<i64>("lease")?);
    call.finish()?;
    let lease = match (token, lease) {
        (None, Some(lease)) => lease,
        (Some(token), None) => {
            let query = Query::Queue { kind: QueueKind::Lock, name: name.clone(), when: When::Now };
            let (answer, _) = call.query(&query, Fresh::LINEARIZABLE).await?;
            let Answer::Queue(queue) = answer else { return Err(unreadable()) };
            let holder = queue.holder.filter(|holder| holder.token == token);
            let gone = || {
                Problem::of(Refusal::NotInQueue { lease: 0 })
                    .because(format!("token {token} does not hold this lock"))
            };
            // Should it pass on meanwhile, this lease has no place in it, and nothing is released.
            holder.ok_or_else(gone)?.lease
        }
        (None, None) | (Some(_), Some(_)) => {
            return Err(Problem::parameter("name one: token, as the grant gave it, or lease"));
        }
    };
    let (reply, position) =
        call.submit(Command::Release(Release { name: name.clone(), lease }), "".into()).await?;
    let Reply::LockReleased { held } = reply else { return Err(unreadable()) };
    Ok(written(&GaveUp { name: Blob(&name), held, position: position.to_string() }, position))
}

/// `POST /v1/elections/{name}/proclaim`.
pub(super) async fn proclaim(mut call: Call) -> Handled {
    let name = name(&call, QueueKind::Election, "/proclaim");
    let (lease, value) = (call.params.lease()?, value(&mut call));
    let token = call.params.number("token")?;
    call.finish()?;
    let token =
        token.ok_or_else(|| Problem::parameter("token is missing: the term of office, from campaign"))?;
    let proclaim = Proclaim { name: name.clone(), lease, token, value };
    let (reply, position) = call.submit(Command::Proclaim(proclaim), "".into()).await?;
    let Reply::Proclaimed = reply else { return Err(unreadable()) };
    let (lease, position_text) = (lease.to_string(), position.to_string());
    Ok(written(&Holds { name: Blob(&name), token, lease, position: position_text }, position))
}

/// `POST /v1/elections/{name}/resign`.
pub(super) async fn resign(mut call: Call) -> Handled {
    let name = name(&call, QueueKind::Election, "/resign");
    let lease = call.params.lease()?;
    call.finish()?;
    let (reply, position) =
        call.submit(Command::Resign(Resign { name: name.clone(), lease }), "".into()).await?;
    let Reply::Resigned { held } = reply else { return Err(unreadable()) };
    Ok(written(&GaveUp { name: Blob(&name), held, position: position.to_string() }, position))
}

/// A place in a queue.
#[derive(Serialize)]
struct Shown<'a> {
    lease: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<u64>,
    since: u64,
    value: Blob<'a>,
}

impl<'a> Shown<'a> {
    fn new(place: &'a PlaceInfo) -> Self {
        let token = (place.token > 0).then_some(place.token);
        Self { lease: place.lease.to_string(), token, since: place.since, value: Blob(&place.value) }
    }
}

/// A queue: who holds it and who waits.
#[derive(Serialize)]
pub(super) struct ShownQueue<'a> {
    name: Blob<'a>,
    holder: Option<Shown<'a>>,
    waiting: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    places: Vec<Shown<'a>>,
    changed_at: u64,
}

impl<'a> ShownQueue<'a> {
    pub(super) fn new(name: &'a [u8], queue: &'a QueueInfo) -> Self {
        Self {
            name: Blob(name),
            holder: queue.holder.as_ref().map(Shown::new),
            waiting: queue.waiting,
            places: queue.places.iter().map(Shown::new).collect(),
            changed_at: queue.changed_at,
        }
    }
}

/// `GET /v1/locks/{name}`, `GET /v1/elections/{name}`.
pub(super) async fn show(mut call: Call, kind: QueueKind) -> Handled {
    let (name, fresh) = (name(&call, kind, ""), call.fresh()?);
    call.finish()?;
    let query = Query::Queue { kind, name: name.clone(), when: When::Now };
    let (answer, seen) = call.query(&query, fresh).await?;
    let Answer::Queue(queue) = answer else { return Err(unreadable()) };
    Ok(seen.on(respond::ok(&ShownQueue::new(&name, &queue))))
}

#[derive(Serialize)]
struct List<'a> {
    queues: Vec<ShownQueue<'a>>,
    /// More come: ask again with `after` and the last name of these.
    more: bool,
}

/// `GET /v1/locks`, `GET /v1/elections`.
pub(super) async fn list(mut call: Call, kind: QueueKind) -> Handled {
    let fresh = call.fresh()?;
    let after = call.params.bytes("after").unwrap_or_default();
    let limit = call.params.number("limit")?.unwrap_or(0);
    call.finish()?;
    let (answer, seen) = call.query(&Query::Queues { kind, after, limit }, fresh).await?;
    let Answer::Queues { queues, more } = answer else { return Err(unreadable()) };
    let shown = queues.iter().map(|(name, queue)| ShownQueue::new(name, queue));
    Ok(seen.on(respond::ok(&List { queues: shown.collect(), more })))
}

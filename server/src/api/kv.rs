//! Keys: write, read, list, delete, history.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::keys::{
    Against, Compare, Content, Delete, Operation, Put, Range, Relation, Span, Transaction,
};
use holdfast_command::query::{Answer, Query};
use holdfast_command::{Command, Refusal, Reply};
use holdfast_hlc::Stamp;
use serde::Serialize;

use super::ask::{Call, Handled, POSITION, REVISION, mark, unreadable};
use super::params::tail;
use super::problem::Problem;
use super::respond;
use crate::json::{self, Blob, Entry};

/// Bytes of a page, as far as the caller does not set a limit in keys.
const PAGE_BYTES: u32 = 1 << 20;

/// What a write answers.
#[derive(Serialize)]
struct Written {
    revision: u64,
    position: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<u64>,
}

/// The answer to a write, with its position in the header too.
pub(super) fn written(body: &impl Serialize, position: holdfast_client::Position) -> Response {
    let mut response = respond::ok(body);
    mark(response.headers_mut(), POSITION, &position.to_string());
    response
}

fn key_of(call: &Call) -> Result<Bytes, Problem> {
    let key = tail(&call.path, "/v1/kv/");
    if key.is_empty() { Err(Problem::of(Refusal::EmptyKey)) } else { Ok(key) }
}

fn reason(call: &mut Call) -> Result<ByteString, Problem> {
    Ok(call.params.text("reason")?.unwrap_or_default().into())
}

/// The key is at this revision; 0: it is not there.
fn at_revision(key: &Bytes, revision: u64) -> Compare {
    let span = Span::Key(key.clone());
    let against = if revision == 0 { Against::Version(0) } else { Against::ModRevision(revision) };
    Compare { span, relation: Relation::Equal, against }
}

/// Does `operation` if the key is at this revision.
async fn only_at(
    call: &Call,
    (key, revision): (&Bytes, u64),
    operation: Operation,
    reason: ByteString,
) -> Result<(Reply, u64, holdfast_client::Position), Problem> {
    let transaction = Transaction {
        compares: vec![at_revision(key, revision)],
        then: vec![operation],
        otherwise: vec![Operation::Range(Range {
            content: Content::KeysOnly,
            ..Range::of(Span::Key(key.clone()))
        })],
    };
    let (reply, position) = call.submit(Command::Transact(transaction), reason).await?;
    let Reply::Transacted { revision, succeeded, mut results } = reply else { return Err(unreadable()) };
    let Some(result) = results.pop() else { return Err(unreadable()) };
    if succeeded {
        return Ok((result, revision, position));
    }
    let there = if let Reply::Ranged(page) = &result { page.entries.first() } else { None };
    let revision = there.map_or(0, |entry| entry.mod_revision);
    let wrong = Problem::of(Refusal::WrongRevision { revision }).with(POSITION, position.to_string());
    Err(if revision == 0 { wrong.because("there is no such key") } else { wrong })
}

/// `PUT /v1/kv/{key}`.
pub(super) async fn put(mut call: Call) -> Handled {
    let (key, value, reason) = (key_of(&call)?, call.body.clone(), reason(&mut call)?);
    let (if_revision, lease) = (call.params.number("if_revision")?, call.params.number("lease")?);
    call.finish()?;
    let put = Put { key: key.clone(), value, lease: lease.unwrap_or(0), ..Put::default() };
    let (revision, position) = match if_revision {
        Some(at) => {
            let (_, revision, position) = only_at(&call, (&key, at), Operation::Put(put), reason).await?;
            (revision, position)
        }
        None => {
            let (reply, position) = call.submit(Command::Put(put), reason).await?;
            let Reply::Put { revision, .. } = reply else { return Err(unreadable()) };
            (revision, position)
        }
    };
    Ok(written(&Written { revision, position: position.to_string(), deleted: None }, position))
}

/// `DELETE /v1/kv/{key}`.
pub(super) async fn delete(mut call: Call) -> Handled {
    let (key, reason) = (key_of(&call)?, reason(&mut call)?);
    let if_revision = call.params.number("if_revision")?;
    call.finish()?;
    let delete = Delete { span: Span::Key(key.clone()), return_previous: false };
    match if_revision {
        Some(at) => {
            let (reply, _, position) = only_at(&call, (&key, at), Operation::Delete(delete), reason).await?;
            deleted(&reply, position)
        }
        None => {
            let (reply, position) = call.submit(Command::Delete(delete), reason).await?;
            deleted(&reply, position)
        }
    }
}

/// `DELETE /v1/kv?prefix=`.
pub(super) async fn delete_prefix(mut call: Call) -> Handled {
    let reason = reason(&mut call)?;
    let prefix = call.params.bytes("prefix");
    call.finish()?;
    // Whoever forgets the prefix does not mean everything.
    let prefix = prefix.filter(|prefix| !prefix.is_empty());
    let prefix = prefix
        .ok_or_else(|| Problem::parameter("prefix is missing: all keys that begin with it are deleted"))?;
    let delete = Delete { span: Span::prefix(prefix), return_previous: false };
    let (reply, position) = call.submit(Command::Delete(delete), reason).await?;
    deleted(&reply, position)
}

fn deleted(reply: &Reply, position: holdfast_client::Position) -> Handled {
    let &Reply::Deleted { revision, count, .. } = reply else { return Err(unreadable()) };
    Ok(written(&Written { revision, position: position.to_string(), deleted: Some(count) }, position))
}

/// One key that was read.
#[derive(Serialize)]
struct Read<'a> {
    #[serde(flatten)]
    entry: Entry<'a>,
    revision: u64,
    position: String,
}

/// `GET /v1/kv/{key}`.
pub(super) async fn get(mut call: Call) -> Handled {
    let (key, fresh) = (key_of(&call)?, call.fresh()?);
    let revision = call.params.number("revision")?.unwrap_or(0);
    let raw = call.params.flag("raw")?;
    call.finish()?;
    let range = Range { revision, ..Range::of(Span::Key(key)) };
    let (page, seen) = call.range(&range, fresh).await?;
    let Some(entry) = page.entries.first() else {
        let missing =
            Problem::of(Refusal::KeyNotFound).because("there is no such key at the revision that was read");
        return Err(missing.with(POSITION, seen.position.to_string()));
    };
    let mut response = if raw {
        let mut response = Response::new(Body::from(entry.value.clone()));
        let kind = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    } else {
        let position = seen.position.to_string();
        respond::ok(&Read { entry: Entry::new(entry, true), revision: page.revision, position })
    };
    response.headers_mut().insert(REVISION, HeaderValue::from(entry.mod_revision));
    Ok(seen.on(response))
}

/// A page of keys.
#[derive(Serialize)]
struct Listed<'a> {
    entries: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    more: bool,
    /// What the next page is asked for with.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    continuation: Option<String>,
    revision: u64,
    position: String,
}

/// All keys that begin with this.
fn spanned(prefix: Bytes) -> Span {
    if prefix.is_empty() { Span::all() } else { Span::prefix(prefix) }
}

/// Where a list goes on: behind this key, at the revision of its first page.
struct Continued {
    revision: u64,
    last: Bytes,
}

impl fmt::Display for Continued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.revision, URL_SAFE_NO_PAD.encode(&self.last))
    }
}

impl Continued {
    fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = || Problem::of(Refusal::BadContinuation);
        let (revision, last) = text.split_once('.').ok_or_else(wrong)?;
        let revision = revision.parse().ok().filter(|revision| *revision > 0).ok_or_else(wrong)?;
        let last = URL_SAFE_NO_PAD.decode(last).map_err(|_| wrong())?.into();
        Ok(Self { revision, last })
    }

    /// What is left of a span behind it.
    fn rest_of(self, span: Span, descending: bool) -> Result<Span, Problem> {
        if !span.contains(&self.last) {
            return Err(Problem::of(Refusal::BadContinuation));
        }
        let behind = || -> Bytes { [&self.last[..], &[0]].concat().into() };
        Ok(match (span, descending) {
            (Span::Between { start, .. } | Span::From(start), true) => {
                Span::Between { start, end: self.last }
            }
            (Span::Between { end, .. }, false) => Span::Between { start: behind(), end },
            (Span::From(_), false) => Span::From(behind()),
            (Span::Key(_), _) => return Err(Problem::of(Refusal::BadContinuation)),
        })
    }
}

/// `GET /v1/kv?prefix=`.
pub(super) async fn list(mut call: Call) -> Handled {
    let fresh = call.fresh()?;
    let params = &mut call.params;
    let prefix = params.bytes("prefix").unwrap_or_default();
    let keys_only = params.flag("keys_only")?;
    let descending = params.flag("descending")?;
    let (mut revision, mut span) = (params.number("revision")?, spanned(prefix));
    if let Some(text) = params.text("continue")? {
        let from = Continued::parse(&text)?;
        if revision.is_some_and(|asked| asked != from.revision) {
            return Err(Problem::parameter(
                "continue goes on at the revision of the page before: leave revision out",
            ));
        }
        (revision, span) = (Some(from.revision), from.rest_of(span, descending)?);
    }
    let range = Range {
        revision: revision.unwrap_or(0),
        limit: params.number("limit")?.unwrap_or(0),
        descending,
        content: if keys_only { Content::KeysOnly } else { Content::Full },
        count: params.flag("count")?,
        page_bytes: PAGE_BYTES,
        ..Range::of(span)
    };
    call.finish()?;
    let (page, seen) = call.range(&range, fresh).await?;
    let last = page.entries.last().filter(|_| page.more);
    let continuation =
        last.map(|last| Continued { revision: page.revision, last: last.key.clone() }.to_string());
    let listed = Listed {
        entries: page.entries.iter().map(|entry| Entry::new(entry, !keys_only)).collect(),
        count: page.count,
        more: page.more,
        continuation,
        revision: page.revision,
        position: seen.position.to_string(),
    };
    Ok(seen.on(respond::ok(&listed)))
}

/// A version of a key.
#[derive(Serialize)]
struct Version<'a> {
    revision: u64,
    version: u64,
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Blob<'a>>,
    time: String,
    stamp: String,
    actor: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct Versions<'a> {
    key: Blob<'a>,
    versions: Vec<Version<'a>>,
    /// Older ones: ask again with `before` and the last revision of these.
    more: bool,
    oldest: u64,
    position: String,
}

/// `GET /v1/history/{key}`.
pub(super) async fn history(mut call: Call) -> Handled {
    let (key, fresh) = (tail(&call.path, "/v1/history/"), call.fresh()?);
    let before = call.params.number("before")?.unwrap_or(0);
    let limit = call.params.number("limit")?.unwrap_or(0);
    call.finish()?;
    let query = Query::History { key: key.clone(), before, limit };
    let (answer, seen) = call.query(&query, fresh).await?;
    let Answer::History { oldest, versions, more } = answer else { return Err(unreadable()) };
    if versions.is_empty() {
        return Err(Problem::of(Refusal::KeyNotFound)
            .because(format!("nothing is known of this key; history is kept from revision {oldest} on"))
            .with(POSITION, seen.position.to_string()));
    }
    let shown = versions.iter().map(|version| Version {
        revision: version.entry.mod_revision,
        version: version.entry.version,
        deleted: version.deleted,
        value: (!version.deleted).then_some(Blob(&version.entry.value)),
        time: json::time(version.entry.stamp),
        stamp: Stamp::from_bits(version.entry.stamp).to_string(),
        actor: version.actor.name(),
        reason: &version.reason,
    });
    let versions = Versions {
        key: Blob(&key),
        versions: shown.collect(),
        more,
        oldest,
        position: seen.position.to_string(),
    };
    Ok(seen.on(respond::ok(&versions)))
}

//! Who changed what, when and why: the records of the node that is asked.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use bytes::Bytes;
use holdfast_command::Actor;
use holdfast_command::audit::AuditRecord;
use holdfast_command::query::{Answer, AuditQuery, MissingReason, Query};
use holdfast_hlc::Stamp;
use holdfast_machine::Numbered as _;
use serde::Serialize;

use super::ask::{Call, Handled, unreadable};
use super::problem::Problem;
use super::respond;
use crate::json::{self, ShownTouched};
use crate::moment;

/// Records in an answer, if the caller does not say.
const RECORDS: u32 = 100;

#[derive(Serialize)]
struct Shown<'a> {
    time: String,
    stamp: String,
    index: u64,
    term: u64,
    clock_ms: u64,
    revision: u64,
    actor_kind: &'static str,
    actor: &'a str,
    address: Option<SocketAddr>,
    command: &'static str,
    reply: &'static str,
    reason: &'a str,
    /// How many there are; the first of them are listed.
    touched_count: u64,
    touched: Vec<ShownTouched<'a>>,
}

impl<'a> From<&'a AuditRecord> for Shown<'a> {
    fn from(record: &'a AuditRecord) -> Self {
        Self {
            time: json::time(record.stamp),
            stamp: Stamp::from_bits(record.stamp).to_string(),
            index: record.index,
            term: record.term,
            clock_ms: record.clock,
            revision: record.revision,
            actor_kind: match record.actor {
                Actor::Anonymous => "anonymous",
                Actor::Named(_) => "named",
                Actor::Cluster => "cluster",
            },
            actor: record.actor.name(),
            address: record.address.map(|(address, port)| SocketAddr::new(address, port)),
            command: record.command.name(),
            reply: record.reply.name(),
            reason: &record.reason,
            touched_count: record.count,
            touched: record.touched.iter().map(ShownTouched::from).collect(),
        }
    }
}

/// Records that are not there.
#[derive(Serialize)]
struct Missing {
    first: u64,
    last: u64,
    why: &'static str,
}

#[derive(Serialize)]
struct Page<'a> {
    records: Vec<Shown<'a>>,
    /// From this index on nothing is missing, but for what is listed.
    complete_from: u64,
    /// Up to this index.
    through: u64,
    missing: Vec<Missing>,
    /// More come: ask again with `from` and this.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// The lowest and the highest stamp of a time as people write it.
fn stamps(call: &mut Call, name: &'static str) -> Result<Option<RangeInclusive<u64>>, Problem> {
    let Some(text) = call.params.text(name)? else { return Ok(None) };
    moment::stamps(&text).map(Some).map_err(|why| Problem::parameter(format!("{name}={text:?}: {why}")))
}

/// `GET /v1/audit`.
pub(super) async fn audit(mut call: Call) -> Handled {
    let fresh = call.fresh()?;
    let (since, until) = (stamps(&mut call, "since")?, stamps(&mut call, "until")?);
    let params = &mut call.params;
    let query = AuditQuery {
        from: params.number("from")?.unwrap_or(0),
        since: since.map_or(0, |since| *since.start()),
        until: until.map_or(0, |until| *until.end()),
        limit: params.number("limit")?.unwrap_or(RECORDS),
        prefix: params.bytes("prefix").unwrap_or_default(),
        actor: params.text("actor")?.map(Into::into),
    };
    call.finish()?;
    let (answer, seen) = call.query(&Query::Audit(query), fresh).await?;
    let Answer::Audit(page) = answer else { return Err(unreadable()) };
    let decode = |bytes: &Bytes| AuditRecord::decode(bytes.clone()).map_err(|_| unreadable());
    let records: Vec<AuditRecord> = page.records.iter().map(decode).collect::<Result<_, _>>()?;
    let missing = page.missing.iter().map(|missing| Missing {
        first: missing.first,
        last: missing.last,
        why: match missing.why {
            MissingReason::Passed => "the node was given the state behind them",
            MissingReason::Lost => "a file that held them is damaged or gone",
        },
    });
    Ok(seen.on(respond::ok(&Page {
        records: records.iter().map(Shown::from).collect(),
        complete_from: page.complete_from,
        through: page.through,
        missing: missing.collect(),
        next: (page.next > 0).then_some(page.next),
    })))
}

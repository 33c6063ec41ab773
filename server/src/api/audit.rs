//! Who changed what, when and why: the records of the node that is asked.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use holdfast_command::Actor;
use holdfast_command::audit::AuditRecord;
use holdfast_command::query::{Answer, AuditQuery, MissingReason, Query};
use holdfast_hlc::{Stamp, UnixMillis};
use holdfast_machine::Numbered as _;
use serde::Serialize;

use super::ask::{Call, Handled, unreadable};
use super::problem::Problem;
use super::respond;
use crate::json::{self, ShownTouched};

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

/// A time of day, or how long ago: the lowest and the highest stamp of it.
fn stamps(name: &'static str, text: &str) -> Result<(u64, u64), Problem> {
    let wrong = || {
        let why = format!("{name}={text:?}: expected a time as 2026-11-21T01:20:00Z, or how long ago, as 2h");
        Problem::parameter(why)
    };
    let moment = match humantime::parse_duration(text) {
        Ok(ago) => SystemTime::now().checked_sub(ago),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    let moment = moment.ok_or_else(wrong)?.max(SystemTime::UNIX_EPOCH);
    let millis = |moment| UnixMillis::try_from(moment).map_err(|_| wrong());
    // A second is named as a whole, unless there is a fraction.
    let last = if text.contains('.') { moment } else { moment + Duration::from_millis(999) };
    Ok((Stamp::new(millis(moment)?, 0).to_bits(), Stamp::new(millis(last)?, u16::MAX).to_bits()))
}

/// `GET /v1/audit`.
pub(super) async fn audit(mut call: Call) -> Handled {
    let fresh = call.fresh()?;
    let params = &mut call.params;
    let since = params.text("since")?.map(|text| stamps("since", &text)).transpose()?;
    let until = params.text("until")?.map(|text| stamps("until", &text)).transpose()?;
    let query = AuditQuery {
        from: params.number("from")?.unwrap_or(0),
        since: since.map_or(0, |(first, _)| first),
        until: until.map_or(0, |(_, last)| last),
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

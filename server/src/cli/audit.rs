//! `audit`: who changed what, when and why.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use clap::Args;
use holdfast_client::{Client, ReadOptions};
use holdfast_command::audit::{Touched, TouchedKind};
use holdfast_command::query::{AuditPage, AuditQuery, MissingReason};
use holdfast_command::{Actor, AuditRecord};
use holdfast_hlc::{Stamp, UnixMillis};
use holdfast_machine::Numbered as _;
use serde::Serialize;

use super::ask::{Failed, Target, say, shown};

#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(flatten)]
    target: Target,
    /// Only what touched a key, a lock or an election whose name begins with this
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Only what was done in this name; the empty name for what was done in none
    #[arg(long)]
    actor: Option<String>,
    /// Only from this time on: 2026-11-21T01:20:00Z, 2026-11-21, or so long ago, as 90s, 15m, 2h or 7d
    #[arg(long, value_parser = begin, value_name = "TIME")]
    since: Option<u64>,
    /// Only up to the end of this second, millisecond or day
    #[arg(long, value_parser = end, value_name = "TIME")]
    until: Option<u64>,
    /// Only from this log index on
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    from: u64,
    /// At most so many records
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Ask this node and no other, whether it knows a leader or not
    #[arg(long, value_name = "HOST:PORT")]
    node: Option<String>,
    /// One JSON object per record
    #[arg(long)]
    json: bool,
}

/// The lowest stamp of a time as people write it.
fn begin(text: &str) -> Result<u64, String> {
    Ok(*time(text)?.start())
}

/// The highest one: a record is shown to the millisecond, and what is copied from there is to find it.
fn end(text: &str) -> Result<u64, String> {
    Ok(*time(text)?.end())
}

/// A time as people write it, as the bits of the stamps in it.
fn time(text: &str) -> Result<RangeInclusive<u64>, String> {
    if let Some(ago) = ago(text) {
        let then = SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
        let millis =
            UnixMillis::try_from(then.max(SystemTime::UNIX_EPOCH)).map_err(|error| error.to_string())?;
        return Ok(Stamp::new(millis, 0).to_bits()..=Stamp::new(millis, u16::MAX).to_bits());
    }
    // Whatever is left out is anything.
    let (first, last) = match text.strip_suffix('Z') {
        Some(moment) if moment.contains('.') => (format!("{text}-00000"), format!("{text}-65535")),
        Some(moment) => (format!("{moment}.000Z-00000"), format!("{moment}.999Z-65535")),
        None if text.contains('T') => (text.to_owned(), text.to_owned()),
        None => (format!("{text}T00:00:00.000Z-00000"), format!("{text}T23:59:59.999Z-65535")),
    };
    let stamp = |text: &str| text.parse().map(Stamp::to_bits);
    let range = stamp(&first).and_then(|first| Ok(first..=stamp(&last)?));
    range.map_err(|_| {
        "write it as 2026-11-21T01:20:00Z, 2026-11-21, or so long ago as 90s, 15m, 2h or 7d".to_owned()
    })
}

/// How long ago, if it is written so.
fn ago(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    Some(Duration::from_secs(count.checked_mul(seconds)?))
}

impl Audit {
    /// Oldest first. What is missing of what was asked for is said on standard error.
    pub(super) fn run(self) -> ExitCode {
        self.target.run(async |client| {
            if !self.json {
                say("time\tindex\tterm\trevision\tactor\tcommand\ttouched\treply\treason")?;
            }
            let mut query = AuditQuery {
                from: self.from,
                since: self.since.unwrap_or(0),
                until: self.until.unwrap_or(0),
                limit: self.limit,
                prefix: Bytes::from(self.prefix.clone()),
                actor: self.actor.clone().map(Into::into),
            };
            // Each page may come from another node, which may know less.
            let mut complete_from = 0;
            loop {
                let page = self.page(client, query.clone()).await?;
                complete_from = page.complete_from.max(complete_from);
                for missing in &page.missing {
                    let why = match missing.why {
                        MissingReason::Passed => "the node was given the state behind them",
                        MissingReason::Lost => "a file that held them is damaged or gone",
                    };
                    eprintln!("holdfast: records {} to {} are not here: {why}", missing.first, missing.last);
                }
                for bytes in &page.records {
                    match AuditRecord::decode(bytes.clone()) {
                        Ok(record) if self.json => say(json(&record)?)?,
                        Ok(record) => say(line(&record))?,
                        Err(error) => eprintln!("holdfast: a record that this build cannot read: {error}"),
                    }
                }
                query.limit -= u32::try_from(page.records.len()).unwrap_or(u32::MAX).min(query.limit);
                if page.next == 0 || query.limit == 0 {
                    self.end(&AuditPage { complete_from, ..page });
                    return Ok(());
                }
                query.from = page.next;
            }
        })
    }

    async fn page(&self, client: &Client, query: AuditQuery) -> Result<AuditPage, Failed> {
        Ok(match &self.node {
            Some(node) => client.audit_at(node, query).await?,
            None => client.audit(query, ReadOptions::default()).await?,
        })
    }

    /// How far what was printed can be relied on.
    fn end(&self, page: &AuditPage) {
        let mut through = page.through;
        if page.next > 0 {
            through = page.next - 1;
            eprintln!("holdfast: more: --from {}", page.next);
        }
        // A time may lie before what is known as well as an index.
        let earlier = self.from < page.complete_from && page.complete_from > 1;
        if earlier {
            eprintln!("holdfast: what was asked for may begin before index {}", page.complete_from);
        }
        eprintln!("complete from index {} through {}", page.complete_from, through);
    }
}

/// Who: a name, the cluster, or nobody known, and from where.
fn who(record: &AuditRecord) -> String {
    let name = match &record.actor {
        Actor::Named(name) => shown(name.as_bytes()),
        Actor::Cluster => "(cluster)".to_owned(),
        Actor::Anonymous => "-".to_owned(),
    };
    match record.address {
        Some((address, port)) => format!("{name}@{}", SocketAddr::new(address, port)),
        None => name,
    }
}

/// The name of what was touched, for people.
fn name(touched: &Touched) -> String {
    let number = || touched.name.first_chunk::<8>().copied().map(u64::from_le_bytes);
    match touched.kind {
        TouchedKind::Key
        | TouchedKind::Namespace
        | TouchedKind::Lock
        | TouchedKind::Election
        | TouchedKind::History => shown(&touched.name),
        TouchedKind::Setting | TouchedKind::Level | TouchedKind::Session | TouchedKind::Lease => {
            number().map_or_else(|| shown(&touched.name), |number| number.to_string())
        }
    }
}

/// A kind in small letters.
fn kind(kind: TouchedKind) -> String {
    kind.name().to_lowercase()
}

/// What was touched: keys as they are, everything else behind its kind; with what it was before.
fn touches(record: &AuditRecord) -> String {
    let mut text = String::new();
    for touched in &record.touched {
        let gone = if touched.gone { "-" } else { "" };
        let space = if text.is_empty() { "" } else { " " };
        let _ = match touched.kind {
            TouchedKind::Key => write!(text, "{space}{gone}{}({})", name(touched), touched.before),
            TouchedKind::Namespace
            | TouchedKind::Setting
            | TouchedKind::Level
            | TouchedKind::Session
            | TouchedKind::Lease
            | TouchedKind::Lock
            | TouchedKind::Election
            | TouchedKind::History => {
                write!(text, "{space}{gone}{}:{}({})", kind(touched.kind), name(touched), touched.before)
            }
        };
    }
    let unlisted = record.count.saturating_sub(record.touched.len() as u64);
    if unlisted > 0 {
        let _ = write!(text, " and {unlisted} more");
    }
    text
}

/// A time as RFC 3339 has it.
fn moment(stamp: u64) -> String {
    let text = Stamp::from_bits(stamp).to_string();
    text.rsplit_once('-').map_or(text.clone(), |(moment, _)| moment.to_owned())
}

fn line(record: &AuditRecord) -> String {
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
        moment(record.stamp),
        record.index,
        record.term,
        record.revision,
        who(record),
        record.command.name(),
        touches(record),
        record.reply.name(),
        shown(record.reason.as_bytes()),
    )
}

/// A record as JSON.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    /// RFC 3339, of the stamp.
    time: String,
    stamp: u64,
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
    touched: Vec<ShownTouched>,
}

/// One thing that was touched.
#[derive(Debug, Serialize)]
struct ShownTouched {
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Instead, if it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    before: u64,
    gone: bool,
}

impl From<&Touched> for ShownTouched {
    fn from(touched: &Touched) -> Self {
        let name = match touched.kind {
            TouchedKind::Setting | TouchedKind::Level | TouchedKind::Session | TouchedKind::Lease => {
                Some(name(touched))
            }
            TouchedKind::Key
            | TouchedKind::Namespace
            | TouchedKind::Lock
            | TouchedKind::Election
            | TouchedKind::History => std::str::from_utf8(&touched.name).ok().map(str::to_owned),
        };
        let hexadecimal = || touched.name.iter().map(|byte| format!("{byte:02x}")).collect();
        let name_hex = name.is_none().then(hexadecimal);
        Self { kind: kind(touched.kind), name, name_hex, before: touched.before, gone: touched.gone }
    }
}

fn json(record: &AuditRecord) -> Result<String, Failed> {
    let shown = Shown {
        time: moment(record.stamp),
        stamp: record.stamp,
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
    };
    serde_json::to_string(&shown).map_err(|error| Failed::Io(error.into()))
}

#[cfg(test)]
mod tests {
    use super::{begin, end, time};
    use holdfast_hlc::Stamp;

    #[test]
    fn a_time_is_a_day_a_moment_a_stamp_or_a_while_ago_and_nothing_else() {
        let shown = |text: &str| Stamp::from_bits(begin(text).expect(text)).to_string();
        assert_eq!(shown("2026-11-21"), "2026-11-21T00:00:00.000Z-00000");
        assert_eq!(shown("2026-11-21T01:20:00Z"), "2026-11-21T01:20:00.000Z-00000");
        assert_eq!(shown("2026-11-21T01:20:00.123Z"), "2026-11-21T01:20:00.123Z-00000");
        assert_eq!(shown("2026-11-21T01:20:00.123Z-00042"), "2026-11-21T01:20:00.123Z-00042");
        let last = |text: &str| Stamp::from_bits(end(text).expect(text)).to_string();
        assert_eq!(last("2026-11-21"), "2026-11-21T23:59:59.999Z-65535");
        assert_eq!(last("2026-11-21T01:20:00Z"), "2026-11-21T01:20:00.999Z-65535");
        assert_eq!(last("2026-11-21T01:20:00.123Z"), "2026-11-21T01:20:00.123Z-65535");
        assert_eq!(last("2026-11-21T01:20:00.123Z-00042"), "2026-11-21T01:20:00.123Z-00042");
        assert_eq!(shown("99999999999d"), "1970-01-01T00:00:00.000Z-00000");
        let (minute, day) = (begin("1m").expect("a while"), begin("1d").expect("a while"));
        let apart = Stamp::from_bits(minute).millis().get() - Stamp::from_bits(day).millis().get();
        assert!((86_330_000..86_341_000).contains(&apart), "{apart}");
        for text in ["", "d", "yesterday", "-1h", "1w", "2026-11-21T01:20", "2026-13-01", "é", "5é"] {
            assert!(time(text).is_err(), "{text:?}");
        }
    }
}

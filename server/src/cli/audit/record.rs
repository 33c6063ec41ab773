//! One record of the audit log, for people and for programs.

use std::fmt::Write as _;
use std::net::SocketAddr;

use holdfast_command::audit::{Touched, TouchedKind};
use holdfast_command::{Actor, AuditRecord};
use holdfast_hlc::Stamp;
use holdfast_machine::Numbered as _;

use crate::cli::failed::Failed;
use crate::cli::out::{Cell, Column, shown};
use crate::json::{self, ShownTouched, touched_number};

pub(super) const COLUMNS: [Column; 14] = [
    Column::of("time"),
    Column::of("index"),
    Column::of("term"),
    Column::of("revision"),
    Column::of("actor"),
    Column::of("command"),
    Column::value("touched"),
    Column::of("reply"),
    Column::of("reason"),
    Column::json("stamp"),
    Column::json("clock_ms"),
    Column::json("actor_kind"),
    Column::json("address"),
    Column::json("touched_count"),
];

/// A record as the cells of [`COLUMNS`].
pub(super) fn cells(record: &AuditRecord) -> Result<[Cell; 14], Failed> {
    let touched: Vec<ShownTouched> = record.touched.iter().map(ShownTouched::from).collect();
    let touched = serde_json::to_string(&touched).map_err(|error| Failed::Output(error.into()))?;
    let actor_kind = match record.actor {
        Actor::Anonymous => "anonymous",
        Actor::Named(_) => "named",
        Actor::Cluster => "cluster",
    };
    Ok([
        Cell::Text(json::time(record.stamp)),
        record.index.into(),
        record.term.into(),
        record.revision.into(),
        Cell::from(record.actor.name()).shown_as(who(record)),
        record.command.name().into(),
        Cell::Parts(touches(record), touched),
        record.reply.name().into(),
        bytes::Bytes::from(record.reason.to_string()).into(),
        Cell::text(Stamp::from_bits(record.stamp)),
        record.clock.into(),
        actor_kind.into(),
        record.address.map_or(Cell::Nothing, |(address, port)| Cell::text(SocketAddr::new(address, port))),
        record.count.into(),
    ])
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
    touched_number(touched).map_or_else(|| shown(&touched.name), |number| number.to_string())
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

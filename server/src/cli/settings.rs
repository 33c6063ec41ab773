//! `namespace`, `settings`, `session` and `compact`: what holds for the whole cluster.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use holdfast_command::keys::Compact as CompactTo;
use holdfast_command::namespaces::{DeleteNamespace, Rules, SetNamespace};
use holdfast_command::sessions::{CloseSession, OpenSession};
use holdfast_command::settings::{ChangeSettings, Unit};
use holdfast_command::{Command, Reply, Request, SessionId, Setting};
use holdfast_machine::Numbered as _;

use super::ask::Target;
use super::exit::Exit;
use super::failed::Failed;
use super::given::duration;
use super::out::{Cell, Column, Shape};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast namespace set team/app/ --quota-keys 10000 --quota-bytes 64MiB --owner alice
  holdfast namespace del team/app/ --reason 'moved'")]
pub(super) struct Namespace {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: OfNamespace,
}

#[derive(Debug, Subcommand)]
enum OfNamespace {
    /// Create a namespace, or replace all of its rules
    Set(SetIt),
    /// Remove a namespace; its keys stay
    Del {
        /// Its name, which ends in a slash
        name: String,
        /// Why, for whoever reads the audit log later
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
}

#[derive(Debug, Args)]
struct SetIt {
    /// Its name, the prefix of its keys; ends in a slash
    name: String,
    /// At most so many keys; 0 for no limit
    #[arg(long, default_value_t = 0)]
    quota_keys: u64,
    /// At most so many bytes of keys and values: 1000, 64KiB, 2MiB; 0 for no limit
    #[arg(long, default_value = "0", value_parser = bytes)]
    quota_bytes: u64,
    /// No value is longer than this; 0 for the limit that holds for all
    #[arg(long, default_value = "0", value_parser = bytes)]
    value_bytes: u64,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Who is to be asked about it; may be given several times
    #[arg(long)]
    owner: Vec<String>,
    /// Why, for whoever reads the audit log later
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

/// `1000`, `64KiB`, `2MiB`, `1GiB`.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("its unit is none of B, KiB, MiB, GiB".to_owned()),
    };
    let count: u64 = digits.parse().map_err(|_| "write it as 1000, 64KiB or 2MiB".to_owned())?;
    count.checked_mul(unit).ok_or_else(|| "more bytes than there can be".to_owned())
}

impl Namespace {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, what } = self;
        let (command, reason, did) = match what {
            OfNamespace::Set(SetIt {
                name,
                quota_keys,
                quota_bytes,
                value_bytes,
                description,
                owner,
                reason,
            }) => {
                let owners = owner.into_iter().map(Into::into).collect();
                let rules =
                    Rules { quota_keys, quota_bytes, value_bytes, description: description.into(), owners };
                (Command::SetNamespace(SetNamespace { name: name.into(), rules }), reason, "set")
            }
            OfNamespace::Del { name, reason } => {
                (Command::DeleteNamespace(DeleteNamespace { name: name.into() }), reason, "deleted")
            }
        };
        submit(&target, command, reason, did)
    }
}

/// Executes what has nothing to answer but that it is done.
fn submit(target: &Target, command: Command, reason: String, did: &str) -> ExitCode {
    target.run(async |client, out| {
        let request = Request { reason: reason.into(), ..command.into() };
        let (_, position) = client.submit(request).await?;
        out.record(
            format_args!("{did} position {position}"),
            &[("position", Cell::text(position))],
            "position",
        )
    })
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast settings ls
  holdfast settings set HistoryAge=7d ValueBytes=2MiB --reason 'longer history'")]
pub(super) struct Settings {
    #[command(subcommand)]
    what: OfSettings,
}

#[derive(Debug, Subcommand)]
enum OfSettings {
    /// Say which settings there are, what they are in a new cluster and between which bounds; asks no cluster
    Ls {
        #[command(flatten)]
        shape: Shape,
    },
    /// Set some of them, all or none
    Set {
        /// Which, and what to: a number, or one with a unit of bytes or of time
        #[arg(required = true, value_name = "NAME=VALUE", value_parser = change)]
        changes: Vec<(Setting, u64)>,
        /// Why, for whoever reads the audit log later
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        target: Target,
    },
}

/// `HistoryAge=7d`.
fn change(text: &str) -> Result<(Setting, u64), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    let setting = Setting::ALL.iter().copied().find(|setting| setting.name().eq_ignore_ascii_case(name));
    let setting = setting.ok_or_else(|| {
        let alike = Setting::ALL.iter().map(|other| (strsim::jaro_winkler(other.name(), name), other.name()));
        let guess = alike.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(alike, _)| *alike > 0.7);
        let guess = guess.map_or(String::new(), |(_, name)| format!("; did you mean {name}?"));
        format!("there is no setting {name:?}{guess} `holdfast settings ls` lists them")
    })?;
    let scope = setting.scope();
    let value = match scope.unit {
        Unit::Bytes => bytes(value)?,
        Unit::Count => value.parse().map_err(|_| "a number is wanted".to_owned())?,
        // A plain number is what the setting counts.
        Unit::Milliseconds => match value.parse() {
            Ok(millis) => millis,
            Err(_) => u64::try_from(duration(value)?.as_millis()).unwrap_or(u64::MAX),
        },
    };
    match (scope.min..=scope.max).contains(&value) {
        true => Ok((setting, value)),
        false => Err(format!("{} lies between {} and {}", setting.name(), scope.min, scope.max)),
    }
}

const COLUMNS: [Column; 6] = [
    Column::value("name"),
    Column::of("unit"),
    Column::of("default"),
    Column::of("min"),
    Column::of("max"),
    Column::json("what"),
];

impl Settings {
    pub(super) fn run(self) -> ExitCode {
        match self.what {
            OfSettings::Set { changes, reason, target } => {
                let changes = changes.iter().map(|(setting, value)| (setting.number(), *value)).collect();
                submit(&target, Command::ChangeSettings(ChangeSettings { changes }), reason, "set")
            }
            OfSettings::Ls { shape } => match list(&shape) {
                Ok(()) => Exit::Done.into(),
                Err(failed) => failed.report(shape.paint(), &[], None),
            },
        }
    }
}

fn list(shape: &Shape) -> Result<(), Failed> {
    let mut rows = shape.out().rows(&COLUMNS);
    // Bounds may be above 2^53: nobody calculates with them.
    let bound = |bound: u64| if bound == u64::MAX { Cell::Nothing } else { bound.into() };
    for setting in Setting::ALL {
        let scope = setting.scope();
        let unit = match scope.unit {
            Unit::Bytes => "bytes",
            Unit::Milliseconds => "ms",
            Unit::Count => "count",
        };
        let what = setting.caption().split_whitespace().collect::<Vec<_>>().join(" ");
        rows.push(&[
            setting.name().into(),
            unit.into(),
            scope.default.into(),
            scope.min.into(),
            bound(scope.max),
            what.as_str().into(),
        ])?;
    }
    rows.end(&[])
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast session open 60s
  holdfast session close 17")]
pub(super) struct Session {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: OfSession,
}

#[derive(Debug, Subcommand)]
enum OfSession {
    /// Open a session and print its number: for programs that speak the wire format themselves
    Open {
        /// How long it lives after each sign of its client: 30s, 5m; a plain number is seconds
        #[arg(value_parser = duration)]
        ttl: Duration,
    },
    /// End a session before its time; none of its requests is executed any more
    Close {
        /// Its number
        id: u64,
    },
}

impl Session {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, what } = self;
        match what {
            OfSession::Open { ttl } => target.run(async |client, out| {
                let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                let (reply, position) = client.submit(Command::OpenSession(OpenSession { ttl_ms })).await?;
                let Reply::SessionOpened { session } = reply else {
                    return Err(Failed::strange("opening a session"));
                };
                let fields = [("session", Cell::text(session.0)), ("position", Cell::text(position))];
                out.record(session.0, &fields, "session")
            }),
            OfSession::Close { id } => {
                let close = Command::CloseSession(CloseSession { session: SessionId(id) });
                submit(&target, close, String::new(), "closed")
            }
        }
    }
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast compact 17 --reason 'history takes too much memory'")]
pub(super) struct Compact {
    /// The oldest revision that stays readable
    revision: u64,
    /// Why, for whoever reads the audit log later
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    target: Target,
}

impl Compact {
    pub(super) fn run(self) -> ExitCode {
        let Self { revision, reason, target } = self;
        target.run(async |client, out| {
            let command = Command::Compact(CompactTo { revision });
            let (reply, position) =
                client.submit(Request { reason: reason.into(), ..command.into() }).await?;
            let Reply::Compacted { oldest } = reply else { return Err(Failed::strange("a compaction")) };
            let fields = [("oldest", oldest.into()), ("position", Cell::text(position))];
            out.record(
                format_args!("compacted, the oldest is {oldest} position {position}"),
                &fields,
                "oldest",
            )
        })
    }
}

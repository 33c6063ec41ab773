//! `settings` and `compact`: what holds for the whole cluster.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use holdfast_client::{Client, ReadOptions};
use holdfast_command::keys::Compact as CompactTo;
use holdfast_command::query::{Answer, Holding, Query};
use holdfast_command::settings::{ChangeSettings, Unit};
use holdfast_command::{Command, Reply, Request, Setting};
use holdfast_machine::Numbered as _;

use super::ask::Target;
use super::failed::Failed;
use super::given::duration;
use super::out::{Cell, Column};

/// `1000`, `64KiB`, `2MiB`, `1GiB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
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

/// Executes what has nothing to answer but that it is done.
pub(super) fn submit(target: &Target, command: Command, reason: String, did: &str) -> ExitCode {
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
  holdfast settings get HistoryAge
  holdfast settings set HistoryAge=7d ValueBytes=2MiB --reason 'longer history'")]
pub(super) struct Settings {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: OfSettings,
}

#[derive(Debug, Subcommand)]
enum OfSettings {
    /// Say what each is set to, what it is in a new cluster and between which bounds; and how much is held outside of all
    /// namespaces
    Ls,
    /// Say what one is set to
    Get {
        /// Which
        #[arg(value_parser = setting)]
        name: Setting,
    },
    /// Set some of them, all or none
    Set {
        /// Which, and what to: a number, or one with a unit of bytes or of time
        #[arg(required = true, value_name = "NAME=VALUE", value_parser = change)]
        changes: Vec<(Setting, u64)>,
        /// Why, for whoever reads the audit log later
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
}

/// The setting of this name.
fn setting(name: &str) -> Result<Setting, String> {
    let setting = Setting::ALL.iter().copied().find(|setting| setting.name().eq_ignore_ascii_case(name));
    setting.ok_or_else(|| {
        let alike = Setting::ALL.iter().map(|other| (strsim::jaro_winkler(other.name(), name), other.name()));
        let guess = alike.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(alike, _)| *alike > 0.7);
        let guess = guess.map_or(String::new(), |(_, name)| format!("; did you mean {name}?"));
        format!("there is no setting {name:?}{guess} `holdfast settings ls` lists them")
    })
}

/// `HistoryAge=7d`.
fn change(text: &str) -> Result<(Setting, u64), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    let setting = setting(name)?;
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

const COLUMNS: [Column; 7] = [
    Column::of("name"),
    Column::value("value"),
    Column::of("unit"),
    Column::of("default"),
    Column::of("min"),
    Column::of("max"),
    Column::json("what"),
];

impl Settings {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, what } = self;
        match what {
            OfSettings::Set { changes, reason } => {
                let changes = changes.iter().map(|(setting, value)| (setting.number(), *value)).collect();
                submit(&target, Command::ChangeSettings(ChangeSettings { changes }), reason, "set")
            }
            OfSettings::Ls => target.run(async |client, out| {
                let (outside, values) = current(client).await?;
                let mut rows = out.rows(&COLUMNS).member("settings");
                for setting in Setting::ALL {
                    rows.push(&cells(*setting, values.get(&setting.number()).copied()))?;
                }
                let Holding { keys, bytes } = outside;
                rows.end(&[("outside_keys", keys.into()), ("outside_bytes", bytes.into())])?;
                eprintln!("outside of all namespaces: {keys} keys, {bytes} bytes");
                Ok(())
            }),
            OfSettings::Get { name } => target.run(async |client, out| {
                let (_, values) = current(client).await?;
                let value = values.get(&name.number()).copied().ok_or(Failed::NotThere)?;
                let fields: Vec<_> =
                    COLUMNS.iter().map(|column| column.name).zip(cells(name, Some(value))).collect();
                out.record(value, &fields, "value")
            }),
        }
    }
}

/// What is held outside of all namespaces, and what each setting is set to, by its number.
async fn current(client: &Client) -> Result<(Holding, BTreeMap<u16, u64>), Failed> {
    let (answer, _) = client.query(Query::Settings, ReadOptions::default()).await?;
    let Answer::Settings { outside, settings } = answer else {
        return Err(Failed::strange("a question for settings"));
    };
    Ok((outside, settings.into_iter().collect()))
}

/// A setting; a node of an earlier version does not know each of them.
fn cells(setting: Setting, value: Option<u64>) -> [Cell; 7] {
    let scope = setting.scope();
    // Above 2^53 there is no limit, and nobody calculates with it.
    let bound = |bound: u64| if bound >= 1 << 53 { Cell::Nothing } else { bound.into() };
    let unit = match scope.unit {
        Unit::Bytes => "bytes",
        Unit::Milliseconds => "ms",
        Unit::Count => "count",
    };
    let what = setting.caption().split_whitespace().collect::<Vec<_>>().join(" ");
    [
        setting.name().into(),
        value.map_or(Cell::Nothing, bound),
        unit.into(),
        scope.default.into(),
        scope.min.into(),
        bound(scope.max),
        what.as_str().into(),
    ]
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

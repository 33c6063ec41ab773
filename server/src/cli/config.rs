//! `config show` and `config check`: what a node would be started with, and who says so; without starting it.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::exit::Exit;
use super::failed::Failed;
use super::out::say;
use super::paint::{Color, Paint};
use super::serve::refuse;
use crate::config::{self, ConfigError, Flags, OPTIONS, Setting, flag};

/// See the module documentation.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast config show --origin --config /etc/holdfast.toml --config-dir /etc/holdfast.d
  holdfast config check --config /etc/holdfast.toml")]
pub(super) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print every effective value; takes the flags of `server`
    Show(Show),
    /// Check everything that can be checked without starting; takes the flags of `server`. Exits with 2 if `server` would
    /// refuse to start
    Check(Check),
}

#[derive(Debug, Args)]
struct Show {
    /// Also print who says so: default, FILE:LINE, a variable of the environment, or a flag
    #[arg(long)]
    origin: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    flags: Flags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Key, value and origin, with a tab between
    Table,
    /// One document
    Json,
    /// A file that `--config` reads
    Toml,
}

impl Config {
    /// Exits with 0, or with 2 if something is wrong.
    pub(super) fn run(self) -> ExitCode {
        match self.command {
            Command::Show(show) => show.run(),
            Command::Check(Check { flags }) => check(flags),
        }
    }
}

fn load(flags: Flags) -> Result<config::Config, Vec<ConfigError>> {
    config::load(&flags.sources(&super::command()), std::env::vars_os())
}

/// Standard error, so that what is shown can be piped.
fn warn(config: &config::Config) {
    for warning in &config.warnings {
        eprintln!("holdfast: warning: {warning}");
    }
}

fn check(flags: Flags) -> ExitCode {
    let checked = load(flags).and_then(|config| {
        warn(&config);
        config.options()?;
        config.check_places().map_err(|error| vec![error])?;
        Ok(config)
    });
    let config = match checked {
        Ok(config) => config,
        Err(wrong) => return refuse(&wrong),
    };
    let exposed = config.exposed();
    for (key, address) in &exposed {
        eprintln!(
            "holdfast: warning: {key} {address} can be reached from other machines, and nothing is encrypted"
        );
    }
    let drills = config.drills();
    for drill in &drills {
        eprintln!("holdfast: warning: a drill is on: {drill}");
    }
    printed(say(match config.warnings.len() + exposed.len() + drills.len() {
        0 => "the configuration is fine".to_owned(),
        1 => "the configuration is fine, with a warning".to_owned(),
        count => format!("the configuration is fine, with {count} warnings"),
    }))
}

/// How what only prints ends.
fn printed(said: Result<(), Failed>) -> ExitCode {
    match said {
        Ok(()) => Exit::Done.into(),
        Err(failed) => failed.report(Paint::new(Color::Auto), &[], None),
    }
}

impl Show {
    fn run(self) -> ExitCode {
        let config = match load(self.flags) {
            Ok(config) => config,
            Err(wrong) => return refuse(&wrong),
        };
        warn(&config);
        printed(match self.output {
            Form::Table => table(&config, self.origin),
            Form::Json => json(&config, self.origin),
            Form::Toml => toml(&config, self.origin),
        })
    }
}

/// Each option and what it is set to.
fn settings(config: &config::Config) -> impl Iterator<Item = (&'static str, Option<&Setting>)> {
    OPTIONS.iter().map(|option| (option.key, config.get(option.key)))
}

fn table(config: &config::Config, origin: bool) -> Result<(), Failed> {
    say(if origin { "key\tvalue\torigin" } else { "key\tvalue" })?;
    for (key, setting) in settings(config) {
        let value = setting.map_or_else(|| "-".to_owned(), |setting| setting.value.to_string());
        let from = setting.map_or_else(|| "default".to_owned(), |setting| setting.origin.to_string());
        say(if origin { format!("{key}\t{value}\t{from}") } else { format!("{key}\t{value}") })?;
    }
    Ok(())
}

fn json(config: &config::Config, origin: bool) -> Result<(), Failed> {
    let document: serde_json::Map<String, serde_json::Value> = settings(config)
        .map(|(key, setting)| {
            let value = setting.map_or(serde_json::Value::Null, |setting| setting.value.to_json());
            let from = setting.map_or_else(|| "default".to_owned(), |setting| setting.origin.to_string());
            let shown = if origin { serde_json::json!({ "value": value, "origin": from }) } else { value };
            (key.to_owned(), shown)
        })
        .collect();
    say(format_args!("{:#}", serde_json::Value::Object(document)))
}

/// TOML writes numbers, switches, texts and lists as JSON does, as long as no text holds what only one of them may escape.
fn toml(config: &config::Config, origin: bool) -> Result<(), Failed> {
    for (key, setting) in settings(config) {
        let Some(Setting { value, origin: from }) = setting else {
            say(format_args!("# {key} is not set ({})", flag(key)))?;
            continue;
        };
        let value = value.to_json();
        say(if origin { format!("{key} = {value} # {from}") } else { format!("{key} = {value}") })?;
    }
    Ok(())
}

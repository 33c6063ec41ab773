//! The command line.

mod ask;
mod audit;
mod cell;
mod chaos;
mod completions;
mod config;
mod dev;
mod diff;
mod doctor;
mod exit;
mod explain;
mod failed;
mod fresh;
mod given;
mod held;
mod history;
mod kv;
mod lease;
mod lock;
mod member;
mod notify;
mod out;
mod paint;
pub mod progress;
mod recover;
mod save;
mod serve;
mod settings;
mod snapshot;
mod status;
mod txn;
mod version;
mod wal;
mod watch;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use exit::Exit;

/// What `holdfast --help` says: the commands by what they are for. A test compares it with those that there are.
const HELP: &str = "\
{about}

Usage: {usage}

Examples:
  holdfast dev                          three nodes on this machine, to try things out
  holdfast put app/db/url postgres://db1
  holdfast get app/db/url
  holdfast lock backup -- ./backup.sh   one at a time
  holdfast status

Data
  put        Write a key
  get        Read a key
  del        Delete a key, or all that begin with a prefix
  ls         List keys and values
  txn        Compare and write several keys at once
  watch      Print changes as they happen
  history    Show what a key was, by whom and why
  diff       Show what changed between two revisions
  rollback   Write anew what a key was

Coordination
  lock       Hold a lock while a command runs
  elect      Stand for election, or follow one
  lease      Grant, renew, revoke and show leases
  session    List, open and close sessions

Cluster
  status     Say whether the cluster is well
  why        Say why writes are slow: which stage, which member
  doctor     Find out what ails it, and what to do about it
  member     List and change the members
  audit      Show who changed what, when and why
  namespace  Show and set rules for the keys below a prefix
  settings   Show and set what holds for the whole cluster
  compact    Give up old revisions
  snapshot   Take a backup, look at one, begin anew from one
  recover    Go on with what is left when the quorum is lost for good

Nodes
  server     Run one node of a cluster
  dev        Run real nodes on this machine, and do them harm
  config     Show or check the configuration of a node
  wal        Look at the log of a node, offline

Help
  explain    Say what a code or a word means
  version    Say which build this is
  completions  Print what a shell needs to complete these commands
  help       Print this, or the help of a command

Options:
{options}

holdfast COMMAND --help shows examples. Exit codes and formats: docs/cli.md
";

/// A replicated configuration and coordination store.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, arg_required_else_help = true, help_template = HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one node of a cluster
    Server(serve::Server),
    /// Run three real nodes on this machine, to try things out, or to see what becomes of them
    Dev(dev::Dev),
    /// Write a key
    Put(kv::Put),
    /// Read a key; exits with 1 if it does not exist
    Get(kv::Get),
    /// Delete a key, or all that begin with a prefix; exits with 1 if there was none
    Del(kv::Del),
    /// List keys and values
    Ls(kv::Ls),
    /// Compare and write several keys at once; exits with 1 if a comparison does not hold
    Txn(txn::Txn),
    /// Print all changes of a key, or of all that begin with a prefix, as they happen
    Watch(watch::Watch),
    /// Show what a key was, by whom it was written and why; exits with 1 if nothing is known of it
    History(history::History),
    /// Show what changed between two revisions; exits with 1 if anything did
    Diff(diff::Diff),
    /// Write anew what a key was at an earlier revision
    Rollback(diff::Rollback),
    /// Hold a lock while a command runs, or until interrupted
    Lock(lock::Lock),
    /// Stand for election, or follow one
    Elect(lock::Elect),
    /// Grant, renew, revoke and show leases
    Lease(lease::Lease),
    /// List, open and close sessions
    Session(held::Session),
    /// Say whether the cluster is well
    Status(status::Status),
    /// Find out what ails a cluster or the directory of a stopped node, and what to do about it; exits with 6 if there are
    /// warnings, with 9 if something is broken
    Doctor(doctor::Doctor),
    /// List and change the members
    Member(member::Member),
    /// Show who changed what, when and why
    Audit(audit::Audit),
    /// Show and set rules for the keys below a prefix
    Namespace(held::Namespace),
    /// Show and set what holds for the whole cluster
    Settings(settings::Settings),
    /// Give up all revisions below one, for ever
    Compact(settings::Compact),
    /// Take a snapshot away as a backup, look at one, begin anew from one
    Snapshot(snapshot::Snapshot),
    /// Say why writes are slow: which stage, which member
    Why(why::Why),
    /// Go on with what is left of a cluster that has lost its quorum for good, offline; first says what may be lost
    Recover(recover::Recover),
    /// Look at the log of a node, offline and without changing anything
    Wal(wal::Wal),
    /// Show or check the configuration of a node
    Config(config::Config),
    /// Say what a code or a word means; exits with 1 if nothing is known of it
    Explain(explain::Explain),
    /// Say which build this is, and what it speaks, writes and reads
    Version(version::Version),
    /// Print what a shell needs to complete these commands
    Completions(completions::Completions),
}

/// Runs the command that the arguments of this process name.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs the command that these arguments name, the name of the program first: for a program that starts real nodes as
/// processes and is not the one binary.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = Cli::parse_from(arguments);
    match cli.command {
        Command::Server(server) => serve::run(server),
        Command::Dev(dev) => dev::run(&dev),
        Command::Put(put) => put.run(),
        Command::Get(get) => get.run(),
        Command::Del(del) => del.run(),
        Command::Ls(ls) => ls.run(),
        Command::Diff(diff) => diff.run(),
        Command::Rollback(rollback) => rollback.run(),
        Command::Session(session) => session.run(),
        Command::Namespace(namespace) => namespace.run(),
        Command::Settings(settings) => settings.run(),
        Command::Compact(compact) => compact.run(),
        Command::Version(version) => version.run(),
        Command::Txn(txn) => txn.run(),
        Command::History(history) => history.run(),
        Command::Audit(audit) => audit.run(),
        Command::Lease(lease) => lease.run(),
        Command::Lock(lock) => lock.run(),
        Command::Elect(elect) => elect.run(),
        Command::Member(member) => member.run(),
        Command::Watch(watch) => watch.run(),
        Command::Snapshot(snapshot) => snapshot::run(&snapshot),
        Command::Recover(recover) => recover.run(),
        Command::Why(why) => why.run(),
        Command::Wal(wal) => wal.run(),
        Command::Config(config) => config.run(),
        Command::Status(status) => status.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Explain(explain) => explain.run(),
        Command::Completions(completions) => completions.run(),
    }
}

/// The command line as it is parsed, for whoever documents it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Log lines go to standard error; `HOLDFAST_LOG` says which, as `info` or `holdfast_server=debug`.
fn log(default: &str) {
    use tracing_subscriber::EnvFilter;
    let wanted = std::env::var("HOLDFAST_LOG").ok();
    let parsed = EnvFilter::builder().parse(wanted.as_deref().unwrap_or(default));
    let filter = parsed.unwrap_or_else(|error| {
        eprintln!("holdfast: HOLDFAST_LOG: {error}; logging {default}");
        EnvFilter::new(default)
    });
    let _ = crate::logging::start(filter, false, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_command_once_and_no_other() {
        let groups = HELP.split("\nData\n").nth(1).and_then(|rest| rest.split("\nOptions:").next());
        let named = groups.expect("the groups").lines().filter_map(|line| line.strip_prefix("  "));
        let mut named: Vec<&str> = named.filter_map(|line| line.split(' ').next()).collect();
        named.sort_unstable();
        let mut command = command();
        command.build();
        let mut there: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        there.sort_unstable();
        assert_eq!(named, there);
    }

    #[test]
    fn the_help_of_every_command_begins_with_examples() {
        command().debug_assert();
        let nodes = ["server", "dev"];
        for command in command().get_subcommands().filter(|command| !nodes.contains(&command.get_name())) {
            let before = command.get_before_help().map(ToString::to_string);
            assert!(before.is_some_and(|text| text.starts_with("Examples:\n")), "{}", command.get_name());
        }
    }
}

//! The command line.

mod ask;
mod audit;
mod completions;
mod config;
mod dev;
mod explain;
mod history;
mod kv;
mod lease;
mod lock;
mod member;
mod save;
mod serve;
mod snapshot;
mod status;
mod txn;
mod wal;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A replicated configuration and coordination store.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one node of a cluster
    Server(serve::Server),
    /// Run three real nodes in this process, to try things out
    Dev(dev::Dev),
    /// Write a key
    Put(kv::Put),
    /// Read a key; exits with 1 if it does not exist
    Get(kv::Get),
    /// Delete a key, or all that begin with a prefix; exits with 1 if there was none
    Del(kv::Del),
    /// List keys and values
    Ls(kv::Ls),
    /// Compare and write several keys at once
    Txn(txn::Txn),
    /// Show what a key was, by whom it was written and why; exits with 1 if nothing is known of it
    History(history::History),
    /// Show who changed what, when and why
    Audit(audit::Audit),
    /// Grant, renew, revoke and show leases
    Lease(lease::Lease),
    /// Hold a lock while a command runs, or until interrupted
    Lock(lock::Lock),
    /// Stand for election, or follow one
    Elect(lock::Elect),
    /// List and change the members
    Member(member::Member),
    /// Print all changes of a key, or of all that begin with a prefix, as they happen
    Watch(watch::Watch),
    /// Take a snapshot away as a backup, look at one, begin anew from one
    Snapshot(snapshot::Snapshot),
    /// Look at the log of a node, offline and without changing anything
    Wal(wal::Wal),
    /// Show or check the configuration of a node
    Config(config::Config),
    /// Say whether the cluster is well
    Status(status::Status),
    /// Say what a code or a word means; exits with 1 if nothing is known of it
    Explain(explain::Explain),
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
        Command::Txn(txn) => txn.run(),
        Command::History(history) => history.run(),
        Command::Audit(audit) => audit.run(),
        Command::Lease(lease) => lease.run(),
        Command::Lock(lock) => lock.run(),
        Command::Elect(elect) => elect.run(),
        Command::Member(member) => member.run(),
        Command::Watch(watch) => watch.run(),
        Command::Snapshot(snapshot) => snapshot::run(&snapshot),
        Command::Wal(wal) => wal.run(),
        Command::Config(config) => config.run(),
        Command::Status(status) => status.run(),
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

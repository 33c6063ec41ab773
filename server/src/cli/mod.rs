//! The command line.

mod dev;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
}

/// Runs the command that the arguments of this process name.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Server(server) => serve::run(server),
        Command::Dev(dev) => dev::run(&dev),
    }
}

/// Log lines go to standard error; `HOLDFAST_LOG` says which, as `info` or `holdfast_server=debug`.
fn log(default: &str) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("HOLDFAST_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}

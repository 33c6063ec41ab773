//! The commands that are clients of a cluster: what they share.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use holdfast_client::{Client, Error, Kind, Outcome};
use holdfast_command::Code;
use holdfast_machine::Numbered as _;

/// Where a cluster is asked when nobody says otherwise: the client ports of `holdfast dev`.
const ENDPOINTS: &str = "127.0.0.1:7400,127.0.0.1:7410,127.0.0.1:7420";

/// How to reach the cluster.
#[derive(Clone, Debug, Args)]
pub(super) struct Target {
    /// Client addresses of some members; the leader is found from any
    #[arg(long, env = "HOLDFAST_ENDPOINTS", default_value = ENDPOINTS, value_delimiter = ',', value_name = "HOST:PORT,…")]
    pub(super) endpoints: Vec<String>,
    /// How long the command may take, in seconds
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    timeout: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.001..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("from 0.001 to 86400".to_owned()) }
}

/// A number of seconds, up to a year.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.0..=31_536_000.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("from 0 to 31536000".to_owned())
    }
}

/// Why a command ends otherwise than well.
#[derive(Debug)]
pub(super) enum Failed {
    /// What was asked for is not there, or the condition does not hold: not an error, and nothing is printed.
    NotThere,
    /// What was held is not held any more.
    Lost(String),
    /// The arguments make no sense.
    Usage(String),
    /// What came is not what was asked for, or is damaged.
    Damaged(String),
    /// The cluster, or the way to it.
    Client(Error),
    /// Reading input or writing output.
    Io(std::io::Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl Target {
    /// A client, not connected yet.
    pub(super) fn client(&self) -> Result<Client, Failed> {
        let timeout = Duration::from_secs_f64(self.timeout);
        Ok(Client::builder(self.endpoints.iter().cloned()).name("holdfast").timeout(timeout).build()?)
    }

    /// Runs one command, and says what came of it.
    pub(super) fn run(&self, command: impl AsyncFnOnce(&Client) -> Result<(), Failed>) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = runtime.map_err(Failed::Io).and_then(|runtime| {
            runtime.block_on(async {
                let client = self.client()?;
                let done = command(&client).await;
                client.close().await;
                done
            })
        });
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => self.explain(&failed),
        }
    }

    fn explain(&self, failed: &Failed) -> ExitCode {
        let code = match failed {
            Failed::NotThere => 1,
            Failed::Lost(why) => {
                eprintln!("holdfast: {why}");
                10
            }
            Failed::Usage(why) => {
                eprintln!("holdfast: {why}");
                2
            }
            Failed::Damaged(why) => {
                eprintln!("holdfast: {why}");
                super::serve::INTEGRITY
            }
            // A reader that went away, as `head` does, wants no more.
            Failed::Io(error) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
            Failed::Io(error) => {
                eprintln!("holdfast: {error}");
                2
            }
            Failed::Client(error) => {
                eprintln!("{error}");
                eprintln!("  next     {}", next(error, &self.endpoints));
                exit_code(error)
            }
        };
        ExitCode::from(code)
    }
}

/// The number that scripts see; `docs/running.md` lists them.
fn exit_code(error: &Error) -> u8 {
    match (error.kind, error.code) {
        (Kind::NoEndpoint, _) => 3,
        (_, Some(Code::NoLeader)) => 4,
        (Kind::TimedOut | Kind::ConnectionLost | Kind::Closed, _) if error.outcome == Outcome::Unknown => 5,
        (Kind::TimedOut | Kind::ConnectionLost | Kind::Closed, _) => 4,
        (Kind::Invalid, _) => 2,
        (Kind::Overloaded, _) => 8,
        (Kind::Incompatible | Kind::Unreadable, _) => 9,
        (Kind::Refused, Some(code)) => match code.number() {
            1001..=1099 => 2,
            1101..=1199 | 1202 | 1210 => 8,
            1201..=1299 => 4,
            1901..=1999 => 7,
            1601..=1699 => 10,
            _ => 6,
        },
        (Kind::Refused, None) => 6,
    }
}

/// What to do about it.
fn next(error: &Error, endpoints: &[String]) -> String {
    let endpoints = endpoints.join(",");
    match (error.kind, error.outcome) {
        (Kind::NoEndpoint, _) => {
            format!(
                "check that a node runs at {endpoints} (`holdfast dev` starts three), or name others with --endpoints"
            )
        }
        (_, Outcome::Unknown) => "read the key before writing again".to_owned(),
        (Kind::Incompatible, _) => {
            "check --endpoints: they answer, and are not this cluster, or of another version".to_owned()
        }
        (Kind::Refused | Kind::Invalid, _) => match error.code {
            Some(code) => format!("look {} up in docs/errors.md", code.tag()),
            None => "change the request".to_owned(),
        },
        _ => format!("holdfast status --endpoints {endpoints}"),
    }
}

/// A line of output.
pub(super) fn say(line: impl std::fmt::Display) -> Result<(), Failed> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

/// Bytes of output, as they are.
pub(super) fn put_out(bytes: &[u8]) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// Bytes for people: text as it is, everything else escaped.
pub(super) fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => format!("\"{}\"", bytes.escape_ascii()),
    }
}

//! Why a command ends otherwise than well, and how that is said.
//!
//! Whoever reads it wants to know four things, in this order: what could not be done, why, whether anything was changed, and what
//! to do now. So all troubles have the same lines, whoever found them.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use holdfast_client::{Error, Kind, Outcome};
use holdfast_command::Code;
use holdfast_machine::Numbered as _;

use super::exit::{Exit, SIGNAL};
use super::paint::{self, Paint};

/// Why a command ends otherwise than well.
#[derive(Debug)]
pub(super) enum Failed {
    /// What was asked for is not there, or the condition does not hold: not an error, and nothing is printed.
    NotThere,
    /// It ends with this number, and everything is said.
    Ends(u8),
    /// The cluster, or the way to it.
    Client(Error),
    /// Standard output takes no more.
    Output(std::io::Error),
    /// Anything else.
    Trouble(Box<Trouble>),
}

/// What there is to say of a failure that is none of the client.
#[derive(Debug)]
pub(super) struct Trouble {
    exit: u8,
    what: String,
    why: String,
    outcome: String,
    next: String,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(Box::new(trouble))
    }
}

/// What came of a request that was not even sent.
const NOTHING: &str = "nothing was sent, and nothing was changed";

impl Trouble {
    /// One that changed nothing and has nothing further to say.
    pub(super) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit: exit.number(),
            what: what.into(),
            why: String::new(),
            outcome: NOTHING.into(),
            next: String::new(),
        }
    }

    pub(super) fn why(self, why: impl Into<String>) -> Self {
        Self { why: why.into(), ..self }
    }

    pub(super) fn outcome(self, outcome: impl Into<String>) -> Self {
        Self { outcome: outcome.into(), ..self }
    }

    pub(super) fn next(self, next: impl Into<String>) -> Self {
        Self { next: next.into(), ..self }
    }
}

impl Failed {
    /// The arguments make no sense.
    pub(super) fn usage(what: impl Into<String>) -> Self {
        Trouble::new(Exit::Usage, what).next("correct the arguments; --help shows examples").into()
    }

    /// A file cannot be read, written, or whatever else.
    pub(super) fn file(path: &Path, verb: &str, error: &std::io::Error) -> Self {
        let what = format!("cannot {verb} {}", path.display());
        Trouble::new(Exit::Usage, what)
            .why(error.to_string())
            .next("name another file, or correct its mode")
            .into()
    }

    /// What came is not what was asked for, or is damaged.
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Trouble::new(Exit::Integrity, what)
            .outcome("nothing was taken from it")
            .next("use another copy")
            .into()
    }

    /// The answer is of another kind than the question.
    pub(super) fn strange(what: &str) -> Self {
        Trouble::new(Exit::Integrity, format!("the answer to {what} is of another kind"))
            .outcome("UNKNOWN: read before writing again")
            .next("compare `holdfast version` with the build in `holdfast status -o json`")
            .into()
    }

    /// What was held is not held any more.
    pub(super) fn lost(what: impl Into<String>) -> Self {
        Trouble::new(Exit::Lost, what)
            .outcome("whatever hung on it is gone, or will be")
            .next("holdfast lease ls; then take it anew")
            .into()
    }

    /// This process was told to end, by the signal of this number.
    pub(super) fn interrupted(signal: u8) -> Self {
        let trouble = Trouble::new(Exit::Done, "interrupted")
            .outcome("UNKNOWN if a write was under way: read before writing again");
        Trouble { exit: SIGNAL.saturating_add(signal), ..trouble }.into()
    }

    /// The number that scripts see.
    pub(super) fn exit(&self) -> u8 {
        match self {
            Self::NotThere => Exit::NotThere.number(),
            Self::Ends(exit) => *exit,
            Self::Client(error) => of_client(error).number(),
            // A reader that went away, as `head` does, wants no more.
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done.number(),
            Self::Output(_) => Exit::Usage.number(),
            Self::Trouble(trouble) => trouble.exit,
        }
    }

    /// Says it on standard error; `reachable` is how many voters answer, if that was asked. Returns how the command ends.
    pub(super) fn report(&self, paint: Paint, endpoints: &[String], reachable: Option<&str>) -> ExitCode {
        let text = match self {
            Self::NotThere | Self::Ends(_) => String::new(),
            Self::Client(error) => {
                let parts = error.parts();
                let mut why = parts.why;
                if let Some(reachable) = reachable {
                    why = if why.is_empty() { reachable.into() } else { format!("{reachable}; {why}") };
                }
                let next = next(error, endpoints);
                anatomy(paint, &parts.headline, [&parts.tried, &why, parts.outcome, &next])
            }
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => String::new(),
            Self::Output(error) => {
                let outcome = "what was asked for may be done; only its output is lost";
                anatomy(paint, "error: cannot write the output", ["", &error.to_string(), outcome, ""])
            }
            Self::Trouble(trouble) => {
                let Trouble { what, why, outcome, next, .. } = &**trouble;
                anatomy(paint, &format!("error: {what}"), ["", why, outcome, next])
            }
        };
        eprint!("{text}");
        ExitCode::from(self.exit())
    }
}

/// The lines of a failure: those that say something.
fn anatomy(paint: Paint, headline: &str, lines: [&str; 4]) -> String {
    let (word, rest) = headline.split_once(':').unwrap_or((headline, ""));
    let mut text = format!("{}:{rest}\n", paint.stderr(paint::BAD, word));
    for (label, line) in ["tried", "why", "outcome", "next"].into_iter().zip(lines) {
        if !line.is_empty() {
            // Whatever has several lines stands below itself.
            let line = line.replace('\n', "\n           ");
            let _ = writeln!(text, "  {label:8} {line}");
        }
    }
    text
}

/// How a command ends that failed like this.
fn of_client(error: &Error) -> Exit {
    match (error.kind, error.code) {
        (Kind::NoEndpoint, _) => Exit::NoEndpoint,
        (_, Some(Code::NoLeader)) => Exit::NoLeader,
        (Kind::TimedOut | Kind::ConnectionLost | Kind::Closed, _) if error.outcome == Outcome::Unknown => {
            Exit::Unknown
        }
        (Kind::TimedOut | Kind::ConnectionLost | Kind::Closed, _) => Exit::NoLeader,
        (Kind::Invalid, _) => Exit::Usage,
        (Kind::Overloaded, _) => Exit::Limit,
        (Kind::Incompatible | Kind::Unreadable, _) => Exit::Integrity,
        (Kind::Refused, _) if error.outcome == Outcome::Unknown => Exit::Unknown,
        (Kind::Refused, Some(code)) => match code.number() {
            1001..=1099 => Exit::Usage,
            1101..=1199 | 1202 | 1210 => Exit::Limit,
            1201..=1299 => Exit::NoLeader,
            1901..=1999 => Exit::Denied,
            1601..=1699 => Exit::Lost,
            _ => Exit::Rejected,
        },
        (Kind::Refused, None) => Exit::Rejected,
    }
}

/// What to do about it.
fn next(error: &Error, endpoints: &[String]) -> String {
    let endpoints = endpoints.join(",");
    let next = match (error.kind, error.outcome) {
        (Kind::NoEndpoint, _) => {
            format!(
                "check that a node runs at {endpoints} (`holdfast dev` starts three), or name others with --endpoints"
            )
        }
        (_, Outcome::Unknown) => "read the key before writing again".to_owned(),
        (Kind::Incompatible, _) => {
            "check --endpoints: they answer, and are not this cluster, or of another version".to_owned()
        }
        (Kind::Refused | Kind::Invalid, _) if of_client(error) != Exit::NoLeader => String::new(),
        _ => format!("holdfast status --endpoints {endpoints}"),
    };
    match (error.code, next.is_empty()) {
        (Some(code), true) => format!("holdfast explain {}", code.tag()),
        (Some(code), false) => format!("{next} · holdfast explain {}", code.tag()),
        (None, true) => "change the request; --help shows examples".to_owned(),
        (None, false) => next,
    }
}

//! What went wrong, and above all: what came of it.
//!
//! A caller has to decide whether to send a write again. So each error says whether the write was executed, was not, or
//! may have been, and by what that is known.

use std::fmt;
use std::ops::Deref;

use holdfast_command::{Code, Refusal};
use holdfast_machine::Numbered;
use holdfast_wire::NodeId;
use holdfast_wire::message::CloseReason;

/// What a call that failed has done to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was not executed and never will be. So it is for every read: there was nothing to execute.
    NotApplied,
    /// It was executed; only its answer is lost.
    Applied,
    /// It may have been executed, or may still be. Read before writing again.
    Unknown,
}

/// What kind of failure it was. The [`code`](Failure::code) says more, if the cluster gave one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No endpoint could be reached, and none ever was: connections were refused, or names not found. Told within
    /// milliseconds, unless [`wait_for_cluster`](crate::Builder::wait_for_cluster).
    NoEndpoint,
    /// Something was reached, and it and this client do not talk: another cluster, no common version, another protocol.
    Incompatible,
    /// The cluster answered, and the answer is no: see the [`code`](Failure::code).
    Refused,
    /// It was not done within its deadline. If the cluster has said why, the [`code`](Failure::code) is the last that
    /// it gave.
    TimedOut,
    /// The connection broke while the call was under way, and it may not be sent twice: a write without a session.
    ConnectionLost,
    /// This client has as many calls, or bytes of them, under way as it takes on; nothing was sent. Wait for some.
    Overloaded,
    /// The call cannot be sent at all: it is longer than a frame, or names what cannot be.
    Invalid,
    /// The answer cannot be read by this version.
    Unreadable,
    /// The client was closed.
    Closed,
}

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing listens there.
    ConnectRefused,
    /// No connection could be made, for the reason that the system gave.
    ConnectFailed(String),
    /// Neither a connection nor a refusal within the time for it.
    ConnectTimedOut,
    /// A connection was opened and ended by the handshake, by either side.
    NotWelcome {
        /// The reason, if this version knows it.
        reason: Option<CloseReason>,
        /// For people.
        detail: String,
    },
    /// The connection ended before there was an answer.
    ConnectionLost(String),
    /// Nothing was heard for the time of [`silence_timeout`](crate::Builder::silence_timeout).
    Silent,
    /// The node did not take the call on, or gave it up.
    Refused {
        /// Number of a [`Code`], or of one that a later version added.
        code: u16,
        /// For people; may be empty.
        detail: String,
    },
    /// It was asked and had not answered by the deadline.
    NoAnswer,
    /// It was not asked: it failed so often in a row that it is left alone for a while (machine 17).
    LeftAlone,
    /// The connection was not ready by then.
    Connecting,
    /// It was connected and not asked, because another one was waited for.
    NotAsked,
}

/// One try of a call, or why an endpoint could not be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The address, as it was given or learned.
    pub endpoint: String,
    /// The node that answers there, if it has said so.
    pub node: Option<NodeId>,
    /// What became of it.
    pub what: What,
    /// How many milliseconds it took; 0 if nothing was tried.
    pub ms: u64,
}

/// All that is known of a call that failed. See [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: Kind,
    /// What the call has done.
    pub outcome: Outcome,
    /// The code that the cluster gave, if it did and this version knows it.
    pub code: Option<Code>,
    /// The number of that code, known or not; 0 if there is none.
    pub code_number: u16,
    /// The code with its particulars, if they fit.
    pub refusal: Option<Refusal>,
    /// What was asked for, in words: `put "app/db/url"`.
    pub operation: String,
    /// Whether it was a write.
    pub write: bool,
    /// More about it, for people; may be empty.
    pub detail: String,
    /// The last tries, oldest first, then the endpoints that were not tried.
    pub tried: Vec<Attempt>,
    /// How many tries there were before those in [`tried`](Self::tried).
    pub tried_before: u32,
    /// How many milliseconds the call took in all.
    pub elapsed_ms: u64,
}

/// Why a call failed and what came of it. Reads like the struct [`Failure`] behind it.
///
/// As text it has several lines: what could not be done, what was tried, why, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Failure>);

impl Error {
    /// An error of a kind that happens before anything is sent.
    pub(crate) fn before_sending(
        kind: Kind,
        operation: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Failure {
            kind,
            outcome: Outcome::NotApplied,
            code: None,
            code_number: 0,
            refusal: None,
            operation: operation.into(),
            write: false,
            detail: detail.into(),
            tried: Vec::new(),
            tried_before: 0,
            elapsed_ms: 0,
        }
        .into()
    }

    /// An error of a call of which nothing more will be heard.
    pub(crate) fn unheard(kind: Kind, operation: &str, detail: &str) -> Self {
        let Self(failure) = Self::before_sending(kind, operation, detail);
        Failure { outcome: Outcome::Unknown, write: true, ..*failure }.into()
    }

    /// A refusal that this side knows of without asking.
    pub(crate) fn refused(operation: &str, refusal: Refusal) -> Self {
        let Self(failure) = Self::before_sending(Kind::Refused, operation, refusal.to_string());
        let (code, code_number) = (Some(refusal.code()), refusal.code().number());
        Failure { code, code_number, refusal: Some(refusal), ..*failure }.into()
    }

    /// Whether the same call may be made again without a risk that it is executed twice, and may succeed then.
    #[must_use]
    pub fn is_safe_to_retry(&self) -> bool {
        self.outcome == Outcome::NotApplied
            && match self.kind {
                Kind::NoEndpoint | Kind::TimedOut | Kind::ConnectionLost | Kind::Overloaded => true,
                Kind::Refused => self.code.is_some_and(Code::is_retryable),
                Kind::Incompatible | Kind::Invalid | Kind::Unreadable | Kind::Closed => false,
            }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self(Box::new(failure))
    }
}

impl Deref for Error {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { headline, tried, why, outcome } = self.parts();
        f.write_str(&headline)?;
        if !tried.is_empty() {
            write!(f, "\n  tried    {tried}")?;
        }
        if !why.is_empty() {
            write!(f, "\n  why      {why}")?;
        }
        write!(f, "\n  outcome  {outcome}")
    }
}

/// The lines of an [`Error`] as text, for whoever puts more between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// `error[HF1203]: cannot put "k": no leader is known`.
    pub headline: String,
    /// What became of each try; empty if there was none.
    pub tried: String,
    /// What there is to say beyond the headline; may be empty.
    pub why: String,
    /// What came of it.
    pub outcome: &'static str,
}

impl Error {
    /// Its lines.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let code = match self.code_number {
            0 => String::new(),
            number => format!("[{}{number}]", Code::PREFIX),
        };
        let mut tried = shown_once(&self.tried);
        if self.tried_before > 0 && !tried.is_empty() {
            tried.insert(0, format!("{} before", self.tried_before));
        }
        Parts {
            headline: format!("error{code}: cannot {}: {}", self.operation, self.headline()),
            tried: tried.join(" · "),
            why: self.cause(),
            outcome: self.outcome_text(),
        }
    }

    /// Why it failed, in one line without what was tried and what came of it: for tables.
    #[must_use]
    pub fn why(&self) -> String {
        let (headline, cause) = (self.headline(), self.cause());
        if cause.is_empty() { headline } else { format!("{headline}: {cause}") }
    }

    fn headline(&self) -> String {
        match (&self.refusal, self.code) {
            (Some(refusal), _) => refusal.to_string(),
            (None, Some(code)) => code.name().to_owned(),
            (None, None) => self.kind.text().to_owned(),
        }
    }

    /// What there is to say beyond the headline; may be empty.
    fn cause(&self) -> String {
        let detail = Escaped(&self.detail);
        match (self.kind, self.detail.is_empty()) {
            (Kind::TimedOut, true) => format!("not done within {} ms", self.elapsed_ms),
            (Kind::TimedOut, false) => format!("not done within {} ms; {detail}", self.elapsed_ms),
            (_, _) => detail.to_string(),
        }
    }

    fn outcome_text(&self) -> &'static str {
        match (self.outcome, self.write, self.is_safe_to_retry()) {
            (Outcome::NotApplied, false, _) => "nothing was to be changed, and nothing was",
            (Outcome::NotApplied, true, true) => "NOT applied: safe to retry",
            (Outcome::NotApplied, true, false) => "NOT applied",
            (Outcome::Applied, _, _) => "applied: do not send it again",
            (Outcome::Unknown, _, _) => "UNKNOWN: it may have been applied; read before sending it again",
        }
    }
}

/// The tries as text. Those that differ in nothing but their time are one, with the time of the last of them and their number.
fn shown_once(tried: &[Attempt]) -> Vec<String> {
    let mut kinds: Vec<(&Attempt, usize)> = Vec::new();
    for attempt in tried {
        let alike = |other: &Attempt| {
            (&other.endpoint, other.node, &other.what) == (&attempt.endpoint, attempt.node, &attempt.what)
        };
        match kinds.iter_mut().find(|(other, _)| alike(other)) {
            Some((last, times)) => (*last, *times) = (attempt, *times + 1),
            None => kinds.push((attempt, 1)),
        }
    }
    let shown = |(attempt, times): (&Attempt, usize)| match times {
        1 => attempt.to_string(),
        times => format!("{attempt} ×{times}"),
    };
    kinds.into_iter().map(shown).collect()
}

impl Kind {
    /// The kind in words.
    fn text(self) -> &'static str {
        match self {
            Self::NoEndpoint => "no endpoint could be reached",
            Self::Incompatible => "what answers is no cluster that this client can talk to",
            Self::Refused => "the cluster refused it",
            Self::TimedOut => "no answer in time",
            Self::ConnectionLost => "the connection broke, and without a session it is not sent twice",
            Self::Overloaded => "this client has too much under way",
            Self::Invalid => "it cannot be sent",
            Self::Unreadable => "the answer cannot be read",
            Self::Closed => "the client is closed",
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = self.node {
            write!(f, "n{node} ")?;
        }
        write!(f, "{} {}", Escaped(&self.endpoint), self.what)?;
        match self.ms {
            0 => Ok(()),
            ms if ms < 1000 => write!(f, " ({ms} ms)"),
            ms => write!(f, " ({}.{} s)", ms / 1000, ms % 1000 / 100),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectRefused => f.write_str("connection refused"),
            Self::ConnectFailed(why) => write!(f, "no connection: {}", Escaped(why)),
            Self::ConnectTimedOut => f.write_str("no connection in time"),
            Self::NotWelcome { reason, detail } => {
                let reason = reason.map_or("for a reason this version does not know", Numbered::name);
                write!(f, "handshake failed: {reason}, {}", Escaped(detail))
            }
            Self::ConnectionLost(why) => write!(f, "connection lost: {}", Escaped(why)),
            Self::Silent => f.write_str("fell silent"),
            Self::Refused { code, detail } => {
                let name = Code::from_number(*code).map_or("unknown here", Numbered::name);
                write!(f, "{}{code} {name}", Code::PREFIX)?;
                if detail.is_empty() { Ok(()) } else { write!(f, ", {}", Escaped(detail)) }
            }
            Self::NoAnswer => f.write_str("no answer"),
            Self::LeftAlone => f.write_str("not asked: it failed too often just now"),
            Self::Connecting => f.write_str("still connecting"),
            Self::NotAsked => f.write_str("connected, not asked"),
        }
    }
}

/// Text from outside without control characters, so that it cannot forge a line of a log.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_tried_why_and_what_came_of_it() {
        let mut failure = Failure {
            kind: Kind::TimedOut,
            outcome: Outcome::NotApplied,
            code: Some(Code::NoLeader),
            code_number: 1203,
            refusal: Some(Refusal::NoLeader),
            operation: "put \"app/db/url\"".into(),
            write: true,
            detail: String::new(),
            tried: vec![
                Attempt {
                    endpoint: "127.0.0.1:7400".into(),
                    node: NodeId::new(1),
                    what: What::Refused { code: 1203, detail: "line\nbreak".into() },
                    ms: 2,
                },
                Attempt { endpoint: "127.0.0.1:7410".into(), node: None, what: What::ConnectRefused, ms: 0 },
                Attempt { endpoint: "127.0.0.1:7420".into(), node: None, what: What::NoAnswer, ms: 1540 },
            ],
            tried_before: 0,
            elapsed_ms: 5000,
        };
        let text = "error[HF1203]: cannot put \"app/db/url\": no leader is known\n  \
                    tried    n1 127.0.0.1:7400 HF1203 NoLeader, line\\nbreak (2 ms) · 127.0.0.1:7410 connection refused \
                    · 127.0.0.1:7420 no answer (1.5 s)\n  \
                    why      not done within 5000 ms\n  \
                    outcome  NOT applied: safe to retry";
        let error = Error::from(failure.clone());
        assert_eq!(error.to_string(), text);
        assert_eq!(error.why(), "no leader is known: not done within 5000 ms");
        failure.outcome = Outcome::Unknown;
        let error = Error::from(failure);
        assert!(
            error
                .to_string()
                .ends_with("outcome  UNKNOWN: it may have been applied; read before sending it again")
        );
        assert!(!error.is_safe_to_retry());
    }

    #[test]
    fn what_was_tried_again_with_the_same_end_is_shown_once_with_its_number_and_kept_as_it_was() {
        let attempt = |endpoint: &str, what, ms| Attempt { endpoint: endpoint.into(), node: None, what, ms };
        let refused = || What::Refused { code: 1203, detail: String::new() };
        let mut error = Error::before_sending(Kind::TimedOut, "get \"k\"", "");
        error.0.tried = vec![
            attempt("a:1", refused(), 1),
            attempt("b:1", What::ConnectRefused, 0),
            attempt("a:1", refused(), 2),
            attempt("a:1", What::NoAnswer, 0),
            attempt("a:1", refused(), 3),
        ];
        error.0.tried_before = 2;
        let tried =
            "2 before · a:1 HF1203 NoLeader (3 ms) ×3 · b:1 connection refused · a:1 no answer".to_owned();
        assert_eq!(error.parts().tried, tried);
        assert!(error.to_string().contains(&tried), "{error}");
        assert_eq!(error.tried.len(), 5);
    }
}

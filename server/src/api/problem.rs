//! What went wrong, as HTTP says it and as people read it: status, code, why, what came of it, what to do next.

use std::borrow::Cow;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use holdfast_command::{Code, Effect, Refusal};
use holdfast_machine::Numbered as _;
use holdfast_wire::message::Refused;
use serde::Serialize;

use super::respond;
use crate::json;

/// A request that was not done.
#[derive(Debug)]
pub(super) struct Problem {
    code: u16,
    status: StatusCode,
    what: Cow<'static, str>,
    why: String,
    effect: Effect,
    retry_after_ms: u32,
    headers: Vec<(HeaderName, String)>,
}

#[derive(Serialize)]
struct Shown<'a> {
    error: ShownError<'a>,
}

#[derive(Serialize)]
struct ShownError<'a> {
    code: String,
    name: &'a str,
    what: &'a str,
    why: &'a str,
    outcome: &'a str,
    retryable: bool,
    next: String,
}

impl Problem {
    /// A refusal, by the store or before it.
    pub(super) fn of(refusal: Refusal) -> Self {
        let code = refusal.code();
        Self {
            code: code.number(),
            status: status(code),
            what: code.name().into(),
            why: refusal.to_string(),
            effect: code.effect(),
            retry_after_ms: if code.is_retryable() { RETRY_MS } else { 0 },
            headers: Vec::new(),
        }
    }

    /// A call that the node did not take on, or gave up.
    pub(super) fn refused(refused: &Refused) -> Self {
        let effect =
            if refused.effect == Refused::NOT_APPLIED { Effect::NotApplied } else { Effect::Unknown };
        let code = Code::from_number(refused.code);
        let refusal = code.and_then(|code| Refusal::from_parts(code, [refused.first, refused.second]));
        let text = match refusal {
            Some(refusal) => refusal.to_string(),
            None => format!("{}{} is of a later version than this", Code::PREFIX, refused.code),
        };
        let detail = &refused.detail;
        Self {
            code: refused.code,
            status: code.map_or(StatusCode::SERVICE_UNAVAILABLE, status),
            what: code.map_or(Cow::Borrowed("Refused"), |code| code.name().into()),
            why: if detail.is_empty() { text } else { format!("{text}; {detail}") },
            effect,
            retry_after_ms: refused.retry_after_ms,
            headers: Vec::new(),
        }
    }

    /// A parameter, a header or a part of the path that is not what it has to be.
    pub(super) fn parameter(why: impl Into<String>) -> Self {
        Self::of(Refusal::BadParameter).because(why)
    }

    /// A body that is not what it has to be.
    pub(super) fn body(why: impl Into<String>) -> Self {
        Self::of(Refusal::BadBody).because(why)
    }

    /// The same, for this reason.
    pub(super) fn because(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    /// The same, and nobody knows what came of it.
    pub(super) fn of_unknown_outcome(mut self) -> Self {
        self.effect = Effect::Unknown;
        self
    }

    /// The same with another header.
    pub(super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same as a redirect to this place.
    pub(super) fn redirect(self, location: String) -> Self {
        let problem = self.with(header::LOCATION, location);
        Self { status: StatusCode::TEMPORARY_REDIRECT, retry_after_ms: 0, ..problem }
    }

    /// The same, and nothing was to be changed.
    pub(super) fn of_no_outcome(mut self) -> Self {
        self.effect = Effect::NotApplied;
        self
    }

    /// Whether it is of this code.
    pub(super) fn is(&self, code: Code) -> bool {
        self.code == code.number()
    }

    /// As JSON; for the last event of a stream too.
    pub(super) fn to_json(&self) -> String {
        let code = Code::from_number(self.code);
        let tag = format!("{}{}", Code::PREFIX, self.code);
        let next = format!("holdfast explain {tag}");
        let error = ShownError {
            name: &self.what,
            what: &code
                .map_or_else(|| "a code of a later version".to_owned(), |code| beginning(code.caption())),
            why: &self.why,
            outcome: outcome(self.effect),
            retryable: code.is_some_and(Code::is_retryable),
            next: match (self.effect, code) {
                (_, Some(Code::NotLeader)) if self.status == StatusCode::TEMPORARY_REDIRECT => {
                    format!("follow Location, as curl -L does, or send X-Holdfast-Forward: true · {next}")
                }
                (Effect::Unknown, _) => {
                    format!(
                        "read before writing again, or send it again under the same Idempotency-Key · {next}"
                    )
                }
                (_, Some(code)) if code.is_retryable() => format!("send it again after Retry-After · {next}"),
                (_, _) => next,
            },
            code: tag,
        };
        json::text(&Shown { error })
    }
}

/// What a request has done, as a word for programs.
pub(super) fn outcome(effect: Effect) -> &'static str {
    match effect {
        Effect::Applied => "applied",
        Effect::NotApplied => "not_applied",
        Effect::Unknown => "unknown",
    }
}

/// What a code is about: the first sentence of its explanation, in one line.
fn beginning(caption: &str) -> String {
    let line = caption.split_whitespace().collect::<Vec<_>>().join(" ");
    line.split_once(". ").map_or(line.clone(), |(first, _)| format!("{first}."))
}

/// After how long to come again, if the node does not say: two heartbeats.
const RETRY_MS: u32 = crate::node::limits::RETRY_AFTER_MS;

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.to_json();
        let mut response = respond::response(self.status, body);
        let headers = response.headers_mut();
        if self.retry_after_ms > 0 {
            // The header counts seconds.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after_ms.div_ceil(1_000)));
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// The status that goes with a code.
fn status(code: Code) -> StatusCode {
    use Code as C;
    use StatusCode as S;
    match code {
        C::Malformed
        | C::UnknownCommand
        | C::UnsupportedFeature
        | C::EmptyKey
        | C::EmptySpan
        | C::DuplicateKey
        | C::Contradiction
        | C::TooLate
        | C::BadContinuation
        | C::BadSequence
        | C::NotForClients
        | C::TooManyOperations
        | C::ReasonTooLong
        | C::DescriptionTooLong
        | C::TooManyVisits
        | C::KeyTooLong
        | C::ReplyTooLong
        | C::FutureRevision
        | C::TtlOutOfRange
        | C::SettingOutOfRange
        | C::LevelNotNext
        | C::BadNamespaceName
        | C::LeaseTtlOutOfRange
        | C::BadLease
        | C::BadName
        | C::BadAddress
        | C::BadParameter
        | C::BadBody => S::BAD_REQUEST,
        C::KeyNotFound
        | C::UnknownSetting
        | C::UnknownNamespace
        | C::UnknownLease
        | C::UnknownSession
        | C::UnknownMember
        | C::NoSnapshot
        | C::NoSuchRoute => S::NOT_FOUND,
        C::ForeignOrigin => S::FORBIDDEN,
        C::MethodNotAllowed => S::METHOD_NOT_ALLOWED,
        C::BodyTooSlow => S::REQUEST_TIMEOUT,
        C::ValueTooLong | C::RequestTooLong | C::BodyTooLong => S::PAYLOAD_TOO_LARGE,
        C::Compacted => S::GONE,
        C::WrongRevision => S::PRECONDITION_FAILED,
        C::IdempotencyMismatch => S::UNPROCESSABLE_ENTITY,
        C::StaleSequence
        | C::AppliedReplyDropped
        | C::OtherEpoch
        | C::OtherGroup
        | C::LeaseExists
        | C::LockHeld
        | C::NotInQueue
        | C::NotElected
        | C::ChangePending
        | C::WouldLoseQuorum
        | C::NodeIdUsed
        | C::DirectoryTaken
        | C::WrongKindOfMember
        | C::NotCaughtUp
        | C::NoVoterLeft
        | C::TooManyMembers
        | C::NothingToChange
        | C::NoTransferTarget
        | C::TransferFailed => S::CONFLICT,
        C::QuotaOfKeys | C::QuotaOfBytes | C::DiskFull | C::RevisionsExhausted | C::TokensExhausted => {
            S::INSUFFICIENT_STORAGE
        }
        C::TooManySessions
        | C::TooManyIdempotencyKeys
        | C::TooManyNamespaces
        | C::TooManyLeases
        | C::TooManyKeysOfLease
        | C::TooManyPlaces
        | C::WindowFull
        | C::Overloaded => S::TOO_MANY_REQUESTS,
        C::ForwardFailed => S::BAD_GATEWAY,
        C::TimedOut | C::PositionNotReached => S::GATEWAY_TIMEOUT,
        C::NotLeader
        | C::NoLeader
        | C::LeadershipLost
        | C::TooStale
        | C::Starting
        | C::Stopping
        | C::Diverged
        | C::AuditUnreadable
        | C::SnapshotFailed => S::SERVICE_UNAVAILABLE,
    }
}

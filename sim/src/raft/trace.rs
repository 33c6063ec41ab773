//! What a run did: a hash of all of it, always; and lines for people, when asked for.

use std::fmt::Write;

use holdfast_machine::Numbered;
use holdfast_raft::{Event, Message};

use super::network::Packet;
use super::queue::Micros;
use super::rng::mix;

/// The trace of one run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Equal for two runs of the same seed, or something is not determined by it.
    pub hash: u64,
    /// One line per edge, message and fault; `None` if nobody reads them.
    pub lines: Option<Vec<String>>,
}

/// Adds a line, which is made only if somebody reads it.
macro_rules! say {
    ($world:expr, $($what:tt)+) => {
        if $world.trace.lines.is_some() {
            let line = format!($($what)+);
            $world.trace.line($world.now, &line);
        }
    };
}
pub(crate) use say;

impl Trace {
    /// Something happened.
    pub fn note(&mut self, what: u64) {
        self.hash = mix(self.hash, what);
    }

    /// A line for people.
    pub fn line(&mut self, now: Micros, what: &str) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>4}.{:06}  {what}", now / 1_000_000, now % 1_000_000));
        }
    }
}

/// A message for people.
#[must_use]
pub(super) fn letter(packet: &Packet) -> String {
    let Packet { replayed, envelope, .. } = packet;
    let again = if *replayed { " (again)" } else { "" };
    let to_boot = envelope.to_boot.map_or("?".to_owned(), |boot| boot.to_string());
    format!(
        "n{}.{} → n{}.{to_boot} term {} {}{again}",
        envelope.from,
        envelope.from_boot,
        envelope.to,
        envelope.term,
        message(&envelope.message)
    )
}

/// What a message says, for people.
#[must_use]
pub(super) fn message(message: &Message) -> String {
    let mut text = message.name().to_owned();
    let done = match message {
        Message::PreVote { last } | Message::TimeoutNow { last } | Message::SnapshotReject { last } => {
            write!(text, " last {last}")
        }
        Message::PreVoteReply { asked, granted } => write!(text, " for {asked}: {granted}"),
        Message::Vote { last, transfer } => {
            write!(text, " last {last}{}", if *transfer { " handed over" } else { "" })
        }
        Message::VoteReply { granted } => write!(text, " {granted}"),
        Message::Append { prev, entries, commit, established, stretch } => {
            let terms: Vec<u64> = entries.iter().map(|entry| entry.term.0).collect();
            let known = if *established { "" } else { " not established" };
            write!(text, " behind {prev} {terms:?} commit {commit}{known} stretch {stretch}")
        }
        Message::AppendAck { matched, stretch, counting } => {
            write!(text, " {matched} stretch {stretch}{}", if *counting { "" } else { " not counting" })
        }
        Message::AppendReject { prev, hint, stretch } => {
            write!(text, " {prev} hint {hint} stretch {stretch}")
        }
        Message::Heartbeat { round, commit, established } => {
            write!(
                text,
                " round {round} commit {commit}{}",
                if *established { "" } else { " not established" }
            )
        }
        Message::HeartbeatAck { round, counting } => {
            write!(text, " round {round}{}", if *counting { "" } else { " not counting" })
        }
        Message::ReadIndex { batch } => write!(text, " batch {batch}"),
        Message::ReadIndexReply { batch, index } => write!(text, " batch {batch}: {index:?}"),
        Message::SnapshotChunk { meta, offset, data } => {
            write!(text, " to {} bytes {offset}+{} of {}", meta.last, data.len(), meta.bytes)
        }
        Message::SnapshotAck { last, offset } => write!(text, " to {last} at {offset}"),
        Message::Notice => Ok(()),
    };
    debug_assert!(done.is_ok(), "a string takes everything");
    text
}

/// An event of a core, for people.
#[must_use]
pub(super) fn event(event: &Event) -> String {
    match event {
        Event::Role(edge, term) => format!("{} term {term}", edge.label()),
        Event::Progress(peer, edge) => format!("{} of n{peer}", edge.label()),
        Event::Membership(edge, index) => format!("{} acting {index}", edge.label()),
        Event::Transfer(edge, index) => format!("{} to {index}", edge.label()),
        Event::Alarm(alarm, about) => format!("{} about n{about}", alarm.label()),
        Event::HandedOver(to) => format!("hands over to n{to}"),
        Event::TransferGivenUp(to) => format!("gives up handing over to n{to}"),
        Event::Healed(index) => format!("healed up to {index}"),
    }
}

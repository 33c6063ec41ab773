//! What an entry of the log is, in words for people: which command, about what, in whose name.

use std::fmt;

use bytes::Bytes;
use holdfast_command::keys::{Operation, Span};
use holdfast_command::{Actor, Command, CommandNumber, Envelope, Request};
use holdfast_machine::Numbered as _;
use holdfast_raft::Payload;

use crate::storage::decode_payload;

/// Bytes of a key that are shown.
const KEY_SHOWN: usize = 120;

/// An entry in words. None of them holds a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Described {
    /// The name of the command, or what else it is.
    pub(crate) command: String,
    /// What it is about; empty if that is nothing, or more than one thing.
    pub(crate) about: String,
    /// In whose name; empty if nobody's.
    pub(crate) actor: String,
}

impl Described {
    fn other(command: &str, about: String) -> Self {
        Self { command: command.to_owned(), about, actor: String::new() }
    }
}

/// The bytes of an entry in words. What cannot be read says why.
pub(crate) fn entry(bytes: &Bytes) -> Described {
    match decode_payload(bytes.clone()) {
        Ok(Payload::Empty) => Described::other("(empty)", String::new()),
        Ok(Payload::Configuration(configuration)) => {
            let voters: Vec<String> = configuration.voters().iter().map(|id| id.0.to_string()).collect();
            Described::other("(configuration)", format!("voters {}", voters.join(",")))
        }
        Ok(Payload::Data(data)) => {
            command(&data).unwrap_or_else(|why| Described::other("(unreadable)", why.to_string()))
        }
        Err(why) => Described::other("(unreadable)", why.to_string()),
    }
}

fn command(data: &Bytes) -> Result<Described, impl fmt::Display + use<>> {
    let split = Envelope::split(data);
    split.map(|(envelope, request)| {
        let number = Request::number(&request);
        let name = number.and_then(CommandNumber::from_number).map(|command| command.name().to_owned());
        let command = name.unwrap_or_else(|| format!("(command {})", number.unwrap_or_default()));
        let actor = match &envelope.actor {
            Actor::Anonymous => String::new(),
            Actor::Named(name) => shown(name.as_bytes()),
            Actor::Cluster => "(the cluster)".to_owned(),
        };
        let about = Request::decode(request)
            .map_or_else(|why| format!("(unreadable: {why})"), |request| subject(&request.command));
        Described { command, about, actor }
    })
}

/// What a command is about.
fn subject(command: &Command) -> String {
    match command {
        Command::Put(put) => shown(&put.key),
        Command::Delete(delete) => span(&delete.span),
        Command::Restore(restore) => shown(&restore.key),
        Command::Transact(transaction) => {
            let operations = transaction.then.iter().chain(&transaction.otherwise);
            operations.into_iter().find_map(first_key).unwrap_or_default()
        }
        Command::Acquire(acquire) => shown(&acquire.name),
        Command::Release(release) => shown(&release.name),
        Command::Campaign(campaign) => shown(&campaign.name),
        Command::Proclaim(proclaim) => shown(&proclaim.name),
        Command::Resign(resign) => shown(&resign.name),
        Command::GrantLease(grant) => format!("lease {}", grant.lease),
        Command::RevokeLease(revoke) => format!("lease {}", revoke.lease),
        Command::ExpireLease(expire) => format!("lease {}", expire.lease),
        Command::RenewLeases(renew) => format!("{} leases", renew.kept.len()),
        Command::KeepSessions(keep) => format!("{} sessions", keep.kept.len()),
        Command::Compact(compact) => format!("revision {}", compact.revision),
        Command::SetNamespace(_)
        | Command::DeleteNamespace(_)
        | Command::ChangeSettings(_)
        | Command::RaiseFeatureLevel(_)
        | Command::OpenSession(_)
        | Command::CloseSession(_)
        | Command::Tick => String::new(),
    }
}

/// The first key that a transaction touches, with a sign that there may be more.
fn first_key(operation: &Operation) -> Option<String> {
    let first = match operation {
        Operation::Put(put) => shown(&put.key),
        Operation::Restore(restore) => shown(&restore.key),
        Operation::Delete(delete) => span(&delete.span),
        Operation::Range(range) => span(&range.span),
        Operation::Transaction(_) => return None,
    };
    Some(format!("{first} …"))
}

/// Keys that belong together.
pub(crate) fn span(span: &Span) -> String {
    match span {
        Span::Key(key) => shown(key),
        Span::Between { start, end } => format!("{} to {}", shown(start), shown(end)),
        Span::From(start) => format!("{} to the end", shown(start)),
    }
}

/// Text as it is, everything else escaped, and no more of it than fits into a line.
fn shown(bytes: &[u8]) -> String {
    let cut = bytes.get(..KEY_SHOWN).unwrap_or(bytes);
    let more = if cut.len() < bytes.len() { "…" } else { "" };
    match std::str::from_utf8(cut) {
        Ok(text) if !text.chars().any(char::is_control) => format!("{text}{more}"),
        Ok(_) | Err(_) => format!("\"{}\"{more}", cut.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use holdfast_command::Request;
    use holdfast_command::keys::Put;

    use super::*;

    fn entry_of(command: Command, actor: Actor) -> Bytes {
        let envelope = Envelope { stamp: 0, clock: 0, actor, auth_revision: 0, address: None };
        let mut bytes = Vec::new();
        envelope.write(&mut bytes);
        bytes.extend_from_slice(&Request::from(command).encode());
        bytes.into()
    }

    #[test]
    fn an_entry_is_told_by_command_key_and_actor_and_never_by_its_value() {
        let put = Put { key: "app/db".into(), value: "secret".into(), ..Put::default() };
        let described = entry(&entry_of(Command::Put(put), Actor::Named("ann".into())));
        assert_eq!(
            (described.command.as_str(), described.about.as_str(), described.actor.as_str()),
            ("Put", "app/db", "ann")
        );
        assert!(!format!("{described:?}").contains("secret"));
    }

    #[test]
    fn what_is_no_entry_says_why_and_binary_keys_are_escaped() {
        assert_eq!(entry(&Bytes::new()).command, "(empty)");
        assert_eq!(entry(&Bytes::from_static(&[200])).command, "(unreadable)");
        assert_eq!(entry(&Bytes::from_static(&[1, 2])).command, "(unreadable)");
        assert_eq!(shown(b"a\xff"), "\"a\\xff\"");
        assert!(shown(&[b'x'; 500]).ends_with("x…"));
    }
}

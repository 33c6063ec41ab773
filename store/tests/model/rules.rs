//! The model, continued: what is refused whatever the state of the keys, one rule after the other.

use bytes::Bytes;
use holdfast_command::keys::{Against, Operation, Put, Span, Transaction};
use holdfast_command::namespaces::SetNamespace;
use holdfast_command::{
    Actor, Command, Extensions, FeatureLevel, Refusal, Request, RequestKey, Setting, Settings,
};

/// All commands that there are. Each is known from the first level on.
const COMMANDS: [u16; 22] =
    [1, 2, 3, 4, 5, 101, 102, 201, 202, 301, 302, 303, 401, 501, 502, 503, 504, 601, 602, 701, 702, 703];

/// The request of these bytes and its deadline, if the cluster is far enough to know what it means.
pub(crate) fn gate(bytes: &Bytes, level: FeatureLevel) -> Result<(Request, Option<u64>), Refusal> {
    if let [low, high, ..] = bytes[..] {
        let number = u16::from_le_bytes([low, high]);
        if !COMMANDS.contains(&number) {
            return Err(Refusal::UnknownCommand { number, level });
        }
    }
    let request = Request::decode(bytes.clone())?;
    let bare = Request { extensions: Extensions::default(), ..request.clone() };
    let mut rest = &bytes[bare.encode().len()..];
    let mut not_after = None;
    while !rest.is_empty() {
        let tag = u16::from_le_bytes([rest[0], rest[1]]);
        let length = u32::from_le_bytes([rest[2], rest[3], rest[4], rest[5]]) as usize;
        let value = &rest[6..6 + length];
        rest = &rest[6 + length..];
        if tag != 1 || level.0 < 2 {
            return Err(Refusal::UnsupportedFeature { tag, level });
        }
        let value = <[u8; 8]>::try_from(value).map_err(|_| Refusal::Malformed { offset: 0 })?;
        not_after = Some(u64::from_le_bytes(value));
    }
    Ok((request, not_after))
}

/// Who may ask for what under which request key.
pub(crate) fn of_request_key(request: &Request, actor: &Actor) -> Result<(), Refusal> {
    if let RequestKey::Session { sequence, low, .. } = request.key
        && (low == 0 || low > sequence)
    {
        return Err(Refusal::BadSequence { sequence, low });
    }
    let number = match request.command {
        Command::Tick => 401,
        Command::KeepSessions(_) => 302,
        Command::RaiseFeatureLevel(_) => 202,
        Command::RenewLeases(_) => 502,
        Command::ExpireLease(_) => 504,
        _ => return Ok(()),
    };
    if *actor != Actor::Cluster {
        return Err(Refusal::NotForClients { number });
    }
    if request.key != RequestKey::None {
        return Err(Refusal::Contradiction);
    }
    Ok(())
}

/// Whether only nodes send it.
pub(crate) fn of_node(command: &Command) -> bool {
    matches!(
        command,
        Command::Tick
            | Command::KeepSessions(_)
            | Command::RaiseFeatureLevel(_)
            | Command::RenewLeases(_)
            | Command::ExpireLease(_)
    )
}

/// What no state could accept.
pub(crate) fn limits(request: &Request, bytes: u64, settings: &Settings) -> Result<(), Refusal> {
    let limit = settings.get(Setting::RequestBytes);
    if bytes > limit && !of_node(&request.command) {
        return Err(Refusal::RequestTooLong { bytes, limit });
    }
    if request.reason.len() > 1_024 {
        return Err(Refusal::ReasonTooLong { bytes: request.reason.len() as u64, limit: 1_024 });
    }
    match &request.command {
        Command::Put(put) => of_put(put, settings),
        Command::Delete(delete) => of_span(&delete.span),
        Command::Restore(restore) => of_key(&restore.key, settings),
        Command::Transact(transaction) => {
            let (operations, limit) = (size(transaction), settings.get(Setting::Operations));
            if operations > limit {
                return Err(Refusal::TooManyOperations { operations, limit });
            }
            of_transaction(transaction, settings)
        }
        Command::SetNamespace(set) => of_namespace(set),
        Command::ChangeSettings(change) => {
            for (i, (number, _)) in change.changes.iter().enumerate() {
                if change.changes[..i].iter().any(|(other, _)| other == number) {
                    return Err(Refusal::Contradiction);
                }
            }
            Ok(())
        }
        Command::GrantLease(grant) => {
            if grant.lease < 0 {
                return Err(Refusal::BadLease { lease: grant.lease });
            }
            Ok(())
        }
        Command::RevokeLease(revoke) => of_lease(revoke.lease),
        Command::Acquire(acquire) => of_place(&acquire.name, acquire.lease, acquire.value.len()),
        Command::Release(release) => of_place(&release.name, release.lease, 0),
        Command::Campaign(campaign) => of_place(&campaign.name, campaign.lease, campaign.value.len()),
        Command::Proclaim(proclaim) => of_place(&proclaim.name, proclaim.lease, proclaim.value.len()),
        Command::Resign(resign) => of_place(&resign.name, resign.lease, 0),
        Command::Compact(_)
        | Command::DeleteNamespace(_)
        | Command::RaiseFeatureLevel(_)
        | Command::OpenSession(_)
        | Command::KeepSessions(_)
        | Command::CloseSession(_)
        | Command::Tick
        | Command::RenewLeases(_)
        | Command::ExpireLease(_) => Ok(()),
    }
}

fn of_lease(lease: i64) -> Result<(), Refusal> {
    if lease <= 0 { Err(Refusal::BadLease { lease }) } else { Ok(()) }
}

fn of_place(name: &Bytes, lease: i64, value: usize) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > 255 {
        return Err(Refusal::BadName);
    }
    of_lease(lease)?;
    if value > 4_096 {
        return Err(Refusal::ValueTooLong { bytes: value as u64, limit: 4_096 });
    }
    Ok(())
}

fn size(transaction: &Transaction) -> u64 {
    let mut size = transaction.compares.len() as u64;
    for operation in transaction.then.iter().chain(&transaction.otherwise) {
        size += 1;
        if let Operation::Transaction(inner) = operation {
            size += self::size(inner);
        }
    }
    size
}

fn of_key(key: &[u8], settings: &Settings) -> Result<(), Refusal> {
    let (bytes, limit) = (key.len() as u64, settings.get(Setting::KeyBytes));
    match bytes {
        0 => Err(Refusal::EmptyKey),
        _ if bytes > limit => Err(Refusal::KeyTooLong { bytes, limit }),
        _ => Ok(()),
    }
}

fn of_put(put: &Put, settings: &Settings) -> Result<(), Refusal> {
    of_key(&put.key, settings)?;
    let (bytes, limit) = (put.value.len() as u64, settings.get(Setting::ValueBytes));
    if bytes > limit {
        return Err(Refusal::ValueTooLong { bytes, limit });
    }
    if put.keep_value && !put.value.is_empty() {
        return Err(Refusal::Contradiction);
    }
    if put.keep_lease && put.lease != 0 {
        return Err(Refusal::Contradiction);
    }
    if put.lease < 0 {
        return Err(Refusal::UnknownLease { lease: put.lease });
    }
    Ok(())
}

pub(crate) fn of_span(span: &Span) -> Result<(), Refusal> {
    match span {
        Span::Key(key) if key.is_empty() => Err(Refusal::EmptyKey),
        Span::Between { start, end } if start >= end => Err(Refusal::EmptySpan),
        Span::Key(_) | Span::Between { .. } | Span::From(_) => Ok(()),
    }
}

fn of_transaction(transaction: &Transaction, settings: &Settings) -> Result<(), Refusal> {
    for compare in &transaction.compares {
        of_span(&compare.span)?;
        let by_name = matches!(compare.against, Against::Fence(_) | Against::Term(_));
        if by_name && !matches!(compare.span, Span::Key(_)) {
            return Err(Refusal::Contradiction);
        }
    }
    for list in [&transaction.then, &transaction.otherwise] {
        for operation in list {
            match operation {
                Operation::Put(put) => of_put(put, settings)?,
                Operation::Delete(delete) => of_span(&delete.span)?,
                Operation::Range(range) => of_span(&range.span)?,
                Operation::Restore(restore) => of_key(&restore.key, settings)?,
                Operation::Transaction(inner) => of_transaction(inner, settings)?,
            }
        }
        for (i, one) in list.iter().enumerate() {
            for (j, other) in list.iter().enumerate() {
                let (written, (other_written, deleted)) = (changes(one).0, changes(other));
                let collide =
                    |key: &Bytes| other_written.contains(key) || deleted.iter().any(|span| within(span, key));
                if i != j && written.iter().any(collide) {
                    return Err(Refusal::DuplicateKey);
                }
            }
        }
    }
    Ok(())
}

/// The keys that an operation may write, and the spans that it may delete.
fn changes(operation: &Operation) -> (Vec<Bytes>, Vec<Span>) {
    let (mut written, mut deleted) = (Vec::new(), Vec::new());
    match operation {
        Operation::Put(put) => written.push(put.key.clone()),
        Operation::Restore(restore) => written.push(restore.key.clone()),
        Operation::Delete(delete) => deleted.push(delete.span.clone()),
        Operation::Range(_) => {}
        Operation::Transaction(inner) => {
            for operation in inner.then.iter().chain(&inner.otherwise) {
                let (more_written, more_deleted) = changes(operation);
                written.extend(more_written);
                deleted.extend(more_deleted);
            }
        }
    }
    (written, deleted)
}

/// Whether a key belongs to a span.
pub(crate) fn within(span: &Span, key: &[u8]) -> bool {
    match span {
        Span::Key(own) => key == own,
        Span::Between { start, end } => key >= &start[..] && key < &end[..],
        Span::From(start) => key >= &start[..],
    }
}

fn of_namespace(set: &SetNamespace) -> Result<(), Refusal> {
    let name = set.name.as_bytes();
    let slashes_fit =
        name.ends_with(b"/") && !name.starts_with(b"/") && !name.windows(2).any(|two| two == b"//");
    if !slashes_fit || name.len() > 255 {
        return Err(Refusal::BadNamespaceName);
    }
    let bytes = set.rules.description.len() as u64;
    if bytes > 1_024 {
        return Err(Refusal::DescriptionTooLong { bytes, limit: 1_024 });
    }
    for owner in &set.rules.owners {
        let bytes = owner.len() as u64;
        if bytes > 255 {
            return Err(Refusal::DescriptionTooLong { bytes, limit: 255 });
        }
    }
    Ok(())
}

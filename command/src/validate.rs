//! Everything about a request that can be refused without knowing the state.
//!
//! It runs twice: when a request is admitted, so that nothing enters the log that could not be applied, and again when
//! it is applied, because the settings may have changed in between and because a broken leader must not be able to
//! break the others.
//!
//! In apply, a repetition is recognised between the two functions: a limit that was lowered in between must not tell a
//! client that what was executed "was not".

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::envelope::Actor;
use crate::keys::{Against, Compare, Operation, Put, Range, Restore, Span, Transaction};
use crate::locks::{NAME_BYTES_MAX, VALUE_BYTES_MAX};
use crate::namespaces::{self, SetNamespace};
use crate::number::Origin;
use crate::refusal::Refusal;
use crate::request::{Command, REASON_BYTES_MAX, Request, RequestKey};
use crate::settings::{Setting, Settings};

/// What a request is measured by. All of it comes from the replicated settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`Setting::RequestBytes`].
    pub request_bytes: u64,
    /// See [`Setting::Operations`].
    pub operations: u64,
    /// See [`Setting::KeyBytes`].
    pub key_bytes: u64,
    /// See [`Setting::ValueBytes`].
    pub value_bytes: u64,
}

impl From<&Settings> for Limits {
    fn from(settings: &Settings) -> Self {
        Self {
            request_bytes: settings.get(Setting::RequestBytes),
            operations: settings.get(Setting::Operations),
            key_bytes: settings.get(Setting::KeyBytes),
            value_bytes: settings.get(Setting::ValueBytes),
        }
    }
}

/// Whether `actor` may ask for this command under this request key, whatever the limits.
///
/// # Errors
/// [`Refusal::BadSequence`], [`Refusal::NotForClients`], and [`Refusal::Contradiction`] for a command of a node under a
/// request key.
pub fn validate_key(request: &Request, actor: &Actor) -> Result<(), Refusal> {
    if let RequestKey::Session { sequence, low, .. } = request.key
        && !(1..=sequence).contains(&low)
    {
        return Err(Refusal::BadSequence { sequence, low });
    }
    let number = request.command.number();
    if number.origin() == Origin::Node {
        if *actor != Actor::Cluster {
            return Err(Refusal::NotForClients { number: number as u16 });
        }
        if request.key != RequestKey::None {
            return Err(Refusal::Contradiction);
        }
    }
    Ok(())
}

/// Whether a request of `bytes` encoded bytes lies within the limits and does not contradict itself.
///
/// # Errors
/// What is wrong with it.
pub fn validate(request: &Request, bytes: usize, limits: &Limits) -> Result<(), Refusal> {
    // What nodes send on behalf of many has bounds of its own; a limit for clients must not end all sessions at once.
    if request.command.number().origin() == Origin::Client {
        within(bytes, limits.request_bytes, |bytes, limit| Refusal::RequestTooLong { bytes, limit })?;
    }
    within(request.reason.len(), REASON_BYTES_MAX as u64, |bytes, limit| Refusal::ReasonTooLong {
        bytes,
        limit,
    })?;
    match &request.command {
        Command::Put(put) => put_is_valid(put, limits),
        Command::Delete(delete) => span_is_valid(&delete.span),
        Command::Restore(restore) => key_is_valid(&restore.key, limits),
        Command::Transact(transaction) => {
            within(transaction.size(), limits.operations, |operations, limit| Refusal::TooManyOperations {
                operations,
                limit,
            })?;
            transaction_is_valid(transaction, limits)
        }
        Command::SetNamespace(set) => namespace_is_valid(set),
        Command::ChangeSettings(change) => {
            let mut numbers: Vec<u16> = change.changes.iter().map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            let twice = numbers.windows(2).any(|pair| pair.first() == pair.last());
            if twice { Err(Refusal::Contradiction) } else { Ok(()) }
        }
        Command::GrantLease(grant) if grant.lease < 0 => Err(Refusal::BadLease { lease: grant.lease }),
        Command::RevokeLease(revoke) => lease_is_valid(revoke.lease),
        Command::Acquire(acquire) => place_is_valid(&acquire.name, acquire.lease, &acquire.value),
        Command::Release(release) => place_is_valid(&release.name, release.lease, &[]),
        Command::Campaign(campaign) => place_is_valid(&campaign.name, campaign.lease, &campaign.value),
        Command::Proclaim(proclaim) => place_is_valid(&proclaim.name, proclaim.lease, &proclaim.value),
        Command::Resign(resign) => place_is_valid(&resign.name, resign.lease, &[]),
        Command::Compact(_)
        | Command::DeleteNamespace(_)
        | Command::RaiseFeatureLevel(_)
        | Command::OpenSession(_)
        | Command::KeepSessions(_)
        | Command::CloseSession(_)
        | Command::Tick
        | Command::GrantLease(_)
        | Command::RenewLeases(_)
        | Command::ExpireLease(_) => Ok(()),
    }
}

fn lease_is_valid(lease: i64) -> Result<(), Refusal> {
    if lease > 0 { Ok(()) } else { Err(Refusal::BadLease { lease }) }
}

/// What names a place in the queue of a lock or an election.
fn place_is_valid(name: &[u8], lease: i64, value: &[u8]) -> Result<(), Refusal> {
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Err(Refusal::BadName);
    }
    lease_is_valid(lease)?;
    within(value.len(), VALUE_BYTES_MAX as u64, |bytes, limit| Refusal::ValueTooLong { bytes, limit })
}

fn within(count: usize, limit: u64, refusal: impl FnOnce(u64, u64) -> Refusal) -> Result<(), Refusal> {
    if count as u64 > limit { Err(refusal(count as u64, limit)) } else { Ok(()) }
}

fn key_is_valid(key: &[u8], limits: &Limits) -> Result<(), Refusal> {
    if key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    within(key.len(), limits.key_bytes, |bytes, limit| Refusal::KeyTooLong { bytes, limit })
}

fn put_is_valid(put: &Put, limits: &Limits) -> Result<(), Refusal> {
    key_is_valid(&put.key, limits)?;
    within(put.value.len(), limits.value_bytes, |bytes, limit| Refusal::ValueTooLong { bytes, limit })?;
    if (put.keep_value && !put.value.is_empty()) || (put.keep_lease && put.lease != 0) {
        return Err(Refusal::Contradiction);
    }
    if put.lease < 0 {
        return Err(Refusal::UnknownLease { lease: put.lease });
    }
    Ok(())
}

fn span_is_valid(span: &Span) -> Result<(), Refusal> {
    match span {
        Span::Key(key) if key.is_empty() => Err(Refusal::EmptyKey),
        Span::Between { start, end } if end <= start => Err(Refusal::EmptySpan),
        Span::Key(_) | Span::Between { .. } | Span::From(_) => Ok(()),
    }
}

/// Whether a range may be read at all; for ranges outside of transactions as well.
///
/// # Errors
/// [`Refusal::EmptyKey`], [`Refusal::EmptySpan`].
pub fn range_is_valid(range: &Range) -> Result<(), Refusal> {
    span_is_valid(&range.span)
}

fn namespace_is_valid(set: &SetNamespace) -> Result<(), Refusal> {
    if !namespaces::is_name(&set.name) {
        return Err(Refusal::BadNamespaceName);
    }
    let too_long = |bytes, limit| Refusal::DescriptionTooLong { bytes, limit };
    within(set.rules.description.len(), namespaces::DESCRIPTION_BYTES_MAX as u64, too_long)?;
    within(set.rules.owners.len(), namespaces::OWNERS_MAX as u64, too_long)?;
    for owner in &set.rules.owners {
        within(owner.len(), namespaces::OWNER_BYTES_MAX as u64, too_long)?;
    }
    Ok(())
}

fn transaction_is_valid(transaction: &Transaction, limits: &Limits) -> Result<(), Refusal> {
    for Compare { span, against, .. } in &transaction.compares {
        span_is_valid(span)?;
        // Locks and elections are asked for one by one.
        let by_name = matches!(against, Against::Fence(_) | Against::Term(_));
        if by_name && !matches!(span, Span::Key(_)) {
            return Err(Refusal::Contradiction);
        }
    }
    for branch in [&transaction.then, &transaction.otherwise] {
        for operation in branch {
            match operation {
                Operation::Put(put) => put_is_valid(put, limits)?,
                Operation::Restore(Restore { key, .. }) => key_is_valid(key, limits)?,
                Operation::Delete(delete) => span_is_valid(&delete.span)?,
                Operation::Range(range) => range_is_valid(range)?,
                Operation::Transaction(inner) => transaction_is_valid(inner, limits)?,
            }
        }
        no_key_changes_twice(branch)?;
    }
    Ok(())
}

/// The keys that a list of operations writes and the spans that it deletes, each with the place of the operation in the
/// list that holds it.
#[derive(Default)]
struct Changes<'a> {
    writes: Vec<(&'a Bytes, usize)>,
    deletions: Vec<(&'a Span, usize)>,
}

impl<'a> Changes<'a> {
    /// `place` is that of the operation in the outermost list, or none at the outermost level.
    fn collect(&mut self, branch: &'a [Operation], place: Option<usize>) {
        for (at, operation) in branch.iter().enumerate() {
            let place = place.unwrap_or(at);
            match operation {
                Operation::Put(Put { key, .. }) | Operation::Restore(Restore { key, .. }) => {
                    self.writes.push((key, place));
                }
                Operation::Delete(delete) => self.deletions.push((&delete.span, place)),
                Operation::Range(_) => {}
                Operation::Transaction(inner) => {
                    self.collect(&inner.then, Some(place));
                    self.collect(&inner.otherwise, Some(place));
                }
            }
        }
    }
}

/// Where a span ends: a key and whether that key still belongs to it; none if it has no end. Ordered by what comes
/// behind.
type End<'a> = Option<(&'a [u8], bool)>;

fn ends_before(one: End<'_>, other: End<'_>) -> bool {
    match (one, other) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(one), Some(other)) => one < other,
    }
}

fn bounds(span: &Span) -> (&[u8], End<'_>) {
    match span {
        Span::Key(key) => (key, Some((key, true))),
        Span::Between { start, end } => (start, Some((end, false))),
        Span::From(start) => (start, None),
    }
}

/// No key is written by two operations of a list, or written by one and deleted by another; an inner transaction counts
/// as one operation that does what either of its lists does. Keys may be deleted twice. (The rule of etcd.)
///
/// O(n log n): the spans of one operation are merged first, and what it writes itself is met at most once.
fn no_key_changes_twice(branch: &[Operation]) -> Result<(), Refusal> {
    let mut changes = Changes::default();
    changes.collect(branch, None);
    let mut writes: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (key, place) in changes.writes {
        if writes.insert(key, place).is_some_and(|other| other != place) {
            return Err(Refusal::DuplicateKey);
        }
    }
    let mut deletions: Vec<_> =
        changes.deletions.iter().map(|(span, place)| (*place, bounds(span))).collect();
    deletions.sort_unstable_by_key(|(place, (start, _))| (*place, *start));
    let mut deletions = deletions.into_iter().peekable();
    while let Some((place, (start, mut end))) = deletions.next() {
        let reaches = |end: End<'_>, key: &[u8]| end.is_none_or(|(last, _)| key <= last);
        while let Some((_, (_, further))) =
            deletions.next_if(|(other, (next, _))| *other == place && reaches(end, next))
        {
            if ends_before(end, further) {
                end = further;
            }
        }
        let last = match end {
            None => Bound::Unbounded,
            Some((key, true)) => Bound::Included(key),
            Some((key, false)) => Bound::Excluded(key),
        };
        if writes.range::<[u8], _>((Bound::Included(start), last)).any(|(_, other)| *other != place) {
            return Err(Refusal::DuplicateKey);
        }
    }
    Ok(())
}

//! The commands on keys: each is an edit of one operation, or of many.

use std::cmp::Ordering;

use bytes::Bytes;
use holdfast_command::keys::{
    Against, Compare, Delete, Operation, Put, Relation, Restore, Span, Transaction,
};
use holdfast_command::{Refusal, Reply};

use super::edit::Edit;
use crate::plant::{Bug, Plant};
use crate::queues::QueueKind;
use crate::state::{Execute, State};
use crate::version::{Origin, Version};

/// Does one thing under a new revision, or nothing.
fn edit<'a, P: Plant, T>(
    state: &'a mut State,
    origin: Origin<'a>,
    act: impl FnOnce(&mut Edit<'a>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let mut edit = Edit::new(state, origin);
    match act(&mut edit) {
        Ok(reply) => edit.finish::<P>().map(|()| reply),
        Err(refusal) => {
            edit.take_back();
            Err(refusal)
        }
    }
}

/// Deletes these keys in one revision, whatever the limits for commands.
///
/// # Errors
/// [`Refusal::RevisionsExhausted`]; nothing has changed then.
pub(crate) fn delete_all<P: Plant>(
    state: &mut State,
    origin: Origin<'_>,
    keys: &[Bytes],
) -> Result<(), Refusal> {
    edit::<P, _>(state, origin, |edit| edit.delete_all(keys))
}

impl Execute for Put {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        edit::<P, _>(state, origin, |edit| edit.put::<P>(self))
    }
}

impl Execute for Delete {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        let reply = edit::<P, _>(state, origin, |edit| edit.delete(self))?;
        if P::plants(Bug::EmptyDeletionCounts) && matches!(reply, Reply::Deleted { count: 0, .. }) {
            state.keys.revision += 1;
        }
        Ok(reply)
    }
}

impl Execute for Restore {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        edit::<P, _>(state, origin, |edit| edit.restore::<P>(self))
    }
}

impl Execute for Transaction {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        edit::<P, _>(state, origin, |edit| {
            let mut choices = Vec::new();
            choose(self, edit, &mut choices);
            edit.visits.check()?;
            if names_revision(self) {
                edit.remember();
            }
            transact::<P>(self, edit, &mut choices.into_iter())
        })
    }
}

/// Whether a range in it asks for a revision other than that of the moment.
fn names_revision(transaction: &Transaction) -> bool {
    transaction.then.iter().chain(&transaction.otherwise).any(|operation| match operation {
        Operation::Range(range) => range.revision != 0 || !range.continuation.is_empty(),
        Operation::Transaction(inner) => names_revision(inner),
        Operation::Put(_) | Operation::Delete(_) | Operation::Restore(_) => false,
    })
}

/// Makes the comparisons of a transaction and of those inside the list that they choose, in the order in which these
/// are come by.
fn choose(transaction: &Transaction, edit: &Edit<'_>, choices: &mut Vec<bool>) {
    let succeeded = transaction.compares.iter().all(|compare| holds(compare, edit));
    choices.push(succeeded);
    for operation in chosen(transaction, succeeded) {
        match operation {
            Operation::Transaction(inner) => choose(inner, edit, choices),
            Operation::Put(_) | Operation::Delete(_) | Operation::Range(_) | Operation::Restore(_) => {}
        }
    }
}

fn chosen(transaction: &Transaction, succeeded: bool) -> &[Operation] {
    if succeeded { &transaction.then } else { &transaction.otherwise }
}

fn transact<P: Plant>(
    transaction: &Transaction,
    edit: &mut Edit<'_>,
    choices: &mut impl Iterator<Item = bool>,
) -> Result<Reply, Refusal> {
    let mut succeeded = choices.next().unwrap_or_default();
    if P::plants(Bug::InnerComparesLate) {
        succeeded = transaction.compares.iter().all(|compare| holds(compare, edit));
    }
    let operations = chosen(transaction, succeeded);
    let mut results = Vec::with_capacity(operations.len());
    for operation in operations {
        results.push(match operation {
            Operation::Put(put) => edit.put::<P>(put)?,
            Operation::Delete(delete) => edit.delete(delete)?,
            Operation::Range(range) => edit.range::<P>(range)?,
            Operation::Restore(restore) => edit.restore::<P>(restore)?,
            Operation::Transaction(inner) => transact::<P>(inner, edit, choices)?,
        });
    }
    Ok(Reply::Transacted { revision: edit.revision(), succeeded, results })
}

/// Whether a comparison holds, for each key of its span, or for a key that does not exist if there is none.
fn holds(compare: &Compare, edit: &Edit<'_>) -> bool {
    if let Some(ordering) = compared_token(compare, edit) {
        return related(ordering, compare.relation);
    }
    let mut versions = edit.state.keys.current_of(&compare.span).peekable();
    if versions.peek().is_none() {
        return holds_of(compare, None);
    }
    let weight = |version: &Version| match compare.against {
        Against::Value(_) => version.value().len(),
        Against::Version(_)
        | Against::CreateRevision(_)
        | Against::ModRevision(_)
        | Against::Lease(_)
        | Against::Fence(_)
        | Against::Term(_) => 0,
    };
    versions.all(|version| {
        edit.visits.spend() && edit.visits.spend_on(weight(version)) && holds_of(compare, Some(version))
    })
}

/// How the token of a lock or an election is related to that of a comparison; none if it compares something of keys.
fn compared_token(compare: &Compare, edit: &Edit<'_>) -> Option<Ordering> {
    let (kind, token) = match compare.against {
        Against::Fence(token) => (QueueKind::Lock, token),
        Against::Term(token) => (QueueKind::Election, token),
        Against::Version(_)
        | Against::CreateRevision(_)
        | Against::ModRevision(_)
        | Against::Lease(_)
        | Against::Value(_) => return None,
    };
    match &compare.span {
        Span::Key(name) => Some(edit.state.queues.token_of(kind, name).cmp(&token)),
        // Such a request was refused before it got here.
        Span::Between { .. } | Span::From(_) => None,
    }
}

fn holds_of(compare: &Compare, version: Option<&Version>) -> bool {
    let ordering = match &compare.against {
        Against::Version(number) => version.map_or(0, Version::version).cmp(number),
        Against::CreateRevision(number) => version.map_or(0, Version::create_revision).cmp(number),
        Against::ModRevision(number) => version.map_or(0, Version::mod_revision).cmp(number),
        Against::Lease(lease) => version.map_or(0, Version::lease).cmp(lease),
        Against::Value(value) => match version {
            None => return false,
            Some(version) => version.value().cmp(value),
        },
        Against::Fence(_) | Against::Term(_) => return false,
    };
    related(ordering, compare.relation)
}

fn related(ordering: Ordering, relation: Relation) -> bool {
    match relation {
        Relation::Equal => ordering == Ordering::Equal,
        Relation::NotEqual => ordering != Ordering::Equal,
        Relation::Less => ordering == Ordering::Less,
        Relation::Greater => ordering == Ordering::Greater,
    }
}

//! Queues in a snapshot. Which lease has which places, the places say.

use std::ops::Bound;

use bytes::{BufMut, Bytes};
use holdfast_command::layout::{Reader, put_section};
use holdfast_machine::Numbered;
use imbl::OrdMap;
use triomphe::Arc;

use super::{Place, Queue, QueueKind, Queues, TOKENS_END};
use crate::leases::{Lease, Leases};
use crate::snapshot::{Records, Refused, Section};

/// Which queue.
pub(crate) type QueueName = (QueueKind, Bytes);

impl Queues {
    /// All queues, locks first, from one of them on.
    fn all_from(&self, from: Option<&QueueName>) -> impl Iterator<Item = (QueueKind, &Bytes, &Arc<Queue>)> {
        QueueKind::ALL.iter().flat_map(move |kind| {
            let from = match from {
                Some((first, _)) if first > kind => None,
                Some((first, name)) if first == kind => Some(Bound::Included(name.clone())),
                Some(_) | None => Some(Bound::Unbounded),
            };
            let queues = from.map(|from| self.of(*kind).range((from, Bound::Unbounded)));
            queues.into_iter().flatten().map(|(name, queue)| (*kind, name, queue))
        })
    }

    /// Writes queues, from behind `behind` on, until there is enough. Says behind which to go on; none if there are no more.
    pub(crate) fn write(&self, behind: Option<&QueueName>, records: &mut Records) -> Option<QueueName> {
        let written = |kind, name: &Bytes| behind.is_some_and(|last| last.0 == kind && last.1 == *name);
        for (kind, name, queue) in self.all_from(behind).filter(|(kind, name, _)| !written(*kind, name)) {
            records.put(Section::Queues, |out| {
                out.put_u8(kind.number());
                put_section(out, name);
                out.put_u64_le(queue.token);
                out.put_u64_le(queue.changed_at);
            });
            if records.is_full() {
                return Some((kind, name.clone()));
            }
        }
        None
    }

    /// Writes places, from behind one of them on (which queue, and when it was entered), until there is enough.
    pub(crate) fn write_places(
        &self,
        behind: Option<&(QueueName, u64)>,
        records: &mut Records,
    ) -> Option<(QueueName, u64)> {
        for (kind, name, queue) in self.all_from(behind.map(|(queue, _)| queue)) {
            let last =
                behind.filter(|(last, _)| last.0 == kind && last.1 == *name).map(|(_, entered)| *entered);
            let from = last.map_or(Bound::Unbounded, Bound::Excluded);
            for (entered, place) in queue.places.range((from, Bound::Unbounded)) {
                records.put(Section::Places, |out| {
                    out.put_u8(kind.number());
                    put_section(out, name);
                    out.put_u64_le(place.entered_at);
                    out.put_i64_le(place.lease);
                    out.put_u64_le(place.lease_granted_at);
                    out.put_slice(&place.value);
                });
                if records.is_full() {
                    return Some(((kind, name.clone()), *entered));
                }
            }
        }
        None
    }

    pub(crate) fn read_token(&mut self, fields: &mut Reader) -> Result<(), Refused> {
        self.token = fields.u64()?;
        Refused::unless(self.token < TOKENS_END, "tokens are below 2^53")
    }

    pub(crate) fn read(&mut self, fields: &mut Reader) -> Result<(), Refused> {
        let (kind, name) = read_name(fields)?;
        let (token, changed_at) = (fields.u64()?, fields.u64()?);
        let elections = QueueKind::Election;
        let late = kind < elections && !self.of(elections).is_empty();
        let ascends = self.of(kind).get_max().is_none_or(|(last, _)| *last < name) && !late;
        Refused::unless(ascends, "queues ascend, locks first")?;
        Refused::unless((1..=self.token).contains(&token), "a token is not above the last that was given")?;
        self.of_mut(kind).insert(name, Arc::new(Queue { places: OrdMap::new(), token, changed_at }));
        Ok(())
    }

    pub(crate) fn read_place(&mut self, fields: &mut Reader, leases: &Leases) -> Result<(), Refused> {
        let (kind, name) = read_name(fields)?;
        let entered_at = fields.u64()?;
        let (lease, lease_granted_at) = (fields.i64()?, fields.u64()?);
        let value = fields.take(fields.left())?;
        let alive = leases.get(lease).map(Lease::granted_at) == Some(lease_granted_at);
        Refused::unless(alive, "a place lives by a lease that is there")?;
        let twice = self.places.insert((lease, kind, name.clone()), entered_at).is_some();
        Refused::unless(!twice, "a lease has one place in a queue")?;
        let Some(queue) = self.of_mut(kind).get_mut(&name).map(Arc::make_mut) else {
            return Refused::unless(false, "a place is in a queue that is there");
        };
        let last = queue.places.get_max().map(|(last, _)| *last);
        Refused::unless(last < Some(entered_at), "places ascend by when they were taken")?;
        let place = Place { lease, lease_granted_at, entered_at, value: Bytes::copy_from_slice(&value) };
        queue.places.insert(entered_at, Arc::new(place));
        Ok(())
    }

    /// What has to hold when all places are there.
    pub(crate) fn check_restored(&self) -> Result<(), Refused> {
        let held = self.all_from(None).all(|(.., queue)| !queue.is_empty());
        Refused::unless(held, "somebody holds each queue")?;
        let promised = self.token + self.waiting() < TOKENS_END;
        Refused::unless(promised, "there is a token for each who waits")
    }
}

fn read_name(fields: &mut Reader) -> Result<QueueName, Refused> {
    let number = fields.u8()?;
    let kind = fields.known(QueueKind::from_number(number), "kind of queue", number.into(), 1)?;
    let name = fields.section()?;
    Refused::unless(
        !name.is_empty() && name.len() <= NAME_BYTES_MAX,
        "a queue has a name of 1 to 255 bytes",
    )?;
    // A copy: a slice would keep the chunk.
    Ok((kind, Bytes::copy_from_slice(&name)))
}

/// The longest name of a queue.
const NAME_BYTES_MAX: usize = holdfast_command::locks::NAME_BYTES_MAX;

//! The commands on locks and elections.

use bytes::Bytes;
use holdfast_command::elections::{Campaign, Proclaim, Resign};
use holdfast_command::locks::{Acquire, Release};
use holdfast_command::{Refusal, Reply};
use holdfast_machine::{Numbered, decide};
use triomphe::Arc;

use super::election::{self, ElectionMachine};
use super::{Asker, Event, Place, Queue, QueueKind, Standing, Touch, Touched};
use crate::plant::Plant;
use crate::state::{Execute, State};
use crate::trail::Effect;
use crate::version::Origin;

/// The lease of a request, if it is alive and of whoever asks.
fn asker(state: &State, lease: i64, origin: Origin<'_>) -> Result<Asker, Refusal> {
    let granted_at = state.leases.own(lease, origin.actor)?.granted_at();
    Ok(Asker { lease, granted_at })
}

fn enter<P: Plant>(
    state: &mut State,
    (kind, name, value): (QueueKind, &[u8], &Bytes),
    lease: i64,
    wait: bool,
    origin: Origin<'_>,
) -> Result<Standing, Refusal> {
    let asker = asker(state, lease, origin)?;
    let State { queues, leases, settings, touched, trail, .. } = state;
    let (places, token) = (queues.places(), queues.token_of(kind, name));
    let standing =
        queues.enter::<P>((kind, name, value), asker, wait, (leases, settings, origin), touched)?;
    if queues.places() > places {
        let place = [kind.number().into(), lease.cast_unsigned(), asker.granted_at];
        trail.note_named(Effect::Place, name, &place);
        trail.touch_queue(kind, name, token, false);
    }
    Ok(standing)
}

/// Whether what was left was held.
fn leave<P: Plant>(
    state: &mut State,
    kind: QueueKind,
    name: &Bytes,
    lease: i64,
    origin: Origin<'_>,
) -> Result<bool, Refusal> {
    let asker = asker(state, lease, origin)?;
    let State { queues, leases, touched, trail, .. } = state;
    let entered = queues.own::<P>(kind, name, asker).ok_or(Refusal::NotInQueue { lease })?;
    // Kept by those who are told of it; a slice of the entry would pin all of it.
    let name = Bytes::copy_from_slice(name);
    trail.touch_queue(kind, &name, queues.token_of(kind, &name), true);
    Ok(queues.leave::<P>((kind, &name), (lease, entered), Event::GivenUp, (leases, origin), touched))
}

impl Execute for Acquire {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        let place = (QueueKind::Lock, &self.name[..], &self.value);
        Ok(match enter::<P>(state, place, self.lease, self.wait, origin)? {
            Standing::Holds { token } => Reply::LockGranted { token },
            Standing::Waits { ahead } => Reply::LockQueued { ahead },
        })
    }
}

impl Execute for Release {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        let held = leave::<P>(state, QueueKind::Lock, &self.name, self.lease, origin)?;
        Ok(Reply::LockReleased { held })
    }
}

impl Execute for Campaign {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        let place = (QueueKind::Election, &self.name[..], &self.value);
        Ok(match enter::<P>(state, place, self.lease, true, origin)? {
            Standing::Holds { token } => Reply::Elected { token },
            Standing::Waits { ahead } => Reply::Campaigning { ahead },
        })
    }
}

impl Execute for Proclaim {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        let asker = asker(state, self.lease, origin)?;
        let State { queues, touched, trail, .. } = state;
        let kind = QueueKind::Election;
        let current = queues.token_of(kind, &self.name);
        let refused = Refusal::NotElected { asked: self.token, current };
        let entered = queues.own::<P>(kind, &self.name, asker).ok_or(refused)?;
        let queue = queues.elections.get_mut(&self.name).map(Arc::make_mut).ok_or(refused)?;
        if queue.standing(entered) != (Standing::Holds { token: self.token }) {
            return Err(refused);
        }
        proclaim(queue, entered, &self.value, origin);
        trail.touch_queue(kind, &self.name, current, false);
        let name = Bytes::copy_from_slice(&self.name);
        touched.push(Touched { kind, name, what: Touch::Changed });
        let edge = decide::<ElectionMachine>(election::State::Elected, election::Event::ProclaimAsked);
        queues.count_election(edge);
        Ok(Reply::Proclaimed)
    }
}

fn proclaim(queue: &mut Queue, entered: u64, value: &Bytes, origin: Origin<'_>) {
    let Some(place) = queue.places.get_mut(&entered) else { return };
    let value = Bytes::copy_from_slice(value);
    *place = Arc::new(Place { value, ..Place::clone(place) });
    queue.changed_at = origin.index;
}

impl Execute for Resign {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        let held = leave::<P>(state, QueueKind::Election, &self.name, self.lease, origin)?;
        Ok(Reply::Resigned { held })
    }
}

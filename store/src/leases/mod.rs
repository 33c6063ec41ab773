//! Leases: what lives as long as somebody says so.
//!
//! # Why
//! A client that dies cannot clean up. So what it leaves behind (an address under which it serves, a lock that it
//! holds) hangs on a lease, and goes when nobody renews that. Who decides that it is over must not be a clock of some
//! node: a leader that was cut off, or a new one that knows nothing, would decide differently. So grants, renewals and
//! ends are entries of the log, and the time in between is the cluster clock, which the entries carry.
//!
//! # Expiry
//! A lease does not end by time alone. The leader sees in `Leases::due` that a deadline has passed and proposes an
//! `ExpireLease` with the lease's counter: the log index of its grant or last renewal. Behind that proposal in the log
//! the lease may have been renewed, or have ended and been granted anew under the same number; then the counter is
//! another, and applying it does nothing. A deposed leader can propose what it likes.
//!
//! # Timers
//! As with sessions, a renewal writes the deadline into the lease only; its place in the order of deadlines is put
//! right when the clock comes by there. What is over then waits in a set of its own until the leader ends it.
//!
//! # Invariants
//! - A key that has a lease hangs on one that is alive, and stands in `keys` under it.
//! - The keys of a lease go in one revision, its places in the same entry.

mod machine;
mod portable;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::audit::TouchedKind;
use holdfast_command::leases::{ExpireLease, GrantLease, RenewLeases, RevokeLease};
use holdfast_command::{Actor, Refusal, Reply, Setting, Settings};
use holdfast_machine::Numbered;
use imbl::{OrdMap, OrdSet};
pub use machine::{Edge as LeaseEdge, Event as LeaseEvent, LeaseMachine, State as LeaseState};
use triomphe::Arc;

use crate::keys::delete_all;
use crate::plant::{Bug, Plant};
use crate::state::{Execute, State};
use crate::trail::{Effect, Trail};
use crate::version::{Origin, Version};

/// Each millisecond has so many bits of lease numbers to itself.
const NUMBERS_PER_MS_BITS: u32 = 10;

/// A lease.
#[derive(Clone, Debug)]
pub struct Lease {
    actor: Actor,
    ttl_ms: u64,
    deadline: u64,
    counter: u64,
    granted_at: u64,
    /// How many keys hang on it.
    keys: u64,
    /// Where it stands among the timers; none if it is over and waits to be ended.
    due: Option<u64>,
}

impl Lease {
    /// To whom it was granted. Nobody else renews it, ends it, or hangs anything on it.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// How long it lives after it was granted or renewed, in milliseconds of the cluster clock.
    #[must_use]
    pub fn ttl_ms(&self) -> u64 {
        self.ttl_ms
    }

    /// From when on it may be ended, on the cluster clock. Until somebody does, it lives.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// The log index of its grant or last renewal. An expiry that names another is void.
    #[must_use]
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// The log index of its grant, which tells it from every other lease of the same number.
    #[must_use]
    pub fn granted_at(&self) -> u64 {
        self.granted_at
    }

    /// How many keys hang on it.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.keys
    }
}

/// The edge that a lease takes that is alive. One that ends by it is taken out by whoever asks.
fn edge(event: LeaseEvent) -> Option<LeaseEdge> {
    holdfast_machine::decide::<LeaseMachine>(LeaseState::Alive, event)
}

/// All leases, and the keys that hang on them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases {
    all: OrdMap<i64, Arc<Lease>>,
    /// When each is to be looked at: at its deadline or before.
    due: OrdSet<(u64, i64)>,
    /// Those whose deadline the clock has reached.
    over: OrdSet<i64>,
    /// Each key under its lease.
    keys: OrdSet<(i64, Bytes)>,
    /// The last number that was chosen.
    last: i64,
    /// How often each edge was taken.
    edges: [u64; LeaseEdge::ALL.len()],
}

impl Leases {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, id: i64) -> Option<&Lease> {
        self.all.get(&id).map(|lease| &**lease)
    }

    /// A lease that was granted to this actor.
    pub(crate) fn own(&self, id: i64, actor: &Actor) -> Result<&Lease, Refusal> {
        let own = self.get(id).filter(|lease| lease.actor == *actor);
        own.ok_or(Refusal::UnknownLease { lease: id })
    }

    pub(crate) fn from(&self, id: i64) -> impl Iterator<Item = (i64, &Lease)> {
        self.all.range(id..).map(|(id, lease)| (*id, &**lease))
    }

    /// The keys that hang on a lease, in order.
    pub(crate) fn keys_of(&self, id: i64) -> impl Iterator<Item = &Bytes> {
        let own = self.keys.range((id, Bytes::new())..).take_while(move |(lease, _)| *lease == id);
        own.map(|(_, key)| key)
    }

    pub(crate) fn edge_count(&self, edge: LeaseEdge) -> u64 {
        self.edges.get(edge.position()).copied().unwrap_or_default()
    }

    fn count(&mut self, edge: Option<LeaseEdge>) {
        if let Some(place) = edge.and_then(|edge| self.edges.get_mut(edge.position())) {
            *place += 1;
        }
    }

    /// Looks at the leases whose time may have come: puts those back in order that were renewed, and the others aside.
    pub(crate) fn pass(&mut self, clock: u64) {
        while let Some(&(due, id)) = self.due.get_min()
            && due <= clock
        {
            self.due.remove(&(due, id));
            let Some(lease) = self.all.get_mut(&id).map(Arc::make_mut) else { continue };
            if lease.deadline > clock {
                lease.due = Some(lease.deadline);
                self.due.insert((lease.deadline, id));
            } else {
                lease.due = None;
                self.over.insert(id);
            }
        }
    }

    /// The leases whose deadline lies at or before `clock`, each with its counter.
    pub(crate) fn due(&self, clock: u64) -> impl Iterator<Item = (i64, u64)> {
        let soon = self.due.range(..=(clock, i64::MAX)).map(|(_, id)| *id);
        let both = self.over.iter().copied().chain(soon);
        both.filter_map(move |id| {
            let lease = self.all.get(&id).filter(|lease| lease.deadline <= clock)?;
            Some((id, lease.counter))
        })
    }

    /// Whether all these changes together leave on every lease as many keys as may be, or no more than before.
    pub(crate) fn check<'a>(
        &self,
        changes: impl Iterator<Item = (&'a Version, Option<&'a Version>)>,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let mut after: std::collections::BTreeMap<i64, (u64, u64)> = std::collections::BTreeMap::new();
        for (version, previous) in changes {
            let (now, before) = (version.lease(), previous.map_or(0, Version::lease));
            if now == before {
                continue;
            }
            for (id, come, gone) in [(now, 1, 0), (before, 0, 1)] {
                if id != 0 {
                    let (all_come, all_gone) = after.entry(id).or_default();
                    *all_come += come;
                    *all_gone += gone;
                }
            }
        }
        let limit = settings.get(Setting::LeaseKeys);
        for (id, (come, gone)) in after {
            let before = self.get(id).map_or(0, Lease::keys);
            let keys = (before + come).saturating_sub(gone);
            if keys > limit && keys > before {
                return Err(Refusal::TooManyKeysOfLease { keys, limit });
            }
        }
        Ok(())
    }

    /// A key has become `version`, and was `previous`.
    pub(crate) fn moved(&mut self, version: &Version, previous: Option<&Version>) {
        let (now, before) = (version.lease(), previous.map_or(0, Version::lease));
        if now == before {
            return;
        }
        // A copy that lives as long as it hangs there; the key itself is a part of its version.
        let key = Bytes::copy_from_slice(version.key());
        if before != 0 && self.keys.remove(&(before, key.clone())).is_some() {
            self.change(before, |lease| lease.keys -= 1);
        }
        if now != 0 && self.keys.insert((now, key)).is_none() {
            self.change(now, |lease| lease.keys += 1);
        }
    }

    fn change(&mut self, id: i64, change: impl FnOnce(&mut Lease)) {
        if let Some(lease) = self.all.get_mut(&id) {
            change(Arc::make_mut(lease));
        }
    }

    /// A number that no lease has. Ascending, and others in another cluster, or in this one after it was restored from
    /// a backup.
    fn choose(&mut self, origin: &Origin<'_>) -> i64 {
        let by_time = (origin.stamp.millis().get() << NUMBERS_PER_MS_BITS).cast_signed();
        self.last = (self.last + 1).max(by_time);
        while self.all.contains_key(&self.last) {
            self.last += 1;
        }
        self.last
    }

    /// It was renewed. False if there is no such lease of this actor.
    fn renew<P: Plant>(
        &mut self,
        id: i64,
        actor: &Actor,
        clock: u64,
        origin: &Origin<'_>,
        trail: &mut Trail,
    ) -> bool {
        let Some(lease) = self.all.get_mut(&id).filter(|lease| lease.actor == *actor) else { return false };
        let edge = edge(LeaseEvent::RenewalApplied);
        let lease = Arc::make_mut(lease);
        lease.deadline = deadline::<P>(clock, lease.ttl_ms, origin);
        lease.counter = origin.index;
        trail.note(Effect::Lease, &[id.cast_unsigned(), lease.deadline, lease.counter]);
        if lease.due.is_none() {
            lease.due = Some(lease.deadline);
            self.due.insert((lease.deadline, id));
            self.over.remove(&id);
        }
        self.count(edge);
        true
    }

    /// Takes a lease out on which no key hangs any more.
    fn forget(&mut self, id: i64) {
        let Some(lease) = self.all.remove(&id) else { return };
        match lease.due {
            Some(due) => drop(self.due.remove(&(due, id))),
            None => drop(self.over.remove(&id)),
        }
    }
}

/// When a lease that is granted or renewed now may be ended.
fn deadline<P: Plant>(clock: u64, ttl_ms: u64, origin: &Origin<'_>) -> u64 {
    let now = if P::plants(Bug::LeaseByWallClock) { origin.stamp.millis().get() } else { clock };
    now.saturating_add(ttl_ms)
}

/// Ends a lease: its keys in one revision, then itself, then its places. How many keys there were.
///
/// # Errors
/// [`Refusal::RevisionsExhausted`]; nothing has changed then.
fn end<P: Plant>(state: &mut State, id: i64, origin: Origin<'_>) -> Result<u64, Refusal> {
    let mut keys: Vec<Bytes> = state.leases.keys_of(id).cloned().collect();
    let count = keys.len() as u64;
    if P::plants(Bug::LeaseRevokedByHalves) {
        let half = keys.split_off(keys.len() / 2);
        delete_all::<P>(state, origin, &half)?;
    }
    delete_all::<P>(state, origin, &keys)?;
    state.leases.forget(id);
    let State { leases, queues, touched, trail, .. } = state;
    trail.note(Effect::Lease, &[id.cast_unsigned(), 0, 0]);
    trail.touch_number(TouchedKind::Lease, id.cast_unsigned(), 0, true);
    for (kind, name) in queues.places_of(id) {
        trail.touch_queue(kind, name, queues.token_of(kind, name), true);
    }
    queues.lease_ended::<P>(id, leases, origin, touched);
    Ok(count)
}

impl Execute for GrantLease {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        let State { leases, settings, clock, trail, .. } = state;
        let ttl_ms = self.ttl_ms;
        let (least, most) = (settings.get(Setting::LeaseTtlMin), settings.get(Setting::LeaseTtlMax));
        for (bound_ms, misses) in [(least, ttl_ms < least), (most, ttl_ms > most)] {
            if misses {
                return Err(Refusal::LeaseTtlOutOfRange { ttl_ms, bound_ms });
            }
        }
        if leases.all.contains_key(&self.lease) {
            return Err(Refusal::LeaseExists { lease: self.lease });
        }
        let limit = settings.get(Setting::Leases);
        if leases.len() as u64 >= limit {
            return Err(Refusal::TooManyLeases { limit });
        }
        let id = if self.lease == 0 { leases.choose(&origin) } else { self.lease };
        let deadline = deadline::<P>(*clock, ttl_ms, &origin);
        // The name is kept as long as the lease; a slice of the entry would pin all of it.
        let actor = match origin.actor {
            Actor::Named(name) => Actor::Named(ByteString::from(&**name)),
            Actor::Anonymous => Actor::Anonymous,
            Actor::Cluster => Actor::Cluster,
        };
        let index = origin.index;
        let (counter, granted_at, due) = (index, index, Some(deadline));
        let lease = Lease { actor, ttl_ms, deadline, counter, granted_at, keys: 0, due };
        leases.all.insert(id, Arc::new(lease));
        leases.due.insert((deadline, id));
        trail.note(Effect::Lease, &[id.cast_unsigned(), deadline, index]);
        trail.touch_number(TouchedKind::Lease, id.cast_unsigned(), 0, false);
        Ok(Reply::LeaseGranted { lease: id, ttl_ms })
    }
}

impl Execute for RenewLeases {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        let State { leases, clock, trail, .. } = state;
        let unknown = self.kept.iter().filter(|kept| {
            let renewed = leases.renew::<P>(kept.lease, &kept.actor, *clock, &origin, trail);
            !renewed
        });
        Ok(Reply::LeasesRenewed { unknown: unknown.map(|kept| kept.lease).collect() })
    }
}

impl Execute for RevokeLease {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        state.leases.own(self.lease, origin.actor)?;
        let keys = end::<P>(state, self.lease, origin)?;
        state.leases.count(edge(LeaseEvent::RevocationApplied));
        Ok(Reply::LeaseRevoked { revision: state.keys.revision(), keys })
    }
}

impl Execute for ExpireLease {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        let event = state.leases.get(self.lease).map(|lease| {
            let over = lease.counter == self.counter && lease.deadline <= state.clock;
            if over || P::plants(Bug::ExpiryIgnoresCounter) {
                LeaseEvent::ExpiryApplied
            } else {
                LeaseEvent::StaleExpiryApplied
            }
        });
        let edge = event.and_then(edge);
        let keys = match edge {
            Some(_) => end::<P>(state, self.lease, origin)?,
            None => 0,
        };
        state.leases.count(edge);
        Ok(Reply::LeaseExpired { expired: edge.is_some(), revision: state.keys.revision(), keys })
    }
}

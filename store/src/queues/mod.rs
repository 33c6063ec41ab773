//! Locks and elections: one holder at a time, the others behind it, and a number that tells the world which is which.
//!
//! # Why
//! Of several clients one is to do the work. A client can believe that it is the one long after it is not: it was
//! paused, its lease ended, and somebody else went on. No lock can prevent that, since the client asks nobody before it
//! acts. So each grant comes with a *fencing token*, one number higher than all before, and whatever the client acts
//! on compares it: a transaction by `Against::Fence`, a system outside by remembering the highest token that it saw.
//!
//! # Places
//! Who asks gets a place in a queue, in the order of the log. A place is told by queue, lease and the log index at which
//! the lease was granted, so whoever asks twice finds its own, and a later lease of the same number does not. The place
//! lives by its lease: in the entry that ends the lease it leaves the queue, and the next is granted what it held.
//!
//! Locks and elections differ in what is said about them, so they share the queue and have a machine each.
//!
//! # Invariants
//! - A queue that exists has a holder, the one that came first of those who are left; its lease is alive.
//! - Tokens come from one counter for all queues. It never goes back, and what was forgotten takes none with it.
//! - For everybody who waits there is a token below 2^53, so that no grant can fail.

mod machines;
mod portable;
mod requests;

use bytes::Bytes;
pub use holdfast_command::query::QueueKind;
use holdfast_command::{Refusal, Setting, Settings};
use holdfast_machine::{Numbered, decide};
use imbl::OrdMap;
pub use machines::{election, lock};
pub(crate) use portable::QueueName;
use triomphe::Arc;

use self::election::ElectionMachine;
use self::lock::LockMachine;
use crate::leases::Leases;
use crate::plant::{Bug, Plant};
use crate::version::Origin;

/// All tokens are below this, so that programs that know numbers as 64-bit floats keep them exact.
const TOKENS_END: u64 = 1 << 53;

/// The first token is not above this, whatever the stamp says: a clock that was wrong once must not use them all up.
const FIRST_TOKEN_MAX: u64 = 1 << 52;

/// A token is at least the seconds of the wall clock at the first grant, shifted by so many bits.
const TOKENS_PER_SECOND_BITS: u32 = 20;

/// A place in a queue: who holds, or waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    lease: i64,
    lease_granted_at: u64,
    entered_at: u64,
    value: Bytes,
}

impl Place {
    /// What it lives by.
    #[must_use]
    pub fn lease(&self) -> i64 {
        self.lease
    }

    /// The log index of the grant of that lease.
    #[must_use]
    pub fn lease_granted_at(&self) -> u64 {
        self.lease_granted_at
    }

    /// The log index of the request that took the place. Lower ones come first.
    #[must_use]
    pub fn entered_at(&self) -> u64 {
        self.entered_at
    }

    /// Who and why, in words for people; of whoever is elected, what is proclaimed.
    #[must_use]
    pub fn value(&self) -> &Bytes {
        &self.value
    }
}

/// Where a lease stands in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// First, under this token.
    Holds {
        /// The token.
        token: u64,
    },
    /// Behind so many.
    Waits {
        /// The holder is among them.
        ahead: u64,
    },
}

/// The queue of a lock or an election, which somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// By the index at which they entered. Never empty between entries; the first is the holder.
    places: OrdMap<u64, Arc<Place>>,
    token: u64,
    changed_at: u64,
}

impl Queue {
    /// Who holds it.
    #[must_use]
    pub fn holder(&self) -> Option<&Place> {
        self.places.get_min().map(|(_, place)| &**place)
    }

    /// The token under which it is held.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Those who wait, in their order.
    pub fn waiters(&self) -> impl Iterator<Item = &Place> {
        self.places.values().skip(1).map(|place| &**place)
    }

    /// How many hold or wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Never, as seen from outside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The log index at which holder or proclaimed value last changed.
    #[must_use]
    pub fn changed_at(&self) -> u64 {
        self.changed_at
    }

    /// Costs a step for each that comes first; the place stands there.
    fn standing(&self, entered_at: u64) -> Standing {
        match self.places.range(..entered_at).count() as u64 {
            0 => Standing::Holds { token: self.token },
            ahead => Standing::Waits { ahead },
        }
    }
}

/// Something that an entry did to a queue, for those who wait for it or watch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Of what kind.
    pub kind: QueueKind,
    /// Its name.
    pub name: Bytes,
    /// What was done.
    pub what: Touch,
}

/// See [`Touched`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It was granted to this lease, now or after a wait.
    Granted {
        /// To which.
        lease: i64,
        /// Under which token.
        token: u64,
    },
    /// The place of this lease is gone, whether it held or waited, and whether it asked for that or its lease ended.
    Left {
        /// Of which.
        lease: i64,
    },
    /// Who holds it, or what is proclaimed, is another than before the entry. Comes once per queue, behind the rest.
    Changed,
}

/// All queues.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queues {
    locks: OrdMap<Bytes, Arc<Queue>>,
    elections: OrdMap<Bytes, Arc<Queue>>,
    /// The places of each lease: the index at which it entered the queue.
    places: OrdMap<(i64, QueueKind, Bytes), u64>,
    /// The last token that was given; 0 before the first.
    token: u64,
    lock_edges: [u64; lock::Edge::ALL.len()],
    election_edges: [u64; election::Edge::ALL.len()],
}

/// What happens to a place, whatever it is a place of.
#[derive(Clone, Copy, Debug)]
enum Event {
    Headed,
    GivenUp,
    LeaseEnded,
    AskedAgain,
}

/// Who asks: a lease that is alive.
#[derive(Clone, Copy, Debug)]
struct Asker {
    lease: i64,
    granted_at: u64,
}

impl Queues {
    pub(crate) fn of(&self, kind: QueueKind) -> &OrdMap<Bytes, Arc<Queue>> {
        match kind {
            QueueKind::Lock => &self.locks,
            QueueKind::Election => &self.elections,
        }
    }

    fn of_mut(&mut self, kind: QueueKind) -> &mut OrdMap<Bytes, Arc<Queue>> {
        match kind {
            QueueKind::Lock => &mut self.locks,
            QueueKind::Election => &mut self.elections,
        }
    }

    pub(crate) fn get(&self, kind: QueueKind, name: &[u8]) -> Option<&Queue> {
        self.of(kind).get(name).map(|queue| &**queue)
    }

    /// Where a lease stands in a queue; none if it has no place there.
    pub(crate) fn standing(&self, kind: QueueKind, name: &[u8], lease: i64) -> Option<Standing> {
        let entered = self.places.get(&(lease, kind, Bytes::copy_from_slice(name)))?;
        self.get(kind, name).map(|queue| queue.standing(*entered))
    }

    /// The place of a lease in a queue.
    pub(crate) fn place(&self, kind: QueueKind, name: &[u8], lease: i64) -> Option<&Place> {
        let entered = self.places.get(&(lease, kind, Bytes::copy_from_slice(name)))?;
        self.get(kind, name)?.places.get(entered).map(|place| &**place)
    }

    /// The token under which a lock or an office is held; 0 if it is not.
    pub(crate) fn token_of(&self, kind: QueueKind, name: &[u8]) -> u64 {
        self.get(kind, name).map_or(0, Queue::token)
    }

    /// The last token that was given; 0 before the first.
    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    /// How many hold or wait, in all queues.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// The places of a lease: of which queues, and whether it holds.
    pub(crate) fn places_of(&self, lease: i64) -> impl Iterator<Item = (QueueKind, &Bytes)> {
        let first = (lease, QueueKind::Lock, Bytes::new());
        let own = self.places.range(first..).take_while(move |((own, ..), _)| *own == lease);
        own.map(|((_, kind, name), _)| (*kind, name))
    }

    pub(crate) fn lock_edges(&self, edge: lock::Edge) -> u64 {
        self.lock_edges.get(edge.position()).copied().unwrap_or_default()
    }

    pub(crate) fn election_edges(&self, edge: election::Edge) -> u64 {
        self.election_edges.get(edge.position()).copied().unwrap_or_default()
    }

    /// Lets the machine of its kind decide about a place, and counts the edge. Where the place goes, its caller knows
    /// from the event.
    fn take(&mut self, kind: QueueKind, held: bool, event: Event) {
        match kind {
            QueueKind::Lock => {
                let state = if held { lock::State::Holding } else { lock::State::Waiting };
                let edge = decide::<LockMachine>(
                    state,
                    match event {
                        Event::Headed => lock::Event::Headed,
                        Event::GivenUp => lock::Event::ReleaseAsked,
                        Event::LeaseEnded => lock::Event::LeaseEnded,
                        Event::AskedAgain => lock::Event::AskedAgain,
                    },
                );
                if let Some(count) = edge.and_then(|edge| self.lock_edges.get_mut(edge.position())) {
                    *count += 1;
                }
            }
            QueueKind::Election => {
                let state = if held { election::State::Elected } else { election::State::Campaigning };
                self.count_election(decide::<ElectionMachine>(
                    state,
                    match event {
                        Event::Headed => election::Event::Headed,
                        Event::GivenUp => election::Event::ResignAsked,
                        Event::LeaseEnded => election::Event::LeaseEnded,
                        Event::AskedAgain => election::Event::CampaignedAgain,
                    },
                ));
            }
        }
    }

    fn count_election(&mut self, edge: Option<election::Edge>) {
        if let Some(count) = edge.and_then(|edge| self.election_edges.get_mut(edge.position())) {
            *count += 1;
        }
    }

    /// The index at which this lease entered the queue, if it has a place there.
    fn own<P: Plant>(&self, kind: QueueKind, name: &[u8], asker: Asker) -> Option<u64> {
        let entered = *self.places.get(&(asker.lease, kind, Bytes::copy_from_slice(name)))?;
        let place = self.get(kind, name)?.places.get(&entered)?;
        let same = place.lease_granted_at == asker.granted_at || P::plants(Bug::PlaceOfFormerLease);
        same.then_some(entered)
    }

    /// Raises the counter, so that the next token is above `token`; for a state that was restored, whose tokens must
    /// not be taken for those of another life. As far as those who wait are left theirs.
    pub(crate) fn raise(&mut self, token: u64) {
        self.token = self.token.max(token.min(TOKENS_END - 1 - self.waiting()));
    }

    /// How many wait, and so are promised a token.
    fn waiting(&self) -> u64 {
        (self.places.len() - self.locks.len() - self.elections.len()) as u64
    }

    /// Asks for a place in a queue, at its end unless there is one already.
    fn enter<P: Plant>(
        &mut self,
        (kind, name, value): (QueueKind, &[u8], &Bytes),
        asker: Asker,
        wait: bool,
        (leases, settings, origin): (&Leases, &Settings, Origin<'_>),
        touched: &mut Vec<Touched>,
    ) -> Result<Standing, Refusal> {
        if let Some(entered) = self.own::<P>(kind, name, asker)
            && let Some(standing) = self.get(kind, name).map(|queue| queue.standing(entered))
        {
            self.take(kind, matches!(standing, Standing::Holds { .. }), Event::AskedAgain);
            return Ok(standing);
        }
        let held = self.get(kind, name);
        if let Some(queue) = held.filter(|_| !wait) {
            return Err(Refusal::LockHeld { token: queue.token });
        }
        let is_held = held.is_some();
        let limit = settings.get(Setting::Places);
        if self.places.len() as u64 >= limit {
            return Err(Refusal::TooManyPlaces { limit });
        }
        if self.token == 0 {
            let seconds = origin.stamp.millis().get() / 1_000;
            let first = (seconds << TOKENS_PER_SECOND_BITS).clamp(1, FIRST_TOKEN_MAX);
            self.raise(first - 1);
        }
        if self.token + self.waiting() + 1 >= TOKENS_END {
            return Err(Refusal::TokensExhausted);
        }
        // Name and value live as long as the place; slices of the entry would pin all of it.
        let (name, value) = (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value));
        let entered_at = origin.index;
        let place = Place { lease: asker.lease, lease_granted_at: asker.granted_at, entered_at, value };
        let queues = self.of_mut(kind);
        let queue = queues
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Queue { places: OrdMap::new(), token: 0, changed_at: entered_at }));
        let queue = Arc::make_mut(queue);
        let ahead = queue.places.len() as u64;
        queue.places.insert(entered_at, Arc::new(place));
        self.places.insert((asker.lease, kind, name.clone()), entered_at);
        if is_held {
            return Ok(Standing::Waits { ahead });
        }
        self.grant::<P>(kind, &name, leases, origin, touched);
        touched.push(Touched { kind, name: name.clone(), what: Touch::Changed });
        Ok(Standing::Holds { token: self.token })
    }

    /// Gives a queue to the first of those who wait and whose lease is alive, and forgets it if there is none.
    fn grant<P: Plant>(
        &mut self,
        kind: QueueKind,
        name: &Bytes,
        leases: &Leases,
        origin: Origin<'_>,
        touched: &mut Vec<Touched>,
    ) {
        while let Some((entered, place)) = self.first(kind, name) {
            let lease = leases.get(place.lease);
            let alive = lease.is_some_and(|lease| {
                lease.granted_at() == place.lease_granted_at || P::plants(Bug::PlaceOfFormerLease)
            });
            if !alive && !P::plants(Bug::LockGrantedToDeadLease) {
                self.remove(kind, name, place.lease, entered, touched);
                continue;
            }
            self.take(kind, false, Event::Headed);
            self.token += 1;
            let token = self.token;
            if let Some(queue) = self.of_mut(kind).get_mut(name).map(Arc::make_mut) {
                (queue.token, queue.changed_at) = (token, origin.index);
            }
            let what = Touch::Granted { lease: place.lease, token };
            touched.push(Touched { kind, name: name.clone(), what });
            return;
        }
        self.of_mut(kind).remove(name);
        if P::plants(Bug::TokenRepeats) {
            self.token = 0;
        }
    }

    fn first(&self, kind: QueueKind, name: &Bytes) -> Option<(u64, Arc<Place>)> {
        let (entered, place) = self.of(kind).get(name)?.places.get_min()?;
        Some((*entered, place.clone()))
    }

    /// Takes a place out of its queue.
    fn remove(
        &mut self,
        kind: QueueKind,
        name: &Bytes,
        lease: i64,
        entered: u64,
        touched: &mut Vec<Touched>,
    ) {
        if let Some(queue) = self.of_mut(kind).get_mut(name).map(Arc::make_mut) {
            queue.places.remove(&entered);
        }
        self.places.remove(&(lease, kind, name.clone()));
        touched.push(Touched { kind, name: name.clone(), what: Touch::Left { lease } });
    }

    /// A place is given up, or its lease has ended. If it held, the next is granted what it held.
    fn leave<P: Plant>(
        &mut self,
        (kind, name): (QueueKind, &Bytes),
        (lease, entered): (i64, u64),
        event: Event,
        (leases, origin): (&Leases, Origin<'_>),
        touched: &mut Vec<Touched>,
    ) -> bool {
        let held = self.first(kind, name).is_some_and(|(first, _)| first == entered);
        self.take(kind, held, event);
        self.remove(kind, name, lease, entered, touched);
        if held {
            self.grant::<P>(kind, name, leases, origin, touched);
            touched.push(Touched { kind, name: name.clone(), what: Touch::Changed });
        }
        held
    }

    /// A lease has ended: its places leave.
    pub(crate) fn lease_ended<P: Plant>(
        &mut self,
        lease: i64,
        leases: &Leases,
        origin: Origin<'_>,
        touched: &mut Vec<Touched>,
    ) {
        let first = (lease, QueueKind::Lock, Bytes::new());
        let own = self.places.range(first..).take_while(|((own, ..), _)| *own == lease);
        let own: Vec<(QueueKind, Bytes, u64)> =
            own.map(|((_, kind, name), entered)| (*kind, name.clone(), *entered)).collect();
        for (kind, name, entered) in own {
            let lingers = P::plants(Bug::LockGrantedToDeadLease) || P::plants(Bug::PlaceOfFormerLease);
            if lingers && self.first(kind, &name).is_some_and(|(first, _)| first != entered) {
                continue;
            }
            self.leave::<P>((kind, &name), (lease, entered), Event::LeaseEnded, (leases, origin), touched);
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_command::leases::GrantLease;
    use holdfast_command::locks::{Acquire, Release};
    use holdfast_command::{Actor, Reply};
    use holdfast_hlc::Stamp;

    use super::*;
    use crate::plant::NoPlant;
    use crate::state::{Execute, State};

    fn execute(state: &mut State, index: u64, command: &impl Execute) -> Result<Reply, Refusal> {
        let origin = Origin { index, actor: &Actor::Anonymous, reason: "", stamp: Stamp::MIN };
        command.execute::<NoPlant>(state, origin)
    }

    fn acquire(lease: i64) -> Acquire {
        Acquire { name: "l".into(), lease, wait: true, value: Bytes::new() }
    }

    #[test]
    fn whoever_waits_is_promised_a_token_and_beyond_the_last_nobody_may_wait() {
        let mut state = State::default();
        for lease in 1..=3 {
            let granted = execute(&mut state, lease as u64, &GrantLease { lease, ttl_ms: 5_000 });
            granted.expect("a lease");
        }
        state.queues.raise(TOKENS_END - 3);
        let (first, second) = (TOKENS_END - 2, TOKENS_END - 1);
        assert_eq!(execute(&mut state, 4, &acquire(1)), Ok(Reply::LockGranted { token: first }));
        assert_eq!(execute(&mut state, 5, &acquire(2)), Ok(Reply::LockQueued { ahead: 1 }));
        assert_eq!(execute(&mut state, 6, &acquire(3)), Err(Refusal::TokensExhausted));
        assert_eq!(execute(&mut state, 7, &acquire(1)), Ok(Reply::LockGranted { token: first }));
        let release = Release { name: "l".into(), lease: 1 };
        assert_eq!(execute(&mut state, 8, &release), Ok(Reply::LockReleased { held: true }));
        assert_eq!(execute(&mut state, 9, &acquire(2)), Ok(Reply::LockGranted { token: second }));
    }

    #[test]
    fn a_counter_that_was_raised_goes_on_from_there_and_never_back() {
        let mut state = State::default();
        execute(&mut state, 1, &GrantLease { lease: 1, ttl_ms: 5_000 }).expect("a lease");
        state.queues.raise(1_000);
        state.queues.raise(10);
        assert_eq!(execute(&mut state, 2, &acquire(1)), Ok(Reply::LockGranted { token: 1_001 }));
    }

    #[test]
    fn a_counter_that_is_raised_leaves_those_who_wait_their_tokens() {
        let mut state = State::default();
        for lease in 1..=2 {
            execute(&mut state, 1, &GrantLease { lease, ttl_ms: 5_000 }).expect("a lease");
            execute(&mut state, 1 + lease as u64, &acquire(lease)).expect("a place");
        }
        state.queues.raise(u64::MAX);
        assert_eq!(state.queues.token(), TOKENS_END - 2);
        execute(&mut state, 4, &Release { name: "l".into(), lease: 1 }).expect("it holds it");
        let last = Reply::LockGranted { token: TOKENS_END - 1 };
        assert_eq!(execute(&mut state, 5, &acquire(2)), Ok(last));
    }
}

//! The model, continued: leases, locks and elections, as one list of leases and one list of places in the order in which
//! they were taken. Which keys hang on a lease, who holds and who comes next is looked for whenever it is asked.

use bytes::Bytes;
use holdfast_command::audit::TouchedKind;
use holdfast_command::elections::{Campaign, Proclaim, Resign};
use holdfast_command::leases::{ExpireLease, GrantLease, RenewLeases, RevokeLease};
use holdfast_command::locks::{Acquire, Release};
use holdfast_command::{Actor, Refusal, Reply, Setting};

use super::naive::{Naive, Revision, Writer};

#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) actor: Actor,
    pub(crate) ttl: u64,
    pub(crate) deadline: u64,
    pub(crate) counter: u64,
    pub(crate) granted: u64,
}

/// A lock, or an election, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Queue {
    Lock(Bytes),
    Election(Bytes),
}

#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) queue: Queue,
    pub(crate) lease: i64,
    /// When the lease was granted, and when it asked.
    pub(crate) granted: u64,
    pub(crate) entered: u64,
    pub(crate) value: Bytes,
    /// Once it holds.
    pub(crate) token: Option<u64>,
}

/// What an entry did to a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    Granted(i64, u64),
    Left(i64),
    Changed,
}

/// What becomes of a request for a place.
enum Stands {
    First(u64),
    Behind(u64),
}

impl Naive {
    fn own_lease(&self, lease: i64, actor: &Actor) -> Result<&Lease, Refusal> {
        match self.leases.get(&lease) {
            Some(own) if own.actor == *actor => Ok(own),
            _ => Err(Refusal::UnknownLease { lease }),
        }
    }

    pub(crate) fn grant(&mut self, grant: GrantLease, actor: &Actor) -> Result<Reply, Refusal> {
        let ttl_ms = grant.ttl_ms;
        let (shortest, longest) = (self.setting(Setting::LeaseTtlMin), self.setting(Setting::LeaseTtlMax));
        if ttl_ms < shortest {
            return Err(Refusal::LeaseTtlOutOfRange { ttl_ms, bound_ms: shortest });
        }
        if ttl_ms > longest {
            return Err(Refusal::LeaseTtlOutOfRange { ttl_ms, bound_ms: longest });
        }
        if self.leases.contains_key(&grant.lease) {
            return Err(Refusal::LeaseExists { lease: grant.lease });
        }
        let limit = self.setting(Setting::Leases);
        if self.leases.len() as u64 >= limit {
            return Err(Refusal::TooManyLeases { limit });
        }
        let mut id = grant.lease;
        if id == 0 {
            id = (((self.stamp >> 16) * 1_024) as i64).max(self.chosen + 1);
            while self.leases.contains_key(&id) {
                self.marks.insert("number of a lease passed over");
                id += 1;
            }
            self.chosen = id;
        } else if self.ended.contains(&id) {
            self.marks.insert("lease granted anew under its number");
        }
        let (index, deadline) = (self.applied.1, self.clock + ttl_ms);
        let lease = Lease { actor: actor.clone(), ttl: ttl_ms, deadline, counter: index, granted: index };
        self.effect(11, None, &[id as u64, deadline, index]);
        self.touch_number(TouchedKind::Lease, id as u64, 0, false);
        self.leases.insert(id, lease);
        Ok(Reply::LeaseGranted { lease: id, ttl_ms })
    }

    pub(crate) fn renew(&mut self, renew: &RenewLeases) -> Result<Reply, Refusal> {
        let mut unknown = Vec::new();
        for kept in &renew.kept {
            match self.leases.get_mut(&kept.lease).filter(|lease| lease.actor == kept.actor) {
                None => unknown.push(kept.lease),
                Some(lease) => {
                    if lease.deadline <= self.clock {
                        self.marks.insert("lease renewed behind its deadline");
                    }
                    lease.deadline = self.clock + lease.ttl;
                    lease.counter = self.applied.1;
                    let (deadline, counter) = (lease.deadline, lease.counter);
                    self.effect(11, None, &[kept.lease as u64, deadline, counter]);
                    self.marks.insert("lease edge Renew");
                }
            }
        }
        if !unknown.is_empty() {
            self.marks.insert("lease not renewed");
        }
        Ok(Reply::LeasesRenewed { unknown })
    }

    pub(crate) fn revoke(&mut self, revoke: RevokeLease, writer: Writer) -> Result<Reply, Refusal> {
        self.own_lease(revoke.lease, &writer.actor)?;
        let keys = self.end(revoke.lease, writer);
        self.marks.insert("lease edge Revoke");
        Ok(Reply::LeaseRevoked { revision: self.revision(), keys })
    }

    pub(crate) fn expire(&mut self, expire: ExpireLease, writer: Writer) -> Result<Reply, Refusal> {
        let mut ends = false;
        match self.leases.get(&expire.lease) {
            None => drop(self.marks.insert("expiry of no lease")),
            Some(lease) if lease.counter != expire.counter => {
                self.marks.insert("expiry with another counter");
            }
            Some(lease) if self.clock < lease.deadline => {
                self.marks.insert("expiry before the deadline");
            }
            Some(_) => ends = true,
        }
        let keys = if ends { self.end(expire.lease, writer) } else { 0 };
        if ends {
            self.marks.insert("lease edge Expire");
        }
        Ok(Reply::LeaseExpired { expired: ends, revision: self.revision(), keys })
    }

    /// The keys that hang on a lease.
    pub(crate) fn keys_of(&self, lease: i64) -> Vec<Bytes> {
        let own = self.current().iter().filter(|(_, item)| item.lease == lease);
        own.map(|(key, _)| key.clone()).collect()
    }

    fn end(&mut self, lease: i64, writer: Writer) -> u64 {
        let gone = self.keys_of(lease);
        let count = gone.len() as u64;
        if count > 1 {
            self.marks.insert("several keys gone with their lease");
        }
        if count > 0 {
            let mut keys = self.current().clone();
            keys.retain(|_, item| item.lease != lease);
            let before = self.current().clone();
            self.revisions.push(Revision { writer, changed: gone.clone(), keys: keys.clone() });
            self.effects_on_keys(&gone, &before, &keys);
        }
        self.effect(11, None, &[lease as u64, 0, 0]);
        self.touch_number(TouchedKind::Lease, lease as u64, 0, true);
        self.leases.remove(&lease);
        self.ended.insert(lease);
        let mut queues: Vec<Queue> = self.places_taken.iter().map(|place| place.queue.clone()).collect();
        queues.sort();
        queues.dedup();
        for queue in &queues {
            if self.place(queue, lease).is_some() {
                self.touch_queue(queue, self.token_of(queue), true);
            }
        }
        for queue in queues {
            if self.place(&queue, lease).is_some() {
                self.leave(&queue, lease, true);
            }
        }
        count
    }

    /// Where in the list a lease has its place in a queue.
    fn place(&self, queue: &Queue, lease: i64) -> Option<usize> {
        self.places_taken.iter().position(|place| place.queue == *queue && place.lease == lease)
    }

    pub(crate) fn holder(&self, queue: &Queue) -> Option<&Place> {
        self.places_taken.iter().find(|place| place.queue == *queue)
    }

    /// The token under which a queue is held, 0 for none.
    pub(crate) fn token_of(&self, queue: &Queue) -> u64 {
        self.holder(queue).and_then(|place| place.token).unwrap_or(0)
    }

    fn mark(&mut self, queue: &Queue, of_lock: &'static str, of_election: &'static str) {
        self.marks.insert(match queue {
            Queue::Lock(_) => of_lock,
            Queue::Election(_) => of_election,
        });
    }

    fn enter(
        &mut self,
        queue: &Queue,
        lease: i64,
        value: &Bytes,
        wait: bool,
        actor: &Actor,
    ) -> Result<Stands, Refusal> {
        let granted = self.own_lease(lease, actor)?.granted;
        if let Some(own) = self.place(queue, lease) {
            let before = self.places_taken[..own].iter().filter(|place| place.queue == *queue).count() as u64;
            return Ok(match self.places_taken[own].token {
                Some(token) => {
                    self.mark(queue, "lock asked for by its holder", "campaigned while elected");
                    Stands::First(token)
                }
                None => {
                    self.mark(queue, "lock asked for by a waiter", "campaigned while campaigning");
                    Stands::Behind(before)
                }
            });
        }
        if let Some(token) = self.holder(queue).and_then(|place| place.token)
            && !wait
        {
            return Err(Refusal::LockHeld { token });
        }
        let limit = self.setting(Setting::Places);
        if self.places_taken.len() as u64 >= limit {
            return Err(Refusal::TooManyPlaces { limit });
        }
        let before = self.places_taken.iter().filter(|place| place.queue == *queue).count() as u64;
        let (entered, value) = (self.applied.1, value.clone());
        let (kind, name) = match queue {
            Queue::Lock(name) => (1, name),
            Queue::Election(name) => (2, name),
        };
        self.effect(12, Some(name), &[kind, lease as u64, granted]);
        self.touch_queue(queue, self.token_of(queue), false);
        self.places_taken.push(Place { queue: queue.clone(), lease, granted, entered, value, token: None });
        if before > 0 {
            return Ok(Stands::Behind(before));
        }
        self.first_of(queue);
        self.touched.push((queue.clone(), Touch::Changed));
        Ok(Stands::First(self.token_of(queue)))
    }

    /// Gives a queue to the first in it.
    fn first_of(&mut self, queue: &Queue) {
        let Some(first) = self.places_taken.iter().position(|place| place.queue == *queue) else { return };
        if self.token == 0 {
            let seconds = (self.stamp >> 16) / 1_000;
            // The first one.
            self.token = (seconds * 1_048_576).clamp(1, 1 << 52) - 1;
        }
        self.token += 1;
        self.places_taken[first].token = Some(self.token);
        let lease = self.places_taken[first].lease;
        assert!(self.leases[&lease].granted == self.places_taken[first].granted, "the model itself is wrong");
        self.changed.insert(queue.clone(), self.applied.1);
        self.touched.push((queue.clone(), Touch::Granted(lease, self.token)));
        self.mark(queue, "lock edge Grant", "election edge Elect");
    }

    /// A lease leaves a queue, because it has ended or wants to. True if it held.
    fn leave(&mut self, queue: &Queue, lease: i64, ended: bool) -> bool {
        let own = self.place(queue, lease).expect("it has a place");
        let held = self.places_taken.remove(own).token.is_some();
        match (held, ended) {
            (true, true) => self.mark(queue, "lock edge Lose", "election edge Depose"),
            (true, false) => self.mark(queue, "lock edge Release", "election edge Resign"),
            (false, true) => self.mark(queue, "lock edge Drop", "election edge Drop"),
            (false, false) => self.mark(queue, "lock edge Withdraw", "election edge Withdraw"),
        }
        self.touched.push((queue.clone(), Touch::Left(lease)));
        if held {
            self.changed.remove(queue);
            if self.holder(queue).is_some() {
                self.mark(queue, "lock passed on", "office passed on");
            }
            self.first_of(queue);
            self.touched.push((queue.clone(), Touch::Changed));
        }
        held
    }

    fn give_up(&mut self, queue: &Queue, lease: i64, actor: &Actor) -> Result<bool, Refusal> {
        self.own_lease(lease, actor)?;
        match self.place(queue, lease) {
            None => Err(Refusal::NotInQueue { lease }),
            Some(_) => {
                self.touch_queue(queue, self.token_of(queue), true);
                Ok(self.leave(queue, lease, false))
            }
        }
    }

    pub(crate) fn acquire(&mut self, acquire: &Acquire, actor: &Actor) -> Result<Reply, Refusal> {
        let Acquire { name, lease, wait, value } = acquire;
        Ok(match self.enter(&Queue::Lock(name.clone()), *lease, value, *wait, actor)? {
            Stands::First(token) => Reply::LockGranted { token },
            Stands::Behind(ahead) => Reply::LockQueued { ahead },
        })
    }

    pub(crate) fn release(&mut self, release: &Release, actor: &Actor) -> Result<Reply, Refusal> {
        let held = self.give_up(&Queue::Lock(release.name.clone()), release.lease, actor)?;
        Ok(Reply::LockReleased { held })
    }

    pub(crate) fn campaign(&mut self, campaign: &Campaign, actor: &Actor) -> Result<Reply, Refusal> {
        let Campaign { name, lease, value } = campaign;
        Ok(match self.enter(&Queue::Election(name.clone()), *lease, value, true, actor)? {
            Stands::First(token) => Reply::Elected { token },
            Stands::Behind(ahead) => Reply::Campaigning { ahead },
        })
    }

    pub(crate) fn proclaim(&mut self, proclaim: &Proclaim, actor: &Actor) -> Result<Reply, Refusal> {
        self.own_lease(proclaim.lease, actor)?;
        let queue = Queue::Election(proclaim.name.clone());
        let current = self.token_of(&queue);
        match self.place(&queue, proclaim.lease) {
            Some(own) if self.places_taken[own].token == Some(proclaim.token) => {
                self.places_taken[own].value = proclaim.value.clone();
                self.changed.insert(queue.clone(), self.applied.1);
                self.touch_queue(&queue, current, false);
                self.touched.push((queue, Touch::Changed));
                self.marks.insert("election edge Proclaim");
                Ok(Reply::Proclaimed)
            }
            _ => Err(Refusal::NotElected { asked: proclaim.token, current }),
        }
    }

    pub(crate) fn resign(&mut self, resign: &Resign, actor: &Actor) -> Result<Reply, Refusal> {
        let held = self.give_up(&Queue::Election(resign.name.clone()), resign.lease, actor)?;
        Ok(Reply::Resigned { held })
    }
}

//! The generator, continued: leases, locks and elections. Few numbers and few names, so that everybody meets everybody.

use bytes::Bytes;
use holdfast_command::elections::{Campaign, Proclaim, Resign};
use holdfast_command::keys::{Against, Compare, Operation, Relation, Span, Transaction};
use holdfast_command::leases::{ExpireLease, GrantLease, RenewLeases, Renewed, RevokeLease};
use holdfast_command::locks::{Acquire, Release};
use holdfast_command::settings::ChangeSettings;
use holdfast_command::{Actor, Command, Setting};
use holdfast_machine::Numbered;

use super::coordination::Queue;
use super::generate::Generator;
use super::naive::Naive;

const QUEUES: [&[u8]; 3] = [b"l", b"m", b"a/b"];

/// Whether a command hangs something on a lease, or asks in its name.
pub(crate) fn names_lease(command: &Command) -> bool {
    match command {
        Command::Put(put) => put.lease != 0,
        Command::Transact(transaction) => puts_on_lease(transaction),
        Command::RevokeLease(_)
        | Command::Acquire(_)
        | Command::Release(_)
        | Command::Campaign(_)
        | Command::Proclaim(_)
        | Command::Resign(_) => true,
        _ => false,
    }
}

fn puts_on_lease(transaction: &Transaction) -> bool {
    transaction.then.iter().chain(&transaction.otherwise).any(|operation| match operation {
        Operation::Put(put) => put.lease != 0,
        Operation::Transaction(inner) => puts_on_lease(inner),
        _ => false,
    })
}

impl Generator {
    /// A lease that is there, in most cases.
    pub(crate) fn any_lease(&mut self, model: &Naive) -> i64 {
        let there: Vec<i64> = model.leases.keys().copied().collect();
        match self.rng.below(100) {
            0 => *self.rng.pick(&[0, -1, i64::MIN]),
            1..=2 => *self.rng.pick(&[7, model.chosen, model.chosen.wrapping_add(1), i64::MAX]),
            _ if there.is_empty() => 1,
            _ => *self.rng.pick(&there),
        }
    }

    pub(crate) fn coordinate(&mut self, model: &Naive) -> Command {
        let (there, most) = (model.leases.len() as u64, model.setting(Setting::Leases));
        match self.rng.below(100) {
            0..=24 if there < most.min(4) || self.rng.permille(150) => Command::GrantLease(self.grant(model)),
            0..=36 => Command::RenewLeases(self.renewals(model)),
            37..=41 => Command::RevokeLease(RevokeLease { lease: self.lease }),
            42..=53 => Command::ExpireLease(self.expiry(model)),
            54..=69 => {
                let (name, value) = (self.queue_name(), self.queue_value());
                let wait = !self.rng.permille(200);
                Command::Acquire(Acquire { name, lease: self.lease, wait, value })
            }
            70..=75 => {
                let name = self.queue_name();
                Command::Release(Release { name, lease: self.lease })
            }
            76..=87 => {
                let (name, value) = (self.queue_name(), self.queue_value());
                Command::Campaign(Campaign { name, lease: self.lease, value })
            }
            88..=93 => {
                let (name, value) = (self.queue_name(), self.queue_value());
                let holder = model.holder(&Queue::Election(name.clone())).cloned();
                let (lease, token) =
                    holder.map_or((self.lease, 1), |place| (place.lease, place.token.unwrap_or(0)));
                self.lease = if self.rng.permille(850) { lease } else { self.lease };
                let token = token + u64::from(self.rng.permille(150));
                Command::Proclaim(Proclaim { name, lease: self.lease, token, value })
            }
            // Below what hangs on some lease, if that is much; and back.
            98 => {
                let most = if model.leases.keys().any(|id| model.keys_of(*id).len() > 1) { 1 } else { 1_000 };
                let changes = vec![(Setting::LeaseKeys.number(), most)];
                Command::ChangeSettings(ChangeSettings { changes })
            }
            _ => {
                let name = self.queue_name();
                Command::Resign(Resign { name, lease: self.lease })
            }
        }
    }

    fn grant(&mut self, model: &Naive) -> GrantLease {
        let lease = match self.rng.below(100) {
            0..=1 => *self.rng.pick(&[-1, i64::MIN]),
            2..=5 => *self.rng.pick(&[i64::MAX, model.chosen.saturating_add(1).max(1)]),
            6..=65 => self.rng.between(1, 5) as i64,
            _ => 0,
        };
        let (least, most) = (model.setting(Setting::LeaseTtlMin), model.setting(Setting::LeaseTtlMax));
        let choices = [least, least + 10, least + 30, most, least - 1, most + 1, u64::MAX];
        let usual = if self.rng.permille(930) { 4 } else { 7 };
        GrantLease { lease, ttl_ms: *self.rng.pick(&choices[..usual]) }
    }

    fn renewals(&mut self, model: &Naive) -> RenewLeases {
        let mut kept = Vec::new();
        for _ in 0..self.rng.below(4) {
            let lease = self.any_lease(model);
            if let Some(there) = model.leases.get(&lease) {
                self.counters.push((lease, there.counter));
            }
            let there = model.leases.get(&lease).filter(|_| !self.rng.permille(100));
            let actor = there.map_or(Actor::Anonymous, |lease| lease.actor.clone());
            kept.push(Renewed { lease, actor });
        }
        RenewLeases { kept }
    }

    /// Mostly of a lease that is over; or with a counter that it had, or another of its number had.
    fn expiry(&mut self, model: &Naive) -> ExpireLease {
        let over: Vec<i64> = model
            .leases
            .iter()
            .filter(|(_, lease)| lease.deadline <= model.clock)
            .map(|(id, _)| *id)
            .collect();
        if !over.is_empty() && self.rng.permille(700) {
            self.lease = *self.rng.pick(&over);
        }
        let counter = model.leases.get(&self.lease).map_or(0, |lease| lease.counter);
        match self.rng.below(10) {
            0..=2 if !self.counters.is_empty() => {
                let (lease, counter) = *self.rng.pick(&self.counters);
                ExpireLease { lease, counter }
            }
            3 => ExpireLease { lease: self.lease, counter: counter.wrapping_sub(1) },
            _ => {
                self.counters.push((self.lease, counter));
                ExpireLease { lease: self.lease, counter }
            }
        }
    }

    fn queue_name(&mut self) -> Bytes {
        match self.rng.below(200) {
            0 => Bytes::new(),
            1 => vec![b'n'; 256].into(),
            _ => Bytes::from_static(QUEUES[self.rng.below(QUEUES.len() as u64) as usize]),
        }
    }

    fn queue_value(&mut self) -> Bytes {
        let length = if self.rng.permille(5) { 4_097 } else { self.rng.below(4) };
        vec![b'v' + self.rng.below(3) as u8; length as usize].into()
    }

    /// A comparison with the token of a lock or an election: mostly that which is held, or the one before.
    pub(crate) fn compare_token(&mut self, model: &Naive) -> Compare {
        let name = self.queue_name();
        let is_lock = self.rng.permille(600);
        let queue = if is_lock { Queue::Lock(name.clone()) } else { Queue::Election(name.clone()) };
        let token = match self.rng.below(10) {
            0 => 0,
            1..=3 => model.token.saturating_sub(self.rng.below(2)),
            _ => model.token_of(&queue),
        };
        let against = if is_lock { Against::Fence(token) } else { Against::Term(token) };
        let relation = if self.rng.permille(600) { Relation::Equal } else { *self.rng.pick(Relation::ALL) };
        let span = if self.rng.permille(20) { Span::prefix(name) } else { Span::Key(name) };
        Compare { span, relation, against }
    }
}

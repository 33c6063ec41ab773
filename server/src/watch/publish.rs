//! Publishing: what an entry changed, into the queues of those who want it.

use std::collections::BTreeMap;

use holdfast_store::{Change, Plant as StorePlant, Store};

use super::event::Forms;
use super::limits::ENTRY_BYTES;
use super::machine::{Event, State};
use super::piece::Place;
use super::plant::{Bug, Plant};
use super::queue::{Entry, Queue};
use super::{Gathered, Hub};
use crate::node::Caller;

impl<P: Plant> Hub<P> {
    /// Takes note of the revisions that an entry has added. After each entry: the next may be a compaction.
    pub fn publish(&mut self, store: &Store<impl StorePlant>) {
        let from = self.published + 1;
        if store.revision() < from {
            return;
        }
        self.published = store.revision();
        if self.index.is_empty() {
            return;
        }
        match store.changes(from) {
            Ok(changes) => self.distribute(changes),
            // It would have to be compacted by the entry that made it, and no entry does both.
            Err(_) => self.all_fall_behind(from),
        }
    }

    fn distribute<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) {
        let mut revision = 0;
        let mut gathered: BTreeMap<Caller, Option<Gathered>> = BTreeMap::new();
        let mut found = std::mem::take(&mut self.found);
        for change in changes {
            if change.version.mod_revision() != revision {
                self.deliver(revision, &mut gathered);
                revision = change.version.mod_revision();
            }
            found.clear();
            self.index.find(change.version.key(), &mut found);
            let mut forms = Forms::<P>::new(change, self.budget.event_bytes);
            for caller in &found {
                let Some(watch) = self.watches.get(caller) else { continue };
                let wants = watch.ask.wants;
                let is_early = revision < watch.from && !P::plants(Bug::FutureDeliversPast);
                if watch.state != State::Live || is_early || !wants.admit::<P>(change) {
                    continue;
                }
                // None: more than a queue holds, so it is not collected.
                let Some(own) = gathered.entry(*caller).or_insert_with(|| Some(Gathered::default())) else {
                    continue;
                };
                own.cost += ENTRY_BYTES + forms.size(wants);
                if own.cost > self.budget.connection_bytes && !P::plants(Bug::QueueUnbounded) {
                    gathered.insert(*caller, None);
                } else {
                    own.events.push(forms.get(wants));
                }
            }
        }
        self.deliver(revision, &mut gathered);
        self.found = found;
    }

    /// What a revision has for each watch goes into the queues, or the watch falls behind at it.
    fn deliver(&mut self, revision: u64, gathered: &mut BTreeMap<Caller, Option<Gathered>>) {
        for (caller, own) in std::mem::take(gathered) {
            let fits = own.filter(|own| self.has_room(caller.connection, own.cost));
            let Some(own) = fits else {
                if !P::plants(Bug::LostWhenFull) {
                    self.fall_behind(caller, revision);
                }
                continue;
            };
            let count = own.events.len();
            for (place, bytes) in own.events.into_iter().enumerate() {
                let (first, last) = (place == 0, place + 1 == count);
                self.push(caller, |call| Entry::Event { call, first, last, bytes });
            }
            if let Some(watch) = self.watches.get_mut(&caller) {
                watch.told = revision;
            }
        }
    }

    pub(super) fn has_room(&self, connection: u64, cost: usize) -> bool {
        let taken = self.queues.get(&connection).map_or(0, Queue::taken);
        let of_node = self.bytes + cost <= self.budget.node_bytes || taken == 0;
        (taken + cost <= self.budget.connection_bytes && of_node) || P::plants(Bug::QueueUnbounded)
    }

    fn fall_behind(&mut self, caller: Caller, revision: u64) {
        if let Some(watch) = self.watches.get_mut(&caller) {
            watch.at = Place { revision: revision.max(watch.from), skip: 0 };
            self.shift(caller, Event::QueueFull);
            self.lag(caller);
        }
    }

    fn all_fall_behind(&mut self, revision: u64) {
        let live = self.watches.iter().filter(|(_, watch)| watch.state == State::Live);
        let live: Vec<Caller> = live.map(|(caller, _)| *caller).collect();
        for caller in live {
            self.fall_behind(caller, revision);
        }
    }
}

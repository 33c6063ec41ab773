//! The laws of leases, locks and elections, over generated logs, as somebody sees them who knows entries and answers only.
//!
//! The laws are L1 to L8 of the design. Each is a function over what a log did, entry by entry; it has to hold for the store, and
//! has to find the bug that was planted against it. Logs are the same in every run: their numbers are the seeds, and a law that
//! fails names one.

#[path = "model/chosen.rs"]
mod chosen;
#[path = "model/rng.rs"]
mod rng;

use std::collections::BTreeMap;

use bytes::Bytes;
use chosen::{Chosen, chosen};
use holdfast_command::elections::{Campaign, Proclaim, Resign};
use holdfast_command::keys::{Delete, Put, Span};
use holdfast_command::leases::{ExpireLease, GrantLease, RenewLeases, Renewed, RevokeLease};
use holdfast_command::locks::{Acquire, Release};
use holdfast_command::settings::ChangeSettings;
use holdfast_command::{Actor, Command, Entry, Envelope, Reply, Request, Setting};
use holdfast_machine::Numbered;
use holdfast_store::{Bug, LogPosition, NoPlant, Plant, Queue, QueueKind, Store, Touch, Touched};
use rng::Rng;

const LOGS: std::ops::Range<u64> = 0..40;
const LENGTH: u64 = 400;
const TTLS: [u64; 3] = [10, 40, 200];
const NAMES: [&[u8]; 3] = [b"l", b"m", b"n"];
const KINDS: [QueueKind; 2] = [QueueKind::Lock, QueueKind::Election];

/// One entry: the store before and behind it, what was asked and what was answered.
struct Step<P: Plant> {
    before: Store<P>,
    behind: Store<P>,
    command: Command,
    reply: Option<Reply>,
    touched: Vec<Touched>,
}

/// The log of a seed. Everybody is the same, and few numbers and names go round.
fn log<P: Plant>(seed: u64) -> Vec<Step<P>> {
    let mut rng = Rng::new(seed);
    let (mut store, mut clock, mut steps) = (Store::<P>::new(), 0, Vec::new());
    let mut proposed = Vec::new();
    for index in 1..=LENGTH {
        clock += rng.below(6);
        let command = if index == 1 {
            let changes = vec![(Setting::LeaseTtlMin.number(), 10)];
            Command::ChangeSettings(ChangeSettings { changes })
        } else {
            command(&mut rng, &store, clock, &mut proposed)
        };
        let node = matches!(command, Command::RenewLeases(_) | Command::ExpireLease(_));
        let actor = if node { Actor::Cluster } else { Actor::Anonymous };
        // The wall clock is behind, and jumps to and fro.
        let stamp = rng.below(clock / 2 + 1) << 16;
        let envelope = Envelope { stamp, clock, actor, ..Envelope::default() };
        let entry = Entry { envelope, request: Request::from(command.clone()) }.encode();
        let before = store.clone();
        let applied = store.apply(LogPosition { index, term: 1 }, &entry).expect("it goes on");
        let (reply, touched) = (applied.outcome.0.ok(), applied.touched);
        steps.push(Step { before, behind: store.clone(), command, reply, touched });
    }
    steps
}

fn command<P: Plant>(rng: &mut Rng, store: &Store<P>, clock: u64, proposed: &mut Vec<(i64, u64)>) -> Command {
    let lease = rng.between(1, 6) as i64;
    let name = Bytes::from_static(NAMES[rng.below(3) as usize]);
    let key = Bytes::from(vec![b'a' + rng.below(6) as u8]);
    match rng.below(20) {
        0..=2 => Command::GrantLease(GrantLease { lease, ttl_ms: *rng.pick(&TTLS) }),
        3..=5 => {
            let kept = (1..=6).filter(|_| rng.permille(400));
            let kept = kept.map(|lease| Renewed { lease, actor: Actor::Anonymous }).collect();
            Command::RenewLeases(RenewLeases { kept })
        }
        6 if rng.permille(500) => Command::RevokeLease(RevokeLease { lease }),
        // What a leader sees now, and what an earlier one has seen: a proposal may come late or twice.
        6..=9 => {
            proposed.extend(store.leases_due(clock + rng.below(20)));
            if proposed.is_empty() {
                return Command::ExpireLease(ExpireLease { lease, counter: 1 });
            }
            let (lease, counter) = *rng.pick(proposed);
            Command::ExpireLease(ExpireLease { lease, counter })
        }
        10..=12 => {
            Command::Put(Put { key, lease: if rng.permille(800) { lease } else { 0 }, ..Put::default() })
        }
        13 => Command::Delete(Delete { span: Span::Key(key), return_previous: false }),
        14..=15 => Command::Acquire(Acquire { name, lease, wait: rng.permille(800), value: Bytes::new() }),
        16 => Command::Release(Release { name, lease }),
        17 => Command::Campaign(Campaign { name, lease, value: key }),
        18 => {
            let token = store.queue(QueueKind::Election, &name).map_or(0, Queue::token);
            Command::Proclaim(Proclaim { name, lease, token, value: key })
        }
        _ => Command::Resign(Resign { name, lease }),
    }
}

/// How often the law was put to the test, or where it was broken.
type Judged = Result<u64, String>;

/// What a client knows of its lease: when it was last granted or renewed, and for how long.
#[derive(Clone, Copy)]
struct Known {
    clock: u64,
    index: u64,
    ttl_ms: u64,
}

/// Leases by number, from answers alone. `ended` is called with what was known of a lease when it ended.
fn follow<P: Plant>(
    steps: &[Step<P>],
    mut ended: impl FnMut(&Step<P>, i64, Option<Known>) -> Result<(), String>,
) -> Result<(), String> {
    let mut known: BTreeMap<i64, Known> = BTreeMap::new();
    for step in steps {
        let (clock, index) = (step.behind.clock(), step.behind.applied().index);
        match (&step.command, &step.reply) {
            (_, Some(Reply::LeaseGranted { lease, ttl_ms })) => {
                known.insert(*lease, Known { clock, index, ttl_ms: *ttl_ms });
            }
            (Command::RenewLeases(renew), Some(Reply::LeasesRenewed { unknown })) => {
                for kept in renew.kept.iter().filter(|kept| !unknown.contains(&kept.lease)) {
                    if let Some(known) = known.get_mut(&kept.lease) {
                        (known.clock, known.index) = (clock, index);
                    }
                }
            }
            (Command::RevokeLease(revoke), Some(Reply::LeaseRevoked { .. })) => {
                ended(step, revoke.lease, known.remove(&revoke.lease))?;
            }
            (Command::ExpireLease(expire), Some(Reply::LeaseExpired { expired: true, .. })) => {
                ended(step, expire.lease, known.remove(&expire.lease))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn l1_no_lease_expires_before_its_time_since_the_last_renewal_has_passed<P: Plant>(
    steps: &[Step<P>],
) -> Judged {
    let mut expired = 0;
    follow(steps, |step, lease, known| {
        let Command::ExpireLease(_) = step.command else { return Ok(()) };
        expired += 1;
        let known = known.ok_or("a lease that nobody was granted")?;
        let lived = step.behind.clock() - known.clock;
        if lived < known.ttl_ms {
            Err(format!("lease {lease} of {} ms after {lived} ms", known.ttl_ms))
        } else {
            Ok(())
        }
    })?;
    Ok(expired)
}

fn l2_an_expiry_ends_only_the_lease_with_the_counter_that_it_names<P: Plant>(steps: &[Step<P>]) -> Judged {
    let mut expired = 0;
    follow(steps, |step, lease, known| {
        let Command::ExpireLease(expire) = &step.command else { return Ok(()) };
        expired += 1;
        let counter = known.map(|known| known.index);
        if counter == Some(expire.counter) {
            Ok(())
        } else {
            Err(format!("lease {lease}: {counter:?}, {expire:?}"))
        }
    })?;
    Ok(expired)
}

fn l3_a_lease_whose_renewal_was_acknowledged_is_alive_there<P: Plant>(steps: &[Step<P>]) -> Judged {
    let mut renewed = 0;
    for step in steps {
        let (Command::RenewLeases(renew), Some(Reply::LeasesRenewed { unknown })) =
            (&step.command, &step.reply)
        else {
            continue;
        };
        for kept in renew.kept.iter().filter(|kept| !unknown.contains(&kept.lease)) {
            renewed += 1;
            let lease =
                step.behind.lease(kept.lease).ok_or_else(|| format!("lease {} is not", kept.lease))?;
            if lease.deadline() != step.behind.clock() + lease.ttl_ms() {
                return Err(format!("lease {}: {lease:?}", kept.lease));
            }
        }
    }
    Ok(renewed)
}

fn l4_whoever_is_granted_something_has_a_lease_that_is_alive<P: Plant>(steps: &[Step<P>]) -> Judged {
    let mut granted = 0;
    for step in steps {
        for touched in &step.touched {
            if let Touch::Granted { lease, .. } = touched.what {
                granted += 1;
                if step.behind.lease(lease).is_none() {
                    return Err(format!("lease {lease} was granted {touched:?}"));
                }
            }
        }
        // And what is held, or waited for, is so by a lease that is the one it was.
        for queue in KINDS.into_iter().flat_map(|kind| step.behind.queues(kind)) {
            for place in queue.1.holder().into_iter().chain(queue.1.waiters()) {
                let granted_at = step.behind.lease(place.lease()).map(holdfast_store::Lease::granted_at);
                if granted_at != Some(place.lease_granted_at()) {
                    return Err(format!("{place:?} outlived its lease"));
                }
            }
        }
    }
    Ok(granted)
}

fn l5_every_token_is_higher_than_all_before<P: Plant>(steps: &[Step<P>]) -> Judged {
    let (mut last, mut given) = (0, 0);
    for touched in steps.iter().flat_map(|step| &step.touched) {
        if let Touch::Granted { token, .. } = touched.what {
            given += 1;
            if token <= last {
                return Err(format!("token {token} behind {last}"));
            }
            last = token;
        }
    }
    Ok(given)
}

fn l6_a_lock_has_one_holder_until_its_place_has_left<P: Plant>(steps: &[Step<P>]) -> Judged {
    let mut holders: BTreeMap<(QueueKind, Bytes), i64> = BTreeMap::new();
    let mut granted = 0;
    for step in steps {
        for Touched { kind, name, what } in &step.touched {
            let queue = (*kind, name.clone());
            match what {
                Touch::Granted { lease, .. } => {
                    granted += 1;
                    if let Some(other) = holders.insert(queue, *lease) {
                        return Err(format!("{name:?} granted to {lease} while {other} holds it"));
                    }
                }
                Touch::Left { lease } if holders.get(&queue) == Some(lease) => drop(holders.remove(&queue)),
                Touch::Left { .. } | Touch::Changed => {}
            }
        }
        for (kind, name) in KINDS.into_iter().flat_map(|kind| NAMES.map(|name| (kind, name))) {
            let held =
                step.behind.queue(kind, name).and_then(Queue::holder).map(holdfast_store::Place::lease);
            let told = holders.get(&(kind, Bytes::from_static(name))).copied();
            if held != told {
                return Err(format!("{name:?} is held by {held:?}, and {told:?} was told"));
            }
        }
    }
    Ok(granted)
}

fn l7_observers_are_told_of_every_change_and_see_its_indices_ascend<P: Plant>(steps: &[Step<P>]) -> Judged {
    let mut changes = 0;
    let seen = |store: &Store<P>, kind, name: &[u8]| {
        store.queue(kind, name).map(|queue| (queue.token(), queue.holder().cloned()))
    };
    for step in steps {
        for (kind, name) in KINDS.into_iter().flat_map(|kind| NAMES.map(|name| (kind, name))) {
            let differs = seen(&step.before, kind, name) != seen(&step.behind, kind, name);
            let told = step.touched.iter().filter(|touched| {
                touched.kind == kind && touched.name == name && touched.what == Touch::Changed
            });
            let told = told.count();
            changes += told as u64;
            // Proclaiming the same again is told and looks the same.
            let same_again = matches!(step.command, Command::Proclaim(_)) && told == 1;
            if told > 1 || (told == 1) != differs && !same_again {
                return Err(format!("{name:?} differs: {differs}, and that was told {told} times"));
            }
            let changed_at = |store: &Store<P>| store.queue(kind, name).map(Queue::changed_at);
            if let Some(behind) = changed_at(&step.behind) {
                let index = step.behind.applied().index;
                let expected = if told > 0 { Some(index) } else { changed_at(&step.before) };
                if expected != Some(behind) {
                    return Err(format!("{name:?} changed at {behind}, at entry {index}"));
                }
            }
        }
    }
    Ok(changes)
}

fn l8_the_keys_of_a_lease_vanish_in_one_revision<P: Plant>(steps: &[Step<P>]) -> Judged {
    let mut several = 0;
    follow(steps, |step, lease, _| {
        let own: Vec<Bytes> = step.before.lease_keys(lease).cloned().collect();
        several += u64::from(own.len() > 1);
        let revision = step.before.revision() + u64::from(!own.is_empty());
        if step.behind.revision() != revision {
            return Err(format!("{} keys and revision {}", own.len(), step.behind.revision()));
        }
        let changes =
            step.behind.changes(step.before.revision() + 1).map_err(|refusal| refusal.to_string())?;
        let gone: Vec<Bytes> = changes
            .filter(|change| change.version.is_tombstone())
            .map(|change| Bytes::copy_from_slice(change.version.key()))
            .collect();
        if gone == own { Ok(()) } else { Err(format!("{own:?} hung there, and {gone:?} went")) }
    })?;
    // At all times a key hangs on a lease that is alive and knows it.
    for step in steps {
        for key in (b'a'..=b'f').map(|byte| [byte]) {
            let lease = step.behind.get(&key).map_or(0, holdfast_store::Version::lease);
            if lease != 0 && !step.behind.lease_keys(lease).any(|own| own[..] == key) {
                return Err(format!("{key:?} hangs on lease {lease}, which does not know it"));
            }
        }
    }
    Ok(several)
}

/// The law holds in all logs, and is put to the test in them.
fn holds(law: impl Fn(&[Step<NoPlant>]) -> Judged, least: u64) {
    let judged =
        LOGS.map(|seed| law(&log::<NoPlant>(seed)).unwrap_or_else(|fault| panic!("seed {seed}: {fault}")));
    let judged: u64 = judged.sum();
    println!("{judged} times");
    assert!(judged >= least, "only {judged} times put to the test");
}

fn finds(law: impl Fn(&[Step<Chosen>]) -> Judged, bug: Bug) {
    let found = chosen(bug, || LOGS.clone().find_map(|seed| law(&log::<Chosen>(seed)).err()));
    println!("{}", found.expect("the law finds the bug"));
}

macro_rules! laws {
    ($( $name:ident: $law:ident at_least $least:literal $( finds $bug:ident )?; )+) => { $(
        mod $name {
            use super::*;

            #[test]
            fn holds_in_every_log() {
                holds($law, $least);
            }

            $(
                #[test]
                fn finds_the_bug_that_breaks_it() {
                    finds($law, Bug::$bug);
                }
            )?
        } )+
    };
}

laws! {
    l1: l1_no_lease_expires_before_its_time_since_the_last_renewal_has_passed at_least 200 finds LeaseByWallClock;
    l2: l2_an_expiry_ends_only_the_lease_with_the_counter_that_it_names at_least 200 finds ExpiryIgnoresCounter;
    l3: l3_a_lease_whose_renewal_was_acknowledged_is_alive_there at_least 1_000;
    l4: l4_whoever_is_granted_something_has_a_lease_that_is_alive at_least 400 finds LockGrantedToDeadLease;
    l5: l5_every_token_is_higher_than_all_before at_least 400 finds TokenRepeats;
    l6: l6_a_lock_has_one_holder_until_its_place_has_left at_least 400;
    l7: l7_observers_are_told_of_every_change_and_see_its_indices_ascend at_least 400;
    l8: l8_the_keys_of_a_lease_vanish_in_one_revision at_least 30 finds LeaseRevokedByHalves;
}

#[test]
fn a_place_that_is_told_by_the_number_of_its_lease_alone_outlives_it() {
    finds(l4_whoever_is_granted_something_has_a_lease_that_is_alive, Bug::PlaceOfFormerLease);
}

//! Leases, and the keys that hang on them.
//!
//! # What is promised
//! - **L1**: a lease that nobody revoked is not seen gone before its time to live has passed since the last grant
//!   or renewal that was acknowledged. That is counted from when it was *asked* for: the leader cannot have counted
//!   from earlier. The same holds for the keys that hang on it: an answer that shows a revision in which one
//!   vanished comes no earlier.
//! - **L3**: a renewal that was asked after a lease was seen gone is not acknowledged.
//! - **L8**: the keys of a lease vanish in one revision.
//!
//! # Clocks
//! The leader counts by a clock that may be faster than the one here. By how much is said by [`Clocks`]. It counts in
//! milliseconds, so up to one of them is not judged.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Ask, Clocks, History, Kind, Lease, Micros, Violation, text};

/// The unit in which deadlines are counted.
const GRAIN: Micros = 1_000;

/// What is wrong with leases, if all clocks are one.
#[must_use]
pub fn judge(history: &History) -> Vec<Violation> {
    judge_with(history, Clocks::Same)
}

/// What is wrong with leases.
#[must_use]
pub fn judge_with(history: &History, clocks: Clocks) -> Vec<Violation> {
    let mut out = Vec::new();
    for lease in &history.leases {
        let Some(gone) = lease.gone else { continue };
        if let Some(due) = due(lease, clocks).filter(|due| gone < *due) {
            let what = format!("lease {} was gone at {gone}, and due at {due}", lease.id);
            out.push(Violation::new(Kind::ExpiredEarly, what));
        }
        if let Some(later) = lease.kept.iter().find(|kept| **kept > gone) {
            let what = format!("lease {} was gone at {gone}, and renewed when asked at {later}", lease.id);
            out.push(Violation::new(Kind::LeaseRevived, what));
        }
    }
    if !history.hanging.is_empty() {
        vanished(history, clocks, &mut out);
    }
    out
}

/// The earliest moment at which it may end; `None` if it may at any time.
fn due(lease: &Lease, clocks: Clocks) -> Option<Micros> {
    let ttl = match clocks {
        Clocks::Same => lease.ttl,
        Clocks::Within(rate) => lease.ttl / 1_000 * 1_000_u64.saturating_sub(rate),
        Clocks::Wild => return None,
    };
    // What was asked after it was seen gone is another violation.
    let kept = lease.kept.iter().filter(|kept| lease.gone.is_none_or(|gone| **kept <= gone));
    let due = kept.max()?.saturating_add(ttl).saturating_sub(GRAIN);
    Some(lease.revoked.map_or(due, |revoked| due.min(revoked)))
}

/// Keys that hang on leases and vanished, though no acknowledged write deleted them.
fn vanished(history: &History, clocks: Clocks, out: &mut Vec<Violation>) {
    let mut asked: BTreeSet<(u64, &[u8])> = BTreeSet::new();
    let mut in_doubt: BTreeSet<&[u8]> = BTreeSet::new();
    let mut seen: Vec<(u64, Micros)> = Vec::new();
    for op in &history.ops {
        if let Ask::Write { changes, .. } = &op.ask {
            for (key, _) in changes.iter().filter(|(_, value)| value.is_none()) {
                match op.answer {
                    Answer::Written { revision, .. } => _ = asked.insert((revision, key)),
                    Answer::Unknown => _ = in_doubt.insert(key),
                    Answer::NotMet { .. } | Answer::Found { .. } | Answer::Refused => {}
                }
            }
        }
        match op.answer {
            Answer::Written { revision, .. }
            | Answer::NotMet { revision, .. }
            | Answer::Found { revision, .. } => seen.push((revision, op.returned)),
            Answer::Refused | Answer::Unknown => {}
        }
    }
    // By when each revision had come to be, at the latest.
    seen.sort_unstable();
    let mut earliest = Micros::MAX;
    for (_, returned) in seen.iter_mut().rev() {
        earliest = earliest.min(*returned);
        *returned = earliest;
    }
    let leases: BTreeMap<i64, &Lease> = history.leases.iter().map(|lease| (lease.id, lease)).collect();
    let mut ends: BTreeMap<i64, (u64, &[u8])> = BTreeMap::new();
    for (key, id) in &history.hanging {
        let versions = history.end.keys.get(key).map_or(&[][..], |versions| versions);
        for (revision, value) in versions {
            if value.is_some() || asked.contains(&(*revision, key)) || in_doubt.contains(key.as_ref()) {
                continue;
            }
            let (first, of) = *ends.entry(*id).or_insert((*revision, key));
            if first != *revision {
                let (key, of) = (text(key), text(of));
                let what =
                    format!("of lease {id}, {of} vanished in revision {first}, and {key} in {revision}");
                out.push(Violation::new(Kind::LeaseTorn, what));
            }
            let by = seen.get(seen.partition_point(|(seen, _)| seen < revision)).map(|(_, by)| *by);
            let due = leases.get(id).and_then(|lease| due(lease, clocks));
            if let (Some(by), Some(due)) = (by, due)
                && by < due
            {
                let key = text(key);
                let what = format!("{key} of lease {id} had vanished by {by}, and was due at {due}");
                out.push(Violation::new(Kind::ExpiredEarly, what));
            }
        }
    }
    // What was there when the others vanished had to go with them.
    for (key, id) in &history.hanging {
        let Some((end, of)) = ends.get(id) else { continue };
        let versions = history.end.keys.get(key).map_or(&[][..], |versions| versions);
        let behind = versions.partition_point(|(revision, _)| revision <= end);
        let stayed = behind.checked_sub(1).is_some_and(|at| versions[at].1.is_some());
        if stayed {
            let what =
                format!("of lease {id}, {} vanished in revision {end}, and {} stayed", text(of), text(key));
            out.push(Violation::new(Kind::LeaseTorn, what));
        }
    }
}

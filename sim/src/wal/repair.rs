//! What Raft does with a damaged log: a leader that holds everything sends again what is missing.

use holdfast_wal::disk::FakeDisk;
use holdfast_wal::{Group, Log, Op, Variant};

use super::judge::{Expect, Stage, check, group, read_all, same};
use super::model::Model;

/// The operations that bring a damaged log back to `truth`.
#[must_use]
pub fn plan<V: Variant>(log: &Log<FakeDisk, V>, truth: &Model) -> Vec<Op> {
    let mut ops = Vec::new();
    let reader = log.reader();
    for (number, known) in &truth.groups {
        let group = group(*number);
        let holes = log.holes(group);
        let mut last = log.bounds(group).map_or(0, |bounds| bounds.last);
        if last + 1 < known.first {
            ops.push(Op::Reset { group, index: known.first - 1, term: known.prev_term });
            last = known.first - 1;
        }
        for (&index, (term, body)) in &known.entries {
            let (term, body) = (*term, body.clone());
            let hole = holes.iter().find(|hole| (hole.first..=hole.last).contains(&index));
            match hole {
                _ if index > last => ops.push(Op::Entry { group, index, term, body }),
                None => {}
                Some(hole) if hole.doubtful && reader.term(group, index) == Some(term) => {
                    ops.push(Op::Confirm { group, first: index, last: index, term });
                }
                Some(hole) if hole.doubtful => {
                    last = index;
                    ops.push(Op::Entry { group, index, term, body });
                }
                Some(_) => ops.push(Op::Fill { group, index, term, body }),
            }
            last = last.max(index);
        }
    }
    let whole = |(number, known): (&u32, &super::model::GroupModel)| (Group(*number), known.last());
    ops.push(Op::Heal { whole: truth.groups.iter().map(whole).collect() });
    ops
}

/// Repairs a damaged log to its end, and opens it again after a power cut that loses what is not synced: all of
/// `truth` must be there and nothing damaged.
///
/// # Errors
/// What was wrong.
pub fn to_the_end<V: Variant>(
    mut log: Log<FakeDisk, V>,
    disk: &FakeDisk,
    start: u64,
    truth: &Model,
) -> Result<(), String> {
    let ops = plan(&log, truth);
    for op in &ops {
        let done = log.append(std::slice::from_ref(op));
        done.map_err(|error| format!("repair: {op:?} was refused: {error}"))?;
    }
    log.sync().map_err(|fatal| format!("repair: {fatal}"))?;
    same(&read_all(&log), truth, false).map_err(|why| format!("repaired: {why}"))?;
    drop(log);
    let cut = disk.after_power_cut(&vec![0; disk.unsynced().len()]);
    let states = std::slice::from_ref(truth);
    let expect = Expect { states, acked: 0, submitted: 0, stage: Stage::Whole };
    check::<V>(&cut, start, &expect).map_err(|why| format!("repaired and opened again: {why}"))?;
    Ok(())
}

//! What the core wants on the disk, as operations of the log.

use holdfast_raft::{HardState, LogOp, Persist};
use holdfast_wal::Op;

use super::payload::{PayloadError, encode_payload};
use super::recover::GROUP;

/// The operations of a persist, in the order in which they have to be written: term and vote first, because what
/// follows was written in that term.
///
/// # Errors
/// [`PayloadError`] for a command without an envelope: whoever proposed it made a mistake, and nothing may be written.
pub fn to_ops(persist: Persist) -> Result<Vec<Op>, PayloadError> {
    let group = GROUP;
    let Persist { id: _, hard_state, log } = persist;
    let mut ops = Vec::with_capacity(log.len() + 1);
    if let Some(HardState { term, vote }) = hard_state {
        ops.push(Op::HardState { group, term: term.0, vote: vote.map_or(0, |node| node.0) });
    }
    for op in log {
        match op {
            LogOp::Append { first, entries } => {
                ops.reserve(entries.len());
                for (index, entry) in (first.0..).zip(entries) {
                    let body = encode_payload(&entry.payload)?;
                    ops.push(Op::Entry { group, index, term: entry.term.0, body });
                }
            }
            LogOp::Fill { index, entry } => {
                let body = encode_payload(&entry.payload)?;
                ops.push(Op::Fill { group, index: index.0, term: entry.term.0, body });
            }
            LogOp::Confirm { index, term } => {
                ops.push(Op::Confirm { group, first: index.0, last: index.0, term: term.0 });
            }
            LogOp::Heal { whole } => ops.push(Op::Heal { whole: vec![(group, whole.0)] }),
            LogOp::Reset { last } => ops.push(Op::Reset { group, index: last.index.0, term: last.term.0 }),
            LogOp::Trim { through } => ops.push(Op::Trim { group, first: through.next().0 }),
        }
    }
    Ok(ops)
}

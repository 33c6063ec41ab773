//! What the compiler cannot see in a table: whether all of it is alive.

use crate::{Machine, Numbered, Verdict};

/// The faults of a machine's table, in words; empty when there are none.
///
/// - every state is reached from [`Machine::INITIAL`], and every edge leaves some reached state;
/// - a [final](Machine::FINAL) state has no way out, and every other state has one;
/// - every reason in a `Stay` or `Never` is a text, not empty.
#[must_use]
pub fn faults<M: Machine>() -> Vec<String> {
    let mut faults = Vec::new();
    let mut reached = vec![M::INITIAL];
    let mut used = Vec::new();
    let mut at = 0;
    while at < reached.len() {
        let state = reached[at];
        let mut ways_out = 0;
        for &event in M::Event::ALL {
            match M::next(state, event) {
                Verdict::Take(edge) => {
                    let to = M::target(edge);
                    ways_out += 1;
                    used.push(edge);
                    if !reached.contains(&to) {
                        reached.push(to);
                    }
                }
                Verdict::Stay(why) | Verdict::Never(why) if why.trim().is_empty() => {
                    faults.push(format!("{} × {} gives no reason", state.label(), event.label()));
                }
                Verdict::Stay(_) | Verdict::Never(_) => {}
            }
        }
        if M::FINAL.contains(&state) && ways_out > 0 {
            faults.push(format!("{} is final but has a way out", state.label()));
        }
        if !M::FINAL.contains(&state) && ways_out == 0 {
            faults.push(format!("{} is a trap: no way out, and not final", state.label()));
        }
        at += 1;
    }
    for &state in M::State::ALL {
        if !reached.contains(&state) {
            faults.push(format!("{} is never reached", state.label()));
        }
    }
    for &edge in M::Edge::ALL {
        if !used.contains(&edge) {
            faults.push(format!("{} is never taken", edge.label()));
        }
    }
    faults
}

//! A machine in Markdown: what `docs/state-machines/` shows between its generated marks.

use std::fmt::Write;

use crate::{Machine, Numbered, Verdict};

/// The Mermaid drawing: one line per (state, event) that takes an edge, labelled with edge number and
/// event. Self-loops that are edges are drawn; cells that stay are not (they are in the [`grid`]).
#[must_use]
pub fn mermaid<M: Machine>() -> String {
    let mut out = format!("stateDiagram-v2\n    [*] --> {}\n", M::INITIAL.name());
    for &edge in M::Edge::ALL {
        for &state in M::State::ALL {
            for &event in M::Event::ALL {
                if M::next(state, event) == Verdict::Take(edge) {
                    let to = M::target(edge).name();
                    let _ = writeln!(out, "    {} --> {to}: {} {}", state.name(), edge.tag(), event.name());
                }
            }
        }
    }
    for state in M::FINAL {
        let _ = writeln!(out, "    {} --> [*]", state.name());
    }
    out
}

/// The full state × event table: one row per event, one column per state. A cell is `T4 → Leader`, or
/// `stay: ` or `never: ` with its reason.
#[must_use]
pub fn grid<M: Machine>() -> String {
    let mut out = String::from("| event |");
    for state in M::State::ALL {
        let _ = write!(out, " {} |", state.label());
    }
    out += "\n|---|";
    out += &"---|".repeat(M::State::ALL.len());
    out += "\n";
    for &event in M::Event::ALL {
        let _ = write!(out, "| {} |", event.label());
        for &state in M::State::ALL {
            let _ = match M::next(state, event) {
                Verdict::Take(edge) => write!(out, " **{}** → {} |", edge.tag(), M::target(edge).name()),
                Verdict::Stay(why) => write!(out, " stay: {} |", cell(why)),
                Verdict::Never(why) => write!(out, " never: {} |", cell(why)),
            };
        }
        out += "\n";
    }
    out
}

/// Number, name and meaning of every variant, with retired numbers kept in their place.
#[must_use]
pub fn list<N: Numbered>(what: &str) -> String {
    let mut rows: Vec<(u64, String)> = Vec::new();
    for &item in N::ALL {
        let row = format!("| {} | {} | {} |\n", item.tag(), item.name(), cell(item.caption()));
        rows.push((item.number().into(), row));
    }
    for &(number, name) in N::RETIRED {
        rows.push((number.into(), format!("| {}{number} | ~~{name}~~ | retired |\n", N::PREFIX)));
    }
    rows.sort();
    let body: String = rows.into_iter().map(|(_, row)| row).collect();
    format!("| number | {what} | meaning |\n|---|---|---|\n{body}")
}

/// All that a machine's page shows between its generated marks: drawing, states, events, edges (with retired ones), grid.
#[must_use]
pub fn page<M: Machine>() -> String {
    format!(
        "```mermaid\n{}```\n\n{}\n{}\n{}\n{}",
        mermaid::<M>(),
        list::<M::State>("state"),
        list::<M::Event>("event"),
        list::<M::Edge>("edge"),
        grid::<M>(),
    )
}

/// Text fit for one cell of a Markdown table: one line, with `|` escaped.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

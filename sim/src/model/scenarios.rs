//! The bounds that are explored by default, and the report.
//!
//! One bound that has everything at once is out of reach: each thing that may happen multiplies the states by ten. So each
//! scenario combines what is dangerous together, and is explored to its fixpoint.

use std::fmt::Write;

use holdfast_raft::{NoPlant, Plant};

use super::{Bounds, Found, explore};

/// A bound with a name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// How much of everything.
    pub bounds: Bounds,
}

const NONE: Bounds = Bounds {
    nodes: 3,
    timeouts: 0,
    heartbeats: 0,
    entries: 0,
    reads: 0,
    crashes: 0,
    drops: 0,
    duplicates: 0,
    reorders: 0,
};

/// What is explored by default.
pub const SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "rivals",
        about: "two elections at any time, and an entry",
        bounds: Bounds { timeouts: 2, entries: 1, ..NONE },
    },
    Scenario {
        name: "rivals-crash",
        about: "two elections, and a crash with any part of the undurable writes kept",
        bounds: Bounds { timeouts: 2, crashes: 1, ..NONE },
    },
    Scenario {
        name: "rivals-network",
        about: "two elections, and a packet that overtakes another",
        bounds: Bounds { timeouts: 2, reorders: 1, ..NONE },
    },
    Scenario {
        name: "entry-crash",
        about: "an election and an entry, with a crash, a loss and a copy",
        bounds: Bounds { timeouts: 1, entries: 1, crashes: 1, drops: 1, duplicates: 1, ..NONE },
    },
    Scenario {
        name: "read",
        about: "a read and an entry, with heartbeats and the loss of the quorum",
        bounds: Bounds { timeouts: 1, heartbeats: 1, entries: 1, reads: 1, ..NONE },
    },
    Scenario {
        name: "read-deposed",
        about: "a read at a leader that another may have replaced",
        bounds: Bounds { timeouts: 2, reads: 1, ..NONE },
    },
    Scenario {
        name: "pair",
        about: "two nodes, three elections, an entry, a crash, a loss and a copy",
        bounds: Bounds { nodes: 2, timeouts: 3, entries: 1, crashes: 1, drops: 1, duplicates: 1, ..NONE },
    },
];

/// Everything at once, on demand: the bound that the design names. Takes hours and many gigabytes.
pub const DEEP: Scenario = Scenario {
    name: "deep",
    about: "two elections, an entry, a crash, a loss and a copy",
    bounds: Bounds { timeouts: 2, entries: 1, crashes: 1, drops: 1, duplicates: 1, ..NONE },
};

/// What a list of scenarios came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was found in each, in order.
    pub found: Vec<(&'static str, Found)>,
}

impl Report {
    /// Explores scenarios one after the other, and says each result as it comes.
    pub fn of(scenarios: &[Scenario], states_max: u64, threads: usize, mut say: impl FnMut(&str)) -> Self {
        Self::of_plant::<NoPlant>(scenarios, states_max, threads, &mut say)
    }

    /// The same with a planted bug.
    pub fn of_plant<P: Plant + Sync>(
        scenarios: &[Scenario],
        states_max: u64,
        threads: usize,
        say: &mut impl FnMut(&str),
    ) -> Self {
        let mut report = Self::default();
        for Scenario { name, about, bounds } in scenarios {
            let found = explore::<P>(*bounds, states_max, threads);
            let Found { states, steps, depth, fixpoint, violation } = &found;
            say(&format!(
                "{name:<15} states={states:<8} steps={steps:<9} depth={depth:<3} fixpoint={fixpoint}  {about}"
            ));
            if let Some((what, way)) = violation {
                let mut story = format!("VIOLATION {what}\n");
                for (at, action) in way.iter().enumerate() {
                    let _ = writeln!(story, "  {:>3}  {action:?}", at + 1);
                }
                say(story.trim_end());
            }
            report.found.push((name, found));
        }
        report
    }

    /// Whether every scenario came to its fixpoint without a violation.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.found.iter().all(|(_, found)| found.fixpoint && found.violation.is_none())
    }

    /// The last line.
    #[must_use]
    pub fn summary(&self) -> String {
        let states: u64 = self.found.iter().map(|(_, found)| found.states).sum();
        let violations = self.found.iter().filter(|(_, found)| found.violation.is_some()).count();
        let fixpoint = self.found.iter().all(|(_, found)| found.fixpoint);
        format!("states={states} fixpoint={fixpoint} violations={violations}")
    }
}

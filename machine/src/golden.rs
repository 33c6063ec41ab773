//! Golden lists of numbers: what was once promised, against what the code says now.
//!
//! The compiler keeps numbers dense and unique, but it has no memory: swapping two of them compiles. A text
//! file of `number name` lines, committed next to the code, is that memory. Retiring a number changes
//! nothing in the file, because a retired number keeps its name and its place.

use std::collections::BTreeMap;

use crate::Numbered;

/// What differs between a golden list and the code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Lines of the list that the code no longer says. Never allowed: somewhere a log, a disk or a peer
    /// still holds that number.
    pub broken: Vec<String>,
    /// Lines that the code says and the list does not have yet. To be added to the list, on purpose.
    pub added: Vec<String>,
}

/// The list for this enum: a line `number name` for every live and every retired number, in order.
#[must_use]
pub fn lines<N: Numbered>() -> Vec<String> {
    let live = N::ALL.iter().map(|item| (item.number().into(), item.name()));
    let retired = N::RETIRED.iter().map(|&(number, name)| (number.into(), name));
    let all: BTreeMap<u64, &str> = live.chain(retired).collect();
    all.into_iter().map(|(number, name)| format!("{number} {name}")).collect()
}

/// Compares a golden list with the code. Empty lines and lines that start with `#` are not compared.
#[must_use]
pub fn drift<N: Numbered>(recorded: &str) -> Drift {
    let current = lines::<N>();
    let recorded: Vec<&str> =
        recorded.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    Drift {
        broken: recorded
            .iter()
            .filter(|line| !current.iter().any(|now| now == *line))
            .map(ToString::to_string)
            .collect(),
        added: current.into_iter().filter(|line| !recorded.contains(&line.as_str())).collect(),
    }
}

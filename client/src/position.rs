//! A place in the history of the cluster, as text that clients hand on.

use std::fmt;
use std::str::FromStr;

use holdfast_wire::{ClusterEpoch, message};

/// A place in the history of a cluster. A write returns where it was executed; a read that is given that position sees
/// the write, at whichever member it is made.
///
/// As text it is `epoch.group.term.index`, each a decimal number without leading zeros: `1.0.3.77`. What the parts mean
/// is the cluster's business: hand it on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position(message::Position);

impl Position {
    /// The position as the wire has it.
    #[must_use]
    pub const fn wire(self) -> message::Position {
        self.0
    }
}

impl From<message::Position> for Position {
    fn from(position: message::Position) -> Self {
        Self(position)
    }
}

impl From<Position> for message::Position {
    fn from(position: Position) -> Self {
        position.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message::Position { epoch, group, term, index } = self.0;
        write!(f, "{epoch}.{group}.{term}.{index}")
    }
}

/// Why a text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// Not four parts.
    #[error("a position has four parts, epoch.group.term.index, and not {count}")]
    Parts {
        /// How many it has.
        count: usize,
    },
    /// A part is not a decimal number as it is printed, or too large.
    #[error("the {part} of a position is a decimal number without leading zeros, within its range")]
    Number {
        /// Which part.
        part: &'static str,
    },
    /// Epochs are counted from 1.
    #[error("the epoch of a position is at least 1")]
    NoEpoch,
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let count = text.split('.').count();
        let mut parts = text.split('.');
        let mut next = |part| {
            let digits = parts.next().unwrap_or_default();
            number(digits).ok_or(PositionError::Number { part })
        };
        if count != 4 {
            return Err(PositionError::Parts { count });
        }
        let epoch = ClusterEpoch::new(next("epoch")?).ok_or(PositionError::NoEpoch)?;
        let group = u32::try_from(next("group")?).map_err(|_| PositionError::Number { part: "group" })?;
        Ok(Self(message::Position { epoch, group, term: next("term")?, index: next("index")? }))
    }
}

/// The number, if this is how it is printed.
fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let padded = digits.len() > 1 && digits.starts_with('0');
    if plain && !padded { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_printed_and_in_no_other_way() {
        for text in ["1.0.3.77", "18446744073709551615.4294967295.0.18446744073709551615"] {
            assert_eq!(text.parse::<Position>().map(|position| position.to_string()).as_deref(), Ok(text));
        }
        let number = |part| PositionError::Number { part };
        for (text, why) in [
            ("", PositionError::Parts { count: 1 }),
            ("1.0.3", PositionError::Parts { count: 3 }),
            ("1.0.3.77.", PositionError::Parts { count: 5 }),
            ("0.0.3.77", PositionError::NoEpoch),
            (".0.3.77", number("epoch")),
            ("+1.0.3.77", number("epoch")),
            ("01.0.3.77", number("epoch")),
            ("1.4294967296.3.77", number("group")),
            ("1.0.x.77", number("term")),
            ("1.0.3.18446744073709551616", number("index")),
            ("1.0.3.7 ", number("index")),
        ] {
            assert_eq!(text.parse::<Position>(), Err(why), "{text:?}");
        }
    }
}

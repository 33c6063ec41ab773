//! What is known of a cluster before it is judged.

use std::collections::BTreeMap;

use holdfast_machine::Numbered as _;
use holdfast_wire::message::{Examined, Figure, StatusReply};

/// What came of asking one endpoint.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Where.
    pub endpoint: String,
    /// Whether somebody named it; otherwise a member did.
    pub named: bool,
    /// What it said, or why it said nothing.
    pub answer: Result<Answer, String>,
}

/// What a node said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How it is.
    pub status: StatusReply,
    /// What it found when it examined itself, or why it did not.
    pub facts: Result<Facts, String>,
    /// How its clock differs from that of this machine.
    pub clock: Option<Offset>,
}

impl Answer {
    /// The number of the node.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.status.node.id.get()
    }
}

/// How far a clock is ahead of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Microseconds; negative if it is behind.
    pub micros: i64,
    /// By how much that can be wrong at most, in microseconds: half of the way there and back.
    pub within: u64,
}

impl Offset {
    /// What is known of another clock that was asked at `sent` and answered at `received`, both by this clock, and said
    /// that it was asked at `asked` and answered at `answered`; all in microseconds since 1970. `None` if this clock, or
    /// the other, was set in between.
    #[must_use]
    pub fn between(sent: u64, asked: u64, answered: u64, received: u64) -> Option<Self> {
        let there = i64::try_from(asked).ok()?.checked_sub(i64::try_from(sent).ok()?)?;
        let back = i64::try_from(answered).ok()?.checked_sub(i64::try_from(received).ok()?)?;
        let (taken, worked) = (received.checked_sub(sent)?, answered.checked_sub(asked)?);
        let way = taken.checked_sub(worked)?;
        Some(Self { micros: there.checked_add(back)? / 2, within: way.div_ceil(2) })
    }
}

/// What a node found when it examined itself, by number.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    figures: BTreeMap<(u16, u64), u64>,
    words: BTreeMap<u16, String>,
}

impl Facts {
    /// Those of an answer. What this build does not know is passed over.
    #[must_use]
    pub fn of(examined: &Examined) -> Self {
        let mut facts = Self::default();
        for (figure, about, value) in examined.figures() {
            facts.set_about(figure, about, value);
        }
        for (figure, word) in examined.words() {
            facts.say(figure, &word);
        }
        facts
    }

    /// Notes a figure about the node.
    pub fn set(&mut self, figure: Figure, value: u64) {
        self.set_about(figure, 0, value);
    }

    /// Notes a figure about a peer of it.
    pub fn set_about(&mut self, figure: Figure, about: u64, value: u64) {
        self.figures.insert((figure.number(), about), value);
    }

    /// Notes a word.
    pub fn say(&mut self, figure: Figure, word: &str) {
        self.words.insert(figure.number(), word.to_owned());
    }

    /// A figure about the node, if it is known.
    #[must_use]
    pub fn get(&self, figure: Figure) -> Option<u64> {
        self.about(figure, 0)
    }

    /// A figure about a peer, if it is known.
    #[must_use]
    pub fn about(&self, figure: Figure, about: u64) -> Option<u64> {
        self.figures.get(&(figure.number(), about)).copied()
    }

    /// What is known of a figure, peer by peer.
    pub fn all_about(&self, figure: Figure) -> impl Iterator<Item = (u64, u64)> {
        let number = figure.number();
        self.figures.range((number, 0)..=(number, u64::MAX)).map(|((_, about), value)| (*about, *value))
    }

    /// Whether a figure is known and not 0.
    #[must_use]
    pub fn is(&self, figure: Figure) -> bool {
        self.get(figure).is_some_and(|value| value != 0)
    }

    /// A word, if it is known.
    #[must_use]
    pub fn word(&self, figure: Figure) -> Option<&str> {
        self.words.get(&figure.number()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_clock_is_off_does_not_depend_on_how_long_the_node_thought() {
        let offset = |micros, within| Some(Offset { micros, within });
        // 100 there, 900 of thinking, 100 back; the other clock is 5,000 ahead.
        assert_eq!(Offset::between(1_000, 6_100, 7_000, 2_100), offset(5_000, 100));
        // All of the way was the way there: as wrong as it can be.
        assert_eq!(Offset::between(1_000, 1_200, 1_200, 1_200), offset(100, 100));
        assert_eq!(Offset::between(10_000, 100, 200, 10_300), offset(-10_000, 100));
        assert_eq!(Offset::between(2_000, 1, 1, 1_000), None, "this clock was set back");
        assert_eq!(Offset::between(1_000, 5, 4, 2_000), None, "the other one was");
        assert_eq!(Offset::between(1_000, 1_000, 9_000, 2_000), None, "the other one was set ahead");
    }
}

//! Machine 07, a decision table: what to do at a place where no whole record stands. The page is
//! `docs/state-machines/07-wal-recovery.md`.

use holdfast_machine::numbered;

use crate::variant::{Break, Variant};

/// What stands at the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// Zero up to the end of the sector.
    Unwritten,
    /// A valid head, and a body of which some sectors are zero and none is wrong.
    SomeZero,
    /// A valid head, and a body of which some sector is neither right nor zero.
    SomeWrong,
    /// Neither a head nor zero.
    WrongHead,
}

/// All that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Facts {
    /// What stands at the place.
    pub sight: Sight,
    /// Some record behind the place, or the meta file, says that the place was durable: it is below S.
    pub covered: bool,
    /// Fragments of an entry stand before the place, and the rest of the entry should stand here.
    pub in_run: bool,
    /// Everything behind the place is zero, to the end of the last segment.
    pub rest_is_zero: bool,
}

numbered! {
    /// The rows.
    pub enum Row: u8, "W" {
        /// Nothing was ever written from here on.
        A = 1,
        /// A batch was being written, and its later parts reached the disk before this one.
        B = 2,
        /// A record was being written, and some of its sectors did not reach the disk.
        C = 3,
        /// An entry of several fragments was being written, and not all of them reached the disk.
        D = 4,
        /// What was durable here is gone: a write was lost, or the sector was zeroed.
        E = 5,
        /// What was durable here is partly gone.
        F = 6,
        /// A part of an entry that was durable is gone.
        G = 7,
        /// What was durable here is damaged.
        H = 8,
        /// Damaged: it may have been the last acknowledged batch, and no power cut leaves such bytes.
        I = 9,
    }
}

/// What a row asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The log ends here, and goes on here.
    End,
    /// A tail that nobody was told of. Seal the segment here and go on in a new one.
    Cut,
    /// Acknowledged data is damaged, or may be. Cut nothing.
    Damage,
}

impl Facts {
    /// The row that holds.
    #[must_use]
    pub fn row(self) -> Row {
        let Self { sight, covered, in_run, rest_is_zero } = self;
        match (sight, covered, in_run, rest_is_zero) {
            (Sight::Unwritten, false, false, true) => Row::A,
            (Sight::Unwritten, false, false, false) => Row::B,
            (Sight::SomeZero, false, false, _) => Row::C,
            (Sight::Unwritten | Sight::SomeZero, false, true, _) => Row::D,
            (Sight::Unwritten, true, false, _) => Row::E,
            (Sight::SomeZero, true, false, _) => Row::F,
            (Sight::Unwritten | Sight::SomeZero, true, true, _) => Row::G,
            (Sight::SomeWrong | Sight::WrongHead, true, _, _) => Row::H,
            (Sight::SomeWrong | Sight::WrongHead, false, _, _) => Row::I,
        }
    }
}

impl Row {
    /// What to do.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::A => Verdict::End,
            Self::B | Self::C | Self::D => Verdict::Cut,
            Self::E | Self::F | Self::G | Self::H | Self::I => Verdict::Damage,
        }
    }

    /// What this variant of the log does.
    pub(crate) fn verdict_of<V: Variant>(self) -> Verdict {
        let verdict = self.verdict();
        let cut = verdict == Verdict::Damage && V::breaks(Break::TruncateDamaged);
        if cut { Verdict::Cut } else { verdict }
    }
}

//! The flags of a frame: how it stands to other frames, whatever it says.

use holdfast_machine::numbered;

numbered! {
    /// A flag of a frame. Flag number n is bit n − 1 of the flags field.
    pub enum Flag: u16, "F" {
        /// Answers the call with this call id, which the receiver opened.
        Reply = 1,
        /// With `Reply`: the call failed, and the body says why.
        Error = 2,
        /// With `Reply`: not the last answer to this call.
        More = 3,
        /// Whoever does not know the message type may skip the frame.
        MayIgnore = 4,
    }
}

/// A set of [`Flag`]s, as the header holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// Just this flag.
    #[must_use]
    pub const fn of(flag: Flag) -> Self {
        Self(1 << (flag as u16 - 1))
    }

    /// These flags and those.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Whether this flag is set.
    #[must_use]
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & Self::of(flag).0 != 0
    }

    /// The field of a header as it came: any bits. Which of them a type may carry is in the message table.
    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The field in the header.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

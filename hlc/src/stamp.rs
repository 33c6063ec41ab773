//! The packed stamp and the physical time that goes into it.

use std::error::Error;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bits of the counter.
const COUNTER_BITS: u32 = 16;

/// Why a physical time cannot be put into a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeError {
    /// The clock is set to a time before 1970.
    BeforeEpoch {
        /// By how much, in whole milliseconds, rounded up.
        by_ms: u128,
    },
    /// The clock is set to a time after the year 10889, which 48 bits of milliseconds do not reach.
    BeyondRange {
        /// Milliseconds since 1970.
        ms: u128,
    },
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeEpoch { by_ms } => {
                write!(f, "the clock is {by_ms} ms before 1970; set it and try again")
            }
            Self::BeyondRange { ms } => {
                write!(f, "the clock is {ms} ms after 1970; a stamp reaches to {} ms", UnixMillis::MAX.get())
            }
        }
    }
}

impl Error for TimeError {}

/// Milliseconds since 1970 UTC, leap seconds not counted, in 48 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self(0);
    /// The last that 48 bits can say: in the year 10889.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// Milliseconds since 1970.
    ///
    /// # Errors
    /// [`TimeError::BeyondRange`] above [`MAX`](Self::MAX).
    pub fn new(ms: u64) -> Result<Self, TimeError> {
        if ms > Self::MAX.0 { Err(TimeError::BeyondRange { ms: ms.into() }) } else { Ok(Self(ms)) }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<SystemTime> for UnixMillis {
    type Error = TimeError;

    fn try_from(time: SystemTime) -> Result<Self, TimeError> {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => match u64::try_from(since.as_millis()) {
                Ok(ms) => Self::new(ms),
                Err(_) => Err(TimeError::BeyondRange { ms: since.as_millis() }),
            },
            Err(before) => {
                Err(TimeError::BeforeEpoch { by_ms: before.duration().as_nanos().div_ceil(1_000_000) })
            }
        }
    }
}

/// A point of the hybrid clock: milliseconds, and a counter for what happens within one.
///
/// Ordered as the packed number, which is the order of (milliseconds, counter). Its text, for example
/// `2026-11-21T01:20:00.123Z-00042`, is RFC 3339 and the counter, both padded, so that within the years
/// RFC 3339 knows (to 9999) the order of texts is the order of stamps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

/// As its text, which says more than the packed number.
impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp({self})")
    }
}

impl Stamp {
    /// The lowest: 1970, counter 0.
    pub const MIN: Self = Self(0);
    /// The highest. A clock that has seen it can make no further one.
    pub const MAX: Self = Self(u64::MAX);

    /// A stamp of its two parts.
    #[must_use]
    pub fn new(millis: UnixMillis, counter: u16) -> Self {
        Self((millis.0 << COUNTER_BITS) | u64::from(counter))
    }

    /// The stamp that [`to_bits`](Self::to_bits) gave. Every number is a stamp.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The packed number, as it goes over the wire and into the log.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The milliseconds.
    #[must_use]
    pub fn millis(self) -> UnixMillis {
        UnixMillis(self.0 >> COUNTER_BITS)
    }

    /// The counter.
    #[must_use]
    pub fn counter(self) -> u16 {
        // The low 16 bits, which is what is wanted of it.
        (self.0 & u64::from(u16::MAX)) as u16
    }

    /// The next stamp; a full counter moves the millisecond forward. None after [`MAX`](Self::MAX).
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

//! The first eight bytes each side sends: that this is holdfast, and which versions it speaks.
//!
//! Frozen for ever, because it is what two builds from different years must both understand. So are the
//! frame header, the layout of bodies, the two Hello messages and Goodbye: a dialer sends preface and Hello in
//! one go, before it knows what the other side speaks, so that a handshake costs one round trip, and a refusal
//! has to be readable without a version in common. The agreed version governs everything else.
//!
//! ```text
//!  0      4     6     8
//!  │ HLDF │ min │ max │      versions as u16, little-endian
//! ```

use std::fmt;

use bytes::{Buf, BufMut, BytesMut};

use crate::WireError;

/// The first four bytes of every connection, each way.
pub const MAGIC: [u8; 4] = *b"HLDF";

/// Length of the preface in bytes.
pub const PREFACE_BYTES: usize = 8;

/// A range of protocol versions, both ends included. Never empty, never starts at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    min: u16,
    max: u16,
}

impl VersionRange {
    /// What this build speaks.
    pub const SUPPORTED: Self = Self { min: 1, max: 1 };

    /// The versions from `min` to `max`.
    ///
    /// # Errors
    /// [`WireError::BadVersionRange`] if `min` is 0 or above `max`.
    pub fn new(min: u16, max: u16) -> Result<Self, WireError> {
        if min == 0 || min > max {
            return Err(WireError::BadVersionRange { min, max });
        }
        Ok(Self { min, max })
    }

    /// The lowest version of the range.
    #[must_use]
    pub fn min(self) -> u16 {
        self.min
    }

    /// The highest version of the range.
    #[must_use]
    pub fn max(self) -> u16 {
        self.max
    }

    /// The highest version in both ranges. Both sides compute it, and get the same.
    ///
    /// # Errors
    /// [`WireError::NoCommonVersion`] if the ranges do not meet.
    pub fn agree(self, theirs: Self) -> Result<u16, WireError> {
        let highest = self.max.min(theirs.max);
        if highest < self.min || highest < theirs.min {
            return Err(WireError::NoCommonVersion { ours: self, theirs });
        }
        Ok(highest)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{} to {}", self.min, self.max)
        }
    }
}

/// The preface as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preface {
    /// The versions its sender speaks.
    pub versions: VersionRange,
}

impl Preface {
    /// Appends the eight bytes.
    pub fn encode(self, out: &mut BytesMut) {
        out.put_slice(&MAGIC);
        out.put_u16_le(self.versions.min);
        out.put_u16_le(self.versions.max);
    }

    /// Takes a preface off the front of `src`, or nothing if it has not all come yet. Bytes that cannot
    /// become the magic are refused at the first wrong byte: whoever speaks another protocol may wait for
    /// our answer before it sends an eighth.
    ///
    /// # Errors
    /// [`WireError::BadMagic`] (with zeros for what has not come) and [`WireError::BadVersionRange`];
    /// `src` is then left as it was.
    pub fn decode(src: &mut BytesMut) -> Result<Option<Self>, WireError> {
        let known = src.len().min(MAGIC.len());
        if src.get(..known) != MAGIC.get(..known) {
            let mut found = [0; 4];
            for (to, from) in found.iter_mut().zip(src.iter()) {
                *to = *from;
            }
            return Err(WireError::BadMagic { found });
        }
        let Some(&[_, _, _, _, a, b, c, d]) = src.first_chunk::<PREFACE_BYTES>() else {
            return Ok(None);
        };
        let versions = VersionRange::new(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))?;
        src.advance(PREFACE_BYTES);
        Ok(Some(Self { versions }))
    }
}

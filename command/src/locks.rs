//! The family of locks: one holder at a time, the others in the order in which they came.
//!
//! Who is granted a lock gets a *fencing token*, a number higher than that of every grant before. A lock tells its
//! holder that it may work; only the token tells others whether it still may.

use bytes::{BufMut, Bytes};

use crate::layout::{DecodeError, Reader, put_section};

/// The longest name of a lock or an election, in bytes. It has at least one.
pub const NAME_BYTES_MAX: usize = 255;

/// The longest text that a place in a queue carries, in bytes.
pub const VALUE_BYTES_MAX: usize = 4_096;

/// Asks for a lock. A lease that holds it or waits for it already is told so, and nothing changes.
///
/// Bytes: u8 flags, i64 lease, section name, section value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acquire {
    /// Of the lock, 1 to [`NAME_BYTES_MAX`] bytes. It need not exist: a lock is there as long as somebody holds it.
    pub name: Bytes,
    /// What the place lives by.
    pub lease: i64,
    /// Queue up if somebody else holds it. Else that is refused.
    pub wait: bool,
    /// Who holds or waits and what for, in words for people, up to [`VALUE_BYTES_MAX`].
    pub value: Bytes,
}

/// Gives up a lock, or the place in its queue.
///
/// Bytes: i64 lease, section name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Of the lock.
    pub name: Bytes,
    /// The lease that holds it or waits for it.
    pub lease: i64,
}

impl Acquire {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_u8(self.wait.into());
        out.put_i64_le(self.lease);
        put_section(out, &self.name);
        put_section(out, &self.value);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (flags, lease) = (reader.flags(1)?, reader.i64()?);
        Ok(Self { name: reader.section()?, lease, wait: flags != 0, value: reader.section()? })
    }
}

impl Release {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_i64_le(self.lease);
        put_section(out, &self.name);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let lease = reader.i64()?;
        Ok(Self { name: reader.section()?, lease })
    }
}

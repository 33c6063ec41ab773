//! The family of elections: a lock whose holder has something to say, and whom others watch.
//!
//! The term of office is a fencing token, from the same counter as those of locks. Names of locks and of elections have
//! nothing to do with each other; their bounds are the same, see [`NAME_BYTES_MAX`](crate::locks::NAME_BYTES_MAX) and
//! [`VALUE_BYTES_MAX`](crate::locks::VALUE_BYTES_MAX).

use bytes::{BufMut, Bytes};

use crate::layout::{DecodeError, Reader, put_section};

/// Stands for election, and is elected at once if nobody holds the office. A lease that stands already is told so, and
/// nothing changes.
///
/// Bytes: i64 lease, section name, section value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Campaign {
    /// Of the election.
    pub name: Bytes,
    /// What the candidacy lives by.
    pub lease: i64,
    /// What is proclaimed once it is elected.
    pub value: Bytes,
}

/// Proclaims something else, in the term in which it was elected.
///
/// Bytes: i64 lease, u64 token, section name, section value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proclaim {
    /// Of the election.
    pub name: Bytes,
    /// The lease that was elected.
    pub lease: i64,
    /// Its term of office.
    pub token: u64,
    /// What is proclaimed.
    pub value: Bytes,
}

/// Gives up the office, or the candidacy.
///
/// Bytes: i64 lease, section name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resign {
    /// Of the election.
    pub name: Bytes,
    /// The lease that was elected or stands for it.
    pub lease: i64,
}

impl Campaign {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_i64_le(self.lease);
        put_section(out, &self.name);
        put_section(out, &self.value);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let lease = reader.i64()?;
        Ok(Self { name: reader.section()?, lease, value: reader.section()? })
    }
}

impl Proclaim {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_i64_le(self.lease);
        out.put_u64_le(self.token);
        put_section(out, &self.name);
        put_section(out, &self.value);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (lease, token) = (reader.i64()?, reader.u64()?);
        Ok(Self { name: reader.section()?, lease, token, value: reader.section()? })
    }
}

impl Resign {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_i64_le(self.lease);
        put_section(out, &self.name);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let lease = reader.i64()?;
        Ok(Self { name: reader.section()?, lease })
    }
}

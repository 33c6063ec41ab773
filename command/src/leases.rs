//! The family of leases: keys and places in queues that live as long as somebody says so.
//!
//! A lease has a time to live on the cluster clock. Its holder renews it; when it does not, the leader proposes its
//! end, and everything that hangs on it goes in one step.

use bytes::BufMut;

use crate::envelope::Actor;
use crate::layout::{DecodeError, Reader};

/// At most so many leases are renewed by one entry.
pub const RENEWED_MAX: usize = 16_384;

/// Grants a lease.
///
/// Bytes: i64 lease, u64 time to live in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantLease {
    /// The number that the client wants for it, positive; 0 lets the store choose one.
    pub lease: i64,
    /// How long it lives after it was granted or renewed, in milliseconds of the cluster clock. Has to lie within the
    /// settings.
    pub ttl_ms: u64,
}

/// One lease to be renewed, and in whose name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Which.
    pub lease: i64,
    /// In whose name it is renewed, which has to be the name it was granted to.
    pub actor: Actor,
}

/// Renews leases: all that asked for it in one turn of the leader.
///
/// Bytes: u32 count; for each an i64 lease, a u8 kind of actor, a u8 length and the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenewLeases {
    /// Which, up to [`RENEWED_MAX`].
    pub kept: Vec<Renewed>,
}

/// Ends a lease. Its keys vanish in one revision, and its places leave their queues.
///
/// Bytes: i64 lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokeLease {
    /// Which.
    pub lease: i64,
}

/// Ends a lease whose time is over, as the leader sees it. Nothing happens if the lease was renewed or granted anew
/// since, or if the clock has not come so far.
///
/// Bytes: i64 lease, u64 counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpireLease {
    /// Which.
    pub lease: i64,
    /// The log index of the grant or renewal after which its time went by.
    pub counter: u64,
}

impl GrantLease {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.put_i64_le(self.lease);
        out.put_u64_le(self.ttl_ms);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { lease: reader.i64()?, ttl_ms: reader.u64()? })
    }
}

impl RenewLeases {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_u32_le(crate::layout::length(self.kept.len()));
        for renewed in &self.kept {
            out.put_i64_le(renewed.lease);
            renewed.actor.write(out);
        }
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.count("leases", 10, RENEWED_MAX as u64)?;
        let one =
            |reader: &mut Reader| Ok(Renewed { lease: reader.i64()?, actor: Actor::read_from(reader)? });
        Ok(Self { kept: reader.items(count, one)? })
    }
}

impl RevokeLease {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.put_i64_le(self.lease);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { lease: reader.i64()? })
    }
}

impl ExpireLease {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.put_i64_le(self.lease);
        out.put_u64_le(self.counter);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { lease: reader.i64()?, counter: reader.u64()? })
    }
}

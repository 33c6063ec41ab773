//! What is told of namespaces and sessions: who uses how much, for whoever has to find out who uses too much.

use bytes::BufMut;

use crate::envelope::Actor;
use crate::layout::{DecodeError, Reader};
use crate::namespaces::SetNamespace;

/// How much is held.
///
/// Bytes: u64 keys, u64 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// A namespace and what it holds.
///
/// Bytes: as those of the command that sets it, then what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// Name and rules.
    pub namespace: SetNamespace,
    /// What it holds, without the namespaces inside.
    pub holds: Holding,
}

/// A client session.
///
/// Bytes: u64 session, u64 time to live, u64 milliseconds left, u64 low, u64 answers, u64 bytes, actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its number.
    pub session: u64,
    /// How long it lives after its client was last heard, in milliseconds of the cluster clock.
    pub ttl_ms: u64,
    /// How long it still lives unless its client is heard.
    pub left_ms: u64,
    /// The lowest sequence that its client waits for.
    pub low: u64,
    /// How many answers are kept for it.
    pub answers: u64,
    /// And their bytes.
    pub bytes: u64,
    /// Who opened it.
    pub actor: Actor,
}

impl Holding {
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.put_u64_le(self.keys);
        out.put_u64_le(self.bytes);
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { keys: reader.u64()?, bytes: reader.u64()? })
    }
}

impl NamespaceInfo {
    pub(super) const BYTES_MIN: usize = 4 + 24 + 4 + 4 + 16;

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.namespace.write(out);
        self.holds.write(out);
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { namespace: SetNamespace::read(reader)?, holds: Holding::read(reader)? })
    }

    /// About how many bytes of an answer one takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let SetNamespace { name, rules } = &self.namespace;
        let owners: usize = rules.owners.iter().map(|owner| 4 + owner.len()).sum();
        Self::BYTES_MIN + name.len() + rules.description.len() + owners
    }
}

impl SessionInfo {
    pub(super) const BYTES_MIN: usize = 50;

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for number in [self.session, self.ttl_ms, self.left_ms, self.low, self.answers, self.bytes] {
            out.put_u64_le(number);
        }
        self.actor.write(out);
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            session: reader.u64()?,
            ttl_ms: reader.u64()?,
            left_ms: reader.u64()?,
            low: reader.u64()?,
            answers: reader.u64()?,
            bytes: reader.u64()?,
            actor: Actor::read_from(reader)?,
        })
    }
}

//! One version of one key: everything of it in one allocation.
//!
//! The entry that brought a key holds a whole read buffer; a slice of it kept for years would pin 1.2 to 1.8 KB for
//! each value of 256 bytes (measured). So apply copies what stays, once, into an allocation of exactly its size, behind
//! a pointer of 8 bytes:
//!
//! ```text
//!   counter 8 │ header 64 │ length 8 │ key │ value │ actor │ reason
//! ```

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::{Actor, KeyValue};
use holdfast_hlc::Stamp;
use triomphe::ThinArc;

/// What is kept of the buffer that versions are put together in: enough for most, without keeping the longest for ever.
const SCRATCH_BYTES: usize = 64 << 10;

/// A version of a key, or the mark that it was deleted. A clone is a counter.
#[derive(Clone)]
pub struct Version(ThinArc<Head, u8>);

/// What stands before the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) create_revision: u64,
    pub(crate) mod_revision: u64,
    /// 0 marks a deletion.
    pub(crate) version: u64,
    pub(crate) lease: i64,
    pub(crate) stamp: u64,
    /// The place of the change in the change log.
    pub(crate) position: u64,
    pub(crate) way: Way,
    key_bytes: u16,
    reason_bytes: u16,
    actor_bytes: u8,
    /// Of the actor: 0 anonymous, 1 named, 2 the cluster.
    actor: u8,
}

/// From a version into the past of its key; see the log of changes. Of no meaning outside of this process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    /// How far back in the log an earlier change of the same key lies; 0 for none, or none within reach.
    pub(crate) jump: u32,
    /// How many changes of the key were reachable when it was written.
    pub(crate) depth: u32,
}

/// By whom, why and where in the log: what is kept of the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) index: u64,
    pub(crate) actor: &'a Actor,
    pub(crate) reason: &'a str,
    pub(crate) stamp: Stamp,
}

/// The numbers of a new version.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) create_revision: u64,
    pub(crate) mod_revision: u64,
    pub(crate) version: u64,
    pub(crate) lease: i64,
    pub(crate) position: u64,
    pub(crate) way: Way,
}

impl Version {
    /// Packs a version. `scratch` is a buffer to put the parts together in.
    ///
    /// Lengths are within the bounds of the settings and of the command crate: keys to 32 KiB, reasons to 1 KiB, actors
    /// to 255 bytes.
    pub(crate) fn pack(
        key: &[u8],
        value: &[u8],
        numbers: Numbers,
        origin: Origin<'_>,
        scratch: &mut Vec<u8>,
    ) -> Self {
        let name = origin.actor.name().as_bytes();
        for part in [key, value, name, origin.reason.as_bytes()] {
            scratch.extend_from_slice(part);
        }
        let head = Head {
            create_revision: numbers.create_revision,
            mod_revision: numbers.mod_revision,
            version: numbers.version,
            lease: numbers.lease,
            stamp: origin.stamp.to_bits(),
            position: numbers.position,
            way: numbers.way,
            key_bytes: key.len() as u16,
            reason_bytes: origin.reason.len() as u16,
            actor_bytes: name.len() as u8,
            actor: match origin.actor {
                Actor::Anonymous => 0,
                Actor::Named(_) => 1,
                Actor::Cluster => 2,
            },
        };
        let packed = ThinArc::from_header_and_slice(head, scratch);
        scratch.clear();
        scratch.shrink_to(SCRATCH_BYTES);
        Self(packed)
    }

    pub(crate) fn head(&self) -> &Head {
        &self.0.header.header
    }

    /// The bytes from `from` on, `count` of them.
    fn part(&self, from: usize, count: usize) -> &[u8] {
        self.0.slice.get(from..from + count).unwrap_or_default()
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.part(0, self.head().key_bytes.into())
    }

    /// The value; empty for a deletion.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        let head = self.head();
        let behind = usize::from(head.actor_bytes) + usize::from(head.reason_bytes);
        let key = usize::from(head.key_bytes);
        self.part(key, self.0.slice.len() - key - behind)
    }

    /// In whose name it was written.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let head = self.head();
        let (actor, reason) = (usize::from(head.actor_bytes), usize::from(head.reason_bytes));
        match head.actor {
            0 => Actor::Anonymous,
            1 => Actor::Named(text(self.part(self.0.slice.len() - reason - actor, actor)).into()),
            _ => Actor::Cluster,
        }
    }

    /// Why it was written, in the words of the request; empty for none.
    #[must_use]
    pub fn reason(&self) -> &str {
        let count = usize::from(self.head().reason_bytes);
        text(self.part(self.0.slice.len() - count, count))
    }

    /// The revision that created the key; 0 for a deletion.
    #[must_use]
    pub fn create_revision(&self) -> u64 {
        self.head().create_revision
    }

    /// The revision that wrote this version.
    #[must_use]
    pub fn mod_revision(&self) -> u64 {
        self.head().mod_revision
    }

    /// How often the key was written since it was created; 0 for a deletion.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.head().version
    }

    /// The lease it is attached to, 0 for none.
    #[must_use]
    pub fn lease(&self) -> i64 {
        self.head().lease
    }

    /// The stamp of the entry that wrote it.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp::from_bits(self.head().stamp)
    }

    /// Whether it marks a deletion.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.head().version == 0
    }

    /// Bytes of key and value.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.key().len() + self.value().len()) as u64
    }

    /// Bytes of memory that it takes, as far as they can be told on every node alike.
    pub(crate) fn held(&self) -> u64 {
        const BEFORE: usize = size_of::<Head>() + 2 * size_of::<usize>();
        (BEFORE + self.0.slice.len()) as u64
    }

    /// The form in which it is sent. Copies key and, if wanted, value.
    #[must_use]
    pub fn to_key_value(&self, with_value: bool) -> KeyValue {
        KeyValue {
            key: Bytes::copy_from_slice(self.key()),
            value: if with_value { Bytes::copy_from_slice(self.value()) } else { Bytes::new() },
            create_revision: self.create_revision(),
            mod_revision: self.mod_revision(),
            version: self.version(),
            lease: self.lease(),
            stamp: self.head().stamp,
        }
    }
}

/// Text that was checked when it was decoded.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, head) = (ByteString::try_from(self.key()), self.head());
        write!(f, "{:?}@{} version {}", key, head.mod_revision, head.version)
    }
}

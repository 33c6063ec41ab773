//! The family of namespaces: named key prefixes with rules of their own.

use bytes::BufMut;
use bytestring::ByteString;

use crate::layout::{DecodeError, Reader, put_section};

/// The longest name of a namespace, in bytes, with its final `/`.
pub const NAME_BYTES_MAX: usize = 255;

/// The longest description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 1024;

/// A namespace has at most so many owners.
pub const OWNERS_MAX: usize = 16;

/// The longest name of an owner, in bytes.
pub const OWNER_BYTES_MAX: usize = 255;

/// What holds for the keys of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// At most so many keys; 0 for no limit.
    pub quota_keys: u64,
    /// At most so many bytes of keys and values; 0 for no limit.
    pub quota_bytes: u64,
    /// No value is longer than this; 0 for the limit that holds for all. It cannot raise that limit.
    pub value_bytes: u64,
    /// What it is for, in the words of who set it up.
    pub description: ByteString,
    /// Who is to be asked about it.
    pub owners: Vec<ByteString>,
}

/// Creates a namespace or replaces its rules.
///
/// Bytes: section name, u64 quota of keys, u64 quota of bytes, u64 bytes of a value, section description, u32 count of
/// owners, a section for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetNamespace {
    /// The prefix that its keys have. Ends in `/`, does not begin with one, and no part between two of them is empty.
    pub name: ByteString,
    /// What holds there.
    pub rules: Rules,
}

/// Removes a namespace. Its keys stay, under the rules of the namespace around it or under the defaults.
///
/// Bytes: section name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteNamespace {
    /// Which.
    pub name: ByteString,
}

/// Whether a namespace may be called that.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let parts = name.strip_suffix('/').map(|name| name.split('/'));
    name.len() <= NAME_BYTES_MAX && parts.is_some_and(|mut parts| parts.all(|part| !part.is_empty()))
}

impl SetNamespace {
    /// Appends the bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_section(out, self.name.as_bytes());
        out.put_u64_le(self.rules.quota_keys);
        out.put_u64_le(self.rules.quota_bytes);
        out.put_u64_le(self.rules.value_bytes);
        put_section(out, self.rules.description.as_bytes());
        out.put_u32_le(crate::layout::length(self.rules.owners.len()));
        for owner in &self.rules.owners {
            put_section(out, owner.as_bytes());
        }
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// [`DecodeError`]: the bytes end, or break a rule of the layout.
    pub fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let name = reader.text()?;
        let (quota_keys, quota_bytes, value_bytes) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let description = reader.text()?;
        let count = reader.count("owners", 4, OWNERS_MAX as u64)?;
        let owners = reader.items(count, Reader::text)?;
        Ok(Self { name, rules: Rules { quota_keys, quota_bytes, value_bytes, description, owners } })
    }
}

impl DeleteNamespace {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_section(out, self.name.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { name: reader.text()? })
    }
}

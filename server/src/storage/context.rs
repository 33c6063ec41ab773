//! What a configuration says of a member besides its names: where it is reached, and what it can do.
//!
//! ```text
//!   u8   version, 1            u16  feature level
//!   u16  length of the address for peers, then the address
//!   u16  length of that for clients, 0 if it is not known; the same for HTTP
//! ```

use bytes::{Buf, BufMut, Bytes};
use bytestring::ByteString;
use holdfast_raft::MEMBER_CONTEXT_BYTES_MAX;

use super::layout::{Short, put_run, text};

const VERSION: u8 = 1;

/// The feature level that the first configuration of a cluster gives its members, whatever their builds: the first
/// entry has to be the same on all of them. Each says later what it can do.
pub const FORMED_FEATURE_LEVEL: u16 = 1;

/// Whether this is a host and a port that a member can be reached at: `host:port`, with a port from 1 on. Whether anybody is there is
/// another question.
#[must_use]
pub fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let plain = |character: char| !character.is_whitespace() && !character.is_control();
        !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// A member's [`context`](holdfast_raft::Member::context).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberContext {
    /// Where peers reach it; not empty.
    pub peer: ByteString,
    /// Where clients do; not empty. `None` until the member has said so.
    pub client: Option<ByteString>,
    /// Where HTTP is served; the same.
    pub http: Option<ByteString>,
    /// What it can do: a later level includes all earlier ones.
    pub feature_level: u16,
}

/// Why bytes are no member's context, or a context has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadContext {
    /// A later build wrote it.
    #[error("what is known of the member is of a later build: version {0}; use that build")]
    Later(u8),
    /// It ends before its last field, or goes on behind it.
    #[error("what is known of the member is cut off, or too long")]
    Length,
    /// An address is not UTF-8.
    #[error("an address is not UTF-8")]
    NoText,
    /// An address is empty.
    #[error("an address is empty")]
    Empty,
    /// It has more bytes than a member's context may have.
    #[error("the addresses take {0} bytes together, and may take 1024")]
    TooLong(usize),
}

impl From<Short> for BadContext {
    fn from(_: Short) -> Self {
        Self::Length
    }
}

impl From<bytes::TryGetError> for BadContext {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Length
    }
}

impl MemberContext {
    /// The bytes of it, at most [`MEMBER_CONTEXT_BYTES_MAX`].
    ///
    /// # Errors
    /// [`BadContext::Empty`], [`BadContext::TooLong`].
    pub fn encode(&self) -> Result<Bytes, BadContext> {
        let Self { peer, client, http, feature_level } = self;
        let given = [Some(peer), client.as_ref(), http.as_ref()];
        if given.iter().flatten().any(|address| address.is_empty()) {
            return Err(BadContext::Empty);
        }
        let addresses: usize = given.iter().flatten().map(|address| address.len()).sum();
        let length = 3 + 2 * given.len() + addresses;
        if length > MEMBER_CONTEXT_BYTES_MAX {
            return Err(BadContext::TooLong(length));
        }
        let mut out = Vec::with_capacity(length);
        out.put_u8(VERSION);
        out.put_u16_le(*feature_level);
        for address in given {
            put_run(&mut out, address.map_or(&[], |address| address.as_bytes()));
        }
        Ok(out.into())
    }

    /// What these bytes say.
    ///
    /// # Errors
    /// [`BadContext`] for every other sequence of bytes than those that [`encode`](Self::encode) makes.
    pub fn decode(mut bytes: Bytes) -> Result<Self, BadContext> {
        if bytes.len() > MEMBER_CONTEXT_BYTES_MAX {
            return Err(BadContext::TooLong(bytes.len()));
        }
        let version = bytes.try_get_u8()?;
        if version != VERSION {
            return Err(BadContext::Later(version));
        }
        let feature_level = bytes.try_get_u16_le()?;
        let mut address = || text(&mut bytes)?.ok_or(BadContext::NoText);
        let (peer, client, http) = (address()?, address()?, address()?);
        if !bytes.is_empty() {
            return Err(BadContext::Length);
        }
        if peer.is_empty() {
            return Err(BadContext::Empty);
        }
        let known = |address: ByteString| Some(address).filter(|address| !address.is_empty());
        Ok(Self { peer, client: known(client), http: known(http), feature_level })
    }
}

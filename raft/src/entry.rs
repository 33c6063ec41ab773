//! What stands in the log.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Configuration, Term};

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: what a new leader appends, so that something of its own term can commit (§5.4.2, §8).
    Empty,
    /// A command, opaque here.
    Data(Bytes),
    /// The configuration from here on. It acts from the moment that it is appended (dissertation §4.1).
    Configuration(Arc<Configuration>),
}

/// One entry. Where it stands is known from the log that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The term in which it was written.
    pub term: Term,
    /// What it carries.
    pub payload: Payload,
}

/// What an entry costs besides its payload, in bytes: its place in the log, in a record and in a frame. Keeps a million
/// empty entries from being free.
pub const ENTRY_OVERHEAD_BYTES: usize = 64;

impl Entry {
    /// What it counts against limits in bytes: payload and overhead.
    #[must_use]
    pub fn bytes(&self) -> usize {
        ENTRY_OVERHEAD_BYTES
            + match &self.payload {
                Payload::Empty => 0,
                Payload::Data(data) => data.len(),
                Payload::Configuration(configuration) => configuration.bytes(),
            }
    }
}

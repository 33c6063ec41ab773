//! The holdfast binary protocol: what stands on a TCP connection, byte by byte.
//!
//! # Why our own
//! One client put costs one frame each way and no allocation beyond the buffer that was read. Frames
//! carry values as slices of that buffer, so the bytes a client sent become the log entry and the peer
//! message without a copy. A general RPC layer costs more per call than the whole durable write does.
//!
//! # Shape
//! ```text
//!  bytes of a connection
//!  ├─ preface   8 bytes, once each way: magic, range of versions        [preface]
//!  └─ frames    length, CRC32, type, flags, group, call id, body         [frame]
//!               └─ body: metadata │ raw sections │ tagged extensions     [body]
//!                        └─ serde + bincode, fixed width                 [meta]
//!  MessageType: one append-only table of numbers, caps and directions    [message_type]
//!  Message:     the typed bodies                                         [message]
//!  Connection:  machine 08, sans-IO: handshake, deadlines, ordered end   [connection]
//! ```
//! Bytes flow through three checks, each of which ends in a value or in a [`WireError`] that names offset
//! and limit: [`FrameCodec`] (is it a frame?), [`Message::decode`] (is it that message?) and
//! [`Connection`] (may it be said now, by this side?).
//!
//! # Invariants
//! - No bytes from outside panic, and none make this crate allocate more than twice what they declared
//!   and the cap of their type allowed (`wire/tests/allocation.rs`, `wire/tests/properties.rs`).
//! - Numbers are only ever added. `wire/tests/golden/` holds every (number, name) and the bytes of every
//!   type and variant.
//! - What a receiver does not know it skips and counts if the sender marked it as skippable, and refuses
//!   with a typed error otherwise. Nothing is guessed.
//! - No clock, no thread, no socket: time comes as an argument, bytes come in a buffer.
//!
//! # What this leaves out
//! Calls and their replies (who waits for which call id) belong to the client core and the server; bodies
//! of later subsystems arrive with those. Compression and encryption belong below the preface.

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod body;
pub mod connection;
mod error;
mod flags;
pub mod frame;
mod id;
pub mod message;
pub mod message_type;
mod meta;
pub mod outbox;
pub mod preface;
mod sink;

pub use connection::Connection;
pub use error::{CodecError, WireError};
pub use flags::{Flag, Flags};
pub use frame::{Frame, FrameCodec, Header};
pub use id::{
    Boot, CallId, ClusterEpoch, ClusterId, ClusterIdentity, GroupId, Life, NodeId, NodeIdentity, NodeUuid,
};
pub use message::Message;
pub use message_type::{Direction, MessageType, Spec};
pub use outbox::Outbox;
pub use preface::{Preface, VersionRange};
pub use sink::{Section, Sink};

//! Replicated commands: their numbers, their bytes, what they answer and why they are refused.
//!
//! # Why a crate of its own
//! The bytes that a client writes are the bytes that stand in the log, on every disk, for ever. Nobody re-encodes a
//! command between the client's socket and apply: the leader puts an [`Envelope`] in front and leaves the rest as it
//! came. So client, wire and store have to mean the same by these bytes, and this crate is where it is said once.
//!
//! # Shape
//! ```text
//!   entry of the log = envelope │ request
//!                      written    written by the client, byte for byte
//!                      by the
//!                      leader     request = number │ request key │ reason │ body │ extensions
//!
//!   CommandNumber  which command, since which feature level             [number]
//!   Envelope       stamp, cluster clock, actor, address                 [envelope]
//!   Request        who asks for it a second time, why, what             [request]
//!   Command        the typed bodies, one file per family                [keys] [namespaces] [settings] [sessions]
//!                                                                       [leases] [locks] [elections]
//!   validate       everything that can be refused without a state       [mod@validate]
//!   AuditRecord    what an applied command leaves behind                [audit]
//!   Outcome        a typed reply, or a Refusal with its Code            [outcome] [refusal] [code]
//!   Query, Answer  what is asked and changes nothing                     [query]
//!   WatchEvent     a change as a watch is told it                       [watch]
//!   Arena          pieces of bytes that share allocations               [arena]
//! ```
//! Bytes are laid out by hand: fixed-width little-endian numbers, then raw sections whose lengths stand before them.
//! There is one encoding of each value, and decoding refuses every other (`command/tests/`), so equal commands are
//! equal bytes.
//!
//! # Invariants
//! - Numbers are only ever added; `tidy/tests/golden/numbers.txt` holds all of them, `command/tests/golden/` their bytes.
//! - No bytes panic, and none allocate more than the bounds that [`OPERATIONS_MAX`](keys::OPERATIONS_MAX) and
//!   [`Outcome::decode`] give.
//! - What is refused here is refused by every build alike: limits come as an argument, out of the replicated settings.
//!
//! # What this leaves out
//! State, and so everything that depends on it: quotas, revisions, sessions. That is the store's.

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod arena;
pub mod audit;
pub mod code;
pub mod elections;
pub mod envelope;
pub mod extension;
pub mod keys;
pub mod layout;
pub mod leases;
pub mod locks;
pub mod namespaces;
pub mod number;
pub mod outcome;
pub mod query;
pub mod refusal;
pub mod request;
pub mod sessions;
pub mod settings;
pub mod validate;
pub mod watch;

pub use arena::Arena;
pub use audit::AuditRecord;
pub use code::{Code, Effect};
pub use envelope::{Actor, Entry, Envelope};
pub use extension::{Extension, Extensions};
pub use layout::DecodeError;
pub use number::{CommandNumber, FeatureLevel};
pub use outcome::{KeyValue, Outcome, Reply, ReplyNumber};
pub use refusal::Refusal;
pub use request::{Command, Request, RequestKey, SessionId};
pub use settings::{Setting, Settings};
pub use validate::{Limits, validate, validate_key};
pub use watch::WatchEvent;

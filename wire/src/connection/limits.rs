//! Deadlines and bounds of a connection, each with its reason.

use crate::frame::HEADER_BYTES;
use crate::message_type::BODY_CAP;

/// From the open transport to an accepted greeting. Two round trips of a bad path (300 ms each) several times
/// over; a port scanner holds one greeting's worth of memory for no longer than this.
pub const HANDSHAKE_DEADLINE_MS: u64 = 5_000;

/// Silence after which the other side is taken for dead, if a Ping was sent into it. A half-open connection (the
/// other machine lost power) is noticed by nothing else.
pub const IDLE_DEADLINE_MS: u64 = 30_000;

/// Silence after which a Ping is sent, and between one Ping and the next: three may be lost to a stall before the
/// idle deadline.
pub const KEEPALIVE_MS: u64 = 7_500;

/// From the first Goodbye to the end, answered or not. Bounds how long an ordered stop can take.
pub const DRAIN_DEADLINE_MS: u64 = 10_000;

/// How long a closed connection waits for its last words to be written, and for the other side to have read them.
/// A socket that is closed with unread bytes in it resets, and takes what was written last along.
pub const LINGER_MS: u64 = 2_000;

/// Bytes waiting to be written above which an accepting side reads nothing more: whoever does not read our answers
/// may not ask more questions. A dialing side goes on reading, or the two could wait for each other.
pub const HIGH_WATER_BYTES: usize = 1024 * 1024;

/// Bytes waiting to be written above which [`Connection::send`](super::Connection::send) refuses more: one frame of
/// the largest body, so that any one message can be sent, and no more than two such frames ever wait.
pub const OUTBOX_BYTES_MAX: usize = HEADER_BYTES + BODY_CAP as usize;

/// How many bytes of detail a Goodbye of ours carries; the rest is cut. Far below the cap of the message.
pub const DETAIL_BYTES_MAX: usize = 1024;

//! Frames on their way out: small ones packed together, large values handed over as they are.
//!
//! A turn of the node answers many calls of one connection. Copying each small frame into one buffer is
//! cheaper than a system call's worth of slices; copying a large value is not. The outbox does both and
//! reads as one [`Buf`], so that one vectored write (`write_buf` of tokio) sends the whole turn.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::message_type::BODY_CAP;
use crate::sink::{Section, Sink};

/// Shared sections of at least this many bytes are not copied. A copy of 4 KiB costs about as much as the
/// bookkeeping of one more slice (an allocation for the frozen part before it, an entry in the vector).
pub const SHARE_BYTES: usize = 4096;

/// Bytes to be written, oldest first.
pub struct Outbox {
    /// Pieces that are complete.
    ready: VecDeque<Bytes>,
    /// What follows them, still being appended to.
    tail: BytesMut,
    ready_bytes: usize,
    /// The most that `tail` has held since it was made: its capacity shrinks as it is read, its memory does not.
    tail_most: usize,
    written: u64,
    limit: u32,
}

/// An empty tail that holds more than this is given back: a burst must not cost a quiet connection its memory.
const KEPT_BYTES: usize = 64 * 1024;

impl Default for Outbox {
    fn default() -> Self {
        let (ready, tail) = (VecDeque::new(), BytesMut::new());
        Self { ready, tail, ready_bytes: 0, tail_most: 0, written: 0, limit: BODY_CAP }
    }
}

/// How much waits and not what: among it are values and credentials.
impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbox({} bytes)", self.remaining())
    }
}

impl Outbox {
    /// An empty outbox, which holds no memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses frames with bodies above `limit` bytes from now on: what the other side said it takes.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Bytes written so far: all that [`advance`](Buf::advance) has passed over.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Moves what was appended so far behind the complete pieces.
    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            let piece = self.tail.split().freeze();
            self.ready_bytes += piece.len();
            self.ready.push_back(piece);
        }
    }
}

impl Sink for Outbox {
    fn scratch(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    fn limit(&self) -> u32 {
        self.limit
    }

    fn put(&mut self, piece: Section<'_>) {
        match piece {
            Section::Share(bytes) if bytes.len() >= SHARE_BYTES => {
                self.close_tail();
                self.ready_bytes += bytes.len();
                self.ready.push_back(bytes.clone());
            }
            Section::Share(_) | Section::Copy(_) => self.tail.extend_from_slice(piece.bytes()),
        }
    }
}

impl Buf for Outbox {
    fn remaining(&self) -> usize {
        self.ready_bytes + self.tail.len()
    }

    fn chunk(&self) -> &[u8] {
        self.ready.front().map_or(&self.tail, |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = Some(self.tail.as_ref()).filter(|tail| !tail.is_empty());
        let pieces = self.ready.iter().map(Bytes::as_ref).chain(tail);
        let mut filled = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    /// # Panics
    /// If `count` is more than [`remaining`](Buf::remaining), as the contract of [`Buf`] says.
    fn advance(&mut self, mut count: usize) {
        self.written += count as u64;
        while let Some(piece) = self.ready.front_mut() {
            let step = count.min(piece.len());
            piece.advance(step);
            self.ready_bytes -= step;
            count -= step;
            if !piece.is_empty() {
                return;
            }
            self.ready.pop_front();
        }
        self.tail_most = self.tail_most.max(self.tail.len());
        self.tail.advance(count);
        if self.tail.is_empty() && self.tail_most > KEPT_BYTES {
            (self.tail, self.tail_most) = (BytesMut::new(), 0);
        }
    }
}

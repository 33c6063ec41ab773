//! Small pieces of bytes that share allocations.
//!
//! # Why
//! Each write makes some pieces of 20 to 400 bytes (its entry, its audit record, its answer) that live until somebody else is
//! done with them. An allocation for each, and the second that makes it shared, were a third of all allocations of a node. A
//! [`BytesMut`] alone does not help: once its first block is used up by pieces that are still held, it grows by the size of
//! each piece.

use bytes::{Bytes, BytesMut};

/// Bytes of a block. A piece that lives long holds the whole block, so this is small.
const BLOCK_BYTES: usize = 32 << 10;

/// Copies of more than this have an allocation of their own: what does not fit into the rest of a block would leave that unused.
const SHARED_BYTES: usize = BLOCK_BYTES / 8;

/// Hands out pieces of shared blocks. An empty one holds no memory; a clone shares nothing.
#[derive(Debug, Default)]
pub struct Arena(BytesMut);

impl Clone for Arena {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Arena {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A buffer with room for `bytes`, empty: what is written into it is the next piece. More than that may be written.
    pub fn begin(&mut self, bytes: usize) -> &mut BytesMut {
        self.0.clear();
        if self.0.capacity() < bytes {
            self.0 = BytesMut::with_capacity(bytes.max(BLOCK_BYTES));
        }
        &mut self.0
    }

    /// Takes what was written since [`begin`](Self::begin).
    pub fn take(&mut self) -> Bytes {
        self.0.split().freeze()
    }

    /// A copy of these bytes.
    pub fn copy(&mut self, parts: &[&[u8]]) -> Bytes {
        let bytes = parts.iter().map(|part| part.len()).sum();
        if bytes > SHARED_BYTES {
            return parts.concat().into();
        }
        let buffer = self.begin(bytes);
        for part in parts {
            buffer.extend_from_slice(part);
        }
        self.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_are_held_share_blocks_and_do_not_overlap() {
        let mut arena = Arena::new();
        let pieces: Vec<Bytes> = (0..1_000_u32).map(|at| arena.copy(&[&at.to_le_bytes(), b"abc"])).collect();
        for (at, piece) in (0..).zip(&pieces) {
            let at: u32 = at;
            assert_eq!(piece[..4], at.to_le_bytes());
            assert_eq!(&piece[4..], b"abc");
        }
        let neighbours =
            pieces.windows(2).filter(|two| two[0].as_ptr() as usize + 7 == two[1].as_ptr() as usize);
        assert_eq!(neighbours.count(), 999, "7,000 bytes fit in one block");
    }

    #[test]
    fn a_large_piece_is_whole_and_takes_nothing_of_a_block_and_what_was_begun_and_not_taken_is_gone() {
        let mut arena = Arena::new();
        let first = arena.copy(&[b"small"]);
        arena.begin(4).extend_from_slice(b"gone");
        for bytes in [SHARED_BYTES + 1, 3 * BLOCK_BYTES] {
            let large = vec![7; bytes];
            assert_eq!(arena.copy(&[&large[..1], &large[1..]]), large);
        }
        let second = arena.copy(&[b"small"]);
        assert_eq!(second, first);
        assert_eq!(first.as_ptr() as usize + first.len(), second.as_ptr() as usize);
    }
}

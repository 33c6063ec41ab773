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

    /// A buffer with room for `bytes`, empty: what is written into it is the next piece. More than that may be written; it is
    /// then a piece with a block of its own.
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
        let buffer = self.begin(parts.iter().map(|part| part.len()).sum());
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
    fn a_piece_larger_than_a_block_is_whole_and_what_was_begun_and_not_taken_is_gone() {
        let mut arena = Arena::new();
        let large = vec![7; 3 * BLOCK_BYTES];
        arena.begin(4).extend_from_slice(b"gone");
        assert_eq!(arena.copy(&[&large]), large);
        assert_eq!(arena.copy(&[b"small"]), b"small"[..]);
    }
}

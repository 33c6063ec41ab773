//! The bodies of entries, kept as the scan comes past them.
//!
//! # Why
//! A node that starts wants all entries of its log, and the scan has just read every one of them from the device and verified
//! it. Reading them once more, through the mapping and one by one, took as long as the scan itself.
//!
//! # What is kept
//! Bodies by the position of their record, and nothing of what they mean: whether an entry counts is decided only when the scan
//! has seen all, by the same slots that every reader goes by. One that was cut, filled or trimmed since is a position
//! that no slot names, and is never asked for.
//!
//! # Bounds
//! Bodies share blocks. Who keeps one of them for long keeps its block, so blocks are small, and a large body has its own.

use std::fmt;

use bytes::Bytes;

use crate::types::Group;

/// Bytes of a block.
const BLOCK_BYTES: usize = 32 << 10;

/// A body of more than this does not share a block: what does not fit into the rest of one would leave that unused.
const SHARED_BYTES: usize = BLOCK_BYTES / 8;

/// Where a body is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The position of the record.
    at: u64,
    term: u64,
    block: u32,
    from: u32,
    length: u32,
}

/// An entry of which not all fragments have come.
struct Part {
    at: u64,
    body: Vec<u8>,
}

/// The entries of a group that [`Log::open_keeping`](crate::Log::open_keeping) came past.
#[derive(Default)]
pub struct Kept {
    /// Whose entries; `None` keeps nothing.
    group: Option<Group>,
    /// Those below are trimmed, as far as the meta file knows.
    first: u64,
    /// Ascending by position.
    places: Vec<Place>,
    blocks: Vec<Bytes>,
    /// The block that is being filled: the one behind all others.
    open: Vec<u8>,
    part: Option<Part>,
    /// The place behind the one that was asked for last: they are asked for in order.
    next: usize,
}

/// How much it is, and not the entries.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("group", &self.group)
            .field("entries", &self.places.len())
            .finish_non_exhaustive()
    }
}

impl Kept {
    /// Keeps the entries of a group.
    pub(crate) fn of(group: Group) -> Self {
        Self { group: Some(group), ..Self::default() }
    }

    pub(crate) fn group(&self) -> Option<Group> {
        self.group
    }

    /// Nobody will ask for what is below this index.
    pub(super) fn begin_at(&mut self, first: u64) {
        self.first = first;
    }

    /// Whether this entry is to be kept.
    pub(super) fn wants(&self, group: Group, index: u64) -> bool {
        self.group == Some(group) && index >= self.first
    }

    /// A whole entry, or the last fragment of the one whose record stands at `at`: it is whole now.
    pub(super) fn end(&mut self, at: u64, term: u64, last: &[u8]) {
        match self.part.take() {
            Some(mut part) if part.at == at => {
                part.body.extend_from_slice(last);
                self.put(at, term, Body::Own(part.body));
            }
            Some(_) | None => self.put(at, term, Body::Shared(last)),
        }
    }

    /// A fragment that is not the last, of the entry whose record stands at `at`.
    pub(super) fn go_on(&mut self, at: u64, fragment: &[u8]) {
        match &mut self.part {
            Some(part) if part.at == at => part.body.extend_from_slice(fragment),
            Some(_) | None => self.part = Some(Part { at, body: fragment.to_vec() }),
        }
    }

    fn put(&mut self, at: u64, term: u64, body: Body<'_>) {
        let bytes = body.bytes();
        // At most half a segment, and a segment is at most 1 GiB.
        let length = bytes.len() as u32;
        let own = bytes.len() > SHARED_BYTES;
        if own || self.open.len() + bytes.len() > BLOCK_BYTES {
            self.close();
        }
        let (block, from) = (self.blocks.len() as u32, self.open.len() as u32);
        self.places.push(Place { at, term, block, from, length });
        if own {
            self.blocks.push(match body {
                Body::Own(body) => body.into(),
                Body::Shared(body) => Bytes::copy_from_slice(body),
            });
            return;
        }
        if self.open.capacity() == 0 {
            self.open.reserve_exact(BLOCK_BYTES);
        }
        self.open.extend_from_slice(bytes);
    }

    /// What comes next begins a new block.
    fn close(&mut self) {
        if !self.open.is_empty() {
            self.blocks.push(std::mem::take(&mut self.open).into());
        }
    }

    /// The scan is over.
    pub(super) fn finish(&mut self) {
        self.close();
        self.part = None;
    }

    /// Term and body of the entry whose record stands at `at`.
    pub(crate) fn take(&mut self, at: u64) -> Option<(u64, Bytes)> {
        let found = match self.places.get(self.next) {
            Some(place) if place.at == at => self.next,
            Some(_) | None => self.places.binary_search_by_key(&at, |place| place.at).ok()?,
        };
        let Place { term, block, from, length, .. } = *self.places.get(found)?;
        self.next = found + 1;
        let (from, length) = (from as usize, length as usize);
        let body = self.blocks.get(block as usize)?;
        // An empty slice keeps no block.
        Some((term, body.slice(from..from + length)))
    }
}

enum Body<'a> {
    Own(Vec<u8>),
    Shared(&'a [u8]),
}

impl Body<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(body) => body,
            Self::Shared(body) => body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept::of(Group(0))
    }

    #[test]
    fn bodies_are_found_by_position_in_any_order_and_share_blocks() {
        let mut kept = kept();
        let body = |at: u64| vec![at as u8; 40 + at as usize % 300];
        for at in (8..80_000).step_by(8) {
            kept.end(at, at / 1_000 + 1, &body(at));
        }
        kept.finish();
        assert!(kept.blocks.len() < 120, "{} blocks for 2 MB", kept.blocks.len());
        assert!(kept.blocks.iter().all(|block| block.len() <= BLOCK_BYTES));
        for at in (8..80_000).step_by(8).chain((1..10_000).rev().map(|at| 8 * at)) {
            assert_eq!(kept.take(at), Some((at / 1_000 + 1, body(at).into())));
            assert_eq!(kept.take(at + 4), None);
        }
        assert_eq!(kept.take(0), None);
    }

    #[test]
    fn fragments_are_put_together_and_a_run_that_did_not_end_is_forgotten() {
        let mut kept = kept();
        kept.go_on(8, b"lost");
        kept.go_on(64, b"ab");
        kept.go_on(64, b"cd");
        kept.end(64, 3, b"e");
        kept.go_on(128, b"lost as well");
        kept.end(192, 4, b"whole");
        kept.go_on(256, b"no end");
        kept.finish();
        assert_eq!(kept.take(64), Some((3, Bytes::from_static(b"abcde"))));
        assert_eq!(kept.take(192), Some((4, Bytes::from_static(b"whole"))));
        for at in [8, 128, 256] {
            assert_eq!(kept.take(at), None);
        }
    }

    #[test]
    fn large_bodies_and_empty_ones_have_their_places() {
        let mut kept = kept();
        let large = vec![7; SHARED_BYTES + 1];
        kept.end(8, 1, b"");
        kept.end(16, 1, b"small");
        kept.end(24, 1, &large);
        kept.end(32, 1, b"");
        kept.end(40, 1, b"behind");
        kept.finish();
        for (at, body) in [(8, &b""[..]), (16, b"small"), (24, &large), (32, b""), (40, b"behind")] {
            assert_eq!(kept.take(at).map(|(_, body)| body), Some(Bytes::copy_from_slice(body)), "{at}");
        }
    }

    #[test]
    fn who_keeps_nothing_wants_nothing_and_others_nothing_that_is_trimmed() {
        assert!(!Kept::default().wants(Group(0), 1));
        let mut kept = kept();
        assert!(kept.wants(Group(0), 1) && !kept.wants(Group(1), 1));
        kept.begin_at(5);
        assert!(!kept.wants(Group(0), 4) && kept.wants(Group(0), 5));
    }
}

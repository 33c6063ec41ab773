//! A disk that lies over another one: what is written stays in memory, and what is below is only read.
//!
//! # Why
//! Opening a log is not only looking at it: the end is cut, segments are made and zeroed, the meta file is written. Whoever is to
//! say what the directory of a node that died holds must not do any of that: it may be the last copy, on a medium that is about
//! to fail or that is mounted read-only, and the next look has to find what this one found. With this disk a log is opened by
//! the very code that a node opens it with, and the directory stays as it is, bit by bit.
//!
//! # Bounds
//! Memory grows with what is written, in pages of [`PAGE_BYTES`]; zeros that are written where nothing is below take none. Nothing
//! is read through a mapping, so a sector that cannot be read is an error here and no signal.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Access, Disk, LockError, Map};

/// Bytes that are copied at the first write to any of them.
const PAGE_BYTES: u64 = 4096;

/// See the module documentation. Clones are handles to the same directory.
#[derive(Debug)]
pub struct Overlay<D: Disk> {
    below: D,
    /// Files that were opened or made; `None` for names that are gone.
    names: Arc<Mutex<BTreeMap<String, Option<OverlayFile<D>>>>>,
}

impl<D: Disk> Clone for Overlay<D> {
    fn clone(&self) -> Self {
        Self { below: self.below.clone(), names: Arc::clone(&self.names) }
    }
}

/// An open file.
#[derive(Debug)]
pub struct OverlayFile<D: Disk>(Arc<Contents<D>>);

impl<D: Disk> Clone for OverlayFile<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Contents<D: Disk> {
    disk: D,
    /// The file below and its length; `None` for one that was made here.
    below: Option<(D::File, u64)>,
    written: Mutex<Written>,
}

/// What is not as it is below.
#[derive(Debug)]
struct Written {
    len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

/// A view of a file.
#[derive(Debug)]
pub struct OverlayMap<D: Disk> {
    file: OverlayFile<D>,
    len: u64,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the file below is read past the cache.
#[derive(Clone, Copy)]
enum Way {
    Cache,
    Device,
}

impl<D: Disk> Contents<D> {
    /// Fills `into` with what is below; zeros where nothing is.
    fn read_below(&self, offset: u64, into: &mut [u8], way: Way) -> io::Result<()> {
        let Some((file, len)) = &self.below else {
            into.fill(0);
            return Ok(());
        };
        let there = len.saturating_sub(offset).min(into.len() as u64) as usize;
        let (found, missing) = into.split_at_mut(there);
        missing.fill(0);
        match (found.is_empty(), way) {
            (true, _) => Ok(()),
            (false, Way::Cache) => self.disk.read_at(file, offset, found),
            (false, Way::Device) => self.disk.read_past_cache(file, offset, found),
        }
    }

    fn read(&self, offset: u64, into: &mut [u8], way: Way) -> io::Result<()> {
        let written = held(&self.written);
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= written.len);
        let Some(end) = end else { return Err(ErrorKind::UnexpectedEof.into()) };
        self.read_below(offset, into, way)?;
        if into.is_empty() {
            return Ok(());
        }
        for (page, bytes) in written.pages.range(offset / PAGE_BYTES..=(end - 1) / PAGE_BYTES) {
            let begin = page * PAGE_BYTES;
            let (from, to) = (offset.max(begin), end.min(begin + PAGE_BYTES));
            into[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&bytes[(from - begin) as usize..(to - begin) as usize]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut written = held(&self.written);
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (page, from) = (at / PAGE_BYTES, (at % PAGE_BYTES) as usize);
            let (now, later) = rest.split_at(rest.len().min(PAGE_BYTES as usize - from));
            let bare = self.below.as_ref().is_none_or(|(_, len)| page * PAGE_BYTES >= *len);
            match written.pages.entry(page) {
                // It reads as zeros anyway.
                Entry::Vacant(_) if bare && now.iter().all(|byte| *byte == 0) => {}
                entry @ (Entry::Vacant(_) | Entry::Occupied(_)) => {
                    let copy = match entry {
                        Entry::Occupied(there) => there.into_mut(),
                        Entry::Vacant(room) => {
                            let mut copy = vec![0; PAGE_BYTES as usize];
                            self.read_below(page * PAGE_BYTES, &mut copy, Way::Cache)?;
                            room.insert(copy)
                        }
                    };
                    copy[from..from + now.len()].copy_from_slice(now);
                }
            }
            (at, rest) = (at + now.len() as u64, later);
        }
        written.len = written.len.max(at);
        Ok(())
    }
}

impl<D: Disk> Overlay<D> {
    /// Over a directory, which is never changed through this.
    #[must_use]
    pub fn new(below: D) -> Self {
        Self { below, names: Arc::default() }
    }

    fn is_there(&self, name: &str) -> io::Result<bool> {
        match held(&self.names).get(name) {
            Some(known) => Ok(known.is_some()),
            None => Ok(self.below.list()?.iter().any(|there| there == name)),
        }
    }
}

impl<D: Disk> Disk for Overlay<D> {
    type File = OverlayFile<D>;
    type Map = OverlayMap<D>;
    type Lock = ();

    fn place(&self) -> String {
        self.below.place()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let known = held(&self.names);
        let below = self.below.list()?.into_iter().filter(|name| !known.contains_key(name));
        let here = known.iter().filter(|(_, file)| file.is_some()).map(|(name, _)| name.clone());
        Ok(below.chain(here).collect())
    }

    /// Nobody is kept out: whoever works below would be looked at in the middle of it.
    fn lock(&self) -> Result<(), LockError> {
        Ok(())
    }

    fn open(&self, name: &str, _: Access) -> io::Result<OverlayFile<D>> {
        let mut names = held(&self.names);
        match names.get(name) {
            Some(Some(file)) => return Ok(file.clone()),
            Some(None) => return Err(ErrorKind::NotFound.into()),
            None => {}
        }
        let below = self.below.open(name, Access::Read)?;
        let len = self.below.len(&below)?;
        let written = Mutex::new(Written { len, pages: BTreeMap::new() });
        let contents = Contents { disk: self.below.clone(), below: Some((below, len)), written };
        let file = OverlayFile(Arc::new(contents));
        names.insert(name.to_owned(), Some(file.clone()));
        Ok(file)
    }

    fn create(&self, name: &str) -> io::Result<OverlayFile<D>> {
        if self.is_there(name)? {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let written = Mutex::new(Written { len: 0, pages: BTreeMap::new() });
        let contents = Contents { disk: self.below.clone(), below: None, written };
        let file = OverlayFile(Arc::new(contents));
        held(&self.names).insert(name.to_owned(), Some(file.clone()));
        Ok(file)
    }

    fn len(&self, file: &OverlayFile<D>) -> io::Result<u64> {
        Ok(held(&file.0.written).len)
    }

    fn allocate(&self, file: &OverlayFile<D>, len: u64) -> io::Result<()> {
        let mut written = held(&file.0.written);
        written.len = written.len.max(len);
        Ok(())
    }

    fn write_at(&self, file: &OverlayFile<D>, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.0.write(offset, bytes)
    }

    fn read_at(&self, file: &OverlayFile<D>, offset: u64, into: &mut [u8]) -> io::Result<()> {
        file.0.read(offset, into, Way::Cache)
    }

    fn read_past_cache(&self, file: &OverlayFile<D>, offset: u64, into: &mut [u8]) -> io::Result<()> {
        file.0.read(offset, into, Way::Device)
    }

    /// There is nothing to be made durable: who wants to know what is on the device reads past the cache.
    fn sync(&self, _: &OverlayFile<D>) -> io::Result<()> {
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.open(from, Access::Write)?;
        let mut names = held(&self.names);
        names.insert(from.to_owned(), None);
        names.insert(to.to_owned(), Some(file));
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        if !self.is_there(name)? {
            return Err(ErrorKind::NotFound.into());
        }
        held(&self.names).insert(name.to_owned(), None);
        Ok(())
    }

    fn map(&self, file: &OverlayFile<D>, len: u64) -> io::Result<OverlayMap<D>> {
        if len > self.len(file)? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(OverlayMap { file: file.clone(), len })
    }

    /// As much as anybody wants: a full disk below is no obstacle to looking at it.
    fn free(&self) -> io::Result<u64> {
        Ok(u64::MAX >> 1)
    }
}

impl<D: Disk> Map for OverlayMap<D> {
    fn bytes(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        if range.start > range.end || range.end > self.len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.file.0.read(range.start, &mut bytes, Way::Cache)?;
        Ok(Cow::Owned(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::FakeDisk;
    use super::*;

    /// A disk with a file `a` of 10,000 bytes, each of them its place modulo 251.
    fn below() -> FakeDisk {
        let disk = FakeDisk::new(1 << 20);
        let file = disk.create("a").expect("room");
        disk.allocate(&file, 10_000).expect("room");
        let bytes: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
        disk.write_at(&file, 0, &bytes).expect("it takes it");
        disk
    }

    fn all(disk: &impl Disk, name: &str) -> Vec<u8> {
        let file = disk.open(name, Access::Read).expect("it is there");
        let mut bytes = vec![0; disk.len(&file).expect("a length") as usize];
        disk.read_past_cache(&file, 0, &mut bytes).expect("it is readable");
        bytes
    }

    #[test]
    fn what_is_written_is_read_back_everywhere_and_nothing_below_changes() {
        let disk = below();
        let before = (disk.hash(), disk.names());
        let over = Overlay::new(disk.clone());
        let file = over.open("a", Access::Write).expect("it is there");
        let map = over.map(&file, 10_000).expect("a view");
        let mut expected = all(&disk, "a");
        // Seeded by nothing: every offset near the borders of pages, and lengths across them.
        for (offset, len) in [(0, 1), (4_095, 2), (4_096, 4_096), (8_000, 2_000), (12_000, 100), (3, 9_000)] {
            let bytes = vec![(offset % 256) as u8 ^ 0xa5; len];
            over.allocate(&file, (offset + len) as u64).expect("it may grow");
            over.write_at(&file, offset as u64, &bytes).expect("it takes it");
            expected.resize(expected.len().max(offset + len), 0);
            expected[offset..offset + len].copy_from_slice(&bytes);
            assert_eq!(all(&over.clone(), "a"), expected, "{offset}+{len}");
        }
        assert_eq!(map.bytes(4_000..9_000).expect("in the view"), &expected[4_000..9_000]);
        assert!(map.bytes(0..10_001).is_err());
        over.rename("a", "b").expect("it may");
        over.create("c").expect("it may");
        over.unlink("c").expect("it may");
        assert_eq!(over.list().expect("names"), ["b"]);
        assert_eq!(
            over.open("a", Access::Read).map_err(|error| error.kind()).err(),
            Some(ErrorKind::NotFound)
        );
        assert_eq!((disk.hash(), disk.names()), before);
    }

    #[test]
    fn zeros_where_nothing_is_below_take_no_memory_and_zeros_over_something_are_read_as_zeros() {
        let over = Overlay::new(below());
        let new = over.create("new").expect("it may");
        over.allocate(&new, 1 << 30).expect("no room is needed");
        over.write_at(&new, 0, &vec![0; 1 << 20]).expect("it takes it");
        assert_eq!(held(&new.0.written).pages.len(), 0);
        let old = over.open("a", Access::Write).expect("it is there");
        over.write_at(&old, 100, &[0; 50]).expect("it takes it");
        assert_eq!(all(&over, "a")[99..151], [&[99][..], &[0; 50], &[150]].concat());
    }

    #[test]
    fn reading_beyond_the_end_is_refused_and_a_name_that_is_taken_too() {
        let over = Overlay::new(below());
        let file = over.open("a", Access::Read).expect("it is there");
        let kind = |read: io::Result<()>| read.map_err(|error| error.kind());
        assert_eq!(kind(over.read_at(&file, 9_999, &mut [0; 2])), Err(ErrorKind::UnexpectedEof));
        assert_eq!(kind(over.read_at(&file, u64::MAX, &mut [0; 2])), Err(ErrorKind::UnexpectedEof));
        assert_eq!(kind(over.create("a").map(drop)), Err(ErrorKind::AlreadyExists));
        assert_eq!(kind(over.unlink("b")), Err(ErrorKind::NotFound));
    }
}

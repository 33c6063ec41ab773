//! A file without its name: what is stored, what the cache shows, and all that lies between.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;

use super::super::SECTOR;
use super::Choices;
use super::cell::{Content, Versions, bytes_of, content, mix, term};

/// How a write is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// As it should be.
    Kept,
    /// Acknowledged, shown by the cache, never stored.
    Lost,
}

/// Which of two truths a read is after.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Cache,
    Device,
}

#[derive(Clone, Debug)]
pub(super) struct Inode {
    length: Versions<u64>,
    /// The durable content of each sector; zero beyond the end of the vector.
    stored: Vec<Content>,
    /// The sum of the [`term`]s of `stored`.
    sum: u64,
    /// The sectors that are not settled. Their durable version stands in `stored` as well.
    changed: BTreeMap<u64, Versions<Content>>,
    unreadable: BTreeSet<u64>,
}

/// The sectors that `len` bytes at `offset` touch: number, part of the sector, part of the bytes.
fn spans(offset: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let start = (at % SECTOR as u64) as usize;
        let size = (SECTOR - start).min(len - done);
        let part = done..done + size;
        done += size;
        Some((at / SECTOR as u64, start..start + size, part))
    })
}

/// `old` with `bytes` at `place`.
fn patched(old: &Content, place: Range<usize>, bytes: &[u8]) -> Content {
    let mut new = *bytes_of(old);
    new[place].copy_from_slice(bytes);
    content(new)
}

impl Inode {
    /// An empty file.
    pub(super) fn new() -> Self {
        let (stored, changed, unreadable) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Self { length: Versions::new(0), stored, sum: 0, changed, unreadable }
    }

    pub(super) fn len(&self) -> u64 {
        *self.length.visible()
    }

    fn stored(&self, sector: u64) -> Content {
        self.stored.get(sector as usize).cloned().flatten()
    }

    pub(super) fn cell(&self, sector: u64) -> Versions<Content> {
        match self.changed.get(&sector) {
            Some(cell) => cell.clone(),
            None => Versions::new(self.stored(sector)),
        }
    }

    pub(super) fn put(&mut self, sector: u64, cell: Versions<Content>) {
        self.store(sector, cell.durable().clone());
        if cell.is_settled() {
            self.changed.remove(&sector);
        } else {
            self.changed.insert(sector, cell);
        }
    }

    fn store(&mut self, sector: u64, new: Content) {
        let place = sector as usize;
        if place >= self.stored.len() {
            if new.is_none() {
                return;
            }
            self.stored.resize(place + 1, None);
        }
        self.sum = self.sum.wrapping_sub(term(sector, &self.stored[place])).wrapping_add(term(sector, &new));
        self.stored[place] = new;
    }

    pub(super) fn allocate(&mut self, len: u64) {
        if len > self.len() {
            self.length.write(len);
        }
    }

    /// Writes within the length.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], fate: Fate) -> Result<(), ErrorKind> {
        for (sector, place, part) in spans(offset, bytes.len()) {
            if place.len() == SECTOR {
                // A device replaces a bad sector when it is written whole.
                self.unreadable.remove(&sector);
            } else if self.unreadable.contains(&sector) {
                return Err(ErrorKind::Other);
            }
            let mut cell = self.cell(sector);
            let new = patched(cell.visible(), place, &bytes[part]);
            match fate {
                Fate::Kept => cell.write(new),
                Fate::Lost => cell.write_lost(new),
            }
            self.put(sector, cell);
        }
        Ok(())
    }

    pub(super) fn read(&self, offset: u64, into: &mut [u8], source: Source) -> Result<(), ErrorKind> {
        if offset.checked_add(into.len() as u64).is_none_or(|end| end > self.len()) {
            return Err(ErrorKind::UnexpectedEof);
        }
        for (sector, place, part) in spans(offset, into.len()) {
            if self.unreadable.contains(&sector) {
                return Err(ErrorKind::Other);
            }
            let content = match (self.changed.get(&sector), source) {
                (Some(cell), Source::Cache) => cell.visible().clone(),
                (Some(cell), Source::Device) => cell.stored().clone(),
                (None, Source::Cache | Source::Device) => self.stored(sector),
            };
            into[part].copy_from_slice(&bytes_of(&content)[place]);
        }
        Ok(())
    }

    /// All that the cache shows.
    pub(super) fn shown(&self) -> Vec<u8> {
        let len = self.len() as usize;
        let mut shown = Vec::with_capacity(len.next_multiple_of(SECTOR));
        for sector in 0..len.div_ceil(SECTOR) as u64 {
            shown.extend_from_slice(bytes_of(self.cell(sector).visible()));
        }
        shown.truncate(len);
        shown
    }

    pub(super) fn sync(&mut self) {
        self.settle(Versions::sync);
        self.length.sync();
    }

    /// A sync that failed, and after which everything is called clean and nothing is stored.
    pub(super) fn lose(&mut self) {
        self.settle(Versions::lose);
        self.length.lose();
    }

    fn settle(&mut self, how: impl Fn(&mut Versions<Content>)) {
        for (sector, mut cell) in std::mem::take(&mut self.changed) {
            how(&mut cell);
            self.put(sector, cell);
        }
    }

    /// The sectors with more than one version, and how many each has.
    pub(super) fn unsynced_sectors(&self) -> impl Iterator<Item = (u64, usize)> {
        let counted = self.changed.iter().map(|(&sector, cell)| (sector, cell.count()));
        counted.filter(|&(_, count)| count > 1)
    }

    /// How many lengths the file may have.
    pub(super) fn lengths(&self) -> usize {
        self.length.count()
    }

    /// What a power cut leaves: one choice for each of [`Inode::unsynced_sectors`], then one for the length
    /// if it has more than one.
    pub(super) fn after_power_cut(self: &Arc<Self>, choices: &mut Choices<'_>) -> Arc<Self> {
        if self.changed.is_empty() && self.length.is_settled() {
            return Arc::clone(self);
        }
        let mut left = Self {
            length: self.length.clone(),
            stored: self.stored.clone(),
            sum: self.sum,
            changed: BTreeMap::new(),
            unreadable: self.unreadable.clone(),
        };
        for (&sector, cell) in &self.changed {
            match choices.take(cell.count()) {
                0 => {}
                number => left.store(sector, cell.version(number).clone()),
            }
        }
        left.set_len(*self.length.version(choices.take(self.length.count())));
        Arc::new(left)
    }

    /// A file that is durable and shows what this one shows.
    pub(super) fn settled(&self) -> Self {
        let mut copy = self.clone();
        for (sector, cell) in std::mem::take(&mut copy.changed) {
            copy.store(sector, cell.visible().clone());
        }
        copy.set_len(self.len());
        copy
    }

    /// Gives every version of the file the length `len`, and zeros to every byte beyond it.
    pub(super) fn set_len(&mut self, len: u64) {
        self.length = Versions::new(len);
        let whole = len / SECTOR as u64;
        let keep = (len % SECTOR as u64) as usize;
        if keep > 0 {
            self.edit(whole, |bytes| bytes[keep..].fill(0));
        }
        let end = len.div_ceil(SECTOR as u64);
        let _ = self.changed.split_off(&end);
        let _ = self.unreadable.split_off(&end);
        for sector in end..self.stored.len() as u64 {
            self.store(sector, None);
        }
    }

    /// Changes every version of a sector.
    pub(super) fn edit(&mut self, sector: u64, change: impl Fn(&mut [u8; SECTOR])) {
        let mut cell = self.cell(sector);
        cell.edit(|old| {
            let mut new = *bytes_of(old);
            change(&mut new);
            content(new)
        });
        self.put(sector, cell);
    }

    /// Puts bytes into every version.
    pub(super) fn overwrite(&mut self, offset: u64, bytes: &[u8]) {
        for (sector, place, part) in spans(offset, bytes.len()) {
            self.edit(sector, |old| old[place.clone()].copy_from_slice(&bytes[part.clone()]));
        }
    }

    /// What the device holds changes, and the cache does not notice unless it has no version of its own.
    pub(super) fn write_beneath(&mut self, sector: u64, new: Content) {
        let mut cell = self.cell(sector);
        cell.write_beneath(new);
        self.put(sector, cell);
    }

    pub(super) fn make_unreadable(&mut self, sector: u64) {
        self.unreadable.insert(sector);
    }

    /// A hash of all that is stored, shown, or may be left.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = mix(self.sum);
        for (tag, &len) in self.length.tagged() {
            hash = hash.wrapping_add(mix(len.wrapping_add(mix(tag + 1))));
        }
        for (&sector, cell) in &self.changed {
            for (tag, content) in cell.tagged() {
                hash = hash.wrapping_add(mix(term(sector, content).wrapping_add(tag)));
            }
        }
        for &sector in &self.unreadable {
            hash = hash.wrapping_add(mix(!sector));
        }
        mix(hash)
    }
}

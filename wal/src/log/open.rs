//! Making a log, and opening one: what is done about what was found.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};

use holdfast_machine::Trace;

use super::find::{Ending, Found, Listing, Recovery, find, io_error, is_unmade, list};
use super::{Counts, Log, MetaFile, Shared, SyncOf, salt};
use crate::disk::{Access, Disk, LockError, is_full};
use crate::error::{Fatal, OpenError};
use crate::format::{
    Head, Kind, META_FILE, MetaSlot, SEGMENT_HEADER_BYTES, SLOT_AT, SLOT_BYTES, Salt, SegmentFound,
    SegmentHeader, is_segment_size,
};
use crate::groups::{GroupLog, Groups};
use crate::recovery::{Kept, Row, Scanned, SegmentFile};
use crate::segment::{Event, Preparation, Segment, State, UNFINISHED, remove, segment_name};
use crate::types::{Group, Options};
use crate::variant::{Break, Variant};

impl<D: Disk, V: Variant> Log<D, V> {
    /// Makes a log in a directory that has none.
    ///
    /// # Errors
    /// [`OpenError`]: there is one, the options are impossible, or the disk refuses. A log whose making was interrupted is
    /// made anew; nothing was ever written to it.
    pub fn create(disk: D, options: Options) -> Result<Self, OpenError> {
        if !is_segment_size(options.segment_bytes) {
            return Err(OpenError::SegmentSize(options.segment_bytes));
        }
        let lock = lock(&disk)?;
        // Listed under the lock: another process may just have made one.
        let listing = list(&disk)?;
        let exists = |file: String| OpenError::Exists { place: disk.place(), file };
        if listing.meta {
            if !is_unmade::<D, V>(&disk, &listing, options)? {
                return Err(exists(META_FILE.to_owned()));
            }
        } else if let Some(number) = listing.segments.first() {
            return Err(exists(segment_name(*number)));
        }
        Self::make(disk, lock, options, &listing)
    }

    fn make(disk: D, lock: D::Lock, options: Options, listing: &Listing) -> Result<Self, OpenError> {
        let (meta, segment) = make_files::<D, V>(&disk, options, listing).map_err(|error| {
            if is_full(&error) {
                let needed = options.segment_bytes * (1 + options.prepared as u64);
                OpenError::NoSpace { place: disk.place(), free: disk.free().unwrap_or(0), needed }
            } else {
                io_error(&disk, "making a log", error)
            }
        })?;
        let segments = BTreeMap::from([(1, Arc::clone(&segment))]);
        let at = SEGMENT_HEADER_BYTES as u64;
        let mut log = Self::assemble(disk, lock, options, (Groups::default(), segments), (segment, at), meta);
        log.next_number = 2;
        log.shift(1, Event::Zeroed);
        log.shift(1, Event::Needed);
        log.start().map_err(open_error)?;
        Ok(log)
    }

    /// Writes the first checkpoint, and then says in the meta file that the log is made.
    fn start(&mut self) -> Result<(), Fatal> {
        let checkpoint = self.bounds_record(0, Vec::new()).encode();
        self.put(Head::control(Kind::Checkpoint, self.durable), &checkpoint)?;
        self.flush()?;
        self.sync()?;
        self.write_meta(1)
    }

    /// Opens the log in a directory.
    ///
    /// Syncs what is visible before it believes any of it, reads it from the device, and brings the log into a state in
    /// which it can be appended to. What it reports is durable.
    ///
    /// # Errors
    /// [`OpenError`]. Up to the end of the scan nothing is changed, so a directory that is refused is as it was.
    pub fn open(disk: D, options: Options) -> Result<(Self, Recovery), OpenError> {
        Self::open_with(disk, options, &mut Kept::default())
    }

    /// Opens the log in a directory as [`Log::open`] does, and keeps the entries of a group that it comes past, so that they
    /// need not be read a second time: [`Reader::read_kept`](crate::Reader::read_kept) gives them out. Until what was kept is
    /// dropped, all entries of the group are in memory.
    ///
    /// # Errors
    /// Those of [`Log::open`].
    pub fn open_keeping(
        disk: D,
        options: Options,
        group: Group,
    ) -> Result<(Self, Recovery, Kept), OpenError> {
        let mut kept = Kept::of(group);
        let (log, recovery) = Self::open_with(disk, options, &mut kept)?;
        Ok((log, recovery, kept))
    }

    fn open_with(disk: D, options: Options, kept: &mut Kept) -> Result<(Self, Recovery), OpenError> {
        // Looked at first without the lock, whose file has no business where there is no log.
        let listing = list(&disk)?;
        if !listing.meta && listing.segments.is_empty() {
            return Err(OpenError::NoLog { place: disk.place() });
        }
        let lock = lock(&disk)?;
        let listing = list(&disk)?;
        if listing.meta && is_unmade::<D, V>(&disk, &listing, options)? {
            let log = Self::make(disk, lock, options, &listing)?;
            let recovery = Recovery {
                ending: Ending::Clean,
                row: Row::A,
                file: log.active.name.clone(),
                offset: log.at,
                regions: Vec::new(),
                healable: false,
                healed: false,
                damage: Vec::new(),
                trustworthy: true,
                hard_state_lost: false,
                groups: Vec::new(),
                records: log.counts.records,
            };
            return Ok((log, recovery));
        }
        let found =
            find::<D, V>(&disk, &listing, Some(options.identity), Access::Write, &mut |_, _| (), kept)?;
        let options = Options { segment_bytes: found.size, ..options };
        Self::resume(disk, lock, options, found, &listing)
    }

    /// The log, with nothing done yet.
    fn assemble(
        disk: D,
        lock: D::Lock,
        options: Options,
        (groups, segments): (Groups, BTreeMap<u64, Arc<Segment<D>>>),
        (active, at): (Arc<Segment<D>>, u64),
        meta: MetaFile<D::File>,
    ) -> Self {
        let end = active.header.base() + at;
        Self {
            disk,
            _lock: lock,
            options: Options { prepared: options.prepared.max(2), ..options },
            shared: Arc::new(Shared {
                groups: RwLock::new(groups),
                segments: RwLock::new(segments),
                written: AtomicU64::new(end),
            }),
            active,
            at,
            prepared: VecDeque::new(),
            next_number: 0,
            meta,
            buffer: Vec::new(),
            buffer_at: at,
            durable: end,
            marked: end,
            first_live: 1,
            meta_is_behind: false,
            regions: Vec::new(),
            hard_state_lost: false,
            failed: false,
            lives: BTreeMap::new(),
            trace: Trace::new(),
            counts: Counts::default(),
            variant: std::marker::PhantomData,
        }
    }

    /// Does what the scan found necessary.
    fn resume(
        disk: D,
        lock: D::Lock,
        options: Options,
        found: Found<D>,
        listing: &Listing,
    ) -> Result<(Self, Recovery), OpenError> {
        let mut recovery = found.judge();
        let Found { slots, files, dead, scanned, .. } = found;
        let Scanned { groups, end, regions, first_live, .. } = scanned;
        let mut segments = BTreeMap::new();
        let mut later = Vec::new();
        let mut lives = BTreeMap::new();
        for (at, file) in files.into_iter().enumerate() {
            let SegmentFile { number, file, header, in_use, .. } = file;
            let valid = matches!(header, SegmentFound::Valid(_));
            let header = match header {
                SegmentFound::Valid(header) => header,
                SegmentFound::Wrong | SegmentFound::Unsupported(_) => {
                    // Unreadable: whatever is looked for in it will not be found.
                    SegmentHeader { salt: Salt(0), ..header_of(&options, number) }
                }
            };
            let error = |error| io_error(&disk, format!("mapping {}", segment_name(number)), error);
            let segment = Segment::open(&disk, header, file).map_err(error)?;
            match at.cmp(&end.file) {
                std::cmp::Ordering::Less => {
                    lives.insert(number, State::Sealed);
                    segments.insert(number, segment);
                }
                std::cmp::Ordering::Equal => {
                    lives.insert(number, State::Active);
                    segments.insert(number, segment);
                }
                std::cmp::Ordering::Greater => {
                    lives.insert(number, State::Prepared);
                    let reused = V::breaks(Break::ReuseOldBytes);
                    later.push((segment, valid && (!in_use || reused)));
                }
            }
        }
        let active =
            segments.last_key_value().map(|(_, segment)| Arc::clone(segment)).expect("the scan ended in one");
        let newest = slots.newest;
        let meta = MetaFile {
            file: slots.file,
            epoch: newest.as_ref().map_or(0, |slot| slot.epoch),
            next: slots.next,
        };
        let ending = recovery.ending;
        let mut log = Self::assemble(disk, lock, options, (groups, segments), (active, end.at), meta);
        log.next_number = log.active.header.number + 1;
        log.lives = lives;
        log.first_live = first_live;
        log.hard_state_lost = recovery.hard_state_lost;
        log.regions = regions;
        if !recovery.trustworthy && log.is_damaged() {
            log.shared.groups_mut().distrust();
        }
        // The damage may be known since an earlier open, which began a segment behind it: that one will do.
        let base = log.active.header.base();
        let behind = end.row == Row::A && log.regions.iter().all(|region| region.to <= base);
        let keep = behind || (ending == Ending::Torn && V::breaks(Break::AppendAfterCut));
        // First, because a full disk has no room for a new segment beside an unfinished one.
        log.sweep(&dead, listing).map_err(open_error)?;
        log.tidy(later, newest.as_ref()).map_err(open_error)?;
        if keep {
            log.shift(log.active.header.number, Event::Needed);
        } else {
            let event = if ending == Ending::Torn { Event::TailCut } else { Event::DamageFound };
            log.shift(log.active.header.number, event);
            log.go_on_elsewhere()?;
        }
        if recovery.healable {
            log.put_healed().and_then(|()| log.flush()).and_then(|()| log.sync()).map_err(open_error)?;
            recovery.healed = true;
        }
        // Judged by what was found: what was written since may stand in one slot only, and then both become alike.
        let copies_differ = slots.unreadable > 0
            || newest.as_ref().is_none_or(|slot| slot.epoch == 1)
            || newest.is_some_and(|slot| {
                let copy = |group| slot.groups.iter().find(|(named, ..)| *named == group);
                let differs = |(group, log): (Group, &GroupLog)| {
                    copy(group).is_none_or(|(_, hard, ..)| hard.sequence < log.hard().sequence)
                };
                log.shared.groups().iter().any(differs)
            });
        if copies_differ {
            log.write_meta(log.active.header.number).map_err(open_error)?;
        }
        Ok((log, recovery))
    }

    /// Decides about the segments behind the one in which the log ended: those that are certainly zero stay prepared.
    ///
    /// Their names may be in the cache alone, and look clean, if a sync of the directory failed in an earlier life. So they
    /// are given their names again. One by one, because a gap in the numbers always means a missing segment.
    fn tidy(&mut self, later: Vec<(Arc<Segment<D>>, bool)>, newest: Option<&MetaSlot>) -> Result<(), Fatal> {
        let sound = later.iter().take_while(|(_, zero)| *zero).count();
        let active = self.active.header.number;
        if !later.is_empty() && newest.is_none_or(|slot| slot.active > active) {
            // From here on nothing may say that a segment was begun whose name is to go.
            self.write_meta(active)?;
        }
        for (at, (segment, _)) in later.iter().enumerate().rev() {
            let (number, name) = (segment.header.number, &segment.name);
            let gone = if at < sound {
                self.disk.rename(name, &format!("{name}{UNFINISHED}"))
            } else {
                self.shift(number, Event::Distrusted);
                self.shift(number, Event::Removed);
                self.disk.unlink(name)
            };
            gone.map_err(|error| self.fatal(format!("removing {name}"), error))?;
            self.sync_file(&SyncOf::Directory)?;
        }
        for (segment, _) in later.into_iter().take(sound) {
            let name = &segment.name;
            let named = self.disk.rename(&format!("{name}{UNFINISHED}"), name);
            named.map_err(|error| self.fatal(format!("naming {name}"), error))?;
            self.sync_file(&SyncOf::Directory)?;
            self.next_number = segment.header.number + 1;
            self.prepared.push_back(segment);
        }
        Ok(())
    }

    /// Never appends where a tail was cut or something is damaged, so that nothing behind it can come back.
    fn go_on_elsewhere(&mut self) -> Result<(), OpenError> {
        if self.prepared.is_empty() {
            let preparation = self.wants_prepared().expect("there is none");
            let prepared = preparation.run::<V>().map_err(|error| {
                if is_full(&error) {
                    let (free, needed) = (self.disk.free().unwrap_or(0), preparation.bytes());
                    OpenError::NoSpace { place: self.disk.place(), free, needed }
                } else {
                    io_error(&self.disk, "preparing a segment", error)
                }
            })?;
            self.add_prepared(prepared);
        }
        self.begin_next().and_then(|()| self.flush()).and_then(|()| self.sync()).map_err(open_error)?;
        Ok(())
    }

    /// Removes what no open needs any more.
    fn sweep(&mut self, dead: &[u64], listing: &Listing) -> Result<(), Fatal> {
        let names: Vec<String> = dead
            .iter()
            .map(|number| segment_name(*number))
            .chain(listing.unfinished.iter().cloned())
            .collect();
        for name in &names {
            remove(&self.disk, name).map_err(|error| self.fatal(format!("removing {name}"), error))?;
        }
        if !names.is_empty() {
            self.sync_file(&SyncOf::Directory)?;
        }
        self.retire()
    }
}

fn lock<D: Disk>(disk: &D) -> Result<D::Lock, OpenError> {
    disk.lock().map_err(|error| match error {
        LockError::Held { by } => OpenError::Locked { place: disk.place(), pid: by },
        LockError::Io(error) => io_error(disk, "locking", error),
    })
}

/// A failure of the disk while a log is opened.
fn open_error(fatal: Fatal) -> OpenError {
    let Fatal { place, doing, error } = fatal;
    OpenError::Io { place, doing, error }
}

fn header_of(options: &Options, number: u64) -> SegmentHeader {
    let salt = Salt(salt(options.salt_seed, number));
    SegmentHeader { identity: options.identity, number, size: options.segment_bytes, salt }
}

/// The files of a new log.
type Files<D> = (MetaFile<<D as Disk>::File>, Arc<Segment<D>>);

/// Makes the meta file, which says that the log is being made, and the first segment.
fn make_files<D: Disk, V: Variant>(disk: &D, options: Options, listing: &Listing) -> io::Result<Files<D>> {
    for number in listing.segments.iter().rev() {
        disk.unlink(&segment_name(*number))?;
    }
    for name in &listing.unfinished {
        disk.unlink(name)?;
    }
    let unfinished = format!("{META_FILE}{UNFINISHED}");
    let slot = MetaSlot {
        identity: options.identity,
        epoch: 1,
        synced_upto: 0,
        first_live: 1,
        active: 0,
        segment_bytes: options.segment_bytes,
        hard_state_lost: false,
        groups: Vec::new(),
    };
    let file = disk.create(&unfinished)?;
    disk.allocate(&file, SLOT_AT[1] + SLOT_BYTES as u64)?;
    disk.write_at(&file, SLOT_AT[0], &slot.encode())?;
    disk.sync(&file)?;
    disk.rename(&unfinished, META_FILE)?;
    if !V::breaks(Break::SkipDirSync) {
        disk.sync_directory()?;
    }
    let segment = Preparation::new(disk.clone(), header_of(&options, 1)).run::<V>()?.0;
    Ok((MetaFile { file, epoch: 1, next: 1 }, segment))
}

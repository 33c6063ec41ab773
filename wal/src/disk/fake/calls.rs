//! What the log calls.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::MutexGuard;

use super::super::{Access, Disk, LockError, Map, SECTOR};
use super::faults::{Call, Fault, due};
use super::inode::{Fate, Source};
use super::state::State;
use super::{FakeDisk, FakeFile, FakeLock, FakeMap, Shared};

/// An error that says what was to be done to what.
fn refused(kind: ErrorKind, doing: &str, name: &str) -> io::Error {
    io::Error::new(kind, format!("cannot {doing} {name}: {kind}"))
}

/// What becomes of a write, given what is to go wrong with it.
fn write(
    state: &mut State,
    file: &FakeFile,
    offset: u64,
    bytes: &[u8],
    fault: Option<Fault>,
) -> Result<(), ErrorKind> {
    let inode = state.inode_mut(file.inode);
    let end = offset.checked_add(bytes.len() as u64);
    assert!(end.is_some_and(|end| end <= inode.len()), "a write beyond what is allocated");
    match fault {
        None => inode.write(offset, bytes, Fate::Kept),
        Some(Fault::Lose) => inode.write(offset, bytes, Fate::Lost),
        Some(Fault::Misdirect { name, sector }) => {
            inode.write(offset, bytes, Fate::Lost)?;
            let first = offset / SECTOR as u64;
            let count = (offset + bytes.len() as u64).div_ceil(SECTOR as u64) - first;
            let moved: Vec<_> = (first..first + count).map(|at| inode.cell(at).visible().clone()).collect();
            let Some(target) = state.find(&name) else { return Ok(()) };
            let target = state.inode_mut(target);
            let sectors = target.len().div_ceil(SECTOR as u64);
            for (at, content) in (sector..sectors).zip(moved) {
                target.write_beneath(at, content);
            }
            Ok(())
        }
        Some(Fault::Tear { bytes: done, kind }) => {
            inode.write(offset, &bytes[..done.min(bytes.len())], Fate::Kept)?;
            Err(kind)
        }
        Some(Fault::Fail(kind) | Fault::FailClean(kind)) => Err(kind),
    }
}

/// What becomes of a sync: `sync` what it should do, `lose` what it does when the disk drops what it was
/// given.
fn settle(
    state: &mut State,
    fault: Option<&Fault>,
    sync: impl FnOnce(&mut State),
    lose: impl FnOnce(&mut State),
) -> Result<(), ErrorKind> {
    match fault {
        None => sync(state),
        Some(Fault::Lose | Fault::Misdirect { .. }) => lose(state),
        Some(&Fault::FailClean(kind)) => {
            lose(state);
            return Err(kind);
        }
        Some(&(Fault::Fail(kind) | Fault::Tear { kind, .. })) => return Err(kind),
    }
    Ok(())
}

impl FakeDisk {
    /// Keeps the moment before a call, counts it, and says what is to go wrong.
    fn begin(
        &self,
        call: Call,
        describe: impl FnOnce(&State) -> String,
    ) -> (MutexGuard<'_, Shared>, Option<Fault>) {
        let mut shared = self.shared();
        if shared.recording && call.changes() {
            let moment = shared.moment(describe(&shared.state));
            shared.moments.push(moment);
        }
        let fault = due(&mut shared.injections, call);
        (shared, fault)
    }

    /// As [`FakeDisk::begin`], for calls that can only fail.
    fn plainly(&self, call: Call, doing: &str, name: &str) -> io::Result<MutexGuard<'_, Shared>> {
        let (shared, fault) = self.begin(call, |_| format!("{doing} {name}"));
        match fault {
            None => Ok(shared),
            Some(fault) => Err(refused(fault.kind(), doing, name)),
        }
    }

    fn read(&self, call: Call, source: Source, file: &FakeFile, at: u64, into: &mut [u8]) -> io::Result<()> {
        let (shared, fault) = self.begin(call, |_| String::new());
        let read = match fault {
            None => shared.state.inode(file.inode).read(at, into, source),
            Some(fault) => Err(fault.kind()),
        };
        read.map_err(|kind| refused(kind, "read", &shared.state.name_of(file.inode)))
    }
}

/// What a file that is open for reading refuses.
fn may_change(state: &State, file: &FakeFile, doing: &str) -> io::Result<()> {
    match file.access {
        Access::Write => Ok(()),
        Access::Read => Err(refused(ErrorKind::PermissionDenied, doing, &state.name_of(file.inode))),
    }
}

impl Disk for FakeDisk {
    type File = FakeFile;
    type Map = FakeMap;
    type Lock = FakeLock;

    fn place(&self) -> String {
        "fake".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.plainly(Call::List, "list", "the directory")?.state.names())
    }

    fn lock(&self) -> Result<FakeLock, LockError> {
        let mut shared = self.plainly(Call::Lock, "lock", "the directory").map_err(LockError::Io)?;
        if shared.locked {
            return Err(LockError::Held { by: Some(Self::PID) });
        }
        shared.locked = true;
        Ok(FakeLock { disk: self.clone() })
    }

    fn open(&self, name: &str, access: Access) -> io::Result<FakeFile> {
        let shared = self.plainly(Call::Open, "open", name)?;
        match shared.state.find(name) {
            Some(inode) => Ok(FakeFile { inode, access }),
            None => Err(refused(ErrorKind::NotFound, "open", name)),
        }
    }

    fn create(&self, name: &str) -> io::Result<FakeFile> {
        let mut shared = self.plainly(Call::Create, "create", name)?;
        let inode = shared.state.create(name).map_err(|kind| refused(kind, "create", name))?;
        Ok(FakeFile { inode, access: Access::Write })
    }

    fn len(&self, file: &FakeFile) -> io::Result<u64> {
        Ok(self.plainly(Call::Len, "look at", "a file")?.state.inode(file.inode).len())
    }

    /// A file that is longer stays so.
    fn allocate(&self, file: &FakeFile, len: u64) -> io::Result<()> {
        let describe = |state: &State| format!("allocate {} {len}", state.name_of(file.inode));
        let (mut shared, fault) = self.begin(Call::Allocate, describe);
        may_change(&shared.state, file, "allocate")?;
        let allocated = match fault {
            None => shared.state.allocate(file.inode, len),
            Some(fault) => Err(fault.kind()),
        };
        allocated.map_err(|kind| refused(kind, "allocate", &shared.state.name_of(file.inode)))
    }

    /// # Panics
    /// If it goes beyond the length of the file: the log may not do that.
    fn write_at(&self, file: &FakeFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let describe =
            |state: &State| format!("write {} {offset}+{}", state.name_of(file.inode), bytes.len());
        let (mut shared, fault) = self.begin(Call::Write, describe);
        may_change(&shared.state, file, "write")?;
        let written = write(&mut shared.state, file, offset, bytes, fault);
        written.map_err(|kind| refused(kind, "write", &shared.state.name_of(file.inode)))
    }

    fn read_at(&self, file: &FakeFile, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.read(Call::Read, Source::Cache, file, offset, into)
    }

    fn read_past_cache(&self, file: &FakeFile, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.read(Call::ReadPastCache, Source::Device, file, offset, into)
    }

    fn sync(&self, file: &FakeFile) -> io::Result<()> {
        let id = file.inode;
        let (mut shared, fault) = self.begin(Call::Sync, |state| format!("sync {}", state.name_of(id)));
        let (sync, lose) =
            (|state: &mut State| state.inode_mut(id).sync(), |state: &mut State| state.inode_mut(id).lose());
        let synced = settle(&mut shared.state, fault.as_ref(), sync, lose);
        synced.map_err(|kind| refused(kind, "sync", &shared.state.name_of(id)))
    }

    fn sync_directory(&self) -> io::Result<()> {
        let (mut shared, fault) = self.begin(Call::SyncDirectory, |_| "sync the directory".to_owned());
        let synced = settle(&mut shared.state, fault.as_ref(), State::sync_names, State::lose_names);
        synced.map_err(|kind| refused(kind, "sync", "the directory"))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (mut shared, fault) = self.begin(Call::Rename, |_| format!("rename {from} to {to}"));
        let renamed = match fault {
            None => shared.state.rename(from, to),
            Some(fault) => Err(fault.kind()),
        };
        renamed.map_err(|kind| refused(kind, "rename", from))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let mut shared = self.plainly(Call::Unlink, "unlink", name)?;
        shared.state.unlink(name).map_err(|kind| refused(kind, "unlink", name))
    }

    fn map(&self, file: &FakeFile, len: u64) -> io::Result<FakeMap> {
        let shared = self.plainly(Call::Map, "map", "a file")?;
        if len > shared.state.inode(file.inode).len() {
            return Err(refused(ErrorKind::UnexpectedEof, "map", &shared.state.name_of(file.inode)));
        }
        Ok(FakeMap { disk: self.clone(), inode: file.inode, len })
    }

    fn free(&self) -> io::Result<u64> {
        Ok(self.plainly(Call::Free, "ask for free room in", "the directory")?.state.free())
    }
}

impl Map for FakeMap {
    fn bytes(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        if range.start > range.end || range.end > self.len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let shared = self.disk.shared();
        match shared.state.inode(self.inode).read(range.start, &mut bytes, Source::Cache) {
            Ok(()) => Ok(Cow::Owned(bytes)),
            Err(kind) => Err(refused(kind, "read", &shared.state.name_of(self.inode))),
        }
    }
}

//! A directory of a real file system.
//!
//! # Why
//! Each call of [`Disk`] is one system call wherever possible, because each is a place where a crash can come
//! in between; and none of them is repeated when it failed, because a second `fdatasync` may report success
//! for pages that the first one lost.
//!
//! # Shape
//! All names are looked up relative to a descriptor of the directory that is opened once: a directory that is
//! moved, or mounted over, stays the one that was locked. Data is read and written with `pread` and `pwrite`;
//! the map is only for those who serve. [`read_past_cache`](Disk::read_past_cache) reads with `O_DIRECT`
//! through a second descriptor of the same inode: to where the bytes are wanted if that is aligned, and else
//! into one aligned buffer per directory. Where the file system refuses `O_DIRECT` (tmpfs, some overlays) the
//! cache is asked to forget the range and read normally, which it may ignore.
//!
//! # Invariants
//! - A handle made by [`RealDisk::read_only`] opens nothing for writing, makes no file and syncs nothing.
//! - Errors say what was to be done to which file; their `kind` is that of the operating system's error.
//! - A child process inherits no descriptor, so no lock either.
//!
//! # What this leaves out
//! File systems without `flock` or without names that last after `fsync` of the directory. More than one
//! reader past the cache at a time into what is not aligned: they take turns with the buffer.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::{Advice, AtFlags, Dir, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{Access, Disk, LockError, Map};
use crate::map::FileMap;

/// To what offsets, lengths and addresses of direct reads are aligned: enough for every device in use.
const ALIGNMENT: usize = 4096;
/// How much one direct read moves at most.
const BOUNCE: usize = 1 << 20;
/// Readable by the group, so that an operator's tools need not be the server's user.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

/// A directory of a real file system. Clones share its descriptor.
#[derive(Clone)]
pub struct RealDisk {
    directory: Arc<Directory>,
}

struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
    access: Access,
    /// Where direct reads land before they are copied. Empty until the first one.
    bounce: Mutex<Vec<u8>>,
}

impl fmt::Debug for RealDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Directory { descriptor: _, path, access, bounce: _ } = &*self.directory;
        f.debug_struct("RealDisk").field("path", path).field("access", access).finish_non_exhaustive()
    }
}

/// An open file of a [`RealDisk`].
#[derive(Debug)]
pub struct RealFile {
    file: File,
    /// As it was when the file was opened; for messages.
    name: String,
    /// A second descriptor that reads past the cache, or `None` inside if the file system refused. Opened
    /// when first needed.
    direct: OnceLock<Option<File>>,
}

/// A mapping of a file of a [`RealDisk`]. What it hands out must not be changed meanwhile: ask only for what
/// is written and stays.
#[derive(Debug)]
pub struct RealMap(FileMap);

/// The lock of a [`RealDisk`]; dropping it lets others in.
#[derive(Debug)]
pub struct RealLock {
    file: File,
}

impl Drop for RealLock {
    /// Closing would not be enough: a child process that another thread is just making has the descriptor
    /// until it runs its program. What fails here is done by the end of the process.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// Puts what was to be done before an error, and keeps its kind.
fn failed(doing: impl fmt::Display) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("cannot {doing}: {error}"))
}

/// Repeats a call that a signal interrupted before it did anything. Not for syncs: see the module
/// documentation.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(io::Error::from)
        .map_err(failed(format_args!("open the directory {}", path.display())))
}

/// The directory that holds the name `path`.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

fn sync_name(path: &Path) -> io::Result<()> {
    let parent = parent(path);
    let descriptor = open_directory(parent)?;
    rustix::fs::fsync(&descriptor)
        .map_err(io::Error::from)
        .map_err(failed(format_args!("sync the directory {}", parent.display())))
}

/// Makes `path` and what is missing above it, each name durable before the next is made below it.
fn make_directory(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => sync_name(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !parent(path).is_dir() => {
            make_directory(parent(path))?;
            make_directory(path)
        }
        // It may be one that an earlier attempt made and did not live to sync. Whoever may not look into the
        // directory above did not make it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            match sync_name(path) {
                Err(denied) if denied.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                synced => synced,
            }
        }
        Err(error) => Err(failed(format_args!("make the directory {}", path.display()))(error)),
    }
}

impl RealDisk {
    /// The file whose lock is the lock of the directory, and which names the process that holds it.
    pub const LOCK_FILE: &str = "lock";

    /// Opens a directory that exists.
    ///
    /// # Errors
    /// Those of the operating system: `NotFound`, `NotADirectory`, `PermissionDenied` and others.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::at(path.as_ref(), Access::Write)
    }

    /// Opens a directory, and makes it, durably, if it does not exist.
    ///
    /// # Errors
    /// As [`RealDisk::open`], and `StorageFull`.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        make_directory(path.as_ref())?;
        Self::open(path)
    }

    /// Opens a directory that exists in order to look at it: safe while another process works in it. Every
    /// call that would change, sync or lock something is refused with `PermissionDenied`.
    ///
    /// # Errors
    /// As [`RealDisk::open`].
    pub fn read_only(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::at(path.as_ref(), Access::Read)
    }

    fn at(path: &Path, access: Access) -> io::Result<Self> {
        let descriptor = open_directory(path)?;
        let bounce = Mutex::new(Vec::new());
        let directory = Directory { descriptor, path: path.to_owned(), access, bounce };
        Ok(Self { directory: Arc::new(directory) })
    }

    /// What to say when `doing` something to `name` fails.
    fn failed(&self, doing: &str, name: &str) -> impl FnOnce(io::Error) -> io::Error {
        failed(format!("{doing} {}", self.directory.path.join(name).display()))
    }

    /// Refuses what a disk opened for looking must not do.
    fn may_change(&self, doing: &str, name: &str) -> io::Result<()> {
        match self.directory.access {
            Access::Write => Ok(()),
            Access::Read => {
                let refused =
                    io::Error::new(io::ErrorKind::PermissionDenied, "the directory is open read-only");
                Err(self.failed(doing, name)(refused))
            }
        }
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        plain(name)?;
        let flags = flags | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(FILE_MODE);
        let descriptor =
            uninterrupted(|| Ok(rustix::fs::openat(&self.directory.descriptor, name, flags, mode)?))?;
        Ok(File::from(descriptor))
    }

    fn try_lock(&self, name: &str) -> Result<RealLock, LockError> {
        let file = self.open_file(name, OFlags::RDWR | OFlags::CREATE).map_err(LockError::Io)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(LockError::Held { by: holder(&file) }),
            Err(error) => return Err(LockError::Io(error.into())),
        }
        // Over what is there first and cut to length then: on a full disk the old block is reused.
        let text = format!("{}\n", process::id());
        let lock = RealLock { file };
        lock.file.write_all_at(text.as_bytes(), 0).map_err(LockError::Io)?;
        lock.file.set_len(text.len() as u64).map_err(LockError::Io)?;
        Ok(lock)
    }

    /// Reads with `O_DIRECT`. `Ok(false)` if the file system does not do that.
    fn read_direct(&self, file: &RealFile, offset: u64, into: &mut [u8]) -> io::Result<bool> {
        let direct = match file.direct.get() {
            Some(direct) => direct,
            None => {
                let opened = open_direct(&file.file)?;
                file.direct.get_or_init(|| opened)
            }
        };
        let Some(direct) = direct else { return Ok(false) };
        let read = if is_aligned(offset, into) {
            read_in_place(direct, offset, into)
        } else {
            let mut bounce = self.directory.bounce.lock().unwrap_or_else(PoisonError::into_inner);
            bounce.resize(BOUNCE + ALIGNMENT, 0);
            let misaligned = bounce.as_ptr().align_offset(ALIGNMENT);
            read_aligned(direct, offset, into, &mut bounce[misaligned..][..BOUNCE])
        };
        match read {
            Ok(()) => Ok(true),
            // Some accept the flag and refuse the read.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Refuses names that lead out of the directory.
fn plain(name: &str) -> io::Result<()> {
    if name.contains('/') || matches!(name, "" | "." | "..") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file name"));
    }
    Ok(())
}

/// The process that a lock file names.
fn holder(file: &File) -> Option<u32> {
    let mut text = [0; 16];
    let length = uninterrupted(|| file.read_at(&mut text, 0)).ok()?;
    str::from_utf8(&text[..length]).ok()?.trim().parse().ok()
}

/// A second descriptor of the same inode, whatever its name is by now, that reads past the cache; `None` if
/// the file system has no such thing, or if there is no `/proc` to find the inode by.
fn open_direct(file: &File) -> io::Result<Option<File>> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => Ok(Some(File::from(descriptor))),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a direct read may put its bytes where they are wanted.
fn is_aligned(offset: u64, into: &[u8]) -> bool {
    offset.is_multiple_of(ALIGNMENT as u64)
        && into.len().is_multiple_of(ALIGNMENT)
        && into.as_ptr().align_offset(ALIGNMENT) == 0
}

/// Fills `into`, which [`is_aligned`].
fn read_in_place(direct: &File, offset: u64, into: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < into.len() {
        let end = into.len().min(filled + BOUNCE);
        let got = uninterrupted(|| direct.read_at(&mut into[filled..end], offset + filled as u64))?;
        // A short read ends at the end of the file or at a multiple of the alignment.
        if got == 0 || (filled + got < into.len() && !got.is_multiple_of(ALIGNMENT)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += got;
    }
    Ok(())
}

/// Fills `into` from any `offset` by reads whose offsets, lengths and addresses are aligned. `bounce` is
/// aligned and a multiple of the alignment long.
fn read_aligned(direct: &File, offset: u64, into: &mut [u8], bounce: &mut [u8]) -> io::Result<()> {
    // The kernel would refuse, on some devices only, and the cache be read instead.
    debug_assert!(bounce.as_ptr().align_offset(ALIGNMENT) == 0 && bounce.len().is_multiple_of(ALIGNMENT));
    let mut filled = 0;
    while filled < into.len() {
        let at = offset + filled as u64;
        let lead = (at % ALIGNMENT as u64) as usize;
        let want = (lead + into.len() - filled).next_multiple_of(ALIGNMENT).min(bounce.len());
        let got = uninterrupted(|| direct.read_at(&mut bounce[..want], at - lead as u64))?;
        let usable = got.min(lead + into.len() - filled);
        // A short read ends at the end of the file or at a multiple of the alignment, so the next one is
        // aligned again.
        if usable <= lead {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        into[filled..][..usable - lead].copy_from_slice(&bounce[lead..usable]);
        filled += usable - lead;
    }
    Ok(())
}

/// Reads normally, having asked the cache to forget the range.
fn read_forgotten(file: &File, offset: u64, into: &mut [u8]) -> io::Result<()> {
    let length = NonZeroU64::new(into.len() as u64);
    rustix::fs::fadvise(file, offset, length, Advice::DontNeed)?;
    file.read_exact_at(into, offset)
}

/// Reserves the room for the first `len` bytes of `file`, and makes it that long if it is shorter.
fn reserve(file: &File, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    match uninterrupted(|| Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len)?)) {
        // Then the room is had by writing zeros, which whoever allocates does anyway.
        Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
            if file.metadata()?.len() < len { file.set_len(len) } else { Ok(()) }
        }
        done => done,
    }
}

impl Disk for RealDisk {
    type File = RealFile;
    type Map = RealMap;
    type Lock = RealLock;

    fn place(&self) -> String {
        self.directory.path.display().to_string()
    }

    /// All names but `.` and `..`, among them that of the lock file and those of directories.
    fn list(&self) -> io::Result<Vec<String>> {
        let listed = || {
            let mut names = Vec::new();
            for entry in Dir::read_from(&self.directory.descriptor)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if name != "." && name != ".." {
                    names.push(name);
                }
            }
            Ok(names)
        };
        listed().map_err(self.failed("list", ""))
    }

    fn lock(&self) -> Result<RealLock, LockError> {
        let name = Self::LOCK_FILE;
        self.may_change("lock", name).map_err(LockError::Io)?;
        self.try_lock(name).map_err(|error| match error {
            LockError::Held { by } => LockError::Held { by },
            LockError::Io(error) => LockError::Io(self.failed("lock", name)(error)),
        })
    }

    fn open(&self, name: &str, access: Access) -> io::Result<RealFile> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => {
                self.may_change("open", name)?;
                OFlags::RDWR
            }
        };
        let file = self.open_file(name, flags).map_err(self.failed("open", name))?;
        Ok(RealFile { file, name: name.to_owned(), direct: OnceLock::new() })
    }

    fn create(&self, name: &str) -> io::Result<RealFile> {
        self.may_change("create", name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = self.open_file(name, flags).map_err(self.failed("create", name))?;
        Ok(RealFile { file, name: name.to_owned(), direct: OnceLock::new() })
    }

    fn len(&self, file: &RealFile) -> io::Result<u64> {
        Ok(file.file.metadata().map_err(self.failed("look at", &file.name))?.len())
    }

    /// With `fallocate`; where the file system has none, only the length is set. A file that is longer stays
    /// so.
    fn allocate(&self, file: &RealFile, len: u64) -> io::Result<()> {
        self.may_change("allocate", &file.name)?;
        reserve(&file.file, len).map_err(self.failed("allocate", &file.name))
    }

    fn write_at(&self, file: &RealFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.may_change("write", &file.name)?;
        file.file.write_all_at(bytes, offset).map_err(self.failed("write", &file.name))
    }

    fn read_at(&self, file: &RealFile, offset: u64, into: &mut [u8]) -> io::Result<()> {
        file.file.read_exact_at(into, offset).map_err(self.failed("read", &file.name))
    }

    fn read_past_cache(&self, file: &RealFile, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match self.read_direct(file, offset, into) {
            Ok(true) => Ok(()),
            Ok(false) => read_forgotten(&file.file, offset, into),
            Err(error) => Err(error),
        }
        .map_err(self.failed("read", &file.name))
    }

    /// Not even repeated when a signal interrupted it: what that one knew of lost pages may be forgotten.
    fn sync(&self, file: &RealFile) -> io::Result<()> {
        self.may_change("sync", &file.name)?;
        rustix::fs::fdatasync(&file.file).map_err(io::Error::from).map_err(self.failed("sync", &file.name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.may_change("sync", "")?;
        rustix::fs::fsync(&self.directory.descriptor)
            .map_err(io::Error::from)
            .map_err(self.failed("sync the directory", ""))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.may_change("rename", from)?;
        let directory = &self.directory.descriptor;
        plain(from)
            .and_then(|()| plain(to))
            .and_then(|()| Ok(rustix::fs::renameat(directory, from, directory, to)?))
            .map_err(self.failed("rename", from))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.may_change("remove", name)?;
        let directory = &self.directory.descriptor;
        plain(name)
            .and_then(|()| Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?))
            .map_err(self.failed("remove", name))
    }

    fn map(&self, file: &RealFile, len: u64) -> io::Result<RealMap> {
        FileMap::new(&file.file, len).map(RealMap).map_err(self.failed("map", &file.name))
    }

    /// What is free to this user, not to root.
    fn free(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.directory.descriptor)
            .map_err(io::Error::from)
            .map_err(self.failed("ask for free room in", ""))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl Map for RealMap {
    fn bytes(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        match self.0.bytes(range) {
            Some(bytes) => Ok(Cow::Borrowed(bytes)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

//! A disk whose calls can be held until they are released, so that no test sleeps.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use holdfast_wal::disk::{Access, Call, Disk, FakeDisk, FakeFile, FakeLock, FakeMap, LockError};

/// A fake disk behind a gate. Clones share the gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) disk: FakeDisk,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The kind of call that is held.
    held: Option<Call>,
    /// How many calls wait at the gate.
    waiting: usize,
    /// The names of the threads that made room for files.
    allocators: BTreeSet<String>,
    /// How many writes there were.
    writes: usize,
}

impl Gate {
    pub(crate) fn new(disk: FakeDisk) -> Self {
        Self { disk, shared: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Holds every call of this kind from now on.
    pub(crate) fn hold(&self, call: Call) {
        self.state().held = Some(call);
    }

    /// Waits until a call is held.
    pub(crate) fn wait_until_held(&self) {
        let mut state = self.state();
        while state.waiting == 0 {
            state = self.shared.changed.wait(state).unwrap();
        }
    }

    /// Lets the calls go on, those that wait and those that come.
    pub(crate) fn release(&self) {
        self.state().held = None;
        self.shared.changed.notify_all();
    }

    /// The names of the threads that made room for files.
    pub(crate) fn allocators(&self) -> Vec<String> {
        self.state().allocators.iter().cloned().collect()
    }

    /// How many writes there were.
    pub(crate) fn writes(&self) -> usize {
        self.state().writes
    }

    fn pass(&self, call: Call) -> &FakeDisk {
        let mut state = self.state();
        if state.held == Some(call) {
            state.waiting += 1;
            self.shared.changed.notify_all();
            while state.held == Some(call) {
                state = self.shared.changed.wait(state).unwrap();
            }
            state.waiting -= 1;
        }
        &self.disk
    }
}

impl Disk for Gate {
    type File = FakeFile;
    type Map = FakeMap;
    type Lock = FakeLock;

    fn place(&self) -> String {
        self.disk.place()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.pass(Call::List).list()
    }

    fn lock(&self) -> Result<FakeLock, LockError> {
        self.pass(Call::Lock).lock()
    }

    fn open(&self, name: &str, access: Access) -> io::Result<FakeFile> {
        self.pass(Call::Open).open(name, access)
    }

    fn create(&self, name: &str) -> io::Result<FakeFile> {
        self.pass(Call::Create).create(name)
    }

    fn len(&self, file: &FakeFile) -> io::Result<u64> {
        self.pass(Call::Len).len(file)
    }

    fn allocate(&self, file: &FakeFile, len: u64) -> io::Result<()> {
        self.state().allocators.insert(thread::current().name().unwrap_or_default().to_owned());
        self.pass(Call::Allocate).allocate(file, len)
    }

    fn write_at(&self, file: &FakeFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.state().writes += 1;
        self.pass(Call::Write).write_at(file, offset, bytes)
    }

    fn read_at(&self, file: &FakeFile, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.pass(Call::Read).read_at(file, offset, into)
    }

    fn read_past_cache(&self, file: &FakeFile, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.pass(Call::ReadPastCache).read_past_cache(file, offset, into)
    }

    fn sync(&self, file: &FakeFile) -> io::Result<()> {
        self.pass(Call::Sync).sync(file)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.pass(Call::SyncDirectory).sync_directory()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.pass(Call::Rename).rename(from, to)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.pass(Call::Unlink).unlink(name)
    }

    fn map(&self, file: &FakeFile, len: u64) -> io::Result<FakeMap> {
        self.pass(Call::Map).map(file, len)
    }

    fn free(&self) -> io::Result<u64> {
        self.pass(Call::Free).free()
    }
}

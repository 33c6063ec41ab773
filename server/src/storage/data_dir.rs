//! The data directory: its lock, and the identity file, which is replaced as a whole or not at all.
//!
//! # Why there are two of it
//! Everything else that a disk damages, the other nodes can send again; who this node is and what it has promised, nobody can.
//! So the file stands there twice, and one of the two that is damaged, missing or an older one does no harm: the other counts,
//! and the next start writes both anew.

use std::path::Path;

use bytes::Bytes;
use holdfast_raft::NodeId;
use holdfast_wal::disk::{Access, Disk, LockError, RealDisk};

use super::codec::{BadIdentity, IDENTITY_BYTES_MAX, decode, encode, known_version};
use super::error::StorageError;
use super::identity::Identity;
use super::snapshots::SNAPSHOT_DIRECTORY;
use crate::audit::AUDIT_DIRECTORY;

/// The file that says who the node is.
pub const IDENTITY_FILE: &str = "identity";

/// The directory of the log, in the data directory.
pub const LOG_DIRECTORY: &str = "wal";

/// The same once more.
pub const IDENTITY_COPY: &str = "identity.copy";

/// What only the directory of a node has.
pub const NAMES: [&str; 4] = [IDENTITY_FILE, IDENTITY_COPY, LOG_DIRECTORY, SNAPSHOT_DIRECTORY];

/// Each of the two, and what is to become it: that means nothing until it has its name.
const FILES: [(&str, &str); 2] = [(IDENTITY_COPY, "identity.copy.new"), (IDENTITY_FILE, "identity.new")];

/// A data directory, locked against other processes until this is dropped.
///
/// Works on any [`Disk`], so that every crash between two of its steps can be tried out.
#[derive(Debug)]
pub struct DataDir<D: Disk = RealDisk> {
    disk: D,
    /// Held, not looked at.
    _lock: D::Lock,
}

impl DataDir {
    /// Opens a directory, making it, durably, if it is missing, and locks it.
    ///
    /// # Errors
    /// [`StorageError::Locked`] if another process holds it, [`StorageError::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let disk = RealDisk::create(path).map_err(|error| StorageError::Io {
            place: path.display().to_string(),
            doing: "opening the data directory".to_owned(),
            error,
        })?;
        Self::on(disk)
    }

    /// The directory of the log, made if it is missing. Not before the node is formed: see
    /// [`IdentityMissing`](StorageError::IdentityMissing).
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn log_disk(&self) -> Result<RealDisk, StorageError> {
        let path = Path::new(&self.disk.place()).join(LOG_DIRECTORY);
        RealDisk::create(path).map_err(|error| self.io("opening the directory of the log", error))
    }
}

impl DataDir {
    /// The directory of the snapshots, made if it is missing.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn snapshot_disk(&self) -> Result<RealDisk, StorageError> {
        let path = Path::new(&self.disk.place()).join(SNAPSHOT_DIRECTORY);
        RealDisk::create(path).map_err(|error| self.io("opening the directory of the snapshots", error))
    }

    /// The directory of the audit log, made if it is missing.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn audit_disk(&self) -> Result<RealDisk, StorageError> {
        let path = Path::new(&self.disk.place()).join(AUDIT_DIRECTORY);
        RealDisk::create(path).map_err(|error| self.io("opening the directory of the audit log", error))
    }
}

impl<D: Disk> DataDir<D> {
    /// Locks a directory that exists.
    ///
    /// # Errors
    /// [`StorageError::Locked`] if another process holds it, [`StorageError::Io`].
    pub fn on(disk: D) -> Result<Self, StorageError> {
        match disk.lock() {
            Ok(lock) => Ok(Self { disk, _lock: lock }),
            Err(LockError::Held { by }) => Err(StorageError::Locked { place: disk.place(), pid: by }),
            Err(LockError::Io(error)) => {
                Err(StorageError::Io { place: disk.place(), doing: "locking".to_owned(), error })
            }
        }
    }

    /// What the identity file says, or its copy; `None` if there is neither. It may not be durable yet:
    /// [`begin_boot`](Self::begin_boot) makes it so.
    ///
    /// # Errors
    /// [`StorageError::IdentityDamaged`] and [`StorageError::Io`], if neither can be read; [`StorageError::IdentityLater`] if a
    /// later build wrote one of them.
    pub fn load(&self) -> Result<Option<Identity>, StorageError> {
        let (mut whole, mut wrong) = (Vec::new(), Vec::new());
        for (name, _) in FILES {
            match read(&self.disk, name) {
                Ok(found) => whole.extend(found),
                Err(later @ StorageError::IdentityLater { .. }) => return Err(later),
                Err(error) => wrong.push(error),
            }
        }
        // A crash may lie between the two, or the disk has put an older one back.
        let Some(found) = whole.into_iter().reduce(Identity::or_later) else {
            return wrong.pop().map_or(Ok(None), Err);
        };
        for error in wrong {
            tracing::warn!(%error, "one of the two identity files is damaged: the other counts");
        }
        Ok(Some(found))
    }

    /// Replaces the identity file and its copy. Both are durable when this returns; a crash before leaves, of each, the old one
    /// or this one.
    ///
    /// # Errors
    /// [`StorageError::IdentityRule`], and nothing is changed; [`StorageError::Io`], and then nobody knows which of the
    /// two the directory holds: the process has to end.
    pub fn store(&self, identity: &Identity) -> Result<(), StorageError> {
        if let Some(rule) = identity.broken_rule() {
            return Err(StorageError::IdentityRule { place: self.disk.place(), rule });
        }
        let bytes = encode(identity);
        let replace = || {
            let names = self.disk.list()?;
            for (_, new) in FILES {
                if names.iter().any(|name| name == new) {
                    // Of a process that did not come to name it.
                    self.disk.unlink(new)?;
                }
                let file = self.disk.create(new)?;
                self.disk.allocate(&file, bytes.len() as u64)?;
                self.disk.write_at(&file, 0, &bytes)?;
                self.disk.sync(&file)?;
            }
            for (name, new) in FILES {
                self.disk.rename(new, name)?;
            }
            self.disk.sync_directory()
        };
        replace().map_err(|error| self.io("replacing the identity file", error))
    }

    /// Counts this start of the process, durably, and says who the node is. To be called once, before anything is said
    /// to anybody. In a directory without an identity file the node is blank.
    ///
    /// # Errors
    /// [`StorageError::OtherNode`], [`StorageError::OtherClusterName`], [`StorageError::IdentityMissing`],
    /// [`StorageError::RestorationUnfinished`], and those of
    /// [`load`](Self::load) and [`store`](Self::store). What was refused is as it was.
    pub fn begin_boot(&self, node: NodeId, cluster_name: &str) -> Result<Identity, StorageError> {
        let place = self.disk.place();
        let mut identity = match self.load()? {
            Some(identity) => identity,
            // The log is made after the file, and nothing removes the file.
            None if self.has(LOG_DIRECTORY)? => return Err(StorageError::IdentityMissing { place }),
            // So do its snapshots; but a restoration writes one first.
            None if self.has(SNAPSHOT_DIRECTORY)? => {
                return Err(StorageError::RestorationUnfinished { place });
            }
            None => Identity::blank(node, cluster_name),
        };
        if identity.node != node {
            return Err(StorageError::OtherNode { place, recorded: identity.node, configured: node });
        }
        if identity.cluster_name != cluster_name {
            let (recorded, configured) = (identity.cluster_name, cluster_name.to_owned());
            return Err(StorageError::OtherClusterName { place, recorded, configured });
        }
        identity.boot += 1;
        self.store(&identity)?;
        Ok(identity)
    }

    /// What stands before the name of a file in messages.
    #[must_use]
    pub fn place(&self) -> String {
        self.disk.place()
    }

    /// Whether no node was ever started in it, and none restored.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn is_blank(&self) -> Result<bool, StorageError> {
        let found = NAMES.iter().map(|name| self.has(name)).collect::<Result<Vec<bool>, _>>()?;
        Ok(!found.contains(&true))
    }

    fn has(&self, name: &str) -> Result<bool, StorageError> {
        has(&self.disk, name)
    }

    fn io(&self, doing: &str, error: std::io::Error) -> StorageError {
        io(&self.disk, doing, error)
    }
}

/// What each of the two identity files says, with its name, without a lock and without changing anything: for people who look
/// at a directory.
#[must_use]
pub fn look_at_identity<D: Disk>(disk: &D) -> Vec<(&'static str, Result<Option<Identity>, StorageError>)> {
    FILES.iter().rev().map(|(name, _)| (*name, read(disk, name))).collect()
}

fn has<D: Disk>(disk: &D, name: &str) -> Result<bool, StorageError> {
    let names = disk.list().map_err(|error| io(disk, "listing", error))?;
    Ok(names.iter().any(|found| found == name))
}

fn io<D: Disk>(disk: &D, doing: &str, error: std::io::Error) -> StorageError {
    StorageError::Io { place: disk.place(), doing: doing.to_owned(), error }
}

fn read<D: Disk>(disk: &D, name: &str) -> Result<Option<Identity>, StorageError> {
    if !has(disk, name)? {
        return Ok(None);
    }
    let damaged = |what| StorageError::IdentityDamaged { place: disk.place(), what };
    let doing = "reading the identity file";
    let read = || {
        let file = disk.open(name, Access::Read)?;
        let length = disk.len(&file)?;
        let mut bytes = vec![0; length.min(IDENTITY_BYTES_MAX + 1) as usize];
        disk.read_at(&file, 0, &mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| io(disk, doing, error))?;
    if bytes.len() as u64 > IDENTITY_BYTES_MAX {
        return Err(damaged("it is longer than any"));
    }
    match decode(&Bytes::from(bytes)) {
        Ok(identity) => Ok(Some(identity)),
        Err(BadIdentity::Damaged(what)) => Err(damaged(what)),
        Err(BadIdentity::Later { version }) => {
            let (place, known) = (disk.place(), known_version());
            Err(StorageError::IdentityLater { place, version, known })
        }
    }
}

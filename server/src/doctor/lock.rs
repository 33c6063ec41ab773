//! Who works in a data directory, without touching its lock: `recover` and the doctor must know, and must not be in the way of a
//! node that is just being started.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use holdfast_wal::disk::RealDisk;

/// The process that holds the lock of a data directory, as the kernel says, without touching the lock.
///
/// The kernel names a lock by device and inode. Inodes are counted anew in every file system, so the device has to be the same
/// one; but what is above another file system (btrfs, overlay) shows programs another device than it shows the kernel. Then the
/// files that the holder has open decide. If they may not be seen, it is believed: who goes on beside a user breaks things.
#[must_use]
pub fn in_use(directory: &Path) -> Option<String> {
    let lock = fs::metadata(directory.join(RealDisk::LOCK_FILE)).ok()?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    holder(&locks, (lock.dev(), lock.ino()), has_open).map(ToOwned::to_owned)
}

/// Who holds a lock on this file, given by device and inode, as the kernel tells it:
/// `1: FLOCK ADVISORY WRITE 1234 08:01:131085 0 EOF`. `has_open` says whether a process has the file open; it is asked if the
/// kernel names another device.
fn holder(locks: &str, file: (u64, u64), has_open: impl Fn(&str, (u64, u64)) -> bool) -> Option<&str> {
    let (device, inode) = file;
    let device = format!("{:02x}:{:02x}", rustix::fs::major(device), rustix::fs::minor(device));
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, holder, of, ..] = words.as_slice() else { return None };
        let (on, number) = of.rsplit_once(':')?;
        let is_it = number.parse() == Ok(inode) && (on == device || has_open(holder, file));
        is_it.then_some(*holder)
    })
}

/// Whether a process has a file open, given by device and inode as programs see them; `true` if that may not be seen.
fn has_open(process: &str, file: (u64, u64)) -> bool {
    match fs::read_dir(Path::new("/proc").join(process).join("fd")) {
        // Through the link, as it was opened: it may have lost its name since.
        Ok(mut open) => open.any(|open| {
            let of = open.and_then(|open| fs::metadata(open.path()));
            of.is_ok_and(|of| (of.dev(), of.ino()) == file)
        }),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_tells_who_holds_a_lock() {
        let locks =
            "1: POSIX  ADVISORY  WRITE 17 08:01:5 0 EOF\n2: FLOCK  ADVISORY  WRITE 1234 08:01:131085 0 EOF\n";
        let (here, no) = (rustix::fs::makedev(8, 1), |_: &str, _| false);
        assert_eq!(holder(locks, (here, 131_085), no), Some("1234"));
        assert_eq!(holder(locks, (here, 5), no), None, "a lock of another kind");
        assert_eq!(holder("", (here, 5), no), None);
    }

    #[test]
    fn a_lock_on_the_same_number_of_another_device_counts_only_if_its_holder_has_the_file_open() {
        // In hexadecimal: major 259, minor 26.
        let locks = "1: FLOCK  ADVISORY  WRITE 7 08:01:5 0 EOF\n2: FLOCK  ADVISORY  WRITE 8 103:1a:5 0 EOF\n";
        let file = (rustix::fs::makedev(259, 26), 5);
        assert_eq!(holder(locks, file, |_, _| false), Some("8"));
        let other = (rustix::fs::makedev(0, 45), 5);
        assert_eq!(holder(locks, other, |_, _| false), None, "strangers");
        assert_eq!(holder(locks, other, |process, of| process == "8" && of == other), Some("8"));
    }

    #[test]
    fn who_has_a_file_open_is_seen_and_a_process_that_is_gone_has_none() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let of = file.as_file().metadata().expect("it is there");
        assert!(has_open("self", (of.dev(), of.ino())));
        assert!(!has_open("self", (of.dev() + 1, of.ino())));
        // No process has a number this high.
        assert!(!has_open("4294967295", (of.dev(), of.ino())));
    }
}

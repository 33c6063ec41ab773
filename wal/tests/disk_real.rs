//! The claims of the real disk that can be seen without a power cut.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{self, Command};

use holdfast_wal::disk::{Access, Disk, LockError, Map, RealDisk, is_full};
use rustix::fs::OFlags;
use tempfile::TempDir;

fn temporary() -> (TempDir, RealDisk) {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(folder.path()).unwrap();
    (folder, disk)
}

/// Bytes of which no two neighbourhoods are alike.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect()
}

#[test]
fn what_was_written_is_read_and_mapped_at_its_place() {
    let (_folder, disk) = temporary();
    let file = disk.create("a").unwrap();
    disk.allocate(&file, 10_000).unwrap();
    assert_eq!(disk.len(&file).unwrap(), 10_000);
    let map = disk.map(&file, 9_000).unwrap();
    assert_eq!(*map.bytes(0..9_000).unwrap(), [0; 9_000]);
    disk.write_at(&file, 5_000, &pattern(3_000)).unwrap();
    let mut read = vec![0; 3_001];
    disk.read_at(&file, 4_999, &mut read).unwrap();
    assert_eq!(read[1..], pattern(3_000));
    assert_eq!(*map.bytes(4_999..8_000).unwrap(), read, "a map shows later writes");
    disk.sync(&file).unwrap();
    disk.sync_directory().unwrap();
    disk.allocate(&file, 100).unwrap();
    disk.allocate(&file, 0).unwrap();
    assert_eq!(disk.len(&file).unwrap(), 10_000, "a file is not made shorter");
    assert!(disk.free().unwrap() > 0);
}

/// Compares reads past the cache with what was written, around every alignment and across the end of the
/// buffer.
fn check_reads_past_the_cache(folder: &Path) {
    let disk = RealDisk::open(folder).unwrap();
    for len in [1, 511, 512, 4_096, 5_000, 16_384, (1 << 20) + 4_096 + 700] {
        let written = pattern(len);
        let file = disk.create("a").unwrap();
        disk.write_at(&file, 0, &written).unwrap();
        for start in [0, 1, 511, 512, 513, 4_095, 4_096, 4_097, len.saturating_sub(1)] {
            for size in [0, 1, 511, 512, 4_095, 4_096, 4_097, 1 << 20, len.saturating_sub(start)] {
                if start + size <= len {
                    let mut read = vec![0xee; size];
                    disk.read_past_cache(&file, start as u64, &mut read).unwrap();
                    assert_eq!(read, written[start..start + size], "{start}+{size} of {len}");
                    // And into a place that is aligned, where no copy is made.
                    let mut room = vec![0xee; size + 4_096];
                    let lead = room.as_ptr().align_offset(4_096);
                    let read = &mut room[lead..][..size];
                    disk.read_past_cache(&file, start as u64, read).unwrap();
                    assert_eq!(read, &written[start..start + size], "aligned, {start}+{size} of {len}");
                }
            }
        }
        for (start, size) in [(len - 1, 2), (len, 1), (len + 4_096, 1), (0, len + 1)] {
            let error = disk.read_past_cache(&file, start as u64, &mut vec![0; size]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{start}+{size} of {len}");
        }
        // Whole pages that end behind the file.
        let mut room = vec![0; (len + 1).next_multiple_of(4_096) + 4_096];
        let lead = room.as_ptr().align_offset(4_096);
        let beyond = room.len() - 4_096;
        let error = disk.read_past_cache(&file, 0, &mut room[lead..][..beyond]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "aligned, {beyond} of {len}");
        disk.unlink("a").unwrap();
    }
}

#[test]
fn reading_past_the_cache_reads_what_was_written_at_any_offset_and_length() {
    check_reads_past_the_cache(tempfile::tempdir().unwrap().path());
}

/// A file system in memory, which reads directly or not, depending on the kernel.
#[test]
fn reading_past_the_cache_works_where_there_is_no_device() {
    if let Ok(folder) = tempfile::tempdir_in("/dev/shm") {
        check_reads_past_the_cache(folder.path());
    }
}

/// `/proc` refuses `O_DIRECT`, and the length of its files is zero, so it is read through the cache or not at
/// all.
#[test]
fn reading_past_the_cache_falls_back_where_that_is_refused() {
    let proc = RealDisk::read_only("/proc").unwrap();
    let file = proc.open("version", Access::Read).unwrap();
    let mut read = [0; 9];
    proc.read_past_cache(&file, 3, &mut read).unwrap();
    assert_eq!(read, *b"ux versio");
}

/// How many bytes the devices gave to this thread.
fn fetched() -> u64 {
    let account = fs::read_to_string("/proc/thread-self/io").unwrap_or_default();
    let line = account.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    line.map_or(0, |bytes| bytes.parse().unwrap())
}

/// Whether a direct read of `path` can be seen in [`fetched`] here: not in a file system in memory, nor with
/// a kernel that keeps no account.
fn direct_reads_are_accounted(path: &Path) -> bool {
    const O_DIRECT: i32 = OFlags::DIRECT.bits() as i32;
    let Ok(file) = fs::File::options().read(true).custom_flags(O_DIRECT).open(path) else { return false };
    let mut buffer = vec![0; 8192];
    let aligned = buffer.as_ptr().align_offset(4096);
    let before = fetched();
    file.read_at(&mut buffer[aligned..][..4096], 0).is_ok() && fetched() > before
}

#[test]
fn reading_past_the_cache_asks_the_device_for_what_the_cache_has() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let disk = RealDisk::open(folder.path()).unwrap();
    let file = disk.create("a").unwrap();
    disk.write_at(&file, 0, &pattern(16_384)).unwrap();
    disk.sync(&file).unwrap();
    if !direct_reads_are_accounted(&folder.path().join("a")) {
        return;
    }
    // A page that is mapped and was looked at cannot be dropped from the cache, so that only a direct read is
    // seen.
    let map = disk.map(&file, 16_384).unwrap();
    let sum: u64 = map.bytes(0..16_384).unwrap().iter().map(|&byte| u64::from(byte)).sum();
    let mut read = vec![0; 5_000];
    let before = fetched();
    disk.read_at(&file, 3_000, &mut read).unwrap();
    assert_eq!(fetched(), before);
    disk.read_past_cache(&file, 3_000, &mut read).unwrap();
    assert_eq!(fetched() - before, 8_192, "the two blocks that it touches");
    assert!(sum > 0 && read == pattern(16_384)[3_000..8_000]);
}

#[test]
fn a_file_stays_readable_when_its_name_changes_or_goes() {
    let (_folder, disk) = temporary();
    let file = disk.create("a").unwrap();
    disk.write_at(&file, 0, b"first").unwrap();
    disk.rename("a", "b").unwrap();
    let other = disk.create("a").unwrap();
    disk.write_at(&other, 0, b"other").unwrap();
    let mut read = [0; 5];
    disk.read_past_cache(&file, 0, &mut read).unwrap();
    assert_eq!(read, *b"first", "and is not mistaken for what has its name now");
    let unlinked = disk.open("b", Access::Read).unwrap();
    disk.unlink("b").unwrap();
    disk.read_past_cache(&unlinked, 0, &mut read).unwrap();
    assert_eq!(read, *b"first");
    assert_eq!(disk.list().unwrap(), ["a"]);
}

#[test]
fn a_rename_replaces_what_had_the_name() {
    let (folder, disk) = temporary();
    for name in ["a", "b"] {
        let file = disk.create(name).unwrap();
        disk.write_at(&file, 0, name.as_bytes()).unwrap();
    }
    disk.rename("a", "b").unwrap();
    assert_eq!(disk.list().unwrap(), ["b"]);
    assert_eq!(fs::read(folder.path().join("b")).unwrap(), b"a");
}

#[test]
fn a_directory_that_is_moved_stays_the_one_that_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = (folder.path().join("before"), folder.path().join("after"));
    let disk = RealDisk::create(&before).unwrap();
    fs::rename(&before, &after).unwrap();
    fs::create_dir(&before).unwrap();
    drop(disk.create("a").unwrap());
    assert!(after.join("a").exists());
    assert_eq!(disk.list().unwrap(), ["a"]);
}

#[test]
fn a_directory_is_made_with_all_above_it_or_taken_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("x/y/z");
    assert_eq!(RealDisk::open(&deep).unwrap_err().kind(), ErrorKind::NotFound);
    drop(RealDisk::create(&deep).unwrap().create("a").unwrap());
    assert_eq!(RealDisk::create(&deep).unwrap().list().unwrap(), ["a"]);
    let file = deep.join("a");
    assert_eq!(RealDisk::create(&file).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(RealDisk::create(file.join("b")).unwrap_err().kind(), ErrorKind::NotADirectory);
    assert_eq!(RealDisk::create("").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(RealDisk::open(&deep).unwrap().place(), deep.to_str().unwrap());
}

#[test]
fn files_are_not_for_everyone_to_read() {
    let (folder, disk) = temporary();
    drop(disk.create("a").unwrap());
    let _lock = disk.lock().unwrap();
    for name in ["a", RealDisk::LOCK_FILE] {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{name}: {mode:o}");
    }
}

/// Names the folder in which [`a_second_process_is_told_who_holds_the_lock`] shall only try the lock.
const TRY_LOCK_IN: &str = "HOLDFAST_TEST_TRY_LOCK_IN";

#[test]
fn a_second_process_is_told_who_holds_the_lock() {
    if let Some(folder) = env::var_os(TRY_LOCK_IN) {
        match RealDisk::open(folder).unwrap().lock() {
            Ok(_) => println!("it is free"),
            Err(LockError::Held { by }) => println!("it is held by {by:?}"),
            Err(LockError::Io(error)) => println!("{error}"),
        }
        return;
    }
    let (folder, disk) = temporary();
    let path = folder.path().join(RealDisk::LOCK_FILE);
    fs::write(&path, "99999999999999\nof another process\n").unwrap();
    let lock = disk.lock().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
    let second = || {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", "a_second_process_is_told_who_holds_the_lock"]);
        let output = command.env(TRY_LOCK_IN, folder.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let said = second();
    assert!(said.contains(&format!("it is held by Some({})", process::id())), "{said}");
    fs::write(&path, "nobody").unwrap();
    let said = second();
    assert!(said.contains("it is held by None"), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "nobody", "and changes nothing");
    drop(lock);
    let said = second();
    assert!(said.contains("it is free"), "{said}");
}

#[test]
fn a_child_process_inherits_no_descriptor() {
    let (folder, disk) = temporary();
    let file = disk.create("a").unwrap();
    disk.write_at(&file, 0, b"hello").unwrap();
    disk.read_past_cache(&file, 0, &mut [0; 5]).unwrap();
    let _lock = disk.lock().unwrap();
    let path = folder.path().to_str().unwrap();
    let own: Vec<_> =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()).collect();
    assert!(own.iter().filter(|target| target.starts_with(path)).count() >= 3, "{own:?}");
    let output = Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
    let inherited = String::from_utf8(output.stdout).unwrap();
    assert!(inherited.contains(" 1 -> ") && !inherited.contains(path), "{inherited}");
}

#[test]
fn a_disk_opened_for_looking_changes_nothing() {
    let (folder, disk) = temporary();
    let file = disk.create("a").unwrap();
    disk.write_at(&file, 0, b"hello").unwrap();
    let looking = RealDisk::read_only(folder.path()).unwrap();
    let file = looking.open("a", Access::Read).unwrap();
    let mut refusals = vec![
        looking.open("a", Access::Write).unwrap_err(),
        looking.create("b").unwrap_err(),
        looking.allocate(&file, 10).unwrap_err(),
        looking.write_at(&file, 0, b"x").unwrap_err(),
        looking.sync(&file).unwrap_err(),
        looking.sync_directory().unwrap_err(),
        looking.rename("a", "b").unwrap_err(),
        looking.unlink("a").unwrap_err(),
    ];
    match looking.lock() {
        Err(LockError::Io(error)) => refusals.push(error),
        other => panic!("{other:?}"),
    }
    for error in refusals {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains("read-only"), "{error}");
    }
    assert_eq!(looking.list().unwrap(), ["a"], "no lock file either");
    let mut read = [0; 5];
    looking.read_at(&file, 0, &mut read).unwrap();
    looking.read_past_cache(&file, 0, &mut read).unwrap();
    assert_eq!((read, looking.len(&file).unwrap()), (*b"hello", 5));
    assert_eq!(*looking.map(&file, 5).unwrap().bytes(1..3).unwrap(), *b"el");
}

#[test]
fn an_error_names_the_file_and_keeps_its_kind() {
    let (folder, disk) = temporary();
    let path = folder.path().join("0000000000000001.seg");
    let error = disk.open("0000000000000001.seg", Access::Write).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let expected = format!("cannot open {}: No such file or directory", path.display());
    assert!(error.to_string().starts_with(&expected), "{error}");

    fs::write(&path, "x").unwrap();
    let error = disk.create("0000000000000001.seg").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().starts_with(&format!("cannot create {}", path.display())), "{error}");

    let file = disk.open("0000000000000001.seg", Access::Read).unwrap();
    for error in [
        disk.read_at(&file, 0, &mut [0; 2]).unwrap_err(),
        disk.read_past_cache(&file, 0, &mut [0; 2]).unwrap_err(),
        disk.map(&file, 2).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    disk.write_at(&file, 0, b"y").unwrap_err();
}

#[test]
fn a_full_device_is_told_from_other_errors() {
    let devices = RealDisk::open("/dev").unwrap();
    let full = devices.open("full", Access::Write).unwrap();
    let error = devices.write_at(&full, 0, b"x").unwrap_err();
    assert!(is_full(&error), "{error}");
    assert!(error.to_string().starts_with("cannot write /dev/full: "), "{error}");
}

#[test]
fn a_name_that_leads_out_of_the_directory_is_refused() {
    let (folder, disk) = temporary();
    let inner = RealDisk::create(folder.path().join("inner")).unwrap();
    drop(disk.create("a").unwrap());
    for name in ["../a", "/etc/passwd", "..", ".", ""] {
        let kinds = [
            inner.open(name, Access::Read).unwrap_err().kind(),
            inner.create(name).unwrap_err().kind(),
            inner.rename(name, "b").unwrap_err().kind(),
            inner.rename("b", name).unwrap_err().kind(),
            inner.unlink(name).unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::InvalidInput; 5], "{name}");
    }
}

#[test]
fn a_map_ends_where_it_was_told() {
    let (_folder, disk) = temporary();
    let file = disk.create("a").unwrap();
    disk.allocate(&file, 4_096).unwrap();
    let map = disk.map(&file, 100).unwrap();
    assert_eq!(map.bytes(100..100).unwrap().len(), 0);
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is to be refused")]
    let outside = [0..101, 101..101, 5..4, 99..u64::MAX];
    for range in outside {
        assert_eq!(map.bytes(range.clone()).unwrap_err().kind(), ErrorKind::UnexpectedEof, "{range:?}");
    }
    assert_eq!(disk.map(&file, 0).unwrap().bytes(0..0).unwrap().len(), 0);
}

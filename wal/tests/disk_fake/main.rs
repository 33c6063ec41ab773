//! The claims of the disk in memory, each by itself. What the log makes of them is tested with the log.

use holdfast_wal::disk::{Call, Disk, FakeDisk, FakeFile, Fault, Injection, SECTOR};

mod cuts;
mod faults;

const SECTORS: u64 = 4;
const LENGTH: u64 = SECTORS * SECTOR as u64;

/// A disk with a file `a` of four sectors of zeros, all durable.
fn disk_with_a() -> (FakeDisk, FakeFile) {
    let disk = FakeDisk::new(1 << 20);
    let file = durable_file(&disk, "a");
    (disk, file)
}

fn durable_file(disk: &FakeDisk, name: &str) -> FakeFile {
    let file = disk.create(name).unwrap();
    disk.allocate(&file, LENGTH).unwrap();
    disk.sync(&file).unwrap();
    disk.sync_directory().unwrap();
    file
}

fn fill(disk: &FakeDisk, file: &FakeFile, sector: u64, byte: u8) {
    disk.write_at(file, sector * SECTOR as u64, &[byte; SECTOR]).unwrap();
}

/// The first byte of each sector that is shown.
fn shown(disk: &FakeDisk, name: &str) -> Vec<u8> {
    disk.content(name).expect("the file is there").chunks(SECTOR).map(|sector| sector[0]).collect()
}

fn device(disk: &FakeDisk, file: &FakeFile, sector: u64) -> u8 {
    let mut byte = [0];
    disk.read_past_cache(file, sector * SECTOR as u64, &mut byte).unwrap();
    byte[0]
}

/// What is shown if a power cut keeps nothing that it may lose.
fn after_worst_cut(disk: &FakeDisk) -> FakeDisk {
    disk.after_power_cut(&vec![0; disk.unsynced().len()])
}

/// The disk after every possible power cut.
fn all_cuts(disk: &FakeDisk) -> Vec<FakeDisk> {
    let cells = disk.unsynced();
    let mut choices = vec![0; cells.len()];
    let mut images = Vec::new();
    loop {
        images.push(disk.after_power_cut(&choices));
        let Some(next) = (0..cells.len()).find(|&at| choices[at] + 1 < cells[at].versions) else {
            return images;
        };
        choices[next] += 1;
        choices[..next].fill(0);
    }
}

fn next_call(call: Call, fault: Fault) -> Injection {
    Injection { call, skip: 0, fault }
}

//! What the tests share: a history of which everybody knows every record, and what has to be read of it.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use holdfast_command::audit::{AuditRecord, Touched, TouchedKind};
use holdfast_command::{Actor, CommandNumber, ReplyNumber, RequestKey};
use holdfast_hlc::{Stamp, UnixMillis};
use holdfast_raft::{ClusterEpoch, ClusterId};
use holdfast_server::audit::{
    AuditError, AuditFiles, AuditFilter, AuditOpened, AuditPage, AuditPolicy, Missing,
};
use holdfast_wal::disk::FakeDisk;

pub(crate) const CLUSTER: ClusterId = ClusterId([7; 16]);
pub(crate) const EPOCH: ClusterEpoch = ClusterEpoch(3);

pub(crate) type Files = AuditFiles<FakeDisk>;

/// Small files: a dozen records each.
pub(crate) const SMALL: AuditPolicy =
    AuditPolicy { file_bytes: 4 * 1024, total_bytes: u64::MAX, age_ms: u64::MAX };

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The time of day at which an entry was made, in milliseconds: ten entries a second.
pub(crate) fn time_of(index: u64) -> u64 {
    1_700_000_000_000 + index * 100
}

pub(crate) fn stamp_of(index: u64) -> u64 {
    Stamp::new(UnixMillis::new(time_of(index)).expect("in range"), 0).to_bits()
}

/// The record of an index: three of four entries leave one.
pub(crate) fn record(index: u64) -> Option<AuditRecord> {
    if Random(index).below(4) == 0 {
        return None;
    }
    let length = Random(index * 3).below(700) as usize;
    let touched = |kind, name: String| Touched { kind, name: name.into(), before: index / 2, gone: false };
    Some(AuditRecord {
        index,
        term: 1 + index / 100,
        stamp: stamp_of(index),
        clock: index * 10,
        revision: index,
        actor: Actor::Named(format!("actor{}", index % 3).into()),
        address: Some((IpAddr::V4(Ipv4Addr::LOCALHOST), 4_000)),
        key: RequestKey::None,
        reason: "r".repeat(length).into(),
        command: CommandNumber::Put,
        reply: ReplyNumber::Put,
        count: 2,
        touched: vec![
            touched(TouchedKind::Key, format!("app/{}", index % 7)),
            touched(TouchedKind::Lock, format!("lock/{}", index % 5)),
        ],
    })
}

pub(crate) fn encoded(index: u64) -> Option<Bytes> {
    record(index).map(|record| record.encode())
}

pub(crate) fn open_with(
    disk: &FakeDisk,
    applied: u64,
    policy: AuditPolicy,
) -> Result<AuditOpened<FakeDisk>, AuditError> {
    AuditFiles::open(disk.clone(), CLUSTER, EPOCH, applied, policy)
}

pub(crate) fn open(disk: &FakeDisk, applied: u64) -> AuditOpened<FakeDisk> {
    open_with(disk, applied, SMALL).expect("a directory")
}

/// Appends what the entries leave.
pub(crate) fn append(files: &mut Files, indices: std::ops::RangeInclusive<u64>) {
    let last = *indices.end();
    for index in indices {
        if let Some(record) = encoded(index) {
            files.append(index, &record);
        }
    }
    files.complete(last);
}

pub(crate) fn index_of(record: &Bytes) -> u64 {
    AuditRecord::decode(record.clone()).expect("a record").index
}

/// All pages from an index on.
pub(crate) fn pages(files: &mut Files, filter: &AuditFilter) -> Vec<AuditPage> {
    let (mut filter, mut pages) = (filter.clone(), Vec::new());
    loop {
        let page = files.read(&filter).expect("it can be read");
        assert!(page.records.len() <= filter.limit.max(1));
        let next = page.next;
        pages.push(page);
        let Some(next) = next else { return pages };
        assert!(next > filter.from, "it goes on");
        filter.from = next;
    }
}

/// All that is wanted, and what is missing.
pub(crate) fn read_all(files: &mut Files, filter: &AuditFilter) -> (Vec<Bytes>, Vec<Missing>) {
    let pages = pages(files, filter);
    let missing = pages.iter().flat_map(|page| page.missing.clone()).collect();
    (pages.into_iter().flat_map(|page| page.records).collect(), missing)
}

/// Everything, in pages of so many records.
pub(crate) fn by(limit: usize) -> AuditFilter {
    AuditFilter { limit, ..AuditFilter::default() }
}

/// The records of these indices.
pub(crate) fn expected(indices: std::ops::RangeInclusive<u64>) -> Vec<Bytes> {
    indices.filter_map(encoded).collect()
}

/// Reads everything, and finds exactly the records up to this index, of which none is missing.
pub(crate) fn assert_whole(files: &mut Files, through: u64, what: &str) {
    let (records, missing) = read_all(files, &by(7));
    let found: Vec<u64> = records.iter().map(index_of).collect();
    let wanted: Vec<u64> = expected(1..=through).iter().map(index_of).collect();
    assert_eq!(found, wanted, "{what}");
    assert!(records == expected(1..=through), "{what}: other bytes");
    assert_eq!(missing, [], "{what}");
    assert_eq!((files.complete_from(), files.through()), (1, through), "{what}");
}

//! Whether the files of the audit log are whole: for people who look at a directory. Nothing is changed, locked or synced.

use std::collections::BTreeMap;
use std::io;

use holdfast_raft::{ClusterEpoch, ClusterId};
use holdfast_wal::disk::{Access, Disk};

use super::format::{HEADER_BYTES, Header, HeaderFound, parse};
use super::frames::Frames;

/// What was found of the files of an audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditVerified {
    /// How many files there are.
    pub files: usize,
    /// Records and marks in those that are whole.
    pub frames: u64,
    /// Files that are not whole, and what is wrong with each. What a newest file lacks at its end is no damage: it was being
    /// written, and the log makes it again.
    pub damaged: Vec<(String, String)>,
    /// Of which cluster and which life of it each file is that has a header, by name.
    pub whose: Vec<(String, ClusterId, ClusterEpoch)>,
}

/// Goes through all frames of all files.
///
/// # Errors
/// That the directory cannot be listed. A file that cannot be read is damaged.
pub fn verify<D: Disk>(disk: &D) -> io::Result<AuditVerified> {
    let mut names: Vec<String> = disk.list()?.into_iter().filter(|name| parse(name).is_some()).collect();
    names.sort_unstable();
    let mut found = AuditVerified { files: names.len(), ..AuditVerified::default() };
    // The last one of each life of the cluster may end in the middle.
    let lives: BTreeMap<u64, u64> = names
        .iter()
        .filter_map(|name| parse(name))
        .filter(|(_, _, aside)| !aside)
        .map(|(epoch, first, _)| (epoch.0, first))
        .collect();
    for name in names {
        let is_newest = parse(&name).is_some_and(|(epoch, first, _)| lives.get(&epoch.0) == Some(&first));
        match file(disk, &name, is_newest, &mut found.whose) {
            Ok(frames) => found.frames += frames,
            Err(what) => found.damaged.push((name, what)),
        }
    }
    Ok(found)
}

fn file<D: Disk>(
    disk: &D,
    name: &str,
    is_newest: bool,
    whose: &mut Vec<(String, ClusterId, ClusterEpoch)>,
) -> Result<u64, String> {
    let io = |error: io::Error| error.to_string();
    if parse(name).is_some_and(|(_, _, aside)| aside) {
        return Err("it was damaged, and put aside".to_owned());
    }
    let file = disk.open(name, Access::Read).map_err(io)?;
    let length = disk.len(&file).map_err(io)?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(HEADER_BYTES).min(HEADER_BYTES)];
    disk.read_at(&file, 0, &mut bytes).map_err(io)?;
    let named = parse(name).map(|(epoch, first, _)| (epoch, first));
    let (header, check) = match Header::read(&bytes) {
        HeaderFound::Valid(header, check) if Some((header.epoch, header.first)) == named => (header, check),
        HeaderFound::Unwritten if is_newest => return Ok(0),
        HeaderFound::Later(version) => {
            return Err(format!("version {version} of the format is of a later build"));
        }
        HeaderFound::Valid(..) => return Err("its header is that of another file".to_owned()),
        HeaderFound::Unwritten | HeaderFound::Wrong => return Err("it has no header".to_owned()),
    };
    whose.push((name.to_owned(), header.cluster, header.epoch));
    let mut frames = Frames::new(disk, &file, check, header.first).map_err(io)?;
    let mut count = 0;
    while frames.next().map_err(io)?.is_some() {
        count += 1;
    }
    if !is_newest && frames.has_rest().map_err(io)? {
        return Err(format!("what stands from offset {} on is no record", frames.at));
    }
    Ok(count)
}

//! What a node says of itself when it is examined: for `holdfast doctor`, and whoever else wants to judge.
//!
//! # Why a list and no struct
//! Nodes of two builds run side by side for as long as an upgrade takes, and that is when somebody looks whether all is well. So
//! what is told is a list of figures, each with its number: a later build adds some, an earlier one passes over those it does
//! not know, and what is missing is not known.

use bytes::{Buf, BufMut, Bytes};
use holdfast_machine::{Numbered as _, numbered};
use serde::{Deserialize, Serialize};

use super::Body;
use crate::body::{self, Parts};
use crate::sink::{Section, Sink};
use crate::{Header, NodeIdentity, WireError};

numbered! {
    /// What a node tells of itself when it is examined. One that is 0 or missing says nothing, unless its line says otherwise.
    pub enum Figure: u16, "FG" {
        /// The shortest election timeout, in milliseconds.
        ElectionMs = 1,
        /// The time between heartbeats, in milliseconds.
        HeartbeatMs = 2,
        /// The highest feature level that the build can apply.
        LatestLevel = 3,
        /// The time of day of the node when the question came, in microseconds since 1970.
        AskedAt = 4,
        /// Its time of day when it answered.
        AnsweredAt = 5,
        /// How many milliseconds the highest stamp in its store is ahead of its time of day.
        StampAheadMs = 6,
        /// How many of these are allowed.
        StampBoundMs = 7,
        /// Syncs of the log since the process began.
        Syncs = 8,
        /// How long half of them took at most, in microseconds.
        SyncP50Us = 9,
        /// How long 99 of 100 took at most, in microseconds.
        SyncP99Us = 10,
        /// How long the longest took, in microseconds.
        SyncMaxUs = 11,
        /// Heartbeats to a peer whose answers were measured while this node led. About the peer.
        RoundTrips = 12,
        /// How long half of them took there and back at most, in microseconds. About the peer.
        RoundTripP50Us = 13,
        /// How long 99 of 100 took at most, in microseconds. About the peer.
        RoundTripP99Us = 14,
        /// 1 if something that was acknowledged is damaged or missing in its log, and not healed yet.
        Damaged = 15,
        /// 1 if its term and its vote may be older than what it has promised: it takes part in no quorum, for ever.
        HardStateLost = 16,
        /// 1 if what it has to sync has been waiting for longer than two election timeouts.
        DiskStalled = 17,
        /// The index from which on its state differs from that of a member, with nobody in the majority.
        DivergedAt = 18,
        /// 1 if the log has no room on the disk, and takes no entries.
        LogFull = 19,
        /// Bytes of a segment of the log: what it asks of the disk at a time.
        SegmentBytes = 20,
        /// The last entry of the newest snapshot.
        SnapshotIndex = 21,
        /// Bytes of that snapshot.
        SnapshotBytes = 22,
        /// Snapshots that were damaged at the start, and which no newer one has replaced yet.
        SnapshotsDamaged = 23,
        /// 1 if the audit log cannot be written; it is tried again.
        AuditFailing = 24,
        /// Bytes for the audit log that are not written yet.
        AuditWaitingBytes = 25,
        /// How many of these are let wait: then nothing more is applied.
        AuditWaitingMax = 26,
        /// Leases.
        Leases = 27,
        /// The most leases, as the settings say.
        LeasesMax = 28,
        /// Client sessions.
        Sessions = 29,
        /// The most sessions, as the settings say.
        SessionsMax = 30,
        /// Bytes of keys and values that are history.
        HistoryBytes = 31,
        /// From how many of them on the oldest are compacted, as the settings say; 0 if never.
        HistoryBytesMax = 32,
        /// How old they become in milliseconds of the cluster clock, as the settings say; 0 if for ever.
        HistoryAgeMaxMs = 33,
        /// Revisions that are due to be compacted and are not.
        CompactionDue = 34,
        /// Connections to the client port.
        Clients = 35,
        /// The most of these.
        ClientsMax = 36,
        /// How much longer a drill makes each sync of the log, in microseconds.
        DrillSyncDelayUs = 37,
        /// 1 if a drill keeps it from having connections with a peer. About the peer.
        DrillCut = 38,

        /// 1 if the file system of the data directory did not answer in time: then all of this family but it is missing.
        Silent = 101,
        /// Bytes that are free to the node there. 0 is none.
        FreeBytes = 102,
        /// Bytes of that file system.
        TotalBytes = 103,
        /// Names that can still be made there. 0 is none, if there are any in all.
        FreeInodes = 104,
        /// Names that there can be; 0 if it does not count them.
        TotalInodes = 105,
        /// Files and sockets that the process has open.
        OpenFiles = 106,
        /// The most of these; missing if there is no limit.
        OpenFilesMax = 107,
        /// Bytes of memory of the process.
        MemoryBytes = 108,
        /// The most of these: the limit of its control group, or what the machine has.
        MemoryMax = 109,
        /// Bytes of memory that are free on the machine, or can be made so.
        MemoryFree = 110,

        /// The kind of the file system of the data directory, as the kernel names it. A word.
        FileSystem = 201,
        /// Its options, those of the mount and its own, with commas. A word.
        MountOptions = 202,
        /// Where it is mounted. A word.
        MountPoint = 203,
        /// The data directory. A word.
        DataDirectory = 204,
        /// What of the system could not be read, and why. A word.
        Unread = 205,
    }
    families {
        "node" = 1..=99,
        "system" = 101..=199,
        "words" = 201..=299,
    }
}

/// Asks a node to examine itself.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examine {}

/// What a node that examined itself has found.
///
/// Sections: figures, words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Who answers.
    pub node: NodeIdentity,
    /// One after the other, 18 bytes each, little-endian: the number of a [`Figure`] (2), what it is about (8; the number of a
    /// node, or 0), its value (8).
    pub figures: Bytes,
    /// One after the other: the number of a [`Figure`] (2), how many bytes the word has (2), and these, as UTF-8.
    pub words: Bytes,
}

/// Bytes of a figure.
const FIGURE_BYTES: usize = 18;

/// Bytes of a word at most; the rest is left out.
const WORD_BYTES_MAX: usize = 1_024;

impl Examined {
    /// What a node tells. Words are cut to 1,024 bytes.
    #[must_use]
    pub fn new<'a>(
        node: NodeIdentity,
        figures: impl IntoIterator<Item = (Figure, u64, u64)>,
        words: impl IntoIterator<Item = (Figure, &'a str)>,
    ) -> Self {
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        for (figure, about, value) in figures {
            numbers.put_u16_le(figure.number());
            numbers.put_u64_le(about);
            numbers.put_u64_le(value);
        }
        for (figure, word) in words {
            let word = &word[..word.floor_char_boundary(WORD_BYTES_MAX)];
            texts.put_u16_le(figure.number());
            texts.put_u16_le(u16::try_from(word.len()).unwrap_or(0));
            texts.put_slice(word.as_bytes());
        }
        Self { node, figures: numbers.into(), words: texts.into() }
    }

    /// The figures that this build knows: which, about what, and the value.
    pub fn figures(&self) -> impl Iterator<Item = (Figure, u64, u64)> {
        self.figures.as_chunks::<FIGURE_BYTES>().0.iter().filter_map(|figure| {
            let mut figure = &figure[..];
            let number = figure.try_get_u16_le().ok()?;
            Some((Figure::from_number(number)?, figure.try_get_u64_le().ok()?, figure.try_get_u64_le().ok()?))
        })
    }

    /// The words that this build knows. What is no text is shown with signs in its place.
    pub fn words(&self) -> impl Iterator<Item = (Figure, String)> {
        let mut rest = &self.words[..];
        std::iter::from_fn(move || word(&mut rest)).filter_map(|(number, word)| {
            Some((Figure::from_number(number)?, String::from_utf8_lossy(word).into_owned()))
        })
    }
}

/// Takes a word off the front.
fn word<'a>(rest: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let number = rest.try_get_u16_le().ok()?;
    let length = rest.try_get_u16_le().ok()?;
    let (word, behind) = rest.split_at_checked(length.into())?;
    *rest = behind;
    Some((number, word))
}

#[derive(Serialize, Deserialize)]
struct ExaminedMeta {
    node: NodeIdentity,
}

impl Body for Examined {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { node, ref figures, ref words } = self;
        let sections = [Section::Share(figures), Section::Share(words)];
        body::write(sink, header, &ExaminedMeta { node }, &sections, &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let ExaminedMeta { node } = parts.metadata()?;
        let (figures, words) = (sections.bytes()?, sections.bytes()?);
        if !figures.len().is_multiple_of(FIGURE_BYTES) {
            return Err(parts.contradiction(format!("{} bytes are no list of figures", figures.len())));
        }
        let mut rest = &words[..];
        while word(&mut rest).is_some() {}
        if !rest.is_empty() {
            return Err(parts.contradiction(format!("{} bytes are no list of words", words.len())));
        }
        Ok(Self { node, figures, words })
    }
}

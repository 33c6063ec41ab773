//! What a snapshot says of itself, without the state: for tools, and for a start that has to choose between files.

use bytes::Bytes;
use holdfast_command::{FeatureLevel, Setting, Settings};
use holdfast_hlc::Stamp;
use holdfast_machine::Numbered;

use super::decode::known;
use super::frames::Reader as Frames;
use super::records::{Parser, Record};
use super::{Header, Refused, Section, SnapshotError, SnapshotFault, Tally};
use crate::store::LogPosition;

/// What is counted from 1 stays below this.
pub(crate) const COUNT_END: u64 = 1 << 62;

/// What a snapshot is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Which cluster, up to which entry.
    pub header: Header,
    /// The feature level.
    pub level: FeatureLevel,
    /// The current revision.
    pub revision: u64,
    /// The oldest that can be read.
    pub oldest: u64,
    /// Its sections, ascending.
    pub sections: Vec<Tally>,
    /// All bytes of it.
    pub bytes: u64,
    /// The hash of all of them before the last chunk.
    pub hash: [u8; 32],
}

/// Reads the records that say what a snapshot is.
#[derive(Debug, Default)]
pub(super) struct Surveyor {
    header: Option<Header>,
    membership: Option<Bytes>,
    level: Option<FeatureLevel>,
    revisions: Option<(u64, u64)>,
    sessions_numbered: bool,
    numbered: bool,
}

impl Surveyor {
    /// Which of the sections that have to be there has not come.
    fn missing(&self) -> Option<Section> {
        let came = [
            (self.header.is_some(), Section::Header),
            (self.membership.is_some(), Section::Membership),
            (self.level.is_some(), Section::Settings),
            (self.revisions.is_some(), Section::Revisions),
            (self.sessions_numbered, Section::SessionNumber),
            (self.numbered, Section::Numbers),
        ];
        came.into_iter().find(|(came, _)| !came).map(|(_, section)| section)
    }

    /// Every section that has to stand before this one has come.
    pub(super) fn before(&mut self, section: Section) -> Result<(), SnapshotFault> {
        self.sessions_numbered |= section == Section::SessionNumber;
        self.numbered |= section == Section::Numbers;
        match self.missing().filter(|missing| *missing < section) {
            Some(missing) => Err(SnapshotFault::Missing(missing)),
            None => Ok(()),
        }
    }

    pub(super) fn oldest(&self) -> u64 {
        self.revisions.map_or(1, |(_, oldest)| oldest)
    }

    /// Reads a record that it is about.
    pub(super) fn take(&mut self, section: Section, record: &Record<'_>) -> Result<(), Refused> {
        let mut fields = record.reader();
        match section {
            Section::Header => {
                let cluster = fields.array()?;
                let epoch = fields.u64()?;
                let last = LogPosition { index: fields.u64()?, term: fields.u64()? };
                let (clock, stamp) = (fields.u64()?, Stamp::from_bits(fields.u64()?));
                let counts = [epoch, last.index, last.term].into_iter().all(|count| count < COUNT_END);
                Refused::unless(counts, "epoch, index and term are below 2^62")?;
                self.header = Some(Header { cluster, epoch, last, clock, stamp });
            }
            Section::Membership => {
                // A copy: a slice would keep the chunk.
                self.membership = Some(Bytes::copy_from_slice(&fields.take(fields.left())?));
            }
            Section::Settings => {
                return self.take_settings(record).map(drop);
            }
            Section::Revisions => {
                let (revision, oldest) = (fields.u64()?, fields.u64()?);
                let holds = 1 <= oldest && oldest <= revision && revision < 1 << 63;
                Refused::unless(holds, "the oldest revision is at least 1 and at most the current")?;
                self.revisions = Some((revision, oldest));
            }
            Section::Keys
            | Section::Changes
            | Section::Ages
            | Section::Namespaces
            | Section::SessionNumber
            | Section::Sessions
            | Section::Answers
            | Section::IdempotencyKeys
            | Section::Numbers
            | Section::Leases
            | Section::Queues
            | Section::Places
            | Section::Auth
            | Section::Audit
            | Section::Digest => return Ok(()),
        }
        fields.finish().map_err(Refused::from)
    }

    /// Reads feature level and settings. A setting that is not there has its default: the build that wrote this did not know
    /// it.
    pub(super) fn take_settings(&mut self, record: &Record<'_>) -> Result<(FeatureLevel, Settings), Refused> {
        let mut fields = record.reader();
        let level = FeatureLevel(fields.u16()?);
        Refused::unless(level >= FeatureLevel::FIRST, "there is no feature level 0")?;
        if level > FeatureLevel::LATEST {
            return Err(Refused(SnapshotFault::Level { level }));
        }
        let (mut settings, mut last) = (Settings::default(), 0);
        while fields.left() > 0 {
            let (number, value) = (fields.u16()?, fields.u64()?);
            let setting = Setting::from_number(number);
            let known = setting.filter(|setting| {
                let scope = setting.scope();
                number > last && (scope.min..=scope.max).contains(&value)
            });
            let rule = "settings are known and ascend, and each is in its bounds";
            let setting = known.ok_or(Refused(SnapshotFault::Rule(rule)))?;
            settings.set(setting, value);
            last = number;
        }
        let ordered =
            [(Setting::SessionTtlMin, Setting::SessionTtlMax), (Setting::LeaseTtlMin, Setting::LeaseTtlMax)];
        let ordered = ordered.iter().all(|(least, most)| settings.get(*least) <= settings.get(*most));
        Refused::unless(ordered, "the shortest time to live is not above the longest")?;
        self.level = Some(level);
        Ok((level, settings))
    }

    /// The summary, and the configuration.
    pub(super) fn finish(
        self,
        sections: Vec<Tally>,
        hash: [u8; 32],
        bytes: u64,
    ) -> Result<(Summary, Bytes), (Section, SnapshotFault)> {
        let missing = self.missing();
        match (missing, self.header, self.membership, self.level, self.revisions) {
            (None, Some(header), Some(membership), Some(level), Some((revision, oldest))) => {
                Ok((Summary { header, level, revision, oldest, sections, bytes, hash }, membership))
            }
            (missing, ..) => {
                let section = missing.unwrap_or(Section::Header);
                Err((section, SnapshotFault::Missing(section)))
            }
        }
    }
}

/// Checks the frame of a snapshot, and reads what it says of itself. What stands in keys, sessions and the like is not
/// looked at: a [`Decoder`](super::Decoder) does.
#[derive(Debug, Default)]
pub struct Survey {
    frames: Frames,
    parser: Parser,
    surveyor: Surveyor,
    failed: Option<SnapshotError>,
}

impl Survey {
    /// One that waits for the first byte.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`SnapshotError`]; then it takes nothing more, and says so again.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let Self { frames, parser, surveyor, .. } = self;
        let pushed = frames.push(bytes, |offset, payload| {
            parser.push(offset, payload, |record| {
                let Some(section) = known(record.number)? else { return Ok(()) };
                surveyor.before(section)?;
                surveyor.take(section, &record).map_err(|refused| refused.0)
            })
        });
        self.failed = pushed.err();
        pushed
    }

    /// Which entry it reaches to, once that has come.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        self.surveyor.header
    }

    /// All bytes have come: what it is made of, and its configuration.
    ///
    /// # Errors
    /// [`SnapshotError`]: they are not all.
    pub fn finish(self) -> Result<(Summary, Bytes), SnapshotError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let end = self.frames.finish()?;
        let offset = self.frames.offset();
        let tallies = self.parser.finish(end.records, offset)?;
        let fault =
            |(section, fault): (Section, _)| SnapshotError { offset, section: Some(section.number()), fault };
        self.surveyor.finish(tallies, end.hash, offset).map_err(fault)
    }
}

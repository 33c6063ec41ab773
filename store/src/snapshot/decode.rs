//! Chunks into a store, as they come.

use bytes::Bytes;
use holdfast_machine::Numbered;

use super::frames::Reader as Frames;
use super::records::{Parser, Record};
use super::survey::{Summary, Surveyor};
use super::{Header, MAY_SKIP, Refused, Section, SnapshotError, SnapshotFault};
use crate::namespaces::NamespaceRecords;
use crate::plant::{NoPlant, Plant};
use crate::state::State;
use crate::store::Store;
use crate::trail::RANGE_BYTES;

/// What a snapshot holds.
#[derive(Debug)]
pub struct Decoded<P: Plant = NoPlant> {
    /// Which cluster, up to which entry.
    pub header: Header,
    /// The configuration at that entry, encoded.
    pub membership: Bytes,
    /// The state behind that entry.
    pub store: Store<P>,
    /// What it is made of.
    pub summary: Summary,
}

/// Makes a store of a snapshot that comes in pieces of any length.
#[derive(Debug)]
pub struct Decoder<P: Plant = NoPlant> {
    frames: Frames,
    parser: Parser,
    restoring: Restoring,
    failed: Option<SnapshotError>,
    plant: std::marker::PhantomData<P>,
}

/// What has been restored so far.
#[derive(Debug, Default)]
struct Restoring {
    state: State,
    surveyor: Surveyor,
    namespaces: NamespaceRecords,
}

impl<P: Plant> Default for Decoder<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Plant> Decoder<P> {
    /// One that waits for the first byte.
    #[must_use]
    pub fn new() -> Self {
        let (frames, parser, restoring) = (Frames::default(), Parser::default(), Restoring::default());
        Self { frames, parser, restoring, failed: None, plant: std::marker::PhantomData }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`SnapshotError`]; then it takes nothing more, and says so again.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let Self { frames, parser, restoring, .. } = self;
        let pushed = frames
            .push(bytes, |offset, payload| parser.push(offset, payload, |record| restoring.take(&record)));
        self.failed = pushed.err();
        pushed
    }

    /// All bytes have come: the state.
    ///
    /// # Errors
    /// [`SnapshotError`]: they are not all, or contradict each other.
    pub fn finish(self) -> Result<Decoded<P>, SnapshotError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let end = self.frames.finish()?;
        let offset = self.frames.offset();
        let tallies = self.parser.finish(end.records, offset)?;
        let Restoring { mut state, surveyor, namespaces } = self.restoring;
        let fault = |(section, fault): (Section, SnapshotFault)| SnapshotError {
            offset,
            section: Some(section.number()),
            fault,
        };
        let (summary, membership) = surveyor.finish(tallies, end.hash, offset).map_err(fault)?;
        let whole = state.keys.is_restored_to(summary.revision);
        for (section, holds) in [
            (Section::Changes, Refused::unless(whole, "changes up to the current revision are missing")),
            (Section::Keys, state.leases.attach(&state.keys)),
            (Section::Places, state.queues.check_restored()),
        ] {
            holds.map_err(|refused| fault((section, refused.0)))?;
        }
        state.namespaces.restore(namespaces, &state.keys);
        let header = summary.header;
        (state.clock, state.stamp) = (header.clock, header.stamp);
        let store = Store::restored(state, header.last);
        Ok(Decoded { header, membership, store, summary })
    }
}

impl Restoring {
    fn take(&mut self, record: &Record<'_>) -> Result<(), SnapshotFault> {
        let Some(section) = known(record.number)? else { return Ok(()) };
        self.surveyor.before(section)?;
        self.restore(section, record).map_err(|refused| refused.0)
    }

    fn restore(&mut self, section: Section, record: &Record<'_>) -> Result<(), Refused> {
        let state = &mut self.state;
        // Nearly all records are of these, and what they keep they copy anyway.
        if matches!(section, Section::Keys | Section::Changes) {
            let mut fields = record.fields();
            if section == Section::Keys {
                state.keys.read_settled(&mut fields)?;
            } else {
                state.keys.read_change(&mut fields)?;
            }
            return fields.finish().map_err(Refused::from);
        }
        let mut fields = record.reader();
        match section {
            Section::Header | Section::Membership => return self.surveyor.take(section, record),
            Section::Settings => {
                (state.level, state.settings) = self.surveyor.take_settings(record)?;
                return Ok(());
            }
            Section::Revisions => {
                self.surveyor.take(section, record)?;
                state.keys.begin_restoring(self.surveyor.oldest());
                return Ok(());
            }
            Section::Keys | Section::Changes => {}
            Section::Ages => state.keys.read_age(&mut fields)?,
            Section::Namespaces => self.namespaces.read(&mut fields)?,
            Section::SessionNumber => state.sessions.read_number(&mut fields)?,
            Section::Sessions => state.sessions.read(&mut fields)?,
            Section::Answers => state.sessions.read_answer(&mut fields)?,
            Section::IdempotencyKeys => state.idempotency.read(&mut fields)?,
            Section::Numbers => {
                state.leases.read_number(&mut fields)?;
                state.queues.read_token(&mut fields)?;
            }
            Section::Leases => state.leases.read(&mut fields)?,
            Section::Queues => state.queues.read(&mut fields)?,
            Section::Places => state.queues.read_place(&mut fields, &state.leases)?,
            Section::Digest => {
                let version = fields.u16()?;
                Refused::unless(version == 1, "the digest has version 1")?;
                let digest = fields.array()?;
                // It came later than the digest.
                let open_bytes = if fields.left() == 0 { 0 } else { fields.u64()? };
                let open = open_bytes < RANGE_BYTES;
                Refused::unless(open, "a range of digests that has not ended has less than 16 MiB")?;
                state.trail.restore(digest, open_bytes);
            }
            Section::Auth | Section::Audit => {
                return Err(Refused(SnapshotFault::UnknownSection));
            }
        }
        fields.finish().map_err(Refused::from)
    }
}

/// The section of a record; none if it may be skipped.
pub(super) fn known(number: u16) -> Result<Option<Section>, SnapshotFault> {
    match Section::from_number(number) {
        Some(section) if section.is_single().is_some() => Ok(Some(section)),
        Some(_) => Err(SnapshotFault::UnknownSection),
        None if number & MAY_SKIP != 0 => Ok(None),
        None => Err(SnapshotFault::UnknownSection),
    }
}

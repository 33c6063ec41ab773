//! A store as chunks, one at a time.

use bytes::{BufMut, Bytes};
use holdfast_command::{SessionId, Setting};
use holdfast_machine::Numbered;

use super::frames::Writer;
use super::{Records, Section, Source};
use crate::plant::{Bug, NoPlant, Plant};
use crate::queues::QueueName;
use crate::store::{Halt, Store};

/// Where the encoder has come to.
#[derive(Debug)]
enum Place {
    Front,
    /// Behind this key.
    Keys(Option<Vec<u8>>),
    /// At this change, counted from the oldest revision.
    Changes(usize),
    Ages(usize),
    Namespaces,
    /// Behind this session.
    Sessions(Option<SessionId>),
    Answers(Option<(SessionId, u64)>),
    /// Behind this deadline and key.
    Idempotency(Option<(u64, [u8; 32])>),
    /// Behind this lease.
    Leases(Option<i64>),
    /// Behind this queue.
    Queues(Option<QueueName>),
    /// Behind this place.
    Places(Option<(QueueName, u64)>),
    /// Nothing is left but the end.
    Back,
    Done,
}

/// Makes chunks of a store: an iterator that ends behind the last one. It owns the store, which is a clone that nobody else
/// changes; drop it where time does not matter.
///
/// Each item is a chunk as it is written to the file, at most [`CHUNK_BYTES`](super::CHUNK_BYTES) and its header long.
#[derive(Debug)]
pub struct Encoder<P: Plant = NoPlant> {
    store: Store<P>,
    source: Source,
    place: Place,
    records: Records,
    frames: Writer,
}

impl<P: Plant> Encoder<P> {
    /// An encoder of this state.
    ///
    /// # Errors
    /// [`Halt::Halted`]: the state of a node that halted is good for nothing but a look.
    pub fn new(store: Store<P>, source: Source) -> Result<Self, Halt> {
        if store.is_halted() {
            return Err(Halt::Halted { at: store.applied() });
        }
        let (records, frames) = (Records::default(), Writer::default());
        Ok(Self { store, source, place: Place::Front, records, frames })
    }

    /// Bytes of the chunks that were given so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.frames.offset()
    }

    /// Writes records until there are enough for a chunk, or the section ends.
    fn step(&mut self) {
        let records = &mut self.records;
        let state = self.store.state();
        let place = std::mem::replace(&mut self.place, Place::Done);
        self.place = match place {
            Place::Front => {
                front(&self.store, &self.source, records);
                Place::Keys(None)
            }
            Place::Keys(behind) => match state.keys.write_settled(behind.as_deref(), records) {
                Some(behind) => Place::Keys(Some(behind)),
                None => Place::Changes(0),
            },
            Place::Changes(at) => match state.keys.write_changes(at, records) {
                Some(at) => Place::Changes(at),
                None => Place::Ages(0),
            },
            Place::Ages(at) => match state.keys.write_ages(at, records) {
                Some(at) => Place::Ages(at),
                None => Place::Namespaces,
            },
            // At most 65,536 by their setting, and mostly a handful.
            Place::Namespaces => {
                state.namespaces.write(records);
                let missing = P::plants(Bug::SessionsMissingFromSnapshot);
                state.sessions.write_number(records);
                if missing { Place::Idempotency(None) } else { Place::Sessions(None) }
            }
            Place::Sessions(behind) => match state.sessions.write(behind, records) {
                Some(behind) => Place::Sessions(Some(behind)),
                None => Place::Answers(None),
            },
            Place::Answers(behind) => match state.sessions.write_answers(behind, records) {
                Some(behind) => Place::Answers(Some(behind)),
                None => Place::Idempotency(None),
            },
            Place::Idempotency(behind) => match state.idempotency.write(behind, records) {
                Some(behind) => Place::Idempotency(Some(behind)),
                None => {
                    records.put(Section::Numbers, |out| {
                        out.put_i64_le(state.leases.last());
                        out.put_u64_le(state.queues.token());
                    });
                    Place::Leases(None)
                }
            },
            Place::Leases(behind) => match state.leases.write(behind, records) {
                Some(behind) => Place::Leases(Some(behind)),
                None => Place::Queues(None),
            },
            Place::Queues(behind) => match state.queues.write(behind.as_ref(), records) {
                Some(behind) => Place::Queues(Some(behind)),
                None => Place::Places(None),
            },
            Place::Places(behind) => match state.queues.write_places(behind.as_ref(), records) {
                Some(behind) => Place::Places(Some(behind)),
                None => {
                    records.put(Section::Digest, |out| {
                        out.put_u16_le(1);
                        out.put_slice(&state.trail.digest());
                        out.put_u64_le(state.trail.open_bytes());
                    });
                    Place::Back
                }
            },
            Place::Back | Place::Done => Place::Back,
        };
    }
}

impl<P: Plant> Iterator for Encoder<P> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        while !self.records.is_full() && !matches!(self.place, Place::Back | Place::Done) {
            self.step();
        }
        let payload = self.records.take();
        if !payload.is_empty() {
            return Some(self.frames.data(&payload).into());
        }
        if matches!(self.place, Place::Done) {
            return None;
        }
        self.place = Place::Done;
        Some(self.frames.end(self.records.count()).into())
    }
}

/// The records that stand before the keys.
fn front<P: Plant>(store: &Store<P>, source: &Source, records: &mut Records) {
    let state = store.state();
    records.put(Section::Header, |out| {
        out.put_slice(&source.cluster);
        let last = store.applied();
        for field in [source.epoch, last.index, last.term, state.clock, state.stamp.to_bits()] {
            out.put_u64_le(field);
        }
    });
    records.put(Section::Membership, |out| out.put_slice(&source.membership));
    records.put(Section::Settings, |out| {
        out.put_u16_le(state.level.0);
        for setting in Setting::ALL {
            out.put_u16_le(setting.number());
            out.put_u64_le(state.settings.get(*setting));
        }
    });
    records.put(Section::Revisions, |out| {
        out.put_u64_le(state.keys.revision());
        out.put_u64_le(state.keys.oldest());
    });
}

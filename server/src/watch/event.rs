//! Changes as events: who wants them, and their bytes, made once however many want them.

use std::marker::PhantomData;

use bytes::Bytes;
use holdfast_command::WatchEvent;
use holdfast_store::{Change, Version};
use holdfast_wire::message::Watch as Asked;

use super::plant::{Bug, Plant};

/// What of the changes of its span a watch wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// With what the key was before.
    pub previous: bool,
    /// Also writes.
    pub puts: bool,
    /// Also deletions.
    pub deletes: bool,
    /// Also how far it is.
    pub progress: bool,
}

impl Wants {
    /// What these flags of a request say; `None` if one is unknown.
    #[must_use]
    pub fn from_flags(flags: u8) -> Option<Self> {
        let has = |flag| flags & flag != 0;
        (flags & !Asked::ALL == 0).then_some(Self {
            previous: has(Asked::PREVIOUS),
            puts: !has(Asked::NO_PUTS),
            deletes: !has(Asked::NO_DELETES),
            progress: has(Asked::PROGRESS),
        })
    }

    /// Whether it wants a change of this kind.
    pub(super) fn admit<P: Plant>(self, change: &Change) -> bool {
        if change.version.is_tombstone() {
            self.deletes || P::plants(Bug::DeletesNotFiltered)
        } else {
            self.puts
        }
    }
}

/// A change and what has been made of it: at most two encodings, shared by all who want them.
#[derive(Debug)]
pub(super) struct Forms<'a, P> {
    change: &'a Change,
    longest: usize,
    plain: Option<Bytes>,
    full: Option<Bytes>,
    plant: PhantomData<P>,
}

impl<'a, P: Plant> Forms<'a, P> {
    /// `longest` is how long an event may be.
    pub(super) fn new(change: &'a Change, longest: usize) -> Self {
        Self { change, longest, plain: None, full: None, plant: PhantomData }
    }

    /// The bytes for who wants this.
    pub(super) fn get(&mut self, wants: Wants) -> Bytes {
        let with_previous = wants.previous && self.change.previous().is_some();
        let form = if with_previous { &mut self.full } else { &mut self.plain };
        form.get_or_insert_with(|| encode::<P>(self.change, with_previous, self.longest)).clone()
    }

    /// How long that is, without making it.
    pub(super) fn size(&self, wants: Wants) -> usize {
        let own = self.change.version.bytes();
        let previous = if wants.previous { self.change.previous().map_or(0, Version::bytes) } else { 0 };
        let size = usize::try_from(own + previous).unwrap_or(usize::MAX);
        size.saturating_add(WatchEvent::OVERHEAD_BYTES)
    }
}

fn encode<P: Plant>(change: &Change, with_previous: bool, longest: usize) -> Bytes {
    let version = &change.version;
    let previous = change.previous().filter(|_| with_previous);
    let all = version.bytes() + previous.map_or(0, Version::bytes);
    let too_long = all + WatchEvent::OVERHEAD_BYTES as u64 > longest as u64;
    let previous_left_out = previous.is_some() && too_long;
    let shown = previous.filter(|_| !previous_left_out);
    let event = WatchEvent {
        deleted: version.is_tombstone(),
        entry: version.to_key_value(true),
        previous: if P::plants(Bug::PreviousIsCurrent) {
            shown.map(|_| version.to_key_value(true))
        } else {
            shown.map(|previous| previous.to_key_value(true))
        },
        previous_left_out,
    };
    event.encode().into()
}

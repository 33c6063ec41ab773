//! Watches: all changes of a span of keys, as they are applied.
//!
//! A [`Watch`] is a call that goes on: its call id names it on the connection until a [`WatchEnded`] has come or the
//! connection ends. The answer to the call is a [`WatchStarted`], or a `Refused`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Body, Position, few};
use crate::body::{self, Parts};
use crate::message_type::EVENTS_MAX;
use crate::sink::{Section, Sink};
use crate::{Header, WireError};

/// Opens a watch.
///
/// Sections: span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The first revision whose changes are wanted; 0 for the one that comes next at the member that is asked.
    pub from: u64,
    /// What else is wanted: [`PREVIOUS`](Self::PREVIOUS) and the other flags, added up.
    pub flags: u8,
    /// What the member has to have applied before the watch begins; none for what it has.
    pub min_position: Option<Position>,
    /// The bytes of a `Span` of `holdfast-command`.
    pub span: Bytes,
}

impl Watch {
    /// With what the key was before.
    pub const PREVIOUS: u8 = 1;
    /// Without writes.
    pub const NO_PUTS: u8 = 2;
    /// Without deletions.
    pub const NO_DELETES: u8 = 4;
    /// With a [`WatchProgress`] from time to time, so that the client can go on from there and not from its last event.
    pub const PROGRESS: u8 = 8;
    /// All flags that there are.
    pub const ALL: u8 = 15;
}

/// The answer to a [`Watch`] that was opened.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchStarted {
    /// The first revision whose changes are delivered. A watch that ends before it has delivered anything is opened anew
    /// from here.
    pub from: u64,
    /// The revision of the member: what lies between the two is history, and comes first.
    pub revision: u64,
}

/// Changes of a watch: those of one or more revisions, none of which is split unless it is longer than a frame should be.
///
/// Sections: events one each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchEvents {
    /// The first event belongs to the revision that the message before left unfinished. If that one left a revision
    /// unfinished and this is not set, what was received of that revision is void: it comes anew.
    pub continues: bool,
    /// The revision of the last event is not finished: the rest of it comes with the next message.
    pub more: bool,
    /// The bytes of a `WatchEvent` of `holdfast-command` each, in the order of revisions; at most [`EVENTS_MAX`].
    pub events: Vec<Bytes>,
}

/// Everything up to a revision has been delivered; from a client, the wish to hear it.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchProgress {
    /// Up to and with this one. A client sends 0.
    pub revision: u64,
}

/// Ends a watch. The answer is a [`WatchEnded`], behind everything that was on its way.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchCancel {}

/// A watch has ended.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchEnded {
    /// Number of a `Code` of `holdfast-command`; 0 if the client wanted it.
    pub code: u16,
    /// Everything below was delivered: a watch from here on, at any member, misses nothing and repeats nothing.
    pub resume: u64,
    /// The oldest revision that the member can read; a watch can begin above it.
    pub oldest: u64,
}

#[derive(Serialize, Deserialize)]
struct WatchMeta {
    from: u64,
    flags: u8,
    min_position: Option<Position>,
}

impl Body for Watch {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { from, flags, min_position, ref span } = self;
        body::write(sink, header, &WatchMeta { from, flags, min_position }, &[Section::Share(span)], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let WatchMeta { from, flags, min_position } = parts.metadata()?;
        Ok(Self { from, flags, min_position, span: sections.bytes()? })
    }
}

#[derive(Serialize, Deserialize)]
struct WatchEventsMeta {
    continues: bool,
    more: bool,
}

impl Body for WatchEvents {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { continues, more, ref events } = self;
        few("events", events.len(), EVENTS_MAX)?;
        let sections: Vec<Section<'_>> = events.iter().map(Section::Share).collect();
        body::write(sink, header, &WatchEventsMeta { continues, more }, &sections, &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let WatchEventsMeta { continues, more } = parts.metadata()?;
        let events = super::at_most(parts, sections, EVENTS_MAX, body::Sections::bytes)?;
        Ok(Self { continues, more, events })
    }
}

//! What operators ask of a node.
//!
//! A backup is pulled: each [`SaveSnapshot`] is answered with one [`SnapshotPiece`], and nothing is sent that was not asked for,
//! so a slow reader costs the node one piece and no more. The first answer names the snapshot by its last entry; the next
//! question says that name and where to go on.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Body, EntryId, Position};
use crate::body::{self, Parts};
use crate::sink::{Section, Sink};
use crate::{Header, WireError};

/// Asks for a piece of a snapshot.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveSnapshot {
    /// Which one, as the first piece has named it; none to begin.
    pub last: Option<EntryId>,
    /// Where the piece begins, in bytes; 0 to begin.
    pub offset: u64,
    /// To begin with the newest one that is on the disk of the node, instead of the state as it is now.
    pub newest: bool,
    /// What the node has to have applied before it begins; none for what it has.
    pub min_position: Option<Position>,
}

/// The answer to a [`SaveSnapshot`].
///
/// Sections: data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPiece {
    /// The last entry that the snapshot covers: its name.
    pub last: EntryId,
    /// Its size in bytes.
    pub bytes: u64,
    /// Where the piece begins, in bytes.
    pub offset: u64,
    /// The piece, up to [`PIECE_BYTES`](crate::message_type::PIECE_BYTES): as long as it may be, unless it is the last.
    pub data: Bytes,
}

#[derive(Serialize, Deserialize)]
struct SnapshotPieceMeta {
    last: EntryId,
    bytes: u64,
    offset: u64,
}

impl Body for SnapshotPiece {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { last, bytes, offset, ref data } = self;
        body::write(sink, header, &SnapshotPieceMeta { last, bytes, offset }, &[Section::Share(data)], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let SnapshotPieceMeta { last, bytes, offset } = parts.metadata()?;
        Ok(Self { last, bytes, offset, data: sections.bytes()? })
    }
}

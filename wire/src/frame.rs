//! Frames: how a stream of bytes is cut into messages, and how each proves that it arrived whole.
//!
//! ```text
//!  0        4       8      10      12      16        24
//!  │ length │ crc32 │ type │ flags │ group │ call id │ body … │        all little-endian
//!           │       └─────────── covered by crc32 ────────────┤
//!           └────────────── counted by length ────────────────┘
//! ```
//! The generated table with every field is in `docs/wire-format.md`.
//!
//! # Order of checks
//! A receiver knows the length before it can know that the length is right, and the type before it can
//! know that the type is right. So it believes neither further than it costs: a length is compared with
//! the limit of the connection when four bytes are there and with the cap of its type when the header
//! is there, memory grows with the bytes that arrive and never by what was declared, and only after the
//! CRC32 over type, flags and body holds is any of them acted on.
//!
//! # Unknown types
//! [`FrameCodec`] skips a frame of unknown type that carries [`Flag::MayIgnore`], counts it, and refuses
//! any other. Flags of a skipped frame are not looked at: they may be as new as its type.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use holdfast_machine::Numbered;
use tokio_util::codec::{Decoder, Encoder};

use crate::message_type::{BODY_CAP, GREETING_CAP, SKIPPABLE_CAP};
use crate::sink::{Section, Sink};
use crate::{CallId, CodecError, Flag, Flags, GroupId, Message, MessageType, WireError};

/// Bytes before the body.
pub const HEADER_BYTES: usize = 24;

/// The length field and the CRC32 field: what the CRC32 does not cover.
const UNCOVERED_BYTES: usize = 8;

/// The smallest legal value of the length field: a header whose body is empty. The field does not count
/// its own four bytes.
pub const LEAST_LENGTH: u32 = 20;

/// How much room is made at once while a frame arrives. What a sender merely *declares* never allocates more
/// than this; the buffer then doubles as bytes really come.
const GROWTH_BYTES: usize = 64 * 1024;

/// One field of the header, for the table and the hexdump in the docs.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its width in bytes.
    pub bytes: usize,
    /// What it says.
    pub meaning: &'static str,
}

/// The header, field by field. `wire/tests/frames.rs` checks that this is what the codec writes.
pub const FIELDS: [Field; 6] = [
    Field { name: "length", bytes: 4, meaning: "bytes that follow this field: 20 + length of the body" },
    Field { name: "crc32", bytes: 4, meaning: "CRC32 (IEEE) of all bytes that follow this field" },
    Field { name: "type", bytes: 2, meaning: "message type; 0 is never valid" },
    Field { name: "flags", bytes: 2, meaning: "see the table of flags; unknown bits are refused" },
    Field { name: "group", bytes: 4, meaning: "Raft group; 0 today, and for the connection itself" },
    Field { name: "call", bytes: 8, meaning: "call id, repeated by replies and pushes; 0: no call" },
];

/// What a frame says about its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the body is.
    pub message_type: MessageType,
    /// How it stands to other frames.
    pub flags: Flags,
    /// Which Raft group it concerns.
    pub group: GroupId,
    /// Which call it belongs to.
    pub call: CallId,
}

impl Header {
    /// A header with the flags every frame of this type carries, group 0 and no call.
    #[must_use]
    pub fn of(message_type: MessageType) -> Self {
        let (flags, _) = message_type.spec().legal_flags();
        Self { message_type, flags, group: GroupId(0), call: CallId(0) }
    }

    /// The same for this call.
    #[must_use]
    pub fn for_call(self, call: CallId) -> Self {
        Self { call, ..self }
    }
}

/// One frame: a header and the bytes of the body, which share the buffer they were read into.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the body is.
    pub header: Header,
    /// The body, as [`crate::body`] lays it out.
    pub body: Bytes,
}

/// How long the body is and not what it says: it may be credentials.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:?}, body of {} bytes)", self.header, self.body.len())
    }
}

/// Cuts frames out of bytes and puts them back together, under a limit for the body.
///
/// # Invariants
/// - The codec makes room for no more than twice what arrived plus 64 KiB, and never beyond the frame.
/// - After an error the offending frame is still at the front of the buffer, so that every later call
///   fails in the same way: nothing behind a broken frame is ever taken for a frame.
#[derive(Debug)]
pub struct FrameCodec {
    limit: u32,
    position: u64,
    frame_at: u64,
    skipped: u64,
}

impl FrameCodec {
    /// A codec for a connection on which nobody has said Hello yet: bodies up to [`GREETING_CAP`].
    #[must_use]
    pub fn greeting() -> Self {
        Self { limit: GREETING_CAP, position: 0, frame_at: 0, skipped: 0 }
    }

    /// A codec that takes whatever the caps of the message types allow.
    #[must_use]
    pub fn open() -> Self {
        Self { limit: BODY_CAP, ..Self::greeting() }
    }

    /// Takes in bodies of up to `limit` bytes from now on; never above [`BODY_CAP`].
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit.min(BODY_CAP);
    }

    /// Bytes of frames that were taken off the connection so far, skipped ones included.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Where on the connection the frame began that [`next`](Self::next) yielded or refused last.
    #[must_use]
    pub fn frame_at(&self) -> u64 {
        self.frame_at
    }

    /// Frames of unknown types that were skipped so far.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Takes the next frame off the front of `src`; `None` when it has not all come yet.
    ///
    /// # Errors
    /// Whatever is wrong with the frame at the front, which stays there.
    #[expect(clippy::indexing_slicing, reason = "`whole` has seen that all of the frame is there")]
    pub fn next(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, WireError> {
        loop {
            self.frame_at = self.position;
            let Some(total) = self.whole(src)? else { return Ok(None) };
            let header = read_header(&src[..total])?;
            let frame = src.split_to(total).freeze();
            self.position += total as u64;
            match header {
                Some(header) => return Ok(Some(Frame { header, body: frame.slice(HEADER_BYTES..) })),
                None => self.skipped += 1,
            }
        }
    }

    /// The length of the frame at the front of `src` if all of it is there; else makes room for more.
    fn whole(&self, src: &mut BytesMut) -> Result<Option<usize>, WireError> {
        let Some(length) = src.first_chunk::<4>().copied().map(u32::from_le_bytes) else {
            return Ok(None);
        };
        if length == 0 {
            return Err(WireError::ZeroLength { least: LEAST_LENGTH });
        }
        let Some(body) = length.checked_sub(LEAST_LENGTH) else {
            return Err(WireError::ShortLength { length, least: LEAST_LENGTH });
        };
        let over =
            |number, limit: u32| Err(WireError::OverCap { number, length: body.into(), limit: limit.into() });
        if body > self.limit {
            return over(0, self.limit);
        }
        let Some(&[.., low, high]) = src.first_chunk::<10>() else { return Ok(None) };
        let number = u16::from_le_bytes([low, high]);
        let cap = MessageType::from_number(number).map_or(SKIPPABLE_CAP, |known| known.spec().body_cap);
        if body > cap {
            return over(number, cap);
        }
        let total = 4 + length as usize;
        if src.len() < total {
            make_room(src, total);
            return Ok(None);
        }
        Ok(Some(total))
    }

    /// What [`Decoder::Error`] says of an error in the frame at the front.
    fn at(&self, error: WireError) -> CodecError {
        CodecError::Wire { frame_at: self.frame_at, error }
    }
}

/// Makes room in `src` for more of a frame of `total` bytes when it runs out: for twice what has come, at least
/// [`GROWTH_BYTES`] more, never for more than the frame. Exact, where a plain `reserve` may take twice what it was
/// asked for: the old buffer and the new one then never hold more than twice the frame between them.
fn make_room(src: &mut BytesMut, total: usize) {
    let have = src.len();
    if src.capacity() - have >= (total - have).min(GROWTH_BYTES / 4) {
        return;
    }
    let room = total.min((2 * have).max(have + GROWTH_BYTES));
    if !src.try_reclaim(room - have) {
        let mut grown = BytesMut::with_capacity(room);
        grown.extend_from_slice(src);
        *src = grown;
    }
}

/// Checks a whole frame, which is at least a header. `None` means: skip it.
fn read_header(frame: &[u8]) -> Result<Option<Header>, WireError> {
    let mut fields = frame;
    let (_length, found) = (fields.get_u32_le(), fields.get_u32_le());
    let computed = crc32fast::hash(fields);
    if found != computed {
        return Err(WireError::Checksum { found, computed, end: frame.len() as u64 });
    }
    let (number, flags) = (fields.get_u16_le(), fields.get_u16_le());
    let (group, call) = (GroupId(fields.get_u32_le()), CallId(fields.get_u64_le()));
    let Some(message_type) = MessageType::from_number(number) else {
        if Flags::from_bits(flags).has(Flag::MayIgnore) {
            return Ok(None);
        }
        return Err(unknown(number, MessageType::RETIRED));
    };
    let header = Header { message_type, flags: Flags::from_bits(flags), group, call };
    check(header)?;
    Ok(Some(header))
}

/// What to call a number that no live type has.
fn unknown(number: u16, retired: &[(u16, &'static str)]) -> WireError {
    match retired.iter().find(|(gone, _)| *gone == number) {
        Some((_, name)) => WireError::RetiredType { number, name },
        None => WireError::UnknownType { number, known: MessageType::highest() },
    }
}

/// That a message of this type may have this header, on its way in or out.
fn check(header: Header) -> Result<(), WireError> {
    let Header { message_type, flags, group, call } = header;
    if message_type.is_handshake() && (group, call) != (GroupId(0), CallId(0)) {
        return Err(WireError::Addressed { message_type, group: group.0, call: call.0 });
    }
    let (required, allowed) = message_type.spec().legal_flags();
    if flags.bits() & required.bits() != required.bits() || flags.bits() & !allowed.bits() != 0 {
        return Err(WireError::BadFlags {
            message_type,
            found: flags.bits(),
            required: required.bits(),
            allowed: allowed.bits(),
        });
    }
    Ok(())
}

/// Appends one frame to `sink`: the header, what `head` writes, then `rest`, which may be shared.
///
/// # Errors
/// Those of `head`, [`WireError::OverCap`] if the body is over the cap of its type or of the sink, and
/// [`WireError::BadFlags`] or [`WireError::Addressed`]. Nothing has then been written.
pub(crate) fn write<S: Sink>(
    sink: &mut S,
    header: Header,
    head: impl FnOnce(&mut BytesMut) -> Result<(), WireError>,
    rest: &[Section<'_>],
) -> Result<(), WireError> {
    check(header)?;
    let limit = sink.limit();
    let out = sink.scratch();
    let start = out.len();
    out.put_bytes(0, HEADER_BYTES);
    let written = head(out).and_then(|()| seal(out, start, header, rest, limit));
    if written.is_err() {
        out.truncate(start);
        return written;
    }
    for &piece in rest {
        sink.put(piece);
    }
    Ok(())
}

/// Fills in the header of the frame that starts at `start` and goes on with `rest`.
#[expect(clippy::indexing_slicing, reason = "`write` has put a whole header at `start`")]
fn seal(
    out: &mut BytesMut,
    start: usize,
    header: Header,
    rest: &[Section<'_>],
    limit: u32,
) -> Result<(), WireError> {
    let rest_bytes: usize = rest.iter().map(|piece| piece.bytes().len()).sum();
    let body = out.len() - start - HEADER_BYTES + rest_bytes;
    let number = header.message_type.number();
    let cap = header.message_type.spec().body_cap.min(limit);
    let length = match u32::try_from(body) {
        Ok(body) if body <= cap => body + LEAST_LENGTH,
        _ => return Err(WireError::OverCap { number, length: body as u64, limit: cap.into() }),
    };
    let mut fields = [0; HEADER_BYTES];
    let mut to = fields.as_mut_slice();
    to.put_u32_le(length);
    to.put_u32_le(0); // the check, once it is known
    to.put_u16_le(number);
    to.put_u16_le(header.flags.bits());
    to.put_u32_le(header.group.0);
    to.put_u64_le(header.call.0);
    let frame = &mut out[start..];
    frame[..HEADER_BYTES].copy_from_slice(&fields);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&frame[UNCOVERED_BYTES..]);
    for piece in rest {
        crc.update(piece.bytes());
    }
    frame[4..UNCOVERED_BYTES].copy_from_slice(&crc.finalize().to_le_bytes());
    Ok(())
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = CodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        self.next(src).map_err(|error| self.at(error))
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        let frame = self.decode(src)?;
        if frame.is_some() || src.is_empty() {
            return Ok(frame);
        }
        let length = src.first_chunk::<4>().map_or(LEAST_LENGTH, |bytes| u32::from_le_bytes(*bytes));
        let need = 4 + u64::from(length);
        Err(self.at(WireError::Truncated { offset: 0, need, have: src.len() as u64 }))
    }
}

/// A frame whose body is bytes already: passed on, or made by [`crate::body::to_bytes`].
impl Encoder<Frame> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, frame: Frame, dst: &mut BytesMut) -> Result<(), CodecError> {
        let encoded = write(dst, frame.header, |_| Ok(()), &[Section::Share(&frame.body)]);
        encoded.map_err(CodecError::Unencodable)
    }
}

/// A typed message, encoded straight into the buffer.
impl Encoder<(Header, &Message)> for FrameCodec {
    type Error = CodecError;

    fn encode(
        &mut self,
        (header, message): (Header, &Message),
        dst: &mut BytesMut,
    ) -> Result<(), CodecError> {
        message.encode(header, dst).map_err(CodecError::Unencodable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_a_large_frame_follows_what_came_and_is_made_a_few_times_only() {
        for (total, piece) in [(BODY_CAP as usize, 1000), (70_000, 1), (100_000, 99_999), (300, 7)] {
            let (mut src, mut made) = (BytesMut::new(), 0);
            while src.len() < total {
                let (have, before) = (src.len(), src.capacity());
                make_room(&mut src, total);
                if src.capacity() != before {
                    made += 1;
                    assert_eq!(src.capacity(), total.min((2 * have).max(have + GROWTH_BYTES)));
                }
                assert_eq!(src.len(), have, "what came is kept");
                let step = piece.min(total - have).min(src.capacity() - have);
                assert!(step > 0, "there is room to go on");
                src.extend_from_slice(&vec![1; step]);
            }
            assert!(src == vec![1; total]);
            // Doubling from 64 KiB: copying stays linear in what came.
            let doublings = (total / GROWTH_BYTES).checked_ilog2().map_or(0, |log| log + 2);
            assert!(made <= 1 + doublings, "{made} times for {total}");
        }
    }

    #[test]
    fn a_retired_number_is_refused_by_its_old_name() {
        let retired = [(4, "Lullaby")];
        assert_eq!(unknown(4, &retired), WireError::RetiredType { number: 4, name: "Lullaby" });
        assert_eq!(unknown(5, &retired), WireError::UnknownType { number: 5, known: 303 });
    }
}

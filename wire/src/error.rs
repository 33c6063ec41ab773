//! Everything that can be wrong with bytes, each wrong thing under its own name.
//!
//! An offset counts from the first byte of the frame's length field, so that it can be laid against a
//! packet capture; [`CodecError`] adds where in the connection that frame began.

use std::io;

use thiserror::Error;

use crate::{MessageType, VersionRange};

/// Why bytes are not what they claim to be, or why a value cannot be made into bytes.
///
/// After any of these on the receiving side nothing further on that connection can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// The first four bytes are not `HLDF`: somebody speaks another protocol to this port.
    #[error("byte 0: expected the magic \"HLDF\", found {found:02x?}: not the holdfast protocol")]
    BadMagic {
        /// What stood there.
        found: [u8; 4],
    },

    /// The preface offers a range of versions that ends before it starts, or starts at 0.
    #[error("byte 4: versions {min} to {max} are no range")]
    BadVersionRange {
        /// Lowest version offered.
        min: u16,
        /// Highest version offered.
        max: u16,
    },

    /// Both prefaces are well formed, and no version is in both ranges.
    #[error("no common protocol version: here {ours}, there {theirs}")]
    NoCommonVersion {
        /// What this side offers.
        ours: VersionRange,
        /// What the other side offers.
        theirs: VersionRange,
    },

    /// The length field is 0: the bytes were never written, or the stream is out of step.
    #[error("byte 0: length 0; a frame has at least {least}")]
    ZeroLength {
        /// The smallest legal value of the length field.
        least: u32,
    },

    /// The length field is too small to hold the rest of a header.
    #[error("byte 0: length {length} does not hold a header; a frame has at least {least}")]
    ShortLength {
        /// The value found.
        length: u32,
        /// The smallest legal value.
        least: u32,
    },

    /// The body would be longer than its type, or the state of the connection, allows. Nothing of the
    /// body was buffered.
    #[error("byte 0: a body of {length} bytes for message type {number} is over the limit of {limit}")]
    OverCap {
        /// The message type, which may be one this build does not know; 0 if it was not read yet.
        number: u16,
        /// Length of the body as declared.
        length: u64,
        /// What would have been allowed.
        limit: u64,
    },

    /// The CRC32 in the header is not that of the bytes behind it.
    #[error("byte 4: CRC32 {found:#010x} in the header, {computed:#010x} over bytes 8 to {end}")]
    Checksum {
        /// The check in the header.
        found: u32,
        /// The check of what came.
        computed: u32,
        /// One past the last byte that was checked.
        end: u64,
    },

    /// A message type that this build does not know and that may not be skipped.
    #[error("byte 8: message type {number} is unknown here and may not be skipped (known: 1 to {known})")]
    UnknownType {
        /// The number found.
        number: u16,
        /// The highest number this build knows.
        known: u16,
    },

    /// A message type that once existed; the sender is too old for this build.
    #[error("byte 8: message type {number} ({name}) is retired")]
    RetiredType {
        /// The number found.
        number: u16,
        /// The name it had.
        name: &'static str,
    },

    /// A message type that the agreed protocol version does not have yet.
    #[error("byte 8: {message_type} needs protocol version {since}, and {agreed} was agreed")]
    NotInVersion {
        /// The type found.
        message_type: MessageType,
        /// The version that introduced it.
        since: u16,
        /// The version both sides agreed on.
        agreed: u16,
    },

    /// Flags that do not exist, or that this type must or must not carry.
    #[error(
        "byte 10: flags {found:#06x} on {message_type}: {required:#06x} required, {allowed:#06x} allowed"
    )]
    BadFlags {
        /// The type found.
        message_type: MessageType,
        /// The flags found.
        found: u16,
        /// Bits that must be set.
        required: u16,
        /// Bits that may be set, the required ones among them.
        allowed: u16,
    },

    /// A message about the connection itself names a group or a call.
    #[error("byte 12: {message_type} belongs to no group and no call, and names group {group}, call {call}")]
    Addressed {
        /// The type found.
        message_type: MessageType,
        /// The group named.
        group: u32,
        /// The call named.
        call: u64,
    },

    /// A text is longer than any of its kind.
    #[error("byte {offset}: {length} bytes of text are over the limit of {limit}")]
    TextOverCap {
        /// Where the text begins.
        offset: u64,
        /// Its length.
        length: u64,
        /// The limit.
        limit: u64,
    },

    /// The stream ended inside a frame, or a length points beyond the end of a body.
    #[error("byte {offset}: cut off: {need} bytes needed, {have} there")]
    Truncated {
        /// Where the piece that is cut off begins.
        offset: u64,
        /// How many bytes it has.
        need: u64,
        /// How many of them are there.
        have: u64,
    },

    /// The metadata of a body is longer than any message's.
    #[error("byte {offset}: {length} bytes of metadata are over the limit of {limit}")]
    MetadataOverCap {
        /// Where the length stands.
        offset: u64,
        /// The length declared.
        length: u64,
        /// The limit.
        limit: u64,
    },

    /// The metadata does not decode: a number nobody gave a meaning, a zero where there can be none.
    #[error("byte {offset}: {why}")]
    Metadata {
        /// How far the decoder had come.
        offset: u64,
        /// What it found.
        why: String,
    },

    /// The metadata decodes and leaves bytes over. New fields come as extensions, never here.
    #[error("byte {offset}: {extra} bytes of metadata too many")]
    TrailingMetadata {
        /// Where the surplus begins.
        offset: u64,
        /// How long it is.
        extra: u64,
    },

    /// The body has fewer sections than its type needs.
    #[error("byte {offset}: section {index} is missing")]
    MissingSection {
        /// Where the count of sections stands.
        offset: u64,
        /// Which one, from 0.
        index: u16,
    },

    /// The body has more sections than its type takes.
    #[error("byte {offset}: {extra} sections too many")]
    ExtraSections {
        /// Where the first surplus section begins.
        offset: u64,
        /// How many there are.
        extra: u16,
    },

    /// A section that must be text is not UTF-8.
    #[error("byte {offset}: not UTF-8")]
    NotText {
        /// Where the first bad byte stands.
        offset: u64,
    },

    /// Bytes behind the last section that are too few to be an extension, or that claim to be a longer one.
    #[error("byte {offset}: {count} trailing bytes are not an extension")]
    TrailingBytes {
        /// Where they begin.
        offset: u64,
        /// How many there are.
        count: u64,
    },

    /// An extension with an even tag that this build does not know: its meaning cannot be left out.
    #[error("byte {offset}: extension {tag} is unknown here and may not be skipped")]
    UnknownExtension {
        /// Where it begins.
        offset: u64,
        /// Its tag.
        tag: u16,
    },

    /// Extensions stand in ascending order of their tags, each at most once.
    #[error("byte {offset}: extension {tag} stands behind extension {before}")]
    ExtensionOrder {
        /// Where the later one begins.
        offset: u64,
        /// Its tag.
        tag: u16,
        /// The tag before it.
        before: u16,
    },

    /// A body inside a body inside a body, beyond what any message needs.
    #[error("byte {offset}: bodies are nested deeper than {limit}")]
    TooDeep {
        /// Where the body that is too deep begins.
        offset: u64,
        /// How many levels are allowed below the outermost.
        limit: u8,
    },

    /// A value cannot be encoded because it has more of something than its field can say.
    #[error("{count} {what} do not fit; the limit is {limit}")]
    Unencodable {
        /// Which thing there is too much of.
        what: &'static str,
        /// How much of it there is.
        count: u64,
        /// How much fits.
        limit: u64,
    },
}

impl WireError {
    /// The same error with its offset moved by `by`: from a count inside a body to a count inside the
    /// frame around it.
    #[must_use]
    pub(crate) fn moved(mut self, by: u64) -> Self {
        match &mut self {
            Self::Truncated { offset, .. }
            | Self::MetadataOverCap { offset, .. }
            | Self::Metadata { offset, .. }
            | Self::TrailingMetadata { offset, .. }
            | Self::MissingSection { offset, .. }
            | Self::ExtraSections { offset, .. }
            | Self::NotText { offset }
            | Self::TextOverCap { offset, .. }
            | Self::TrailingBytes { offset, .. }
            | Self::UnknownExtension { offset, .. }
            | Self::ExtensionOrder { offset, .. }
            | Self::TooDeep { offset, .. } => *offset += by,
            Self::BadMagic { .. }
            | Self::BadVersionRange { .. }
            | Self::NoCommonVersion { .. }
            | Self::ZeroLength { .. }
            | Self::ShortLength { .. }
            | Self::OverCap { .. }
            | Self::Checksum { .. }
            | Self::UnknownType { .. }
            | Self::RetiredType { .. }
            | Self::NotInVersion { .. }
            | Self::BadFlags { .. }
            | Self::Addressed { .. }
            | Self::Unencodable { .. } => {}
        }
        self
    }
}

/// A [`WireError`] with its place in the connection, or the failure of the transport below.
#[derive(Debug, Error)]
pub enum CodecError {
    /// What came is not a frame.
    #[error("frame at byte {frame_at} of the connection: {error}")]
    Wire {
        /// Bytes of the connection before this frame, the preface not counted.
        frame_at: u64,
        /// What is wrong with it.
        #[source]
        error: WireError,
    },
    /// What was to be sent cannot be made into a frame; nothing was written.
    #[error(transparent)]
    Unencodable(WireError),
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

//! Bodies: metadata, raw sections, tagged extensions.
//!
//! ```text
//!  0   2   4           4+4n         4+4n+m
//!  │ m │ n │ n lengths │ metadata m │ n sections │ extensions …  to the end of the body │
//!                                                  each: tag u16, length u32, bytes
//! ```
//! All numbers are little-endian; m and n are u16, each section length is a u32.
//!
//! - **Metadata** is of fixed width: numbers, flags and options of them. Small, cheap and without allocation.
//! - **Sections** are whatever has a length: keys, values, names, credentials, and whole bodies inside a body.
//!   Their lengths stand together in front, so that a sender writes one head and then hands over the sections
//!   as they are, and a receiver takes them as slices of the buffer it read.
//! - **Extensions** are how a later version adds a field without a new message. They stand in ascending order of
//!   their tags. An odd tag may be skipped by who does not know it (and is counted); an even one may not.
//!
//! # Nesting
//! A section may hold a body of its own ([`Sections::nested`]): a forwarded request, a branch of a
//! transaction. The depth is carried along and limited, so no input can exhaust the stack.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::frame::{HEADER_BYTES, Header};
use crate::meta;
pub use crate::meta::METADATA_CAP;
use crate::sink::{Section, Sink};
use crate::{WireError, frame};

/// Bytes before the lengths: two counts.
const COUNTS_BYTES: usize = 4;

/// Bytes of an extension before its value: tag and length.
const EXTENSION_HEADER_BYTES: usize = 6;

/// How deep bodies may stand inside the outermost: a forwarded request (1) that is a transaction whose
/// branches nest 4 deep (5), the operation inside (6), and two for what nobody has thought of.
pub const MAX_DEPTH: u8 = 8;

/// An extension on its way out: tag and value.
pub type Extension<'a> = (u16, &'a [u8]);

/// Appends a frame with this body to `sink`. Large shared sections are not copied if the sink can take
/// them as they are.
///
/// # Errors
/// [`WireError::OverCap`] for the body, [`WireError::Unencodable`] for one of its parts,
/// [`WireError::ExtensionOrder`], [`WireError::BadFlags`]. Nothing has then been written.
pub fn write<S: Sink, M: Serialize>(
    sink: &mut S,
    header: Header,
    metadata: &M,
    sections: &[Section<'_>],
    extensions: &[Extension<'_>],
) -> Result<(), WireError> {
    if extensions.is_empty() {
        return frame::write(sink, header, |out| write_head(out, metadata, sections), sections);
    }
    let tail = extension_bytes(extensions)?;
    let mut rest = Vec::with_capacity(sections.len() + 1);
    rest.extend_from_slice(sections);
    rest.push(Section::Share(&tail));
    frame::write(sink, header, |out| write_head(out, metadata, sections), &rest)
}

/// The same body by itself, to be nested in a section or sent as a ready frame.
///
/// # Errors
/// Those of [`write()`] that concern the parts of the body; the cap of a type is checked when it is sent.
pub fn to_bytes<M: Serialize>(
    metadata: &M,
    sections: &[Section<'_>],
    extensions: &[Extension<'_>],
) -> Result<Bytes, WireError> {
    let mut out = BytesMut::new();
    write_head(&mut out, metadata, sections)?;
    for section in sections {
        out.extend_from_slice(section.bytes());
    }
    out.extend_from_slice(&extension_bytes(extensions)?);
    Ok(out.freeze())
}

/// Appends counts, lengths and metadata: all that stands before the first section.
fn write_head<M: Serialize>(
    out: &mut BytesMut,
    metadata: &M,
    sections: &[Section<'_>],
) -> Result<(), WireError> {
    let start = out.len();
    out.put_u16_le(0);
    out.put_u16_le(fits("sections", sections.len(), u16::MAX.into(), u16::try_from)?);
    for section in sections {
        out.put_u32_le(fits("bytes of a section", section.bytes().len(), u32::MAX.into(), u32::try_from)?);
    }
    let length = meta::encode(metadata, out)?;
    if let Some(mut field) = out.get_mut(start..) {
        field.put_u16_le(length);
    }
    Ok(())
}

fn extension_bytes(extensions: &[Extension<'_>]) -> Result<Bytes, WireError> {
    let mut out = BytesMut::new();
    let mut before = None;
    for &(tag, value) in extensions {
        in_order(before, tag, out.len() as u64)?;
        before = Some(tag);
        out.put_u16_le(tag);
        out.put_u32_le(fits("bytes of an extension", value.len(), u32::MAX.into(), u32::try_from)?);
        out.extend_from_slice(value);
    }
    Ok(out.freeze())
}

/// `count` in the width that its field has.
fn fits<T, E>(
    what: &'static str,
    count: usize,
    limit: u64,
    narrow: impl FnOnce(usize) -> Result<T, E>,
) -> Result<T, WireError> {
    narrow(count).map_err(|_| WireError::Unencodable { what, count: count as u64, limit })
}

fn in_order(before: Option<u16>, tag: u16, offset: u64) -> Result<(), WireError> {
    match before {
        Some(before) if before >= tag => Err(WireError::ExtensionOrder { offset, tag, before }),
        Some(_) | None => Ok(()),
    }
}

/// A body whose outline has been checked: all lengths fit, and nothing has been copied or decoded yet.
#[derive(Clone, Debug)]
pub struct Parts {
    body: Bytes,
    /// Where the body begins, counted from the start of its frame.
    base: u64,
    depth: u8,
    sections: u16,
    metadata_at: usize,
    sections_at: usize,
    extensions_at: usize,
}

impl Parts {
    /// Checks the outline of the body of a frame.
    ///
    /// # Errors
    /// [`WireError::Truncated`] if a length points beyond the end, [`WireError::MetadataOverCap`].
    pub fn parse(body: Bytes) -> Result<Self, WireError> {
        Self::outline(body, HEADER_BYTES as u64, 0)
    }

    fn outline(body: Bytes, base: u64, depth: u8) -> Result<Self, WireError> {
        let have = body.len() as u64;
        let cut_off = |offset: u64, need: u64| {
            let have = have.saturating_sub(offset);
            WireError::Truncated { offset: base + offset, need, have }
        };
        let Some(&[a, b, c, d]) = body.first_chunk::<COUNTS_BYTES>() else {
            return Err(cut_off(0, COUNTS_BYTES as u64));
        };
        let (metadata, sections) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        if usize::from(metadata) > METADATA_CAP {
            let (length, limit) = (metadata.into(), METADATA_CAP as u64);
            return Err(WireError::MetadataOverCap { offset: base, length, limit });
        }
        let lengths = 4 * usize::from(sections);
        let metadata_at = COUNTS_BYTES + lengths;
        let Some(table) = body.get(COUNTS_BYTES..metadata_at) else {
            return Err(cut_off(COUNTS_BYTES as u64, lengths as u64));
        };
        let sections_at = metadata_at + usize::from(metadata);
        if body.len() < sections_at {
            return Err(cut_off(metadata_at as u64, metadata.into()));
        }
        let mut end = sections_at as u64;
        for length in table.as_chunks::<4>().0 {
            let length = u64::from(u32::from_le_bytes(*length));
            if have - end < length {
                return Err(cut_off(end, length));
            }
            end += length;
        }
        // `end` is within the body, so it is a `usize`.
        Ok(Self { body, base, depth, sections, metadata_at, sections_at, extensions_at: end as usize })
    }

    /// Decodes the metadata.
    ///
    /// # Errors
    /// [`WireError::Metadata`], [`WireError::TrailingMetadata`], [`WireError::Truncated`].
    pub fn metadata<M: DeserializeOwned>(&self) -> Result<M, WireError> {
        let bytes = self.body.get(self.metadata_at..self.sections_at).unwrap_or_default();
        meta::decode(bytes).map_err(|error| error.moved(self.base + self.metadata_at as u64))
    }

    /// What is wrong with a body whose parts are whole and do not fit each other.
    #[must_use]
    pub fn contradiction(&self, why: String) -> WireError {
        WireError::Metadata { offset: self.base + self.metadata_at as u64, why }
    }

    /// The sections, one after another.
    #[must_use]
    pub fn sections(&self) -> Sections<'_> {
        Sections { parts: self, next: 0, at: self.sections_at, skipped_inside: 0 }
    }

    /// Walks the extensions; see [`Sections::finish`].
    fn extensions(
        &self,
        mut known: impl FnMut(u16, Bytes) -> Result<bool, WireError>,
    ) -> Result<u64, WireError> {
        let mut at = self.extensions_at;
        let (mut before, mut skipped) = (None, 0);
        while at < self.body.len() {
            let offset = self.base + at as u64;
            let mut rest = self.body.get(at..).unwrap_or_default();
            let trailing = WireError::TrailingBytes { offset, count: rest.len() as u64 };
            if rest.len() < EXTENSION_HEADER_BYTES {
                return Err(trailing);
            }
            let (tag, length) = (rest.get_u16_le(), rest.get_u32_le() as usize);
            if rest.len() < length {
                return Err(trailing);
            }
            in_order(before, tag, offset)?;
            before = Some(tag);
            let from = at + EXTENSION_HEADER_BYTES;
            at = from + length;
            if !known(tag, self.body.slice(from..at))? {
                if tag % 2 == 0 {
                    return Err(WireError::UnknownExtension { offset, tag });
                }
                skipped += 1;
            }
        }
        Ok(skipped)
    }
}

/// The sections of a body, taken in order, each as a slice that shares the buffer of the frame.
#[derive(Debug)]
pub struct Sections<'a> {
    parts: &'a Parts,
    next: u16,
    at: usize,
    /// Extensions that were skipped in bodies inside.
    skipped_inside: u64,
}

impl Sections<'_> {
    /// How many have not been taken yet.
    #[must_use]
    pub fn left(&self) -> u16 {
        self.parts.sections - self.next
    }

    /// The next section.
    ///
    /// # Errors
    /// [`WireError::MissingSection`] if there is none.
    pub fn bytes(&mut self) -> Result<Bytes, WireError> {
        let entry = COUNTS_BYTES + 4 * usize::from(self.next);
        let table = self.parts.body.get(entry..self.parts.metadata_at).unwrap_or_default();
        let Some(length) = table.first_chunk::<4>().copied().map(u32::from_le_bytes) else {
            return Err(WireError::MissingSection { offset: self.parts.base + 2, index: self.next });
        };
        let from = self.at;
        self.at += length as usize;
        self.next += 1;
        Ok(self.parts.body.slice(from..self.at))
    }

    /// The next section as text of at most `limit` bytes.
    ///
    /// # Errors
    /// [`WireError::MissingSection`], [`WireError::TextOverCap`] and [`WireError::NotText`].
    pub fn text(&mut self, limit: u32) -> Result<ByteString, WireError> {
        let start = self.parts.base + self.at as u64;
        let bytes = self.bytes()?;
        if bytes.len() > limit as usize {
            let (length, limit) = (bytes.len() as u64, limit.into());
            return Err(WireError::TextOverCap { offset: start, length, limit });
        }
        if let Err(error) = std::str::from_utf8(&bytes) {
            return Err(WireError::NotText { offset: start + error.valid_up_to() as u64 });
        }
        ByteString::try_from(bytes).map_err(|_| WireError::NotText { offset: start })
    }

    /// The next section as a body of its own, one level deeper.
    ///
    /// # Errors
    /// [`WireError::MissingSection`], [`WireError::TooDeep`] beyond [`MAX_DEPTH`], and those of [`Parts::parse`].
    pub fn nested(&mut self) -> Result<Parts, WireError> {
        let offset = self.parts.base + self.at as u64;
        let depth = self.parts.depth + 1;
        if depth > MAX_DEPTH {
            return Err(WireError::TooDeep { offset, limit: MAX_DEPTH });
        }
        Parts::outline(self.bytes()?, offset, depth)
    }

    /// Adds what [`finish`](Self::finish) of a nested body returned to what it returns of this one.
    pub fn skipped_inside(&mut self, count: u64) {
        self.skipped_inside += count;
    }

    /// Says that all sections have been taken, and walks the extensions, so that nothing of a body stays unread: `known`
    /// is given each tag and value, and says whether it knows the tag. Returns how many were skipped.
    ///
    /// # Errors
    /// [`WireError::ExtraSections`] if sections are left; [`WireError::TrailingBytes`], [`WireError::ExtensionOrder`],
    /// [`WireError::UnknownExtension`], and those of `known`.
    pub fn finish(self, known: impl FnMut(u16, Bytes) -> Result<bool, WireError>) -> Result<u64, WireError> {
        match self.left() {
            0 => Ok(self.skipped_inside + self.parts.extensions(known)?),
            extra => Err(WireError::ExtraSections { offset: self.parts.base + self.at as u64, extra }),
        }
    }
}

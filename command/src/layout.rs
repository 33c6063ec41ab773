//! Reading and writing the fields that everything here is made of.
//!
//! All numbers are little-endian and of fixed width. A *section* is a u32 length and as many bytes. Reading is strict:
//! a number that stands for nothing, a flag nobody defined or a byte too many is an error, never something to be
//! guessed.

use std::ops::{Deref, Range};

use bytes::{BufMut, Bytes};
use bytestring::ByteString;
use holdfast_machine::Numbered;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {fault}")]
pub struct DecodeError {
    /// Where, counted from the first byte of the entry, request or outcome that was decoded.
    pub offset: u64,
    /// What is wrong there.
    pub fault: Fault,
}

/// What can be wrong with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A field or section reaches beyond the end.
    #[error("needs {need} bytes, and {have} are left")]
    Truncated {
        /// Bytes that the field needs.
        need: u64,
        /// Bytes that are left.
        have: u64,
    },
    /// Bytes are left over at the end.
    #[error("{0} bytes are left over")]
    Trailing(u64),
    /// A number that has no meaning in its place.
    #[error("{number} is no {what}")]
    Unknown {
        /// What the number should have been.
        what: &'static str,
        /// The number.
        number: u64,
    },
    /// Text that is not UTF-8.
    #[error("not UTF-8")]
    NotText,
    /// More of something than may be.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many may be.
        limit: u64,
    },
    /// Tags of extensions that do not ascend.
    #[error("extension {tag} stands behind {before}")]
    ExtensionOrder {
        /// The tag.
        tag: u16,
        /// The tag before it.
        before: u16,
    },
}

/// Bytes that a [`Reader`] gives parts of. To share a buffer, each part counts as one more holder of it; who copies what it
/// needs at once, a million times, reads from a slice instead, whose parts cost nothing.
pub trait Buffer: Deref<Target = [u8]> + Sized {
    /// A part that is text.
    type Text: AsRef<str> + Into<ByteString>;

    /// The bytes in a range that is within.
    #[must_use]
    fn part(&self, range: Range<usize>) -> Self;

    /// All of it as text; `None` if it is not UTF-8.
    fn into_text(self) -> Option<Self::Text>;
}

impl Buffer for Bytes {
    type Text = ByteString;

    fn part(&self, range: Range<usize>) -> Self {
        self.slice(range)
    }

    fn into_text(self) -> Option<ByteString> {
        ByteString::try_from(self).ok()
    }
}

impl<'a> Buffer for &'a [u8] {
    type Text = &'a str;

    fn part(&self, range: Range<usize>) -> Self {
        self.get(range).unwrap_or_default()
    }

    fn into_text(self) -> Option<&'a str> {
        str::from_utf8(self).ok()
    }
}

/// Takes fields from the front of a buffer. Sections share it.
#[derive(Clone, Debug)]
pub struct Reader<B: Buffer = Bytes> {
    bytes: B,
    at: usize,
    /// Where `bytes` begins, for offsets in errors.
    base: u64,
}

impl Reader {
    /// A reader of these bytes, from the first.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0, base: 0 }
    }
}

impl<'a> Reader<&'a [u8]> {
    /// A reader of these bytes, from the first, whose sections are parts of them.
    #[must_use]
    pub fn over(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, base: 0 }
    }
}

impl<B: Buffer> Reader<B> {
    pub(crate) fn fault<T>(&self, fault: Fault) -> Result<T, DecodeError> {
        Err(DecodeError { offset: self.offset(), fault })
    }

    /// A fault in a field that was read before, at this offset from the first byte of the reader.
    pub(crate) fn fault_at<T>(&self, offset: u64, fault: Fault) -> Result<T, DecodeError> {
        Err(DecodeError { offset: self.base + offset, fault })
    }

    pub(crate) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Bytes that were not read yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// So many bytes as they are: a hash, an address.
    ///
    /// # Errors
    /// [`Fault::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => self.fault(Fault::Truncated { need: N as u64, have: self.left() as u64 }),
        }
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Fault::Truncated`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// [`Fault::Truncated`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`Fault::Truncated`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`Fault::Truncated`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Eight bytes, with a sign.
    ///
    /// # Errors
    /// [`Fault::Truncated`].
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_le_bytes)
    }

    /// A variant of an enum of numbers.
    pub(crate) fn numbered<N: Numbered<Number = u8>>(
        &mut self,
        what: &'static str,
    ) -> Result<N, DecodeError> {
        let number = self.u8()?;
        self.known(N::from_number(number), what, number.into(), 1)
    }

    /// What a number of `width` bytes stands for, if it was known.
    ///
    /// # Errors
    /// [`Fault::Unknown`].
    pub fn known<T>(
        &self,
        found: Option<T>,
        what: &'static str,
        number: u64,
        width: u64,
    ) -> Result<T, DecodeError> {
        let fault = Fault::Unknown { what, number };
        found.ok_or(DecodeError { offset: self.offset().saturating_sub(width), fault })
    }

    /// Bits of which none but `all` may be set.
    ///
    /// # Errors
    /// [`Fault::Truncated`], [`Fault::Unknown`].
    pub fn flags(&mut self, all: u8) -> Result<u8, DecodeError> {
        let bits = self.u8()?;
        self.known((bits & !all == 0).then_some(bits), "set of flags", bits.into(), 1)
    }

    /// So many bytes, shared with the buffer.
    ///
    /// # Errors
    /// [`Fault::Truncated`].
    pub fn take(&mut self, count: usize) -> Result<B, DecodeError> {
        if self.left() < count {
            return self.fault(Fault::Truncated { need: count as u64, have: self.left() as u64 });
        }
        let from = self.at;
        self.at += count;
        Ok(self.bytes.part(from..self.at))
    }

    /// A length and as many bytes.
    ///
    /// # Errors
    /// [`Fault::Truncated`].
    pub fn section(&mut self) -> Result<B, DecodeError> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    /// A section that is read by itself; offsets go on counting.
    pub(crate) fn nested(&mut self) -> Result<Self, DecodeError> {
        let length = self.u32()?;
        self.part(length as usize)
    }

    /// The next `count` bytes, to be read by themselves; offsets go on counting.
    pub(crate) fn part(&mut self, count: usize) -> Result<Self, DecodeError> {
        let base = self.offset();
        Ok(Self { bytes: self.take(count)?, at: 0, base })
    }

    /// A section of text.
    ///
    /// # Errors
    /// [`Fault::Truncated`], [`Fault::NotText`].
    pub fn text(&mut self) -> Result<B::Text, DecodeError> {
        let bytes = self.section()?;
        self.as_text(bytes)
    }

    /// These bytes, the last that were read, as text.
    ///
    /// # Errors
    /// [`Fault::NotText`].
    pub fn as_text(&self, bytes: B) -> Result<B::Text, DecodeError> {
        let offset = self.offset().saturating_sub(bytes.len() as u64);
        bytes.into_text().ok_or(DecodeError { offset, fault: Fault::NotText })
    }

    /// A u32 count of items, of which each takes at least `least` bytes, and of which there may be `limit`. So nobody
    /// reserves memory for items that cannot be there.
    ///
    /// # Errors
    /// [`Fault::Truncated`], [`Fault::TooMany`].
    pub fn count(&mut self, what: &'static str, least: usize, limit: u64) -> Result<usize, DecodeError> {
        self.count_of(what, least, limit, limit)
    }

    /// As [`count`](Self::count), where `left` of the `limit` are not used up yet.
    pub(crate) fn count_of(
        &mut self,
        what: &'static str,
        least: usize,
        left: u64,
        limit: u64,
    ) -> Result<usize, DecodeError> {
        let count = self.u32()?;
        if u64::from(count) > left {
            return self.fault(Fault::TooMany { what, limit });
        }
        let need = u64::from(count) * least as u64;
        if need > self.left() as u64 {
            return self.fault(Fault::Truncated { need, have: self.left() as u64 });
        }
        Ok(count as usize)
    }

    /// So many items, in a list that never grows: what it takes is known from the count.
    pub(crate) fn items<T>(
        &mut self,
        count: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// Nothing is left over.
    ///
    /// # Errors
    /// [`Fault::Trailing`].
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => self.fault(Fault::Trailing(left as u64)),
        }
    }
}

/// Appends a length and as many bytes.
///
/// # Panics
/// Never for what fits into a log entry; a section above 4 GiB is cut in its length and refused by every reader.
pub fn put_section(out: &mut impl BufMut, bytes: &[u8]) {
    out.put_u32_le(length(bytes.len()));
    out.put_slice(bytes);
}

/// A length in the width that it has on disk. What is longer than that exceeds every limit there is, and is refused
/// when it is validated; encoding it is not an error of its own.
pub(crate) fn length(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Writes a section in place: its length is known only when it has been written.
pub fn put_nested(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u32_le(0);
    write(out);
    let count = length(out.len() - start - 4).to_le_bytes();
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Actor;

    /// What a reader says of these bytes, field by field up to the first fault.
    fn said<B: Buffer>(mut reader: Reader<B>) -> Vec<String> {
        fn note<T: std::fmt::Debug>(said: &mut Vec<String>, read: &Result<T, DecodeError>) -> bool {
            said.push(format!("{read:?}"));
            read.is_ok()
        }
        let mut said = Vec::new();
        let whole = note(&mut said, &reader.flags(3))
            && note(&mut said, &Actor::read_from(&mut reader))
            && note(&mut said, &reader.text().map(|text| text.as_ref().to_owned()))
            && note(&mut said, &reader.section().map(|section| section.to_vec()))
            && note(&mut said, &reader.nested().and_then(|mut inner| inner.u16()))
            && note(&mut said, &reader.array::<3>())
            && note(&mut said, &reader.take(2).map(|bytes| bytes.to_vec()));
        if whole {
            note(&mut said, &reader.finish());
        }
        said
    }

    #[test]
    fn a_reader_over_a_slice_says_the_same_as_one_that_shares_a_buffer() {
        let mut good = vec![2, 1, 3];
        good.extend_from_slice(b"ada");
        put_section(&mut good, "naïve".as_bytes());
        put_section(&mut good, b"\xff\x00");
        put_section(&mut good, &[7, 0]);
        good.extend_from_slice(&[1, 2, 3, 4, 5]);
        let mut samples: Vec<Vec<u8>> = (0..=good.len()).map(|length| good[..length].to_vec()).collect();
        samples.push([&good[..], &[0]].concat());
        for at in 0..good.len() {
            for other in [0, 1, 2, 4, 0x7f, 0x80, 0xff] {
                let mut changed = good.clone();
                changed[at] = other;
                samples.push(changed);
            }
        }
        for bytes in samples {
            assert_eq!(said(Reader::over(&bytes)), said(Reader::new(bytes.clone().into())), "{bytes:?}");
        }
        assert_eq!(said(Reader::over(&good)).len(), 8);
    }
}

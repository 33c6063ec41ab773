//! The frames of a file, one after the other.

use std::io;

use holdfast_wal::disk::Disk;

use super::format::{FRAME_HEAD_BYTES, FrameHead, FrameKind, HEADER_BYTES, frame_check};

/// Bytes that are read at a time.
const WINDOW_BYTES: usize = 128 * 1024;

/// A frame whose check fits.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: FrameKind,
    pub(super) index: u64,
    pub(super) stamp: u64,
    pub(super) payload: &'a [u8],
}

/// Goes through the frames of a file.
#[derive(Debug)]
pub(super) struct Frames<'a, D: Disk> {
    disk: &'a D,
    file: &'a D::File,
    header_check: u32,
    /// Length of the file.
    length: u64,
    past_cache: bool,
    window: Vec<u8>,
    window_at: u64,
    /// Where the next frame begins.
    pub(super) at: u64,
    /// The index of the last one; of the file before it, none.
    pub(super) index: u64,
    stamp: u64,
}

impl<'a, D: Disk> Frames<'a, D> {
    /// Those of a file whose frames have indices from `first` on.
    pub(super) fn new(disk: &'a D, file: &'a D::File, header_check: u32, first: u64) -> io::Result<Self> {
        Ok(Self {
            disk,
            file,
            header_check,
            length: disk.len(file)?,
            past_cache: false,
            window: Vec::new(),
            window_at: 0,
            at: HEADER_BYTES as u64,
            index: first.saturating_sub(1),
            stamp: 0,
        })
    }

    /// Reads from the device.
    pub(super) fn past_cache(self) -> Self {
        Self { past_cache: true, ..self }
    }

    /// Goes on behind a frame of this index that ended at `at`.
    pub(super) fn from(self, at: u64, index: u64) -> Self {
        Self { at, index, ..self }
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        if self.past_cache {
            self.disk.read_past_cache(self.file, at, into)
        } else {
            self.disk.read_at(self.file, at, into)
        }
    }

    /// The bytes from `at` on: `least` of them at least, or `None` if the file ends before.
    fn look(&mut self, at: u64, least: usize) -> io::Result<Option<&[u8]>> {
        let left = self.length.saturating_sub(at);
        if (least as u64) > left {
            return Ok(None);
        }
        let within = at.checked_sub(self.window_at).and_then(|skip| usize::try_from(skip).ok());
        let held = within.is_some_and(|skip| self.window.len() >= skip.saturating_add(least));
        if !held {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(least.max(WINDOW_BYTES));
            // Empty until all of it is read.
            let mut window = std::mem::take(&mut self.window);
            window.resize(count, 0);
            if let Err(error) = self.read(at, &mut window) {
                // What cannot be read may stand behind what is asked for.
                if count == least {
                    return Err(error);
                }
                window.truncate(least);
                self.read(at, &mut window)?;
            }
            (self.window, self.window_at) = (window, at);
        }
        Ok(self.window.get((at - self.window_at) as usize..))
    }

    /// The next frame; `None` where the file ends, or something else stands.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame<'_>>> {
        let at = self.at;
        let Some(head) = self.look(at, FRAME_HEAD_BYTES)?.and_then(FrameHead::read) else { return Ok(None) };
        let bytes = head.frame_bytes();
        let (header_check, index, stamp) = (self.header_check, self.index, self.stamp);
        let Some(frame) = self.look(at, bytes)?.and_then(|found| found.get(..bytes)) else { return Ok(None) };
        if head.check != frame_check(header_check, at, frame) || head.index <= index || head.stamp < stamp {
            return Ok(None);
        }
        (self.at, self.index, self.stamp) = (at + bytes as u64, head.index, head.stamp);
        let start = (at - self.window_at) as usize;
        let payload = self.window.get(start + FRAME_HEAD_BYTES..start + bytes).unwrap_or_default();
        Ok(Some(Frame { kind: head.kind, index: head.index, stamp: head.stamp, payload }))
    }

    /// Whether something other than zeros stands from `at` on to the end of the file.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn has_rest(&mut self) -> io::Result<bool> {
        let mut at = self.at;
        while at < self.length {
            let Some(found) = self.look(at, 1)? else { break };
            if found.iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
            at += found.len() as u64;
        }
        Ok(false)
    }
}

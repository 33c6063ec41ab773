//! What a watch is told of a change.

use bytes::{BufMut, Bytes};

use crate::layout::{DecodeError, Fault, Reader};
use crate::outcome::KeyValue;

/// One change of one key.
///
/// Bytes: u8 flags, key value, and the key value before it if flagged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchEvent {
    /// The key was deleted, and `entry` has no value.
    pub deleted: bool,
    /// What the key has become. Its `mod_revision` is the revision of the event. Of a deletion, `create_revision` and
    /// `version` are 0.
    pub entry: KeyValue,
    /// What it was before, if that was asked for and the key was there.
    pub previous: Option<KeyValue>,
    /// There was something before, it was asked for, and both together are longer than a frame. It can be read at the
    /// revision before.
    pub previous_left_out: bool,
}

impl WatchEvent {
    /// Bytes of one beyond keys and values, at most.
    pub const OVERHEAD_BYTES: usize = 1 + 2 * KeyValue::OVERHEAD_BYTES as usize;

    /// The revision that it belongs to.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.entry.mod_revision
    }

    /// The bytes of the event.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let previous = self.previous.as_ref().map_or(0, |previous| previous.key.len() + previous.value.len());
        let room = Self::OVERHEAD_BYTES + self.entry.key.len() + self.entry.value.len() + previous;
        let mut out = Vec::with_capacity(room);
        let flags = u8::from(self.deleted)
            | (u8::from(self.previous.is_some()) << 1)
            | (u8::from(self.previous_left_out) << 2);
        out.put_u8(flags);
        self.entry.write(&mut out);
        if let Some(previous) = &self.previous {
            previous.write(&mut out);
        }
        out
    }

    /// The event of these bytes, all of them. Keys and values share them.
    ///
    /// # Errors
    /// [`DecodeError`] with the offset of what is wrong.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let flags = reader.flags(7)?;
        let (deleted, has_previous, previous_left_out) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        if has_previous && previous_left_out {
            return reader.fault_at(0, Fault::Unknown { what: "set of flags", number: flags.into() });
        }
        let entry = KeyValue::read(&mut reader)?;
        let previous = if has_previous { Some(KeyValue::read(&mut reader)?) } else { None };
        reader.finish()?;
        Ok(Self { deleted, entry, previous, previous_left_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &'static str, value: &'static str, mod_revision: u64) -> KeyValue {
        let (key, value) = (Bytes::from_static(key.as_bytes()), Bytes::from_static(value.as_bytes()));
        KeyValue { key, value, create_revision: 2, mod_revision, version: 3, lease: -4, stamp: 5 }
    }

    fn samples() -> [WatchEvent; 4] {
        let put = WatchEvent { entry: entry("a", "one", 7), ..WatchEvent::default() };
        let previous = Some(entry("a", "zero", 6));
        let gone = KeyValue { create_revision: 0, version: 0, ..entry("a", "", 8) };
        [
            put.clone(),
            WatchEvent { previous: previous.clone(), ..put.clone() },
            WatchEvent { previous_left_out: true, ..put },
            WatchEvent { deleted: true, entry: gone, previous, previous_left_out: false },
        ]
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for event in samples() {
            assert_eq!(WatchEvent::decode(event.encode().into()), Ok(event));
        }
    }

    #[test]
    fn no_cut_and_no_byte_too_many_decodes() {
        for event in samples() {
            let bytes = Bytes::from(event.encode());
            for cut in 0..bytes.len() {
                assert!(WatchEvent::decode(bytes.slice(..cut)).is_err(), "{cut} bytes of {event:?}");
            }
            let more = [&bytes[..], &[0]].concat();
            assert!(WatchEvent::decode(more.into()).is_err());
        }
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        let mut bytes = samples()[1].encode();
        for flags in [6, 8, 255] {
            bytes[0] = flags;
            assert_eq!(WatchEvent::decode(bytes.clone().into()).map_err(|error| error.offset), Err(0));
        }
    }
}

//! The metadata part of a body: the one module that knows bincode.
//!
//! bincode is pinned to 2.0.1 and no longer maintained. What keeps that harmless: the configuration is
//! explicit, integers are fixed-width little-endian, and metadata holds nothing of variable length (text
//! and bytes are sections). A replacement has to write a struct's fields one after another and to put a
//! byte 0 or 1 before an option or for a `bool`; the golden bytes say whether it does.
//!
//! Because nothing in metadata has a length, decoding it allocates nothing, whatever the bytes say.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::de::read::Reader;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bytes::BytesMut;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::WireError;

/// No message has more bytes of metadata: an order of magnitude above the largest there is.
pub const METADATA_CAP: usize = 1024;

const CONFIG: Configuration<LittleEndian, Fixint, Limit<METADATA_CAP>> =
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<METADATA_CAP>();

/// Appends the metadata to `out`, and returns its length.
///
/// # Errors
/// [`WireError::Unencodable`] if it is longer than [`METADATA_CAP`]; `out` may then hold a part of it.
pub(crate) fn encode<M: Serialize>(metadata: &M, out: &mut BytesMut) -> Result<u16, WireError> {
    struct Append<'a>(&'a mut BytesMut);
    impl Writer for Append<'_> {
        fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }
    let start = out.len();
    // The only errors serde can raise here are those of our own types, none of which refuses to be
    // written; a metadata struct of an unsupported shape fails the golden test of its message.
    let written = bincode::serde::encode_into_writer(metadata, Append(out), CONFIG);
    let count = out.len() - start;
    match u16::try_from(count) {
        Ok(length) if written.is_ok() && count <= METADATA_CAP => Ok(length),
        Ok(_) | Err(_) => Err(WireError::Unencodable {
            what: "bytes of metadata",
            count: count as u64,
            limit: METADATA_CAP as u64,
        }),
    }
}

/// The metadata in `bytes`, all of them.
///
/// # Errors
/// [`WireError::Metadata`], [`WireError::Truncated`] and [`WireError::TrailingMetadata`], with offsets that
/// count from the first byte of the metadata.
pub(crate) fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, WireError> {
    struct Take<'a>(&'a [u8]);
    impl Reader for Take<'_> {
        fn read(&mut self, to: &mut [u8]) -> Result<(), DecodeError> {
            let Some((taken, rest)) = self.0.split_at_checked(to.len()) else {
                return Err(DecodeError::UnexpectedEnd { additional: to.len() - self.0.len() });
            };
            to.copy_from_slice(taken);
            self.0 = rest;
            Ok(())
        }
    }
    let mut rest = Take(bytes);
    let decoded = bincode::serde::decode_from_reader::<M, _, _>(&mut rest, CONFIG);
    let (offset, extra) = ((bytes.len() - rest.0.len()) as u64, rest.0.len() as u64);
    match decoded {
        Ok(metadata) if extra == 0 => Ok(metadata),
        Ok(_) => Err(WireError::TrailingMetadata { offset, extra }),
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a foreign enum; every other error is told as text"
        )]
        Err(error) => Err(match error {
            DecodeError::UnexpectedEnd { additional } => {
                WireError::Truncated { offset, need: extra + additional as u64, have: extra }
            }
            DecodeError::OtherString(why) => WireError::Metadata { offset, why },
            DecodeError::UnexpectedVariant { found, .. } => {
                WireError::Metadata { offset, why: format!("{found} is neither 0 (absent) nor 1 (present)") }
            }
            DecodeError::InvalidBooleanValue(found) => {
                WireError::Metadata { offset, why: format!("{found} is neither 0 (false) nor 1 (true)") }
            }
            other => WireError::Metadata { offset, why: other.to_string() },
        }),
    }
}

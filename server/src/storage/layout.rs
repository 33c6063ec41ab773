//! Reading little-endian layouts: what the bytes of this module's files and entries have in common.

use bytes::{Buf, Bytes};
use bytestring::ByteString;

/// The bytes end before the field does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short;

impl From<bytes::TryGetError> for Short {
    fn from(_: bytes::TryGetError) -> Self {
        Self
    }
}

/// The next `count` bytes, shared.
pub(super) fn take(bytes: &mut Bytes, count: usize) -> Result<Bytes, Short> {
    if bytes.len() < count { Err(Short) } else { Ok(bytes.split_to(count)) }
}

/// The next `N` bytes.
pub(super) fn array<const N: usize>(bytes: &mut Bytes) -> Result<[u8; N], Short> {
    let mut array = [0; N];
    bytes.try_copy_to_slice(&mut array)?;
    Ok(array)
}

/// Bytes behind their length in 16 bits.
pub(super) fn run(bytes: &mut Bytes) -> Result<Bytes, Short> {
    let count = bytes.try_get_u16_le()?;
    take(bytes, count.into())
}

/// Writes bytes behind their length in 16 bits.
pub(super) fn put_run(out: &mut Vec<u8>, bytes: &[u8]) {
    // Whoever calls this has checked a bound that is far lower.
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&bytes[..length.into()]);
}

/// Text behind its length in 16 bits; `Ok(None)` if it is no UTF-8.
pub(super) fn text(bytes: &mut Bytes) -> Result<Option<ByteString>, Short> {
    Ok(ByteString::try_from(run(bytes)?).ok())
}

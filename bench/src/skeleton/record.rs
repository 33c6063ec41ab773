//! The bytes of a request, which are those of a record in a file, and of an answer. All numbers are little-endian.
//!
//! | bytes | of a request |
//! |---|---|
//! | 4 | length of all of it |
//! | 4 | unused |
//! | 8 | call id |
//! | 32 | a key |
//! | … | a value |
//!
//! An answer is a length, four unused bytes, the call id and the position in the log: 24 bytes.

use bytes::{Buf, BufMut, BytesMut};

/// Bytes of a request in front of its value.
pub(crate) const HEAD: usize = 48;
/// Bytes of an answer.
pub(crate) const ANSWER: usize = 24;

/// Appends a request.
pub(crate) fn request(out: &mut BytesMut, call: u64, value: &[u8]) {
    out.put_u32_le((HEAD + value.len()) as u32);
    out.put_u32_le(0);
    out.put_u64_le(call);
    out.put_bytes(b'k', 32);
    out.put_slice(value);
}

/// The length and the call of the request at the front of `bytes`, if all of it is there.
pub(crate) fn whole(bytes: &[u8]) -> Option<(usize, u64)> {
    let mut head = bytes.get(..HEAD)?;
    let length = (head.get_u32_le() as usize).max(HEAD);
    head.advance(4);
    (bytes.len() >= length).then(|| (length, head.get_u64_le()))
}

/// Appends an answer.
pub(crate) fn answer(out: &mut BytesMut, call: u64, position: u64) {
    out.put_u32_le(ANSWER as u32);
    out.put_u32_le(0);
    out.put_u64_le(call);
    out.put_u64_le(position);
}

/// Takes the call out of the answer at the front of `bytes`, if all of it is there.
pub(crate) fn answered(bytes: &mut BytesMut) -> Option<u64> {
    let call = bytes.get(8..ANSWER)?.get_u64_le();
    bytes.advance(ANSWER);
    Some(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_seen_when_all_of_it_is_there() {
        let mut bytes = BytesMut::new();
        request(&mut bytes, 7, b"value");
        assert_eq!(whole(&bytes), Some((HEAD + 5, 7)));
        for cut in 0..bytes.len() {
            assert_eq!(whole(&bytes[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn an_answer_is_taken_when_all_of_it_is_there() {
        let mut bytes = BytesMut::new();
        answer(&mut bytes, 7, 300);
        let mut cut = bytes.clone();
        cut.truncate(ANSWER - 1);
        assert_eq!((answered(&mut cut), answered(&mut bytes), bytes.len()), (None, Some(7), 0));
    }
}

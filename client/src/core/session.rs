//! The session of a client: which sequences are under way, and the lowest that is still waited for.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use holdfast_command::SessionId;

/// The session, or where it is.
#[derive(Debug)]
pub(crate) enum Session {
    /// None is open: the first write asks for one.
    None,
    /// It was asked for.
    Opening,
    /// The cluster knows it.
    Open(Sequences),
}

/// A write's place in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) session: SessionId,
    pub(crate) sequence: u64,
}

/// The sequences of an open session.
///
/// # Invariants
/// - A sequence is given once.
/// - `low` never rises above a sequence that was not finished.
#[derive(Debug)]
pub(crate) struct Sequences {
    session: SessionId,
    low: u64,
    /// For each sequence from `low` on whether it is finished. The first is not, if there is one.
    finished: VecDeque<bool>,
    /// When it is to be renewed.
    pub(crate) keep_at: u64,
}

impl Sequences {
    pub(crate) fn new(session: SessionId, keep_at: u64) -> Self {
        Self { session, low: 1, finished: VecDeque::new(), keep_at }
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// The lowest sequence that is waited for; the next one if none is.
    pub(crate) fn low(&self) -> u64 {
        self.low
    }

    /// The next sequence; `None` while it would lie `window` or more above the lowest that is waited for.
    pub(crate) fn next(&mut self, window: u64) -> Option<Bound> {
        let ahead = self.finished.len() as u64;
        if ahead >= window {
            return None;
        }
        self.finished.push_back(false);
        Some(Bound { session: self.session, sequence: self.low + ahead })
    }

    /// Nobody waits for this sequence any more. Of another session it is no matter.
    pub(crate) fn finish(&mut self, bound: Bound) {
        let place = bound.sequence.checked_sub(self.low).and_then(|place| usize::try_from(place).ok());
        if bound.session == self.session
            && let Some(finished) = place.and_then(|place| self.finished.get_mut(place))
        {
            *finished = true;
        }
        while self.finished.front() == Some(&true) {
            self.finished.pop_front();
            self.low += 1;
        }
    }
}

/// Where the request key stands in an encoded request: behind number, kind, length of body and reason.
const KEY_AT: usize = 10;

/// The same request, under this sequence and low. The bytes were encoded with some session key.
pub(crate) fn rekey(request: Bytes, bound: Bound, low: u64) -> Bytes {
    // In place, unless a connection still holds the bytes to send them.
    let mut bytes = request.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    let numbers = [bound.session.0, bound.sequence, low];
    let places = bytes.get_mut(KEY_AT..).unwrap_or_default().chunks_exact_mut(8);
    for (place, number) in places.zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use holdfast_command::keys::Put;
    use holdfast_command::{Command, Request, RequestKey};

    use super::*;

    fn bound(sequence: u64) -> Bound {
        Bound { session: SessionId(7), sequence }
    }

    #[test]
    fn low_is_the_lowest_that_is_waited_for_in_whatever_order_they_finish() {
        let mut sequences = Sequences::new(SessionId(7), 0);
        assert_eq!(sequences.low(), 1);
        for sequence in 1..=4 {
            assert_eq!(sequences.next(4), Some(bound(sequence)));
        }
        assert_eq!(sequences.next(4), None, "the window is full");
        for (finish, low) in [(2, 1), (4, 1), (1, 3), (1, 3), (3, 5)] {
            sequences.finish(bound(finish));
            assert_eq!(sequences.low(), low, "after {finish}");
        }
        sequences.finish(Bound { session: SessionId(8), sequence: 5 });
        sequences.finish(bound(u64::MAX));
        assert_eq!(sequences.next(4), Some(bound(5)));
        assert_eq!(sequences.low(), 5);
    }

    #[test]
    fn a_rekeyed_request_differs_in_its_key_and_in_nothing_else() {
        let key = |session, sequence, low| RequestKey::Session { session: SessionId(session), sequence, low };
        let put = Put { key: "k".into(), value: vec![5; 300].into(), ..Put::default() };
        let request = |key| Request { key, reason: "why".into(), ..Command::Put(put.clone()).into() };
        let bytes = request(key(0, 0, 0)).encode();
        let held = bytes.clone();
        let rekeyed = rekey(bytes, bound(9), 4);
        assert_eq!(Request::decode(rekeyed), Ok(request(key(7, 9, 4))));
        assert_eq!(Request::decode(held), Ok(request(key(0, 0, 0))), "bytes that are shared are left alone");
    }
}

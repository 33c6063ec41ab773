//! A state of many keys, for loads that measure what a state costs.

use std::cell::Cell;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_command::keys::Put;
use holdfast_command::request::{Command, RequestKey};

use crate::calls;
use crate::cluster::Members;
use crate::failure::Failure;
use crate::kv;
use crate::report::grouped;
use crate::until::until;

/// How long the nodes may take to have what was written.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is said how far it has come.
const EVERY: Duration = Duration::from_secs(5);

/// Keys that are all there, each with a value of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    /// How many.
    pub(crate) keys: u32,
    /// Bytes of each value.
    pub(crate) value_bytes: u32,
}

impl State {
    /// A key, by its number.
    pub(crate) fn key(number: u32) -> Bytes {
        format!("fill/{number:08}").into()
    }

    /// The value of a key: its number, as far as it fits, and the same byte again and again.
    pub(crate) fn value(&self, number: u32) -> Bytes {
        let mut value = number.to_be_bytes().to_vec();
        value.resize(self.value_bytes as usize, 0x5A);
        value.into()
    }

    /// Bytes of all keys and values.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.keys) * (Self::key(0).len() as u64 + u64::from(self.value_bytes))
    }

    /// Writes all of it, and waits until every node has it. How long the writing took.
    pub(crate) fn write(&self, members: &Members) -> Result<Duration, Failure> {
        let began = Instant::now();
        let said = Cell::new(began);
        let put = |number: u32| {
            if said.get().elapsed() >= EVERY {
                said.set(Instant::now());
                let (done, all) = (grouped(number.into()), grouped(self.keys.into()));
                eprintln!("filling: {done} of {all} keys");
            }
            let put = Put { key: Self::key(number), value: self.value(number), ..Put::default() };
            calls::submit(Command::Put(put), RequestKey::None)
        };
        kv::make_all(members, || (0..self.keys).map(put))?;
        let took = began.elapsed();
        self.wait(members)?;
        Ok(took)
    }

    /// Waits until every node has applied all that is committed, and holds as many keys.
    pub(crate) fn wait(&self, members: &Members) -> Result<(), Failure> {
        until("every node with all keys", PATIENCE, || {
            let leader = members.leader(Instant::now() + PATIENCE)?;
            let wanted = members.status(leader)?.commit;
            // One that has just been started does not answer yet.
            let has_all = |place| {
                members.status(place).is_ok_and(|status| {
                    status.ready && status.applied >= wanted && status.keys == u64::from(self.keys)
                })
            };
            Ok((0..members.count()).all(has_all))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_all_keys_and_values() {
        let state = State { keys: 1000, value_bytes: 256 };
        let all = (0..1000).map(|number| State::key(number).len() + state.value(number).len()).sum::<usize>();
        assert_eq!(state.bytes(), all as u64);
        // A value that is shorter than its number is as long as it was wanted.
        assert_eq!(State { value_bytes: 2, ..state }.value(7).len(), 2);
    }
}

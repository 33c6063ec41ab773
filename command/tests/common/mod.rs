//! What several tests share: every sample under a name of its own, values of any kind behind one type, small randomness.

#![allow(dead_code, reason = "each test file uses a part of this")]

pub(crate) mod samples;
pub(crate) mod strategies;

use bytes::Bytes;
use holdfast_command::keys::Range;
use holdfast_command::query::{Answer, Query};
use holdfast_command::{DecodeError, Entry, Outcome, Refusal, Request};

/// What can be decoded from bytes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Request,
    Entry,
    Outcome,
    Range,
    Query,
    Answer,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Request, Self::Entry, Self::Outcome, Self::Range, Self::Query, Self::Answer];

    /// The word in front of its samples in the golden file.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Entry => "entry",
            Self::Outcome => "outcome",
            Self::Range => "range",
            Self::Query => "query",
            Self::Answer => "answer",
        }
    }

    pub(crate) fn decode(self, bytes: Bytes) -> Result<Value, DecodeError> {
        Ok(match self {
            Self::Request => Value::Request(Request::decode(bytes)?),
            Self::Entry => Value::Entry(Entry::decode(&bytes)?),
            Self::Outcome => Value::Outcome(Outcome::decode(bytes)?),
            Self::Range => Value::Range(Range::decode(bytes)?),
            Self::Query => Value::Query(Query::decode(bytes)?),
            Self::Answer => Value::Answer(Answer::decode(bytes)?),
        })
    }
}

/// A value of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Request(Request),
    Entry(Entry),
    Outcome(Outcome),
    Range(Range),
    Query(Query),
    Answer(Result<Answer, Refusal>),
}

impl Value {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Request(_) => Kind::Request,
            Self::Entry(_) => Kind::Entry,
            Self::Outcome(_) => Kind::Outcome,
            Self::Range(_) => Kind::Range,
            Self::Query(_) => Kind::Query,
            Self::Answer(_) => Kind::Answer,
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Request(request) => request.encode(),
            Self::Entry(entry) => entry.encode(),
            Self::Outcome(outcome) => outcome.encode().into(),
            Self::Range(range) => {
                let mut out = Vec::new();
                range.write(&mut out);
                out.into()
            }
            Self::Query(query) => query.encode(),
            Self::Answer(answer) => Answer::encode(answer),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// Where randomness starts: `HOLDFAST_SEED`, or something else each time. Printed, so that a failure can be run again.
pub(crate) fn seed() -> u64 {
    let given =
        std::env::var("HOLDFAST_SEED").ok().map(|text| text.parse().expect("HOLDFAST_SEED is a number"));
    let seed = given.unwrap_or_else(|| std::process::id().into());
    println!("HOLDFAST_SEED={seed}");
    seed
}

/// The next number of a small generator (SplitMix64).
pub(crate) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Changes `input` in one place: a byte more, another, a count that is too large, or the end cut off.
pub(crate) fn mutate(input: &mut Vec<u8>, seed: &mut u64) {
    let at = random(seed) as usize % (input.len() + 1);
    let byte = random(seed) as u8;
    match random(seed) % 6 {
        0 => input.insert(at, byte),
        1 => input.truncate(at),
        2 if at + 4 <= input.len() => {
            let counts = [0, 1, 2, 255, 16_384, 16_385, 1 << 20, u32::MAX];
            let count = counts[usize::from(byte) % counts.len()];
            input[at..at + 4].copy_from_slice(&count.to_le_bytes());
        }
        3 if at < input.len() => input[at] ^= 1 << (byte % 8),
        4 if at < input.len() => input[at] = byte % 8,
        _ if at < input.len() => input[at] = byte,
        _ => input.push(byte),
    }
}

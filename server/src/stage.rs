//! The nine stages of a request, and how long each took.
//!
//! The same numbers stand in traces, in the reports of the load generator and in `docs/request-path.md`, so that "stage 5
//! is slow" means one thing to everybody. Stages 5 and 6 run at the same time; that is where the latency of a write is won.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use holdfast_machine::{Numbered, numbered};

numbered! {
    /// Where a request is on its way.
    pub enum Stage: u8, "P" {
        /// Bytes become a frame, a frame a request. Measured from the read of the socket to the node's inbox.
        Decode = 1,
        /// Limits, session, leadership. Measured from the inbox to the decision, so it includes the wait for a turn.
        Admit = 2,
        /// Stamped by the leader; from here on the entry is fixed.
        Propose = 3,
        /// In the log of the leader, in memory; on its way to disk and peers.
        Append = 4,
        /// Durable at the leader. Runs beside stage 6.
        Sync = 5,
        /// On its way through the followers: measured from stage 4 until the leader knows that it is committed.
        Replicate = 6,
        /// Known to be committed, not yet given to the store.
        Commit = 7,
        /// Executed by the store.
        Apply = 8,
        /// From the outcome to the socket.
        Reply = 9,
    }
}

/// Microseconds that are told apart at most: one minute. What takes longer is counted as that.
const LONGEST_US: u64 = 60_000_000;

/// One histogram of microseconds for each stage, and one for whole turns.
#[derive(Clone, Debug)]
pub struct Stages {
    histograms: Vec<Histogram<u64>>,
    /// None only if the bounds of a histogram were wrong.
    turns: Option<Histogram<u64>>,
}

impl Default for Stages {
    fn default() -> Self {
        Self::new()
    }
}

impl Stages {
    /// Empty histograms: 1 µs to a minute, within 1 %.
    #[must_use]
    pub fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LONGEST_US, 2).ok();
        Self { histograms: Stage::ALL.iter().filter_map(|_| histogram()).collect(), turns: histogram() }
    }

    /// Notes that a turn of the node's thread took `micros`: nobody was served before its end. The longest one is the longest
    /// time for which this thread was deaf.
    pub fn record_turn(&mut self, micros: u64) {
        if let Some(turns) = &mut self.turns {
            turns.note(micros, 1);
        }
    }

    /// Notes that `count` requests took `micros` in this stage.
    pub fn record(&mut self, stage: Stage, micros: u64, count: u64) {
        if let Some(histogram) = self.histograms.get_mut(stage.position()) {
            histogram.note(micros, count);
        }
    }

    /// The histogram of a stage.
    #[must_use]
    pub fn histogram(&self, stage: Stage) -> Option<&Histogram<u64>> {
        self.histograms.get(stage.position())
    }

    /// The histogram of whole turns.
    #[must_use]
    pub fn turns(&self) -> Option<&Histogram<u64>> {
        self.turns.as_ref()
    }

    /// All nine in the V2 format of `HdrHistogram`, in the order of their numbers.
    #[must_use]
    pub fn encode(&self) -> Vec<bytes::Bytes> {
        self.histograms.iter().map(encode).collect()
    }

    /// The turns, in the same format.
    #[must_use]
    pub fn encode_turns(&self) -> bytes::Bytes {
        self.turns.as_ref().map(encode).unwrap_or_default()
    }
}

fn encode(histogram: &Histogram<u64>) -> bytes::Bytes {
    let mut out = Vec::new();
    // Writing to memory fails for no histogram that can be made here.
    let _ = V2Serializer::new().serialize(histogram, &mut out);
    out.into()
}

/// Recording without an error to handle: what is out of bounds counts as the bound.
trait Saturating {
    fn note(&mut self, micros: u64, count: u64);
}

impl Saturating for Histogram<u64> {
    fn note(&mut self, micros: u64, count: u64) {
        let _ = self.record_n(micros.clamp(1, LONGEST_US), count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;

    #[test]
    fn what_is_recorded_is_read_back_by_an_hdr_reader_in_the_order_of_the_stages() {
        let mut stages = Stages::new();
        stages.record(Stage::Sync, 180, 3);
        stages.record(Stage::Reply, 0, 1);
        stages.record(Stage::Apply, u64::MAX, 1);
        let encoded = stages.encode();
        assert_eq!(encoded.len(), Stage::ALL.len());
        let read = |stage: Stage| -> Histogram<u64> {
            Deserializer::new().deserialize(&mut encoded[stage.position()].as_ref()).unwrap()
        };
        assert_eq!((read(Stage::Sync).len(), read(Stage::Sync).value_at_quantile(0.5)), (3, 180));
        assert_eq!(read(Stage::Reply).max(), 1);
        assert!(read(Stage::Apply).max() >= LONGEST_US);
        assert_eq!(read(Stage::Decode).len(), 0);
    }

    #[test]
    fn turns_are_counted_one_by_one_and_the_longest_is_kept() {
        let mut stages = Stages::new();
        for micros in [3, 40, 5] {
            stages.record_turn(micros);
        }
        let turns: Histogram<u64> =
            Deserializer::new().deserialize(&mut stages.encode_turns().as_ref()).unwrap();
        assert_eq!((turns.len(), turns.max()), (3, 40));
        assert!(Stage::ALL.iter().all(|stage| stages.histogram(*stage).unwrap().is_empty()));
    }
}

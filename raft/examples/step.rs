//! What the core itself costs: time and allocations per proposed entry at the leader of three nodes, disk and network being
//! free. `cargo run --release -p holdfast-raft --example step`
//!
//! One round proposes a batch, ends the turn, takes both followers' acknowledgements and its own report of durability, and hands
//! the committed entries out: everything that the leader's core ever does for an entry. Rounds of all batch sizes are
//! interleaved, so that whatever else the machine does meanwhile meets them all; the figures are medians.
#![allow(missing_docs, reason = "a program, not an interface")]

use std::time::Instant;

use allocation_counter::measure;
use bytes::Bytes;
use holdfast_raft::{
    Boot, ClusterEpoch, ClusterId, Config, Configuration, Core, Envelope, Index, Input, Member, Message,
    NodeId, NodeUuid, Output, Recovered, RoleState,
};

const BATCHES: [usize; 3] = [1, 64, 1024];
const BODY: usize = 300;
/// Rounds of each size. The log is trimmed between them, as a snapshot would.
const ROUNDS: usize = 301;
/// Entries in one block of a round, whatever the batch: what is timed is never shorter than some 10 µs.
const BLOCK: usize = 2048;

const CLUSTER: ClusterId = ClusterId([1; 16]);

struct Bench {
    core: Core,
    output: Output,
}

impl Bench {
    fn new() -> Self {
        let member =
            |id: u64| Member { uuid: NodeUuid([id as u8; 16]), promote: false, context: Bytes::new() };
        let formed = Recovered::formed(Configuration::initial((1..=3).map(|id| (NodeId(id), member(id)))));
        let config = Config {
            retain_bytes: 0,
            apply_bytes_max: usize::MAX,
            ..Config::new(CLUSTER, NodeId(1), NodeUuid([1; 16]), Boot(1), 1)
        };
        let core = Core::new(config, formed).expect("a formed node starts");
        let mut bench = Self { core, output: Output::default() };
        while bench.core.role() != RoleState::Leader {
            let _ = bench.core.step(Input::Tick);
            bench.finish_turn();
        }
        assert!(bench.core.established(), "an empty entry is committed");
        bench
    }

    fn answer(&self, from: u64, message: Message) -> Input {
        Input::Receive(Envelope {
            cluster: CLUSTER,
            epoch: ClusterEpoch(1),
            from: NodeId(from),
            from_boot: Boot(1),
            to: NodeId(1),
            to_boot: Some(Boot(1)),
            term: self.core.term(),
            message,
        })
    }

    /// Ends the turn, answers it as two followers and a disk that take no time, and so on until nothing is left to answer.
    fn finish_turn(&mut self) {
        loop {
            self.core.flush(&mut self.output);
            let durable = self.output.persist.take().map(|persist| Input::Durable(persist.id));
            let applied = self.output.apply.last().map(|last| Input::Applied(last.id.index));
            let mut answers: Vec<Input> = durable.into_iter().chain(applied).collect();
            let held = self.output.send_after_persist.drain(..).map(|held| held.envelope);
            let sent: Vec<Envelope> = self.output.send_now.drain(..).chain(held).collect();
            answers.extend(sent.iter().filter_map(|envelope| self.answer_of(envelope)));
            if answers.is_empty() {
                return;
            }
            for input in answers {
                let _ = self.core.step(input);
            }
        }
    }

    fn answer_of(&self, envelope: &Envelope) -> Option<Input> {
        let answer = match &envelope.message {
            Message::PreVote { .. } => Message::PreVoteReply { asked: envelope.term.next(), granted: true },
            Message::Vote { .. } => Message::VoteReply { granted: true },
            Message::Append { prev, entries, stretch, .. } => {
                let matched = Index(prev.index.0 + entries.len() as u64);
                Message::AppendAck { matched, stretch: *stretch, counting: true }
            }
            _ => return None,
        };
        Some(self.answer(envelope.to.0, answer))
    }

    /// As many entries as a block has, in batches, as the leader's core sees them.
    fn block(&mut self, batch: usize, body: &Bytes) {
        for _ in 0..BLOCK / batch {
            let proposals = vec![body.clone(); batch];
            let _ = self.core.step(Input::Propose(proposals));
            self.finish_turn();
        }
    }

    fn trim(&mut self) {
        let index = self.core.applied();
        let _ = self.core.step(Input::SnapshotReady { index, bytes: 1 });
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let body = Bytes::from(vec![7; BODY]);
    let mut bench = Bench::new();
    let mut nanos: [Vec<f64>; BATCHES.len()] = [const { Vec::new() }; BATCHES.len()];
    for _ in 0..ROUNDS {
        for (batch, nanos) in BATCHES.into_iter().zip(&mut nanos) {
            let start = Instant::now();
            bench.block(batch, &body);
            nanos.push(start.elapsed().as_nanos() as f64 / BLOCK as f64);
            bench.trim();
        }
    }
    println!("leader of 3, {BODY} B entries, {ROUNDS} interleaved rounds of {BLOCK} entries each:");
    for (batch, nanos) in BATCHES.into_iter().zip(nanos) {
        let info = measure(|| bench.block(batch, &body));
        bench.trim();
        let (entries, nanos) = (BLOCK as f64, median(nanos));
        let allocations = info.count_total as f64 / entries;
        let bytes = info.bytes_total as f64 / entries;
        let rate = 1e6 / nanos;
        println!(
            "  batch {batch:>4}: {nanos:>6.0} ns/entry ({rate:>5.0} k entries/s), {allocations:.2} allocations, {bytes:.0} B"
        );
    }
}

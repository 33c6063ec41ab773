//! Whatever a peer says, to whatever node: no panic, no broken invariant, and what makes no sense is dropped and counted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use holdfast_raft::{
    Boot, COUNT_MAX, ClusterEpoch, ClusterId, Configuration, Core, DropCause, Entry, EntryId, Envelope,
    Index, Input, LogRead, Message, NoPlant, NodeId, Output, Payload, PersistId, Round, SnapshotMeta,
    SnapshotWork, Stretch, Term, invariants,
};

use crate::script::command::member;
use crate::script::world::World;

/// Every state that a node can be in when something comes, and the commands that bring n1 there.
const SITUATIONS: &[(&str, &[&str])] = &[
    ("fresh follower", &["cluster 3"]),
    ("follower of n2", &["cluster 3 leader n2"]),
    ("pre-candidate", &["cluster 3", "timeout n1"]),
    ("candidate", &["cluster 3", "timeout n1", "deliver", "deliver"]),
    ("candidate that writes", &["cluster 3", "timeout n1", "manual n1 disk", "deliver", "deliver"]),
    ("new leader", &["cluster 3", "win n1"]),
    ("established leader", &["cluster 3 leader n1", "propose n1 x y"]),
    ("leader that hands over", &["cluster 3 leader n1", "transfer n1 n2"]),
    ("leader in a joint configuration", &["cluster 3 leader n1", "change n1 demote n3"]),
    (
        "leader that sends a snapshot",
        &[
            "cluster 3 leader n1 retain=0 resident=0 chunk=10",
            "cut n1→n3",
            "propose n1 x",
            "stabilize",
            "snapshot n1",
            "connected n1 n3",
        ],
    ),
    ("leader with reads", &["cluster 3 leader n1", "isolate n1", "read n1 r1 r2"]),
    ("follower with reads", &["cluster 3 leader n2", "isolate n1", "read n1 r1 r2"]),
    ("follower in a joint configuration", &["cluster 3 leader n2", "change n2 demote n3", "deliver Append"]),
    (
        "receiver of a snapshot",
        &[
            "cluster 3 leader n2 retain=0 chunk=10",
            "isolate n1",
            "propose n2 x",
            "stabilize",
            "snapshot n2",
            "heal",
            "connected n2 n1",
            "deliver SnapshotChunk",
        ],
    ),
    (
        "installer of a snapshot",
        &[
            "cluster 3 leader n2 retain=0",
            "isolate n1",
            "propose n2 x",
            "stabilize",
            "snapshot n2",
            "heal",
            "manual n1 install",
            "connected n2 n1",
            "deliver SnapshotChunk",
        ],
    ),
    ("behind a snapshot", &["cluster 3 leader n2 retain=0", "propose n2 x y", "run 4", "snapshot n1"]),
    (
        "with a hole",
        &[
            "cluster 3 leader n2",
            "propose n2 x y z",
            "run 4",
            "crash n1",
            "restart n1 missing 4..4 doubtful 3..3",
        ],
    ),
    (
        "with a doubtful end",
        &["cluster 3 leader n2", "propose n2 x", "run 4", "restart n1 claims 9@2 untrusted"],
    ),
    ("without votes", &["cluster 3 leader n2", "restart n1 votes-lost"]),
    ("blank", &["join n1"]),
    ("removed", &["cluster 3 leader n2", "change n2 remove n1", "stabilize"]),
];

fn core_in(commands: &[&str]) -> Core {
    let mut world = World::<NoPlant>::new();
    for command in commands {
        world.command(command).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
    world.core(NodeId(1)).expect("n1 runs").clone()
}

/// A small generator, so that a failure names its seed and comes again.
struct Dice {
    state: u64,
    /// An entry that the node has: what is told of it is often about that one.
    near: EntryId,
}

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % below
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }

    fn number(&mut self) -> u64 {
        self.pick(&[0, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 9, 12, COUNT_MAX - 1, COUNT_MAX, u64::MAX])
    }

    fn id(&mut self) -> EntryId {
        if self.roll(2) == 0 {
            let index = self.near.index.0.saturating_add_signed(self.pick(&[-1, 0, 0, 1, 2]));
            return EntryId { index: Index(index), ..self.near };
        }
        EntryId { term: Term(self.number()), index: Index(self.number()) }
    }

    fn configuration(&mut self) -> Arc<Configuration> {
        let members = |ids: &[u64]| ids.iter().map(|id| (NodeId(*id), member(NodeId(*id)))).collect();
        let voters = |ids: &[u64]| ids.iter().copied().map(NodeId).collect();
        let (new, old): (&[u64], &[u64]) = self.pick(&[
            (&[][..], &[][..]),
            (&[1], &[]),
            (&[1, 2, 3], &[]),
            (&[1, 2, 3], &[1, 2]),
            (&[7, 8], &[9]),
        ]);
        let all = [new, old].concat();
        Configuration::from_parts(voters(new), voters(old), members(&all), Default::default())
            .expect("it is one")
            .into()
    }

    fn entries(&mut self, near: u64) -> Vec<Entry> {
        let mut term = near;
        (0..self.roll(4))
            .map(|_| {
                term = self.pick(&[term, term, term.saturating_add(1), 0, u64::MAX]);
                let configuration = Payload::Configuration(self.configuration());
                let payload =
                    self.pick(&[Payload::Empty, Payload::Data(Bytes::from_static(b"x")), configuration]);
                Entry { term: Term(term), payload }
            })
            .collect()
    }

    fn message(&mut self, kind: usize) -> Message {
        let (index, number, yes) = (Index(self.number()), self.number(), self.roll(2) == 0);
        let (stretch, round) = (Stretch(self.number()), Round(self.number()));
        match kind {
            0 => Message::PreVote { last: self.id() },
            1 => Message::PreVoteReply { asked: Term(number), granted: yes },
            2 => Message::Vote { last: self.id(), transfer: yes },
            3 => Message::VoteReply { granted: yes },
            4 => {
                let prev = self.id();
                let entries = self.entries(prev.term.0);
                Message::Append { prev, entries, commit: index, established: yes, stretch }
            }
            5 => Message::AppendAck { matched: index, stretch, counting: yes },
            6 => Message::AppendReject { prev: self.id(), hint: self.id(), stretch },
            7 => Message::Heartbeat { round, commit: index, established: yes },
            8 => Message::HeartbeatAck { round, counting: yes },
            9 => Message::ReadIndex { batch: number },
            10 => Message::ReadIndexReply { batch: number, index: yes.then_some(index) },
            11 => Message::TimeoutNow { last: self.id() },
            12 => {
                let configuration = (Index(self.number()), self.configuration());
                let meta = SnapshotMeta { last: self.id(), configuration, bytes: self.number() };
                let data = Bytes::from(vec![0; self.roll(12)]);
                Message::SnapshotChunk { meta, offset: number, data }
            }
            13 => Message::SnapshotAck { last: self.id(), offset: number },
            14 => Message::SnapshotReject { last: self.id() },
            _ => Message::Notice,
        }
    }

    fn envelope(&mut self, core: &Core, kind: usize) -> Envelope {
        self.near = self.pick(&[core.last(), core.last(), core.prev(), core.last()]);
        let own = core.term().0;
        let odd =
            self.pick(&[0, own.saturating_sub(1), own + 1, own + 1, own + (1 << 33), COUNT_MAX, u64::MAX]);
        let term = self.pick(&[own, own, own, odd]);
        let boot = core.config().boot;
        Envelope {
            cluster: ClusterId([7; 16]),
            epoch: ClusterEpoch(1),
            from: NodeId(self.pick(&[2, 2, 2, 2, 2, 2, 3, 3, 9, 0, 1, u64::MAX])),
            from_boot: Boot(self.pick(&[1, 1, 1, 1, 1, 1, 1, 2, 0, u64::MAX])),
            to: NodeId(1),
            to_boot: self.pick(&[
                None,
                None,
                None,
                Some(boot),
                Some(boot),
                Some(Boot(boot.0 + 1)),
                Some(Boot(0)),
            ]),
            term: Term(term),
            message: self.message(kind),
        }
    }
}

fn dice() -> Dice {
    Dice { state: 0, near: EntryId::ZERO }
}

const KINDS: usize = 16;

/// One turn, and what an owner does about it.
fn turn(core: &mut Core, dice: &mut Dice) {
    let mut output = Output::default();
    core.flush(&mut output);
    let applied = output.apply.last().map(|last| Input::Applied(last.id.index));
    let durable = output.persist.as_ref().map(|persist| Input::Durable(persist.id));
    let works = output.snapshots.iter().filter_map(|work| match work {
        SnapshotWork::Install { meta } => {
            Some(Input::SnapshotInstalled { last: meta.last, done: dice.roll(3) > 0 })
        }
        SnapshotWork::Read { to, last, offset, .. } => {
            Some(Input::SnapshotRead { to: *to, last: *last, offset: *offset, data: None })
        }
        SnapshotWork::Store { .. } => None,
    });
    let mut works: Vec<Input> = works.collect();
    for LogRead { to, first, .. } in output.log_reads.drain(..) {
        let wrong = Entry { term: Term(dice.roll(9) as u64), payload: Payload::Empty };
        works.push(Input::LogRead { to, first, entries: vec![wrong; dice.roll(3)] });
    }
    for input in applied.into_iter().chain(durable).chain(works) {
        if dice.roll(4) > 0 {
            let _ = core.step(input);
        }
    }
    invariants::check(core);
    invariants::check_log(core);
}

/// Every kind of message with numbers that no message may have, from members and strangers, to a node in every situation: it
/// is dropped, counted, and changes nothing.
pub(crate) fn out_of_range() {
    let huge = Index(COUNT_MAX);
    let far = EntryId { term: Term(1), index: huge };
    let half = EntryId { term: Term(0), index: Index(3) };
    let (stretch, ahead) = (Stretch(1), EntryId { term: Term(COUNT_MAX), index: Index(3) });
    let empty = Entry { term: Term(1), payload: Payload::Configuration(Arc::default()) };
    let falling = [3, 2].map(|term| Entry { term: Term(term), payload: Payload::Empty });
    let append =
        |prev, entries, commit| Message::Append { prev, entries, commit, established: true, stretch };
    let some = Arc::new(Configuration::initial([(NodeId(1), member(NodeId(1)))]));
    let snapshot =
        |last, at, configuration, bytes| SnapshotMeta { last, configuration: (at, configuration), bytes };
    let chunk = |meta, offset| Message::SnapshotChunk { meta, offset, data: Bytes::from_static(b"xyz") };
    let last = EntryId::new(1, 3);
    let table = [
        Message::PreVote { last: far },
        Message::PreVote { last: half },
        Message::PreVote { last: ahead },
        Message::PreVoteReply { asked: Term(COUNT_MAX), granted: true },
        Message::Vote { last: far, transfer: true },
        Message::Vote { last: ahead, transfer: false },
        append(far, vec![], Index(0)),
        append(half, vec![], Index(0)),
        append(EntryId::ZERO, vec![], huge),
        append(EntryId::ZERO, vec![empty], Index(0)),
        append(EntryId::ZERO, falling.to_vec(), Index(0)),
        append(EntryId::ZERO, vec![Entry { term: Term(0), payload: Payload::Empty }], Index(0)),
        append(EntryId::ZERO, vec![Entry { term: Term(COUNT_MAX), payload: Payload::Empty }], Index(0)),
        Message::AppendAck { matched: huge, stretch, counting: true },
        Message::AppendReject { prev: last, hint: last, stretch },
        Message::AppendReject { prev: last, hint: far, stretch },
        Message::AppendReject { prev: EntryId::ZERO, hint: EntryId::ZERO, stretch },
        Message::Heartbeat { round: Round(COUNT_MAX), commit: Index(0), established: true },
        Message::Heartbeat { round: Round(1), commit: huge, established: true },
        Message::HeartbeatAck { round: Round(COUNT_MAX), counting: true },
        Message::ReadIndexReply { batch: 1, index: Some(huge) },
        Message::TimeoutNow { last: far },
        Message::TimeoutNow { last: half },
        chunk(snapshot(EntryId::ZERO, Index(0), some.clone(), 9), 0),
        chunk(snapshot(far, Index(1), some.clone(), 9), 0),
        chunk(snapshot(last, Index(9), some.clone(), 9), 0),
        chunk(snapshot(last, Index(1), Arc::default(), 9), 0),
        chunk(snapshot(last, Index(1), some.clone(), 9), 7),
        chunk(snapshot(last, Index(1), some, u64::MAX), u64::MAX),
        Message::SnapshotAck { last: far, offset: 0 },
        Message::SnapshotReject { last: far },
    ];
    for (situation, commands) in SITUATIONS {
        let core = core_in(commands);
        for message in &table {
            for from in [2, 3, 9] {
                let mut core = core.clone();
                let before = (core.term(), core.vote(), core.role(), core.commit(), core.last());
                let envelope = Envelope {
                    message: message.clone(),
                    from: NodeId(from),
                    from_boot: Boot(1),
                    to_boot: None,
                    term: core.term().next(),
                    ..dice().envelope(&core, 15)
                };
                let _ = core.step(Input::Receive(envelope));
                let after = (core.term(), core.vote(), core.role(), core.commit(), core.last());
                assert_eq!(core.drops(DropCause::Malformed), 1, "{situation}: {message:?} from n{from}");
                assert_eq!(before, after, "{situation}: {message:?} from n{from}");
            }
        }
    }
}

/// Messages at random, near to what makes sense and far from it, one after the other, to a node in every situation.
pub(crate) fn at_random(runs: u64) {
    for (situation, commands) in SITUATIONS {
        let core = core_in(commands);
        for seed in 0..runs {
            let (mut core, mut dice, mut said) = (core.clone(), Dice { state: seed, ..dice() }, Vec::new());
            let run = catch_unwind(AssertUnwindSafe(|| {
                for _ in 0..12 {
                    let kind = dice.roll(KINDS);
                    let envelope = dice.envelope(&core, kind);
                    said.push(envelope.clone());
                    let _ = core.step(Input::Receive(envelope));
                    turn(&mut core, &mut dice);
                    if dice.roll(3) == 0 {
                        let _ = core.step(Input::Tick);
                        let _ = core.step(Input::Durable(PersistId(dice.number())));
                    }
                }
            }));
            assert!(run.is_ok(), "a node that is {situation}, seed {seed}, after {:#?}", said.last());
        }
    }
}

//! What the connections of a load call, what counts as done, and the loop in which they do it.
//!
//! One loop serves both kinds of load: [`Slots`] say which calls are to be sent, and since when they count.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_command::Code;
use holdfast_command::keys::{Put, Range, Span};
use holdfast_command::outcome::{Outcome as Executed, Reply};
use holdfast_command::refusal::Refusal;
use holdfast_command::request::{Command, Request, RequestKey, SessionId};
use holdfast_command::sessions::OpenSession;
use holdfast_machine::Numbered;
use holdfast_wire::Message;
use holdfast_wire::message::{Consistency, Read, Refused, Submit};
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, LocalSet};

use crate::cluster::Members;
use crate::failure::{Doing, Failure};
use crate::link::{Link, PATIENCE as PATIENCE_OF_A_LINK};
use crate::load::{Answers, Load, Recorder};
use crate::pace::{Random, Slots};
use crate::timer::Timer;

/// A node gives an operation up after this.
const TIMEOUT_MS: u32 = 10_000;
/// A connection rests so long after a refusal, so that a cluster without a leader is not asked as fast as it can refuse.
const PAUSE: Duration = Duration::from_millis(1);
/// After so long without an answer the other nodes are asked whether one of them leads: a node that hangs closes no connection.
/// What one that leaves was asked before is waited for as long.
const SILENCE: Duration = Duration::from_secs(1);
/// How long there may be no leader while keys are written at first.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a session lives without a call.
const SESSION_MS: u64 = 30_000;
/// The number of no call: above all others.
const NONE: u64 = u64::MAX;
/// Keys are written at first with so many outstanding.
const FILLING: usize = 1_024;

/// What the connections of a run call, by chance.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The reads.
    pub(crate) reads: Vec<Message>,
    /// The writes.
    pub(crate) writes: Writes,
    /// So many of a hundred calls are reads, by chance. Without reads it is 0, without writes 100.
    pub(crate) percent: u32,
}

/// Writes of a plan.
#[derive(Debug)]
pub(crate) enum Writes {
    /// These, as they are.
    Same(Vec<Message>),
    /// These, each with its number in a session.
    Once(Vec<Put>),
}

/// The kinds of calls, in the order in which a recorder tells them apart.
pub(crate) const KINDS: [&str; 2] = ["gets", "puts"];
const READ: usize = 0;
const WRITE: usize = 1;

/// The call of a write.
pub(crate) fn submit(command: Command, key: RequestKey) -> Message {
    let request = Request { key, ..Request::from(command) }.encode();
    Message::Submit(Submit { timeout_ms: TIMEOUT_MS, request })
}

/// The call of a linearizable read.
pub(crate) fn read(key: Bytes) -> Message {
    let mut range = Vec::new();
    Range::of(Span::Key(key)).write(&mut range);
    Message::Read(Read {
        consistency: Consistency::Linearizable.number(),
        timeout_ms: TIMEOUT_MS,
        max_stale_ms: 0,
        min_position: None,
        range: range.into(),
    })
}

/// Why an operation was not done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// It was refused; others may be done.
    Refused(String),
    /// This node does not do any, or not any more.
    Elsewhere(String),
    /// The same; and nobody can say whether this one will have been done.
    Unknown(String),
}

/// Whether an answer says that it was done.
pub(crate) fn verdict(answer: Message) -> Result<(), Undone> {
    if let Message::Refused(refused) = &answer
        && refused.code != Code::Overloaded.number()
    {
        let why = format!("{refused:?}");
        let is_known = refused.effect == Refused::NOT_APPLIED;
        return Err(if is_known { Undone::Elsewhere(why) } else { Undone::Unknown(why) });
    }
    match outcome(answer).map_err(Undone::Refused)? {
        Ok(Reply::Ranged(page)) if page.entries.is_empty() => {
            Err(Undone::Refused("a key that was written is not there".to_owned()))
        }
        Ok(_) => Ok(()),
        Err(refusal) => Err(Undone::Refused(format!("{refusal:?}"))),
    }
}

/// What was executed, or why nothing was.
pub(crate) fn outcome(answer: Message) -> Result<Result<Reply, Refusal>, String> {
    let outcome = match answer {
        Message::Submitted(submitted) => submitted.outcome,
        Message::ReadDone(done) => done.outcome,
        other => return Err(format!("{other:?}")),
    };
    Ok(Executed::decode(outcome).map_err(|error| error.to_string())?.0)
}

/// Makes all calls, in order; those that were under way when the leader changed once more.
pub(crate) async fn fill<C: Iterator<Item = Message>>(
    members: &Members,
    calls: impl Fn() -> C,
) -> io::Result<()> {
    let (mut done, mut before, mut moved) = (0, 0, Instant::now());
    loop {
        match fill_at(&members.find_leader(moved + PATIENCE).await?, calls().skip(done), &mut done).await {
            Ok(()) => return Ok(()),
            Err(_) if done > before => (before, moved) = (done, Instant::now()),
            Err(error) if moved.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Adds to `done` as many as all were answered.
async fn fill_at(
    address: &str,
    mut calls: impl Iterator<Item = Message>,
    done: &mut usize,
) -> io::Result<()> {
    let mut link = Link::open(address).await?;
    loop {
        let mut open = 0;
        for message in calls.by_ref().take(FILLING) {
            open += 1;
            link.send(open, &message)?;
        }
        if open == 0 {
            return Ok(());
        }
        let sent = open;
        while open > 0 {
            link.exchange().await?;
            while let Some((_, answer)) = link.next()? {
                verdict(answer).map_err(|undone| io::Error::other(format!("{undone:?}")))?;
                open -= 1;
            }
        }
        *done += sent as usize;
    }
}

/// Makes calls as `load` wants them, until the run that `recorder` records is over.
pub(crate) fn generate(
    runtime: &Runtime,
    recorder: Recorder,
    load: &Load,
    members: &Members,
    plan: &Rc<Plan>,
) -> Result<Answers, Failure> {
    let doing = || "run the load".to_owned();
    let recorder = Rc::new(RefCell::new(recorder));
    let members = Rc::new(members.clone());
    LocalSet::new().block_on(runtime, async {
        let mut set = JoinSet::new();
        for number in 0..load.connections {
            let calls = Calls::new(Rc::clone(plan), number, load.in_flight);
            let slots = Slots::new(load, number, recorder.borrow().window());
            set.spawn_local(connections(Rc::clone(&members), calls, slots, Rc::clone(&recorder)));
        }
        while let Some(ended) = set.join_next().await {
            ended.doing(doing)?.doing(doing)?;
        }
        Ok(())
    })?;
    let recorder = Rc::into_inner(recorder).ok_or_else(|| Failure::new(doing(), "a connection is left"))?;
    Ok(recorder.into_inner().finish())
}

/// One connection after the other, each to the leader of the time, until the run is over. What is outstanding when a
/// connection ends counts as errors.
async fn connections(
    members: Rc<Members>,
    mut calls: Calls,
    mut slots: Slots,
    recorder: Rc<RefCell<Recorder>>,
) -> io::Result<()> {
    let timer = slots.is_open().then(Timer::new).transpose()?;
    let end = recorder.borrow().end();
    while !recorder.borrow().is_over(Instant::now()) {
        // Without a leader until the end, there is nothing more to come.
        let Ok(address) = members.find_leader(end).await else { break };
        match connection(&members, &address, &mut calls, &mut slots, timer.as_ref(), &recorder).await {
            // Over, or all that was due is answered.
            Ok(()) => break,
            Err(error) => {
                lost(&calls, &mut slots, &recorder, &error.to_string());
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    if slots.is_open() {
        lost(&calls, &mut slots, &recorder, "no answer came until the end of the run");
        while let Some(due) = slots.unsent() {
            recorder.borrow_mut().unsent(due);
        }
    }
    Ok(())
}

/// What is outstanding is not answered any more.
fn lost(calls: &Calls, slots: &mut Slots, recorder: &RefCell<Recorder>, why: &str) {
    for (place, since) in slots.reset() {
        let kind = calls.kind(place);
        recorder.borrow_mut().lost_of(kind, since, Instant::now(), why, kind == WRITE);
    }
}

/// One connection: of whatever has been answered, or is due, as many new calls at once. When the node leads no more, what it was
/// asked before is waited for a little, as most of it is refused and not lost.
async fn connection(
    members: &Members,
    address: &str,
    calls: &mut Calls,
    slots: &mut Slots,
    timer: Option<&Timer>,
    recorder: &RefCell<Recorder>,
) -> io::Result<()> {
    let mut link = Link::open(address).await?;
    calls.begin(&mut link).await?;
    let mut now = Instant::now();
    let (mut heard, mut asked) = (now, now);
    let mut leaving: Option<(String, Instant)> = None;
    loop {
        // A call is a place, counted from 1. All are written at once.
        while leaving.is_none()
            && let Some((place, since)) = slots.take(now)
        {
            let call = calls.next(place);
            recorder.borrow_mut().sent_of(calls.kind(place), since, now);
            link.send(place as u64 + 1, &call)?;
        }
        if recorder.borrow().is_over(now) || slots.is_done() {
            return Ok(());
        }
        if let Some((why, since)) = &leaving
            && (slots.outstanding() == 0 || now.saturating_duration_since(*since) > SILENCE)
        {
            return Err(io::Error::other(why.clone()));
        }
        match timer {
            Some(timer) if leaving.is_none() => {
                let due = slots.wake().unwrap_or_else(|| recorder.borrow().last());
                link.exchange_until(timer, due.min(now + SILENCE)).await?;
            }
            _ => link.exchange_for(SILENCE).await?,
        }
        let mut refused = false;
        now = Instant::now();
        if slots.outstanding() == 0 {
            heard = now;
        }
        while let Some((call, answer)) = link.next_of_all()? {
            heard = now;
            let place = usize::try_from(call).ok().and_then(|call| call.checked_sub(1));
            let Some((place, since)) = place.and_then(|place| Some((place, slots.answered(place)?))) else {
                return Err(io::Error::other(format!("{answer:?} for call {call}, which there is not")));
            };
            calls.answered(place);
            let kind = calls.kind(place);
            match verdict(answer) {
                Ok(()) => recorder.borrow_mut().answer_of(kind, since, now),
                Err(Undone::Refused(why)) => {
                    refused = true;
                    recorder.borrow_mut().error_of(kind, now, why);
                }
                Err(Undone::Elsewhere(why)) => {
                    recorder.borrow_mut().error_of(kind, now, why.clone());
                    leaving.get_or_insert((why, now));
                }
                Err(Undone::Unknown(why)) => {
                    recorder.borrow_mut().lost_of(kind, since, now, &why, kind == WRITE);
                    leaving.get_or_insert((why, now));
                }
            }
        }
        if let Some(goodbye) = link.goodbye() {
            leaving.get_or_insert_with(|| (goodbye.to_owned(), now));
        }
        let is_silent = |since: Instant| now.saturating_duration_since(since) >= SILENCE;
        if is_silent(heard) && is_silent(asked) {
            if members.leads_elsewhere(address).await {
                return Err(io::Error::other("the node answers nothing, and another one leads"));
            }
            now = Instant::now();
            asked = now;
        }
        if now.saturating_duration_since(heard) > PATIENCE_OF_A_LINK {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // A schedule does not wait for those who refuse.
        if refused && !slots.is_open() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The calls of one connection.
#[derive(Debug)]
struct Calls {
    plan: Rc<Plan>,
    random: Random,
    /// The session, once there is one.
    session: SessionId,
    /// The number of the last call, and of the one that is outstanding at each place; [`NONE`] where none is.
    sequence: u64,
    outstanding: Vec<u64>,
    /// The kind of the last call at each place.
    kinds: Vec<usize>,
}

impl Calls {
    /// Of connection `number`, with `in_flight` outstanding.
    fn new(plan: Rc<Plan>, number: u32, in_flight: u32) -> Self {
        let (outstanding, kinds) = (vec![NONE; in_flight as usize], vec![WRITE; in_flight as usize]);
        let random = Random::new(number.into());
        Self { plan, random, session: SessionId(0), sequence: 0, outstanding, kinds }
    }

    /// Opens a session, if the plan wants one. Its numbers begin at 1.
    async fn begin(&mut self, link: &mut Link) -> io::Result<()> {
        self.sequence = 0;
        self.outstanding.fill(NONE);
        if let Writes::Once(_) = self.plan.writes {
            let open = Command::OpenSession(OpenSession { ttl_ms: SESSION_MS });
            let answer = link.ask(&submit(open, RequestKey::None)).await?;
            let Ok(Reply::SessionOpened { session }) = outcome(answer).map_err(io::Error::other)? else {
                return Err(io::Error::other("there is no session to be had"));
            };
            self.session = session;
        }
        Ok(())
    }

    /// The call at this place is answered.
    fn answered(&mut self, place: usize) {
        if let Some(outstanding) = self.outstanding.get_mut(place) {
            *outstanding = NONE;
        }
    }

    /// The kind of the last call at this place: a place in [`KINDS`].
    fn kind(&self, place: usize) -> usize {
        self.kinds.get(place).copied().unwrap_or(WRITE)
    }

    /// The next call, at a place whose last one is answered.
    fn next(&mut self, place: usize) -> Message {
        let is_read = match self.plan.percent {
            0 => false,
            percent => percent >= 100 || self.random.next() % 100 < u64::from(percent),
        };
        if let Some(kind) = self.kinds.get_mut(place) {
            *kind = if is_read { READ } else { WRITE };
        }
        let random = self.random.next();
        let one_of = |messages: &[Message]| messages[(random % messages.len() as u64) as usize].clone();
        match &self.plan.writes {
            _ if is_read => one_of(&self.plan.reads),
            Writes::Same(messages) => one_of(messages),
            Writes::Once(puts) => {
                self.sequence += 1;
                if let Some(outstanding) = self.outstanding.get_mut(place) {
                    *outstanding = self.sequence;
                }
                let low = self.outstanding.iter().copied().min().unwrap_or(self.sequence);
                let key = RequestKey::Session { session: self.session, sequence: self.sequence, low };
                submit(Command::Put(puts[(random % puts.len() as u64) as usize].clone()), key)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use bytes::Buf as _;
    use holdfast_command::KeyValue;
    use holdfast_command::outcome::RangePage;
    use holdfast_wire::connection::{Incoming, Role};
    use holdfast_wire::message::{ClientWelcome, Features, Limits, Position, ReadDone, Submitted};
    use holdfast_wire::{ClusterEpoch, Connection};

    use super::*;
    use crate::failover::tests::said;
    use crate::pace::Pace;

    const POSITION: Position = Position { epoch: ClusterEpoch::FIRST, group: 0, term: 1, index: 1 };

    fn page(entries: Vec<KeyValue>) -> Message {
        let page = RangePage { revision: 1, entries, count: None, more: false, continuation: Bytes::new() };
        let outcome = Executed(Ok(Reply::Ranged(page))).encode().into();
        Message::ReadDone(ReadDone { position: POSITION, staleness_ms: 0, outcome })
    }

    #[test]
    fn only_what_was_done_counts_as_done() {
        let entry = KeyValue {
            key: "k".into(),
            value: "v".into(),
            create_revision: 1,
            mod_revision: 1,
            version: 1,
            lease: 0,
            stamp: 0,
        };
        assert_eq!(verdict(page(vec![entry])), Ok(()));
        assert!(verdict(page(Vec::new())).is_err(), "a key that is not there");
        let refused = Refused {
            code: 1203,
            effect: Refused::NOT_APPLIED,
            retry_after_ms: 0,
            first: 0,
            second: 0,
            leader: None,
            detail: "no leader".into(),
        };
        assert!(matches!(verdict(Message::Refused(refused.clone())), Err(Undone::Elsewhere(_))));
        let busy = Refused { code: Code::Overloaded.number(), ..refused };
        assert!(matches!(verdict(Message::Refused(busy)), Err(Undone::Refused(_))));
        let garbled = Submitted { position: POSITION, outcome: Bytes::from_static(b"x") };
        assert!(verdict(Message::Submitted(garbled)).is_err(), "bytes that are no outcome");
    }

    /// The number and the lowest outstanding one that a call carries.
    fn sequence(message: Message) -> (u64, u64) {
        let Message::Submit(submit) = message else { panic!("{message:?}") };
        match Request::decode(submit.request).unwrap().key {
            RequestKey::Session { session: SessionId(7), sequence, low } => (sequence, low),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn calls_of_a_session_have_numbers_of_their_own_and_give_up_only_what_is_answered() {
        for seed in 0..20 {
            let writes = Writes::Once(vec![Put { key: "k".into(), ..Put::default() }]);
            let plan = Rc::new(Plan { reads: Vec::new(), writes, percent: 0 });
            let mut calls = Calls::new(plan, seed, 5);
            calls.session = SessionId(7);
            // What is outstanding at each place, as the node would see it.
            let mut outstanding = BTreeSet::new();
            let mut places: Vec<u64> = (0..5).map(|place| sequence(calls.next(place)).0).collect();
            outstanding.extend(places.iter().copied());
            assert_eq!(places, [1, 2, 3, 4, 5], "seed {seed}");
            for _ in 0..200 {
                let place = (calls.random.next() % 5) as usize;
                outstanding.remove(&places[place]);
                let (sequence, low) = sequence(calls.next(place));
                assert!(outstanding.insert(sequence), "seed {seed}: {sequence} twice");
                assert_eq!(outstanding.first(), Some(&low), "seed {seed}");
                places[place] = sequence;
            }
        }
    }

    #[test]
    fn reads_and_writes_are_mixed_by_chance_as_often_as_they_are_wanted_and_known_apart() {
        let writes = Writes::Once(vec![Put { key: "k".into(), ..Put::default() }]);
        let plan = Rc::new(Plan { reads: vec![read("k".into())], writes, percent: 90 });
        let mut calls = Calls::new(plan, 7, 3);
        calls.session = SessionId(7);
        let (mut reads, mut numbers) = (0, Vec::new());
        for call in 0..10_000 {
            let place = call % 3;
            let kind = match calls.next(place) {
                Message::Read(_) => "gets",
                write => {
                    numbers.push(sequence(write));
                    "puts"
                }
            };
            reads += usize::from(kind == "gets");
            assert_eq!(KINDS[calls.kind(place)], kind);
            calls.answered(place);
        }
        // Of 10,000 with a chance of 0.9 the spread is 30; reads take no number of the session.
        assert!((8_850..9_150).contains(&reads), "seed 7: {reads}");
        assert_eq!(numbers.len(), 10_000 - reads);
        assert!((1..).zip(&numbers).all(|(number, (sequence, low))| *sequence == number && *low == number));
    }

    #[test]
    fn connections_call_different_keys_in_a_different_order() {
        let order = |number| {
            let messages = (0..1000_u32).map(|key| read(key.to_string().into())).collect();
            let plan = Plan { reads: messages, writes: Writes::Same(Vec::new()), percent: 100 };
            let mut calls = Calls::new(Rc::new(plan), number, 1);
            (0..50).map(|_| format!("{:?}", calls.next(0))).collect::<Vec<_>>()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert!(order(1).iter().collect::<BTreeSet<_>>().len() > 40);
    }

    /// What becomes of the first node when it fails.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum End {
        /// Its connections close, and nobody listens.
        Closes,
        /// It answers nothing, and closes nothing.
        Hangs,
    }

    /// Two nodes of which the second leads once the first has failed: what each of them knows of when that is.
    #[derive(Clone, Copy)]
    struct Fakes {
        /// The first answers nothing from here on, and closes a little later, if it does.
        fails: Instant,
        closes: Instant,
        end: End,
        /// The second leads from here on.
        leads: Instant,
        /// No thread outlives this.
        over: Instant,
    }

    impl Fakes {
        fn is_gone(&self, node: u64) -> bool {
            let now = Instant::now();
            now >= self.over || node == 1 && self.end == End::Closes && now >= self.closes
        }

        /// What `node` answers; nothing, if it hangs.
        fn answer(&self, node: u64, message: &Message) -> Option<Message> {
            let now = Instant::now();
            if node == 1 && now >= self.fails {
                return None;
            }
            let leader = if now >= self.leads { 2 } else { 1 };
            match message {
                Message::Status(_) => Some(Message::StatusReply(said(node, leader, leader, 1).unwrap())),
                Message::Submit(_) => {
                    let outcome = Executed(Ok(Reply::Put { revision: 1, previous: None })).encode().into();
                    Some(Message::Submitted(Submitted { position: POSITION, outcome }))
                }
                other => panic!("{other:?}"),
            }
        }

        fn listen(self, node: u64) -> String {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let address = listener.local_addr().unwrap().to_string();
            thread::spawn(move || {
                while !self.is_gone(node) {
                    match listener.accept() {
                        Ok((stream, _)) => drop(thread::spawn(move || self.serve(node, stream))),
                        Err(_) => thread::sleep(Duration::from_millis(1)),
                    }
                }
            });
            address
        }

        fn serve(self, node: u64, mut stream: TcpStream) -> io::Result<()> {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(Duration::from_millis(5)))?;
            let welcome = ClientWelcome {
                version: 1,
                cluster: None,
                node: said(node, 1, 1, 1).unwrap().node,
                features: Features(0),
                limits: Limits {
                    frame_bytes: 16 << 20,
                    request_bytes: 1 << 20,
                    transaction_bytes: 4 << 20,
                    transaction_operations: 4096,
                },
                leader: None,
                build: "".into(),
            };
            let mut connection = Connection::new(Role::Server(welcome), 0).map_err(io::Error::other)?;
            let mut bytes = [0; 4096];
            while !self.is_gone(node) {
                match stream.read(&mut bytes) {
                    Ok(0) => break,
                    Ok(count) => connection.buffer().extend_from_slice(&bytes[..count]),
                    Err(_) => continue,
                }
                while let Some(incoming) = connection.next(0) {
                    if let Incoming::Message(header, message) = incoming
                        && let Some(answer) = self.answer(node, &message)
                    {
                        let header = answer.header().for_call(header.call);
                        connection.send(header, &answer).map_err(io::Error::other)?;
                    }
                }
                if !(node == 1 && Instant::now() >= self.fails) {
                    // It is asked a thousand times in a second and connection, and leaves the machine to others.
                    thread::sleep(Duration::from_millis(1));
                    let out = connection.outbox();
                    let out = out.copy_to_bytes(out.remaining());
                    stream.write_all(&out)?;
                }
            }
            Ok(())
        }
    }

    /// Puts for six seconds, to two nodes of which the first fails after 0.7 s and the second leads `leads` ms after the begin.
    fn through_a_failure(end: End, leads: u64, pace: Option<Pace>) -> Answers {
        let in_flight = if pace.is_some() { 1024 } else { 4 };
        let load = Load {
            connections: 2,
            in_flight,
            value_bytes: 1,
            warmup: Duration::ZERO,
            measured: Duration::from_secs(6),
            operations: None,
            pace,
        };
        let window = load.window();
        let at = |millis| window.begin + Duration::from_millis(millis);
        let fakes = Fakes { fails: at(700), closes: at(800), end, leads: at(leads), over: at(18_000) };
        let members = Members::unseen(vec![fakes.listen(1), fakes.listen(2)]);
        let put = Command::Put(Put { key: "k".into(), ..Put::default() });
        let writes = Writes::Same(vec![submit(put, RequestKey::None)]);
        let plan = Rc::new(Plan { reads: Vec::new(), writes, percent: 0 });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let recorder = Recorder::new(&load, window).unwrap();
        generate(&runtime, recorder, &load, &members, &plan).unwrap()
    }

    #[test]
    fn a_closed_loop_goes_on_at_the_next_leader_and_what_was_under_way_is_unknown() {
        let answers = through_a_failure(End::Closes, 3_000, None);
        // The third second has no answer however late one that was sent is read; and behind it there are three.
        let shape: Vec<bool> = answers.intervals.iter().map(|interval| !interval.is_empty()).collect();
        assert!(shape[0] && !shape[2] && shape[3..].contains(&true), "{shape:?} {:?}", answers.first_error);
        assert_eq!((answers.errors, answers.unknown), (8, 8), "{:?}", answers.first_error);
    }

    #[test]
    fn an_open_loop_makes_up_for_the_time_without_a_leader_and_leaves_nothing_out() {
        let pace = Pace { rate: 400.0, arrivals: crate::pace::Arrivals::Constant, seed: 1 };
        let answers = through_a_failure(End::Closes, 3_000, Some(pace));
        let paced = answers.paced.unwrap();
        // On a machine that is busy some are sent late: they count all the same.
        assert_eq!(paced.scheduled, 2_400);
        assert_eq!(answers.latencies.len() + answers.errors, 2_400, "{:?}", answers.first_error);
        assert!(answers.unknown > 0 && answers.unknown == answers.errors, "{}", answers.unknown);
        assert!(answers.latencies.max() > 1_500_000_000, "{}", answers.latencies.max());
        assert!(answers.intervals[2].is_empty());
    }

    #[test]
    fn a_node_that_hangs_is_left_when_another_one_leads() {
        let answers = through_a_failure(End::Hangs, 1_000, None);
        assert_eq!((answers.errors, answers.unknown), (8, 8), "{:?}", answers.first_error);
        let first = answers.first_error.unwrap_or_default();
        assert!(first.contains("another one leads"), "{first}");
        assert!(answers.intervals.len() > 2, "{}", answers.intervals.len());
    }
}

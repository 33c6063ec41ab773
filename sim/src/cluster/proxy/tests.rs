//! Each treatment does to frames what its name says, and to no others. Real sockets; nothing is asserted about time but that
//! a delay is not too short.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener as Listener, TcpStream as Stream};

use bytes::Buf as _;
use holdfast_wire::connection::Role;
use holdfast_wire::message::{Credentials, Features, PeerHello};
use holdfast_wire::{Boot, Connection, NodeId, NodeIdentity, NodeUuid};

use super::*;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy before a node at place 1, and what belongs to it.
struct World {
    board: Arc<Board>,
    near: SocketAddr,
    node: Listener,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl World {
    fn new() -> Self {
        let free = || Listener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        let node = Listener::bind("127.0.0.1:0").expect("a port");
        let (board, target) = (Board::new(1), node.local_addr().expect("its address"));
        let (near, clients) = (free(), free());
        let line = Line { place: 1, listen: [near, clients], target: [target, target] };
        let thread = Some(start(&board, line, || Ok(())).expect("a thread"));
        board.seat(7, 2);
        board.listening(1, true);
        Self { board, near, node, thread }
    }

    /// Node 7, which sits at place 2, dials; both ends, with what the dialer sends first.
    fn dial(&self) -> (Stream, Stream, Vec<u8>) {
        let mut near = until(|| Stream::connect(self.near).ok());
        let greeting = greeting();
        near.write_all(&greeting).expect("sent");
        let (far, _) = self.node.accept().expect("the proxy dials");
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        }
        (near, far, greeting)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.board.end();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(Ok(())))));
    }
}

fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "it does not come");
        std::thread::yield_now();
    }
}

/// Preface and Hello of node 7.
fn greeting() -> Vec<u8> {
    let node = NodeIdentity {
        id: NodeId::new(7).expect("from 1"),
        uuid: NodeUuid([3; 16]),
        boot: Boot::new(1).expect("from 1"),
    };
    let hello = PeerHello {
        cluster: None,
        node,
        to: None,
        lane: 1,
        features: Features(0),
        build: "test".into(),
        credentials: Credentials::default(),
    };
    let mut connection = Connection::new(Role::DialingPeer(hello), 0).expect("a good Hello");
    let out = connection.outbox();
    out.copy_to_bytes(out.remaining()).to_vec()
}

/// A frame as the proxy sees it: a length, and so many bytes.
fn frame(fill: u8, bytes: u32) -> Vec<u8> {
    let mut frame = bytes.to_le_bytes().to_vec();
    frame.resize(4 + bytes as usize, fill);
    frame
}

fn receive(from: &mut Stream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    from.read_exact(&mut bytes).expect("as many bytes come");
    bytes
}

/// Whether the other side has ended, in order or not.
fn has_ended(from: &mut Stream) -> bool {
    match from.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn count(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::Relaxed)
}

#[test]
fn what_is_not_treated_passes_unchanged_in_both_directions() {
    let world = World::new();
    // Of another pair, and of the other direction only.
    world.board.treat(3, 1, Treatment::Swallow);
    let (mut near, mut far, greeting) = world.dial();
    assert_eq!(receive(&mut far, greeting.len()), greeting);
    let large = frame(5, 300_000);
    near.write_all(&large).expect("sent");
    assert_eq!(receive(&mut far, large.len()), large);
    let back: Vec<u8> = greeting[..PREFACE_BYTES].iter().copied().chain(frame(9, 40)).collect();
    far.write_all(&back).expect("sent");
    assert_eq!(receive(&mut near, back.len()), back);
    drop(near);
    assert!(has_ended(&mut far));
}

#[test]
fn a_repeated_frame_comes_twice_and_whole() {
    let world = World::new();
    world.board.treat(2, 1, Treatment::Duplicate(1_000));
    let (mut near, mut far, greeting) = world.dial();
    near.write_all(&frame(5, 60)).expect("sent");
    let (preface, hello) = greeting.split_at(PREFACE_BYTES);
    let wanted = [preface, hello, hello, &frame(5, 60), &frame(5, 60)].concat();
    assert_eq!(receive(&mut far, wanted.len()), wanted);
    assert_eq!(count(&world.board.counts.duplicated), 2);
}

#[test]
fn a_torn_frame_ends_in_its_middle_and_the_connection_with_it() {
    let world = World::new();
    let (mut near, mut far, greeting) = world.dial();
    receive(&mut far, greeting.len());
    world.board.treat(2, 1, Treatment::Tear(1_000));
    near.write_all(&frame(5, 60)).expect("sent");
    assert_eq!(receive(&mut far, 32), frame(5, 60)[..32]);
    assert!(has_ended(&mut far));
    assert!(has_ended(&mut near));
}

#[test]
fn what_is_held_comes_when_all_is_healed_and_the_other_direction_goes_on() {
    let world = World::new();
    let (mut near, mut far, greeting) = world.dial();
    receive(&mut far, greeting.len());
    world.board.treat(2, 1, Treatment::Hold);
    near.write_all(&frame(5, 60)).expect("sent");
    until(|| (count(&world.board.counts.delayed) > 0).then_some(()));
    far.write_all(&[greeting[..PREFACE_BYTES].to_vec(), frame(8, 30)].concat()).expect("sent");
    receive(&mut near, PREFACE_BYTES + 34);
    far.set_nonblocking(true).expect("it can");
    assert!(far.read(&mut [0; 1]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    far.set_nonblocking(false).expect("it can");
    world.board.heal();
    assert_eq!(receive(&mut far, 64), frame(5, 60));
}

#[test]
fn a_connection_that_has_swallowed_something_is_cut_when_it_is_healed() {
    let world = World::new();
    let (mut near, mut far, greeting) = world.dial();
    receive(&mut far, greeting.len());
    world.board.treat(2, 1, Treatment::Swallow);
    near.write_all(&frame(5, 60)).expect("sent");
    until(|| (count(&world.board.counts.swallowed) > 0).then_some(()));
    far.set_nonblocking(true).expect("it can");
    assert!(far.read(&mut [0; 1]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    far.set_nonblocking(false).expect("it can");
    world.board.heal();
    // Neither side has ended it.
    assert!(has_ended(&mut far));
    assert!(has_ended(&mut near));
}

#[test]
fn a_delayed_frame_does_not_come_before_its_time_and_keeps_its_place() {
    let world = World::new();
    let (mut near, mut far, greeting) = world.dial();
    receive(&mut far, greeting.len());
    world.board.treat(2, 1, Treatment::Delay(150, 150));
    let begin = Instant::now();
    near.write_all(&frame(5, 60)).expect("sent");
    until(|| (count(&world.board.counts.delayed) > 0).then_some(()));
    world.board.heal();
    near.write_all(&frame(6, 60)).expect("sent");
    assert_eq!(receive(&mut far, 128), [frame(5, 60), frame(6, 60)].concat());
    assert!(begin.elapsed() >= Duration::from_millis(150));
}

#[test]
fn a_link_with_a_rate_takes_as_long_as_that_says() {
    let world = World::new();
    let (mut near, mut far, greeting) = world.dial();
    receive(&mut far, greeting.len());
    world.board.treat(2, 1, Treatment::Rate(100_000));
    let begin = Instant::now();
    near.write_all(&frame(5, 20_000)).expect("sent");
    receive(&mut far, 20_004);
    assert!(begin.elapsed() >= Duration::from_millis(190));
}

#[test]
fn a_frame_of_an_earlier_connection_is_played_again_and_greetings_are_not() {
    let world = World::new();
    let (mut near, mut far, greeting) = world.dial();
    receive(&mut far, greeting.len());
    near.write_all(&frame(5, 60)).expect("sent");
    receive(&mut far, 64);
    drop((near, far));
    world.board.treat(2, 1, Treatment::Replay(1_000));
    let (mut near, mut far, greeting) = world.dial();
    assert_eq!(receive(&mut far, greeting.len()), greeting);
    near.write_all(&frame(6, 30)).expect("sent");
    assert_eq!(receive(&mut far, 64 + 34), [frame(5, 60), frame(6, 30)].concat());
}

#[test]
fn where_no_process_listens_the_proxy_refuses() {
    let world = World::new();
    drop(world.dial());
    world.board.listening(1, false);
    until(|| Stream::connect(world.near).err().filter(|error| error.kind() == ErrorKind::ConnectionRefused));
    world.board.listening(1, true);
    drop(world.dial());
}

#[test]
fn clients_and_peers_are_told_apart_by_their_greeting() {
    assert_eq!(dialer(&greeting()), Some(Some(Some(7))));
    let whole = greeting();
    for end in 0..whole.len() {
        assert_eq!(dialer(&whole[..end]), Some(None), "{end} bytes of it");
    }
    assert_eq!(dialer(&[0; 64]), None);
}

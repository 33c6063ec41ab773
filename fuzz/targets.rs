//! One function per decoder: any bytes end in a value or a typed error, and what is a value encodes to the same
//! bytes again.
//!
//! Two things run them: `cargo fuzz run -s none NAME` (stable Rust; needs `cargo install cargo-fuzz` and a C++
//! compiler), guided by coverage; and `wire/tests/fuzz_targets.rs`, over mutated golden bytes, so that they cannot rot.

use bytes::{Bytes, BytesMut};
use holdfast_wire::body::Parts;
use holdfast_wire::connection::Role;
use holdfast_wire::message::{ClientHello, ClientWelcome, Features, Lane, Limits, PeerHello, PeerWelcome};
use holdfast_wire::{
    Boot, Connection, Frame, FrameCodec, Header, Message, MessageType, NodeId, NodeIdentity, NodeUuid,
    Preface,
};

/// A decoder under test: any bytes go in.
pub type Target = fn(&[u8]);

/// All targets, by the name that `cargo fuzz run` takes.
pub const TARGETS: [(&str, Target); 5] = [
    ("preface", preface),
    ("frames", frames),
    ("message", message),
    ("nested", nested),
    ("connection", connection),
];

/// The first eight bytes of a connection.
pub fn preface(data: &[u8]) {
    let mut bytes = BytesMut::from(data);
    if let Ok(Some(preface)) = Preface::decode(&mut bytes) {
        let mut again = BytesMut::new();
        preface.encode(&mut again);
        assert_eq!(again, data[..8]);
    }
}

/// A stream of frames.
pub fn frames(data: &[u8]) {
    let mut bytes = BytesMut::from(data);
    reseal(&mut bytes);
    let mut codec = FrameCodec::open();
    while let Ok(Some(frame)) = codec.next(&mut bytes) {
        decode(&frame);
    }
}

/// A body of any type: the first byte chooses the type.
pub fn message(data: &[u8]) {
    let Some((number, body)) = data.split_first() else { return };
    let types = [
        MessageType::ClientHello,
        MessageType::PeerHello,
        MessageType::ClientWelcome,
        MessageType::PeerWelcome,
        MessageType::Goodbye,
        MessageType::Ping,
        MessageType::Pong,
    ];
    let header = Header::of(types[usize::from(*number) % types.len()]);
    decode(&Frame { header, body: Bytes::copy_from_slice(body) });
}

/// Bodies inside bodies, as deep as they go.
pub fn nested(data: &[u8]) {
    fn descend(parts: &Parts) {
        let _ = parts.extensions(|tag, _| Ok(tag % 3 == 0));
        let mut sections = parts.sections();
        while sections.left() > 0 {
            match sections.nested() {
                Ok(inner) => descend(&inner),
                Err(_) => break,
            }
        }
    }
    if let Ok(parts) = Parts::parse(Bytes::copy_from_slice(data)) {
        descend(&parts);
    }
}

/// A whole connection: the first byte chooses the side, the second how many bytes come at a time.
pub fn connection(data: &[u8]) {
    let [side, step, rest @ ..] = data else { return };
    let Ok(mut connection) = Connection::new(role(*side), 0) else { return };
    let mut rest = rest.to_vec();
    if let Some(frames) = rest.get_mut(8..) {
        reseal(frames);
    }
    for (now, piece) in rest.chunks(usize::from(*step) + 1).enumerate() {
        connection.buffer().extend_from_slice(piece);
        while connection.next(now as u64).is_some() {}
        connection.tick(now as u64 * 500);
    }
    connection.lost("end of input", u64::MAX / 2);
    assert!(connection.is_finished());
}

/// Gives every whole frame in `bytes` a check that holds: no fuzzer finds a CRC32, and what lies behind it is what is
/// to be reached. (That a wrong check is refused is tested bit by bit elsewhere.)
fn reseal(mut bytes: &mut [u8]) {
    while let Some(length) = bytes.first_chunk::<4>() {
        let total = 4 + u32::from_le_bytes(*length) as usize;
        if total < 24 || total > bytes.len() {
            return;
        }
        let (frame, rest) = bytes.split_at_mut(total);
        let check = crc32(&frame[8..]);
        frame[4..8].copy_from_slice(&check.to_le_bytes());
        bytes = rest;
    }
}

fn decode(frame: &Frame) {
    let mut skipped = 0;
    if let Ok(message) = Message::decode(frame, &mut skipped)
        && skipped == 0
    {
        let mut again = BytesMut::new();
        message.encode(frame.header, &mut again).expect("what was decoded can be encoded");
        assert_eq!(again[24..], frame.body[..]);
    }
}

fn role(side: u8) -> Role {
    let node = NodeIdentity { id: NodeId::FIRST, uuid: NodeUuid([1; 16]), boot: Boot::FIRST };
    let features = Features(0);
    match side % 4 {
        0 => Role::Client(ClientHello {
            cluster: None,
            features,
            name: "".into(),
            build: "".into(),
            credentials: Bytes::new(),
        }),
        1 => Role::Server(ClientWelcome {
            version: 1,
            cluster: None,
            node,
            features,
            limits: Limits {
                frame_bytes: 1 << 16,
                request_bytes: 1 << 16,
                transaction_bytes: 1 << 16,
                transaction_operations: 16,
            },
            leader: None,
            build: "".into(),
        }),
        2 => Role::DialingPeer(PeerHello {
            cluster: None,
            node: NodeIdentity { id: NodeId::new(2).unwrap(), ..node },
            to: None,
            lane: Lane::Bulk,
            features,
            build: "".into(),
            credentials: Bytes::new(),
        }),
        _ => Role::AcceptingPeer(PeerWelcome {
            version: 1,
            cluster: None,
            node,
            features,
            frame_bytes: 1 << 16,
            build: "".into(),
        }),
    }
}

/// CRC32 (IEEE), bit by bit: slow, short, and independent of the one that is tested.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

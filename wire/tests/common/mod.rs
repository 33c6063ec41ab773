//! Sample values that several tests share: every message type, and every variant inside one.

#![allow(dead_code, reason = "each test file uses a part of this")]

pub(crate) mod families;
pub(crate) mod strategies;

use bytes::{Bytes, BytesMut};
use holdfast_machine::Numbered;
use holdfast_wire::message::{
    ClientHello, ClientWelcome, CloseReason, Credentials, Echo, Features, Goodbye, Lane, LeaderHint, Limits,
    PeerHello, PeerWelcome,
};
use holdfast_wire::{
    Boot, CallId, ClusterEpoch, ClusterId, ClusterIdentity, GroupId, Header, Message, NodeId, NodeIdentity,
    NodeUuid,
};

pub(crate) const CLUSTER: ClusterIdentity = ClusterIdentity {
    id: ClusterId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
    epoch: ClusterEpoch::new(2).unwrap(),
};

pub(crate) fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

pub(crate) fn identity(id: u64, uuid: [u8; 16], boot: u64) -> NodeIdentity {
    NodeIdentity { id: node(id), uuid: NodeUuid(uuid), boot: Boot::new(boot).unwrap() }
}

pub(crate) fn client_hello() -> ClientHello {
    ClientHello {
        cluster: None,
        features: Features(0),
        name: "billing".into(),
        build: "0.1.0".into(),
        credentials: Credentials::default(),
    }
}

pub(crate) fn peer_hello() -> PeerHello {
    PeerHello {
        cluster: Some(CLUSTER),
        node: identity(2, [0xb2; 16], 7),
        to: Some(node(1)),
        lane: Lane::Control.number(),
        features: Features(0),
        build: "0.1.0".into(),
        credentials: Credentials::default(),
    }
}

pub(crate) fn client_welcome() -> ClientWelcome {
    ClientWelcome {
        version: 1,
        cluster: Some(CLUSTER),
        node: identity(1, [0xa1; 16], 3),
        features: Features(0),
        limits: Limits {
            frame_bytes: 16 << 20,
            request_bytes: 1 << 20,
            transaction_bytes: 4 << 20,
            transaction_operations: 4096,
        },
        leader: None,
        build: "0.1.0".into(),
    }
}

pub(crate) fn peer_welcome() -> PeerWelcome {
    PeerWelcome {
        version: 1,
        cluster: Some(CLUSTER),
        node: identity(1, [0xa1; 16], 3),
        features: Features(0),
        frame_bytes: 16 << 20,
        build: "0.1.0".into(),
    }
}

pub(crate) fn ping(bytes: usize) -> Message {
    Message::Ping(Echo { payload: vec![0xab; bytes].into() })
}

/// Every message type, and every variant and option inside one, under a name of its own.
pub(crate) fn samples() -> Vec<(String, Header, Message)> {
    let mut samples = vec![
        ("ClientHello first visit".to_owned(), client_hello().into()),
        (
            "ClientHello known cluster, credentials".to_owned(),
            ClientHello {
                cluster: Some(CLUSTER),
                features: Features(1 << 63 | 1),
                credentials: Credentials(Bytes::from_static(b"\x00\xff")),
                ..client_hello()
            }
            .into(),
        ),
        (
            "PeerHello before formation, addressee unknown".to_owned(),
            PeerHello { cluster: None, to: None, ..peer_hello() }.into(),
        ),
        ("ClientWelcome no leader".to_owned(), client_welcome().into()),
        (
            "ClientWelcome leader".to_owned(),
            ClientWelcome {
                leader: Some(LeaderHint { node_id: node(3), address: "10.0.0.3:7400".into() }),
                ..client_welcome()
            }
            .into(),
        ),
        (
            "ClientWelcome before formation".to_owned(),
            ClientWelcome { cluster: None, ..client_welcome() }.into(),
        ),
        ("PeerWelcome".to_owned(), peer_welcome().into()),
        ("PeerWelcome before formation".to_owned(), PeerWelcome { cluster: None, ..peer_welcome() }.into()),
        ("Goodbye of a later build".to_owned(), Goodbye { reason: 65_535, detail: "é".into() }.into()),
        ("Ping empty".to_owned(), ping(0)),
        ("Ping".to_owned(), ping(3)),
        ("Pong".to_owned(), Message::Pong(Echo { payload: Bytes::from_static(b"abc") })),
    ];
    for &lane in Lane::ALL {
        samples.push((format!("PeerHello {lane}"), PeerHello { lane: lane.number(), ..peer_hello() }.into()));
    }
    for &reason in CloseReason::ALL {
        samples.push((format!("Goodbye {reason}"), Goodbye::new(reason, "").into()));
    }
    samples.extend(families::samples());
    samples
        .into_iter()
        .map(|(name, message)| {
            let header = Header { group: GroupId(0), ..message.header() };
            // Pings and the calls of clients; peers answer by what a message says, and not by a call.
            let call = matches!(message.message_type().number(), 6 | 7 | 101..=199);
            (name, header.for_call(CallId(if call { 0x1122 } else { 0 })), message)
        })
        .collect()
}

pub(crate) fn encoded(header: Header, message: &Message) -> BytesMut {
    let mut out = BytesMut::new();
    message.encode(header, &mut out).expect("samples can be encoded");
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces the CRC32 of the frame at the front, so that what was changed behind it is all that is wrong.
pub(crate) fn reseal(frame: &mut [u8]) {
    let check = crc32fast::hash(&frame[8..]);
    frame[4..8].copy_from_slice(&check.to_le_bytes());
}

/// Where randomness starts: `HOLDFAST_SEED`, or something else each time. Printed, so that a failure can be run again.
pub(crate) fn seed() -> u64 {
    let given =
        std::env::var("HOLDFAST_SEED").ok().map(|text| text.parse().expect("HOLDFAST_SEED is a number"));
    let seed = given.unwrap_or_else(|| std::process::id().into());
    println!("HOLDFAST_SEED={seed}");
    seed
}

/// The next number of a small generator (SplitMix64): tests that need randomness without a framework print
/// the seed they started from.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

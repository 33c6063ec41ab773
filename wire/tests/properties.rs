//! Properties over generated messages, chunkings and garbage. A failing case prints its input, shrunk.

mod common;

use std::io::IoSlice;

use bytes::{Buf, BytesMut};
use common::strategies::{self, blob, cluster};
use common::{encoded, identity, node, reseal};
use holdfast_machine::Numbered;
use holdfast_wire::body::Parts;
use holdfast_wire::message::{
    ClientHello, ClientWelcome, Credentials, Echo, Features, Goodbye, LeaderHint, Limits, PeerHello,
    PeerWelcome,
};
use holdfast_wire::outbox::SHARE_BYTES;
use holdfast_wire::{CallId, FrameCodec, GroupId, Header, Message, MessageType, Outbox, Preface};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn welcome() -> impl Strategy<Value = PeerWelcome> {
    let ids = (1..u64::MAX, any::<[u8; 16]>(), 1..u64::MAX);
    (any::<u16>(), option::of(cluster()), ids, any::<u64>(), any::<u32>(), ".{0,40}").prop_map(
        |(version, cluster, (id, uuid, boot), features, frame_bytes, build)| PeerWelcome {
            version,
            cluster,
            node: identity(id, uuid, boot),
            features: Features(features),
            frame_bytes,
            build: build.into(),
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let client_hello = (option::of(cluster()), any::<u64>(), ".{0,40}", ".{0,40}", blob(1000)).prop_map(
        |(cluster, features, name, build, credentials)| {
            ClientHello {
                cluster,
                features: Features(features),
                name: name.into(),
                build: build.into(),
                credentials: Credentials(credentials),
            }
            .into()
        },
    );
    let peer_hello = (welcome(), option::of(1..u64::MAX), any::<u8>(), blob(1000)).prop_map(
        |(like, to, lane, credentials)| {
            PeerHello {
                cluster: like.cluster,
                node: like.node,
                to: to.map(node),
                lane,
                features: like.features,
                build: like.build,
                credentials: Credentials(credentials),
            }
            .into()
        },
    );
    let client_welcome = (welcome(), any::<[u32; 4]>(), option::of((1..u64::MAX, ".{0,60}"))).prop_map(
        |(like, limits, leader)| {
            let [frame_bytes, request_bytes, transaction_bytes, transaction_operations] = limits;
            ClientWelcome {
                version: like.version,
                cluster: like.cluster,
                node: like.node,
                features: like.features,
                limits: Limits { frame_bytes, request_bytes, transaction_bytes, transaction_operations },
                leader: leader.map(|(id, address)| LeaderHint { node_id: node(id), address: address.into() }),
                build: like.build,
            }
            .into()
        },
    );
    prop_oneof![
        1 => client_hello,
        1 => peer_hello,
        1 => client_welcome,
        1 => welcome().prop_map(Message::PeerWelcome),
        1 => (any::<u16>(), ".{0,100}")
            .prop_map(|(reason, detail)| Goodbye { reason, detail: detail.into() }.into()),
        1 => blob(2 * SHARE_BYTES).prop_map(|payload| Message::Ping(Echo { payload })),
        1 => blob(2 * SHARE_BYTES).prop_map(|payload| Message::Pong(Echo { payload })),
        7 => strategies::message(),
    ]
}

fn packet() -> impl Strategy<Value = (Header, Message)> {
    (message(), any::<u32>(), any::<u64>()).prop_map(|(message, group, call)| {
        let header = message.header();
        // Only what is not about the connection itself belongs to a group and a call.
        let free = message.message_type().number() > 5;
        let header =
            if free { Header { group: GroupId(group), call: CallId(call), ..header } } else { header };
        (header, message)
    })
}

proptest! {
    #[test]
    fn messages_survive_any_chunking(
        packets in vec(packet(), 1..6),
        cuts in vec(1..600_usize, 1..60),
    ) {
        let mut stream = BytesMut::new();
        for (header, message) in &packets {
            message.encode(*header, &mut stream).unwrap();
        }
        let length = stream.len() as u64;
        let (mut codec, mut buffer, mut decoded) = (FrameCodec::open(), BytesMut::new(), vec![]);
        let mut cuts = cuts.into_iter().cycle();
        while stream.has_remaining() {
            let cut = cuts.next().unwrap().min(stream.len());
            buffer.extend_from_slice(&stream.split_to(cut));
            while let Some(frame) = codec.next(&mut buffer).unwrap() {
                decoded.push((frame.header, Message::decode(&frame, &mut 0).unwrap()));
            }
        }
        prop_assert_eq!(decoded, packets);
        prop_assert_eq!((codec.position(), buffer.len()), (length, 0));
    }

    #[test]
    fn an_outbox_says_the_same_bytes_in_any_pieces(
        packets in vec(packet(), 0..6),
        steps in vec((1..5_usize, 1..9000_usize), 1..20),
    ) {
        let (mut plain, mut outbox) = (BytesMut::new(), Outbox::new());
        let mut sent = BytesMut::new();
        let mut steps = steps.into_iter().cycle();
        let mut write = |outbox: &mut Outbox, sent: &mut BytesMut| {
            // What a vectored write does: take some slices, and of those some bytes.
            let (slices, most) = steps.next().unwrap();
            let mut buffers = vec![IoSlice::new(&[]); slices];
            let filled = outbox.chunks_vectored(&mut buffers);
            let bytes: Vec<u8> = buffers[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
            let count = bytes.len().min(most);
            sent.extend_from_slice(&bytes[..count]);
            outbox.advance(count);
        };
        for (header, message) in &packets {
            message.encode(*header, &mut plain).unwrap();
            message.encode(*header, &mut outbox).unwrap();
            prop_assert_eq!(outbox.remaining() + sent.len(), plain.len());
            write(&mut outbox, &mut sent);
        }
        while outbox.has_remaining() {
            prop_assert!(!outbox.chunk().is_empty());
            write(&mut outbox, &mut sent);
        }
        prop_assert_eq!(sent, plain);
    }

    #[test]
    fn any_bytes_are_frames_or_a_typed_error(
        bytes in vec(any::<u8>(), 0..300),
        limit in any::<u32>(),
    ) {
        let mut codec = FrameCodec::open();
        codec.set_limit(limit);
        let mut bytes = BytesMut::from(&bytes[..]);
        let _ = Preface::decode(&mut bytes.clone());
        while let Ok(Some(frame)) = codec.next(&mut bytes) {
            let _ = Message::decode(&frame, &mut 0);
        }
    }

    #[test]
    fn any_body_of_any_type_is_a_message_that_encodes_to_the_same_bytes_or_a_typed_error(
        message_type in prop::sample::select(MessageType::ALL),
        body in prop_oneof![
            vec(any::<u8>(), 0..200),
            // Lengths that are likely to fit, so that the inside is reached as well.
            (0..90_u8, 0..4_u8, vec(0..9_u8, 0..200)).prop_map(|(metadata, sections, rest)| {
                [vec![metadata, 0, sections, 0], rest].concat()
            }),
        ],
    ) {
        let frame = holdfast_wire::Frame { header: Header::of(message_type), body: body.into() };
        let mut skipped = 0;
        if let Ok(message) = Message::decode(&frame, &mut skipped) && skipped == 0 {
            prop_assert_eq!(&encoded(frame.header, &message)[24..], &frame.body[..]);
        }
    }

    #[test]
    fn a_message_with_changed_bytes_and_a_sound_check_never_panics(
        (header, message) in packet(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in option::of(any::<prop::sample::Index>()),
    ) {
        let mut frame = encoded(header, &message);
        for (at, value) in changes {
            let at = at.index(frame.len() - 8) + 8;
            frame[at] = value;
        }
        if let Some(cut) = cut {
            frame.truncate(24 + cut.index(frame.len() - 23));
            let length = (frame.len() as u32 - 4).to_le_bytes();
            frame[..4].copy_from_slice(&length);
        }
        reseal(&mut frame);
        let mut skipped = 0;
        if let Ok(Some(frame)) = FrameCodec::open().next(&mut frame)
            && let Ok(message) = Message::decode(&frame, &mut skipped)
            && skipped == 0
        {
            prop_assert_eq!(&encoded(frame.header, &message)[24..], &frame.body[..]);
        }
    }

    #[test]
    fn nested_bodies_of_any_bytes_end_within_the_limit_of_depth(body in vec(0..6_u8, 0..400)) {
        fn descend(parts: &Parts, depth: u32) -> u32 {
            let mut sections = parts.sections();
            let mut deepest = depth;
            while sections.left() > 0 {
                let Ok(inner) = sections.nested() else { return deepest };
                deepest = deepest.max(descend(&inner, depth + 1));
            }
            let _ = sections.finish(|tag, _| Ok(tag % 3 == 0));
            deepest
        }
        if let Ok(parts) = Parts::parse(body.into()) {
            prop_assert!(descend(&parts, 0) <= u32::from(holdfast_wire::body::MAX_DEPTH));
        }
    }
}

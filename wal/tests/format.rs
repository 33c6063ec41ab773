//! The bytes: where records go, that tables and code agree, and that nothing damaged passes.

use holdfast_wal::disk::SECTOR;
use holdfast_wal::format::{
    ALIGN, BOUNDS_FIELDS, Bounds, Field, Found, GROUP_FIELDS, GroupBounds, HEAD_BYTES, HEAD_FIELDS, Head,
    Kind, Look, MAX_FRAGMENT, MAX_GROUPS, MAX_PIECES, META_FIELDS, META_GROUP_FIELDS, MetaSlot, Pieces,
    RANGE_FIELDS, SEGMENT_FIELDS, SEGMENT_HEADER_BYTES, SLOT_AT, SLOT_BYTES, Salt, SegmentFound,
    SegmentHeader, SlotFound, is_zero, look, place, width, write_record, write_skip,
};
use holdfast_wal::{AsDesigned, Group, HardState, Identity};

const IDENTITY: Identity = Identity { cluster: *b"cluster-cluster-", node: *b"node-node-node-n" };
const SALT: Salt = Salt(0x0123_4567_89AB_CDEF);
const BASE: u64 = 16384;

#[test]
fn a_head_and_its_table_lie_within_one_sector_wherever_a_record_begins() {
    let lengths = (0..1200).chain((1200..MAX_FRAGMENT as usize).step_by(117)).chain([MAX_FRAGMENT as usize]);
    for length in lengths {
        for at in (512..1536).step_by(ALIGN as usize) {
            let placement = place(at, length);
            let head_end = placement.head_at + HEAD_BYTES as u64 + 4 * placement.pieces as u64;
            assert!(placement.head_at >= at && placement.head_at - at < SECTOR as u64);
            assert_eq!(placement.head_at / 512, (head_end - 1) / 512, "length {length} at {at}");
            assert_eq!(placement.body_at, head_end);
            assert!(placement.pieces <= MAX_PIECES);
            assert!(
                placement.end >= placement.body_at + length as u64 && placement.end.is_multiple_of(ALIGN)
            );
            if let Some((skip_at, bytes)) = placement.skip {
                assert!(skip_at == at && bytes >= HEAD_BYTES && skip_at + bytes as u64 == placement.head_at);
            }
        }
    }
}

/// A segment's bytes with one record of `length` bytes behind `at`.
fn segment_with(at: u64, length: usize) -> (Vec<u8>, Look) {
    let placement = place(at, length);
    let mut bytes = vec![0x77; at as usize];
    if let Some((skip_at, count)) = placement.skip {
        write_skip(&mut bytes, BASE, SALT, skip_at, count, 5);
    }
    bytes.resize(placement.head_at as usize, 0);
    let head = Head { group: Group(3), index: 9, term: 4, ..Head::control(Kind::Entry, 5) };
    let body: Vec<u8> = (0..length).map(|at| at as u8 | 1).collect();
    write_record::<AsDesigned>(
        &mut bytes,
        BASE,
        SALT,
        placement,
        Head { first: true, last: true, ..head },
        &body,
    );
    bytes.resize(16384, 0);
    let look = look::<AsDesigned>(&bytes, BASE, SALT, placement.head_at).expect("within the segment");
    (bytes, look)
}

#[test]
fn what_is_written_is_found_exact_and_the_next_record_where_it_was_said() {
    for at in (512..1024).step_by(8) {
        for length in [0, 1, 8, 100, 300, 431, 432, 433, 440, 512, 1000, 2048] {
            let (bytes, found) = segment_with(at, length);
            let Found::Record { head, pieces: Pieces::Exact } = found.found else { panic!("{found:?}") };
            assert_eq!((head.length as usize, head.position), (length, BASE + found.at));
            assert_eq!(found.end, place(at, length).end);
            if let Some((skip_at, _)) = place(at, length).skip {
                let skip = look::<AsDesigned>(&bytes, BASE, SALT, skip_at).expect("within the segment");
                assert_eq!(skip.end, found.at, "a reader comes from the skip to the record");
            }
        }
    }
}

#[test]
fn no_flipped_bit_of_a_record_passes() {
    for (at, length) in [(512, 300), (936, 300), (968, 700)] {
        let (bytes, whole) = segment_with(at, length);
        let body_end = whole.body_at + length as u64;
        for bit in whole.at * 8..body_end * 8 {
            let mut bytes = bytes.clone();
            bytes[bit as usize / 8] ^= 1 << (bit % 8);
            let found = look::<AsDesigned>(&bytes, BASE, SALT, whole.at).expect("within the segment").found;
            let head_bit = bit < whole.body_at * 8;
            match found {
                Found::WrongHead => assert!(head_bit, "bit {bit}"),
                Found::Record { pieces: Pieces::SomeWrong, .. } => assert!(!head_bit, "bit {bit}"),
                Found::Record { .. } | Found::Unwritten | Found::UnknownKind(_) => {
                    panic!("bit {bit}: {found:?}")
                }
            }
        }
    }
}

#[test]
fn a_record_passes_only_at_its_place_and_under_its_salt() {
    let (bytes, whole) = segment_with(512, 100);
    let elsewhere = look::<AsDesigned>(&bytes, BASE * 2, SALT, whole.at).expect("within the segment").found;
    assert_eq!(elsewhere, Found::WrongHead);
    let salted = look::<AsDesigned>(&bytes, BASE, Salt(1), whole.at).expect("within the segment").found;
    assert_eq!(salted, Found::WrongHead);
    let mut moved = vec![0; 16384];
    moved[1024..1536].copy_from_slice(&bytes[512..1024]);
    assert_eq!(look::<AsDesigned>(&moved, BASE, SALT, 1024).expect("within").found, Found::WrongHead);
}

#[test]
fn a_piece_that_is_zero_by_right_is_exact() {
    let placement = place(512, 2000);
    let mut bytes = vec![0; 512];
    write_record::<AsDesigned>(&mut bytes, BASE, SALT, placement, Head::control(Kind::Entry, 0), &[0; 2000]);
    bytes.resize(16384, 0);
    let found = look::<AsDesigned>(&bytes, BASE, SALT, 512).expect("within the segment").found;
    assert!(matches!(found, Found::Record { pieces: Pieces::Exact, .. }), "{found:?}");
}

#[test]
fn kind_zero_is_no_record_even_with_a_check_that_holds() {
    let (mut bytes, _) = segment_with(512, 0);
    bytes[520] = 0;
    let check = SALT.check(&bytes[516..512 + HEAD_BYTES]);
    bytes[512..516].copy_from_slice(&check.to_le_bytes());
    assert_eq!(
        look::<AsDesigned>(&bytes, BASE, SALT, 512).expect("within the segment").found,
        Found::WrongHead
    );
    bytes[520] = 99;
    let check = SALT.check(&bytes[516..512 + HEAD_BYTES]);
    bytes[512..516].copy_from_slice(&check.to_le_bytes());
    let found = look::<AsDesigned>(&bytes, BASE, SALT, 512).expect("within the segment").found;
    assert_eq!(found, Found::UnknownKind(99));
}

fn bounds() -> Bounds {
    let hard = HardState { term: 1, vote: 2, sequence: 3 };
    let group = |number| GroupBounds {
        group: Group(number),
        hard,
        first: 4,
        prev_term: 5,
        last: 6,
        last_term: 7,
        cuts: 8,
        cut_from: 9,
    };
    let groups = vec![group(0), group(7)];
    let ranges = vec![(10, 20), (30, 40)];
    Bounds {
        first_live: 1,
        previous_end: 2,
        hard_state_lost: true,
        unsure: true,
        untrusted: true,
        groups,
        ranges,
    }
}

#[test]
fn bounds_come_back_as_they_were_and_any_other_length_is_refused() {
    let bytes = bounds().encode();
    assert_eq!(Bounds::read(&bytes), Some(bounds()));
    for length in 0..bytes.len() {
        assert_eq!(Bounds::read(&bytes[..length]), None, "{length} bytes");
    }
    assert_eq!(Bounds::read(&[&bytes[..], &[0]].concat()), None);
}

fn slot(groups: usize) -> MetaSlot {
    let hard = HardState { term: 1, vote: 2, sequence: 3 };
    MetaSlot {
        identity: IDENTITY,
        epoch: 4,
        synced_upto: 5,
        first_live: 6,
        active: 7,
        segment_bytes: 65536,
        hard_state_lost: true,
        groups: (0..groups).map(|number| (Group(number as u32), hard, 8, 9)).collect(),
    }
}

#[test]
fn a_slot_has_room_for_all_groups_and_no_flipped_bit_of_it_passes() {
    let bytes = slot(MAX_GROUPS).encode();
    assert_eq!(bytes.len(), SLOT_BYTES);
    assert_eq!(MetaSlot::read(&bytes), SlotFound::Valid(slot(MAX_GROUPS)));
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match MetaSlot::read(&bytes) {
            SlotFound::Wrong => {}
            SlotFound::Unsupported(_) => assert!((64..96).contains(&bit), "bit {bit}"),
            SlotFound::Valid(_) => panic!("bit {bit} passes"),
        }
    }
}

#[test]
fn no_flipped_bit_of_a_segment_header_passes() {
    let header = SegmentHeader { identity: IDENTITY, number: 3, size: 65536, salt: SALT };
    let bytes = header.encode();
    assert_eq!(SegmentHeader::read(&bytes), SegmentFound::Valid(header));
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes;
        bytes[bit / 8] ^= 1 << (bit % 8);
        match SegmentHeader::read(&bytes) {
            SegmentFound::Wrong => {}
            SegmentFound::Unsupported(_) => assert!((64..96).contains(&bit), "bit {bit}"),
            SegmentFound::Valid(_) => panic!("bit {bit} passes"),
        }
    }
}

#[test]
fn the_tables_of_fields_are_as_wide_as_what_they_describe() {
    assert_eq!(width(&HEAD_FIELDS), HEAD_BYTES);
    assert!(width(&SEGMENT_FIELDS) <= SEGMENT_HEADER_BYTES);
    assert!(width(&META_FIELDS) + MAX_GROUPS * width(&META_GROUP_FIELDS) <= SLOT_BYTES);
    let parts = width(&BOUNDS_FIELDS) + 2 * width(&GROUP_FIELDS) + 2 * width(&RANGE_FIELDS);
    assert_eq!(bounds().encode().len(), parts);
    assert_eq!(SLOT_AT[1] - SLOT_AT[0], 2 * SLOT_BYTES as u64, "an unused slot lies between the two");
}

/// The bytes of a field, by the table.
fn at(fields: &[Field], name: &str, bytes: &[u8]) -> Vec<u8> {
    let before = fields.iter().take_while(|field| field.name != name).map(|field| field.bytes).sum::<usize>();
    let field = fields.iter().find(|field| field.name == name).expect("a field of that name");
    bytes[before..before + field.bytes].to_vec()
}

#[test]
fn every_field_stands_where_its_table_says() {
    let placement = place(512, 3);
    let head = Head {
        kind: Kind::Fill,
        length: 0,
        first: true,
        last: false,
        group: Group(2),
        position: 0,
        synced_upto: 11,
        term: 12,
        index: 13,
        prev_term: 14,
        cut_from: 15,
        cuts: 16,
    };
    let mut bytes = vec![0; 512];
    write_record::<AsDesigned>(&mut bytes, BASE, SALT, placement, head, &[1, 2, 3]);
    let values: [(&str, u64); 12] = [
        ("length", 3),
        ("kind", 2),
        ("flags", 1),
        ("pieces", 1),
        ("group", 2),
        ("position", BASE + 512),
        ("synced_upto", 11),
        ("term", 12),
        ("index", 13),
        ("prev_term", 14),
        ("cut_from", 15),
        ("cuts", 16),
    ];
    for (name, value) in values {
        let found = at(&HEAD_FIELDS, name, &bytes[512..]);
        assert_eq!(found, value.to_le_bytes()[..found.len()], "{name} of a head");
    }
    let bytes = slot(1).encode();
    let values = [
        ("epoch", 4),
        ("synced_upto", 5),
        ("first_live", 6),
        ("active", 7),
        ("size", 65536),
        ("groups", 1),
        ("flags", 1),
    ];
    for (name, value) in values {
        let found = at(&META_FIELDS, name, &bytes);
        assert_eq!(found, u64::to_le_bytes(value)[..found.len()], "{name} of a slot");
    }
    let values = [("term", 1), ("vote", 2), ("sequence", 3), ("first", 8), ("prev_term", 9)];
    for (name, value) in values {
        let found = at(&META_GROUP_FIELDS, name, &bytes[width(&META_FIELDS)..]);
        assert_eq!(found, u64::to_le_bytes(value), "{name} of a group in a slot");
    }
    let bytes = SegmentHeader { identity: IDENTITY, number: 3, size: 65536, salt: SALT }.encode();
    let values = [("number", 3), ("base", 3 * 65536), ("size", 65536), ("salt", SALT.0)];
    for (name, value) in values {
        assert_eq!(at(&SEGMENT_FIELDS, name, &bytes), u64::to_le_bytes(value), "{name} of a segment header");
    }
    assert_eq!(at(&SEGMENT_FIELDS, "cluster", &bytes), IDENTITY.cluster);
    let bytes = bounds().encode();
    let groups = [("first", 4), ("last", 6), ("last_term", 7), ("cuts", 8), ("cut_from", 9)];
    for (name, value) in groups {
        let found = at(&GROUP_FIELDS, name, &bytes[width(&BOUNDS_FIELDS)..]);
        assert_eq!(found, u64::to_le_bytes(value), "{name} of a group in bounds");
    }
}

#[test]
fn zero_is_told_from_anything_else_at_every_length() {
    for length in 0..200 {
        let mut bytes = vec![0; length];
        assert!(is_zero(&bytes));
        for at in 0..length {
            bytes[at] = 1;
            assert!(!is_zero(&bytes), "byte {at} of {length}");
            bytes[at] = 0;
        }
    }
}

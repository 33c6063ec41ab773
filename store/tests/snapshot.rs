//! Snapshots: what is written is read, and nothing else is.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{Fed, put};
use holdfast_command::elections::Campaign;
use holdfast_command::keys::{Compact, Delete, Put, Range, Span};
use holdfast_command::leases::GrantLease;
use holdfast_command::locks::{Acquire, Release};
use holdfast_command::namespaces::{Rules, SetNamespace};
use holdfast_command::{Actor, Command, FeatureLevel, Refusal, Request, RequestKey, SessionId, Setting};
use holdfast_machine::Numbered;
use holdfast_store::snapshot::{
    CHUNK_BYTES, CHUNK_HEADER_BYTES, Decoded, Decoder, Encoder, FORMAT_VERSION, MAY_SKIP, PREAMBLE_BYTES,
    RECORD_BYTES_MAX, Section, SnapshotError, SnapshotFault, Source, Survey,
};
use holdfast_store::{LogPosition, Store};
use sha2::{Digest, Sha256};

const CLUSTER: [u8; 16] = [0xc1; 16];

fn source() -> Source {
    Source { cluster: CLUSTER, epoch: 2, membership: Bytes::from_static(b"who is a member") }
}

fn taken(store: &Store) -> Vec<u8> {
    Encoder::new(store.clone(), source()).expect("no halt").flatten().collect()
}

fn decoded(bytes: &[u8]) -> Result<Decoded, SnapshotError> {
    let mut decoder = Decoder::new();
    decoder.push(bytes)?;
    decoder.finish()
}

fn surveyed(bytes: &[u8]) -> Result<(), SnapshotError> {
    let mut survey = Survey::new();
    survey.push(bytes)?;
    survey.finish().map(drop)
}

/// A little of everything: history and none, graves, namespaces, sessions with answers, idempotency keys.
fn everything() -> Fed {
    let mut fed = Fed::new();
    fed.clock = 1_000;
    let set = SetNamespace { name: "app/".into(), rules: Rules { quota_keys: 90, ..Rules::default() } };
    fed.command(Command::SetNamespace(set)).expect("a name");
    let inner = Rules { description: "inside".into(), owners: vec!["ops".into()], ..Rules::default() };
    fed.command(Command::SetNamespace(SetNamespace { name: "app/in/".into(), rules: inner }))
        .expect("a name");
    for (key, value) in
        [("app/a", "1"), ("app/b", "2"), ("app/in/c", "3"), ("z", "4"), ("app/a", "5"), ("y", "6")]
    {
        fed.put(key, value);
    }
    let delete = |key: &'static str| {
        Command::Delete(Delete {
            span: Span::Key(Bytes::from_static(key.as_bytes())),
            return_previous: false,
        })
    };
    fed.command(delete("app/b")).expect("it is there");
    let revision = fed.store.revision();
    fed.command(Command::Compact(Compact { revision })).expect("a revision");
    fed.put("app/b", "again");
    fed.command(delete("z")).expect("it is there");
    fed.put("z", "once more");
    fed.command(delete("y")).expect("it is there");
    fed.actor = Actor::Named("ann".into());
    let session = fed.open(60_000);
    for sequence in 1..=3 {
        let key = RequestKey::Session { session, sequence, low: 1 };
        let request = Request { key, reason: "because".into(), ..Request::from(put("app/s", "x")) };
        assert!(fed.request(request).outcome.0.is_ok());
    }
    for name in 1..=2 {
        let key = RequestKey::Idempotency { key: [name; 32], request: [9; 32] };
        assert!(fed.request(Request { key, ..Request::from(put("app/i", "x")) }).outcome.0.is_ok());
    }
    fed.set(&[(Setting::Sessions, 77)]);
    for lease in [5, 7] {
        fed.command(Command::GrantLease(GrantLease { lease, ttl_ms: 9_000 })).expect("it is free");
        let acquire = Acquire { name: "lock".into(), lease, wait: true, value: "who".into() };
        fed.command(Command::Acquire(acquire)).expect("a place");
        let campaign = Campaign { name: "office".into(), lease, value: "why".into() };
        fed.command(Command::Campaign(campaign)).expect("a place");
    }
    let leased = Put { key: "app/leased".into(), value: "x".into(), lease: 7, ..Put::default() };
    fed.command(Command::Put(leased)).expect("a lease that is alive");
    fed
}

/// Section and fields of each record.
fn records(snapshot: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let (mut payload, mut rest) = (Vec::new(), &snapshot[PREAMBLE_BYTES..]);
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        if rest[4] == 1 {
            payload.extend_from_slice(&rest[CHUNK_HEADER_BYTES..CHUNK_HEADER_BYTES + length]);
        }
        rest = &rest[CHUNK_HEADER_BYTES + length..];
    }
    let (mut records, mut rest) = (Vec::new(), &payload[..]);
    while !rest.is_empty() {
        let number = u16::from_le_bytes(rest[..2].try_into().unwrap());
        let length = u32::from_le_bytes(rest[2..6].try_into().unwrap()) as usize;
        records.push((number, rest[6..6 + length].to_vec()));
        rest = &rest[6 + length..];
    }
    records
}

fn chunk(out: &mut Vec<u8>, kind: u32, payload: &[u8]) {
    let mut checked = (out.len() as u64).to_le_bytes().to_vec();
    checked.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    checked.extend_from_slice(&kind.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&checked);
    hasher.update(payload);
    out.extend_from_slice(&checked[8..]);
    out.extend_from_slice(&hasher.finalize().to_le_bytes());
    out.extend_from_slice(payload);
}

fn preamble(version: u16) -> Vec<u8> {
    let mut out = b"HFSNAPS\n".to_vec();
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    let check = crc32fast::hash(&out);
    out.extend_from_slice(&check.to_le_bytes());
    out
}

/// A snapshot of these bytes of records, whose checks and hash fit whatever they are.
fn framed(payload: &[u8], count: u64) -> Vec<u8> {
    let mut out = preamble(FORMAT_VERSION);
    for part in payload.chunks(CHUNK_BYTES) {
        chunk(&mut out, 1, part);
    }
    let hash = Sha256::digest(&out);
    let end = [&count.to_le_bytes()[..], &hash].concat();
    chunk(&mut out, 2, &end);
    out
}

fn put_together(records: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (number, fields) in records {
        payload.extend_from_slice(&number.to_le_bytes());
        payload.extend_from_slice(&(fields.len() as u32).to_le_bytes());
        payload.extend_from_slice(fields);
    }
    framed(&payload, records.len() as u64)
}

#[test]
fn what_was_written_is_read_and_written_again_as_the_same_bytes() {
    let fed = everything();
    let bytes = taken(&fed.store);
    assert_eq!(put_together(&records(&bytes)), bytes, "this test knows the format");
    let Decoded { header, membership, store, summary } = decoded(&bytes).expect("a snapshot");
    assert_eq!((header.cluster, header.epoch, header.last), (CLUSTER, 2, fed.store.applied()));
    assert_eq!((header.clock, header.stamp), (1_000, fed.store.stamp()));
    assert_eq!(membership, source().membership);
    assert_eq!(taken(&store), bytes);
    assert_eq!((summary.revision, summary.oldest), (fed.store.revision(), fed.store.oldest()));
    assert_eq!(summary.bytes, bytes.len() as u64);
    let written: BTreeMap<u16, u64> = records(&bytes).iter().fold(BTreeMap::new(), |mut all, (number, _)| {
        *all.entry(*number).or_default() += 1;
        all
    });
    let told: BTreeMap<u16, u64> =
        summary.sections.iter().map(|tally| (tally.number, tally.records)).collect();
    assert_eq!(told, written);
    assert_eq!(written.len(), 17, "each section that this build writes: {written:?}");
    let mut survey = Survey::new();
    survey.push(&bytes).expect("a snapshot");
    assert_eq!(survey.finish(), Ok((summary, membership)));
}

#[test]
fn what_comes_in_pieces_of_any_length_is_the_same() {
    let mut fed = everything();
    fed.put("long", &"x".repeat(200_000));
    for number in 0..600 {
        fed.put(&format!("many/{number:05}"), &"y".repeat(300 + number % 7));
        fed.set(&[(Setting::Sessions, 80)]);
    }
    let bytes = taken(&fed.store);
    assert!(bytes.len() > 5 * CHUNK_BYTES);
    for length in [1, 7, CHUNK_HEADER_BYTES, 4_096, CHUNK_BYTES, CHUNK_BYTES + 13, bytes.len()] {
        let mut decoder = Decoder::<holdfast_store::NoPlant>::new();
        for piece in bytes.chunks(length) {
            decoder.push(piece).expect("a piece");
        }
        let store = decoder.finish().unwrap_or_else(|error| panic!("pieces of {length}: {error}")).store;
        assert_eq!(taken(&store), bytes, "pieces of {length}");
        assert_eq!(store.get(b"long").map(|version| version.value().len()), Some(200_000));
    }
}

#[test]
fn chunks_are_bounded_and_entries_applied_meanwhile_do_not_show() {
    let mut fed = everything();
    for number in 0..500 {
        fed.put(&format!("k/{number:05}"), &"v".repeat(1_000));
    }
    let expected = taken(&fed.store);
    let mut encoder = Encoder::new(fed.store.clone(), source()).expect("no halt");
    let mut bytes = Vec::new();
    let mut chunks = 0;
    while let Some(chunk) = encoder.next() {
        assert!(chunk.len() <= PREAMBLE_BYTES + CHUNK_HEADER_BYTES + CHUNK_BYTES);
        bytes.extend_from_slice(&chunk);
        assert_eq!(encoder.bytes(), bytes.len() as u64);
        chunks += 1;
        for number in 0..20 {
            fed.put(&format!("k/{:05}", chunks * 31 + number), "changed");
        }
        fed.store.sweep(100);
    }
    assert!(chunks > 5 && encoder.next().is_none());
    assert!(bytes == expected, "the clone stood still");
    assert!(taken(&fed.store) != expected);
}

#[test]
fn every_cut_is_refused() {
    let bytes = taken(&everything().store);
    for length in 0..bytes.len() {
        let error = decoded(&bytes[..length]).expect_err("not all of it");
        assert_eq!(error.fault, SnapshotFault::Cut, "{length} bytes");
        assert!(error.offset <= length as u64);
        assert_eq!(surveyed(&bytes[..length]), Err(error));
    }
    let more = [&bytes[..], &[0]].concat();
    assert_eq!(decoded(&more).expect_err("a byte more").fault, SnapshotFault::Trailing);
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = taken(&everything().store);
    let mut faults = BTreeMap::new();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = decoded(&flipped).expect_err("a bit is not what it was");
        assert!(error.offset <= bit as u64 / 8, "bit {bit}: {error}");
        assert_eq!(surveyed(&flipped), Err(error), "bit {bit}");
        *faults
            .entry(format!("{:?}", error.fault).split(' ').next().unwrap_or_default().to_owned())
            .or_insert(0) += 1;
    }
    println!("{faults:?}");
    assert!(faults["Check"] > 30 * faults.len());
}

#[test]
fn chunks_that_were_swapped_or_come_from_another_snapshot_are_refused() {
    let mut fed = Fed::new();
    for number in 0..400 {
        fed.put(&format!("k/{number:05}"), &"v".repeat(1_000));
    }
    let one = taken(&fed.store);
    fed.put("k/00399", &"w".repeat(1_000));
    let other = taken(&fed.store);
    let place = |number: usize| {
        let from = PREAMBLE_BYTES + number * (CHUNK_HEADER_BYTES + CHUNK_BYTES);
        from..from + CHUNK_HEADER_BYTES + CHUNK_BYTES
    };
    let mut swapped = one.clone();
    swapped[place(1)].copy_from_slice(&one[place(2)]);
    swapped[place(2)].copy_from_slice(&one[place(1)]);
    let error = decoded(&swapped).expect_err("two changed places");
    assert_eq!((error.fault, error.offset), (SnapshotFault::Check, place(1).start as u64));
    // The header differs, so the first chunk does; the last one has the check of its own.
    let mut mixed = one.clone();
    assert_ne!(one[place(0)], other[place(0)]);
    mixed[place(0)].copy_from_slice(&other[place(0)]);
    assert_eq!(decoded(&mixed).expect_err("a foreign chunk").fault, SnapshotFault::Hash);
}

#[test]
fn a_later_version_is_told_from_damage() {
    let mut bytes = taken(&everything().store);
    bytes[..PREAMBLE_BYTES].copy_from_slice(&preamble(FORMAT_VERSION + 1));
    let fault = decoded(&bytes).expect_err("a later version").fault;
    assert_eq!(fault, SnapshotFault::LaterVersion { version: FORMAT_VERSION + 1 });
    bytes[8] ^= 1;
    assert_eq!(decoded(&bytes).expect_err("damage").fault, SnapshotFault::Check);
    assert_eq!(decoded(b"something else entirely").expect_err("no snapshot").fault, SnapshotFault::NotOne);
}

#[test]
fn an_unknown_section_is_refused_unless_it_may_be_skipped() {
    let store = everything().store;
    let bytes = taken(&store);
    let mut all = records(&bytes);
    let unknown = Section::ALL.len() as u16 + 1;
    all.push((unknown, vec![1, 2, 3]));
    let error = decoded(&put_together(&all)).expect_err("unknown");
    assert_eq!((error.fault, error.section), (SnapshotFault::UnknownSection, Some(unknown)));
    all.pop();
    all.push((MAY_SKIP | unknown, vec![1, 2, 3]));
    all.push((MAY_SKIP | unknown, vec![4]));
    let decoded = decoded(&put_together(&all)).expect("it may be skipped");
    assert_eq!(taken(&decoded.store), bytes);
}

/// The snapshot with one record changed by `change`, and what is said of it.
fn with(
    section: Section,
    number: usize,
    change: impl FnOnce(&mut Vec<u8>),
) -> Result<Decoded, SnapshotError> {
    let mut all = records(&taken(&everything().store));
    let record = all.iter_mut().filter(|(found, _)| *found == section.number()).nth(number);
    change(&mut record.expect("there are so many").1);
    decoded(&put_together(&all))
}

/// The snapshot without leases, queues and places: the key that hangs on a lease stays.
fn without_leases_and_places() -> Result<Decoded, SnapshotError> {
    let mut all = records(&taken(&everything().store));
    let gone = [Section::Leases, Section::Queues, Section::Places].map(Numbered::number);
    all.retain(|(number, _)| !gone.contains(number));
    decoded(&put_together(&all))
}

#[test]
fn what_a_record_says_and_cannot_be_is_refused_with_its_section() {
    let u64_at = |at: usize, value: u64| {
        move |fields: &mut Vec<u8>| fields[at..at + 8].copy_from_slice(&value.to_le_bytes())
    };
    let refused = |section: Section, result: Result<Decoded, SnapshotError>, text: &str| {
        let error = result.expect_err(text);
        assert_eq!(error.section, Some(section.number()), "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(error.to_string().contains(&section.to_string()), "{error}");
    };
    let revisions = Section::Revisions;
    refused(revisions, with(revisions, 0, u64_at(0, 1)), "at most the current");
    refused(revisions, with(revisions, 0, u64_at(0, 1 << 63)), "at most the current");
    refused(revisions, with(revisions, 0, u64_at(8, 0)), "at least 1");
    refused(revisions, with(revisions, 0, |fields| fields.push(0)), "1 bytes are left over");
    // A change less than the revision says is found when all have come.
    let changes = Section::Changes;
    refused(changes, with(revisions, 0, u64_at(0, 10_000)), "are missing");
    refused(changes, with(changes, 0, u64_at(1, 10_000)), "no revision is left out");
    refused(changes, with(changes, 1, u64_at(1, 9)), "no revision is left out");
    refused(changes, with(changes, 0, |fields| fields[0] = 1), "only what is there is deleted");
    refused(changes, with(changes, 0, |fields| fields[0] = 2), "set of flags");
    let keys = Section::Keys;
    refused(keys, with(keys, 1, u64_at(0, 1)), "created, then written");
    refused(keys, with(keys, 1, u64_at(8, 10_000)), "created, then written");
    refused(keys, with(keys, 1, u64_at(16, 0)), "once with each");
    refused(keys, with(keys, 1, u64_at(16, u64::MAX)), "once with each");
    refused(keys, with(keys, 1, u64_at(24, u64::MAX)), "negative");
    refused(keys, with(keys, 0, |fields| fields[42 + 4 + 4] = b'z'), "keys ascend");
    refused(keys, with(keys, 0, |fields| fields.truncate(30)), "are left");
    let settings = Section::Settings;
    refused(settings, with(settings, 0, |fields| fields[2] = 9), "settings are known");
    refused(settings, with(settings, 0, u64_at(4, 0)), "settings are known");
    refused(settings, with(settings, 0, |fields| fields[0] = 0), "no feature level 0");
    let level = FeatureLevel(FeatureLevel::LATEST.0 + 1);
    let high = with(settings, 0, |fields| fields[..2].copy_from_slice(&level.0.to_le_bytes()));
    assert_eq!(high.expect_err("too high").fault, SnapshotFault::Level { level });
    refused(Section::Namespaces, with(Section::Namespaces, 1, |fields| fields[4] = b'A'), "ascend");
    refused(Section::Namespaces, with(Section::Namespaces, 1, |fields| fields[4] = b'/'), "is called that");
    let sessions = Section::Sessions;
    refused(sessions, with(Section::SessionNumber, 0, u64_at(0, 0)), "up to the last");
    let low_at = 8 + 2 + 3 + 16;
    refused(sessions, with(sessions, 0, u64_at(low_at, 0)), "at least 1");
    let answers = Section::Answers;
    refused(answers, with(answers, 0, u64_at(0, 1)), "that is there");
    refused(answers, with(answers, 1, u64_at(8, 1)), "sequences ascend");
    refused(answers, with(answers, 0, |fields| fields.truncate(34)), "are left");
    let keys = Section::IdempotencyKeys;
    refused(keys, with(keys, 1, u64_at(0, 0)), "ascend by their deadline");
    refused(keys, with(keys, 1, |fields| fields[8..40].fill(1)), "each once");
    let (numbers, leases) = (Section::Numbers, Section::Leases);
    refused(numbers, with(numbers, 0, u64_at(0, 1 << 62)), "below 2^62");
    refused(numbers, with(numbers, 0, u64_at(8, 1 << 53)), "below 2^53");
    refused(leases, with(leases, 1, u64_at(0, 5)), "leases ascend");
    refused(Section::Places, with(leases, 1, u64_at(0, 8)), "that is there");
    refused(leases, with(leases, 0, u64_at(8 + 2 + 3 + 24, u64::MAX)), "before it is renewed");
    refused(Section::Keys, without_leases_and_places(), "a lease that is there");
    let (queues, places) = (Section::Queues, Section::Places);
    refused(queues, with(queues, 0, |fields| fields[0] = 3), "kind of queue");
    refused(places, with(queues, 1, |fields| fields[0] = 1), "a queue that is there");
    refused(queues, with(numbers, 0, u64_at(8, 1)), "not above the last");
    refused(places, with(places, 0, u64_at(1 + 4 + 4 + 8, 99)), "that is there");
    refused(places, with(places, 1, u64_at(1 + 4 + 4, 0)), "places ascend");
    refused(places, with(places, 1, |fields| fields[1] = 0), "1 to 255");
}

#[test]
fn sections_are_all_there_once_and_in_order() {
    let all = records(&taken(&everything().store));
    for required in [
        Section::Header,
        Section::Membership,
        Section::Settings,
        Section::Revisions,
        Section::SessionNumber,
        Section::Numbers,
    ] {
        let without: Vec<_> =
            all.iter().filter(|(number, _)| *number != required.number()).cloned().collect();
        let error = decoded(&put_together(&without)).expect_err("something is missing");
        assert_eq!(error.fault, SnapshotFault::Missing(required));
        let twice: Vec<_> = all
            .iter()
            .flat_map(|record| vec![record.clone(); 1 + usize::from(record.0 == required.number())])
            .collect();
        assert_eq!(decoded(&put_together(&twice)).expect_err("twice").fault, SnapshotFault::Order);
    }
    for at in 1..all.len() {
        if all[at].0 != all[at - 1].0 {
            let mut swapped = all.clone();
            swapped.swap(at, at - 1);
            assert!(decoded(&put_together(&swapped)).is_err(), "records {} and {at}", at - 1);
        }
    }
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Whoever knows the format can make checks fit. It gets a refusal, or a store that goes on.
#[test]
fn records_that_nobody_wrote_under_checks_that_fit_panic_nothing() {
    let all = records(&taken(&everything().store));
    let (mut taken_in, mut refused) = (0, 0);
    for seed in 0..6_000_u64 {
        let mut state = seed;
        let mut mutated = all.clone();
        for _ in 0..1 + next(&mut state) % 3 {
            let at = next(&mut state) as usize % mutated.len();
            let fields = &mut mutated[at].1;
            let place = next(&mut state) as usize % (fields.len() + 1);
            match next(&mut state) % 6 {
                0 => fields.truncate(place),
                1 => fields.insert(place, next(&mut state) as u8),
                2 => fields[place..].iter_mut().take(8).for_each(|byte| *byte = 0xff),
                3 => drop(mutated.remove(at)),
                4 => {
                    let again = mutated[at].clone();
                    mutated.insert(at, again);
                }
                _ => fields[place..]
                    .iter_mut()
                    .take(1)
                    .for_each(|byte| *byte ^= 1 << (next(&mut { state }) % 8)),
            }
        }
        let bytes = put_together(&mutated);
        let Ok(decoded) = decoded(&bytes) else {
            refused += 1;
            continue;
        };
        taken_in += 1;
        let store = decoded.store;
        let again = taken(&store);
        let third = self::decoded(&again).map(|decoded| taken(&decoded.store));
        assert!(third.as_ref() == Ok(&again), "seed {seed}: what was taken is written, and read again");
        // It serves, and goes on.
        let mut fed = Fed { store, clock: 0, actor: Actor::Anonymous };
        drop(fed.request(Request::from(put("app/a", "x"))));
        let session = SessionId(5);
        let key = RequestKey::Session { session, sequence: 2, low: 1 };
        drop(fed.request(Request { key, ..Request::from(put("app/a", "x")) }));
        let revision = fed.store.revision();
        let compact = Request::from(Command::Compact(Compact { revision }));
        drop(fed.request(compact));
        for key in [&b"app/a"[..], b"z", b"y"] {
            drop(fed.store.history(key, usize::MAX));
        }
        fed.store.sweep(usize::MAX);
        _ = fed.store.compaction_due();
    }
    println!("{taken_in} taken, {refused} refused");
    assert!(taken_in > 300 && refused > 3_000, "{taken_in} taken, {refused} refused");
}

#[test]
fn bytes_that_nobody_wrote_under_checks_that_fit_are_refused() {
    for seed in 0..2_000_u64 {
        let mut state = seed;
        let length = next(&mut state) as usize % 200;
        let payload: Vec<u8> = (0..length.max(1)).map(|_| next(&mut state) as u8 % 20).collect();
        assert!(decoded(&framed(&payload, 1)).is_err(), "seed {seed}");
    }
}

#[test]
fn what_is_claimed_takes_no_memory_until_it_comes() {
    let mut payload = Section::Header.number().to_le_bytes().to_vec();
    payload.extend_from_slice(&(RECORD_BYTES_MAX as u32).to_le_bytes());
    let bytes = framed(&payload, 1);
    let info = allocation_counter::measure(|| {
        let mut decoder = Decoder::<holdfast_store::NoPlant>::new();
        decoder.push(&bytes).expect("nothing is wrong so far");
        assert_eq!(decoder.finish().expect_err("not all").fault, SnapshotFault::Cut);
    });
    assert!(info.bytes_max < 64 * 1024, "{} bytes", info.bytes_max);
    payload[2..6].copy_from_slice(&(RECORD_BYTES_MAX as u32 + 1).to_le_bytes());
    let fault = decoded(&framed(&payload, 1)).expect_err("too long").fault;
    assert_eq!(fault, SnapshotFault::RecordLength { length: RECORD_BYTES_MAX as u32 + 1 });
}

#[test]
fn encoder_and_decoder_hold_no_more_than_a_chunk_and_a_record_beside_the_store() {
    let mut fed = Fed::new();
    for number in 0..4_000 {
        fed.put(&format!("k/{number:05}"), &"v".repeat(1_000));
    }
    let revision = fed.store.revision();
    fed.command(Command::Compact(Compact { revision })).expect("a revision");
    fed.store.sweep(usize::MAX);
    let mut length = 0;
    let info = allocation_counter::measure(|| {
        for chunk in Encoder::new(fed.store.clone(), source()).expect("no halt") {
            length += chunk.len();
        }
    });
    assert!(length > 4_000_000 && info.bytes_max < 1_000_000, "{} of {length} bytes", info.bytes_max);
    let bytes = taken(&fed.store);
    let mut kept = None;
    let info = allocation_counter::measure(|| kept = Some(decoded(&bytes).expect("a snapshot").store));
    let held = info.bytes_max as usize;
    assert!(held < length + 4_000 * 200 + 1_000_000, "{held} bytes for a snapshot of {length}");
    assert_eq!(kept.map(|store| store.keys()), Some(4_000));
}

#[test]
fn a_store_that_halted_is_not_taken() {
    let mut store = everything().store;
    let last = store.applied();
    assert!(store.skip(LogPosition { index: last.index + 5, ..last }).is_err());
    assert!(Encoder::new(store, source()).is_err());
}

#[test]
fn another_life_begins_above_all_that_the_former_gave_out_and_keeps_what_is_there() {
    let mut fed = everything();
    let (revision, token) = (fed.store.revision(), fed.store.token());
    let mut store = decoded(&taken(&fed.store)).expect("a snapshot").store;
    let refused = store.begin_another_life(1 << 63, 0);
    assert_eq!((refused, store.revision()), (Err(Refusal::RevisionsExhausted), revision));
    store.begin_another_life(1_000, token + (1 << 40)).expect("there are enough");
    assert_eq!((store.revision(), store.oldest()), (revision + 1_000, revision + 1_000));
    for asked in [revision, revision + 1, revision + 999] {
        let past = Range { revision: asked, ..Range::of(Span::all()) };
        assert!(matches!(store.range(&past), Err(Refusal::Compacted { .. })), "{asked}");
        assert!(matches!(store.changes(asked).map(drop), Err(Refusal::Compacted { .. })), "{asked}");
    }
    assert!(!store.sweep(usize::MAX));
    assert_eq!(store.history_bytes(), 0, "nothing of the former history is kept");
    for key in ["app/a", "app/leased", "z"] {
        let value = |store: &Store| store.get(key.as_bytes()).map(|version| version.value().to_vec());
        assert_eq!(value(&store), value(&fed.store), "{key}");
    }
    let again = decoded(&taken(&store)).expect("a snapshot").store;
    assert_eq!(taken(&again), taken(&store));
    // A request that was answered in the former life is answered as then.
    let key = RequestKey::Session { session: SessionId(14_336), sequence: 3, low: 1 };
    let request = Request { key, reason: "because".into(), ..Request::from(put("app/s", "x")) };
    let former = fed.request(request.clone());
    let mut fed = Fed { store: again, ..fed };
    assert!(former.repeated && fed.request(request).outcome == former.outcome);
    assert_eq!(fed.put("new", "x"), revision + 1_001);
    let release = Release { name: "lock".into(), lease: 5 };
    fed.command(Command::Release(release)).expect("it holds");
    assert!(fed.store.token() > token + (1 << 40), "{}", fed.store.token());
}

const GOLDEN: &str = "tests/golden";

/// Snapshots that earlier builds wrote, oldest first, by file name.
fn golden() -> BTreeMap<String, Vec<u8>> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let files = std::fs::read_dir(directory).expect("the directory of golden files");
    let files = files.map(|file| file.expect("a file").path());
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read(path).expect("a file"))
    };
    files.map(read).collect()
}

#[test]
fn every_snapshot_that_a_build_ever_wrote_is_read() {
    let golden = golden();
    let now = taken(&everything().store);
    if !golden.values().any(|bytes| *bytes == now) && std::env::var_os("UPDATE_GOLDEN").is_some() {
        let name = format!("{GOLDEN}/snapshot-{:03}.snap", golden.len() + 1);
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
        std::fs::write(path, &now).expect("the directory of golden files");
        panic!("kept {name}; commit it");
    }
    assert!(
        golden.values().any(|bytes| *bytes == now),
        "the format has grown: keep one, with UPDATE_GOLDEN=1"
    );
    for (name, bytes) in golden {
        let Decoded { header, membership, store, .. } =
            decoded(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((header.cluster, header.epoch, header.clock), (CLUSTER, 2, 1_000), "{name}");
        assert_eq!(membership, source().membership, "{name}");
        assert_eq!((store.oldest(), store.keys()), (8, 7), "{name}");
        let values = ["app/a", "app/b", "app/i", "app/in/c", "app/leased", "app/s", "z"]
            .map(|key| store.get(key.as_bytes()).map(|version| version.value().to_vec()));
        let wanted =
            ["5", "again", "x", "3", "x", "x", "once more"].map(|value| Some(value.as_bytes().to_vec()));
        assert_eq!(values, wanted, "{name}");
        let versions = |key: &str| {
            store.history(key.as_bytes(), 9).iter().map(holdfast_store::Version::mod_revision).collect()
        };
        let history: Vec<u64> = versions("z");
        assert_eq!(history, [11, 10, 5], "{name}");
        let sessions: Vec<(u64, Vec<u64>)> =
            store.sessions().map(|(id, session)| (id.0, session.answered().collect())).collect();
        assert_eq!(sessions, [(14_336, vec![1, 2, 3])], "{name}");
        assert_eq!((store.idempotency_keys(), store.lease_count(), store.places()), (2, 2, 4), "{name}");
        assert_eq!((store.token(), store.settings().get(Setting::Sessions)), (2, 77), "{name}");
        let namespaces: Vec<(&str, u64)> =
            store.namespaces().map(|(name, namespace)| (name, namespace.usage.keys)).collect();
        assert_eq!(namespaces, [("app/", 5), ("app/in/", 1)], "{name}");
    }
}

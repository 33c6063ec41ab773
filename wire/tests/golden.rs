//! Numbers and bytes against what was promised before.
//!
//! `golden/message-types.txt` only ever grows. `golden/bytes.txt` may change, with a reason in the commit,
//! until the tag `format-1`; from then on it only grows too. `UPDATE_GOLDEN=1` writes both, adding to the
//! first and never changing a line of it, and then fails, so that no run is green by rewriting.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{hex, samples};
use holdfast_machine::{Numbered, golden};
use holdfast_wire::{Message, MessageType};

fn golden_file(name: &str) -> (std::path::PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    (path, text)
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

#[test]
fn no_message_number_changes_its_meaning() {
    let (path, recorded) = golden_file("message-types.txt");
    let drift = golden::drift::<MessageType>(&recorded);
    assert!(drift.broken.is_empty(), "{} says {:?}; numbers are for ever", path.display(), drift.broken);
    if updating() && !drift.added.is_empty() {
        std::fs::write(&path, recorded + &drift.added.join("\n") + "\n").unwrap();
        panic!("added {:?} to {}; commit it", drift.added, path.display());
    }
    assert!(
        drift.added.is_empty(),
        "new numbers {:?}: run with UPDATE_GOLDEN=1 to promise them",
        drift.added
    );
}

#[test]
fn the_bytes_of_every_message_are_the_promised_ones() {
    let (path, recorded) = golden_file("bytes.txt");
    let mut current = String::from("# name: frame in hexadecimal. See wire/tests/golden.rs.\n");
    for (name, header, message) in samples() {
        current += &format!("{name}: {}\n", hex(&common::encoded(header, &message)));
    }
    if updating() && recorded != current {
        std::fs::write(&path, current).unwrap();
        panic!("rewrote {}; say in the commit why the bytes changed", path.display());
    }
    for (now, then) in current.lines().zip(recorded.lines()) {
        assert_eq!(now, then, "bytes changed; see the head of this file");
    }
    assert_eq!(current.lines().count(), recorded.lines().count(), "samples were added or removed");
}

#[test]
fn the_promised_bytes_still_decode_to_the_same_values() {
    let (_, recorded) = golden_file("bytes.txt");
    let samples = samples();
    let mut decoded = 0;
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let (name, bytes) = line.split_once(": ").expect("name: hex");
        let bytes: Vec<u8> = (0..bytes.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        let frame = holdfast_wire::FrameCodec::open().next(&mut bytes.as_slice().into()).unwrap().unwrap();
        let message = Message::decode(&frame, &mut 0).unwrap();
        let (_, header, sample) =
            samples.iter().find(|(sample, ..)| sample == name).expect("a sample of this name");
        assert_eq!((&frame.header, &message), (header, sample), "{name}");
        decoded += 1;
    }
    assert_eq!(decoded, samples.len());
}

#[test]
fn the_samples_cover_every_message_type() {
    let covered: BTreeSet<MessageType> =
        samples().iter().map(|(.., message)| message.message_type()).collect();
    assert_eq!(Vec::from_iter(covered), MessageType::ALL);
}

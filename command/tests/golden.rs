//! The bytes of every sample against what was promised before.
//!
//! `golden/bytes.txt` may change, with a reason in the commit, until the tag `format-1`; from then on lines are only added. `UPDATE_GOLDEN=1`
//! writes it and then fails, so that no run is green by rewriting. The numbers themselves are promised in
//! `tidy/tests/golden/numbers.txt`.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::{Kind, Value, hex, samples, unhex};
use holdfast_command::keys::{
    Compare, Content, Operation, OperationNumber, Relation, SortBy, Span, Subject, Transaction,
};
use holdfast_command::settings::ChangeSettings;
use holdfast_command::{
    Actor, Code, Command, CommandNumber, Extension, Outcome, Reply, ReplyNumber, Request, RequestKey, Setting,
};
use holdfast_machine::Numbered;

fn golden_file() -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bytes.txt");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    (path, text)
}

#[test]
fn the_bytes_of_every_sample_are_the_promised_ones() {
    let (path, recorded) = golden_file();
    let mut current =
        String::from("# kind and name: bytes in hexadecimal. See command/tests/common/samples.rs.\n");
    for (name, value) in samples::all() {
        current += &format!("{name}: {}\n", hex(&value.encode()));
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() && recorded != current {
        std::fs::write(&path, current).unwrap();
        panic!("rewrote {}; say in the commit why it changed", path.display());
    }
    for (now, then) in current.lines().zip(recorded.lines()) {
        assert_eq!(now, then, "{} promised something else; see the head of this test", path.display());
    }
    assert_eq!(current.lines().count(), recorded.lines().count(), "lines were added or removed");
}

#[test]
fn the_promised_bytes_still_decode_to_the_same_values() {
    let (_, recorded) = golden_file();
    let samples = samples::all();
    let mut decoded = 0;
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let (name, bytes) = line.split_once(": ").expect("name: hex");
        let (_, sample) = samples.iter().find(|(sample, _)| sample == name).expect("a sample of this name");
        let value = sample.kind().decode(unhex(bytes).into());
        assert_eq!(value.as_ref(), Ok(sample), "{name}");
        decoded += 1;
    }
    assert_eq!(decoded, samples.len());
}

#[test]
fn each_sample_has_a_name_of_its_own_that_begins_with_its_kind() {
    let mut names = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    for (name, value) in samples::all() {
        assert!(name.starts_with(&format!("{} ", value.kind().word())), "{name}");
        kinds.insert(value.kind());
        assert!(names.insert(name.clone()), "{name} twice");
    }
    assert_eq!(Vec::from_iter(kinds), Kind::ALL);
}

/// What the samples hold, by number or shape.
#[derive(Default)]
struct Seen {
    commands: BTreeSet<CommandNumber>,
    operations: BTreeSet<OperationNumber>,
    subjects: BTreeSet<Subject>,
    relations: BTreeSet<Relation>,
    sorts: BTreeSet<SortBy>,
    contents: BTreeSet<Content>,
    settings: BTreeSet<Setting>,
    extensions: BTreeSet<Extension>,
    replies: BTreeSet<ReplyNumber>,
    codes: BTreeSet<Code>,
    request_keys: BTreeSet<&'static str>,
    spans: BTreeSet<&'static str>,
    actors: BTreeSet<&'static str>,
    addresses: BTreeSet<&'static str>,
}

impl Seen {
    fn request(&mut self, request: &Request) {
        self.commands.insert(request.command.number());
        self.request_keys.insert(match request.key {
            RequestKey::None => "none",
            RequestKey::Session { .. } => "session",
            RequestKey::Idempotency { .. } => "idempotency",
        });
        // The extensions are what stands behind the body, each with its tag in front.
        let bytes = request.encode();
        let bare = Request { extensions: Default::default(), ..request.clone() }.encode();
        let tag = bytes[bare.len()..].first_chunk().map(|tag| u16::from_le_bytes(*tag));
        self.extensions.extend(tag.and_then(Extension::from_number));
        match &request.command {
            Command::Transact(transaction) => self.transaction(transaction),
            Command::Delete(delete) => self.span(&delete.span),
            Command::ChangeSettings(ChangeSettings { changes }) => {
                self.settings.extend(changes.iter().filter_map(|(number, _)| Setting::from_number(*number)));
            }
            _ => {}
        }
    }

    fn transaction(&mut self, transaction: &Transaction) {
        for Compare { relation, against, .. } in &transaction.compares {
            self.relations.insert(*relation);
            self.subjects.insert(against.subject());
        }
        for operation in transaction.then.iter().chain(&transaction.otherwise) {
            self.operations.insert(operation.number());
            if let Operation::Transaction(inner) = operation {
                self.transaction(inner);
            }
        }
    }

    fn span(&mut self, span: &Span) {
        self.spans.insert(match span {
            Span::Key(_) => "key",
            Span::Between { .. } => "between",
            Span::From(_) => "from",
        });
    }

    fn reply(&mut self, reply: &Reply) {
        self.replies.insert(reply.number());
    }
}

#[test]
fn the_samples_cover_every_number_and_every_shape() {
    let mut seen = Seen::default();
    for (_, value) in samples::all() {
        match &value {
            Value::Request(request) => seen.request(request),
            Value::Range(range) => {
                seen.sorts.insert(range.sort_by);
                seen.contents.insert(range.content);
            }
            Value::Entry(entry) => {
                seen.request(&entry.request);
                seen.actors.insert(match entry.envelope.actor {
                    Actor::Anonymous => "anonymous",
                    Actor::Named(_) => "named",
                    Actor::Cluster => "cluster",
                });
                seen.addresses.insert(match entry.envelope.address {
                    None => "none",
                    Some((ip, _)) if ip.is_ipv4() => "4",
                    Some(_) => "6",
                });
            }
            // Made by a match over their numbers.
            Value::Query(_) | Value::Answer(_) => {}
            Value::Outcome(Outcome(Ok(reply))) => seen.reply(reply),
            Value::Outcome(Outcome(Err(refusal))) => drop(seen.codes.insert(refusal.code())),
        }
    }
    fn whole<N: Numbered + Ord>(seen: BTreeSet<N>) {
        assert_eq!(Vec::from_iter(seen), N::ALL);
    }
    whole(seen.commands);
    whole(seen.operations);
    whole(seen.subjects);
    whole(seen.relations);
    whole(seen.sorts);
    whole(seen.contents);
    whole(seen.settings);
    whole(seen.extensions);
    whole(seen.replies);
    whole(seen.codes);
    let shapes = [seen.request_keys, seen.spans, seen.actors, seen.addresses].map(|shapes| shapes.len());
    assert_eq!(shapes, [3; 4]);
}

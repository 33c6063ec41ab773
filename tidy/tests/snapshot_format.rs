//! `docs/snapshot-format.md` against the code: constants, sections, the fields of each record, and a snapshot taken apart.
//!
//! The store lays its records out by hand. The fields are said a second time here, and every golden snapshot has to be accounted
//! for to its last byte by these tables: what they say is then what is written.

use std::fmt::Write;

use holdfast_machine::{Numbered, render};
use holdfast_store::snapshot::{CHUNK_HEADER_BYTES, PREAMBLE_BYTES, Section};
use holdfast_tidy::{blocks, layout, symbols, workspace};

/// What stands in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A little-endian number of so many bytes.
    Number(usize),
    /// The same, at the end, and not there in the snapshots of early builds.
    Later(usize),
    /// So many bytes.
    Bytes(usize),
    /// A u32 length and as many bytes.
    Run,
    /// A u8 kind, a u8 length and as many bytes of a name.
    Actor,
    /// A u32 count, and as many runs.
    Runs,
    /// A u16 and a u64 each, to the end.
    Settings,
    /// All bytes up to the end.
    Rest,
}

use Kind::{Actor, Bytes, Later, Number, Rest, Run, Runs, Settings};

/// A field: its name, what stands there, what it means.
type Field = (&'static str, Kind, &'static str);

/// The fields of the records of each section that this build writes, in the order of the sections.
const RECORDS: [(Section, &[Field]); 17] = [
    (
        Section::Header,
        &[
            ("cluster", Bytes(16), "id of the cluster"),
            ("epoch", Number(8), "its life, counted from 1"),
            ("index", Number(8), "the last entry that is in it"),
            ("term", Number(8), "the term of that entry"),
            ("clock", Number(8), "the cluster clock there, in milliseconds"),
            ("stamp", Number(8), "the highest stamp up to there"),
        ],
    ),
    (
        Section::Membership,
        &[
            ("index", Number(8), "of the entry that brought the configuration"),
            ("configuration", Rest, "as it stands in the log; the ids that were ever removed are in it"),
        ],
    ),
    (
        Section::Settings,
        &[
            ("level", Number(2), "the feature level"),
            (
                "settings",
                Settings,
                "number and value of each setting, ascending; one that is missing has its default",
            ),
        ],
    ),
    (
        Section::Revisions,
        &[
            ("revision", Number(8), "the current one; at least 1, below 2⁶³"),
            ("oldest", Number(8), "that can be read; at least 1, at most the current"),
        ],
    ),
    (
        Section::Keys,
        &[
            ("create_revision", Number(8), "2 to mod_revision"),
            ("mod_revision", Number(8), "at most the oldest revision"),
            ("version", Number(8), "how often it was written since it was created"),
            ("lease", Number(8), "that it hangs on; 0 for none"),
            ("stamp", Number(8), "of the entry that wrote it"),
            ("actor", Actor, "who wrote it"),
            ("reason", Run, "why, as text"),
            ("key", Run, "1 to 65,535 bytes"),
            ("value", Rest, ""),
        ],
    ),
    (
        Section::Changes,
        &[
            ("flags", Number(1), "1: the key was deleted; then there is no value, and the lease is 0"),
            ("mod_revision", Number(8), "that of the change before, or one more"),
            ("lease", Number(8), "that it hangs on; 0 for none"),
            ("stamp", Number(8), "of the entry that made it"),
            ("actor", Actor, "who made it"),
            ("reason", Run, "why, as text"),
            ("key", Run, "1 to 65,535 bytes"),
            ("value", Rest, ""),
        ],
    ),
    (
        Section::Ages,
        &[
            ("clock", Number(8), "the cluster clock, in milliseconds"),
            ("revision", Number(8), "the current one by then"),
        ],
    ),
    (
        Section::Namespaces,
        &[
            ("name", Run, "ends in `/`"),
            ("quota_keys", Number(8), "0 for no limit"),
            ("quota_bytes", Number(8), "0 for no limit"),
            ("value_bytes", Number(8), "0 for no limit of its own"),
            ("description", Run, "text"),
            ("owners", Runs, "names"),
        ],
    ),
    (Section::SessionNumber, &[("last", Number(8), "below 2⁶²")]),
    (
        Section::Sessions,
        &[
            ("session", Number(8), "its number"),
            ("actor", Actor, "who opened it"),
            ("ttl_ms", Number(8), "how long it lives after its client was heard"),
            ("deadline", Number(8), "when it ends, on the cluster clock"),
            ("low", Number(8), "the lowest sequence that its client waits for"),
        ],
    ),
    (
        Section::Answers,
        &[
            ("session", Number(8), "whose"),
            ("sequence", Number(8), "to which request; not below low"),
            ("index", Number(8), "where it was executed"),
            ("term", Number(8), "in which term"),
            ("kept", Number(1), "1 if the outcome was kept, else 0"),
            ("outcome", Rest, "encoded as it was answered; empty if it was not kept"),
        ],
    ),
    (
        Section::IdempotencyKeys,
        &[
            ("deadline", Number(8), "when it is forgotten, on the cluster clock"),
            ("key", Bytes(32), "the hash of actor and key"),
            ("request", Bytes(32), "the hash of the request"),
            ("index", Number(8), "where it was executed"),
            ("term", Number(8), "in which term"),
            ("kept", Number(1), "1 if the outcome was kept, else 0"),
            ("outcome", Rest, "encoded as it was answered; empty if it was not kept"),
        ],
    ),
    (
        Section::Numbers,
        &[
            ("lease", Number(8), "the last number that was chosen for a lease; below 2⁶²"),
            ("token", Number(8), "the last fencing token that was given; below 2⁵³"),
        ],
    ),
    (
        Section::Leases,
        &[
            ("lease", Number(8), "its number, at least 1"),
            ("actor", Actor, "to whom it was granted"),
            ("ttl_ms", Number(8), "how long it lives after it was granted or renewed"),
            ("deadline", Number(8), "from when on it may be ended, on the cluster clock"),
            ("counter", Number(8), "the index of its grant or last renewal"),
            ("granted_at", Number(8), "the index of its grant"),
        ],
    ),
    (
        Section::Queues,
        &[
            ("kind", Number(1), "1 a lock, 2 an election"),
            ("name", Run, "1 to 255 bytes"),
            ("token", Number(8), "under which it is held"),
            ("changed_at", Number(8), "the index at which holder or proclaimed value last changed"),
        ],
    ),
    (
        Section::Places,
        &[
            ("kind", Number(1), "of the queue"),
            ("name", Run, "of the queue"),
            ("entered_at", Number(8), "the index at which it was taken"),
            ("lease", Number(8), "that it lives by"),
            ("lease_granted_at", Number(8), "the index of the grant of that lease"),
            ("value", Rest, "who and why, or what is proclaimed"),
        ],
    ),
    (
        Section::Digest,
        &[
            ("version", Number(2), "of the list of effects that it was made by: 1"),
            ("digest", Bytes(32), "behind the last entry; the next link goes on from it"),
            ("open_bytes", Later(8), "of the entries behind the last range that ended"),
        ],
    ),
];

#[test]
fn the_page_of_the_snapshot_format_is_current() {
    let wanted = vec![
        ("sections", render::list::<Section>("section")),
        ("records", records()),
        ("constants", constants()),
        ("snapshot taken apart", taken_apart()),
    ];
    blocks::check(&[("docs/snapshot-format.md".into(), wanted)]);
}

fn constants() -> String {
    let mut out = String::from("| constant | value | meaning |\n|---|---|---|\n");
    for file in ["frames", "records", "mod"] {
        let path = format!("store/src/snapshot/{file}.rs");
        for constant in symbols::of_file(&path).constants {
            let (name, value) = (&constant.name, symbols::as_written(&path, &constant.name));
            if !constant.doc.is_empty() {
                let _ = writeln!(out, "| `{name}` | {value} | {} |", layout::plain(&constant.doc));
            }
        }
    }
    out
}

fn records() -> String {
    let mut out = String::new();
    for (section, fields) in RECORDS {
        let _ = writeln!(out, "**{section}**\n\n| field | bytes | meaning |\n|---|---|---|");
        for (name, kind, meaning) in fields {
            let bytes = match kind {
                Number(count) => format!("{count}, a number"),
                Later(count) => format!("{count}, a number; or none, from an early build: 0"),
                Bytes(count) => count.to_string(),
                Run => "u32 length, and as many".to_owned(),
                Actor => "u8 kind (0 anonymous, 1 named, 2 the cluster), u8 length of the name, the name"
                    .to_owned(),
                Runs => "u32 count, and for each a u32 length and as many".to_owned(),
                Settings => "u16 and u64 each, to the end".to_owned(),
                Rest => "the rest".to_owned(),
            };
            let _ = writeln!(out, "| {name} | {bytes} | {meaning} |");
        }
        out.push('\n');
    }
    out
}

/// All golden snapshots, oldest first.
fn golden() -> Vec<(String, Vec<u8>)> {
    let folder = workspace::root().join("store/tests/golden");
    let files = std::fs::read_dir(folder).expect("the golden snapshots");
    let mut all: Vec<_> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("a file"))
        })
        .collect();
    all.sort();
    all
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Offset, length, section and fields of each record of a snapshot of one chunk.
fn found(snapshot: &[u8]) -> Vec<(usize, Section, &[u8])> {
    let length = number(&snapshot[PREAMBLE_BYTES..PREAMBLE_BYTES + 4]) as usize;
    let mut at = PREAMBLE_BYTES + CHUNK_HEADER_BYTES;
    let end = at + length;
    let mut all = Vec::new();
    while at < end {
        let section = Section::from_number(number(&snapshot[at..at + 2]) as u16).expect("a section");
        let length = number(&snapshot[at + 2..at + 6]) as usize;
        all.push((at, section, &snapshot[at + 6..at + 6 + length]));
        at += 6 + length;
    }
    assert_eq!(at, end);
    assert_eq!(snapshot.len(), end + CHUNK_HEADER_BYTES + 40, "one chunk, and that of the end");
    all
}

/// The fields of a record, each with what stands there; all bytes are accounted for.
fn walk(section: Section, mut rest: &[u8]) -> Vec<(&'static str, String)> {
    let (_, fields) =
        RECORDS.iter().find(|(found, _)| *found == section).expect("a section that is described");
    let mut out = Vec::new();
    for (name, kind, _) in *fields {
        let ended = rest.is_empty();
        let mut take = |count: usize| {
            let (taken, left) = rest.split_at(count);
            rest = left;
            taken
        };
        let shown = match kind {
            Later(_) if ended => continue,
            Number(count) | Later(count) => number(take(*count)).to_string(),
            Bytes(count) => format!("{:02x}…", take(*count)[0]),
            Run => {
                let length = number(take(4)) as usize;
                text(take(length))
            }
            Actor => {
                let (kind, length) = (number(take(1)), number(take(1)) as usize);
                format!("{kind} {}", text(take(length)))
            }
            Runs => {
                let count = number(take(4));
                let runs = (0..count).map(|_| {
                    let length = number(take(4)) as usize;
                    text(take(length))
                });
                runs.collect::<Vec<_>>().join(" ")
            }
            Settings => {
                assert_eq!(rest.len() % 10, 0, "{section}");
                let count = rest.len() / 10;
                rest = &[];
                format!("{count} of them")
            }
            Rest => {
                let taken = std::mem::take(&mut rest);
                if matches!(section, Section::Membership | Section::Answers | Section::IdempotencyKeys) {
                    format!("{} bytes", taken.len())
                } else {
                    text(taken)
                }
            }
        };
        out.push((*name, shown));
    }
    assert!(rest.is_empty(), "{section}: {} bytes are not described", rest.len());
    out
}

fn text(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

fn taken_apart() -> String {
    let (_, newest) = golden().pop().expect("a golden snapshot");
    let mut out = String::from("```text\n");
    let _ = writeln!(out, "{:>5}  preamble", 0);
    let _ = writeln!(
        out,
        "{PREAMBLE_BYTES:>5}  chunk of {} bytes",
        number(&newest[PREAMBLE_BYTES..PREAMBLE_BYTES + 4])
    );
    for (at, section, fields) in found(&newest) {
        let fields: Vec<String> =
            walk(section, fields).into_iter().map(|(name, value)| format!("{name} {value}")).collect();
        let _ = writeln!(out, "{at:>5}  {:<18} {}", section.label(), fields.join(", "));
    }
    let end = newest.len() - CHUNK_HEADER_BYTES - 40;
    let _ = writeln!(
        out,
        "{end:>5}  chunk of the end: {} records, and the hash",
        number(&newest[end + 12..end + 20])
    );
    out + "```"
}

#[test]
fn every_byte_of_every_golden_snapshot_is_described() {
    let mut sections = std::collections::BTreeSet::new();
    for (name, snapshot) in golden() {
        // The configuration of a golden snapshot is no real one, and has no index.
        for (_, section, fields) in found(&snapshot) {
            sections.insert(section);
            assert!(!walk(section, fields).is_empty(), "{name}");
        }
    }
    let described: std::collections::BTreeSet<Section> =
        RECORDS.iter().map(|(section, _)| *section).collect();
    assert_eq!(sections, described, "a section that no golden snapshot has, or that is not described");
}

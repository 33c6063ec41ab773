//! `docs/audit-format.md` against the code: the tables, the limits, and a file taken apart.

use std::fmt::Write;

use holdfast_command::audit::AuditRecord;
use holdfast_machine::{Numbered, render};
use holdfast_server::audit::{
    FRAME_FIELDS, FRAME_HEAD_BYTES, FrameKind, HEADER_BYTES, HEADER_FIELDS, Header, HeaderFound, frame_check,
};
use holdfast_tidy::{blocks, layout, symbols, workspace};
use holdfast_wal::format::{Field, width};

#[test]
fn the_page_of_the_audit_format_is_current() {
    let wanted = vec![
        ("header", fields(&HEADER_FIELDS)),
        ("frame", fields(&FRAME_FIELDS)),
        ("frame kinds", render::list::<FrameKind>("kind")),
        ("constants", constants(&["format"])),
        ("limits", constants(&["files", "read", "frames", "refused"])),
        ("file taken apart", taken_apart()),
    ];
    blocks::check(&[("docs/audit-format.md".into(), wanted)]);
}

fn fields(fields: &[Field]) -> String {
    let mut out = String::from("| offset | bytes | field | meaning |\n|---|---|---|---|\n");
    let mut at = 0;
    for field in fields {
        let _ = writeln!(out, "| {at} | {} | {} | {} |", field.bytes, field.name, field.meaning);
        at += field.bytes;
    }
    out
}

fn constants(files: &[&str]) -> String {
    let mut out = String::from("| constant | value | meaning |\n|---|---|---|\n");
    for file in files {
        let path = format!("server/src/audit/{file}.rs");
        for constant in symbols::of_file(&path).constants {
            let (name, value) = (&constant.name, symbols::as_written(&path, &constant.name));
            if !constant.doc.is_empty() && !name.ends_with("_FIELDS") {
                let _ = writeln!(out, "| `{name}` | {value} | {} |", layout::plain(&constant.doc));
            }
        }
    }
    out
}

#[test]
fn the_fields_are_as_wide_as_what_they_describe() {
    assert_eq!(width(&HEADER_FIELDS), HEADER_BYTES);
    assert_eq!(width(&FRAME_FIELDS), FRAME_HEAD_BYTES);
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The newest golden file, every byte of which the tables account for.
fn taken_apart() -> String {
    let folder = workspace::root().join("server/tests/audit/golden");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("the golden files")
        .map(|file| file.expect("a file").path())
        .collect();
    names.sort();
    let bytes = std::fs::read(names.last().expect("one at least")).expect("it can be read");
    let HeaderFound::Valid(header, check) = Header::read(&bytes) else { panic!("a header") };
    let mut out = String::from("```text\n");
    let _ = writeln!(
        out,
        "{:>5}  header  epoch {}, number {}, first {}, complete from {}, stamp {}",
        0, header.epoch.0, header.number, header.first, header.complete_from, header.stamp
    );
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        let field = |name: &str| {
            let index = FRAME_FIELDS.iter().position(|field| field.name == name).expect("a field");
            let start = at + width(&FRAME_FIELDS[..index]);
            number(&bytes[start..start + FRAME_FIELDS[index].bytes])
        };
        let kind = FrameKind::from_number(field("kind") as u8).expect("a kind");
        let (index, end) = (field("index"), at + FRAME_HEAD_BYTES + field("length") as usize);
        assert_eq!(field("check") as u32, frame_check(check, at as u64, &bytes[at..end]), "at {at}");
        assert_eq!(field("zero"), 0);
        let what = match kind {
            FrameKind::Record => {
                let payload = bytes[at + FRAME_HEAD_BYTES..end].to_vec();
                let record = AuditRecord::decode(payload.into()).expect("a record");
                assert_eq!((record.index, record.stamp), (index, field("stamp")));
                format!("{} by {}, {} bytes", record.command, record.actor.name(), field("length"))
            }
            FrameKind::Mark => "no records up to here".to_owned(),
            FrameKind::Gap => "nothing is known up to here".to_owned(),
        };
        let _ = writeln!(out, "{at:>5}  {:<7} index {index}: {what}", kind.label());
        at = end;
    }
    assert_eq!(at, bytes.len());
    out + "```"
}

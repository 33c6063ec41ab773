//! `docs/wire-format.md` against the code: tables, byte diagrams, and a connection taken apart.

use std::fmt::Write;

use bytes::BytesMut;
use holdfast_machine::{Numbered, render};
use holdfast_tidy::layout::{self, Types};
use holdfast_tidy::{blocks, symbols, workspace};
use holdfast_wire::frame::FIELDS;
use holdfast_wire::message::{ClientHello, CloseReason, Consistency, Credentials, Features, Figure, Lane};
use holdfast_wire::{
    ClusterEpoch, ClusterId, ClusterIdentity, Flag, Message, MessageType, Preface, VersionRange, body,
    connection, message_type, outbox,
};

#[test]
fn the_page_of_the_wire_format_is_current() {
    let types = Types::of_wire();
    let bodies: Vec<String> = MessageType::ALL.iter().map(|kind| types.table(*kind)).collect();
    let wanted = vec![
        ("frame header", frame_header()),
        ("flags", render::list::<Flag>("flag")),
        ("message types", message_types()),
        ("bodies", bodies.join("\n")),
        ("lanes", render::list::<Lane>("lane")),
        ("consistencies", render::list::<Consistency>("consistency")),
        ("figures", render::list::<Figure>("figure")),
        ("close reasons", render::list::<CloseReason>("reason")),
        ("limits", limits()),
        ("errors", errors()),
        ("hexdump", hexdump(&types)),
    ];
    blocks::check(&[("docs/wire-format.md".into(), wanted)]);
}

/// Every sample of the golden bytes is accounted for to the last byte by the tables of the page.
#[test]
fn the_tables_of_bodies_account_for_every_golden_byte() {
    let types = Types::of_wire();
    let golden = workspace::read("wire/tests/golden/bytes.txt");
    let mut frames = 0;
    for (name, hex) in golden.lines().filter_map(|line| line.split_once(": ")).skip(1) {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        let pieces = layout::take_apart(&types, &bytes);
        assert!(pieces.len() > FIELDS.len(), "{name}");
        frames += 1;
    }
    assert!(frames >= 80, "the golden file was read");
}

fn frame_header() -> String {
    let mut diagram = String::from("```text\n");
    let (mut ruler, mut boxes, mut at) = (String::new(), String::new(), 0);
    for field in FIELDS {
        let width = field.name.len().max(field.bytes) + 3;
        let _ = write!(ruler, "{at:<width$}");
        let _ = write!(boxes, "│ {:<1$}", field.name, width - 2);
        at += field.bytes;
    }
    let _ = write!(diagram, "{ruler}{at}\n{boxes}│ body …\n```\n\n");
    let mut table = String::from("| offset | bytes | field | meaning |\n|---|---|---|---|\n");
    at = 0;
    for field in FIELDS {
        let _ = writeln!(table, "| {at} | {} | {} | {} |", field.bytes, field.name, field.meaning);
        at += field.bytes;
    }
    diagram + &table
}

fn message_types() -> String {
    let mut out = String::from(
        "| number | name | who sends it | body cap | since version | may be skipped | flags | meaning |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for kind in MessageType::ALL {
        let spec = kind.spec();
        let flags: Vec<&str> =
            Flag::ALL.iter().filter(|flag| spec.required.has(**flag)).map(|flag| flag.name()).collect();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            kind.number(),
            kind.name(),
            spec.direction.text(),
            spec.body_cap,
            spec.since,
            if spec.may_skip { "yes" } else { "no" },
            if flags.is_empty() { "none".to_owned() } else { flags.join(", ") },
            layout::plain(kind.caption()),
        );
    }
    for (number, name) in MessageType::RETIRED {
        let _ = writeln!(out, "| {number} | ~~{name}~~ | | | | | | retired |");
    }
    out
}

/// Named limits with their values, and the reason that stands beside each in the code.
fn limits() -> String {
    let rows = [
        ("wire/src/message_type.rs", "GREETING_CAP", message_type::GREETING_CAP.into()),
        ("wire/src/message_type.rs", "TEXT_CAP", message_type::TEXT_CAP.into()),
        ("wire/src/message_type.rs", "PING_CAP", message_type::PING_CAP.into()),
        ("wire/src/message_type.rs", "QUESTION_CAP", message_type::QUESTION_CAP.into()),
        ("wire/src/message_type.rs", "WATCH_CAP", message_type::WATCH_CAP.into()),
        ("wire/src/message_type.rs", "STATUS_CAP", message_type::STATUS_CAP.into()),
        ("wire/src/message_type.rs", "STATS_CAP", message_type::STATS_CAP.into()),
        ("wire/src/message_type.rs", "TRACE_CAP", message_type::TRACE_CAP.into()),
        ("wire/src/message_type.rs", "TRACES_MAX", message_type::TRACES_MAX as u64),
        ("wire/src/message_type.rs", "EXAMINED_CAP", message_type::EXAMINED_CAP.into()),
        ("wire/src/message_type.rs", "PIECE_CAP", message_type::PIECE_CAP.into()),
        ("wire/src/message_type.rs", "PIECE_BYTES", message_type::PIECE_BYTES as u64),
        ("wire/src/message_type.rs", "CONTROL_CAP", message_type::CONTROL_CAP.into()),
        ("wire/src/message_type.rs", "MEMBERS_MAX", message_type::MEMBERS_MAX as u64),
        ("wire/src/message_type.rs", "STAGES_MAX", message_type::STAGES_MAX as u64),
        ("wire/src/message_type.rs", "DIGESTS_MAX", message_type::DIGESTS_MAX as u64),
        ("wire/src/message_type.rs", "ENTRIES_MAX", message_type::ENTRIES_MAX as u64),
        ("wire/src/message_type.rs", "EVENTS_MAX", message_type::EVENTS_MAX as u64),
        ("wire/src/message_type.rs", "SKIPPABLE_CAP", message_type::SKIPPABLE_CAP.into()),
        ("wire/src/message_type.rs", "BODY_CAP", message_type::BODY_CAP.into()),
        ("wire/src/meta.rs", "METADATA_CAP", body::METADATA_CAP as u64),
        ("wire/src/body.rs", "MAX_DEPTH", body::MAX_DEPTH.into()),
        ("wire/src/outbox.rs", "SHARE_BYTES", outbox::SHARE_BYTES as u64),
        ("wire/src/connection/limits.rs", "HANDSHAKE_DEADLINE_MS", connection::HANDSHAKE_DEADLINE_MS),
        ("wire/src/connection/limits.rs", "IDLE_DEADLINE_MS", connection::IDLE_DEADLINE_MS),
        ("wire/src/connection/limits.rs", "KEEPALIVE_MS", connection::KEEPALIVE_MS),
        ("wire/src/connection/limits.rs", "DRAIN_DEADLINE_MS", connection::DRAIN_DEADLINE_MS),
        ("wire/src/connection/limits.rs", "LINGER_MS", connection::LINGER_MS),
        ("wire/src/connection/limits.rs", "HIGH_WATER_BYTES", connection::HIGH_WATER_BYTES as u64),
        ("wire/src/connection/limits.rs", "OUTBOX_BYTES_MAX", connection::OUTBOX_BYTES_MAX as u64),
        ("wire/src/connection/limits.rs", "DETAIL_BYTES_MAX", connection::DETAIL_BYTES_MAX as u64),
    ];
    let mut out = String::from("| limit | value | what it limits, and why |\n|---|---|---|\n");
    for (path, name, value) in rows {
        let constants = symbols::of_file(path).constants;
        let constant = constants.iter().find(|constant| constant.name == name);
        let constant = constant.unwrap_or_else(|| panic!("{path} has no constant {name}"));
        let _ = writeln!(out, "| `{name}` | {value} | {} |", layout::plain(&constant.doc));
    }
    out
}

#[test]
fn every_public_limit_of_the_wire_stands_on_the_page() {
    let shown = limits();
    for path in workspace::files(".rs").iter().filter(|path| path.starts_with("wire/src/")) {
        for constant in symbols::of_file(path).constants {
            let name = &constant.name;
            let limit =
                ["_CAP", "_BYTES", "_MS", "_MAX", "_DEPTH"].iter().any(|ending| name.ends_with(ending));
            // These are sizes that the layout has, not limits that somebody chose.
            let size = ["HEADER_BYTES", "PREFACE_BYTES"].contains(&name.as_str());
            assert!(!constant.public || !limit || size || shown.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}

/// Every error of the wire, from the documentation of its variant.
fn errors() -> String {
    let source = workspace::read("wire/src/error.rs");
    let file = syn::parse_file(&source).expect("the error module is Rust");
    let wire_error = file.items.iter().find_map(|item| match item {
        syn::Item::Enum(item) if item.ident == "WireError" => Some(item),
        _ => None,
    });
    let mut out = String::from("| error | meaning |\n|---|---|\n");
    for variant in &wire_error.expect("there is an enum WireError").variants {
        let meaning = layout::plain(&symbols::doc(&variant.attrs));
        let _ = writeln!(out, "| `{}` | {meaning} |", variant.ident);
    }
    out
}

/// The first bytes a client sends, taken apart by the tables of the page.
fn hexdump(types: &Types) -> String {
    let epoch = ClusterEpoch::new(2).expect("not zero");
    let cluster = ClusterIdentity {
        id: ClusterId(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"),
        epoch,
    };
    let hello = Message::from(ClientHello {
        cluster: Some(cluster),
        features: Features(0),
        name: "billing".into(),
        build: "0.1.0".into(),
        credentials: Credentials::default(),
    });
    let mut frame = BytesMut::new();
    hello.encode(hello.header(), &mut frame).expect("a sample can be encoded");
    let mut bytes = BytesMut::new();
    Preface { versions: VersionRange::SUPPORTED }.encode(&mut bytes);
    let mut pieces =
        vec![(4, "magic HLDF".into()), (2, "lowest version".into()), (2, "highest version".into())];
    pieces.extend(layout::take_apart(types, &frame));
    bytes.extend_from_slice(&frame);
    // The names of sections come from a doc comment, which could name them in another order.
    for (name, content) in [("name", "billing"), ("build", "0.1.0")] {
        let at: usize = pieces.iter().take_while(|(_, text)| text != name).map(|(count, _)| count).sum();
        assert_eq!(&bytes[at..at + content.len()], content.as_bytes(), "section {name}");
    }
    format!("```text\n{}```", layout::hexdump(&bytes, &pieces))
}

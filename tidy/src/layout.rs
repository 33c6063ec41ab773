//! The bytes of message bodies, read from the structs that are encoded: tables for the wire page, and a walk over
//! real bytes that names each piece.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::{Buf, Bytes};
use holdfast_machine::Numbered;
use holdfast_wire::MessageType;
use holdfast_wire::frame::FIELDS;

use crate::symbols::{self, Field, Struct};
use crate::workspace;

/// How a metadata field is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A little-endian number or a run of bytes, and how to call it.
    Plain(usize, String),
    /// A byte 0, or a byte 1 and then this.
    Optional(Box<Shape>),
    /// One field after another.
    Fields(Vec<Part>),
}

/// A field of a [`Shape`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its documentation, which may be empty.
    pub doc: String,
    /// How it is encoded.
    pub shape: Shape,
}

/// The declarations of the wire crate that bodies are made of.
#[derive(Debug)]
pub struct Types {
    structs: BTreeMap<String, Struct>,
    numbered: BTreeMap<String, String>,
}

impl Types {
    /// Reads the sources of the wire crate.
    #[must_use]
    pub fn of_wire() -> Self {
        let sources = workspace::files(".rs");
        let of_wire = sources.iter().filter(|path| path.starts_with("wire/src/"));
        let all: Vec<_> = of_wire.map(|path| symbols::of_file(path)).collect();
        Self {
            structs: all
                .iter()
                .flat_map(|file| file.structs.iter().map(|item| (item.name.clone(), item.clone())))
                .collect(),
            numbered: all.iter().flat_map(|file| file.numbered.iter().cloned()).collect(),
        }
    }

    /// The shape of a type.
    ///
    /// # Panics
    /// If metadata must not contain it: anything of variable length.
    #[must_use]
    pub fn shape(&self, written: &syn::Type) -> Shape {
        let syn::Type::Path(path) = written else { panic!("metadata holds no {written:?}") };
        let last = path.path.segments.last().expect("a type has a name");
        let name = last.ident.to_string();
        if let syn::PathArguments::AngleBracketed(inner) = &last.arguments {
            let Some(syn::GenericArgument::Type(inner)) = inner.args.first() else { panic!("{name}<?>") };
            assert_eq!(name, "Option", "metadata holds no {name}: what has a length is a section");
            return Shape::Optional(Box::new(self.shape(inner)));
        }
        match name.as_str() {
            "u8" | "u16" | "u32" | "u64" | "i64" => {
                let bits: usize = name[1..].parse().expect("a width");
                Shape::Plain(bits / 8, name)
            }
            "bool" => Shape::Plain(1, "u8, 0 (false) or 1 (true)".into()),
            // These are declared inside macros; the walk over real bytes checks their width.
            "NodeId" | "ClusterEpoch" | "Boot" => Shape::Plain(8, format!("u64, not 0 (`{name}`)")),
            "ClusterId" | "NodeUuid" | "Life" => Shape::Plain(16, format!("16 bytes (`{name}`)")),
            _ => {
                if let Some(width) = self.numbered.get(&name) {
                    let bits: usize = width[1..].parse().expect("a width");
                    return Shape::Plain(bits / 8, format!("{width}, number of a `{name}`"));
                }
                let item = self.structs.get(&name).unwrap_or_else(|| panic!("metadata holds no {name}"));
                match &item.fields[..] {
                    [only] if only.name == "0" => self.shape(&only.written),
                    fields => self.parts(fields),
                }
            }
        }
    }

    fn parts(&self, fields: &[Field]) -> Shape {
        let part = |field: &Field| {
            let (name, doc) = (field.name.clone(), plain(&field.doc));
            Part { name, doc, shape: self.shape(&field.written) }
        };
        Shape::Fields(fields.iter().map(part).collect())
    }

    /// The metadata of the body `name`: what its `NAMEMeta` holds; or, of a body that is nothing else, what it holds
    /// itself.
    fn metadata(&self, name: &str) -> Shape {
        match self.structs.get(&format!("{name}Meta")) {
            Some(item) => self.parts(&item.fields),
            None if self.sections(name).is_empty() => self.parts(&self.body(name).fields),
            None => Shape::Fields(vec![]),
        }
    }

    /// The public struct of a body.
    fn body(&self, name: &str) -> &Struct {
        self.structs.get(name).unwrap_or_else(|| panic!("no struct {name} in wire"))
    }

    /// The sections of a body, as its documentation lists them behind `Sections:`.
    ///
    /// # Panics
    /// If it lists none and does not say so: every message says what its sections are.
    fn sections(&self, name: &str) -> Vec<Listed> {
        let doc = &self.body(name).doc;
        let line = doc.lines().find_map(|line| line.strip_prefix("Sections: "));
        let line = line.unwrap_or_else(|| panic!("{name} does not say what its sections are"));
        match line.trim_end_matches('.') {
            "none" => vec![],
            list => list.split(", ").map(Listed::of).collect(),
        }
    }

    /// The table of one message for the wire page, and those of the bodies that stand in its sections.
    #[must_use]
    pub fn table(&self, message_type: MessageType) -> String {
        let name = struct_name(message_type);
        let inner =
            self.sections(name).into_iter().filter_map(|section| self.inner_body(name, &section.path));
        let inner: String = inner
            .map(|inner| format!("\n{}", self.table_of(&inner, &format!("A {inner} of {message_type}"))))
            .collect();
        self.table_of(name, &message_type.label()) + &inner
    }

    /// The body that each piece of the section `path` of the body `name` is, if it is one.
    fn inner_body(&self, name: &str, path: &str) -> Option<String> {
        let field = self.body(name).fields.iter().find(|field| field.name == path)?;
        let element = element(&field.written)?;
        self.structs.contains_key(&format!("{element}Meta")).then_some(element)
    }

    fn table_of(&self, name: &str, title: &str) -> String {
        let body = self.body(name);
        let public = |name: &str| body.fields.iter().find(|field| field.name == name);
        let mut rows = Vec::new();
        flatten("", &self.metadata(name), "", &mut rows);
        let sections = self.sections(name);
        if rows.is_empty() && sections.is_empty() {
            return format!("**{title}**\n\nNothing: the type says it all.\n");
        }
        let mut out =
            format!("**{title}**\n\n| part | field | bytes | type | meaning |\n|---|---|---|---|---|\n");
        for (path, bytes, kind, doc) in rows {
            // The struct that is encoded is private; its fields are documented where users see them.
            let doc = public(&path).map_or(doc, |field| plain(&field.doc));
            assert!(!doc.is_empty(), "{} does not say what {path} means", body.name);
            let _ = writeln!(out, "| metadata | {path} | {bytes} | {kind} | {doc} |");
        }
        for (at, Listed { path, repeats, when }) in sections.iter().enumerate() {
            let name = path.split('.').next().unwrap_or_default();
            let field = public(path)
                .cloned()
                .or_else(|| self.inner(public(name)?, path.strip_prefix(name)?.get(1..)?));
            let field = field.unwrap_or_else(|| panic!("{} has no field {path}", body.name));
            let text = matches!(&field.written, syn::Type::Path(path) if path.path.is_ident("ByteString"));
            let kind = match self.inner_body(&body.name, path) {
                Some(inner) => format!("a body (`{inner}`) each"),
                None if text => "UTF-8 text".to_owned(),
                None if *repeats => "bytes each".to_owned(),
                None => "bytes".to_owned(),
            };
            let place = if *repeats { format!("sections {at} and on") } else { format!("section {at}") };
            let when = when.as_ref().map_or(String::new(), |when| format!(" Only {when}."));
            let _ = writeln!(out, "| {place} | {path} | any | {kind} | {}{when} |", plain(&field.doc));
        }
        out
    }

    /// The field `name` of the struct that `field` holds, optionally or not.
    fn inner(&self, field: &Field, name: &str) -> Option<Field> {
        let syn::Type::Path(path) = &field.written else { return None };
        let last = path.path.segments.last()?;
        let inner = match &last.arguments {
            syn::PathArguments::AngleBracketed(inner) => match inner.args.first()? {
                syn::GenericArgument::Type(syn::Type::Path(inner)) => {
                    inner.path.segments.last()?.ident.to_string()
                }
                _ => return None,
            },
            _ => last.ident.to_string(),
        };
        self.structs.get(&inner)?.fields.iter().find(|field| field.name == name).cloned()
    }
}

/// A section as the documentation of its body lists it: `NAME`, `NAME if …`, or `NAME one each`.
struct Listed {
    /// The field, or a field of a field.
    path: String,
    /// Whether there are as many as there are things, none included. Only the last does that.
    repeats: bool,
    /// When it is there at all, if not always.
    when: Option<String>,
}

impl Listed {
    fn of(text: &str) -> Self {
        let (path, rest) = text.split_once(' ').unwrap_or((text, ""));
        let repeats = rest == "one each";
        let when = (!repeats && !rest.is_empty()).then(|| rest.to_owned());
        Self { path: path.to_owned(), repeats, when }
    }
}

/// The struct that is the body of a message.
fn struct_name(message_type: MessageType) -> &'static str {
    match message_type {
        MessageType::Ping | MessageType::Pong => "Echo",
        _ => message_type.name(),
    }
}

/// `T` of a `Vec<T>`.
fn element(written: &syn::Type) -> Option<String> {
    let syn::Type::Path(path) = written else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Vec")?;
    let syn::PathArguments::AngleBracketed(inner) = &last.arguments else { return None };
    match inner.args.first()? {
        syn::GenericArgument::Type(syn::Type::Path(inner)) => {
            Some(inner.path.segments.last()?.ident.to_string())
        }
        _ => None,
    }
}

/// Documentation fit for one cell: one line, links as their text.
#[must_use]
pub fn plain(doc: &str) -> String {
    let mut text = doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    // `[`X`](path)` and `[`X`]` become `X`.
    while let Some(start) = text.find("[`") {
        let Some(end) = text[start..].find("`]").map(|at| start + at + 2) else { break };
        let inner = text[start + 1..end - 1].to_owned();
        let target =
            if text[end..].starts_with('(') { text[end..].find(')').map_or(0, |at| at + 1) } else { 0 };
        text.replace_range(start..end + target, &inner);
    }
    text
}

/// A row of a table: path, bytes, type, meaning.
type Row = (String, String, String, String);

fn flatten(path: &str, shape: &Shape, doc: &str, rows: &mut Vec<Row>) {
    let mut row = |bytes: String, kind: String| rows.push((path.to_owned(), bytes, kind, doc.to_owned()));
    match shape {
        Shape::Plain(bytes, kind) => row(bytes.to_string(), kind.clone()),
        Shape::Optional(inner) => match &**inner {
            Shape::Plain(bytes, kind) => row(format!("1 or {}", bytes + 1), format!("0, or 1 and a {kind}")),
            Shape::Optional(_) | Shape::Fields(_) => {
                row("1".into(), "0: absent; 1: followed by".into());
                flatten(path, inner, "", rows);
            }
        },
        Shape::Fields(parts) => {
            for part in parts {
                flatten(&joined(path, &part.name), &part.shape, &part.doc, rows);
            }
        }
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A piece of a frame: how long it is and what it says.
pub type Piece = (usize, String);

/// Takes a whole frame apart by the tables above.
///
/// # Panics
/// If the tables do not account for every byte: then they are wrong.
#[must_use]
pub fn take_apart(types: &Types, frame: &[u8]) -> Vec<Piece> {
    let mut rest = Bytes::copy_from_slice(frame);
    let mut pieces = Vec::new();
    let mut take = |rest: &mut Bytes, count: usize, text: String| {
        assert!(rest.len() >= count, "{text} reaches beyond the frame");
        pieces.push((count, text));
        rest.split_to(count)
    };
    let number = u16::from_le_bytes([frame[8], frame[9]]);
    let message_type = MessageType::from_number(number).expect("a known message");
    for field in FIELDS {
        let text = if field.name == "type" { message_type.name() } else { field.name };
        take(&mut rest, field.bytes, text.to_owned());
    }
    body_apart(types, struct_name(message_type), "", &mut rest, &mut take);
    assert!(rest.is_empty(), "{} bytes are not accounted for", rest.len());
    pieces
}

/// Takes one body apart, whose pieces are called by `path`, and the bodies in its sections.
fn body_apart(
    types: &Types,
    name: &str,
    path: &str,
    rest: &mut Bytes,
    take: &mut dyn FnMut(&mut Bytes, usize, String) -> Bytes,
) {
    let of = if path.is_empty() { String::new() } else { format!("{path}: ") };
    let metadata = usize::from(take(rest, 2, format!("{of}metadata length")).get_u16_le());
    let count = usize::from(take(rest, 2, format!("{of}number of sections")).get_u16_le());
    let listed = types.sections(name);
    if let Some((_, before)) = listed.split_last() {
        assert!(before.iter().all(|section| !section.repeats), "{name}: only the last section repeats");
    }
    let repeats = listed.last().is_some_and(|last| last.repeats);
    assert!(repeats || count <= listed.len(), "{name} has {count} sections");
    let section = |at: usize| match listed.get(at) {
        Some(one) if !one.repeats => (one.path.clone(), one),
        Some(_) | None => {
            let last = listed.last().expect("a section that repeats");
            (format!("{}[{}]", last.path, at + 1 - listed.len()), last)
        }
    };
    let mut lengths = Vec::new();
    for at in 0..count {
        lengths.push(take(rest, 4, format!("{of}length of {}", section(at).0)).get_u32_le() as usize);
    }
    let before = rest.len();
    walk(path, &types.metadata(name), rest, take);
    assert_eq!(before - rest.len(), metadata, "metadata of {name}");
    for (at, length) in lengths.into_iter().enumerate() {
        let (called, listed) = section(at);
        match types.inner_body(name, &listed.path) {
            None => drop(take(rest, length, joined(path, &called))),
            Some(inner) => {
                let before = rest.len();
                body_apart(types, &inner, &joined(path, &called), rest, take);
                assert_eq!(before - rest.len(), length, "{called} of {name}");
            }
        }
    }
}

fn walk(
    path: &str,
    shape: &Shape,
    rest: &mut Bytes,
    take: &mut dyn FnMut(&mut Bytes, usize, String) -> Bytes,
) {
    match shape {
        Shape::Plain(bytes, _) => drop(take(rest, *bytes, path.to_owned())),
        Shape::Optional(inner) => {
            let there = rest.first() == Some(&1);
            take(rest, 1, format!("{path}: {}", if there { "present" } else { "absent" }));
            if there {
                walk(path, inner, rest, take);
            }
        }
        Shape::Fields(parts) => {
            for part in parts {
                walk(&joined(path, &part.name), &part.shape, rest, take);
            }
        }
    }
}

/// The bytes with an offset before and a meaning behind each piece; 16 bytes a line.
#[must_use]
pub fn hexdump(bytes: &[u8], pieces: &[Piece]) -> String {
    let (mut out, mut at) = (String::new(), 0);
    for (count, text) in pieces {
        let piece = &bytes[at..at + count];
        for (row, chunk) in piece.chunks(16).enumerate() {
            let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = if row == 0 { text.as_str() } else { "" };
            let line = format!("{:04x}  {:<47}  {text}", at + row * 16, hex.join(" "));
            let _ = writeln!(out, "{}", line.trim_end());
        }
        at += count;
    }
    assert_eq!(at, bytes.len(), "the pieces are not the whole");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_documentation_become_plain_text() {
        assert_eq!(plain("As in [`A::b`] and\n[`C`](crate::C)."), "As in `A::b` and `C`.");
    }

    #[test]
    fn a_dump_shows_every_byte_once() {
        let bytes: Vec<u8> = (0..20).collect();
        let dump = hexdump(&bytes, &[(2, "two".into()), (18, "rest".into())]);
        assert_eq!(
            dump,
            "0000  00 01                                            two\n\
             0002  02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11  rest\n\
             0012  12 13\n"
        );
    }

    #[test]
    fn a_body_without_sections_is_its_metadata_and_one_without_either_says_so() {
        let types = Types::of_wire();
        let notice = types.table(MessageType::Notice);
        assert!(
            notice.contains("| metadata | peer.to_boot | 1 or 9 |") && !notice.contains("section"),
            "{notice}"
        );
        assert_eq!(types.table(MessageType::Status), "**M106 Status**\n\nNothing: the type says it all.\n");
        let vote = types.table(MessageType::VoteReply);
        assert!(vote.contains("| metadata | granted | 1 | u8, 0 (false) or 1 (true) |"), "{vote}");
    }

    #[test]
    fn a_section_that_repeats_is_shown_once_and_a_body_in_it_has_a_table_of_its_own() {
        let types = Types::of_wire();
        let append = types.table(MessageType::Append);
        assert!(append.contains("| section 0 | terms | any | bytes |"), "{append}");
        assert!(append.contains("| sections 1 and on | entries | any | bytes each |"), "{append}");
        let status = types.table(MessageType::StatusReply);
        assert!(status.contains("| sections 1 and on | members | any | a body (`MemberStatus`) each |"));
        assert!(status.contains("| metadata | matched | 8 | u64 |"), "{status}");
        assert!(status.contains("| section 1 | client | any | UTF-8 text |"), "{status}");
    }

    #[test]
    #[should_panic(expected = "what has a length is a section")]
    fn metadata_of_variable_length_is_refused() {
        let written = syn::parse_str("Vec<u8>").unwrap();
        let _ = Types::of_wire().shape(&written);
    }
}

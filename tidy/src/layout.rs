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
        let all: Vec<_> = of_wire.map(|path| symbols::of(&workspace::read(path))).collect();
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
            "u8" | "u16" | "u32" | "u64" => {
                let bits: usize = name[1..].parse().expect("a width");
                Shape::Plain(bits / 8, name)
            }
            // These are declared inside macros; the walk over real bytes checks their width.
            "NodeId" | "ClusterEpoch" | "Boot" => Shape::Plain(8, format!("u64, not 0 (`{name}`)")),
            "ClusterId" | "NodeUuid" => Shape::Plain(16, format!("16 bytes (`{name}`)")),
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

    /// The metadata of a message.
    #[must_use]
    pub fn metadata(&self, message_type: MessageType) -> Shape {
        match self.structs.get(&format!("{}Meta", message_type.name())) {
            None => Shape::Fields(vec![]),
            Some(item) => self.parts(&item.fields),
        }
    }

    /// The public struct of a message.
    fn body(&self, message_type: MessageType) -> &Struct {
        let name = match message_type {
            MessageType::Ping | MessageType::Pong => "Echo",
            _ => message_type.name(),
        };
        self.structs.get(name).unwrap_or_else(|| panic!("no struct {name} in wire"))
    }

    /// The sections of a message, as its documentation lists them behind `Sections:`.
    ///
    /// # Panics
    /// If it lists none: every message says what its sections are.
    #[must_use]
    pub fn sections(&self, message_type: MessageType) -> Vec<String> {
        let body = self.body(message_type);
        let line = body.doc.lines().find_map(|line| line.strip_prefix("Sections: "));
        let line = line.unwrap_or_else(|| panic!("{} does not say what its sections are", body.name));
        line.trim_end_matches('.').split(", ").map(ToOwned::to_owned).collect()
    }

    /// The table of one message for the wire page.
    #[must_use]
    pub fn table(&self, message_type: MessageType) -> String {
        let body = self.body(message_type);
        let public = |name: &str| body.fields.iter().find(|field| field.name == name);
        let mut rows = Vec::new();
        flatten("", &self.metadata(message_type), "", &mut rows);
        let mut out = format!(
            "**{}**\n\n| part | field | bytes | type | meaning |\n|---|---|---|---|---|\n",
            message_type.label()
        );
        for (path, bytes, kind, doc) in rows {
            // The struct that is encoded is private; its fields are documented where users see them.
            let doc = public(&path).map_or(doc, |field| plain(&field.doc));
            let _ = writeln!(out, "| metadata | {path} | {bytes} | {kind} | {doc} |");
        }
        for (at, section) in self.sections(message_type).iter().enumerate() {
            let (path, when) = section.split_once(' ').unwrap_or((section, ""));
            let name = path.split('.').next().unwrap_or_default();
            let field = public(path)
                .cloned()
                .or_else(|| self.inner(public(name)?, path.strip_prefix(name)?.get(1..)?));
            let field = field.unwrap_or_else(|| panic!("{} has no field {path}", body.name));
            let text = matches!(&field.written, syn::Type::Path(path) if path.path.is_ident("ByteString"));
            let kind = if text { "UTF-8 text" } else { "bytes" };
            let when = if when.is_empty() { String::new() } else { format!(" Only {when}.") };
            let _ = writeln!(out, "| section {at} | {path} | any | {kind} | {}{when} |", plain(&field.doc));
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
    let metadata = usize::from(take(&mut rest, 2, "metadata length".into()).get_u16_le());
    let count = usize::from(take(&mut rest, 2, "number of sections".into()).get_u16_le());
    let names = types.sections(message_type);
    let mut lengths = Vec::new();
    for name in names.iter().take(count) {
        lengths.push(take(&mut rest, 4, format!("length of {name}")).get_u32_le() as usize);
    }
    let before = rest.len();
    walk("", &types.metadata(message_type), &mut rest, &mut take);
    assert_eq!(before - rest.len(), metadata, "metadata of {message_type}");
    for (name, length) in names.iter().zip(lengths) {
        take(&mut rest, length, name.clone());
    }
    assert!(rest.is_empty(), "{} bytes are not accounted for", rest.len());
    pieces
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
    #[should_panic(expected = "what has a length is a section")]
    fn metadata_of_variable_length_is_refused() {
        let written = syn::parse_str("Vec<u8>").unwrap();
        let _ = Types::of_wire().shape(&written);
    }
}

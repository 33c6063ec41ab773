//! The bytes of entries, requests and outcomes, as tables: for the page of the command format, and to walk over real bytes.
//!
//! The crate `command` lays its bytes out by hand, so there is no struct to read the layout from. It is said a second time here,
//! and every golden sample has to be accounted for to its last byte by these tables: what they say is then what is written.

use std::collections::BTreeMap;
use std::fmt::Write;

use holdfast_command::keys::{OperationNumber, Subject};
use holdfast_command::{CommandNumber, ReplyNumber};
use holdfast_machine::Numbered;

use crate::layout::Piece;
use crate::shapes::SHAPES;

/// What stands in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A little-endian number of this width, `u8` to `u64` or `i64`.
    Number(&'static str),
    /// So many bytes.
    Bytes(usize),
    /// A u32 length and as many bytes.
    Section,
    /// A u32 length and as many bytes of UTF-8.
    Text,
    /// As many bytes as the number in that field says.
    Sized(&'static str),
    /// A shape, right here.
    Shape(&'static str),
    /// A u32 count and as many of a shape.
    List(&'static str),
    /// A u8 that is 0, or 1 and a shape.
    Optional(&'static str),
    /// The body of the command whose number stands in front, as long as that field says.
    Body(&'static str),
    /// A u32 length and, as long as that, the shape of the operation whose number stands before it.
    Operation,
    /// What is compared: a number or a section, by the subject before it.
    Against,
    /// The body of the reply whose number stands in front.
    Reply,
    /// Shapes until nothing is left.
    ToEnd(&'static str),
}

/// One line of a table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name, which is that of the field it comes from if there is one.
    pub field: &'static str,
    /// What stands there.
    pub kind: Type,
    /// Only if another field has one of these values, or, for a field called `flags`, that bit.
    pub when: Option<(&'static str, &'static [u64])>,
    /// What it means; empty to say what the documentation of the field says.
    pub meaning: &'static str,
}

/// A table: its name and its lines.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The name of a struct, or `Reply::` and that of a variant, or a word.
    pub name: &'static str,
    /// Its lines, in the order of the bytes.
    pub rows: &'static [Row],
}

/// The table of this name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn shape(name: &str) -> &'static Shape {
    SHAPES.iter().find(|shape| shape.name == name).unwrap_or_else(|| panic!("no shape {name}"))
}

/// The name of the table of a command's body.
#[must_use]
pub fn body_of(number: CommandNumber) -> &'static str {
    match number {
        CommandNumber::Transact => "Transaction",
        _ => number.name(),
    }
}

/// The name of the table of a reply's body.
#[must_use]
pub fn reply_of(number: ReplyNumber) -> String {
    match number {
        ReplyNumber::Ranged => "RangePage".to_owned(),
        _ => format!("Reply::{}", number.name()),
    }
}

/// A shape as Markdown: bytes, field, type, meaning. `meaning(shape, field)` looks documentation up.
///
/// # Panics
/// If a line means nothing.
#[must_use]
pub fn table(shape: &Shape, meaning: &dyn Fn(&str, &str) -> Option<String>) -> String {
    if shape.rows.is_empty() {
        return "No bytes.\n".to_owned();
    }
    let mut out = String::from("| offset | field | type | meaning |\n|---|---|---|---|\n");
    let mut at = Some(0);
    for row in shape.rows {
        let means = Some(row.meaning.to_owned()).filter(|text| !text.is_empty());
        let means = means.or_else(|| meaning(shape.name, row.field));
        let means = means.unwrap_or_else(|| panic!("{} does not say what {} means", shape.name, row.field));
        let only = row.when.map_or(String::new(), |(field, values)| {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            match field {
                "flags" => format!(" Only if bit {} of the flags is set.", values.join(" or ")),
                _ => format!(" Only if {field} is {}.", values.join(" or ")),
            }
        });
        let offset = at.map_or("…".to_owned(), |at: usize| at.to_string());
        let _ = writeln!(out, "| {offset} | {} | {} | {means}{only} |", row.field, spelled(row.kind));
        let width = fixed(row.kind).filter(|_| row.when.is_none());
        at = at.zip(width).map(|(at, width)| at + width);
    }
    out
}

fn spelled(kind: Type) -> String {
    match kind {
        Type::Number(name) => name.to_owned(),
        Type::Bytes(count) => format!("{count} bytes"),
        Type::Section => "section".to_owned(),
        Type::Text => "section, UTF-8".to_owned(),
        Type::Sized(field) => format!("as many bytes as {field} says"),
        Type::Shape(name) => format!("`{name}`"),
        Type::List(name) => format!("u32 count and as many `{name}`"),
        Type::Optional(name) => format!("u8 0, or 1 and a `{name}`"),
        Type::Body(field) => format!("as many bytes as {field} says"),
        Type::Operation => "u32 length and as many bytes".to_owned(),
        Type::Against => "u64, i64 or section".to_owned(),
        Type::Reply => "by its number".to_owned(),
        Type::ToEnd(name) => format!("`{name}`, to the end"),
    }
}

fn width(name: &str) -> usize {
    name.get(1..).and_then(|bits| bits.parse::<usize>().ok()).expect("a width in bits") / 8
}

fn fixed(kind: Type) -> Option<usize> {
    match kind {
        Type::Number(name) => Some(width(name)),
        Type::Bytes(count) => Some(count),
        _ => None,
    }
}

/// Takes bytes apart by the table of this name.
///
/// # Errors
/// What does not fit, if the table does not account for every byte.
pub fn take_apart(name: &str, bytes: &[u8]) -> Result<Vec<Piece>, String> {
    let mut walk = Walk { rest: bytes, pieces: Vec::new() };
    walk.shape("", shape(name))?;
    if walk.rest.is_empty() { Ok(walk.pieces) } else { Err(format!("{} bytes are left", walk.rest.len())) }
}

struct Walk<'a> {
    rest: &'a [u8],
    pieces: Vec<Piece>,
}

impl<'a> Walk<'a> {
    fn take(&mut self, count: usize, text: String) -> Result<&'a [u8], String> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(format!("{text} needs {count} bytes"));
        };
        self.rest = rest;
        self.pieces.push((count, text));
        Ok(taken)
    }

    fn number(&mut self, width: usize, text: String) -> Result<u64, String> {
        let bytes = self.take(width, text)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn section(&mut self, path: &str) -> Result<(), String> {
        let length = self.number(4, format!("{path}: length"))?;
        if length > 0 {
            self.take(length as usize, path.to_owned())?;
        }
        Ok(())
    }

    /// Walks `count` bytes by `walk`, which has to take all of them.
    fn within(
        &mut self,
        count: u64,
        walk: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let Some((inner, rest)) = self.rest.split_at_checked(count as usize) else {
            return Err(format!("{count} bytes are not there"));
        };
        self.rest = inner;
        walk(self)?;
        if !self.rest.is_empty() {
            return Err(format!("{} bytes are left inside", self.rest.len()));
        }
        self.rest = rest;
        Ok(())
    }

    fn shape(&mut self, path: &str, shape: &Shape) -> Result<(), String> {
        let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
        for row in shape.rows {
            if let Some((field, values)) = row.when {
                let number = numbers[field];
                let flagged = |value: &u64| number >> value & 1 == 1;
                let there =
                    if field == "flags" { values.iter().any(flagged) } else { values.contains(&number) };
                if !there {
                    continue;
                }
            }
            let path = match (path, row.field) {
                ("", field) => field.to_owned(),
                (path, field) => format!("{path}.{field}"),
            };
            match row.kind {
                Type::Number(name) => drop(numbers.insert(row.field, self.number(width(name), path)?)),
                Type::Bytes(count) => drop(self.take(count, path)?),
                Type::Section | Type::Text => self.section(&path)?,
                Type::Sized(field) if numbers[field] == 0 => {}
                Type::Sized(field) => drop(self.take(numbers[field] as usize, path)?),
                Type::Shape(name) => self.shape(&path, self::shape(name))?,
                Type::List(name) => {
                    let count = self.number(4, format!("{path}: count"))?;
                    for at in 0..count {
                        self.shape(&format!("{path}[{at}]"), self::shape(name))?;
                    }
                }
                Type::Optional(name) => {
                    if self.number(1, format!("{path}: there or not"))? == 1 {
                        self.shape(&path, self::shape(name))?;
                    }
                }
                Type::Body(length) => {
                    let number = CommandNumber::from_number(numbers["number"] as u16).ok_or("a command")?;
                    self.within(numbers[length], |walk| walk.shape(&path, self::shape(body_of(number))))?;
                }
                Type::Operation => {
                    let number =
                        OperationNumber::from_number(numbers["number"] as u8).ok_or("an operation")?;
                    let length = self.number(4, format!("{path}: length"))?;
                    self.within(length, |walk| walk.shape(&path, self::shape(number.name())))?;
                }
                Type::Against => match Subject::from_number(numbers["subject"] as u8).ok_or("a subject")? {
                    Subject::Value => self.section(&path)?,
                    _ => drop(self.number(8, path)?),
                },
                Type::Reply if numbers["number"] == 0 => self.shape(&path, self::shape("Refusal"))?,
                Type::Reply => {
                    let number = ReplyNumber::from_number(numbers["number"] as u16).ok_or("a reply")?;
                    self.shape(&path, self::shape(&reply_of(number)))?;
                }
                Type::ToEnd(name) => {
                    while !self.rest.is_empty() {
                        self.shape(&path, self::shape(name))?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_to_account_for_every_byte() {
        let request = b"\x05\0\0\0\x08\0\0\0\0\0\x09\0\0\0\0\0\0\0";
        let pieces = take_apart("Request", request).unwrap();
        assert_eq!(pieces.last(), Some(&(8, "body.revision".to_owned())));
        assert_eq!(pieces.iter().map(|(count, _)| count).sum::<usize>(), request.len());
        assert!(take_apart("Request", &request[..17]).is_err());
        assert!(take_apart("Compact", &[request.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn offsets_are_shown_up_to_the_first_field_whose_length_differs() {
        let table = table(shape("Extension"), &|_, _| None);
        let offsets: Vec<&str> = table.lines().skip(2).filter_map(|line| line.split(" | ").next()).collect();
        assert_eq!(offsets, ["| 0", "| 2"]);
    }

    #[test]
    #[should_panic(expected = "does not say what")]
    fn a_line_that_means_nothing_is_refused() {
        let rows = &[Row { field: "x", kind: Type::Section, when: None, meaning: "" }];
        let _ = table(&Shape { name: "X", rows }, &|_, _| None);
    }
}

//! What a command prints, in whichever format: each command names its columns and fills them, and this does the rest.
//!
//! A *record* is one thing: a sentence for people, an object for programs. *Rows* are many: a table, lines with tabs, an array or
//! an object per line. Rows are printed as they come, so that a million of them take no memory; only a table waits for a page of
//! them, to know how wide its columns are.

use std::io::{IsTerminal as _, Write as _};

use clap::{Args, ValueEnum};
use unicode_width::UnicodeWidthStr as _;

pub(super) use super::cell::{Cell, shown};
use super::cell::{object, quoted};
use super::failed::Failed;
use super::paint::{Color, HEAD, Paint};

/// How output is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned columns with a head
    Table,
    /// A line each, with a tab between columns
    Plain,
    /// One JSON document
    Json,
    /// One JSON object per line
    Jsonl,
    /// Only the value, as raw bytes
    Value,
}

/// The options of every command that prints something.
#[derive(Clone, Debug, Args)]
pub(super) struct Shape {
    /// How the output is written; a table on a terminal, plain otherwise
    #[arg(long, short, global = true, value_enum, value_name = "FORMAT", help_heading = "Output")]
    output: Option<Format>,
    /// Whether to use colours; `NO_COLOR` in the environment stands for `never`
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help_heading = "Output")]
    color: Color,
}

impl Shape {
    /// Where to print to.
    pub(super) fn out(&self) -> Out {
        self.out_or(None)
    }

    /// The same, in another format than the usual one if none is asked for.
    pub(super) fn out_or(&self, otherwise: Option<Format>) -> Out {
        let usual = if std::io::stdout().is_terminal() { Format::Table } else { Format::Plain };
        Out { format: self.output.or(otherwise).unwrap_or(usual), paint: self.paint() }
    }

    pub(super) fn paint(&self) -> Paint {
        Paint::new(self.color)
    }
}

/// A column of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Programs see it, people do not.
    json_only: bool,
    is_value: bool,
}

impl Column {
    /// One that everybody sees.
    pub(super) const fn of(name: &'static str) -> Self {
        Self { name, json_only: false, is_value: false }
    }

    /// One that is left to programs.
    pub(super) const fn json(name: &'static str) -> Self {
        Self { name, json_only: true, is_value: false }
    }

    /// The one that `-o value` prints.
    pub(super) const fn value(name: &'static str) -> Self {
        Self { name, json_only: false, is_value: true }
    }
}

/// Where to print to, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    pub(super) format: Format,
    pub(super) paint: Paint,
}

impl Out {
    /// One thing: a sentence for people, these fields for programs, and the one of them that is the value.
    pub(super) fn record(
        self,
        sentence: impl std::fmt::Display,
        fields: &[(&str, Cell)],
        value: &str,
    ) -> Result<(), Failed> {
        match self.format {
            Format::Table | Format::Plain => say(sentence),
            Format::Json | Format::Jsonl => say(object(fields.iter().map(|(name, cell)| (*name, cell)))),
            Format::Value => match fields.iter().find(|(name, _)| *name == value) {
                Some((_, cell)) => put_out(&cell.raw()).and_then(|()| put_out(b"\n")),
                None => Ok(()),
            },
        }
    }

    /// Many things of these columns.
    pub(super) fn rows(self, columns: &'static [Column]) -> Rows {
        Rows {
            out: self,
            columns,
            headless: false,
            live: false,
            member: None,
            count: 0,
            begun: false,
            waiting: Vec::new(),
            widths: Vec::new(),
        }
    }
}

/// So many rows of a table are waited for.
const PAGE: usize = 1_000;

/// Rows that are printed as they come.
#[derive(Debug)]
pub(super) struct Rows {
    out: Out,
    columns: &'static [Column],
    headless: bool,
    live: bool,
    member: Option<&'static str>,
    count: u64,
    begun: bool,
    waiting: Vec<Vec<String>>,
    widths: Vec<usize>,
}

impl Rows {
    /// Without a head in plain output, because it never had one.
    pub(super) fn headless(self) -> Self {
        Self { headless: true, ..self }
    }

    /// Each row at once: somebody waits for it.
    pub(super) fn live(self) -> Self {
        Self { live: true, ..self }
    }

    /// As a member of one JSON object, which has further members when all rows are there.
    pub(super) fn member(self, name: &'static str) -> Self {
        Self { member: Some(name), ..self }
    }

    fn begin(&mut self) -> Result<(), Failed> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let names = || self.columns.iter().filter(|column| !column.json_only).map(|column| column.name);
        match self.out.format {
            Format::Plain if !self.headless => say(names().collect::<Vec<_>>().join("\t")),
            Format::Table => {
                self.widths = names().map(str::len).collect();
                Ok(())
            }
            Format::Json => match self.member {
                Some(member) => put_out(format!("{{{}:[", quoted(member)).as_bytes()),
                None => put_out(b"["),
            },
            Format::Plain | Format::Jsonl | Format::Value => Ok(()),
        }
    }

    /// One more, with a cell for each column.
    pub(super) fn push(&mut self, cells: &[Cell]) -> Result<(), Failed> {
        self.begin()?;
        self.count += 1;
        let named = || self.columns.iter().map(|column| column.name).zip(cells);
        match self.out.format {
            Format::Table => {
                let line: Vec<String> = self.seen(cells).map(Cell::shown).collect();
                for (width, text) in self.widths.iter_mut().zip(&line) {
                    *width = text.width().max(*width);
                }
                self.waiting.push(line);
                if self.live || self.waiting.len() >= PAGE { self.print() } else { Ok(()) }
            }
            Format::Plain => {
                let there = self.seen(cells).filter(|cell| !matches!(cell, Cell::LeftOut));
                say(there.map(Cell::shown).collect::<Vec<_>>().join("\t"))
            }
            Format::Json => {
                let before = if self.count > 1 { "," } else { "" };
                put_out(format!("{before}\n{}", object(named())).as_bytes())
            }
            Format::Jsonl => say(object(named())),
            Format::Value => match self.columns.iter().zip(cells).find(|(column, _)| column.is_value) {
                Some((_, cell)) => put_out(&cell.raw()).and_then(|()| put_out(b"\n")),
                None => Ok(()),
            },
        }
    }

    /// The cells that people see.
    fn seen<'a>(&self, cells: &'a [Cell]) -> impl Iterator<Item = &'a Cell> {
        let columns = self.columns;
        columns.iter().zip(cells).filter(|(column, _)| !column.json_only).map(|(_, cell)| cell)
    }

    /// The rows that wait, and the head before the first of them.
    fn print(&mut self) -> Result<(), Failed> {
        if self.count == self.waiting.len() as u64 {
            let names =
                self.columns.iter().filter(|column| !column.json_only).map(|column| column.name.to_owned());
            let head = self.aligned(&names.collect::<Vec<_>>());
            say(self.out.paint.stdout(HEAD, &head))?;
        }
        for line in std::mem::take(&mut self.waiting) {
            say(self.aligned(&line))?;
        }
        Ok(())
    }

    fn aligned(&self, line: &[String]) -> String {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&self.widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', (width + 2).saturating_sub(cell.width())));
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// No more come. What there is to say of all of them: further members, or an object of its own. People are told otherwise.
    pub(super) fn end(mut self, further: &[(&str, Cell)]) -> Result<(), Failed> {
        self.begin()?;
        let further = || further.iter().map(|(name, cell)| (*name, cell));
        match self.out.format {
            Format::Table if self.waiting.is_empty() && self.count > 0 => Ok(()),
            Format::Table => self.print(),
            Format::Json => {
                let close = if self.count > 0 { "\n]" } else { "]" };
                let end = match self.member {
                    Some(_) if further().next().is_some() => {
                        let object = object(further());
                        format!("{close},{}", object.trim_start_matches('{'))
                    }
                    Some(_) => format!("{close}}}"),
                    None => close.to_owned(),
                };
                say(end)
            }
            Format::Jsonl if further().next().is_some() => say(object(further())),
            Format::Jsonl | Format::Plain | Format::Value => Ok(()),
        }
    }
}

/// A line of output.
pub(super) fn say(line: impl std::fmt::Display) -> Result<(), Failed> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

/// Bytes of output, as they are.
pub(super) fn put_out(bytes: &[u8]) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

//! What is printed, without tearing the prompt apart.

use std::io::{self, IsTerminal as _, Write as _};

use super::edges::Edge;
use crate::cli::paint::{BAD, Color, GOOD, HEAD, Paint};

const PROMPT: &str = "> ";

/// The terminal, or whatever else reads.
#[derive(Debug)]
pub(super) struct Screen {
    paint: Paint,
    /// Somebody types and sees what is printed. Otherwise the commands are printed as well, so that what was done can be read.
    interactive: bool,
    /// The prompt stands in the last line.
    prompting: bool,
    /// When everything began, in milliseconds of unix time.
    began_ms: u64,
}

impl Screen {
    pub(super) fn new(began_ms: u64) -> Self {
        let interactive = io::stdin().is_terminal() && io::stdout().is_terminal();
        Self { paint: Paint::new(Color::default()), interactive, prompting: false, began_ms }
    }

    /// Lines, above the prompt. What was typed behind it so far is gone from the screen and not from the line.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.prompting {
            write!(out, "\r\x1b[K{text}\n{PROMPT}")?;
        } else {
            writeln!(out, "{text}")?;
        }
        out.flush()
    }

    /// The prompt, if somebody types.
    pub(super) fn prompt(&mut self) -> io::Result<()> {
        if self.interactive && !self.prompting {
            self.prompting = true;
            let mut out = io::stdout().lock();
            write!(out, "{PROMPT}")?;
            out.flush()?;
        }
        Ok(())
    }

    /// Something was typed: the terminal has shown it, everybody else is shown it now.
    pub(super) fn typed(&mut self, line: &str) -> io::Result<()> {
        self.prompting = false;
        if self.interactive || line.trim().is_empty() { Ok(()) } else { self.say(&format!("{PROMPT}{line}")) }
    }

    /// `+12.345`, since everything began.
    pub(super) fn time(&self, at_ms: u64) -> String {
        let since = at_ms.saturating_sub(self.began_ms);
        format!("+{}.{:03}", since / 1_000, since % 1_000)
    }

    /// An edge in a line.
    pub(super) fn edge(&mut self, node: u64, edge: &Edge) -> io::Result<()> {
        let time = self.time(edge.at_ms);
        let Edge { machine, name, tag, edge: taken, from, to, term, peer, .. } = edge;
        let mut line = format!("{time:>9} n{node}  {machine:02} {name:17} {tag:3} {taken:20} {from} → ");
        line += &match *to {
            "Leader" | "Established" | "Ready" => self.paint.stdout(GOOD, to),
            "Failed" => self.paint.stdout(BAD, to),
            _ => (*to).to_owned(),
        };
        line += &peer.map_or_else(String::new, |peer| format!("  peer n{peer}"));
        line += &term.map_or_else(String::new, |term| format!("  term {term}"));
        self.say(&line)
    }

    /// Something that matters.
    pub(super) fn sentence(&mut self, text: &str) -> io::Result<()> {
        let text = self.paint.stdout(HEAD, text);
        self.say(&text)
    }

    pub(super) fn wrong(&mut self, text: &str) -> io::Result<()> {
        let text = self.paint.stdout(BAD, text);
        self.say(&text)
    }
}

//! What pages show in a terminal: the commands of their blocks, and whether what was printed is what they show.
//!
//! Numbers may be others than on the page, everything else may not. `…` stands for anything up to the end of its line, or,
//! alone, for any lines.

use std::collections::BTreeMap;

/// The first line of the reason why a block is not run.
const NOT_RUN: &str = "<!-- not run: ";

/// A command of a page, and what it shows below.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Its line of the page, from 1; 0 for a beginning of a block without a command.
    pub(crate) line: usize,
    /// Before the `$`: on which machine; nothing if the page has only one.
    #[allow(dead_code, reason = "pages with one machine have no names for it")]
    pub(crate) machine: String,
    pub(crate) command: String,
    pub(crate) output: Vec<String>,
}

/// The machine and the command of a line that begins with a prompt: `$ ` or `c$ `.
fn prompted(line: &str) -> Option<(&str, &str)> {
    let (machine, command) = line.split_once("$ ")?;
    (machine.len() <= 1 && machine.chars().all(|name| name.is_ascii_lowercase()))
        .then_some((machine, command))
}

/// The commands of all blocks that are to be run.
pub(crate) fn shown(page: &str) -> Vec<Shown> {
    let (mut all, mut skip, mut before): (Vec<Shown>, bool, &str) = (Vec::new(), false, "");
    // How far the block is indented that this line is in: one within a list is.
    let mut inside: Option<usize> = None;
    for (number, line) in page.lines().enumerate() {
        let trimmed = line.trim_start();
        let within = inside.map(|indent| line.get(indent..).unwrap_or(trimmed));
        match (within, trimmed) {
            (None, "```text" | "```console") => {
                (inside, skip) = (Some(line.len() - trimmed.len()), before.starts_with(NOT_RUN));
            }
            (Some("```"), _) => {
                inside = None;
                // Lines of a block without commands belong to none.
                all.push(Shown {
                    line: 0,
                    machine: String::new(),
                    command: String::new(),
                    output: Vec::new(),
                });
            }
            (Some(line), _) if !skip => match (prompted(line), all.last_mut()) {
                // An argument in quotes that goes on.
                (_, Some(last)) if last.line > 0 && last.command.matches('\'').count() % 2 == 1 => {
                    last.command.push('\n');
                    last.command.push_str(line);
                }
                (Some((machine, command)), _) => {
                    let (machine, command) = (machine.to_owned(), command.to_owned());
                    all.push(Shown { line: number + 1, machine, command, output: Vec::new() });
                }
                (None, Some(last)) if last.line > 0 => last.output.push(line.to_owned()),
                (None, _) => {}
            },
            (Some(_) | None, _) => {}
        }
        if !line.is_empty() {
            before = trimmed;
        }
    }
    all.retain(|shown| shown.line > 0);
    all
}

/// Text and numbers in turn; a number may have dots in it, as a position or an address has.
fn pieces(text: &str) -> Vec<(bool, &str)> {
    let is_number = |character: char| character.is_ascii_digit() || character == '.';
    let mut pieces: Vec<(bool, &str)> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let kind = is_number(first);
        let end = rest.find(|character| is_number(character) != kind).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(end);
        pieces.push((kind && piece.bytes().any(|byte| byte.is_ascii_digit()), piece));
        rest = behind;
    }
    pieces
}

/// The same without how long a try took, which is said only if it took a millisecond.
fn without_times(text: &str) -> String {
    let is_time =
        |inside: &str| inside.ends_with(" ms") && inside.starts_with(|first: char| first.is_ascii_digit());
    let mut parts = text.split(" (");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((inside, behind)) if is_time(inside) => out.push_str(behind),
            Some(_) | None => {
                out.push_str(" (");
                out.push_str(part);
            }
        }
    }
    out
}

/// Compares a line; learns which numbers stand for which.
pub(crate) fn agrees(shown: &str, printed: &str, known: &mut BTreeMap<String, String>) -> bool {
    let (shown, is_cut) = shown.split_once('…').map_or((shown, false), |(beginning, _)| (beginning, true));
    let (shown, printed) = (without_times(shown), without_times(printed));
    let (ours, theirs) = (pieces(&shown), pieces(&printed));
    if ours.len() > theirs.len() || (!is_cut && ours.len() < theirs.len()) {
        return false;
    }
    for (place, (&(number, text), &(also, other))) in ours.iter().zip(&theirs).enumerate() {
        let last = place + 1 == ours.len();
        match (number, also) {
            (true, true) => {
                let is_position = text.matches('.').count() == 3;
                if is_position || text.len() >= 6 {
                    known.insert(text.to_owned(), other.to_owned());
                }
            }
            (false, false) if text == other || (last && is_cut && other.starts_with(text)) => {}
            _ => return false,
        }
    }
    true
}

/// Each line that is shown with the one that was printed; a line `…` stands for any lines. None if they do not agree.
pub(crate) fn paired<'a>(shown: &'a [String], printed: &[&'a str]) -> Option<Vec<(&'a str, &'a str)>> {
    let (mut pairs, mut rest) = (Vec::new(), printed);
    let mut may_skip = false;
    for line in shown {
        if line == "…" {
            may_skip = true;
            continue;
        }
        let place = rest.iter().position(|printed| agrees(line, printed, &mut BTreeMap::new()))?;
        if place > 0 && !may_skip {
            return None;
        }
        pairs.push((line.as_str(), rest[place]));
        (rest, may_skip) = (&rest[place + 1..], false);
    }
    (rest.is_empty() || may_skip).then_some(pairs)
}

#[test]
fn a_line_agrees_whatever_its_numbers_are_and_its_words_may_not_differ() {
    let mut known = BTreeMap::new();
    assert!(agrees("revision 2 position 1.0.2.5", "revision 17 position 1.0.3.99", &mut known));
    assert_eq!(known.get("1.0.2.5").map(String::as_str), Some("1.0.3.99"));
    assert!(agrees("{\"what\":\"The …\"}", "{\"what\":\"The end.\"}", &mut known));
    assert!(!agrees("revision 2", "version 2", &mut known));
    assert!(!agrees("revision 2", "revision 2 and more", &mut known));
    assert!(!agrees("", "something", &mut known));
    assert!(agrees("tried a (2 ms) · b", "tried a · b (17 ms)", &mut known));
    let shown = ["a 1", "…", "c 3"].map(str::to_owned);
    assert_eq!(paired(&shown, &["a 7", "b", "c 9"]), Some(vec![("a 1", "a 7"), ("c 3", "c 9")]));
    assert_eq!(paired(&shown, &["a 7", "b"]), None);
    assert_eq!(paired(&shown[..1], &["a 7", "b"]), None);
}

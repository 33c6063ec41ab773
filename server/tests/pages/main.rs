//! What the pages show in a terminal, run against real nodes: each block of text that begins with `$ ` is run, command by
//! command, and has to print what stands below it. One page is one cluster of three nodes, of which the first leads.
//!
//! Numbers may be others than on the page, everything else may not. A long number or a position that a later command of the page
//! names is that which was printed in its place. `…` stands for anything up to the end of its line, or, alone, for any lines. What cannot be run here says
//! so, in a comment before its block: `<!-- not run: why -->`.
//!
//! `curl` is played by a plain HTTP client, so that no machine needs one.

#[allow(dead_code, reason = "the tests of HTTP use the rest of it")]
#[path = "../http/cluster.rs"]
mod cluster;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use cluster::Cluster;

/// The first line of the reason why a block is not run.
const NOT_RUN: &str = "<!-- not run: ";

/// A command of a page, and what it shows below.
#[derive(Debug)]
struct Shown {
    line: usize,
    command: String,
    output: Vec<String>,
}

/// The commands of all blocks that are to be run.
fn shown(page: &str) -> Vec<Shown> {
    let (mut all, mut inside, mut skip, mut before): (Vec<Shown>, bool, bool, &str) =
        (Vec::new(), false, false, "");
    for (number, line) in page.lines().enumerate() {
        match (inside, line) {
            (false, "```text") => (inside, skip) = (true, before.starts_with(NOT_RUN)),
            (true, "```") => inside = false,
            (true, _) if skip => {}
            (true, line) => match (line.strip_prefix("$ "), all.last_mut()) {
                (Some(command), _) => {
                    all.push(Shown { line: number + 1, command: command.to_owned(), output: Vec::new() });
                }
                // An argument in quotes that goes on.
                (None, Some(last)) if last.command.matches('\'').count() % 2 == 1 => {
                    last.command.push('\n');
                    last.command.push_str(line);
                }
                (None, Some(last)) if last.line > 0 => last.output.push(line.to_owned()),
                (None, _) => {}
            },
            (false, _) => {}
        }
        if !inside && line == "```" {
            // Lines of a block without commands belong to none.
            all.push(Shown { line: 0, command: String::new(), output: Vec::new() });
        }
        if !line.is_empty() {
            before = line;
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
fn agrees(shown: &str, printed: &str, known: &mut BTreeMap<String, String>) -> bool {
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
fn paired<'a>(shown: &'a [String], printed: &[&'a str]) -> Option<Vec<(&'a str, &'a str)>> {
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

/// Where the binary is found under its name.
fn path_with_binary(directory: &Path) -> String {
    let name = directory.join("holdfast");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holdfast"), name).expect("a link");
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", directory.display())
}

/// Runs what `curl` would, and gives what it would print.
fn curl(cluster: &Cluster, words: &[String], wanted: usize) -> String {
    let (mut method, mut body, mut follow, mut stream, mut url, mut headers) =
        (None, Vec::new(), false, false, String::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = || words.next().expect("an argument").clone();
        match word.as_str() {
            "-X" => method = Some(next()),
            "-d" | "--data-binary" => {
                body = next().into_bytes();
                method.get_or_insert("POST".to_owned());
            }
            "-H" => headers.push(next()),
            flags if flags.starts_with('-') => {
                (follow, stream) = (follow | flags.contains('L'), stream | flags.contains('N'));
                assert!(flags.chars().all(|flag| "-sLN".contains(flag)), "curl {flags} is not known here");
            }
            place => url = place.to_owned(),
        }
    }
    let (address, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
    // 7402, 7412 and 7422 are the nodes of `holdfast dev`.
    let node = usize::from(address.as_bytes()[address.len() - 2] - b'0');
    let (method, path) = (method.unwrap_or("GET".to_owned()), format!("/{path}"));
    let headers: Vec<(&str, &str)> = headers.iter().filter_map(|header| header.split_once(": ")).collect();
    if stream {
        let mut events = cluster.events(node, &path, &headers);
        return events.lines(wanted);
    }
    let reply = if follow {
        cluster.follow(node, &method, &path, &headers, &body)
    } else {
        cluster.ask(node, &method, &path, &headers, &body)
    };
    reply.text()
}

fn run_page(page: &str) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join(page)).expect("the page");
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a directory");
    let (path, endpoints) = (path_with_binary(directory.path()), cluster.clients().join(","));
    let sh = |command: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(directory.path());
        shell.env("PATH", &path).env("HOLDFAST_ENDPOINTS", &endpoints).env_remove("HOLDFAST_LOG");
        shell.output().expect("a shell")
    };
    // The pages show the first node as the leader; it may be that already, or need another try.
    for _ in 0..20 {
        if cluster.leader(0) == 0 {
            break;
        }
        sh("holdfast member transfer 1");
    }
    for (name, line) in [("a.toml", "heartbeat = \"60ms\""), ("old.toml", "heartbeat_ms = 60")] {
        // Files that pages speak of.
        let text = format!("node_id = 1\ndata_dir = \"d\"\n\n\n\n\n{line}\n");
        std::fs::write(directory.path().join(name), text).expect("a file");
    }
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for Shown { line, command, output } in shown(&text) {
        let mut asked = command.replace("target/release/holdfast", "holdfast");
        for (shown, printed) in &known {
            asked = asked.replace(shown.as_str(), printed);
        }
        let words = shlex::split(&asked).unwrap_or_else(|| panic!("{page}:{line}: {asked}: quotes"));
        let said = if words.first().is_some_and(|word| word == "curl") {
            curl(&cluster, &words[1..], output.len())
        } else {
            // A terminal shows both outputs, in the order in which they come.
            let done = sh(&format!("exec 2>&1; {asked}"));
            String::from_utf8_lossy(&done.stdout).into_owned()
        };
        let printed: Vec<&str> = said.lines().collect();
        let Some(pairs) = paired(&output, &printed) else {
            panic!(
                "{page}:{line}: {asked}\n--- the page shows\n{}\n--- it printed\n{said}",
                output.join("\n")
            );
        };
        for (shown, printed) in pairs {
            agrees(shown, printed, &mut known);
        }
    }
}

#[test]
fn what_the_readme_shows_in_a_terminal_is_what_is_printed() {
    run_page("README.md");
}

#[test]
fn what_the_page_about_the_command_line_shows_is_what_is_printed() {
    run_page("docs/cli.md");
}

#[test]
fn what_the_page_about_http_shows_is_what_is_answered() {
    run_page("docs/http.md");
}

#[test]
fn what_the_pages_about_running_and_configuration_show_is_what_is_printed() {
    run_page("docs/running.md");
    run_page("docs/configuration.md");
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

//! Does what a page says, command by command.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use crate::machines::{NETWORK, PATIENCE, PAUSE, Site};
use crate::terminal::{Shown, agrees, paired, shown};

/// The parts that each runbook has, in this order.
const PARTS: [&str; 5] = ["You see", "It means", "Do", "You know it is over when", "What was lost"];

/// Lines of a screen: those with text in them.
const SCREEN: usize = 45;

/// Questions, and requests that say themselves that they want to be repeated: whoever follows a page repeats them until the answer
/// is the one that the page shows.
const REPEATED: [&str; 8] = [
    "holdfast status",
    "holdfast member list",
    "holdfast member replace",
    "holdfast member promote",
    "holdfast doctor",
    "holdfast why",
    "holdfast get",
    "journalctl",
];

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    name: String,
    text: String,
    /// Numbers that the page shows, and what was printed in their place.
    known: BTreeMap<String, String>,
}

impl Page {
    /// A page about operating.
    pub(crate) fn any(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        let text = std::fs::read_to_string(path).expect("the page");
        Self { name: name.to_owned(), text, known: BTreeMap::new() }
    }

    /// A runbook: it has to be one.
    pub(crate) fn runbook(name: &str) -> Self {
        let page = Self::any(&format!("docs/runbooks/{name}.md"));
        let parts: Vec<&str> = page.text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(parts, PARTS, "{name}");
        let is_text = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("```");
        let lines = page.text.lines().filter(is_text).count();
        assert!(lines <= SCREEN, "{name} has {lines} lines, and a screen {SCREEN}");
        page
    }

    /// The text from a heading to the next one of its depth, with as many empty lines before it that its lines keep their numbers.
    fn part(&self, heading: &str) -> String {
        let is_it = |line: &&str| line.trim_start_matches('#').trim() == heading && line.starts_with('#');
        let depth = |line: &str| line.find(|character| character != '#').unwrap_or(0);
        let start = self.text.lines().position(|line| is_it(&line));
        let start = start.unwrap_or_else(|| panic!("{} has no {heading:?}", self.name));
        let mut lines = self.text.lines().skip(start);
        let first = lines.next().expect("it is there");
        let rest =
            lines.take_while(|line| !(line.starts_with('#') && (1..=depth(first)).contains(&depth(line))));
        let rest: Vec<&str> = rest.collect();
        format!("{}{}", "\n".repeat(start + 1), rest.join("\n"))
    }

    /// Does all that stands below a heading.
    pub(crate) fn follow(&mut self, site: &mut Site, heading: &str) {
        let steps = shown(&self.part(heading));
        assert!(!steps.is_empty(), "{} has nothing to do under {heading:?}", self.name);
        for step in &steps {
            self.step(site, step);
        }
    }

    fn step(&mut self, site: &mut Site, Shown { line, machine, command, output }: &Shown) {
        let mut asked = command.clone();
        for (shown, printed) in &self.known {
            asked = asked.replace(shown.as_str(), printed);
        }
        let repeated = REPEATED.iter().any(|question| asked.starts_with(question));
        let until = Instant::now() + PATIENCE;
        loop {
            let said = site.shell(machine.chars().next().unwrap_or('-'), &asked);
            let printed: Vec<&str> = said.text.lines().collect();
            let pairs =
                paired(output, &printed).filter(|pairs| pairs.iter().all(|(a, b)| counts(a) == counts(b)));
            if std::env::var_os("SHOW").is_some() {
                eprintln!("{}:{line}: {machine}$ {asked}\n{}[{:?}]", self.name, said.text, said.code);
            }
            if let Some(pairs) = pairs {
                for (shown, printed) in pairs {
                    agrees(shown, printed, &mut self.known);
                    // What has to be typed as it was printed, whatever its numbers are.
                    let phrase = |line: &str| Some(line.split_once("--confirm ")?.1.to_owned());
                    if let (Some(shown), Some(printed)) = (phrase(shown), phrase(printed)) {
                        self.known.insert(shown, printed);
                    }
                }
                // An address is what it is, wherever it stands.
                self.known.retain(|shown, _| !shown.starts_with(NETWORK));
                return;
            }
            assert!(
                repeated && Instant::now() < until,
                "{}:{line}: {machine}$ {asked}\n--- the page shows\n{}\n--- it printed ({:?})\n{}",
                self.name,
                output.join("\n"),
                said.code,
                said.text
            );
            std::thread::sleep(PAUSE);
        }
    }
}

/// What is said of how many there are of how many, and how many more may fail: here a page means the very numbers.
fn counts(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line.split(' ').collect();
    let is_number = |word: &str| word.parse::<u64>().is_ok();
    let counted = words.windows(3).filter_map(|words| match words {
        [some, "of", all] if is_number(some) && is_number(all) => Some([*some, *all]),
        [more, "more", "may"] if is_number(more) || *more == "no" => Some([*more, ""]),
        _ => None,
    });
    counted.flatten().collect()
}

#[test]
fn counts_of_a_sentence_are_those_of_what_is_there_and_of_what_may_fail() {
    assert_eq!(counts("OK: node 2 leads, 2 of 3 voters are there, 1 more may fail"), ["2", "3", "1", ""]);
    assert_eq!(counts("up to index 35 of term 2"), [""; 0]);
}

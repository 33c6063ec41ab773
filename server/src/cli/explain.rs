//! `explain`: what a code or a word means, for who has never met it.
//!
//! Whoever is paged at night has the binary and a message, and not the documentation. So the codes are told from the code that
//! gives them, and the words from the glossary, which is part of the binary.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use holdfast_command::{Code, Effect};
use holdfast_machine::Numbered as _;

use super::exit::Exit;
use super::out::say;
use super::paint::{Color, Paint};

const GLOSSARY: &str = include_str!("../../../docs/glossary.md");

/// What is less alike than this is no guess at what was meant.
const ALIKE: f64 = 0.75;

#[derive(Debug, Args)]
#[command(
    before_help = "Examples:\n  holdfast explain HF1203\n  holdfast explain NoLeader\n  holdfast explain fencing token"
)]
pub(super) struct Explain {
    /// A code (`HF1203`, `1203` or `NoLeader`) or a word of the glossary (`quorum`); lists all of them if nothing is named
    #[arg(value_name = "CODE|TERM")]
    what: Vec<String>,
}

impl Explain {
    /// Exits with 1 if nothing is known of it; what was probably meant is said then.
    pub(super) fn run(self) -> ExitCode {
        let what = self.what.join(" ");
        let text = if what.is_empty() { Some(all()) } else { explained(&what) };
        let Some(text) = text else {
            eprintln!("{}", unknown(&what));
            return Exit::NotThere.into();
        };
        match say(text.trim_end()) {
            Ok(()) => Exit::Done.into(),
            Err(failed) => failed.report(Paint::new(Color::Auto), &[], None),
        }
    }
}

/// The words of the glossary, and what it says of them.
fn words() -> impl Iterator<Item = (&'static str, String)> {
    GLOSSARY.split("\n\n").filter_map(|paragraph| {
        let (word, text) = paragraph.trim().strip_prefix("**")?.split_once(".** ")?;
        Some((word, plain(text)))
    })
}

/// Text without the marks of Markdown: links by what they are called, in one line.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((name, behind)) = link.split_once("](") else { break };
        let Some((_, behind)) = behind.split_once(')') else { break };
        plain.push_str(before);
        plain.push_str(name);
        rest = behind;
    }
    plain.push_str(rest);
    plain.split_whitespace().collect::<Vec<_>>().join(" ").replace("**", "").replace('`', "")
}

fn code_of(what: &str) -> Option<Code> {
    let digits =
        what.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("HF")).map_or(what, |_| &what[2..]);
    let number = digits.parse().ok().and_then(Code::from_number);
    number.or_else(|| Code::ALL.iter().copied().find(|code| code.name().eq_ignore_ascii_case(what)))
}

/// What there is to say of it: as a code first, then as a word.
fn explained(what: &str) -> Option<String> {
    if let Some(code) = code_of(what) {
        return Some(of_code(code));
    }
    // A word of two parts of the system stands there twice.
    let found = words().filter(|(word, _)| word.eq_ignore_ascii_case(what));
    let found: Vec<String> = found.map(|(word, text)| format!("{word}\n  {text}")).collect();
    (!found.is_empty()).then(|| found.join("\n"))
}

fn of_code(code: Code) -> String {
    let copies = if code.is_of_copy() { " (this copy of it; another may still be executed)" } else { "" };
    let outcome = match code.effect() {
        Effect::NotApplied => format!("the request was NOT applied{copies}"),
        Effect::Applied => {
            "the request was applied when it came for the first time; only its answer is missing".to_owned()
        }
        Effect::Unknown => format!("UNKNOWN: nobody can say whether the request was applied{copies}"),
    };
    let retry = match (code.is_retryable(), code.effect()) {
        (true, Effect::Unknown) => "under the same request key; without one it could be executed twice",
        (true, Effect::NotApplied | Effect::Applied) => {
            "yes: what is in the way goes away as time passes or others finish"
        }
        (false, _) => "the same request in a row is a waste",
    };
    format!(
        "{} {}\n  {}\n  outcome  {outcome}\n  retry    {retry}",
        code.tag(),
        code.name(),
        plain(code.caption())
    )
}

/// A line for each code and each word.
fn all() -> String {
    let mut text = String::new();
    for code in Code::ALL {
        let _ = writeln!(text, "{} {}", code.tag(), code.name());
    }
    for (word, _) in words() {
        let _ = writeln!(text, "{word}");
    }
    text
}

/// That nothing is known of it, and what it is most like.
fn unknown(what: &str) -> String {
    let names = Code::ALL.iter().map(|code| code.name()).chain(words().map(|(word, _)| word));
    let wanted = what.to_lowercase();
    let alike = names.map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name));
    let nearest = alike.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(alike, _)| *alike >= ALIKE);
    let guess = nearest.map_or(String::new(), |(_, name)| format!(" Did you mean \"{name}\"?"));
    format!("Nothing is known of \"{what}\".{guess} `holdfast explain` lists all codes and words.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_by_tag_number_and_name() {
        for code in Code::ALL {
            let number = code.number().to_string();
            for what in [code.tag(), code.tag().to_lowercase(), number, code.name().to_lowercase()] {
                let text = explained(&what).unwrap_or_else(|| panic!("{what}"));
                assert!(text.starts_with(&format!("{} {}\n", code.tag(), code.name())), "{what}: {text}");
                assert!(text.contains("\n  outcome  ") && text.contains("\n  retry    "), "{text}");
            }
        }
    }

    #[test]
    fn every_word_of_the_glossary_is_explained_without_the_marks_of_markdown() {
        let paragraphs = GLOSSARY.lines().filter(|line| line.starts_with("**")).count();
        assert_eq!(words().count(), paragraphs, "a word that is written otherwise than the others");
        for (word, text) in words() {
            assert!(!text.contains("](") && !text.contains("**") && !text.contains('\n'), "{word}: {text}");
            let told = explained(&word.to_uppercase()).unwrap_or_else(|| panic!("{word}"));
            assert!(told.contains(&text) || code_of(word).is_some(), "{told}");
        }
    }

    #[test]
    fn a_word_that_is_nearly_one_is_guessed_and_nonsense_is_not() {
        assert!(unknown("quorom").contains("Did you mean \"Quorum\"?"), "{}", unknown("quorom"));
        assert!(unknown("NoLeadr").contains("Did you mean \"NoLeader\"?"), "{}", unknown("NoLeadr"));
        assert!(!unknown("zzqx").contains("Did you mean"), "{}", unknown("zzqx"));
        assert_eq!(explained("HF9999"), None);
        assert_eq!(explained("HF"), None);
        assert_eq!(explained("é"), None);
    }

    #[test]
    fn all_lists_each_code_and_each_word_once() {
        let text = all();
        assert_eq!(text.lines().count(), Code::ALL.len() + words().count());
    }
}

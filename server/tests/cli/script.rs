//! A script: command lines, and what they print and end with.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A command line, the number it ends with, and what it prints on standard output.
///
/// In what it prints, `<name>` is a word that is remembered, or the same as before; `<_>` is any word; `…` is any text. In a command
/// line `<name>` is what was remembered. Words with spaces stand in single quotes.
pub(crate) type Step = (&'static str, i32, &'static str);

/// What a process has done.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) said: String,
}

impl Ended {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

/// The binary, asking nobody unless it is told.
pub(crate) fn holdfast() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"HOLDFAST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the binary with these arguments, and this on standard input.
pub(crate) fn run(endpoints: &str, arguments: &[impl AsRef<OsStr>], input: &[u8]) -> Ended {
    let mut command = holdfast();
    command.args(arguments).env("HOLDFAST_ENDPOINTS", endpoints);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the binary that cargo built");
    let mut stdin = process.stdin.take().expect("piped");
    // It may have ended without reading it.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = process.wait_with_output().expect("it is ours");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended { code: output.status.code(), out: output.stdout, said }
}

/// What was remembered.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, String>);

impl Names {
    /// Runs these, one after the other.
    pub(crate) fn play(&mut self, endpoints: &str, steps: &[Step]) {
        for (line, code, wanted) in steps {
            let arguments = self.words(line);
            let ended = run(endpoints, &arguments, b"");
            let out = ended.text();
            assert_eq!(ended.code, Some(*code), "{line}\nprinted {out:?}\nsaid {}", ended.said);
            let fits = self.fits(wanted, &out);
            assert!(fits, "{line}\nprinted {out:?}\nwanted  {wanted:?}\nsaid {}", ended.said);
            // Whoever failed says so, and how; what is only not there says nothing.
            let of_command = line.contains(" -- ") && !(125..=127).contains(code);
            if *code > 1 && !of_command && !out.contains("OK:") {
                assert!(
                    ended.said.contains("\n  outcome  ") || ended.said.contains("warning"),
                    "{line}: {}",
                    ended.said
                );
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        &self.0[name]
    }

    /// The words of a command line.
    pub(crate) fn words(&self, line: &str) -> Vec<String> {
        let (mut words, mut quoted) = (vec![String::new()], false);
        for letter in line.chars() {
            match letter {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                letter => words.last_mut().expect("one is there").push(letter),
            }
        }
        words
            .into_iter()
            .map(|word| self.0.iter().fold(word, |word, (name, is)| word.replace(&format!("<{name}>"), is)))
            .collect()
    }

    /// Whether what was printed is what was wanted.
    fn fits(&mut self, wanted: &str, mut printed: &str) -> bool {
        let mut wanted = wanted;
        while !wanted.is_empty() {
            if let Some(rest) = wanted.strip_prefix('…') {
                let literal = rest.split(['<', '…']).next().unwrap_or_default();
                let Some(at) = printed.find(literal) else { return false };
                (wanted, printed) = (rest, if rest.is_empty() { "" } else { &printed[at..] });
            } else if let Some((name, rest)) = wanted.strip_prefix('<').and_then(|rest| rest.split_once('>'))
            {
                let end = printed.find(|letter: char| letter.is_whitespace() || "\",}".contains(letter));
                let (word, behind) = printed.split_at(end.unwrap_or(printed.len()));
                let known = self.0.get(name).is_none_or(|known| known == word);
                if word.is_empty() || !known {
                    return false;
                }
                if name != "_" {
                    self.0.insert(name.to_owned(), word.to_owned());
                }
                (wanted, printed) = (rest, behind);
            } else {
                let literal = wanted.split(['<', '…']).next().unwrap_or_default();
                let Some(rest) = printed.strip_prefix(literal) else { return false };
                (wanted, printed) = (&wanted[literal.len()..], rest);
            }
        }
        printed.is_empty()
    }
}

#[test]
fn a_pattern_fits_what_it_says_and_remembers_words() {
    let mut names = Names::default();
    assert!(names.fits("revision 2 position <p>\n", "revision 2 position 1.0.2.5\n"));
    assert!(names.fits("<p> … end\n", "1.0.2.5 whatever comes end\n"));
    assert!(names.fits("a …", "a\nb\nc\n") == names.fits("a\nb…", "a x"));
    assert!(names.fits("{\"x\":<n>,…", "{\"x\":7,\"y\":8}\n"));
    for (wanted, printed) in
        [("<p>", "other"), ("a", "ab"), ("ab", "a"), ("<_>", ""), ("…z", "abc"), ("<n>", "8")]
    {
        assert!(!names.fits(wanted, printed), "{wanted} {printed}");
    }
    assert_eq!(names.words("put 'a b' <n>"), ["put", "a b", "7"]);
}

//! `txn`: a transaction in a few readable lines.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use holdfast_command::keys::{Against, Compare, Delete, Operation, Put, Range, Relation, Span, Transaction};
use holdfast_command::{Command, Reply, Request};

use super::ask::Target;
use super::failed::Failed;
use super::given::{read_file, read_stdin, text};
use super::kv::entry_cell;
use super::out::{Cell, Format, Out, put_out, say, shown};
use crate::json::txn::{self, relation};

/// What a transaction may be written with.
const SYNTAX: &str = r#"All comparisons hold: the `then` lines are done. Otherwise: the `else` lines. A line is one of
  if exists KEY            if missing KEY
  if fence LOCK TOKEN      if term ELECTION TOKEN
  if value KEY = TEXT      (also != < >)
  if mod KEY = REVISION    if created KEY = REVISION    if version KEY = NUMBER
  then put KEY VALUE       then del KEY       then get KEY
  else put KEY VALUE       else del KEY       else get KEY
Words with spaces stand in double quotes, with \" \\ \n \t inside. Empty lines and those that begin with # are skipped.

As JSON (--json), which can say more; K and V are strings or {"b64": "…"}, leases are strings:
  {"if": [{"exists": K}, {"missing": K}, {"fence": {"name": K, "token": N}}, {"term": {"name": K, "token": N}},
          {"value": {"key": K, "is": "=", "to": V}}, and so `mod`, `created`, `version` and `lease`],
   "then": [{"put": {"key": K, "value": V, "lease": L}}, {"del": {"key": K}}, {"get": {"prefix": K}},
            {"restore": {"key": K, "to": REVISION}}, {"txn": {"if": …}}],
   "else": […]}"#;

/// Some lines of it.
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:
  holdfast txn 'if value a = 1' 'then put a 2' 'else get a'
  holdfast txn --file swap.txn --reason 'swap'
  echo '{\"if\":[{\"missing\":\"a\"}],\"then\":[{\"put\":{\"key\":\"a\",\"value\":\"1\"}}]}' | holdfast txn --json",
    after_help = SYNTAX
)]
pub(super) struct Txn {
    /// The lines; without any they are read from standard input
    lines: Vec<OsString>,
    /// Read the lines, or the JSON, from this file; `-` is standard input
    #[arg(long, conflicts_with = "lines")]
    file: Option<PathBuf>,
    /// They are one JSON object
    #[arg(long)]
    json: bool,
    /// Why, for whoever reads the history later
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    target: Target,
}

impl Txn {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, lines, file, json, reason } = self;
        target.run(async |client, out| {
            let transaction = read(lines, file, json)?;
            let request = Request { reason: reason.into(), ..Command::Transact(transaction).into() };
            let (reply, position) = client.submit(request).await?;
            let Reply::Transacted { revision, succeeded, results } = reply else {
                return Err(Failed::strange("a transaction"));
            };
            let branch = if succeeded { "then" } else { "else" };
            match out.format {
                Format::Value => values(&results)?,
                Format::Table | Format::Plain | Format::Json | Format::Jsonl => {
                    let shown: Vec<Cell> = results.iter().map(result).collect();
                    let fields = [
                        ("succeeded", succeeded.into()),
                        ("revision", revision.into()),
                        ("position", Cell::text(position)),
                        ("results", Cell::list(String::new(), &shown)),
                    ];
                    let sentence = format!("{branch} revision {revision} position {position}");
                    out.record(sentence, &fields, "revision")?;
                    tell_all(out, &results)?;
                }
            }
            if succeeded { Ok(()) } else { Err(Failed::NotThere) }
        })
    }
}

/// The transaction, from wherever it is written.
fn read(lines: Vec<OsString>, file: Option<PathBuf>, is_json: bool) -> Result<Transaction, Failed> {
    let lines_of = |text: &str| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>();
    let whole = |all: String| if is_json { txn::parse(&all) } else { parse(&lines_of(&all)) };
    let (transaction, from) = match file {
        Some(path) => {
            let from = path.display().to_string();
            (whole(text(read_file(&path)?, &from)?), from)
        }
        None if lines.is_empty() => {
            let from = "standard input".to_owned();
            (whole(text(read_stdin()?, &from)?), from)
        }
        None => {
            let lines = lines.into_iter().map(OsString::into_string).collect::<Result<Vec<_>, _>>();
            let no = |line| Failed::usage(format!("{line:?} is not text; --json takes any bytes"));
            let lines = lines.map_err(no)?;
            let transaction = if is_json { txn::parse(&lines.join("\n")) } else { parse(&lines) };
            (transaction, "the transaction".to_owned())
        }
    };
    let transaction = transaction.map_err(|why| Failed::usage(format!("{from}: {why}")))?;
    if transaction.then.is_empty() && transaction.otherwise.is_empty() && transaction.compares.is_empty() {
        return Err(Failed::usage("the transaction is empty; see `holdfast txn --help`"));
    }
    Ok(transaction)
}

/// For people, a line or more for each result; programs have seen them.
fn tell_all(out: Out, results: &[Reply]) -> Result<(), Failed> {
    match out.format {
        Format::Table | Format::Plain => results.iter().try_for_each(tell),
        Format::Json | Format::Jsonl | Format::Value => Ok(()),
    }
}

/// The values that were read, and nothing else.
fn values(results: &[Reply]) -> Result<(), Failed> {
    for result in results {
        if let Reply::Ranged(page) = result {
            for entry in &page.entries {
                put_out(&entry.value)?;
                put_out(b"\n")?;
            }
        } else if let Reply::Transacted { results, .. } = result {
            values(results)?;
        }
    }
    Ok(())
}

/// The result of one operation, for people.
fn tell(result: &Reply) -> Result<(), Failed> {
    if let Reply::Put { .. } = result {
        say("put")
    } else if let Reply::Deleted { count, .. } = result {
        say(format_args!("deleted {count}"))
    } else if let Reply::Restored { exists, .. } = result {
        say(if *exists { "restored" } else { "restored: deleted" })
    } else if let Reply::Transacted { succeeded, results, .. } = result {
        say(if *succeeded { "then" } else { "else" })?;
        results.iter().try_for_each(tell)
    } else if let Reply::Ranged(page) = result {
        for entry in &page.entries {
            say(format_args!("{}\t{}", shown(&entry.key), shown(&entry.value)))?;
        }
        if page.entries.is_empty() { say("not found") } else { Ok(()) }
    } else {
        Ok(())
    }
}

/// The result of one operation, for programs.
fn result(reply: &Reply) -> Cell {
    let of = |kind: &str, cell: Cell| Cell::object(String::new(), &[(kind, cell)]);
    if let Reply::Put { revision, .. } = reply {
        of("put", (*revision).into())
    } else if let Reply::Deleted { count, .. } = reply {
        of("deleted", (*count).into())
    } else if let Reply::Restored { exists, .. } = reply {
        of("restored", (*exists).into())
    } else if let Reply::Ranged(page) = reply {
        of("entries", Cell::list(String::new(), &page.entries.iter().map(entry_cell).collect::<Vec<_>>()))
    } else if let Reply::Transacted { succeeded, results, .. } = reply {
        let results = Cell::list(String::new(), &results.iter().map(result).collect::<Vec<_>>());
        Cell::object(String::new(), &[("succeeded", (*succeeded).into()), ("results", results)])
    } else {
        Cell::Nothing
    }
}

/// The transaction of these lines, or which line is wrong and why.
fn parse(lines: &[String]) -> Result<Transaction, String> {
    let mut transaction = Transaction::default();
    for (number, line) in (1..).zip(lines) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: String| format!("line {number}, {line:?}: {why}");
        let words = words(line).map_err(wrong)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.split_first() {
            Some((&"if", rest)) => transaction.compares.push(compare(rest).map_err(wrong)?),
            Some((&"then", rest)) => transaction.then.push(operation(rest).map_err(wrong)?),
            Some((&"else", rest)) => transaction.otherwise.push(operation(rest).map_err(wrong)?),
            Some(_) | None => return Err(wrong("a line begins with if, then or else".to_owned())),
        }
    }
    Ok(transaction)
}

fn key(text: &str) -> Span {
    Span::Key(Bytes::copy_from_slice(text.as_bytes()))
}

fn compare(words: &[&str]) -> Result<Compare, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number"));
    let (span, relation, against) = match *words {
        ["exists", name] => (key(name), Relation::Greater, Against::Version(0)),
        ["fence", lock, token] => (key(lock), Relation::Equal, Against::Fence(number(token)?)),
        ["term", election, token] => (key(election), Relation::Equal, Against::Term(number(token)?)),
        ["missing", name] => (key(name), Relation::Equal, Against::Version(0)),
        ["value", name, how, text] => {
            (key(name), relation(how)?, Against::Value(Bytes::copy_from_slice(text.as_bytes())))
        }
        ["mod", name, how, text] => (key(name), relation(how)?, Against::ModRevision(number(text)?)),
        ["created", name, how, text] => (key(name), relation(how)?, Against::CreateRevision(number(text)?)),
        ["version", name, how, text] => (key(name), relation(how)?, Against::Version(number(text)?)),
        _ => {
            return Err(
                "expected exists KEY, missing KEY, value|mod|created|version KEY = WHAT, fence LOCK TOKEN or term ELECTION \
                 TOKEN"
                    .to_owned()
            );
        }
    };
    Ok(Compare { span, relation, against })
}

fn operation(words: &[&str]) -> Result<Operation, String> {
    match *words {
        ["put", name, value] => {
            let [key, value] = [name, value].map(|text| Bytes::copy_from_slice(text.as_bytes()));
            Ok(Operation::Put(Put { key, value, ..Put::default() }))
        }
        ["del", name] => Ok(Operation::Delete(Delete { span: key(name), return_previous: false })),
        ["get", name] => Ok(Operation::Range(Range::of(key(name)))),
        _ => Err("expected put KEY VALUE, del KEY or get KEY".to_owned()),
    }
}

/// The words of a line.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.chars().peekable();
    while let Some(&first) = rest.peek() {
        if first.is_whitespace() {
            rest.next();
            continue;
        }
        let mut word = String::new();
        if first != '"' {
            while let Some(next) = rest.next_if(|next| !next.is_whitespace()) {
                word.push(next);
            }
            words.push(word);
            continue;
        }
        rest.next();
        loop {
            match rest.next() {
                None => return Err("a quote is not closed".to_owned()),
                Some('"') => break,
                Some('\\') => word.push(match rest.next() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some(escaped @ ('"' | '\\')) => escaped,
                    other => {
                        return Err(format!(
                            "unknown escape \\{}",
                            other.map_or(String::new(), String::from)
                        ));
                    }
                }),
                Some(other) => word.push(other),
            }
        }
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<Transaction, String> {
        parse(&text.lines().map(ToOwned::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn lines_become_the_transaction_that_they_say() {
        let transaction = lines(
            "# swap\nif value a = \"x y\"\n\nif missing b\nthen put a \"1\\n\"\nelse get a\nelse del b",
        );
        let transaction = transaction.unwrap();
        assert_eq!(transaction.compares.len(), 2);
        assert_eq!(transaction.compares[0].against, Against::Value("x y".into()));
        assert_eq!(
            (transaction.compares[1].relation, &transaction.compares[1].against),
            (Relation::Equal, &Against::Version(0))
        );
        let Operation::Put(put) = &transaction.then[0] else { panic!("{:?}", transaction.then) };
        assert_eq!(put.value, "1\n");
        assert_eq!(transaction.otherwise.len(), 2);
    }

    #[test]
    fn a_line_that_says_nothing_known_is_named_with_its_number() {
        for (text, why) in [
            ("then put a", "line 1, \"then put a\": expected put KEY VALUE, del KEY or get KEY"),
            ("if missing a\nwhen b", "line 2, \"when b\": a line begins with if, then or else"),
            ("if mod a = x", "line 1, \"if mod a = x\": \"x\" is not a number"),
            ("if value a ~ x", "line 1, \"if value a ~ x\": \"~\" is none of = != < >"),
            ("then put a \"b", "line 1, \"then put a \\\"b\": a quote is not closed"),
        ] {
            assert_eq!(lines(text).unwrap_err(), why);
        }
    }
}

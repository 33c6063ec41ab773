//! `txn`: a transaction in a few readable lines.

use std::io::Read as _;
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use holdfast_command::Reply;
use holdfast_command::keys::{Against, Compare, Delete, Operation, Put, Range, Relation, Span, Transaction};

use super::ask::{Failed, Target, say, shown};

/// All comparisons hold: the `then` lines. Otherwise: the `else` lines.
///
/// A line is one of
///   if exists KEY            if missing KEY
///   if fence LOCK TOKEN      if term ELECTION TOKEN
///   if value KEY = TEXT      (also != < >)
///   if mod KEY = REVISION    if created KEY = REVISION    if version KEY = NUMBER
///   then put KEY VALUE       then del KEY       then get KEY
///   else put KEY VALUE       else del KEY       else get KEY
/// Words with spaces stand in double quotes, with \" \\ \n \t inside. Empty lines and those that begin with # are skipped.
/// Exits with 0 if the comparisons held, with 1 if not.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Txn {
    #[command(flatten)]
    target: Target,
    /// The lines; without any they are read from standard input
    lines: Vec<String>,
}

impl Txn {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, lines } = self;
        target.run(async |client| {
            let lines = if lines.is_empty() {
                let mut text = String::new();
                std::io::stdin().lock().read_to_string(&mut text)?;
                text.lines().map(ToOwned::to_owned).collect()
            } else {
                lines
            };
            let transaction = parse(&lines).map_err(Failed::Usage)?;
            let (reply, position) = client.transact(transaction).await?;
            let Reply::Transacted { revision, succeeded, results } = reply else {
                return Err(Failed::NotThere);
            };
            say(format_args!(
                "{} revision {revision} position {position}",
                if succeeded { "then" } else { "else" }
            ))?;
            for result in &results {
                tell(result)?;
            }
            if succeeded { Ok(()) } else { Err(Failed::NotThere) }
        })
    }
}

/// The result of one operation.
fn tell(result: &Reply) -> Result<(), Failed> {
    match result {
        Reply::Put { .. } => say("put"),
        Reply::Deleted { count, .. } => say(format_args!("deleted {count}")),
        Reply::Ranged(page) if page.entries.is_empty() => say("not found"),
        Reply::Ranged(page) => {
            for entry in &page.entries {
                say(format_args!("{}\t{}", shown(&entry.key), shown(&entry.value)))?;
            }
            Ok(())
        }
        Reply::Transacted { .. }
        | Reply::Restored { .. }
        | Reply::Compacted { .. }
        | Reply::NamespaceSet
        | Reply::NamespaceDeleted
        | Reply::SettingsChanged
        | Reply::LevelRaised { .. }
        | Reply::SessionOpened { .. }
        | Reply::SessionsKept { .. }
        | Reply::SessionClosed
        | Reply::LeaseGranted { .. }
        | Reply::LeasesRenewed { .. }
        | Reply::LeaseRevoked { .. }
        | Reply::LeaseExpired { .. }
        | Reply::LockGranted { .. }
        | Reply::LockQueued { .. }
        | Reply::LockReleased { .. }
        | Reply::Elected { .. }
        | Reply::Campaigning { .. }
        | Reply::Proclaimed
        | Reply::Resigned { .. }
        | Reply::Ticked => Ok(()),
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
    if transaction.then.is_empty() && transaction.otherwise.is_empty() && transaction.compares.is_empty() {
        return Err("the transaction is empty; see `holdfast txn --help`".to_owned());
    }
    Ok(transaction)
}

fn key(text: &str) -> Span {
    Span::Key(Bytes::copy_from_slice(text.as_bytes()))
}

fn compare(words: &[&str]) -> Result<Compare, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number"));
    let relation = |text: &str| match text {
        "=" | "==" => Ok(Relation::Equal),
        "!=" => Ok(Relation::NotEqual),
        "<" => Ok(Relation::Less),
        ">" => Ok(Relation::Greater),
        other => Err(format!("{other:?} is none of = != < >")),
    };
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
            ("# nothing", "the transaction is empty; see `holdfast txn --help`"),
        ] {
            assert_eq!(lines(text).unwrap_err(), why);
        }
    }
}

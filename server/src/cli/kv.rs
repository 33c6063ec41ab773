//! `put`, `get`, `del` and `ls`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use bytestring::ByteString;
use clap::Args;
use holdfast_client::{Client, Page, Position};
use holdfast_command::keys::{
    self, Against, Compare, Content, Delete, Operation, Range, Relation, Span, Transaction,
};
use holdfast_command::{Command, KeyValue, Reply, Request};
use holdfast_hlc::Stamp;

use super::ask::Target;
use super::exit::Exit;
use super::failed::{Failed, Trouble};
use super::fresh::Freshness;
use super::given::Written;
use super::out::{Cell, Column, Format, Out, put_out, say, shown};
use super::why;

/// Bytes of keys and values in one page of a listing.
pub(super) const PAGE_BYTES: u32 = 1 << 20;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast put app/db/url postgres://db1
  holdfast put app/cert --file cert.pem --reason 'renewed'
  holdfast put app/owner me --if-absent")]
pub(super) struct Put {
    /// The key
    key: OsString,
    /// The value; `-` reads it from standard input. One that begins with a dash stands behind `--`
    #[arg(allow_negative_numbers = true, required_unless_present = "file")]
    value: Option<OsString>,
    /// Read the value from this file
    #[arg(long, conflicts_with = "value")]
    file: Option<PathBuf>,
    /// Only if the key was last written at this revision; exits with 1 if not
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(u64).range(1..))]
    if_rev: Option<u64>,
    /// Only if the key does not exist; exits with 1 if it does
    #[arg(long, conflicts_with = "if_rev")]
    if_absent: bool,
    /// Why, for whoever reads the history later
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// The lease that it lives by
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    lease: i64,
    /// Also print what was there before
    #[arg(long)]
    prev: bool,
    /// Also print where its time went, stage by stage, to standard error
    #[arg(long)]
    trace: bool,
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast get app/db/url
  holdfast get app/db/url --rev 17 -o json
  holdfast get app/cert -o value > cert.pem
  holdfast get app/db/url --max-stale 5s")]
pub(super) struct Get {
    /// The key
    key: OsString,
    #[command(flatten)]
    freshness: Freshness,
    /// Also print revision, version and position, to standard error
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast del app/db/url --reason 'moved'
  holdfast del app/db/url --if-rev 17
  holdfast del app/old/ --prefix")]
pub(super) struct Del {
    /// The key, or the prefix
    key: OsString,
    /// Delete every key that begins with it
    #[arg(long)]
    prefix: bool,
    /// Delete every key that there is: with --prefix, if the prefix is empty
    #[arg(long, requires = "prefix")]
    all: bool,
    /// Only if the key was last written at this revision; exits with 1 if not
    #[arg(long, value_name = "REVISION", conflicts_with = "prefix", value_parser = clap::value_parser!(u64).range(1..))]
    if_rev: Option<u64>,
    /// Why, for whoever reads the history later
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast ls app/
  holdfast ls app/ --count
  holdfast ls app/ --rev 17 -o jsonl")]
pub(super) struct Ls {
    /// Only keys that begin with it
    #[arg(default_value = "", hide_default_value = true)]
    prefix: OsString,
    /// At most so many keys; 0 for all
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    limit: u64,
    /// Leave the values out
    #[arg(long)]
    keys_only: bool,
    /// Only say how many there are
    #[arg(long, conflicts_with_all = ["limit", "keys_only"])]
    count: bool,
    #[command(flatten)]
    freshness: Freshness,
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    target: Target,
}

/// A write on a condition: the key was last written at this revision, 0 if it is not to exist.
#[derive(Clone, Copy, Debug)]
struct IfAt(u64);

impl IfAt {
    /// Does it, if the condition holds; otherwise says at which revision the key is.
    async fn submit(
        self,
        client: &Client,
        key: &Bytes,
        then: Operation,
        reason: ByteString,
    ) -> Result<(Reply, Position), Failed> {
        let span = Span::Key(key.clone());
        let compare =
            Compare { span: span.clone(), relation: Relation::Equal, against: Against::ModRevision(self.0) };
        let look = Operation::Range(Range { content: Content::KeysOnly, ..Range::of(span) });
        let transaction = Transaction { compares: vec![compare], then: vec![then], otherwise: vec![look] };
        let request = Request { reason, ..Command::Transact(transaction).into() };
        let (reply, position) = client.submit(request).await?;
        let Reply::Transacted { succeeded, results, .. } = reply else {
            return Err(Failed::strange("a transaction"));
        };
        match results.into_iter().next() {
            Some(done) if succeeded => Ok((done, position)),
            Some(Reply::Ranged(page)) => Err(self.differs(key, page.entries.first())),
            Some(_) | None => Err(Failed::strange("a transaction")),
        }
    }

    fn differs(self, key: &Bytes, entry: Option<&KeyValue>) -> Failed {
        let wanted = match self.0 {
            0 => "it was not to exist".to_owned(),
            revision => format!("it was to be at revision {revision}"),
        };
        let found = match entry {
            Some(entry) => format!("{} is at revision {}, and {wanted}", shown(key), entry.mod_revision),
            None => format!("{} does not exist, and {wanted}", shown(key)),
        };
        Trouble::new(Exit::NotThere, "the condition does not hold")
            .why(found)
            .outcome("NOT applied")
            .next(format!("holdfast get -v {}", shown(key)))
            .into()
    }
}

impl Put {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, key, value, file, if_rev, if_absent, reason, lease, prev, trace, written } = self;
        target.run(async |client, out| {
            let key = written.bytes(key)?;
            let value = written.value(value, file.as_deref())?;
            let put =
                keys::Put { key: key.clone(), value, lease, return_previous: prev, ..keys::Put::default() };
            let (reason, condition) = (ByteString::from(reason), if_rev.or(if_absent.then_some(0)));
            let (reply, position) = match condition {
                Some(revision) => IfAt(revision).submit(client, &key, Operation::Put(put), reason).await?,
                None => client.submit(Request { reason, ..Command::Put(put).into() }).await?,
            };
            let Reply::Put { revision, previous } = reply else { return Err(Failed::strange("a put")) };
            let was = match &previous {
                Some(previous) => format!(" was {}", shown(&previous.value)),
                None if prev => " was not there".to_owned(),
                None => String::new(),
            };
            let mut fields = vec![("revision", revision.into()), ("position", Cell::text(position))];
            if prev {
                fields.push(("previous", previous.as_ref().map(entry_cell).into()));
            }
            let traced =
                if trace { Some(why::trace(&target, out, position.wire().index).await) } else { None };
            if let Some(Ok(Some((_, cell)))) = &traced {
                fields.push(("trace", cell.clone()));
            }
            out.record(format_args!("revision {revision} position {position}{was}"), &fields, "revision")?;
            // The write is done, whatever becomes of this.
            match traced {
                Some(Ok(Some((lines, _)))) => lines.iter().for_each(|line| eprintln!("{line}")),
                Some(Ok(None)) => {
                    eprintln!("holdfast: the leader does not know any more where its time went");
                }
                Some(Err(failed)) => drop(failed.report(out.paint, &target.endpoints, None)),
                None => {}
            }
            Ok(())
        })
    }
}

/// What is known of a key, for programs.
const ENTRY: [Column; 7] = [
    Column::of("key"),
    Column::value("value"),
    Column::json("revision"),
    Column::json("created"),
    Column::json("version"),
    Column::json("lease"),
    Column::json("stamp"),
];

/// The same without values.
const KEY: [Column; 6] = [
    Column::value("key"),
    Column::json("revision"),
    Column::json("created"),
    Column::json("version"),
    Column::json("lease"),
    Column::json("stamp"),
];

/// A key as the cells of [`ENTRY`].
fn entry_cells(entry: &KeyValue) -> [Cell; 7] {
    [
        (&entry.key).into(),
        (&entry.value).into(),
        entry.mod_revision.into(),
        entry.create_revision.into(),
        entry.version.into(),
        Cell::lease(entry.lease),
        Cell::text(Stamp::from_bits(entry.stamp)),
    ]
}

/// The same with the names of the columns.
fn entry_fields(entry: &KeyValue) -> Vec<(&'static str, Cell)> {
    ENTRY.iter().map(|column| column.name).zip(entry_cells(entry)).collect()
}

/// A key as one object.
pub(super) fn entry_cell(entry: &KeyValue) -> Cell {
    Cell::object(shown(&entry.value), &entry_fields(entry))
}

impl Get {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, key, freshness, verbose, written } = self;
        target.run(async |client, out| {
            let span = Span::Key(written.bytes(key)?);
            let range = Range { revision: freshness.rev, ..Range::of(span) };
            let Page { page, position, staleness_ms } = client.read(range, freshness.options()?).await?;
            let Some(entry) = page.entries.first() else { return Err(Failed::NotThere) };
            if verbose {
                eprintln!(
                    "revision {} created {} version {} position {position} at most {staleness_ms} ms old",
                    entry.mod_revision, entry.create_revision, entry.version
                );
            }
            match out.format {
                Format::Value => put_out(&entry.value),
                // What a terminal shows must not be what it executes.
                Format::Table => say(shown_lines(&entry.value)),
                Format::Plain => {
                    put_out(&entry.value)?;
                    if entry.value.last() == Some(&b'\n') { Ok(()) } else { say("") }
                }
                Format::Json | Format::Jsonl => {
                    let mut fields = entry_fields(entry);
                    fields.push(("position", Cell::text(position)));
                    fields.push(("staleness_ms", staleness_ms.into()));
                    out.record("", &fields, "value")
                }
            }
        })
    }
}

/// Text of several lines as it is, everything else escaped.
fn shown_lines(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|letter| letter.is_control() && !"\n\t".contains(letter)) => {
            text.strip_suffix('\n').unwrap_or(text).to_owned()
        }
        Ok(_) | Err(_) => shown(bytes),
    }
}

/// An empty prefix is all there is, and more often a variable of the shell that nobody has set. So it has to be said twice.
fn check_all(key: &Bytes, prefix: bool, all: bool) -> Result<(), Failed> {
    match (key.is_empty(), all) {
        (true, false) if prefix => {
            Err(Trouble::new(Exit::Usage, "every key begins with the empty prefix, and would be deleted")
                .next("correct the prefix; to delete all keys, add --all")
                .into())
        }
        (false, true) => Err(Trouble::new(Exit::Usage, "--all goes with the empty prefix only")
            .next("leave --all out, or write '' for the prefix")
            .into()),
        (_, _) => Ok(()),
    }
}

impl Del {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, key, prefix, all, if_rev, reason, written } = self;
        target.run(async |client, out| {
            let (key, reason) = (written.bytes(key)?, ByteString::from(reason));
            check_all(&key, prefix, all)?;
            let span = if prefix { Span::prefix(key.clone()) } else { Span::Key(key.clone()) };
            let delete = Delete { span, return_previous: false };
            let (reply, position) = match if_rev {
                Some(revision) => {
                    IfAt(revision).submit(client, &key, Operation::Delete(delete), reason).await?
                }
                None => client.submit(Request { reason, ..Command::Delete(delete).into() }).await?,
            };
            let Reply::Deleted { revision, count, .. } = reply else {
                return Err(Failed::strange("a deletion"));
            };
            out.record(
                format_args!("deleted {count} revision {revision} position {position}"),
                &[
                    ("deleted", count.into()),
                    ("revision", revision.into()),
                    ("position", Cell::text(position)),
                ],
                "deleted",
            )?;
            if count == 0 { Err(Failed::NotThere) } else { Ok(()) }
        })
    }
}

impl Ls {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, prefix, limit, keys_only, count, freshness, written } = self;
        target.run(async |client, out| {
            let prefix = written.bytes(prefix)?;
            let span = if prefix.is_empty() { Span::all() } else { Span::prefix(prefix) };
            let (revision, options) = (freshness.rev, freshness.options()?);
            if count {
                let range = Range { revision, content: Content::CountOnly, count: true, ..Range::of(span) };
                let Page { page, position, .. } = client.read(range, options).await?;
                return counted(out, page.count.unwrap_or(0), page.revision, position);
            }
            let content = if keys_only { Content::KeysOnly } else { Content::Full };
            let mut range = Range { limit, content, revision, page_bytes: PAGE_BYTES, ..Range::of(span) };
            let columns: &'static [Column] = if keys_only { &KEY } else { &ENTRY };
            let mut rows = out.rows(columns).headless();
            loop {
                let Page { page, .. } = client.read(range.clone(), options).await?;
                for entry in &page.entries {
                    let [key, value, numbers @ ..] = entry_cells(entry);
                    let [revision, created, version, lease, stamp] = numbers;
                    if keys_only {
                        rows.push(&[key, revision, created, version, lease, stamp])?;
                    } else {
                        rows.push(&[key, value, revision, created, version, lease, stamp])?;
                    }
                }
                if page.continuation.is_empty() {
                    return rows.end(&[]);
                }
                range.continuation = page.continuation;
            }
        })
    }
}

fn counted(out: Out, count: u64, revision: u64, position: Position) -> Result<(), Failed> {
    let fields = [("count", count.into()), ("revision", revision.into()), ("position", Cell::text(position))];
    out.record(count, &fields, "count")
}

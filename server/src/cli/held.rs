//! `namespace` and `session`: who has which rules, and who holds how much.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use clap::{Args, Subcommand};
use holdfast_client::{Client, ReadOptions};
use holdfast_command::namespaces::{DeleteNamespace, Rules, SetNamespace};
use holdfast_command::query::{Answer, Holding, NamespaceInfo, Query, SessionInfo};
use holdfast_command::sessions::{CloseSession, OpenSession};
use holdfast_command::{Command, Reply, SessionId};

use super::ask::Target;
use super::failed::Failed;
use super::given::duration;
use super::out::{Cell, Column, Out};
use super::settings::{bytes, submit};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast namespace set team/app/ --quota-keys 10000 --quota-bytes 64MiB --owner alice
  holdfast namespace ls
  holdfast namespace get team/app/
  holdfast namespace del team/app/ --reason 'moved'")]
pub(super) struct Namespace {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: OfNamespace,
}

#[derive(Debug, Subcommand)]
enum OfNamespace {
    /// Create a namespace, or replace all of its rules
    Set(SetIt),
    /// Show its rules, and what it holds; exits with 1 if there is none
    Get {
        /// Its name, which ends in a slash
        name: String,
    },
    /// List all namespaces
    Ls,
    /// Remove a namespace; its keys stay
    Del {
        /// Its name, which ends in a slash
        name: String,
        /// Why, for whoever reads the audit log later
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
}

#[derive(Debug, Args)]
struct SetIt {
    /// Its name, the prefix of its keys; ends in a slash
    name: String,
    /// At most so many keys; 0 for no limit
    #[arg(long, default_value_t = 0)]
    quota_keys: u64,
    /// At most so many bytes of keys and values: 1000, 64KiB, 2MiB; 0 for no limit
    #[arg(long, default_value = "0", value_parser = bytes)]
    quota_bytes: u64,
    /// No value is longer than this; 0 for the limit that holds for all
    #[arg(long, default_value = "0", value_parser = bytes)]
    value_bytes: u64,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Who is to be asked about it; may be given several times
    #[arg(long)]
    owner: Vec<String>,
    /// Why, for whoever reads the audit log later
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

const NAMESPACES: [Column; 8] = [
    Column::value("name"),
    Column::of("keys"),
    Column::of("quota_keys"),
    Column::of("bytes"),
    Column::of("quota_bytes"),
    Column::of("value_bytes"),
    Column::of("owners"),
    Column::json("description"),
];

impl Namespace {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, what } = self;
        match what {
            OfNamespace::Set(SetIt {
                name,
                quota_keys,
                quota_bytes,
                value_bytes,
                description,
                owner,
                reason,
            }) => {
                let owners = owner.into_iter().map(Into::into).collect();
                let rules =
                    Rules { quota_keys, quota_bytes, value_bytes, description: description.into(), owners };
                let set = Command::SetNamespace(SetNamespace { name: name.into(), rules });
                submit(&target, set, reason, "set")
            }
            OfNamespace::Del { name, reason } => {
                let delete = Command::DeleteNamespace(DeleteNamespace { name: name.into() });
                submit(&target, delete, reason, "deleted")
            }
            OfNamespace::Get { name } => target.run(async |client, out| {
                let all = namespaces(client).await?;
                let found = all.iter().find(|info| *info.namespace.name == name).ok_or(Failed::NotThere)?;
                let mut rows = out.rows(&NAMESPACES);
                rows.push(&cells(found))?;
                rows.end(&[])
            }),
            OfNamespace::Ls => target.run(async |client, out| {
                let mut rows = out.rows(&NAMESPACES);
                for info in namespaces(client).await? {
                    rows.push(&cells(&info))?;
                }
                rows.end(&[])
            }),
        }
    }
}

/// All of them, in the order of their names.
async fn namespaces(client: &Client) -> Result<Vec<NamespaceInfo>, Failed> {
    let (mut all, mut after) = (Vec::new(), ByteString::new());
    loop {
        let query = Query::Namespaces { after, limit: 0 };
        let (answer, _) = client.query(query, ReadOptions::default()).await?;
        let Answer::Namespaces { namespaces, more } = answer else {
            return Err(Failed::strange("a question for namespaces"));
        };
        all.extend(namespaces);
        match all.last() {
            Some(last) if more => after = last.namespace.name.clone(),
            Some(_) | None => return Ok(all),
        }
    }
}

fn cells(info: &NamespaceInfo) -> [Cell; 8] {
    let NamespaceInfo { namespace: SetNamespace { name, rules }, holds: Holding { keys, bytes } } = info;
    let Rules { quota_keys, quota_bytes, value_bytes, description, owners } = rules;
    let limit = |limit: u64| if limit == 0 { Cell::Nothing } else { limit.into() };
    let names: Vec<&str> = owners.iter().map(|owner| &**owner).collect();
    let owners: Vec<Cell> = names.iter().map(|owner| Cell::from(*owner)).collect();
    [
        (&**name).into(),
        (*keys).into(),
        limit(*quota_keys),
        (*bytes).into(),
        limit(*quota_bytes),
        limit(*value_bytes),
        Cell::list(names.join(","), &owners),
        Bytes::from(description.to_string()).into(),
    ]
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast session ls
  holdfast session open 60s
  holdfast session close 17")]
pub(super) struct Session {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: OfSession,
}

#[derive(Debug, Subcommand)]
enum OfSession {
    /// List the sessions of all clients
    Ls,
    /// Open a session and print its number: for programs that speak the wire format themselves
    Open {
        /// How long it lives after each sign of its client: 30s, 5m; a plain number is seconds
        #[arg(value_parser = duration)]
        ttl: Duration,
    },
    /// End a session before its time; none of its requests is executed any more
    Close {
        /// Its number
        id: u64,
    },
}

impl Session {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, what } = self;
        match what {
            OfSession::Ls => target.run(sessions),
            OfSession::Open { ttl } => target.run(async |client, out| {
                let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                let (reply, position) = client.submit(Command::OpenSession(OpenSession { ttl_ms })).await?;
                let Reply::SessionOpened { session } = reply else {
                    return Err(Failed::strange("opening a session"));
                };
                let fields = [("session", Cell::text(session.0)), ("position", Cell::text(position))];
                out.record(session.0, &fields, "session")
            }),
            OfSession::Close { id } => {
                let close = Command::CloseSession(CloseSession { session: SessionId(id) });
                submit(&target, close, String::new(), "closed")
            }
        }
    }
}

const SESSIONS: [Column; 7] = [
    Column::value("session"),
    Column::of("ttl_ms"),
    Column::of("left_ms"),
    Column::of("low"),
    Column::of("answers"),
    Column::of("bytes"),
    Column::of("actor"),
];

async fn sessions(client: &Client, out: Out) -> Result<(), Failed> {
    let mut rows = out.rows(&SESSIONS);
    let mut after = 0;
    loop {
        let (answer, _) = client.query(Query::Sessions { after, limit: 0 }, ReadOptions::default()).await?;
        let Answer::Sessions { sessions, more } = answer else {
            return Err(Failed::strange("a question for sessions"));
        };
        for SessionInfo { session, ttl_ms, left_ms, low, answers, bytes, actor } in &sessions {
            let actor = Bytes::from(actor.name().to_owned());
            rows.push(&[
                Cell::text(session),
                (*ttl_ms).into(),
                (*left_ms).into(),
                (*low).into(),
                (*answers).into(),
                (*bytes).into(),
                if actor.is_empty() { Cell::Nothing } else { actor.into() },
            ])?;
        }
        match sessions.last() {
            Some(last) if more => after = last.session,
            Some(_) | None => return rows.end(&[]),
        }
    }
}

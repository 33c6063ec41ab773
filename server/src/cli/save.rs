//! `snapshot save`: a backup of a cluster that runs.
//!
//! The file gets its name last: what is received goes to another one beside it, which is read to its last byte as a node would
//! read it that begins from it, and made durable. So a file of that name is a whole snapshot, whatever happens meanwhile.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use holdfast_client::{CallOptions, Client, Error, Kind, Position, ReadOptions, SaveSnapshot, SnapshotPiece};
use holdfast_command::Code;
use holdfast_command::query::Query;

use super::ask::Target;
use super::failed::Failed;
use super::out::Out;
use super::progress::Progress;
use super::snapshot::{decode, whole};

/// How long a node may take to write its state to its disk before the first piece comes.
const BEGIN: Duration = Duration::from_secs(3_600);

/// How often it begins anew: a snapshot may make way for a newer one while it is read.
const ATTEMPTS: usize = 3;

/// How often a node is asked again that has not come so far yet, or has too much to do; and the pause before.
const PATIENCE: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Which snapshot, and where to.
#[derive(Debug, Args)]
pub(super) struct Save {
    /// The file, which must not be there yet
    file: PathBuf,
    /// Take the newest snapshot that the node has on its disk, instead of the state as it is now: costs the node nothing but
    /// reading, needs no leader, and lacks what was written since
    #[arg(long)]
    newest: bool,
    #[command(flatten)]
    target: Target,
}

impl Save {
    /// Exits as every command that asks a cluster, and with 9 if what came is damaged.
    pub(super) fn run(&self) -> ExitCode {
        self.target.run(async |client, out| {
            if fs::symlink_metadata(&self.file).is_ok() {
                return Err(exists(&self.file));
            }
            // What was acknowledged before this began is in it, whichever node is asked.
            let min_position = if self.newest { None } else { Some(position(client).await?) };
            let begin = SaveSnapshot {
                newest: self.newest,
                min_position: min_position.map(Position::wire),
                ..SaveSnapshot::default()
            };
            let part = Part::beside(&self.file)?;
            let first = receive(client, &self.target.endpoints, begin, &part).await?;
            self.finish(out, &part, &first)
        })
    }

    /// Checks what was received, and gives it its name.
    fn finish(&self, out: Out, part: &Part, first: &SnapshotPiece) -> Result<(), Failed> {
        part.file.sync_all().map_err(|error| Failed::file(&part.path, "make durable", &error))?;
        let decoded = decode(&part.path)?;
        let last = decoded.header.last;
        if (last.index, last.term) != (first.last.index, first.last.term) {
            return Err(Failed::damaged("what was received is another snapshot than the node said"));
        }
        part.name(&self.file)?;
        whole(out, &decoded, &format!("saved {}", self.file.display()), &self.file)
    }
}

fn exists(path: &Path) -> Failed {
    Failed::usage(format!("{}: it exists, and is not overwritten", path.display()))
}

/// What the cluster has executed by now, of whatever kind.
async fn position(client: &Client) -> Result<Position, Error> {
    let (_, position) = client.query(Query::Leases { after: 0, limit: 1 }, ReadOptions::default()).await?;
    Ok(position)
}

/// Receives a whole snapshot from one of the nodes: the first that gives one to its end. Returns its first piece.
async fn receive(
    client: &Client,
    endpoints: &[String],
    begin: SaveSnapshot,
    part: &Part,
) -> Result<SnapshotPiece, Failed> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        for endpoint in endpoints {
            match receive_from(client, endpoint, begin, part).await {
                Err(Failed::Client(error)) if is_of_this_node(&error) => last = Some(error),
                done => return done,
            }
        }
        // Only a snapshot that was replaced is worth another round: a node that is away was asked, and others too.
        if last.as_ref().is_none_or(|error| error.code != Some(Code::NoSnapshot)) {
            break;
        }
    }
    Err(last.map_or_else(|| Failed::usage("there is no endpoint"), Failed::Client))
}

/// Whether another node may do better.
fn is_of_this_node(error: &Error) -> bool {
    match error.kind {
        Kind::NoEndpoint | Kind::ConnectionLost | Kind::TimedOut | Kind::Overloaded => true,
        Kind::Refused => error.code.is_some_and(|code| (1201..=1299).contains(&number(code))),
        Kind::Incompatible | Kind::Invalid | Kind::Unreadable | Kind::Closed => false,
    }
}

fn number(code: Code) -> u16 {
    holdfast_machine::Numbered::number(code)
}

async fn receive_from(
    client: &Client,
    endpoint: &str,
    begin: SaveSnapshot,
    part: &Part,
) -> Result<SnapshotPiece, Failed> {
    let waiting = Progress::new("waiting", 0);
    let first = ask(client, endpoint, begin, Some(BEGIN)).await?;
    drop(waiting);
    let mut progress = Progress::new("receiving", first.bytes);
    let io = |error| Failed::file(&part.path, "write", &error);
    let mut file = &part.file;
    file.set_len(0).map_err(io)?;
    std::io::Seek::rewind(&mut file).map_err(io)?;
    let mut piece = first.clone();
    let mut received = 0;
    loop {
        let is_next = piece.last == first.last && piece.bytes == first.bytes && piece.offset == received;
        if !is_next || piece.data.is_empty() {
            return Err(Failed::damaged(format!("{endpoint} gave another piece than the one at {received}")));
        }
        file.write_all(&piece.data).map_err(io)?;
        received += piece.data.len() as u64;
        progress.add(piece.data.len() as u64);
        if received >= first.bytes {
            return Ok(first);
        }
        let further = SaveSnapshot { last: Some(first.last), offset: received, ..begin };
        piece = ask(client, endpoint, further, None).await?;
    }
}

/// Asks for a piece, and again while the node has not come so far.
async fn ask(
    client: &Client,
    endpoint: &str,
    save: SaveSnapshot,
    timeout: Option<Duration>,
) -> Result<SnapshotPiece, Error> {
    let mut left = PATIENCE;
    loop {
        let options = CallOptions { timeout, exactly_once: None };
        match client.snapshot_piece(endpoint, save, options).await {
            Err(error)
                if left > 0 && matches!(error.code, Some(Code::PositionNotReached | Code::Overloaded)) =>
            {
                left -= 1;
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

/// A file that is being received. It goes when this is dropped.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    /// A new one in the directory of `path`.
    fn beside(path: &Path) -> Result<Self, Failed> {
        let Some(name) = path.file_name() else {
            return Err(Failed::usage(format!("{}: the name of a file is wanted", path.display())));
        };
        let mut part = name.to_owned();
        part.push(format!(".part-{}", std::process::id()));
        let path = path.with_file_name(part);
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(|error| Failed::file(&path, "write", &error))?;
        Ok(Self { path, file })
    }

    /// Gives it the name that was asked for, unless that was taken meanwhile, and makes it durable.
    fn name(&self, path: &Path) -> Result<(), Failed> {
        let io = |error| Failed::file(path, "write", &error);
        match fs::hard_link(&self.path, path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(path)),
            Err(_) if fs::symlink_metadata(path).is_ok() => return Err(exists(path)),
            // Not every file system has links. A file that came in this very moment would be lost.
            Err(_) => fs::rename(&self.path, path).map_err(io)?,
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all()).map_err(io)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

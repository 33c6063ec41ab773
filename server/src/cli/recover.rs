//! `recover`: goes on with what is left of a cluster that has lost its quorum for good. Offline; the directories that are named
//! are only read.
//!
//! What is given up is said before anything is done, and whoever wants it types what it is. Without `--data-dir` nothing is done at
//! all: the plan is all there is.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use holdfast_raft::{EntryId, NodeId, NodeUuid};

use super::exit::Exit;
use super::failed::{Failed, Trouble};
use super::out::{Cell, Column, Format, Out, Shape, say};
use super::serve::host_and_port;
use super::wal::user_of;
use crate::storage::{
    self, DataDir, Loss, NAMES, Plan, Restoration, Restored, StorageError, Survivor, nodes,
};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast recover --from /var/lib/holdfast --plan-only
  holdfast recover --from /mnt/n1 --from /mnt/n3 --plan-only
  holdfast recover --from /var/lib/holdfast --data-dir /var/lib/holdfast-new --peer a:7401")]
pub(super) struct Recover {
    /// The directory of a node that is left, or a copy of it that was made after it had stopped; may be given several times. Only
    /// read
    #[arg(long, required = true, value_name = "DIR")]
    from: Vec<PathBuf>,
    /// Say what is there and what may be lost, and do nothing
    #[arg(long, conflicts_with_all = ["data_dir", "confirm"])]
    plan_only: bool,
    /// Where the first node of the new life will keep its data; blank, and beside those that are read
    #[arg(long, value_name = "DIR", required_unless_present = "plan_only")]
    data_dir: Option<PathBuf>,
    /// Where the other nodes will reach it
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port, required_unless_present = "plan_only")]
    peer: Option<String>,
    /// The number of that node; otherwise that of the directory that is chosen
    #[arg(long, env = "HOLDFAST_NODE_ID", value_parser = clap::value_parser!(u64).range(1..1 << 62))]
    node_id: Option<u64>,
    /// What the cluster is called; otherwise as before
    #[arg(long, env = "HOLDFAST_CLUSTER", value_name = "NAME")]
    cluster: Option<String>,
    /// The phrase that the plan ends with, for whoever is not asked at a terminal
    #[arg(long, value_name = "PHRASE")]
    confirm: Option<String>,
    #[command(flatten)]
    shape: Shape,
}

const COLUMNS: [Column; 12] = [
    Column::of("directory"),
    Column::value("node"),
    Column::of("epoch"),
    Column::of("term"),
    Column::of("last"),
    Column::of("committed"),
    Column::of("revision"),
    Column::of("keys"),
    Column::of("written"),
    Column::of("state"),
    Column::json("cluster"),
    Column::json("last_term"),
];

/// A directory that was named, and why it cannot be read.
type Unread<'a> = (&'a PathBuf, StorageError);

impl Recover {
    /// Exits with 6 if a quorum is there, with 9 if nothing can be read, with 2 if what was typed is not the phrase.
    pub(super) fn run(self) -> ExitCode {
        match self.plan() {
            Ok(()) => Exit::Done.into(),
            Err(failed) => failed.report(self.shape.paint(), &[], None),
        }
    }

    fn plan(&self) -> Result<(), Failed> {
        self.check_place()?;
        let (mut unread, mut survivors): (Vec<Unread<'_>>, _) = (Vec::new(), Vec::new());
        for directory in &self.from {
            if let Some(process) = user_of(directory) {
                let what = format!("{} is in use by process {process}", directory.display());
                return Err(Trouble::new(Exit::Usage, what)
                    .why("whoever goes on without the others must be the only one")
                    .outcome(NOTHING)
                    .next(format!("stop process {process}, and keep it from being started again"))
                    .into());
            }
            // There is nothing to count before it is read; replaying a long log may take a minute.
            let _reading = super::progress::Progress::new("reading", 0);
            match Survivor::read(directory) {
                Ok(survivor) => survivors.push(survivor),
                Err(error) => unread.push((directory, error)),
            }
        }
        let plan = Plan::of(survivors).map_err(|why| {
            let why = std::iter::once(why.to_string()).chain(unread.iter().map(|(_, why)| why.to_string()));
            Trouble::new(Exit::Integrity, "there is nothing to go on with")
                .why(why.collect::<Vec<_>>().join("\n"))
                .outcome(NOTHING)
                .next("name other directories, or begin anew from a backup: holdfast snapshot restore")
        })?;
        if self.plan_only {
            return tell(self.shape.out(), &unread, &plan);
        }
        if plan.loss == Loss::QuorumIsHere {
            return Err(Trouble::new(Exit::Rejected, "nothing has to be recovered")
                .why(format!("{} are here and whole, and they are a quorum", whole(&plan)))
                .outcome(NOTHING)
                .next("start these nodes with their directories; nothing that was acknowledged is lost then")
                .into());
        }
        self.confirm(&unread, &plan)?;
        self.go_on(plan)
    }

    /// Refuses a new directory that cannot be one, before anything is read.
    fn check_place(&self) -> Result<(), Failed> {
        let Some(data_dir) = &self.data_dir else { return Ok(()) };
        let within = |directory: &PathBuf| {
            // What is not there yet lies where the first of its parents that is there does.
            let there = data_dir.ancestors().find_map(|place| {
                let place = if place.as_os_str().is_empty() { std::path::Path::new(".") } else { place };
                place.canonicalize().ok()
            });
            let read = directory.canonicalize().ok();
            there.zip(read).is_some_and(|(there, read)| there.starts_with(read))
        };
        if let Some(read) = self.from.iter().find(|directory| within(directory)) {
            let what = format!("{} lies in {}, which is only read", data_dir.display(), read.display());
            return Err(Failed::usage(what));
        }
        if NAMES.iter().any(|name| data_dir.join(name).exists()) {
            return Err(StorageError::NotBlank { place: data_dir.display().to_string() }.into());
        }
        Ok(())
    }

    /// Asks for the phrase, or compares the one that was given.
    fn confirm(&self, unread: &[Unread<'_>], plan: &Plan) -> Result<(), Failed> {
        let phrase = plan.phrase();
        let given = match &self.confirm {
            Some(given) => given.clone(),
            None if std::io::stdin().is_terminal() => {
                // On standard error, as every question: standard output has what came of it.
                let mut err = std::io::stderr();
                let _ = writeln!(err, "{}\n\nTo do that, type: {phrase}", sentences(unread, plan).join("\n"));
                let mut typed = String::new();
                std::io::stdin().lock().read_line(&mut typed)?;
                typed
            }
            None => String::new(),
        };
        if given.trim() == phrase {
            return Ok(());
        }
        Err(Trouble::new(Exit::Usage, "not confirmed")
            .why(format!("what may be given up has to be typed as it is: {phrase}"))
            .outcome(NOTHING)
            .next("read the plan (--plan-only), then repeat this with --confirm and that phrase")
            .into())
    }

    fn go_on(&self, plan: Plan) -> Result<(), Failed> {
        let (Some(data_dir), Some(peer)) = (&self.data_dir, &self.peer) else { return Ok(()) };
        let mut uuid = [0; 16];
        getrandom::fill(&mut uuid).map_err(|error| {
            Failed::from(Trouble::new(Exit::Usage, "the system gives no randomness").why(error.to_string()))
        })?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let Some(chosen) = plan.survivors.into_iter().next() else { return Ok(()) };
        let (node, name) = (
            self.node_id.map_or(chosen.node, NodeId),
            self.cluster.clone().unwrap_or_else(|| chosen.cluster_name.clone()),
        );
        let restoration = Restoration {
            node,
            uuid: NodeUuid(uuid),
            cluster_name: name.clone(),
            peer: peer.as_str().into(),
            seconds,
            revisions: 0,
        };
        let directory = DataDir::open(data_dir)?;
        let Restored { cluster, epoch, last, revision } =
            storage::restore(&directory, chosen.into_former(), restoration)?;
        let sentence = format!(
            "recovered: cluster {cluster}, epoch {epoch}, up to index {}, revision {revision}\n\
             start it:  holdfast server --node-id {node} --data-dir {} --cluster {} --listen-peer {peer} …\n\
             the others join it, in blank directories, with --join; never start one of the old directories again",
            last.index,
            quoted(&data_dir.display().to_string()),
            quoted(&name)
        );
        let fields = [
            ("cluster", Cell::text(cluster)),
            ("epoch", epoch.into()),
            ("index", last.index.into()),
            ("revision", revision.into()),
            ("node", node.0.into()),
        ];
        self.shape.out().record(sentence, &fields, "cluster")
    }
}

/// Which of them says how a directory is.
const STATE: usize = 9;

/// What came of a command that ends early.
const NOTHING: &str = "nothing was changed: the directories were only read";

/// The plan.
fn tell(out: Out, unread: &[Unread<'_>], plan: &Plan) -> Result<(), Failed> {
    let mut rows = out.rows(&COLUMNS).member("directories");
    for survivor in &plan.survivors {
        rows.push(&row(survivor))?;
    }
    for (directory, why) in unread {
        let mut cells = vec![Cell::text(directory.display())];
        cells.resize(STATE, Cell::Nothing);
        cells.push(Cell::text(why));
        cells.resize(COLUMNS.len(), Cell::Nothing);
        rows.push(&cells)?;
    }
    let loss = match plan.loss {
        Loss::QuorumIsHere => "quorum_is_here",
        Loss::Nothing => "none",
        Loss::Possible => "possible",
    };
    let missing: Vec<Cell> = plan.missing.iter().map(|id| id.0.into()).collect();
    let phrase = plan.phrase();
    rows.end(&[
        ("freshest", plan.freshest().node.0.into()),
        ("missing_voters", Cell::list(String::new(), &missing)),
        ("loss", loss.into()),
        ("committed", plan.committed().0.into()),
        ("confirm", phrase.as_str().into()),
    ])?;
    if matches!(out.format, Format::Table | Format::Plain) {
        say("")?;
        for sentence in sentences(unread, plan) {
            say(sentence)?;
        }
        if plan.loss != Loss::QuorumIsHere {
            say(format_args!("\nto do that: --data-dir NEW --peer HOST:PORT --confirm {}", quoted(&phrase)))?;
        }
    }
    Ok(())
}

fn row(survivor: &Survivor) -> Vec<Cell> {
    let state = match (survivor.damaged, survivor.hard_state_lost) {
        (None, false) => "whole".to_owned(),
        (Some(end), _) => format!("damaged: its log ended at index {} or behind it", end.index),
        (None, true) => "its votes are lost".to_owned(),
    };
    vec![
        Cell::text(&survivor.place),
        survivor.node.0.into(),
        survivor.epoch.into(),
        survivor.term.0.into(),
        survivor.last.index.0.into(),
        survivor.committed.0.into(),
        survivor.store.revision().into(),
        (survivor.store.keys() as u64).into(),
        Cell::text(survivor.stamp()),
        Cell::Text(state),
        Cell::text(survivor.cluster),
        survivor.last.term.0.into(),
    ]
}

/// The nodes whose directories are whole, in words.
fn whole(plan: &Plan) -> String {
    let whole = plan.survivors.iter().filter(|survivor| survivor.is_whole());
    let mut ids: Vec<NodeId> = whole.map(|survivor| survivor.node).collect();
    ids.sort_unstable();
    nodes(&ids)
}

/// What somebody has to know who decides.
fn sentences(unread: &[Unread<'_>], plan: &Plan) -> Vec<String> {
    let freshest = plan.freshest();
    let EntryId { term, index } = freshest.last;
    let (node, revision, written) = (freshest.node, freshest.store.revision(), freshest.stamp());
    let mut all = vec![format!(
        "The freshest is node {node}: up to index {index} of term {term}, revision {revision}, written {written}."
    )];
    let (missing, committed) = (nodes(&plan.missing), plan.committed());
    all.push(match plan.loss {
        Loss::QuorumIsHere => format!(
            "A quorum is here: {}. Start them with their directories; nothing that was acknowledged is lost then.",
            whole(plan)
        ),
        Loss::Nothing => {
            "Nothing that was acknowledged is lost: every quorum had one of these directories in it.".to_owned()
        }
        Loss::Possible if plan.missing.is_empty() => format!(
            "MAY BE LOST: what stood on disks that are damaged now, after index {index}. Nobody can say how much."
        ),
        Loss::Possible => {
            let they = if plan.missing.len() == 1 { "it" } else { "they" };
            format!(
                "MAY BE LOST: what {missing} acknowledged without this one, after index {index}; or, if {they} followed a leader that \
                 this one never heard of, after index {committed}, the last that is known here to be committed. Nobody can say how \
                 much."
            )
        }
    });
    if plan.loss != Loss::QuorumIsHere {
        all.push(format!(
            "The new life begins with all that stands there, also with what was never acknowledged. {} never come back.",
            if plan.missing.is_empty() { "The old directories must".to_owned() } else { format!("{} must", capital(&missing)) }
        ));
    }
    all.extend(unread.iter().map(|(directory, why)| format!("Not read: {}: {why}", directory.display())));
    all
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

//! `status`: whether the cluster is well, in a sentence, and then in a table.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use holdfast_client::{Error, NodeId, StatusReply};
use holdfast_machine::Numbered as _;
use holdfast_raft::RoleState;

use super::ask::{Target, voters};
use super::exit::Exit;
use super::failed::Failed;
use super::given::duration;
use super::out::{Cell, Column, Format, Out, put_out, say};
use super::paint::{BAD, GOOD};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast status
  holdfast status --watch
  holdfast status -o json")]
pub(super) struct Status {
    /// Ask again and again, each second or as often as this says, until interrupted
    #[arg(long, value_name = "INTERVAL", value_parser = duration, num_args = 0..=1, default_missing_value = "1s")]
    watch: Option<Duration>,
    #[command(flatten)]
    target: Target,
}

/// A leader that has entries and commits none for so long is stuck: a disk that only is slow has moved on by then.
const STALLED: Duration = Duration::from_secs(2);

/// How often it is looked whether it has moved on.
const LOOK: Duration = Duration::from_millis(50);

/// What an endpoint has answered.
type Row<'a> = (&'a str, Result<StatusReply, Error>);

const COLUMNS: [Column; 12] = [
    Column::of("endpoint"),
    Column::value("node"),
    Column::of("role"),
    Column::of("ready"),
    Column::of("term"),
    Column::of("commit"),
    Column::of("applied"),
    Column::of("revision"),
    Column::of("keys"),
    Column::json("build"),
    Column::json("level"),
    Column::json("why"),
];

impl Status {
    /// Exits with 0 if a quorum serves, with 3 if nobody answers, with 4 if those who do have no leader, or one that commits
    /// nothing, with 9 if they are of several clusters or lives of one; when it watches, by what it saw last.
    pub(super) fn run(self) -> ExitCode {
        let Self { target, watch } = &self;
        match watch {
            None => target.run(async |_, out| once(target, out).await),
            Some(pause) => target.run_long(None, async |_, out, signals| {
                let seen = std::cell::Cell::new(Exit::Done.number());
                tokio::select! {
                    failed = again(target, out, *pause, &seen) => return failed,
                    _ = signals.next() => {}
                }
                if seen.get() == Exit::Done.number() { Ok(()) } else { Err(Failed::Ends(seen.get())) }
            }),
        }
    }
}

/// Asks until the output is closed; `seen` is how a command would end that has seen what was seen last.
async fn again(target: &Target, out: Out, pause: Duration, seen: &std::cell::Cell<u8>) -> Result<(), Failed> {
    loop {
        if out.format == Format::Table {
            // To the beginning, with nothing left of what was there.
            put_out(b"\x1b[H\x1b[2J")?;
        }
        match once(target, out).await {
            Ok(()) => seen.set(Exit::Done.number()),
            Err(Failed::Output(error)) => return Err(error.into()),
            Err(failed) => {
                seen.set(failed.exit());
                failed.report(out.paint, &target.endpoints, None);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Asks all of them, and says how they are.
async fn once(target: &Target, out: Out) -> Result<(), Failed> {
    // One after the other: a dead one is refused within milliseconds, and the order is that of the arguments.
    let mut rows: Vec<Row<'_>> = Vec::new();
    for endpoint in &target.endpoints {
        rows.push((endpoint, ask(target, endpoint).await?));
    }
    let answers: Vec<&StatusReply> = rows.iter().filter_map(|(_, row)| row.as_ref().ok()).collect();
    if answers.is_empty() {
        return Err(rows.into_iter().find_map(|(_, row)| row.err()).map_or(Failed::NotThere, Failed::Client));
    }
    if let Some(sentence) = parted(&rows) {
        return tell_parted(out, &rows, &sentence);
    }
    let leads = leads(&answers);
    let waiting = match leads {
        Some((leader, _)) => waiting(target, &rows, leader).await?,
        None => 0,
    };
    let serves = leads.is_some() && waiting == 0;
    let sentence = sentence(&answers, leads, waiting);
    if matches!(out.format, Format::Table | Format::Plain) {
        say(out.paint.stdout(if serves { GOOD } else { BAD }, &sentence))?;
    }
    let mut table = out.rows(&COLUMNS).member("endpoints");
    for (endpoint, row) in &rows {
        table.push(&cells(endpoint, row))?;
    }
    table.end(&[("ok", serves.into()), ("sentence", sentence.as_str().into())])?;
    if serves { Ok(()) } else { Err(Failed::Ends(Exit::NoLeader.number())) }
}

/// How many entries of a leader wait although it commits nothing, as when most disks are full: it leads as long as the others
/// answer, and they do.
async fn waiting(target: &Target, rows: &[Row<'_>], leader: NodeId) -> Result<u64, Failed> {
    let own = rows.iter().find_map(|(endpoint, row)| {
        let status = row.as_ref().ok().filter(|status| status.node.id == leader)?;
        Some((endpoint, status))
    });
    let Some((endpoint, first)) = own.filter(|(_, first)| first.last > first.commit) else { return Ok(0) };
    let until = Instant::now() + STALLED;
    loop {
        tokio::time::sleep(LOOK).await;
        match ask(target, endpoint).await? {
            Ok(now) if now.leader != Some(leader) || now.commit > first.commit => return Ok(0),
            Ok(now) if Instant::now() >= until => return Ok(now.last - now.commit),
            Ok(_) => {}
            // How it was when it answered is what there is to say.
            Err(_) => return Ok(0),
        }
    }
}

/// That those who answer do not belong together: to several clusters, or to several lives of one, after a recovery that some
/// nodes slept through. Each of them would be well by itself. Who belongs to none yet is on its way into one.
fn parted(rows: &[Row<'_>]) -> Option<String> {
    let mut lives: BTreeMap<([u8; 16], u64), Vec<&str>> = BTreeMap::new();
    for (endpoint, row) in rows {
        if let Some(cluster) = row.as_ref().ok().and_then(|status| status.cluster) {
            lives.entry((cluster.id.0, cluster.epoch.get())).or_default().push(endpoint);
        }
    }
    let clusters: BTreeSet<[u8; 16]> = lives.keys().map(|(cluster, _)| *cluster).collect();
    let each = lives.iter().map(|((cluster, epoch), at)| {
        let id = u128::from_be_bytes(*cluster);
        let name = if clusters.len() > 1 { format!("cluster {id:032x}, ") } else { String::new() };
        format!("{name}epoch {epoch} at {}", at.join(", "))
    });
    let each = each.collect::<Vec<_>>().join("; ");
    match (clusters.len(), lives.len()) {
        (0 | 1, 0 | 1) => None,
        (1, count) => Some(format!(
            "NOT OK: {count} lives of the cluster answer: {each}; stop the nodes of the earlier: docs/runbooks/lost-quorum.md"
        )),
        (count, _) => Some(format!("NOT OK: {count} clusters answer: {each}; name the endpoints of one")),
    }
}

/// Says so, and shows them all.
fn tell_parted(out: Out, rows: &[Row<'_>], sentence: &str) -> Result<(), Failed> {
    if matches!(out.format, Format::Table | Format::Plain) {
        say(out.paint.stdout(BAD, sentence))?;
    }
    let mut table = out.rows(&COLUMNS).member("endpoints");
    for (endpoint, row) in rows {
        table.push(&cells(endpoint, row))?;
    }
    table.end(&[("ok", false.into()), ("sentence", sentence.into())])?;
    Err(Failed::Ends(Exit::Integrity.number()))
}

/// How the node at an endpoint is. Each is asked by a client of its own, since one that remembers a dead node leaves it alone.
async fn ask(target: &Target, endpoint: &str) -> Result<Result<StatusReply, Error>, Failed> {
    let client = target.client_of(endpoint)?;
    let status = client.status(endpoint).await;
    client.close().await;
    Ok(status)
}

/// Who leads, and the answer that tells best who else is there: that of the leader itself, or else of a node that follows it.
fn leads<'a>(answers: &[&'a StatusReply]) -> Option<(NodeId, &'a StatusReply)> {
    let serving = answers.iter().filter(|status| status.ready);
    let known = serving.filter_map(|status| status.leader.map(|leader| (leader, *status)));
    // Who follows knows late that its leader is gone: it has to be connected to it, and the leader, if it answers, has to agree.
    let there = known.filter(|(leader, status)| {
        let connected = status.members.iter().any(|member| member.node == *leader && member.connected);
        let mut own = answers.iter().filter(|own| own.node.id == *leader);
        connected && own.all(|own| own.ready && own.leader == Some(*leader))
    });
    // Of two that name a leader, the one of the later term is right.
    there.max_by_key(|(leader, status)| (status.term, *leader == status.node.id))
}

fn cells(endpoint: &str, row: &Result<StatusReply, Error>) -> Vec<Cell> {
    match row {
        Err(error) => {
            // What became of this very endpoint says more than that it is none.
            let tried = error.tried.last().map(|attempt| attempt.what.to_string());
            let why = tried.unwrap_or_else(|| error.why());
            let mut cells = vec![endpoint.into(), Cell::Nothing, Cell::Parts(why.clone(), "null".to_owned())];
            cells.resize(COLUMNS.len() - 1, Cell::LeftOut);
            cells.push(why.as_str().into());
            cells
        }
        Ok(status) => vec![
            endpoint.into(),
            status.node.id.get().into(),
            role(status).into(),
            status.ready.into(),
            status.term.into(),
            status.commit.into(),
            status.applied.into(),
            status.revision.into(),
            status.keys.into(),
            (&*status.build).into(),
            u64::from(status.level).into(),
            Cell::Nothing,
        ],
    }
}

fn role(status: &StatusReply) -> &'static str {
    match RoleState::from_number(status.role) {
        Some(RoleState::Leader) => "leader",
        Some(RoleState::Follower) => "follower",
        Some(RoleState::PreCandidate | RoleState::Candidate) => "candidate",
        None => "?",
    }
}

/// How many more may fail, in words.
pub(super) fn spare(there: usize, all: usize) -> String {
    match there.saturating_sub(all / 2 + 1) {
        0 => "no more may fail".to_owned(),
        more => format!("{more} more may fail"),
    }
}

/// Whether it is well, and how much more can break.
fn sentence(answers: &[&StatusReply], leads: Option<(NodeId, &StatusReply)>, waiting: u64) -> String {
    if let Some((leader, seen)) = leads {
        let (there, all) = voters(seen);
        if waiting > 0 {
            let seconds = STALLED.as_secs();
            return format!(
                "NOT OK: node {leader} leads, and {waiting} entries wait: none was committed for {seconds} s, though {there} of {all} \
                 voters are there; holdfast doctor says why"
            );
        }
        let more = spare(there, all);
        return format!("OK: node {leader} leads, {there} of {all} voters are there, {more}");
    }
    let seen = answers.iter().map(|status| voters(status)).max().filter(|(_, all)| *all > 0);
    let seen = seen.map_or(String::new(), |(there, all)| {
        format!("; {there} of {all} voters reachable, quorum is {}", all / 2 + 1)
    });
    let among = answers.len();
    format!(
        "NOT OK: none of the {among} that answer knows a leader that serves: no writes, no linearizable reads{seen}"
    )
}

#[cfg(test)]
mod tests {
    use holdfast_wire::{Boot, ClusterEpoch, ClusterId, ClusterIdentity, NodeIdentity, NodeUuid};

    use super::*;

    fn row(endpoint: &str, cluster: Option<(u8, u64)>) -> Row<'_> {
        let epoch = |epoch| ClusterEpoch::new(epoch).expect("it counts from 1");
        let id = NodeId::new(1).expect("it counts from 1");
        let status = StatusReply {
            node: NodeIdentity { id, uuid: NodeUuid([7; 16]), boot: Boot::FIRST },
            cluster: cluster
                .map(|(id, life)| ClusterIdentity { id: ClusterId([id; 16]), epoch: epoch(life) }),
            life: 1,
            role: 4,
            leadership: 1,
            ready: true,
            leader: Some(id),
            term: 1,
            commit: 1,
            applied: 1,
            durable: 1,
            last: 1,
            revision: 1,
            oldest: 1,
            keys: 0,
            sessions: 0,
            level: 1,
            clock_ms: 0,
            build: "".into(),
            members: Vec::new(),
        };
        (endpoint, Ok(status))
    }

    #[test]
    fn lives_of_a_cluster_and_clusters_that_answer_together_are_told_apart() {
        assert_eq!(parted(&[row("a:1", Some((1, 2))), row("b:1", Some((1, 2))), row("c:1", None)]), None);
        let lives = parted(&[row("a:1", Some((1, 2))), row("b:1", Some((1, 1))), row("c:1", Some((1, 1)))]);
        let lives = lives.expect("two lives");
        assert!(
            lives.contains("2 lives") && lives.contains("epoch 1 at b:1, c:1; epoch 2 at a:1;"),
            "{lives}"
        );
        assert!(lives.contains("docs/runbooks/lost-quorum.md"), "{lives}");
        let clusters = parted(&[row("a:1", Some((1, 1))), row("b:1", Some((2, 1)))]).expect("two clusters");
        assert!(clusters.starts_with("NOT OK: 2 clusters answer: cluster 0101"), "{clusters}");
    }
}

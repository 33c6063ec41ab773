//! `why slow-write`: which stage took the time of writes that were slow, and which member they waited for; and the same for one
//! write, for `put --trace`.
//!
//! # Who is to blame
//! A write is committed when a quorum of the voters holds it: the leader's own disk and the acknowledgements of followers run side by
//! side. So the one that counts is the slowest of the *fastest* quorum: had it been faster, the write would have been. Those that
//! were slower still, or have not answered, did not help; with them it could have been somebody else. Who was nearly as slow as the
//! one that counts is named before the rest, and if the leader's own disk was, then that is the stage: it is the simpler cause.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use holdfast_client::{NodeId, StatusReply, Trace, TraceReply, TracedBatch};
use holdfast_machine::Numbered as _;

use super::ask::Target;
use super::exit::Exit;
use super::failed::{Failed, Trouble};
use super::out::{Cell, Column, Format, Out, say};
use super::paint::BAD;
use crate::stage::Stage;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast why slow-write
  holdfast why slow-write -o json
  holdfast put app/db/url postgres://db1 --trace")]
pub(super) struct Why {
    #[command(subcommand)]
    asked: Asked,
}

#[derive(Debug, Subcommand)]
enum Asked {
    /// Show the writes of late that were slow or still wait, the stage that took the time, and the member that it waited for
    SlowWrite {
        #[command(flatten)]
        target: Target,
    },
}

const COLUMNS: [Column; 10] = [
    Column::of("ago"),
    Column::value("index"),
    Column::of("writes"),
    Column::of("took"),
    Column::of("end"),
    Column::of("stage"),
    Column::of("share"),
    Column::of("waited_for"),
    Column::json("stages_us"),
    Column::json("acks_us"),
];

/// Who took at most so much less, as a part of the time that counts, was about as slow.
const NEARLY: u64 = 5;

/// How a batch ended, in a word.
fn end(batch: &TracedBatch) -> &'static str {
    match batch.end {
        TracedBatch::ON_ITS_WAY => "waiting",
        TracedBatch::ANSWERED => "answered",
        TracedBatch::GIVEN_UP => "given up",
        _ => "?",
    }
}

/// Which stage a batch was in for longest, and for whom it waited there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Blame {
    stage: Stage,
    /// Microseconds in it.
    took: u64,
    /// The member that decided how long that was, and those that were slower; nobody if no member has to do with it.
    members: Vec<NodeId>,
}

/// Judges a batch of this leader with these voters.
fn blame(batch: &TracedBatch, leader: NodeId, voters: &[NodeId]) -> Blame {
    let took = |stage: Stage| batch.stages.get(stage.position()).copied().flatten();
    // What is not committed yet has waited for it since it was let in.
    let waited =
        took(Stage::Replicate).unwrap_or_else(|| batch.took.saturating_sub(took(Stage::Admit).unwrap_or(0)));
    // The own disk is judged with the others: it is one of the quorum.
    let longest = Stage::ALL
        .iter()
        .filter(|stage| !matches!(stage, Stage::Sync | Stage::Replicate))
        .filter_map(|stage| Some((took(*stage)?, *stage)))
        .max();
    match longest {
        Some((took, stage)) if took > waited => return Blame { stage, took, members: Vec::new() },
        Some(_) | None => {}
    }
    let held = |voter: &NodeId| {
        if *voter == leader {
            return took(Stage::Sync);
        }
        batch.acks.iter().find(|(node, _)| node == voter).map(|(_, after)| *after)
    };
    let mut moments: Vec<(u64, NodeId)> =
        voters.iter().map(|voter| (held(voter).unwrap_or(u64::MAX), *voter)).collect();
    moments.sort_unstable();
    let counts = moments.get(voters.len() / 2).map_or(u64::MAX, |(moment, _)| *moment);
    let nearly = counts.saturating_sub(counts / NEARLY);
    // Of those that took about as long, the leader first; it needs no network.
    let mut members: Vec<NodeId> =
        moments.into_iter().filter(|(moment, _)| *moment >= nearly).map(|(_, voter)| voter).collect();
    members.sort_by_key(|voter| *voter != leader || held(voter).is_none_or(|moment| moment > counts));
    let stage = if members.first() == Some(&leader) { Stage::Sync } else { Stage::Replicate };
    Blame { stage, took: waited, members }
}

/// A time for people.
fn shown(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

fn nodes(ids: &[NodeId]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("n{}", id.get())).collect();
    ids.join(", ")
}

/// The stage as people name it: number and name.
fn label(stage: Stage) -> String {
    format!("{} {}", stage.number(), stage.name().to_lowercase())
}

/// What a leader says of its batches, and what has to be known to judge them.
struct Told {
    leader: NodeId,
    voters: Vec<NodeId>,
    reply: TraceReply,
}

/// Asks the leader that a member which answers knows.
async fn ask(target: &Target, index: u64) -> Result<Told, Failed> {
    let (mut failed, mut answered) = (None, false);
    for endpoint in &target.endpoints {
        // Each by a client of its own, since one that remembers a dead node leaves it alone.
        match ask_leader_of(target, endpoint, index).await {
            Ok(Some(told)) => return Ok(told),
            Ok(None) => answered = true,
            Err(why) => failed = Some(why),
        }
    }
    match failed {
        Some(failed) if !answered => Err(failed),
        Some(_) | None => Err(Trouble::new(Exit::NoLeader, "nobody leads: no write goes on")
            .why("every write waits until a quorum has elected a leader")
            .outcome("nothing was asked of the cluster but how it is")
            .next("holdfast status")
            .into()),
    }
}

/// The same from one endpoint; `None` if it knows no leader.
async fn ask_leader_of(target: &Target, endpoint: &str, index: u64) -> Result<Option<Told>, Failed> {
    let client = target.client_of(endpoint)?;
    let status = client.status(endpoint).await;
    client.close().await;
    let status = status?;
    let member = status.members.iter().find(|member| Some(member.node) == status.leader);
    let (leader, address) = match member {
        Some(member) if member.node == status.node.id => (member.node, endpoint.to_owned()),
        Some(member) if !member.client.is_empty() => (member.node, member.client.to_string()),
        Some(_) | None => return Ok(None),
    };
    // It may have been deposed meanwhile; what it has proposed it still knows. A client of its own: what it says of a leader that
    // does not answer is about that one.
    let client = target.client_of(&address)?;
    let asked = client.trace(&address, Trace { index }).await;
    client.close().await;
    match asked {
        Ok(reply) => Ok(Some(Told { leader, voters: voters(&status), reply })),
        Err(error) => {
            let trouble = Trouble::new(Exit::NoLeader, format!("node {leader} leads, and does not answer"))
                .why(format!("{address}, where {endpoint} says that it is: {}", error.why()))
                .outcome("nothing was changed")
                .next("holdfast status; if it stays so, another one will lead");
            Err(trouble.into())
        }
    }
}

fn voters(status: &StatusReply) -> Vec<NodeId> {
    status.members.iter().filter(|member| member.voter).map(|member| member.node).collect()
}

/// What each stage took, and who held it when, for programs.
fn stages(batch: &TracedBatch) -> Cell {
    let named = Stage::ALL.iter().zip(batch.stages);
    let fields: Vec<(&str, Cell)> = named.map(|(stage, took)| (stage.name(), took.into())).collect();
    Cell::object(String::new(), &fields)
}

fn acks(batch: &TracedBatch) -> Cell {
    let acks = batch.acks.iter().map(|(node, after)| {
        Cell::object(String::new(), &[("node", node.get().into()), ("after", (*after).into())])
    });
    Cell::list(String::new(), &acks.collect::<Vec<_>>())
}

impl Why {
    /// Exits with 4 if nobody leads.
    pub(super) fn run(self) -> ExitCode {
        let Asked::SlowWrite { target } = &self.asked;
        target.run(async |_, out| tell(out, &ask(target, 0).await?))
    }
}

fn tell(out: Out, told: &Told) -> Result<(), Failed> {
    let &Told { leader, ref voters, ref reply } = told;
    let judged: Vec<(&TracedBatch, Blame)> =
        reply.batches.iter().map(|batch| (batch, blame(batch, leader, voters))).collect();
    let slow = judged.iter().filter(|(batch, _)| {
        batch.end == TracedBatch::ON_ITS_WAY || reply.slow_from > 0 && batch.took >= reply.slow_from
    });
    let slow: Vec<&(&TracedBatch, Blame)> = slow.collect();
    let sentence = sentence(leader, reply, &slow);
    let people = matches!(out.format, Format::Table | Format::Plain);
    if people {
        say(&sentence)?;
        if judged.is_empty() {
            return Ok(());
        }
        say("")?;
    }
    let mut table = out.rows(&COLUMNS).member("batches");
    for (batch, Blame { stage, took, members }) in &judged {
        table.push(&[
            Cell::Number(batch.age).shown_as(shown(batch.age)),
            batch.last.into(),
            u64::from(batch.writes).into(),
            Cell::Number(batch.took).shown_as(shown(batch.took)),
            end(batch).into(),
            Cell::text(label(*stage)),
            Cell::Number(took * 100 / batch.took.max(1))
                .shown_as(format!("{} %", took * 100 / batch.took.max(1))),
            Cell::list(
                if members.is_empty() { "-".to_owned() } else { nodes(members) },
                &members.iter().map(|member| member.get().into()).collect::<Vec<_>>(),
            ),
            stages(batch),
            acks(batch),
        ])?;
    }
    let accused = accused(&slow);
    let members = accused.iter().flat_map(|accused| &accused.members).map(|member| member.get().into());
    table.end(&[
        ("sentence", sentence.as_str().into()),
        ("leader", leader.get().into()),
        ("slow", (slow.len() as u64).into()),
        ("known", reply.known.into()),
        ("slow_from_us", reply.slow_from.into()),
        ("stage", accused.as_ref().map(|accused| accused.stage.name()).into()),
        ("members", Cell::list(String::new(), &members.collect::<Vec<_>>())),
    ])?;
    if people && let Some((batch, guilt)) = judged.iter().max_by_key(|(batch, _)| batch.took) {
        say(format_args!("\nthe slowest, index {}:", batch.last))?;
        for line in breakdown(out, batch, guilt) {
            say(line)?;
        }
        if !slow.is_empty() {
            say("\nnext: holdfast doctor")?;
        }
    }
    Ok(())
}

/// What most of the slow ones name.
#[derive(Debug, PartialEq, Eq)]
struct Accused {
    stage: Stage,
    /// How many of them name this stage.
    count: usize,
    /// The members that more than half of these waited for; nobody if no member has to do with it.
    members: Vec<NodeId>,
}

fn accused(slow: &[&(&TracedBatch, Blame)]) -> Option<Accused> {
    let naming = |stage: Stage| slow.iter().filter(move |(_, blame)| blame.stage == stage);
    // Of two that are named as often the earlier one.
    let stage = *Stage::ALL.iter().rev().max_by_key(|stage| naming(**stage).count())?;
    let count = naming(stage).count();
    if count == 0 {
        return None;
    }
    let often =
        |id: &NodeId| naming(stage).filter(|(_, blame)| blame.members.contains(id)).count() * 2 > count;
    let mut members: Vec<NodeId> =
        naming(stage).flat_map(|(_, blame)| &blame.members).copied().filter(often).collect();
    members.sort_unstable();
    members.dedup();
    Some(Accused { stage, count, members })
}

fn sentence(leader: NodeId, reply: &TraceReply, slow: &[&(&TracedBatch, Blame)]) -> String {
    let of = format!("of the {} batches of writes that node {leader}, the leader, knows", reply.known);
    let Some(Accused { stage, count, members }) = accused(slow) else {
        let limit = if reply.slow_from > 0 {
            format!("took {} or waits", shown(reply.slow_from))
        } else {
            "waits; none counts as slow, because slow_request is 0".to_owned()
        };
        let rest = if reply.batches.is_empty() { "" } else { "; the slowest:" };
        return format!("none {of} {limit}{rest}");
    };
    let all = slow.len();
    let guilty = match (stage, members.as_slice()) {
        (Stage::Sync, [_]) => format!("the disk of node {leader}, the leader"),
        (Stage::Sync, all) if all.len() > 1 => format!("the disks of {}", nodes(all)),
        (_, [one]) => format!("node {one}: its disk, or the way to it"),
        (Stage::Admit, []) => "the leader's queue: more comes in than it gets done".to_owned(),
        (_, []) => "the leader itself: its processor, or one long request".to_owned(),
        (_, several) => format!("{}: their disks, or the way to them", nodes(several)),
    };
    let how_many = if count == all { "all of them".to_owned() } else { format!("{count} of them") };
    format!("{all} slow {of}; stage {} of {how_many} points to {guilty}", label(stage))
}

/// A batch stage by stage.
fn breakdown(out: Out, batch: &TracedBatch, guilt: &Blame) -> Vec<String> {
    let mut lines = Vec::new();
    for (stage, took) in Stage::ALL.iter().zip(batch.stages) {
        let took = took.map_or_else(|| "-".to_owned(), shown);
        let mut line = format!("  {:12} {took:>10}", label(*stage));
        if *stage == Stage::Replicate {
            let acks = batch.acks.iter().map(|(node, after)| format!("n{} {}", node.get(), shown(*after)));
            let acks: Vec<String> = acks.collect();
            let acks = if acks.is_empty() { "nobody has acknowledged".to_owned() } else { acks.join(", ") };
            line.push_str(&format!("  beside stage 5: {acks}"));
        }
        lines.push(if *stage == guilt.stage { out.paint.stdout(BAD, &line) } else { line });
    }
    let writes = if batch.writes == 1 { "1 write".to_owned() } else { format!("{} writes", batch.writes) };
    lines.push(format!("  {:12} {:>10}  {}, {writes}", "in all", shown(batch.took), end(batch)));
    lines
}

/// Where the time of one write went, that was executed at this index: lines for people, and an object for programs. `None` if its
/// leader does not know it any more.
pub(super) async fn trace(
    target: &Target,
    out: Out,
    index: u64,
) -> Result<Option<(Vec<String>, Cell)>, Failed> {
    let Told { leader, voters, reply } = ask(target, index).await?;
    let Some(batch) = reply.batches.first() else { return Ok(None) };
    let guilt = blame(batch, leader, &voters);
    let lines = breakdown(out, batch, &guilt);
    let fields = [
        ("index", index.into()),
        ("writes", u64::from(batch.writes).into()),
        ("took_us", batch.took.into()),
        ("stages_us", stages(batch)),
        ("acks_us", acks(batch)),
        ("stage", guilt.stage.name().into()),
        ("member", guilt.members.first().map(|member| member.get()).into()),
    ];
    Ok(Some((lines, Cell::object(String::new(), &fields))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64) -> NodeId {
        NodeId::new(id).expect("not 0")
    }

    /// A batch of node 1 that was committed after 50 ms; its disk took `sync`, the others `acks`.
    fn batch(sync: Option<u64>, acks: &[(u64, u64)]) -> TracedBatch {
        let mut stages = [Some(100); 9];
        stages[Stage::Sync.position()] = sync;
        stages[Stage::Replicate.position()] = Some(50_000);
        TracedBatch {
            first: 7,
            last: 7,
            term: 2,
            writes: 1,
            end: TracedBatch::ANSWERED,
            age: 1,
            took: 51_000,
            stages,
            acks: acks.iter().map(|(id, after)| (node(*id), *after)).collect(),
        }
    }

    fn judge(batch: &TracedBatch) -> (Stage, Vec<u64>) {
        let Blame { stage, members, .. } = blame(batch, node(1), &[node(1), node(2), node(3)]);
        (stage, members.iter().map(|member| member.get()).collect())
    }

    #[test]
    fn the_slowest_of_the_fastest_quorum_is_to_blame_and_whoever_was_slower_stands_behind_it() {
        let slow_followers = batch(Some(900), &[(3, 50_000), (2, 70_000)]);
        assert_eq!(judge(&slow_followers), (Stage::Replicate, vec![3, 2]));
        let all_alike = batch(Some(49_000), &[(2, 50_000), (3, 52_000)]);
        assert_eq!(judge(&all_alike), (Stage::Sync, vec![1, 2, 3]));
        let both_followers = batch(Some(900), &[(3, 50_000), (2, 50_100)]);
        assert_eq!(judge(&both_followers), (Stage::Replicate, vec![3, 2]));
        let slow_disk = batch(Some(50_000), &[(3, 800)]);
        assert_eq!(judge(&slow_disk), (Stage::Sync, vec![1, 2]));
        let disk_later_than_both = batch(Some(90_000), &[(2, 800), (3, 50_000)]);
        assert_eq!(judge(&disk_later_than_both), (Stage::Replicate, vec![3, 1]));
    }

    #[test]
    fn what_waits_and_nobody_holds_waits_for_all_that_have_not_answered() {
        let mut waiting = batch(Some(900), &[]);
        (waiting.stages[Stage::Replicate.position()], waiting.end) = (None, TracedBatch::ON_ITS_WAY);
        assert_eq!(judge(&waiting), (Stage::Replicate, vec![2, 3]));
        assert_eq!(blame(&waiting, node(1), &[node(1)]).members, [node(1)]);
    }

    #[test]
    fn a_stage_that_takes_longer_than_the_wait_for_a_quorum_is_to_blame_and_no_member() {
        let mut queued = batch(Some(900), &[(2, 800), (3, 900)]);
        queued.stages[Stage::Admit.position()] = Some(400_000);
        assert_eq!(judge(&queued), (Stage::Admit, vec![]));
    }

    #[test]
    fn what_most_of_the_slow_ones_name_is_accused() {
        let all = [
            batch(Some(900), &[(3, 50_000)]),
            batch(Some(50_000), &[(3, 800)]),
            batch(Some(900), &[(3, 50_000)]),
        ];
        let voters = [node(1), node(2), node(3)];
        let judged: Vec<_> = all.iter().map(|batch| (batch, blame(batch, node(1), &voters))).collect();
        let slow: Vec<_> = judged.iter().collect();
        // Node 2 has acknowledged none of them, so it was no faster.
        let members = vec![node(2), node(3)];
        assert_eq!(accused(&slow), Some(Accused { stage: Stage::Replicate, count: 2, members }));
        let reply = TraceReply { slow_from: 1_000, known: 3, batches: all.to_vec() };
        let said = sentence(node(1), &reply, &slow);
        assert!(said.contains("3 slow of the 3") && said.contains("2 of them points to n2, n3:"), "{said}");
    }
}

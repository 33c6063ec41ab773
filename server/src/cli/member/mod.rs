//! `member`: who belongs to the cluster, and who leads it.

mod plan;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use holdfast_client::{CallOptions, ChangeMembers, Client, MemberChange, NodeId, StatusReply};
use holdfast_machine::Numbered as _;
use holdfast_wire::NodeUuid;

use super::ask::Target;
use super::failed::Failed;
use super::out::{Cell, Column, Out};
use super::serve::host_and_port;
use plan::Vote;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast member list
  holdfast member remove 3 --dry-run
  holdfast member replace 3 5")]
pub(super) struct Member {
    /// Change nothing: print who votes before and after, and how many may fail
    #[arg(long, global = true)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the members, as the leader sees them
    List,
    /// Add a member that does not vote yet. A node started with `--join` does this by itself
    Add {
        /// A number that no member ever had
        node: u64,
        /// Where the others reach it
        #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
        peer: String,
        /// The name of its data directory, as the node says when it starts
        #[arg(long, value_parser = uuid)]
        uuid: NodeUuid,
        /// Make it a voter as soon as it has caught up
        #[arg(long)]
        promote: bool,
    },
    /// Make a learner that has caught up a voter
    Promote {
        /// Which
        node: u64,
    },
    /// Make a voter a learner
    Demote {
        /// Which
        node: u64,
    },
    /// Remove a member, for ever: its number is never used again
    Remove {
        /// Which
        node: u64,
    },
    /// Put a learner that has caught up in the place of another member, in one step
    Replace {
        /// Who goes
        old: u64,
        /// Who takes its place
        new: u64,
    },
    /// Tell the others where a member is reached now
    Move {
        /// Which
        node: u64,
        /// Where the others reach it
        #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
        peer: String,
    },
    /// Make another voter the leader
    Transfer {
        /// Which
        node: u64,
    },
}

fn uuid(text: &str) -> Result<NodeUuid, String> {
    let hex: String = text.chars().filter(|character| *character != '-').collect();
    let number = u128::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == 32);
    number.map(|number| NodeUuid(number.to_be_bytes())).ok_or_else(|| "not 32 hexadecimal digits".to_owned())
}

fn node_id(number: u64) -> Result<NodeId, Failed> {
    NodeId::new(number).ok_or_else(|| Failed::usage("a node id is at least 1"))
}

impl What {
    /// What it asks of the cluster, and what it does to who votes; nothing for a list.
    fn change(&self) -> Result<Option<(ChangeMembers, Vote)>, Failed> {
        let change = |change: MemberChange, node: u64| {
            Ok::<_, Failed>(ChangeMembers {
                timeout_ms: 0,
                change: change.number(),
                node: node_id(node)?,
                other: None,
                uuid: None,
                promote: false,
                peer: "".into(),
            })
        };
        Ok(Some(match self {
            Self::List => return Ok(None),
            Self::Add { node, peer, uuid, promote } => {
                let added = ChangeMembers {
                    uuid: Some(*uuid),
                    promote: *promote,
                    peer: peer.as_str().into(),
                    ..change(MemberChange::AddLearner, *node)?
                };
                (added, Vote::Comes(*node, *promote))
            }
            Self::Promote { node } => (change(MemberChange::Promote, *node)?, Vote::Gets(*node)),
            Self::Demote { node } => (change(MemberChange::Demote, *node)?, Vote::Loses(*node)),
            Self::Remove { node } => (change(MemberChange::Remove, *node)?, Vote::Goes(*node)),
            Self::Replace { old, new } => {
                let replaced =
                    ChangeMembers { other: Some(node_id(*old)?), ..change(MemberChange::Replace, *new)? };
                (replaced, Vote::Replaces(*old, *new))
            }
            Self::Move { node, peer } => {
                let moved =
                    ChangeMembers { peer: peer.as_str().into(), ..change(MemberChange::Move, *node)? };
                (moved, Vote::Stays(*node))
            }
            Self::Transfer { node } => (change(MemberChange::Transfer, *node)?, Vote::Stays(*node)),
        }))
    }
}

impl Member {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, what, dry_run } = &self;
        target.run(async |client, out| match what.change()? {
            None => list(out, &seen(client, target).await?),
            Some((_, vote)) if *dry_run => plan::print(out, &seen(client, target).await?, vote),
            Some((change, _)) => {
                let configuration = client.change_members(change, CallOptions::default()).await?;
                let fields = [("configuration", configuration.into())];
                out.record(format_args!("done, configuration {configuration}"), &fields, "configuration")
            }
        })
    }
}

/// The members as the leader sees them; as somebody does, if there is no leader.
async fn seen(client: &Client, target: &Target) -> Result<StatusReply, Failed> {
    let (mut seen, mut last) = (None, None);
    let mut endpoints = target.endpoints.clone();
    while let Some(endpoint) = endpoints.pop() {
        match client.status(&endpoint).await {
            Ok(status) if status.leader == Some(status.node.id) => return Ok(status),
            Ok(status) => {
                // It may know where the leader is, whom nobody has named.
                let leader = status.members.iter().find(|member| Some(member.node) == status.leader);
                let address = leader.map(|leader| leader.client.to_string()).unwrap_or_default();
                if seen.is_none() && !address.is_empty() {
                    endpoints.push(address);
                }
                seen = Some(status);
            }
            Err(error) => last = Some(error),
        }
    }
    seen.ok_or_else(|| last.map_or(Failed::NotThere, Failed::Client))
}

const COLUMNS: [Column; 6] = [
    Column::value("node"),
    Column::of("kind"),
    Column::of("connected"),
    Column::of("matched"),
    Column::of("peer"),
    Column::of("client"),
];

fn list(out: Out, status: &StatusReply) -> Result<(), Failed> {
    let mut rows = out.rows(&COLUMNS);
    for member in &status.members {
        let kind = match status.leader {
            Some(leader) if leader == member.node => "leader",
            _ if member.voter => "voter",
            _ => "learner",
        };
        rows.push(&[
            member.node.get().into(),
            kind.into(),
            member.connected.into(),
            member.matched.into(),
            (&*member.peer).into(),
            if member.client.is_empty() { Cell::Nothing } else { (&*member.client).into() },
        ])?;
    }
    rows.end(&[])
}

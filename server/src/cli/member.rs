//! `member`: who belongs to the cluster, and who leads it.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use holdfast_client::{CallOptions, ChangeMembers, Client, MemberChange, NodeId};
use holdfast_machine::Numbered as _;
use holdfast_wire::NodeUuid;

use super::ask::{Failed, Target, say};
use super::serve::host_and_port;

#[derive(Debug, Args)]
pub(super) struct Member {
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
    NodeId::new(number).ok_or_else(|| Failed::Usage("a node id is at least 1".to_owned()))
}

impl Member {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, what } = &self;
        target.run(async |client| {
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
            let change = match what {
                What::List => return list(client, target).await,
                What::Add { node, peer, uuid, promote } => ChangeMembers {
                    uuid: Some(*uuid),
                    promote: *promote,
                    peer: peer.as_str().into(),
                    ..change(MemberChange::AddLearner, *node)?
                },
                What::Promote { node } => change(MemberChange::Promote, *node)?,
                What::Demote { node } => change(MemberChange::Demote, *node)?,
                What::Remove { node } => change(MemberChange::Remove, *node)?,
                What::Replace { old, new } => {
                    ChangeMembers { other: Some(node_id(*old)?), ..change(MemberChange::Replace, *new)? }
                }
                What::Move { node, peer } => {
                    ChangeMembers { peer: peer.as_str().into(), ..change(MemberChange::Move, *node)? }
                }
                What::Transfer { node } => change(MemberChange::Transfer, *node)?,
            };
            let configuration = client.change_members(change, CallOptions::default()).await?;
            say(format_args!("done, configuration {configuration}"))
        })
    }
}

/// As the leader sees them; as somebody does, if there is no leader.
async fn list(client: &Client, target: &Target) -> Result<(), Failed> {
    let (mut seen, mut last) = (None, None);
    let mut endpoints = target.endpoints.clone();
    while let Some(endpoint) = endpoints.pop() {
        match client.status(&endpoint).await {
            Ok(status) => {
                if status.leader == Some(status.node.id) {
                    seen = Some(status);
                    break;
                }
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
    let Some(status) = seen else {
        return Err(last.map_or(Failed::NotThere, Failed::Client));
    };
    say("node\tkind\tconnected\tmatched\tpeer\tclient")?;
    for member in &status.members {
        say(format_args!(
            "{}\t{}\t{}\t{}\t{}\t{}",
            member.node,
            match status.leader {
                Some(leader) if leader == member.node => "leader",
                _ if member.voter => "voter",
                _ => "learner",
            },
            if member.connected { "yes" } else { "no" },
            member.matched,
            member.peer,
            if member.client.is_empty() { "-" } else { &member.client },
        ))?;
    }
    Ok(())
}

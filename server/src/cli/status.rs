//! `status`: whether the cluster is well, in a sentence, and then in a table.

use std::process::ExitCode;

use clap::Args;
use holdfast_client::StatusReply;
use holdfast_machine::Numbered as _;
use holdfast_raft::RoleState;

use super::ask::{Failed, Target, say};

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    target: Target,
}

impl Status {
    /// Exits with 0 if a quorum serves, with 3 if nobody answers, with 4 if those who do have no leader.
    pub(super) fn run(self) -> ExitCode {
        let mut serves = false;
        let Self { target } = &self;
        let code = target.run(async |client| {
            // One after the other: a dead one is refused within milliseconds, and the order is that of the arguments.
            let mut rows = Vec::new();
            let mut last = None;
            for endpoint in &target.endpoints {
                match client.status(endpoint).await {
                    Ok(status) => rows.push((endpoint, Ok(status))),
                    Err(error) => {
                        rows.push((endpoint, Err(error.why())));
                        last = Some(error);
                    }
                }
            }
            let answers: Vec<&StatusReply> = rows.iter().filter_map(|(_, row)| row.as_ref().ok()).collect();
            if let (true, Some(error)) = (answers.is_empty(), last) {
                return Err(Failed::Client(error));
            }
            serves = answers.iter().any(|status| status.ready && status.leader == Some(status.node.id));
            say(sentence(&answers, serves))?;
            say("endpoint\tnode\trole\tready\tterm\tcommit\tapplied\trevision\tkeys")?;
            for (endpoint, row) in &rows {
                match row {
                    Err(why) => say(format_args!("{endpoint}\t-\t{why}"))?,
                    Ok(status) => say(format_args!(
                        "{endpoint}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
                        status.node.id,
                        role(status),
                        if status.ready { "yes" } else { "no" },
                        status.term,
                        status.commit,
                        status.applied,
                        status.revision,
                        status.keys,
                    ))?,
                }
            }
            Ok(())
        });
        if code == ExitCode::SUCCESS && !serves { ExitCode::from(4) } else { code }
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

/// Whether it is well, and how much more can break.
fn sentence(answers: &[&StatusReply], serves: bool) -> String {
    let leader = answers.iter().find(|status| status.leader == Some(status.node.id));
    match leader {
        Some(leader) if serves => {
            let voters = leader.members.iter().filter(|member| member.voter);
            let (all, there) =
                voters.fold((0, 0), |(all, there), member| (all + 1, there + usize::from(member.connected)));
            let spare = there - (all / 2 + 1).min(there);
            let more = match spare {
                0 => "no more may fail".to_owned(),
                1 => "1 more may fail".to_owned(),
                more => format!("{more} more may fail"),
            };
            format!("OK: node {} leads, {there} of {all} voters are there, {more}", leader.node.id)
        }
        Some(_) | None => {
            format!(
                "NOT OK: no leader among the {} that answer: no writes, no linearizable reads",
                answers.len()
            )
        }
    }
}

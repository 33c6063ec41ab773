//! What a change of members would do to the quorum, said before it is done.

use std::collections::BTreeSet;

use holdfast_client::StatusReply;

use crate::cli::exit::Exit;
use crate::cli::failed::{Failed, Trouble};
use crate::cli::out::{Cell, Column, Out};
use crate::cli::status::spare;

/// A change, as far as it matters to who votes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Vote {
    /// A member comes, and is to vote when it has caught up, or not.
    Comes(u64, bool),
    /// A member gets a vote.
    Gets(u64),
    /// A member loses its vote.
    Loses(u64),
    /// A member goes.
    Goes(u64),
    /// The second takes the place of the first.
    Replaces(u64, u64),
    /// Who votes stays as it is; the member is to be one.
    Stays(u64),
}

/// Voters and those of them that can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Voters {
    all: BTreeSet<u64>,
    reachable: BTreeSet<u64>,
}

impl Voters {
    fn there(&self) -> usize {
        self.all.intersection(&self.reachable).count()
    }

    fn quorum(&self) -> usize {
        self.all.len() / 2 + 1
    }

    fn cells(&self, when: &str) -> [Cell; 6] {
        let names: Vec<String> = self.all.iter().map(ToString::to_string).collect();
        let nodes: Vec<Cell> = self.all.iter().map(|node| (*node).into()).collect();
        let number = |count: usize| Cell::from(count as u64);
        [
            when.into(),
            Cell::list(names.join(" "), &nodes),
            number(self.there()),
            number(self.quorum()),
            number(self.there().saturating_sub(self.quorum())),
            spare(self.there(), self.all.len()).as_str().into(),
        ]
    }
}

const COLUMNS: [Column; 6] = [
    Column::of("when"),
    Column::value("voters"),
    Column::of("reachable"),
    Column::of("quorum"),
    Column::json("may_fail"),
    Column::of("margin"),
];

/// Prints who votes before and after, and what speaks against it. Nothing is changed. Fails if the cluster would refuse it.
pub(super) fn print(out: Out, seen: &StatusReply, vote: Vote) -> Result<(), Failed> {
    let before = Voters {
        all: seen.members.iter().filter(|member| member.voter).map(|member| member.node.get()).collect(),
        reachable: seen
            .members
            .iter()
            .filter(|member| member.connected)
            .map(|member| member.node.get())
            .collect(),
    };
    let members: BTreeSet<u64> = seen.members.iter().map(|member| member.node.get()).collect();
    let after = changed(&before, &members, vote)?;
    let warning = warning(&before, &after);
    let mut rows = out.rows(&COLUMNS).member("plan");
    rows.push(&before.cells("before"))?;
    rows.push(&after.cells("after"))?;
    rows.end(&[("warning", warning.as_deref().into())])?;
    if let Some(warning) = &warning {
        eprintln!("warning: {warning}");
    }
    if after.there() < after.quorum() {
        return Err(Failed::Ends(holdfast_machine::Numbered::number(Exit::Rejected)));
    }
    Ok(())
}

/// Who votes afterwards.
fn changed(before: &Voters, members: &BTreeSet<u64>, vote: Vote) -> Result<Voters, Failed> {
    let mut after = before.clone();
    let known = |node: u64| match members.contains(&node) {
        true => Ok(()),
        false => Err(refused(format!("node {node} is no member"))),
    };
    match vote {
        Vote::Comes(node, _) if members.contains(&node) => {
            return Err(refused(format!("node {node} is a member already")));
        }
        Vote::Comes(node, votes) => {
            if votes {
                after.all.insert(node);
            }
            // It votes only once it has caught up, and so can be reached.
            after.reachable.insert(node);
        }
        Vote::Gets(node) => {
            known(node)?;
            after.all.insert(node);
        }
        Vote::Loses(node) | Vote::Goes(node) => {
            known(node)?;
            after.all.remove(&node);
        }
        Vote::Replaces(old, new) => {
            known(old)?;
            known(new)?;
            if after.all.remove(&old) {
                after.all.insert(new);
            }
        }
        Vote::Stays(node) => known(node)?,
    }
    if after.all.is_empty() { Err(refused("no voter would be left".to_owned())) } else { Ok(after) }
}

fn refused(what: String) -> Failed {
    Trouble::new(Exit::Rejected, what).next("holdfast member list").into()
}

/// What speaks against it, if anything does.
fn warning(before: &Voters, after: &Voters) -> Option<String> {
    let spare = |voters: &Voters| voters.there().saturating_sub(voters.quorum());
    if after.there() < after.quorum() {
        let (there, quorum) = (after.there(), after.quorum());
        return Some(format!(
            "only {there} of {} voters would be reachable, and the quorum is {quorum}: the cluster will refuse it (HF2002)",
            after.all.len()
        ));
    }
    match (spare(before), spare(after)) {
        (0, 0) => Some("no more may fail, before and after".to_owned()),
        (_, 0) => Some("no more may fail afterwards: a single node that fails stops all writes".to_owned()),
        (before, after) if after < before => {
            Some(format!("fewer may fail afterwards: {after} instead of {before}"))
        }
        (_, _) if after.all.len().is_multiple_of(2) && after.all.len() > before.all.len() => {
            Some("an even number of voters bears no more failures than one less".to_owned())
        }
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(all: &[u64], reachable: &[u64]) -> Voters {
        Voters { all: all.iter().copied().collect(), reachable: reachable.iter().copied().collect() }
    }

    #[test]
    fn a_change_that_leaves_no_margin_or_a_dead_majority_is_warned_of() {
        let three = voters(&[1, 2, 3], &[1, 2, 3]);
        let members = BTreeSet::from([1, 2, 3, 4]);
        let after = |before: &Voters, vote| {
            let after = changed(before, &members, vote).expect("possible");
            (after.there(), after.quorum(), warning(before, &after).unwrap_or_default())
        };
        let (there, quorum, warned) = after(&three, Vote::Goes(3));
        assert!((there, quorum) == (2, 2) && warned.contains("a single node that fails"), "{warned}");
        // The one that is removed is the dead one: as many may fail as before.
        let (.., warned) = after(&voters(&[1, 2, 3], &[1, 2]), Vote::Goes(3));
        assert!(warned.contains("before and after"), "{warned}");
        let (there, quorum, warned) = after(&voters(&[1, 2, 3], &[1, 2]), Vote::Goes(2));
        assert!((there, quorum) == (1, 2) && warned.contains("HF2002"), "{warned}");
        let (.., warned) = after(&voters(&[1, 2, 3], &[1, 2, 3, 4]), Vote::Gets(4));
        assert!(warned.contains("even number"), "{warned}");
        let (.., warned) = after(&voters(&[1, 2, 3], &[1, 2, 4]), Vote::Replaces(3, 4));
        assert_eq!(warned, "");
        let (.., warned) = after(&three, Vote::Stays(2));
        assert_eq!(warned, "");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let one = voters(&[1], &[1]);
        let members = BTreeSet::from([1]);
        for vote in [Vote::Goes(1), Vote::Goes(2), Vote::Gets(2), Vote::Comes(1, true), Vote::Replaces(1, 2)]
        {
            changed(&one, &members, vote).expect_err("refused");
        }
    }
}

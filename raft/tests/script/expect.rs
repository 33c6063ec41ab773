//! What a claim needs said outright. Nothing is written down when it holds.
//!
//! | expectation | |
//! |---|---|
//! | `n1 leader` (`follower`, `candidate`, `pre-candidate`) | its role |
//! | `n1 term\|commit\|applied\|durable\|leader-is\|last\|prev\|voters\|state\|log VALUE` | a number of it; `log` by terms: `1 2 2 4`; `state` by commands: `x y` |
//! | `n1 damaged\|whole\|may-vote\|may-not-vote\|established` | a fact about it |
//! | `n1 drops CAUSE [k]` | it dropped messages for this cause |
//! | `n1 peer n2 Probe\|Replicate\|Snapshot [matched k]` | what it knows of a peer |
//! | `committed 3@2` · `not-committed 3@2` · `no-leader` · `one-leader` · `quiet` | of the cluster |

use holdfast_machine::Numbered;
use holdfast_raft::{DropCause, Index, NodeId, Plant, RoleState};

use crate::script::command::{Done, entry_id, node_id};
use crate::script::world::World;

impl<P: Plant> World<P> {
    pub(crate) fn expect(&mut self, words: &[&str]) -> Done {
        let (holds, found) = match words {
            ["committed", id] => (self.is_committed(id)?, "it is not".into()),
            ["not-committed", id] => (!self.is_committed(id)?, "it is".into()),
            ["no-leader"] => (self.leaders() == 0, "there is one".to_owned()),
            ["one-leader"] => (self.leaders() == 1, format!("there are {}", self.leaders())),
            ["quiet"] => (self.net.is_empty(), format!("{} messages are on their way", self.net.len())),
            [n, rest @ ..] => self.expect_node(node_id(n)?, rest)?,
            [] => return Err("expect what?".into()),
        };
        if !holds {
            self.fault(&format!("expected {}, but {found}", words.join(" ")));
        }
        Ok(())
    }

    fn is_committed(&self, id: &str) -> Done<bool> {
        let id = entry_id(id)?;
        Ok(self.oracle.ledger.get(&id.index.0).is_some_and(|entry| entry.term == id.term))
    }

    fn leaders(&self) -> usize {
        let cores = self.nodes.values().filter_map(|node| node.core.as_ref());
        cores.filter(|core| core.role() == RoleState::Leader).count()
    }

    fn expect_node(&self, n: NodeId, words: &[&str]) -> Done<(bool, String)> {
        let node = self.nodes.get(&n).ok_or(format!("there is no n{n}"))?;
        let Some(core) = &node.core else { return Ok((words == ["down"], "it is down".into())) };
        let role = |role: RoleState| (core.role() == role, format!("it is {:?}", core.role()));
        let fact = |holds: bool| (holds, "it is not so".to_owned());
        let value = |found: String| (found == words[1..].join(" "), format!("it is {found}"));
        Ok(match words {
            ["leader"] => role(RoleState::Leader),
            ["follower"] => role(RoleState::Follower),
            ["candidate"] => role(RoleState::Candidate),
            ["pre-candidate"] => role(RoleState::PreCandidate),
            ["damaged"] => fact(core.damaged()),
            ["whole"] => fact(!core.damaged()),
            ["may-vote"] => fact(core.may_vote()),
            ["may-not-vote"] => fact(!core.may_vote()),
            ["established"] => fact(core.established()),
            ["term", _] => value(core.term().to_string()),
            ["commit", _] => value(core.commit().to_string()),
            ["applied", _] => value(core.applied().to_string()),
            ["durable", _] => value(core.durable().to_string()),
            ["last", _] => value(core.last().to_string()),
            ["prev", _] => value(core.prev().to_string()),
            ["leader-is", _] => value(core.leader().map_or("none".into(), |leader| format!("n{leader}"))),
            ["voters", ..] => value(core.configuration().1.to_string()),
            ["log", ..] => {
                let terms =
                    (core.prev().index.0 + 1..=core.last().index.0).filter_map(|at| core.term_at(Index(at)));
                value(terms.map(|term| term.to_string()).collect::<Vec<_>>().join(" "))
            }
            ["state", ..] => {
                let commands = node.state.iter().map(|(_, text)| text.trim());
                let commands = commands.filter(|text| !text.is_empty() && !text.starts_with('{'));
                value(commands.collect::<Vec<_>>().join(" "))
            }
            ["drops", cause] => {
                let known =
                    DropCause::ALL.iter().find(|known| known.name() == *cause).ok_or("no such cause")?;
                fact(core.drops(*known) > 0)
            }
            ["peer", peer, state, rest @ ..] => {
                let progress = core.progress(node_id(peer)?).ok_or("it does not replicate to that")?;
                let matched = progress.matched.to_string();
                let right = rest.get(1).is_none_or(|wanted| **wanted == matched);
                let found = format!("{:?}", progress.state());
                (right && found == *state, format!("it is {found}, matched {matched}"))
            }
            _ => return Err("no such expectation".into()),
        })
    }
}

//! Who is there, who leads, and who reaches whom: what the members of a cluster say of one another.

use holdfast_wire::message::MemberStatus;

use super::facts::Visit;
use super::judge::Heard;
use super::{Check, LOST_QUORUM, Notes, REPLACE, SLOW_DISK, Severity, Thresholds, Whom};

pub(super) fn reachable(notes: &mut Notes, visits: &[Visit], heard: &Heard<'_>) {
    let mut there = 0;
    for member in &heard.best.members {
        let (id, client) = (member.node.get(), &*member.client);
        let whom = Whom::Node(id);
        if heard.answers.contains_key(&id) {
            there += 1;
            continue;
        }
        let tried = visits.iter().find(|visit| visit.endpoint == client);
        match tried.map(|visit| &visit.answer) {
            Some(Err(why)) => {
                let kind = if member.voter { "a voter" } else { "a learner" };
                let what = format!("{kind} does not answer at its client address {client}: {why}");
                let next = format!(
                    "see whether it runs, and its log: journalctl -u holdfast; if it is gone for good: {REPLACE}"
                );
                notes.note(Severity::Fail, Check::Reachable, &whom, what, next);
            }
            Some(Ok(other)) if other.id() == id => {
                let what =
                    format!("at its client address {client}, a node {id} of another life or cluster answers");
                let next = format!("stop that one, and start the one of this cluster, or see {LOST_QUORUM}");
                notes.note(Severity::Fail, Check::Reachable, &whom, what, next);
            }
            Some(Ok(other)) => {
                let what = format!("at its client address {client}, node {} answers", other.id());
                let next = "correct --advertise-client of one of them, and start it again";
                notes.note(Severity::Fail, Check::Reachable, &whom, what, next);
            }
            None => {
                // Addresses are told from mouth to mouth after a start, so this one is either new or gone.
                let others = heard.answers.values().flat_map(|answer| &answer.status.members);
                let is_there = others.clone().any(|seen| seen.node == member.node && seen.connected);
                let (severity, what) = if is_there {
                    (
                        Severity::Warn,
                        "others are connected to it, and it has not told them its client address yet",
                    )
                } else {
                    (Severity::Fail, "nobody who answers is connected to it, or knows its client address")
                };
                let next = format!(
                    "start it, or see its log: journalctl -u holdfast; if it is gone for good: {REPLACE}"
                );
                notes.note(severity, Check::Reachable, &whom, what, next);
            }
        }
    }
    let is_member = |visit: &Visit| heard.best.members.iter().any(|member| *member.client == *visit.endpoint);
    for visit in visits.iter().filter(|visit| visit.named && !is_member(visit)) {
        if let Err(why) = &visit.answer {
            let what = format!("nobody answers there: {why}; it is no client address of a member");
            let whom = Whom::Place(visit.endpoint.clone());
            notes.note(
                Severity::Warn,
                Check::Reachable,
                &whom,
                what,
                "leave it out of --endpoints, or of HOLDFAST_ENDPOINTS",
            );
        }
    }
    if there == heard.best.members.len() {
        notes.note(Severity::Ok, Check::Reachable, &Whom::Cluster, format!("all {there} members answer"), "");
    }
}

pub(super) fn quorum(notes: &mut Notes, heard: &Heard<'_>) {
    let voters: Vec<&MemberStatus> = heard.best.members.iter().filter(|member| member.voter).collect();
    let there = voters.iter().filter(|member| heard.answers.contains_key(&member.node.get())).count();
    let (all, needed) = (voters.len(), voters.len() / 2 + 1);
    if let Some(leader) = heard.leader {
        let what = format!("node {leader} leads, and {there} of {all} voters answer; {needed} are needed");
        return notes.note(Severity::Ok, Check::Quorum, &Whom::Cluster, what, "");
    }
    let what = format!(
        "no leader serves: no writes, no linearizable reads; {there} of {all} voters answer, and {needed} are needed"
    );
    let next = if there >= needed {
        format!("holdfast status --watch: an election takes seconds; if it lasts, see {LOST_QUORUM}")
    } else {
        format!("see {LOST_QUORUM}")
    };
    notes.note(Severity::Fail, Check::Quorum, &Whom::Cluster, what, next);
}

pub(super) fn serving(notes: &mut Notes, heard: &Heard<'_>) {
    for (id, answer) in &heard.answers {
        let whom = Whom::Node(*id);
        if answer.status.ready {
            notes.note(Severity::Ok, Check::Serving, &whom, "it serves", "");
        } else if heard.leader.is_some() {
            let (commit, applied) = (answer.status.commit, answer.status.applied);
            let what = format!(
                "it does not serve: it has applied {applied} of {commit} entries, or knows no leader"
            );
            let next = "holdfast status --watch; curl http://NODE/health/ready says why";
            notes.note(Severity::Warn, Check::Serving, &whom, what, next);
        }
    }
}

pub(super) fn odd_voters(notes: &mut Notes, heard: &Heard<'_>) {
    let voters: Vec<u64> =
        heard.best.members.iter().filter(|member| member.voter).map(|member| member.node.get()).collect();
    let (all, spare) = (voters.len(), voters.len().saturating_sub(voters.len() / 2 + 1));
    let what = format!("{all} voters, of which {spare} may fail");
    if all > 0 && all.is_multiple_of(2) {
        // Whoever leads goes on leading.
        let last = voters.iter().copied().rfind(|voter| Some(*voter) != heard.leader).unwrap_or(0);
        let what = format!("{what}: no more than with {}, and one more is needed for every write", all - 1);
        let next =
            format!("holdfast member demote {last}; or promote one more: holdfast member promote --help");
        notes.note(Severity::Warn, Check::OddVoters, &Whom::Cluster, what, next);
    } else {
        notes.note(Severity::Ok, Check::OddVoters, &Whom::Cluster, what, "");
    }
}

pub(super) fn peers_connected(notes: &mut Notes, heard: &Heard<'_>) {
    let mut missing = 0;
    let connected = |from: u64, to: u64| {
        let from = heard.answers.get(&from)?;
        from.status.members.iter().find(|member| member.node.get() == to).map(|member| member.connected)
    };
    for from in heard.answers.keys() {
        for to in heard.answers.keys().filter(|to| *to != from) {
            if connected(*from, *to) != Some(false) {
                continue;
            }
            missing += 1;
            let members = heard.best.members.iter();
            let peer =
                members.clone().find(|member| member.node.get() == *to).map_or("?", |member| &*member.peer);
            let way = match connected(*to, *from) {
                Some(true) => format!("node {to} reaches it: one way only"),
                Some(false) | None => format!("nor does node {to} reach it"),
            };
            let what = format!("it cannot reach node {to} at its peer address {peer}; {way}");
            let next = format!(
                "on the machine of node {from}: nc -vz {}; see firewalls, and: holdfast member list",
                peer.replace(':', " ")
            );
            notes.note(Severity::Fail, Check::PeersConnected, &Whom::Node(*from), what, next);
        }
    }
    if missing == 0 {
        notes.note(
            Severity::Ok,
            Check::PeersConnected,
            &Whom::Cluster,
            "all who answer reach each other",
            "",
        );
    }
}

pub(super) fn lag(notes: &mut Notes, heard: &Heard<'_>, thresholds: &Thresholds) {
    let Some(leader) = heard.leader.and_then(|leader| heard.answers.get(&leader)) else { return };
    for member in leader.status.members.iter().filter(|member| member.node.get() != leader.id()) {
        // Of one that does not answer that is said already.
        let Some(answer) = heard.answers.get(&member.node.get()) else { continue };
        let log = leader.status.last.saturating_sub(member.matched);
        let state = leader.status.commit.saturating_sub(answer.status.applied);
        let behind = log.max(state);
        let severity = if behind > thresholds.lag { Severity::Warn } else { Severity::Ok };
        let kind = if member.voter { "voter" } else { "learner" };
        let what = format!(
            "the {kind} is {log} entries of the log behind the leader, and {state} behind in applying them; {} may be",
            thresholds.lag
        );
        let next = format!("holdfast status --watch shows whether it catches up; see {SLOW_DISK}");
        notes.note(severity, Check::Lag, &Whom::Node(member.node.get()), what, next);
    }
}

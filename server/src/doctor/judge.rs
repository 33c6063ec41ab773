//! What ails a cluster: what its members say of it and of one another, put together.

use std::collections::BTreeMap;

use holdfast_machine::Numbered as _;
use holdfast_raft::RoleState;
use holdfast_wire::ClusterIdentity;
use holdfast_wire::message::{Figure, MemberStatus, StatusReply};

use super::facts::{Answer, Facts, Offset, Visit};
use super::nodes::{self, of_election};
use super::{
    CLI, CLOCK, Check, Finding, LOST_QUORUM, Notes, RESTORE, SLOW_DISK, Severity, Thresholds, UPGRADE, Whom,
    members, micros,
};

/// What was heard, sorted.
pub(super) struct Heard<'a> {
    /// One answer of each node that belongs to the cluster, in the life of it that is judged.
    pub(super) answers: BTreeMap<u64, &'a Answer>,
    /// Whoever knows best who else is there.
    pub(super) best: &'a StatusReply,
    /// The leader that serves, if there is one.
    pub(super) leader: Option<u64>,
}

/// What ails the cluster whose members gave these answers. Somebody has answered; otherwise there is nothing to judge, and
/// there are no findings but that.
#[must_use]
pub fn judge(visits: &[Visit], thresholds: &Thresholds) -> Vec<Finding> {
    let mut notes = Notes::default();
    same_cluster(&mut notes, visits);
    let answers = of_one_life(visits);
    let leader = leader(&answers);
    let knows = |answer: &&&Answer| (Some(answer.id()) == leader, answer.status.ready, answer.status.term);
    if let Some(best) = answers.values().max_by_key(knows) {
        let heard = Heard { best: &best.status, answers, leader };
        members::reachable(&mut notes, visits, &heard);
        members::quorum(&mut notes, &heard);
        members::serving(&mut notes, &heard);
        members::odd_voters(&mut notes, &heard);
        members::peers_connected(&mut notes, &heard);
        members::lag(&mut notes, &heard, thresholds);
        same_build(&mut notes, &heard);
        feature_level(&mut notes, &heard);
        same_state(&mut notes, &heard);
        round_trips(&mut notes, &heard, thresholds);
        clocks(&mut notes, &heard, thresholds);
        piles(&mut notes, &heard, thresholds);
        for (id, answer) in &heard.answers {
            let whom = Whom::Node(*id);
            match &answer.facts {
                Ok(facts) => {
                    examined(&mut notes, &whom, facts);
                    nodes::node(&mut notes, &whom, facts, thresholds);
                }
                Err(why) => {
                    let what = format!("it did not examine itself: {why}");
                    let next = format!("holdfast status -o json shows its build; see {UPGRADE}");
                    notes.note(Severity::Warn, Check::Examined, &whom, what, next);
                }
            }
        }
    }
    let mut findings = notes.0;
    findings.retain(|finding| !thresholds.except.contains(&finding.check));
    super::sort(&mut findings);
    findings
}

fn answers(visits: &[Visit]) -> impl Iterator<Item = (&Visit, &Answer)> {
    visits.iter().filter_map(|visit| Some((visit, visit.answer.as_ref().ok()?)))
}

/// The life of the cluster that is judged: of the cluster that most of the answers are about, the latest that answers, since
/// the earlier ones were given up; `None` if none has formed.
fn life_of(visits: &[Visit]) -> Option<ClusterIdentity> {
    let mut count: BTreeMap<[u8; 16], (usize, ClusterIdentity)> = BTreeMap::new();
    for (_, answer) in answers(visits) {
        if let Some(cluster) = answer.status.cluster {
            let (count, latest) = count.entry(cluster.id.0).or_insert((0, cluster));
            *count += 1;
            if cluster.epoch > latest.epoch {
                *latest = cluster;
            }
        }
    }
    count.into_values().max_by_key(|(count, _)| *count).map(|(_, latest)| latest)
}

fn of_one_life(visits: &[Visit]) -> BTreeMap<u64, &Answer> {
    let life = life_of(visits);
    let own = |answer: &&Answer| answer.status.cluster == life;
    answers(visits).map(|(_, answer)| answer).filter(own).map(|answer| (answer.id(), answer)).collect()
}

fn same_cluster(notes: &mut Notes, visits: &[Visit]) {
    let life = life_of(visits);
    let mut others = 0;
    // Of the same cluster: who answers of which of its lives.
    let mut lives: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (visit, answer) in answers(visits) {
        let theirs = answer.status.cluster;
        if let (Some(theirs), Some(life)) = (theirs, life)
            && theirs.id == life.id
        {
            let who = format!("node {} at {}", answer.id(), visit.endpoint);
            lives.entry(theirs.epoch.get()).or_default().push(who);
            continue;
        }
        if theirs != life {
            others += 1;
            let what = match theirs {
                Some(_) => format!("node {} there belongs to another cluster", answer.id()),
                None => format!("node {} there belongs to no cluster yet", answer.id()),
            };
            let next = "name endpoints of one cluster with --endpoints";
            notes.note(Severity::Fail, Check::SameCluster, &Whom::Place(visit.endpoint.clone()), what, next);
        }
    }
    if lives.len() > 1 {
        others += 1;
        let each = lives.iter().rev().map(|(epoch, who)| format!("epoch {epoch}: {}", who.join(", ")));
        let what =
            format!("{} lives of the cluster answer: {}", lives.len(), each.collect::<Vec<_>>().join("; "));
        let latest = lives.keys().next_back().copied();
        let former: Vec<&str> = lives
            .iter()
            .filter(|(epoch, _)| Some(**epoch) != latest)
            .flat_map(|(_, who)| who.iter().map(String::as_str))
            .collect();
        let next = format!(
            "stop what was left behind, for good: {}; what they acknowledge is lost: see {LOST_QUORUM}",
            former.join(", ")
        );
        notes.note(Severity::Fail, Check::SameCluster, &Whom::Cluster, what, next);
    }
    if others == 0 {
        notes.note(Severity::Ok, Check::SameCluster, &Whom::Cluster, "all who answer belong to it", "");
    }
}

/// Who leads, as somebody knows who serves: of two, the one of the later term. One that answers itself has to agree.
fn leader(answers: &BTreeMap<u64, &Answer>) -> Option<u64> {
    let known = answers.values().filter(|answer| answer.status.ready).filter_map(|answer| {
        let leader = answer.status.leader?;
        let connected = |member: &MemberStatus| member.node == leader && member.connected;
        let agrees = answers.get(&leader.get()).is_none_or(|own| {
            own.status.ready
                && own.status.leader == Some(leader)
                && own.status.role == RoleState::Leader.number()
        });
        let there = agrees && answer.status.members.iter().any(connected);
        there.then_some((answer.status.term, leader.get()))
    });
    known.max().map(|(_, leader)| leader)
}

/// `1.0 at nodes 1, 2; 1.1 at node 3`.
fn spread<'a>(values: impl Iterator<Item = (u64, String)> + 'a) -> (usize, String) {
    let mut by: BTreeMap<String, Vec<String>> = BTreeMap::new();
    values.for_each(|(id, value)| by.entry(value).or_default().push(id.to_string()));
    let each = |(value, nodes): (&String, &Vec<String>)| {
        let s = if nodes.len() == 1 { "" } else { "s" };
        format!("{value} at node{s} {}", nodes.join(", "))
    };
    (by.len(), by.iter().map(each).collect::<Vec<_>>().join("; "))
}

fn same_build(notes: &mut Notes, heard: &Heard<'_>) {
    let (kinds, what) =
        spread(heard.answers.iter().map(|(id, answer)| (*id, answer.status.build.to_string())));
    let severity = if kinds > 1 { Severity::Warn } else { Severity::Ok };
    notes.note(severity, Check::SameBuild, &Whom::Cluster, what, format!("end the upgrade: {UPGRADE}"));
}

fn feature_level(notes: &mut Notes, heard: &Heard<'_>) {
    let latest = heard.answers.iter().filter_map(|(id, answer)| {
        Some((*id, answer.facts.as_ref().ok()?.get(Figure::LatestLevel)?.to_string()))
    });
    let (kinds, what) = spread(latest);
    let severity = if kinds > 1 { Severity::Warn } else { Severity::Ok };
    let what = format!("the cluster is at level {}; builds can apply {what}", heard.best.level);
    let next = format!("run the latest build everywhere, and the leader raises it: {UPGRADE}");
    notes.note(severity, Check::FeatureLevel, &Whom::Cluster, what, next);
}

fn same_state(notes: &mut Notes, heard: &Heard<'_>) {
    let mut equal = true;
    for (id, answer) in &heard.answers {
        let at = answer.facts.as_ref().ok().and_then(|facts| facts.get(Figure::DivergedAt)).unwrap_or(0);
        if at != 0 {
            equal = false;
            let what = format!(
                "its state differs from that of others since index {at}, and nobody is in the majority: it answers nobody"
            );
            notes.note(
                Severity::Fail,
                Check::SameState,
                &Whom::Node(*id),
                what,
                format!("holdfast explain HF1213; see {RESTORE}"),
            );
        }
    }
    if equal {
        notes.note(
            Severity::Ok,
            Check::SameState,
            &Whom::Cluster,
            "nobody doubts that the states are equal",
            "",
        );
    }
}

fn round_trips(notes: &mut Notes, heard: &Heard<'_>, thresholds: &Thresholds) {
    // Only who leads measures, and what others measured when they did is history.
    let Some(leader) = heard.leader.and_then(|leader| heard.answers.get(&leader)) else { return };
    let Ok(facts) = &leader.facts else { return };
    let Some(election) = facts.get(Figure::ElectionMs) else { return };
    let (warn, fail) = of_election(election, thresholds.round_trip_us);
    for member in &leader.status.members {
        let peer = member.node.get();
        let known = (
            facts.about(Figure::RoundTrips, peer).filter(|count| *count > 0),
            facts.about(Figure::RoundTripP50Us, peer),
            facts.about(Figure::RoundTripP99Us, peer),
        );
        let (Some(count), Some(half), Some(most)) = known else { continue };
        let (judged, few) = nodes::judged(count, half, most);
        let severity = nodes::above(judged, warn, fail);
        let what = format!(
            "of {count} heartbeats of node {} half came back within {}, 99 of 100 within {}{few}; {} would be fine with an election timeout of {election} ms",
            leader.id(),
            micros(half),
            micros(most),
            micros(warn)
        );
        let next = format!(
            "ping that machine from the leader's; with a long way between them: --election and --heartbeat; see {SLOW_DISK}"
        );
        notes.note(severity, Check::RoundTrip, &Whom::Node(peer), what, next);
    }
}

/// Which of some clocks is right is what most of them say: that in the middle. Of two nobody can tell, and this one is taken.
fn clocks(notes: &mut Notes, heard: &Heard<'_>, thresholds: &Thresholds) {
    let known: Vec<(u64, Offset)> =
        heard.answers.iter().filter_map(|(id, answer)| Some((*id, answer.clock?))).collect();
    let here = (0, 0);
    let of = |offset: &Offset| (offset.micros, offset.within);
    let mut all: Vec<(i64, u64)> = known.iter().map(|(_, offset)| of(offset)).chain([here]).collect();
    all.sort_unstable();
    let (middle, middle_within) = if all.len() <= 2 { here } else { all[(all.len() - 1) / 2] };
    let bound = i64::try_from(thresholds.clock_offset_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let next = format!("chronyc tracking, at that machine; see {CLOCK}");
    let mut judged = |whom: &Whom, micros: i64, within: u64| {
        let off = micros.saturating_sub(middle);
        let within = within.saturating_add(middle_within);
        // Only what is sure.
        let sure = off.saturating_abs().saturating_sub(i64::try_from(within).unwrap_or(i64::MAX));
        let severity = if sure > bound { Severity::Warn } else { Severity::Ok };
        let way = if off < 0 { "behind" } else { "ahead" };
        let what = format!(
            "its clock is {} ms {way}, give or take {} ms; {} ms may be",
            off.saturating_abs() / 1_000,
            within.div_ceil(1_000),
            thresholds.clock_offset_ms
        );
        notes.note(severity, Check::Clock, whom, what, next.clone());
    };
    for (id, Offset { micros, within }) in &known {
        judged(&Whom::Node(*id), *micros, *within);
    }
    if !known.is_empty() {
        judged(&Whom::Place("this machine".to_owned()), 0, 0);
    }
}

fn piles(notes: &mut Notes, heard: &Heard<'_>, thresholds: &Thresholds) {
    // They are the same everywhere; who leads, or knows best, has applied most.
    let of = |answer: &&Answer| Some(answer.id()) == heard.leader;
    let facts = heard.answers.values().filter(|answer| of(answer)).chain(heard.answers.values());
    let Some(facts) = facts.filter_map(|answer| answer.facts.as_ref().ok()).next() else { return };
    let known = |held, most| Some((facts.get(held)?, facts.get(most)?));
    if let Some(held) = known(Figure::Leases, Figure::LeasesMax) {
        nodes::pile(notes, Check::Leases, ("leases", "holdfast lease ls"), held, thresholds.leases);
    }
    if let Some(held) = known(Figure::Sessions, Figure::SessionsMax) {
        nodes::pile(notes, Check::Sessions, ("sessions", "holdfast session ls"), held, thresholds.sessions);
    }
}

fn examined(notes: &mut Notes, whom: &Whom, facts: &Facts) {
    match facts.word(Figure::Unread) {
        Some(unread) => {
            let next = format!("see whether the node may read it; {CLI} lists what is looked at");
            notes.note(Severity::Warn, Check::Examined, whom, format!("it could not read {unread}"), next);
        }
        None => notes.note(Severity::Ok, Check::Examined, whom, "it has examined itself", ""),
    }
}

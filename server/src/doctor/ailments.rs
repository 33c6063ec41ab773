//! Every ailment that can be told from figures, at its threshold and one beyond it.

use holdfast_wire::message::{Figure, MemberStatus, StatusReply};
use holdfast_wire::{Boot, ClusterEpoch, ClusterId, ClusterIdentity, NodeId, NodeIdentity, NodeUuid};

use super::facts::{Answer, Facts, Offset, Visit};
use super::{Check, Finding, Severity, Thresholds, Whom, judge};

fn id(node: u64) -> NodeId {
    NodeId::new(node).expect("numbers count from 1")
}

fn client(node: u64) -> String {
    format!("10.0.0.{node}:7400")
}

fn member(node: u64) -> MemberStatus {
    MemberStatus {
        node: id(node),
        voter: true,
        connected: true,
        matched: 100,
        peer: format!("10.0.0.{node}:7401").into(),
        client: client(node).into(),
        http: "".into(),
    }
}

/// A node that is well, and says so of a cluster of three that node 1 leads.
fn answer(node: u64) -> Answer {
    let status = StatusReply {
        node: NodeIdentity { id: id(node), uuid: NodeUuid([7; 16]), boot: Boot::FIRST },
        cluster: Some(ClusterIdentity { id: ClusterId([1; 16]), epoch: ClusterEpoch::FIRST }),
        life: 5,
        role: if node == 1 { 4 } else { 1 },
        leadership: 1,
        ready: true,
        leader: Some(id(1)),
        term: 3,
        commit: 100,
        applied: 100,
        durable: 100,
        last: 100,
        revision: 50,
        oldest: 1,
        keys: 10,
        sessions: 0,
        level: 2,
        clock_ms: 0,
        build: "0.1.0".into(),
        members: [1, 2, 3].map(member).to_vec(),
    };
    let mut facts = Facts::default();
    for (figure, value) in [
        (Figure::ElectionMs, 300),
        (Figure::LatestLevel, 2),
        (Figure::StampAheadMs, 0),
        (Figure::StampBoundMs, 1_000),
        (Figure::Syncs, 1_000),
        (Figure::SyncP50Us, 500),
        (Figure::SyncP99Us, 30_000),
        (Figure::SyncMaxUs, 40_000),
        (Figure::Damaged, 0),
        (Figure::SegmentBytes, 64 << 20),
        (Figure::SnapshotBytes, 1 << 20),
        (Figure::SnapshotsDamaged, 0),
        (Figure::AuditWaitingBytes, 16 << 20),
        (Figure::AuditWaitingMax, 32 << 20),
        (Figure::Leases, 80),
        (Figure::LeasesMax, 100),
        (Figure::Sessions, 80),
        (Figure::SessionsMax, 100),
        (Figure::HistoryBytes, 1_250),
        (Figure::HistoryBytesMax, 1_000),
        (Figure::HistoryAgeMaxMs, 3_600_000),
        (Figure::CompactionDue, 100_000),
        (Figure::Clients, 6_553),
        (Figure::ClientsMax, 8_192),
        (Figure::DrillSyncDelayUs, 0),
        (Figure::FreeBytes, 1 << 30),
        (Figure::TotalBytes, 100 << 30),
        (Figure::FreeInodes, 1_000),
        (Figure::TotalInodes, 100_000),
        (Figure::OpenFiles, 100),
        (Figure::OpenFilesMax, 9_216),
        (Figure::MemoryBytes, 80),
        (Figure::MemoryMax, 100),
    ] {
        facts.set(figure, value);
    }
    for peer in [2, 3].into_iter().filter(|_| node == 1) {
        facts.set_about(Figure::RoundTrips, peer, 1_000);
        facts.set_about(Figure::RoundTripP50Us, peer, 200);
        facts.set_about(Figure::RoundTripP99Us, peer, 30_000);
    }
    facts.say(Figure::FileSystem, "ext4");
    facts.say(Figure::MountOptions, "rw,relatime");
    facts.say(Figure::MountPoint, "/data");
    facts.say(Figure::DataDirectory, "/data/n");
    Answer { status, facts: Ok(facts), clock: Some(Offset { micros: 500_000, within: 0 }) }
}

fn visits(answers: impl IntoIterator<Item = Answer>) -> Vec<Visit> {
    let one = |answer: Answer| Visit { endpoint: client(answer.id()), named: true, answer: Ok(answer) };
    answers.into_iter().map(one).collect()
}

fn three() -> Vec<Visit> {
    visits([1, 2, 3].map(answer))
}

/// Three nodes that are well but for what is done to the second.
fn with(change: impl FnOnce(&mut Answer)) -> Vec<Visit> {
    let mut visits = three();
    change(visits[1].answer.as_mut().expect("it answers"));
    visits
}

fn with_figure(figure: Figure, value: u64) -> Vec<Visit> {
    with(|answer| answer.facts.as_mut().expect("it knows").set(figure, value))
}

fn with_word(figure: Figure, word: &str) -> Vec<Visit> {
    with(|answer| answer.facts.as_mut().expect("it knows").say(figure, word))
}

/// What is wrong.
fn wrong(visits: &[Visit], thresholds: &Thresholds) -> Vec<(Severity, Check, Whom)> {
    let findings = judge(visits, thresholds);
    for finding in &findings {
        assert_eq!(finding.next.is_empty(), finding.severity == Severity::Ok, "{finding:?}");
        assert!(!finding.what.is_empty(), "{finding:?}");
    }
    let is_wrong = |finding: &Finding| finding.severity != Severity::Ok;
    findings
        .into_iter()
        .filter(is_wrong)
        .map(|finding| (finding.severity, finding.check, finding.whom))
        .collect()
}

/// That nothing is wrong.
#[track_caller]
fn well(visits: &[Visit]) {
    assert_eq!(wrong(visits, &Thresholds::default()), []);
}

/// That this alone is wrong.
#[track_caller]
fn ails(visits: &[Visit], severity: Severity, check: Check, whom: Whom) {
    assert_eq!(wrong(visits, &Thresholds::default()), [(severity, check, whom)]);
}

#[track_caller]
fn second_ails(visits: &[Visit], severity: Severity, check: Check) {
    ails(visits, severity, check, Whom::Node(2));
}

#[test]
fn a_cluster_whose_every_figure_stands_at_its_threshold_is_well() {
    // Its clocks are half a second ahead of this machine, all of them: so this one is off, by no more than may be.
    well(&three());
}

#[test]
fn each_figure_of_a_node_ails_one_beyond_its_threshold() {
    let mib = 1 << 20;
    for (figure, value, severity, check) in [
        (Figure::SyncP99Us, 30_001, Severity::Warn, Check::DiskSync),
        (Figure::SyncP99Us, 100_000, Severity::Warn, Check::DiskSync),
        (Figure::SyncP99Us, 100_001, Severity::Fail, Check::DiskSync),
        (Figure::FreeBytes, (1 << 30) - 1, Severity::Warn, Check::DiskSpace),
        (Figure::FreeBytes, 64 * mib, Severity::Warn, Check::DiskSpace),
        (Figure::FreeBytes, 64 * mib - 1, Severity::Fail, Check::DiskSpace),
        (Figure::LogFull, 1, Severity::Fail, Check::DiskSpace),
        (Figure::SnapshotBytes, 384 * mib + 1, Severity::Warn, Check::DiskSpace),
        (Figure::FreeInodes, 999, Severity::Warn, Check::Inodes),
        (Figure::FreeInodes, 9, Severity::Fail, Check::Inodes),
        (Figure::OpenFilesMax, 9_215, Severity::Warn, Check::OpenFiles),
        (Figure::OpenFiles, 8_295, Severity::Fail, Check::OpenFiles),
        (Figure::MemoryBytes, 81, Severity::Warn, Check::Memory),
        (Figure::MemoryBytes, 96, Severity::Fail, Check::Memory),
        (Figure::Damaged, 1, Severity::Fail, Check::LogWhole),
        (Figure::HardStateLost, 1, Severity::Fail, Check::LogWhole),
        (Figure::SnapshotsDamaged, 1, Severity::Warn, Check::SnapshotsWhole),
        (Figure::AuditWaitingBytes, 16 * mib + 1, Severity::Warn, Check::AuditLog),
        (Figure::AuditFailing, 1, Severity::Fail, Check::AuditLog),
        (Figure::DiskStalled, 1, Severity::Fail, Check::DiskAnswers),
        (Figure::Silent, 1, Severity::Fail, Check::DiskAnswers),
        (Figure::StampAheadMs, 1_001, Severity::Warn, Check::Stamps),
        (Figure::HistoryBytes, 1_251, Severity::Warn, Check::Compaction),
        (Figure::CompactionDue, 100_001, Severity::Warn, Check::Compaction),
        (Figure::Clients, 6_554, Severity::Warn, Check::Clients),
        (Figure::Clients, 8_192, Severity::Fail, Check::Clients),
        (Figure::DivergedAt, 77, Severity::Fail, Check::SameState),
        (Figure::DrillSyncDelayUs, 1, Severity::Warn, Check::Drill),
    ] {
        println!("{figure:?} {value}");
        second_ails(&with_figure(figure, value), severity, check);
    }
    well(&with_figure(Figure::OpenFiles, 8_294));
    well(&with_figure(Figure::FreeInodes, 1_001));
    well(&with_figure(Figure::SnapshotBytes, 384 << 20));
}

#[test]
fn a_drill_that_cuts_a_node_off_ails_and_says_from_whom() {
    let cut = with(|answer| {
        let facts = answer.facts.as_mut().expect("it knows");
        facts.set_about(Figure::DrillCut, 1, 1);
        facts.set_about(Figure::DrillCut, 3, 1);
    });
    second_ails(&cut, Severity::Warn, Check::Drill);
    let finding = judge(&cut, &Thresholds::default()).remove(0);
    assert_eq!(finding.what, "a drill is on: it has no connection with node 1, 3, on purpose");
}

#[test]
fn history_without_any_bound_ails_and_a_bound_of_either_kind_is_enough() {
    let unbound = |age, bytes| {
        with(|answer| {
            let facts = answer.facts.as_mut().expect("it knows");
            facts.set(Figure::HistoryAgeMaxMs, age);
            facts.set(Figure::HistoryBytesMax, bytes);
        })
    };
    second_ails(&unbound(0, 0), Severity::Warn, Check::Compaction);
    well(&unbound(1, 0));
    well(&unbound(0, 1_000));
}

#[test]
fn a_threshold_that_is_asked_for_counts_instead_of_the_usual_one_and_a_check_can_be_left_out() {
    let node = |node| (Severity::Warn, Check::DiskSync, Whom::Node(node));
    let strict = Thresholds { sync_p99_us: Some(0), ..Thresholds::default() };
    assert_eq!(wrong(&three(), &strict), [node(1), node(2), node(3)]);
    let patient = Thresholds { sync_p99_us: Some(60_000_000), ..Thresholds::default() };
    assert_eq!(wrong(&with_figure(Figure::SyncP99Us, 60_000_000), &patient), []);
    let beyond = with_figure(Figure::SyncP99Us, 60_000_001);
    assert_eq!(wrong(&beyond, &patient), [(Severity::Fail, Check::DiskSync, Whom::Node(2))]);
    let except = Thresholds { except: vec![Check::DiskSync], ..Thresholds::default() };
    assert_eq!(wrong(&beyond, &except), []);
    assert!(judge(&beyond, &except).iter().all(|finding| finding.check != Check::DiskSync));

    let cluster = |check| (Severity::Warn, check, Whom::Cluster);
    let few = Thresholds { leases: Some(79), sessions: Some(79), ..Thresholds::default() };
    assert_eq!(wrong(&three(), &few), [cluster(Check::Leases), cluster(Check::Sessions)]);
    let little =
        Thresholds { history_bytes: Some(1_249), free_bytes: Some((1 << 30) + 1), ..Thresholds::default() };
    assert_eq!(wrong(&three(), &little).len(), 6, "both, at each node");
}

#[test]
fn leases_and_sessions_pile_up_until_there_may_be_no_more() {
    let leader = |figure, value| {
        let mut visits = three();
        visits[0].answer.as_mut().expect("it answers").facts.as_mut().expect("it knows").set(figure, value);
        visits
    };
    for (figure, check) in [(Figure::Leases, Check::Leases), (Figure::Sessions, Check::Sessions)] {
        ails(&leader(figure, 81), Severity::Warn, check, Whom::Cluster);
        ails(&leader(figure, 99), Severity::Warn, check, Whom::Cluster);
        ails(&leader(figure, 100), Severity::Fail, check, Whom::Cluster);
    }
    well(&with_figure(Figure::Leases, 100));
}

#[test]
fn a_file_system_ails_by_its_kind_by_its_options_and_by_being_read_only() {
    for kind in ["tmpfs", "overlay", "nfs4", "fuse.sshfs", "vfat"] {
        second_ails(&with_word(Figure::FileSystem, kind), Severity::Warn, Check::FileSystem);
    }
    for (options, severity) in [
        ("rw,nobarrier", Severity::Warn),
        ("rw,relatime,rw,data=writeback", Severity::Warn),
        ("ro,relatime,rw", Severity::Fail),
        ("rw,relatime,ro,nobarrier", Severity::Fail),
    ] {
        second_ails(&with_word(Figure::MountOptions, options), severity, Check::FileSystem);
    }
    well(&with_word(Figure::FileSystem, "xfs"));
    well(&with_word(Figure::MountOptions, "rw,errors=remount-ro,data=ordered"));
}

#[test]
fn a_member_that_does_not_answer_ails_and_who_never_told_where_it_is_and_an_endpoint_that_is_nobodys() {
    let mut dead = three();
    dead[1].answer = Err("connection refused".to_owned());
    second_ails(&dead, Severity::Fail, Check::Reachable);
    let mut unknown = three();
    unknown.remove(1);
    for visit in &mut unknown {
        visit.answer.as_mut().expect("it answers").status.members[1].client = "".into();
    }
    second_ails(&unknown, Severity::Warn, Check::Reachable);
    for visit in &mut unknown {
        visit.answer.as_mut().expect("it answers").status.members[1].connected = false;
    }
    second_ails(&unknown, Severity::Fail, Check::Reachable);

    let nobody =
        |named| Visit { endpoint: "10.0.0.9:1".to_owned(), named, answer: Err("timed out".to_owned()) };
    let with_nobody = |named| three().into_iter().chain([nobody(named)]).collect::<Vec<_>>();
    ails(&with_nobody(true), Severity::Warn, Check::Reachable, Whom::Place("10.0.0.9:1".to_owned()));
    well(&with_nobody(false));

    // Another address of a member is as good.
    let mut elsewhere = three();
    elsewhere[1].endpoint = "proxy:1".to_owned();
    well(&elsewhere);
}

#[test]
fn a_lost_quorum_and_a_cluster_without_a_leader_ail() {
    let mut lost = three();
    for at in [1, 2] {
        lost[at].answer = Err("connection refused".to_owned());
    }
    let last = lost[0].answer.as_mut().expect("it answers");
    (last.status.ready, last.status.leader, last.status.role) = (false, None, 1);
    let found = wrong(&lost, &Thresholds::default());
    let fail = |check, whom| (Severity::Fail, check, whom);
    let wanted = [
        fail(Check::Reachable, Whom::Node(2)),
        fail(Check::Reachable, Whom::Node(3)),
        fail(Check::Quorum, Whom::Cluster),
    ];
    assert_eq!(found, wanted);
    let quorum =
        judge(&lost, &Thresholds::default()).into_iter().find(|finding| finding.check == Check::Quorum);
    let quorum = quorum.expect("just seen");
    assert!(quorum.next.contains("docs/runbooks/lost-quorum.md"), "{quorum:?}");
    assert!(quorum.what.contains("1 of 3 voters answer, and 2 are needed"), "{quorum:?}");

    let mut leaderless = three();
    for visit in &mut leaderless {
        let status = &mut visit.answer.as_mut().expect("it answers").status;
        (status.ready, status.leader, status.role) = (false, None, 1);
    }
    ails(&leaderless, Severity::Fail, Check::Quorum, Whom::Cluster);
    // They still name one that denies it.
    let mut stale = three();
    stale[0].answer.as_mut().expect("it answers").status.ready = false;
    ails(&stale, Severity::Fail, Check::Quorum, Whom::Cluster);
}

#[test]
fn a_member_that_does_not_serve_ails_while_the_others_do() {
    second_ails(&with(|answer| answer.status.ready = false), Severity::Warn, Check::Serving);
}

#[test]
fn an_even_number_of_voters_ails() {
    let mut two = three();
    two.remove(2);
    for visit in &mut two {
        visit.answer.as_mut().expect("it answers").status.members.truncate(2);
    }
    ails(&two, Severity::Warn, Check::OddVoters, Whom::Cluster);
    two[0].answer.as_mut().expect("it answers").status.members[1].voter = false;
    well(&two);
}

#[test]
fn a_port_that_is_reached_one_way_only_ails_at_the_node_that_cannot_reach_it() {
    let one_way = with(|answer| answer.status.members[2].connected = false);
    second_ails(&one_way, Severity::Fail, Check::PeersConnected);
    let finding = judge(&one_way, &Thresholds::default()).remove(0);
    for part in ["node 3", "10.0.0.3:7401", "one way only"] {
        assert!(finding.what.contains(part), "{finding:?}");
    }
    let mut neither = one_way;
    neither[2].answer.as_mut().expect("it answers").status.members[1].connected = false;
    let found = wrong(&neither, &Thresholds::default());
    assert_eq!(
        found.iter().map(|(.., whom)| whom.clone()).collect::<Vec<_>>(),
        [Whom::Node(2), Whom::Node(3)]
    );
    // That nobody reaches one that is dead is not said again.
    neither[2].answer = Err("connection refused".to_owned());
    ails(&neither, Severity::Fail, Check::Reachable, Whom::Node(3));
}

#[test]
fn a_member_that_lags_ails_a_learner_too_and_one_that_applies_late() {
    let behind = |matched, voter: bool| {
        let mut visits = three();
        for visit in &mut visits {
            let status = &mut visit.answer.as_mut().expect("it answers").status;
            status.last = 2_000;
            (status.members[1].matched, status.members[1].voter) = (matched, voter);
            (status.members[0].matched, status.members[2].matched) = (2_000, 2_000);
        }
        visits
    };
    well(&behind(1_000, true));
    second_ails(&behind(999, true), Severity::Warn, Check::Lag);
    let found = wrong(&behind(999, false), &Thresholds::default());
    let wanted =
        [(Severity::Warn, Check::OddVoters, Whom::Cluster), (Severity::Warn, Check::Lag, Whom::Node(2))];
    assert_eq!(found, wanted);
    let late = |applied| {
        let mut visits = with(|answer| answer.status.applied = applied);
        let leader = &mut visits[0].answer.as_mut().expect("it answers").status;
        (leader.commit, leader.last) = (1_100, 1_100);
        visits
    };
    well(&late(100));
    second_ails(&late(99), Severity::Warn, Check::Lag);
}

#[test]
fn builds_and_levels_that_differ_ail() {
    let other = with(|answer| answer.status.build = "0.2.0".into());
    ails(&other, Severity::Warn, Check::SameBuild, Whom::Cluster);
    let finding = judge(&other, &Thresholds::default()).remove(0);
    assert_eq!(finding.what, "0.1.0 at nodes 1, 3; 0.2.0 at node 2");
    assert!(finding.next.contains("docs/runbooks/upgrade.md"), "{finding:?}");
    ails(&with_figure(Figure::LatestLevel, 3), Severity::Warn, Check::FeatureLevel, Whom::Cluster);
}

#[test]
fn heartbeats_that_come_back_late_ail_at_the_peer_as_the_leader_has_measured_them() {
    let late = |at: usize, most| {
        let mut visits = three();
        let facts = visits[at].answer.as_mut().expect("it answers").facts.as_mut().expect("it knows");
        facts.set_about(Figure::RoundTrips, 2, 300);
        facts.set_about(Figure::RoundTripP50Us, 2, 10);
        facts.set_about(Figure::RoundTripP99Us, 2, most);
        visits
    };
    second_ails(&late(0, 30_001), Severity::Warn, Check::RoundTrip);
    second_ails(&late(0, 100_001), Severity::Fail, Check::RoundTrip);
    // What another one measured when it led is history.
    well(&late(2, 100_001));
}

#[test]
fn of_fewer_than_300_samples_the_half_is_judged_and_not_the_slowest_hundredth() {
    let syncs = |count, half| {
        with(|answer| {
            let facts = answer.facts.as_mut().expect("it knows");
            facts.set(Figure::Syncs, count);
            facts.set(Figure::SyncP50Us, half);
            facts.set(Figure::SyncP99Us, 60_000_000);
        })
    };
    second_ails(&syncs(300, 1), Severity::Fail, Check::DiskSync);
    well(&syncs(299, 30_000));
    second_ails(&syncs(299, 30_001), Severity::Warn, Check::DiskSync);
    second_ails(&syncs(7, 100_001), Severity::Fail, Check::DiskSync);
    let beats = |count, half| {
        let mut visits = three();
        let facts = visits[0].answer.as_mut().expect("it answers").facts.as_mut().expect("it knows");
        facts.set_about(Figure::RoundTrips, 2, count);
        facts.set_about(Figure::RoundTripP50Us, 2, half);
        facts.set_about(Figure::RoundTripP99Us, 2, 60_000_000);
        visits
    };
    second_ails(&beats(300, 1), Severity::Fail, Check::RoundTrip);
    well(&beats(75, 30_000));
    second_ails(&beats(75, 30_001), Severity::Warn, Check::RoundTrip);
    let few = judge(&beats(75, 30_001), &Thresholds::default()).remove(0);
    assert!(few.what.contains("of fewer than 300 the half is judged"), "{few:?}");
}

#[test]
fn the_clock_that_ails_is_the_one_that_most_others_contradict() {
    let clocks = |offsets: [i64; 3], within| {
        let mut visits = three();
        for (visit, micros) in visits.iter_mut().zip(offsets) {
            visit.answer.as_mut().expect("it answers").clock = Some(Offset { micros, within });
        }
        visits
    };
    let off = 500_001;
    well(&clocks([0, off - 1, 0], 0));
    second_ails(&clocks([0, off, 0], 0), Severity::Warn, Check::Clock);
    second_ails(&clocks([0, -off, 0], 0), Severity::Warn, Check::Clock);
    well(&clocks([0, off, 0], 1));
    let here = || Whom::Place("this machine".to_owned());
    ails(&clocks([off; 3], 0), Severity::Warn, Check::Clock, here());
    ails(&clocks([-off; 3], 0), Severity::Warn, Check::Clock, here());
    well(&clocks([i64::MIN; 3], u64::MAX));
}

#[test]
fn who_belongs_to_another_cluster_ails_and_is_left_out_of_all_else() {
    let mut stranger = answer(2);
    stranger.status.cluster = Some(ClusterIdentity { id: ClusterId([9; 16]), epoch: ClusterEpoch::FIRST });
    stranger.status.build = "9.9".into();
    let visit = Visit { endpoint: "10.0.0.9:7400".to_owned(), named: true, answer: Ok(stranger) };
    let visits: Vec<Visit> = three().into_iter().chain([visit]).collect();
    ails(&visits, Severity::Fail, Check::SameCluster, Whom::Place("10.0.0.9:7400".to_owned()));
}

#[test]
fn two_lives_of_a_cluster_that_answer_ail_and_only_the_later_one_is_judged() {
    let second = ClusterEpoch::new(2).expect("it counts from 1");
    // Node 1 went on alone, and the others run on as if nothing had been.
    let mut visits = three();
    let alone = &mut visits[0].answer.as_mut().expect("it answers").status;
    alone.cluster = Some(ClusterIdentity { id: ClusterId([1; 16]), epoch: second });
    alone.members.truncate(1);
    for former in &mut visits[1..] {
        let status = &mut former.answer.as_mut().expect("it answers").status;
        (status.leader, status.build) = (Some(id(2)), "9.9".into());
        status.members[0].connected = false;
    }
    ails(&visits, Severity::Fail, Check::SameCluster, Whom::Cluster);
    let finding = judge(&visits, &Thresholds::default()).remove(0);
    assert_eq!(
        finding.what,
        "2 lives of the cluster answer: epoch 2: node 1 at 10.0.0.1:7400; epoch 1: node 2 at 10.0.0.2:7400, node 3 at \
         10.0.0.3:7400"
    );
    for part in ["node 2 at", "node 3 at", "docs/runbooks/lost-quorum.md"] {
        assert!(finding.next.contains(part), "{finding:?}");
    }
    assert!(!finding.next.contains("node 1"), "{finding:?}");
}

#[test]
fn a_node_that_cannot_examine_itself_ails_and_what_is_not_known_is_not_found_well() {
    let silent = with(|answer| answer.facts = Err("the connection was lost".to_owned()));
    second_ails(&silent, Severity::Warn, Check::Examined);
    let of_second =
        judge(&silent, &Thresholds::default()).into_iter().filter(|found| found.whom == Whom::Node(2));
    let checks: Vec<Check> =
        of_second.filter(|found| found.severity == Severity::Ok).map(|found| found.check).collect();
    assert_eq!(checks, [Check::Serving, Check::Lag, Check::Clock, Check::RoundTrip]);
    let unread = with_word(Figure::Unread, "/proc/self/fd: permission denied");
    second_ails(&unread, Severity::Warn, Check::Examined);
}

#[test]
fn without_any_answer_nothing_is_found_well_but_that_nobody_contradicts() {
    let nobody = Visit { endpoint: "10.0.0.1:1".to_owned(), named: true, answer: Err("refused".to_owned()) };
    let findings = judge(&[nobody], &Thresholds::default());
    assert!(findings.iter().all(|finding| finding.check == Check::SameCluster), "{findings:?}");
}

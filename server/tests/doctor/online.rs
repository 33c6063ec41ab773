//! Of a cluster that runs.

use holdfast_client::{Client, NodeId, StatusReply};
use holdfast_machine::Numbered as _;
use holdfast_server::doctor::Check;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::cluster::{Cluster, PATIENCE};
use crate::script::run;
use crate::{all_serve, block_on, doctor, settles, until};

fn three() -> Cluster {
    let cluster = Cluster::start(3);
    block_on(all_serve(&cluster, &[0, 1, 2]));
    cluster
}

/// Executes a command that has to go well.
fn does(cluster: &Cluster, arguments: &[&str]) {
    let ended = run(&cluster.endpoints().join(","), arguments, b"");
    assert_eq!(ended.code, Some(0), "{arguments:?} printed {:?} and said {}", ended.text(), ended.said);
}

#[test]
fn a_healthy_cluster_is_well_by_every_check_that_a_running_node_has_and_one_endpoint_is_enough_to_see_it() {
    let cluster = three();
    let endpoints = cluster.endpoints();
    let said = settles(&endpoints[..1], &[], 0, &[]);
    let left_out = [Check::FileSystem, Check::Inodes, Check::Examined, Check::DiskAnswers];
    let offline_only = [Check::Identity, Check::NotInUse];
    for check in Check::ALL.iter().filter(|check| !left_out.contains(check) && !offline_only.contains(check))
    {
        let key = check.key();
        // What a system does not tell is not known.
        if ![Check::Memory, Check::DiskSpace, Check::OpenFiles].contains(check) {
            assert!(
                said.findings().iter().any(|found| found["check"] == key.as_str()),
                "{key}: {:#}",
                said.document
            );
        }
    }
    for node in 1..=3 {
        assert!(
            said.has("ok", "disk-sync", node) && said.has("ok", "log-whole", node),
            "{:#}",
            said.document
        );
    }
    assert!(said.what("reachable", 0).contains("all 3 members"), "{:#}", said.document);
}

#[test]
fn a_disk_that_syncs_too_slowly_is_named_with_its_node_by_the_threshold_that_is_passed_in() {
    let cluster = three();
    let wanted: Vec<_> = (1..=3).map(|node| ("disk-sync".to_owned(), node)).collect();
    // Beyond a third of the election timeout it would be a failure, on a machine that is that slow.
    let said = until(&cluster.endpoints(), &["--sync-p99=0"], |said| {
        matches!(said.code, Some(6 | 9)) && sorted(said.wrong()) == wanted
    });
    for part in ["half took", "99 of 100", "election timeout of 1500 ms"] {
        assert!(said.what("disk-sync", 2).contains(part), "{:#}", said.document);
    }
}

fn sorted(mut wrong: Vec<(String, u64)>) -> Vec<(String, u64)> {
    wrong.sort_unstable();
    wrong
}

#[test]
fn a_disk_with_less_room_than_is_asked_for_is_named_with_its_node() {
    let cluster = three();
    let said = settles(
        &cluster.endpoints(),
        &["--free-space=1048576GiB"],
        6,
        &[("disk-space", 1), ("disk-space", 2), ("disk-space", 3)],
    );
    assert!(
        said.document["findings"][0]["next"].as_str().expect("text").contains("docs/runbooks/disk-full.md")
    );
}

#[test]
fn leases_that_pile_up_are_named() {
    let cluster = three();
    does(&cluster, &["lease", "grant", "1h"]);
    does(&cluster, &["lease", "grant", "1h"]);
    // The one that leads has answered, so it has applied them.
    let said = settles(&cluster.endpoints(), &["--leases=1"], 6, &[("leases", 0)]);
    assert!(said.what("leases", 0).starts_with("there are 2 leases"), "{:#}", said.document);
    settles(&cluster.endpoints(), &["--leases=2"], 0, &[]);
}

#[test]
fn history_that_is_not_compacted_is_named_with_the_nodes_that_hold_it() {
    let cluster = three();
    for value in ["one", "two", "three"] {
        does(&cluster, &["put", "a", value]);
    }
    block_on(async {
        for at in 0..3 {
            cluster.wait(at, "up to date", |status| status.keys == 1 && status.revision >= 4).await;
        }
    });
    settles(
        &cluster.endpoints(),
        &["--history=0"],
        6,
        &[("compaction", 1), ("compaction", 2), ("compaction", 3)],
    );
}

#[test]
fn a_limit_of_open_files_that_is_too_low_is_named_with_its_node_and_one_that_is_nearly_used_up_is_a_failure()
{
    let cluster = three();
    let limit = |files| {
        block_on(async {
            let endpoint = &cluster.endpoints()[1];
            let client = Client::builder([endpoint.clone()]).timeout(PATIENCE).build().expect("a client");
            let process = client.stats(endpoint).await.expect("it answers").process;
            client.close().await;
            let pid = Pid::from_raw(i32::try_from(process).expect("a pid")).expect("not 0");
            let limit = Rlimit { current: Some(files), maximum: None };
            // Whoever may not raise it may lower it, and the hard limit is left as it was.
            let hard = std::fs::read_to_string(format!("/proc/{process}/limits")).expect("it is ours");
            let hard = hard.lines().find(|line| line.starts_with("Max open files")).expect("a line");
            let maximum = hard.split_whitespace().nth(4).and_then(|hard| hard.parse().ok());
            prlimit(Some(pid), Resource::Nofile, Rlimit { maximum, ..limit }).expect("it is ours");
        });
    };
    limit(256);
    settles(&cluster.endpoints(), &["--open-files=257"], 6, &[("open-files", 2)]);
    settles(&cluster.endpoints(), &["--open-files=256"], 0, &[]);
    // Some are open already, and sockets of this test among them.
    limit(8);
    let said = doctor(&cluster.endpoints(), &[]);
    // It has no file left for the connection of the doctor, or says that it is close to it.
    assert_eq!(said.code, Some(9), "{:#}", said.document);
    assert!(said.has("fail", "open-files", 2) || said.has("fail", "reachable", 2), "{:#}", said.document);
}

#[test]
fn an_even_number_of_voters_is_named() {
    let cluster = Cluster::start(2);
    block_on(all_serve(&cluster, &[0, 1]));
    let said = settles(&cluster.endpoints(), &[], 6, &[("odd-voters", 0)]);
    assert!(said.what("odd-voters", 0).starts_with("2 voters, of which 0 may fail"), "{:#}", said.document);
}

#[test]
fn a_member_that_is_dead_is_named_and_a_quorum_that_is_lost_with_its_page() {
    let mut cluster = three();
    cluster.kill(2);
    // The others may have lost their leader with it.
    block_on(async {
        for at in 0..2 {
            let led = |status: &StatusReply| {
                let leader = status.leader.map_or(0, NodeId::get);
                let there =
                    status.members.iter().any(|member| member.node.get() == leader && member.connected);
                let gone = status.members.iter().any(|member| member.node.get() == 3 && !member.connected);
                status.ready && there && gone
            };
            cluster.wait(at, "led without the third", led).await;
        }
    });
    let said = settles(&cluster.endpoints()[..1], &[], 9, &[("reachable", 3)]);
    assert!(said.what("reachable", 3).contains(&cluster.endpoints()[2]), "{:#}", said.document);

    cluster.kill(1);
    block_on(cluster.wait(0, "without a leader", |status| !status.ready));
    let said =
        settles(&cluster.endpoints()[..1], &[], 9, &[("reachable", 2), ("reachable", 3), ("quorum", 0)]);
    let quorum = said.findings().iter().find(|found| found["check"] == "quorum").expect("just seen");
    assert!(quorum["next"].as_str().expect("text").contains("docs/runbooks/lost-quorum.md"), "{quorum}");
}

#[test]
fn a_log_that_is_damaged_is_named_by_the_node_itself_while_nobody_can_send_it_what_it_lacks() {
    let mut cluster = three();
    for value in ["one", "two", "three"] {
        does(&cluster, &["put", "a", value]);
    }
    block_on(cluster.wait(2, "up to date", |status| status.revision >= 4));
    (0..3).for_each(|at| cluster.kill(at));
    crate::offline::damage_log(&cluster, 2, b"three");
    cluster.run(2);
    block_on(cluster.wait(2, "up", |status| !status.ready));
    let said = doctor(&cluster.endpoints()[2..], &[]);
    assert_eq!(said.code, Some(9), "{:#}", said.document);
    assert!(said.has("fail", "log-whole", 3), "{:#}", said.document);
    assert!(said.has("fail", "quorum", 0) && said.has("fail", "reachable", 1), "{:#}", said.document);
}

#[test]
fn a_drill_that_is_on_is_named_with_its_node() {
    let cluster = Cluster::start_with(1, &["--drill-sync-delay=5ms"]);
    block_on(all_serve(&cluster, &[0]));
    let said = settles(&cluster.endpoints(), &[], 6, &[("drill", 1)]);
    assert!(said.what("drill", 1).contains("takes 5.00 ms longer"), "{:#}", said.document);
}

#[test]
fn two_clusters_that_answer_are_told_apart() {
    let (one, other) = (Cluster::start(1), Cluster::start(1));
    block_on(async {
        all_serve(&one, &[0]).await;
        all_serve(&other, &[0]).await;
    });
    settles(&[one.endpoints(), other.endpoints()].concat(), &[], 9, &[("same-cluster", 0)]);
}

#[test]
fn people_are_told_in_a_sentence_then_worst_first_and_what_is_well_in_a_line() {
    let cluster = Cluster::start(2);
    block_on(all_serve(&cluster, &[0, 1]));
    let mut arguments = vec!["doctor"];
    arguments.extend(crate::LENIENT.into_iter().filter(|argument| *argument != "-ojson"));
    let endpoints = cluster.endpoints().join(",");
    let table = run(&endpoints, &[&arguments[..], &["-otable"]].concat(), b"");
    let text = table.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        (table.code, lines.first().copied(), lines.len()),
        (Some(6), Some("1 warning; nothing is broken"), 4),
        "{text}"
    );
    assert!(lines[1].starts_with("warn  odd-voters, cluster: 2 voters"), "{text}");
    assert!(lines[2].starts_with("      next  holdfast member demote "), "{text}");
    assert!(lines[3].starts_with("ok    reachable, quorum, ") && !lines[3].contains("odd-voters"), "{text}");
    let plain = run(&endpoints, &[&arguments[..], &["-oplain"]].concat(), b"").text();
    assert!(plain.contains("\nwarn\todd-voters\tcluster\t2 voters"), "{plain}");
    let all = run(&endpoints, &[&arguments[..], &["-oplain", "--verbose"]].concat(), b"").text();
    assert!(all.contains("\nok\tquorum\tcluster\t") && !all.contains("\nok    "), "{all}");
    assert_eq!(run(&endpoints, &[&arguments[..], &["-ovalue"]].concat(), b"").text(), "odd-voters\n");
}

#[test]
fn nobody_who_answers_ends_with_3_and_what_makes_no_sense_with_2() {
    let nobody = "127.0.0.1:1";
    let ended = run(nobody, &["doctor"], b"");
    assert_eq!((ended.code, ended.text().as_str()), (Some(3), ""), "{}", ended.said);
    for part in ["127.0.0.1:1 connection refused", "holdfast doctor --data-dir"] {
        assert!(ended.said.contains(part), "{}", ended.said);
    }
    for (arguments, said) in [
        (&["doctor", "--except", "disk"][..], "there are reachable, "),
        (&["doctor", "--sync-p99", "fast"], "write it as 500ms"),
        (&["doctor", "--memory", "101"], "101 is not in 0..=100"),
        (&["doctor", "--data-dir", "/nowhere/at/all"], "No such file"),
        (&["doctor", "--endpoints", "nonsense"], "nonsense"),
    ] {
        let ended = run(nobody, arguments, b"");
        assert_eq!(ended.code, Some(2), "{arguments:?} said {}", ended.said);
        assert!(ended.said.contains(said), "{arguments:?} said {}", ended.said);
    }
}

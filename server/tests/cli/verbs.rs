//! Every command over three nodes, over a follower alone, and with one node dead.

use crate::block_on;
use crate::cluster::Cluster;
use crate::script::{Names, Step, run};

/// Over all nodes of a new cluster, whose first write is of revision 2.
const DATA: [Step; 50] = [
    ("put a 1", 0, "revision 2 position <first>\n"),
    ("get a", 0, "1\n"),
    ("get a -o value", 0, "1"),
    (
        "get a -o json",
        0,
        "{\"key\":\"a\",\"value\":\"1\",\"revision\":2,\"created\":2,\"version\":1,\"lease\":null,\"stamp\":\"<_>\",\"position\":\"<_>\",\"staleness_ms\":0}\n",
    ),
    ("get nothing", 1, ""),
    ("put a 2 --prev", 0, "revision 3 position <_> was 1\n"),
    ("put a 3 --if-rev 2", 1, ""),
    ("put a 3 --if-rev 3 --reason 'because of it'", 0, "revision 4 position <_>\n"),
    ("put a 4 --if-absent", 1, ""),
    ("put new 1 --if-absent -o json", 0, "{\"revision\":5,\"position\":\"<_>\"}\n"),
    ("put neg -1", 0, "revision 6 position <_>\n"),
    ("get a --rev 2", 0, "1\n"),
    ("get a --rev 99", 6, ""),
    ("get a --min-position <first>", 0, "3\n"),
    ("get a --max-stale 1m", 0, "3\n"),
    ("get a --consistency stale --max-stale-ms 60000", 0, "3\n"),
    ("ls", 0, "a\t3\nneg\t-1\nnew\t1\n"),
    ("ls n", 0, "neg\t-1\nnew\t1\n"),
    ("ls n --keys-only", 0, "neg\nnew\n"),
    ("ls --limit 1", 0, "a\t3\n"),
    ("ls --count", 0, "3\n"),
    ("ls --count --rev 2 -o json", 0, "{\"count\":1,\"revision\":2,\"position\":\"<_>\"}\n"),
    ("ls n -o table", 0, "key  value\nneg  -1\nnew  1\n"),
    ("ls zzz -o table", 0, "key  value\n"),
    ("ls zzz -o json", 0, "[]\n"),
    ("ls zzz", 0, ""),
    ("ls n -o jsonl", 0, "{\"key\":\"neg\",\"value\":\"-1\",…}\n{\"key\":\"new\",…}\n"),
    ("ls n -o value", 0, "-1\n1\n"),
    (
        "history a",
        0,
        "revision\tversion\tunix_ms\tactor\tvalue\treason\n4\t3\t<_>\t-\t3\tbecause of it\n3\t2\t<_>\t-\t2\t\n2\t1\t<_>\t-\t1\t\n",
    ),
    ("history a --limit 1 -o value", 0, "3\n"),
    ("history nothing", 1, ""),
    ("diff a", 1, "--- a at revision 3\n+++ a at revision 6\n@@ -1 +1 @@\n-2\n…+3\n…"),
    ("diff a --from 4", 0, ""),
    (
        "diff a --from 2 --to 3 -o json",
        1,
        "[\n{\"key\":\"a\",\"change\":\"changed\",\"before\":{\"key\":\"a\",\"value\":\"1\",…},\"after\":…}\n]\n",
    ),
    ("diff n --prefix --from 5", 1, "--- (not there)\n+++ neg at revision 6\n…"),
    ("rollback a --to 2 --dry-run", 1, "--- a at revision 6\n+++ a at revision 2\n…"),
    ("rollback a --to 2 --reason 'it was better'", 0, "restored: revision 7 position <_>\n"),
    ("rollback neg --to 2", 0, "deleted, as it was not there: revision 8 position <_>\n"),
    ("get a", 0, "1\n"),
    (
        "txn 'if value a = 1' 'then put b \"x y\"' 'then get a' 'else get a'",
        0,
        "then revision 9 position <_>\nput\na\t1\n",
    ),
    ("txn 'if missing b' 'then put b 1' 'else get b'", 1, "else revision 9 position <_>\nb\tx y\n"),
    (
        "txn --json '{\"then\":[{\"get\":{\"prefix\":\"a\"}}]}' -o json",
        0,
        "{\"succeeded\":true,\"revision\":9,\"position\":\"<_>\",\"results\":[{\"entries\":[{\"key\":\"a\",\"value\":\"1\",…}]}]}\n",
    ),
    ("del b --if-rev 2", 1, ""),
    ("del b --if-rev 9", 0, "deleted 1 revision 10 position <_>\n"),
    ("del b", 1, "deleted 0 revision 10 position <_>\n"),
    ("del '' --prefix", 2, ""),
    ("del b --prefix --all", 2, ""),
    ("txn --json '{\"then\":[{\"del\":{\"prefix\":\"\"}}]}'", 2, ""),
    ("del ne --prefix --reason 'not needed'", 0, "deleted 1 revision 11 position <_>\n"),
    (
        "watch a --from-rev 2 --count 3 --prev",
        0,
        "2\tput\ta\t1\twas not there\n3\tput\ta\t2\twas 1\n4\tput\ta\t3\twas 2\n",
    ),
];

const COORDINATION: [Step; 25] = [
    (
        "watch '' --prefix --rev 11 --count 1 -o jsonl",
        0,
        "{\"revision\":11,\"type\":\"delete\",\"key\":\"new\",\"value\":null,\"version\":0,\"lease\":null,\"stamp\":\"<_>\"}\n",
    ),
    ("lease grant 60s", 0, "<lease>\n"),
    ("lease grant 1m --id 7 -o json", 0, "{\"lease\":\"7\",\"ttl_ms\":60000}\n"),
    ("lease grant 1m --id 7", 10, ""),
    ("put leased 1 --lease <lease>", 0, "revision 12 position <_>\n"),
    ("lease keep <lease>", 0, "renewed for 60000 ms\n"),
    (
        "lease show <lease>",
        0,
        "lease\tttl_ms\tleft_ms\tkeys\tgranted_at\n<lease>\t60000\t<_>\t1\t<_>\nkey\tleased\n",
    ),
    ("lease show <lease> -o json", 0, "{\"lease\":\"<lease>\",…,\"names\":[\"leased\"]}\n"),
    ("lease ls -o value", 0, "7\n<lease>\n"),
    ("lease revoke <lease>", 0, "revoked, 1 keys deleted\n"),
    ("lease show <lease>", 10, ""),
    ("lease keep <lease>", 10, ""),
    ("put leased 1 --lease <lease>", 10, ""),
    ("lock l --show", 1, ""),
    (
        "lock l -- sh -c 'echo $HOLDFAST_LOCK $HOLDFAST_REVISION; test $HOLDFAST_TOKEN -gt 0 -a $HOLDFAST_LEASE -gt 0; exit 7'",
        7,
        "l 13\n",
    ),
    ("elect e me -- sh -c 'echo $HOLDFAST_OFFICE; kill -9 $$'", 137, "e\n"),
    ("lock l -- /nothing/here", 127, ""),
    ("lock l -- /dev/null", 126, ""),
    ("lock l --ttl 1ms -- true", 125, ""),
    ("lock l --ttl 1ms", 10, ""),
    ("lock '' -- true", 125, ""),
    ("lock --show", 0, "name\ttoken\tlease\twaiting\tvalue\n"),
    ("elect e --show", 1, ""),
    ("session open 60s", 0, "<session>\n"),
    ("session close <session>", 0, "closed position <_>\n"),
];

const CLUSTER: [Step; 28] = [
    ("session close <session>", 6, ""),
    ("namespace set team/ --quota-keys 1 --owner me", 0, "set position <_>\n"),
    ("put team/a 1", 0, "revision 14 position <_>\n"),
    ("put team/b 1", 8, ""),
    (
        "namespace ls",
        0,
        "name\tkeys\tquota_keys\tbytes\tquota_bytes\tvalue_bytes\towners\nteam/\t1\t1\t7\t-\t-\tme\n",
    ),
    (
        "namespace get team/ -o json",
        0,
        "[\n{\"name\":\"team/\",\"keys\":1,\"quota_keys\":1,\"bytes\":7,\"quota_bytes\":null,\"value_bytes\":null,\"owners\":[\"me\"],\"description\":\"\"}\n]\n",
    ),
    ("namespace get nothing/", 1, ""),
    ("namespace set team", 6, ""),
    ("namespace del team/", 0, "deleted position <_>\n"),
    ("namespace del team/", 6, ""),
    ("settings set HistoryAge=7d ValueBytes=1MiB", 0, "set position <_>\n"),
    ("settings get historyage", 0, "604800000\n"),
    (
        "settings ls -o jsonl",
        0,
        "{\"name\":\"RequestBytes\",\"value\":4194304,\"unit\":\"bytes\",\"default\":4194304,…{\"outside_keys\":<_>,\"outside_bytes\":<_>}\n",
    ),
    ("session open 60s", 0, "<second>\n"),
    ("session ls", 0, "session\tttl_ms\tleft_ms\tlow\tanswers\tbytes\tactor\n…<second>\t60000\t…"),
    ("compact 3", 0, "compacted, the oldest is 3 position <_>\n"),
    ("get a --rev 2", 6, ""),
    ("compact 99", 6, ""),
    (
        "status",
        0,
        "OK: node <leader> leads, 3 of 3 voters are there, 1 more may fail\nendpoint\tnode\trole\tready\tterm\tcommit\tapplied\trevision\tkeys\n<_>\t1\t…",
    ),
    ("status -o json", 0, "{\"endpoints\":[\n…],\"ok\":true,\"sentence\":\"OK: …\"}\n"),
    ("member list", 0, "node\tkind\tconnected\tmatched\tpeer\tclient\n1\t…"),
    (
        "member remove 1 --dry-run",
        0,
        "when\tvoters\treachable\tquorum\tmargin\nbefore\t1 2 3\t3\t2\t1 more may fail\nafter\t2 3\t2\t2\tno more may fail\n",
    ),
    ("member promote 9 --dry-run", 6, ""),
    ("member promote 9", 6, ""),
    (
        "audit --prefix team/ -o json --limit 1",
        0,
        "{\"records\":[\n{\"time\":\"<_>\",…}\n],\"complete_from\":1,\"through\":<_>,…}\n",
    ),
    ("audit --prefix nothing-of-this", 0, "time\tindex\t…"),
    ("version -o value", 0, "0.1.0\n"),
    ("explain HF1203", 0, "HF1203 NoLeader\n…"),
];

/// Asked of one follower alone.
const FOLLOWER: [Step; 8] = [
    ("status", 0, "OK: node <leader> leads, 3 of 3 voters are there, 1 more may fail\n…"),
    ("put f 1", 0, "revision 15 position <written>\n"),
    ("get f --min-position <written>", 0, "1\n"),
    ("get f", 0, "1\n"),
    ("lock l -- true", 0, ""),
    ("watch f --from-rev 15 --count 1 -o value", 0, "1\n"),
    ("del '' --prefix --all", 0, "deleted <_> revision 16 position <_>\n"),
    ("ls --count", 0, "0\n"),
];

/// With a follower dead, which is the first to be asked.
const WITHOUT_ONE: [Step; 8] = [
    ("put d 1", 0, "revision 17 position <_>\n"),
    ("get d", 0, "1\n"),
    ("lock l -- true", 0, ""),
    ("watch d --from-rev 17 --count 1 -o value", 0, "1\n"),
    ("status", 0, "OK: node <leader> leads, 2 of 3 voters are there, no more may fail\n…connection refused…"),
    ("member remove <leader> --dry-run", 6, "when\t…"),
    ("put traced 1 --trace -o json", 0, "…\"Replicate\":…"),
    ("why slow-write -o json", 0, "…\"waited_for\":[…"),
];

/// With the leader dead as well: nobody leads.
const WITHOUT_TWO: [Step; 6] = [
    ("put n 1 --timeout 400ms", 4, ""),
    ("get d --timeout 400ms", 4, ""),
    ("get d --consistency stale", 0, "1\n"),
    ("status", 4, "NOT OK: none of the 1 that answer knows a leader that serves…"),
    ("why slow-write", 4, ""),
    ("lock l --timeout 400ms -- true", 125, ""),
];

#[test]
fn every_command_prints_and_ends_as_its_page_says_over_any_member_and_with_nodes_dead() {
    let mut cluster = Cluster::start(3);
    block_on(async {
        for at in 0..3 {
            cluster.wait(at, "ready", |status| status.ready).await;
        }
    });
    let mut names = Names::default();
    let all = cluster.endpoints();
    let joined = all.join(",");
    names.play(&joined, &DATA);
    names.play(&joined, &COORDINATION);
    names.play(&joined, &CLUSTER);
    let leader: usize = names.get("leader").parse::<usize>().expect("a number") - 1;
    let (first, second) = ((leader + 1) % 3, (leader + 2) % 3);
    names.play(&all[first], &FOLLOWER);
    cluster.kill(first);
    let dead_first = [first, second, leader].map(|at| all[at].clone()).join(",");
    block_on(cluster.wait(leader, "aware of it", |status| {
        status.members.iter().filter(|member| member.connected).count() == 2
    }));
    names.play(&dead_first, &WITHOUT_ONE);
    // However often it is dead, it is asked.
    let often = format!("{}{}", format!("{},", all[first]).repeat(12), all[leader]);
    let ended = run(&often, &["status"], b"");
    assert_eq!((ended.code, ended.text().matches("connection refused").count()), (Some(0), 12), "{ended:?}");
    cluster.kill(leader);
    block_on(cluster.wait(second, "without a leader", |status| {
        status.leader.is_none() && status.members.iter().filter(|member| member.connected).count() == 1
    }));
    names.play(&dead_first, &WITHOUT_TWO);
    let ended = run(&dead_first, &["put", "n", "1", "--timeout", "400ms"], b"");
    for line in [
        "error[HF1203]: cannot put \"n\": no leader is known\n",
        "\n  tried    ",
        "1 of 3 voters reachable, quorum is 2; ",
        "\n  outcome  NOT applied: safe to retry\n",
        " · holdfast explain HF1203\n",
    ] {
        assert!(ended.said.contains(line), "{line:?} is not in {}", ended.said);
    }
}

//! Locks whose holders are stopped, and nodes that come and go, as processes. Needs real time, as the other tests here.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use holdfast_client::{ChangeMembers, Client, LockOptions, MemberChange, NodeId, Outcome, ReadOptions};
use holdfast_command::Code;
use holdfast_command::query::{Answer, Query, QueueKind, When};
use holdfast_machine::Numbered as _;

use crate::block_on;
use crate::cluster::{Cluster, PATIENCE};

fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([name, &process.to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill {name}");
}

/// A worker writes under the token of a lock. The process that holds the lock for it is stopped; the lock passes on; the worker,
/// which knows nothing of it, wakes up and writes.
#[test]
fn a_lock_of_a_stopped_process_passes_on_and_its_fenced_write_comes_too_late() {
    const TTL: Duration = Duration::from_secs(3);
    block_on(async {
        let cluster = Cluster::start(3);
        cluster.wait(0, "ready", |status| status.ready).await;
        let binary = env!("CARGO_BIN_EXE_holdfast");
        let endpoints = format!("--endpoints={}", cluster.endpoints().join(","));
        let worker = format!(
            "echo $HOLDFAST_TOKEN; read -r go; \
             printf 'if fence jobs %s\\nthen put out late\\n' $HOLDFAST_TOKEN | {binary} txn {endpoints} --timeout 60; \
             echo exit $?"
        );
        let mut holder = Command::new(binary)
            .args(["lock", "jobs", &endpoints, "--ttl", "3", "--timeout", "60", "--", "sh", "-c", &worker])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary that cargo built");
        let mut lines = BufReader::new(holder.stdout.take().expect("piped")).lines();
        let mut line = || lines.next().expect("another line").expect("text");
        let old: u64 = line().parse().expect("a token");

        signal(holder.id(), "-STOP");
        let stopped = Instant::now();
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        let options = LockOptions { ttl: TTL, ..LockOptions::default() };
        let guard = client.lock("jobs", options).await.expect("it passes on");
        let passed = stopped.elapsed();
        assert!(guard.token() > old, "{} after {old}", guard.token());
        println!(
            "ttl={} ms passed_after={} ms tokens={old},{}",
            TTL.as_millis(),
            passed.as_millis(),
            guard.token()
        );

        // The worker wakes up, and does not know.
        let mut stdin = holder.stdin.take().expect("piped");
        writeln!(stdin, "go").expect("it reads");
        let said = line();
        assert!(said.starts_with("else "), "the late write was executed: {said}");
        assert_eq!(line(), "exit 1");
        assert_eq!(client.get("out").await.expect("read"), None, "nothing was written");

        // The holder of today may.
        let put =
            holdfast_command::keys::Put { key: "out".into(), value: "mine".into(), ..Default::default() };
        let transaction = holdfast_command::keys::Transaction {
            compares: vec![guard.fence()],
            then: vec![holdfast_command::keys::Operation::Put(put)],
            otherwise: Vec::new(),
        };
        client.transact(transaction).await.expect("executed");
        assert!(client.get("out").await.expect("read").is_some(), "its token is that of the lock");
        assert!(guard.is_held());

        signal(holder.id(), "-CONT");
        let status = holder.wait().expect("it is ours");
        // It ended with its worker, or found out that the lock was lost and says so.
        assert!(matches!(status.code(), Some(0 | 1 | 124)), "{status}");
        guard.release().await.expect("released");
        client.close().await;
    });
}

async fn change(client: &Client, kind: MemberChange, node: u64, other: Option<u64>) {
    let until = Instant::now() + PATIENCE;
    let mut unknown = false;
    loop {
        let change = ChangeMembers {
            timeout_ms: 0,
            change: kind.number(),
            node: NodeId::new(node).expect("from 1"),
            other: other.and_then(NodeId::new),
            uuid: None,
            promote: false,
            peer: "".into(),
        };
        match client.change_members(change, holdfast_client::CallOptions::default()).await {
            Ok(_) => return,
            // It was carried out by the call before, of which nothing was heard.
            Err(error)
                if unknown
                    && matches!(
                        error.code,
                        Some(Code::UnknownMember | Code::WrongKindOfMember | Code::NothingToChange)
                    ) =>
            {
                return;
            }
            // It has not caught up yet, another change is under way, or the leader that was asked is gone.
            Err(error) => {
                assert!(Instant::now() < until, "{error}");
                unknown |= error.outcome == Outcome::Unknown;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[test]
fn nodes_join_take_the_place_of_others_and_survive_being_killed_while_they_do() {
    block_on(async {
        let mut cluster = Cluster::start(3);
        cluster.wait(0, "ready", |status| status.ready).await;
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        for number in 0..200 {
            client.put(format!("k/{number}"), vec![7; 1_000]).await.expect("written");
        }
        // One that votes as soon as it can, killed twice on its way.
        let fourth = cluster.join(false);
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            cluster.kill(fourth);
            cluster.run(fourth);
        }
        cluster
            .wait(fourth, "a voter", |status| {
                status.ready && status.members.iter().any(|member| member.node.get() == 4 && member.voter)
            })
            .await;
        // One that takes the place of a dead one.
        let fifth = cluster.join(true);
        cluster.wait(fifth, "ready", |status| status.ready).await;
        cluster.kill(1);
        change(&client, MemberChange::Replace, 5, Some(2)).await;
        // And one of the first leads no more.
        change(&client, MemberChange::Transfer, 4, None).await;
        change(&client, MemberChange::Remove, 1, None).await;
        let (_, position) = client.put("last", "one").await.expect("written");
        let index = holdfast_wire::message::Position::from(position).index;
        for at in [2, fourth, fifth] {
            cluster.wait(at, "all of it", |status| status.applied >= index).await;
        }
        let status = cluster.wait(fifth, "ready", |status| status.ready).await;
        let voters: Vec<u64> =
            status.members.iter().filter(|member| member.voter).map(|member| member.node.get()).collect();
        assert_eq!(voters, [3, 4, 5]);
        assert_eq!(status.keys, 201);
        // Who was removed says so, and ends.
        let (code, said) = cluster.await_end(0);
        assert_eq!(code, Some(11), "{said}");
        // One that was dead when it was removed is told when it comes back, and every time.
        for _ in 0..2 {
            let (code, said) = cluster.run_to_its_end(&cluster.arguments(1));
            assert!(code == Some(11) && said.contains("it was removed from the cluster"), "{code:?} {said}");
        }
        client.close().await;
    });
}

#[test]
fn two_nodes_that_join_at_once_both_do() {
    block_on(async {
        let mut cluster = Cluster::start(1);
        cluster.wait(0, "ready", |status| status.ready).await;
        let both = [cluster.join(false), cluster.join(false)];
        for at in both {
            cluster
                .wait(at, "one of three voters", |status| {
                    status.ready && status.members.iter().filter(|member| member.voter).count() == 3
                })
                .await;
        }
    });
}

#[test]
fn a_lease_has_one_guard_for_a_lock_and_a_guard_that_is_dropped_frees_it() {
    block_on(async {
        let cluster = Cluster::start(1);
        cluster.wait(0, "ready", |status| status.ready).await;
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        let lease = client.lease(PATIENCE).await.expect("granted");
        let guard = lease.lock("jobs", "", None).await.expect("granted");
        let second = lease.lock("jobs", "", Some(Duration::ZERO)).await.expect_err("a second guard");
        assert_eq!(second.kind, holdfast_client::Kind::Invalid);
        assert!(guard.is_held());
        let other = client.lease(PATIENCE).await.expect("granted");
        let held = other.lock("jobs", "", Some(Duration::ZERO)).await.expect_err("it is held");
        assert!(matches!(held.refusal, Some(holdfast_command::Refusal::LockHeld { .. })), "{held}");
        // Nobody waits for this release, and the lease lives on.
        drop(guard);
        let next = other.lock("jobs", "", None).await.expect("it was freed");
        // A wait that is given up leaves no place behind.
        let waiting = tokio::time::timeout(Duration::from_millis(200), lease.lock("jobs", "", None)).await;
        assert!(waiting.is_err(), "it is held by another");
        next.release().await.expect("released");
        let until = Instant::now() + PATIENCE;
        loop {
            // As soon as the place that was given up is gone, the lock is free for whoever comes.
            match other.lock("jobs", "", Some(Duration::ZERO)).await {
                Ok(_) => break,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        client.close().await;
    });
}

#[test]
fn a_number_that_was_used_is_not_taken_by_another_directory() {
    block_on(async {
        let mut cluster = Cluster::start(3);
        cluster.wait(0, "ready", |status| status.ready).await;
        let fourth = cluster.join(true);
        cluster.wait(fourth, "ready", |status| status.ready).await;
        cluster.kill(fourth);
        let mut arguments = cluster.arguments(fourth);
        for argument in &mut arguments {
            if argument.starts_with("--data-dir=") {
                argument.push_str("-wiped");
            }
        }
        let (code, said) = cluster.run_to_its_end(&arguments);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("HF2003"), "{said}");
    });
}

/// Passes bytes on in both directions, until it is told to stop; then it lets nothing through and closes nothing.
async fn pass_on(from: tokio::net::TcpStream, to: String, mut open: tokio::sync::watch::Receiver<bool>) {
    let mut ends = (from, tokio::net::TcpStream::connect(to).await.expect("it listens"));
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut ends.0, &mut ends.1) => {}
        _ = open.wait_for(|open| !open) => std::future::pending().await,
    }
}

/// A way to one address that can be cut.
async fn detour(to: String, open: tokio::sync::watch::Receiver<bool>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    tokio::task::spawn_local(async move {
        while let Ok((from, _)) = listener.accept().await {
            tokio::task::spawn_local(pass_on(from, to.clone(), open.clone()));
        }
    });
    address
}

#[test]
fn a_guard_that_is_cut_off_gives_the_lock_up_before_somebody_else_is_granted_it() {
    block_on(async {
        let cluster = Cluster::start(1);
        cluster.wait(0, "ready", |status| status.ready).await;
        let (cut, open) = tokio::sync::watch::channel(true);
        let near = detour(cluster.endpoints()[0].clone(), open).await;
        let [holder, waiter] = [vec![near], cluster.endpoints()]
            .map(|endpoints| Client::builder(endpoints).timeout(PATIENCE).build().expect("a client"));
        let options = LockOptions { ttl: Duration::from_secs(3), ..LockOptions::default() };
        let guard = holder.lock("jobs", options.clone()).await.expect("granted");
        // Renewed at least twice.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(guard.is_held());
        cut.send(false).expect("somebody is cut off");
        let next = waiter.lock("jobs", options).await.expect("it passes on");
        assert!(!guard.is_held(), "two believe that they hold it");
        guard.lost().await;
        assert!(next.token() > guard.token());
        next.release().await.expect("released");
    });
}

/// The clock of the holder stands still, which is the worst that a clock can do: no guard can notice that. What it writes under its
/// token is refused all the same.
#[test]
fn a_guard_whose_clock_stands_still_is_stopped_by_its_token_and_by_nothing_else() {
    block_on(async {
        let cluster = Cluster::start(1);
        cluster.wait(0, "ready", |status| status.ready).await;
        let endpoints = cluster.endpoints();
        let theirs = endpoints.clone();
        let options = LockOptions { ttl: Duration::from_secs(2), ..LockOptions::default() };
        let same = options.clone();
        // The process of the holder: a runtime that does nothing at all while the lock passes on.
        let holder = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let thread = std::thread::spawn(move || {
            let guard = holder.block_on(async {
                let client = Client::builder(theirs).timeout(PATIENCE).build().expect("a client");
                let guard = client.lock("jobs", options).await.expect("granted");
                tokio::time::pause();
                (guard, client)
            });
            let (passed, next) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                block_on(async move {
                    let client = Client::builder(endpoints).timeout(PATIENCE).build().expect("a client");
                    let guard = client.lock("jobs", same).await.expect("it passes on");
                    passed.send(guard.token()).expect("somebody waits");
                    std::future::pending::<()>().await;
                });
            });
            let token = next.recv_timeout(PATIENCE).expect("it passes on");
            let (guard, client) = guard;
            let _inside = holder.enter();
            assert!(guard.is_held(), "by its own clock no time has passed");
            assert!(token > guard.token());
            let fence = guard.fence();
            holder.block_on(async move {
                tokio::time::resume();
                let put = holdfast_command::keys::Put {
                    key: "out".into(),
                    value: "late".into(),
                    ..Default::default()
                };
                let transaction = holdfast_command::keys::Transaction {
                    compares: vec![fence],
                    then: vec![holdfast_command::keys::Operation::Put(put)],
                    otherwise: Vec::new(),
                };
                let (reply, _) = client.transact(transaction).await.expect("answered");
                let holdfast_command::Reply::Transacted { succeeded, .. } = reply else {
                    panic!("{reply:?}")
                };
                assert!(!succeeded, "the store executed what came under an old token");
                assert_eq!(client.get("out").await.expect("read"), None);
            });
        });
        tokio::task::spawn_blocking(move || thread.join()).await.expect("joined").expect("it holds");
    });
}

async fn places(client: &Client, kind: QueueKind, name: &str) -> usize {
    let query = Query::Queue { kind, name: name.to_owned().into(), when: When::Now };
    match client.query(query, ReadOptions::default()).await.expect("answered").0 {
        Answer::Queue(queue) => queue.places.len(),
        other => panic!("{other:?}"),
    }
}

async fn leases(client: &Client) -> usize {
    match client.query(Query::Leases { after: 0, limit: 0 }, ReadOptions::default()).await {
        Ok((Answer::Leases { leases, .. }, _)) => leases.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_is_told_that_it_did_not_get_an_office_or_a_lock_waits_for_it_no_more() {
    block_on(async {
        let cluster = Cluster::start(1);
        cluster.wait(0, "ready", |status| status.ready).await;
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        let ttl = Duration::from_secs(60);
        let (first, second) =
            (client.lease(ttl).await.expect("granted"), client.lease(ttl).await.expect("granted"));
        let office = first.campaign("office", "first", None).await.expect("elected");
        let lock = first.lock("lock", "first", None).await.expect("granted");
        for wait in [Duration::ZERO, Duration::from_millis(50)] {
            for _ in 0..20 {
                second.campaign("office", "second", Some(wait)).await.expect_err("somebody is in office");
                assert_eq!(places(&client, QueueKind::Election, "office").await, 0, "{wait:?}");
                second.lock("lock", "second", Some(wait)).await.expect_err("somebody holds it");
                assert_eq!(places(&client, QueueKind::Lock, "lock").await, 0, "{wait:?}");
            }
        }
        assert!(office.is_held() && lock.is_held());
        client.close().await;
    });
}

#[test]
fn a_lease_that_is_there_for_a_lock_alone_ends_with_its_guard_and_with_an_attempt_that_is_dropped() {
    block_on(async {
        let cluster = Cluster::start(1);
        cluster.wait(0, "ready", |status| status.ready).await;
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        let options = LockOptions { ttl: Duration::from_secs(3_600), ..LockOptions::default() };
        let guard = client.lock("lock", options.clone()).await.expect("granted");
        let waits = tokio::time::timeout(Duration::from_millis(300), client.lock("lock", options)).await;
        assert!(waits.is_err(), "it is held");
        let until = Instant::now() + PATIENCE;
        while leases(&client).await > 1 {
            assert!(Instant::now() < until, "the lease of the attempt is left");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(guard);
        while leases(&client).await > 0 {
            assert!(Instant::now() < until, "the lease of the guard is left");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        client.close().await;
    });
}

#[test]
fn questions_that_nobody_waits_for_any_more_take_no_room_from_others() {
    block_on(async {
        let cluster = Cluster::start(1);
        cluster.wait(0, "ready", |status| status.ready).await;
        let client =
            Client::builder(cluster.endpoints()).timeout(PATIENCE).calls_max(2).build().expect("a client");
        client.put("k", "v").await.expect("written");
        let news = || {
            let when = When::ChangedFrom { index: 0 };
            let query = Query::Queue { kind: QueueKind::Lock, name: "nobody".into(), when };
            client.query(query, ReadOptions::default())
        };
        for _ in 0..10 {
            let asked =
                tokio::time::timeout(Duration::from_millis(50), async { tokio::join!(news(), news()) });
            assert!(asked.await.is_err(), "nothing happens");
            client.get("k").await.expect("there is room").expect("it was written");
        }
        client.close().await;
    });
}

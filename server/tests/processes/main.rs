//! Real processes, killed at random under load. Needs real time: it waits for what is to happen, and fails only when that
//! takes longer than [`cluster::PATIENCE`].

mod audit;
mod backup;
mod cluster;
mod coordination;
mod recover;
mod snapshots;
mod watch;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use holdfast_client::{Client, Outcome, ReadOptions};
use holdfast_command::KeyValue;
use holdfast_command::keys::{Range, Span};

use cluster::{Cluster, PATIENCE};

/// Clients that write.
const CLIENTS: u64 = 8;

/// Writes that have to be acknowledged between two rounds.
const PROGRESS: u64 = 40;

/// What a client knows of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Acknowledged,
    Unknown,
    NotApplied,
}

/// What all clients know, by key. Each key is written once, with itself as the value.
#[derive(Debug, Default)]
struct Ledger {
    writes: BTreeMap<String, Known>,
    acknowledged: u64,
    stop: bool,
}

/// splitmix64, so that a run is told by its seed.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

async fn write(endpoints: Vec<String>, number: u64, ledger: Rc<RefCell<Ledger>>) {
    let client = Client::builder(endpoints).timeout(Duration::from_secs(10)).wait_for_cluster(true);
    let client = client.build().expect("a client");
    for count in 0.. {
        if ledger.borrow().stop {
            break;
        }
        let key = format!("w/{number}/{count}");
        let known = match client.put(key.clone(), key.clone()).await {
            Ok(_) => Known::Acknowledged,
            Err(error) => match error.outcome {
                Outcome::Applied => Known::Acknowledged,
                Outcome::Unknown => Known::Unknown,
                Outcome::NotApplied => Known::NotApplied,
            },
        };
        let mut ledger = ledger.borrow_mut();
        ledger.acknowledged += u64::from(known == Known::Acknowledged);
        ledger.writes.insert(key, known);
    }
    client.close().await;
}

/// Waits until so many more writes are acknowledged.
async fn progress(ledger: &RefCell<Ledger>, more: u64) {
    let goal = ledger.borrow().acknowledged + more;
    let until = Instant::now() + PATIENCE;
    while ledger.borrow().acknowledged < goal {
        assert!(Instant::now() < until, "no progress: {} of {goal}", ledger.borrow().acknowledged);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Everything that a node holds, read from that node.
async fn contents(endpoint: &str, behind: holdfast_client::Position) -> Vec<KeyValue> {
    let client =
        Client::builder([endpoint]).timeout(PATIENCE).wait_for_cluster(true).build().expect("a client");
    let (mut range, mut all) = (Range::of(Span::prefix("w/")), Vec::new());
    loop {
        let read = client.read(range.clone(), ReadOptions::behind(behind)).await.expect("a follower read");
        all.extend(read.page.entries);
        if read.page.continuation.is_empty() {
            client.close().await;
            return all;
        }
        range.continuation = read.page.continuation;
    }
}

#[test]
fn no_acknowledged_write_is_lost_and_none_is_applied_twice_while_nodes_are_killed() {
    killed_under_load(&[], number("ROUNDS", 4));
}

/// With snapshots so often that a kill hits every step of them sooner or later, and a log that reaches back nowhere.
#[test]
fn the_same_while_snapshots_are_taken_all_the_time() {
    let cluster = killed_under_load(&TINY, number("ROUNDS", 6));
    for at in 0..3 {
        assert!(!snapshots::ends(&cluster, at).is_empty(), "node {} has taken none", at + 1);
    }
}

/// A snapshot every 25 entries; of the log, half a kilobyte is kept behind it.
const TINY: [&str; 2] = ["--snapshot-entries=25", "--retain=4KiB"];

fn killed_under_load(arguments: &[&str], rounds: u64) -> Cluster {
    let seed = number("HOLDFAST_SEED", u64::from(std::process::id()));
    println!("HOLDFAST_SEED={seed} ROUNDS={rounds}");
    let mut cluster = Cluster::start_with(3, arguments);
    block_on(async {
        let cluster = &mut cluster;
        snapshots::short_ranges(cluster).await;
        let mut rng = Rng(seed);
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let writers: Vec<_> = (0..CLIENTS)
            .map(|number| tokio::task::spawn_local(write(cluster.endpoints(), number, Rc::clone(&ledger))))
            .collect();
        progress(&ledger, PROGRESS).await;
        for round in 0..rounds {
            // Every fourth round all of them at once.
            let victims: Vec<usize> =
                if round % 4 == 3 { vec![0, 1, 2] } else { vec![rng.below(3) as usize] };
            for victim in &victims {
                cluster.kill(*victim);
            }
            if victims.len() == 1 && rng.below(2) == 0 {
                // The others go on without it.
                progress(&ledger, rng.below(PROGRESS) + 1).await;
            }
            for victim in &victims {
                cluster.run(*victim);
            }
            progress(&ledger, PROGRESS).await;
        }
        ledger.borrow_mut().stop = true;
        for writer in writers {
            writer.await.expect("no writer panics");
        }
        let last = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        let (_, position) = last.put("w/last", "w/last").await.expect("the cluster serves");
        last.close().await;

        let mut copies = Vec::new();
        for endpoint in cluster.endpoints() {
            copies.push(contents(&endpoint, position).await);
        }
        assert!(copies.windows(2).all(|pair| pair[0] == pair[1]), "the nodes hold different things");
        let held: BTreeMap<String, &KeyValue> = copies[0]
            .iter()
            .map(|entry| (String::from_utf8(entry.key.to_vec()).expect("text"), entry))
            .collect();
        let ledger = ledger.borrow();
        for (key, known) in &ledger.writes {
            match (known, held.get(key)) {
                (Known::Acknowledged, None) => panic!("{key} was acknowledged and is lost"),
                (Known::NotApplied, Some(_)) => panic!("{key} was said not to be applied, and was"),
                (_, Some(entry)) => {
                    assert_eq!(entry.version, 1, "{key} was applied more than once");
                    assert_eq!(entry.value, key.as_bytes());
                }
                (Known::Unknown | Known::NotApplied, None) => {}
            }
        }
        let unknown = ledger.writes.values().filter(|known| **known == Known::Unknown).count();
        println!(
            "rounds={rounds} writes={} acknowledged={} unknown={unknown} keys={} lost=0 twice=0 digests_equal=3",
            ledger.writes.len(),
            ledger.acknowledged,
            held.len()
        );
        assert!(ledger.acknowledged > rounds * PROGRESS, "too little happened to show anything");
    });
    cluster
}

#[test]
fn a_wiped_directory_under_an_old_identity_is_refused_and_the_cluster_goes_on() {
    block_on(async {
        let mut cluster = Cluster::start(3);
        cluster.wait(0, "ready", |status| status.ready).await;
        cluster.wait(2, "ready", |status| status.ready).await;
        cluster.kill(2);
        let mut arguments = cluster.arguments(2);
        for argument in &mut arguments {
            if argument.starts_with("--data-dir=") {
                argument.push_str("-empty");
            }
        }
        let (code, said) = cluster.run_to_its_end(&arguments);
        assert_eq!(code, Some(9), "{said}");
        assert!(said.contains("member replace 3"), "{said}");
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        client.put("still", "here").await.expect("two of three serve");
        client.close().await;
    });
}

#[test]
fn another_nodes_directory_another_name_and_a_second_process_are_refused_with_what_to_do() {
    block_on(async {
        let mut cluster = Cluster::start(1);
        cluster.wait(0, "ready", |status| status.ready).await;
        let own = cluster.arguments(0);
        let (code, said) = cluster.run_to_its_end(&own);
        assert_eq!(code, Some(9), "{said}");
        assert!(said.contains("in use by process"), "{said}");
        cluster.kill(0);
        let with = |from: &str, to: &str| -> Vec<String> {
            own.iter().map(|argument| argument.replace(from, to)).collect()
        };
        let (code, said) = cluster.run_to_its_end(&with("--node-id=1", "--node-id=2"));
        assert_eq!(code, Some(9), "{said}");
        assert!(said.contains("node 1") && said.contains('2'), "{said}");
        let mut renamed = own.clone();
        renamed.push("--cluster=other".to_owned());
        let (code, said) = cluster.run_to_its_end(&renamed);
        assert_eq!(code, Some(9), "{said}");
        assert!(said.contains("other") && said.contains("holdfast"), "{said}");
        std::fs::remove_dir_all(directory(&own).join("wal")).expect("the log");
        let (code, said) = cluster.run_to_its_end(&own);
        assert_eq!(code, Some(9), "{said}");
        assert!(said.contains("member replace"), "{said}");
    });
}

fn directory(arguments: &[String]) -> std::path::PathBuf {
    let path = arguments.iter().find_map(|argument| argument.strip_prefix("--data-dir="));
    path.expect("there is one").into()
}

#[test]
fn an_ordered_stop_hands_leadership_over_and_answers_what_is_under_way() {
    block_on(async {
        let mut cluster = Cluster::start(3);
        let leader = cluster.wait(0, "led", |status| status.ready && status.leader.is_some()).await;
        let leader = leader.leader.expect("just seen").get() as usize - 1;
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let writers: Vec<_> = (0..CLIENTS)
            .map(|number| tokio::task::spawn_local(write(cluster.endpoints(), number, Rc::clone(&ledger))))
            .collect();
        progress(&ledger, PROGRESS).await;
        assert!(cluster.stop(leader).await, "it ends by itself, and well");
        progress(&ledger, PROGRESS).await;
        ledger.borrow_mut().stop = true;
        for writer in writers {
            writer.await.expect("no writer panics");
        }
        let ledger = ledger.borrow();
        let failed: Vec<_> =
            ledger.writes.iter().filter(|(_, known)| **known != Known::Acknowledged).collect();
        assert!(failed.is_empty(), "an ordered stop fails no write within a session: {failed:?}");
    });
}

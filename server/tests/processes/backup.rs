//! `holdfast snapshot save`: a backup of a cluster that runs, and another cluster from it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use holdfast_client::Client;
use holdfast_wire::message_type::PIECE_BYTES;

use crate::cluster::{Cluster, PATIENCE};
use crate::snapshots::snapshot;
use crate::{TINY, block_on, contents};

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("a file").file_name().into_string().expect("text")).collect()
}

#[test]
fn a_backup_of_a_young_cluster_holds_all_that_was_acknowledged_and_another_cluster_begins_from_it() {
    block_on(async {
        let mut former = Cluster::start(3);
        for at in 0..3 {
            former.wait(at, "ready", |status| status.ready).await;
        }
        let client = Client::builder(former.endpoints()).timeout(PATIENCE).build().expect("a client");
        for number in 0..30 {
            let key = format!("w/{number}");
            client.put(key.clone(), vec![number as u8; 100_000]).await.expect("it serves");
        }
        let (_, last) = client.put("w/last", "last").await.expect("it serves");
        let before = contents(&former.endpoints()[0], last).await;
        assert_eq!(before.len(), 31);
        client.close().await;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("backup.snap").display().to_string();
        // Each of them is asked, the followers too: what was acknowledged is in it all the same.
        let mut said = String::new();
        for endpoint in former.endpoints() {
            let _ = std::fs::remove_file(&file);
            let arguments = ["save", &file, "--endpoints", &endpoint, "--timeout", "60"];
            let (code, told) = snapshot(&arguments);
            assert!(code == Some(0) && told.contains(" 31 keys at revision 32, "), "{code:?} {told}");
            said = told;
        }
        assert_eq!(names(directory.path()), ["backup.snap"], "nothing else is left");
        for at in 0..3 {
            let left = names(&former.directory(at).join("snapshots"));
            assert!(!left.iter().any(|name| name.starts_with("saving")), "{left:?}");
        }
        let hash = said.trim_end().rsplit(' ').next().expect("the hash").to_owned();
        let (code, said) = snapshot(&["verify", &file]);
        assert!(code == Some(0) && said.contains(&hash), "{code:?} {said}");
        let (code, said) = snapshot(&["save", &file, "--endpoints", &former.endpoints().join(",")]);
        assert!(code == Some(2) && said.contains("it exists, and is not overwritten"), "{code:?} {said}");
        for at in 0..3 {
            former.kill(at);
        }

        let mut later = Cluster::restored(&TINY);
        let (peer, data_dir) = (later.peer(0), later.directory(0).display().to_string());
        let (code, said) = snapshot(&[
            "restore",
            &file,
            "--node-id=1",
            &format!("--data-dir={data_dir}"),
            &format!("--peer={peer}"),
        ]);
        assert!(code == Some(0), "{code:?} {said}");
        later.run(0);
        later.wait(0, "ready", |status| status.ready).await;
        let client = Client::builder(later.endpoints()).timeout(PATIENCE).build().expect("a client");
        let (_, last) = client.put("other", "other").await.expect("it serves");
        let after = contents(&later.endpoints()[0], last).await;
        client.close().await;
        let values = |all: &[holdfast_command::KeyValue]| -> Vec<_> {
            all.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
        };
        assert!(values(&before) == values(&after), "the values are other ones");
    });
}

#[test]
fn the_newest_snapshot_in_place_is_saved_without_a_leader_and_none_is_an_error() {
    block_on(async {
        let mut cluster = Cluster::start_with(3, &TINY);
        crate::snapshots::short_ranges(&cluster).await;
        cluster.wait(0, "ready", |status| status.ready).await;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("backup.snap").display().to_string();
        let endpoint = cluster.endpoints()[0].clone();
        let save = ["save", &file, "--newest", "--endpoints", &endpoint];
        let (code, said) = snapshot(&save);
        assert!(code == Some(4) && said.contains("HF1215"), "{code:?} {said}");
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        for number in 0..60 {
            client.put(format!("w/{number}"), "value").await.expect("it serves");
        }
        client.close().await;
        while crate::snapshots::ends(&cluster, 0).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        cluster.kill(1);
        cluster.kill(2);
        let end = *crate::snapshots::ends(&cluster, 0).last().expect("one");
        let (code, said) = snapshot(&save);
        assert!(code == Some(0) && said.contains(&format!("up to index {end} of term ")), "{code:?} {said}");
    });
}

/// Leads one connection to `target`, and cuts it when so many bytes have come from there. Nobody is let in afterwards.
fn cut_after(target: String, bytes: usize) -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let thread = thread::spawn(move || {
        let mut left = bytes;
        while left > 0 {
            let (client, _) = listener.accept().expect("a client");
            let server = TcpStream::connect(&target).expect("a server");
            let (mut from, mut to) =
                (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            let up = thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
            let (mut from, mut to) = (server, client);
            let mut buffer = vec![0; 16 * 1024];
            while left > 0 {
                let count = from.read(&mut buffer).unwrap_or(0).min(left);
                if count == 0 || to.write_all(&buffer[..count]).is_err() {
                    break;
                }
                left -= count;
            }
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            up.join().expect("no panic");
        }
    });
    (address, thread)
}

#[test]
fn a_node_that_is_killed_in_the_middle_of_a_backup_leaves_an_error_and_no_file() {
    block_on(async {
        let mut cluster = Cluster::start(1);
        cluster.wait(0, "ready", |status| status.ready).await;
        let client = Client::builder(cluster.endpoints()).timeout(PATIENCE).build().expect("a client");
        for number in 0..30 {
            client.put(format!("w/{number}"), vec![number; 100_000]).await.expect("it serves");
        }
        client.close().await;
        // Behind the first pieces: the file is there by then, under another name.
        let (address, thread) = cut_after(cluster.endpoints()[0].clone(), 2 * PIECE_BYTES + 100_000);
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("backup.snap").display().to_string();
        let save =
            thread::spawn(move || snapshot(&["save", &file, "--endpoints", &address, "--timeout", "20"]));
        thread.join().expect("it was cut");
        cluster.kill(0);
        let (code, said) = save.join().expect("no panic");
        assert!(matches!(code, Some(3 | 4)) && said.contains("ask for a snapshot"), "{code:?} {said}");
        assert_eq!(names(directory.path()), Vec::<String>::new(), "a file is left");
    });
}

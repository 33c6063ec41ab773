//! What the pages show in a terminal, run against real nodes: each block of text that begins with `$ ` is run, command by
//! command, and has to print what stands below it. One page is one cluster of three nodes, of which the first leads.
//!
//! Numbers may be others than on the page, everything else may not. A long number or a position that a later command of the page
//! names is that which was printed in its place. `…` stands for anything up to the end of its line, or, alone, for any lines. What cannot be run here says
//! so, in a comment before its block: `<!-- not run: why -->`.
//!
//! `curl` is played by a plain HTTP client, so that no machine needs one.

#[allow(dead_code, reason = "the tests of HTTP use the rest of it")]
#[path = "../http/cluster.rs"]
mod cluster;
#[path = "../terminal_common/mod.rs"]
mod terminal;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use cluster::Cluster;
use terminal::{Shown, agrees, paired, shown};

/// Where the binary is found under its name.
fn path_with_binary(directory: &Path) -> String {
    let name = directory.join("holdfast");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holdfast"), name).expect("a link");
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", directory.display())
}

/// Runs what `curl` would, and gives what it would print.
fn curl(cluster: &Cluster, words: &[String], wanted: usize) -> String {
    let (mut method, mut body, mut follow, mut stream, mut url, mut headers) =
        (None, Vec::new(), false, false, String::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = || words.next().expect("an argument").clone();
        match word.as_str() {
            "-X" => method = Some(next()),
            "-d" | "--data-binary" => {
                body = next().into_bytes();
                method.get_or_insert("POST".to_owned());
            }
            "-H" => headers.push(next()),
            flags if flags.starts_with('-') => {
                (follow, stream) = (follow | flags.contains('L'), stream | flags.contains('N'));
                assert!(flags.chars().all(|flag| "-sLN".contains(flag)), "curl {flags} is not known here");
            }
            place => url = place.to_owned(),
        }
    }
    let (address, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
    // 7402, 7412 and 7422 are the nodes of `holdfast dev`.
    let node = usize::from(address.as_bytes()[address.len() - 2] - b'0');
    let (method, path) = (method.unwrap_or("GET".to_owned()), format!("/{path}"));
    let headers: Vec<(&str, &str)> = headers.iter().filter_map(|header| header.split_once(": ")).collect();
    if stream {
        let mut events = cluster.events(node, &path, &headers);
        return events.lines(wanted);
    }
    let reply = if follow {
        cluster.follow(node, &method, &path, &headers, &body)
    } else {
        cluster.ask(node, &method, &path, &headers, &body)
    };
    reply.text()
}

fn run_page(page: &str) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join(page)).expect("the page");
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a directory");
    let (path, endpoints) = (path_with_binary(directory.path()), cluster.clients().join(","));
    let sh = |command: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(directory.path());
        shell.env("PATH", &path).env("HOLDFAST_ENDPOINTS", &endpoints).env_remove("HOLDFAST_LOG");
        shell.output().expect("a shell")
    };
    // The pages show the first node as the leader; it may be that already, or need another try.
    for _ in 0..20 {
        if cluster.leader(0) == 0 {
            break;
        }
        sh("holdfast member transfer 1");
    }
    for (name, line) in [("a.toml", "heartbeat = \"60ms\""), ("old.toml", "heartbeat_ms = 60")] {
        // Files that pages speak of.
        let text = format!("node_id = 1\ndata_dir = \"d\"\n\n\n\n\n{line}\n");
        std::fs::write(directory.path().join(name), text).expect("a file");
    }
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for Shown { line, command, output, .. } in shown(&text) {
        let mut asked = command.replace("target/release/holdfast", "holdfast");
        for (shown, printed) in &known {
            asked = asked.replace(shown.as_str(), printed);
        }
        let words = shlex::split(&asked).unwrap_or_else(|| panic!("{page}:{line}: {asked}: quotes"));
        let said = if words.first().is_some_and(|word| word == "curl") {
            curl(&cluster, &words[1..], output.len())
        } else {
            // A terminal shows both outputs, in the order in which they come.
            let done = sh(&format!("exec 2>&1; {asked}"));
            String::from_utf8_lossy(&done.stdout).into_owned()
        };
        let printed: Vec<&str> = said.lines().collect();
        let Some(pairs) = paired(&output, &printed) else {
            panic!(
                "{page}:{line}: {asked}\n--- the page shows\n{}\n--- it printed\n{said}",
                output.join("\n")
            );
        };
        for (shown, printed) in pairs {
            agrees(shown, printed, &mut known);
        }
    }
}

#[test]
fn what_the_readme_shows_in_a_terminal_is_what_is_printed() {
    run_page("README.md");
}

#[test]
fn what_the_page_about_the_command_line_shows_is_what_is_printed() {
    run_page("docs/cli.md");
}

#[test]
fn what_the_page_about_http_shows_is_what_is_answered() {
    run_page("docs/http.md");
}

#[test]
fn what_the_pages_about_running_and_configuration_show_is_what_is_printed() {
    run_page("docs/running.md");
    run_page("docs/configuration.md");
}

//! `holdfast dev`: real nodes with real sockets and disks on loopback, in one process; with `--chaos`, in a process for each, and
//! a prompt to do them harm.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use holdfast_client::Client;

use super::chaos::{self, Setup};
use super::exit::Exit;
use super::failed::Trouble;
use super::serve::{on_signal, say};
use crate::runtime::{self, Options, Running, Stop};

/// The port of the first node's clients.
const PORT_BASE: u16 = 7400;

/// How often it is looked whether the nodes are ready, or over.
const POLL: Duration = Duration::from_millis(50);

/// Ports of neighbouring nodes lie so far apart; peers are one above clients, HTTP two.
const PORTS_PER_NODE: u16 = 10;

/// Segments of a cluster to try things out with: three nodes share a disk.
const SEGMENT_BYTES: u64 = runtime::SEGMENT_BYTES_MIN;

#[derive(Debug, Args)]
pub(super) struct Dev {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=7))]
    nodes: u16,
    /// Where they keep their data, a directory for each; by default a temporary one that is removed at the end
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Port of the first node's clients; its peers are one above, its HTTP two, the next node ten
    #[arg(long, default_value_t = PORT_BASE)]
    port_base: u16,
    /// Kill, suspend, cut off and slow down nodes from a prompt, and watch what their machines do
    #[arg(long)]
    chaos: bool,
}

pub(super) fn run(dev: &Dev) -> ExitCode {
    super::log("warn");
    match serve(dev) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say(Trouble::new(Exit::NotThere, "the nodes cannot run here")
            .why(error.to_string())
            .outcome("those that ran were stopped in order")
            .next("name other ports with --port-base, or another directory with --data-dir")),
    }
}

fn serve(dev: &Dev) -> Result<(), Box<dyn std::error::Error>> {
    let last = u32::from(dev.port_base) + u32::from((dev.nodes - 1) * PORTS_PER_NODE) + 2;
    if last > u16::MAX.into() || dev.port_base == 0 {
        return Err(format!("--port-base {} leaves no room for {} nodes", dev.port_base, dev.nodes).into());
    }
    let address =
        |node: u16, port: u16| format!("127.0.0.1:{}", dev.port_base + (node - 1) * PORTS_PER_NODE + port);
    let client = |node: u16| address(node, 0);
    let peer = |node: u16| address(node, 1);
    let http = |node: u16| address(node, 2);
    for address in (1..=dev.nodes).flat_map(|node| [client(node), peer(node), http(node)]) {
        TcpListener::bind(&address)
            .map_err(|error| format!("{address}: {error}; is another one running? Try --port-base"))?;
    }
    let temporary;
    let root: &Path = match &dev.data_dir {
        Some(path) => path,
        None => {
            temporary = tempfile::Builder::new().prefix("holdfast-dev-").tempdir()?;
            temporary.path()
        }
    };
    let stop = Stop::new();
    on_signal(stop.clone())?;
    if dev.chaos {
        std::fs::create_dir_all(root)?;
        let addresses = (1..=dev.nodes).map(|node| [client(node), peer(node), http(node)]).collect();
        let setup = Setup { root: std::path::absolute(root)?, addresses };
        return chaos::run(setup, &stop, || {
            prompt_banner(dev, root, &(1..=dev.nodes).map(client).collect::<Vec<_>>())
        });
    }
    let nodes = (1..=dev.nodes).map(|node| {
        runtime::start(Options {
            cluster: "dev".to_owned(),
            listen_client: client(node),
            listen_peer: peer(node),
            listen_http: Some(http(node)),
            initial_cluster: (1..=dev.nodes).map(|node| (node.into(), peer(node))).collect(),
            segment_bytes: SEGMENT_BYTES,
            ..Options::new(node.into(), root.join(format!("n{node}")))
        })
    });
    let nodes: Vec<Running> = nodes.collect::<Result<_, _>>()?;
    let endpoints: Vec<String> = (1..=dev.nodes).map(client).collect();
    await_leader(&endpoints, &stop, &nodes);
    if !stop.is_wanted() && !nodes.iter().any(Running::is_over) {
        let web: Vec<String> = (1..=dev.nodes).map(http).collect();
        banner(dev, &endpoints, &web, root)?;
    }
    while !stop.is_wanted() && !nodes.iter().any(Running::is_over) {
        std::thread::sleep(POLL);
    }
    nodes.iter().for_each(Running::ask_to_stop);
    let ends: Vec<_> = nodes.into_iter().map(Running::stop).collect();
    Ok(ends.into_iter().collect::<Result<(), _>>()?)
}

/// Returns once a leader serves, or there is nothing to wait for any more.
fn await_leader(endpoints: &[String], stop: &Stop, nodes: &[Running]) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let Ok(client) = Client::builder(endpoints.iter().cloned()).wait_for_cluster(true).build() else {
            return;
        };
        while !stop.is_wanted() && !nodes.iter().any(Running::is_over) {
            let mut ready = 0;
            for endpoint in endpoints {
                ready += usize::from(client.status(endpoint).await.is_ok_and(|status| status.ready));
            }
            if ready == endpoints.len() {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        client.close().await;
    });
}

/// How to call this binary from where it was started.
fn own_name() -> String {
    let Ok(path) = std::env::current_exe() else { return "holdfast".to_owned() };
    let below =
        std::env::current_dir().ok().and_then(|here| Some(path.strip_prefix(here).ok()?.to_path_buf()));
    below.unwrap_or(path).display().to_string()
}

/// What somebody who has just come to the prompt wants to know.
fn prompt_banner(dev: &Dev, root: &Path, endpoints: &[String]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} real nodes are running, each in a process of its own, under {}",
        dev.nodes,
        root.display()
    )?;
    writeln!(out, "endpoints {}", endpoints.join(","))?;
    writeln!(out, "`help` shows what can be done to them; `kill leader` is a beginning")?;
    out.flush()
}

/// What somebody who has just started it wants to know.
fn banner(dev: &Dev, endpoints: &[String], web: &[String], root: &Path) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let me = own_name();
    let all = endpoints.join(",");
    let flag = if dev.port_base == PORT_BASE && dev.nodes == 3 {
        String::new()
    } else {
        format!(" --endpoints {all}")
    };
    writeln!(out, "{} real nodes are running, each with its own log under {}", dev.nodes, root.display())?;
    writeln!(out, "endpoints {all}")?;
    writeln!(out, "http      {}", web.join(","))?;
    writeln!(out, "\ntry, in another terminal:")?;
    for command in [
        "put app/greeting hello --reason \"trying it out\"",
        "get app/greeting --verbose",
        "txn 'if value app/greeting = hello' 'then put app/greeting goodbye' 'else get app/greeting'",
        "ls app/",
        "status",
    ] {
        writeln!(out, "  {me} {command}{flag}")?;
    }
    if let Some(first) = web.first() {
        writeln!(out, "  curl -L http://{first}/v1/kv/app/greeting")?;
    }
    writeln!(
        out,
        "\nctrl-c stops all of them{}",
        if dev.data_dir.is_none() { " and removes their data" } else { "" }
    )?;
    out.flush()
}

//! `/metrics`: what a node has measured, in the text format of Prometheus.
//!
//! One table says of each metric what it is called, what it means and where its value comes from, so that none is described
//! and missing, or there and not described. `docs/http.md` shows the table.
//!
//! Times are kept as HDR histograms, within 1 %, and given as cumulated buckets; their sum is mean times count. Some metrics
//! are there a second time under the name that dashboards for etcd know.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hdrhistogram::Histogram;
use holdfast_machine::Numbered as _;
use holdfast_wal::stats::Snapshot;
use holdfast_wire::message::Figure;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::ask::App;
use super::problem::Problem;
use crate::doctor::system::System;
use crate::runtime::LifeState;
use crate::runtime::desk::Figures;
use crate::stage::Stage;
use holdfast_command::Refusal;

/// A metric: what it is called, and where its value comes from.
pub struct Metric {
    /// Its name; that of a counter gets `_total` behind it, that of a histogram `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// By what its values are told apart; empty if there is one.
    pub labels: &'static [&'static str],
    /// What it means, with its unit.
    pub what: &'static str,
    read: Read,
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metric").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Metric {
    /// The kind, as Prometheus names it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.read {
            Read::Counter(_) | Read::Counters(_) => "counter",
            Read::Gauge(_) | Read::Gauges(_) => "gauge",
            Read::Times(_) => "histogram",
        }
    }
}

/// What is known at one moment.
struct Scraped {
    life: LifeState,
    /// None of a node that has not come so far, or is at its end.
    node: Option<Node>,
}

struct Node {
    figures: Figures,
    wal: Snapshot,
    /// None if it did not answer.
    system: Option<System>,
}

type Labels = Vec<(&'static str, String)>;

/// Histograms, and how many of their units a second has.
type Measured = Vec<(Labels, Histogram<u64>, u64)>;

/// Where a value comes from.
enum Read {
    Counter(fn(&Node) -> u64),
    Counters(fn(&Node) -> Vec<(Labels, u64)>),
    Gauge(fn(&Node) -> u64),
    Gauges(fn(&Node) -> Vec<(Labels, u64)>),
    /// Histograms and how many of their units a second has.
    Times(fn(&Node) -> Measured),
}

const MICROS: u64 = 1_000_000;
const NANOS: u64 = 1_000_000_000;

/// The upper ends of the buckets, in microseconds: from a sync of a fast disk to a call that times out.
const BUCKETS_US: [u64; 18] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

const fn counter(name: &'static str, what: &'static str, read: fn(&Node) -> u64) -> Metric {
    Metric { name, labels: &[], what, read: Read::Counter(read) }
}

const fn gauge(name: &'static str, what: &'static str, read: fn(&Node) -> u64) -> Metric {
    Metric { name, labels: &[], what, read: Read::Gauge(read) }
}

/// What may not be known.
const fn system(name: &'static str, what: &'static str, read: fn(&Node) -> Vec<(Labels, u64)>) -> Metric {
    Metric { name, labels: &[], what, read: Read::Gauges(read) }
}

fn of_system(node: &Node, figure: Figure) -> Vec<(Labels, u64)> {
    let figures = node.system.iter().flat_map(|system| &system.figures);
    figures.filter(|(known, _)| *known == figure).map(|(_, value)| (Labels::new(), *value)).collect()
}

const fn times(
    name: &'static str,
    labels: &'static [&'static str],
    what: &'static str,
    read: fn(&Node) -> Measured,
) -> Metric {
    Metric { name, labels, what, read: Read::Times(read) }
}

/// All metrics, in the order of the page.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "holdfast_build_info",
        labels: &["version"],
        what: "1, with the version of the build",
        read: Read::Gauges(|node| vec![(vec![("version", node.figures.status.build.to_string())], 1)]),
    },
    gauge(
        "holdfast_ready",
        "1 if the node serves: it knows a leader and has applied what that had committed",
        |node| node.figures.unready.is_none().into(),
    ),
    gauge("holdfast_has_leader", "1 if the node knows a leader", |node| {
        node.figures.status.leader.is_some().into()
    }),
    gauge("holdfast_is_leader", "1 if the node leads", is_leader),
    gauge("holdfast_term", "The term of the node", |node| node.figures.status.term),
    gauge("holdfast_commit_index", "How far the node knows the log to be committed", |node| {
        node.figures.status.commit
    }),
    gauge("holdfast_applied_index", "How far the node has applied the log", |node| {
        node.figures.status.applied
    }),
    gauge("holdfast_durable_index", "How far the node's own log is durable", |node| {
        node.figures.status.durable
    }),
    gauge("holdfast_last_index", "The last index of the node's log", |node| node.figures.status.last),
    gauge("holdfast_revision", "The revision of the store", |node| node.figures.status.revision),
    gauge("holdfast_oldest_revision", "The oldest revision that can be read", |node| {
        node.figures.status.oldest
    }),
    gauge("holdfast_keys", "Keys in the store", |node| node.figures.status.keys),
    gauge("holdfast_sessions", "Client sessions", |node| node.figures.status.sessions),
    gauge("holdfast_watches", "Watches that are open at this node", |node| node.figures.watches),
    gauge("holdfast_client_connections", "Connections to the client port", |node| node.figures.clients),
    gauge("holdfast_calls_waiting", "Calls that are not answered yet", |node| node.figures.waiting),
    gauge(
        "holdfast_writes_waiting",
        "Writes that wait for their place in the log, or to be committed there",
        |node| node.figures.waiting_writes,
    ),
    Metric {
        name: "holdfast_members",
        labels: &["kind"],
        what: "Members of the configuration that acts, voters and learners",
        read: Read::Gauges(|node| {
            let voters = node.figures.status.members.iter().filter(|member| member.voter).count();
            let learners = node.figures.status.members.len() - voters;
            let of = |kind: &str, count: usize| (vec![("kind", kind.to_owned())], count as u64);
            vec![of("voter", voters), of("learner", learners)]
        }),
    },
    Metric {
        name: "holdfast_peer_connected",
        labels: &["peer"],
        what: "1 if both connections to this member are open; 1 for the node itself",
        read: Read::Gauges(|node| {
            let members = node.figures.status.members.iter();
            members.map(|member| (vec![("peer", member.node.to_string())], member.connected.into())).collect()
        }),
    },
    Metric {
        name: "holdfast_peer_matched_index",
        labels: &["peer"],
        what: "How far the member's log is known to equal the leader's; 0 at a node that does not lead",
        read: Read::Gauges(|node| {
            let members = node.figures.status.members.iter();
            members.map(|member| (vec![("peer", member.node.to_string())], member.matched)).collect()
        }),
    },
    counter("holdfast_leader_changes", "Leaders that the node has seen after the first one", |node| {
        node.figures.leader_changes
    }),
    counter("holdfast_terms_led", "Terms that the node has led", |node| node.figures.counts.terms_led),
    counter("holdfast_proposed", "Requests that the node has proposed", |node| node.figures.counts.proposed),
    counter("holdfast_applied", "Entries that the node has applied", |node| node.figures.counts.applied),
    counter("holdfast_reads", "Reads that the node has served", |node| node.figures.counts.reads),
    counter("holdfast_refused", "Calls that the node has refused before they came into the log", |node| {
        node.figures.counts.refused
    }),
    counter("holdfast_turns", "Turns of the node's loop", |node| node.figures.counts.turns),
    counter("holdfast_snapshots_taken", "Snapshots that the node has taken of its own state", |node| {
        node.figures.counts.snapshots_taken
    }),
    counter(
        "holdfast_snapshots_installed",
        "Snapshots of a leader that have taken the place of the node's state",
        |node| node.figures.counts.snapshots_installed,
    ),
    Metric {
        name: "holdfast_edges",
        labels: &["machine", "edge"],
        what: "How often each edge of a state machine was taken, as the pages in docs/state-machines number them; edges of sessions, leases, locks and elections since the last start or snapshot",
        read: Read::Counters(|node| {
            let edges = node.figures.edges.iter();
            let labels = |edge: &crate::runtime::measures::EdgeName| {
                let machine = format!("{:02}-{}", edge.machine, edge.machine_name);
                vec![("machine", machine), ("edge", format!("T{} {}", edge.edge, edge.name))]
            };
            edges.map(|(edge, count)| (labels(edge), *count)).collect()
        }),
    },
    times(
        "holdfast_stage_seconds",
        &["stage"],
        "How long each of the nine stages of a request took, as docs/request-path.md numbers them",
        |node| {
            let stages = &node.figures.stages;
            let one = |stage: &Stage| {
                let name = format!("{} {}", stage.number(), stage.name());
                Some((vec![("stage", name)], stages.histogram(*stage)?.clone(), MICROS))
            };
            Stage::ALL.iter().filter_map(one).collect()
        },
    ),
    times(
        "holdfast_turn_seconds",
        &[],
        "How long each turn of the node's loop took: nobody is served before its end",
        |node| {
            node.figures.stages.turns().map(|turns| (Vec::new(), turns.clone(), MICROS)).into_iter().collect()
        },
    ),
    times("holdfast_wal_sync_seconds", &[], "How long each sync of the log took", wal_sync),
    times(
        "holdfast_wal_write_seconds",
        &[],
        "How long each write to the log took, without its sync",
        |node| vec![(Vec::new(), node.wal.batches.write_nanos.clone(), NANOS)],
    ),
    counter("holdfast_wal_syncs", "Syncs of the log", |node| node.wal.counters.log.syncs),
    counter("holdfast_wal_written_bytes", "Bytes written to the log", |node| {
        node.wal.counters.log.written_bytes
    }),
    counter(
        "holdfast_wal_shortages",
        "Attempts to prepare a segment of the log that found the disk full",
        |node| node.wal.counters.shortages,
    ),
    gauge(
        "holdfast_disk_answers",
        "1 if the file system of the data directory says how it is within two seconds",
        |node| node.system.is_some().into(),
    ),
    system(
        "holdfast_disk_free_bytes",
        "Bytes that are free to the node in its data directory; missing if the file system does not answer",
        |node| of_system(node, Figure::FreeBytes),
    ),
    system(
        "holdfast_disk_total_bytes",
        "Bytes of the file system of the data directory; missing if it does not answer",
        |node| of_system(node, Figure::TotalBytes),
    ),
    system("process_open_fds", "Files and sockets that the process has open", |node| {
        of_system(node, Figure::OpenFiles)
    }),
    system("process_max_fds", "The most of these; missing if there is no limit", |node| {
        of_system(node, Figure::OpenFilesMax)
    }),
    system("process_resident_memory_bytes", "Bytes of memory of the process", |node| {
        of_system(node, Figure::MemoryBytes)
    }),
    times(
        "holdfast_peer_round_trip_seconds",
        &["peer"],
        "From a heartbeat of this leader to its answer",
        |node| round_trips(node, "peer"),
    ),
    gauge("etcd_server_has_leader", "holdfast_has_leader under the name that etcd gives it", |node| {
        node.figures.status.leader.is_some().into()
    }),
    gauge("etcd_server_is_leader", "holdfast_is_leader under the name that etcd gives it", is_leader),
    counter(
        "etcd_server_leader_changes_seen",
        "holdfast_leader_changes under the name that etcd gives it",
        |node| node.figures.leader_changes,
    ),
    counter(
        "etcd_server_proposals_committed",
        "holdfast_commit_index under the name that etcd gives it",
        |node| node.figures.status.commit,
    ),
    counter(
        "etcd_server_proposals_applied",
        "holdfast_applied_index under the name that etcd gives it",
        |node| node.figures.status.applied,
    ),
    gauge(
        "etcd_server_proposals_pending",
        "holdfast_writes_waiting under the name that etcd gives it",
        |node| node.figures.waiting_writes,
    ),
    counter("etcd_server_proposals_failed", "holdfast_refused under the name that etcd gives it", |node| {
        node.figures.counts.refused
    }),
    times(
        "etcd_disk_wal_fsync_duration_seconds",
        &[],
        "holdfast_wal_sync_seconds under the name that etcd gives it",
        wal_sync,
    ),
    times(
        "etcd_network_peer_round_trip_time_seconds",
        &["To"],
        "holdfast_peer_round_trip_seconds under the name that etcd gives it",
        |node| round_trips(node, "To"),
    ),
];

fn is_leader(node: &Node) -> u64 {
    let status = &node.figures.status;
    (status.leader == Some(status.node.id)).into()
}

fn wal_sync(node: &Node) -> Measured {
    vec![(Vec::new(), node.wal.batches.sync_nanos.clone(), NANOS)]
}

fn round_trips(node: &Node, label: &'static str) -> Measured {
    let all = node.figures.round_trips.iter();
    all.map(|(peer, histogram)| (vec![(label, peer.to_string())], histogram.clone(), MICROS)).collect()
}

impl fmt::Debug for Scraped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scraped").field("life", &self.life).finish_non_exhaustive()
    }
}

/// The encoder for one set of labels.
macro_rules! labelled {
    ($encoder:expr, $labels:expr, |$each:ident| $encode:expr) => {
        if $labels.is_empty() {
            let $each = &mut $encoder;
            $encode?;
        } else {
            let mut family = $encoder.encode_family($labels)?;
            let $each = &mut family;
            $encode?;
        }
    };
}

impl Collector for Scraped {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (name, what) =
            ("holdfast_life", "Where the node is in its life, as machine 14 numbers its states");
        let mut life = encoder.encode_descriptor(name, what, None, MetricType::Gauge)?;
        life.encode_gauge(&u64::from(self.life.number()))?;
        let Some(node) = &self.node else { return Ok(()) };
        for metric in METRICS {
            let kind = match metric.read {
                Read::Counter(_) | Read::Counters(_) => MetricType::Counter,
                Read::Gauge(_) | Read::Gauges(_) => MetricType::Gauge,
                Read::Times(_) => MetricType::Histogram,
            };
            let mut each = encoder.encode_descriptor(metric.name, metric.what, None, kind)?;
            match metric.read {
                Read::Counter(read) => each.encode_counter::<NoLabelSet, _, u64>(&read(node), None)?,
                Read::Gauge(read) => each.encode_gauge(&read(node))?,
                Read::Counters(read) => {
                    for (labels, count) in read(node) {
                        labelled!(each, &labels, |one| one
                            .encode_counter::<NoLabelSet, _, u64>(&count, None));
                    }
                }
                Read::Gauges(read) => {
                    for (labels, value) in read(node) {
                        labelled!(each, &labels, |one| one.encode_gauge(&value));
                    }
                }
                Read::Times(read) => {
                    for (labels, histogram, unit) in read(node) {
                        labelled!(each, &labels, |one| histogram_of(one, &histogram, unit));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A histogram of a unit of which a second has so many, in buckets of seconds.
#[expect(clippy::cast_precision_loss, reason = "seconds for people and dashboards")]
fn histogram_of(encoder: &mut MetricEncoder<'_>, histogram: &Histogram<u64>, unit: u64) -> fmt::Result {
    let (mut buckets, mut below, mut counted) = (Vec::new(), 0, 0);
    for end_us in BUCKETS_US {
        let end = end_us * (unit / MICROS);
        let count = histogram.count_between(below, end);
        buckets.push((end_us as f64 / MICROS as f64, count));
        (below, counted) = (end + 1, counted + count);
    }
    let all = histogram.len();
    buckets.push((f64::INFINITY, all.saturating_sub(counted)));
    let sum = histogram.mean() * all as f64 / unit as f64;
    encoder.encode_histogram::<NoLabelSet>(sum, all, &buckets, None)
}

/// `GET /metrics`.
pub(super) async fn scrape(app: App) -> Response {
    let life = app.desk.life();
    let patience = std::time::Duration::from_secs(2);
    let (figures, system) =
        tokio::join!(tokio::time::timeout(patience, app.desk.figures()), app.looker.look());
    let node = match figures {
        Ok(figures) => figures.map(|figures| Node { wal: figures.wal.snapshot(), figures, system }),
        // Rather what is known than nothing: a node that hangs is what somebody is about to look for.
        Err(_) => None,
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Arc::new(Scraped { life, node })));
    let mut body = String::new();
    if text::encode(&mut body, &registry).is_err() {
        return Problem::of(Refusal::Overloaded { retry_after_ms: 1_000 }).into_response();
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::OK;
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_follow_the_rules_of_prometheus() {
        let mut names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        for metric in METRICS {
            let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(metric.name.bytes().all(is_word), "{}", metric.name);
            assert!(!metric.name.ends_with("_total") && !metric.what.ends_with('.'), "{}", metric.name);
            assert_eq!(metric.kind() == "histogram", metric.name.ends_with("_seconds"), "{}", metric.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
    }

    #[test]
    fn a_histogram_is_given_in_buckets_that_add_up() {
        #[derive(Debug)]
        struct One(Histogram<u64>);
        impl Collector for One {
            fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
                let mut each = encoder.encode_descriptor("x_seconds", "what", None, MetricType::Histogram)?;
                histogram_of(&mut each, &self.0, MICROS)
            }
        }
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 2).unwrap();
        for micros in [10, 30, 900, 20_000_000] {
            histogram.record(micros).unwrap();
        }
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register_collector(Box::new(One(histogram)));
        text::encode(&mut text, &registry).unwrap();
        for line in [
            "# TYPE x_seconds histogram",
            "x_seconds_bucket{le=\"0.000025\"} 1",
            "x_seconds_bucket{le=\"0.00005\"} 2",
            "x_seconds_bucket{le=\"0.001\"} 3",
            "x_seconds_bucket{le=\"10.0\"} 3",
            "x_seconds_bucket{le=\"+Inf\"} 4",
            "x_seconds_count 4",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}

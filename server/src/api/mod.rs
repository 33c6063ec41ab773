//! HTTP: keys, locks, leases, elections and the state of the node for whoever has `curl` and no client library.
//!
//! # Why on a thread of its own
//! The node's thread answers heartbeats. Parsing JSON, slow readers and a scrape of metrics must not delay those, so HTTP has a
//! runtime of its own and reaches the node through a queue ([`desk`](crate::runtime)). What comes here is answered by *this*
//! node, or sent on to the leader; there is no client of the cluster hidden in between, so what the store says is what is
//! answered.
//!
//! # Shape
//! ```text
//!   socket ── serve ── router ──► kv, txn, watch, leases, queues, admin ──► ask ──► desk ──► node thread
//!                │         └────► health, metrics  (never refused because the node is busy)
//!                └ bounds: connections, header, time
//! ```
//! | file | what stands there |
//! |---|---|
//! | `serve` | the thread, connections and their bounds, the ordered stop |
//! | `routes` | the table of all paths, which `docs/http.md` shows |
//! | `ask` | a request as a call to the node; redirect, forward, deadline, idempotency key |
//! | `origin` | what browsers ask because a page told them to |
//! | `problem` | what went wrong as status, headers and JSON |
//! | `params`, `respond` | what comes in and what goes out, beside the crate's `json` |
//! | `kv`, `txn`, `watch`, `leases`, `queues`, `admin`, `audit` | the paths |
//! | `health`, `metrics` | for machines that look after nodes |
//!
//! `docs/http.md` is the page for whoever calls it.

mod admin;
mod ask;
mod audit;
mod health;
mod kv;
mod leases;
pub mod metrics;
mod origin;
mod params;
mod problem;
mod queues;
mod respond;
pub mod routes;
mod serve;
mod txn;
mod watch;

pub(crate) use serve::start;

//! Whether the process lives, and whether the node serves: for machines that restart one and route to the other.
//!
//! A node that is not ready must not be restarted for that: it may be the one that the others wait for. So there are two
//! questions, and only the second one depends on the cluster.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use holdfast_machine::Numbered as _;
use serde::Serialize;

use super::ask::App;
use super::respond;
use crate::json;
use crate::runtime::LifeState;

/// How long the node's loop may take to say how it is: longer than any turn that was ever measured, a hundred times.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Health {
    /// `ok` or `not ok`.
    status: &'static str,
    life: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<u64>,
}

fn say(is_well: bool, life: LifeState, reason: Option<String>, leader: Option<u64>) -> Response {
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let said = if is_well { "ok" } else { "not ok" };
    let mut response =
        respond::response(status, json::text(&Health { status: said, life: life.name(), reason, leader }));
    super::ask::mark(response.headers_mut(), axum::http::header::CACHE_CONTROL, "no-store");
    response
}

/// `GET /health`: the process lives, and the loop of the node turns. A node that starts or stops lives.
pub(super) async fn live(app: App) -> Response {
    let life = app.desk.life();
    match life {
        LifeState::Opening
        | LifeState::Forming
        | LifeState::Recovering
        | LifeState::Draining
        | LifeState::Closing => say(true, life, None, None),
        LifeState::Stopped | LifeState::Failed => {
            say(false, life, Some("the node has ended".to_owned()), None)
        }
        LifeState::Joining | LifeState::Ready => {
            match tokio::time::timeout(PATIENCE, app.desk.figures()).await {
                Ok(_) => say(true, life, None, None),
                Err(_) => say(false, life, Some(stuck()), None),
            }
        }
    }
}

fn stuck() -> String {
    format!("the node's loop has not turned for {} s: look at its disk and at its log", PATIENCE.as_secs())
}

/// `GET /health/ready`: the node knows a leader and has applied what that had committed, so that it can serve.
pub(super) async fn ready(app: App) -> Response {
    let life = app.desk.life();
    let reason = match life {
        LifeState::Opening => "it has not read who it is yet",
        LifeState::Forming => "it forms a cluster with the nodes of its list, and not all have answered",
        LifeState::Recovering => "it reads its log",
        LifeState::Draining => "it is stopping: it hands leadership over and answers what is under way",
        LifeState::Closing | LifeState::Stopped => "it has stopped",
        LifeState::Failed => "it cannot go on; its log says why",
        LifeState::Joining | LifeState::Ready => {
            return match tokio::time::timeout(PATIENCE, app.desk.figures()).await {
                Ok(Some(figures)) => {
                    let leader = figures.status.leader.map(holdfast_wire::NodeId::get);
                    say(figures.unready.is_none(), life, figures.unready.map(str::to_owned), leader)
                }
                Ok(None) => say(false, app.desk.life(), Some("it is stopping".to_owned()), None),
                Err(_) => say(false, life, Some(stuck()), None),
            };
        }
    };
    say(false, life, Some(reason.to_owned()), None)
}

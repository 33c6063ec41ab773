//! Asks every endpoint, and every member that those name, how it is.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_client::{Client, Error};
use tokio::task::JoinSet;

use super::facts::{Answer, Facts, Offset, Visit};

/// Endpoints in all: a cluster has no more members, and as many may be named besides.
const ENDPOINTS_MAX: usize = 128;

/// Asks these endpoints side by side, so that all that do not answer cost one timeout; then the members that they name, until
/// nobody names another. `named` says that somebody asked for these endpoints.
///
/// # Errors
/// An address that is none.
pub async fn visit(endpoints: &[String], named: bool, timeout: Duration) -> Result<Vec<Visit>, Error> {
    let mut known = BTreeSet::new();
    let mut next: Vec<String> = endpoints.to_vec();
    let mut visits: Vec<Visit> = Vec::new();
    while !next.is_empty() {
        let mut asked = JoinSet::new();
        for endpoint in next.drain(..) {
            if known.len() < ENDPOINTS_MAX && known.insert(endpoint.clone()) {
                let client =
                    Client::builder([endpoint.clone()]).name("holdfast doctor").timeout(timeout).build()?;
                let named = named && endpoints.contains(&endpoint);
                asked.spawn(async move {
                    let answer = ask(&client, &endpoint).await;
                    client.close().await;
                    Visit { endpoint, named, answer }
                });
            }
        }
        while let Some(done) = asked.join_next().await {
            // One that panicked has said so, and is as one that did not answer.
            let Ok(visit) = done else { continue };
            if let Ok(answer) = &visit.answer {
                let members = answer.status.members.iter().map(|member| member.client.to_string());
                next.extend(members.filter(|client| !client.is_empty()));
            }
            visits.push(visit);
        }
    }
    // In the order in which they were named; the others by their names.
    let place =
        |endpoint: &String| endpoints.iter().position(|named| named == endpoint).unwrap_or(endpoints.len());
    visits.sort_by_key(|visit| (place(&visit.endpoint), visit.endpoint.clone()));
    Ok(visits)
}

/// First how it is, so that the connection is there; then what it finds, with both clocks.
async fn ask(client: &Client, endpoint: &str) -> Result<Answer, String> {
    let status = client.status(endpoint).await.map_err(|error| why(&error))?;
    let sent = now();
    let examined = client.examine(endpoint).await;
    let received = now();
    let mut clock = None;
    let facts = examined.map_err(|error| why(&error)).map(|examined| {
        use holdfast_client::Figure::{AnsweredAt, AskedAt};
        let facts = Facts::of(&examined);
        if let (Some(asked), Some(answered)) = (facts.get(AskedAt), facts.get(AnsweredAt)) {
            clock = Offset::between(sent, asked, answered, received);
        }
        facts
    });
    Ok(Answer { status, facts, clock })
}

/// What became of this very endpoint says more than that there is none.
fn why(error: &Error) -> String {
    error.tried.last().map_or_else(|| error.why(), |attempt| attempt.what.to_string())
}

/// Microseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

//! Transactions: what comes in is the document of [`json::txn`].

use holdfast_command::{Command, Reply};
use serde::Serialize;

use super::ask::{Call, Handled, unreadable};
use super::kv::written;
use super::problem::Problem;
use crate::json::{self, Entry};

/// What one operation came to.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Result_<'a> {
    Put {},
    Deleted { count: u64 },
    Got { entries: Vec<Entry<'a>>, more: bool },
    Txn { succeeded: bool, results: Vec<Result_<'a>> },
    Other {},
}

fn result(reply: &Reply) -> Result_<'_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "an operation of a transaction answers nothing else")]
    match reply {
        Reply::Put { .. } => Result_::Put {},
        Reply::Deleted { count, .. } => Result_::Deleted { count: *count },
        Reply::Ranged(page) => Result_::Got {
            entries: page.entries.iter().map(|entry| Entry::new(entry, true)).collect(),
            more: page.more,
        },
        Reply::Transacted { succeeded, results, .. } => {
            Result_::Txn { succeeded: *succeeded, results: results.iter().map(result).collect() }
        }
        _ => Result_::Other {},
    }
}

#[derive(Serialize)]
struct Done<'a> {
    succeeded: bool,
    revision: u64,
    position: String,
    results: Vec<Result_<'a>>,
}

/// `POST /v1/txn`.
pub(super) async fn transact(mut call: Call) -> Handled {
    let reason = call.params.text("reason")?.unwrap_or_default();
    call.finish()?;
    let text = std::str::from_utf8(&call.body).map_err(|_| Problem::body("it is no text in UTF-8"))?;
    let transaction = json::txn::parse(text).map_err(Problem::body)?;
    let (reply, position) = call.submit(Command::Transact(transaction), reason.into()).await?;
    let Reply::Transacted { revision, succeeded, results } = &reply else { return Err(unreadable()) };
    let (succeeded, revision) = (*succeeded, *revision);
    let results = results.iter().map(result).collect();
    Ok(written(&Done { succeeded, revision, position: position.to_string(), results }, position))
}

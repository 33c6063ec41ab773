//! Who holds what, and who waits.

use bytes::Bytes;
use holdfast_client::{Client, ReadOptions};
use holdfast_command::query::{Answer, PlaceInfo, Query, QueueKind, When};

use crate::cli::ask::Interrupts;
use crate::cli::failed::Failed;
use crate::cli::out::{Cell, Column, Out};

const PLACES: [Column; 4] =
    [Column::of("place"), Column::of("token"), Column::of("lease"), Column::value("value")];

/// Who is first and who waits; exits with 1 if nobody is. Without a name, all there are.
pub(super) async fn show(
    client: &Client,
    out: Out,
    kind: QueueKind,
    name: Option<&str>,
) -> Result<(), Failed> {
    let Some(name) = name else { return list(client, out, kind).await };
    let query = Query::Queue { kind, name: Bytes::from(name.to_owned()), when: When::Now };
    let (answer, _) = client.query(query, ReadOptions::default()).await?;
    let Answer::Queue(queue) = answer else { return Err(Failed::strange("a question for a queue")) };
    let Some(holder) = queue.holder else { return Err(Failed::NotThere) };
    let mut rows = out.rows(&PLACES);
    for (place, PlaceInfo { lease, token, value, .. }) in
        (0_u64..).zip(std::iter::once(&holder).chain(&queue.places))
    {
        rows.push(&[place.into(), (*token).into(), Cell::lease(*lease), value.into()])?;
    }
    rows.end(&[])?;
    let left_out = queue.waiting.saturating_sub(queue.places.len() as u64);
    if left_out > 0 {
        eprintln!("and {left_out} more");
    }
    Ok(())
}

const QUEUES: [Column; 5] = [
    Column::value("name"),
    Column::of("token"),
    Column::of("lease"),
    Column::of("waiting"),
    Column::of("value"),
];

async fn list(client: &Client, out: Out, kind: QueueKind) -> Result<(), Failed> {
    let mut rows = out.rows(&QUEUES);
    let mut after = Bytes::new();
    loop {
        let query = Query::Queues { kind, after, limit: 0 };
        let (answer, _) = client.query(query, ReadOptions::default()).await?;
        let Answer::Queues { queues, more } = answer else {
            return Err(Failed::strange("a question for queues"));
        };
        for (name, queue) in &queues {
            let PlaceInfo { lease, token, value, .. } = queue.holder.clone().unwrap_or_default();
            rows.push(&[name.into(), token.into(), Cell::text(lease), queue.waiting.into(), value.into()])?;
        }
        match queues.last() {
            Some((name, _)) if more => after = name.clone(),
            Some(_) | None => return rows.end(&[]),
        }
    }
}

const OFFICE: [Column; 3] = [Column::of("token"), Column::of("lease"), Column::value("value")];

/// Prints who is in office, and again whenever that changes, until interrupted, which is a good end.
pub(super) async fn observe(
    client: &Client,
    out: Out,
    name: &str,
    signals: &mut Interrupts,
) -> Result<(), Failed> {
    let mut observer = client.observe(name.to_owned().into_bytes());
    let mut rows = out.rows(&OFFICE).headless().live();
    let again = async {
        loop {
            match observer.next().await? {
                Some(office) => {
                    rows.push(&[office.token.into(), Cell::lease(office.lease), office.value.into()])?;
                }
                None => {
                    let nobody = Cell::Parts("nobody".to_owned(), "null".to_owned());
                    rows.push(&[nobody, Cell::LeftOut, Cell::LeftOut])?;
                }
            }
        }
    };
    tokio::select! {
        failed = again => return failed,
        _ = signals.next() => {}
    }
    rows.end(&[])
}

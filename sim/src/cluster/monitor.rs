//! Who leads, looked at all the time and written to the timeline when it changes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_client::Client;

use super::report::Timeline;

/// How often it is looked, and how long a node may take to answer.
const LOOK: Duration = Duration::from_millis(250);

/// Looks until it is dropped.
#[derive(Debug)]
pub(super) struct Monitor {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Of the nodes that these endpoints may have.
    pub(super) fn start(endpoints: Vec<String>, timeline: Timeline) -> io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let look = move || runtime.block_on(look(&endpoints, &timeline, &told));
        let thread = std::thread::Builder::new().name("monitor".to_owned()).spawn(look)?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn look(endpoints: &[String], timeline: &Timeline, over: &AtomicBool) {
    let builder = Client::builder(endpoints.to_vec()).timeout(LOOK).wait_for_cluster(true);
    let Ok(client) = builder.build() else { return };
    let mut last = None;
    while !over.load(Ordering::Relaxed) {
        for endpoint in endpoints {
            let Ok(status) = client.status(endpoint).await else { continue };
            let leads = status.ready && status.leader == Some(status.node.id);
            if leads && last.is_none_or(|(term, _)| term < status.term) {
                last = Some((status.term, status.node.id));
                timeline.quiet_line(format_args!("node {} leads in term {}", status.node.id, status.term));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    client.close().await;
}

//! What a node says of itself when it is examined: for `holdfast doctor`.
//!
//! # Who reads what
//! What the node knows is written down on its thread, within a turn. What the operating system knows is read on another thread,
//! since a sick disk may let it wait for ever; and so are the histograms, which take a while to copy. One look at the system at a
//! time: if one hangs, the next waits for it as long as it would wait for the system itself, and says then that there was no
//! answer. So a disk that hangs costs one thread, however often somebody asks.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use holdfast_command::{FeatureLevel, Setting};
use holdfast_wal::stats::Stats;
use holdfast_wire::message::{Examined, Figure};
use holdfast_wire::{Message, NodeIdentity};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::TICK;
use super::clients::CLIENTS_MAX;
use super::hub::{Event, Hub};
use crate::doctor::system::{self, System};
use crate::node::{Caller, Node, limits};

/// How long the file system is waited for. A healthy one answers within microseconds; one that is this slow is sick.
pub(super) const SYSTEM_PATIENCE: Duration = Duration::from_secs(2);

/// Examinations under way at once: each waits for the system at most [`SYSTEM_PATIENCE`], and somebody reads what it says.
const EXAMINATIONS_MAX: usize = 32;

/// Nanoseconds in a microsecond.
const NANOS: u64 = 1_000;

/// What the node knew of itself at one moment.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) node: NodeIdentity,
    pub(super) figures: Vec<(Figure, u64, u64)>,
    pub(super) wal: Stats,
    /// By peer, in microseconds.
    pub(super) round_trips: BTreeMap<u64, Histogram<u64>>,
}

/// Has the system looked at, one look at a time, whoever asks. Clones take turns.
#[derive(Clone, Debug)]
pub(crate) struct Looker {
    data_dir: Arc<Path>,
    looking: Arc<Semaphore>,
    /// What looks, and how long it is waited for.
    eye: fn(&Path) -> System,
    patience: Duration,
}

impl Looker {
    /// For the node in this directory.
    pub(super) fn new(data_dir: &Path) -> Self {
        Self::with(data_dir, system::look, SYSTEM_PATIENCE)
    }

    fn with(data_dir: &Path, eye: fn(&Path) -> System, patience: Duration) -> Self {
        Self { data_dir: data_dir.into(), looking: Arc::new(Semaphore::new(1)), eye, patience }
    }

    /// What the system says; `None` if it does not answer in time.
    pub(crate) async fn look(&self) -> Option<System> {
        let look = async {
            // Held until the look is over, which may be long after nobody waits for it any more.
            let turn = Arc::clone(&self.looking).acquire_owned().await.ok()?;
            let (directory, eye) = (Arc::clone(&self.data_dir), self.eye);
            let looked = tokio::task::spawn_blocking(move || {
                let system = eye(&directory);
                drop(turn);
                system
            });
            looked.await.ok()
        };
        timeout(self.patience, look).await.ok().flatten()
    }
}

/// Completes what the node knows of itself.
#[derive(Debug)]
pub(super) struct Examiner {
    looker: Looker,
    under_way: Cell<usize>,
}

impl Examiner {
    /// One that looks by this one.
    pub(super) fn new(looker: Looker) -> Rc<Self> {
        Rc::new(Self { looker, under_way: Cell::new(0) })
    }

    /// Whether as many examinations are under way as may be.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.get() >= EXAMINATIONS_MAX
    }

    /// Completes what the node knew, beside its loop, and has it answered.
    pub(super) fn examine(self: &Rc<Self>, hub: &Rc<Hub>, caller: Caller, known: Known) {
        let (own, hub) = (Rc::clone(self), Rc::clone(hub));
        own.under_way.set(own.under_way.get() + 1);
        tokio::task::spawn_local(async move {
            let answer = own.complete(known).await;
            own.under_way.set(own.under_way.get() - 1);
            hub.call(Event::Answer(caller, answer));
        });
    }

    async fn complete(&self, known: Known) -> Message {
        let Known { node, mut figures, wal, round_trips } = known;
        figures.push((Figure::AskedAt, 0, time_of_day()));
        let measured = tokio::task::spawn_blocking(move || measured(&wal, &round_trips));
        let (system, measured) = tokio::join!(self.looker.look(), measured);
        // A panic there takes its figures with it, and nothing else.
        figures.extend(measured.unwrap_or_default());
        let mut words = Vec::new();
        match system {
            Some(system) => {
                figures.extend(system.figures.into_iter().map(|(figure, value)| (figure, 0, value)));
                words = system.words;
            }
            None => {
                figures.push((Figure::Silent, 0, 1));
                words.push((Figure::DataDirectory, self.looker.data_dir.display().to_string()));
            }
        }
        figures.push((Figure::AnsweredAt, 0, time_of_day()));
        Examined::new(node, figures, words.iter().map(|(figure, word)| (*figure, &**word))).into()
    }
}

/// Microseconds since 1970, as this machine has them: for comparing clocks, and nothing is decided by it.
fn time_of_day() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// What was measured, in figures.
fn measured(wal: &Stats, round_trips: &BTreeMap<u64, Histogram<u64>>) -> Vec<(Figure, u64, u64)> {
    let sync = wal.snapshot().batches.sync_nanos;
    let mut figures = vec![
        (Figure::Syncs, 0, sync.len()),
        (Figure::SyncP50Us, 0, sync.value_at_quantile(0.5) / NANOS),
        (Figure::SyncP99Us, 0, sync.value_at_quantile(0.99) / NANOS),
        (Figure::SyncMaxUs, 0, sync.max() / NANOS),
    ];
    for (peer, measured) in round_trips {
        figures.extend([
            (Figure::RoundTrips, *peer, measured.len()),
            (Figure::RoundTripP50Us, *peer, measured.value_at_quantile(0.5)),
            (Figure::RoundTripP99Us, *peer, measured.value_at_quantile(0.99)),
        ]);
    }
    figures
}

/// What the node's own thread knows. `wall_ms` is its time of day.
pub(super) fn figures_of(node: &Node, wall_ms: u64) -> Vec<(Figure, u64, u64)> {
    let (core, store) = (node.core(), node.store());
    let (config, settings) = (core.config(), store.settings());
    let tick_ms = u64::try_from(TICK.as_millis()).unwrap_or(u64::MAX);
    let due = store.compaction_due().map_or(0, |revision| revision.saturating_sub(store.oldest()));
    let snapshot = core.snapshot();
    let diverged = match node.doubts() {
        Some(holdfast_command::Refusal::Diverged { index }) => index,
        Some(_) | None => 0,
    };
    let figures = [
        (Figure::ElectionMs, u64::from(config.election_ticks) * tick_ms),
        (Figure::HeartbeatMs, u64::from(config.heartbeat_ticks) * tick_ms),
        (Figure::LatestLevel, FeatureLevel::LATEST.0.into()),
        (Figure::StampAheadMs, store.stamp().millis().get().saturating_sub(wall_ms)),
        (Figure::StampBoundMs, limits::DRIFT_MS),
        (Figure::Damaged, core.damaged().into()),
        (Figure::HardStateLost, core.hard_state_lost().into()),
        (Figure::DiskStalled, core.disk_stalled().into()),
        (Figure::DivergedAt, diverged),
        (Figure::SnapshotIndex, snapshot.map_or(0, |snapshot| snapshot.last.index.0)),
        (Figure::SnapshotBytes, snapshot.map_or(0, |snapshot| snapshot.bytes)),
        (Figure::AuditFailing, node.is_audit_failing().into()),
        (Figure::AuditWaitingBytes, node.audit_outstanding_bytes() as u64),
        (Figure::AuditWaitingMax, limits::AUDIT_BYTES_MAX as u64),
        (Figure::Leases, store.lease_count() as u64),
        (Figure::LeasesMax, settings.get(Setting::Leases)),
        (Figure::Sessions, store.sessions().count() as u64),
        (Figure::SessionsMax, settings.get(Setting::Sessions)),
        (Figure::HistoryBytes, store.history_bytes()),
        (Figure::HistoryBytesMax, settings.get(Setting::HistoryBytes)),
        (Figure::HistoryAgeMaxMs, settings.get(Setting::HistoryAge)),
        (Figure::CompactionDue, due),
        (Figure::ClientsMax, CLIENTS_MAX as u64),
    ];
    figures.into_iter().map(|(figure, value)| (figure, 0, value)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::RwLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// The disk answers while nobody holds it.
    static DISK: RwLock<()> = RwLock::new(());
    static LOOKS: AtomicUsize = AtomicUsize::new(0);

    fn sick(_: &Path) -> System {
        LOOKS.fetch_add(1, Ordering::SeqCst);
        drop(DISK.read());
        System { figures: vec![(Figure::FreeBytes, 7)], words: Vec::new() }
    }

    /// Real time, since a thread that hangs knows no other: a little of it for what hangs, and a minute at most for what does not.
    #[test]
    fn a_disk_that_hangs_is_said_to_be_silent_and_costs_one_thread_however_often_it_is_asked() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let hasty = Looker::with(Path::new("/anywhere"), sick, Duration::from_millis(20));
        let held = DISK.write().expect("nobody panicked");
        runtime.block_on(async {
            for _ in 0..5 {
                assert!(hasty.look().await.is_none());
            }
            while LOOKS.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(LOOKS.load(Ordering::SeqCst), 1, "the others waited for the first");
        });
        drop(held);
        runtime.block_on(async {
            // The look that hung ends now, and whoever asks next gets an answer.
            let patient = Looker { patience: Duration::from_secs(60), ..hasty };
            let system = patient.look().await.expect("it answers again");
            assert_eq!((system.figures.len(), LOOKS.load(Ordering::SeqCst)), (1, 2));
        });
    }
}

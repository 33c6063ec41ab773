//! The word that a run is to end early: from the terminal, or from the system.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether somebody has said so. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopped(Arc<AtomicBool>);

impl Stopped {
    /// Said at the first interrupt or termination of this process.
    pub(super) fn on_signal() -> std::io::Result<Self> {
        let stopped = Self::default();
        let told = stopped.clone();
        let watch = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                use tokio::signal::unix::{SignalKind, signal};
                let mut interrupt = signal(SignalKind::interrupt())?;
                let mut terminate = signal(SignalKind::terminate())?;
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                told.0.store(true, Ordering::Relaxed);
                std::io::Result::Ok(())
            })
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
        Ok(stopped)
    }

    /// Whether it was said.
    pub(super) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

//! What another configuration changes in a node that runs.
//!
//! All or nothing: a file that is broken, or a rule that would be, leaves everything as it was. Of what is fine, the options
//! that a node can follow act at once; the others are named, each time, for as long as they differ from what the node runs with.

use super::layers::{Config, Setting, Sources, load};
use super::origin::{ConfigError, Origin};
use super::table::{OPTIONS, Opt};
use crate::logging::{Log, UNLIMITED};
use crate::runtime::Live;

/// An option whose value is another one.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which option.
    pub option: &'static Opt,
    /// What the node has; `None` for nothing.
    pub old: Option<Setting>,
    /// What it is to have.
    pub new: Option<Setting>,
}

impl Change {
    /// A value for people.
    fn shown(setting: Option<&Setting>) -> String {
        setting.map_or_else(|| "(none)".to_owned(), |setting| setting.value.to_string())
    }

    /// The value that the node has, for people.
    #[must_use]
    pub fn was(&self) -> String {
        Self::shown(self.old.as_ref())
    }

    /// The value that it is to have.
    #[must_use]
    pub fn becomes(&self) -> String {
        Self::shown(self.new.as_ref())
    }

    /// Who wants it so.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        self.new.as_ref().map_or(&Origin::Default, |setting| &setting.origin)
    }
}

/// What differs, in the order of the table.
#[must_use]
pub fn changes(running: &Config, wanted: &Config) -> Vec<Change> {
    let value = |setting: &Option<&Setting>| setting.map(|setting| setting.value.clone());
    let differing = OPTIONS.iter().filter_map(|option| {
        let (old, new) = (running.get(option.key), wanted.get(option.key));
        (value(&old) != value(&new)).then(|| Change { option, old: old.cloned(), new: new.cloned() })
    });
    differing.collect()
}

impl Config {
    /// Takes over what a node that runs can follow. The rest stays what it runs with.
    pub fn take_over(&mut self, changes: &[Change]) {
        for Change { option, new, .. } in changes.iter().filter(|change| change.option.live) {
            match new {
                Some(setting) => drop(self.settings.insert(option.key, setting.clone())),
                None => drop(self.settings.remove(option.key)),
            }
        }
    }
}

/// What is needed to read a configuration once more.
#[derive(Debug)]
pub(crate) struct Reloader {
    pub(crate) sources: Sources,
    /// What the node runs with.
    pub(crate) running: Config,
    pub(crate) live: Live,
    pub(crate) log: Log,
}

impl Reloader {
    /// Reads all layers again, and says of each difference what becomes of it.
    pub(crate) fn reload(&mut self) {
        if let Err(wrong) = self.try_reload() {
            for error in wrong {
                tracing::error!(target: UNLIMITED, %error, "the configuration is not reloaded, and all is as it was");
            }
        }
    }

    fn try_reload(&mut self) -> Result<(), Vec<ConfigError>> {
        let wanted = load(&self.sources, std::env::vars_os())?;
        wanted.options()?;
        for warning in &wanted.warnings {
            tracing::warn!(target: UNLIMITED, "configuration: {warning}");
        }
        let changes = changes(&self.running, &wanted);
        self.running.take_over(&changes);
        self.running.live(&self.live).map_err(|error| vec![error])?;
        self.log.limit(self.running.log_rate());
        for change in &changes {
            let Change { option: Opt { key, live, .. }, .. } = change;
            let (old, new, origin) = (change.was(), change.becomes(), change.origin());
            if *live {
                tracing::info!(key, old, new, %origin, "configuration: {key} {old} → {new}");
            } else {
                tracing::warn!(
                    target: UNLIMITED, key, old, new, %origin,
                    "configuration: {key} changed in {origin}: takes effect at the next start"
                );
            }
        }
        for drill in self.running.drills() {
            tracing::warn!(target: UNLIMITED, "DRILL: {drill}");
        }
        // Last: the lines above are still chosen by the filter that was.
        if changes.iter().any(|change| change.option.key == "log")
            && let Some(filter) = self.running.text("log")
            && let Err(error) = self.log.choose(&filter)
        {
            tracing::error!(target: UNLIMITED, error, "the filter of the log is as it was");
        }
        tracing::info!(target: UNLIMITED, changes = changes.len(), "configuration reloaded");
        Ok(())
    }
}

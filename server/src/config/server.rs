//! A configuration as the options of a node, and the rules between them.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::layers::{Config, Setting};
use super::origin::ConfigError;
use super::table::OPTIONS;
use super::units::show_duration;
use super::value::Value;
use crate::audit::AuditPolicy;
use crate::node::SnapshotPolicy;
use crate::runtime::{Live, Options, TICK};

/// What is listened on; each would be plaintext.
const LISTENERS: [&str; 3] = ["listen_client", "listen_peer", "listen_http"];

impl Config {
    /// An option and who says so; `None` if it has no value.
    #[must_use]
    pub fn get(&self, key: &'static str) -> Option<&Setting> {
        self.settings.get(key)
    }

    fn value(&self, key: &'static str) -> Result<&Value, ConfigError> {
        self.get(key).map(|setting| &setting.value).ok_or(ConfigError::Missing { key })
    }

    fn count(&self, key: &'static str) -> Result<u64, ConfigError> {
        if let Value::Count(number) | Value::Size(number) = self.value(key)? {
            return Ok(*number);
        }
        Err(ConfigError::Missing { key })
    }

    fn duration(&self, key: &'static str) -> Result<Duration, ConfigError> {
        if let Value::Duration(duration) = self.value(key)? {
            Ok(*duration)
        } else {
            Err(ConfigError::Missing { key })
        }
    }

    fn nodes(&self, key: &'static str) -> Result<BTreeSet<u64>, ConfigError> {
        if let Value::Nodes(nodes) = self.value(key)? {
            Ok(nodes.clone())
        } else {
            Err(ConfigError::Missing { key })
        }
    }

    fn switch(&self, key: &'static str) -> Result<bool, ConfigError> {
        Ok(*self.value(key)? == Value::Switch(true))
    }

    /// The text of an option that has one; `off` counts as none where it means that.
    pub(crate) fn text(&self, key: &'static str) -> Option<String> {
        let is_off = |text: &String| key == "listen_http" && text == "off";
        let Value::Text(text) = &self.get(key)?.value else { return None };
        Some(text.clone()).filter(|text| !is_off(text))
    }

    /// What a node that runs follows.
    ///
    /// # Errors
    /// [`ConfigError::Missing`], which no default allows.
    pub fn live(&self, live: &Live) -> Result<(), ConfigError> {
        live.set_slow_request(self.duration("slow_request")?);
        live.set_snapshots(self.snapshots()?);
        live.set_sync_delay(self.duration("drill_sync_delay")?);
        live.set_cut(self.nodes("drill_cut")?);
        Ok(())
    }

    fn snapshots(&self) -> Result<SnapshotPolicy, ConfigError> {
        Ok(SnapshotPolicy {
            entries: self.count("snapshot_entries")?,
            bytes: self.count("snapshot_size")?,
            bytes_max: self.count("snapshot_size_max")?,
        })
    }

    /// How many lines of one kind are logged in a second.
    pub(crate) fn log_rate(&self) -> u32 {
        self.count("log_rate").ok().and_then(|rate| u32::try_from(rate).ok()).unwrap_or(0)
    }

    /// The options of a node.
    ///
    /// # Errors
    /// All rules that are broken.
    pub fn options(&self) -> Result<Options, Vec<ConfigError>> {
        let missing = OPTIONS.iter().filter(|option| option.required && self.get(option.key).is_none());
        let mut wrong: Vec<ConfigError> =
            missing.map(|option| ConfigError::Missing { key: option.key }).collect();
        wrong.extend(self.plaintext());
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let options = self.build().map_err(|error| vec![error])?;
        options.validate().map_err(|error| vec![ConfigError::Rule(error.to_string())])?;
        if options.learner && options.join.is_empty() {
            let rule = "`learner` is for a node that joins a cluster: give it `join` as well";
            return Err(vec![ConfigError::Rule(rule.to_owned())]);
        }
        if self.nodes("drill_cut").is_ok_and(|nodes| nodes.contains(&options.node)) {
            let rule = format!("`drill_cut` names node {}, which is this one", options.node);
            return Err(vec![ConfigError::Rule(rule)]);
        }
        Ok(options)
    }

    fn build(&self) -> Result<Options, ConfigError> {
        let ticks =
            |duration: Duration| u32::try_from(duration.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX);
        let Value::Path(data_dir) = self.value("data_dir")? else {
            return Err(ConfigError::Missing { key: "data_dir" });
        };
        let initial_cluster =
            if let Value::Members(list) = self.value("initial_cluster")? { list.clone() } else { Vec::new() };
        let join = if let Value::Addresses(list) = self.value("join")? { list.clone() } else { Vec::new() };
        let text = |key| self.text(key).ok_or(ConfigError::Missing { key });
        let live = Live::default();
        self.live(&live)?;
        Ok(Options {
            cluster: text("cluster")?,
            listen_client: text("listen_client")?,
            listen_peer: text("listen_peer")?,
            listen_http: self.text("listen_http"),
            advertise_client: self.text("advertise_client"),
            advertise_peer: self.text("advertise_peer"),
            advertise_http: self.text("advertise_http"),
            initial_cluster,
            join,
            learner: self.switch("learner")?,
            heartbeat_ticks: ticks(self.duration("heartbeat")?),
            election_ticks: ticks(self.duration("election")?),
            segment_bytes: self.count("segment_size")?,
            audit: AuditPolicy {
                total_bytes: self.count("audit_size")?,
                age_ms: u64::try_from(self.duration("audit_age")?.as_millis()).unwrap_or(u64::MAX),
                ..AuditPolicy::default()
            },
            snapshots: self.snapshots()?,
            retain_bytes: usize::try_from(self.count("retain")?).unwrap_or(usize::MAX),
            live,
            ..Options::new(self.count("node_id")?, data_dir)
        })
    }

    /// What listens where others can reach it, unless that is meant.
    fn plaintext(&self) -> Vec<ConfigError> {
        if self.switch("allow_plaintext").unwrap_or(false) {
            return Vec::new();
        }
        let exposed = self.exposed().into_iter();
        exposed
            .filter_map(|(key, address)| {
                let origin = self.get(key)?.origin.clone();
                Some(ConfigError::Plaintext { origin, key, address })
            })
            .collect()
    }

    /// What listens beyond loopback, and where.
    #[must_use]
    pub fn exposed(&self) -> Vec<(&'static str, String)> {
        let listens = LISTENERS.into_iter().filter_map(|key| Some((key, self.text(key)?)));
        listens.filter(|(_, address)| !is_loopback(address)).collect()
    }

    /// The drills that are on: each makes the node worse than it is, on purpose.
    #[must_use]
    pub fn drills(&self) -> Vec<String> {
        let mut drills = Vec::new();
        if let Ok(delay) = self.duration("drill_sync_delay")
            && !delay.is_zero()
        {
            let delay = show_duration(delay);
            drills.push(format!(
                "drill_sync_delay {delay}: each sync of the log takes {delay} longer on purpose"
            ));
        }
        if let Ok(nodes) = self.nodes("drill_cut")
            && !nodes.is_empty()
        {
            let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
            let nodes = nodes.join(",");
            drills.push(format!("drill_cut {nodes}: no connection with these nodes, on purpose"));
        }
        drills
    }

    /// That a node would find what it needs on this machine. Changes nothing.
    ///
    /// # Errors
    /// [`ConfigError::Read`], [`ConfigError::Rule`].
    pub fn check_places(&self) -> Result<(), ConfigError> {
        let Value::Path(path) = self.value("data_dir")? else {
            return Err(ConfigError::Missing { key: "data_dir" });
        };
        let failed = |path: &Path, error| ConfigError::Read { path: path.to_owned(), error };
        match fs::read_dir(path) {
            Ok(_) => {
                let lock = path.join(holdfast_wal::disk::RealDisk::LOCK_FILE);
                match fs::OpenOptions::new().write(true).open(&lock) {
                    Ok(_) => Ok(()),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                    Err(error) => Err(failed(&lock, error)),
                }
            }
            // It is made at the first start, if what it is to stand in is there.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let above = path.ancestors().skip(1).find(|above| above.exists());
                match above {
                    Some(above) if !above.is_dir() => {
                        Err(ConfigError::Rule(format!("{}: is no directory", above.display())))
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Err(error) => Err(failed(path, error)),
        }
    }
}

/// Whether only this machine reaches an address. A name may mean anything, but for `localhost`.
fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

//! What can be chosen about a client.

use std::time::Duration;

use bytestring::ByteString;

use crate::core::Config;
use crate::{Client, Error};

/// How a client behaves. Each choice has a default that suits most; see the methods.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) endpoints: Vec<String>,
    pub(crate) config: Config,
    pub(crate) seed: Option<u64>,
}

impl Builder {
    pub(crate) fn new(endpoints: Vec<String>) -> Self {
        Self { endpoints, config: Config::default(), seed: None }
    }

    /// A name for the logs and the audit trail of the cluster, up to 256 bytes. Default: `holdfast-client`.
    #[must_use]
    pub fn name(mut self, name: impl Into<ByteString>) -> Self {
        self.config.name = name.into();
        self
    }

    /// How long a call may take in all, retries included, unless it says so itself. [`Duration::MAX`] for no limit.
    /// Default: 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout_ms = millis(timeout);
        self
    }

    /// How long a connection may take until the node has welcomed this client. Default: 1.5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_ms = millis(timeout);
        self
    }

    /// How long a node may be silent while calls are under way, before it is given up and others are asked; it is sent
    /// a Ping at half of it. A node that answers Pings and not the calls is waited for. Default: 1.5 s.
    #[must_use]
    pub fn silence_timeout(mut self, timeout: Duration) -> Self {
        self.config.silence_ms = millis(timeout);
        self
    }

    /// How long the session outlives the last sign of this client. It is renewed at a third of that. If the cluster
    /// allows only more or less, the client takes the nearest that it allows. Default: 60 s.
    #[must_use]
    pub fn session_ttl(mut self, ttl: Duration) -> Self {
        self.config.session_ttl_ms = millis(ttl);
        self
    }

    /// How many writes of the session may be under way at once, counted from the oldest: at most the replicated setting
    /// `SessionWindow`, whose default is the default here: 1,024. Further writes wait for their turn.
    #[must_use]
    pub fn session_window(mut self, writes: u32) -> Self {
        self.config.session_window = writes.max(1).into();
        self
    }

    /// Whether writes are sent within a session unless a call says so itself. Default: yes.
    #[must_use]
    pub fn exactly_once(mut self, exactly_once: bool) -> Self {
        self.config.exactly_once = exactly_once;
        self
    }

    /// Go on trying until the deadline also if nothing listens at any endpoint: for programs that start together with
    /// the cluster. Without it, a call fails at once as long as no endpoint has ever been reached, and each of them has
    /// refused twice in a row. Default: no.
    #[must_use]
    pub fn wait_for_cluster(mut self, wait: bool) -> Self {
        self.config.wait_for_cluster = wait;
        self
    }

    /// How many calls may be under way or waiting at once; the next fails with [`Kind::Overloaded`](crate::Kind).
    /// Default: 4,096; at most 1,048,576.
    #[must_use]
    pub fn calls_max(mut self, calls: u32) -> Self {
        self.config.calls_max = calls.clamp(1, 1 << 20);
        self
    }

    /// How many bytes of requests may be under way or waiting at once; a call that would bring it above that fails with
    /// [`Kind::Overloaded`](crate::Kind), unless it is the only one. Default: 64 MiB.
    #[must_use]
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.config.bytes_max = bytes;
        self
    }

    /// The seed of all randomness: the order of endpoints and the jitter of waits. Default: from the system.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The client, not connected yet: the first call connects it. Has to be called within a tokio runtime, on which its
    /// tasks run.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind) if there are no endpoints, more than 64, or one is not `host:port`; or if the
    /// name is too long.
    pub fn build(self) -> Result<Client, Error> {
        Client::start(self)
    }

    /// The client, once one endpoint has welcomed it.
    ///
    /// # Errors
    /// As [`build`](Self::build), and why no endpoint could be reached.
    pub async fn connect(self) -> Result<Client, Error> {
        let client = self.build()?;
        client.connected().await?;
        Ok(client)
    }
}

/// Whole milliseconds; what does not fit is for ever.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

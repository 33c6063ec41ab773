//! What can be chosen, and the bounds that cannot.

use bytestring::ByteString;

/// How the core behaves; [`Builder`](crate::Builder) explains each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A name for the logs of the cluster.
    pub name: ByteString,
    /// How long a call may take unless it says so itself; [`u64::MAX`] for no limit.
    pub timeout_ms: u64,
    /// From the dial to the Welcome.
    pub connect_ms: u64,
    /// How long a node that owes an answer may be silent.
    pub silence_ms: u64,
    /// How long the session outlives the last sign of this client.
    pub session_ttl_ms: u64,
    /// How many sequences of the session may be under way.
    pub session_window: u64,
    /// Whether writes are sent within a session unless they say so themselves.
    pub exactly_once: bool,
    /// Whether to go on trying where nothing listens.
    pub wait_for_cluster: bool,
    /// The most calls at once, up to 2^20.
    pub calls_max: u32,
    /// The most bytes of requests at once.
    pub bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: ByteString::from_static("holdfast-client"),
            timeout_ms: 5_000,
            connect_ms: 1_500,
            silence_ms: 1_500,
            session_ttl_ms: 60_000,
            session_window: 1_024,
            exactly_once: true,
            wait_for_cluster: false,
            calls_max: 4_096,
            bytes_max: 64 << 20,
        }
    }
}

/// The most endpoints that a client is made with.
pub const ENDPOINTS_MAX: usize = 64;

/// The most endpoints that are learned besides, from hints at the leader and from calls that name one.
pub const LEARNED_MAX: usize = 16;

/// The last so many tries of a call are told in its error.
pub const ATTEMPTS_MAX: usize = 8;

/// The wait before the second try of a call, about; each further one is twice as long.
pub(crate) const RETRY_MS: u64 = 10;

/// The longest wait between two tries, unless a node asks for a longer one.
pub(crate) const RETRY_MAX_MS: u64 = 500;

/// The longest wait between the first tries, and how many these are: about a second, in which mostly another leader is found. With
/// the longer wait from the start, every third call noticed it half a second late.
pub(crate) const RETRY_SOON: (u64, u32) = (100, 12);

/// So many hints at a leader are followed at once, without a wait, before one call waits between them: two nodes may
/// send it to each other for ever.
pub(crate) const REDIRECTS_MAX: u8 = 3;

/// So often in a row each endpoint has to refuse before calls fail at once: the second try is for a node that restarts.
pub(crate) const HARD_FAILURES: u32 = 2;

/// A write that was refused with its session unknown is sent in a new one so often.
pub(crate) const SESSIONS_PER_CALL: u8 = 3;

/// How long closing may take once no call is under way.
pub(crate) const CLOSE_MS: u64 = 1_000;

/// Answers up to so many bytes are copied out of the buffer they were read into, so that a small value which is kept
/// does not keep 64 KiB alive.
pub(crate) const COPY_MAX: usize = 4_096;

//! How much watches may take, each bound with its reason.

/// Watches of one connection. One costs some 300 bytes beside its keys, and a client that wants more opens another
/// connection, or watches a prefix.
pub const CONNECTION_WATCHES_MAX: usize = 16_384;

/// Watches of one node: some 30 MB.
pub const NODE_WATCHES_MAX: usize = 100_000;

/// Bytes of events that wait for one connection: at 1 KiB an event, what 100,000 writes a second bring in 10 ms. Whoever
/// is further behind reads history, which costs no memory.
pub const CONNECTION_BYTES: usize = 1024 * 1024;

/// Bytes of events that wait for all connections together, although many share them. Beyond, each connection still has one
/// piece of history at a time.
pub const NODE_BYTES: usize = 256 * 1024 * 1024;

/// Bytes of events in one message: so long that what is sent with it costs little, and so short that an answer of the same
/// connection never waits long behind it. A revision that is longer goes in several.
pub const BATCH_BYTES: usize = 128 * 1024;

/// Bytes of events in one piece of history.
pub const PIECE_BYTES: usize = 256 * 1024;

/// Changes looked at for one piece of history on another thread: some 5 ms. A revision is looked at to its end.
pub const PIECE_CHANGES: usize = 65_536;

/// With so many changes left the rest of history is read on the thread of the node: some 0.1 ms.
pub const INLINE_CHANGES: usize = 1_000;

/// Changes looked at in one turn on the thread of the node.
pub const TURN_CHANGES: usize = 8_192;

/// Pieces of history that are read on another thread at once.
pub const READING_MAX: usize = 64;

/// Ticks in which each watch that wants it is told once how far it is: 1 s. In each tick it is the turn of some.
pub const MARK_TICKS: usize = 100;

/// Ticks without a leader after which watches are ended, so that their clients look for a node that knows one: 5 s. A
/// watch at a node that is cut off is silent, which looks like a span in which nothing happens.
pub const LEADERLESS_TICKS: u64 = 500;

/// What an event in a queue costs beside its bytes.
pub const ENTRY_BYTES: usize = 64;

/// The longest event: with it a message stays below the cap of a body.
pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024 - 1024;

/// The bounds that depend on no other, so that tests can have tiny ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// See [`CONNECTION_WATCHES_MAX`].
    pub connection_watches: usize,
    /// See [`NODE_WATCHES_MAX`].
    pub node_watches: usize,
    /// See [`CONNECTION_BYTES`].
    pub connection_bytes: usize,
    /// See [`NODE_BYTES`].
    pub node_bytes: usize,
    /// See [`BATCH_BYTES`].
    pub batch_bytes: usize,
    /// See [`PIECE_BYTES`].
    pub piece_bytes: usize,
    /// See [`PIECE_CHANGES`].
    pub piece_changes: usize,
    /// See [`INLINE_CHANGES`].
    pub inline_changes: usize,
    /// See [`TURN_CHANGES`].
    pub turn_changes: usize,
    /// See [`READING_MAX`].
    pub reading: usize,
    /// See [`MARK_TICKS`].
    pub mark_ticks: usize,
    /// See [`EVENT_BYTES_MAX`].
    pub event_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            connection_watches: CONNECTION_WATCHES_MAX,
            node_watches: NODE_WATCHES_MAX,
            connection_bytes: CONNECTION_BYTES,
            node_bytes: NODE_BYTES,
            batch_bytes: BATCH_BYTES,
            piece_bytes: PIECE_BYTES,
            piece_changes: PIECE_CHANGES,
            inline_changes: INLINE_CHANGES,
            turn_changes: TURN_CHANGES,
            reading: READING_MAX,
            mark_ticks: MARK_TICKS,
            event_bytes: EVENT_BYTES_MAX,
        }
    }
}

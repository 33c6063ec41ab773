//! How much a node takes on, each bound with its reason.

/// Writes that wait to be proposed or to be answered. 1,024 clients with 64 calls each; one costs some 100 bytes beside its
/// request.
pub const WRITES_MAX: usize = 65_536;

/// Bytes of requests that wait to be proposed, or of entries that wait to be answered. With the reserve it stays below what
/// a leader may hold uncommitted (64 MiB), or the core would refuse what the reserve is for.
pub const WRITE_BYTES_MAX: usize = 48 * 1024 * 1024;

/// How many more writes are let in of the kinds that give room or keep promises: deletions, renewals, the end of a session.
pub const RESERVED_WRITES: usize = 8_192;

/// And how many more bytes of them.
pub const RESERVED_BYTES: usize = 8 * 1024 * 1024;

/// Reads that wait: for a confirmation, for the store, for a thread.
pub const READS_MAX: usize = 65_536;

/// Changes of the members that wait to be carried out: operators ask for one at a time.
pub const MEMBER_CHANGES_MAX: usize = 16;

/// Pieces of snapshots that operators wait for: with each, up to half a MiB is on its way to a connection.
pub const SAVES_MAX: usize = 4;

/// Queries that wait for news of locks and elections. One is some 150 bytes and its name.
pub const PARKED_MAX: usize = 65_536;

/// Writes proposed in one turn. At 1 µs each to admit and 1 µs each to apply it bounds a turn to some 10 ms.
pub const TURN_WRITES: usize = 4_096;

/// Bytes of requests proposed in one turn; the last one may go beyond.
pub const TURN_BYTES: usize = 2 * 1024 * 1024;

/// Bytes of an answer to a query, about: some milliseconds of copying. What is left comes with the next query.
pub const ANSWER_BYTES: usize = 1024 * 1024;

/// Reads served in one turn: some 2 ms.
pub const TURN_READS: usize = 2_048;

/// Bytes of answers to reads in one turn; the last one may go beyond. What is left waits for the next turn.
pub const TURN_READ_BYTES: usize = 8 * 1024 * 1024;

/// Entries applied in one turn: some 2 ms.
pub const TURN_APPLIED: usize = 2_048;

/// A deletion or a read that may look at more keys than this leaves the thread of the node: some 1 ms.
pub const INLINE_KEYS: usize = 1_000;

/// A transaction of more bytes than this leaves the thread of the node.
pub const INLINE_BYTES: usize = 256 * 1024;

/// Leases whose end is proposed in one tick. A hundred thousand that end at once take a second.
pub const EXPIRIES: usize = 1_024;

/// Ticks between two reports of digests when nothing was added to them: 200 ms, for those who have missed the last.
pub const DIGEST_TICKS: u64 = 20;

/// Digests in one report, the newest ones: what a member misses of them while it is cut off for as many ranges is covered by
/// the next, since each digest is over all before.
pub const DIGESTS_TOLD: usize = 16;

/// Digests kept of what one peer has told: those that this node has not come to yet, and the last ones.
pub const DIGESTS_HEARD: usize = 64;

/// Superseded versions freed in one turn.
pub const SWEEP_VERSIONS: usize = 1_024;

/// After how many milliseconds a refused client may come again: two heartbeats.
pub const RETRY_AFTER_MS: u32 = 100;

/// The same where another node leads, or nobody: an election takes some 60 ms when the process of the leader has died.
pub const LEADER_AFTER_MS: u32 = 25;

/// Milliseconds that a call waits at most, also if its client named no limit or a longer one: clients that are gone must
/// not wait here for ever.
pub const CALL_MS_MAX: u32 = 300_000;

/// Ticks between two looks for calls whose time is over: 50 ms.
pub const TIMEOUT_TICKS: u64 = 5;

/// Ticks between two looks for what a leader does by itself (clock entries, compaction, feature level): half a second, so
/// that a clock entry is never later than a second after the one before.
pub const CHORE_TICKS: u64 = 50;

/// Ticks between two questions to the leader by which a node knows how old its state can be, when no client asks: half a
/// second. A multiple of [`TIMEOUT_TICKS`]; a node that has no answer yet asks that often.
pub const PROBE_TICKS: u64 = 50;

/// Entries that are applied before the next snapshot is taken, unless the last one was large: some hundred milliseconds to
/// apply again at a start.
pub const SNAPSHOT_ENTRIES: u64 = 250_000;

/// Bytes of entries that are applied before the next snapshot is taken: as much as the core keeps behind a snapshot.
pub const SNAPSHOT_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of entries behind which the next snapshot is taken however large the last one was: they are kept on the disk, and a
/// start applies them again, a million small ones a second.
pub const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// What an entry counts towards the size of the last snapshot beside its bytes: what reading and applying it costs at a start whatever
/// it carries.
pub const ENTRY_BYTES: u64 = 128;

/// Ticks until a snapshot is tried again that could not be written: 10 s.
pub const SNAPSHOT_RETRY_TICKS: u64 = 1_000;

/// Bytes of audit records that were made and are not in a file yet; beyond it nothing is applied. Some hundred thousand
/// records: what a disk that stalls for seconds leaves waiting.
pub const AUDIT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of audit records that are handed over at once, however soon they have come together.
pub const AUDIT_PIECE_BYTES: usize = 256 * 1024;

/// Ticks after which less than that is handed over as well: 100 ms. Whoever asks for records sees all of them at once.
pub const AUDIT_TICKS: u64 = 10;

/// Ticks until the audit log is synced again, if that has failed: 1 s.
pub const AUDIT_RETRY_TICKS: u64 = 100;

/// Queries of the audit log under way: each may read some MiB of files for 0.1 s, and records wait behind it to be written.
pub const AUDIT_READS_MAX: usize = 8;

/// Refused writes that are noted in 100 ms; the rest is counted.
pub const REFUSED_NOTED: usize = 64;

/// Slow requests that are told in one turn; the rest is counted.
pub const SLOW_NOTED: usize = 16;

/// A stamp further ahead of the time of day than this is reported.
pub const DRIFT_MS: u64 = 1_000;

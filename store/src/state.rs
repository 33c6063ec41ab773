//! All that is replicated, in one place.

use bytes::Bytes;
use holdfast_command::{FeatureLevel, Refusal, Reply, Settings};
use holdfast_hlc::Stamp;

use crate::idempotency::IdempotencyKeys;
use crate::keys::Keys;
use crate::leases::Leases;
use crate::namespaces::Namespaces;
use crate::plant::Plant;
use crate::queues::{Queues, Touched};
use crate::sessions::Sessions;
use crate::trail::Trail;
use crate::version::Origin;

/// The replicated state. A clone costs a few counters.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) keys: Keys,
    pub(crate) namespaces: Namespaces,
    pub(crate) settings: Settings,
    pub(crate) level: FeatureLevel,
    pub(crate) sessions: Sessions,
    pub(crate) idempotency: IdempotencyKeys,
    pub(crate) leases: Leases,
    pub(crate) queues: Queues,
    pub(crate) trail: Trail,
    /// The cluster clock, in milliseconds.
    pub(crate) clock: u64,
    /// The highest stamp so far.
    pub(crate) stamp: Stamp,
    /// A buffer to encode answers in, empty between entries.
    pub(crate) scratch: Vec<u8>,
    /// What the entry under way has done to queues. Empty between entries.
    pub(crate) touched: Vec<Touched>,
    /// Its audit record. Empty between entries.
    pub(crate) audit: Bytes,
}

impl Default for State {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            namespaces: Namespaces::default(),
            settings: Settings::default(),
            level: FeatureLevel::FIRST,
            sessions: Sessions::default(),
            idempotency: IdempotencyKeys::default(),
            leases: Leases::default(),
            queues: Queues::default(),
            trail: Trail::default(),
            clock: 0,
            stamp: Stamp::MIN,
            scratch: Vec::new(),
            touched: Vec::new(),
            audit: Bytes::new(),
        }
    }
}

/// What each command does. A family is a file that implements this for its commands.
pub(crate) trait Execute {
    /// Executes the command.
    ///
    /// # Errors
    /// Why not; the state is then as it was.
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal>;
}

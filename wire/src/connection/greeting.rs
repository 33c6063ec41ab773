//! May these two talk? One decision table for all four greetings.
//!
//! Each side looks at what the other says of itself and of whom it means to reach, reduces it to
//! [`Facts`], and takes the first row of [`Row`] that applies. Rows are ordered so that the answer names the
//! root of the trouble: a foreign cluster makes everything else meaningless, and a node that reached itself
//! would otherwise be reported as a duplicate of itself.

use holdfast_machine::{Numbered, numbered};

use crate::message::{ClientHello, ClientWelcome, CloseReason, Goodbye, PeerHello, PeerWelcome};
use crate::{ClusterIdentity, NodeIdentity};

numbered! {
    /// The rows of the greeting table; the first that applies decides.
    pub enum Row: u8, "G" {
        /// Credentials came: refuse, this build cannot check any.
        Credentials = 1,
        /// Both name a cluster, and not the same: refuse.
        ForeignCluster = 2,
        /// Same cluster, and the epochs cannot meet (peers: any difference; a client: it has seen a later one): refuse.
        OtherEpoch = 3,
        /// The other side carries our node id and our data directory: refuse, we reached ourselves.
        Reflection = 4,
        /// The other side carries our node id and another data directory: refuse.
        Duplicate = 5,
        /// The caller means another node id, or another one answered: refuse.
        Stranger = 6,
        /// None of these: accept.
        Welcome = 7,
    }
}

/// How the other side's cluster and epoch stand to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterFact {
    /// At least one side names no cluster: a node before formation, a client on its first visit.
    Unnamed,
    /// The same cluster at an epoch that fits.
    Same,
    /// The same cluster at an epoch that does not fit.
    OtherEpoch,
    /// Another cluster.
    Other,
}

/// What the other side's node id and uuid say about us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityFact {
    /// It has another node id than we do, or none (a client).
    Distinct,
    /// Our node id and our uuid.
    Ourselves,
    /// Our node id and another uuid.
    OurId,
}

/// All that the decision looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether credentials came.
    pub credentials: bool,
    /// Cluster and epoch.
    pub cluster: ClusterFact,
    /// Node id and uuid.
    pub identity: IdentityFact,
    /// Whether the dialing side named a node and the accepting side is another one.
    pub misdirected: bool,
}

/// The row that decides.
#[must_use]
pub fn decide(facts: Facts) -> Row {
    match facts {
        Facts { credentials: true, .. } => Row::Credentials,
        Facts { cluster: ClusterFact::Other, .. } => Row::ForeignCluster,
        Facts { cluster: ClusterFact::OtherEpoch, .. } => Row::OtherEpoch,
        Facts { identity: IdentityFact::Ourselves, .. } => Row::Reflection,
        Facts { identity: IdentityFact::OurId, .. } => Row::Duplicate,
        Facts { misdirected: true, .. } => Row::Stranger,
        Facts {
            credentials: false,
            cluster: ClusterFact::Unnamed | ClusterFact::Same,
            identity: IdentityFact::Distinct,
            misdirected: false,
        } => Row::Welcome,
    }
}

impl Row {
    /// What the Goodbye of this row says; `None` for the row that accepts.
    #[must_use]
    pub fn close_reason(self) -> Option<CloseReason> {
        match self {
            Self::Credentials => Some(CloseReason::CredentialsUnsupported),
            Self::ForeignCluster => Some(CloseReason::WrongCluster),
            Self::OtherEpoch => Some(CloseReason::WrongEpoch),
            Self::Reflection => Some(CloseReason::OwnReflection),
            Self::Duplicate => Some(CloseReason::DuplicateNode),
            Self::Stranger => Some(CloseReason::WrongNode),
            Self::Welcome => None,
        }
    }
}

/// How `theirs` stands to `ours`; `fits` compares the epochs of one cluster (ours first).
fn cluster_fact(
    ours: Option<ClusterIdentity>,
    theirs: Option<ClusterIdentity>,
    fits: impl FnOnce(u64, u64) -> bool,
) -> ClusterFact {
    match (ours, theirs) {
        (None, _) | (_, None) => ClusterFact::Unnamed,
        (Some(ours), Some(theirs)) if ours.id != theirs.id => ClusterFact::Other,
        (Some(ours), Some(theirs)) if fits(ours.epoch.get(), theirs.epoch.get()) => ClusterFact::Same,
        (Some(_), Some(_)) => ClusterFact::OtherEpoch,
    }
}

fn identity_fact(ours: NodeIdentity, theirs: NodeIdentity) -> IdentityFact {
    match (ours.id == theirs.id, ours.uuid == theirs.uuid) {
        (false, _) => IdentityFact::Distinct,
        (true, true) => IdentityFact::Ourselves,
        (true, false) => IdentityFact::OurId,
    }
}

/// What a server thinks of a client. A client of an earlier epoch is welcome: it learns the present one.
pub(super) fn client_hello(ours: &ClientWelcome, theirs: &ClientHello) -> Result<(), Goodbye> {
    let facts = Facts {
        credentials: !theirs.credentials.is_empty(),
        cluster: cluster_fact(ours.cluster, theirs.cluster, |ours, theirs| ours >= theirs),
        identity: IdentityFact::Distinct,
        misdirected: false,
    };
    verdict(facts, ours.cluster, theirs.cluster, "client", &theirs.name)
}

/// What a peer thinks of a peer that called.
pub(super) fn peer_hello(ours: &PeerWelcome, theirs: &PeerHello) -> Result<(), Goodbye> {
    let facts = Facts {
        credentials: !theirs.credentials.is_empty(),
        cluster: cluster_fact(ours.cluster, theirs.cluster, |ours, theirs| ours == theirs),
        identity: identity_fact(ours.node, theirs.node),
        misdirected: theirs.to.is_some_and(|to| to != ours.node.id),
    };
    verdict(facts, ours.cluster, theirs.cluster, "node", &theirs.node.to_string())
}

/// What a client thinks of the server that answered. One that is behind an epoch this client has seen is a
/// leftover of before the restore.
pub(super) fn client_welcome(ours: &ClientHello, theirs: &ClientWelcome) -> Result<(), Goodbye> {
    let facts = Facts {
        credentials: false,
        cluster: cluster_fact(ours.cluster, theirs.cluster, |ours, theirs| ours <= theirs),
        identity: IdentityFact::Distinct,
        misdirected: false,
    };
    verdict(facts, ours.cluster, theirs.cluster, "node", &theirs.node.to_string())
}

/// What a peer thinks of the peer that answered.
pub(super) fn peer_welcome(ours: &PeerHello, theirs: &PeerWelcome) -> Result<(), Goodbye> {
    let facts = Facts {
        credentials: false,
        cluster: cluster_fact(ours.cluster, theirs.cluster, |ours, theirs| ours == theirs),
        identity: identity_fact(ours.node, theirs.node),
        misdirected: ours.to.is_some_and(|to| to != theirs.node.id),
    };
    verdict(facts, ours.cluster, theirs.cluster, "node", &theirs.node.to_string())
}

/// The decision as a result, with a sentence for people that shows both sides.
fn verdict(
    facts: Facts,
    ours: Option<ClusterIdentity>,
    theirs: Option<ClusterIdentity>,
    kind: &str,
    who: &str,
) -> Result<(), Goodbye> {
    let row = decide(facts);
    let Some(reason) = row.close_reason() else { return Ok(()) };
    let of = |cluster: Option<ClusterIdentity>| match cluster {
        Some(ClusterIdentity { id, epoch }) => format!("cluster {id} epoch {epoch}"),
        None => "no cluster yet".to_owned(),
    };
    let (ours, theirs) = (of(ours), of(theirs));
    Err(Goodbye::new(reason, format!("row {}: {kind} {who} of {theirs} met {ours}", row.tag())))
}

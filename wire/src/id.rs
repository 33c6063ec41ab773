//! The names things have on the wire. Newtypes, so that a boot is never passed where an epoch is wanted.
//!
//! Numbers people count from 1 are `NonZero` inside: a zero is a typed decode error instead of a value
//! that half the code treats as "none".

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// Defines newtypes over `NonZeroU64` that are made by `new(u64) -> Option` and read by `get`.
macro_rules! counted {
    ($( $( #[$doc:meta] )+ $name:ident ),+ $(,)?) => { $(
        $( #[$doc] )+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(NonZeroU64);

        impl $name {
            /// Number 1, where counting starts.
            pub const FIRST: Self = Self(NonZeroU64::MIN);

            /// `None` for zero, which names nothing.
            #[must_use]
            pub const fn new(number: u64) -> Option<Self> {
                match NonZeroU64::new(number) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// The number, never zero.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+ };
}

counted! {
    /// The small number that people and configuration use for a node. Never given to another node, also
    /// not after the node was removed.
    NodeId,
    /// How often a cluster was restored or recovered, plus one. Positions and messages of another epoch
    /// are refused.
    ClusterEpoch,
    /// How often a node's process was started on its data directory; raised and synced before the process
    /// says anything. Tells the acknowledgements of before and after a crash apart.
    Boot,
}

/// Defines newtypes over 16 bytes that are shown as 32 hexadecimal digits, in the order they have on the wire, so
/// that an id in a log can be found in a packet capture.
macro_rules! random_id {
    ($( $( #[$doc:meta] )+ $name:ident ),+ $(,)?) => { $(
        $( #[$doc] )+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", u128::from_be_bytes(self.0))
            }
        }
    )+ };
}

random_id! {
    /// 128 random bits, minted once when a cluster is formed.
    ClusterId,
    /// 128 random bits, minted with a data directory: tells a wiped node from the one that had its id before.
    NodeUuid,
    /// Which part of a process's life, before it belongs to a cluster: 128 random bits that are never written down.
    Life,
}

/// A cluster at one epoch: what two ends of a connection compare before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClusterIdentity {
    /// Which cluster.
    pub id: ClusterId,
    /// Which life of it.
    pub epoch: ClusterEpoch,
}

/// A node, exactly: what both ends of a peer connection tell each other, and what every answer to a client names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// Which node.
    pub id: NodeId,
    /// Which data directory of it.
    pub uuid: NodeUuid,
    /// Which life of its process.
    pub boot: Boot,
}

impl fmt::Display for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, uuid, boot } = self;
        write!(f, "{id} (directory {uuid}, boot {boot})")
    }
}

/// Which Raft group a frame concerns; 0 today, and for frames that concern the connection itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// Names a call within one connection and direction. 0 is no call: a message that wants no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

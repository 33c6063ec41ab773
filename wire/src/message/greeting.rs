//! Who is calling, and who answers: the four messages of the handshake.
//!
//! The two Hellos are frozen, like the preface: each build can read the Hello of every other, so that a refusal can say
//! why. Hence a Hello holds numbers as numbers (an unknown lane is refused by name, not as broken bytes), and grows by
//! extensions only. A Welcome is sent when the version is known, and may change with it.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_machine::numbered;
use serde::{Deserialize, Serialize};

use super::Body;
use crate::body::{self, Parts};
use crate::message_type::TEXT_CAP;
use crate::sink::{Section, Sink};
use crate::{ClusterIdentity, Header, NodeId, NodeIdentity, WireError};

/// What a build can do beyond its protocol version, one bit each. None is defined yet. Bits that this build
/// does not know are kept and have no effect; both sides use what both have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features(pub u64);

numbered! {
    /// Which of the two connections of a peer pair this is. Two, so that nothing long can delay a heartbeat.
    pub enum Lane: u8, "L" {
        /// Heartbeats, votes, acknowledgements, read confirmations: small frames only.
        Control = 1,
        /// Appends and snapshot chunks.
        Bulk = 2,
    }
}

/// What a caller proves its identity by. Not shown in logs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(pub Bytes);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} bytes)", self.0.len())
    }
}

/// Where the leader was last seen, for a client that asked somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    /// The leader.
    pub node_id: NodeId,
    /// Its client address, `host:port`, as that node advertises it.
    pub address: ByteString,
}

/// What one message may hold. Told to the client so that it can refuse early; enforced by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest body of a frame in bytes, either way.
    pub frame_bytes: u32,
    /// Longest single key or value request in bytes.
    pub request_bytes: u32,
    /// Longest transaction in encoded bytes (a replicated setting).
    pub transaction_bytes: u32,
    /// Most operations in one transaction (a replicated setting).
    pub transaction_operations: u32,
}

/// The first frame of a client.
///
/// Sections: name, build, credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The cluster this client has talked to before; `None` takes any cluster that answers.
    pub cluster: Option<ClusterIdentity>,
    /// What the client can do.
    pub features: Features,
    /// A name for logs and the audit trail, chosen by the client.
    pub name: ByteString,
    /// Version of the client, for people.
    pub build: ByteString,
    /// Empty for now. A server that cannot check credentials refuses them instead of ignoring them.
    pub credentials: Credentials,
}

/// The first frame of a peer that dials another.
///
/// Sections: build, credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerHello {
    /// The cluster of the caller; `None` before it is formed.
    pub cluster: Option<ClusterIdentity>,
    /// Who is calling.
    pub node: NodeIdentity,
    /// Whom it means to reach; `None` if it knows only an address.
    pub to: Option<NodeId>,
    /// Number of the [`Lane`] that this connection is, or of one that a later build added.
    pub lane: u8,
    /// What the caller can do.
    pub features: Features,
    /// Version of the caller, for people.
    pub build: ByteString,
    /// As in [`ClientHello::credentials`].
    pub credentials: Credentials,
}

/// The answer to a [`ClientHello`].
///
/// Sections: build, leader.address if the leader is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientWelcome {
    /// The protocol version agreed on, as the server computed it.
    pub version: u16,
    /// The cluster of the server; `None` before it is formed.
    pub cluster: Option<ClusterIdentity>,
    /// Who answers.
    pub node: NodeIdentity,
    /// What the server can do.
    pub features: Features,
    /// What one message may hold.
    pub limits: Limits,
    /// Where the leader was last seen, if anywhere.
    pub leader: Option<LeaderHint>,
    /// Version of the server, for people.
    pub build: ByteString,
}

/// The answer to a [`PeerHello`].
///
/// Sections: build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerWelcome {
    /// The protocol version agreed on, as the answering side computed it.
    pub version: u16,
    /// The cluster of the answering node; `None` before it is formed.
    pub cluster: Option<ClusterIdentity>,
    /// Who answers.
    pub node: NodeIdentity,
    /// What the answering node can do.
    pub features: Features,
    /// Longest body of a frame in bytes, either way.
    pub frame_bytes: u32,
    /// Version of the answering node, for people.
    pub build: ByteString,
}

#[derive(Serialize, Deserialize)]
struct ClientHelloMeta {
    cluster: Option<ClusterIdentity>,
    features: Features,
}

impl Body for ClientHello {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { cluster, features, ref name, ref build, ref credentials } = self;
        let sections =
            [Section::text(name, TEXT_CAP)?, Section::text(build, TEXT_CAP)?, Section::Share(&credentials.0)];
        body::write(sink, header, &ClientHelloMeta { cluster, features }, &sections, &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let ClientHelloMeta { cluster, features } = parts.metadata()?;
        let (name, build, credentials) =
            (sections.text(TEXT_CAP)?, sections.text(TEXT_CAP)?, Credentials(sections.bytes()?));
        Ok(Self { cluster, features, name, build, credentials })
    }
}

#[derive(Serialize, Deserialize)]
struct PeerHelloMeta {
    cluster: Option<ClusterIdentity>,
    node: NodeIdentity,
    to: Option<NodeId>,
    lane: u8,
    features: Features,
}

impl Body for PeerHello {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { cluster, node, to, lane, features, ref build, ref credentials } = self;
        let metadata = PeerHelloMeta { cluster, node, to, lane, features };
        body::write(
            sink,
            header,
            &metadata,
            &[Section::text(build, TEXT_CAP)?, Section::Share(&credentials.0)],
            &[],
        )
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let PeerHelloMeta { cluster, node, to, lane, features } = parts.metadata()?;
        let (build, credentials) = (sections.text(TEXT_CAP)?, Credentials(sections.bytes()?));
        Ok(Self { cluster, node, to, lane, features, build, credentials })
    }
}

#[derive(Serialize, Deserialize)]
struct ClientWelcomeMeta {
    version: u16,
    cluster: Option<ClusterIdentity>,
    node: NodeIdentity,
    features: Features,
    limits: Limits,
    leader: Option<NodeId>,
}

impl Body for ClientWelcome {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { version, cluster, node, features, limits, ref leader, ref build } = self;
        let known = leader.as_ref().map(|leader| leader.node_id);
        let metadata = ClientWelcomeMeta { version, cluster, node, features, limits, leader: known };
        match leader {
            None => body::write(sink, header, &metadata, &[Section::text(build, TEXT_CAP)?], &[]),
            Some(leader) => body::write(
                sink,
                header,
                &metadata,
                &[Section::text(build, TEXT_CAP)?, Section::text(&leader.address, TEXT_CAP)?],
                &[],
            ),
        }
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let ClientWelcomeMeta { version, cluster, node, features, limits, leader } = parts.metadata()?;
        let build = sections.text(TEXT_CAP)?;
        let leader = match leader {
            None => None,
            Some(node_id) => Some(LeaderHint { node_id, address: sections.text(TEXT_CAP)? }),
        };
        Ok(Self { version, cluster, node, features, limits, leader, build })
    }
}

#[derive(Serialize, Deserialize)]
struct PeerWelcomeMeta {
    version: u16,
    cluster: Option<ClusterIdentity>,
    node: NodeIdentity,
    features: Features,
    frame_bytes: u32,
}

impl Body for PeerWelcome {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { version, cluster, node, features, frame_bytes, ref build } = self;
        let metadata = PeerWelcomeMeta { version, cluster, node, features, frame_bytes };
        body::write(sink, header, &metadata, &[Section::text(build, TEXT_CAP)?], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let PeerWelcomeMeta { version, cluster, node, features, frame_bytes } = parts.metadata()?;
        let build = sections.text(TEXT_CAP)?;
        Ok(Self { version, cluster, node, features, frame_bytes, build })
    }
}

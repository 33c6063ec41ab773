//! Why a formation does not begin, why it stops, and why a message was dropped.

use std::fmt;

use holdfast_machine::numbered;

use super::MemberList;
use crate::{ClusterId, NodeId, NodeUuid};

/// Why a node goes no further. Every sentence shows what both sides believe, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The directory of this node is empty, or minted anew, and a formed peer knows the node under a uuid.
    WipedDirectory {
        /// This node.
        node: NodeId,
        /// Who is formed.
        peer: NodeId,
        /// In which cluster.
        cluster: ClusterId,
        /// Under which uuid it knows this node.
        uuid: NodeUuid,
    },
    /// This node gave up the names under which a peer is formed, and holds others.
    Superseded {
        /// This node.
        node: NodeId,
        /// Who is formed.
        peer: NodeId,
        /// In which cluster.
        cluster: ClusterId,
        /// For which one this node is prepared.
        prepared: ClusterId,
    },
    /// A peer is formed under the names minted here, and only this node could have said so to it.
    OldCopy {
        /// This node.
        node: NodeId,
        /// Who is formed.
        peer: NodeId,
        /// In which cluster.
        cluster: ClusterId,
    },
    /// Two nodes were started with different lists.
    ListMismatch {
        /// This node.
        node: NodeId,
        /// The other one.
        peer: NodeId,
        /// The list of this node.
        ours: MemberList,
        /// The list of the other one.
        theirs: MemberList,
        /// The cluster that the other one belongs to, if it is formed already.
        formed: Option<ClusterId>,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WipedDirectory { node, peer, cluster, uuid } => write!(
                f,
                "the data directory of node {node} is not the one that cluster {cluster} was formed with: node {peer} \
                 knows node {node} under uuid {uuid}. A lost directory may have voted, so a new one never takes its \
                 place under the same id: `member replace {node}` gives this machine a new one. (If the old directory \
                 still exists, start with that.)"
            ),
            Self::Superseded { node, peer, cluster, prepared } => write!(
                f,
                "node {node} is prepared for cluster {prepared}, and node {peer} is formed in cluster {cluster}: \
                 directories were lost while the cluster was formed. `member replace {node}` gives this machine a new \
                 id in cluster {cluster}; if that cluster never had a leader, empty all directories and start again."
            ),
            Self::OldCopy { node, peer, cluster } => write!(
                f,
                "the data directory of node {node} is an old copy: node {peer} is formed in cluster {cluster}, which \
                 only this node could have told it. Start with the newer directory; if it is lost, use \
                 `member replace {node}`."
            ),
            Self::ListMismatch { node, peer, ours, theirs, formed } => {
                write!(
                    f,
                    "nodes {node} and {peer} were started with different lists of members. Node {node}: {ours} \
                     ({}). Node {peer}: {theirs} ({}).",
                    ours.hash(),
                    theirs.hash()
                )?;
                match formed {
                    Some(cluster) => write!(
                        f,
                        " Node {peer} belongs to cluster {cluster} already; to add a node to it, join it instead."
                    ),
                    None => f.write_str(" Give all of them the same list."),
                }
            }
        }
    }
}

impl std::error::Error for StopReason {}

/// Why a formation does not even begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormationError {
    /// This node is not in the list.
    NotListed {
        /// This node.
        node: NodeId,
        /// The list.
        list: MemberList,
    },
    /// The identity file was written for another list than the one given now.
    ListChanged {
        /// The list in the identity file.
        recorded: MemberList,
        /// The list given now.
        configured: MemberList,
    },
    /// The identity file says minted at a node that does not mint, or prepared at the one that does.
    WrongRole {
        /// This node.
        node: NodeId,
    },
    /// Somebody has to ask: `ask_ticks` is at least 1.
    NeverAsks,
}

impl fmt::Display for FormationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed { node, list } => write!(f, "node {node} is not in the list of members {list}"),
            Self::ListChanged { recorded, configured } => write!(
                f,
                "the identity file was written for the members {recorded} ({}), and now they are {configured} ({}): \
                 start with the recorded list, or with an empty directory on every node",
                recorded.hash(),
                configured.hash()
            ),
            Self::WrongRole { node } => {
                write!(
                    f,
                    "the identity file says what node {node} cannot be in its list: it is of another node"
                )
            }
            Self::NeverAsks => f.write_str("peers are asked at least every so many ticks, not never"),
        }
    }
}

impl std::error::Error for FormationError {}

numbered! {
    /// Why a message was dropped. Counted; nothing else comes of it.
    pub enum DropCause: u8, "D" {
        /// It is for another node, or from this one.
        WrongAddressee = 1,
        /// It contradicts itself: its sender is not in its own list, or its names are for another list.
        Malformed = 2,
        /// It is for another life of this node: an earlier process asked, or another process of the lowest id has asked since.
        OtherLife = 3,
        /// The identity file is being written, and this node does not know yet what it may say. It will be asked again.
        Syncing = 4,
        /// This process has stopped.
        Stopped = 5,
        /// What it answers, or asks for, was settled since.
        Late = 6,
        /// No correct node says this. A person has to look.
        Impossible = 7,
        /// A peer is formed in another cluster than this node, and knows this node's id there. A person has to look.
        TwoClusters = 8,
    }
}

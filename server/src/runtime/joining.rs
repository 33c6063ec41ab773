//! How a blank node becomes a member of a cluster that is there already.
//!
//! ```text
//!   draw the name of this directory, note it ─► ask a member to add it ─► note the cluster ─► start like any member
//! ```
//! Every step can be done twice. A crash before the cluster is noted asks again, under the same name, and is told that it is a
//! member already. A directory that was lost draws another name, and is told that its number is taken: an empty directory
//! never takes up the place of one that may have voted.

use std::time::Duration;

use bytestring::ByteString;
use holdfast_client::{CallOptions, ChangeMembers, Client, Kind, MemberChange, NodeId as WireNodeId};
use holdfast_command::Code;
use holdfast_machine::Numbered as _;
use holdfast_raft::formation::Formed;
use holdfast_raft::{ClusterId, NodeUuid};
use holdfast_wire::NodeUuid as WireNodeUuid;

use super::{Options, RunError, Stop};
use crate::storage::{DataDir, Identity, Joining};

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Joins the cluster that the options name, or goes on as the member that the identity says. `None` if it was told to stop
/// before.
pub(super) async fn join(
    options: &Options,
    data_dir: &DataDir,
    identity: &mut Identity,
    seed: [u8; 16],
    stop: &Stop,
) -> Result<Option<Formed>, RunError> {
    let joining = match identity.joining {
        Some(joining) => joining,
        None => {
            let joining = Joining { uuid: NodeUuid(seed), cluster: None };
            note(data_dir, identity, joining, identity.epoch)?;
            joining
        }
    };
    let formed = |cluster| Formed { cluster, uuid: joining.uuid, members: Vec::new() };
    if let Some(cluster) = joining.cluster {
        return Ok(Some(formed(cluster)));
    }
    if options.join.is_empty() {
        return Err(RunError::NoCluster(options.data_dir.display().to_string()));
    }
    tracing::info!(node = options.node, uuid = %WireNodeUuid(joining.uuid.0), through = ?options.join, "joining a cluster");
    let asked = tokio::select! {
        asked = ask(options, joining.uuid) => asked?,
        () = stop.wanted() => return Ok(None),
    };
    let (cluster, epoch) = asked;
    note(data_dir, identity, Joining { cluster: Some(cluster), ..joining }, epoch)?;
    Ok(Some(formed(cluster)))
}

/// Who the members are and where peers reach them, for a node that has not received any configuration yet, or has lost it with
/// its snapshot: it could not answer the leader. A founder that is told nobody to ask falls back on the other founders. Empty
/// if it was told to stop.
///
/// # Errors
/// [`RunError::NoMembers`] if there is nobody to ask.
pub(super) async fn contacts(
    options: &Options,
    formed: &Formed,
    stop: &Stop,
) -> Result<Vec<(u64, ByteString)>, RunError> {
    if options.join.is_empty() {
        let others = formed.members.iter().filter(|(id, ..)| id.0 != options.node);
        let founders: Vec<(u64, ByteString)> = others
            .filter_map(|(id, _, address)| Some((id.0, ByteString::try_from(address.clone()).ok()?)))
            .collect();
        if !founders.is_empty() {
            return Ok(founders);
        }
        return Err(RunError::NoMembers(options.data_dir.display().to_string()));
    }
    let client = Client::builder(options.join.iter().cloned()).name("holdfast server --join").build();
    let client = client.map_err(|error| RunError::Join(error.why()))?;
    let contacts = loop {
        let mut contacts = Vec::new();
        for member in &options.join {
            let status = tokio::select! {
                status = client.status(member) => status,
                () = stop.wanted() => return Ok(Vec::new()),
            };
            let members = status.map(|status| status.members).unwrap_or_default();
            let others = members.into_iter().filter(|member| member.node.get() != options.node);
            contacts.extend(others.map(|member| (member.node.get(), member.peer)));
        }
        if !contacts.is_empty() {
            break contacts;
        }
        tokio::time::sleep(PAUSE).await;
    };
    client.close().await;
    Ok(contacts)
}

fn note(data_dir: &DataDir, identity: &mut Identity, joining: Joining, epoch: u64) -> Result<(), RunError> {
    let next = Identity { joining: Some(joining), epoch, ..identity.clone() };
    data_dir.store(&next)?;
    *identity = next;
    Ok(())
}

/// Asks to be added, until somebody does or says that it cannot be.
async fn ask(options: &Options, uuid: NodeUuid) -> Result<(ClusterId, u64), RunError> {
    let failed = |error: &holdfast_client::Error| {
        let code = error.code.map(|code| format!("{}: ", code.tag())).unwrap_or_default();
        RunError::Join(format!("{code}{}", error.why()))
    };
    let client = Client::builder(options.join.iter().cloned()).name("holdfast server --join").build();
    let client = client.map_err(|error| failed(&error))?;
    let node = WireNodeId::new(options.node).ok_or(RunError::Options("a node id is at least 1"))?;
    let peer = options.advertise_peer.clone().unwrap_or_else(|| options.listen_peer.clone());
    let change = ChangeMembers {
        timeout_ms: 0,
        change: MemberChange::AddLearner.number(),
        node,
        other: None,
        uuid: Some(WireNodeUuid(uuid.0)),
        promote: !options.learner,
        peer: ByteString::from(peer),
    };
    let mut said = String::new();
    let cluster = loop {
        match added(&client, &options.join, &change).await {
            Ok(Some(cluster)) => break cluster,
            Ok(None) => {}
            Err(error) => {
                let waits = match error.kind {
                    // Another node may be joining, or voters not have been heard yet behind an election.
                    Kind::Refused => error.code.is_none_or(|code| {
                        code.is_retryable() || matches!(code, Code::ChangePending | Code::WouldLoseQuorum)
                    }),
                    Kind::NoEndpoint | Kind::TimedOut | Kind::ConnectionLost | Kind::Overloaded => true,
                    Kind::Incompatible | Kind::Invalid | Kind::Unreadable | Kind::Closed => false,
                };
                if !waits {
                    return Err(failed(&error));
                }
                if said != error.why() {
                    said = error.why();
                    tracing::warn!(node = options.node, why = %said, "joining: trying again");
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    };
    client.close().await;
    Ok(cluster)
}

/// Adds the node, and says to which cluster, and in which of its lives; `None` if no member says its name.
async fn added(
    client: &Client,
    members: &[String],
    change: &ChangeMembers,
) -> Result<Option<(ClusterId, u64)>, holdfast_client::Error> {
    let options = CallOptions { timeout: Some(ATTEMPT), exactly_once: None };
    client.change_members(change.clone(), options).await?;
    for member in members {
        if let Ok(status) = client.status(member).await
            && let Some(cluster) = status.cluster
        {
            return Ok(Some((ClusterId(cluster.id.0), cluster.epoch.get())));
        }
    }
    Ok(None)
}

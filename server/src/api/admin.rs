//! What operators ask: namespaces, settings, sessions, and the cluster as this node sees it.

use bytestring::ByteString;
use holdfast_command::namespaces::{DeleteNamespace, Rules, SetNamespace};
use holdfast_command::query::{Answer, Holding, NamespaceInfo, Query};
use holdfast_command::settings::Setting;
use holdfast_command::{Command, Refusal, Reply};
use holdfast_machine::Numbered as _;
use holdfast_raft::RoleState;
use holdfast_wire::message::{MemberStatus, StatusReply};
use serde::{Deserialize, Serialize};

use super::ask::{Call, Handled, not_serving, unreadable};
use super::kv::written;
use super::params::tail;
use super::problem::Problem;
use super::respond;
use crate::runtime::LifeState;

/// The rules of a namespace, as they come and go.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct ShownRules {
    quota_keys: u64,
    quota_bytes: u64,
    value_bytes: u64,
    description: String,
    owners: Vec<String>,
}

#[derive(Serialize)]
struct ShownNamespace {
    name: String,
    #[serde(flatten)]
    rules: ShownRules,
    keys: u64,
    bytes: u64,
}

impl From<&NamespaceInfo> for ShownNamespace {
    fn from(NamespaceInfo { namespace, holds }: &NamespaceInfo) -> Self {
        let Rules { quota_keys, quota_bytes, value_bytes, description, owners } = &namespace.rules;
        let (quota_keys, quota_bytes, value_bytes) = (*quota_keys, *quota_bytes, *value_bytes);
        let owners = owners.iter().map(ToString::to_string).collect();
        let rules =
            ShownRules { quota_keys, quota_bytes, value_bytes, description: description.to_string(), owners };
        Self { name: namespace.name.to_string(), rules, keys: holds.keys, bytes: holds.bytes }
    }
}

/// What a change that has no revision answers.
#[derive(Serialize)]
struct Changed {
    position: String,
}

/// The namespace in the path; the slash at its end may be left out.
fn name(call: &Call) -> Result<ByteString, Problem> {
    let name = String::from_utf8(tail(&call.path, "/v1/namespaces/").to_vec());
    let name = name.map_err(|_| Problem::of(Refusal::BadNamespaceName))?;
    Ok(if name.ends_with('/') { name } else { name + "/" }.into())
}

/// `PUT /v1/namespaces/{name}`.
pub(super) async fn set_namespace(mut call: Call) -> Handled {
    let name = name(&call)?;
    let reason = call.params.text("reason")?.unwrap_or_default();
    call.finish()?;
    let body: &[u8] = if call.body.is_empty() { b"{}" } else { &call.body };
    // A list would be taken for the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::body("a JSON object is wanted"));
    }
    let rules: ShownRules = serde_json::from_slice(body).map_err(|error| Problem::body(error.to_string()))?;
    let ShownRules { quota_keys, quota_bytes, value_bytes, description, owners } = rules;
    let owners = owners.into_iter().map(Into::into).collect();
    let rules = Rules { quota_keys, quota_bytes, value_bytes, description: description.into(), owners };
    let (reply, position) =
        call.submit(Command::SetNamespace(SetNamespace { name, rules }), reason.into()).await?;
    let Reply::NamespaceSet = reply else { return Err(unreadable()) };
    Ok(written(&Changed { position: position.to_string() }, position))
}

/// `DELETE /v1/namespaces/{name}`. Its keys stay.
pub(super) async fn delete_namespace(mut call: Call) -> Handled {
    let name = name(&call)?;
    let reason = call.params.text("reason")?.unwrap_or_default();
    call.finish()?;
    let (reply, position) =
        call.submit(Command::DeleteNamespace(DeleteNamespace { name }), reason.into()).await?;
    let Reply::NamespaceDeleted = reply else { return Err(unreadable()) };
    Ok(written(&Changed { position: position.to_string() }, position))
}

/// `GET /v1/namespaces/{name}`.
pub(super) async fn namespace(mut call: Call) -> Handled {
    let (name, fresh) = (name(&call)?, call.fresh()?);
    call.finish()?;
    // It comes behind what it is without its slash, and behind others that begin like that, as `a-b/` before `a/`.
    let mut after: ByteString = name.strip_suffix('/').unwrap_or_default().into();
    loop {
        let query = Query::Namespaces { after: after.clone(), limit: 0 };
        let (answer, seen) = call.query(&query, fresh).await?;
        let Answer::Namespaces { namespaces, more } = answer else { return Err(unreadable()) };
        if let Some(found) = namespaces.iter().find(|found| found.namespace.name == name) {
            return Ok(seen.on(respond::ok(&ShownNamespace::from(found))));
        }
        match namespaces.last() {
            Some(last) if more && last.namespace.name < name => after = last.namespace.name.clone(),
            Some(_) | None => return Err(Problem::of(Refusal::UnknownNamespace)),
        }
    }
}

#[derive(Serialize)]
struct Namespaces {
    namespaces: Vec<ShownNamespace>,
    /// More come: ask again with `after` and the last of these.
    more: bool,
}

/// `GET /v1/namespaces`.
pub(super) async fn namespaces(mut call: Call) -> Handled {
    let fresh = call.fresh()?;
    let after = call.params.text("after")?.unwrap_or_default().into();
    let limit = call.params.number("limit")?.unwrap_or(0);
    call.finish()?;
    let (answer, seen) = call.query(&Query::Namespaces { after, limit }, fresh).await?;
    let Answer::Namespaces { namespaces, more } = answer else { return Err(unreadable()) };
    let namespaces = namespaces.iter().map(ShownNamespace::from).collect();
    Ok(seen.on(respond::ok(&Namespaces { namespaces, more })))
}

#[derive(Serialize)]
struct ShownSetting {
    number: u16,
    name: &'static str,
    value: u64,
}

#[derive(Serialize)]
struct Settings {
    settings: Vec<ShownSetting>,
    keys_outside_of_namespaces: u64,
    bytes_outside_of_namespaces: u64,
}

/// `GET /v1/settings`.
pub(super) async fn settings(mut call: Call) -> Handled {
    let fresh = call.fresh()?;
    call.finish()?;
    let (answer, seen) = call.query(&Query::Settings, fresh).await?;
    let Answer::Settings { outside: Holding { keys, bytes }, settings } = answer else {
        return Err(unreadable());
    };
    let shown = settings.iter().map(|&(number, value)| ShownSetting {
        number,
        name: Setting::from_number(number).map_or("of a later version", |setting| setting.name()),
        value,
    });
    let settings = shown.collect();
    Ok(seen.on(respond::ok(&Settings {
        settings,
        keys_outside_of_namespaces: keys,
        bytes_outside_of_namespaces: bytes,
    })))
}

#[derive(Serialize)]
struct ShownSession {
    session: String,
    ttl_ms: u64,
    left_ms: u64,
    low: u64,
    answers: u64,
    bytes: u64,
    actor: String,
}

#[derive(Serialize)]
struct Sessions {
    sessions: Vec<ShownSession>,
    /// More come: ask again with `after` and the last of these.
    more: bool,
}

/// `GET /v1/sessions`.
pub(super) async fn sessions(mut call: Call) -> Handled {
    let fresh = call.fresh()?;
    let after = call.params.number("after")?.unwrap_or(0);
    let limit = call.params.number("limit")?.unwrap_or(0);
    call.finish()?;
    let (answer, seen) = call.query(&Query::Sessions { after, limit }, fresh).await?;
    let Answer::Sessions { sessions, more } = answer else { return Err(unreadable()) };
    let shown = sessions.iter().map(|session| ShownSession {
        session: session.session.to_string(),
        ttl_ms: session.ttl_ms,
        left_ms: session.left_ms,
        low: session.low,
        answers: session.answers,
        bytes: session.bytes,
        actor: session.actor.name().to_owned(),
    });
    Ok(seen.on(respond::ok(&Sessions { sessions: shown.collect(), more })))
}

/// A member, as this node sees it.
#[derive(Serialize)]
struct ShownMember<'a> {
    node: u64,
    voter: bool,
    leader: bool,
    connected: bool,
    matched: u64,
    peer: &'a str,
    client: &'a str,
    http: &'a str,
}

impl<'a> ShownMember<'a> {
    fn new(member: &'a MemberStatus, status: &StatusReply) -> Self {
        let MemberStatus { node, voter, connected, matched, peer, client, http } = member;
        let leader = status.leader == Some(*node);
        let (voter, connected, matched) = (*voter, *connected, *matched);
        Self { node: node.get(), voter, leader, connected, matched, peer, client, http }
    }
}

#[derive(Serialize)]
struct Status<'a> {
    node: u64,
    cluster: Option<String>,
    epoch: Option<u64>,
    life: &'static str,
    role: &'static str,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_ready_because: Option<&'static str>,
    leader: Option<u64>,
    term: u64,
    commit: u64,
    applied: u64,
    durable: u64,
    last: u64,
    revision: u64,
    oldest: u64,
    keys: u64,
    sessions: u64,
    level: u16,
    clock_ms: u64,
    build: &'a str,
    members: Vec<ShownMember<'a>>,
}

/// The role by its number.
pub(super) fn role(number: u8) -> &'static str {
    match RoleState::from_number(number) {
        Some(RoleState::Leader) => "leader",
        Some(RoleState::Follower) => "follower",
        Some(RoleState::PreCandidate | RoleState::Candidate) => "candidate",
        None => "none",
    }
}

/// That the node can say nothing of itself: it has not come so far, or is at its end.
fn silent(call: &Call) -> Problem {
    not_serving(call.app.desk.life())
}

/// `GET /v1/status`.
pub(super) async fn status(call: Call) -> Handled {
    call.finish()?;
    let figures = call.app.desk.figures().await.ok_or_else(|| silent(&call))?;
    let status = &figures.status;
    Ok(respond::ok(&Status {
        node: status.node.id.get(),
        cluster: status.cluster.map(|cluster| cluster.id.to_string()),
        epoch: status.cluster.map(|cluster| cluster.epoch.get()),
        life: LifeState::from_number(status.life).map_or("", |life| life.name()),
        role: role(status.role),
        ready: status.ready,
        not_ready_because: figures.unready,
        leader: status.leader.map(holdfast_wire::NodeId::get),
        term: status.term,
        commit: status.commit,
        applied: status.applied,
        durable: status.durable,
        last: status.last,
        revision: status.revision,
        oldest: status.oldest,
        keys: status.keys,
        sessions: status.sessions,
        level: status.level,
        clock_ms: status.clock_ms,
        build: &status.build,
        members: status.members.iter().map(|member| ShownMember::new(member, status)).collect(),
    }))
}

#[derive(Serialize)]
struct Members<'a> {
    leader: Option<u64>,
    term: u64,
    members: Vec<ShownMember<'a>>,
}

/// `GET /v1/members`.
pub(super) async fn members(call: Call) -> Handled {
    call.finish()?;
    let figures = call.app.desk.figures().await.ok_or_else(|| silent(&call))?;
    let status = &figures.status;
    let members = status.members.iter().map(|member| ShownMember::new(member, status)).collect();
    let leader = status.leader.map(holdfast_wire::NodeId::get);
    Ok(respond::ok(&Members { leader, term: status.term, members }))
}

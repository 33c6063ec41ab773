//! Leases: what keys, locks and offices live by.

use holdfast_command::leases::{GrantLease, RevokeLease};
use holdfast_command::query::{Answer, LeaseInfo, Query};
use holdfast_command::{Command, Reply};
use serde::Serialize;

use super::ask::{Call, Handled, unreadable};
use super::kv::written;
use super::problem::Problem;
use super::respond;
use crate::json::Blob;

/// What a grant, a renewal or a revocation answers.
#[derive(Serialize)]
struct Granted {
    lease: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_deleted: Option<u64>,
    position: String,
}

/// The lease that the path names, behind `/v1/leases/`.
fn named(call: &Call) -> Result<i64, Problem> {
    let part =
        call.path.strip_prefix("/v1/leases/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    part.parse().map_err(|_| Problem::parameter(format!("{part:?} is no lease: a whole number")))
}

/// `POST /v1/leases`.
pub(super) async fn grant(mut call: Call) -> Handled {
    let ttl = call.params.duration("ttl")?;
    let lease = call.params.number("id")?.unwrap_or(0);
    call.finish()?;
    let ttl = ttl
        .ok_or_else(|| Problem::parameter("ttl is missing: how long it lives after each renewal, as 30s"))?;
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let (reply, position) = call.submit(Command::GrantLease(GrantLease { lease, ttl_ms }), "".into()).await?;
    let Reply::LeaseGranted { lease, ttl_ms } = reply else { return Err(unreadable()) };
    let (lease, ttl_ms) = (lease.to_string(), Some(ttl_ms));
    let granted =
        Granted { lease, ttl_ms, revision: None, keys_deleted: None, position: position.to_string() };
    Ok(written(&granted, position))
}

/// `PUT /v1/leases/{id}/keepalive`.
pub(super) async fn keep(call: Call) -> Handled {
    let lease = named(&call)?;
    call.finish()?;
    let (ttl_ms, position) = call.keep_lease(lease).await?;
    let (lease, ttl_ms) = (lease.to_string(), Some(ttl_ms));
    let kept = Granted { lease, ttl_ms, revision: None, keys_deleted: None, position: position.to_string() };
    Ok(written(&kept, position))
}

/// `DELETE /v1/leases/{id}`.
pub(super) async fn revoke(call: Call) -> Handled {
    let lease = named(&call)?;
    call.finish()?;
    let (reply, position) = call.submit(Command::RevokeLease(RevokeLease { lease }), "".into()).await?;
    let Reply::LeaseRevoked { revision, keys } = reply else { return Err(unreadable()) };
    let (lease, revision, keys_deleted) = (lease.to_string(), Some(revision), Some(keys));
    let revoked = Granted { lease, ttl_ms: None, revision, keys_deleted, position: position.to_string() };
    Ok(written(&revoked, position))
}

/// A lease.
#[derive(Serialize)]
struct Shown<'a> {
    lease: String,
    ttl_ms: u64,
    left_ms: u64,
    granted_at: u64,
    keys: u64,
    actor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_names: Option<Vec<Blob<'a>>>,
}

impl<'a> Shown<'a> {
    fn new(info: &'a LeaseInfo) -> Self {
        let LeaseInfo { lease, ttl_ms, left_ms, granted_at, keys, ref actor } = *info;
        let (lease, actor) = (lease.to_string(), actor.name());
        Self { lease, ttl_ms, left_ms, granted_at, keys, actor, key_names: None }
    }
}

/// `GET /v1/leases/{id}`.
pub(super) async fn show(mut call: Call) -> Handled {
    let (lease, fresh) = (named(&call)?, call.fresh()?);
    call.finish()?;
    let (answer, seen) = call.query(&Query::Lease { lease }, fresh).await?;
    let Answer::Lease { info, keys } = answer else { return Err(unreadable()) };
    let names = keys.iter().map(|key| Blob(key)).collect();
    Ok(seen.on(respond::ok(&Shown { key_names: Some(names), ..Shown::new(&info) })))
}

#[derive(Serialize)]
struct List<'a> {
    leases: Vec<Shown<'a>>,
    /// More come: ask again with `after` and the last of these.
    more: bool,
}

/// `GET /v1/leases`.
pub(super) async fn list(mut call: Call) -> Handled {
    let fresh = call.fresh()?;
    let after = call.params.number("after")?.unwrap_or(0);
    let limit = call.params.number("limit")?.unwrap_or(0);
    call.finish()?;
    let (answer, seen) = call.query(&Query::Leases { after, limit }, fresh).await?;
    let Answer::Leases { leases, more } = answer else { return Err(unreadable()) };
    Ok(seen.on(respond::ok(&List { leases: leases.iter().map(Shown::new).collect(), more })))
}

//! All paths. The table is what `docs/http.md` shows, and what the router is held against by a test.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use holdfast_command::Refusal;
use holdfast_command::query::QueueKind;

use super::ask::{App, handle};
use super::problem::Problem;
use super::{admin, audit, health, kv, leases, metrics, queues, txn, watch};

/// A path and a method.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path; `{…}` stands for a part, `{*…}` for all that is left.
    pub path: &'static str,
    /// Its parameters, each with a `?` behind it if it may be left out.
    pub parameters: &'static str,
    /// What it does.
    pub what: &'static str,
}

const fn route(
    method: &'static str,
    path: &'static str,
    parameters: &'static str,
    what: &'static str,
) -> Route {
    Route { method, path, parameters, what }
}

/// All of them, in the order of the page.
pub const ROUTES: &[Route] = &[
    route("PUT", "/v1/kv/{*key}", "if_revision? lease? reason?", "Writes a key: the body is its value"),
    route(
        "GET",
        "/v1/kv/{*key}",
        "raw? revision? and those of a read",
        "Reads a key, as JSON or, with `raw`, as it is",
    ),
    route(
        "GET",
        "/v1/kv",
        "prefix? limit? continue? keys_only? count? descending? revision? and those of a read",
        "Lists keys, page by page",
    ),
    route("DELETE", "/v1/kv/{*key}", "if_revision? reason?", "Deletes a key"),
    route("DELETE", "/v1/kv", "prefix reason?", "Deletes all keys that begin with a prefix"),
    route("POST", "/v1/txn", "reason?", "Compares, and does one of two lists of operations"),
    route(
        "GET",
        "/v1/watch",
        "key? prefix? from_revision? previous? progress? no_puts? no_deletes? min_position?",
        "All changes as they happen, as server-sent events",
    ),
    route(
        "GET",
        "/v1/history/{*key}",
        "before? limit? and those of a read",
        "The versions of a key, newest first, with time, actor and reason",
    ),
    route("POST", "/v1/leases", "ttl id?", "Grants a lease"),
    route("GET", "/v1/leases", "after? limit? and those of a read", "Lists leases"),
    route("GET", "/v1/leases/{id}", "those of a read", "A lease and its keys"),
    route("PUT", "/v1/leases/{id}/keepalive", "", "Renews a lease"),
    route("DELETE", "/v1/leases/{id}", "", "Ends a lease, with its keys, locks and offices"),
    route("GET", "/v1/locks", "after? limit? and those of a read", "Lists locks that are held"),
    route(
        "POST",
        "/v1/locks/{*name}",
        "lease wait? value?",
        "Takes a lock, at once or within `wait`; gives the fencing token",
    ),
    route("GET", "/v1/locks/{*name}", "those of a read", "Who holds a lock and who waits"),
    route("DELETE", "/v1/locks/{*name}", "token or lease", "Gives a lock up, or a place in its queue"),
    route("GET", "/v1/elections", "after? limit? and those of a read", "Lists elections that somebody won"),
    route("GET", "/v1/elections/{name}", "those of a read", "Who is in office and who stands"),
    route(
        "POST",
        "/v1/elections/{name}/campaign",
        "lease wait? value?",
        "Stands for election; gives the term of office once elected",
    ),
    route(
        "POST",
        "/v1/elections/{name}/proclaim",
        "lease token value?",
        "Proclaims another value while in office",
    ),
    route("POST", "/v1/elections/{name}/resign", "lease", "Gives the office up, or the candidacy"),
    route(
        "GET",
        "/v1/elections/{name}/observe",
        "",
        "Who is in office, and again whenever that changes, as server-sent events",
    ),
    route(
        "GET",
        "/v1/namespaces",
        "after? limit? and those of a read",
        "Lists namespaces and what each holds",
    ),
    route(
        "PUT",
        "/v1/namespaces/{*name}",
        "reason?",
        "Sets a namespace: the body is JSON with quotas, description and owners",
    ),
    route("GET", "/v1/namespaces/{*name}", "those of a read", "A namespace and what it holds"),
    route("DELETE", "/v1/namespaces/{*name}", "reason?", "Deletes a namespace; its keys stay"),
    route("GET", "/v1/settings", "those of a read", "The replicated settings"),
    route("GET", "/v1/sessions", "after? limit? and those of a read", "Lists client sessions"),
    route(
        "GET",
        "/v1/audit",
        "since? until? from? prefix? actor? limit? and those of a read",
        "Who changed what, when and why, and how far that is complete",
    ),
    route("GET", "/v1/status", "", "The node and the cluster as this node sees it"),
    route("GET", "/v1/members", "", "The members as this node sees them"),
    route("GET", "/health", "", "Whether the process lives and its loop turns: 200 or 503"),
    route("GET", "/health/ready", "", "Whether the node serves: 200, or 503 with the reason"),
    route("GET", "/metrics", "", "What the node has measured, for Prometheus"),
];

/// A handler of calls as one of axum.
macro_rules! on {
    ($handler:expr) => {
        move |State(app): State<App>, request: Request| handle(app, request, $handler)
    };
}

/// The router of a node.
pub(super) fn router(app: App) -> Router {
    let lock = |call| queues::show(call, QueueKind::Lock);
    let locks = |call| queues::list(call, QueueKind::Lock);
    let office = |call| queues::show(call, QueueKind::Election);
    let offices = |call| queues::list(call, QueueKind::Election);
    let key: MethodRouter<App> = put(on!(kv::put)).get(on!(kv::get)).delete(on!(kv::delete));
    Router::new()
        .route("/v1/kv/", key.clone())
        .route("/v1/kv/{*key}", key)
        .route("/v1/kv", get(on!(kv::list)).delete(on!(kv::delete_prefix)))
        .route("/v1/txn", post(on!(txn::transact)))
        .route("/v1/watch", get(on!(watch::watch)))
        .route("/v1/history/{*key}", get(on!(kv::history)))
        .route("/v1/leases", post(on!(leases::grant)).get(on!(leases::list)))
        .route("/v1/leases/{id}", get(on!(leases::show)).delete(on!(leases::revoke)))
        .route("/v1/leases/{id}/keepalive", put(on!(leases::keep)))
        .route("/v1/locks", get(on!(locks)))
        .route("/v1/locks/{*name}", post(on!(queues::acquire)).get(on!(lock)).delete(on!(queues::release)))
        .route("/v1/elections", get(on!(offices)))
        .route("/v1/elections/{name}", get(on!(office)))
        .route("/v1/elections/{name}/campaign", post(on!(queues::campaign)))
        .route("/v1/elections/{name}/proclaim", post(on!(queues::proclaim)))
        .route("/v1/elections/{name}/resign", post(on!(queues::resign)))
        .route("/v1/elections/{name}/observe", get(on!(watch::observe)))
        .route("/v1/namespaces", get(on!(admin::namespaces)))
        .route(
            "/v1/namespaces/{*name}",
            put(on!(admin::set_namespace))
                .get(on!(admin::namespace))
                .merge(delete(on!(admin::delete_namespace))),
        )
        .route("/v1/settings", get(on!(admin::settings)))
        .route("/v1/sessions", get(on!(admin::sessions)))
        .route("/v1/audit", get(on!(audit::audit)))
        .route("/v1/status", get(on!(admin::status)))
        .route("/v1/members", get(on!(admin::members)))
        .route("/health", get(|State(app): State<App>| health::live(app)))
        .route("/health/ready", get(|State(app): State<App>| health::ready(app)))
        .route("/metrics", get(|State(app): State<App>| metrics::scrape(app)))
        .fallback(nothing_here)
        .method_not_allowed_fallback(no_such_method)
        .with_state(app)
}

async fn nothing_here(request: Request) -> Response {
    let path = request.uri().path();
    let known = ROUTES.iter().map(|route| route.path);
    let alike = known.map(|known| (strsim::jaro_winkler(path, known), known));
    let nearest = alike.max_by(|one, other| one.0.total_cmp(&other.0)).map_or("/v1/kv", |(_, known)| known);
    let why = format!("{path:?} is no path of this interface; the nearest is {nearest}");
    Problem::of(Refusal::NoSuchRoute).because(why).into_response()
}

async fn no_such_method(method: Method, request: Request) -> Response {
    let path = request.uri().path();
    let why = format!("{method} does nothing at {path:?}");
    // The router adds the header with those that do.
    Problem::of(Refusal::MethodNotAllowed).because(why).into_response()
}

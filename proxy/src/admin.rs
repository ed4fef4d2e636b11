//! The admin API: JSON on its own listener, never on a data port. It has no authentication and belongs on loopback.
//!
//! Each handler translates and answers; what it asks for is done by the module it calls. Bodies are bounded by axum's
//! default (2 MiB), by [`BODY_BYTES_MAX`], and that of a warm job, which may bring a list, by its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use axum::extract::{DefaultBodyLimit, Path, Query, RawQuery, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use littoral_geo::{Reread, Unreread};
use littoral_plugin_host::Share;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::control::Spread;
use crate::control::status::Nodes;
use crate::drains;
use crate::node::Node;
use crate::observe::metrics;
use crate::plugins::rollouts::Wanted;
use crate::purge::{Done, NO_URL, Order, Undone};

pub(crate) mod events;
mod explained;
mod report;

/// Bytes of a request body.
pub const BODY_BYTES_MAX: usize = 64 << 10;

#[derive(Clone)]
struct Admin {
    node: Arc<Node>,
    file: Arc<PathBuf>,
    started: SystemTime,
}

/// An answer that is not 200: a status and one sentence.
struct Refusal(StatusCode, String);

type Answer = Result<Json<Value>, Refusal>;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

/// What the framework refuses by itself (parameters, bodies, methods) is told in plain text; here it becomes a [`Refusal`].
async fn as_json(response: Response) -> Response {
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == b"application/json");
    if is_json || !response.status().is_client_error() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let text = match text.is_empty() {
        true => parts.status.to_string(),
        false => String::from_utf8_lossy(&text).into_owned(),
    };
    let mut refusal = Refusal(parts.status, text).into_response();
    if let Some(allow) = parts.headers.get(ALLOW) {
        refusal.headers_mut().insert(ALLOW, allow.clone());
    }
    refusal
}

/// Serves until the process ends.
pub async fn serve(listener: std::net::TcpListener, node: Arc<Node>, file: PathBuf) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the admin listener is lost"),
    };
    let admin = Admin { node: node.clone(), file: Arc::new(file), started: SystemTime::now() };
    let routes = Router::new()
        .route("/", get(async |asked: HeaderMap| crate::dashboard::page(&asked)))
        .route("/assets/{name}", get(asset))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(expose))
        .route("/v1/stats", get(stats))
        .route("/v1/events", get(events))
        .route("/v1/top", get(top))
        .route("/v1/purge", post(purge))
        .route("/v1/reload", post(reload))
        .route("/v1/upgrade", post(upgrade))
        .route("/v1/cache/object", get(object))
        .route("/v1/plugins", get(plugins))
        .route("/v1/plugins/{name}/reload", post(reload_plugin))
        .route("/v1/plugins/{name}/rollout", post(roll_out))
        .route("/v1/plugins/{name}/promote", post(promote))
        .route("/v1/plugins/{name}/abort", post(abort))
        .route("/v1/clusters", get(clusters))
        .route("/v1/clusters/{id}/drain", post(drain).delete(undrain))
        .route("/v1/zones/{name}/reload", post(reload_zone))
        .route("/v1/nodes", get(nodes))
        .route("/v1/rtt", get(rtts).post(learn_rtts))
        .route("/v1/warm", post(warm).layer(DefaultBodyLimit::max(crate::warm::ORDER_BYTES_MAX)).get(warm_jobs))
        .route("/v1/warm/standing", get(standing_warm_jobs))
        .route("/v1/warm/{id}", get(warm_job).delete(cancel_warm_job))
        .route("/v1/explain", get(explain))
        .route("/v1/resolve", get(resolve))
        .fallback(|| async { Refusal(StatusCode::NOT_FOUND, "no such path; see README.md, \"Admin API\"".into()) })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(map_response(as_json))
        .with_state(admin);
    // Once a new process has taken over, it answers on the same socket.
    let replaced = async move { node.upgrade.done().await };
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(replaced).await {
        tracing::error!(%error, "the admin listener ended");
    }
}

/// Every listener is bound before this one answers, and a plugin in quarantine has its native policy: only a node that stops
/// is not ready.
async fn ready(State(admin): State<Admin>) -> Result<&'static str, Refusal> {
    match admin.node.stopping.load(Relaxed) {
        false => Ok("ready\n"),
        true => Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "stopping: running requests are finished".into())),
    }
}

async fn expose(State(admin): State<Admin>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::exposition(&admin.node))
}

async fn asset(Path(name): Path<String>, asked: HeaderMap) -> Result<Response, Refusal> {
    crate::dashboard::part(&name, &asked)
        .ok_or_else(|| Refusal(StatusCode::NOT_FOUND, "no such file of the dashboard".into()))
}

async fn stats(State(admin): State<Admin>) -> Json<Value> {
    Json(report::stats(&admin.node, admin.started))
}

async fn events(State(admin): State<Admin>) -> Result<Response, Refusal> {
    let none = || {
        Refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{} streams are open already, or the node stops", events::STREAMS_MAX),
        )
    };
    events::stream(&admin.node, admin.started).ok_or_else(none)
}

async fn purge(State(admin): State<Admin>, Json(order): Json<Order>) -> Result<(StatusCode, Json<Done>), Refusal> {
    let done = crate::purge::ordered(&admin.node, order).await;
    let status = |done: &Done| if done.others == Some(Spread::Waiting) { StatusCode::ACCEPTED } else { StatusCode::OK };
    done.map(|done| (status(&done), Json(done))).map_err(|undone| {
        let status = match undone {
            Undone::Wrong(_) => StatusCode::BAD_REQUEST,
            Undone::HandedOver | Undone::Unconfirmed | Undone::Untold => StatusCode::SERVICE_UNAVAILABLE,
            Undone::Unrecorded | Undone::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal(status, undone.to_string())
    })
}

async fn reload(State(admin): State<Admin>) -> Answer {
    let done = crate::reload::reload(&admin.node, &admin.file)
        .await
        .map_err(|error| Refusal(StatusCode::UNPROCESSABLE_ENTITY, error))?;
    let mut told = json!({ "reloaded": true, "needs_restart": done.needs_restart });
    if !done.kept.is_empty() {
        told["kept"] = json!(done.kept);
    }
    Ok(Json(told))
}

async fn reload_zone(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let none = || Refusal(StatusCode::NOT_FOUND, "this node has no [[zone]]".into());
    let director = admin.node.directing.as_ref().ok_or_else(none)?.director().clone();
    // Reading a large zone takes a while: not where DNS is answered.
    let read = tokio::task::spawn_blocking(move || director.reload_zone(&name)).await;
    let read = read.map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let Reread { zone, serial, before, is_copy, warnings } = read.map_err(|unread| {
        let status = match unread {
            Unreread::Unknown { .. } => StatusCode::NOT_FOUND,
            Unreread::Wrong(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Refusal(status, unread.to_string())
    })?;
    warnings.iter().for_each(|warning| tracing::error!("{warning}"));
    let mut told = json!({ "reloaded": true, "zone": zone, "serial": serial, "serial_before": before });
    if is_copy {
        told["asks_primary"] = true.into();
    }
    if !warnings.is_empty() {
        told["kept"] = json!(warnings);
    }
    Ok(Json(told))
}

async fn upgrade(State(admin): State<Admin>) -> Answer {
    let started = admin.node.upgrade.start(&admin.node).await;
    let pid = started.map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    Ok(Json(json!({ "pid": pid })))
}

async fn object(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Answer {
    let wrong = |problem: String| Refusal(StatusCode::BAD_REQUEST, problem);
    let asked = explained::Asked::of(&query.unwrap_or_default()).map_err(wrong)?;
    let explained = explained::Explained::of(&admin.node, &asked).ok_or_else(|| wrong(NO_URL.into()))?;
    // It may read headers of files: not on the admin runtime.
    let told = tokio::task::spawn_blocking(move || report::object(&admin.node, &explained)).await;
    told.map(Json).map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

async fn top(State(admin): State<Admin>) -> Answer {
    let (node, started) = (admin.node.clone(), admin.started);
    // It looks at many objects: not on the admin runtime.
    let told = tokio::task::spawn_blocking(move || report::top(&node, started)).await;
    told.map(Json).map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

async fn plugins(State(admin): State<Admin>) -> Json<Value> {
    Json(admin.node.plugins.status())
}

async fn reload_plugin(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let node = admin.node.clone();
    if node.plugins.absent.problem(&name).is_some() {
        let loaded = crate::reload::load_missing(&node, false).await;
        let problem = loaded.err().or_else(|| node.plugins.absent.problem(&name));
        return match problem {
            Some(problem) => Err(Refusal(StatusCode::UNPROCESSABLE_ENTITY, problem)),
            None => Ok(Json(json!({ "generation": 1 }))),
        };
    }
    // Compiling takes tens of milliseconds: not on the admin runtime.
    let reloaded = tokio::task::spawn_blocking(move || node.plugins.reload(&name)).await;
    let reloaded = reloaded.map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let generation = reloaded.map_err(|error| Refusal(StatusCode::UNPROCESSABLE_ENTITY, error))?;
    Ok(Json(json!({ "generation": generation })))
}

/// A candidate's share, percent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RolloutOrder {
    percent: f64,
}

async fn roll_out(admin: State<Admin>, name: Path<String>, Json(order): Json<RolloutOrder>) -> Answer {
    let share = Share::of_percent(order.percent).map_err(|problem| Refusal(StatusCode::BAD_REQUEST, problem))?;
    rolled_out(admin, name, Wanted::Share(share)).await
}

async fn promote(admin: State<Admin>, name: Path<String>) -> Answer {
    rolled_out(admin, name, Wanted::Promotion).await
}

async fn abort(admin: State<Admin>, name: Path<String>) -> Answer {
    rolled_out(admin, name, Wanted::End).await
}

async fn rolled_out(State(admin): State<Admin>, Path(name): Path<String>, wanted: Wanted) -> Answer {
    let node = admin.node.clone();
    // It may have to be compiled.
    let done = tokio::task::spawn_blocking(move || node.plugins.roll_out(&name, wanted)).await;
    let done = done.map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let generation = done.map_err(|problem| Refusal(StatusCode::UNPROCESSABLE_ENTITY, problem))?;
    Ok(Json(json!({ "generation": generation })))
}

async fn clusters(State(admin): State<Admin>) -> Json<Value> {
    Json(report::clusters(&admin.node))
}

async fn drain(admin: State<Admin>, id: Path<String>) -> Answer {
    drained(admin, id, true).await
}

async fn undrain(admin: State<Admin>, id: Path<String>) -> Answer {
    drained(admin, id, false).await
}

async fn drained(State(admin): State<Admin>, Path(id): Path<String>, drained: bool) -> Answer {
    // It is written to a disk: not on the admin runtime.
    let done = tokio::task::spawn_blocking(move || drains::ordered(&admin.node, &id, drained)).await;
    let done = done.map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    done.map(|done| Json(json!(done))).map_err(|undone| {
        let status = match undone {
            drains::Undone::HandedOver => StatusCode::SERVICE_UNAVAILABLE,
            drains::Undone::Unknown { .. } | drains::Undone::Nobody => StatusCode::NOT_FOUND,
        };
        Refusal(status, undone.to_string())
    })
}

async fn nodes(State(admin): State<Admin>) -> Json<Nodes> {
    Json(Nodes::of(&admin.node))
}

async fn rtts(State(admin): State<Admin>) -> String {
    admin.node.rtt.text()
}

async fn learn_rtts(State(admin): State<Admin>, text: String) -> Answer {
    let taken = admin.node.rtt.learn(&text).map_err(|problem| Refusal(StatusCode::BAD_REQUEST, problem))?;
    Ok(Json(json!({ "taken": taken })))
}

#[derive(Deserialize)]
struct ExplainQuery {
    client: std::net::IpAddr,
    name: String,
    url: Option<String>,
}

async fn explain(State(admin): State<Admin>, Query(query): Query<ExplainQuery>) -> Answer {
    let none = || Refusal(StatusCode::NOT_FOUND, "this node has no [[service]]".into());
    let directing = admin.node.directing.as_ref().ok_or_else(none)?;
    let content = query.url.as_deref().map(|url| explained::content(&admin.node, url));
    let content = content.transpose().map_err(|problem| Refusal(StatusCode::BAD_REQUEST, problem))?;
    let (holders, held) = content.unwrap_or_default();
    let explained = directing.explain(query.client, &query.name, &holders).map(|mut explained| {
        if !held.is_null() {
            explained["content"] = held;
        }
        if let Some(control) = crate::control::status::explained(&admin.node) {
            explained["control"] = control;
        }
        Json(explained)
    });
    explained.ok_or_else(|| Refusal(StatusCode::NOT_FOUND, format!("{:?} is no [[service]] of this node", query.name)))
}

#[derive(Deserialize)]
struct ResolveQuery {
    name: String,
    #[serde(rename = "type", default = "ResolveQuery::kind_default")]
    kind: String,
    client: Option<std::net::IpAddr>,
}

impl ResolveQuery {
    fn kind_default() -> String {
        "A".into()
    }
}

/// Looks a name up through the node's resolver, and tells whom that asked.
async fn resolve(State(admin): State<Admin>, Query(query): Query<ResolveQuery>) -> Answer {
    let none = || Refusal(StatusCode::NOT_FOUND, "this node has no [resolver]".into());
    let resolver = admin.node.resolver.as_ref().ok_or_else(none)?;
    let found = resolver.explain(&query.name, &query.kind, query.client.map(Into::into)).await;
    found.map(|found| Json(json!(found))).map_err(|error| Refusal(StatusCode::BAD_REQUEST, error))
}

fn jobs(admin: &Admin) -> Result<&crate::warm::Jobs, Refusal> {
    let none =
        || Refusal(StatusCode::NOT_FOUND, "this node has no plain HTTP listener, through which warm jobs fetch".into());
    admin.node.warm.as_deref().ok_or_else(none)
}

async fn warm(State(admin): State<Admin>, Json(order): Json<crate::warm::Order>) -> Answer {
    if order.standing.is_some() {
        let problem = "standing jobs are in the config: add a [[warm]], or leave standing out";
        return Err(Refusal(StatusCode::UNPROCESSABLE_ENTITY, problem.into()));
    }
    let started = jobs(&admin)?.start(&admin.node, order);
    started.map(Json).map_err(|error| Refusal(StatusCode::UNPROCESSABLE_ENTITY, error))
}

async fn warm_jobs(State(admin): State<Admin>) -> Answer {
    Ok(Json(jobs(&admin)?.list()))
}

async fn standing_warm_jobs(State(admin): State<Admin>) -> Answer {
    Ok(Json(jobs(&admin)?.standing(&admin.node.settings.load())))
}

async fn warm_job(State(admin): State<Admin>, Path(id): Path<u64>) -> Answer {
    jobs(&admin)?.one(id).map(Json).ok_or_else(|| no_job(id))
}

async fn cancel_warm_job(State(admin): State<Admin>, Path(id): Path<u64>) -> Answer {
    jobs(&admin)?.cancel(id).map(Json).ok_or_else(|| no_job(id))
}

fn no_job(id: u64) -> Refusal {
    Refusal(StatusCode::NOT_FOUND, format!("no warm job {id}; GET /v1/warm lists them"))
}

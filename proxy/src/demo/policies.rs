//! What the policies decided, as the nodes tell it: `/v1/plugins`, `/v1/explain` and response headers.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::board::PolicyRow;
use super::load::POPULAR;
use super::web::Web;
use super::world::{SERVICE, SITES, STILLS, Site, TITLES, VIDEO_HOST};
use super::{POLICIES, Stage};

/// The edge whose decisions are shown: the one that is neither killed nor given a bad plugin.
const EXAMPLE: Site = SITES[2];

/// A plugin of one node.
#[derive(Debug, Clone)]
pub(super) struct Plugin {
    pub(super) generation: u64,
    pub(super) calls: u64,
    /// Faults by kind, without those that did not happen.
    pub(super) faults: Vec<(String, u64)>,
    /// Mean time of a timed call.
    pub(super) ns_per_call: Option<u64>,
    /// Running, quarantined or rolled back, in the node's own words.
    pub(super) state: String,
    /// In the node's own words.
    pub(super) last_fault: String,
}

impl Plugin {
    /// Faults of all kinds.
    pub(super) fn fault_count(&self) -> u64 {
        self.faults.iter().map(|(_, count)| count).sum()
    }
}

/// Asks a node for one of its plugins.
///
/// # Errors
/// When the node has none of that name.
pub(super) async fn plugin(web: &Web, admin: SocketAddr, name: &str) -> anyhow::Result<Plugin> {
    let plugins = web.admin(admin, "/v1/plugins").await?;
    let list = plugins.as_array().context("/v1/plugins gives no list")?;
    let plugin = list.iter().find(|plugin| plugin["name"] == name).with_context(|| format!("no plugin {name}"))?;
    Ok(of_json(plugin))
}

fn of_json(plugin: &Value) -> Plugin {
    let kinds = plugin["faults"].as_object().into_iter().flatten();
    let kinds = kinds.filter_map(|(kind, count)| Some((kind.clone(), count.as_u64().filter(|count| *count > 0)?)));
    let count = |key: &str| plugin[key].as_u64().unwrap_or(0);
    Plugin {
        generation: count("generation"),
        calls: count("calls"),
        faults: kinds.collect(),
        ns_per_call: Some(count("mean_ns")).filter(|ns| *ns > 0),
        state: plugin["state"].as_str().unwrap_or_default().to_owned(),
        last_fault: plugin["last_fault"].as_str().unwrap_or_default().to_owned(),
    }
}

/// Asks KingCDN's node why a client gets what it gets.
///
/// # Errors
/// When the node does not answer.
pub(super) async fn explain(stage: &Stage, client: Ipv4Addr) -> anyhow::Result<Value> {
    let path = format!("/v1/explain?client={client}&name={SERVICE}");
    stage.web.admin(stage.world.kingcdn.admin()?, &path).await
}

/// The reason of a routing decision in one line.
pub(super) fn reason(explain: &Value) -> String {
    let text = |key: &str| explain[key].as_str().unwrap_or_default();
    let mut parts = vec![text("reason").to_owned()];
    if !text("zone").is_empty() {
        parts.push(format!("in the coverage zone of {}", text("zone")));
    }
    let distances = explain["distance_km"].as_array().into_iter().flatten();
    let distances: Vec<String> =
        distances.map(|pair| format!("{} {} km", pair[0].as_str().unwrap_or("?"), pair[1])).collect();
    if !distances.is_empty() {
        parts.push(distances.join(", "));
    }
    parts.push(format!("holds for {}", text("scope")));
    parts.join("; ")
}

/// What an edge counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    pub(super) requests: u64,
    pub(super) hits: u64,
    pub(super) evicted: u64,
    pub(super) bytes: u64,
}

/// Asks an edge for its counters.
///
/// # Errors
/// When it does not answer.
pub(super) async fn counters(web: &Web, admin: SocketAddr) -> anyhow::Result<Counters> {
    let stats = web.admin(admin, "/v1/stats").await?;
    let outcomes = stats["requests"].as_object().context("/v1/stats has no requests")?;
    let requests = outcomes.values().filter_map(Value::as_u64).sum();
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let (hits, evicted) = (count(&stats["requests"]["hit"]), count(&stats["cache"]["evicted"]));
    Ok(Counters { requests, hits, evicted, bytes: count(&stats["sent_bytes"]) })
}

/// Shows what each of the three policies decided, with an example of each.
///
/// # Errors
/// When a policy was never asked.
pub(super) async fn tell(stage: &Stage) -> anyhow::Result<()> {
    let rows = rows(stage).await?;
    for row in &rows {
        let cost = row.ns_per_call.map_or(String::new(), |ns| format!(", {ns} ns a call"));
        stage
            .board
            .say(&format!("{} at {}: {} decisions, {} faults{cost}", row.policy, row.place, row.calls, row.faults));
        stage.board.say(&format!("  {}", row.example));
    }
    let idle = rows.iter().find(|row| row.calls == 0).map(|row| row.policy.clone());
    stage.board.update(|show| show.policies = rows);
    ensure!(idle.is_none(), "{} was never asked", idle.unwrap_or_default());
    Ok(())
}

/// The three policies with their counts and an example of a decision each, made now.
///
/// # Errors
/// When a node does not answer.
pub(super) async fn rows(stage: &Stage) -> anyhow::Result<Vec<PolicyRow>> {
    let [route, rate, evict] = POLICIES;
    let site = &EXAMPLE;
    let edge = stage.world.edge(site.id).admin()?;
    let cdn = stage.world.kingcdn.admin()?;
    let examples = [example_of_route(stage).await?, example_of_rate(stage).await?, example_of_evict(stage).await?];
    let places = [("KingCDN's DNS", cdn, route), (site.id, edge, rate), (site.id, edge, evict)];
    let mut rows = Vec::new();
    for ((place, admin, name), example) in places.into_iter().zip(examples) {
        let plugin = plugin(&stage.web, admin, name).await?;
        rows.push(PolicyRow {
            policy: name.to_owned(),
            place: place.to_owned(),
            calls: plugin.calls,
            faults: plugin.fault_count(),
            ns_per_call: plugin.ns_per_call,
            example,
        });
    }
    Ok(rows)
}

async fn example_of_route(stage: &Stage) -> anyhow::Result<String> {
    let city = stage.cities.last().context("invariant: there are cities")?;
    let explain = explain(stage, city.client).await?;
    Ok(format!("{} ({}): {}", city.name, city.client, reason(&explain)))
}

/// One segment asked for as `auto` by a slow and by a fast client, who tell their throughput by CMCD (CTA-5004).
async fn example_of_rate(stage: &Stage) -> anyhow::Result<String> {
    let edge = stage.world.edge(EXAMPLE.id).http()?;
    let mut answers = Vec::new();
    for kbit_per_s in [150, 9000] {
        let path = format!(
            "/{}/seg-auto-00005.m4s?CMCD=bl%3D20000%2Cmtp%3D{kbit_per_s}%2Csid%3D%22demo-{kbit_per_s}%22",
            TITLES[0]
        );
        let response = stage.web.get(edge, VIDEO_HOST, &path).await?;
        ensure!(response.status == 200, "{path}: status {}", response.status);
        let representation = response.header("x-littoral-representation");
        ensure!(!representation.is_empty(), "{path}: the edge does not say which representation it chose");
        answers.push(format!("representation {representation} at {kbit_per_s} kbit/s"));
    }
    ensure!(answers[0].split(" at ").next() != answers[1].split(" at ").next(), "{} and {}", answers[0], answers[1]);
    Ok(format!("seg-auto-00005.m4s was answered with {}", answers.join(", ")))
}

/// How many of the popular stills and of the others an edge kept.
async fn example_of_evict(stage: &Stage) -> anyhow::Result<String> {
    let admin = stage.world.edge(EXAMPLE.id).admin()?;
    let mut kept = [0, 0];
    for still in 0..STILLS {
        let url = format!("http://{VIDEO_HOST}:{}/stills/{still:03}.jpg", stage.world.port);
        let object = stage.web.admin(admin, &format!("/v1/cache/object?url={url}")).await?;
        if object["state"] != "absent" {
            kept[usize::from(still >= POPULAR)] += 1;
        }
    }
    let [popular, others] = kept;
    let evicted = counters(&stage.web, admin).await?.evicted;
    Ok(format!(
        "{evicted} objects evicted; kept {popular} of the {POPULAR} popular stills and {others} of the {} others",
        STILLS - POPULAR
    ))
}

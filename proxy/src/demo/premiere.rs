//! A title is pushed to an edge before its premiere, and its first viewers are compared with those of another title.
//!
//! Both are copies of the same film under different URLs, watched at the same time by the same cities; the only
//! difference is that one was warmed.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::Stage;
use super::board::share;
use super::cities::City;
use super::players::{self, Viewing};
use super::world::TITLES;
use crate::play::Rule;

/// Where the premiere is.
const CLUSTER: &str = "tyo1";
const POLL: Duration = Duration::from_millis(50);
const POLL_MAX: usize = 300;
/// What first viewers of a warmed title must find in the cache at least.
const WARMED_MIN: f64 = 0.95;

/// Warms one title and lets first viewers watch it and another.
///
/// # Errors
/// When the job fails, or the warmed title is not better off.
pub(super) async fn compare(stage: &Stage) -> anyhow::Result<()> {
    let [_, warmed, unwarmed] = TITLES;
    warm(stage, warmed).await?;
    let viewers: Vec<City> = stage.cities.iter().filter(|city| city.cluster == CLUSTER).cloned().collect();
    let with = first_viewers(stage, warmed, &viewers);
    let without = first_viewers(stage, unwarmed, &viewers);
    let (with, without) = tokio::try_join!(with, without)?;
    stage.board.say(&format!(
        "first {} viewers: {:.1} % hits of {} for the warmed title, {:.1} % of {} for the other",
        viewers.len(),
        with.hit_ratio() * 100.0,
        with.responses,
        without.hit_ratio() * 100.0,
        without.responses
    ));
    stage.board.say(&format!("start-up {:.0} ms against {:.0} ms (means)", with.startup_ms, without.startup_ms));
    ensure!(with.hit_ratio() >= WARMED_MIN, "the warmed title's hit ratio is below {:.0} %", WARMED_MIN * 100.0);
    ensure!(with.hit_ratio() > without.hit_ratio(), "warming made no difference");
    Ok(())
}

/// Sums over the viewings of a title.
struct Premiere {
    hits: u64,
    responses: u64,
    startup_ms: f64,
}

impl Premiere {
    fn hit_ratio(&self) -> f64 {
        share(self.hits, self.responses)
    }
}

async fn first_viewers(stage: &Stage, title: &str, viewers: &[City]) -> anyhow::Result<Premiere> {
    let watch = |city| players::watch(stage, title, city, Rule::Throughput);
    let viewings: Vec<Viewing> = futures_util::future::try_join_all(viewers.iter().map(watch)).await?;
    let failed: u64 = viewings.iter().map(|viewing| viewing.failed).sum();
    ensure!(failed == 0, "{failed} segments of {title} failed");
    let mean = viewings.iter().map(|viewing| viewing.startup_ms).sum::<f64>() / viewings.len().max(1) as f64;
    let sum = |count: fn(&Viewing) -> u64| viewings.iter().map(count).sum();
    Ok(Premiere { hits: sum(|viewing| viewing.hits), responses: sum(|viewing| viewing.responses), startup_ms: mean })
}

/// Posts a warm job and waits for its end.
async fn warm(stage: &Stage, title: &str) -> anyhow::Result<()> {
    let admin = stage.world.edge(CLUSTER).admin()?;
    let job = json!({ "url": stage.world.manifest(title) });
    let posted = stage.web.admin_post(admin, "/v1/warm", Some(&job)).await?;
    let id = match &posted["id"] {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => bail!("the warm job has no id: {posted}"),
    };
    for _ in 0..POLL_MAX {
        let job = stage.web.admin(admin, &format!("/v1/warm/{id}")).await?;
        let state = job["state"].as_str().context("a warm job without a state")?;
        match state {
            "done" => return tell_job(stage, title, &job),
            "waiting" | "running" => tokio::time::sleep(POLL).await,
            _ => bail!("the warm job ended as `{state}`: {job}"),
        }
    }
    bail!("the warm job was not done after {:?}", POLL * POLL_MAX as u32)
}

fn tell_job(stage: &Stage, title: &str, job: &Value) -> anyhow::Result<()> {
    let count = |key: &str| job[key].as_u64().unwrap_or(0);
    let took_ms = count("ended_ms").saturating_sub(count("started_ms"));
    stage.board.say(&format!(
        "POST /v1/warm {title} at {CLUSTER}: {} of {} objects, {} kB in {took_ms} ms, {} retries, {} failed",
        count("done"),
        count("total"),
        count("bytes") / 1000,
        count("retries"),
        count("failed_count")
    ));
    ensure!(count("done") == count("total"), "the job says it is done, but not everything is there");
    Ok(())
}

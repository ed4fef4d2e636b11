//! A cluster dies while players watch: they move to another within the TTL, and no play fails.
//!
//! The cluster is killed with SIGKILL, so nothing says goodbye. KingCDN's DNS notices by its health probes, the resolver
//! forgets its answer after the TTL, and a player whose edge is gone asks again.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::task::JoinSet;

use super::Stage;
use super::cities::City;
use super::players::{self, Viewing};
use super::world::{SERVICE_TTL_S, TITLES, VIDEO_HOST, cluster_at};
use crate::play::lookup::ask;

/// Which cluster dies.
const VICTIM: &str = "ams1";
/// TTL, two probes and their interval, and room for a busy machine.
const MOVE_MAX: Duration = Duration::from_millis(SERVICE_TTL_S * 1000 + 3000);
const POLL: Duration = Duration::from_millis(50);
const POLL_MAX: usize = 200;
/// Media seconds a player has watched, at its speed, when the cluster dies.
const HEAD_START: Duration = Duration::from_millis(1200);

/// Kills the cluster under its players and starts it again.
///
/// # Errors
/// When a play fails, a player does not move or the cluster does not come back.
pub(super) async fn survive(stage: &Stage) -> anyhow::Result<()> {
    let viewers: Vec<City> = stage.cities.iter().filter(|city| city.cluster == VICTIM).cloned().collect();
    let first = viewers.first().cloned().context("nobody watches the cluster that dies")?;
    let mut plays = JoinSet::new();
    for city in viewers {
        let stage = stage.clone();
        plays
            .spawn(async move { players::watch_slowly(&stage, TITLES[0], &city).await.map(|viewing| (city, viewing)) });
    }
    tokio::time::sleep(HEAD_START).await;
    let edge = stage.world.edge(VICTIM);
    edge.kill().await?;
    let killed = Instant::now();
    stage.board.say(&format!("{} players watch; SIGKILL to {VICTIM} (pid {})", plays.len(), edge.pid));
    stage.refresh();

    let moved_to = moved_from(stage, &first, VICTIM).await?;
    let took = killed.elapsed();
    stage.board.say(&format!(
        "{:.1} s later the resolver's answer for {} is {moved_to}",
        took.as_secs_f64(),
        first.name
    ));
    ensure!(took <= MOVE_MAX, "moving took {took:?}, more than the TTL of {SERVICE_TTL_S} s and the probes allow");

    let mut moved = 0;
    while let Some(play) = plays.join_next().await {
        let (city, viewing) = play.context("a player panicked")??;
        check_moved(&city, &viewing)?;
        moved += usize::from(viewing.clusters.iter().any(|cluster| *cluster != VICTIM));
        let Viewing { clusters, segments, stalls, attempts, .. } = &viewing;
        let path = clusters.join(" → ");
        let name = &city.name;
        stage
            .board
            .say(&format!("{name}: {path}; {segments} segments, 0 failed, {attempts} tries at most, {stalls} stalls"));
    }
    ensure!(moved > 0, "no player was still watching when {VICTIM} died");
    come_back(stage, &first).await
}

/// Asks as a client of `city` until the answer is not `cluster`.
async fn moved_from(stage: &Stage, city: &City, cluster: &str) -> anyhow::Result<&'static str> {
    wait_for_cluster(stage, city, |now| now != cluster).await.with_context(|| format!("still sent to {cluster}"))
}

async fn wait_for_cluster(stage: &Stage, city: &City, wanted: impl Fn(&str) -> bool) -> anyhow::Result<&'static str> {
    for _ in 0..POLL_MAX {
        let answer = ask(stage.world.resolver.address(), VIDEO_HOST, Some(city.client)).await?;
        let cluster = answer.addresses().first().copied().and_then(cluster_at);
        if let Some(cluster) = cluster.filter(|cluster| wanted(cluster)) {
            return Ok(cluster);
        }
        tokio::time::sleep(POLL).await;
    }
    anyhow::bail!("{} after {:?}", city.name, POLL * POLL_MAX as u32)
}

fn check_moved(city: &City, viewing: &Viewing) -> anyhow::Result<()> {
    ensure!(viewing.failed == 0, "{}: {} segments failed: {}", city.name, viewing.failed, viewing.failure());
    Ok(())
}

async fn come_back(stage: &Stage, city: &City) -> anyhow::Result<()> {
    stage.world.start_again(VICTIM).await?;
    let started = Instant::now();
    stage.refresh();
    wait_for_cluster(stage, city, |now| now == VICTIM).await.with_context(|| format!("{VICTIM} did not come back"))?;
    let took = started.elapsed().as_secs_f64();
    stage.board.say(&format!("{VICTIM} started again; {took:.1} s later {} is sent there again", city.name));
    Ok(())
}

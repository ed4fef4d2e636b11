//! An operator loads a plugin that traps at every call: faults are counted, the native policy answers, nothing fails.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::Stage;
use super::load::Load;
use super::policies;
use super::world::{self, SITES};

const CLUSTER: usize = 1;
const PLUGIN: &str = "trap";
const UNDER_LOAD: Duration = Duration::from_millis(900);

/// Loads the plugin into one edge under load, and takes it out again.
///
/// # Errors
/// When a request fails or no fault is shown.
pub(super) async fn endure(stage: &Stage) -> anyhow::Result<()> {
    let site = &SITES[CLUSTER];
    let edge = stage.world.edge(site.id);
    let (address, admin) = (edge.http()?, edge.admin()?);
    let load = Load::start(&stage.web, &[address]);
    let built = world::plugin_in(&stage.material.plugins, PLUGIN)?;
    std::fs::copy(built, stage.world.plugin_file(site.id, PLUGIN))?;
    configure(stage, PLUGIN).await?;
    tokio::time::sleep(UNDER_LOAD).await;
    let plugin = policies::plugin(&stage.web, admin, PLUGIN).await?;
    stage.board.say(&format!(
        "{}: {PLUGIN} has {} faults in {} calls: {}",
        site.id, plugin.faults, plugin.calls, plugin.text
    ));
    configure(stage, "evict-lfu-size").await?;
    let tally = load.stop().await;
    ensure!(
        tally.failed == 0,
        "{} of {} requests failed: {:?}",
        tally.failed,
        tally.requests,
        tally.failure
    );
    ensure!(plugin.faults > 0, "the plugin was loaded but no fault is shown");
    stage
        .board
        .say(&format!("{} requests meanwhile, 0 failed", tally.requests));
    Ok(())
}

/// Writes the edge's config with this eviction policy and has it reloaded.
async fn configure(stage: &Stage, evict: &str) -> anyhow::Result<()> {
    let site = &SITES[CLUSTER];
    let config = world::edge_config(site, stage.world.port, stage.world.origin.http()?, evict);
    let file = stage.world.dir.join(site.id).join("node.toml");
    std::fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))?;
    stage
        .web
        .admin_post(stage.world.edge(site.id).admin()?, "/v1/reload", None)
        .await?;
    Ok(())
}

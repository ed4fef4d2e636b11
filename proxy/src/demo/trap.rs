//! An operator replaces a policy with a plugin that traps at every call: faults are counted, the native policy answers,
//! nothing fails, and the node goes back to the generation before. Then the good file is loaded again.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Stage;
use super::load::Load;
use super::policies;
use super::world::{self, SITES};

const CLUSTER: usize = 1;
const POLICY: &str = "evict-lfu-size";
const UNDER_LOAD: Duration = Duration::from_millis(900);

/// Loads the plugin into one edge under load, and the good one again.
///
/// # Errors
/// When a request fails, no fault is shown, or the good policy is not asked again.
pub(super) async fn endure(stage: &Stage) -> anyhow::Result<()> {
    let site = &SITES[CLUSTER];
    let edge = stage.world.edge(site.id);
    let (address, admin) = (edge.http()?, edge.admin()?);
    let before = policies::plugin(&stage.web, admin, POLICY).await?;
    let load = Load::start(&stage.web, &[address]);

    load_file(stage, &world::plugin_in(&stage.material.plugins, "trap")?).await?;
    tokio::time::sleep(UNDER_LOAD).await;
    let trapped = policies::plugin(&stage.web, admin, POLICY).await?;
    let faults: Vec<String> = trapped.faults.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
    let (faults, state) = (faults.join(", "), &trapped.state);
    stage.board.say(&format!("{}: trap.wasm loaded as {POLICY}: faults {faults}; now {state}", site.id));
    stage.board.say(&format!("last fault: {}", trapped.last_fault));
    let evicted = policies::counters(&stage.web, admin).await?.evicted;

    load_file(stage, &world::plugin_in(&stage.material.plugins, POLICY)?).await?;
    let restored = policies::plugin(&stage.web, admin, POLICY).await?;
    tokio::time::sleep(UNDER_LOAD).await;
    let asked = policies::plugin(&stage.web, admin, POLICY).await?.calls.saturating_sub(restored.calls);
    let tally = load.stop().await;
    ensure!(tally.failed == 0, "{} of {} requests failed: {:?}", tally.failed, tally.requests, tally.failure);
    ensure!(trapped.fault_count() > before.fault_count(), "the plugin was loaded but no fault is shown");
    ensure!(asked > 0, "the good policy is not asked again");
    stage.board.say(&format!("{} requests and {evicted} evictions meanwhile, 0 failed", tally.requests));
    stage.board.say(&format!("good file back: {asked} decisions since"));
    Ok(())
}

/// Puts a plugin file in place by a rename, and has it loaded.
async fn load_file(stage: &Stage, built: &Path) -> anyhow::Result<()> {
    let site = &SITES[CLUSTER];
    let file = stage.world.plugin_file(site.id, POLICY);
    let new = file.with_extension("new");
    std::fs::copy(built, &new).with_context(|| format!("cannot copy {}", built.display()))?;
    std::fs::rename(&new, &file).with_context(|| format!("cannot replace {}", file.display()))?;
    let admin = stage.world.edge(site.id).admin()?;
    stage.web.admin_post(admin, &format!("/v1/plugins/{POLICY}/reload"), None).await?;
    Ok(())
}

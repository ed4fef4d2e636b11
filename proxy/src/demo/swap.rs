//! The eviction policy is replaced while the edges work, and no request fails.
//!
//! The new file is the same policy in another build: a custom section makes its content, and so its hash, a different
//! one. The edges load it beside the old generation and change over between two calls.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Stage;
use super::board::share;
use super::load::Load;
use super::policies::{self, Plugin};
use super::world::SITES;

const POLICY: &str = "evict-lfu-size";
/// Load before, between and after the swaps.
const UNDER_LOAD: Duration = Duration::from_millis(700);

/// Swaps the policy of every edge under load.
///
/// # Errors
/// When a request fails, or an edge keeps its old generation.
pub(super) async fn swap(stage: &Stage) -> anyhow::Result<()> {
    let addresses = stage.edge_addresses()?;
    let load = Load::start(&stage.web, &addresses);
    tokio::time::sleep(UNDER_LOAD).await;
    for (index, site) in SITES.iter().enumerate() {
        let admin = stage.world.edge(site.id).admin()?;
        let before = policies::plugin(&stage.web, admin, POLICY).await?;
        let at = load.tally().requests;
        replace_file(&stage.world.plugin_file(site.id, POLICY), index)?;
        stage.web.admin_post(admin, &format!("/v1/plugins/{POLICY}/reload"), None).await?;
        let after = policies::plugin(&stage.web, admin, POLICY).await?;
        tell(stage, site.id, &before, &after, at)?;
    }
    tokio::time::sleep(UNDER_LOAD).await;
    let tally = load.stop().await;
    ensure!(tally.failed == 0, "{} of {} requests failed: {:?}", tally.failed, tally.requests, tally.failure);
    ensure!(tally.requests > 0, "there was no load");
    stage.board.say(&format!(
        "{} requests over the swaps, 0 failed, {:.0} % hits",
        tally.requests,
        share(tally.hits, tally.requests) * 100.0
    ));
    Ok(())
}

fn tell(stage: &Stage, cluster: &str, before: &Plugin, after: &Plugin, at: u64) -> anyhow::Result<()> {
    ensure!(after.generation > before.generation, "{cluster} still has generation {} of {POLICY}", before.generation);
    stage.board.say(&format!(
        "{cluster}: {POLICY} generation {} → {} at request {at}, after {} decisions of the old one",
        before.generation, after.generation, before.calls
    ));
    Ok(())
}

/// Puts the same policy with another content in place of `file`, by a rename, so that no reader sees half of it.
fn replace_file(file: &Path, build: usize) -> anyhow::Result<()> {
    let mut wasm = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    wasm.extend(custom_section("littoral-demo", format!("build {build}").as_bytes()));
    let new = file.with_extension("new");
    std::fs::write(&new, wasm)?;
    std::fs::rename(&new, file).with_context(|| format!("cannot replace {}", file.display()))
}

/// A custom section (id 0), which changes nothing of what a module or component does.
fn custom_section(name: &str, content: &[u8]) -> Vec<u8> {
    let length = 1 + name.len() + content.len();
    assert!(length < 128, "invariant: one LEB128 octet holds the length");
    let mut section = vec![0, length as u8, name.len() as u8];
    section.extend(name.as_bytes());
    section.extend(content);
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_has_the_old_content_and_one_section_more() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policy.wasm");
        std::fs::write(&file, b"\0asm").unwrap();
        replace_file(&file, 2).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"\0asm\x00\x15\x0dlittoral-demobuild 2");
    }
}

//! What a running node does about a changed config: read it, check it whole, then put it in force without a pause.
//!
//! Binding, starting and stopping are `run`'s. Invariants: a reload that fails changes nothing, but a broken zone or map file only keeps its own last content; reloads at once are made one
//! after another; what is the same before and after keeps what it has learnt (an origin its addresses and its health).

use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::node::Node;
use crate::origin::look_up;
use crate::site::Sites;

/// What a reload did not do.
#[derive(Debug, Default, PartialEq)]
pub struct Reloaded {
    /// Keys that need a restart.
    pub needs_restart: Vec<String>,
    /// What stays as it was because its file cannot be read, a sentence each.
    pub kept: Vec<String>,
}

/// Reads the config again and applies what can change live.
///
/// # Errors
/// Why nothing was changed.
pub async fn reload(node: &Arc<Node>, file: &Path) -> Result<Reloaded, String> {
    let _alone = node.reloading.lock().await;
    let config = Config::load(file).map_err(|error| error.to_string())?;
    let sites = Sites::of(&config, &node.sites.load());
    look_up(node, sites.origins_without_address()).await;
    let node = node.clone();
    // Compiling plugins and reading databases takes tens of milliseconds: not where DNS is answered.
    let applied = tokio::task::spawn_blocking(move || apply(&node, config, sites)).await;
    applied.map_err(|error| error.to_string())?
}

fn apply(node: &Arc<Node>, config: Config, sites: Sites) -> Result<Reloaded, String> {
    let old = node.settings.load_full();
    let mut restart = needs_restart(&old, &config);
    let fronts = node.fronts.prepare(&config)?;
    let access = node.access.prepare(config.log.access.as_ref())?;
    let tracer = node.traces.prepare(config.trace.as_ref(), &node.name)?;
    if node.directing.is_none() && !(config.zone.is_empty() && config.service.is_empty()) {
        restart.push("zone".to_owned());
    }
    let mut kept = Vec::new();
    if let Some(directing) = &node.directing {
        // All or nothing: this changes nothing when it fails, and what follows cannot fail but for a plugin's file.
        kept = directing.reload(&config)?;
        kept.iter().for_each(|warning| tracing::error!("{warning}"));
    }
    if let Err(error) = node.plugins.apply(&config) {
        if let Some(directing) = &node.directing {
            let _ = directing.reload(&old);
        }
        return Err(error);
    }
    node.control.follow(node, &config);
    node.rtt.put(&config.rtt);
    node.rtt.probe(&config.rtt);
    node.fronts.put(fronts);
    node.forward.put(&config.forward);
    node.access.adopt(access);
    node.traces.adopt(tracer);
    node.access.reopen();
    node.plugins.filters.seat(&sites);
    node.sites.store(Arc::new(sites));
    node.probes.follow(node);
    node.settings.store(Arc::new(config));
    node.renew_hot();
    node.acme.wake();
    node.warm.iter().for_each(|jobs| jobs.wake());
    kept.extend(node.plugins.absent.sentences());
    Ok(Reloaded { needs_restart: restart, kept })
}

/// Loads those plugins of the config in force that are missing, of which only those whose time has come if `only_due`, and gives them their
/// places.
///
/// # Errors
/// Why nothing was changed.
pub(crate) async fn load_missing(node: &Arc<Node>, only_due: bool) -> Result<(), String> {
    let _alone = node.reloading.lock().await;
    let node = node.clone();
    let loaded = tokio::task::spawn_blocking(move || {
        let config = node.settings.load_full();
        if node.plugins.load_missing(&config, only_due)? {
            let sites = Sites::of(&config, &node.sites.load());
            node.plugins.filters.seat(&sites);
            node.sites.store(Arc::new(sites));
            node.probes.follow(&node);
        }
        Ok(())
    });
    loaded.await.map_err(|error| error.to_string())?
}

/// Keys that differ and are read at start only.
fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    let node = crate::config::Node { resolvers: old.node.resolvers.clone(), ..new.node.clone() };
    let dns = crate::config::Dns { key: old.dns.key.clone(), ..new.dns.clone() };
    let (nodes, quorum) = (old.control.nodes.clone(), old.control.quorum);
    let control = crate::config::Control { nodes, quorum, ..new.control.clone() };
    let differing = [
        ("node", old.node != node),
        ("listen", new.listen.needs_restart(&old.listen)),
        ("dns", old.dns != dns),
        ("resolver", old.resolver != new.resolver),
        ("cache", old.cache != new.cache),
        ("control", old.control != control),
        ("limits.threads", old.limits.threads != new.limits.threads),
        ("limits.origin_connections_idle", old.limits.origin_connections_idle != new.limits.origin_connections_idle),
        ("limits.drain", old.limits.drain != new.limits.drain),
    ];
    differing.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}

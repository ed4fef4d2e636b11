//! The local resolver of the node: out of its config, and what the admin API and metrics tell of it. Finding answers is
//! `littoral_geo::resolver`'s.

use std::sync::Arc;

use littoral_geo::limits::RESOLVER_ANCHOR_BYTES_MAX;
use littoral_geo::resolver::{Resolver, Settings, Trust};
use littoral_geo::stub::absolute;

use crate::config::units::Prefix;
use crate::config::{Config, LocalResolver};
use crate::kept;

/// The resolver of a config; `None` when it has none.
///
/// # Errors
/// One line: what, where and what to do.
pub fn resolver(config: &Config) -> Result<Option<Arc<Resolver>>, String> {
    let Some(resolver) = &config.resolver else { return Ok(None) };
    let settings = settings(resolver)?;
    let place = resolver.anchors.as_ref().map_or_else(String::new, |file| format!("{}: ", file.display()));
    Resolver::new(settings).map(Some).map_err(|error| format!("{place}{error}"))
}

fn settings(resolver: &LocalResolver) -> Result<Settings, String> {
    let prefixes = |prefixes: &[Prefix]| prefixes.iter().map(|prefix| prefix.0).collect();
    let zone = |zone: &String| absolute(zone).parse().map_err(|error| format!("resolver.subnets: {zone:?}: {error}"));
    Ok(Settings {
        allow: prefixes(&resolver.allow),
        roots: resolver.roots.clone(),
        port: resolver.port,
        private: prefixes(&resolver.private),
        subnets: resolver.subnets.iter().map(zone).collect::<Result<_, String>>()?,
        subnet_v4: resolver.subnet_v4,
        subnet_v6: resolver.subnet_v6,
        believe_subnets: resolver.client_subnets,
        trust: trust(resolver)?,
        cache_bytes: usize::try_from(resolver.cache.0).unwrap_or(usize::MAX),
        ttl_max: resolver.ttl.0,
        lookups: resolver.lookups,
        patience: resolver.patience.0,
        ..Settings::default()
    })
}

fn trust(resolver: &LocalResolver) -> Result<Trust, String> {
    let Some(file) = resolver.anchors.as_ref().filter(|_| resolver.validate) else {
        return Ok(if resolver.validate { Trust::Root } else { Trust::Nothing });
    };
    let keys = kept::text(file, RESOLVER_ANCHOR_BYTES_MAX);
    keys.map(Trust::Keys).map_err(|error| format!("{}: trusted keys: {error}", file.display()))
}

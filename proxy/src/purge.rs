//! Purges as people order them: the body of `POST /v1/purge`, the command `littoral purge`, and what either names in the
//! words of the cache. What is done to the objects is the store's.
//!
//! Invariant: an order of which one part is wrong does nothing.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use clap::Args;
use littoral_cache::disk::Disks;
use littoral_cache::surrogate::key_hash;
use littoral_cache::{Key, Target};
use serde::{Deserialize, Serialize};

use crate::cli::{Admin, Failed, call};
use crate::control::Spread;
use crate::node::Node;
use crate::upgrade::twin::{Said, Twin, Which};

/// Targets of one order.
pub const TARGETS_MAX: usize = 1024;
/// Regular expressions among them.
pub const REGEXES_MAX: usize = 16;

/// The body of `POST /v1/purge`: what it names, any number of each, together at least one.
#[derive(Debug, Default, Deserialize, Serialize, Args)]
#[serde(deny_unknown_fields, default)]
#[group(required = true, multiple = true)]
pub struct Order {
    /// All variants of this URL.
    #[arg(long, value_name = "URL")]
    #[serde(deserialize_with = "one_or_many")]
    url: Vec<String>,
    /// All URLs that begin like this: a whole host, then the beginning of a path.
    #[arg(long, value_name = "URL")]
    #[serde(deserialize_with = "one_or_many")]
    prefix: Vec<String>,
    /// All objects of this host.
    #[arg(long, value_name = "HOST")]
    #[serde(deserialize_with = "one_or_many")]
    host: Vec<String>,
    /// All URLs, written host/path?query, in which this expression is found.
    #[arg(long, value_name = "REGEX")]
    #[serde(deserialize_with = "one_or_many")]
    regex: Vec<String>,
    /// All objects with this surrogate key.
    #[arg(long, alias = "tag", value_name = "KEY")]
    #[serde(deserialize_with = "one_or_many", alias = "tag")]
    key: Vec<String>,
    /// Everything.
    #[arg(long)]
    all: bool,
    /// Only make stale.
    #[arg(skip)]
    soft: bool,
}

/// What a purge did.
#[derive(Debug, Serialize, Deserialize)]
pub struct Done {
    /// Objects, published or in flight.
    pub purged: usize,
    /// Whether they were only made stale.
    pub soft: bool,
    /// Milliseconds it took.
    pub took_ms: f64,
    /// What becomes of it at other nodes; none where there is nothing between nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<Spread>,
}

/// Why a purge is not answered as done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undone {
    /// A part of the order is wrong; nothing was done.
    #[error("{0}")]
    Wrong(String),
    /// A disk has no record of it.
    #[error("{}", crate::disks::UNRECORDED)]
    Unrecorded,
    /// Somebody else had the disks, who has ended.
    #[error("{}", crate::disks::HANDED_OVER)]
    HandedOver,
    /// The other process of an upgrade did not say that it did it, too.
    #[error("{}", crate::disks::UNCONFIRMED)]
    Unconfirmed,
    /// Others are not told.
    #[error(
        "purged here, but the control plane does not take it for the other nodes: see littoral nodes, and purge again"
    )]
    Untold,
    /// It broke off.
    #[error("{0}")]
    Failed(String),
}

/// Does what an operator orders: here, and, by the control plane, at all other nodes.
///
/// # Errors
/// As [`everywhere`], which others are not told of; and when they cannot be told.
pub(crate) async fn ordered(node: &Arc<Node>, order: Order) -> Result<Done, Undone> {
    let told = serde_json::to_value(&order).map_err(|error| Undone::Failed(error.to_string()))?;
    let done = everywhere(node, order, None).await?;
    match node.control.plane().spread(told).await {
        Spread::Alone => Ok(done),
        Spread::Refused => Err(Undone::Untold),
        spread => Ok(Done { others: Some(spread), ..done }),
    }
}

/// Does an order here and in the other process of an upgrade, when one is under way, unless it came `from` there.
///
/// # Errors
/// Why nobody may rely on it. It may have been done all the same.
pub(crate) async fn everywhere(node: &Arc<Node>, order: Order, from: Option<&Arc<Twin>>) -> Result<Done, Undone> {
    let unrecorded = || node.store.disks().map_or(0, |disks| disks.counters().unrecorded.load(Relaxed));
    let (before, order) = (unrecorded(), Arc::new(order));
    let (here, ordered) = (node.clone(), order.clone());
    // It may look at every object there is: not on the runtime.
    let done = tokio::task::spawn_blocking(move || ordered.carry_out(&here)).await;
    let done = done.map_err(|error| Undone::Failed(error.to_string()))?.map_err(Undone::Wrong)?;
    // Afterwards: who has the disks now either has read of it in their journals, or is told.
    let order = Arc::into_inner(order).ok_or_else(|| Undone::Failed("it is still under way".into()))?;
    let spread = node.upgrade.spread(node, &Said::Purge(order), from).await;
    if spread.unconfirmed {
        return Err(Undone::Unconfirmed);
    }
    let newer = spread.newer || from.is_some_and(|twin| twin.which() == Which::Newer);
    match node.store.disks().is_some_and(Disks::is_released) {
        true if !newer => Err(Undone::HandedOver),
        false if unrecorded() > before => Err(Undone::Unrecorded),
        _ => Ok(done),
    }
}

/// Does what the other process of an upgrade says. Returns whether it may rely on it.
pub(crate) async fn do_for(node: &Arc<Node>, said: Said, twin: &Arc<Twin>) -> bool {
    match said {
        Said::Purge(order) => match everywhere(node, order, Some(twin)).await {
            Ok(_) => true,
            Err(undone) => {
                tracing::warn!(%undone, "a purge of the other process of an upgrade was not done");
                false
            }
        },
        Said::Invalidate { host, paths } => {
            paths.iter().for_each(|path| node.store.invalidate(key_of(node, &host, path)));
            !node.upgrade.spread(node, &Said::Invalidate { host, paths }, Some(twin)).await.unconfirmed
        }
        Said::Done(_) => false,
    }
}

/// Tells the other process of an upgrade, when one is under way, what an unsafe request has invalidated here.
pub(crate) async fn invalidated(node: &Node, host: &str, paths: Vec<String>) {
    if !paths.is_empty() && node.upgrade.has_twin() {
        let said = Said::Invalidate { host: host.to_owned(), paths };
        // What is not confirmed is counted and logged: the request itself has succeeded.
        node.upgrade.spread(node, &said, None).await;
    }
}

/// `littoral purge`.
#[derive(Debug, Args)]
pub struct PurgeArgs {
    #[command(flatten)]
    order: Order,
    /// Only mark them stale, to be revalidated.
    #[arg(long)]
    soft: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

/// Said to what is no URL.
pub(crate) const NO_URL: &str = "write a whole URL, such as http://video.example/title/manifest.mpd";
/// Said to what is no host.
const NO_HOST: &str = "write the name of a host alone, such as video.example";

impl Order {
    /// Does it. Objects are looked at one by one: not for a thread that serves.
    ///
    /// # Errors
    /// One sentence when a part of it is wrong; nothing is done then.
    pub fn carry_out(&self, node: &Node) -> Result<Done, String> {
        let targets = self.targets(node)?;
        let begun = Instant::now();
        let purged = if self.soft { node.store.expire(&targets) } else { node.store.purge(&targets) };
        let took_ms = begun.elapsed().as_micros() as f64 / 1000.0;
        tracing::info!(purged, soft = self.soft, took_ms, targets = targets.len(), "purged");
        Ok(Done { purged, soft: self.soft, took_ms, others: None })
    }

    fn targets(&self, node: &Node) -> Result<Vec<Target>, String> {
        let lists = [&self.url, &self.prefix, &self.host, &self.regex, &self.key];
        let count = lists.iter().map(|list| list.len()).sum::<usize>() + usize::from(self.all);
        if count == 0 {
            return Err(
                "give at least one \"url\", \"prefix\", \"host\", \"regex\" or \"key\", or \"all\": true".into()
            );
        }
        if count > TARGETS_MAX || self.regex.len() > REGEXES_MAX {
            return Err(format!("one purge names at most {TARGETS_MAX} targets, {REGEXES_MAX} of them expressions"));
        }
        let url = |url: &String| key_of_url(node, url).map(Target::Url).ok_or_else(|| format!("{url:?}: {NO_URL}"));
        let prefix = |url: &String| {
            let (host, path) = host_and_path(url).ok_or_else(|| format!("{url:?}: {NO_URL}"))?;
            Ok(Target::prefix(&host, &path))
        };
        let host = |host: &String| {
            let plain = crate::site::normalise_host(host).ok_or_else(|| format!("{host:?}: {NO_HOST}"))?;
            Ok(Target::host(&plain))
        };
        let regex = |regex: &String| Target::regex(regex).map_err(|error| format!("{regex:?}: {error}"));
        let mut targets = self.url.iter().map(url).collect::<Result<Vec<_>, String>>()?;
        for more in [
            self.prefix.iter().map(prefix).collect::<Result<Vec<_>, String>>()?,
            self.host.iter().map(host).collect::<Result<Vec<_>, String>>()?,
            self.regex.iter().map(regex).collect::<Result<Vec<_>, String>>()?,
        ] {
            targets.extend(more);
        }
        if !node.settings.load().listen.forward.is_empty() {
            targets.extend(crate::forward::purged(&self.url, &self.prefix, &self.host));
        }
        targets.extend(self.key.iter().map(|key| Target::Surrogate(key_hash(key))));
        targets.extend(self.all.then_some(Target::All));
        Ok(targets)
    }
}

/// The cache key a URL has on this node.
pub(crate) fn key_of_url(node: &Node, url: &str) -> Option<Key> {
    let (host, path) = host_and_path(url)?;
    Some(key_of(node, &host, &path))
}

pub(crate) fn key_of(node: &Node, host: &str, path: &str) -> Key {
    let sites = node.sites.load();
    // The explicit proxy's are no site's.
    let site = sites.find(host).filter(|_| !host.contains('/'));
    site.map_or_else(|| Key::new(host, path), |site| crate::request::key(site, host, path))
}

/// Host and path of a URL in the spelling of keys. Taken apart and not parsed: a request's path is kept as it came, dots,
/// braces and all.
pub(crate) fn host_and_path(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let rest = rest.split('#').next().unwrap_or("");
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = crate::site::normalise_host(authority)?;
    Some((host, if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }))
}

/// One text, or a list of them.
fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        None(()),
        One(String),
        Many(Vec<String>),
    }
    Ok(match Written::deserialize(from)? {
        Written::None(()) => Vec::new(),
        Written::One(one) => vec![one],
        Written::Many(many) => many,
    })
}

/// `littoral purge`.
///
/// # Errors
/// What the node said, or that it is not there.
pub async fn main(args: PurgeArgs) -> Result<ExitCode, Failed> {
    let order = serde_json::to_value(Order { soft: args.soft, ..args.order }).map_err(Failed::outcome)?;
    let answer = call(args.admin.admin, reqwest::Method::POST, "/v1/purge", Some(order)).await?;
    if args.json {
        println!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let done: Done = serde_json::from_str(&answer).map_err(Failed::outcome)?;
    let verb = if done.soft { "made stale" } else { "purged" };
    let noun = if done.purged == 1 { "object" } else { "objects" };
    let others = match done.others {
        Some(Spread::Told) => "; the other nodes are told",
        Some(Spread::Waiting) => {
            "; the other nodes will be told when the control plane is back, unless this node ends before"
        }
        _ => "",
    };
    println!("{verb} {} {noun} in {:.1} ms{others}", done.purged, done.took_ms);
    Ok(ExitCode::SUCCESS)
}

//! What `GET /v1/stats`, `/v1/top`, `/v1/clusters` and `/v1/cache/object` tell, as JSON.

use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use littoral_cache::entry::millis;
use littoral_cache::{Entry, Fill, Outcome};
use serde_json::{Map, Value, json};

use super::explained::{Explained, OnDisk};
use crate::clock::now_ms;
use crate::node::Node;
use crate::observe::figures::{CLASSES, Counter};

/// Hot keys told.
const HOT_KEYS: usize = 20;

/// `GET /v1/stats`.
pub(super) fn stats(node: &Node, started: SystemTime) -> Value {
    let (figures, settings) = (&node.figures, node.settings.load());
    json!({
        "node": settings.node.name,
        "cluster": settings.node.cluster,
        "uptime_s": started.elapsed().map_or(0, |up| up.as_secs()),
        "requests": by(&Outcome::LABELS, &figures.outcomes),
        "sent_bytes": figures.sent_bytes.sum(),
        "failures": figures.failures.sum(),
        "broken": figures.broken.sum(),
        "connections_open": figures.open.load(Relaxed),
        "origin": { "fetches": figures.fetches.sum(), "retries": figures.retries.sum() },
        "cache": {
            "objects": node.store.len(),
            "bytes": node.store.budget().used(),
            "bound_bytes": node.store.budget().bound(),
            "evicted": node.store.counters().evicted.load(Relaxed),
            "disks": crate::disks::status(&node.store),
        },
        "video": crate::observe::metrics::watching::video(node),
        "load_permille": node.load_permille(),
    })
}

/// `GET /v1/clusters`; none where the node directs nobody.
pub(super) fn clusters(node: &Node) -> Value {
    node.directing.as_ref().map_or_else(|| json!([]), |directing| directing.clusters())
}

/// `GET /v1/top`. Looks at up to [`littoral_cache::limits::HOT_SAMPLE`] objects: not for a thread that serves.
pub(super) fn top(node: &Node, started: SystemTime) -> Value {
    let (figures, counters, now) = (&node.figures, node.store.counters(), now_ms());
    let settings = node.settings.load();
    let hot = node.store.hottest(HOT_KEYS);
    json!({
        "node": settings.node.name,
        "uptime_s": started.elapsed().map_or(0.0, |up| up.as_secs_f64()),
        "requests": by(&Outcome::LABELS, &figures.outcomes),
        "responses": by(&CLASSES, &figures.classes),
        "sent_bytes": figures.sent_bytes.sum(),
        "broken": figures.broken.sum(),
        "connections_open": figures.open.load(Relaxed),
        "fetches": figures.fetches.sum(),
        "cache": {
            "objects": node.store.len(),
            "bytes": node.store.budget().used(),
            "bound_bytes": node.store.budget().bound(),
            "filling": node.store.filling(),
            "evicted": counters.evicted.load(Relaxed),
        },
        "load_permille": node.load_permille(),
        "origins": origins(node, now),
        "hot": hot.iter().map(|entry| hot_key(entry, now)).collect::<Vec<_>>(),
        "plugins": node.plugins.status(),
    })
}

fn by(labels: &[&str], counters: &[Counter]) -> Map<String, Value> {
    labels.iter().zip(counters).map(|(label, counter)| ((*label).to_owned(), counter.sum().into())).collect()
}

fn origins(node: &Node, now: u64) -> Vec<Value> {
    let sites = node.sites.load();
    let one = |site: &str, origin: &crate::origin::Origin| {
        json!({
            "site": site,
            "origin": origin.to_string(),
            "asked": origin.health().is_in(now),
            "under_way": origin.under_way(),
            "waiting": origin.waiting(),
        })
    };
    sites.all().iter().flat_map(|site| site.origins.all().iter().map(|origin| one(&site.name, origin))).collect()
}

fn hot_key(entry: &Entry, now: u64) -> Value {
    json!({
        "key": String::from_utf8_lossy(entry.key().text()),
        "hits": entry.hits(),
        "bytes": entry.body().map_or(0, |body| body.length()),
        "ttl_s": entry.ttl_ms(now) / 1000,
    })
}

/// `GET /v1/cache/object`: all that is there of a URL, how it comes by its key, and which of the variants a request with the fields
/// asked about would get. What is under the primary slot, or the first of the variants, is told at the top as well. Variants that
/// are only on a disk are found as far as requests for them can be made up ([`Explained::on_disk`]). Blocks.
pub(super) fn object(node: &Node, explained: &Explained) -> Value {
    let (key, now) = (&explained.key, now_ms());
    let (entries, fills) = node.store.all_of(key);
    let only_there = explained.on_disk(&node.store, &entries);
    let mut told = match (entries.first(), fills.first(), only_there.first()) {
        (Some(entry), _, _) => stored(entry, now),
        (None, Some(fill), _) => filling(fill),
        (None, None, Some(one)) => on_disk(one, now),
        (None, None, None) => json!({ "state": "absent" }),
    };
    told["disk_bytes"] = node.store.disks().and_then(|disks| disks.item(key)).map(|item| item.bytes()).into();
    told["key"] = String::from_utf8_lossy(key.text()).into();
    told["explained"] = explained.told.clone();
    let variant = |entry, mut told: Value| {
        told["selected"] = explained.selects(entry).into();
        told
    };
    let in_memory = entries.iter().map(|entry| variant(entry, stored(entry, now)));
    told["variants"] = in_memory.chain(only_there.iter().map(|one| variant(&one.entry, on_disk(one, now)))).collect();
    told["in_flight"] = fills.iter().map(|fill| filling(fill)).collect();
    told
}

fn stored(entry: &Entry, now: u64) -> Value {
    let (ttl_ms, lifetime) = (entry.ttl_ms(now), entry.lifetime());
    json!({
        "state": if ttl_ms > 0 { "fresh" } else { "stale" },
        "tier": "memory",
        "status": entry.head().status.as_u16(),
        "bytes": entry.body().map_or(0, |body| body.length()),
        "cost_bytes": entry.cost(),
        "ttl_ms": ttl_ms,
        "age_s": entry.age_s(now),
        "fresh_until_ms": millis(lifetime.fresh_until),
        "stale_while_revalidate_s": lifetime.stale_while_revalidate.as_secs(),
        "stale_if_error_s": lifetime.stale_if_error.as_secs(),
        "soft_purged": entry.is_expired(),
        "hits": entry.hits(),
        "varies": entry.varies(),
        "vary": entry.head().headers.get(http::header::VARY).map(|vary| String::from_utf8_lossy(vary.as_bytes())),
        "surrogate_keys": entry.surrogate_keys(),
        "pinned_until_ms": entry.pinned_until_ms(),
        "pinned": entry.pinned_until_ms() > now,
    })
}

fn on_disk(one: &OnDisk, now: u64) -> Value {
    let mut told = stored(&one.entry, now);
    (told["tier"], told["bytes"], told["cost_bytes"]) = ("disk".into(), one.bytes.into(), 0.into());
    told
}

fn filling(fill: &Fill) -> Value {
    json!({ "state": "filling", "status": fill.head().status.as_u16(), "promised_bytes": fill.length() })
}

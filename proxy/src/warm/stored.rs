//! Whether all of what a job would fetch is stored: the variant that its own request selects, and of a site with `slice` every slice.
//!
//! Only asked, never fetched. Invariant: what is in flight is not stored yet. Of what is on disk alone a variant is not told from another, unless
//! it is sliced: one of its slices is read then, to know how many there are. Nor where filters may change what a response varies on.

use std::collections::HashSet;
use std::sync::Arc;

use http::header::{ACCEPT, HOST, HeaderMap, HeaderValue, USER_AGENT};
use littoral_cache::vary::Vary;
use littoral_cache::{Entry, Found, Key};
use url::Url;

use crate::node::Node;
use crate::request::slices::{self, Slice};

/// How a job calls itself.
pub(super) const AGENT: HeaderValue = HeaderValue::from_static("littoral-warm");

/// Whether a job's GET of `url` would be a hit from its first byte to its last.
pub(super) async fn is_stored(node: &Node, url: &Url, key: &Key) -> bool {
    let Some((host, _)) = crate::purge::host_and_path(url.as_str()) else { return false };
    let Some(site) = node.sites.load().find(&host).cloned() else { return false };
    let store = &node.store;
    if matches!(store.lookup(key, None), Some(Found::Filling(_))) {
        return false;
    }
    let mut there = store.responses(key);
    if there.is_empty() {
        if site.slice.is_none() {
            return store.has_whole(key).await;
        }
        there.extend(only_on_disk(node, key).await);
    }
    let Some(one) = there.first() else { return false };
    let headers = &one.head().headers;
    let of = Vary::of(headers).variance(&asked(&host), &site.selectors);
    let known: HashSet<_> = there.iter().map(|entry| entry.variance()).collect();
    let has = |variance: Option<[u8; 16]>| {
        known.contains(&variance) || variance.is_some_and(|variance| store.has_variant_on_disk(key, &variance))
    };
    // Of which variant a filter made the request, only that one knows: any will do.
    let Some(size) = site.slice else { return has(of) || site.filters.come_before_hits() };
    // Where the origin has no ranges, the first one is the whole.
    let count = slices::content_range(headers).map_or(1, |(_, total)| total.div_ceil(size));
    (0..count).all(|index| has(Some(slices::variance(of, Some(Slice { index, size })))))
}

async fn only_on_disk(node: &Node, key: &Key) -> Option<Arc<Entry>> {
    match node.store.find(key, None).await? {
        Found::Stored(entry) | Found::Read(entry, _) | Found::Streamed(entry, ..) => Some(entry),
        Found::Filling(_) => None,
    }
}

/// The fields of the request that is made for a URL.
fn asked(host: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.extend(HeaderValue::from_str(host).ok().map(|host| (HOST, host)));
    fields.insert(ACCEPT, HeaderValue::from_static("*/*"));
    fields.insert(USER_AGENT, AGENT);
    fields
}

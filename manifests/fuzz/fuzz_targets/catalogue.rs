//! Any bytes as a list of URLs and as a sitemap: what is named is within its bounds and can be fetched.
#![no_main]

use littoral_manifests::catalogue::{Body, Catalogue};
use littoral_manifests::limits::{CATALOGUE_URLS_MAX, SITEMAPS_MAX};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let base = url::Url::parse("http://host/new/list.txt").expect("invariant: a constant URL");
    let _ = Body::of(bytes);
    for catalogue in [Catalogue::of_lines(bytes, &base), Catalogue::of_sitemap(bytes, &base)].into_iter().flatten() {
        assert!(catalogue.urls.len() <= CATALOGUE_URLS_MAX && catalogue.sitemaps.len() <= SITEMAPS_MAX);
        assert!(catalogue.urls.iter().chain(&catalogue.sitemaps).all(|url| url.has_host()));
    }
});

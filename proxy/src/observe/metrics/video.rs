//! Metrics of video, by site: what players tell, and what is done for them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Declared, Sample, metric};
use crate::node::Node;
use crate::video::Video;
use crate::video::figures::Figures;
use crate::video::told::Object;

pub(super) const METRICS: &[Declared] = &[
    metric("littoral_cmcd_told_total", "site; carrier: query, fields, report", "Times players told something (CMCD)."),
    metric(
        "littoral_cmcd_refused_total",
        "site; reason: large, keys, json, encoding, size",
        "What they told that counts for nothing: more than 8 KiB, more than 128 keys, no such JSON, no UTF-8; size: reports beyond 64 KiB or 256.",
    ),
    metric("littoral_cmcd_ignored_keys_total", "site", "Keys that are not known, or whose value is none of theirs."),
    metric(
        "littoral_cmcd_objects_total",
        "site; type: manifest, audio, video, muxed, init, caption, text, key, other",
        "Objects that players asked for, by what they say they are (`ot`).",
    ),
    metric("littoral_cmcd_stalls_total", "site", "Times a player said that its buffer had run empty (`bs`)."),
    metric("littoral_cmcd_urgent_total", "site", "Objects that players needed urgently (`su`)."),
    metric(
        "littoral_manifests_total",
        "site; outcome: rewritten, verbatim, passed",
        "Manifests of a site that has them rewritten, as they were answered; verbatim: as they were from a place on that cannot be understood; passed: as they are, since they are no 200, too long, in a coding not known or not to be transformed.",
    ),
    metric(
        "littoral_rate_advice_total",
        "for: hint, manifest; by: guest, native",
        "What the rate policy said where players choose: rates told as `mb` of CMSD (`hint`), and the most that was left in a client's manifest.",
    ),
    metric(
        "littoral_prefetch_begun_total",
        "site; source: cmcd, manifest",
        "Objects that began to be fetched ahead, by who says what comes next.",
    ),
    metric(
        "littoral_prefetch_unfetched_total",
        "site; reason: foreign, present, load, at_once, session, budget, early",
        "Objects that come next and were not fetched ahead; foreign: of another host, or no URL; present: here or on its way; load: the node is at its limit; early: a live segment before its time.",
    ),
    metric(
        "littoral_prefetch_ended_total",
        "site; outcome: useful, wasted, failed",
        "What became of objects fetched ahead; useful: a hit afterwards, or joined while it came; wasted: nobody asked for it in ten minutes, or it was gone; failed: nothing that would be stored.",
    ),
    metric("littoral_prefetch_bytes_total", "site", "Bytes fetched ahead that were not here yet."),
];

pub(super) fn samples(node: &Node, name: &str) -> Vec<Sample> {
    match name {
        "littoral_cmcd_told_total" => by_site(node, "carrier", &Figures::CARRIERS, |figures| &figures.told),
        "littoral_cmcd_refused_total" => by_site(node, "reason", &Figures::REFUSALS, |figures| &figures.refused),
        "littoral_cmcd_objects_total" => by_site(node, "type", &Object::LABELS, |figures| &figures.objects),
        "littoral_manifests_total" => {
            let rewriting = |video: &Video| video.rewriting.is_some();
            of_sites(node, rewriting, "outcome", &Figures::MANIFESTS, |figures| &figures.manifests)
        }
        "littoral_rate_advice_total" => {
            let sample = |(what, by, count): (&'static str, &'static str, u64)| {
                (count as f64, vec![("for", what.to_owned()), ("by", by.to_owned())])
            };
            node.rate.advised().counts().map(sample).collect()
        }
        "littoral_prefetch_begun_total" => {
            of_sites(node, fetches_ahead, "source", &Figures::SOURCES, |figures| &figures.prefetch_begun)
        }
        "littoral_prefetch_unfetched_total" => {
            of_sites(node, fetches_ahead, "reason", &Figures::UNFETCHED, |figures| &figures.prefetch_unfetched)
        }
        "littoral_prefetch_ended_total" => {
            sweep(node);
            of_sites(node, fetches_ahead, "outcome", &Figures::ENDS, |figures| &figures.prefetch_ended)
        }
        "littoral_prefetch_bytes_total" => {
            let one = |site: &str, figures: &Figures| {
                (figures.prefetch_bytes.load(Relaxed) as f64, vec![("site", site.to_owned())])
            };
            those(node, fetches_ahead, one)
        }
        "littoral_cmcd_ignored_keys_total" => of_site(node, |figures| &figures.ignored),
        "littoral_cmcd_stalls_total" => of_site(node, |figures| &figures.stalls),
        "littoral_cmcd_urgent_total" => of_site(node, |figures| &figures.urgent),
        _ => Vec::new(),
    }
}

/// The figures of each site that hears players.
pub(in crate::observe) fn sites<T>(node: &Node, each: impl FnMut(&str, &Figures) -> T) -> Vec<T> {
    those(node, hears, each)
}

fn hears(video: &Video) -> bool {
    video.cmcd || video.reports.is_some()
}

fn fetches_ahead(video: &Video) -> bool {
    video.prefetch.is_some()
}

/// What nobody has asked for in a long time is known when it is looked at.
fn sweep(node: &Node) {
    for video in node.sites.load().all().iter().filter_map(|site| site.video.as_ref()) {
        video.prefetch.iter().for_each(|prefetch| prefetch.sweep(&video.figures));
    }
}

fn those<T>(node: &Node, which: fn(&Video) -> bool, mut each: impl FnMut(&str, &Figures) -> T) -> Vec<T> {
    let sites = node.sites.load();
    let those = sites.all().iter().filter_map(|site| Some((site, site.video.as_ref().filter(|video| which(video))?)));
    those.map(|(site, video)| each(&site.name, &video.figures)).collect()
}

fn of_site(node: &Node, count: fn(&Figures) -> &AtomicU64) -> Vec<Sample> {
    sites(node, |site, figures| (count(figures).load(Relaxed) as f64, vec![("site", site.to_owned())]))
}

fn by_site<const COUNT: usize>(
    node: &Node,
    label: &'static str,
    names: &[&'static str; COUNT],
    counts: fn(&Figures) -> &[AtomicU64; COUNT],
) -> Vec<Sample> {
    of_sites(node, hears, label, names, counts)
}

fn of_sites<const COUNT: usize>(
    node: &Node,
    which: fn(&Video) -> bool,
    label: &'static str,
    names: &[&'static str; COUNT],
    counts: fn(&Figures) -> &[AtomicU64; COUNT],
) -> Vec<Sample> {
    let of_one = |site: &str, figures: &Figures| {
        let counted = names.iter().zip(counts(figures));
        let sample = |(name, count): (&&'static str, &AtomicU64)| {
            (count.load(Relaxed) as f64, vec![("site", site.to_owned()), (label, (*name).to_owned())])
        };
        counted.map(sample).collect::<Vec<_>>()
    };
    those(node, which, of_one).into_iter().flatten().collect()
}

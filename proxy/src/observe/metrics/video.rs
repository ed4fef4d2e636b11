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

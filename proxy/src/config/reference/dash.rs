//! Keys of `site.dash`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "site.dash.auto",
        "true or false",
        "`false`",
        "live",
        "Answer `auto` segment URLs with the representation the rate policy picks. What players tell (CMCD) is read for that, and kept out of keys.",
    ),
    key(
        "site.dash.cmcd",
        "true or false",
        "`false`",
        "live",
        "Read what players tell in header fields or the query (CMCD, versions 1 and 2): it is counted by site, logged (`$cmcd`) and kept out of keys (docs/video.md).",
    ),
    key(
        "site.dash.cmcd_path",
        "path",
        "none",
        "live",
        "Where players send reports of their own (CMCD as JSON, or the event mode of version 2) by POST: they are counted, and answered with 204. 64 KiB and 256 reports at most.",
    ),
    key(
        "site.dash.cmsd",
        "true or false",
        "`false`",
        "live",
        "Tell players, in `CMSD-Dynamic` of each response, the throughput and round-trip time to them, how long they waited for this node, and whether it is at its limit (docs/video.md).",
    ),
    key(
        "site.dash.rewrite",
        "table: the keys below",
        "none: manifests are what they are",
        "live",
        "Rules for the manifests that players get.",
    ),
    key(
        "site.dash.rewrite.base_urls",
        "table of URLs, at most 64",
        "none",
        "live",
        "Rewrite manifests (paths that end in `.mpd`) for players: URLs that begin with a key begin with its value, such as `{ \"http://origin.example\" = \"https://edge.example\" }`. \
         Stored is what the origin has (docs/video.md). Needs `listen.http`.",
    ),
    key(
        "site.dash.rewrite.max_height",
        "pixels",
        "none",
        "live",
        "Video taller than this is left out; the lowest representation stays in any case.",
    ),
    key(
        "site.dash.rewrite.max_bandwidth",
        "bandwidth",
        "none",
        "live",
        "Video of a higher rate is left out; it is told as `mb` in `CMSD-Dynamic`.",
    ),
    key(
        "site.dash.rewrite.codecs",
        "list of beginnings of codecs, at most 64",
        "all",
        "live",
        "Video and audio of others are left out, such as all but `avc1` and `mp4a`.",
    ),
    key(
        "site.dash.rewrite.languages",
        "list of languages, at most 64",
        "all",
        "live",
        "Audio and text in others are left out; `en` stands for `en-GB` too, and what says no language stays.",
    ),
    key(
        "site.dash.rewrite.steering",
        "table: `url`, `default`, `query_before_start`",
        "none",
        "live",
        "ContentSteering to put in, in place of what there is; see `site.steer.path`.",
    ),
    key(
        "site.dash.rewrite.locations",
        "list of tables: `name`, `url`; at most 64",
        "none",
        "live",
        "BaseURLs to put in where a manifest has none of its own, with the names that steering knows: the ids of clusters.",
    ),
    key(
        "site.dash.rewrite.auto",
        "true or false",
        "`false`",
        "live",
        "Leave one representation of each video set, under the id `auto`, so that the edge chooses. Needs `site.dash.auto`.",
    ),
];

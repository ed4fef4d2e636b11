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
];

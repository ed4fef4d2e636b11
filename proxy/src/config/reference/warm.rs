//! Keys of `[[warm]]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "warm.name",
        "text, 1 to 64 bytes",
        "required",
        "live",
        "Tells a standing push job from others; at most 16. It begins each day when its window opens, or at once where that is open and it has not \
         begun in it. One that has not ended by the next day makes room for that day's. A reload that changes or removes one cancels what of it runs.",
    ),
    key(
        "warm.window",
        "two times of the day",
        "required",
        "live",
        "Its hours, such as `02:00-06:00`, by the clocks of the node's own cluster (`cluster.time_zone`), else UTC; or of a zone it names: `02:00-06:00 Europe/Amsterdam`.",
    ),
    key(
        "warm.url",
        "URL",
        "required, or `list`",
        "live",
        "What names it, as clients ask for it: a manifest, a list of URLs or a sitemap of a site of this node.",
    ),
    key("warm.list", "file", "none", "live", "Instead of `url`: whole URLs, one on a line, read each day."),
    key(
        "warm.by_popularity",
        "list of files, at most 64",
        "none",
        "live",
        "Access logs, read each day: what they say is asked for most for its bytes is pushed first. One that cannot be read ends that day's job \
         before it begins.",
    ),
    key("warm.representations", "list of ids", "all", "live", "Representations to fetch."),
    key(
        "warm.rate",
        "bandwidth, more than 0",
        "none",
        "live",
        "Fetches no faster than this; 256 KiB may come at once. See also `limits.warm_rate`.",
    ),
    key("warm.pin", "duration, at most 30d", "`24h`", "live", "How long what was fetched is kept from eviction."),
    key(
        "warm.share",
        "more than 0, at most 1",
        "`1`",
        "live",
        "Of each set of representations those that viewers see, until together they have this share. Needs `by_popularity`.",
    ),
    key("warm.bytes", "size", "none", "live", "Fetches no more than this."),
    key(
        "warm.place",
        "`node`, `deep`, `home` or `all`",
        "none",
        "live",
        "Only this node's part among its siblings, and of that the part of a tier, which needs `by_popularity`.",
    ),
    key("warm.head", "0 to 1", "`0.8`", "live", "Share of all expected requests that the head has. Needs `place`."),
    key("warm.copies", "1 to 64", "`1`", "live", "Siblings that have each object of the head. Needs `place`."),
];

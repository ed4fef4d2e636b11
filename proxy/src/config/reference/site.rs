//! Keys of `[[site]]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "site.hosts",
        "list of names",
        "required",
        "live",
        "Host names, each in one site, lower case, without port; `*` takes every other host.",
    ),
    key(
        "site.default_ttl",
        "duration",
        "`0s`: not stored",
        "live",
        "Lifetime of a response that states none, for the statuses of RFC 9110 §15.1.",
    ),
    key(
        "site.set_cookie",
        "`pass`, `strip` or `store`",
        "`pass`",
        "live",
        "A response that sets a cookie is not stored, stored without it, or stored with it for everybody.",
    ),
    key(
        "site.store_post",
        "true or false",
        "`false`",
        "live",
        "Whether a 200 to POST answers later GETs of its URL, when it has an explicit lifetime and a Content-Location that is that URL \
         (RFC 9110 §9.3.3). What clients post may then be what others get: only for origins that mean it. Not with `slice` or `compress`.",
    ),
    key(
        "site.stale_while_revalidate",
        "duration",
        "`0s`",
        "live",
        "How long a response may be served stale while it is revalidated, where it does not say and does not forbid it.",
    ),
    key("site.stale_if_error", "duration", "`0s`", "live", "The same for when the origin fails."),
    key(
        "site.client_directives",
        "true or false",
        "`true`",
        "live",
        "Whether the Cache-Control (and Pragma) of requests counts (RFC 9111 §5.2.1): `no-cache`, `max-age`, `only-if-cached` and the others.",
    ),
    key(
        "site.pass_for",
        "duration",
        "`2m`",
        "live",
        "How long requests for a key whose response could not be stored do not wait for each other; a response that can be stored ends it.",
    ),
    key(
        "site.encodings",
        "list of codings, best first",
        "none: not folded",
        "live",
        "Accept-Encoding becomes the one of these it wants most, for the origin and for Vary; without one of them it is removed.",
    ),
    key(
        "site.languages",
        "list of tags, best first",
        "none: not folded",
        "live",
        "Accept-Language becomes the one of these it wants most, for the origin and for Vary; without one of them it is removed.",
    ),
    key(
        "site.ttl",
        "table of statuses and durations",
        "none",
        "live",
        "Lifetime of a response with such a status that states none: `404 = \"10s\"`, `5xx = \"1s\"`. A status goes before its class.",
    ),
    key(
        "site.heuristic.percent",
        "1 to 100",
        "`10`",
        "live",
        "With `heuristic = {}`, a response that states no lifetime gets this share of the time since its Last-Modified (RFC 9111 §4.2.2).",
    ),
    key("site.heuristic.longest", "duration", "`1d`", "live", "At most."),
    key(
        "site.slice",
        "size, 64KiB to `cache.max_object`",
        "none: whole",
        "live",
        "Keeps responses in slices of this size, each fetched by a range: of a large file only what is asked for. The origin must answer \
         ranges and give a strong validator: of what has none the whole is fetched where more than one slice is asked for. Slices are asked for with the fields of the client's \
         request. Give large files a site of their own: a slice is never the fastest hit.",
    ),
    key(
        "site.ranges",
        "`whole` or `forward`",
        "`whole`",
        "live",
        "What becomes of a request for one range of an object that is not stored whole. `whole`: all of it is fetched, once for all who ask. \
         `forward`: the range is sent on, and the answer is stored as a piece where it has a strong validator (RFC 9111 §3.3, §3.4): \
         pieces are joined, answer what lies in them, and are the object when none is missing. Such requests do not wait for each \
         other, and stale pieces are not served when the origin fails.",
    ),
    key(
        "site.fill.resume",
        "0 to 8",
        "`2`",
        "live",
        "How often the rest of an object is asked for by a range when an origin breaks off, where a strong validator (RFC 9110 §8.8) tells \
         that it is the rest of the same: its readers notice nothing.",
    ),
    key(
        "site.fill.unread",
        "0 to 1000000",
        "`64`",
        "live",
        "How many objects are fetched to their end at a time although all who asked for them have left; others end with their last reader.",
    ),
    key(
        "site.fill.unread_bytes",
        "size",
        "none: to the end",
        "live",
        "How much of one object is still fetched when all have left; one known to need more ends at once.",
    ),
    key(
        "site.compress.codings",
        "list of `br`, `zstd`, `gzip`, best first",
        "all three",
        "live",
        "With `compress = {}`, what the origin sends plain is compressed once, as it fills, and stored as one variant for each coding; \
         Accept-Encoding is folded to these. A request for ranges gets the plain one.",
    ),
    key(
        "site.compress.types",
        "list of media types",
        "text, scripts, JSON, XML, manifests, Wasm, SVG",
        "live",
        "Which responses; `text/*` stands for all of a kind. Event streams never.",
    ),
    key("site.compress.min", "size", "`1KiB`", "live", "Responses known to be shorter are left alone."),
    key(
        "site.key.query",
        "`keep`, `sort` or `ignore`",
        "`keep`",
        "live",
        "What becomes of the query, in the key and for the origin: as it is, in the order of its names, or cut off.",
    ),
    key(
        "site.key.only",
        "list of names",
        "all",
        "live",
        "Parameters of the query that are kept; `utm_*` stands for all that begin so.",
    ),
    key("site.key.drop", "list of names", "none", "live", "Parameters of the query that are taken out."),
    key(
        "site.key.headers",
        "list of field names",
        "none",
        "live",
        "Request fields that tell variants apart, as if each response had them in Vary.",
    ),
    key("site.key.cookies", "list of names", "none", "live", "Cookies that tell variants apart."),
    key(
        "site.filters",
        "list of plugin names, at most 16",
        "none",
        "live",
        "Filters that see its requests, in this order, and its responses, in the reverse order. One that is called for hits takes them off the shortest way.",
    ),
    key(
        "site.steer.service",
        "service name",
        "none: clients are served where they come",
        "live",
        "Clients of this site are told which cluster this `[[service]]` has for them, by the same decision as over DNS: docs/routing.md.",
    ),
    key(
        "site.steer.redirect",
        "true or false",
        "`false`",
        "live",
        "GET and HEAD get a 302 to the `cluster.host` chosen, unless that is this node's cluster. Requests to any `cluster.host`, requests \
         from loopback and those of other nodes are served where they come, so that nothing goes round in circles.",
    ),
    key(
        "site.steer.content",
        "true or false",
        "`false`",
        "live",
        "Redirects go to clusters to which the title asked for was pushed by a warm job, where any of them may serve the client. Needs `redirect`, and `control.plane = \"nats\"` or `rtt.hear`: docs/routing.md.",
    ),
    key(
        "site.steer.path",
        "path",
        "none",
        "live",
        "Where players ask for content steering (DASH, HLS): a JSON document whose pathways are the ids of the clusters chosen.",
    ),
];

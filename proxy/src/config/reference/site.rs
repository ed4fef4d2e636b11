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
        "site.origin",
        "list of URLs",
        "required",
        "live",
        "Origins, tried in turn: `http://host:port` or `https://host`.",
    ),
    key("site.default_ttl", "duration", "`0s`: not stored", "live", "Lifetime of a response that states none."),
    key(
        "site.dash.auto",
        "true or false",
        "`false`",
        "live",
        "Answer `auto` segment URLs with the representation the rate policy picks.",
    ),
    key("site.timeouts.connect", "duration, more than 0s", "`2s`", "live", "Connecting to an origin, TLS included."),
    key(
        "site.timeouts.send",
        "duration, more than 0s",
        "`15s`",
        "live",
        "One write of the request to an origin; then 504.",
    ),
    key(
        "site.timeouts.read",
        "duration, more than 0s",
        "`15s`",
        "live",
        "Between two reads from an origin, the first byte included; then 504.",
    ),
];

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
    key("site.default_ttl", "duration", "`0s`: not stored", "live", "Lifetime of a response that states none."),
    key(
        "site.dash.auto",
        "true or false",
        "`false`",
        "live",
        "Answer `auto` segment URLs with the representation the rate policy picks.",
    ),
];

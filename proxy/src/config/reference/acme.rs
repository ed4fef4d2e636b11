//! Keys of `[acme]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "acme.directory",
        "https:// URL",
        "Let's Encrypt",
        "live",
        "Authority that the certificates of `listen.https.acme` are ordered from (RFC 8555), proven over HTTP (http-01): requests under \
         `/.well-known/acme-challenge/` with a token of an order under way are answered by the node on all its listeners, before any site. \
         Renewed when two thirds of the lifetime are over; after a failure again in a minute, then two, four, up to twelve hours.",
    ),
    key("acme.contact", "list of `mailto:` URLs", "none", "live", "Whom the authority may write to."),
    key("acme.terms_agreed", "`true`", "required", "live", "That you agree to the authority's terms."),
    key(
        "acme.state",
        "directory",
        "`acme` in `node.data`",
        "live",
        "Keeps the account and the certificates with their keys, readable by the node's user alone.",
    ),
    key(
        "acme.ca",
        "file, PEM",
        "none: the system's",
        "live",
        "Who signed the directory's own certificate, for an authority of your own.",
    ),
];

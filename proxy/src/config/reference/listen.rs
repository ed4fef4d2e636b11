//! Keys of `[listen]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key("listen.http", "list of address:port", "none", "restart", "Plain HTTP. Port 0 takes a free one."),
    key(
        "listen.https.bind",
        "address:port",
        "required",
        "restart",
        "HTTP over TLS; each entry of `listen.https` has its own certificate.",
    ),
    key("listen.https.cert", "file, PEM", "required", "restart", "Certificate chain."),
    key("listen.https.key", "file, PEM", "required", "restart", "Private key."),
    key(
        "listen.admin",
        "address:port",
        "none",
        "restart",
        "Admin API, metrics and dashboard. It has no authentication: keep it on loopback.",
    ),
    key(
        "listen.dns",
        "list of address:port",
        "none",
        "restart",
        "Authoritative DNS on UDP and TCP. On `0.0.0.0` or `[::]` an answer leaves from the address that was asked.",
    ),
];

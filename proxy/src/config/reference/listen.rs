//! Keys of `[listen]`.

use super::{Key, key};

pub(super) const BIND: &str = "`address:port` (port 0 takes a free one) or `unix:/path`. A unix socket that nobody answers on any more is replaced.";
pub(super) const PROXY: &str = "Sources that must begin with a PROXY protocol header (v1 or v2) and are believed; any other is closed. The client \
    told is the client everywhere: lists, limits, logs, plugins. Who comes over a unix socket is `127.0.0.1`.";
pub(super) const ALLOW: &str =
    "Clients that may come; none: all. Of all prefixes in `allow` and `deny` the most specific one decides.";
pub(super) const DENY: &str = "Clients that are closed before anything is read.";
pub(super) const BACKLOG: &str = "Connections the kernel holds; it bounds this by `net.core.somaxconn`.";
pub(super) const MODE: &str = "Permissions of a unix socket.";

pub(super) const KEYS: &[Key] = &[
    key("listen.http.bind", "address or unix socket", "required", "restart", BIND),
    key("listen.http.proxy_protocol", "list of prefixes", "none", "live", PROXY),
    key("listen.http.allow", "list of prefixes", "none", "live", ALLOW),
    key("listen.http.deny", "list of prefixes", "none", "live", DENY),
    key("listen.http.backlog", "number, 1 to 1048576", "`4096`", "restart", BACKLOG),
    key("listen.http.mode", "octal digits", "`0660`", "restart", MODE),
    key(
        "listen.http.h2c",
        "true or false",
        "`false`",
        "live",
        "HTTP/2 without TLS for clients that begin with its preface (prior knowledge, RFC 9113 §3.3); there is no upgrade.",
    ),
    key("listen.https.bind", "address or unix socket", "required", "restart", BIND),
    key(
        "listen.https.cert",
        "file, PEM",
        "none",
        "live",
        "Certificate chain for clients that ask for no name or an unknown one. Without it the first of `certs` is.",
    ),
    key("listen.https.key", "file, PEM", "none", "live", "Its private key."),
    key(
        "listen.https.certs.cert",
        "file, PEM",
        "required",
        "live",
        "A chain for the names its certificate has, wildcards included.",
    ),
    key("listen.https.certs.key", "file, PEM", "required", "live", "Its private key."),
    key(
        "listen.https.certs.ocsp",
        "file, DER, at most 64KiB",
        "none",
        "live",
        "OCSP response to staple. The node fetches none: let a timer write it and reload. Without it nothing is stapled.",
    ),
    key(
        "listen.https.acme",
        "list of names, at most 100",
        "none",
        "live",
        "Names of one certificate that the node orders and renews by itself; see `acme`. Until it is issued, clients get another of this \
         listener, or no handshake when there is none.",
    ),
    key("listen.https.min_version", "`1.2` or `1.3`", "`1.2`", "live", "Oldest version of TLS spoken."),
    key(
        "listen.https.client_ca",
        "file, PEM",
        "none",
        "live",
        "Authorities of client certificates (mTLS); without it none is asked for. A change ends the resumption of older sessions.",
    ),
    key(
        "listen.https.client_auth",
        "`require` or `request`",
        "`require`",
        "live",
        "Whether a client without a certificate may come; one that is shown must be good.",
    ),
    key("listen.https.proxy_protocol", "list of prefixes", "none", "live", PROXY),
    key("listen.https.allow", "list of prefixes", "none", "live", ALLOW),
    key("listen.https.deny", "list of prefixes", "none", "live", DENY),
    key("listen.https.backlog", "number, 1 to 1048576", "`4096`", "restart", BACKLOG),
    key("listen.https.mode", "octal digits", "`0660`", "restart", MODE),
    key(
        "listen.forward.bind",
        "address or unix socket",
        "required",
        "restart",
        "An explicit proxy for clients that are told to use it: plain HTTP in absolute form, cached, and CONNECT by `forward.connect`. Off \
         without it.",
    ),
    key("listen.forward.proxy_protocol", "list of prefixes", "none", "live", PROXY),
    key(
        "listen.forward.allow",
        "list of prefixes",
        "none; required unless the address is loopback or private",
        "live",
        "Clients that may use it. Of all prefixes in `allow` and `deny` the most specific one decides.",
    ),
    key("listen.forward.deny", "list of prefixes", "none", "live", DENY),
    key("listen.forward.backlog", "number, 1 to 1048576", "`4096`", "restart", BACKLOG),
    key("listen.forward.mode", "octal digits", "`0660`", "restart", MODE),
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
    key(
        "listen.dot",
        "list of address:port",
        "none",
        "restart",
        "The same over TLS (RFC 7858), with the certificates and TLS settings of the first `listen.https`.",
    ),
    key(
        "listen.doh",
        "list of address:port",
        "none",
        "restart",
        "The same over HTTPS at `/dns-query` (RFC 8484), with the certificates and TLS settings of the first `listen.https`.",
    ),
];

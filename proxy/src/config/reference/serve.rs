//! Keys of `[[listen.service]]` and `[[listen.datagram]]`.

use super::listen::{ALLOW, BACKLOG, BIND, DENY, MODE, PROXY};
use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key("listen.service.bind", "address or unix socket", "required", "restart", BIND),
    key(
        "listen.service.plugin",
        "plugin name",
        "required",
        "live",
        "Serves the connections: a plugin of world `stream-service`. See `docs/plugins/services.md`.",
    ),
    key(
        "listen.service.tls",
        "`implicit` or `starttls`",
        "none",
        "live",
        "TLS from the first byte, or when the service asks for it. Keys stay with the node.",
    ),
    key("listen.service.cert", "file, PEM", "none", "live", "Certificate chain, as of `listen.https.cert`."),
    key("listen.service.key", "file, PEM", "none", "live", "Its private key."),
    key("listen.service.certs.cert", "file, PEM", "required", "live", "A chain for the names its certificate has."),
    key("listen.service.certs.key", "file, PEM", "required", "live", "Its private key."),
    key("listen.service.certs.ocsp", "file, DER, at most 64KiB", "none", "live", "OCSP response to staple."),
    key("listen.service.min_version", "`1.2` or `1.3`", "`1.2`", "live", "Oldest version of TLS spoken."),
    key("listen.service.client_ca", "file, PEM", "none", "live", "Authorities of client certificates (mTLS)."),
    key(
        "listen.service.client_auth",
        "`require` or `request`",
        "`require`",
        "live",
        "Whether a client without a certificate may come.",
    ),
    key(
        "listen.service.connections",
        "number, 1 to 4096",
        "`1024`",
        "live",
        "Connections at a time, each with an instance of the plugin; more are closed at once. All services together have at most 4096.",
    ),
    key("listen.service.idle", "duration", "`1m`", "live", "Time a client may be silent."),
    key("listen.service.write_timeout", "duration", "`30s`", "live", "Time one write, or a handshake, may take."),
    key("listen.service.lifetime", "duration", "`1h`", "live", "Time a connection may last."),
    key(
        "listen.service.drain",
        "duration",
        "`30s`",
        "live",
        "Time that connections have to end when a newer generation of their plugin has taken over.",
    ),
    key("listen.service.proxy_protocol", "list of prefixes", "none", "live", PROXY),
    key("listen.service.allow", "list of prefixes", "none", "live", ALLOW),
    key("listen.service.deny", "list of prefixes", "none", "live", DENY),
    key("listen.service.backlog", "number, 1 to 1048576", "`4096`", "restart", BACKLOG),
    key("listen.service.mode", "octal digits", "`0660`", "restart", MODE),
    key("listen.datagram.bind", "address:port", "required", "restart", "UDP; port 0 takes a free one."),
    key(
        "listen.datagram.plugin",
        "plugin name",
        "required",
        "live",
        "Answers the datagrams: a plugin of world `datagram-service`. See `docs/plugins/services.md`.",
    ),
    key(
        "listen.datagram.amplification",
        "number, 1 to 100",
        "`3`",
        "live",
        "How many times its bytes all answers to a datagram may have: senders can lie about who they are.",
    ),
];

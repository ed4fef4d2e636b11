//! Keys of `[forward]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "forward.hosts",
        "list of `*`, `*.example.org` or hosts, at most 4096",
        "`[\"*\"]`",
        "live",
        "Hosts that clients of `listen.forward` may ask for over plain HTTP, in absolute form; others are refused with 403. What may be \
         stored is (RFC 9111, as a shared cache; `CDN-Cache-Control` and `Surrogate-Control` do not count here), under its whole URL.",
    ),
    key("forward.ports", "list of ports", "`[80, 443]`", "live", "Ports that may be asked for."),
    key(
        "forward.connect",
        "list of `*`, `*.example.org` or hosts, at most 4096",
        "none",
        "live",
        "Hosts to which a tunnel may be opened (CONNECT); others are refused with 403. What goes through a tunnel is not looked at.",
    ),
    key("forward.connect_ports", "list of ports", "`[443]`", "live", "Ports to which a tunnel may be opened."),
    key(
        "forward.private",
        "list of prefixes",
        "none",
        "live",
        "Addresses that may be connected to although they are private, loopback, link-local, this node's own or otherwise not public; \
         what a name resolves to is held against this, and just that address is connected to.",
    ),
    key("forward.tunnels", "number, 1 to 1048576", "`1024`", "live", "Tunnels at a time; further ones get 503."),
    key(
        "forward.tunnel_idle",
        "duration, more than 0s",
        "`5m`",
        "live",
        "How long a tunnel may be silent; then it is closed.",
    ),
    key("forward.tunnel_time", "duration", "`0s`: no bound", "live", "How long a tunnel may be open."),
    key("forward.tunnel_bytes", "size", "no bound", "live", "Bytes a tunnel may move, both ways together."),
    key("forward.timeouts.connect", "duration, more than 0s", "`2s`", "live", "Connecting to one address."),
    key("forward.timeouts.send", "duration, more than 0s", "`15s`", "live", "One write of a request."),
    key("forward.timeouts.read", "duration, more than 0s", "`15s`", "live", "Between two reads of a response."),
    key("forward.timeouts.total", "duration", "`0s`: no bound", "live", "From asking a server to the end of its body."),
    key("forward.timeouts.idle", "duration", "`60s`", "live", "How long an idle connection to a server is kept."),
    key(
        "forward.heuristic.percent",
        "1 to 100",
        "`10`",
        "live",
        "With the table `heuristic`, a response that states no lifetime is kept for this share of the time since its Last-Modified.",
    ),
    key("forward.heuristic.longest", "duration", "`1day`", "live", "At most."),
];

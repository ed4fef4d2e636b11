//! Keys of `[limits]` that bound what clients send.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key("limits.header_fields", "number, 1 to 256", "`256`", "live", "Fields of a request head; more get 431."),
    key("limits.uri_bytes", "size, 16B to `header_bytes`", "`8KiB`", "live", "Request target; a longer one gets 414."),
    key("limits.body_bytes", "size", "no bound", "live", "Request body; a larger one gets 413."),
    key(
        "limits.body_timeout",
        "duration, more than 0s",
        "`30s`",
        "live",
        "Time between two pieces of a request body; then 408, or on HTTP/2 a reset.",
    ),
    key(
        "limits.body_rate",
        "size a second",
        "`512B`",
        "live",
        "Least rate of a request body that has taken longer than `body_timeout`; below it 408. `0B`: any.",
    ),
    key(
        "limits.requests",
        "number",
        "`0`: no bound",
        "live",
        "Requests of one connection; the last one is told that it is (`Connection: close`, GOAWAY).",
    ),
    key("limits.h2_streams", "number, 1 to 10000", "`100`", "live", "HTTP/2 streams at a time of one connection."),
    key(
        "limits.client_connections",
        "number",
        "`0`: no bound",
        "live",
        "Connections of one client (an IPv4 address, an IPv6 /64) at a time; further ones are closed.",
    ),
    key(
        "limits.client_connection_rate",
        "number a second",
        "`0`: no bound",
        "live",
        "New connections of one client; further ones are closed.",
    ),
    key(
        "limits.client_request_rate",
        "number a second",
        "`0`: no bound",
        "live",
        "Requests of one client, over all its connections; further ones get 429 with Retry-After, and HTTP/1 is closed. \
         Connections that are open keep the rate they began with.",
    ),
    key(
        "limits.client_burst",
        "duration",
        "`10s`",
        "live",
        "How many seconds' worth of these rates may come at once; one is always possible.",
    ),
    key(
        "limits.clients_exempt",
        "list of prefixes",
        "`127.0.0.0/8`, `::1`",
        "live",
        "Clients these three do not bound. Without loopback the node's own warm jobs are bounded too.",
    ),
    key(
        "limits.warm_rate",
        "bandwidth, more than 0",
        "no bound",
        "live",
        "All warm jobs together fetch no faster than this, beside the rate of each. 256 KiB may come at once.",
    ),
    key(
        "limits.warm_ceiling",
        "bandwidth, more than 0",
        "none",
        "live",
        "While the machine's network carries more than this in its busier direction, by the kernel's counters of the last second, no warm job begins another object.",
    ),
    key(
        "limits.warm_interface",
        "name of a network interface",
        "all but loopback",
        "live",
        "Whose traffic `warm_ceiling` is of, such as `eth0`.",
    ),
];

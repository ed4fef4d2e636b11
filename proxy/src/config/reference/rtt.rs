//! `[rtt]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "rtt.measure",
        "true or false",
        "`false`",
        "live",
        "Whether round-trip times are measured: once for each TCP connection of a client when it is accepted, at most 1000 a second, and not \
         where clients come by a PROXY header.",
    ),
    key(
        "rtt.prefixes",
        "number, 1 to 65536",
        "`16384`",
        "live",
        "Prefixes of clients (IPv4 /24, IPv6 /48) that are kept, some 50 bytes each; of more, those go that have had no connection for long.",
    ),
    key("rtt.samples", "number, at least 1", "`3`", "live", "Measurements of a prefix before it is told."),
    key(
        "rtt.keep",
        "duration, at least 1s",
        "`1day`",
        "live",
        "For how long a prefix is told after its last measurement.",
    ),
    key(
        "rtt.tell",
        "list of prefixes",
        "none",
        "live",
        "Who may ask for the times, at `/.well-known/littoral/rtt` of all listeners for HTTP: the nodes that choose clusters. Without it the path is \
         the sites'.",
    ),
    key(
        "rtt.hear",
        "duration",
        "`0s`: never",
        "live",
        "How often the nodes of every `[[cluster]]` with `health` are asked for their times, at its port.",
    ),
    key(
        "rtt.age",
        "duration, at least 1s, longer than `hear`",
        "`10m`",
        "live",
        "For how long is decided by what a cluster told last; then distance stands in for it.",
    ),
];

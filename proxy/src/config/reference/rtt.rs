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
        "Who may ask for the times, at `/.well-known/littoral/rtt` of all listeners for HTTP, and for what was pushed here, at `/.well-known/littoral/pushed`: the \
         nodes that choose clusters. Without it the paths are the sites'.",
    ),
    key(
        "rtt.hear",
        "duration",
        "`0s`: never",
        "live",
        "How often the nodes of every `[[cluster]]` with `health` by HTTP are asked for their times, at its port; where a site has `steer.content`, also for what was pushed to them.",
    ),
    key(
        "rtt.age",
        "duration, at least 1s, longer than `hear`",
        "`10m`",
        "live",
        "For how long is decided by what a cluster told last; then distance stands in for times, and nothing counts as pushed.",
    ),
    key(
        "rtt.probe.allow",
        "list of prefixes, at most 4096 /24 and /48 in all",
        "none: nothing is probed",
        "live",
        "Prefixes that may be probed: by one TCP handshake each, to which a refusal is an answer, too. What is not public (private, loopback, …) is \
         probed only by an entry that names nothing else.",
    ),
    key(
        "rtt.probe.addresses",
        "list of addresses in them",
        "none",
        "live",
        "Who is asked in their prefixes; in the others it is the first address (192.0.2.1, 2001:db8::1).",
    ),
    key("rtt.probe.port", "port, not 0", "`443`", "live", "The port that is asked."),
    key(
        "rtt.probe.every",
        "duration, at least 1s",
        "`10m`",
        "live",
        "Each prefix is probed once in it, and not while connections of its clients are measured.",
    ),
    key("rtt.probe.per_second", "number, 1 to 100", "`10`", "live", "Probes in a second."),
    key(
        "rtt.probe.at_a_time",
        "number, 1 to 256",
        "`16`",
        "live",
        "Probes under way; of more, those are left out that are due.",
    ),
];

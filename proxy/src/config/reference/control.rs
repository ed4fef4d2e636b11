//! `[control]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "control.plane",
        "`\"local\"` or `\"nats\"`",
        "`\"local\"`",
        "restart",
        "How nodes hear of each other. `local`: nodes that direct ask the others (`[cluster.health]`, `[rtt]`), and a purge is of the node \
         that gets it. `nats`: by a server of NATS with JetStream; see docs/control.md.",
    ),
    key(
        "control.servers",
        "list of URLs, `nats://` or `tls://`, at most 16",
        "required for `nats`",
        "restart",
        "Its servers; further ones of their cluster are learnt from them.",
    ),
    key(
        "control.credentials_file",
        "path",
        "none",
        "restart",
        "Who this node is: a `.creds` file with a token (JWT) and the seed of its key.",
    ),
    key("control.nkey_file", "path", "none", "restart", "The same by a key alone: a file with its seed."),
    key("control.user", "text", "none", "restart", "The same by a name; with `password_file`."),
    key(
        "control.password_file",
        "path",
        "none",
        "restart",
        "A file with the password, and nothing else but an end of line.",
    ),
    key(
        "control.ca",
        "path",
        "the system's",
        "restart",
        "Authorities that the servers' certificates are checked with; with it, TLS is required.",
    ),
    key("control.cert", "path", "none", "restart", "This node's certificate for servers that ask for one; with `key`."),
    key("control.key", "path", "none", "restart", "Its key."),
    key(
        "control.prefix",
        "1 to 64 letters, digits and -",
        "`\"littoral\"`",
        "restart",
        "How subjects and streams are called: several networks of nodes can share a server.",
    ),
    key(
        "control.nodes",
        "list of names, at most 4096",
        "none",
        "live",
        "Nodes (`node.name`) that are believed; others are refused and counted. None: all whom the server lets write there. A node that has \
         `[[cluster]]` believes nodes of those clusters only.",
    ),
    key(
        "control.quorum",
        "`\"majority\"` or number, 1 to 256",
        "`\"majority\"`",
        "live",
        "How many deciders (nodes that direct clients) have to find a cluster down by their probes (`[cluster.health]`) before this node takes it for \
         down: more than half of those that are heard, this node included, or a number; where fewer are heard, all of them. A node that hears no other \
         one goes by its own probes.",
    ),
    key("control.every", "duration", "`1s`", "restart", "How often this node tells how it is."),
    key(
        "control.rtt_every",
        "duration",
        "`30s`",
        "restart",
        "How often it tells round-trip times to its clients, when it has some.",
    ),
    key(
        "control.silent_after",
        "duration, at least twice `every`",
        "`5s`",
        "restart",
        "A node that is not heard for longer, while others are, is silent: it does not count, and a cluster without `health` whose nodes all are \
         is down.",
    ),
    key(
        "control.max_age",
        "duration, at least `silent_after`",
        "`5m`",
        "restart",
        "When nothing is heard at all, for how long the last state holds. Then clusters count as those that tell nothing: as their probes say, or as \
         up and without load. Round-trip times have `rtt.age`.",
    ),
    key(
        "control.purges_keep",
        "duration, at least 1s",
        "`7days`",
        "restart",
        "For how long purges are kept for nodes that are away. It holds when the stream is made; an existing one keeps what it has.",
    ),
    key("control.purges_bytes", "size, at least 1MiB", "`256MiB`", "restart", "How many of them are, the same way."),
    key(
        "control.replicas",
        "number, 1 to 5",
        "`1`",
        "restart",
        "How many servers of a cluster keep them, the same way.",
    ),
];

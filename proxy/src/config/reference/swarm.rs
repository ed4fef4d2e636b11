//! Keys of `[[listen.swarm]]`.

use super::listen::{ALLOW, BACKLOG, DENY, PROXY};
use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "listen.swarm.bind",
        "address:port",
        "none",
        "restart",
        "TCP: where its peers connect to. It has this, `datagrams` or both.",
    ),
    key("listen.swarm.datagrams", "address:port", "none", "restart", "UDP; port 0 takes a free one."),
    key(
        "listen.swarm.plugin",
        "plugin name",
        "required",
        "restart",
        "Has all connections and datagrams in one instance: a plugin of world `swarm-service`. See `docs/plugins/swarms.md`.",
    ),
    key(
        "listen.swarm.connections",
        "number, 1 to 65536",
        "`1024`",
        "live",
        "Connections at a time, those that it dialled with them; more are closed at once.",
    ),
    key("listen.swarm.idle", "duration", "`2m`", "live", "Time a peer may neither send nor take anything."),
    key(
        "listen.swarm.write_timeout",
        "duration",
        "`30s`",
        "live",
        "Time in which a peer has to take some of what is sent to it.",
    ),
    key(
        "listen.swarm.cpu",
        "percent, 1 to 100",
        "`30`",
        "live",
        "What the plugin may compute in the long run, of a core. While it makes up for more, connections are not read.",
    ),
    key(
        "listen.swarm.amplification",
        "number, 1 to 100",
        "`3`",
        "live",
        "How many times the bytes that came from a network may be answered by datagrams: senders can lie about who they are.",
    ),
    key("listen.swarm.proxy_protocol", "list of prefixes", "none", "live", PROXY),
    key("listen.swarm.allow", "list of prefixes", "none", "live", ALLOW),
    key("listen.swarm.deny", "list of prefixes", "none", "live", DENY),
    key("listen.swarm.backlog", "number, 1 to 1048576", "`4096`", "restart", BACKLOG),
];

//! The reference of the config file, from which `docs/config.md` is printed.

mod acme;
mod cache;
mod control;
mod dash;
mod dns;
mod forward;
mod geo;
mod limits;
mod listen;
mod log;
mod origin;
mod resolver;
mod rtt;
mod serve;
mod site;
mod swarm;
mod trace;
mod warm;
mod zone;

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Section and key.
    pub key: &'static str,
    /// What may be written, with its bounds.
    pub value: &'static str,
    /// What holds without it; `required` when there is no default.
    pub default: &'static str,
    /// `live` when a reload applies it, `restart` when not.
    pub applies: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

const fn key(
    key: &'static str,
    value: &'static str,
    default: &'static str,
    applies: &'static str,
    meaning: &'static str,
) -> Key {
    Key { key, value, default, applies, meaning }
}

/// Every key there is, section by section.
pub const SECTIONS: &[&[Key]] = &[
    NODE,
    listen::KEYS,
    serve::KEYS,
    swarm::KEYS,
    acme::KEYS,
    forward::KEYS,
    cache::KEYS,
    log::KEYS,
    trace::KEYS,
    LIMITS,
    limits::KEYS,
    dns::KEYS,
    geo::KEYS,
    rtt::KEYS,
    resolver::KEYS,
    control::KEYS,
    PLUGINS,
    site::KEYS,
    dash::KEYS,
    origin::KEYS,
    CLUSTERS,
    zone::KEYS,
    warm::KEYS,
];

/// Every key there is.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().copied().flatten()
}

const NODE: &[Key] = &[
    key(
        "node.name",
        "letters, digits and `-._~`",
        "`littoral`",
        "restart",
        "Name of this node in `Via`, `X-Served-By` and `CDN-Loop`; nodes that ask each other need a name each.",
    ),
    key("node.cluster", "text", "none", "restart", "Cluster this node belongs to."),
    key(
        "node.data",
        "directory",
        "none",
        "restart",
        "Keeps compiled plugins, which are else compiled at each start, what filters and services keep on disk (`plugin.durable`), the warm jobs that have not ended, which go on after a restart, the round-trip times of `[rtt]`, and which clusters are drained by command.",
    ),
    key(
        "node.resolvers",
        "list of addresses with port, at most 3",
        "none: the system's",
        "live",
        "DNS servers for the names of origins, asked again when an answer's TTL is over (1 second at least, 1 hour at most); \
         an origin keeps the addresses it \
         has when they cannot say. Names without a dot are the system's resolver's, and without this key all that no server answers.",
    ),
];

const LIMITS: &[Key] = &[
    key("limits.threads", "number, at most 1024", "`0`: one per core", "restart", "Worker threads for HTTP."),
    key(
        "limits.connections",
        "number, at least 1",
        "`65536`",
        "live",
        "Client connections of all HTTP listeners; further ones are closed and counted. Give the process three times as many file \
         descriptors: without any left, new connections wait in the backlog and `littoral_downstream_accept_failures_total` grows.",
    ),
    key("limits.header_bytes", "size, 1KiB to 1MiB", "`32KiB`", "live", "Request head; a larger one gets 431."),
    key(
        "limits.header_timeout",
        "duration, more than 0s",
        "`30s`",
        "live",
        "Time for a whole request head from its first byte; then 408.",
    ),
    key(
        "limits.handshake_timeout",
        "duration, more than 0s",
        "`10s`",
        "live",
        "Time for a TLS handshake; then the connection is closed.",
    ),
    key("limits.keepalive", "duration", "`60s`", "live", "Time an idle client connection is kept."),
    key("limits.write_timeout", "duration, more than 0s", "`60s`", "live", "Time one write to a client may take."),
    key(
        "limits.origin_connections_idle",
        "number, at least 1",
        "`256`",
        "restart",
        "Idle connections kept to all origins, the least recently used go first; see `site.timeouts.idle`.",
    ),
    key(
        "limits.passes",
        "number, at most 16",
        "`0`",
        "live",
        "How often a request may have passed this node before (`CDN-Loop`, RFC 8586, and `Via`); then 508.",
    ),
    key(
        "limits.drain",
        "duration",
        "`10s`",
        "restart",
        "Time given to running requests at shutdown and upgrade. Connections that are only kept are closed when nothing else was left for a second.",
    ),
];

const PLUGINS: &[Key] = &[
    key(
        "plugins.trusted_keys",
        "list of `ed25519:` and 64 hex digits",
        "none",
        "live",
        "One of these must have signed each plugin (`littoral plugin keygen`, `sign`), else it is refused. At most 64; none: nothing is demanded.",
    ),
    key(
        "plugins.signature",
        "`required`, `warn`",
        "`required`",
        "live",
        "`warn`: what none of the trusted keys signed is loaded all the same, with a warning, while signing is introduced.",
    ),
    key(
        "plugins.memory",
        "size, at least 1MiB",
        "`1GiB`",
        "live",
        "Linear memory of all instances of all plugins together; what would need more is not started, and the native policy, or nothing, takes its place.",
    ),
    key(
        "plugins.required",
        "`true`, `false`",
        "`false`",
        "live",
        "A node with a plugin that cannot be loaded ends with code 2 when it starts. Otherwise it starts without it, says so, and tries again.",
    ),
    key("plugin.name", "text", "required", "restart", "Name by which `[policy]` and the admin API call it."),
    key(
        "plugin.file",
        "file or directory",
        "required",
        "live",
        "The component, or a directory with one `.wasm` file and perhaps its vectors. A changed file is loaded; the old one stays when the new one fails.",
    ),
    key("plugin.config", "table", "empty", "live", "Handed to the plugin as JSON when it starts."),
    key("plugin.sha256", "64 hex digits", "none", "live", "The file must have this digest."),
    key(
        "plugin.candidate",
        "file",
        "none",
        "live",
        "A component of a policy or filter that is tried beside `file`, with the same config, by the clients whose hash falls in `share` (see `docs/plugins/rollouts.md`).",
    ),
    key("plugin.candidate_sha256", "64 hex digits", "none", "live", "The candidate's file must have this digest."),
    key("plugin.share", "percent, 0 to 100", "`0`", "live", "The candidate's share, to a hundredth of a percent."),
    key("plugin.fuel", "number, at least 1", "by world", "live", "Fuel of one call; more is a fault."),
    key(
        "plugin.memory",
        "size, at most 16MiB; 1GiB for a cache policy with state of its own",
        "`2MiB`, `64MiB` for such a policy",
        "live",
        "Linear memory; growing beyond it is a fault. A cache policy with state of its own needs some 120 bytes for each object of its tier.",
    ),
    key(
        "plugin.vectors",
        "file",
        "none",
        "live",
        "Questions with the answers they must have (see `docs/plugins/vectors.md`): a generation that fails one does not go live.",
    ),
    key(
        "plugin.record",
        "file",
        "none",
        "live",
        "Every decision of a policy goes there, with what it was asked and what it knew, for `littoral plugin replay` (see `docs/plugins/replay.md`). The file before is FILE.1.",
    ),
    key("plugin.record_bytes", "size, 4MiB to 64GiB", "`64MiB`", "live", "Bytes of both files together."),
    key(
        "plugin.deadline",
        "duration, 1ms to 1s",
        "`10ms`",
        "live",
        "Time one call of a filter may compute; more is a fault.",
    ),
    key(
        "plugin.store",
        "size, at most 1GiB",
        "none",
        "live",
        "Grants a filter a store in memory, of so many bytes, that all its instances share. What was used least recently goes first.",
    ),
    key(
        "plugin.dial",
        "list of `HOST:PORT`, at most 256",
        "none",
        "live",
        "Grants a filter or service connections that it makes itself. HOST is `*`, `*.example.org`, a name, an address or a prefix (IPv6 in brackets: `[2001:db8::]/32`); PORT is a number or `*`. A name must be listed, and an address public, or in a prefix that is listed.",
    ),
    key(
        "plugin.content",
        "list of `HOST/PATH`, at most 256",
        "none",
        "live",
        "Grants a swarm what the cache has of these: it is sent by the node, past the site's filters. A `*` at the end of PATH leaves its end open.",
    ),
    key(
        "plugin.dial_ca",
        "file",
        "none",
        "live",
        "Certificates of authorities, PEM, that are believed beside the system's when it dials with TLS.",
    ),
    key(
        "plugin.http",
        "list of `SCHEME://HOST[:PORT]`, at most 256",
        "none",
        "live",
        "Grants a filter or service requests by HTTP. SCHEME is `http` or `https`, HOST as in `plugin.dial`, PORT a number or `*`, without it the scheme's. What is granted means the same as there.",
    ),
    key(
        "plugin.http_ca",
        "file",
        "none",
        "live",
        "Certificates of authorities, PEM, that are believed beside the system's when it asks with TLS.",
    ),
    key(
        "plugin.http_timeout",
        "duration, 10ms to 30s",
        "`2s`",
        "live",
        "What all requests of one call of a filter, or for one datagram, may take together, and each request of a service of connections.",
    ),
    key(
        "plugin.http_body",
        "size, at most 1MiB",
        "`64KiB`",
        "live",
        "Bytes of the body of such a request, and of its response.",
    ),
    key(
        "plugin.durable",
        "size, 1KiB to 1TiB",
        "none",
        "live",
        "Grants a filter or service a store on disk, of so many bytes, that outlives restarts and crashes. It is the file `durable/NAME.redb` in `node.data`, which is larger than what it holds. The name is then letters, digits, `-` and `_`.",
    ),
    key("plugin.durable_keys", "1 to 1000000000", "`1000000`", "live", "Entries there may be in that store."),
    key(
        "plugin.on_fault",
        "`open` or `closed`",
        "`open`",
        "live",
        "What becomes of a request when a filter fails or is in quarantine: it goes on without it, or is answered with 503.",
    ),
    key("policy.route", "plugin name", "native", "live", "Decides which cluster answers a client."),
    key("policy.rate", "plugin name", "native", "live", "Decides the representation of an `auto` segment URL."),
    key(
        "policy.evict",
        "plugin name, or lru, gdsf, s3fifo, sieve, tinylfu, littoral",
        "native",
        "live",
        "Decides what to keep in the cache: a plugin, or a policy of the node itself that keeps state of its own.",
    ),
];

const CLUSTERS: &[Key] = &[
    key("cluster.id", "text", "required", "live", "Name of the cluster, not `*`; at most 64 clusters."),
    key(
        "cluster.tier",
        "`home` or `deep`",
        "required",
        "live",
        "`home` serves everybody, `deep` only its own prefixes.",
    ),
    key("cluster.at", "[latitude, longitude]", "required", "live", "Its place in degrees."),
    key(
        "cluster.time_zone",
        "name of a time zone",
        "UTC",
        "live",
        "Whose clocks the windows of its nodes' warm jobs go by, such as `Europe/Amsterdam`.",
    ),
    key("cluster.capacity", "bandwidth, more than 0", "required", "live", "What it can send, such as `40Gbps`."),
    key(
        "cluster.host",
        "host name",
        "none",
        "live",
        "The name that clients are redirected to (`site.steer.redirect`); sites that redirect have it among their hosts, too.",
    ),
    key(
        "cluster.prefixes",
        "list of prefixes",
        "none",
        "live",
        "Its coverage zone: clients it serves first. A prefix is of one cluster of each tier.",
    ),
    key(
        "cluster.systems",
        "list of numbers",
        "none",
        "live",
        "Autonomous systems it serves first where no coverage zone says anything; an ASN database in `geo.database` tells them.",
    ),
    key(
        "cluster.drain",
        "`true` or `false`",
        "`false`",
        "live",
        "Empties it: only clients whom no other cluster may serve are still sent there. Wait the services' `ttl` before it is stopped.",
    ),
    key("cluster.nodes.v4", "IPv4 address", "none", "live", "Address of a node, for A answers."),
    key("cluster.nodes.v6", "IPv6 address", "none", "live", "Address of a node, for AAAA answers."),
    key(
        "cluster.nodes.weight",
        "1 to 1000",
        "`1`",
        "live",
        "Its share of the cluster's clients, beside those of the other nodes. A client (an IPv4 /24, an IPv6 /48) comes back to the same nodes.",
    ),
    key(
        "cluster.health.kind",
        "`\"http\"` or `\"tcp\"`",
        "`\"http\"`",
        "live",
        "What a node is asked: `http` for `path`, and how loaded it is; `tcp` for a connection, which is ended at once and tells no load. A cluster is up while one \
         node of it is.",
    ),
    key(
        "cluster.health.port",
        "port, not 0",
        "`80`",
        "live",
        "Port that is probed on every node; without `health` a cluster counts as healthy.",
    ),
    key(
        "cluster.health.path",
        "path that begins with `/`",
        "`/.well-known/littoral`",
        "live",
        "Path that is probed, of `http` alone; 200 is healthy.",
    ),
    key("cluster.health.every", "duration, more than 0s", "`1s`", "live", "Between two probes."),
    key("cluster.health.timeout", "duration, more than 0s", "`1s`", "live", "Of one probe."),
    key("cluster.health.down_after", "number, at least 1", "`3`", "live", "Failures in a row that make it down."),
    key("cluster.health.up_after", "number, at least 1", "`2`", "live", "Successes in a row that make it up."),
    key(
        "service.name",
        "domain name",
        "required",
        "live",
        "A name in one of the zones whose addresses are chosen among clusters.",
    ),
    key("service.clusters", "list of ids, or `*`", "required", "live", "The candidates."),
    key("service.ttl", "duration, less than 68 years", "required", "live", "TTL of its answers."),
    key("service.answers", "1 to 8", "`2`", "live", "Addresses in one answer."),
];

/// `docs/config.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Config reference\n\nMade by `littoral docs config`; a test compares the two. One TOML file, unknown keys refused. \
         Relative paths are relative to the file.\n\"live\": `SIGHUP` or `POST /v1/reload` applies it; \"restart\": the next start does.\n",
    );
    let mut section = "";
    for key in keys() {
        let (of, name) = key.key.rsplit_once('.').unwrap_or(("", key.key));
        if of != section {
            section = of;
            out.push_str(&format!(
                "\n## {of}\n\n| key | value | default | applies | meaning |\n|---|---|---|---|---|\n"
            ));
        }
        out.push_str(&format!("| `{name}` | {} | {} | {} | {} |\n", key.value, key.default, key.applies, key.meaning));
    }
    out.push_str("\n## Fields of the access log\n\n| field | meaning |\n|---|---|\n");
    for (name, meaning) in crate::observe::access::format::fields() {
        out.push_str(&format!("| `${name}` | {meaning} |\n"));
    }
    out
}

//! Keys of `[[site]]` about its origins.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "site.origin",
        "list of URLs or tables, at most 64",
        "required",
        "live",
        "Origins: `\"http://host:port\"`, `\"https://host\"`, or `{ url = …, … }` with the keys of `site.origin.…`.",
    ),
    key("site.origin.url", "URL", "required", "live", "`http://host:port` or `https://host`."),
    key("site.origin.weight", "number, 1 to 1000", "`1`", "live", "Its share of the requests, beside the others'."),
    key(
        "site.origin.backup",
        "true or false",
        "`false`",
        "live",
        "Ask it only while every origin that is none is left out, down or busy.",
    ),
    key(
        "site.origin.max_connections",
        "number, at least 1",
        "none: any number",
        "live",
        "Requests of this site to it at a time; further ones wait. A reload that changes it begins to count anew.",
    ),
    key(
        "site.origin.queue",
        "number",
        "`0`",
        "live",
        "Requests that may wait for it, first come, first served; further ones get 503 with `Retry-After`.",
    ),
    key(
        "site.origin.queue_timeout",
        "duration, more than 0s",
        "`1s`",
        "live",
        "How long a request waits for it; then 503 with `Retry-After`.",
    ),
    key(
        "site.balance",
        "`round-robin`, `least-connections` or `hash`",
        "`round-robin`",
        "live",
        "How requests are spread over origins, by weight: in turn; to the one with the fewest requests under way; or the same \
         object always to the same one, while that has no more than 1.25 times its share under way.",
    ),
    key(
        "site.shield.nodes",
        "list of URLs or tables, at most 64",
        "none",
        "live",
        "Nodes that are asked before the origins: a parent tier, or all nodes of a cluster (siblings), this one among them. Each \
         object has its node; one that fails, is left out or busy is passed by, and an origin is asked. Tables have the keys of \
         `site.origin.…` and `name`: the node's `node.name`, by which it knows that it is meant itself. What one of them asks \
         for by the same list is never sent on to another of them.",
    ),
    key("site.shield.balance", "as `site.balance`", "`hash`", "live", "How requests are spread over those nodes."),
    key("site.origin.host", "host, perhaps with port", "the request's host", "live", "Host field of requests to it."),
    key(
        "site.origin.h2",
        "true or false",
        "`false`",
        "live",
        "HTTP/2: with `https://` where the origin agrees to it (ALPN), with `http://` always (prior knowledge). At most 100 \
         requests at a time over one connection.",
    ),
    key(
        "site.origin.sni",
        "host name",
        "the URL's host",
        "live",
        "Name to ask for in TLS; it has to be in the certificate, which is always verified.",
    ),
    key(
        "site.origin.ca",
        "file",
        "the system's authorities",
        "live",
        "PEM certificates: who may have signed the origin's.",
    ),
    key("site.origin.cert", "file", "none", "live", "PEM certificate chain to show to the origin, with `key`."),
    key("site.origin.key", "file", "none", "live", "Its private key, PEM."),
    key(
        "site.origin.sign.kind",
        "`s3`",
        "required",
        "live",
        "With a table `sign`, requests to the origin are signed: AWS Signature Version 4, over host, time and (of GET) the empty \
         body. A client's `Authorization` and `x-amz-…` are taken away.",
    ),
    key("site.origin.sign.region", "name", "required", "live", "Where the store is, such as `eu-central-1`."),
    key("site.origin.sign.access_key_env", "name", "none", "live", "Variable of the environment with the access key."),
    key("site.origin.sign.secret_key_env", "name", "none", "live", "Variable of the environment with the secret key."),
    key(
        "site.origin.sign.session_token_env",
        "name",
        "none",
        "live",
        "Variable of the environment with the token of a session.",
    ),
    key(
        "site.origin.sign.credentials",
        "file",
        "none",
        "live",
        "In place of those variables, a shared credentials file as AWS's tools have it; read again by each reload.",
    ),
    key("site.origin.sign.profile", "name", "`default`", "live", "Which profile in that file."),
    key("site.origin.name", "a node's name", "none", "live", "Of a node of a shield only: see `site.shield.nodes`."),
    key(
        "site.health.path",
        "path",
        "`/`",
        "live",
        "With a table `health`, every origin is asked for this path (host: the site's first that is a name); 2xx and 3xx \
         are well.",
    ),
    key("site.health.every", "duration, more than 0s", "`5s`", "live", "Between two probes of an origin."),
    key("site.health.timeout", "duration, more than 0s", "`1s`", "live", "Of one probe."),
    key("site.health.down_after", "number, at least 1", "`3`", "live", "Probes in a row that failed make it down."),
    key("site.health.up_after", "number, at least 1", "`2`", "live", "Probes in a row that went well make it up."),
    key(
        "site.slow_start",
        "duration",
        "`0s`: none",
        "live",
        "For how long the weight of an origin that has come back grows, from a tenth to all of it.",
    ),
    key(
        "site.retry.times",
        "number, at most 4",
        "`1`",
        "live",
        "How often a request is sent again, each time to the next origin: when it could not connect, or when it failed before \
         the first byte of an answer and the method is idempotent.",
    ),
    key(
        "site.retry.budget_percent",
        "number, 0 to 100",
        "`20`",
        "live",
        "Retries of ten seconds at most, in percent of the requests to origins of that time.",
    ),
    key("site.retry.budget_least", "number", "`10`", "live", "Retries per second that are allowed beside that."),
    key("site.timeouts.connect", "duration, more than 0s", "`2s`", "live", "Connecting to an origin, TLS included."),
    key(
        "site.timeouts.send",
        "duration, more than 0s",
        "`15s`",
        "live",
        "One write of the request to an origin; then 504.",
    ),
    key(
        "site.timeouts.read",
        "duration, more than 0s",
        "`15s`",
        "live",
        "Between two reads from an origin, the first byte included; then 504. One that sends a byte now and then is read for as long \
         as it does; a body that ends early is cut for the client as well, and not kept.",
    ),
    key(
        "site.timeouts.total",
        "duration",
        "`0s`: no bound",
        "live",
        "From asking an origin to the end of its body, however it trickles. What still comes then is cut, for the client as well, and not \
         kept or resumed. Looked at with each piece that comes, so that it may be up to `read` longer; an upgraded connection \
         (WebSocket) is not bound by it.",
    ),
    key(
        "site.timeouts.idle",
        "duration, more than 0s",
        "`60s`",
        "live",
        "How long an idle connection to an origin is kept.",
    ),
];

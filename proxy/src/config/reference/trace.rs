//! Keys of `[trace]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "trace.endpoint",
        "http:// URL",
        "required",
        "live",
        "Collector that spans are sent to (OTLP over HTTP, protobuf); without `[trace]` nothing is traced. One span per request by the \
         semantic conventions for HTTP servers, with `littoral.cache.status` and `littoral.site`, and one below it for asking an origin, which \
         gets `traceparent`. No query and no address of a client is in them. What the collector does not take in time is dropped and counted.",
    ),
    key("trace.sample", "0 to 1", "`0.01`", "live", "Share of requests that are traced."),
    key(
        "trace.trust_clients",
        "true or false",
        "`false`",
        "live",
        "Believes a client's `traceparent` (W3C Trace Context): goes on with its trace, and records where it says so. Otherwise it is \
         replaced, and `tracestate` does not reach the origin.",
    ),
];

//! `[dns]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "dns.nsid",
        "text, at most 64 bytes",
        "none",
        "restart",
        "What this server calls itself when a query asks (NSID), and as `id.server` of class CH.",
    ),
    key(
        "dns.version",
        "text, at most 64 bytes",
        "none",
        "restart",
        "What `version.bind` of class CH is told; without it REFUSED.",
    ),
    key(
        "dns.cookie_secret",
        "32 hex digits",
        "drawn at start",
        "restart",
        "What DNS cookies are made with (RFC 9018); the same on all servers of one address.",
    ),
    key(
        "dns.answers_per_second",
        "number, at most 1000000",
        "`0`: no bound",
        "restart",
        "Answers over UDP for one name, or failures in one zone, to one network (IPv4 /24, IPv6 /56) in a second; who has a cookie of ours \
         is not bounded.",
    ),
    key(
        "dns.slip",
        "number, at most 100",
        "`2`",
        "restart",
        "Of the answers beyond that bound each how many-th is cut, so that a real client comes by TCP; the others are dropped. `0`: all.",
    ),
    key(
        "dns.bytes_without_cookie",
        "number, 128 to 1232",
        "`512`",
        "restart",
        "Bytes of an answer over UDP to who has no cookie of ours and signs nothing, so may not be where the query says. What is longer, or more \
         than 16 times the query, is cut: a real client comes by TCP.",
    ),
    key(
        "dns.threads",
        "number, at most 256",
        "`0`: one per core",
        "restart",
        "UDP sockets of each address, and threads that answer on them; the kernel divides the clients among them.",
    ),
    key(
        "dns.key.name",
        "domain name",
        "required",
        "live",
        "The name that both sides know a shared secret by (TSIG, RFC 8945).",
    ),
    key("dns.key.algorithm", "`hmac-sha256`, `hmac-sha384` or `hmac-sha512`", "`hmac-sha256`", "live", "How it signs."),
    key(
        "dns.key.secret",
        "base64 of at least 16 bytes",
        "required",
        "live",
        "The secret, such as `openssl rand -base64 32` prints.",
    ),
];

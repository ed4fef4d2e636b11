//! `[resolver]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "resolver.listen",
        "list of addresses with ports",
        "required",
        "restart",
        "Where the local resolver listens, over UDP and TCP; each address by itself, and none of `listen.dns`. Without the section there is none.",
    ),
    key(
        "resolver.allow",
        "list of prefixes, none of them everybody",
        "required",
        "restart",
        "Who is answered; all others get REFUSED, and nothing is looked up for them.",
    ),
    key("resolver.roots", "1 to 64 addresses", "the Internet's root servers", "restart", "Where every walk begins."),
    key(
        "resolver.port",
        "port",
        "`53`",
        "restart",
        "The port of all servers that are asked; another one is for a laboratory.",
    ),
    key(
        "resolver.private",
        "list of prefixes",
        "none",
        "restart",
        "Servers that may be asked although their addresses are private, loopback, link-local or reserved; referrals to others of the kind are \
         passed over.",
    ),
    key(
        "resolver.subnets",
        "list of zones, at most 1024",
        "none",
        "restart",
        "Zones whose servers are told the client's subnet when they are asked for addresses (RFC 7871), `.` for all. The answer is kept for the prefix that \
         they say it is for.",
    ),
    key("resolver.subnet_v4", "1 to 32", "`24`", "restart", "Bits of an IPv4 address that they are told."),
    key("resolver.subnet_v6", "1 to 128", "`56`", "restart", "Bits of an IPv6 address that they are told."),
    key(
        "resolver.client_subnets",
        "true or false",
        "`false`",
        "restart",
        "Whether a client's own subnet option is believed instead of its address: for clients that are resolvers of others. Source length 0 is \
         honoured in any case: nobody is told.",
    ),
    key(
        "resolver.validate",
        "true or false",
        "`true`",
        "restart",
        "Whether DNSSEC is validated: what is false is SERVFAIL, unless the client wants it unchecked (CD); what is proven has AD.",
    ),
    key(
        "resolver.anchors",
        "path",
        "the Internet's root keys",
        "restart",
        "DNSKEY records of the root that are believed, such as `. 3600 IN DNSKEY 257 3 13 AbC=`.",
    ),
    key(
        "resolver.cache",
        "size, 64KiB to 64GiB",
        "`32MiB`",
        "restart",
        "Memory for answers; the longest unused go first.",
    ),
    key(
        "resolver.ttl",
        "duration, at most 7days",
        "`1day`",
        "restart",
        "The longest that an answer is kept, whatever its TTL.",
    ),
    key(
        "resolver.lookups",
        "number, 1 to 65536",
        "`512`",
        "restart",
        "Lookups at a time; a further one gets SERVFAIL. What is kept needs none.",
    ),
    key("resolver.patience", "duration, 100ms to 30s", "`6s`", "restart", "Time of one lookup; then it is SERVFAIL."),
];

//! `[[zone]]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key("zone.name", "domain name", "required", "live", "A zone this node answers for."),
    key(
        "zone.file",
        "file",
        "required without `record`",
        "live",
        "Its master file (RFC 1035), or when its name ends in `.toml` a file of the keys `ttl` and `record`, as below; with `primary` the file of the copy, which the node writes.",
    ),
    key("zone.ttl", "seconds, or a time in quotes", "none", "live", "TTL of records that state none."),
    key(
        "zone.record.name",
        "domain name",
        "required",
        "live",
        "With `[[zone.record]]` the config has the zone's records itself, in place of `file`. Relative to the zone unless it ends in a dot; `@` is the zone.",
    ),
    key("zone.record.type", "type of record", "required", "live", "As master files name it, such as `A` or `HTTPS`."),
    key("zone.record.ttl", "seconds, or a time in quotes", "`zone.ttl`", "live", "Its TTL."),
    key(
        "zone.record.data",
        "text, or list of texts",
        "required",
        "live",
        "Its data as master files write it, such as `\"10 mail\"`; of a list each is a record of its own.",
    ),
    key(
        "zone.transfer.allow",
        "list of prefixes",
        "none: from everywhere, with the key",
        "live",
        "From where the zone may be copied (AXFR, IXFR). Without `transfer` nobody may.",
    ),
    key("zone.transfer.key", "name of a `dns.key`", "none", "live", "The secret that they must sign with."),
    key(
        "zone.transfer.notify",
        "list of addresses with port, at most 64",
        "none",
        "live",
        "Servers that are told of changes (NOTIFY).",
    ),
    key(
        "zone.primary.address",
        "address with port",
        "required",
        "live",
        "The server that the zone is copied from; this node is then a secondary.",
    ),
    key(
        "zone.primary.key",
        "name of a `dns.key`",
        "none",
        "live",
        "The secret to sign with, and that each message must be signed with.",
    ),
    key(
        "zone.update.key",
        "name of a `dns.key`",
        "required",
        "live",
        "The secret that changes (UPDATE) must be signed with. Without `update` nobody may change the zone.",
    ),
    key("zone.update.allow", "list of prefixes", "none: from everywhere", "live", "From where changes are taken."),
    key(
        "zone.update.journal",
        "file",
        "required",
        "live",
        "Keeps the changes. The zone's file is left as it is; one with a higher serial than the journal's takes its place.",
    ),
    key(
        "zone.dnssec.keys",
        "directory",
        "no signatures",
        "live",
        "Keys of the zone as dnssec-keygen and ldns-keygen make them (`K*.key`, `K*.private`), ECDSA P-256 or Ed25519: its answers are \
         signed with them as they are sent. [dns.md](dns.md) has how to replace one.",
    ),
    key(
        "zone.dnssec.validity",
        "duration, 4h to 90d",
        "`7d`",
        "live",
        "How long a signature holds; it is made anew after half of that.",
    ),
];

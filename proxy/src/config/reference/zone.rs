//! `[[zone]]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key("zone.name", "domain name", "required", "live", "A zone this node answers for."),
    key("zone.file", "file", "required", "live", "Its master file (RFC 1035)."),
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

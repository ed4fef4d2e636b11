//! Keys of `[cache]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "cache.memory",
        "size, 1MiB to 256TiB",
        "`256MiB`",
        "restart",
        "Bytes for objects in memory, overhead included. Never exceeded by more than 16 MiB.",
    ),
    key(
        "cache.max_object",
        "size",
        "`64MiB`",
        "restart",
        "Largest body stored; larger ones pass by. Of one whose length is not told, a client may be this far behind (at least 4 MiB) before it is cut off.",
    ),
    key(
        "cache.collapse_wait",
        "duration",
        "`10s`",
        "restart",
        "How long a request waits for another's fill to begin before it goes to the origin alone.",
    ),
];

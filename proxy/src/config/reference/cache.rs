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
    key(
        "cache.disk.path",
        "directory",
        "required",
        "restart",
        "Keeps what is stored beyond memory and restarts. `disk` is one table or a list of them, one for each file system; \
         a directory has one node and holds nothing else.",
    ),
    key(
        "cache.disk.size",
        "size, at least 1MiB",
        "required",
        "restart",
        "Bytes of files there, in whole blocks of 4 KiB; the policy evicts beyond.",
    ),
    key(
        "cache.disk.weight",
        "number, 1 to 1000",
        "`1`",
        "restart",
        "Its share of the objects, relative to other disks.",
    ),
    key(
        "cache.disk.min_free",
        "size",
        "`1GiB`",
        "restart",
        "Bytes left free on its file system, whoever fills it: below it, objects are evicted and new ones not written.",
    ),
    key(
        "cache.disk.fsync",
        "`none` or `data`",
        "`none`",
        "restart",
        "`data` brings each object to the medium before it appears. With `none` a loss of power may tear files, which are \
         then misses; purges are always on the medium before they are answered.",
    ),
];

//! `[log]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "log.access.file",
        "file, or `stdout`",
        "no access log",
        "live",
        "One line per request goes there. SIGUSR1 and SIGHUP open the file again, after logrotate has moved it. Lines the writer \
         cannot keep up with are dropped and counted, never waited for. Open connections keep the log they began with.",
    ),
    key(
        "log.access.format",
        "`common`, `combined`, `json`, or a text with `$fields`",
        "`combined`",
        "live",
        "What a line is; the fields are listed below. `json` has all of them; `$$` is a dollar.",
    ),
    key("log.access.sample", "0.0 to 1.0", "`1.0`", "live", "Share of the requests that are logged, drawn at random."),
];

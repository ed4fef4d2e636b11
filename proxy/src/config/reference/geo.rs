//! `[geo]`.

use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "geo.database",
        "list of files",
        "none",
        "live",
        "MMDB files (city, country or ASN), most precise first. A missing or broken one is a warning. A changed file is read within \
         seconds, and what the old one said holds when it cannot be; write a new one beside it and rename.",
    ),
    key(
        "geo.database_max_age",
        "duration",
        "60d",
        "live",
        "How old a database may be, by what it says itself, before a warning when it is read; `0s`: as old as it likes. \
         `littoral_geo_database_age_seconds` tells the age at any time.",
    ),
    key(
        "geo.coverage",
        "list of files",
        "none",
        "live",
        "Coverage zones beside `cluster.prefixes`: `.csv` has `prefix,cluster` lines, everything else is JSON, a coverage zone file of \
         Traffic Control (zones are clusters) or an object of prefixes to clusters. A changed file is read as a database is.",
    ),
    key(
        "geo.override.prefix",
        "prefix",
        "required",
        "live",
        "Addresses of which the operator knows better; each one once.",
    ),
    key(
        "geo.override.cluster",
        "cluster id",
        "none",
        "live",
        "The cluster that serves them while it can, before all coverage zones; a deep one, too.",
    ),
    key("geo.override.at", "[latitude, longitude]", "none", "live", "Where they are, whatever the databases say."),
];

//! Metrics of clusters as the nodes that choose them find them. Their samples are `directing`'s.

use super::{Declared, metric};

pub(super) const METRICS: &[Declared] = &[
    metric("littoral_cluster_healthy", "cluster", "1 while a cluster is healthy."),
    metric("littoral_cluster_draining", "cluster", "1 while a cluster is being emptied, by the config or by command."),
    metric("littoral_cluster_load_permille", "cluster", "Load of a cluster as its health answer tells it."),
    metric(
        "littoral_cluster_nodes_down",
        "cluster",
        "Addresses of a cluster's nodes that probes find down: not answered while others of it are up.",
    ),
    metric(
        "littoral_cluster_probes_total",
        "kind: http, tcp; outcome: well, unreachable, late, wrong",
        "Probes of clusters' nodes by what came of them: well; no connection; no answer in time; another answer than 200, or one that is too long.",
    ),
    metric(
        "littoral_cluster_content_total",
        "found: held, unheld",
        "Decisions of redirects that go by what was pushed to clusters (site.steer.content): somebody who may serve the client holds the title, or nobody.",
    ),
    metric("littoral_geo_database_age_seconds", "file", "How long ago a geo-IP database was made, as it says itself."),
];
